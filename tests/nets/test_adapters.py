"""Every kind of adapter against its formula, written out with loops or with properties that must hold."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from modules.nets.adapters.base import Adapter
from modules.nets.adapters.table import make_adapter

OUT, IN, RANK = 8, 6, 2


@pytest.fixture
def random() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def normal(random: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=random)


def adapter_of(kind: str, **parts: Tensor) -> Adapter:
    adapter = make_adapter(parts)
    assert adapter is not None
    assert adapter.kind.name == kind
    return adapter


def change_of(
    adapter: Adapter, weight: Tensor, multiplier: float = 1.0, dyn_dim: int | None = None
) -> Tensor:
    """What the adapter adds to ``weight``."""
    assert adapter.fits(weight.shape)
    changed = weight.clone(memory_format=torch.preserve_format)
    adapter.add_to(changed, multiplier, dyn_dim)
    product = adapter.product(weight.device, dyn_dim)
    if product is not None:
        whole = product.left @ product.right.flatten(1) * product.factor * multiplier
        close(whole.reshape(weight.shape), changed - weight)
    return changed - weight


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=2e-5)


def test_lora_is_scaled_by_alpha_over_rank(random: torch.Generator) -> None:
    up, down = normal(random, OUT, RANK), normal(random, RANK, IN)
    weight = normal(random, OUT, IN)
    adapter = adapter_of("lora", up=up, down=down, alpha=torch.tensor(4.0))
    expected = torch.zeros(OUT, IN)
    for row in range(OUT):
        for column in range(IN):
            expected[row, column] = sum(up[row, r] * down[r, column] for r in range(RANK)) * 4 / RANK * 0.5
    close(change_of(adapter, weight, 0.5), expected)


def test_without_alpha_nothing_is_scaled_and_a_scale_wins(random: torch.Generator) -> None:
    parts = {"up": normal(random, OUT, RANK), "down": normal(random, RANK, IN)}
    product = parts["up"] @ parts["down"]
    close(change_of(adapter_of("lora", **parts), torch.zeros(OUT, IN)), product)
    scaled = adapter_of("lora", **parts, alpha=torch.tensor(9.0), scale=torch.tensor(0.25))
    close(change_of(scaled, torch.zeros(OUT, IN)), product / 4)


def test_a_dynamic_rank_keeps_the_first_components_and_the_scale(random: torch.Generator) -> None:
    up, down = normal(random, OUT, 4), normal(random, 4, IN)
    adapter = adapter_of("lora", up=up, down=down, alpha=torch.tensor(2.0))
    close(change_of(adapter, torch.zeros(OUT, IN), dyn_dim=1), up[:, :1] @ down[:1] / 2)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_locon_on_a_convolution_in_both_memory_orders(
    random: torch.Generator, layout: torch.memory_format
) -> None:
    up, down = normal(random, OUT, RANK, 1, 1), normal(random, RANK, IN, 3, 3)
    weight = normal(random, OUT, IN, 3, 3).to(memory_format=layout)
    expected = torch.einsum("or,rikl->oikl", up[:, :, 0, 0], down)
    close(change_of(adapter_of("lora", up=up, down=down), weight), expected)


def test_locon_with_a_kernel_of_its_own(random: torch.Generator) -> None:
    up, mid, down = (normal(random, OUT, 2, 1, 1), normal(random, 2, 3, 3, 3), normal(random, 3, IN, 1, 1))
    expected = torch.zeros(OUT, IN, 3, 3)
    for r in range(2):
        for s in range(3):
            outer = up[:, r, 0, 0, None] * down[s, None, :, 0, 0]
            expected += outer[:, :, None, None] * mid[r, s]
    adapter = adapter_of("lora", up=up, mid=mid, down=down)
    close(change_of(adapter, torch.zeros(OUT, IN, 3, 3)), expected)


def test_matrices_and_1x1_convolutions_stand_for_each_other(random: torch.Generator) -> None:
    up, down = normal(random, OUT, RANK), normal(random, RANK, IN)
    flat = adapter_of("lora", up=up, down=down)
    close(change_of(flat, torch.zeros(OUT, IN, 1, 1)), (up @ down)[:, :, None, None])
    spatial = adapter_of("lora", up=up[:, :, None, None], down=down[:, :, None, None])
    close(change_of(spatial, torch.zeros(OUT, IN)), up @ down)


def test_the_extra_channels_of_an_inpainting_model_stay(random: torch.Generator) -> None:
    adapter = adapter_of("full", diff=normal(random, OUT, 4, 3, 3))
    change = change_of(adapter, torch.zeros(OUT, 9, 3, 3))
    close(change[:, :4], adapter.parts["diff"])
    assert not change[:, 4:].any()


def test_loha_is_an_elementwise_product(random: torch.Generator) -> None:
    a1, b1 = normal(random, OUT, RANK), normal(random, RANK, IN)
    a2, b2 = normal(random, OUT, RANK), normal(random, RANK, IN)
    parts = {"hada_w1_a": a1, "hada_w1_b": b1, "hada_w2_a": a2, "hada_w2_b": b2}
    adapter = adapter_of("loha", **parts, alpha=torch.tensor(1.0))
    close(change_of(adapter, torch.zeros(OUT, IN)), (a1 @ b1) * (a2 @ b2) / RANK)


def test_loha_with_kernels_of_its_own(random: torch.Generator) -> None:
    cores = [normal(random, 2, 2, 3, 3) for _ in range(2)]
    lefts = [normal(random, 2, OUT) for _ in range(2)]
    rights = [normal(random, 2, IN) for _ in range(2)]
    expected = torch.ones(OUT, IN, 3, 3)
    for core, left, right in zip(cores, lefts, rights, strict=True):
        half = torch.zeros(OUT, IN, 3, 3)
        for r in range(2):
            for s in range(2):
                half += left[r][:, None, None, None] * right[s][None, :, None, None] * core[r, s]
        expected *= half
    adapter = adapter_of(
        "loha",
        hada_t1=cores[0],
        hada_w1_a=lefts[0],
        hada_w1_b=rights[0],
        hada_t2=cores[1],
        hada_w2_a=lefts[1],
        hada_w2_b=rights[1],
    )
    close(change_of(adapter, torch.zeros(OUT, IN, 3, 3)), expected)


def test_lokr_is_a_kronecker_product(random: torch.Generator) -> None:
    small, left, right = normal(random, 2, 3), normal(random, 4, RANK), normal(random, RANK, 2)
    large = left @ right
    expected = torch.zeros(8, 6)
    for i in range(2):
        for j in range(3):
            expected[i * 4 : i * 4 + 4, j * 2 : j * 2 + 2] = small[i, j] * large
    adapter = adapter_of("lokr", lokr_w1=small, lokr_w2_a=left, lokr_w2_b=right, alpha=torch.tensor(1.0))
    close(change_of(adapter, torch.zeros(8, 6)), expected / RANK)
    whole = adapter_of("lokr", lokr_w1=small, lokr_w2=large, alpha=torch.tensor(1.0))
    close(change_of(whole, torch.zeros(8, 6)), expected)


def test_lokr_on_a_convolution(random: torch.Generator) -> None:
    small, large = normal(random, 2, 3), normal(random, 4, 2, 3, 3)
    expected = torch.einsum("ab,cdkl->acbdkl", small, large).reshape(8, 6, 3, 3)
    close(change_of(adapter_of("lokr", lokr_w1=small, lokr_w2=large), torch.zeros(8, 6, 3, 3)), expected)


@pytest.mark.parametrize("shape", [(OUT, IN), (OUT, IN, 3, 3)])
def test_ia3_scales_outputs_or_inputs(random: torch.Generator, shape: tuple[int, ...]) -> None:
    weight = normal(random, *shape)
    rest = [1] * (len(shape) - 2)
    for on_input, count in ((False, OUT), (True, IN)):
        factor = normal(random, count)
        adapter = adapter_of("ia3", weight=factor, on_input=torch.tensor(on_input))
        wide = factor.reshape(1, -1, *rest) if on_input else factor.reshape(-1, 1, *rest)
        close(change_of(adapter, weight, 0.5), weight * wide * 0.5)


def test_glora_adds_to_what_it_multiplies(random: torch.Generator) -> None:
    a1, a2 = normal(random, RANK, IN), normal(random, IN, RANK)
    b1, b2 = normal(random, RANK, IN), normal(random, OUT, RANK)
    weight = normal(random, OUT, IN)
    adapter = adapter_of("glora", a1=a1, a2=a2, b1=b1, b2=b2)
    close(change_of(adapter, weight), weight @ (a2 @ a1) + b2 @ b1)


@pytest.mark.parametrize("shape", [(8, 5), (8, 5, 3, 3)])
@pytest.mark.parametrize("blocks", [(2, 4, 4), (2, 2, 4, 4)])
def test_oft_rotates_and_keeps_lengths(
    random: torch.Generator, shape: tuple[int, ...], blocks: tuple[int, ...]
) -> None:
    weight = normal(random, *shape)
    adapter = adapter_of("oft", oft_blocks=normal(random, *blocks), alpha=torch.tensor(0.0))
    turned = weight + change_of(adapter, weight)
    assert (turned - weight).abs().max() > 0.1
    gram, before = turned.flatten(1).T @ turned.flatten(1), weight.flatten(1).T @ weight.flatten(1)
    torch.testing.assert_close(gram, before, atol=1e-4, rtol=1e-4)
    still = adapter_of("oft", oft_blocks=torch.zeros(blocks), alpha=torch.tensor(0.0))
    close(change_of(still, weight), torch.zeros(shape))


def test_oft_blocks_touch_only_their_own_outputs(random: torch.Generator) -> None:
    blocks = torch.zeros(2, 4, 4)
    blocks[1] = normal(random, 4, 4)
    change = change_of(adapter_of("oft", oft_blocks=blocks), normal(random, 8, 5))
    assert not change[:4].any()
    assert change[4:].any()


def test_the_norm_of_oft_is_limited_by_alpha(random: torch.Generator) -> None:
    blocks, weight = normal(random, 2, 4, 4) * 10, normal(random, 8, 5)
    free = change_of(adapter_of("oft", oft_blocks=blocks), weight)
    bound = change_of(adapter_of("oft", oft_blocks=blocks, alpha=torch.tensor(1e-4)), weight)
    assert bound.abs().max() < 1e-2 < free.abs().max()


def test_butterfly_factors_are_block_rotations_between_shuffles(random: torch.Generator) -> None:
    """Each factor as one explicit 8 × 8 matrix."""
    blocks, weight = normal(random, 2, 4, 2, 2), normal(random, 8, 3)
    expected = weight
    for number in range(2):
        skew = blocks[number] - blocks[number].transpose(1, 2)
        eye = torch.eye(2)
        rotations = [(eye + part) @ torch.linalg.inv(eye - part) for part in skew]
        distance = 2**number
        pairs = [
            (start + offset, start + offset + distance)
            for start in range(0, 8, 2 * distance)
            for offset in range(distance)
        ]
        matrix = torch.zeros(8, 8)
        for (first, second), rotation in zip(pairs, rotations, strict=True):
            for row, out in enumerate((first, second)):
                matrix[out, first], matrix[out, second] = rotation[row]
        expected = matrix @ expected
    close(weight + change_of(adapter_of("oft", oft_blocks=blocks), weight), expected)


def test_rotations_of_early_files_and_rescaling(random: torch.Generator) -> None:
    rotation = torch.linalg.qr(normal(random, 4, 4))[0]
    weight, factor = normal(random, 8, 5), normal(random, 8, 1)
    adapter = adapter_of("oft", oft_diag=torch.stack([rotation, torch.eye(4)]), rescale=factor)
    expected = torch.cat([rotation.T @ weight[:4], weight[4:]]) * factor
    close(weight + change_of(adapter, weight), expected)


def test_norm_and_biases(random: torch.Generator) -> None:
    adapter = adapter_of("norm", w_norm=normal(random, OUT), b_norm=normal(random, OUT))
    close(change_of(adapter, torch.ones(OUT), 0.5), adapter.parts["w_norm"] / 2)
    bias = torch.ones(OUT)
    adapter.add_to_bias(bias, 2.0)
    close(bias, 1 + 2 * adapter.parts["b_norm"])
    full = adapter_of("full", diff=torch.zeros(OUT, IN), diff_b=torch.ones(OUT))
    assert full.changes_bias
    assert not adapter_of("full", diff=torch.zeros(OUT, IN)).changes_bias


@pytest.mark.parametrize("shape", [(OUT, IN), (OUT, IN, 3, 3), (OUT, OUT)])
@pytest.mark.parametrize("per_output", [False, True])
def test_dora_sets_the_length_of_columns_or_rows(
    random: torch.Generator, shape: tuple[int, ...], per_output: bool
) -> None:
    weight = normal(random, *shape)
    axis = 0 if per_output else 1
    lengths = normal(random, shape[axis]).abs() + 0.5
    sizes = [1] * len(shape)
    sizes[axis] = -1
    adapter = adapter_of(
        "full", diff=normal(random, *shape) * 0.1, dora_scale=lengths.reshape(sizes), alpha=torch.tensor(1.0)
    )
    merged = weight + change_of(adapter, weight)
    close(merged.transpose(0, axis).flatten(1).norm(dim=1), lengths)


def test_a_magnitude_without_axes_is_per_output(random: torch.Generator) -> None:
    weight, lengths = normal(random, OUT, IN), normal(random, OUT).abs() + 0.5
    adapter = adapter_of("full", diff=torch.zeros(OUT, IN), dora_scale=lengths)
    close((weight + change_of(adapter, weight)).norm(dim=1), lengths)


def test_sparse_additions_of_early_files(random: torch.Generator) -> None:
    up, down = normal(random, OUT, RANK), normal(random, RANK, IN)
    adapter = adapter_of(
        "lora",
        up=up,
        down=down,
        bias_indices=torch.tensor([[0, 2], [1, 3]]),
        bias_values=torch.tensor([5.0, -1.0]),
        bias_size=torch.tensor([OUT, IN]),
    )
    expected = up @ down
    expected[0, 1] += 5
    expected[2, 3] -= 1
    close(change_of(adapter, torch.zeros(OUT, IN)), expected)


def test_what_does_not_fit_is_known_before_anything_is_computed(random: torch.Generator) -> None:
    lora = adapter_of("lora", up=normal(random, OUT, RANK), down=normal(random, RANK, IN))
    assert not lora.fits((OUT, IN + 1))
    assert not lora.fits((OUT * 2, IN // 2))
    assert not adapter_of("lora", up=normal(random, OUT, 2), down=normal(random, 3, IN)).fits((OUT, IN))
    assert not adapter_of("oft", oft_blocks=normal(random, 3, 4, 4)).fits((OUT, IN))
    assert not adapter_of("oft", oft_blocks=normal(random, 3, 2, 4, 4)).fits((OUT, IN))
    sparse = {"bias_values": torch.ones(1), "bias_size": torch.tensor([OUT, IN])}
    outside = adapter_of("full", diff=torch.zeros(OUT, IN), bias_indices=torch.tensor([[99], [0]]), **sparse)
    assert not outside.fits((OUT, IN))
    assert not adapter_of("ia3", weight=normal(random, 5), on_input=torch.tensor(True)).fits((OUT, IN))


def test_tensors_of_no_kind_make_no_adapter() -> None:
    assert make_adapter({"up": torch.zeros(1, 1)}) is None
    assert make_adapter({"alpha": torch.tensor(1.0)}) is None
