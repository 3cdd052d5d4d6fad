"""The way between σ, timesteps and the three conventions of a denoiser."""

from __future__ import annotations

import pytest
import torch

from modules.sampling.parameterization import (
    SMALLEST_ALPHA_BAR,
    ConsistencyDenoiser,
    ConsistencySchedule,
    NoiseSchedule,
    ScaledDenoiser,
    TimestepDenoiser,
    schedule_alphas,
)
from tests.sampling.fakes import SD1_ALPHAS, TARGET, NormalModel, text


def test_known_range_of_sd1() -> None:
    schedule = NoiseSchedule(SD1_ALPHAS)
    assert schedule.sigma_min == pytest.approx(0.029167532920837402, rel=1e-6)
    assert schedule.sigma_max == pytest.approx(14.614642143249512, rel=1e-6)


def test_timestep_and_level_are_inverse() -> None:
    schedule = NoiseSchedule(SD1_ALPHAS)
    t = torch.tensor([0.0, 0.25, 17.0, 500.5, 998.75, 999.0])
    torch.testing.assert_close(schedule.sigma_to_t(schedule.t_to_sigma(t)), t, atol=2e-2, rtol=0)
    assert torch.equal(schedule.sigma_to_t(torch.tensor([1e-5, 1e5])), torch.tensor([0.0, 999.0]))


def test_quantized_timesteps_are_whole() -> None:
    schedule = NoiseSchedule(SD1_ALPHAS, quantize=True)
    near = schedule.sigmas[[0, 300, 999]] * 1.0001
    assert schedule.sigma_to_t(near).tolist() == [0, 300, 999]


def test_prediction_must_be_known() -> None:
    with pytest.raises(ValueError, match="'x0'"):
        NoiseSchedule(SD1_ALPHAS, "x0")


def test_zero_terminal_snr_reaches_pure_noise() -> None:
    alphas = schedule_alphas(SD1_ALPHAS, zero_snr=True)
    assert float(alphas[-1]) == pytest.approx(SMALLEST_ALPHA_BAR)
    assert float(alphas[0]) == pytest.approx(float(SD1_ALPHAS[0]))
    assert (alphas.diff() < 0).all()


def test_downcast_rounds_and_stays_finite_with_zero_snr() -> None:
    assert schedule_alphas(SD1_ALPHAS, downcast=True).dtype == torch.float16
    both = NoiseSchedule(schedule_alphas(SD1_ALPHAS, downcast=True, zero_snr=True))
    assert torch.isfinite(both.sigmas).all()
    assert torch.equal(schedule_alphas(SD1_ALPHAS), SD1_ALPHAS)


@pytest.mark.parametrize("prediction", ["eps", "v"])
@pytest.mark.parametrize("sigma", [0.03, 1.0, 14.6])
def test_scaled_denoiser_finds_the_data(prediction: str, sigma: float) -> None:
    model = NormalModel(prediction)
    denoiser = ScaledDenoiser(model.predict, NoiseSchedule(SD1_ALPHAS, prediction))
    x = TARGET + sigma * torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    levels = torch.full((2,), sigma)
    out = denoiser(x, levels, text(0.0, 0.0))
    torch.testing.assert_close(out, torch.full_like(x, TARGET), atol=1e-2, rtol=0)
    assert denoiser.estimate(x, out, levels) is out


@pytest.mark.parametrize("prediction", ["eps", "v"])
def test_timestep_denoiser_gives_eps_and_its_estimate(prediction: str) -> None:
    denoiser = TimestepDenoiser(NormalModel(prediction).predict, NoiseSchedule(SD1_ALPHAS, prediction))
    alpha = SD1_ALPHAS[400]
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    x = alpha.sqrt() * TARGET + (1 - alpha).sqrt() * noise
    t = torch.tensor([400.0])
    out = denoiser(x, t, text(0.0))
    torch.testing.assert_close(out, noise, atol=1e-4, rtol=0)
    torch.testing.assert_close(denoiser.estimate(x, out, t), torch.full_like(x, TARGET), atol=1e-4, rtol=0)


def test_consistency_schedule_keeps_every_twentieth_timestep() -> None:
    schedule = ConsistencySchedule(SD1_ALPHAS)
    assert len(schedule) == 50
    assert schedule.sigma_to_t(schedule.sigmas).tolist() == list(range(19, 1000, 20))
    torch.testing.assert_close(schedule.t_to_sigma(torch.tensor([999.0, 19.0])), schedule.sigmas[[49, 0]])
    assert schedule.default_sigmas(4)[0] == pytest.approx(schedule.sigma_max)


def test_consistency_denoiser_is_nearly_the_estimate_at_high_noise() -> None:
    denoiser = ConsistencyDenoiser(NormalModel().predict, ConsistencySchedule(SD1_ALPHAS))
    x = TARGET + 10 * torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    # The network is asked at the kept timestep nearest to σ.
    out = denoiser(x, torch.tensor([10.0]), text(0.0))
    torch.testing.assert_close(out, torch.full_like(x, TARGET), atol=0.1, rtol=0)
