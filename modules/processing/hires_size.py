"""Sizes of the two passes of hires fix: pure arithmetic, to the pixel that of the reference.

The second pass works on the picture of the first one, enlarged until it covers the wanted size; what stands
out on both sides is cut off in whole latent cells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from modules.errors import InvalidInput
from modules.processing.request import Txt2ImgRequest

SIZE_UNIT = 8
"""Pixels per latent cell: both sides of a picture are whole numbers of cells."""

_OLD_FIRST_PASS_PIXELS = 512 * 512
_OLD_FIRST_PASS_UNIT = 64

Size = tuple[int, int]
"""Width and height."""


@dataclass(frozen=True)
class HiresSize:
    """Sizes of one job, (width, height) in pixels.

    ``first``: picture of the first pass. ``enlarged``: that picture before the second pass. ``cut``:
    latent cells (columns, rows) that are cut off after enlarging, half on either side. ``resize``: the size
    that was asked for in pixels, ``None`` when a factor was; 0 on one side means "as the other".
    """

    first: Size
    enlarged: Size
    cut: Size = (0, 0)
    resize: Size | None = None

    @property
    def cells(self) -> Size:
        """Latent (columns, rows) of the enlarged picture, before the cut."""
        return self.enlarged[0] // SIZE_UNIT, self.enlarged[1] // SIZE_UNIT

    @property
    def final(self) -> Size:
        """Picture of the second pass."""
        columns, rows = self.cells
        return (columns - self.cut[0]) * SIZE_UNIT, (rows - self.cut[1]) * SIZE_UNIT

    @property
    def window(self) -> tuple[slice, slice]:
        """What remains of the latent, as (rows, columns)."""
        (columns, rows), (cut_x, cut_y) = self.cells, self.cut
        return (
            slice(cut_y // 2, rows - (cut_y + 1) // 2),
            slice(cut_x // 2, columns - (cut_x + 1) // 2),
        )


def first_pass_size(request: Txt2ImgRequest) -> Size:
    """Size of the first pass: the legacy fields, when they are used, win over width and height."""
    if request.firstphase_width and request.firstphase_height:
        return request.firstphase_width, request.firstphase_height
    return request.width, request.height


def hires_size(request: Txt2ImgRequest, *, old_behaviour: bool = False) -> HiresSize:
    """Sizes for a validated request.

    ``old_behaviour``: width and height are the final size, and the first pass has about the pixels of
    512x512 (setting use_old_hires_fix_width_height).

    Raises ``InvalidInput`` when the second pass would have no pixels.
    """
    first = first_pass_size(request)
    if old_behaviour:
        size = _covering(old_first_pass_size(*first), first)
    elif request.hr_resize_x or request.hr_resize_y:
        size = _covering(first, (request.hr_resize_x, request.hr_resize_y))
    else:
        size = HiresSize(first, (int(first[0] * request.hr_scale), int(first[1] * request.hr_scale)))
    if min(size.final) < SIZE_UNIT:
        field = "hr_resize_x" if size.resize else "hr_scale"
        raise InvalidInput(
            f"The second pass would be {size.final[0]}x{size.final[1]} pixels; expected at least "
            f"{SIZE_UNIT}x{SIZE_UNIT}. Raise hr_resize_x and hr_resize_y, or set both to 0 and use hr_scale.",
            field,
        )
    return size


def old_first_pass_size(width: int, height: int) -> Size:
    """First pass for a final size: its proportions, about 512x512 pixels, sides rounded up to 64."""
    scale = math.sqrt(_OLD_FIRST_PASS_PIXELS / (width * height))

    def side(length: int) -> int:
        return math.ceil(scale * length / _OLD_FIRST_PASS_UNIT) * _OLD_FIRST_PASS_UNIT

    return side(width), side(height)


def _covering(first: Size, wanted: Size) -> HiresSize:
    """Enlarge ``first`` in its proportions until it covers ``wanted``; a side of 0 follows the other."""
    width, height = first
    by_width = (wanted[0], wanted[0] * height // width)
    by_height = (wanted[1] * width // height, wanted[1])
    if 0 in wanted:
        return HiresSize(first, by_height if wanted[0] == 0 else by_width, resize=wanted)
    enlarged = by_width if width / height < wanted[0] / wanted[1] else by_height
    cut = ((enlarged[0] - wanted[0]) // SIZE_UNIT, (enlarged[1] - wanted[1]) // SIZE_UNIT)
    return HiresSize(first, enlarged, cut, wanted)
