"""Names of tensors in the dialects of the trainers, and the layers that they mean."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from benchmarks import twins
from modules.checkpoints.building import build_empty
from modules.checkpoints.network_keys import TE, TE1, TE2, UNET, TensorName, parse_name
from modules.checkpoints.network_targets import model_targets
from modules.nets.clip_text import CLIPTextModel
from modules.nets.open_clip_text import OpenCLIPTextConfig, OpenCLIPTextModel
from modules.nets.unet import UNetModel
from tests.checkpoints.files import SDXL, TINY_CLIP

needs_oracles = pytest.mark.skipif(not twins.have_oracles(), reason="diffusers is not installed")

Q = "down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
LAYER = "text_model_encoder_layers_3"


@pytest.mark.parametrize(
    ("name", "place", "module", "role"),
    [
        (f"lora_unet_{Q}.lora_down.weight", UNET, Q, "down"),
        (f"lora_unet_{Q}.alpha", UNET, Q, "alpha"),
        (f"lora_unet_{Q}.dora_scale", UNET, Q, "dora_scale"),
        (f"lycoris_{Q}.lokr_w2_a", UNET, Q, "lokr_w2_a"),
        (f"lora_unet_{Q}.diff_b", UNET, Q, "diff_b"),
        (f"lora_unet_{Q}.a1.weight", UNET, Q, "a1"),
        (f"lora_unet_{Q}.weight", UNET, Q, "weight"),
        ("lora_unet_input_blocks_4_1_proj_in.lora_up.weight", UNET, "input_blocks_4_1_proj_in", "up"),
        (f"lora_te_{LAYER}_mlp_fc1.hada_w1_a", TE, f"{LAYER}_mlp_fc1", "hada_w1_a"),
        (f"lora_te1_{LAYER}_mlp_fc1.lora_mid.weight", TE1, f"{LAYER}_mlp_fc1", "mid"),
        (f"lora_te2_{LAYER}_mlp_fc2.lora_up.weight", TE2, f"{LAYER}_mlp_fc2", "up"),
        (
            "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight",
            UNET,
            Q,
            "down",
        ),
        (
            "base_model.model.unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.lora_B.weight",
            UNET,
            Q,
            "up",
        ),
        (
            "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora.down.weight",
            UNET,
            Q,
            "down",
        ),
        (
            "down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_out_lora.up.weight",
            UNET,
            Q.replace("to_q", "to_out_0"),
            "up",
        ),
        (
            "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.lora_magnitude_vector",
            UNET,
            Q,
            "dora_scale",
        ),
        (
            "text_encoder.text_model.encoder.layers.3.self_attn.q_proj.lora_linear_layer.up.weight",
            TE1,
            f"{LAYER}_self_attn_q_proj",
            "up",
        ),
        (
            "text_encoder.text_model.encoder.layers.3.self_attn.to_out_lora.down.weight",
            TE1,
            f"{LAYER}_self_attn_out_proj",
            "down",
        ),
        (
            "text_encoder_2.text_model.encoder.layers.3.self_attn.v_proj.lora_A.weight",
            TE2,
            f"{LAYER}_self_attn_v_proj",
            "down",
        ),
        ("diffusion_model.middle_block.1.proj_out.lora_down.weight", UNET, "middle_block_1_proj_out", "down"),
        ("model.diffusion_model.out.2.diff", UNET, "out_2", "diff"),
        ("clip_l.transformer.encoder.layers.3.mlp.fc1.lora_up.weight", TE1, f"{LAYER}_mlp_fc1", "up"),
    ],
)
def test_dialects(name: str, place: str, module: str, role: str) -> None:
    assert parse_name(name) == TensorName(place, module, role)


@pytest.mark.parametrize(
    "name", ["", "emb_params", "lora_unet_x.unheard_of", "transformer.blocks.0.lora_A.weight", ".alpha"]
)
def test_other_names_mean_nothing(name: str) -> None:
    assert parse_name(name) is None


SMALL = {
    "SD1": replace(twins.SD1_UNET, model_channels=32, context_dim=24),
    "SDXL": replace(
        SDXL,
        model_channels=32,
        transformer_depth=(0, 0, 1, 1, 2, 2),
        transformer_depth_output=(2, 2, 2, 1, 1, 1, 0, 0, 0),
        transformer_depth_middle=2,
        num_head_channels=16,
        context_dim=24,
        adm_in_channels=1600,
    ),
}
TOWER = OpenCLIPTextConfig(vocab_size=64, width=64, heads=4, layers=2, embed_dim=64)


def weights_by_name(
    unet: UNetModel, *texts: nn.Module, refiner: bool = False
) -> dict[tuple[str, str], Tensor]:
    """What ``model_targets`` finds under each name."""
    spec = SimpleNamespace(unet=unet.config, is_refiner=refiner)
    model = SimpleNamespace(unet=unet, text_encoders=texts, spec=spec)
    nets = (unet, *texts)
    found = {}
    for name, target in model_targets(model).items():  # type: ignore[arg-type]
        weight = nets[target.net].get_parameter(target.weight)
        found[name] = weight if target.rows is None else weight[slice(*target.rows)]
    return found


def layers_of(module: nn.Module) -> dict[str, Tensor]:
    """Path with underscores → weight."""
    return {
        path.replace(".", "_"): layer.weight
        for path, layer in module.named_modules()
        if isinstance(getattr(layer, "weight", None), nn.Parameter)
    }


@needs_oracles
@pytest.mark.parametrize("name", SMALL)
def test_every_layer_of_the_diffusers_unet_is_found(name: str) -> None:
    unet = twins.random_net(UNetModel, SMALL[name])
    ours = weights_by_name(unet)
    for path, weight in layers_of(twins.diffusers_unet(unet)).items():
        assert torch.equal(ours[UNET, path], weight), path


@needs_oracles
def test_every_layer_of_the_transformers_text_encoder_is_found() -> None:
    tower = twins.random_net(OpenCLIPTextModel, TOWER)
    clip = twins.random_net(CLIPTextModel, replace(TINY_CLIP, vocab_size=64))
    unet = build_empty(lambda: UNetModel(SMALL["SDXL"]))
    ours = weights_by_name(unet, clip, tower)  # type: ignore[arg-type]
    for path, weight in layers_of(clip).items():
        assert ours[TE1, path] is weight
    twin = layers_of(twins.transformers_open_clip(tower))
    assert any("q_proj" in path for path in twin)
    for path, weight in twin.items():
        if path not in ("text_projection", "text_model_embeddings_position_embedding"):
            assert torch.equal(ours[TE2, path], weight), path


def test_the_only_tower_of_the_refiner_is_the_second_of_sdxl() -> None:
    unet = build_empty(lambda: UNetModel(SMALL["SDXL"]))
    tower = build_empty(lambda: OpenCLIPTextModel(TOWER))
    places = {place for place, _ in weights_by_name(unet, tower, refiner=True)}  # type: ignore[arg-type]
    assert places == {UNET, TE2}
    alone = {place for place, _ in weights_by_name(unet, tower)}  # type: ignore[arg-type]
    assert alone == {UNET, TE, TE1}
