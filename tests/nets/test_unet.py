"""The UNet's tree of modules, its inputs and its types."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from benchmarks import twins
from modules.nets.layers import Conv2d, GroupNorm32, timestep_embedding
from modules.nets.transformer import BasicTransformerBlock, CrossAttention, SpatialTransformer
from modules.nets.unet import Downsample, ResBlock, TimestepEmbedSequential, UNetConfig, UNetModel, Upsample

SMALL = replace(twins.SD1_UNET, model_channels=32, context_dim=24)


def inputs(
    height: int = 8, width: int = 8, channels: int = 4
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, channels, height, width, generator=generator)
    return x, torch.tensor([1.0, 500.0]), torch.randn(2, 7, 24, generator=generator)


@pytest.fixture(scope="module")
def net() -> UNetModel:
    return twins.random_net(UNetModel, SMALL)


def test_the_tree_is_the_one_that_extensions_walk() -> None:
    with torch.device("meta"):
        net = UNetModel(twins.SD1_UNET)
    assert (len(net.input_blocks), len(net.output_blocks)) == (12, 12)
    assert all(
        isinstance(block, TimestepEmbedSequential) for block in [*net.input_blocks, *net.output_blocks]
    )
    assert [index for index, block in enumerate(net.input_blocks) if isinstance(block[0], Downsample)] == [
        3,
        6,
        9,
    ]
    assert [type(layer) for layer in net.middle_block] == [ResBlock, SpatialTransformer, ResBlock]
    assert [type(layer) for layer in net.output_blocks[2]] == [ResBlock, Upsample]
    assert [type(layer) for layer in net.output_blocks[5]] == [ResBlock, SpatialTransformer, Upsample]
    block = net.input_blocks[1][1].transformer_blocks[0]
    assert isinstance(block, BasicTransformerBlock)
    assert (block.attn1.heads, block.attn1.dim_head) == (8, 40)
    assert sum(1 for _ in net.attentions()) == 32
    assert sum(value.numel() for value in net.parameters()) == 859_520_964


def test_sdxl_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        net = UNetModel(twins.SDXL_UNET)
    assert sum(value.numel() for value in net.parameters()) == 2_567_463_684
    assert len(net.middle_block[1].transformer_blocks) == 10
    assert net.label_emb is not None
    assert net.num_classes == "sequential"


def test_on_the_meta_device_nothing_is_allocated() -> None:
    with torch.device("meta"):
        net = UNetModel(twins.SDXL_UNET)
    assert all(value.is_meta for value in net.state_dict().values())
    assert not list(net.buffers())


def test_depths_may_differ_per_block() -> None:
    config = replace(
        SMALL,
        transformer_depth=(0, 1, 2, 3, 0, 0, 1, 0),
        transformer_depth_output=(0, 1, 0, 0, 2, 0, 3, 0, 0, 0, 1, 0),
        transformer_depth_middle=-1,
    )
    net = twins.random_net(UNetModel, config)
    depths = [
        sum(len(layer.transformer_blocks) for layer in block if isinstance(layer, SpatialTransformer))
        for block in net.input_blocks
        if isinstance(block[0], ResBlock)
    ]
    assert depths == [0, 1, 2, 3, 0, 0, 1, 0]
    assert len(net.middle_block) == 0
    assert net(*inputs()).shape == (2, 4, 8, 8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_res_blocks": (2, 2)}, "num_res_blocks has 2 entries"),
        ({"transformer_depth": (1,)}, "transformer_depth has 1 entries, expected 8"),
        ({"transformer_depth_output": (1,)}, "transformer_depth_output has 1 entries, expected 12"),
    ],
)
def test_a_configuration_that_does_not_fit_together_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(UNetConfig(), **changes)


@pytest.mark.parametrize(("height", "width"), [(9, 11), (8, 13), (1, 1)])
def test_odd_sizes_keep_their_shape(net: UNetModel, height: int, width: int) -> None:
    out = net(*inputs(height, width))
    assert out.shape == (2, 4, height, width)
    assert out.isfinite().all()


def test_rows_of_a_batch_do_not_mix(net: UNetModel) -> None:
    x, times, context = inputs()
    both = net(x, times, context)
    single = net(x[1:], times[1:], context[1:])
    assert (both[1:] - single).abs().max() < 1e-5


def test_inputs_are_left_as_they_were(net: UNetModel) -> None:
    given = inputs()
    copies = [value.clone() for value in given]
    net(*given)
    assert all(torch.equal(value, copy) for value, copy in zip(given, copies, strict=True))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_16_bit_weights_give_nearly_the_same(net: UNetModel, dtype: torch.dtype) -> None:
    half = twins.random_net(UNetModel, SMALL).to(dtype)
    given = inputs()
    out = half(*given)
    assert out.dtype == torch.float32
    assert (out - net(*given)).abs().max() < 0.2
    assert half(given[0].to(dtype), *given[1:]).dtype == dtype


def test_a_missing_vector_is_named() -> None:
    net = twins.random_net(UNetModel, replace(SMALL, adm_in_channels=16))
    with pytest.raises(ValueError, match="vector conditioning"):
        net(*inputs())


def test_replaced_attention_forwards_are_called(net: UNetModel) -> None:
    seen: list[tuple[int, bool]] = []
    module = twins.random_net(UNetModel, SMALL)
    for name, layer in module.named_modules():
        if name.endswith(("attn1", "attn2")):
            original = layer.forward

            def forward(x, context=None, mask=None, original=original, **kwargs):  # noqa: ANN
                seen.append((x.shape[1], context is None))
                return original(x, context=context, mask=mask, **kwargs)

            layer.forward = forward
    given = inputs()
    assert torch.equal(module(*given), net(*given))
    assert len(seen) == 32
    assert sum(1 for _, is_self in seen if is_self) == 16


def test_gradients_reach_context_and_weights() -> None:
    """Training needs them; the layers that work in place must not stand in the way."""
    net = twins.random_net(UNetModel, SMALL).requires_grad_(True)
    x, times, context = inputs()
    context.requires_grad_(True)
    net(x, times, context).square().mean().backward()
    assert context.grad is not None
    assert context.grad.abs().max() > 0
    assert all(value.grad is not None for value in net.parameters())


def test_attention_upcasts_on_request() -> None:
    layer = CrossAttention(32, heads=2, dim_head=16).to(torch.bfloat16)
    seen = []
    layer.backend = lambda q, k, v, mask: seen.append(q.dtype) or v[:, :, :1].expand_as(q)
    x = torch.randn(1, 4, 32, dtype=torch.bfloat16)
    layer(x)
    layer.upcast = True
    out = layer(x)
    assert seen == [torch.bfloat16, torch.float32]
    assert out.dtype == torch.bfloat16


def test_timestep_embedding_begins_with_cosines() -> None:
    embedding = timestep_embedding(torch.tensor([0.0, 3.5]), 8)
    assert embedding[0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    frequencies = [10000 ** (-i / 4) for i in range(4)]
    expected = [math.cos(3.5 * f) for f in frequencies] + [math.sin(3.5 * f) for f in frequencies]
    assert embedding[1].tolist() == pytest.approx(expected, abs=1e-6)
    assert timestep_embedding(torch.tensor([1]), 7)[0, -1] == 0


def test_group_norm_is_exact_for_flat_maps_in_either_memory_order() -> None:
    norm = GroupNorm32(8, 32)
    x = 5 + 1e-3 * torch.randn(2, 32, 48, 40, generator=torch.Generator().manual_seed(0))
    exact = torch.nn.functional.group_norm(x.double(), 8, eps=norm.eps)
    for given in (x, x.to(memory_format=torch.channels_last)):
        assert (norm(given) - exact).abs().max() < 1e-3


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (4, 4), (5, 3), (24, 20)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_convolution_as_a_product_equals_the_convolution(
    stride: int, kernel: int, size: tuple[int, int], layout: torch.memory_format
) -> None:
    layer = Conv2d(8, 64, kernel, stride=stride, padding=kernel // 2)
    plain = torch.nn.Conv2d(8, 64, kernel, stride=stride, padding=kernel // 2).double()
    plain.load_state_dict(layer.state_dict())
    layer.to(memory_format=layout)
    x = torch.randn(2, 8, *size, generator=torch.Generator().manual_seed(0))
    for given in (x, x.to(memory_format=torch.channels_last)):
        assert (layer(given) - plain(x.double())).abs().max() < 1e-5


def test_a_convolution_that_wraps_around_is_never_a_product() -> None:
    """Seamless tiling sets the padding mode of every convolution."""
    layer = Conv2d(8, 64, 3, padding=1)
    layer.padding_mode = "circular"
    x = torch.randn(1, 8, 3, 3, generator=torch.Generator().manual_seed(0))
    rolled = layer(x.roll(1, dims=-1))
    assert (rolled - layer(x).roll(1, dims=-1)).abs().max() < 1e-5


def test_group_norm_takes_another_type_than_its_weights() -> None:
    norm = GroupNorm32(4, 8)
    x = torch.randn(2, 8, 5, 5) * 100
    half = norm(x.half())
    assert half.dtype == torch.float16
    assert (half.float() - norm(x)).abs().max() < 1e-2
