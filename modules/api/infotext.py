"""The ``infotext`` field: a generation text fills what the request does not set itself."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from modules.api.fields import IMG2IMG, TXT2IMG
from modules.api.services import SettingsAccess
from modules.errors import EaselError
from modules.processing.infotext_overrides import overrides_from_params

_log = logging.getLogger(__name__)

TXT2IMG_ENTRIES: Mapping[str, str] = {
    "Prompt": "prompt",
    "Negative prompt": "negative_prompt",
    "Steps": "steps",
    "Sampler": "sampler_name",
    "Schedule type": "scheduler",
    "CFG scale": "cfg_scale",
    "Seed": "seed",
    "Size-1": "width",
    "Size-2": "height",
    "Variation seed": "subseed",
    "Variation seed strength": "subseed_strength",
    "Seed resize from-1": "seed_resize_from_w",
    "Seed resize from-2": "seed_resize_from_h",
    "Denoising strength": "denoising_strength",
    "Hires upscale": "hr_scale",
    "Hires upscaler": "hr_upscaler",
    "Hires resize-1": "hr_resize_x",
    "Hires resize-2": "hr_resize_y",
    "Hires steps": "hr_second_pass_steps",
    "Hires checkpoint": "hr_checkpoint_name",
    "Hires sampler": "hr_sampler_name",
    "Hires schedule type": "hr_scheduler",
    "Hires prompt": "hr_prompt",
    "Hires negative prompt": "hr_negative_prompt",
    "Hires CFG Scale": "hr_cfg",
    "Refiner": "refiner_checkpoint",
    "Refiner switch at": "refiner_switch_at",
}
"""Entry of a generation text → field of the request.

The reference exchanges the two sides of "Seed resize from" here, so that a picture is not painted
again from its own text; that is not repeated.
"""

IMG2IMG_ENTRIES: Mapping[str, str] = {
    "Steps": "steps",
    "Sampler": "sampler_name",
    "Schedule type": "scheduler",
    "Seed": "seed",
    "Variation seed": "subseed",
    "Variation seed strength": "subseed_strength",
    "Seed resize from-1": "seed_resize_from_w",
    "Seed resize from-2": "seed_resize_from_h",
    "Refiner": "refiner_checkpoint",
    "Refiner switch at": "refiner_switch_at",
}
"""The same for img2img, where the reference takes over no more than this."""

_SAME_AS_FIRST_PASS = ("Use same checkpoint", "Use same sampler", "Use same scheduler")
_HIRES_SIGNS = ("Hires upscale", "Hires upscaler", "Hires resize-1", "Hires resize-2")
_KIND_OF_FIELD = {row.name: row.kind for row in (*TXT2IMG, *IMG2IMG)}


@dataclass(frozen=True)
class FilledRequest:
    """Fields after a generation text was applied, and the settings that the text asks for."""

    values: dict[str, Any]
    overrides: dict[str, Any]


def fill_from_infotext(
    values: Mapping[str, Any],
    given: Collection[str],
    entries: Mapping[str, Any],
    options: SettingsAccess,
    field_of: Mapping[str, str] = TXT2IMG_ENTRIES,
) -> FilledRequest:
    """Fill the fields of ``values`` that are not in ``given`` from the parsed ``entries``.

    ``field_of`` says which field an entry fills.
    Entries that belong to a setting become overrides when they differ from its present value; only
    settings that write an entry themselves can be reached so, never folders or other paths.
    """
    filled = dict(values)
    for entry, name in field_of.items():
        if entry in entries and name not in given:
            filled[name] = _converted(entries[entry], _KIND_OF_FIELD[name], values[name])
    if "enable_hr" in values and "enable_hr" not in given:
        signs = any(str(entries.get(entry) or "0") != "0" for entry in _HIRES_SIGNS)
        filled["enable_hr"] = signs and "Denoising strength" in entries
    return FilledRequest(filled, _overrides(entries, options, field_of))


def _converted(value: Any, kind: str, fallback: Any) -> Any:
    """A value of a text in the type of its field; what cannot be converted leaves the field as it is."""
    if value in _SAME_AS_FIRST_PASS:
        return None
    try:
        if kind == "integer":
            return int(value) if isinstance(value, str) and value.lstrip("-").isdigit() else int(float(value))
        return float(value) if kind == "number" else str(value)
    except (ValueError, OverflowError):
        return fallback


def _overrides(
    entries: Mapping[str, Any], options: SettingsAccess, field_of: Mapping[str, str]
) -> dict[str, Any]:
    """Settings that differ. A text is advice: what is locked or unfit is passed over, as in the page."""
    overrides: dict[str, Any] = {}
    for one in overrides_from_params(entries, options, options.view(), field_of):
        try:
            overrides[one.setting] = options.view({one.setting: one.value})[one.setting]
        except EaselError as error:
            _log.info("An entry of a generation text was passed over: %s", error)
    return overrides
