"""The 20 samplers as a table, and the resolution of names that people and old infotexts use.

``function`` names a sampler of k-diffusion, or one of our own (``restart_sampler``, ``sample_lcm``, and the
four of the timesteps family). A new sampler is one function and one row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from modules.errors import NotFound
from modules.sampling.schedulers import AUTOMATIC, SCHEDULERS, known_scheduler

Family = Literal["k-diffusion", "timesteps", "lcm"]
_CHURN = ("s_churn", "s_tmin", "s_tmax", "s_noise")
_NOISE = ("s_noise",)


@dataclass(frozen=True)
class Sampler:
    """One sampler.

    ``scheduler``: name of the schedule type behind Automatic, ``None`` for the model's own levels.
    ``second_order``: two model calls a step. ``brownian_noise``: noise comes from a Brownian tree.
    ``discard_next_to_last_sigma``: schedules one step more and leaves out the level before the last.
    ``uses_ensd``: the eta noise seed delta is written to infotext. ``extra_params``: the churn and noise
    settings it takes. ``takes``: what describes the schedule to it.
    """

    name: str
    function: str
    family: Family
    aliases: tuple[str, ...]
    scheduler: str | None = None
    second_order: bool = False
    brownian_noise: bool = False
    solver_type: str | None = None
    uses_ensd: bool = False
    discard_next_to_last_sigma: bool = False
    default_eta_is_0: bool = False
    no_sdxl: bool = False
    accepts_eta: bool = False
    extra_params: tuple[str, ...] = ()
    takes: Literal["sigmas", "range", "range and count"] = "sigmas"

    @property
    def options(self) -> dict[str, Any]:
        """The options that differ from the default, as the samplers endpoint lists them."""
        keys = (
            "scheduler",
            "discard_next_to_last_sigma",
            "uses_ensd",
            "second_order",
            "brownian_noise",
            "solver_type",
            "default_eta_is_0",
            "no_sdxl",
        )
        return {key: getattr(self, key) for key in keys if getattr(self, key)}

    @property
    def uses_timesteps(self) -> bool:
        """True for samplers that walk over integer timesteps instead of noise levels."""
        return self.family == "timesteps"

    @property
    def uses_scheduler(self) -> bool:
        """Whether the schedule type has any effect."""
        return not self.uses_timesteps

    @property
    def eta_setting(self) -> str:
        """Key of the setting that gives η."""
        return "eta_ddim" if self.uses_timesteps else "eta_ancestral"

    @property
    def eta_infotext(self) -> str:
        """Infotext field of η."""
        return "Eta DDIM" if self.uses_timesteps else "Eta"

    @property
    def eta_default(self) -> float:
        """The η that is not written to infotext."""
        return 0.0 if self.uses_timesteps else 1.0

    def total_steps(self, steps: int) -> int:
        """Number of model calls that ``steps`` stands for in prompt schedules and progress."""
        return steps * 2 if self.second_order else steps

    def uses_seed_delta(self, eta: float | None) -> bool:
        """Whether the eta noise seed delta shapes the picture, given the η of the request (or ``None``)."""
        if eta is None:
            eta = 0.0 if self.default_eta_is_0 else 1.0
        return self.uses_ensd and eta != 0


def _k(name: str, function: str, *aliases: str, **options: Any) -> Sampler:
    return Sampler(name, f"sample_{function}", "k-diffusion", aliases, **options)


def _timesteps(name: str, function: str, **options: Any) -> Sampler:
    return Sampler(name, function, "timesteps", (function,), **options)


_SDE: dict[str, Any] = {"brownian_noise": True, "accepts_eta": True, "extra_params": _NOISE}
_ANCESTRAL: dict[str, Any] = {"uses_ensd": True, "accepts_eta": True}

SAMPLERS: tuple[Sampler, ...] = (
    _k("DPM++ 2M", "dpmpp_2m", "k_dpmpp_2m", scheduler="karras"),
    _k("DPM++ SDE", "dpmpp_sde", "k_dpmpp_sde", scheduler="karras", second_order=True, **_SDE),
    _k("DPM++ 2M SDE", "dpmpp_2m_sde", "k_dpmpp_2m_sde", scheduler="exponential", **_SDE),
    _k(
        "DPM++ 2M SDE Heun",
        "dpmpp_2m_sde",
        "k_dpmpp_2m_sde_heun",
        scheduler="exponential",
        solver_type="heun",
        **_SDE,
    ),
    _k(
        "DPM++ 2S a",
        "dpmpp_2s_ancestral",
        "k_dpmpp_2s_a",
        scheduler="karras",
        second_order=True,
        extra_params=_NOISE,
        **_ANCESTRAL,
    ),
    _k(
        "DPM++ 3M SDE",
        "dpmpp_3m_sde",
        "k_dpmpp_3m_sde",
        scheduler="exponential",
        discard_next_to_last_sigma=True,
        **_SDE,
    ),
    _k("Euler a", "euler_ancestral", "k_euler_a", "k_euler_ancestral", **_ANCESTRAL),
    _k("Euler", "euler", "k_euler", extra_params=_CHURN),
    _k("LMS", "lms", "k_lms"),
    _k("Heun", "heun", "k_heun", second_order=True, extra_params=_CHURN),
    _k(
        "DPM2",
        "dpm_2",
        "k_dpm_2",
        scheduler="karras",
        discard_next_to_last_sigma=True,
        second_order=True,
        extra_params=_CHURN,
    ),
    _k(
        "DPM2 a",
        "dpm_2_ancestral",
        "k_dpm_2_a",
        scheduler="karras",
        discard_next_to_last_sigma=True,
        second_order=True,
        extra_params=_NOISE,
        **_ANCESTRAL,
    ),
    _k("DPM fast", "dpm_fast", "k_dpm_fast", extra_params=_NOISE, takes="range and count", **_ANCESTRAL),
    _k("DPM adaptive", "dpm_adaptive", "k_dpm_ad", takes="range", **_ANCESTRAL),
    Sampler("Restart", "restart_sampler", "k-diffusion", ("restart",), "karras", second_order=True),
    _timesteps("DDIM", "ddim", accepts_eta=True),
    _timesteps("DDIM CFG++", "ddim_cfgpp", accepts_eta=True),
    _timesteps("PLMS", "plms"),
    _timesteps("UniPC", "unipc"),
    Sampler("LCM", "sample_lcm", "lcm", ("k_lcm",)),
)

DEFAULT_SAMPLER = SAMPLERS[0]


def known_sampler(name: str | None) -> Sampler | None:
    """The sampler with exactly this label, or ``None``."""
    return next((row for row in SAMPLERS if row.name == name), None)


def find_sampler(name: str) -> Sampler:
    """The sampler with exactly this label; raises ``NotFound`` otherwise."""
    found = known_sampler(name)
    if found is None:
        labels = ", ".join(row.name for row in SAMPLERS)
        raise NotFound(f"There is no sampler {name!r}. Choose one of: {labels}.")
    return found


def find_sampler_loosely(name: str) -> Sampler | None:
    """The sampler with this label or alias in any case: for prompt files, plots and foreign metadata."""
    wanted = name.lower()
    for row in SAMPLERS:
        if wanted in (row.name.lower(), *(alias.lower() for alias in row.aliases)):
            return row
    return None


def resolve_sampler_names(
    sampler: str | None, scheduler: str | None, *, fold_automatic: bool = True
) -> tuple[str, str]:
    """Labels of sampler and schedule type for what a user, a request or an old infotext says.

    A sampler text that ends in a blank and a spelling of a schedule type is split there. An unknown sampler
    becomes the first of the list, an unknown schedule type Automatic. ``fold_automatic`` reports the
    sampler's own schedule type as Automatic, as pages and infotext reading want it; painting does not.
    """
    chosen = known_scheduler(scheduler) or AUTOMATIC
    name = sampler or DEFAULT_SAMPLER.name
    for row in SCHEDULERS:
        for spelling in row.spellings:
            if name.endswith(f" {spelling}"):
                name = name[: -len(spelling) - 1]
                chosen = row
                break
    found = known_sampler(name) or DEFAULT_SAMPLER
    if fold_automatic and found.scheduler == chosen.name:
        chosen = AUTOMATIC
    return found.name, chosen.label
