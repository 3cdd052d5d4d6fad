"""The table of samplers, names, and the steps of every sampler on a model whose answer is known."""

from __future__ import annotations

import json

import pytest
import torch

from modules.errors import NonFiniteError, NotFound
from modules.sampling.samplers import (
    SAMPLERS,
    find_sampler,
    find_sampler_loosely,
    resolve_sampler_names,
)
from modules.sampling.schedulers import SCHEDULERS
from modules.sampling.settings import SamplerSettings
from tests.paths import DATA
from tests.sampling.fakes import (
    SD1_ALPHAS,
    TARGET,
    NormalModel,
    RecordingMonitor,
    img2img,
    noise_for,
    plan_for,
    txt2img,
)

FACTS = json.loads((DATA / "sampling.json").read_text(encoding="utf-8"))
PAIRS = [
    (sampler.name, scheduler.label)
    for sampler in SAMPLERS
    for scheduler in (SCHEDULERS if sampler.uses_scheduler else SCHEDULERS[:1])
]
NAMES = [sampler.name for sampler in SAMPLERS]


def test_the_table_has_the_rows_of_the_contract() -> None:
    rows = [
        {
            "name": row.name,
            "function": row.function,
            "family": row.family,
            "aliases": list(row.aliases),
            "options": row.options,
            "default_scheduler": row.scheduler,
            "accepts_eta": row.accepts_eta,
            "extra_params": list(row.extra_params),
            "uses_scheduler": row.uses_scheduler,
            "eta_setting": row.eta_setting,
            "eta_infotext": row.eta_infotext,
            "eta_default": row.eta_default,
        }
        for row in SAMPLERS
    ]
    assert rows == FACTS["samplers"]
    for row, fact in zip(rows, FACTS["samplers"], strict=True):
        assert list(row["options"]) == list(fact["options"])


@pytest.mark.parametrize("example", FACTS["resolution"], ids=lambda e: f"{e['sampler']}+{e['scheduler']}")
def test_name_resolution(example: dict) -> None:
    given = example["sampler"], example["scheduler"]
    assert list(resolve_sampler_names(*given)) == example["ui_or_api_result"]
    assert list(resolve_sampler_names(*given, fold_automatic=False)) == example["processing_result"]


def test_lookups() -> None:
    assert find_sampler("Euler a").function == "sample_euler_ancestral"
    with pytest.raises(NotFound, match=r"'k_euler'.*DPM\+\+ 2M"):
        find_sampler("k_euler")
    assert find_sampler_loosely("K_EULER_A") is find_sampler("Euler a")
    assert find_sampler_loosely("dpm++ 2m sde heun") is find_sampler("DPM++ 2M SDE Heun")
    assert find_sampler_loosely("nope") is None


def test_step_counts_and_seed_delta() -> None:
    assert find_sampler("Heun").total_steps(7) == 14
    assert find_sampler("Euler").total_steps(7) == 7
    assert find_sampler("Euler a").uses_seed_delta(None)
    assert not find_sampler("Euler a").uses_seed_delta(0.0)
    assert not find_sampler("Euler").uses_seed_delta(1.0)


@pytest.mark.parametrize(("sampler", "scheduler"), PAIRS)
def test_one_two_and_three_steps_arrive(sampler: str, scheduler: str) -> None:
    for steps in (1, 2, 3):
        model = NormalModel()
        result = txt2img(plan_for(sampler, steps, model, scheduler=scheduler))
        assert not result.interrupted
        assert model.rows, "the model was not asked"
        assert (result.latent - TARGET).abs().max() < 0.7, f"{steps} steps"


@pytest.mark.slow
@pytest.mark.parametrize(("sampler", "scheduler"), PAIRS)
def test_every_strength_of_a_partial_run(sampler: str, scheduler: str) -> None:
    init = torch.full((1, 4, 8, 8), TARGET)
    # DPM fast and adaptive stop one level above 0 and keep its noise, as in the reference; LMS extrapolates
    # from a thousand tiny steps over the last, long one.
    loose = sampler in ("DPM fast", "DPM adaptive", "LMS")
    for steps in (1, 2, 3, 10):
        for strength in (0.0, 0.01, 0.05, 0.3, 0.5, 0.75, 0.99, 1.0):
            for exact in (False, True):
                plan = plan_for(sampler, steps, scheduler=scheduler)
                result = img2img(plan, init, strength, exact_steps=exact)
                assert torch.isfinite(result.latent).all()
                if not loose:
                    assert (result.latent - TARGET).abs().max() < 0.6, (steps, strength, exact)


@pytest.mark.parametrize("sampler", NAMES)
@pytest.mark.parametrize("strength", [0.01, 0.5, 1.0])
def test_partial_runs(sampler: str, strength: float) -> None:
    init = torch.full((1, 4, 8, 8), TARGET)
    result = img2img(plan_for(sampler, 10), init, strength)
    assert (result.latent - TARGET).abs().max() < 0.6


