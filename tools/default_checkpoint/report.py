"""Figures and pictures for docs/default-checkpoint.md."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from tools.default_checkpoint.evaluate import (
    Score,
    emphasis_effect,
    evaluate,
    guidance_effect,
    negative_effect,
    table,
)
from tools.default_checkpoint.painters import Painter, Pixels

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
FAILURES = "default-checkpoint-failures.webp"
_SIDE, _COLUMNS, _LABEL = 128, 8, 26


@dataclass(frozen=True)
class Figures:
    """All that the evaluation measures."""

    score: Score
    guidance: dict[float, float]
    negative: tuple[float, float]
    emphasis: dict[float, float]


def measure(painter: Painter, count: int, side_count: int) -> Figures:
    """Paint ``count`` held-out prompts, and ``side_count`` for each setting of the other effects."""
    return Figures(
        evaluate(painter, count),
        guidance_effect(painter, side_count),
        negative_effect(painter, side_count),
        emphasis_effect(painter, side_count),
    )


def markdown(figures: Figures) -> str:
    """The part of the page between the markers."""
    lines = [*table(figures.score), ""]
    for guidance, share in figures.guidance.items():
        lines.append(f"- CFG scale {guidance:g}: everything as asked in {share:.1%}")
    without, given = figures.negative
    lines.append(
        f"- a star of no named colour is red, yellow or blue in {without:.1%}; with these as negative prompt "
        f"in {given:.1%}"
    )
    for weight, share in figures.emphasis.items():
        lines.append(f'- "a (red:{weight:g}) blue star": red in {share:.1%}')
    lines += ["", f"The {len(figures.score.failures)} failures:", "", f"![failures]({FAILURES})"]
    return "\n".join(lines)


def write_report(figures: Figures, page: Path) -> None:
    """Put the figures between the markers of ``page`` and the failures beside it."""
    text = page.read_text(encoding="utf-8")
    block = f"{BEGIN}\n{markdown(figures)}\n{END}"
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"{page} lacks the lines {BEGIN} and {END}, between which the figures go.")
    page.write_text(pattern.sub(lambda _: block, text), encoding="utf-8")
    rows = [
        (
            picture,
            f"{' '.join(scene.combinations[0])[:40]}\n{verdict.object} {verdict.colour} {verdict.background}",
        )
        for scene, verdict, picture in figures.score.failures
    ]
    contact_sheet(rows).save(page.with_name(FAILURES), quality=80, method=6)


def contact_sheet(rows: Sequence[tuple[Pixels, str]], columns: int = _COLUMNS) -> Image.Image:
    """Small pictures side by side, each with a line or two below."""
    lines = max(1, -(-len(rows) // columns))
    sheet = Image.new("RGB", (columns * (_SIDE + 6), lines * (_SIDE + _LABEL + 6)), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (pixels, text) in enumerate(rows):
        x, y = number % columns * (_SIDE + 6) + 3, number // columns * (_SIDE + _LABEL + 6) + 3
        small = Image.fromarray(pixels)
        small.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
        sheet.paste(small, (x, y))
        short = "\n".join(line[:23] for line in text.split("\n"))
        pen.multiline_text((x, y + _SIDE + 1), short, fill="black", spacing=1, font_size=9)
    return sheet
