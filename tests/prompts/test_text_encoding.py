"""The encoders here are the real networks with a few random weights."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch

from modules.checkpoints.spec import ModelSpec, TextEncoderSpec
from modules.devices.policy import DevicePolicy
from modules.errors import EaselError, InvalidInput, ModelFileError
from modules.nets.clip_text import CLIPTextConfig, CLIPTextModel
from modules.nets.open_clip_text import OpenCLIPTextConfig, OpenCLIPTextModel
from modules.nets.unet import UNetConfig
from modules.prompts.chunks import TokenSequenceMatcher
from modules.prompts.size_vector import embed_numbers, size_numbers
from modules.prompts.text_encoding import TextSystem, encode_texts
from modules.prompts.text_options import TextOptions
from modules.prompts.tokenizer import ClipTokenizer
from tests.prompts.support import LearnedWord

WIDTH = 16
CLIP = CLIPTextConfig(hidden_size=WIDTH, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2)
OPEN_CLIP = OpenCLIPTextConfig(width=WIDTH, heads=2, layers=3, embed_dim=24)
PLAIN = TextOptions()


@dataclass
class StandIn:
    """As much of a model as encoding needs."""

    spec: ModelSpec
    text_encoders: tuple[object, ...]
    policy: DevicePolicy


def random_network(network: torch.nn.Module, seed: int) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.4, generator=generator)
    return network.eval().requires_grad_(False)


def make_model(*specs: TextEncoderSpec, size_fields: int = 0) -> StandIn:
    networks: list[torch.nn.Module] = []
    for number, spec in enumerate(specs):
        if isinstance(spec.config, CLIPTextConfig):
            networks.append(random_network(CLIPTextModel(spec.config), number))
        else:
            networks.append(random_network(OpenCLIPTextModel(spec.config), number))
    spec = ModelSpec("test", "Test", UNetConfig(), None, specs, size_fields=size_fields)
    return StandIn(spec, tuple(networks), DevicePolicy(torch.device("cpu")))


@pytest.fixture(scope="module")
def sd1() -> StandIn:
    return make_model(TextEncoderSpec("clip", "", CLIP, layer=3, final_norm=True))


@pytest.fixture(scope="module")
def sdxl() -> StandIn:
    return make_model(
        TextEncoderSpec("clip", "", CLIP, layer=2, final_norm=False),
        TextEncoderSpec("open_clip", "", OPEN_CLIP, layer=2, final_norm=False, pooled=True),
        size_fields=6,
    )


def test_texts_of_a_batch_get_the_length_of_the_longest(sd1: StandIn) -> None:
    cond = encode_texts(sd1, ["a cat", "a BREAK b BREAK c", "a cat"], PLAIN)
    assert cond.crossattn.shape == (3, 231, WIDTH)
    assert torch.equal(cond.crossattn[0], cond.crossattn[2])
    alone = encode_texts(sd1, ["a cat"], PLAIN).crossattn
    empty = encode_texts(sd1, [""], PLAIN).crossattn
    assert torch.allclose(cond.crossattn[0], torch.cat([alone, empty, empty], dim=1)[0], atol=1e-5)
    assert cond.vector is None


def test_chunks_are_read_apart_from_each_other(sd1: StandIn) -> None:
    both = encode_texts(sd1, ["a cat BREAK the sea"], PLAIN).crossattn
    parts = [encode_texts(sd1, [text], PLAIN).crossattn for text in ("a cat", "the sea")]
    assert torch.allclose(both, torch.cat(parts, dim=1), atol=1e-5)


def test_more_chunks_than_one_call_of_the_encoder_takes(sd1: StandIn) -> None:
    texts = [f"cat {number}" for number in range(40)]
    together = encode_texts(sd1, texts, PLAIN).crossattn
    assert torch.allclose(together[39], encode_texts(sd1, [texts[39]], PLAIN).crossattn[0], atol=1e-5)


def test_clip_skip_takes_an_earlier_layer_through_the_final_norm(sd1: StandIn) -> None:
    tokenizer = ClipTokenizer()
    ids = torch.tensor([[49406, *tokenizer.encode("a cat"), *[49407] * 74]])
    encoder = sd1.text_encoders[0]
    assert isinstance(encoder, CLIPTextModel)
    states = encoder(ids)
    for skip, layer in ((1, 3), (2, 2), (3, 1), (12, 0)):
        cond = encode_texts(sd1, ["a cat"], TextOptions(clip_skip=skip))
        assert torch.allclose(cond.crossattn, encoder.final_layer_norm(states[layer]), atol=1e-6)


def test_weights_change_the_words_that_bear_them(sd1: StandIn) -> None:
    plain = encode_texts(sd1, ["a cat"], PLAIN).crossattn
    multiplied = encode_texts(sd1, ["a (cat:1.5)"], TextOptions(emphasis="No norm")).crossattn
    assert torch.allclose(multiplied[0, 2], 1.5 * plain[0, 2])
    multiplied[0, 2] = plain[0, 2]
    assert torch.equal(multiplied, plain)
    original = encode_texts(sd1, ["a (cat:1.5)"], PLAIN).crossattn
    assert original.mean() == pytest.approx(plain.mean().item(), abs=1e-5)
    assert torch.equal(encode_texts(sd1, ["a (cat:1.5)"], TextOptions(emphasis="Ignore")).crossattn, plain)


def test_old_emphasis_has_its_own_reading(sd1: StandIn) -> None:
    old = encode_texts(sd1, ["a (cat) BREAK b"], TextOptions(use_old_emphasis=True, emphasis="No norm"))
    assert old.crossattn.shape[1] == 77
    literal = encode_texts(sd1, ["a cat break b"], PLAIN).crossattn
    assert torch.allclose(old.crossattn[0, 2], 1.1 * literal[0, 2], atol=1e-5)


def test_an_embedding_takes_the_place_of_token_vectors(sd1: StandIn) -> None:
    tokenizer = ClipTokenizer()
    word = LearnedWord("tinyemb", 3, WIDTH)
    matcher = TokenSequenceMatcher([word], tokenizer.encode)
    found = encode_texts(sd1, ["a tinyemb cat"], PLAIN, matcher=matcher).crossattn
    encoder = sd1.text_encoders[0]
    assert isinstance(encoder, CLIPTextModel)
    ids = torch.tensor([[49406, 320, 0, 0, 0, 2368, *[49407] * 71]])
    vectors = encoder.token_embedding(ids)
    vectors[0, 2:5] = word.vectors("clip_l")
    expected = encoder.final_layer_norm(encoder(inputs_embeds=vectors)[-1])
    assert torch.allclose(found, expected, atol=1e-6)


def test_an_embedding_of_another_family_is_named(sd1: StandIn) -> None:
    matcher = TokenSequenceMatcher([LearnedWord("tinyemb", 3, 99)], ClipTokenizer().encode)
    with pytest.raises(InvalidInput, match="tinyemb"):
        encode_texts(sd1, ["tinyemb"], PLAIN, matcher=matcher)


def test_an_unknown_emphasis_mode_is_refused(sd1: StandIn) -> None:
    with pytest.raises(InvalidInput, match="Loud"):
        encode_texts(sd1, ["a"], TextOptions(emphasis="Loud"))


def test_a_model_without_text_encoder_is_refused(sd1: StandIn) -> None:
    with pytest.raises(ModelFileError, match="no text encoder"):
        TextSystem.of(replace(sd1, text_encoders=()))


def test_half_precision_stays_half_unless_asked_otherwise() -> None:
    model = make_model(TextEncoderSpec("clip", "", CLIP, layer=3, final_norm=True))
    encoder = model.text_encoders[0]
    assert isinstance(encoder, CLIPTextModel)
    encoder.to(torch.bfloat16)
    assert encode_texts(model, ["a (cat:1.3)"], PLAIN).crossattn.dtype == torch.bfloat16
    assert encode_texts(model, ["a (cat:1.3)"], TextOptions(upcast=True)).crossattn.dtype == torch.float32


def test_sdxl_joins_two_encoders_and_the_sizes(sdxl: StandIn) -> None:
    options = TextOptions(width=640, height=512, crop_top=8, crop_left=16)
    cond = encode_texts(sdxl, ["a cat BREAK b", "a dog"], options)
    assert cond.crossattn.shape == (2, 154, 2 * WIDTH)
    assert cond.vector is not None
    assert cond.vector.shape == (2, 24 + 6 * 256)
    first = encode_texts(sdxl, ["a cat"], options)
    assert first.vector is not None
    assert torch.allclose(cond.vector[0], first.vector[0], atol=1e-5), "pooled from the first chunk"
    assert torch.equal(cond.vector[0, 24:], embed_numbers((512, 640, 8, 16, 512, 640)))


def test_sdxl_pads_its_second_encoder_with_zeros(sdxl: StandIn) -> None:
    encoder = sdxl.text_encoders[1]
    assert isinstance(encoder, OpenCLIPTextModel)
    ids = torch.tensor([[49406, 320, 2368, 49407, *[0] * 73]])
    states = encoder(ids)
    cond = encode_texts(sdxl, ["a cat"], PLAIN)
    assert cond.vector is not None
    assert torch.allclose(cond.crossattn[..., WIDTH:], states[2], atol=1e-6)
    assert torch.allclose(cond.vector[:, :24], encoder.pooled(states[-1], ids), atol=1e-6)


def test_clip_skip_of_sdxl_needs_its_setting(sdxl: StandIn) -> None:
    plain = encode_texts(sdxl, ["a cat"], PLAIN).crossattn
    assert torch.equal(encode_texts(sdxl, ["a cat"], TextOptions(clip_skip=3)).crossattn, plain)
    skipped = encode_texts(sdxl, ["a cat"], TextOptions(clip_skip=3, sdxl_clip_l_skip=True)).crossattn
    assert not torch.allclose(skipped[..., :WIDTH], plain[..., :WIDTH])
    assert torch.equal(skipped[..., WIDTH:], plain[..., WIDTH:])


def test_an_empty_negative_prompt_of_sdxl_is_zero(sdxl: StandIn) -> None:
    cond = encode_texts(sdxl, [""], PLAIN, negative=True)
    assert cond.vector is not None
    assert not cond.crossattn.any()
    assert not cond.vector[:, :24].any()
    assert cond.vector[:, 24:].any()
    assert encode_texts(sdxl, [""], PLAIN).crossattn.any()
    assert encode_texts(sdxl, ["", "a"], PLAIN, negative=True).crossattn[0].any()


def test_html_is_unescaped_only_for_open_clip(sdxl: StandIn) -> None:
    escaped, plain = (encode_texts(sdxl, [text], PLAIN).crossattn for text in ("<x> &amp; y", "<x> & y"))
    assert not torch.allclose(escaped[..., :WIDTH], plain[..., :WIDTH])
    assert torch.equal(escaped[..., WIDTH:], plain[..., WIDTH:])


def test_towers_of_different_length_are_filled_up(sdxl: StandIn) -> None:
    # 60 entities are 180 tokens for the one and 60 for the other.
    cond = encode_texts(sdxl, ["<x> " + "&amp; " * 60], PLAIN)
    assert cond.crossattn.shape[1] > 77


def test_the_numbers_beside_the_text() -> None:
    options = TextOptions(width=640, height=512, crop_top=8, crop_left=16)
    assert size_numbers(6, options, False) == (512, 640, 8, 16, 512, 640)
    assert size_numbers(5, options, False) == (512, 640, 8, 16, 6.0)
    assert size_numbers(5, options, True) == (512, 640, 8, 16, 2.5)
    with pytest.raises(EaselError, match="7 numbers"):
        size_numbers(7, options, True)
    vector = embed_numbers((0.0, 3.0), width=4)
    expected = [1, 1, 0, 0, torch.cos(torch.tensor(3.0)), torch.cos(torch.tensor(0.03))]
    assert torch.allclose(vector[:6], torch.tensor(expected), atol=1e-6)
