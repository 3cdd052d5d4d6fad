"""The inputs that every generating tab has: sampler, steps, size, number of pictures."""

from __future__ import annotations

from typing import Any

from modules.ui.components import JS_EVENT, TabBuilder
from modules.ui.services import PageServices


def create_sampling(ui: TabBuilder, services: PageServices) -> dict[str, Any]:
    """Sampler, schedule type and steps; components by request field."""
    with ui.gr.Row(elem_id=f"sampler_selection_{ui.tab}"):
        return {
            "sampler_name": ui.dropdown(
                "Sampling method", "sampling", services.sampler_names(), "DPM++ 2M", min_width=120
            ),
            "scheduler": ui.dropdown(
                "Schedule type", "scheduler", services.scheduler_labels(), "Automatic", min_width=120
            ),
            "steps": ui.slider("Sampling steps", "steps", (1, 150, 1), 20, scale=2, min_width=200),
        }


def create_sizes(ui: TabBuilder) -> dict[str, Any]:
    """Size of the picture and number of pictures; components by request field."""
    gr = ui.gr
    with gr.Row(elem_id=ui.id("sizes"), elem_classes=["sizes"]):
        with gr.Column(elem_id=ui.id("column_size"), scale=4, min_width=200):
            width = ui.slider("Width", "width", (64, 2048, 8), 512)
            height = ui.slider("Height", "height", (64, 2048, 8), 512)
        with gr.Column(
            elem_id=ui.id("dimensions_row"), elem_classes=["dimensions-tools"], scale=0, min_width=40
        ):
            swap = ui.tool_button("\N{UPWARDS ARROW LEFTWARDS OF DOWNWARDS ARROW}", "res_switch_btn")
        with gr.Column(elem_id=ui.id("column_batch"), scale=3, min_width=200):
            count = ui.slider("Batch count", "batch_count", (1, 100, 1), 1)
            size = ui.slider("Batch size", "batch_size", (1, 8, 1), 1)
    swap.click(fn=None, inputs=[width, height], outputs=[width, height], js="(w, h) => [h, w]", **JS_EVENT)
    return {"width": width, "height": height, "n_iter": count, "batch_size": size}
