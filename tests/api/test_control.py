"""Progress, interrupt and skip while pictures are painted, and the end of the server."""

from __future__ import annotations

import base64
import io
import signal
import subprocess
import sys
import threading
from dataclasses import replace

import httpx
import pytest
from PIL import Image

from modules.jobs.store import MemoryJobStore
from tests.api.live import Gate, Live, live
from tests.paths import ROOT


@pytest.fixture
def gate(server: Live) -> Gate:
    """A gate at which pictures of the prompt "wait" stand still."""
    made = server.painter.gates["wait"] = Gate()
    return made


def get(server: Live, path: str, **query: object) -> dict[str, object]:
    answer = server.client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_idle_progress_is_all_zero(server: Live) -> None:
    progress = get(server, "/sdapi/v1/progress")
    assert (progress["progress"], progress["eta_relative"], progress["current_image"]) == (0, 0, None)
    assert progress["state"]["job_count"] == 0  # type: ignore[index]


def test_progress_of_a_running_job(server: Live, gate: Gate) -> None:
    call = server.in_background(prompt="wait", steps=40, n_iter=2, force_task_id="task(mine)")
    assert gate.reached.wait(60)
    progress = get(server, "/sdapi/v1/progress")
    assert progress["progress"] == pytest.approx(0.01 + 20 / 40 / 2)
    assert progress["eta_relative"] > 0  # type: ignore[operator]
    assert progress["state"] == get(server, "/sdapi/v1/progress", skip_current_image=True)["state"]
    assert progress["state"]["job"] == "task(mine)"  # type: ignore[index]
    picture = Image.open(io.BytesIO(base64.b64decode(str(progress["current_image"]))))
    assert picture.format == "PNG" and picture.getpixel((0, 0)) == (20, 0, 0)
    assert get(server, "/sdapi/v1/progress", skip_current_image=True)["current_image"] is None
    gate.opened.set()
    assert call.answer().status_code == 200


