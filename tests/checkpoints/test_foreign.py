"""Files that are no checkpoint: each is named, with a remedy."""

from __future__ import annotations

import pytest

from modules.checkpoints.families import detect
from modules.errors import ModelFileError
from tests.checkpoints import files


@pytest.mark.parametrize(
    ("names", "what"),
    [
        ([], "empty file"),
        (["lora_unet_down_blocks_0_attentions_0_proj_in.lora_up.weight"], "LoRA.*folder Lora"),
        (["diffusion_model.input_blocks.1.1.proj_in.lora_A.weight"], "LoRA"),
        (["lora_te1_text_model_encoder_layers_0_mlp_fc1.hada_w1_a"], "LoRA"),
        (["decoder.conv_in.weight", "encoder.conv_in.weight", "quant_conv.weight"], "VAE alone.*folder VAE"),
        (["first_stage_model.decoder.conv_in.weight"], "VAE alone"),
        (["emb_params"], "textual inversion"),
        (["clip_g", "clip_l"], "textual inversion"),
        (["down_blocks.0.resnets.0.conv1.weight", "conv_in.weight"], "diffusers.*single-file"),
        (["encoder.down_blocks.0.resnets.0.conv1.weight"], "diffusers"),
        (["model.diffusion_model.joint_blocks.0.context_block.attn.qkv.weight"], "Stable Diffusion 3"),
        (["double_blocks.0.img_attn.qkv.weight"], "Flux"),
        (["control_model.input_hint_block.0.weight"], "ControlNet"),
        (["model.diffusion_model.input_blocks.1.0.time_stack.emb_layers.1.weight"], "video"),
        (["down_blocks.0.motion_modules.0.temporal_transformer.norm.weight"], "motion module"),
        (["image_proj.norm.weight", "ip_adapter.1.to_k_ip.weight"], "IP-Adapter"),
        (["input_blocks.0.0.weight"], "UNet alone"),
        (["text_model.embeddings.token_embedding.weight"], "text encoder alone"),
        (["conv_first.weight", "body.0.rdb1.conv1.weight"], "upscaler.*folder ESRGAN"),
        (["something.else"], "1 tensors of an unknown kind"),
    ],
)
def test_what_it_is_instead(names: list[str], what: str) -> None:
    with pytest.raises(ModelFileError, match=what):
        detect(dict.fromkeys(names, (4, 4, 3, 3)))


@pytest.mark.parametrize(
    ("extra", "what"),
    [
        ("cond_stage_model.roberta.embeddings.position_ids", "AltDiffusion"),
        ("noise_augmentor.betas", "unCLIP"),
        ("edm_vpred.sigma_max", "continuous noise schedule"),
    ],
)
def test_whole_checkpoints_of_other_kinds(extra: str, what: str) -> None:
    with pytest.raises(ModelFileError, match=what):
        detect(files.sd2_shapes() | {extra: (1,)})
