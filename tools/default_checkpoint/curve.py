"""The curve of a loss as a small picture."""

from __future__ import annotations

import json
import math
from pathlib import Path

from PIL import Image, ImageDraw

_SIZE = (480, 240)
_EDGE = 34


def draw_curve(log: Path, target: Path, title: str) -> None:
    """Draw ``loss`` over the steps of a log, the loss on a logarithmic scale. An empty log draws nothing."""
    if not log.is_file():
        return
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    points = [(row["step"], math.log10(max(row["loss"], 1e-9))) for row in rows if "loss" in row]
    if not points:
        return
    width, height = _SIZE
    low, high = min(y for _, y in points), max(y for _, y in points)
    span, last = max(high - low, 1e-6), max(x for x, _ in points)
    picture = Image.new("RGB", _SIZE, "white")
    pen = ImageDraw.Draw(picture)
    pen.rectangle((_EDGE, 16, width - 10, height - 22), outline=(190, 190, 190))
    line = [
        (_EDGE + (width - 10 - _EDGE) * x / last, height - 22 - (height - 38) * (y - low) / span)
        for x, y in points
    ]
    pen.line(line if len(line) > 1 else line * 2, fill=(44, 102, 216), width=2)
    pen.text((_EDGE, 2), f"{title}: loss over {last} steps", fill="black")
    pen.text((2, 14), f"{10**high:.3g}", fill="black")
    pen.text((2, height - 32), f"{10**low:.3g}", fill="black")
    picture.save(target, optimize=True)
