"""The accordions "Hires. fix" and "Refiner"."""

from __future__ import annotations

from typing import Any

from modules.ui.components import HIDDEN, JS_EVENT, QUIET_EVENT, TabBuilder
from modules.ui.input_accordion import input_accordion
from modules.ui.services import PageServices
from modules.ui.setting_inputs import REFRESH

SAME_CHECKPOINT = "Use same checkpoint"
SAME_SAMPLER = "Use same sampler"
SAME_SCHEDULER = "Use same scheduler"


def create_hires(ui: TabBuilder, services: PageServices) -> dict[str, Any]:
    """Build the accordion of the second pass; components by request field."""
    settings = services.browser_settings()
    with input_accordion(ui, "Hires. fix", "hr") as enable:
        with ui.gr.Column(elem_id=ui.id("hr-extra"), elem_classes=["input-accordion-extra"]):
            ui.gr.HTML("", label="Upscaled resolution", elem_id="txtimg_hr_finalres")
        inputs = {"enable_hr": enable, **_create_first_rows(ui, services)}
        inputs.update(_create_samplers(ui, services, shown=bool(settings.get("hires_fix_show_sampler"))))
        inputs.update(_create_prompts(ui, shown=bool(settings.get("hires_fix_show_prompts"))))
    return inputs


def _create_first_rows(ui: TabBuilder, services: PageServices) -> dict[str, Any]:
    gr = ui.gr
    with gr.Row(elem_id=ui.id("hires_fix_row1")):
        upscaler = ui.dropdown("Upscaler", "hr_upscaler", services.hires_upscalers(), "Latent", min_width=140)
        steps = ui.slider("Hires steps", "hires_steps", (0, 150, 1), 0, min_width=140)
        strength = ui.slider("Denoising strength", "denoising_strength", (0.0, 1.0, 0.01), 0.7, min_width=140)
    with gr.Row(elem_id=ui.id("hires_fix_row2")):
        scale = ui.slider("Upscale by", "hr_scale", (1.0, 4.0, 0.05), 2.0, min_width=140)
        width = ui.slider("Resize width to", "hr_resize_x", (0, 2048, 8), 0, min_width=140)
        height = ui.slider("Resize height to", "hr_resize_y", (0, 2048, 8), 0, min_width=140)
    return {
        "hr_upscaler": upscaler,
        "hr_second_pass_steps": steps,
        "denoising_strength": strength,
        "hr_scale": scale,
        "hr_resize_x": width,
        "hr_resize_y": height,
    }


def _create_samplers(ui: TabBuilder, services: PageServices, *, shown: bool) -> dict[str, Any]:
    gr = ui.gr
    with gr.Row(elem_id=ui.id("hires_fix_row3"), elem_classes=[] if shown else [HIDDEN]):
        checkpoints = [SAME_CHECKPOINT, *services.checkpoints().titles]
        checkpoint = ui.dropdown(
            "Checkpoint",
            "hr_checkpoint",
            checkpoints,
            SAME_CHECKPOINT,
            elem_id="hr_checkpoint",
            min_width=140,
        )
        refresh = ui.tool_button(REFRESH, "hr_checkpoint_refresh", full_id=True)
        sampler = ui.dropdown(
            "Hires sampling method", "hr_sampler", [SAME_SAMPLER, *services.sampler_names()], SAME_SAMPLER,
            elem_id="hr_sampler", min_width=140,
        )  # fmt: skip
        scheduler = ui.dropdown(
            "Hires schedule type", "hr_scheduler", [SAME_SCHEDULER, *services.scheduler_labels()],
            SAME_SCHEDULER, elem_id="hr_scheduler", min_width=140,
        )  # fmt: skip
    _connect_refresh(gr, services, checkpoint, refresh, [SAME_CHECKPOINT])
    return {"hr_checkpoint_name": checkpoint, "hr_sampler_name": sampler, "hr_scheduler": scheduler}


def _create_prompts(ui: TabBuilder, *, shown: bool) -> dict[str, Any]:
    common: dict[str, Any] = {"lines": 3, "show_label": False, "elem_classes": ["prompt"]}
    with ui.gr.Row(
        elem_id=ui.id("hires_fix_row4"), elem_classes=["prompt-row", *([] if shown else [HIDDEN])]
    ):
        hint = "Leave empty to use the prompt of the first pass"
        prompt = ui.textbox("Hires prompt", "hires_prompt", elem_id="hires_prompt", **common)
        negative = ui.textbox(
            "Hires negative prompt",
            "hires_neg_prompt",
            elem_id="hires_neg_prompt",
            placeholder=hint,
            **common,
        )
    return {"hr_prompt": prompt, "hr_negative_prompt": negative}


def create_refiner(ui: TabBuilder, services: PageServices) -> dict[str, Any]:
    """Build the accordion of the second model; components by request field."""
    with input_accordion(ui, "Refiner", "enable") as enable, ui.gr.Row():
        titles = list(services.checkpoints().titles)
        checkpoint = ui.dropdown("Checkpoint", "checkpoint", ["", *titles], "", min_width=140)
        refresh = ui.tool_button(REFRESH, "checkpoint_refresh")
        switch = ui.slider("Switch at", "switch_at", (0.01, 1.0, 0.01), 0.8, min_width=140)
    _connect_refresh(ui.gr, services, checkpoint, refresh, [""])
    return {"refiner": enable, "refiner_checkpoint": checkpoint, "refiner_switch_at": switch}


def connect_hires(inputs: dict[str, Any]) -> None:
    """Say the size that the second pass leads to, in the browser alone."""
    names = ("enable_hr", "width", "height", "hr_scale", "hr_resize_x", "hr_resize_y")
    components = [inputs[name] for name in names]
    for component in components:
        component.change(
            fn=None, inputs=components, js="(...sizes) => { onCalcResolutionHires(...sizes); }", **JS_EVENT
        )


def _connect_refresh(gr: Any, services: PageServices, dropdown: Any, button: Any, first: list[str]) -> None:
    def refresh() -> Any:
        return gr.update(choices=[*first, *services.refresh_checkpoints().titles])

    button.click(refresh, None, [dropdown], show_progress="hidden", **QUIET_EVENT)
