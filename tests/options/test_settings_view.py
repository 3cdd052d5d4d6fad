from __future__ import annotations

import copy
import pickle

import pytest

from modules.errors import InvalidInput
from modules.options.settings import OptionInfo, default_options


def test_a_view_does_not_change_with_the_settings() -> None:
    opts = default_options()
    view = opts.view()
    opts.randn_source = "NV"
    opts.quicksettings_list.append("sd_vae")
    assert view.randn_source == "GPU"
    assert view["quicksettings_list"] == ["sd_model_checkpoint"]
    assert view.get("nothing") is None


def test_a_view_is_frozen() -> None:
    view = default_options().view()
    with pytest.raises(AttributeError, match="frozen"):
        view.tiling = True
    with pytest.raises(AttributeError, match="frozen"):
        del view.tiling
    with pytest.raises(AttributeError, match="no_such"):
        view.no_such  # noqa: B018


def test_overrides_make_another_view() -> None:
    view = default_options().view({"tiling": True})
    other = view.with_overrides({"CLIP_stop_at_last_layers": "2"}, s_noise=1.01)
    assert (view.tiling, view.CLIP_stop_at_last_layers) == (True, 1)
    assert (other.tiling, other.CLIP_stop_at_last_layers, other.s_noise) == (True, 2, 1.01)


def test_text_overrides_follow_the_spelling_of_infotext() -> None:
    view = default_options().view({"tiling": "False", "face_restoration": "CodeFormer", "eta_ddim": "0.5"})
    assert (view.tiling, view.face_restoration, view.eta_ddim) == (False, True, 0.5)


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        ({"unknown": 1}, "unknown"),
        ({"jpeg_quality": "good"}, "jpeg_quality"),
        ({"s_noise": float("nan")}, "s_noise"),
        ({"hidden_tabs": 5}, "hidden_tabs"),
        ({"infotext_explanation": "x"}, "infotext_explanation"),
    ],
)
def test_wrong_overrides_are_named(overrides: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        default_options().view(overrides)
    assert caught.value.field == field


def test_options_of_extensions_keep_their_values() -> None:
    opts = default_options()
    opts.add_option("mine", OptionInfo(default=None, label="Mine"))
    assert opts.view({"mine": {"any": "thing"}}).mine == {"any": "thing"}


def test_keys_of_absent_extensions_are_visible() -> None:
    opts = default_options()
    opts.data["of_an_absent_extension"] = 3
    assert opts.view().of_an_absent_extension == 3


def test_a_view_travels_to_other_processes() -> None:
    view = default_options().view({"tiling": True})
    assert pickle.loads(pickle.dumps(view)).tiling is True
    assert copy.deepcopy(view)["tiling"] is True


def test_requests_cannot_open_the_network() -> None:
    view = default_options().view({"api_forbid_local_requests": False, "tiling": True})
    assert (view.api_forbid_local_requests, view.tiling) == (True, True)
