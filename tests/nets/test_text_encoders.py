"""What the text encoders offer beside the plain forward pass."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmarks import twins
from modules.nets.clip_text import CLIPTextConfig, CLIPTextModel
from modules.nets.open_clip_text import OpenCLIPTextConfig, OpenCLIPTextModel

CLIP = CLIPTextConfig(
    vocab_size=100, hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=2
)
OPEN = OpenCLIPTextConfig(vocab_size=100, width=32, heads=2, layers=3, embed_dim=16)
NETS = [(CLIPTextModel, CLIP), (OpenCLIPTextModel, OPEN)]
IDS = torch.randint(0, 99, (2, 77), generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=NETS, ids=["clip", "open_clip"])
def net(request: pytest.FixtureRequest) -> Any:
    return twins.random_net(*request.param)


def test_stopping_early_gives_the_first_states(net: Any) -> None:
    states = net(IDS)
    assert len(states) == 4
    early = net(IDS, layers=2)
    assert len(early) == 3
    assert all(torch.equal(a, b) for a, b in zip(early, states, strict=False))


def test_embeddings_stand_in_for_tokens(net: Any) -> None:
    vectors = net.token_embedding(IDS)
    assert torch.equal(net(inputs_embeds=vectors)[-1], net(IDS)[-1])


def test_states_do_not_depend_on_later_tokens(net: Any) -> None:
    changed = IDS.clone()
    changed[:, 40:] = 7
    assert (net(changed)[-1][:, :40] - net(IDS)[-1][:, :40]).abs().max() < 1e-5
    assert (net(changed)[-1][:, 40:] - net(IDS)[-1][:, 40:]).abs().max() > 1e-2


def test_short_texts_are_taken(net: Any) -> None:
    assert (net(IDS[:, :5])[-1] - net(IDS)[-1][:, :5]).abs().max() < 1e-5


def test_neither_tokens_nor_embeddings_is_an_error(net: Any) -> None:
    with pytest.raises(ValueError, match="input_ids or inputs_embeds"):
        net()


def test_half_precision_stays_half(net: Any) -> None:
    states = net.to(torch.bfloat16)(IDS)
    assert all(state.dtype == torch.bfloat16 for state in states)


@pytest.mark.parametrize(("kind", "config"), NETS, ids=["clip", "open_clip"])
def test_on_the_meta_device_nothing_is_allocated(kind: Any, config: Any) -> None:
    with torch.device("meta"):
        net = kind(config)
    assert all(value.is_meta for value in net.state_dict().values())
    assert not list(net.buffers())


def test_real_sizes_have_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        clip, big = CLIPTextModel(CLIPTextConfig()), OpenCLIPTextModel(OpenCLIPTextConfig())
    assert sum(value.numel() for value in clip.parameters()) == 123_060_480
    assert sum(value.numel() for value in big.parameters()) == 694_659_841


def test_pooling_takes_the_end_token_of_each_row() -> None:
    net = twins.random_net(OpenCLIPTextModel, OPEN)
    ids = IDS.clone()
    ids[0, 4] = ids[1, 9] = 99
    states = net(ids)
    expected = (
        torch.stack([net.ln_final(states[-1][0, 4]), net.ln_final(states[-1][1, 9])]) @ net.text_projection
    )
    assert torch.allclose(net.pooled(states[-1], ids), expected, atol=1e-6)
