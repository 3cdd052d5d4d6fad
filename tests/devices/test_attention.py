"""The attention table: one result from every backend, and the rule that chooses among them."""

from __future__ import annotations

import json
import math
from argparse import Namespace
from typing import Any

import pytest
import torch
from torch import Tensor

from modules.devices import attention_kernels as kernels
from modules.devices.attention import (
    BACKENDS,
    DOGGETTX,
    INVOKE_AI,
    PLAIN,
    SDP,
    SDP_NO_MEM,
    SPLIT_V1,
    SUB_QUADRATIC,
    XFORMERS,
    attention,
    available_backends,
    backend_titles,
    choose_backend,
)
from tests.paths import DATA

CPU, CUDA, MPS = (torch.device(name) for name in ("cpu", "cuda", "mps"))
CONTRACT_TABLE = json.loads((DATA / "attention_backends.json").read_text())["backends"]
RUNNABLE = [row for row in (*BACKENDS, PLAIN) if row is not XFORMERS]


def sample(
    batch: int = 2, heads: int = 3, queries: int = 37, keys: int = 53, dim: int = 16
) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(queries * keys)
    shapes = ((queries, dim), (keys, dim), (keys, dim))
    return tuple(torch.randn(batch, heads, *shape, generator=generator) for shape in shapes)


def exact(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, scale: float | None = None) -> Tensor:
    """The formula in float64, one row at a time."""
    q, k, v = q.double(), k.double(), v.double()
    scores = torch.einsum("bhnd,bhtd->bhnt", q, k) * (scale or 1 / math.sqrt(q.shape[-1]))
    if mask is not None:
        scores = torch.where(mask, scores, -math.inf)
    weights = torch.exp(scores - scores.amax(-1, keepdim=True))
    return (torch.einsum("bhnt,bhtd->bhnd", weights, v) / weights.sum(-1, keepdim=True)).float()


def test_names_titles_and_flags_are_those_that_users_know() -> None:
    rows = {row.name: row for row in BACKENDS}
    assert rows.keys() == {row["name"] for row in CONTRACT_TABLE}
    for expected in CONTRACT_TABLE:
        row = rows[expected["name"]]
        assert (row.title, row.flag) == (expected["title"], expected["cmd_opt"])


@pytest.mark.parametrize("backend", RUNNABLE, ids=lambda row: row.name)
@pytest.mark.parametrize("shape", [(2, 3, 37, 53), (1, 8, 64, 77), (1, 1, 1, 1), (3, 5, 300, 300)])
def test_every_backend_agrees_with_the_formula(backend: Any, shape: tuple[int, ...]) -> None:
    q, k, v = sample(*shape)
    assert (attention(q, k, v, backend=backend) - exact(q, k, v)).abs().max() < 1e-5


@pytest.mark.parametrize("backend", RUNNABLE, ids=lambda row: row.name)
def test_masks_and_scales_mean_the_same_everywhere(backend: Any) -> None:
    q, k, v = sample()
    mask = torch.rand(2, 1, 37, 53, generator=torch.Generator().manual_seed(0)) > 0.4
    mask[..., 0] = True
    out = attention(q, k, v, backend=backend, mask=mask, scale=0.5)
    assert (out - exact(q, k, v, mask, 0.5)).abs().max() < 1e-5
    key_mask = mask[:, :, :1]
    assert (attention(q, k, v, backend=backend, mask=key_mask) - exact(q, k, v, key_mask)).abs().max() < 1e-5


@pytest.mark.parametrize("backend", RUNNABLE, ids=lambda row: row.name)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_16_bit_inputs_give_16_bit_outputs(backend: Any, dtype: torch.dtype) -> None:
    q, k, v = (x.to(dtype) for x in sample())
    out = attention(q, k, v, backend=backend)
    assert out.dtype == dtype
    assert (out.float() - exact(q, k, v)).abs().max() < 2e-2


@pytest.mark.parametrize("backend", RUNNABLE, ids=lambda row: row.name)
def test_views_of_token_major_memory_are_taken(backend: Any) -> None:
    q, k, v = (x.transpose(1, 2).contiguous().transpose(1, 2) for x in sample())
    assert (attention(q, k, v, backend=backend) - exact(q, k, v)).abs().max() < 1e-5


