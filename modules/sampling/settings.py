"""The settings that shape sampling, as one frozen value that travels with the job."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class SamplerSettings:
    """Field names and defaults are the keys and defaults of the settings file."""

    eta_ddim: float = 0.0
    eta_ancestral: float = 1.0
    s_churn: float = 0.0
    s_tmin: float = 0.0
    s_tmax: float = 0.0  # 0 means no upper bound
    s_noise: float = 1.0
    sigma_min: float = 0.0
    sigma_max: float = 0.0
    rho: float = 0.0
    beta_dist_alpha: float = 0.6
    beta_dist_beta: float = 0.6
    always_discard_next_to_last_sigma: bool = False
    sgm_noise_multiplier: bool = False
    uni_pc_variant: str = "bh1"
    uni_pc_skip_type: str = "time_uniform"
    uni_pc_order: int = 3
    uni_pc_lower_order_final: bool = True
    sd_noise_schedule: str = "Default"
    use_downcasted_alpha_bar: bool = False
    enable_quantization: bool = False
    use_old_karras_scheduler_sigmas: bool = False
    no_dpmpp_sde_batch_determinism: bool = False
    skip_early_cond: float = 0.0
    s_min_uncond: float = 0.0
    s_min_uncond_all: bool = False
    batch_cond_uncond: bool = True
    pad_cond_uncond: bool = False
    pad_cond_uncond_v0: bool = False
    img2img_fix_steps: bool = False
    img2img_extra_noise: float = 0.0
    live_preview_content: str = "Prompt"

    @classmethod
    def from_view(cls, view: Any) -> SamplerSettings:
        """Take the fields from a snapshot of the settings; a key it lacks keeps its default."""
        values: dict[str, Any] = {key.name: getattr(view, key.name, key.default) for key in fields(cls)}
        return cls(**values)

    @property
    def zero_snr(self) -> bool:
        """Whether the noise schedule ends in pure noise."""
        return self.sd_noise_schedule == "Zero Terminal SNR"
