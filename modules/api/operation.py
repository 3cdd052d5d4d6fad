"""How the server is: for whoever runs it. Health, readiness, figures, and the report of the system."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import PlainTextResponse, Response

from modules.api.replies import Reply
from modules.api.services import ApiServices
from modules.launcher.sysinfo import file_name

_METRICS: tuple[tuple[str, str, str], ...] = (
    ("easel_jobs_waiting", "gauge", "Jobs that wait."),
    ("easel_jobs_running", "gauge", "Jobs in work."),
    ("easel_queue_paused", "gauge", "1 while no job is begun."),
    ("easel_event_readers", "gauge", "Open streams of events."),
    ("easel_jobs_done_total", "counter", "Jobs that came to their end."),
    ("easel_jobs_failed_total", "counter", "Jobs that failed."),
    ("easel_jobs_cancelled_total", "counter", "Jobs that were cancelled."),
    ("easel_steps_total", "counter", "Sampling steps taken."),
    ("easel_work_seconds_total", "counter", "Seconds spent in jobs."),
)


class Operation:
    """Answers about the server itself."""

    def __init__(self, services: ApiServices) -> None:
        self._services = services

    async def healthz(self) -> Reply:
        """The process answers."""
        return Reply({"status": "ok"})

    async def readyz(self) -> Reply:
        """Jobs are taken and worked on; 503 otherwise."""
        problem = "stopping" if self._services.queue.closed else None
        if problem is None and not self._services.worker_alive():
            problem = "no worker"
        status = {"status": problem or "ready", "paused": self._services.queue.paused}
        return Reply(status, status_code=503 if problem else 200)

    async def metrics(self) -> Response:
        """Figures in the text format of Prometheus."""
        queue = self._services.queue
        tally = queue.tally
        values = (
            len(queue.pending),
            len(queue.running),
            int(queue.paused),
            queue.events.readers,
            tally.done,
            tally.failed,
            tally.cancelled,
            self._services.state.steps_taken,
            tally.seconds,
        )
        return PlainTextResponse(_exposition(values), media_type="text/plain; version=0.0.4")

    def sysinfo(self, attachment: bool = False) -> Response:
        """A description of the system for reports of problems, without secrets."""
        return self._report("attachment" if attachment else "inline")

    def sysinfo_download(self) -> Response:
        """The same as a file."""
        return self._report("attachment")

    def extensions(self) -> Reply:
        """The extensions that have an address to be updated from."""
        return Reply([_extension_item(one) for one in self._services.extensions() if one["remote"]])

    def _report(self, disposition: str) -> Response:
        facts = self._services.sysinfo()
        text = json.dumps(facts, indent=4, ensure_ascii=False, default=str).encode("utf-8", "replace")
        headers = {
            "Content-Disposition": f'{disposition}; filename="{file_name()}"',
            "X-Content-Type-Options": "nosniff",
        }
        return Response(text, media_type="text/plain", headers=headers)


def _exposition(values: tuple[float, ...]) -> str:
    lines = []
    for (name, kind, text), value in zip(_METRICS, values, strict=True):
        lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}", f"{name} {value}"]
    return "\n".join(lines) + "\n"


def _extension_item(facts: Any) -> dict[str, Any]:
    texts = ("name", "remote", "branch", "commit_hash", "version", "commit_date")
    return {**{key: str(facts[key] or "") for key in texts}, "enabled": bool(facts["enabled"])}
