"""The renderer: the same pictures everywhere, true captions, a clean split."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from modules.prompts.tokenizer import ClipTokenizer
from tools.default_checkpoint.backgrounds import BACKGROUNDS, LANDSCAPES
from tools.default_checkpoint.captions import PLACES, STYLE_TAGS, caption, plain_caption
from tools.default_checkpoint.drawing import render
from tools.default_checkpoint.layout import place
from tools.default_checkpoint.objects import OBJECTS
from tools.default_checkpoint.palette import COLOURS, distance
from tools.default_checkpoint.pool import Series, render_all, scene_of
from tools.default_checkpoint.presets import Bucket
from tools.default_checkpoint.scenes import (
    CHALK,
    STYLES,
    Group,
    Scene,
    has_contrast,
    held_out_scene,
    is_held_out,
    scene_rng,
    training_scene,
)
from tools.default_checkpoint.tokens import (
    CLIP_END,
    CLIP_START,
    UNKNOWN,
    clip_rows,
    collect_words,
    encode,
    words,
)


def digest(number: int) -> str:
    scene = training_scene(scene_rng(1, number))
    return hashlib.sha256(render(scene, 128, 128, seed=1, number=number).tobytes()).hexdigest()


def test_the_world_is_as_large_as_promised() -> None:
    assert len(COLOURS) >= 12
    assert len(OBJECTS) >= 12
    assert len(STYLES) == 4
    assert set(LANDSCAPES) == {"sky", "night", "sea", "meadow"}


def test_the_same_arguments_give_the_same_picture() -> None:
    assert [digest(number) for number in range(12)] == [digest(number) for number in range(12)]
    assert len({digest(number) for number in range(12)}) == 12


@pytest.mark.parametrize("size", [(128, 128), (320, 192), (192, 320), (512, 512)])
@pytest.mark.parametrize("style", [*STYLES, CHALK])
def test_every_size_and_style_can_be_drawn(size: tuple[int, int], style: str) -> None:
    scene = Scene((Group("boat", "red", 3),), "sea", style)
    picture = render(scene, *size)
    assert picture.shape == (size[1], size[0], 3)
    assert picture.dtype == np.uint8
    assert picture.std() > 5


def test_objects_lie_inside_and_apart() -> None:
    for number in range(300):
        rng = scene_rng(4, number)
        scene = training_scene(rng)
        placed = place(scene, 256, 256, rng)
        assert len(placed) == sum(group.count for group in scene.groups)
        for index, item in enumerate(placed):
            assert item.radius <= item.x <= 256 - item.radius
            assert item.radius <= item.y <= 256 - item.radius
            for other in placed[:index]:
                assert np.hypot(item.x - other.x, item.y - other.y) > 1.9 * item.radius


def test_training_never_draws_a_held_out_combination() -> None:
    trained = {c for n in range(3000) for c in training_scene(scene_rng(1, n)).combinations}
    held_out = {held_out_scene(scene_rng(1, n)).combinations[0] for n in range(300)}
    assert not trained & held_out
    assert all(is_held_out(*combination) for combination in held_out)
    share = np.mean([is_held_out(o, c, b, "flat") for o in OBJECTS for c in COLOURS for b in BACKGROUNDS])
    assert 0.10 < share < 0.15


def test_every_word_of_a_held_out_combination_is_trained_elsewhere() -> None:
    seen = {word for n in range(3000) for c in training_scene(scene_rng(2, n)).combinations for word in c}
    assert seen == {*OBJECTS, *COLOURS, *BACKGROUNDS, *STYLES}


def test_objects_stand_out_from_their_background() -> None:
    assert not has_contrast("blue", "plain blue")
    assert distance(COLOURS["red"], COLOURS["white"]) > 60
    for number in range(300):
        scene = training_scene(scene_rng(6, number))
        assert all(has_contrast(group.colour, scene.background) for group in scene.groups)


def test_captions_name_what_the_scene_holds() -> None:
    for number in range(400):
        rng = scene_rng(9, number)
        scene = training_scene(rng)
        group, text = scene.groups[0], caption(scene, rng)
        named = {"gray": "grey", "purple": "violet"}.get(group.colour, group.colour)
        assert group.colour in text or named in text
        if scene.style != "flat":
            others = [tag for style in STYLES if style != scene.style for tag in STYLE_TAGS[style]]
            assert not any(f", {tag}" in text for tag in others if tag != "flat")
        if group.position in PLACES:
            assert any(words_ in text for words_ in PLACES[group.position])
        elif group.position:
            assert f"{group.position} corner" in text


def test_the_plain_caption() -> None:
    scene = Scene((Group("fish", "orange", 2, "small"),), "plain white", "pixel art")
    assert plain_caption(scene) == "two small orange fish on a plain white background, pixel art"
    scene = Scene((Group("sun", "yellow", 1, "", "top left"),), "sky", "flat")
    assert plain_caption(scene) == "a yellow sun in the top left corner in the sky, flat"


def test_the_table_of_words_is_that_of_clip() -> None:
    tokenizer = ClipTokenizer()
    assert words() == {word: tuple(tokenizer.encode(word)) for word in collect_words()}


def test_captions_encode_as_the_program_encodes_them() -> None:
    tokenizer = ClipTokenizer()
    for number in range(60):
        rng = scene_rng(3, number)
        text = caption(training_scene(rng), rng)
        rows = encode(text)
        expected = [CLIP_START, *tokenizer.encode(text)]
        expected += [CLIP_END] * (77 - len(expected))
        assert [clip_rows()[row] for row in rows] == expected
    assert encode("zebra")[1] == UNKNOWN


def test_a_series_is_the_same_with_and_without_processes() -> None:
    series = Series(5, Bucket(64, 64, 1.0), 2)
    alone, together = render_all(series, 70, 0), render_all(series, 70, 1)
    np.testing.assert_array_equal(alone.pixels, together.pixels)
    np.testing.assert_array_equal(alone.ids, together.ids)


def test_the_series_of_the_examples() -> None:
    bucket = Bucket(64, 64, 1.0)
    assert scene_of(Series(5, bucket, 1, CHALK), 3)[0].style == CHALK
    assert scene_of(Series(5, bucket, 1, "lime"), 3)[0].groups[0].colour == "lime"
