"""Endpoints of the Extras chain."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from PIL import Image

from modules.api.extras_fields import EXTRA_BATCH, EXTRA_SINGLE, UNIT_RANGE
from modules.api.fields import build_model
from modules.api.pictures import SENT_FORMATS, open_picture, to_base64
from modules.api.replies import Reply
from modules.api.services import ApiServices
from modules.errors import InvalidInput
from modules.images.formats import FORMATS
from modules.images.metadata import PARAMETERS
from modules.jobs.job import Job, create_task_id
from modules.postprocessing.extras import ExtrasRequest, ExtrasResult

if TYPE_CHECKING:
    from pydantic import BaseModel as BatchBody
    from pydantic import BaseModel as SingleBody
else:
    SingleBody = build_model("ExtrasSingleImageRequest", EXTRA_SINGLE)
    BatchBody = build_model("ExtrasBatchImagesRequest", EXTRA_BATCH)

MAX_PICTURES = 1000
"""Most pictures of one batch."""

_UNIT_RANGE = (*UNIT_RANGE, "extras_upscaler_2_visibility")
_AT_LEAST_ONE = ("upscaling_resize_w", "upscaling_resize_h")


class Extras:
    """Upscaling and face restoration of pictures that are sent. Nothing is saved, as in the reference."""

    def __init__(self, services: ApiServices) -> None:
        self._services = services
        self._threads = anyio.CapacityLimiter(4)

    async def single(self, body: SingleBody) -> Reply:
        """Upscale one picture, restore its faces."""
        values = body.model_dump()
        result, settings = await self._work(values, [(values["image"] or "", "image", None)])
        sent = await anyio.to_thread.run_sync(_encoded, result, settings, limiter=self._threads)
        return Reply({"html_info": result.html_info, "image": sent[0]})

    async def batch(self, body: BatchBody) -> Reply:
        """Upscale several pictures, restore their faces."""
        values = body.model_dump()
        result, settings = await self._work(values, _entries(values["imageList"]))
        sent = await anyio.to_thread.run_sync(_encoded, result, settings, limiter=self._threads)
        return Reply({"html_info": result.html_info, "images": sent})

    def realesrgan_models(self) -> Reply:
        """The Real-ESRGAN models that can be fetched."""
        return Reply(self._services.realesrgan_models())

    def face_restorers(self) -> Reply:
        """The face restorers."""
        return Reply(self._services.face_restorers())

    async def _work(
        self, values: Mapping[str, Any], sources: list[tuple[str, str, str | None]]
    ) -> tuple[ExtrasResult, Any]:
        job = await anyio.to_thread.run_sync(self._order, values, sources, limiter=self._threads)
        return await asyncio.wrap_future(self._services.queue.submit(job)), job.settings

    def _order(self, values: Mapping[str, Any], sources: list[tuple[str, str, str | None]]) -> Job:
        """The job of a request. Raises the error that the client is to see."""
        arguments = arguments_of(values)
        settings = self._services.options.view()
        self._services.check_extras(arguments, settings)
        limit = self._services.max_pixels
        pictures = tuple(
            (_decoded(self._services.picture_text(text, field), field, limit), name)
            for text, field, name in sources
        )
        return Job(
            id=create_task_id("extras"),
            kind="extras",
            request=ExtrasRequest(pictures, arguments),
            settings=settings,
        )


def arguments_of(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The values of the steps for the fields of a request; ``null`` is the default of a field.

    Raises ``InvalidInput`` for a field out of its range.
    """
    defaults = {row.name: row.default for row in EXTRA_SINGLE}
    fields = {name: defaults[name] if values.get(name) is None else values[name] for name in defaults}
    for name in _UNIT_RANGE:
        if not 0 <= fields[name] <= 1:
            raise InvalidInput(f"{name} is {fields[name]}; expected 0 to 1.", name)
    for name in _AT_LEAST_ONE:
        if fields[name] < 1:
            raise InvalidInput(f"{name} is {fields[name]}; expected at least 1.", name)
    if fields["resize_mode"] not in (0, 1):
        raise InvalidInput(f"resize_mode is {fields['resize_mode']}; expected 0 or 1.", "resize_mode")
    if not fields["upscaling_resize"] > 0:
        raise InvalidInput(
            f"upscaling_resize is {fields['upscaling_resize']}; expected more than 0.", "upscaling_resize"
        )
    return {
        "Upscale": {
            "upscale_enabled": True,
            "upscale_mode": fields["resize_mode"],
            "upscale_by": fields["upscaling_resize"],
            "upscale_to_width": fields["upscaling_resize_w"],
            "upscale_to_height": fields["upscaling_resize_h"],
            "upscale_crop": fields["upscaling_crop"],
            "upscaler_1_name": fields["upscaler_1"],
            "upscaler_2_name": fields["upscaler_2"],
            "upscaler_2_visibility": fields["extras_upscaler_2_visibility"],
        },
        "GFPGAN": {"enable": True, "gfpgan_visibility": fields["gfpgan_visibility"]},
        "CodeFormer": {
            "enable": True,
            "codeformer_visibility": fields["codeformer_visibility"],
            "codeformer_weight": fields["codeformer_weight"],
        },
    }


def _entries(listed: list[Any]) -> list[tuple[str, str, str | None]]:
    """(text, field for messages, name) of every entry of ``imageList``."""
    if not 1 <= len(listed) <= MAX_PICTURES:
        raise InvalidInput(f"imageList has {len(listed)} entries; expected 1 to {MAX_PICTURES}.", "imageList")
    found = []
    for number, entry in enumerate(listed):
        if not isinstance(entry, dict) or not isinstance(entry.get("data"), str):
            raise InvalidInput(f"imageList.{number} is not an object with data and name.", "imageList")
        name = entry.get("name")
        found.append((entry["data"], f"imageList.{number}", name if isinstance(name, str) else None))
    return found


def _decoded(text: str, field: str, limit: int) -> Image.Image:
    """The picture with its pixels. Raises ``InvalidInput``."""
    image = open_picture(text, field, limit)
    try:
        image.load()
    except (OSError, ValueError, SyntaxError) as error:
        raise InvalidInput(f"{field} is a damaged picture: {error}.", field) from error
    return image


def _encoded(result: ExtrasResult, settings: Any) -> list[str]:
    """The pictures as base64 files in the format of the settings, each with its texts."""
    name = str(settings.samples_format).strip().lower()
    if name not in SENT_FORMATS:
        raise InvalidInput(
            f"The setting samples_format is {name!r:.60}; pictures are sent as {', '.join(SENT_FORMATS)}."
        )
    sent = []
    for image, items in zip(result.pictures, result.items, strict=True):
        texts = {key: value for key, value in items.items() if isinstance(value, str)}
        buffer = io.BytesIO()
        FORMATS[name].encode(image, buffer, settings, texts, texts.get(PARAMETERS))
        sent.append(to_base64(buffer.getvalue()))
    return sent
