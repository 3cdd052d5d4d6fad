"""Families and hyper-parameters from names and shapes: headers of real size, no tensors."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from modules.checkpoints.families import FAMILIES, canonical_names, detect
from modules.checkpoints.header import read_header
from modules.checkpoints.spec import ModelSpec
from modules.checkpoints.yaml_config import read_yaml
from modules.errors import ModelFileError
from modules.nets.autoencoder import AutoencoderConfig
from modules.nets.clip_text import CLIPTextConfig
from modules.nets.open_clip_text import OpenCLIPTextConfig
from modules.nets.unet import UNetConfig
from tests.checkpoints import files
from tests.checkpoints.files import Shapes, parameters_below
from tests.paths import GOLDENS, HAVE_GOLDENS

UNET = "model.diffusion_model."


@pytest.mark.parametrize(
    ("shapes", "parameters"),
    [
        (files.sd1_shapes(), 859_520_964),
        (files.sd2_shapes(), 865_910_724),
        (files.sdxl_shapes(), 2_567_463_684),
        (files.refiner_shapes(), 2_259_526_660),
        (files.ssd_shapes(), 1_331_334_404),
    ],
)
def test_the_test_headers_have_the_published_sizes(shapes: Shapes, parameters: int) -> None:
    assert parameters_below(shapes, UNET) == parameters
    assert parameters_below(shapes, "first_stage_model.") == 83_653_863


def check_flags(spec: ModelSpec, *expected: str) -> None:
    names = ("is_sd1", "is_sd2", "is_sdxl", "is_refiner", "is_ssd", "is_inpainting", "is_pix2pix")
    assert {name for name in names if getattr(spec, name)} == set(expected)


def test_sd1() -> None:
    spec = detect(files.sd1_shapes())
    assert (spec.family, spec.scale_factor, spec.native_size, spec.conditioning) == (
        "sd1",
        0.18215,
        512,
        "crossattn",
    )
    check_flags(spec, "is_sd1")
    assert spec.unet == UNetConfig(
        in_channels=4,
        out_channels=4,
        model_channels=320,
        channel_mult=(1, 2, 4, 4),
        num_res_blocks=(2, 2, 2, 2),
        transformer_depth=(1, 1, 1, 1, 1, 1, 0, 0),
        transformer_depth_output=(0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1),
        transformer_depth_middle=1,
        context_dim=768,
        num_heads=8,
        num_head_channels=None,
        use_linear_in_transformer=False,
        adm_in_channels=None,
    )
    assert spec.vae == AutoencoderConfig(
        in_channels=3, out_ch=3, ch=128, ch_mult=(1, 2, 4, 4), num_res_blocks=2, z_channels=4, embed_dim=4
    )
    (text,) = spec.text_encoders
    assert text.config == CLIPTextConfig(49408, 768, 3072, 12, 12, 77, "quick_gelu", 1e-5)
    assert (text.kind, text.prefix, text.layer, text.final_norm, text.pooled) == (
        "clip", "cond_stage_model.transformer.", 12, True, False,
    )  # fmt: skip
    assert (spec.linear_start, spec.linear_end, spec.num_timesteps) == (0.00085, 0.012, 1000)
    assert (spec.prediction, spec.prediction_source) == ("eps", "assumed")


def test_sd2() -> None:
    spec = detect(files.sd2_shapes())
    assert (spec.family, spec.scale_factor, spec.native_size) == ("sd2", 0.18215, 512)
    check_flags(spec, "is_sd2")
    assert spec.unet == files.SD2
    assert spec.unet.heads(320) == (5, 64)
    (text,) = spec.text_encoders
    assert text.config == OpenCLIPTextConfig(49408, 1024, 16, 24, 77, 1024)
    assert (text.kind, text.layer, text.final_norm, text.pooled) == ("open_clip", 23, True, False)
    assert (spec.prediction, spec.prediction_source) == ("eps", "assumed")


def test_sdxl() -> None:
    spec = detect(files.sdxl_shapes())
    assert (spec.family, spec.scale_factor, spec.native_size, spec.size_fields) == ("sdxl", 0.13025, 1024, 6)
    check_flags(spec, "is_sdxl")
    assert spec.unet == files.SDXL
    clip_l, clip_g = spec.text_encoders
    assert isinstance(clip_l.config, CLIPTextConfig)
    assert clip_g.config == OpenCLIPTextConfig(49408, 1280, 20, 32, 77, 1280)
    assert (clip_l.layer, clip_l.final_norm, clip_l.pooled) == (11, False, False)
    assert (clip_g.layer, clip_g.final_norm, clip_g.pooled) == (31, False, True)


def test_refiner() -> None:
    spec = detect(files.refiner_shapes())
    assert (spec.family, spec.scale_factor, spec.size_fields) == ("sdxl-refiner", 0.13025, 5)
    check_flags(spec, "is_sdxl", "is_refiner")
    assert spec.unet == files.REFINER
    assert spec.prediction_source == "family"
    (text,) = spec.text_encoders
    assert (text.prefix, text.layer, text.pooled) == ("conditioner.embedders.0.model.", 31, True)


def test_ssd_1b() -> None:
    spec = detect(files.ssd_shapes())
    assert spec.family == "ssd"
    check_flags(spec, "is_sdxl", "is_ssd")
    assert spec.unet == replace(
        files.SDXL,
        transformer_depth=(0, 0, 2, 2, 4, 4),
        transformer_depth_output=(4, 4, 10, 2, 1, 1, 0, 0, 0),
        transformer_depth_middle=0,
    )


def test_sdxl_without_a_middle_block_and_with_levels_without_transformers() -> None:
    """KOALA and Vega remove whole transformers, and KOALA the whole middle."""
    unet = replace(
        files.SDXL,
        num_res_blocks=(1, 1, 1),
        transformer_depth=(0, 2, 6),
        transformer_depth_output=(6, 6, 2, 0, 0, 0),
        transformer_depth_middle=-1,
    )
    shapes = files.checkpoint_shapes(
        unet,
        ("conditioner.embedders.0.transformer.", CLIPTextConfig()),
        ("conditioner.embedders.1.model.", OpenCLIPTextConfig()),
    )
    spec = detect(shapes)
    assert spec.family == "ssd"
    assert spec.unet == unet


@pytest.mark.parametrize(
    ("channels", "flag", "conditioning"),
    [(9, "is_inpainting", "hybrid"), (8, "is_pix2pix", "hybrid")],
)
def test_wider_inputs(channels: int, flag: str, conditioning: str) -> None:
    spec = detect(files.sd1_shapes(channels))
    check_flags(spec, "is_sd1", flag)
    assert (spec.unet.in_channels, spec.conditioning) == (channels, conditioning)
    assert (spec.prediction, spec.prediction_source) == ("eps", "family")


def test_sd2_inpainting_predicts_noise_without_being_asked() -> None:
    spec = detect(files.sd2_shapes(9))
    check_flags(spec, "is_sd2", "is_inpainting")
    assert (spec.prediction, spec.prediction_source) == ("eps", "family")


@pytest.mark.parametrize(("channels", "word"), [(5, "depth"), (7, "upscaling"), (6, "6 channels")])
def test_other_inputs_are_refused(channels: int, word: str) -> None:
    with pytest.raises(ModelFileError, match=word):
        detect(files.sd1_shapes(channels))


def test_sd2_turbo_keeps_its_text_encoder_elsewhere() -> None:
    shapes = {
        name.replace("cond_stage_model.", "conditioner.embedders.0."): shape
        for name, shape in files.sd2_shapes().items()
    }
    spec = detect(shapes)
    check_flags(spec, "is_sd2")
    assert spec.text_encoders[0].prefix == "conditioner.embedders.0.model."
    assert spec.text_encoders[0].final_norm


def test_early_names_of_the_text_encoder_are_read() -> None:
    shapes = {
        name.replace("cond_stage_model.transformer.text_model.", "cond_stage_model.transformer."): shape
        for name, shape in files.sd1_shapes().items()
    }
    assert detect(shapes).text_encoders == detect(files.sd1_shapes()).text_encoders
    renamed = canonical_names(["cond_stage_model.transformer.embeddings.token_embedding.weight"])
    assert list(renamed) == ["cond_stage_model.transformer.text_model.embeddings.token_embedding.weight"]


def test_current_names_win_when_a_file_has_both() -> None:
    new = "cond_stage_model.transformer.text_model.final_layer_norm.bias"
    old = "cond_stage_model.transformer.final_layer_norm.bias"
    assert canonical_names([new, old]) == canonical_names([old, new]) == {new: new}


def test_additional_tensors_are_tolerated() -> None:
    shapes = files.sd1_shapes() | {
        "model_ema.decay": (),
        "model_ema.diffusion_modelinput_blocks00weight": (320, 4, 3, 3),
        "cond_stage_model.transformer.text_model.embeddings.position_ids": (1, 77),
        "betas": (1000,),
        "global_step": (),
    }
    assert detect(shapes) == detect(files.sd1_shapes())


def test_the_prediction_comes_from_markers_metadata_or_yaml() -> None:
    xl = files.sdxl_shapes()
    marked = detect(xl | {"v_pred": (), "ztsnr": ()})
    assert (marked.prediction, marked.prediction_source, marked.zero_terminal_snr) == ("v", "marker", True)
    assert not detect(xl).zero_terminal_snr
    stated = detect(files.sd2_shapes(), {"modelspec.prediction_type": "v"})
    assert (stated.prediction, stated.prediction_source, stated.native_size) == ("v", "metadata", 768)
    stated = detect(files.sd2_shapes(), {"modelspec.prediction_type": "epsilon"})
    assert (stated.prediction, stated.prediction_source) == ("eps", "metadata")
    yaml = {"model": {"params": {"parameterization": "v", "unet_config": {}}}}
    chosen = detect(files.sd2_shapes(), {"modelspec.prediction_type": "epsilon"}, yaml)
    assert (chosen.prediction, chosen.prediction_source, chosen.native_size) == ("v", "yaml", 768)


def test_a_yaml_overrides_what_weights_leave_open() -> None:
    yaml = {
        "model": {
            "params": {
                "linear_start": 0.001,
                "linear_end": "2e-2",
                "timesteps": 500,
                "scale_factor": 0.5,
                "unet_config": {"params": {"num_heads": 4, "num_head_channels": -1}},
                "cond_stage_config": {
                    "target": "ldm.modules.encoders.modules.FrozenCLIPEmbedder",
                    "params": {"num_attention_heads": 6, "layer": "hidden", "layer_idx": -2},
                },
            }
        }
    }
    spec = detect(files.sd1_shapes(), None, yaml)
    assert (spec.linear_start, spec.linear_end, spec.num_timesteps) == (0.001, 0.02, 500)
    assert spec.scale_factor == 0.5
    assert (spec.unet.num_heads, spec.unet.num_head_channels) == (4, None)
    (text,) = spec.text_encoders
    assert isinstance(text.config, CLIPTextConfig)
    assert (text.config.num_attention_heads, text.layer, text.final_norm) == (6, 11, False)
    assert (spec.prediction, spec.prediction_source) == ("eps", "yaml")


@pytest.mark.parametrize(
    ("params", "word"),
    [
        ({"unet_config": {"params": {"num_heads": 7}}}, "divide"),
        ({"cond_stage_config": {"params": {"heads": 7}}}, "divide"),
        ({"cond_stage_config": {"params": {"layer": "hidden", "layer_idx": 13}}}, "layer_idx"),
        ({"parameterization": "x0"}, "x0"),
    ],
)
def test_a_yaml_that_cannot_be_is_refused(params: dict[str, object], word: str) -> None:
    with pytest.raises(ModelFileError, match=word):
        detect(files.sd1_shapes(), None, {"model": {"params": params}})


def without(shapes: Shapes, pattern: str) -> Shapes:
    return {name: shape for name, shape in shapes.items() if not re.match(pattern, name)}


def test_missing_parts_leave_the_family_known() -> None:
    spec = detect(without(files.sd1_shapes(), "cond_stage_model|first_stage_model"))
    assert (spec.family, spec.vae, spec.text_encoders) == ("sd1", None, ())
    assert detect(without(files.sd2_shapes(), "cond_stage_model")).family == "sd2"
    assert detect(without(files.sdxl_shapes(), "conditioner")).family == "sdxl"
    assert detect(without(files.refiner_shapes(), "conditioner")).family == "sdxl-refiner"


@pytest.mark.parametrize(
    ("pattern", "word"),
    [
        (r"model\.diffusion_model\.output_blocks\.11\.", "output blocks"),
        (r"model\.diffusion_model\.input_blocks\.4\.", "gaps"),
        (r"model\.diffusion_model\.out\.2\.weight", r"lacks the tensor out\.2\.weight"),
        (r"first_stage_model\.decoder\.norm_out\.weight", "lacks the tensor decoder"),
    ],
)
def test_gaps_are_named(pattern: str, word: str) -> None:
    with pytest.raises(ModelFileError, match=word):
        detect(without(files.sd1_shapes(), pattern))


def test_an_unknown_unet_is_refused_with_the_known_families() -> None:
    unet = UNetConfig(context_dim=512)
    with pytest.raises(ModelFileError, match=r"text width 512.*SD 1\.x") as caught:
        detect(files.checkpoint_shapes(unet))
    assert all(family.label in str(caught.value) for family in FAMILIES)


EXPECTED = {
    "tiny-sd1": ("sd1", "eps", False),
    "tiny-sd1-b": ("sd1", "eps", False),
    "tiny-sd1-inpaint": ("sd1", "eps", True),
    "tiny-sd2-v": ("sd2", "v", False),
    "tiny-sdxl": ("sdxl", "eps", False),
    "tiny-sdxl-refiner": ("sdxl-refiner", "eps", False),
}


@pytest.mark.skipif(not HAVE_GOLDENS, reason="the reference data is not beside the checkout")
@pytest.mark.parametrize("name", EXPECTED)
def test_the_reference_checkpoints(name: str) -> None:
    folder = GOLDENS / "models" / "Stable-diffusion"
    header = read_header(folder / f"{name}.safetensors")
    spec = detect(header.shapes, header.metadata, read_yaml(folder / f"{name}.yaml"))
    assert (spec.family, spec.prediction, spec.is_inpainting) == EXPECTED[name]
    assert all(encoder.width == 64 for encoder in spec.text_encoders)
