"""Order now, fetch later: jobs, their events, the queue and the history over a real socket."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from modules.jobs.job import JobState
from tests.api.live import Gate, Live, live

SMALL = {"width": 8, "height": 8, "steps": 4}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with live(data_dir=tmp_path_factory.mktemp("data")) as running:
        yield running


@pytest.fixture
def gate(server: Live) -> Iterator[Gate]:
    """The worker stands still in a job of its own until the gate is opened."""
    made = server.painter.gates["wait"] = Gate()
    busy = order(server, prompt="wait")
    assert made.reached.wait(60)
    yield made
    made.opened.set()
    ended(server, busy["id"])


def order(server: Live, **request: Any) -> Any:
    """The status of a job that was just ordered."""
    answer = server.client.post("/easel/v1/jobs", json={"request": {**SMALL, **request}})
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/easel/v1/jobs/{answer.json()['id']}"
    return answer.json()


def get(server: Live, path: str, **query: Any) -> Any:
    answer = server.client.get(f"/easel/v1/{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ended(server: Live, job_id: str) -> Any:
    """The status of a job when it has ended; waits on its stream of events."""
    frames(server, job_id)
    return get(server, f"jobs/{job_id}")


def frames(server: Live, job_id: str, query: str = "", heard: threading.Event | None = None) -> list[Any]:
    """(kind, data) of each event until the server ends the stream. ``heard``: set when listening."""
    found: list[Any] = []
    with (
        httpx.Client(base_url=server.url, timeout=60) as client,
        client.stream("GET", f"/easel/v1/jobs/{job_id}/events{query}") as stream,
    ):
        assert stream.status_code == 200
        assert stream.headers["content-type"].startswith("text/event-stream")
        kind = ""
        for line in stream.iter_lines():
            if line.startswith("event: "):
                kind = line[7:]
            elif line.startswith("data: "):
                found.append((kind, json.loads(line[6:])))
                if heard is not None:
                    heard.set()
    return found


def test_order_status_result_and_picture(server: Live) -> None:
    job = order(server, prompt="a kite", seed=7, n_iter=2)
    assert job["state"] in ("queued", "running", "done")
    status = ended(server, job["id"])
    assert (status["state"], status["progress"], status["pictures"], status["attempts"]) == ("done", 1, 2, 1)
    assert status["created"] <= status["started"] <= status["finished"]
    result = get(server, f"jobs/{job['id']}/result")
    blocking = server.txt2img(prompt="a kite", seed=7, n_iter=2, steps=4)
    assert result == blocking
    picture = server.client.get(f"/easel/v1/jobs/{job['id']}/pictures/1")
    assert picture.headers["content-type"] == "image/png"
    assert picture.content == base64.b64decode(result["images"][1])
    for number in (2, -1):
        assert server.client.get(f"/easel/v1/jobs/{job['id']}/pictures/{number}").status_code == 404


def test_send_images_and_failures_are_those_of_the_blocking_form(server: Live) -> None:
    job = order(server, send_images=False)
    ended(server, job["id"])
    assert get(server, f"jobs/{job['id']}/result")["images"] == []
    server.painter.error = MemoryError("all of it")
    job = order(server)
    status = ended(server, job["id"])
    assert status["state"] == "failed" and "Out of memory" in status["error"]
    answer = server.client.get(f"/easel/v1/jobs/{job['id']}/result")
    assert answer.status_code == 507 and "--medvram" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"request": {"steps": 0}}, "steps"),
        ({"request": {"steps": "many"}}, "steps"),
        ({"request": {"width": 65537}}, "width"),
        ({"kind": "sculpture"}, "kind"),
        ({"priority": 5000}, "priority"),
        ({"request": 7}, "request"),
    ],
)
def test_bad_orders_are_refused_at_the_door(server: Live, body: Any, field: str) -> None:
    before = len(server.painter.seen)
    answer = server.client.post("/easel/v1/jobs", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"][0]["loc"][-1] == field
    assert len(server.painter.seen) == before


def test_unknown_jobs(server: Live) -> None:
    for method, path in (
        ("GET", ""),
        ("GET", "/result"),
        ("GET", "/events"),
        ("DELETE", ""),
        ("PATCH", ""),
        ("POST", "/interrupt"),
        ("GET", "/pictures/0"),
    ):
        body = {"priority": 1} if method == "PATCH" else None
        answer = server.client.request(method, f"/easel/v1/jobs/nobody's{path}", json=body)
        assert answer.status_code == 404, (method, path)
        assert "nobody's" in answer.json()["detail"]


def test_ids_may_hold_anything(server: Live) -> None:
    job = order(server, force_task_id="../a b/ü%?#")
    with httpx.Client(base_url=server.url, timeout=60) as client:
        answer = client.get("/easel/v1/jobs/..%2Fa%20b%2F%C3%BC%25%3F%23")
    assert answer.json()["id"] == job["id"]


def test_reorder_priority_and_pause(server: Live, gate: Gate) -> None:
    jobs = [order(server, prompt=str(number))["id"] for number in range(4)]
    assert [get(server, f"jobs/{job}")["position"] for job in jobs] == [0, 1, 2, 3]

    def change(job: str, **values: Any) -> Any:
        answer = server.client.patch(f"/easel/v1/jobs/{job}", json=values)
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert change(jobs[3], position=0)["position"] == 0
    assert change(jobs[2], priority=9)["position"] == 0
    assert change(jobs[0], paused=True)["paused"] is True
    waiting = [one["id"] for one in get(server, "jobs", state="queued")]
    assert waiting == [jobs[2], jobs[3], jobs[0], jobs[1]]
    gate.opened.set()
    for job in jobs[1:]:
        assert ended(server, job)["state"] == "done"
    assert [request.prompt for request, _ in server.painter.seen[-3:]] == ["2", "3", "1"]
    assert get(server, f"jobs/{jobs[0]}")["state"] == "queued"
    assert change(jobs[0], paused=False)["paused"] is False
    assert ended(server, jobs[0])["state"] == "done"
    late = server.client.patch(f"/easel/v1/jobs/{jobs[0]}", json={"priority": 1})
    assert late.status_code == 409


def test_result_before_the_end_is_refused(server: Live, gate: Gate) -> None:
    job = order(server)
    answer = server.client.get(f"/easel/v1/jobs/{job['id']}/result")
    assert answer.status_code == 409 and "queued" in answer.json()["detail"]


def test_cancel_waiting_running_and_ended(server: Live, gate: Gate) -> None:
    waiting = order(server)["id"]
    assert server.client.delete(f"/easel/v1/jobs/{waiting}").json()["state"] == "cancelled"
    assert server.client.get(f"/easel/v1/jobs/{waiting}/result").status_code == 409
    running = get(server, "jobs", state="running")[0]["id"]
    assert server.client.delete(f"/easel/v1/jobs/{running}").status_code == 200
    gate.opened.set()
    assert ended(server, running)["pictures"] == 0
    done = order(server)["id"]
    assert ended(server, done)["pictures"] == 1
    assert server.client.delete(f"/easel/v1/jobs/{done}").json()["pictures"] == 0


@pytest.mark.parametrize(("verb", "pictures"), [("interrupt", 0), ("skip", 3), ("stop", 1)])
def test_three_verbs(server: Live, verb: str, pictures: int) -> None:
    made = server.painter.gates[verb] = Gate()
    job = order(server, prompt=verb, n_iter=3)["id"]
    assert made.reached.wait(60)
    answer = server.client.post(f"/easel/v1/jobs/{job}/{verb}")
    assert answer.json()["obeyed"] is True
    made.opened.set()
    ended(server, job)
    assert get(server, f"jobs/{job}")["pictures"] == pictures
    assert server.client.post(f"/easel/v1/jobs/{job}/{verb}").json()["obeyed"] is False


def test_stop_after_this_image_without_an_id(server: Live, gate: Gate) -> None:
    assert server.client.post("/easel/v1/stop-after-image").json() == {}
    assert server.services.state.stopping_generation


def test_paused_queue_begins_nothing_but_still_serves(server: Live) -> None:
    assert server.client.post("/easel/v1/queue/pause").json()["paused"] is True
    job = order(server)["id"]
    assert server.client.post("/sdapi/v1/unload-checkpoint").status_code == 200
    assert get(server, f"jobs/{job}")["state"] == "queued"
    assert get(server, "queue") == {"paused": True, "waiting": 1, "running": 0}
    assert server.client.post("/easel/v1/queue/resume").json()["paused"] is False
    assert ended(server, job)["state"] == "done"


def test_events_of_a_job(server: Live, gate: Gate) -> None:
    job = order(server, steps=8, n_iter=2)["id"]
    heard = threading.Event()
    told: list[Any] = []
    thread = threading.Thread(target=lambda: told.extend(frames(server, job, heard=heard)))
    thread.start()
    assert heard.wait(60)
    gate.opened.set()
    thread.join(60)
    kinds = [kind for kind, _ in told]
    assert kinds[0] == "status" and told[0][1]["state"] == "queued"
    assert kinds[1] == "started" and kinds[-1] == "done" and kinds.count("image") == 2
    steps = [data for kind, data in told if kind == "step"]
    assert steps and steps[-1]["steps"] == 8 and steps[-1]["runs"] == 2
    assert frames(server, job)[0][0] == "done", "who comes late hears the end"


def test_previews_come_with_the_events_when_asked_for(server: Live) -> None:
    made = server.painter.gates["preview"] = Gate()
    job = order(server, prompt="preview", steps=40)["id"]
    assert made.reached.wait(60)
    heard = threading.Event()
    told: list[Any] = []
    thread = threading.Thread(target=lambda: told.extend(frames(server, job, "?previews=true", heard)))
    thread.start()
    assert heard.wait(60)
    made.opened.set()
    thread.join(60)
    previews = [data for kind, data in told if kind == "preview"]
    assert [kind for kind, _ in told][-1] == "done"
    assert all(one["live_preview"].startswith("data:image/png;base64,") for one in previews)


def test_readers_that_go_away_leave_nothing_behind(server: Live, gate: Gate) -> None:
    hub = server.services.queue.events
    job = order(server)["id"]
    with httpx.Client(base_url=server.url, timeout=60) as client:
        for _ in range(5):
            with client.stream("GET", f"/easel/v1/jobs/{job}/events") as stream:
                next(stream.iter_lines())
    for _ in range(1000):
        if hub.readers == 0:
            break
        hub.publish(job, "changed")
        threading.Event().wait(0.01)
    assert hub.readers == 0


def test_clients_take_turns(tmp_path: Path) -> None:
    """A thousand jobs of one client do not hold up the first of another."""
    with live(api_auth="many:a,few:b") as server:
        made = server.painter.gates["wait"] = Gate()
        first = server.client.post(
            "/easel/v1/jobs", json={"request": {**SMALL, "prompt": "wait"}}, auth=("many", "a")
        )
        assert first.status_code == 202 and made.reached.wait(60)
        for number in range(20):
            request = {**SMALL, "prompt": f"many {number}"}
            server.client.post("/easel/v1/jobs", json={"request": request}, auth=("many", "a"))
        answer = server.client.post("/easel/v1/jobs", json={"request": SMALL}, auth=("few", "b"))
        assert answer.json()["position"] == 0
        made.opened.set()


def test_full_line_is_told() -> None:
    with live() as server:
        server.services.queue.pause()
        server.services.queue._store._max_queued = 2  # type: ignore[attr-defined]
        answers = [server.client.post("/easel/v1/jobs", json={"request": SMALL}) for _ in range(3)]
        assert [one.status_code for one in answers] == [202, 202, 503]
        assert "limit" in answers[-1].json()["detail"]


def test_jobs_survive_the_server(tmp_path: Path) -> None:
    with live(data_dir=tmp_path) as server:
        server.services.queue.pause()
        job = order(server, prompt="later", seed=-1)["id"]
        before = server.services.queue.record(job)
        assert before is not None and before.state is JobState.QUEUED
    with live(data_dir=tmp_path) as server:
        assert ended(server, job)["state"] == "done"
        result = get(server, f"jobs/{job}/result")
        assert Image.open(io.BytesIO(base64.b64decode(result["images"][0]))).size == (8, 8)
    with live(data_dir=tmp_path) as server:
        assert get(server, f"jobs/{job}/result") == result, "results outlive the server too"


def test_history_is_searched_marked_repainted_and_forgotten(server: Live) -> None:
    job = order(server, prompt="a purple elephant", seed=11, n_iter=2)["id"]
    ended(server, job)
    found = get(server, "history", text="purple eleph")
    assert [one["job"] for one in found["entries"]] == [job, job] and found["next"] is None
    assert get(server, "history", text="purple", limit=1)["next"] == found["entries"][0]["id"]
    number = found["entries"][0]["id"]
    assert server.client.patch(f"/easel/v1/history/{number}", json={"favourite": True}).json()["favourite"]
    assert [one["id"] for one in get(server, "history", favourite=True)["entries"]] == [number]
    again = server.client.post(f"/easel/v1/history/{number}/repaint", json={})
    assert again.status_code == 202
    ended(server, again.json()["id"])
    request, _ = server.painter.seen[-1]
    assert (request.prompt, request.n_iter) == ("a purple elephant", 1)
    assert server.client.delete(f"/easel/v1/history/{number}").json() is None
    assert server.client.get(f"/easel/v1/history/{number}").status_code == 404


@pytest.mark.parametrize(
    "path", ["history/999999", "history/-1", f"history/{2**70}", "history/999999/picture"]
)
def test_unknown_entries_of_the_history(server: Live, path: str) -> None:
    assert server.client.get(f"/easel/v1/{path}").status_code == 404


@pytest.mark.parametrize("query", ["limit=0", "limit=10000", "after=x", "favourite=perhaps"])
def test_bad_searches(server: Live, query: str) -> None:
    assert server.client.get(f"/easel/v1/history?{query}").status_code == 422


def test_history_serves_files_of_the_output_folders_only(tmp_path: Path) -> None:
    with live(data_dir=tmp_path) as server:
        assert server.services.history is not None
        outputs, secret = tmp_path / "outputs", tmp_path / "secret.png"
        outputs.mkdir()
        good, link, text = outputs / "a.png", outputs / "link.png", outputs / "b.png"
        for path in (good, secret):
            Image.new("RGB", (4, 4)).save(path)
        link.symlink_to(secret)
        text.write_text("no picture")
        paths = [good, secret, link, text, outputs / ".." / "secret.png", outputs, outputs / "gone.png"]
        numbers = [_enter(server, path) for path in paths]
        codes = [server.client.get(f"/easel/v1/history/{one}/picture").status_code for one in numbers]
        assert codes == [200] + [404] * (len(paths) - 1)
        for number in numbers[1:3]:
            answer = server.client.delete(f"/easel/v1/history/{number}", params={"file": True})
            assert answer.status_code == 404
        assert secret.exists()
        assert server.client.delete(f"/easel/v1/history/{numbers[0]}?file=true").status_code == 200
        assert not good.exists()


def _enter(server: Live, path: Path) -> int:
    from modules.jobs.history import Search
    from modules.jobs.job import Job
    from modules.processing.request import Txt2ImgRequest
    from modules.processing.result import Processed

    picture = Image.new("RGB", (4, 4))
    picture.info["saved_as"] = str(path)
    history = server.services.history
    assert history is not None
    settings = server.services.options.view()
    history.add(Job("a", "txt2img", Txt2ImgRequest(), settings), Processed([picture], [str(path)]))
    return history.find(Search())[0].id


def test_everything_is_documented_and_locked(server: Live) -> None:
    paths = server.client.get("/openapi.json").json()["paths"]
    own = {path: methods for path, methods in paths.items() if path.startswith("/easel/")}
    assert len(own) >= 15
    with live(api_auth="me:secret") as locked:
        for path, methods in own.items():
            for method, operation in methods.items():
                assert operation.get("description"), (method, path)
                url = path.replace("{job_id}", "x").replace("{number}", "1")
                assert locked.client.request(method, url, json={}).status_code == 401, (method, path)
    with live(api=False) as closed:
        assert closed.client.get("/easel/v1/jobs").status_code == 404
