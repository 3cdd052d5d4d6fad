"""POST /sdapi/v1/img2img: pictures and mask are decoded at the door, before the request waits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from modules.api.fields import IMG2IMG, build_model
from modules.api.infotext import IMG2IMG_ENTRIES
from modules.api.pictures import load_picture
from modules.api.services import ApiServices
from modules.api.txt2img import Form, request_fields
from modules.errors import InvalidInput, NotFound
from modules.processing.request import Img2ImgRequest
from modules.processing.validation import check_picture_count

if TYPE_CHECKING:
    from PIL.Image import Image
    from pydantic import BaseModel as Img2ImgBody
else:
    Img2ImgBody = build_model("StableDiffusionProcessingImg2Img", IMG2IMG)


def make_request(
    values: Mapping[str, Any], services: ApiServices, from_text: Mapping[str, Any]
) -> Img2ImgRequest:
    """The request object of the painter, its pictures decoded.

    The pictures of a request together may have as many pixels as one alone. As in the reference,
    ``override_settings`` do not reach the noise multiplier; its own field and a generation text do.
    """
    if values["init_images"] is None:
        raise NotFound("Init image not found: the field init_images is missing.")
    chosen = request_fields(values, Img2ImgRequest)
    check_picture_count(len(values["init_images"]), chosen.get("batch_size", 1))
    room = services.max_pixels
    images: list[Image] = []
    for item in values["init_images"]:
        if not isinstance(item, str):
            raise InvalidInput("init_images holds something else than base64 texts.", "init_images")
        images.append(load_picture(services.picture_text(item, "init_images"), "init_images", room))
        room -= images[-1].width * images[-1].height
    chosen["init_images"] = images
    chosen["mask"] = chosen["latent_mask"] = None
    if values["mask"]:
        text = services.picture_text(values["mask"], "mask")
        chosen["mask"] = load_picture(text, "mask", services.max_pixels)
    if values["initial_noise_multiplier"] is None:
        settings = services.options.view(from_text)
        chosen["initial_noise_multiplier"] = settings["initial_noise_multiplier"]
    return Img2ImgRequest(**chosen)


def without_pictures(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields as the reply repeats them: without the pictures unless the client wants them."""
    if values["include_init_images"]:
        return values
    return {**values, "init_images": None, "mask": None}


IMG2IMG_FORM = Form("img2img", make_request, IMG2IMG_ENTRIES, without_pictures)
