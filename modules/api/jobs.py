"""Jobs by id: order now, ask later. And the queue that they stand in."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from fastapi import Request
from starlette.responses import Response

from modules.api.fields import build_model
from modules.api.job_fields import JOB_CHANGE, JOB_ORDER
from modules.api.orders import client_of, take_any_order
from modules.api.pictures import to_base64
from modules.api.replies import Reply
from modules.api.services import ApiServices
from modules.errors import EaselError, InvalidInput, NotFound
from modules.jobs.control import end_task, skip_task, stop_task_after_batch
from modules.jobs.job import CALL, JobState
from modules.jobs.spool import Outcome
from modules.jobs.status import job_status, kept_outcome

if TYPE_CHECKING:
    from pydantic import BaseModel as JobBody
    from pydantic import BaseModel as JobChangeBody
else:
    JobBody = build_model("JobOrder", JOB_ORDER)
    JobChangeBody = build_model("JobChange", JOB_CHANGE)

LARGEST_PRIORITY = 1000

_SIGNATURES = (
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8", "image/jpeg"),
    (b"RIFF", "image/webp"),
    (b"\0\0\0", "image/avif"),
)


class NotEnded(EaselError):
    """The result is asked for before there is one."""

    status = 409


class KeptError(EaselError):
    """Why a job failed, as it was kept."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.error)
        self.status = outcome.status


