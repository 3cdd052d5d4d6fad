"""POST /sdapi/v1/interrogate: what is in a picture, by the model that the program has for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from modules.api.fields import INTERROGATE, build_model
from modules.api.pictures import load_picture
from modules.api.replies import Reply
from modules.api.services import ApiServices
from modules.errors import EaselError, NotFound

if TYPE_CHECKING:
    from pydantic import BaseModel as InterrogateBody
else:
    InterrogateBody = build_model("InterrogateRequest", INTERROGATE)


class NoInterrogator(EaselError):
    """The model that describes pictures is not there."""

    status = 501


class Interrogation:
    """Describing pictures, in turn with the painting of others."""

    def __init__(self, services: ApiServices) -> None:
        self._services = services

    async def interrogate(self, body: InterrogateBody) -> Reply:
        """Describe a picture. 404 for an unknown model, 501 when the model is known but not there."""
        values = body.model_dump()
        image = await anyio.to_thread.run_sync(self._picture, values)
        describe = self._services.interrogators.get(values["model"])
        if describe is None:
            raise NoInterrogator(
                f"The model {values['model']!r} for describing pictures is not part of this version of Easel."
            )
        caption = await asyncio.wrap_future(self._services.queue.call(lambda: describe(image), "interrogate"))
        return Reply({"caption": caption})

    def _picture(self, values: dict[str, Any]) -> Any:
        if not values["image"]:
            raise NotFound("Image not found: the field image is missing.")
        services = self._services
        text = services.picture_text(values["image"], "image")
        image = load_picture(text, "image", services.max_pixels).convert("RGB")
        if values["model"] not in ("clip", "deepdanbooru"):
            raise NotFound(f"Model not found: {values['model']!r:.60}; expected clip or deepdanbooru.")
        return image
