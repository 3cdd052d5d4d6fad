"""The txt2img tab."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modules.ui.components import PageDefaults, TabBuilder
from modules.ui.generation import Generation, connect_generation
from modules.ui.hires import connect_hires, create_hires, create_refiner
from modules.ui.overrides import create_overrides
from modules.ui.paste import PasteTarget, connect_paste
from modules.ui.results import create_results
from modules.ui.sampling import create_sampling, create_sizes
from modules.ui.seed import SeedRow, connect_seed_row, create_seed_row, seed_values
from modules.ui.services import PageServices
from modules.ui.toprow import TopRow, connect_prompt_tools, create_toprow


@dataclass(frozen=True)
class Txt2ImgTab:
    """The row whose lists the page refreshes, and the way in for texts of pictures."""

    top: TopRow
    target: PasteTarget


def create_txt2img(gr: Any, services: PageServices, defaults: PageDefaults) -> Txt2ImgTab:
    """Build the tab inside the present ``gr.Tab``; returns what other parts of the page need."""
    ui = TabBuilder(gr, "txt2img", defaults)
    top = create_toprow(ui, services)
    with gr.Row(elem_id=ui.id("generation"), elem_classes=["generation"], equal_height=False):
        with gr.Column(elem_id=ui.id("settings"), elem_classes=["settings"], scale=1, min_width=320):
            sampling = create_sampling(ui, services)
            with gr.Row(elem_id=ui.id("accordions"), elem_classes=["accordions"]):
                hires = create_hires(ui, services)
                refiner = create_refiner(ui, services)
            sizes = create_sizes(ui)
            cfg_scale = ui.slider("CFG Scale", "cfg_scale", (1.0, 30.0, 0.5), 7.0)
            seeds = create_seed_row(ui)
            overrides = create_overrides(ui)
        panel = create_results(ui)
    inputs = {
        **_inputs(top, sampling, sizes, cfg_scale, seeds), **hires, **refiner, "override_texts": overrides
    }  # fmt: skip
    connect_hires(inputs)
    connect_prompt_tools(top, services)
    connect_seed_row(seeds, panel.generation_info)
    actions = Generation(gr, services, services.submit_txt2img, tuple(inputs))
    connect_generation(ui, top, panel, inputs, actions)
    pasted = {name: box for name, box in inputs.items() if name != "override_texts"}
    target = PasteTarget(pasted, overrides, panel.log_html, top.prompt, "recalculate_prompts_txt2img")
    connect_paste(gr, services, top.paste.click, top.prompt, target)
    return Txt2ImgTab(top, target)


def _inputs(
    top: TopRow, sampling: dict[str, Any], sizes: dict[str, Any], cfg_scale: Any, seeds: SeedRow
) -> dict[str, Any]:
    return {
        "prompt": top.prompt,
        "negative_prompt": top.negative_prompt,
        "styles": top.styles,
        **sampling,
        **sizes,
        "cfg_scale": cfg_scale,
        **seed_values(seeds),
    }
