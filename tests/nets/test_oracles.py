"""The networks against diffusers and transformers with the same random weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks import twins
from modules.devices.attention import BACKENDS, PLAIN, XFORMERS
from modules.nets.autoencoder import AutoencoderConfig, AutoencoderKL
from modules.nets.clip_text import CLIPTextConfig, CLIPTextModel
from modules.nets.layers import timestep_embedding
from modules.nets.open_clip_text import OpenCLIPTextConfig, OpenCLIPTextModel
from modules.nets.unet import UNetConfig, UNetModel

pytestmark = pytest.mark.skipif(
    not twins.have_oracles(), reason="diffusers and transformers are not installed"
)

SD1 = replace(twins.SD1_UNET, model_channels=32, context_dim=24)
SDXL = replace(
    twins.SDXL_UNET,
    model_channels=32,
    context_dim=24,
    num_head_channels=16,
    transformer_depth=(0, 0, 1, 1, 3, 3),
    transformer_depth_output=(3, 3, 3, 1, 1, 1, 0, 0, 0),
    transformer_depth_middle=3,
    adm_in_channels=16 + 6 * 256,
)
SMALL_UNETS = {
    "sd1": SD1,
    "sd1-inpainting": replace(SD1, in_channels=9),
    "instruct-pix2pix": replace(SD1, in_channels=8),
    "sd2": replace(twins.SD2_UNET, model_channels=64, context_dim=24, num_head_channels=32),
    "sdxl": SDXL,
    "refiner": replace(
        SDXL,
        channel_mult=(1, 2, 4, 4),
        num_res_blocks=(2, 2, 2, 2),
        transformer_depth=(0, 0, 2, 2, 2, 2, 0, 0),
        transformer_depth_output=(0, 0, 0, 2, 2, 2, 2, 2, 2, 0, 0, 0),
        transformer_depth_middle=2,
    ),
    "distilled": replace(
        SDXL,
        transformer_depth=(0, 0, 2, 2, 4, 4),
        transformer_depth_output=(4, 4, 5, 2, 1, 1, 0, 0, 0),
        transformer_depth_middle=0,
    ),
}
REAL_UNETS = {"sd1": twins.SD1_UNET, "sd2": twins.SD2_UNET, "sdxl": twins.SDXL_UNET}


@pytest.fixture(autouse=True)
def _no_gradients() -> Any:
    with torch.inference_mode():
        yield


def rough(config: UNetConfig, height: int, width: int) -> dict[str, Any]:
    """Seeded inputs for our UNet."""
    generator = torch.Generator().manual_seed(1)
    inputs = {
        "x": torch.randn(2, config.in_channels, height, width, generator=generator),
        "timesteps": torch.tensor([10.5, 999.0]),
        "context": torch.randn(2, 7, config.context_dim or 1, generator=generator),
    }
    if config.adm_in_channels is not None:
        inputs["text"] = torch.randn(2, config.adm_in_channels - 6 * 256, generator=generator)
        inputs["sizes"] = torch.tensor([[512.0, 512, 0, 0, 1024, 1024], [1.0, 2, 3, 4, 5, 6]])
    return inputs


def both_unets(ours: UNetModel, inputs: dict[str, Any]) -> tuple[Tensor, Tensor]:
    x, times, context = inputs["x"], inputs["timesteps"], inputs["context"]
    y, extra = None, {}
    if "text" in inputs:
        sizes = timestep_embedding(inputs["sizes"].flatten(), 256).reshape(2, -1)
        y = torch.cat([inputs["text"], sizes], dim=1)
        extra = {"added_cond_kwargs": {"text_embeds": inputs["text"], "time_ids": inputs["sizes"]}}
    expected = twins.diffusers_unet(ours)(x, times, context, **extra).sample
    return ours(x, times, context, y), expected


def difference(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())


@pytest.mark.parametrize("name", SMALL_UNETS)
def test_unet_equals_diffusers_at_reduced_size(name: str) -> None:
    config = SMALL_UNETS[name]
    ours, theirs = both_unets(twins.random_net(UNetModel, config), rough(config, 8, 16))
    assert theirs.std() > 0.1
    assert difference(ours, theirs) < 2e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL_UNETS)
def test_unet_equals_diffusers_at_real_size(name: str) -> None:
    config = REAL_UNETS[name]
    ours, theirs = both_unets(twins.random_net(UNetModel, config), rough(config, 16, 8))
    assert theirs.std() > 0.1
    assert difference(ours, theirs) < 2e-4


def test_channels_last_weights_change_nothing() -> None:
    net = twins.random_net(UNetModel, SD1)
    inputs = rough(SD1, 8, 8)
    expected = net(inputs["x"], inputs["timesteps"], inputs["context"])
    net.to(memory_format=torch.channels_last)
    assert difference(net(inputs["x"], inputs["timesteps"], inputs["context"]), expected) < 2e-5


@pytest.mark.parametrize(
    "backend", [row for row in (*BACKENDS, PLAIN) if row is not XFORMERS], ids=lambda row: row.name
)
def test_every_attention_backend_gives_the_same_unet(backend: Any) -> None:
    net = twins.random_net(UNetModel, SD1)
    inputs = rough(SD1, 8, 16)
    expected = net(inputs["x"], inputs["timesteps"], inputs["context"])
    net.set_attention(backend)
    assert difference(net(inputs["x"], inputs["timesteps"], inputs["context"]), expected) < 1e-3


def check_autoencoder(config: AutoencoderConfig, height: int, width: int, tolerance: float) -> None:
    net = twins.random_net(AutoencoderKL, config)
    twin = twins.diffusers_vae(net)
    pixels = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(2)).clamp(-1, 1)
    mean, logvar = net.encode(pixels)
    expected = twin.encode(pixels).latent_dist
    assert difference(mean, expected.mean) < tolerance
    assert difference(logvar, expected.logvar) < tolerance
    assert difference(net.decode(mean), twin.decode(mean).sample) < tolerance


def test_autoencoder_equals_diffusers_at_reduced_size() -> None:
    check_autoencoder(AutoencoderConfig(ch=32), 32, 64, 1e-5)


@pytest.mark.slow
def test_autoencoder_equals_diffusers_at_real_size() -> None:
    check_autoencoder(AutoencoderConfig(), 128, 64, 1e-4)


def check_text(net: nn.Module, twin: nn.Module, vocab: int, tolerance: float) -> Any:
    ids = torch.randint(0, vocab - 1, (2, 77), generator=torch.Generator().manual_seed(3))
    ids[0, 10:] = ids[1, 30:] = vocab - 1
    states = net(ids)
    expected = twin(ids, output_hidden_states=True)
    assert len(states) == len(expected.hidden_states)
    for ours, theirs in zip(states, expected.hidden_states, strict=True):
        assert difference(ours, theirs) < tolerance
    assert difference(net.final_layer_norm(states[-1]), expected.last_hidden_state) < tolerance
    return ids, states, expected


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_clip_equals_transformers_at_reduced_size(activation: str) -> None:
    config = CLIPTextConfig(
        vocab_size=1000,
        hidden_size=64,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=4,
        hidden_act=activation,
    )
    net = twins.random_net(CLIPTextModel, config)
    check_text(net, twins.transformers_clip(net), 1000, 1e-5)


def test_open_clip_equals_transformers_at_reduced_size() -> None:
    config = OpenCLIPTextConfig(vocab_size=1000, width=64, heads=4, layers=3, embed_dim=48)
    net = twins.random_net(OpenCLIPTextModel, config)
    ids, states, expected = check_text(net, twins.transformers_open_clip(net), 1000, 1e-5)
    assert difference(net.pooled(states[-1], ids), expected.text_embeds) < 1e-5


@pytest.mark.slow
def test_clip_equals_transformers_at_real_size() -> None:
    net = twins.random_net(CLIPTextModel, CLIPTextConfig())
    check_text(net, twins.transformers_clip(net), 49408, 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [OpenCLIPTextConfig(), OpenCLIPTextConfig(width=1024, heads=16, layers=24, embed_dim=1024)],
    ids=["bigG", "H"],
)
def test_open_clip_equals_transformers_at_real_size(config: OpenCLIPTextConfig) -> None:
    net = twins.random_net(OpenCLIPTextModel, config)
    ids, states, expected = check_text(net, twins.transformers_open_clip(net), 49408, 1e-4)
    assert difference(net.pooled(states[-1], ids), expected.text_embeds) < 1e-4
