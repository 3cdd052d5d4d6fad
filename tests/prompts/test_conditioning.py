from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Sequence

import pytest
import torch

from modules.checkpoints.conditioning import Conditioning
from modules.prompts.cache import LruCache
from modules.prompts.chunks import TokenSequenceMatcher
from modules.prompts.conditioning import Pass, PromptConditioner, lengthen, stack_rows
from modules.prompts.text_encoding import EncodedTexts, TextSystem
from modules.prompts.text_options import TextOptions
from tests.prompts.support import LearnedWord
from tests.prompts.test_text_encoding import PLAIN, WIDTH, StandIn, encode_texts, sd1, sdxl

__all__ = ["sd1", "sdxl"]


class Counting(PromptConditioner):
    """Counts how often texts are encoded."""

    def __init__(self, model: StandIn) -> None:
        super().__init__(model)
        self.calls: list[tuple[str, ...]] = []
        system = self.system
        calls = self.calls

        class Spy(TextSystem):
            def encode(self, texts: Sequence[str], options: TextOptions, **rest: object) -> EncodedTexts:
                calls.append(tuple(texts))
                return system.encode(texts, options, **rest)  # type: ignore[arg-type]

        self.system = Spy(system.towers, system.size_fields, system.zero_when_empty)


def text_of(model: StandIn, text: str) -> torch.Tensor:
    return encode_texts(model, [text], PLAIN).crossattn[0]


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, atol=1e-5)


def test_a_text_stays_up_to_and_including_its_last_step(sd1: StandIn) -> None:
    schedule = PromptConditioner(sd1).cond(["a [cat:dog:4]"], Pass(8), PLAIN)
    cat, dog = text_of(sd1, "a cat"), text_of(sd1, "a dog")
    seen = [schedule.at(step).rows.crossattn[0] for step in range(8)]
    assert [close(row, cat) for row in seen] == [True] * 5 + [False] * 3
    assert all(close(row, dog) for row in seen[5:])


def test_behind_the_last_step_the_first_text_returns(sd1: StandIn) -> None:
    schedule = PromptConditioner(sd1).uncond(["[cat:dog:4]"], Pass(8), PLAIN)
    assert close(schedule.at(8).crossattn[0], text_of(sd1, "dog"))
    assert close(schedule.at(9).crossattn[0], text_of(sd1, "cat"))


def test_the_hires_pass_has_its_own_schedule(sd1: StandIn) -> None:
    conditioner = PromptConditioner(sd1)
    hires = conditioner.cond(["[cat:dog:1.5]"], Pass(10, hires_steps=8), PLAIN)
    assert close(hires.at(4).rows.crossattn[0], text_of(sd1, "cat"))
    assert close(hires.at(5).rows.crossattn[0], text_of(sd1, "dog"))
    old = conditioner.cond(["[cat:dog:5]"], Pass(10, 8, old_scheduling=True), PLAIN)
    assert close(old.at(5).rows.crossattn[0], text_of(sd1, "cat"))


def test_parts_and_pictures_share_what_is_equal(sd1: StandIn) -> None:
    conditioner = Counting(sd1)
    schedule = conditioner.cond(["a cat AND a dog:0.5", "a cat"], Pass(5), PLAIN)
    composed = schedule.at(0)
    assert composed.parts == [[(0, 1.0), (1, 0.5)], [(2, 1.0)]]
    assert len(composed.rows) == 3
    assert torch.equal(composed.rows.crossattn[0], composed.rows.crossattn[2])
    assert conditioner.calls == [("a cat",), (" a dog",)]


def test_and_is_only_read_in_prompts(sd1: StandIn) -> None:
    conditioner = PromptConditioner(sd1)
    literal = text_of(sd1, "a AND b")
    assert close(conditioner.uncond(["a AND b"], Pass(5), PLAIN).at(0).crossattn[0], literal)
    edit = conditioner.cond(["a AND b"], Pass(5), PLAIN, read_and=False).at(0)
    assert close(edit.rows.crossattn[0], literal)
    assert edit.parts == [[(0, 1.0)]]


def test_prompts_of_different_length_repeat_their_last_vector(sd1: StandIn) -> None:
    rows = PromptConditioner(sd1).cond(["a cat AND a BREAK b"], Pass(5), PLAIN).at(0).rows.crossattn
    assert rows.shape == (2, 154, WIDTH)
    cat = text_of(sd1, "a cat")
    assert close(rows[0, :77], cat)
    assert close(rows[0, 77:], cat[-1:].expand(77, -1))
    negative = PromptConditioner(sd1).uncond(["a", "a BREAK b"], Pass(5), PLAIN).at(0)
    assert negative.crossattn.shape == (2, 154, WIDTH)


def test_texts_of_one_schedule_are_filled_up_with_empty_chunks(sd1: StandIn) -> None:
    schedule = PromptConditioner(sd1).cond(["a [cat:BREAK b:2]"], Pass(5), PLAIN)
    first = schedule.at(0).rows.crossattn[0]
    assert first.shape == (154, WIDTH)
    assert close(first[77:], text_of(sd1, ""))


