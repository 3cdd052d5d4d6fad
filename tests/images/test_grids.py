from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from modules.errors import InvalidInput
from modules.images.grids import combine_grid, grid_shape, image_grid, split_grid


@pytest.mark.parametrize(
    ("count", "options", "shape"),
    [
        (4, {}, (2, 2)),
        (3, {}, (2, 2)),
        (5, {}, (2, 3)),
        (6, {}, (2, 3)),
        (7, {}, (3, 3)),
        (12, {}, (3, 4)),
        (1, {}, (1, 1)),
        (6, {"n_rows": 3}, (3, 2)),
        (2, {"n_rows": 16}, (2, 1)),
        (6, {"n_rows": 0, "batch_size": 2}, (2, 3)),
        (6, {"rows": 1, "n_rows": 3}, (1, 6)),
        (7, {"prevent_empty_spots": True}, (1, 7)),
        (8, {"prevent_empty_spots": True}, (2, 4)),
        (9, {"prevent_empty_spots": True}, (3, 3)),
    ],
)
def test_rows_and_columns(count: int, options: dict[str, int], shape: tuple[int, int]) -> None:
    assert grid_shape(count, **options) == shape  # type: ignore[arg-type]


@given(st.integers(1, 500), st.booleans(), st.integers(-1, 16), st.integers(1, 8))
def test_every_picture_has_a_cell(count: int, prevent: bool, n_rows: int, batch: int) -> None:
    rows, columns = grid_shape(count, batch, n_rows=n_rows, prevent_empty_spots=prevent)
    assert rows >= 1
    assert (columns - 1) * rows < count <= rows * columns


def test_pictures_stand_in_the_middle_of_their_cells_on_the_background() -> None:
    sheet = image_grid(
        [Image.new("RGB", (4, 4), "red"), Image.new("RGB", (2, 2), "blue"), Image.new("L", (4, 4), 7)],
        background="#00ff00",
    )
    assert (sheet.mode, sheet.size) == ("RGBA", (8, 8))
    assert sheet.getpixel((0, 0)) == (255, 0, 0, 255)
    assert sheet.getpixel((4, 0)) == (0, 255, 0, 255)
    assert sheet.getpixel((5, 1)) == (0, 0, 255, 255)
    assert sheet.getpixel((1, 5)) == (7, 7, 7, 255)
    assert sheet.getpixel((6, 6)) == (0, 255, 0, 255)


def test_a_damaged_colour_gives_white() -> None:
    assert image_grid([Image.new("RGB", (1, 1))] * 2, rows=3, background="none").size == (1, 2)
    sheet = image_grid([Image.new("RGB", (1, 1))] * 3, background="#zz")
    assert sheet.getpixel((1, 1)) == (255, 255, 255, 255)


def test_limits_of_a_grid() -> None:
    with pytest.raises(InvalidInput, match="megapixels"):
        image_grid([Image.new("1", (2000, 1000))] * 4, max_megapixels=7.9)
    assert image_grid([Image.new("1", (2000, 1000))] * 4, max_megapixels=8).size == (4000, 2000)
    with pytest.raises(InvalidInput, match="at least one"):
        image_grid([])


@pytest.mark.parametrize("size", [(100, 70), (64, 64), (65, 200), (40, 30), (512, 64)])
def test_split_and_combined_again_is_the_same_picture(size: tuple[int, int]) -> None:
    image = Image.merge("RGB", [Image.radial_gradient("L").resize(size) for _ in range(3)])
    grid = split_grid(image, 64, 48, 16)
    assert all(tile.size == (64, 48) for _, _, row in grid.tiles for _, _, tile in row)
    assert combine_grid(grid).tobytes() == image.tobytes()


def test_tiles_overlap_and_end_at_the_border() -> None:
    grid = split_grid(Image.new("RGB", (200, 100)), 64, 64, 16)
    assert grid.tile_count == 4 * 2
    lefts = [tile[0] for tile in grid.tiles[0][2]]
    assert lefts == [0, 45, 90, 136]
    assert [row[0] for row in grid.tiles] == [0, 36]
    assert all(b - a <= 64 - 16 for a, b in pairwise(lefts))


def test_tiles_are_faded_into_each_other() -> None:
    grid = split_grid(Image.new("RGB", (96, 64)), 64, 64, 32)
    for number, cell in enumerate(grid.tiles[0][2]):
        cell[2] = Image.new("RGB", (64, 64), "white" if number else "black")
    whole = combine_grid(grid)
    values = [whole.getpixel((x, 5))[0] for x in range(96)]  # type: ignore[index]
    assert values == sorted(values)
    assert (values[31], values[32], values[95]) == (0, 0, 255)
    assert 120 < values[48] < 135


def test_an_overlap_as_large_as_the_tile_is_refused() -> None:
    with pytest.raises(InvalidInput, match="overlap"):
        split_grid(Image.new("RGB", (100, 100)), 64, 64, 64)