@pytest.mark.parametrize("sampler", [name for name in NAMES if name != "LCM"])
def test_v_prediction_gives_what_eps_gives(sampler: str) -> None:
    eps = txt2img(plan_for(sampler, 6, NormalModel(spread=0.5))).latent
    v = txt2img(plan_for(sampler, 6, NormalModel("v", spread=0.5))).latent
    torch.testing.assert_close(v, eps, atol=2e-3, rtol=0)


@pytest.mark.parametrize("sampler", NAMES)
def test_a_batch_changes_no_picture(sampler: str) -> None:
    model = NormalModel(spread=0.5)
    together = txt2img(plan_for(sampler, 4, model, seeds=(5, 6, 7))).latent
    assert (together[0] - together[1]).abs().max() > 0.1
    for index, seed in enumerate((5, 6, 7)):
        alone = txt2img(plan_for(sampler, 4, model, seeds=(seed,))).latent
        # The adaptive sampler chooses its steps for the batch as a whole.
        tolerance = 0.2 if sampler == "DPM adaptive" else 1e-5
        torch.testing.assert_close(together[index : index + 1], alone, atol=tolerance, rtol=0)


@pytest.mark.parametrize("sampler", NAMES)
def test_the_same_run_twice_gives_the_same_bytes(sampler: str) -> None:
    torch.manual_seed(1)
    model = NormalModel(spread=0.5)
    first = txt2img(plan_for(sampler, 5, model)).latent
    torch.manual_seed(2)
    assert torch.equal(first, txt2img(plan_for(sampler, 5, model)).latent)


@pytest.mark.parametrize("sampler", NAMES)
def test_no_global_generator_is_touched(sampler: str) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    txt2img(plan_for(sampler, 3))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("sampler", NAMES)
@pytest.mark.parametrize("stop_at", [1, 3])
def test_interrupt_leaves_within_a_step(sampler: str, stop_at: int) -> None:
    model, monitor = NormalModel(), RecordingMonitor(stop_at)
    result = txt2img(plan_for(sampler, 20, model), monitor)
    assert result.interrupted
    assert len(model.rows) == stop_at
    assert torch.equal(result.latent, monitor.latents[-1])


def test_stopped_before_the_first_step_returns_the_noise() -> None:
    model, monitor = NormalModel(), RecordingMonitor()
    monitor.skipped = True
    result = txt2img(plan_for("Euler", 4, model), monitor)
    assert result.interrupted
    assert model.rows == []
    assert result.latent.std() > 5


@pytest.mark.parametrize("sampler", NAMES)
def test_progress_reports(sampler: str) -> None:
    model, monitor = NormalModel(), RecordingMonitor()
    txt2img(plan_for(sampler, 6, model), monitor)
    assert monitor.begun == [6]
    assert monitor.reached == sorted(set(monitor.reached))
    assert monitor.reached[0] == 0
    assert len(monitor.latents) == len(model.rows) <= monitor.checks


@pytest.mark.parametrize(
    "sampler", ["Euler", "LMS", "Heun", "DPM2", "DPM++ 2M", "DPM fast", "DPM adaptive", "Restart"]
)
def test_ode_samplers_follow_the_probability_flow(sampler: str) -> None:
    model = NormalModel(spread=0.5)
    # Below 20 steps Restart is Heun's method; η = 0 takes the noise out of the solvers that have it.
    plan = plan_for(sampler, 19, model, scheduler="Karras", eta=0.0)
    result = txt2img(plan)
    top = float(result.levels[0])
    exact = model.flow_end(noise_for(plan).first() * top, top)
    tolerance = {"Euler": 0.2, "DPM adaptive": 0.06}.get(sampler, 0.03)
    torch.testing.assert_close(result.latent, exact, atol=tolerance, rtol=0)


@pytest.mark.parametrize(("sampler", "tolerance"), [("DDIM", 0.2), ("PLMS", 0.05)])
def test_timestep_samplers_follow_the_probability_flow(sampler: str, tolerance: float) -> None:
    model = NormalModel(spread=0.5)
    plan = plan_for(sampler, 50, model)
    signal = float(SD1_ALPHAS[981]) ** 0.5
    exact = model.flow_end(noise_for(plan).first() / signal, (1 - signal**2) ** 0.5 / signal)
    torch.testing.assert_close(txt2img(plan).latent, exact, atol=tolerance, rtol=0)


@pytest.mark.parametrize("variant", ["bh1", "bh2", "vary_coeff"])
@pytest.mark.parametrize("skip_type", ["time_uniform", "time_quadratic", "logSNR"])
@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("lower", [True, False])
def test_unipc_settings(variant: str, skip_type: str, order: int, lower: bool) -> None:
    settings = SamplerSettings(
        uni_pc_variant=variant,
        uni_pc_skip_type=skip_type,
        uni_pc_order=order,
        uni_pc_lower_order_final=lower,
    )
    model = NormalModel(spread=0.5)
    plan = plan_for("UniPC", 100, model, settings=settings)
    result = txt2img(plan)
    assert len(model.rows) == 100
    signal = float(SD1_ALPHAS[-1]) ** 0.5
    exact = model.flow_end(noise_for(plan).first() / signal, (1 - signal**2) ** 0.5 / signal)
    # Uniform times leave a long last way in λ.
    tolerance = 0.07 if skip_type == "time_uniform" else 0.02
    torch.testing.assert_close(result.latent, exact, atol=tolerance, rtol=0)


