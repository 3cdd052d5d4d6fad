"""From the body of a request to a job, and from the painted pictures to the reply. Both may block."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from modules.api.fields import TXT2IMG, build_model
from modules.api.infotext import TXT2IMG_ENTRIES, fill_from_infotext
from modules.api.pictures import load_picture, to_base64
from modules.api.services import ApiServices
from modules.errors import Forbidden, InvalidInput
from modules.jobs.job import Job, create_task_id
from modules.processing.request import GenerationRequest, Txt2ImgRequest

if TYPE_CHECKING:
    from PIL.Image import Image
    from pydantic import BaseModel as Txt2ImgBody
else:
    Txt2ImgBody = build_model("StableDiffusionProcessingTxt2Img", TXT2IMG)

TASK_ID_LENGTH = 200
"""Longest task id that a client may choose."""


@dataclass(frozen=True)
class Order:
    """A request on its way: the job to queue, and what the reply needs to know besides its result."""

    job: Job
    parameters: Mapping[str, Any]
    send_images: bool


def _as_sent(values: Mapping[str, Any]) -> Mapping[str, Any]:
    return values


@dataclass(frozen=True)
class Form:
    """One kind of request for pictures.

    ``make_request(values, services, from_text)`` makes the painter's request; ``from_text`` are settings that
    a generation text asks for. ``infotext_fields``: entry of such a text → field. ``echo``: the fields as
    the reply repeats them.
    """

    kind: str
    make_request: Callable[[Mapping[str, Any], ApiServices, Mapping[str, Any]], GenerationRequest]
    infotext_fields: Mapping[str, str]
    echo: Callable[[Mapping[str, Any]], Mapping[str, Any]] = _as_sent


def take_order(body: Any, services: ApiServices, form: Form) -> Order:
    """Make a job of a request; raises the error that the client is to see when it cannot be done."""
    values = body.model_dump()
    services.check_scripts(form.kind, values)
    overrides = dict(values["override_settings"] or {})
    from_text: dict[str, Any] = {}
    _refuse_restricted(overrides, services)
    if values["infotext"]:
        entries = services.parse_infotext(values["infotext"], services.options.view())
        filled = fill_from_infotext(
            values, body.model_fields_set, entries, services.options, form.infotext_fields
        )
        values, from_text = filled.values, filled.overrides
        overrides = {**from_text, **overrides}
    settings = services.options.view(overrides)
    request = form.make_request(values, services, from_text)
    services.check(request, settings)
    if values["override_settings_restore_afterwards"] is False:
        _keep(overrides, services)
    job = Job(
        id=_task_id(values, form.kind),
        kind=form.kind,
        request=request,
        settings=settings,
        overrides=overrides,
    )
    return Order(job, form.echo(values), values["send_images"] is not False)


def request_fields(values: Mapping[str, Any], request_class: type[GenerationRequest]) -> dict[str, Any]:
    """Arguments of the painter's request object. ``null`` stands for the default of a field."""
    names = [row.name for row in fields(request_class)]
    chosen: dict[str, Any] = {name: values[name] for name in names if values.get(name) is not None}
    chosen["sampler_name"] = values["sampler_name"] or values["sampler_index"]
    chosen["do_not_save_samples"] = chosen["do_not_save_grid"] = not values["save_images"]
    return chosen


def make_request(
    values: Mapping[str, Any], services: ApiServices, _from_text: Mapping[str, Any]
) -> Txt2ImgRequest:
    """The request object of the painter."""
    chosen = request_fields(values, Txt2ImgRequest)
    chosen["firstpass_image"] = _first_pass_image(values, services)
    return Txt2ImgRequest(**chosen)


def _first_pass_image(values: Mapping[str, Any], services: ApiServices) -> Image | None:
    """The picture that is enlarged in place of a first pass; without a second pass it means nothing."""
    text = values["firstpass_image"]
    if not text or not values["enable_hr"]:
        return None
    source = services.picture_text(text, "firstpass_image")
    return load_picture(source, "firstpass_image", services.max_pixels).convert("RGB")


TXT2IMG_FORM = Form("txt2img", make_request, TXT2IMG_ENTRIES)


def picture_reply(order: Order, result: Any, services: ApiServices) -> dict[str, Any]:
    """The reply for the painted ``result``, with each picture as a file that carries its infotext."""
    images = []
    if order.send_images:
        texts = list(result.infotexts)
        texts += [None] * (len(result.images) - len(texts))
        for image, text in zip(result.images, texts, strict=False):
            images.append(to_base64(services.encode_image(image, text, order.job.settings)))
    return {"images": images, "parameters": order.parameters, "info": result.js()}


def _refuse_restricted(overrides: Mapping[str, Any], services: ApiServices) -> None:
    for key in overrides:
        info = services.options.data_labels.get(key)
        if info is not None and info.restrict_api:
            raise Forbidden(f"The setting {key!r} cannot be changed through the API.")


def _keep(overrides: Mapping[str, Any], services: ApiServices) -> None:
    """Leave the overrides in force, without a model being loaded beside the job that runs now."""
    for key, value in overrides.items():
        services.options.set(key, value, is_api=True, run_callbacks=False)


def _task_id(values: Mapping[str, Any], kind: str) -> str:
    chosen = values["force_task_id"]
    if not chosen:
        return create_task_id(kind)
    if len(chosen) > TASK_ID_LENGTH:
        raise InvalidInput(
            f"force_task_id has {len(chosen)} characters; expected at most {TASK_ID_LENGTH}.", "force_task_id"
        )
    return str(chosen)
