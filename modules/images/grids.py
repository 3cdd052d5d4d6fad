"""Several pictures in one: contact sheets, and the overlapping tiles of large pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageColor

from modules.errors import InvalidInput


def grid_shape(
    count: int,
    batch_size: int = 1,
    rows: int | None = None,
    *,
    n_rows: int = -1,
    prevent_empty_spots: bool = False,
) -> tuple[int, int]:
    """(rows, columns) of a sheet of ``count`` pictures.

    ``rows`` decides when given. Otherwise the setting ``n_rows``: a positive number is taken, 0
    means the batch size, -1 a sheet as square as possible (without empty spots if asked for).
    """
    if rows is None:
        if n_rows > 0:
            rows = n_rows
        elif n_rows == 0:
            rows = batch_size
        elif prevent_empty_spots:
            rows = max(divisor for divisor in range(1, math.isqrt(count) + 1) if count % divisor == 0)
        else:
            rows = round(math.sqrt(count))
    rows = max(1, min(int(rows), count))
    return rows, math.ceil(count / rows)


def image_grid(
    images: Sequence[Image.Image],
    batch_size: int = 1,
    rows: int | None = None,
    *,
    n_rows: int = -1,
    prevent_empty_spots: bool = False,
    background: str = "#ffffff",
    max_megapixels: float | None = None,
) -> Image.Image:
    """A sheet (RGBA) of pictures, row by row, each centred in a cell of the largest width and height.

    The keyword arguments are the settings ``n_rows``, ``grid_prevent_empty_spots``,
    ``grid_background_color`` and ``img_max_size_mp``. Raises InvalidInput without pictures, or
    when the sheet would exceed ``max_megapixels``; the pictures themselves are not touched.
    """
    if not images:
        raise InvalidInput("A grid needs at least one picture.")
    shape = grid_shape(len(images), batch_size, rows, n_rows=n_rows, prevent_empty_spots=prevent_empty_spots)
    cell_w = max(image.width for image in images)
    cell_h = max(image.height for image in images)
    check_grid_size(cell_w * shape[1], cell_h * shape[0], max_megapixels)
    sheet = Image.new("RGBA", (cell_w * shape[1], cell_h * shape[0]), _color(background))
    for number, image in enumerate(images):
        row, column = divmod(number, shape[1])
        left = column * cell_w + (cell_w - image.width) // 2
        top = row * cell_h + (cell_h - image.height) // 2
        sheet.paste(image, (left, top))
    return sheet


def check_grid_size(width: int, height: int, max_megapixels: float | None) -> None:
    """Raise InvalidInput when a sheet of this size is over the limit (in millions of pixels)."""
    if max_megapixels and width * height > max_megapixels * 1_000_000:
        raise InvalidInput(
            f"The grid would be {width}x{height} ({width * height / 1e6:.0f} megapixels), "
            f"over the limit of {max_megapixels:g}. Use fewer or smaller pictures, "
            "or raise 'Maximum image size' in the settings."
        )


def _color(text: str) -> tuple[int, ...]:
    try:
        return tuple(ImageColor.getcolor(text, "RGBA"))  # type: ignore[arg-type]
    except ValueError:
        # A damaged setting must not cost the pictures of the job.
        return (255, 255, 255, 255)


class Grid(NamedTuple):
    """Overlapping tiles of a picture.

    ``tiles`` is a list of [y, height, row], a row is a list of [x, width, tile], all in pixels.
    The lists are meant to be changed: put the worked-on tile in place.
    """

    tiles: list[list[Any]]
    tile_w: int
    tile_h: int
    image_w: int
    image_h: int
    overlap: int

    @property
    def tile_count(self) -> int:
        """Number of tiles in all rows."""
        return sum(len(row) for _, _, row in self.tiles)


def split_grid(image: Image.Image, tile_w: int = 512, tile_h: int = 512, overlap: int = 64) -> Grid:
    """Cut a picture into tiles that overlap by at least ``overlap`` pixels and cover it evenly."""
    tops = _tile_starts(image.height, tile_h, overlap)
    lefts = _tile_starts(image.width, tile_w, overlap)
    tiles: list[list[Any]] = []
    for top in tops:
        row = [[left, tile_w, image.crop((left, top, left + tile_w, top + tile_h))] for left in lefts]
        tiles.append([top, tile_h, row])
    return Grid(tiles, tile_w, tile_h, image.width, image.height, overlap)


def _tile_starts(length: int, tile: int, overlap: int) -> list[int]:
    if overlap >= tile:
        raise InvalidInput(f"An overlap of {overlap} pixels needs tiles larger than that, not {tile}.")
    count = max(1, math.ceil((length - overlap) / (tile - overlap)))
    step = (length - tile) / (count - 1) if count > 1 else 0
    starts = [int(number * step) for number in range(count)]
    last = max(0, length - tile)
    return [min(start, last) for start in starts]


def combine_grid(grid: Grid) -> Image.Image:
    """Put tiles together (RGB), fading from one to the next over the overlap."""
    fade = np.arange(grid.overlap) * 255 / max(grid.overlap, 1)
    across = _mask(np.tile(fade, (grid.tile_h, 1)))
    down = _mask(np.tile(fade[:, None], (1, grid.image_w)))
    whole = Image.new("RGB", (grid.image_w, grid.image_h))
    for top, height, tiles in grid.tiles:
        band = Image.new("RGB", (grid.image_w, height))
        for left, _, tile in tiles:
            _lay(band, tile, (left, 0), (grid.overlap, 0), across if left else None)
        _lay(whole, band, (0, top), (0, grid.overlap), down if top else None)
    return whole


def _mask(values: np.ndarray) -> Image.Image:
    return Image.fromarray(values.astype(np.uint8))


def _lay(
    below: Image.Image,
    piece: Image.Image,
    at: tuple[int, int],
    fading: tuple[int, int],
    mask: Image.Image | None,
) -> None:
    """Paste ``piece``; the strip of ``fading`` pixels at its left or upper side goes through ``mask``."""
    if mask is None or not any(fading):
        below.paste(piece, at)
        return
    width, height = piece.size
    strip = piece.crop((0, 0, fading[0] or width, fading[1] or height))
    below.paste(strip, at, mask.crop((0, 0, *strip.size)))
    rest = piece.crop((fading[0], fading[1], width, height))
    below.paste(rest, (at[0] + fading[0], at[1] + fading[1]))
