"""The text of a picture: prompt, negative prompt, and one line of parameters.

    a red kite
    Negative prompt: blurry
    Steps: 20, Sampler: Euler a, Schedule type: Automatic, CFG scale: 7, Seed: 7, Size: 512x640, ...

Other programs read it, so names, order and spelling of the entries are fixed.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modules.processing.version import COMPATIBLE_VERSION

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class InfotextFields:
    """What is known about one picture. Numbers are written as they are held (7 or 7.0).

    ``model_name`` is the file name of the checkpoint without extension, ``vae_name`` that of a
    separate VAE with extension (None when there is none). ``face_restoration`` is the name of the
    restorer when faces were restored. ``image_cfg_scale`` is for edit models in img2img only,
    ``conditional_mask_weight`` for inpainting conditioning only. ``uses_ensd``: the sampler adds
    noise in its steps, so the setting matters. ``fp8`` is the value of the setting when it is active.
    ``extras`` are further entries in the order in which they came up: a value, a list indexed by
    picture of the job, or a function that is called with keywords and returns the value.
    """

    prompt: str
    steps: int
    sampler: str
    scheduler: str | None
    cfg_scale: float
    seed: int
    width: int
    height: int
    negative_prompt: str = ""
    image_cfg_scale: float | None = None
    face_restoration: str | None = None
    model_hash: str | None = None
    model_name: str | None = None
    fp8: str | None = None
    cache_fp16_weight: bool = False
    vae_hash: str | None = None
    vae_name: str | None = None
    subseed: int | None = None
    subseed_strength: float = 0
    seed_resize_from_w: int = 0
    seed_resize_from_h: int = 0
    denoising_strength: float | None = None
    conditional_mask_weight: float | None = None
    clip_skip: int = 1
    uses_ensd: bool = False
    token_merging_ratio: float = 0
    token_merging_ratio_hr: float | None = None
    init_image_hash: str | None = None
    tiling: bool = False
    user: str | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)


def create_infotext(
    fields: InfotextFields,
    settings: Any,
    index: int = 0,
    context: Mapping[str, Any] | None = None,
    version: str | None = COMPATIBLE_VERSION,
) -> str:
    """The text of picture number ``index`` of a job.

    ``settings`` is a SettingsView. ``context`` holds further keywords for entries that are
    functions (``p``, ``all_prompts``, ``all_seeds``, ...).
    """
    entries = {**base_entries(fields, settings), **fields.extras}
    entries = {key: _resolved(key, value, fields, index, context) for key, value in entries.items()}
    entries.update(_tail(fields, settings, version))
    line = ", ".join(_entry(key, value) for key, value in entries.items() if value is not None)
    negative = f"\nNegative prompt: {fields.negative_prompt}" if fields.negative_prompt else ""
    return f"{fields.prompt}{negative}\n{line}".strip()


def quote(text: Any) -> Any:
    """``text`` as a value of the line: a JSON string if it holds a comma, colon or newline, else as it is."""
    plain = str(text)
    if not any(character in plain for character in ",:\n"):
        return text
    return json.dumps(plain, ensure_ascii=False)


def unquote(text: str) -> str:
    """The reverse of ``quote``. Text that is no JSON string is returned as it is."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    try:
        return str(json.loads(text))
    except ValueError:
        return text


def base_entries(fields: InfotextFields, settings: Any) -> dict[str, Any]:
    """The entries every program knows, in their order; None marks those that are left out."""
    f, s = fields, settings
    seed_resize = f.seed_resize_from_w > 0 and f.seed_resize_from_h > 0
    return {
        "Steps": f.steps,
        "Sampler": f.sampler,
        "Schedule type": f.scheduler,
        "CFG scale": f.cfg_scale,
        "Image CFG scale": f.image_cfg_scale,
        "Seed": f.seed,
        "Face restoration": f.face_restoration,
        "Size": f"{f.width}x{f.height}",
        "Model hash": f.model_hash if s.add_model_hash_to_info else None,
        "Model": f.model_name if s.add_model_name_to_info else None,
        "FP8 weight": f.fp8,
        "Cache FP16 weight for LoRA": f.cache_fp16_weight if f.fp8 else None,
        "VAE hash": f.vae_hash if s.add_vae_hash_to_info else None,
        "VAE": f.vae_name if s.add_vae_name_to_info else None,
        "Variation seed": f.subseed if f.subseed_strength else None,
        "Variation seed strength": f.subseed_strength or None,
        "Seed resize from": f"{f.seed_resize_from_w}x{f.seed_resize_from_h}" if seed_resize else None,
        "Denoising strength": f.denoising_strength,
        "Conditional mask weight": f.conditional_mask_weight,
        "Clip skip": f.clip_skip if f.clip_skip > 1 else None,
        "ENSD": (s.eta_noise_seed_delta or None) if f.uses_ensd else None,
        "Token merging ratio": f.token_merging_ratio or None,
        "Token merging ratio hr": f.token_merging_ratio_hr or None,
        "Init image hash": f.init_image_hash,
        "RNG": s.randn_source if s.randn_source != "GPU" else None,
        "Tiling": True if f.tiling else None,
    }


def _tail(fields: InfotextFields, settings: Any, version: str | None) -> dict[str, Any]:
    tail: dict[str, Any] = {}
    if settings.add_version_to_infotext and version:
        tail["Version"] = version
    if settings.add_user_name_to_info and fields.user:
        tail["User"] = fields.user
    return tail


def _resolved(
    key: str, value: Any, fields: InfotextFields, index: int, context: Mapping[str, Any] | None
) -> Any:
    """One value for this picture. What an extension gets wrong costs its entry, not the picture."""
    try:
        if callable(value):
            keywords = {"prompt_text": fields.prompt, "negative_prompt": fields.negative_prompt}
            return value(**{**keywords, **(context or {}), "index": index})
        return value[index] if isinstance(value, list) else value
    except Exception:
        _log.exception("The entry %r of the text of a picture could not be computed and is left out.", key)
        return None


def _entry(key: str, value: Any) -> str:
    return key if key == value else f"{key}: {quote(value)}"
