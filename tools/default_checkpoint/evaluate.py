"""The proof: how often a painted picture shows what was asked, by the judge, on combinations held out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tools.default_checkpoint.captions import plain_caption
from tools.default_checkpoint.drawing import render
from tools.default_checkpoint.judge import Verdict, judge
from tools.default_checkpoint.painters import Order, Painter, Pixels
from tools.default_checkpoint.scenes import STYLES, Scene, held_out_scene, scene_rng

PROMPT_SEED = 555
"""Series of the held-out prompts; the judge is checked on another one."""

GUIDANCES = (1.0, 3.0, 7.0, 11.0)
UNWANTED = ("red", "yellow", "blue")
WEIGHTS = (0.5, 1.0, 1.5)
ASPECTS = ("object", "colour", "background")


@dataclass
class Score:
    """How many of ``total`` pictures show what was asked, by aspect; ``failures`` with what was seen."""

    total: int = 0
    right: Counter[str] = field(default_factory=Counter)
    by_style: dict[str, Counter[str]] = field(default_factory=dict)
    failures: list[tuple[Scene, Verdict, Pixels]] = field(default_factory=list)

    def share(self, aspect: str) -> float:
        """0..1; ``aspect``: one of ``ASPECTS`` or "count"."""
        return self.right[aspect] / max(1, self.total)

    def style_share(self, style: str, aspect: str) -> float:
        """The same among the pictures of one style."""
        counts = self.by_style.get(style, Counter())
        return counts[aspect] / max(1, counts["total"])


def held_out_scenes(count: int, seed: int = PROMPT_SEED) -> list[Scene]:
    """The first ``count`` scenes of a series whose combinations training never saw."""
    return [held_out_scene(scene_rng(seed, number)) for number in range(count)]


def score(scenes: Sequence[Scene], pictures: Sequence[Pixels]) -> Score:
    """Judge one picture for each scene."""
    result = Score(len(scenes))
    for scene, picture in zip(scenes, pictures, strict=True):
        verdict, group = judge(picture), scene.groups[0]
        right = {
            "object": verdict.object == group.object,
            "colour": verdict.colour == group.colour,
            "background": verdict.background == scene.background,
            "count": verdict.count == group.count,
        }
        style = result.by_style.setdefault(scene.style, Counter())
        style["total"] += 1
        for aspect, good in right.items():
            result.right[aspect] += good
            style[aspect] += good
        if not all(right[aspect] for aspect in ASPECTS):
            result.failures.append((scene, verdict, picture))
    return result


def check_judge(count: int, seed: int = 11) -> Score:
    """Score the renderer's own pictures: what the judge gets wrong by itself."""
    scenes = held_out_scenes(count, seed)
    return score(scenes, [render(scene, seed=seed, number=number) for number, scene in enumerate(scenes)])


def evaluate(painter: Painter, count: int) -> Score:
    """Paint and score ``count`` held-out prompts with the program's default guidance."""
    scenes = held_out_scenes(count)
    orders = [Order(plain_caption(scene), seed=1000 + number) for number, scene in enumerate(scenes)]
    return score(scenes, painter.paint(orders))


def guidance_effect(painter: Painter, count: int) -> dict[float, float]:
    """Guidance → share of pictures in which object, colour and background all are as asked."""
    scenes = held_out_scenes(count, PROMPT_SEED + 1)
    effect = {}
    for guidance in GUIDANCES:
        orders = [
            Order(plain_caption(scene), seed=3000 + number, guidance=guidance)
            for number, scene in enumerate(scenes)
        ]
        failed = score(scenes, painter.paint(orders)).failures
        effect[guidance] = 1 - len(failed) / max(1, count)
    return effect


def negative_effect(painter: Painter, count: int) -> tuple[float, float]:
    """Share of stars of unnamed colour that are red, yellow or blue: without, and with these as negative."""
    shares = []
    for negative in ("", ", ".join(UNWANTED)):
        orders = [Order("a star on a plain white background", 5000 + n, negative) for n in range(count)]
        shares.append(
            float(np.mean([judge(picture).colour in UNWANTED for picture in painter.paint(orders)]))
        )
    return shares[0], shares[1]


def emphasis_effect(painter: Painter, count: int) -> dict[float, float]:
    """Weight of "red" in "a red blue star" → share of stars that are red."""
    effect = {}
    for weight in WEIGHTS:
        prompt = f"a (red:{weight}) blue star on a plain white background"
        pictures = painter.paint([Order(prompt, 7000 + n) for n in range(count)])
        effect[weight] = float(np.mean([judge(picture).colour == "red" for picture in pictures]))
    return effect


def table(result: Score) -> list[str]:
    """The figures as rows of a Markdown table."""
    rows = ["| style | pictures | object | colour | background | count |", "|---|---|---|---|---|---|"]
    aspects = (*ASPECTS, "count")
    whole = " | ".join(f"{result.share(aspect):.1%}" for aspect in aspects)
    rows.append(f"| all | {result.total} | {whole} |")
    for style in STYLES:
        shares = " | ".join(f"{result.style_share(style, aspect):.1%}" for aspect in aspects)
        rows.append(f"| {style} | {result.by_style.get(style, Counter())['total']} | {shares} |")
    return rows
