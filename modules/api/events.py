"""Server-sent events: what happens to one job, or to all (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import anyio.to_thread
from starlette.responses import StreamingResponse

from modules.api.jobs import Jobs
from modules.api.replies import Reply
from modules.api.services import ApiServices
from modules.errors import Busy
from modules.jobs.events import FINAL, STEP, Event, Subscription

HEARTBEAT = 15.0
"""Seconds of silence after which a comment is sent, so that proxies keep the connection."""

MAX_READERS = 256
PREVIEW_SECONDS = 0.5
"""Shortest time between two previews to one reader."""

_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

Previewer = Callable[[int | None], dict[str, Any]]
"""Number of the preview that is known → ``live_preview`` and ``id_live_preview`` of a newer one."""


class EventStreams:
    """One stream per reader. A reader that does not read costs its own buffer and nothing else."""

    def __init__(self, services: ApiServices, jobs: Jobs, previewer: Previewer) -> None:
        self._services = services
        self._jobs = jobs
        self._previewer = previewer
        self._viewers = anyio.CapacityLimiter(2)

    async def of_job(self, job_id: str, previews: bool = False) -> StreamingResponse:
        """Events of one job from now to its end; first how it stands. ``previews``: pictures under way."""
        status = await anyio.to_thread.run_sync(self._jobs.status_of, job_id)
        return self._response(job_id, status, previews)

    async def of_all(self, previews: bool = False) -> StreamingResponse:
        """Events of all jobs, without end."""
        return self._response(None, None, previews)

    def _response(
        self, job_id: str | None, status: dict[str, Any] | None, previews: bool
    ) -> StreamingResponse:
        if self._services.queue.events.readers >= MAX_READERS:
            raise Busy(f"{MAX_READERS} readers listen already, which is the limit; try again later.")
        stream = self._stream(job_id, status, previews)
        return StreamingResponse(stream, media_type="text/event-stream", headers=_HEADERS)

    async def _stream(
        self, job_id: str | None, status: dict[str, Any] | None, previews: bool
    ) -> AsyncIterator[bytes]:
        woken = asyncio.Event()
        hub = self._services.queue.events
        reader = hub.subscribe(_waker(asyncio.get_running_loop(), woken), job_id)
        try:
            if job_id is not None and status is not None:
                # Asked again, now that nothing can be missed in between.
                status = await anyio.to_thread.run_sync(self._jobs.status_of, job_id)
                ended = status["state"] in FINAL
                yield _frame(status["state"] if ended else "status", status)
                if ended:
                    return
            async for frame in self._frames(reader, woken, previews):
                yield frame
        finally:
            hub.unsubscribe(reader)

    async def _frames(
        self, reader: Subscription, woken: asyncio.Event, previews: bool
    ) -> AsyncIterator[bytes]:
        known: int | None = None
        shown = 0.0
        while not reader.closed:
            with anyio.move_on_after(HEARTBEAT) as silence:
                await woken.wait()
            if silence.cancelled_caught:
                yield b": still here\n\n"
                continue
            woken.clear()
            for event in reader.drain():
                yield _frame(event.kind, _data(event, reader), event.number)
                if reader.job is not None and event.kind in FINAL:
                    return
                now = asyncio.get_running_loop().time()
                if previews and event.kind == STEP and now - shown >= PREVIEW_SECONDS:
                    shown = now
                    newer = await anyio.to_thread.run_sync(self._previewer, known, limiter=self._viewers)
                    if newer:
                        known = newer["id_live_preview"]
                        yield _frame("preview", {"job": event.job, **newer})


def _waker(loop: asyncio.AbstractEventLoop, woken: asyncio.Event) -> Callable[[], None]:
    def wake() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(woken.set)

    return wake


def _data(event: Event, reader: Subscription) -> dict[str, Any]:
    data: dict[str, Any] = {"job": event.job, "time": event.time, **event.data}
    if reader.lost:
        data["lost"] = reader.lost
    return data


def _frame(kind: str, data: dict[str, Any], number: int | None = None) -> bytes:
    # Rendered JSON has no line ends, which would end the field.
    text = bytes(Reply(data).body).decode("utf-8")
    head = "" if number is None else f"id: {number}\n"
    return f"{head}event: {kind}\ndata: {text}\n\n".encode()
