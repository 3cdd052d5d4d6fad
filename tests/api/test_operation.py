"""What whoever runs the server asks; and the endpoints about the system and its extensions."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from tests.api.live import Live, live


def png() -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def metrics(server: Live) -> dict[str, float]:
    answer = server.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.split(" ") for line in lines)}


def test_health_and_readiness() -> None:
    with live(api_auth="me:secret") as server:
        assert server.client.get("/healthz").json() == {"status": "ok"}
        assert server.client.get("/readyz").json() == {"status": "ready", "paused": False}
    with live(lambda services: replace(services, worker_alive=lambda: False)) as server:
        answer = server.client.get("/readyz")
        assert answer.status_code == 503 and answer.json()["status"] == "no worker"


def test_figures_count_what_happened() -> None:
    with live() as server:
        assert set(metrics(server).values()) == {0.0}
        server.txt2img(steps=5, n_iter=2)
        server.painter.error = ValueError("broken")
        server.client.post("/sdapi/v1/txt2img", json={"width": 8, "height": 8})
        server.services.queue.pause()
        job = server.client.post("/easel/v1/jobs", json={}).json()["id"]
        waiting = metrics(server)
        assert (waiting["easel_jobs_waiting"], waiting["easel_queue_paused"]) == (1, 1)
        server.client.delete(f"/easel/v1/jobs/{job}")
        counted = metrics(server)
    assert counted["easel_steps_total"] == 10
    assert [counted[f"easel_jobs_{state}_total"] for state in ("done", "failed", "cancelled")] == [1, 1, 1]
    assert counted["easel_work_seconds_total"] > 0


def test_figures_tell_no_prompts() -> None:
    with live() as server:
        server.txt2img(prompt="a secret wish")
        assert "secret" not in server.client.get("/metrics").text


@pytest.mark.parametrize(
    ("path", "disposition"),
    [
        ("/internal/sysinfo", "inline"),
        ("/internal/sysinfo?attachment=true", "attachment"),
        ("/internal/sysinfo-download", "attachment"),
    ],
)
def test_system_report(path: str, disposition: str) -> None:
    facts = {"Platform": "a machine", "Path": Path("x")}
    with live(lambda services: replace(services, sysinfo=lambda: facts)) as server:
        answer = server.client.get(path)
    assert answer.headers["content-type"].startswith("text/plain")
    head = answer.headers["content-disposition"]
    assert head.startswith(f'{disposition}; filename="sysinfo-') and head.endswith('.json"')
    assert json.loads(answer.text) == {"Platform": "a machine", "Path": "x"}


def test_extensions_with_an_address_are_listed() -> None:
    facts = {"branch": "main", "commit_hash": "ab", "version": "v1", "commit_date": 17, "enabled": True}
    rows = [{"name": "a", "remote": "https://x/a", **facts}, {"name": "b", "remote": None, **facts}]
    with live(lambda services: replace(services, extensions=lambda: rows)) as server:
        listed = server.client.get("/sdapi/v1/extensions").json()
    assert listed == [{"name": "a", "remote": "https://x/a", **facts, "commit_date": "17"}]


def test_interrogation() -> None:
    describe = {"clip": lambda image: f"a picture of {image.width} pixels"}
    with live(lambda services: replace(services, interrogators=describe)) as server:

        def ask(**body: str) -> tuple[int, object]:
            answer = server.client.post("/sdapi/v1/interrogate", json=body)
            return answer.status_code, answer.json()

        assert ask(image=png()) == (200, {"caption": "a picture of 4 pixels"})
        status, reply = ask(image=png(), model="deepdanbooru")
        assert status == 501 and "deepdanbooru" in str(reply)
        assert ask(image=png(), model="nonsense")[0] == 404
        assert ask()[0] == 404
        assert ask(image="no picture")[0] == 422
