"""Guidance: what the network is asked, how the answers are combined, and the places to plug in."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from modules.checkpoints.conditioning import Conditioning
from modules.sampling.guidance import (
    GuidanceHooks,
    GuidanceOptions,
    GuidedDenoiser,
    LatentBlend,
    combine,
)
from modules.sampling.monitor import SamplingInterrupted
from modules.sampling.parameterization import NoiseSchedule, ScaledDenoiser, TimestepDenoiser
from tests.sampling.fakes import SD1_ALPHAS, TARGET, Constant, NormalModel, RecordingMonitor, composed, text

X = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
SIGMA = torch.tensor([2.0, 2.0])


def guided(
    cond: Constant, uncond: Conditioning, model: NormalModel | None = None, **given: Any
) -> GuidedDenoiser:
    names = GuidanceOptions.__dataclass_fields__
    options = {name: given.pop(name) for name in list(given) if name in names}
    return GuidedDenoiser(
        denoiser=ScaledDenoiser((model or NormalModel()).predict, NoiseSchedule(SD1_ALPHAS)),
        cond=cond,
        uncond=Constant(uncond),
        options=GuidanceOptions(**{"cfg_scale": 7.0, **options}),
        total_steps=10,
        monitor=given.pop("monitor", None) or RecordingMonitor(),
        **given,
    )


def expected(*shifts: float) -> Tensor:
    return torch.tensor(shifts).reshape(-1, 1, 1, 1).expand(-1, 4, 8, 8) + TARGET


def test_the_formula_of_guidance() -> None:
    model = NormalModel()
    denoiser = guided(composed(text(1.0, 2.0)), text(0.5, 0.5), model)
    # uncond + 7 · (cond − uncond)
    torch.testing.assert_close(denoiser(X, SIGMA), expected(4.0, 11.0), atol=1e-4, rtol=0)
    assert model.rows == [4]
    assert denoiser.step == 1


def test_without_batching_every_pass_is_its_own() -> None:
    model = NormalModel()
    denoiser = guided(composed(text(1.0, 2.0)), text(0.5, 0.5), model, batch_cond_uncond=False)
    torch.testing.assert_close(denoiser(X, SIGMA), expected(4.0, 11.0), atol=1e-4, rtol=0)
    assert model.rows == [2, 2]


def test_composition_weights() -> None:
    parts = [[(0, 1.0), (1, 0.5)], [(2, -0.4)]]
    denoiser = guided(composed(text(1.0, 2.0, 3.0), parts), text(0.5, 0.5))
    first = 0.5 + 7 * (0.5 + 0.5 * 1.5)
    second = 0.5 + 7 * (-0.4 * 2.5)
    torch.testing.assert_close(denoiser(X, SIGMA), expected(first, second), atol=1e-4, rtol=0)


def test_combine_takes_one_path_for_simple_and_one_for_general_parts() -> None:
    out = torch.arange(4.0).reshape(4, 1)
    simple = combine(out, [[(0, 1.0)], [(1, 1.0)]], 3.0)
    assert simple.flatten().tolist() == [2 - 6, 3 - 6]
    weighted = combine(out, [[(0, 1.0)], [(1, 0.5)]], 3.0)
    assert weighted.flatten().tolist() == [2 - 6, 3 - 3]


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize(("cond_tokens", "uncond_tokens"), [(154, 77), (77, 154)])
def test_unequal_lengths_are_asked_separately(batched: bool, cond_tokens: int, uncond_tokens: int) -> None:
    model = NormalModel()
    cond, uncond = text(1.0, 2.0, tokens=cond_tokens), text(0.5, 0.5, tokens=uncond_tokens)
    denoiser = guided(composed(cond), uncond, model, batch_cond_uncond=batched)
    torch.testing.assert_close(denoiser(X, SIGMA), expected(4.0, 11.0), atol=1e-4, rtol=0)
    assert model.tokens == [cond_tokens, uncond_tokens]
    assert model.rows == [2, 2]


def test_padding_with_the_empty_prompt() -> None:
    for cond_tokens, uncond_tokens in ((231, 77), (77, 231)):
        model = NormalModel()
        denoiser = guided(
            composed(text(1.0, tokens=cond_tokens)),
            text(0.5, tokens=uncond_tokens),
            model,
            pad_cond_uncond=True,
            empty_conditioning=lambda: torch.zeros(1, 77, 4),
        )
        out = denoiser(X[:1], SIGMA[:1])
        assert model.tokens == [231]
        assert denoiser.padded
        assert not denoiser.padded_v0
        # The mean of the padded rows is a third of what it was.
        cond, uncond = (1.0, 0.5 / 3) if cond_tokens == 231 else (1.0 / 3, 0.5)
        shift = uncond + 7 * (cond - uncond)
        torch.testing.assert_close(out, expected(shift), atol=1e-4, rtol=0)


def test_old_padding_repeats_or_cuts_the_negative_prompt() -> None:
    model = NormalModel()
    denoiser = guided(
        composed(text(1.0, tokens=154)), text(0.5), model, pad_cond_uncond_v0=True, pad_cond_uncond=True
    )
    torch.testing.assert_close(denoiser(X[:1], SIGMA[:1]), expected(4.0), atol=1e-4, rtol=0)
    denoiser = guided(composed(text(1.0)), text(0.5, tokens=154), model, pad_cond_uncond_v0=True)
    torch.testing.assert_close(denoiser(X[:1], SIGMA[:1]), expected(4.0), atol=1e-4, rtol=0)
    assert model.tokens == [154, 77]
    assert denoiser.padded_v0
    assert not denoiser.padded


def test_scale_1_needs_no_second_pass() -> None:
    model = NormalModel()
    denoiser = guided(composed(text(1.0, 2.0)), text(0.5, 0.5), model, cfg_scale=1.0)
    torch.testing.assert_close(denoiser(X, SIGMA), expected(1.0, 2.0), atol=1e-4, rtol=0)
    assert model.rows == [2]
    assert denoiser.extra == {}


@pytest.mark.parametrize(
    "given",
    [
        {"parts": [[(0, 0.7)], [(1, 1.0)]]},
        {"hooks": GuidanceHooks(after_model=(lambda seen: None,))},
        {"keep_uncond": True},
        {"preview_content": "Negative prompt"},
    ],
)
def test_scale_1_needs_it_when_somebody_looks_or_weights_differ(given: dict[str, Any]) -> None:
    model = NormalModel()
    parts = given.pop("parts", None)
    denoiser = guided(composed(text(1.0, 2.0), parts), text(0.5, 0.5), model, cfg_scale=1.0, **given)
    first = 0.5 + 0.7 * 0.5 if parts else 1.0
    torch.testing.assert_close(denoiser(X, SIGMA), expected(first, 2.0), atol=1e-4, rtol=0)
    assert model.rows == [4]


def test_scale_1_with_composition() -> None:
    model = NormalModel()
    denoiser = guided(composed(text(1.0, 2.0), [[(0, 0.25), (1, 0.75)]]), text(0.5), model, cfg_scale=1.0)
    torch.testing.assert_close(denoiser(X[:1], SIGMA[:1]), expected(1.75), atol=1e-4, rtol=0)
    assert model.rows == [2]


def test_skip_early_cfg() -> None:
    model = NormalModel()
    denoiser = guided(composed(text(1.0)), text(0.5), model, skip_early_cond=0.2)
    for _ in range(4):
        denoiser(X[:1], SIGMA[:1])
    # Steps 0, 1 and 2 of 10 are not later than 0.2.
    assert model.rows == [1, 1, 1, 2]
    assert denoiser.extra == {"Skip Early CFG": 0.2}


def test_negative_guidance_minimum_sigma() -> None:
    for every, rows in ((False, [2, 2, 2, 1]), (True, [2, 2, 1, 1])):
        model = NormalModel()
        denoiser = guided(composed(text(1.0)), text(0.5), model, s_min_uncond=1.5, s_min_uncond_all=every)
        for sigma in (2.0, 2.0, 1.0, 1.0):
            denoiser(X[:1], torch.tensor([sigma]))
        assert model.rows == rows
        notes = {"NGMS": 1.5, "NGMS all steps": True} if every else {"NGMS": 1.5}
        assert denoiser.extra == notes


def test_skipping_with_composition_uses_the_first_part_as_base() -> None:
    denoiser = guided(composed(text(1.0, 2.0), [[(0, 1.0), (1, 0.5)]]), text(0.5), skip_early_cond=1.0)
    torch.testing.assert_close(denoiser(X[:1], SIGMA[:1]), expected(1 + 0.5), atol=1e-4, rtol=0)


def test_steps_are_counted_by_call() -> None:
    cond = composed(text(1.0))
    denoiser = guided(cond, text(0.5))
    for _ in range(3):
        denoiser(X[:1], SIGMA[:1])
    assert cond.steps == [0, 1, 2]


def test_image_conditioning_follows_its_rows() -> None:
    seen = []

    class Inpainting(NormalModel):
        def predict(self, x: Tensor, timesteps: Tensor, cond: Conditioning) -> Tensor:
            assert cond.concat is not None
            seen.append(cond.concat[:, 0, 0, 0].tolist())
            return super().predict(x, timesteps, cond)

    channels = torch.tensor([10.0, 20.0]).reshape(2, 1, 1, 1).expand(2, 5, 8, 8)
    for batched in (True, False):
        denoiser = guided(
            composed(text(1.0, 2.0, 3.0), [[(0, 1.0), (1, 1.0)], [(2, 1.0)]]),
            text(0.5, 0.5),
            Inpainting(),
            image_conditioning=channels,
            batch_cond_uncond=batched,
        )
        denoiser(X, SIGMA)
    assert seen == [[10, 10, 20, 10, 20], [10, 10], [20, 10], [20]]


class PictureModel:
    """Predicts the value of its text plus, with a picture, that of its extra channels."""

    def __init__(self) -> None:
        self.inner, self.pictures = NormalModel(), []

    def predict(self, x: Tensor, timesteps: Tensor, cond: Conditioning) -> Tensor:
        assert cond.concat is not None
        seen = cond.concat[:, 0, 0, 0]
        self.pictures.append(seen.tolist())
        return self.inner.predict(x, timesteps, Conditioning(cond.crossattn + seen.reshape(-1, 1, 1)))


@pytest.mark.parametrize("batched", [True, False])
def test_edit_models_are_guided_by_text_and_picture(batched: bool) -> None:
    model: Any = PictureModel()
    picture = torch.tensor([10.0, 20.0]).reshape(2, 1, 1, 1).expand(2, 4, 8, 8)
    denoiser = guided(
        composed(text(1.0, 2.0)),
        text(0.5, 0.5),
        model,
        image_conditioning=picture,
        image_cfg_scale=1.5,
        batch_cond_uncond=batched,
        skip_early_cond=1.0,
    )
    # nothing + 1.5 · (picture − nothing) + 7 · (text − picture)
    first, second = 0.5 + 1.5 * 10 + 7 * 0.5, 0.5 + 1.5 * 20 + 7 * 1.5
    torch.testing.assert_close(denoiser(X, SIGMA), expected(first, second), atol=1e-3, rtol=0)
    assert [row for rows in model.pictures for row in rows] == [10, 20, 10, 20, 0, 0]
    assert len(model.pictures) == (1 if batched else 3)


@pytest.mark.parametrize("scale", [None, 1.0])
def test_edit_models_need_two_passes_without_guidance_by_the_picture(scale: float | None) -> None:
    model: Any = PictureModel()
    picture = torch.full((1, 4, 8, 8), 10.0)
    denoiser = guided(
        composed(text(1.0)), text(0.5), model, image_conditioning=picture, image_cfg_scale=scale
    )
    result = denoiser(X[:1], SIGMA[:1])
    torch.testing.assert_close(result, expected(10.5 + 7 * 0.5), atol=1e-3, rtol=0)
    assert model.pictures == [[10, 10]]


def test_hooks_see_and_replace() -> None:
    order: list[str] = []

    def on_step(denoiser: GuidedDenoiser, x: Tensor, sigma: Tensor) -> None:
        order.append(f"step {denoiser.step}")

    def on_input(given: Any) -> None:
        order.append(f"input {len(given.x)} of {len(given.cond)}+{len(given.uncond)}")
        given.uncond = text(1.0)

    def on_output(given: Any) -> None:
        order.append("output")
        given.x += 1

    def on_guided(given: Any) -> None:
        order.append("guided")
        given.x = given.x * 2

    hooks = GuidanceHooks((on_step,), (on_input,), (on_output,), (on_guided,))
    denoiser = guided(composed(text(1.0)), text(0.5), hooks=hooks)
    out = denoiser(X[:1], SIGMA[:1])
    torch.testing.assert_close(out, (expected(1.0) + 1) * 2, atol=1e-4, rtol=0)
    assert order == ["step 0", "input 2 of 1+1", "output", "guided"]


def test_a_hook_can_change_the_network_like_a_refiner() -> None:
    other = NormalModel()

    def switch(denoiser: GuidedDenoiser, x: Tensor, sigma: Tensor) -> None:
        if denoiser.step == 1:
            denoiser.denoiser = ScaledDenoiser(other.predict, NoiseSchedule(SD1_ALPHAS))
            denoiser.cond = composed(text(3.0))
            denoiser.extra["Refiner"] = "other"

    first = NormalModel()
    denoiser = guided(composed(text(1.0)), text(0.5), first, hooks=GuidanceHooks(before_step=(switch,)))
    denoiser(X[:1], SIGMA[:1])
    torch.testing.assert_close(denoiser(X[:1], SIGMA[:1]), expected(0.5 + 7 * 2.5), atol=1e-4, rtol=0)
    assert (first.rows, other.rows) == ([2], [2])
    assert denoiser.extra == {"Refiner": "other"}


def blend() -> LatentBlend:
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :4] = 1
    return LatentBlend(mask, 1 - mask, torch.full((1, 4, 8, 8), -5.0))


def test_inpainting_keeps_what_the_mask_covers() -> None:
    out = guided(composed(text(1.0)), text(0.5), blend=blend())(X[:1], SIGMA[:1])
    assert (out[..., :4] == -5).all()
    torch.testing.assert_close(out[..., 4:], expected(4.0)[..., 4:], atol=1e-4, rtol=0)


def test_timestep_samplers_blend_before_the_network() -> None:
    seen = []

    class Watched(NormalModel):
        def predict(self, x: Tensor, timesteps: Tensor, cond: Conditioning) -> Tensor:
            seen.append(x)
            return super().predict(x, timesteps, cond)

    denoiser = guided(composed(text(1.0)), text(0.5), blend=blend())
    denoiser.denoiser = TimestepDenoiser(Watched().predict, NoiseSchedule(SD1_ALPHAS))
    denoiser(X[:1], torch.tensor([500.0]))
    assert (seen[0][..., :4] == -5).all()
    assert torch.equal(seen[0][..., 4:], X[:1, :, :, 4:].expand(2, -1, -1, -1))


def test_mask_blend_hook_has_the_last_word() -> None:
    def darker(given: Any) -> None:
        assert given.sigma is not None
        given.blended_latent = given.blended_latent * 0

    hooks = GuidanceHooks(mask_blend=(darker,))
    out = guided(composed(text(1.0)), text(0.5), blend=blend(), hooks=hooks)(X[:1], SIGMA[:1])
    assert (out == 0).all()


@pytest.mark.parametrize(("content", "shift"), [("Prompt", 1.0), ("Negative prompt", 0.5), ("Combined", 4.0)])
def test_previews_show_what_the_setting_says(content: str, shift: float) -> None:
    monitor = RecordingMonitor()
    denoiser = guided(composed(text(1.0)), text(0.5), monitor=monitor, preview_content=content)
    denoiser(X[:1], SIGMA[:1])
    torch.testing.assert_close(monitor.latents[0], expected(shift), atol=1e-4, rtol=0)
    assert denoiser.last_latent is not None
    torch.testing.assert_close(denoiser.last_latent, expected(1.0), atol=1e-4, rtol=0)


def test_preview_of_a_timestep_sampler_is_the_clean_latent() -> None:
    monitor = RecordingMonitor()
    denoiser = guided(composed(text(1.0)), text(0.5), monitor=monitor)
    denoiser.denoiser = TimestepDenoiser(NormalModel().predict, NoiseSchedule(SD1_ALPHAS))
    denoiser(X[:1], torch.tensor([500.0]))
    torch.testing.assert_close(monitor.latents[0], expected(1.0), atol=1e-4, rtol=0)


def test_the_monitor_is_asked_before_every_model_call() -> None:
    model, monitor = NormalModel(), RecordingMonitor()
    denoiser = guided(
        composed(text(1.0, 2.0)), text(0.5, 0.5), model, monitor=monitor, batch_cond_uncond=False
    )
    denoiser(X, SIGMA)
    assert monitor.checks >= len(model.rows) == 2
    monitor.interrupted = True
    with pytest.raises(SamplingInterrupted):
        denoiser(X, SIGMA)
    assert len(model.rows) == 2