def task(server: Live, id_task: str | None, **body: object) -> dict[str, object]:
    answer = server.client.post("/internal/progress", json={"id_task": id_task, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_task_goes_through_queued_active_completed(server: Live, gate: Gate) -> None:
    first = server.in_background(prompt="wait", steps=40, force_task_id="task(first)")
    assert gate.reached.wait(60)
    second = server.in_background(force_task_id="task(second)")
    while get(server, "/internal/pending-tasks") != {"size": 1, "tasks": ["task(second)"]}:
        pass
    waiting = task(server, "task(second)")
    assert (waiting["active"], waiting["queued"], waiting["completed"]) == (False, True, False)
    assert waiting["textinfo"] == "In queue: 1/1" and waiting["id_live_preview"] == -1
    active = task(server, "task(first)")
    assert (active["active"], active["queued"], active["completed"]) == (True, False, False)
    assert active["progress"] == 0.5 and active["id_live_preview"] == 1
    assert str(active["live_preview"]).startswith("data:image/png;base64,")
    again = task(server, "task(first)", id_live_preview=1)
    assert again["live_preview"] is None and again["id_live_preview"] == 1
    assert task(server, "task(first)", live_preview=False)["live_preview"] is None
    gate.opened.set()
    assert first.answer().status_code == second.answer().status_code == 200
    done = task(server, "task(first)")
    assert (done["active"], done["queued"], done["completed"]) == (False, False, True)


@pytest.mark.parametrize("body", [{}, {"id_task": None}, {"id_task": "nobody's"}])
def test_unknown_task_is_told_to_wait(server: Live, body: dict[str, object]) -> None:
    answer = server.client.post("/internal/progress", json=body)
    assert answer.status_code == 200
    assert answer.json()["active"] is False and answer.json()["textinfo"] == "Waiting..."


def test_living_task_id_is_refused(server: Live, gate: Gate) -> None:
    call = server.in_background(prompt="wait", force_task_id="task(taken)")
    assert gate.reached.wait(60)
    answer = server.client.post("/sdapi/v1/txt2img", json={"force_task_id": "task(taken)"})
    assert answer.status_code == 409
    assert "task(taken)" in answer.json()["detail"]
    gate.opened.set()
    assert call.answer().status_code == 200


def test_interrupt_brings_back_what_is_there(server: Live, gate: Gate) -> None:
    call = server.in_background(prompt="wait", steps=10, n_iter=3)
    assert gate.reached.wait(60)
    answer = server.client.post("/sdapi/v1/interrupt")
    assert answer.status_code == 200 and answer.json() == {}
    gate.opened.set()
    assert call.answer().json()["images"] == []
    assert len(server.txt2img(n_iter=2)["images"]) == 2


def test_skip_goes_on_with_the_next_batch(server: Live, gate: Gate) -> None:
    call = server.in_background(prompt="wait", steps=10, n_iter=3)
    assert gate.reached.wait(60)
    answer = server.client.post("/sdapi/v1/skip")
    assert answer.status_code == 200 and answer.json() is None
    gate.opened.set()
    assert len(call.answer().json()["images"]) == 3


def test_interrupt_when_idle_does_no_harm(server: Live) -> None:
    assert server.client.post("/sdapi/v1/interrupt").status_code == 200
    assert len(server.txt2img()["images"]) == 1


def test_waiting_requests_hold_up_nobody(server: Live, gate: Gate) -> None:
    """64 requests wait for their picture; the door, progress and interrupt answer all the same."""
    first = server.in_background(prompt="wait")
    assert gate.reached.wait(60)
    waiting = [server.in_background(prompt="behind") for _ in range(64)]
    while get(server, "/internal/pending-tasks")["size"] != 64:
        pass
    assert server.client.get("/internal/ping").json() == {}
    assert get(server, "/sdapi/v1/progress")["progress"] != 0
    assert server.client.get("/sdapi/v1/options").status_code == 200
    assert server.client.post("/sdapi/v1/interrupt").status_code == 200
    gate.opened.set()
    assert {call.answer().status_code for call in [first, *waiting]} == {200}


def test_client_that_goes_away_leaves_nothing_behind(server: Live, gate: Gate) -> None:
    with pytest.raises(httpx.ReadTimeout), httpx.Client(base_url=server.url, timeout=0.2) as impatient:
        impatient.post("/sdapi/v1/txt2img", json={"prompt": "wait", "width": 8, "height": 8})
    gate.opened.set()
    assert server.txt2img()["images"]
    assert get(server, "/internal/pending-tasks")["size"] == 0


def test_full_queue_is_busy() -> None:
    def small(services):  # type: ignore[no-untyped-def]
        services.queue._store = MemoryJobStore(max_queued=1)
        return services

    with live(small) as server:
        gate = server.painter.gates["wait"] = Gate()
        first = server.in_background(prompt="wait")
        assert gate.reached.wait(60)
        second = server.in_background()
        while get(server, "/internal/pending-tasks")["size"] != 1:
            pass
        answer = server.client.post("/sdapi/v1/txt2img", json={"width": 8, "height": 8})
        assert answer.status_code == 503
        assert "try again" in answer.json()["detail"]
        gate.opened.set()
        assert first.answer().status_code == second.answer().status_code == 200


def test_model_is_moved_in_turn_with_the_pictures() -> None:
    order: list[str] = []

    def record(services):  # type: ignore[no-untyped-def]
        return replace(
            services,
            unload_checkpoint=lambda: order.append("unload"),
            reload_checkpoint=lambda: order.append("reload"),
        )

    with live(record) as server:
        gate = server.painter.gates["wait"] = Gate()
        call = server.in_background(prompt="wait")
        assert gate.reached.wait(60)
        done: list[int] = []

        def unload() -> None:
            done.append(httpx.post(f"{server.url}/sdapi/v1/unload-checkpoint", timeout=60).status_code)

        thread = threading.Thread(target=unload)
        thread.start()
        while get(server, "/internal/pending-tasks")["size"] != 1:
            pass
        assert order == []
        gate.opened.set()
        assert call.answer().status_code == 200
        thread.join(60)
        assert done == [200] and order == ["unload"]
        assert server.client.post("/sdapi/v1/reload-checkpoint").json() == {}
        assert order == ["unload", "reload"]


def test_server_commands_exist_only_with_their_flag(server: Live) -> None:
    for verb in ("stop", "restart", "kill"):
        assert server.client.post(f"/sdapi/v1/server-{verb}").status_code == 404


def test_stop_ends_in_good_order() -> None:
    with live(api_server_stop=True) as server:
        gate = server.painter.gates["wait"] = Gate()
        running = server.in_background(prompt="wait")
        assert gate.reached.wait(60)
        waiting = server.in_background()
        while get(server, "/internal/pending-tasks")["size"] != 1:
            pass
        assert server.client.post("/sdapi/v1/server-stop").text == "Stopping."
        server.client.close()
        refused = waiting.answer()
        assert refused.status_code == 503 and "stopping" in refused.json()["detail"]
        gate.opened.set()
        assert running.answer().status_code == 200
        assert server.thread is not None
        server.thread.join(60)
        assert server.ended_with == ["stop"]


def test_restart_needs_someone_who_starts_again() -> None:
    with live(api_server_stop=True) as server:
        answer = server.client.post("/sdapi/v1/server-restart")
        assert answer.status_code == 501 and answer.content == b""
    with live(lambda services: replace(services, restartable=True), api_server_stop=True) as server:
        assert server.client.post("/sdapi/v1/server-restart").status_code == 200
        server.client.close()
        assert server.thread is not None
        server.thread.join(60)
        assert server.ended_with == ["restart"]


def test_kill_ends_the_process() -> None:
    codes: list[int] = []
    with live(lambda services: replace(services, kill=codes.append), api_server_stop=True) as server:
        server.client.post("/sdapi/v1/server-kill")
    assert codes == [0]


SCRIPT = """
import sys, socket
sys.path.insert(0, {root!r})
from tests.api.live import build, Gate
from modules.api.app import create_app
from modules.api.server import serve
server = build()
server.painter.gates["wait"] = Gate()
server.worker.start()
services = server.services
sock = socket.create_server(("127.0.0.1", 0))
print(sock.getsockname()[1], flush=True)
app = create_app(services)
print(serve(app, sock, services.flags, queue=services.queue, state=services.state), flush=True)
assert "torch" not in sys.modules and "gradio" not in sys.modules
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Windows differ")
@pytest.mark.parametrize(("number", "hanging"), [(signal.SIGTERM, True), (signal.SIGINT, False)])
def test_signal_ends_the_process_with_zero_also_while_a_step_hangs(
    number: signal.Signals, hanging: bool
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(root=str(ROOT))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    url = f"http://127.0.0.1:{process.stdout.readline().strip()}"
    with httpx.Client(base_url=url, timeout=60, verify=False) as client:
        assert client.get("/internal/ping").status_code == 200
        if hanging:
            with pytest.raises(httpx.ReadTimeout):
                body = {"prompt": "wait", "width": 8, "height": 8}
                client.post("/sdapi/v1/txt2img", json=body, timeout=0.5)
    process.send_signal(number)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert out.strip() == "stop"
    assert "Traceback" not in errors


def test_hanging_preview_holds_up_neither_progress_nor_the_picture() -> None:
    with live() as server:
        decoder = Gate()

        def hang(_latent: object, _settings: object) -> None:
            decoder.pass_through()

        server.services.state.preview._decoder = hang
        gate = server.painter.gates["wait"] = Gate()
        call = server.in_background(prompt="wait", steps=40)
        assert gate.reached.wait(60)
        for _ in range(20):
            assert get(server, "/sdapi/v1/progress")["current_image"] is None
        gate.opened.set()
        assert len(call.answer().json()["images"]) == 1
        decoder.opened.set()
