"""The yaml beside a checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from modules.checkpoints.yaml_config import ModelConfig, parse_config, read_yaml
from modules.errors import ModelFileError
from tests.paths import GOLDENS, HAVE_GOLDENS


def test_nothing_is_assumed() -> None:
    assert parse_config(None) == parse_config({}) == ModelConfig()


def test_the_layout_of_generative_models() -> None:
    content = {
        "model": {
            "params": {
                "scale_factor": 0.13025,
                "denoiser_config": {
                    "params": {
                        "num_idx": 1000,
                        "scaling_config": {
                            "target": "sgm.modules.diffusionmodules.denoiser_scaling.VScaling"
                        },
                        "discretization_config": {"params": {"linear_start": 0.001}},
                    }
                },
                "network_config": {"params": {"num_head_channels": 64}},
                "conditioner_config": {
                    "params": {
                        "emb_models": [
                            {"input_key": "txt", "target": "a.B", "params": {"heads": 20}},
                            {"input_key": "original_size_as_tuple", "target": "a.C"},
                            {
                                "input_key": "txt",
                                "target": "a.D",
                                "params": {"layer": "hidden", "layer_idx": 11},
                            },
                        ]
                    }
                },
            }
        }
    }
    config = parse_config(content)
    assert (config.prediction, config.num_timesteps, config.linear_start) == ("v", 1000, 0.001)
    assert dict(config.unet) == {"num_head_channels": 64}
    assert [(text.target, text.heads, text.layer, text.layer_index) for text in config.text] == [
        ("B", 20, None, None),
        ("D", None, "hidden", 11),
    ]


def test_latent_diffusion_without_the_key_means_noise() -> None:
    assert parse_config({"model": {"params": {"unet_config": {"target": "x"}}}}).prediction == "eps"


@pytest.mark.parametrize(
    ("params", "word"),
    [
        ({"linear_start": "soon"}, "linear_start"),
        ({"linear_start": -1}, "positive number"),
        ({"linear_end": float("nan")}, "linear_end"),
        ({"timesteps": 1.5}, "timesteps"),
        ({"timesteps": True}, "whole number"),
        ({"unet_config": "x"}, "unet_config"),
        ({"parameterization": 3}, "parameterization"),
        ({"denoiser_config": {"params": {"scaling_config": {"target": "a.Odd"}}}}, "Odd"),
    ],
)
def test_values_of_the_wrong_kind_are_named(params: dict[str, object], word: str) -> None:
    with pytest.raises(ModelFileError, match=word):
        parse_config({"model": {"params": params}})


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"a: [", "not valid YAML"),
        (b"just text", "no mapping"),
        (b"\xff\xfe\x00", "not valid YAML"),
        (b"!!python/object/apply:os.system ['true']", "not valid YAML"),
        (b"#" * 1_000_001, "larger than"),
        (b"[" * 5000, "not valid YAML"),
    ],
)
def test_files_that_are_no_configuration(tmp_path: Path, content: bytes, word: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=word):
        read_yaml(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="cannot be read"):
        read_yaml(tmp_path / "x.yaml")


@pytest.mark.skipif(not HAVE_GOLDENS, reason="the reference data is not beside the checkout")
def test_the_reference_files_are_read() -> None:
    folder = GOLDENS / "models" / "Stable-diffusion"
    found = {path.stem: parse_config(read_yaml(path)) for path in folder.glob("*.yaml")}
    assert {name for name, config in found.items() if config.prediction == "v"} == {"tiny-sd2-v"}
    assert [text.heads for text in found["tiny-sdxl"].text] == [4, 4]
    assert found["tiny-sd1-inpaint"].conditioning_key == "hybrid"
