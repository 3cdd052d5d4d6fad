"""Reading the text of a picture back into parameters, for pasting and for ``/sdapi/v1/png-info``.

The text may come from anyone. Reading it takes linear time, nothing in it names a file or a
setting directly, and what it yields is data: show it as text, never as HTML.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from modules.processing.infotext import unquote
from modules.processing.infotext_compat import (
    append_hypernetwork,
    apply_version_rules,
    hires_prompts_hold_styles,
    restore_old_hires_size,
)
from modules.processing.infotext_lexer import split_infotext
from modules.prompts.attention import BREAK_WORD, parse_attention

_SIZE = re.compile(r"([0-9]{1,9})x([0-9]{1,9})$")

_DEFAULTS_BEFORE_EMPHASIS = {
    "Clip skip": "1",
    "Hires resize-1": 0,
    "Hires resize-2": 0,
    "Hires sampler": "Use same sampler",
    "Hires schedule type": "Use same scheduler",
    "Hires checkpoint": "Use same checkpoint",
    "Hires prompt": "",
    "Hires negative prompt": "",
    "Mask mode": "Inpaint masked",
    "Masked content": "original",
    "Inpaint area": "Whole picture",
    "Masked area padding": 32,
    "RNG": "GPU",
    "Schedule type": "Automatic",
    "Schedule max sigma": 0,
    "Schedule min sigma": 0,
    "Schedule rho": 0,
    "VAE Encoder": "Full",
    "VAE Decoder": "Full",
    "FP8 weight": "Disable",
}
_DEFAULTS_AFTER_EMPHASIS = {"Refiner switch by sampling steps": False}


class StyleExtractor(Protocol):
    """Finds saved styles in prompts; modules.prompts.styles.StyleDatabase is one."""

    def extract_styles_from_prompt(self, prompt: str, negative_prompt: str) -> tuple[list[str], str, str]:
        """Names of the styles in the order of use, and both prompts without them."""
        ...


@dataclass(frozen=True)
class PasteSettings:
    """The settings that matter here, with their defaults. A SettingsView can take its place."""

    auto_backcompat: bool = True
    infotext_styles: str = "Apply if any"
    infotext_skip_pasting: Sequence[str] = ()
    use_old_hires_fix_width_height: bool = False


DEFAULT_SETTINGS = PasteSettings()


def parse_infotext(
    text: str,
    settings: Any = DEFAULT_SETTINGS,
    styles: StyleExtractor | None = None,
    skip_fields: Sequence[str] | None = None,
) -> dict[str, Any]:
    """The parameters in ``text``: entries by name, ``Prompt``, ``Negative prompt``, ``Styles array``.

    Values are texts as written; entries that are missing get the defaults that a picture without
    them was made with. ``skip_fields`` (default: the setting) are left out of the result.
    """
    raw = split_infotext(text)
    params: dict[str, Any] = {}
    for key, value in raw.pairs:
        _put(params, key, value)
    prompts = (raw.prompt, raw.negative_prompt)
    if styles is not None and settings.infotext_styles != "Ignore":
        prompts = _take_out_styles(params, prompts, styles, settings.infotext_styles)
    params["Prompt"], params["Negative prompt"] = prompts
    append_hypernetwork(params)
    for key, default in _DEFAULTS_BEFORE_EMPHASIS.items():
        params.setdefault(key, default)
    restore_old_hires_size(params, settings.use_old_hires_fix_width_height)
    if "Emphasis" not in params and any(uses_emphasis(prompt) for prompt in prompts):
        params["Emphasis"] = "Original"
    for key, default in _DEFAULTS_AFTER_EMPHASIS.items():
        params.setdefault(key, default)
    if params["FP8 weight"] != "Disable":
        params.setdefault("Cache FP16 weight for LoRA", False)
    if settings.auto_backcompat:
        apply_version_rules(params)
    for key in settings.infotext_skip_pasting if skip_fields is None else skip_fields:
        params.pop(key, None)
    return params


def _put(params: dict[str, Any], key: str, value: str) -> None:
    """Store one pair. A pair without a value counts as missing; a size becomes two entries."""
    if not value:
        return
    text = unquote(value)
    size = _SIZE.match(text)
    if size:
        params[f"{key}-1"], params[f"{key}-2"] = size.groups()
    else:
        params[key] = text


def uses_emphasis(prompt: str) -> bool:
    """Whether brackets change the weight of a part of the prompt."""
    if "(" not in prompt and "[" not in prompt:
        return False
    return any(weight != 1.0 and part != BREAK_WORD for part, weight in parse_attention(prompt))


def _take_out_styles(
    params: dict[str, Any], prompts: tuple[str, str], styles: StyleExtractor, mode: str
) -> tuple[str, str]:
    """Both prompts without the texts of saved styles; the names of the styles go into ``params``.

    With prompts for the second pass the same styles must be found there, else nothing is changed.
    """
    found, *bare = styles.extract_styles_from_prompt(*prompts)
    names = ("Hires prompt", "Hires negative prompt")
    if any(name in params for name in names) and hires_prompts_hold_styles(params):
        hires = [params.get(name, prompt) for name, prompt in zip(names, prompts, strict=True)]
        found_hires, *bare_hires = styles.extract_styles_from_prompt(*hires)
        if found_hires != found:
            return prompts
        for name, text, first in zip(names, bare_hires, bare, strict=True):
            # An empty hires prompt means "the same as the first".
            params[name] = "" if text == first else text
    if mode == "Apply" or (mode == "Apply if any" and found):
        params["Styles array"] = found
    return bare[0], bare[1]
