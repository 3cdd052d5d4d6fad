"""The judge is right about pictures whose content is known, and about what is not there."""

from __future__ import annotations

import numpy as np
import pytest

from tools.default_checkpoint.analysis import label
from tools.default_checkpoint.drawing import render
from tools.default_checkpoint.evaluate import check_judge, held_out_scenes, score
from tools.default_checkpoint.judge import judge
from tools.default_checkpoint.scenes import Group, Scene


def test_the_judge_is_right_about_the_renderers_own_pictures() -> None:
    result = check_judge(150)
    assert result.share("object") >= 0.97
    assert result.share("colour") >= 0.97
    assert result.share("background") >= 0.97
    assert result.share("count") >= 0.97


@pytest.mark.slow
def test_the_judge_is_right_about_many() -> None:
    result = check_judge(1200, seed=77)
    assert all(result.share(aspect) >= 0.97 for aspect in ("object", "colour", "background", "count"))
    assert all(result.style_share(style, "object") >= 0.95 for style in result.by_style)


@pytest.mark.parametrize("size", [(192, 192), (320, 192), (384, 384)])
def test_the_judge_reads_other_sizes(size: tuple[int, int]) -> None:
    for colour, back in (("red", "meadow"), ("yellow", "night"), ("purple", "plain white")):
        scene = Scene((Group("house", colour),), back, "flat")
        verdict = judge(render(scene, *size, seed=2))
        assert (verdict.object, verdict.colour, verdict.background) == ("house", colour, back)


def test_the_judge_notices_what_was_not_asked() -> None:
    scenes = held_out_scenes(20)
    wrong = [render(Scene((Group("ring", "green"),), "plain yellow", "flat"), seed=1)] * len(scenes)
    result = score(scenes, wrong)
    assert result.share("object") < 0.3
    assert result.share("colour") < 0.4
    assert result.share("background") < 0.3
    assert len(result.failures) >= 19


def test_an_empty_picture_shows_nothing() -> None:
    verdict = judge(np.full((256, 256, 3), (219, 48, 49), np.uint8))
    assert (verdict.object, verdict.count, verdict.background) == ("nothing", 0, "plain red")


def test_noise_and_odd_sizes_do_not_break_the_judge() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (200, 136, 3)).astype(np.uint8)
    assert judge(noise).background
    assert judge(np.zeros((8, 64, 3), np.uint8)).object == "nothing"


def test_connected_areas_are_numbered_apart() -> None:
    mask = np.array([[1, 1, 0, 1], [0, 1, 0, 1], [1, 0, 0, 1]], bool)
    labels = label(mask)
    assert len(set(labels[mask])) == 3
    assert labels[0, 0] == labels[1, 1]
    assert labels[0, 3] == labels[2, 3]
    assert not labels[~mask].any()