class Jobs:
    """The asynchronous form of painting."""

    def __init__(self, services: ApiServices) -> None:
        self._services = services
        self._readers = anyio.CapacityLimiter(4)
        self._encoders = anyio.CapacityLimiter(4)

    async def order(self, body: JobBody, request: Request) -> Reply:
        """Queue a job and answer at once with its id. The request is that of the endpoint of its kind."""
        client = client_of(request)
        status = await anyio.to_thread.run_sync(self._queue, body, client, limiter=self._readers)
        return Reply(status, status_code=202, headers={"Location": f"/easel/v1/jobs/{status['id']}"})

    def _queue(self, body: JobBody, client: str) -> dict[str, Any]:
        values = body.model_dump()
        priority = _priority(values["priority"] or 0)
        order = take_any_order(values["kind"] or "txt2img", values["request"] or {}, self._services)
        job = replace(
            order.job,
            client=client,
            priority=priority,
            held=bool(values["paused"]),
            spool=True,
            notes={"parameters": dict(order.parameters), "send_images": order.send_images},
        )
        self._services.queue.submit(job)
        return self.status_of(job.id)

    def status_of(self, job_id: str) -> dict[str, Any]:
        """The facts of a job. Raises ``NotFound``."""
        services = self._services
        status = job_status(job_id, services.queue, services.state, services.spool, time.time())
        if status is None:
            raise NotFound(f"There is no job {job_id!r:.100}; it may have ended long ago.")
        return status

    def list(self, state: str | None = None) -> Reply:
        """The waiting jobs in their order, the running ones, and the last ended ones."""
        queue = self._services.queue
        ids = [*queue.running, *queue.pending, *reversed(queue.finished)]
        records = [queue.record(job_id) for job_id in ids]
        shown = [one.id for one in records if one and one.kind != CALL and state in (None, one.state.value)]
        return Reply([status for job_id in shown if (status := self._status_or_none(job_id))])

    def _status_or_none(self, job_id: str) -> dict[str, Any] | None:
        services = self._services
        return job_status(job_id, services.queue, services.state, services.spool, time.time())

    def status(self, job_id: str) -> Reply:
        """Where a job stands."""
        return Reply(self.status_of(job_id))

    def result(self, job_id: str) -> Reply:
        """What the blocking endpoint would have answered. 409 while the job has not ended."""
        services = self._services
        record = services.queue.record(job_id)
        outcome = kept_outcome(job_id, record, services.spool)
        if outcome is not None:
            return Reply(_kept_reply(outcome))
        status = self.status_of(job_id)
        if record is None or not record.state.final:
            raise NotEnded(f"Job {job_id} is {status['state']}; its result is there when it is done.")
        if record.error is not None:
            raise record.error
        if record.result is None:
            raise NotFound(f"The result of job {job_id} is not kept any more.")
        return Reply(self._fresh_reply(record.result))

    def _fresh_reply(self, result: Any) -> dict[str, Any]:
        settings = self._services.options.view()
        encode = self._services.encode_image
        texts = [*result.infotexts, *[None] * (len(result.images) - len(result.infotexts))]
        images = [
            to_base64(encode(image, text, settings))
            for image, text in zip(result.images, texts, strict=False)
        ]
        return {"images": images, "parameters": {}, "info": result.js()}

    def picture(self, job_id: str, number: int) -> Response:
        """One finished picture as a file."""
        record = self._services.queue.record(job_id)
        outcome = kept_outcome(job_id, record, self._services.spool)
        files: tuple[Path, ...] = outcome.files if outcome else ()
        if not 0 <= number < len(files):
            raise NotFound(f"Job {job_id!r:.100} has no picture number {number}.")
        return picture_file(files[number])

    def change(self, job_id: str, body: JobChangeBody) -> Reply:
        """Change priority or place of a waiting job, or let it wait until it is resumed."""
        queue, values = self._services.queue, body.model_dump()
        if values["priority"] is not None:
            queue.set_priority(job_id, _priority(values["priority"]))
        if values["position"] is not None:
            queue.move(job_id, values["position"])
        if values["paused"] is not None:
            queue.hold(job_id, values["paused"])
        return Reply(self.status_of(job_id))

    def cancel(self, job_id: str) -> Reply:
        """Cancel a waiting job, interrupt a running one, forget the result of an ended one."""
        services = self._services
        if end_task(services.queue, services.state, job_id):
            return Reply(self.status_of(job_id))
        status = self.status_of(job_id)
        if services.spool is not None:
            services.spool.forget(job_id)
        return Reply({**status, "pictures": 0})

    def interrupt(self, job_id: str) -> Reply:
        """End a job now, wherever it stands; what is painted so far is its result."""
        return self._stop(job_id, lambda services: end_task(services.queue, services.state, job_id))

    def skip(self, job_id: str) -> Reply:
        """End the present batch of a running job and go on with the next."""
        return self._stop(job_id, lambda services: skip_task(services.queue, services.state, job_id))

    def stop(self, job_id: str) -> Reply:
        """Let the present batch be finished, then end the job."""
        return self._stop(
            job_id, lambda services: stop_task_after_batch(services.queue, services.state, job_id)
        )

    def _stop(self, job_id: str, verb: Callable[[ApiServices], bool]) -> Reply:
        done = verb(self._services)
        return Reply({**self.status_of(job_id), "obeyed": done})

    async def queue_state(self) -> Reply:
        """How many jobs wait and run, and whether the queue is paused."""
        queue = self._services.queue
        return Reply({"paused": queue.paused, "waiting": len(queue.pending), "running": len(queue.running)})

    async def pause(self) -> Reply:
        """Begin no more jobs. Those that run go on."""
        self._services.queue.pause()
        return await self.queue_state()

    async def resume(self) -> Reply:
        """Begin jobs again."""
        self._services.queue.resume()
        return await self.queue_state()

    async def stop_after_image(self) -> Reply:
        """Let the running job end after its present batch: the third verb beside interrupt and skip."""
        self._services.state.stop_generating()
        return Reply({})


def _priority(value: int) -> int:
    if abs(value) > LARGEST_PRIORITY:
        raise InvalidInput(
            f"priority is {value}; expected {-LARGEST_PRIORITY} to {LARGEST_PRIORITY}.", "priority"
        )
    return value


def _kept_reply(outcome: Outcome) -> dict[str, Any]:
    if outcome.state != JobState.DONE.value:
        raise KeptError(outcome)
    notes = outcome.notes or {}
    files = outcome.files if notes.get("send_images", True) else ()
    try:
        images = [to_base64(file.read_bytes()) for file in files]
    except OSError:
        raise NotFound(f"The result of job {outcome.job_id} is not kept any more.") from None
    return {"images": images, "parameters": notes.get("parameters", {}), "info": outcome.info}


def picture_file(path: Path) -> Response:
    """A picture file as it is, with its type told by its first bytes. Raises ``NotFound``."""
    try:
        data = path.read_bytes()
    except OSError:
        raise NotFound("The file of this picture is gone.") from None
    kind = next((kind for start, kind in _SIGNATURES if data.startswith(start)), None)
    if kind is None:
        raise NotFound("The file of this picture is no picture.")
    return Response(data, media_type=kind, headers={"X-Content-Type-Options": "nosniff"})
