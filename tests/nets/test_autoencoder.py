"""Shapes, types and names of the autoencoder."""

from __future__ import annotations

import torch

from benchmarks import twins
from modules.devices.attention import PLAIN
from modules.nets.autoencoder import AutoencoderConfig, AutoencoderKL

SMALL = AutoencoderConfig(ch=32)


def test_real_size_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        net = AutoencoderKL(AutoencoderConfig())
    assert sum(value.numel() for value in net.parameters()) == 83_653_863
    assert net.config.downscale == 8
    assert all(value.is_meta for value in net.state_dict().values())


def test_levels_of_the_decoder_are_numbered_from_the_full_size() -> None:
    with torch.device("meta"):
        names = AutoencoderKL(SMALL).state_dict()
    assert "decoder.up.3.upsample.conv.weight" in names
    assert not any(name.startswith("decoder.up.0.upsample") for name in names)
    assert "encoder.down.0.downsample.conv.weight" in names
    assert not any(name.startswith("encoder.down.3.downsample") for name in names)


def test_sizes_and_types() -> None:
    net = twins.random_net(AutoencoderKL, SMALL).to(torch.bfloat16)
    mean, logvar = net.encode(torch.zeros(2, 3, 24, 40))
    assert mean.shape == logvar.shape == (2, 4, 3, 5)
    assert net.decode(mean.float()).shape == (2, 3, 24, 40)
    assert net.decode(mean.float()).dtype == torch.bfloat16


def test_an_autoencoder_without_quant_convolutions() -> None:
    config = AutoencoderConfig(ch=32, z_channels=16, embed_dim=16, use_quant_conv=False)
    net = twins.random_net(AutoencoderKL, config)
    mean, _ = net.encode(torch.zeros(1, 3, 16, 16))
    assert mean.shape == (1, 16, 2, 2)
    assert net.decode(mean).shape == (1, 3, 16, 16)
    assert not any("quant" in name for name in net.state_dict())


def test_attention_backend_can_be_set() -> None:
    net = twins.random_net(AutoencoderKL, SMALL)
    latent = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    expected = net.decode(latent)
    net.set_attention(PLAIN)
    assert (net.decode(latent) - expected).abs().max() < 1e-3
    assert net.encoder.mid.attn_1.backend is net.decoder.mid.attn_1.backend is PLAIN
