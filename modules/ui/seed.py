"""The seed row and the variation rows below it, for every generation tab."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from modules.ui.components import JS_EVENT, QUIET_EVENT, TabBuilder

DICE = "\N{GAME DIE}\N{VARIATION SELECTOR-16}"
REUSE = "\N{BLACK UNIVERSAL RECYCLING SYMBOL}\N{VARIATION SELECTOR-16}"


@dataclass(frozen=True)
class SeedRow:
    """The components whose values make up the seed fields of a request."""

    seed: Any
    subseed_show: Any
    subseed: Any
    subseed_strength: Any
    resize_from_w: Any
    resize_from_h: Any
    random_seed: Any
    reuse_seed: Any
    random_subseed: Any
    reuse_subseed: Any


def create_seed_row(ui: TabBuilder) -> SeedRow:
    """Build both groups; style.css shows the second one while "Extra" is checked."""
    gr = ui.gr
    with gr.Row(elem_id=ui.id("seed_row"), elem_classes=["seed-row"]):
        seed = ui.number("Seed", "seed", -1, precision=0, min_width=140)
        random_seed = ui.tool_button(DICE, "random_seed")
        reuse_seed = ui.tool_button(REUSE, "reuse_seed")
        show = ui.checkbox("Extra", "subseed_show", scale=0, min_width=80, container=False)
    with gr.Column(elem_id=ui.id("seed_extras"), elem_classes=["seed-extras"]):
        with gr.Row(elem_id=ui.id("subseed_row"), elem_classes=["seed-row"]):
            subseed = ui.number("Variation seed", "subseed", -1, precision=0, min_width=140)
            random_subseed = ui.tool_button(DICE, "random_subseed")
            reuse_subseed = ui.tool_button(REUSE, "reuse_subseed")
            strength = ui.slider("Variation strength", "subseed_strength", (0, 1, 0.01), 0.0)
        with gr.Row(elem_id=ui.id("seed_resize_from_row")):
            width = ui.slider("Resize seed from width", "seed_resize_from_w", (0, 2048, 8), 0)
            height = ui.slider("Resize seed from height", "seed_resize_from_h", (0, 2048, 8), 0)
    return SeedRow(
        seed, show, subseed, strength, width, height, random_seed, reuse_seed, random_subseed, reuse_subseed
    )


def connect_seed_row(row: SeedRow, generation_info: Any) -> None:
    """The dice write -1; the reuse buttons read the seed of the picture that is selected."""
    for button, box in ((row.random_seed, row.seed), (row.random_subseed, row.subseed)):
        button.click(fn=None, outputs=[box], js="() => -1", **JS_EVENT)
    for button, box, key in (
        (row.reuse_seed, row.seed, "all_seeds"),
        (row.reuse_subseed, row.subseed, "all_subseeds"),
    ):

        def reuse(info: str, index: float | None, key: str = key) -> int:
            return seed_of(info, index, key)

        button.click(
            reuse,
            [generation_info, box],
            [box],
            js="(info) => [info, selected_gallery_index()]",
            queue=False,
            show_progress="hidden",
            **QUIET_EVENT,
        )


def seed_of(generation_info: str, index: float | None, key: str) -> int:
    """Seed number ``index`` of the gallery, -1 when nothing was generated yet.

    The first entries of the gallery may be grids; they show the seed of the first picture.
    """
    try:
        info = json.loads(generation_info or "{}")
    except ValueError:
        return -1
    seeds = info.get(key) or []
    position = int(index or 0) - int(info.get("index_of_first_image", 0))
    return int(seeds[min(max(position, 0), len(seeds) - 1)]) if seeds else -1


def seed_values(row: SeedRow) -> dict[str, Any]:
    """Components by request field; ``extra`` tells whether all but the first count."""
    return {
        "seed": row.seed,
        "extra": row.subseed_show,
        "subseed": row.subseed,
        "subseed_strength": row.subseed_strength,
        "seed_resize_from_w": row.resize_from_w,
        "seed_resize_from_h": row.resize_from_h,
    }
