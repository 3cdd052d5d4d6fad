"""Files that are no checkpoint we can load, and what to tell their owner.

One row a kind, tried in order. A row sees only names and shapes, never tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from modules.checkpoints.architecture import Shapes

Test = Callable[[Shapes], bool]


@dataclass(frozen=True)
class Foreign:
    """``what`` completes the sentence "It is ..."; ``remedy`` is a sentence of its own."""

    name: str
    what: str
    remedy: str
    matches: Test


def begins(*prefixes: str) -> Test:
    """Some name begins with one of ``prefixes``."""
    return lambda shapes: any(name.startswith(prefixes) for name in shapes)


def holds(*parts: str) -> Test:
    """Some name contains one of ``parts``."""
    return lambda shapes: any(part in name for name in shapes for part in parts)


def named(*names: str) -> Test:
    """One of ``names`` is there."""
    return lambda shapes: any(name in shapes for name in names)


def _empty(shapes: Shapes) -> bool:
    return not shapes


def _unet_input(channels: int) -> Test:
    def test(shapes: Shapes) -> bool:
        shape = shapes.get("model.diffusion_model.input_blocks.0.0.weight", ())
        return len(shape) == 4 and shape[1] == channels

    return test


_FOLDER = "Move it to the folder {} of the models."
_UNSUPPORTED = "This kind is not supported; use a checkpoint of SD 1.x, SD 2.x or SDXL."
_SINGLE_FILE = (
    "Convert it to a single-file checkpoint in the original layout (model.diffusion_model., "
    "first_stage_model., and text encoder in one file), or download that version of the model."
)

FOREIGN: tuple[Foreign, ...] = (
    Foreign("empty", "an empty file without any tensor", "Download it again.", _empty),
    Foreign(
        "lora",
        "a LoRA or a related network, no checkpoint",
        _FOLDER.format("Lora"),
        holds(
            "lora_unet_",
            "lora_te",
            ".lora_up.",
            ".lora_down.",
            ".lora_A.",
            ".lora_B.",
            ".hada_w1",
            ".lokr_w",
            ".oft_blocks",
            ".dora_scale",
        ),
    ),
    Foreign(
        "sd3",
        "a Stable Diffusion 3 checkpoint",
        _UNSUPPORTED,
        begins("model.diffusion_model.joint_blocks.", "joint_blocks."),
    ),
    Foreign(
        "flux",
        "a Flux checkpoint",
        _UNSUPPORTED,
        begins("model.diffusion_model.double_blocks.", "double_blocks."),
    ),
    Foreign(
        "svd",
        "a video model (Stable Video Diffusion)",
        _UNSUPPORTED,
        holds(".time_stack.", ".time_mixer."),
    ),
    Foreign("motion", "a motion module for videos", _UNSUPPORTED, holds("motion_modules.")),
    Foreign(
        "controlnet",
        "a ControlNet or T2I adapter, no checkpoint",
        "Move it to the model folder of the ControlNet extension.",
        holds("control_model.", "controlnet_", "input_hint_block.", "lora_controlnet", "adapter.body."),
    ),
    Foreign(
        "ip-adapter",
        "an IP-Adapter, no checkpoint",
        "Move it to the model folder of the extension that uses it.",
        begins("ip_adapter.", "image_proj."),
    ),
    Foreign(
        "diffusers",
        "a network in the layout of the diffusers library",
        _SINGLE_FILE,
        begins(
            "down_blocks.",
            "up_blocks.",
            "mid_block.",
            "unet.down_blocks.",
            "unet.conv_in.",
            "vae.decoder.",
            "encoder.down_blocks.",
            "decoder.up_blocks.",
            "transformer_blocks.",
            "single_transformer_blocks.",
        ),
    ),
    Foreign(
        "alt-diffusion",
        "an AltDiffusion checkpoint with a multilingual text encoder",
        _UNSUPPORTED,
        begins("cond_stage_model.roberta."),
    ),
    Foreign(
        "unclip",
        "an unCLIP checkpoint, which paints from pictures in place of text",
        _UNSUPPORTED,
        begins("noise_augmentor.", "embedder.model.visual."),
    ),
    Foreign(
        "edm",
        "a checkpoint with a continuous noise schedule (EDM)",
        _UNSUPPORTED,
        named("edm_mean", "edm_std", "edm_vpred.sigma_max", "edm_vpred.sigma_min"),
    ),
    Foreign("depth", "a depth-to-image checkpoint", _UNSUPPORTED, _unet_input(5)),
    Foreign("upscaler-x4", "the 4x upscaling diffusion model", _UNSUPPORTED, _unet_input(7)),
)
"""Kinds that are refused even when a UNet of ours seems to be in the file."""

FRAGMENTS: tuple[Foreign, ...] = (
    Foreign(
        "vae",
        "a VAE alone, no checkpoint",
        _FOLDER.format("VAE"),
        named("decoder.conv_in.weight", "first_stage_model.decoder.conv_in.weight"),
    ),
    Foreign(
        "embedding",
        "a textual inversion embedding, no checkpoint",
        "Move it to the folder embeddings.",
        named("emb_params", "string_to_param", "clip_l", "clip_g"),
    ),
    Foreign(
        "unet",
        "a UNet alone, without prefix, text encoder and VAE",
        _SINGLE_FILE,
        named("input_blocks.0.0.weight", "diffusion_model.input_blocks.0.0.weight"),
    ),
    Foreign(
        "text-encoder",
        "a text encoder alone, no checkpoint",
        "Use a checkpoint that has UNet, text encoder and VAE in one file.",
        begins(
            "text_model.", "transformer.resblocks.", "encoder.block.", "cond_stage_model.", "conditioner."
        ),
    ),
    Foreign(
        "upscaler",
        "an upscaler, no checkpoint",
        _FOLDER.format("ESRGAN"),
        begins("conv_first.", "model.0.", "body.0.", "model.1.sub."),
    ),
)
"""What a file without a UNet may be."""


def find_foreign(shapes: Shapes, rows: tuple[Foreign, ...]) -> Foreign | None:
    """The first row that matches."""
    return next((row for row in rows if row.matches(shapes)), None)
