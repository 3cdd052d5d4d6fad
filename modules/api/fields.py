"""Request and reply fields as tables, and the one function that makes models of them.

A new field is one row. Names, types and defaults are those of the reference's interface (1.10.1).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model


class _Required:
    """Marks a field that has no default."""

    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED = _Required()


def _truncate(value: Any) -> Any:
    """Whole part of a finite float: clients compute sizes and send 819.2 for 819."""
    return int(value) if isinstance(value, float) and math.isfinite(value) else value


KINDS: dict[str, Any] = {
    "string": str,
    "integer": Annotated[int, BeforeValidator(_truncate)],
    "number": float,
    "boolean": bool,
    "array": list[Any],
    "array of string": list[str],
    "array of object": list[dict[str, Any]],
    "object": dict[str, Any],
    "object of string": dict[str, str],
}
"""Name of a type in the contract → type. Numeric texts are converted."""


@dataclass(frozen=True)
class FieldRow:
    """One field: its name, a key of ``KINDS``, its default, and what a reader of the docs should know."""

    name: str
    kind: str
    default: Any = REQUIRED
    note: str = ""


class Body(BaseModel):
    """Base of all models: unknown fields are ignored, NaN and infinity refused, numbers serve as text."""

    model_config = ConfigDict(
        extra="ignore", coerce_numbers_to_str=True, allow_inf_nan=False, protected_namespaces=()
    )


def build_model(name: str, rows: Iterable[FieldRow]) -> Any:
    """A pydantic model with the fields of ``rows``; ``null`` is legal for every field with a default."""
    fields: dict[str, Any] = {}
    for row in rows:
        kind = KINDS[row.kind]
        note = row.note or None
        if row.default is REQUIRED:
            fields[row.name] = (kind, Field(description=note))
        else:
            # pydantic copies a list or object that stands as default for every instance.
            fields[row.name] = (kind | None, Field(default=row.default, description=note))
    return create_model(name, __base__=Body, **fields)


GENERATION: tuple[FieldRow, ...] = (
    FieldRow("prompt", "string", ""),
    FieldRow("negative_prompt", "string", ""),
    FieldRow("styles", "array of string", None, "Names of stored styles."),
    FieldRow("seed", "integer", -1, "-1 picks a random one."),
    FieldRow("subseed", "integer", -1, "Seed of the variation; -1 picks a random one."),
    FieldRow("subseed_strength", "number", 0, "0 to 1: from the seed's noise to the variation's."),
    FieldRow("seed_resize_from_h", "integer", -1),
    FieldRow("seed_resize_from_w", "integer", -1),
    FieldRow("sampler_name", "string", None, "Goes before sampler_index."),
    FieldRow("scheduler", "string", None, "Name or label; null is Automatic."),
    FieldRow("batch_size", "integer", 1, "Pictures painted at once."),
    FieldRow("n_iter", "integer", 1, "Batches painted one after the other."),
    FieldRow("steps", "integer", 50),
    FieldRow("cfg_scale", "number", 7.0),
    FieldRow("width", "integer", 512, "Pixels."),
    FieldRow("height", "integer", 512, "Pixels."),
    FieldRow("restore_faces", "boolean", None, "null takes the setting face_restoration."),
    FieldRow("tiling", "boolean", None, "null takes the setting of the same name."),
    FieldRow("do_not_save_samples", "boolean", False, "Ignored, see save_images."),
    FieldRow("do_not_save_grid", "boolean", False, "Ignored, see save_images."),
    FieldRow("eta", "number", None, "null takes the setting for the kind of sampler."),
    FieldRow("denoising_strength", "number", None, "Needed with enable_hr."),
    FieldRow("s_min_uncond", "number", None, "null takes the setting."),
    FieldRow("s_churn", "number", None, "null takes the setting."),
    FieldRow("s_tmax", "number", None, "null takes the setting; 0 is no limit."),
    FieldRow("s_tmin", "number", None, "null takes the setting."),
    FieldRow("s_noise", "number", None, "null takes the setting."),
    FieldRow("override_settings", "object", None, "Settings for this request, by name."),
    FieldRow("override_settings_restore_afterwards", "boolean", True, "false keeps override_settings."),
    FieldRow("refiner_checkpoint", "string", None),
    FieldRow("refiner_switch_at", "number", None, "Part of the steps, 0 to 1."),
    FieldRow("disable_extra_networks", "boolean", False),
    FieldRow("firstpass_image", "string", None, "Base64; enlarged in place of a first pass, with enable_hr."),
    FieldRow("comments", "object", None, "Accepted and ignored."),
)
"""Fields of every request for pictures."""

HIRES: tuple[FieldRow, ...] = (
    FieldRow("enable_hr", "boolean", False),
    FieldRow("firstphase_width", "integer", 0, "Old form: size of the first pass."),
    FieldRow("firstphase_height", "integer", 0, "Old form: size of the first pass."),
    FieldRow("hr_scale", "number", 2.0),
    FieldRow("hr_upscaler", "string", None, "A latent upscale mode or an upscaler."),
    FieldRow("hr_second_pass_steps", "integer", 0, "0 is as many as steps."),
    FieldRow("hr_resize_x", "integer", 0, "0 in both: use hr_scale."),
    FieldRow("hr_resize_y", "integer", 0),
    FieldRow("hr_checkpoint_name", "string", None),
    FieldRow("hr_sampler_name", "string", None),
    FieldRow("hr_scheduler", "string", None),
    FieldRow("hr_prompt", "string", "", "Empty is the prompt."),
    FieldRow("hr_negative_prompt", "string", "", "Empty is the negative prompt."),
)
"""Fields of the second pass of txt2img."""

WIRE: tuple[FieldRow, ...] = (
    FieldRow("force_task_id", "string", None, "Id for /internal/progress."),
    FieldRow("sampler_index", "string", "Euler", "Name of a sampler, used when sampler_name is empty."),
    FieldRow("script_name", "string", None),
    FieldRow("script_args", "array", []),
    FieldRow("send_images", "boolean", True, "false leaves the list of images empty."),
    FieldRow("save_images", "boolean", False, "true saves to the output folders too."),
    FieldRow("alwayson_scripts", "object", {}),
    FieldRow("infotext", "string", None, "Fills every field that is not set here."),
)
"""Fields that concern the request rather than the picture."""

OWN: tuple[FieldRow, ...] = (
    FieldRow("hr_cfg", "number", None, "CFG scale of the second pass; null is cfg_scale."),
)
"""Fields of txt2img that the reference lacks; they come last."""

TXT2IMG = GENERATION + HIRES + WIRE + OWN

_FROM_PICTURES = {"denoising_strength": FieldRow("denoising_strength", "number", 0.75, "0 keeps, 1 forgets.")}

PICTURES_IN: tuple[FieldRow, ...] = (
    FieldRow("init_images", "array", None, "base64 or data URL each; one, or as many as batch_size."),
    FieldRow("resize_mode", "integer", 0, "0 stretch, 1 crop, 2 fill the edges, 3 resize the latent."),
    FieldRow("image_cfg_scale", "number", None, "For edit models: how closely to keep to the picture."),
    FieldRow("mask", "string", None, "base64 or data URL; white or opaque is painted."),
    FieldRow("mask_blur_x", "integer", 4, "Pixels."),
    FieldRow("mask_blur_y", "integer", 4, "Pixels."),
    FieldRow("mask_blur", "integer", None, "Sets both directions."),
    FieldRow("mask_round", "boolean", True, "The mask is 0 or 1 for the latent."),
    FieldRow("inpainting_fill", "integer", 0, "0 fill, 1 original, 2 latent noise, 3 latent nothing."),
    FieldRow("inpaint_full_res", "boolean", True, "Paint the surroundings of the mask alone."),
    FieldRow("inpaint_full_res_padding", "integer", 0, "Pixels around the mask."),
    FieldRow("inpainting_mask_invert", "integer", 0, "1 paints what is not masked."),
    FieldRow("initial_noise_multiplier", "number", None, "null takes the setting."),
    FieldRow("latent_mask", "string", None, "Accepted and ignored."),
)
"""Fields of img2img and inpainting."""

_ECHO = FieldRow("include_init_images", "boolean", False, "true repeats pictures and mask in the reply.")

IMG2IMG = (
    *(_FROM_PICTURES.get(row.name, row) for row in GENERATION),
    *PICTURES_IN,
    *WIRE[:2],
    _ECHO,
    *WIRE[2:],
)

PICTURES_REPLY: tuple[FieldRow, ...] = (
    FieldRow("images", "array of string", REQUIRED, "base64 without a data: prefix."),
    FieldRow("parameters", "object", REQUIRED, "The fields of the request."),
    FieldRow("info", "string", REQUIRED, "A JSON object as text."),
)

PNG_INFO: tuple[FieldRow, ...] = (FieldRow("image", "string", REQUIRED, "base64 or data URL."),)
PNG_INFO_REPLY: tuple[FieldRow, ...] = (
    FieldRow("info", "string"),
    FieldRow("items", "object"),
    FieldRow("parameters", "object"),
)

INTERROGATE: tuple[FieldRow, ...] = (
    FieldRow("image", "string", "", "base64 or data URL."),
    FieldRow("model", "string", "clip", "clip or deepdanbooru."),
)
INTERROGATE_REPLY: tuple[FieldRow, ...] = (FieldRow("caption", "string"),)

PROGRESS_REPLY: tuple[FieldRow, ...] = (
    FieldRow("progress", "number", REQUIRED, "0 to 1."),
    FieldRow("eta_relative", "number", REQUIRED, "Seconds."),
    FieldRow("state", "object"),
    FieldRow("current_image", "string", None, "base64."),
    FieldRow("textinfo", "string", None),
)

TASK_PROGRESS: tuple[FieldRow, ...] = (
    FieldRow("id_task", "string", None),
    FieldRow("id_live_preview", "integer", -1, "Id of the preview that the client has."),
    FieldRow("live_preview", "boolean", True),
)
TASK_PROGRESS_REPLY: tuple[FieldRow, ...] = (
    FieldRow("active", "boolean"),
    FieldRow("queued", "boolean"),
    FieldRow("completed", "boolean"),
    FieldRow("progress", "number", None),
    FieldRow("eta", "number", None),
    FieldRow("live_preview", "string", None, "Data URL."),
    FieldRow("id_live_preview", "integer", None),
    FieldRow("textinfo", "string", None),
)
PENDING_TASKS_REPLY: tuple[FieldRow, ...] = (
    FieldRow("size", "integer"),
    FieldRow("tasks", "array of string"),
)

SAMPLER_ITEM: tuple[FieldRow, ...] = (
    FieldRow("name", "string"),
    FieldRow("aliases", "array of string"),
    FieldRow("options", "object of string"),
)
SCHEDULER_ITEM: tuple[FieldRow, ...] = (
    FieldRow("name", "string"),
    FieldRow("label", "string"),
    FieldRow("aliases", "array of string", None),
    FieldRow("default_rho", "number", None),
    FieldRow("need_inner_model", "boolean", None),
)
UPSCALER_ITEM: tuple[FieldRow, ...] = (
    FieldRow("name", "string"),
    FieldRow("model_name", "string", None),
    FieldRow("model_path", "string", None),
    FieldRow("model_url", "string", None),
    FieldRow("scale", "number", None),
)
LATENT_MODE_ITEM: tuple[FieldRow, ...] = (FieldRow("name", "string"),)
CHECKPOINT_ITEM: tuple[FieldRow, ...] = (
    FieldRow("title", "string"),
    FieldRow("model_name", "string"),
    FieldRow("hash", "string", None),
    FieldRow("sha256", "string", None),
    FieldRow("filename", "string"),
    FieldRow("config", "string", None),
)
VAE_ITEM: tuple[FieldRow, ...] = (FieldRow("model_name", "string"), FieldRow("filename", "string"))
STYLE_ITEM: tuple[FieldRow, ...] = (
    FieldRow("name", "string"),
    FieldRow("prompt", "string", None),
    FieldRow("negative_prompt", "string", None),
)
HYPERNETWORK_ITEM: tuple[FieldRow, ...] = (FieldRow("name", "string"), FieldRow("path", "string", None))
LORA_ITEM: tuple[FieldRow, ...] = (
    FieldRow("name", "string"),
    FieldRow("alias", "string"),
    FieldRow("path", "string"),
    FieldRow("metadata", "object"),
)
EMBEDDINGS_REPLY: tuple[FieldRow, ...] = (FieldRow("loaded", "object"), FieldRow("skipped", "object"))
EXTENSION_ITEM: tuple[FieldRow, ...] = (
    FieldRow("name", "string"),
    FieldRow("remote", "string"),
    FieldRow("branch", "string"),
    FieldRow("commit_hash", "string"),
    FieldRow("version", "string"),
    FieldRow("commit_date", "string", REQUIRED, "Seconds since 1970, as text."),
    FieldRow("enabled", "boolean"),
)
MEMORY_REPLY: tuple[FieldRow, ...] = (FieldRow("ram", "object"), FieldRow("cuda", "object"))
SCRIPTS_REPLY: tuple[FieldRow, ...] = (
    FieldRow("txt2img", "array of string"),
    FieldRow("img2img", "array of string"),
)
SCRIPT_ITEM: tuple[FieldRow, ...] = (
    FieldRow("name", "string"),
    FieldRow("is_alwayson", "boolean"),
    FieldRow("is_img2img", "boolean"),
    FieldRow("args", "array"),
)
HINT_ITEM: tuple[FieldRow, ...] = (FieldRow("name", "string"), FieldRow("label", "string"))
STARTUP_REPLY: tuple[FieldRow, ...] = (FieldRow("total", "number"), FieldRow("records", "object"))
ERROR_REPLY: tuple[FieldRow, ...] = (
    FieldRow("error", "string", REQUIRED, "Kind of the error."),
    FieldRow("detail", "string", REQUIRED, "What was wrong and what helps."),
    FieldRow("body", "string", REQUIRED),
    FieldRow("errors", "string", REQUIRED, "The error as text."),
)