@pytest.mark.parametrize(("q_chunk", "kv_chunk"), [(1, 1), (5, 7), (37, 10), (10, 53), (100, 100), (8, None)])
def test_sub_quadratic_chunks_change_nothing(q_chunk: int, kv_chunk: int | None) -> None:
    q, k, v = sample()
    mask = torch.ones(1, 1, 37, 53, dtype=torch.bool).tril(diagonal=3)
    options = {"q_chunk": q_chunk, "kv_chunk": kv_chunk, "threshold_percent": 0}
    assert (kernels.sub_quadratic(q, k, v, **options) - exact(q, k, v)).abs().max() < 1e-5
    masked = kernels.sub_quadratic(q, k, v, mask=mask, **options)
    assert (masked - exact(q, k, v, mask)).abs().max() < 1e-5


def test_the_running_softmax_survives_large_scores() -> None:
    """exp of the raw scores would overflow; the running maximum must keep the sum finite."""
    q, k, v = sample()
    out = kernels.sub_quadratic(q * 100, k * 100, v, q_chunk=8, kv_chunk=8, threshold_percent=0)
    assert (out - exact(q * 100, k * 100, v)).abs().max() < 1e-3


@pytest.mark.parametrize("parts", [1, 2, 5, 37, 64])
def test_slices_of_queries_change_nothing(parts: int) -> None:
    q, k, v = sample()
    assert (kernels.split_by_queries(q, k, v, parts=parts) - exact(q, k, v)).abs().max() < 1e-5


@pytest.mark.parametrize("budget", [10**9, 37 * 53 * 4 * 2, 37 * 53 * 4, 500, 1])
def test_a_fixed_budget_of_memory_changes_nothing(budget: int) -> None:
    q, k, v = sample()
    out = kernels.split_by_fixed_budget(q, k, v, budget=budget)
    assert (out - exact(q, k, v)).abs().max() < 1e-5


def flags(**values: Any) -> Namespace:
    return Namespace(**values)


def test_automatic_takes_the_fused_attention_of_torch() -> None:
    assert choose_backend("Automatic", flags()) is SDP
    assert choose_backend("Automatic", None) is SDP
    assert choose_backend("Automatic", flags(), CUDA) is SDP
    assert choose_backend("Automatic", flags(), MPS).name == "sub-quadratic"


@pytest.mark.parametrize("row", [row for row in BACKENDS if row is not XFORMERS], ids=lambda row: row.name)
def test_a_flag_chooses_its_backend(row: Any) -> None:
    assert choose_backend("Automatic", flags(**{row.flag: True})).name == row.name


def test_of_several_flags_the_highest_priority_goes_first() -> None:
    both = flags(opt_split_attention=True, opt_sdp_no_mem_attention=True, opt_split_attention_v1=True)
    assert choose_backend("Automatic", both, CUDA) is DOGGETTX
    assert (
        choose_backend("Automatic", flags(opt_split_attention=False, opt_split_attention_v1=True)) is SPLIT_V1
    )


def test_a_title_or_name_overrides_the_flags() -> None:
    asked = flags(opt_split_attention=True, disable_opt_split_attention=True)
    assert choose_backend(SDP_NO_MEM.title, asked) is SDP_NO_MEM
    assert choose_backend("InvokeAI", asked) is INVOKE_AI
    assert choose_backend("None", asked) is PLAIN


def test_disable_opt_split_attention_turns_automatic_into_none() -> None:
    assert (
        choose_backend("Automatic", flags(disable_opt_split_attention=True, opt_sdp_attention=True)) is PLAIN
    )


def test_an_unknown_title_counts_as_automatic() -> None:
    assert choose_backend("no such thing", flags()) is SDP
    assert choose_backend("xformers", flags(opt_split_attention_v1=True)) is SPLIT_V1


def test_sub_quadratic_takes_its_chunk_sizes_from_the_flags() -> None:
    chosen = choose_backend(
        SUB_QUADRATIC.title,
        flags(sub_quad_q_chunk_size=8, sub_quad_kv_chunk_size=5, sub_quad_chunk_threshold=0),
    )
    assert chosen.kernel.keywords == {"q_chunk": 8, "kv_chunk": 5, "threshold_percent": 0}
    q, k, v = sample()
    assert (chosen(q, k, v) - exact(q, k, v)).abs().max() < 1e-5


def test_xformers_is_offered_only_where_it_runs() -> None:
    assert XFORMERS not in available_backends(flags(xformers=True), CPU)
    assert XFORMERS not in available_backends(flags(), CUDA)
    titles = backend_titles(flags(), CPU)
    assert titles[0] == "Automatic"
    assert titles[-1] == "None"
    assert "xformers" not in titles
    assert SDP.title in titles