def test_alternation_is_encoded_once_per_text_and_kept_once(sd1: StandIn) -> None:
    conditioner = Counting(sd1)
    schedule = conditioner.cond(["[cat|dog]"], Pass(20), PLAIN)
    assert len(conditioner.calls) == 1
    assert conditioner.cache.bytes == 2 * 77 * WIDTH * 4
    steps = [schedule.at(step).rows.crossattn[0] for step in range(20)]
    assert close(steps[0], steps[1])
    assert close(steps[1], steps[3])
    assert not close(steps[1], steps[2])


def test_rows_are_stacked_anew_only_when_a_text_changes(sd1: StandIn) -> None:
    schedule = PromptConditioner(sd1).cond(["[cat:dog:2]", "x"], Pass(6), PLAIN)
    assert schedule.at(0).rows is schedule.at(2).rows
    assert schedule.at(2).rows is not schedule.at(3).rows


def test_the_cache_knows_everything_that_matters(sd1: StandIn) -> None:
    conditioner = Counting(sd1)

    def encodes(options: TextOptions, text: str = "a (cat:1.3)", steps: int = 5) -> bool:
        before = len(conditioner.calls)
        conditioner.cond([text], Pass(steps), options)
        return len(conditioner.calls) > before

    assert encodes(PLAIN)
    assert not encodes(PLAIN)
    assert not encodes(PLAIN, steps=9), "the same texts at other steps"
    assert not encodes(TextOptions(width=8, height=8)), "SD1 does not read the size"
    for options in (
        TextOptions(clip_skip=2),
        TextOptions(emphasis="No norm"),
        TextOptions(comma_padding_backtrack=0),
        TextOptions(use_old_emphasis=True),
        TextOptions(network_state="lora"),
    ):
        assert encodes(options)
    conditioner.matcher = TokenSequenceMatcher([LearnedWord("x", 1, WIDTH)], lambda name: [1])
    assert encodes(PLAIN)
    before = len(conditioner.calls)
    conditioner.uncond(["a (cat:1.3)"], Pass(5), PLAIN)
    assert len(conditioner.calls) == before, "SD1 reads a negative prompt like any other"


def test_sdxl_tells_negative_prompts_and_sizes_apart(sdxl: StandIn) -> None:
    conditioner = Counting(sdxl)
    assert conditioner.cond([""], Pass(5), PLAIN).at(0).rows.crossattn.any()
    assert not conditioner.uncond([""], Pass(5), PLAIN).at(0).crossattn.any()
    conditioner.cond([""], Pass(5), TextOptions(width=512))
    assert len(conditioner.calls) == 3


def test_the_encoding_of_nothing_is_there_to_fill_up_with(sdxl: StandIn) -> None:
    empty = PromptConditioner(sdxl).empty_chunk(PLAIN)
    assert torch.equal(empty, encode_texts(sdxl, [""], PLAIN).crossattn)


def test_the_conditioner_does_not_keep_its_model_alive(sd1: StandIn) -> None:
    model = StandIn(sd1.spec, sd1.text_encoders, sd1.policy)
    watched = weakref.ref(model)
    conditioner = PromptConditioner(model)
    del model
    gc.collect()
    assert watched() is None
    assert len(conditioner.uncond(["a"], Pass(5), PLAIN).at(0)) == 1


def test_lengthen_leaves_what_is_long_enough() -> None:
    tensor = torch.ones(1, 5, 2)
    assert lengthen(tensor, 5) is tensor
    assert lengthen(tensor, 7).shape == (1, 7, 2)
    assert len(stack_rows([Conditioning(tensor), Conditioning(torch.ones(1, 7, 2))])) == 2


def test_the_cache_forgets_the_oldest_first() -> None:
    cache: LruCache[bytes] = LruCache(10, len)
    for name in "abc":
        cache.get(name, lambda: b"1234")
    assert (len(cache), cache.bytes) == (2, 8)
    made: list[str] = []

    def make(name: str) -> bytes:
        made.append(name)
        return b"1234"

    cache.get("b", lambda: make("b"))
    cache.get("a", lambda: make("a"))
    cache.get("b", lambda: make("b"))
    assert made == ["a"], "b was used after c and stays"
    assert cache.get("huge", lambda: b"x" * 11) == b"x" * 11
    assert len(cache) == 2
    cache.clear()
    assert (len(cache), cache.bytes) == (0, 0)


def test_the_cache_counts_right_with_several_threads() -> None:
    cache: LruCache[bytes] = LruCache(300, len)

    def work(seed: int) -> None:
        for number in range(200):
            cache.get((number * seed) % 50, lambda: b"x" * 10)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 3, 7, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.bytes == 10 * len(cache) <= 300


def test_a_batch_of_no_prompt_is_refused(sd1: StandIn) -> None:
    with pytest.raises(ValueError):
        PromptConditioner(sd1).uncond([], Pass(5), PLAIN).at(0)
