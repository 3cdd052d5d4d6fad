"""From the body of a request to a job, and from the painted pictures to the reply. Both may block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from modules.api.fields import TXT2IMG, build_model
from modules.api.infotext import fill_from_infotext
from modules.api.pictures import to_base64
from modules.api.services import ApiServices
from modules.errors import EaselError, Forbidden, InvalidInput
from modules.jobs.job import Job, create_task_id
from modules.processing.request import Txt2ImgRequest

if TYPE_CHECKING:
    from pydantic import BaseModel as Txt2ImgBody
else:
    Txt2ImgBody = build_model("StableDiffusionProcessingTxt2Img", TXT2IMG)

TASK_ID_LENGTH = 200
"""Longest task id that a client may choose."""


class ScriptNotFound(EaselError):
    """A script that the request names is not installed."""

    status = 422


@dataclass(frozen=True)
class Order:
    """A request on its way: the job to queue, and what the reply needs to know besides its result."""

    job: Job
    parameters: Mapping[str, Any]
    send_images: bool


def take_order(body: Txt2ImgBody, services: ApiServices) -> Order:
    """Make a job of a request; raises the error that the client is to see when it cannot be done."""
    values = body.model_dump()
    _refuse_scripts(values)
    overrides = dict(values["override_settings"] or {})
    _refuse_restricted(overrides, services)
    if values["infotext"]:
        entries = services.parse_infotext(values["infotext"], services.options.view())
        filled = fill_from_infotext(values, body.model_fields_set, entries, services.options)
        values = filled.values
        overrides = {**filled.overrides, **overrides}
    settings = services.options.view(overrides)
    request = make_request(values)
    services.check(request, settings)
    if values["override_settings_restore_afterwards"] is False:
        _keep(overrides, services)
    job = Job(id=_task_id(values), kind="txt2img", request=request, settings=settings, overrides=overrides)
    return Order(job, values, values["send_images"] is not False)


def make_request(values: Mapping[str, Any]) -> Txt2ImgRequest:
    """The request object of the painter. ``null`` stands for the default of a field."""
    names = [row.name for row in fields(Txt2ImgRequest)]
    chosen: dict[str, Any] = {name: values[name] for name in names if values.get(name) is not None}
    chosen["sampler_name"] = values["sampler_name"] or values["sampler_index"]
    chosen["do_not_save_samples"] = chosen["do_not_save_grid"] = not values["save_images"]
    return Txt2ImgRequest(**chosen)


def picture_reply(order: Order, result: Any, services: ApiServices) -> dict[str, Any]:
    """The reply for the painted ``result``, with each picture as a file that carries its infotext."""
    images = []
    if order.send_images:
        texts = list(result.infotexts)
        texts += [None] * (len(result.images) - len(texts))
        for image, text in zip(result.images, texts, strict=False):
            images.append(to_base64(services.encode_image(image, text, order.job.settings)))
    return {"images": images, "parameters": order.parameters, "info": result.js()}


def _refuse_scripts(values: Mapping[str, Any]) -> None:
    names = [name for name in (values["script_name"],) if name and name.lower() != "none"]
    names += list(values["alwayson_scripts"] or {})
    if names:
        raise ScriptNotFound(
            f"Script {names[0]!r:.100} not found; /sdapi/v1/scripts lists those that are there."
        )


def _refuse_restricted(overrides: Mapping[str, Any], services: ApiServices) -> None:
    for key in overrides:
        info = services.options.data_labels.get(key)
        if info is not None and info.restrict_api:
            raise Forbidden(f"The setting {key!r} cannot be changed through the API.")


def _keep(overrides: Mapping[str, Any], services: ApiServices) -> None:
    """Leave the overrides in force, without a model being loaded beside the job that runs now."""
    for key, value in overrides.items():
        services.options.set(key, value, is_api=True, run_callbacks=False)


def _task_id(values: Mapping[str, Any]) -> str:
    chosen = values["force_task_id"]
    if not chosen:
        return create_task_id("txt2img")
    if len(chosen) > TASK_ID_LENGTH:
        raise InvalidInput(
            f"force_task_id has {len(chosen)} characters; expected at most {TASK_ID_LENGTH}.", "force_task_id"
        )
    return str(chosen)
