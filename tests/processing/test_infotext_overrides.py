from __future__ import annotations

import json
from typing import Any

import pytest

from modules.options.settings import OptionInfo, default_options
from modules.processing.infotext_overrides import (
    allowed_settings,
    overrides_from_params,
    overrides_from_texts,
    paste_value,
)
from modules.processing.infotext_parsing import parse_infotext
from tests.paths import DATA

EXAMPLES = json.loads((DATA / "infotext_examples.json").read_text(encoding="utf-8"))
LINE = "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 7, Size: 512x640"


@pytest.mark.parametrize("example", EXAMPLES["examples_override"], ids=lambda example: example["input"][0])
def test_examples_of_the_contract(example: dict[str, Any]) -> None:
    assert overrides_from_texts(example["input"], default_options()) == example["output"]


def test_a_forged_text_reaches_no_path_and_no_protected_setting() -> None:
    opts = default_options()
    # Even a row or an extension that wrongly declares a name for such a setting does not open it.
    opts.data_labels["outdir_samples"].infotext = "Output"
    opts.data_labels["api_forbid_local_requests"].infotext = "Local requests"
    forged = (
        "outdir_samples: /etc, outdir_txt2img_samples: /etc, samples_filename_pattern: ../../x, "
        "Output: /etc, Local requests: False, temp_dir: /root, api_enable_requests: False, "
        "override_settings: {}, Output directory for images; if empty: /etc, RNG: CPU"
    )
    params = parse_infotext(f"p\n{LINE}, {forged}")
    result = {row.setting: row.value for row in overrides_from_params(params, opts, opts.view())}
    assert result == {"randn_source": "CPU"}
    assert overrides_from_texts(forged.split(", "), opts) == {"randn_source": "CPU"}
    allowed = {key for _, key in allowed_settings(opts)}
    assert len(allowed) == 51
    assert not allowed & set(opts.restricted_opts)
    assert not [key for key in allowed if "dir" in key.split("_") or "path" in key]


def test_only_differences_become_overrides() -> None:
    opts = default_options()
    params = parse_infotext(f"p\n{LINE}, Clip skip: 2, RNG: GPU, Eta: 1.0, ENSD: 5, VAE: x.pt")
    rows = overrides_from_params(params, opts, opts.view(), skip_fields=["ENSD"])
    assert [(row.infotext_name, row.setting, row.value) for row in rows] == [
        ("Clip skip", "CLIP_stop_at_last_layers", 2),
        ("VAE", "sd_vae", "x.pt"),
    ]


def test_the_checkpoint_is_taken_over_only_when_wanted() -> None:
    opts = default_options()
    opts.sd_model_checkpoint = "now"
    params = {"Model hash": "0123456789"}
    assert overrides_from_params(params, opts, opts.view()) == []
    opts.disable_weights_auto_swap = False
    (row,) = overrides_from_params(params, opts, opts.view())
    assert (row.setting, row.value) == ("sd_model_checkpoint", "0123456789")


def test_values_that_do_not_fit_are_left_out() -> None:
    opts = default_options()
    params = {"Clip skip": "two", "Eta": "nan", "Sigma noise": "1e999", "ENSD": "7", "Tiling": "True"}
    result = {row.setting: row.value for row in overrides_from_params(params, opts, opts.view())}
    assert result == {"eta_noise_seed_delta": 7, "tiling": True}
    assert overrides_from_texts(["no colon", "Clip skip: x", ": 5", "RNG : NV"], opts) == {
        "randn_source": "NV"
    }


def test_settings_of_extensions_take_part() -> None:
    opts = default_options()
    opts.add_option("strength", OptionInfo(0.5, "Strength", infotext="My strength"))
    assert overrides_from_texts(["My strength: 0.75"], opts) == {"strength": 0.75}


@pytest.mark.parametrize(
    ("current", "text", "result"),
    [
        (True, "False", False),
        (False, "anything", True),
        (5, "7.9", 7),
        (5, "x", 5),
        (5, "1e999", 5),
        (1.5, "2", 2.0),
        ("a", "b", "b"),
        (None, "b", "b"),
    ],
)
def test_pasted_values_take_the_type_of_their_input(current: Any, text: str, result: Any) -> None:
    pasted = paste_value(current, text)
    assert pasted == result
    assert type(pasted) is type(result)
