"""Endpoints that paint and that watch and stop painting. None of them holds a thread while it waits."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from fastapi import Request

from modules.api.fields import PROGRESS_REPLY, TASK_PROGRESS, build_model
from modules.api.img2img import IMG2IMG_FORM, Img2ImgBody
from modules.api.orders import attached
from modules.api.pictures import EncodedOnce, preview_url, to_base64
from modules.api.replies import Reply
from modules.api.services import ApiServices
from modules.api.txt2img import TXT2IMG_FORM, Form, Txt2ImgBody, picture_reply, take_order
from modules.jobs.progress import progress_of, task_progress

if TYPE_CHECKING:
    from PIL.Image import Image

    class TaskProgressBody:
        """What a page asks about a task."""

        id_task: str | None
        id_live_preview: int | None
        live_preview: bool | None
else:
    TaskProgressBody = build_model("TaskProgressRequest", TASK_PROGRESS)

ProgressReply = build_model("ProgressResponse", PROGRESS_REPLY)

PREVIEW_WAIT = 0.5
"""Longest time in seconds that a question for progress waits for a preview to be decoded."""


class Generation:
    """Painting, progress and the stop verbs.

    Reading orders, encoding pictures and making previews have threads of their own, a few each, so
    that however many requests wait, progress and interrupt are answered at once.
    """

    def __init__(self, services: ApiServices) -> None:
        self._services = services
        self._readers = anyio.CapacityLimiter(4)
        self._encoders = anyio.CapacityLimiter(4)
        self._viewers = anyio.CapacityLimiter(2)
        self._encoded = EncodedOnce()

    async def txt2img(self, body: Txt2ImgBody, request: Request) -> Reply:
        """Paint pictures from text. Answers when they are done; requests are served in turn."""
        return await self._paint(body, TXT2IMG_FORM, request)

    async def img2img(self, body: Img2ImgBody, request: Request) -> Reply:
        """Paint pictures from pictures, whole or under a mask. Otherwise as txt2img."""
        return await self._paint(body, IMG2IMG_FORM, request)

    async def _paint(self, body: Any, form: Form, request: Request) -> Reply:
        services = self._services
        order = await anyio.to_thread.run_sync(take_order, body, services, form, limiter=self._readers)
        order = attached(order, request)
        result = await asyncio.wrap_future(services.queue.submit(order.job))
        content = await anyio.to_thread.run_sync(
            picture_reply, order, result, services, limiter=self._encoders
        )
        return Reply(content)

    async def progress(self, skip_current_image: bool = False) -> Reply:
        """How far the running job is. All zero when none runs."""
        state = self._services.state
        progress = progress_of(state, time.time())
        image = None
        if state.job and not skip_current_image:
            image = await anyio.to_thread.run_sync(self._current_image, limiter=self._viewers)
        return Reply(
            {
                "progress": progress.fraction,
                "eta_relative": progress.eta,
                "state": state.dict(),
                "current_image": image,
                "textinfo": state.textinfo,
            }
        )

    async def interrupt(self) -> Reply:
        """End the running job now; what is painted so far comes back."""
        self._services.state.interrupt()
        return Reply({})

    async def skip(self) -> Reply:
        """End the running batch now and go on with the next."""
        self._services.state.skip()
        return Reply(None)

    async def task_progress(self, body: TaskProgressBody) -> Reply:
        """How far one task is, with a preview when there is a newer one than ``id_live_preview``."""
        services = self._services
        answer: dict[str, Any] = task_progress(
            services.queue, services.state, body.id_task, time.time()
        ).as_dict()
        answer.update(live_preview=None, id_live_preview=-1)
        if answer["active"]:
            answer["id_live_preview"] = body.id_live_preview
            if body.live_preview is not False:
                answer.update(
                    await anyio.to_thread.run_sync(
                        self.newer_preview, body.id_live_preview, limiter=self._viewers
                    )
                )
        return Reply(answer)

    async def pending_tasks(self) -> Reply:
        """Ids of the tasks that wait."""
        pending = self._services.queue.pending
        return Reply({"size": len(pending), "tasks": pending})

    async def ping(self) -> Reply:
        """Whether the server is there."""
        return Reply({})

    def _preview(self) -> Image | None:
        self._services.state.preview.refresh(wait=PREVIEW_WAIT)
        return self._services.state.current_image

    def _current_image(self) -> str | None:
        image = self._preview()
        if image is None:
            return None
        settings = self._services.options.view()
        return self._encoded.get(
            image,
            f"file {settings['samples_format']}",
            lambda picture: to_base64(self._services.encode_image(picture, None, settings)),
        )

    def newer_preview(self, known: int | None) -> dict[str, Any]:
        """``live_preview`` and ``id_live_preview`` of a newer preview than ``known``; empty without one."""
        image = self._preview()
        number = self._services.state.id_live_preview
        if image is None or number == known:
            return {}
        form = str(self._services.options.view()["live_previews_image_format"])
        url = self._encoded.get(image, f"url {form}", lambda picture: preview_url(picture, form))
        return {"live_preview": url, "id_live_preview": number}