def test_noise_parameters_reach_the_sampler_and_the_infotext() -> None:
    plain = txt2img(plan_for("Euler", 5, NormalModel(spread=0.5)))
    assert plain.extra == {}
    model = NormalModel(spread=0.5)
    asked = txt2img(plan_for("Euler", 5, model, s_churn=4.0, s_noise=1.02))
    assert asked.extra == {}  # a value of the request alone is used and not recorded
    assert not torch.equal(asked.latent, plain.latent)
    settings = SamplerSettings(s_churn=4.0, s_noise=1.02)
    by_setting = txt2img(plan_for("Euler", 5, model, s_churn=9.0, settings=settings))
    assert list(by_setting.extra.items()) == [("Sigma churn", 4.0), ("Sigma noise", 1.02)]
    assert torch.equal(by_setting.latent, asked.latent)


def test_samplers_ignore_what_they_do_not_take() -> None:
    settings = SamplerSettings(s_churn=4.0, s_tmin=0.1, s_tmax=5.0, s_noise=1.1)
    assert txt2img(plan_for("LMS", 4, settings=settings)).extra == {}
    assert txt2img(plan_for("DPM++ SDE", 4, settings=settings)).extra == {
        "Schedule type": "Karras",
        "Sigma noise": 1.1,
    }


def test_eta_of_request_and_setting() -> None:
    assert txt2img(plan_for("Euler a", 3)).extra == {}
    assert txt2img(plan_for("Euler a", 3, eta=0.5)).extra == {"Eta": 0.5}
    settings = SamplerSettings(eta_ancestral=0.4, eta_ddim=0.6)
    assert txt2img(plan_for("Euler a", 3, settings=settings)).extra == {"Eta": 0.4}
    assert txt2img(plan_for("DDIM", 3, settings=settings)).extra == {"Eta DDIM": 0.6}
    assert txt2img(plan_for("DDIM", 3, eta=0.0, settings=settings)).extra == {}
    assert txt2img(plan_for("PLMS", 3, settings=settings)).extra == {}


def test_schedule_settings_come_first_in_the_infotext() -> None:
    settings = SamplerSettings(
        use_downcasted_alpha_bar=True,
        sd_noise_schedule="Zero Terminal SNR",
        sgm_noise_multiplier=True,
        always_discard_next_to_last_sigma=True,
        skip_early_cond=0.3,
    )
    result = txt2img(plan_for("Euler a", 4, scheduler="Karras", eta=0.5, settings=settings))
    assert list(result.extra) == [
        "Downcast alphas_cumprod",
        "Noise Schedule",
        "Discard penultimate sigma",
        "Schedule type",
        "SGM noise multiplier",
        "Eta",
        "Skip Early CFG",
    ]


def test_adaptive_sampler_stops_at_nan() -> None:
    model = NormalModel()
    model.predict = lambda x, timesteps, cond: torch.full_like(x, torch.nan)  # type: ignore[method-assign]
    with pytest.raises(NonFiniteError, match=r"noise level 14\.6"):
        txt2img(plan_for("DPM adaptive", 4, model))


def test_one_seed_for_the_whole_batch_without_batch_determinism() -> None:
    settings = SamplerSettings(no_dpmpp_sde_batch_determinism=True)
    model = NormalModel(spread=0.5)
    together = txt2img(plan_for("DPM++ SDE", 4, model, seeds=(5, 6), settings=settings)).latent
    alone = txt2img(plan_for("DPM++ SDE", 4, model, seeds=(6,), settings=settings)).latent
    assert not torch.allclose(together[1:], alone)


def test_extra_noise_and_noise_multiplier() -> None:
    init = torch.zeros(1, 4, 8, 8)
    seen = []
    plan = plan_for(
        "Euler",
        4,
        settings=SamplerSettings(img2img_extra_noise=0.2),
        extra_noise_hooks=(lambda given: seen.append(given.xi.clone()),),
    )
    result = img2img(plan, init, 0.5)
    assert result.extra == {"Extra noise": 0.2}
    plain = img2img(plan_for("Euler", 4), init, 0.0, noise_multiplier=1.0, monitor=stopped())
    doubled = img2img(plan_for("Euler", 4), init, 0.0, noise_multiplier=2.0, monitor=stopped())
    torch.testing.assert_close(doubled.latent, plain.latent * 2)
    assert len(seen) == 1


def stopped() -> RecordingMonitor:
    """A monitor that ends the run before its first step, so that the start is the result."""
    monitor = RecordingMonitor()
    monitor.interrupted = True
    return monitor


def test_strength_zero_with_exact_steps_changes_nothing() -> None:
    init = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    for sampler in ("Euler", "DDIM", "DPM fast", "UniPC", "LCM"):
        assert torch.equal(img2img(plan_for(sampler, 6), init, 0.0, exact_steps=True).latent, init)
