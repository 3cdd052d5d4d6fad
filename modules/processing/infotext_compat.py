"""Texts of older versions: names that are no longer written, and behaviour that changed since."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_VERSION = re.compile(r"v?(\d{1,6}(?:\.\d{1,6}){0,4})(?:-?rc(\d{0,6}))?(?:-(\d{1,9}))?$", re.IGNORECASE)
_ALIGNMENT = 64
_OLD_FIRST_PASS_PIXELS = 512 * 512


@dataclass(frozen=True)
class TextVersion:
    """A version as ``git describe`` writes it: release, candidate before it, commits after it."""

    release: tuple[int, ...]
    commits: int = 0
    candidate: bool = False

    def __lt__(self, other: TextVersion) -> bool:
        return self._rank() < other._rank()

    def _rank(self) -> tuple[tuple[int, ...], bool, int]:
        return (*self.release, 0, 0, 0, 0, 0)[:5], not self.candidate, self.commits


def parse_version(text: Any) -> TextVersion | None:
    """The version in ``text``; None when it is missing or cannot be understood.

    What follows a second hyphen (``v1.7.0-225-gabcdef0``) names a commit and is dropped.
    """
    if not isinstance(text, str):
        return None
    match = _VERSION.match("-".join(text.strip().split("-")[:2]))
    if match is None:
        return None
    release = tuple(int(part) for part in match.group(1).split("."))
    return TextVersion(release, int(match.group(3) or 0), match.group(2) is not None)


V1_6_0 = TextVersion((1, 6, 0))
V1_7_0_225 = TextVersion((1, 7, 0), 225)
V1_8_0 = TextVersion((1, 8, 0))
V1_8_0_139 = TextVersion((1, 8, 0), 139)


def apply_version_rules(params: dict[str, Any]) -> None:
    """Switch on the behaviour that the stated version had. No version: nothing is changed."""
    version = parse_version(params.get("Version"))
    if version is None:
        return
    if version < V1_6_0:
        if "[" in params.get("Prompt", ""):
            params["Old prompt editing timelines"] = True
        if params.get("Sampler") in ("DDIM", "PLMS"):
            params["Pad conds v0"] = True
    if version < V1_7_0_225:
        params["Downcast alphas_cumprod"] = True
    if version < V1_8_0 and params.get("Refiner"):
        params["Refiner switch by sampling steps"] = True


def hires_prompts_hold_styles(params: Mapping[str, Any]) -> bool:
    """Whether styles were also put on the prompts of the second pass: since 1.8.0-139."""
    version = parse_version(params.get("Version"))
    return version is None or version > V1_8_0_139


def append_hypernetwork(params: dict[str, Any]) -> None:
    """Once hypernetworks were chosen by a setting; now a tag in the prompt does it."""
    name = params.get("Hypernet")
    if name is not None:
        params["Prompt"] += f"<hypernet:{name}:{params.get('Hypernet strength', '1.0')}>"


def append_additional_networks(params: dict[str, Any]) -> None:
    """Translate entries of the extension Additional Networks to tags, one line each.

    For when that extension is not active; with it, its own entries are restored.
    """
    tags = []
    for number in range(1, 10_000):
        kind = params.get(f"AddNet Module {number}")
        if kind is None:
            break
        name, weight = params.get(f"AddNet Model {number}"), params.get(f"AddNet Weight A {number}", "1.0")
        if kind == "LoRA" and name and name != "None":
            # The name ends with a hash in brackets, which tags do not have.
            tags.append(f"<lora:{re.sub(r'[(][0-9a-f]+[)]$', '', name)}:{weight}>")
    if tags:
        params["Prompt"] = "\n".join([params.get("Prompt", ""), *tags])


def restore_old_hires_size(params: dict[str, Any], size_is_final: bool) -> None:
    """Translate the sizes of old two-pass pictures.

    ``First pass size`` stood beside the final ``Size``; 0x0 means that it followed from the final
    size. ``size_is_final`` is the setting that keeps the old meaning of the size sliders.
    """
    width, height = _whole(params, "Size-1", 512), _whole(params, "Size-2", 512)
    resize = _whole(params, "Hires resize-1", 0), _whole(params, "Hires resize-2", 0)
    if size_is_final and all(resize):
        params["Size-1"], params["Size-2"] = resize
        return
    if params.get("First pass size-1") is None or params.get("First pass size-2") is None:
        return
    first = _whole(params, "First pass size-1", 0), _whole(params, "First pass size-2", 0)
    if not all(first):
        first = old_first_pass_size(width, height)
    params["Size-1"], params["Size-2"] = first
    params["Hires resize-1"], params["Hires resize-2"] = width, height


def old_first_pass_size(width: int, height: int) -> tuple[int, int]:
    """The size in pixels of about 512*512 with the proportions given, rounded up to multiples of 64."""
    scale = math.sqrt(_OLD_FIRST_PASS_PIXELS / max(width * height, 1))
    return _up(width * scale), _up(height * scale)


def _up(length: float) -> int:
    return max(_ALIGNMENT, math.ceil(length / _ALIGNMENT) * _ALIGNMENT)


def _whole(params: Mapping[str, Any], key: str, default: int) -> int:
    try:
        return int(params.get(key, default))
    except (TypeError, ValueError):
        return default
