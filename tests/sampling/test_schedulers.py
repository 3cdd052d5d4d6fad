"""Noise levels against the vectors of the contract and the tables of the reference."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from modules.errors import NotFound
from modules.sampling.parameterization import NoiseSchedule
from modules.sampling.planning import noise_schedule, run_sigmas, run_timesteps
from modules.sampling.samplers import find_sampler
from modules.sampling.schedulers import SCHEDULERS, Scheduler, ScheduleRange, find_scheduler, uniform
from modules.sampling.settings import SamplerSettings
from tests.paths import DATA, GOLDENS, HAVE_GOLDENS
from tests.sampling.fakes import SD1_ALPHAS, NormalModel, plan_for

FACTS = json.loads((DATA / "sampling.json").read_text(encoding="utf-8"))
CHECKPOINTS = ("tiny-sd1", "tiny-sd2-v", "tiny-sdxl")


def span(row: Scheduler, is_sdxl: bool = False) -> ScheduleRange:
    model = NoiseSchedule(SD1_ALPHAS)
    return ScheduleRange(model, model.sigma_min, model.sigma_max, rho=row.default_rho, is_sdxl=is_sdxl)


def test_the_table_has_the_rows_of_the_contract() -> None:
    rows = [
        {
            "name": row.name,
            "label": row.label,
            "aliases": list(row.aliases) or None,
            "default_rho": row.default_rho,
            "need_inner_model": row.need_inner_model,
        }
        for row in SCHEDULERS
    ]
    assert rows == FACTS["schedulers"]


@pytest.mark.parametrize("label", FACTS["sigmas"]["sigmas"])
def test_sigmas_of_the_contract(label: str) -> None:
    plain = label.removesuffix(" (SDXL)")
    row = find_scheduler(plain)
    sigmas = (row.function or uniform)(10, span(row, is_sdxl=label != plain))
    # The contract gives five decimals.
    np.testing.assert_allclose(sigmas, FACTS["sigmas"]["sigmas"][label], atol=1.01e-5)


@pytest.mark.skipif(not HAVE_GOLDENS, reason="the reference data is not beside the checkout")
@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_sigmas_of_the_reference(checkpoint: str) -> None:
    table = np.load(GOLDENS / "units" / f"sigmas_{checkpoint}.npz")
    model = NormalModel()
    model.alphas_cumprod = torch.from_numpy(table["alphas_cumprod"])
    model.spec.is_sdxl = checkpoint == "tiny-sdxl"
    np.testing.assert_allclose(NoiseSchedule(model.alphas_cumprod).sigmas, table["model_sigmas"], rtol=1e-6)
    checked = 0
    for key in table.files:
        if key.startswith("timesteps|"):
            steps = int(key.split("|")[1])
            assert run_timesteps(plan_for("DDIM", steps, model), steps, {}) == list(table[key])
        elif key.count("|") == 2:
            sampler, scheduler, steps = key.split("|")
            plan = plan_for(sampler, int(steps), model, scheduler=scheduler)
            sigmas = run_sigmas(plan, noise_schedule(plan, {}), int(steps), {})
            np.testing.assert_allclose(sigmas, table[key], rtol=1e-5, err_msg=key)
            checked += 1
    assert checked == 54


@pytest.mark.parametrize("row", SCHEDULERS[1:], ids=lambda row: row.label)
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 20, 150])
def test_levels_fall_and_stay_in_range(row: Scheduler, steps: int) -> None:
    given = span(row)
    assert row.function is not None
    sigmas = row.function(steps, given)
    assert sigmas.dtype == torch.float32
    assert torch.isfinite(sigmas).all()
    assert (sigmas.diff() < 0).all()
    assert len(sigmas) >= steps + 1
    assert sigmas[0] <= given.sigma_max * 1.001
    assert (sigmas[-1] == 0) != (row.name == "kl_optimal")


def test_one_step_of_align_your_steps_starts_at_the_top() -> None:
    row = find_scheduler("align_your_steps")
    assert row.function is not None
    assert row.function(1, span(row))[0] == pytest.approx(14.615)


def test_unknown_schedule_type_is_named() -> None:
    with pytest.raises(NotFound, match=r"'Nope'.*Karras"):
        find_scheduler("Nope")
    assert find_scheduler(None).label == find_scheduler("").label == "Automatic"


def sigmas_and_extra(sampler: str = "DPM++ 2M", scheduler: str | None = None, steps: int = 6, **settings):
    plan = plan_for(sampler, steps, scheduler=scheduler, settings=SamplerSettings(**settings))
    extra: dict = {}
    return run_sigmas(plan, noise_schedule(plan, extra), steps, extra), extra


def test_automatic_is_the_samplers_own_and_is_recorded() -> None:
    sigmas, extra = sigmas_and_extra("DPM++ 2M")
    assert extra == {"Schedule type": "Karras"}
    assert torch.equal(sigmas, sigmas_and_extra("DPM++ 2M", "Karras")[0])


def test_automatic_of_a_sampler_without_one_leaves_no_trace() -> None:
    assert sigmas_and_extra("Euler", "Automatic")[1] == {}


def test_range_and_rho_settings_are_used_and_recorded_in_order() -> None:
    sigmas, extra = sigmas_and_extra(
        "DPM++ 2M", "Karras", sigma_min=0.1, sigma_max=10.0, rho=5.0, always_discard_next_to_last_sigma=True
    )
    assert list(extra.items()) == [
        ("Discard penultimate sigma", True),
        ("Schedule type", "Karras"),
        ("Schedule min sigma", 0.1),
        ("Schedule max sigma", 10.0),
        ("Schedule rho", 5.0),
    ]
    ramp = 10 ** (1 / 5) + torch.linspace(0, 1, 7) * (0.1 ** (1 / 5) - 10 ** (1 / 5))
    torch.testing.assert_close(sigmas, torch.cat([ramp[:-1] ** 5, torch.zeros(1)]))


def test_rho_means_nothing_to_a_schedule_without_one() -> None:
    assert "Schedule rho" not in sigmas_and_extra("Euler", "Exponential", rho=5.0)[1]


def test_rho_at_its_default_is_not_recorded() -> None:
    assert "Schedule rho" not in sigmas_and_extra("Euler", "Karras", rho=7.0)[1]


def test_old_karras_range() -> None:
    sigmas, extra = sigmas_and_extra("Euler", "Karras", use_old_karras_scheduler_sigmas=True)
    assert float(sigmas[0]) == pytest.approx(10)
    assert float(sigmas[-2]) == pytest.approx(0.1)
    assert extra == {"Schedule type": "Karras"}


def test_beta_records_its_shape() -> None:
    extra = sigmas_and_extra("Euler", "Beta", beta_dist_alpha=0.4, beta_dist_beta=0.8)[1]
    assert extra == {"Schedule type": "Beta", "Beta schedule alpha": 0.4, "Beta schedule beta": 0.8}


def test_discarding_keeps_the_number_of_steps() -> None:
    for sampler in ("DPM2", "DPM2 a", "DPM++ 3M SDE"):
        sigmas, extra = sigmas_and_extra(sampler, always_discard_next_to_last_sigma=True)
        assert len(sigmas) == 7
        assert sigmas[-2] > 0.05  # σ_min itself is left out
        assert "Discard penultimate sigma" not in extra


def test_second_pass_records_only_a_different_schedule() -> None:
    for first, expected in (("Karras", {}), ("Beta", {"Hires schedule type": "Karras"})):
        plan = plan_for("Euler", 5, scheduler="Karras", second_pass=True, first_schedule_type=first)
        extra: dict = {}
        run_sigmas(plan, noise_schedule(plan, {}), 5, extra)
        assert extra == expected


def test_a_schedule_can_be_replaced() -> None:
    plan = plan_for("Euler", 2, sigmas=lambda n: torch.linspace(n, 0, n + 1))
    assert run_sigmas(plan, noise_schedule(plan, {}), 2, {}).tolist() == [2, 1, 0]


@pytest.mark.parametrize("steps", [1, 3, 7, 1000, 1500])
def test_timesteps_of_odd_counts(steps: int) -> None:
    timesteps = run_timesteps(plan_for("DDIM", steps), steps, {})
    assert timesteps[0] == 1
    assert timesteps == sorted(timesteps)
    assert timesteps[-1] <= 999


def test_discarding_with_timesteps_schedules_one_more() -> None:
    plan = plan_for("DDIM", 4, settings=SamplerSettings(always_discard_next_to_last_sigma=True))
    extra: dict = {}
    assert run_timesteps(plan, 4, extra) == [1, 201, 401, 601, 801]
    assert extra == {"Discard penultimate sigma": True}


def test_no_sampler_names_an_unknown_schedule() -> None:
    for sampler in FACTS["samplers"]:
        assert find_scheduler(find_sampler(sampler["name"]).scheduler)
