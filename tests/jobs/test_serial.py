"""What is written comes back as it was."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from modules.jobs.serial import (
    NotStorable,
    dump_plain,
    dump_request,
    load_plain,
    load_request,
    request_types,
    with_fixed_seeds,
)
from modules.processing.request import GenerationRequest, Txt2ImgRequest

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(value=PLAIN)
@settings(max_examples=80, deadline=None)
def test_plain_values_come_back(value: object) -> None:
    assert load_plain(dump_plain(value)) == value


@pytest.mark.parametrize("key", ["$picture", "$tuple", "$pairs", "$"])
def test_keys_that_look_like_marks_come_back(key: str) -> None:
    assert load_plain(dump_plain({key: [1]})) == {key: [1]}


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "P"])
def test_pictures_come_back_pixel_for_pixel(mode: str) -> None:
    picture = Image.radial_gradient("L").resize((9, 7)).convert(mode)
    back = load_plain(dump_plain([picture]))[0]
    assert (back.mode, back.size, back.tobytes()) == (picture.mode, picture.size, picture.tobytes())


@pytest.mark.parametrize("value", [object(), b"x", {1, 2}, Image.new("CMYK", (1, 1)), lambda: 1])
def test_other_values_are_refused(value: object) -> None:
    with pytest.raises(NotStorable):
        dump_plain({"a": [value]})


def test_every_kind_of_request_comes_back() -> None:
    assert {"GenerationRequest", "Txt2ImgRequest"} <= set(request_types())
    for kind in request_types().values():
        request = kind(prompt='日本 🪁 "quoted"', seed=2**40, override_settings={"a": [1, None]})
        back = load_request(dump_request(request))
        assert type(back) is kind and back == request


def test_fields_of_a_later_version_are_left_out() -> None:
    data = json.loads(dump_request(Txt2ImgRequest(prompt="x")))
    data["values"]["invented"] = 1
    assert load_request(json.dumps(data)) == Txt2ImgRequest(prompt="x")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"type": "object"}', '{"type": "Path", "values": {}}'])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        load_request(text)


def test_random_seeds_are_drawn_once() -> None:
    drawn = with_fixed_seeds(GenerationRequest())
    assert drawn.seed >= 0 and drawn.subseed >= 0
    assert with_fixed_seeds(drawn) is drawn
    assert with_fixed_seeds(GenerationRequest(seed=5)).seed == 5
    assert with_fixed_seeds("no request") == "no request"
