"""From the text of a picture back to the inputs of a tab."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from modules.ui.components import JS_EVENT, QUIET_EVENT
from modules.ui.messages import error_html
from modules.ui.services import PageServices

ENTRIES: Mapping[str, str] = {
    "prompt": "Prompt",
    "negative_prompt": "Negative prompt",
    "styles": "Styles array",
    "steps": "Steps",
    "sampler_name": "Sampler",
    "scheduler": "Schedule type",
    "cfg_scale": "CFG scale",
    "width": "Size-1",
    "height": "Size-2",
    "batch_size": "Batch size",
    "seed": "Seed",
    "subseed": "Variation seed",
    "subseed_strength": "Variation seed strength",
    "seed_resize_from_w": "Seed resize from-1",
    "seed_resize_from_h": "Seed resize from-2",
    "denoising_strength": "Denoising strength",
    "hr_scale": "Hires upscale",
    "hr_upscaler": "Hires upscaler",
    "hr_second_pass_steps": "Hires steps",
    "hr_resize_x": "Hires resize-1",
    "hr_resize_y": "Hires resize-2",
    "hr_checkpoint_name": "Hires checkpoint",
    "hr_sampler_name": "Hires sampler",
    "hr_scheduler": "Hires schedule type",
    "hr_prompt": "Hires prompt",
    "hr_negative_prompt": "Hires negative prompt",
    "refiner_checkpoint": "Refiner",
    "refiner_switch_at": "Refiner switch at",
    "mask_blur": "Mask blur",
    "inpainting_mask_invert": "Mask mode",
    "inpainting_fill": "Masked content",
    "inpaint_full_res": "Inpaint area",
    "inpaint_full_res_padding": "Masked area padding",
}
"""Field of a request → entry of the text."""

HIRES_SIGNS: tuple[str, ...] = ("Hires upscale", "Hires upscaler", "Hires resize-1", "Hires resize-2")

SWITCHES: Mapping[str, Callable[[Mapping[str, Any]], bool]] = {
    "enable_hr": lambda entries: (
        "Denoising strength" in entries and any(str(entries.get(sign) or "0") != "0" for sign in HIRES_SIGNS)
    ),
    "extra": lambda entries: "Variation seed" in entries or "Seed resize from-1" in entries,
    "refiner": lambda entries: "Refiner" in entries,
}
"""Switches that an entry turns on and its absence off."""


@dataclass(frozen=True)
class PasteTarget:
    """A tab that takes a text: its inputs by request field, and where the overrides and errors go."""

    inputs: Mapping[str, Any]
    overrides: Any
    log_html: Any
    prompt: Any
    recalculate: str

    def outputs(self) -> list[Any]:
        """The components that a paste may change."""
        return [*self.inputs.values(), self.overrides, self.log_html]


def connect_paste(
    gr: Any, services: PageServices, event: Callable[..., Any], source: Any, target: PasteTarget
) -> Any:
    """Let ``event`` read the text of ``source`` into the inputs of ``target``; returns the dependency."""

    def paste(text: str | None) -> list[Any]:
        try:
            entries = services.read_infotext(text or "")
            overrides = services.override_texts(entries, tuple(ENTRIES.values()))
        except Exception as error:
            return [*(gr.skip() for _ in target.inputs), gr.skip(), error_html(error)]
        updates = [pasted(gr, name, box, entries, services) for name, box in target.inputs.items()]
        choice = gr.update(choices=list(overrides), value=list(overrides))
        return [*updates, choice, ""]

    return event(
        paste,
        [source],
        target.outputs(),
        show_progress="hidden",
        show_progress_on=target.prompt,
        **QUIET_EVENT,
    ).then(fn=None, js=f"() => {{ {target.recalculate}(); }}", **JS_EVENT)


def pasted(gr: Any, name: str, component: Any, entries: Mapping[str, Any], services: PageServices) -> Any:
    """The update of one input, nothing when the text does not speak of it or says what cannot be shown."""
    if name in SWITCHES:
        return gr.update(value=SWITCHES[name](entries))
    entry = ENTRIES.get(name)
    if entry is None or entry not in entries:
        return gr.skip()
    return fitting(gr, component, entries[entry], services)


def fitting(gr: Any, component: Any, text: Any, services: PageServices) -> Any:
    """``text`` in the type of a component's value."""
    kind = type(component).__name__
    if kind in ("Slider", "Number"):
        return _number(gr, component, text)
    if kind == "Checkbox":
        return gr.update(value=str(text) != "False" and bool(text))
    choices = [choice[1] for choice in getattr(component, "choices", None) or ()]
    if not choices and kind != "Dropdown":
        return gr.update(value=str(text))
    if isinstance(text, list):
        return gr.update(value=text)
    if text in choices:
        return gr.update(value=text)
    title = services.checkpoint_title(str(text))
    return gr.update(value=title) if title in choices else gr.skip()


def _number(gr: Any, component: Any, text: Any) -> Any:
    try:
        value = float(text)
    except ValueError:
        return gr.skip()
    low, high = getattr(component, "minimum", None), getattr(component, "maximum", None)
    if low is not None and high is not None:
        value = min(max(value, low), high)
    return gr.update(value=int(value) if value.is_integer() else value)
