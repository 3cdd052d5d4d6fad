"""The evaluation with painters whose skill is known, and the page that it writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from tools.default_checkpoint.captions import plain_caption
from tools.default_checkpoint.drawing import render
from tools.default_checkpoint.evaluate import (
    PROMPT_SEED,
    emphasis_effect,
    evaluate,
    guidance_effect,
    held_out_scenes,
    negative_effect,
    table,
)
from tools.default_checkpoint.painters import Order, Pixels
from tools.default_checkpoint.report import BEGIN, END, FAILURES, Figures, markdown, write_report
from tools.default_checkpoint.scenes import Group, Scene, is_held_out

COUNT = 16


class Draughtsman:
    """Draws what is asked when the guidance is more than 1; obeys negative prompts and emphasis."""

    def __init__(self) -> None:
        scenes = held_out_scenes(COUNT) + held_out_scenes(COUNT, PROMPT_SEED + 1)
        self.known = {plain_caption(scene): scene for scene in scenes}

    def paint(self, orders: Sequence[Order]) -> list[Pixels]:
        return [render(self.scene(order), seed=order.seed) for order in orders]

    def scene(self, order: Order) -> Scene:
        if order.prompt in self.known and order.guidance > 1:
            return self.known[order.prompt]
        colour = "red"
        if "star" in order.prompt:
            colour = "green" if order.negative or ":0.5" in order.prompt else "red"
        return Scene((Group("star", colour),), "plain white", "flat")


@pytest.fixture(scope="module")
def figures() -> Figures:
    painter = Draughtsman()
    return Figures(
        evaluate(painter, COUNT),
        guidance_effect(painter, COUNT),
        negative_effect(painter, 2),
        emphasis_effect(painter, 2),
    )


def test_prompts_are_held_out_and_always_the_same() -> None:
    scenes = held_out_scenes(40)
    assert scenes == held_out_scenes(40)
    assert all(is_held_out(*combination) for scene in scenes for combination in scene.combinations)


def test_a_good_painter_scores_high_and_the_effects_have_a_direction(figures: Figures) -> None:
    assert all(figures.score.share(aspect) >= 0.9 for aspect in ("object", "colour", "background"))
    assert figures.guidance[1.0] < 0.2
    assert figures.guidance[7.0] > 0.8
    assert figures.negative == (1.0, 0.0)
    assert figures.emphasis == {0.5: 0.0, 1.0: 1.0, 1.5: 1.0}


def test_the_table_has_a_row_for_each_style(figures: Figures) -> None:
    rows = table(figures.score)
    assert rows[2].startswith(f"| all | {COUNT} |")
    assert len(rows) == 7


def test_the_page_gets_the_figures_and_keeps_its_text(figures: Figures, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_report(figures, page)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert markdown(figures) in text
    assert Image.open(tmp_path / FAILURES).width > 100


def test_a_page_without_markers_is_refused(figures: Figures, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("text")
    with pytest.raises(ValueError, match="lacks the lines"):
        write_report(figures, page)
    assert page.read_text() == "text"
