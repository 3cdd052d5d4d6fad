"""From what a network predicts to what a sampler needs.

A network of the DDPM family was trained on T noise levels, given by ``alphas_cumprod`` (Ho et al. 2020,
arXiv:2006.11239: x_t = √ᾱ_t·x0 + √(1−ᾱ_t)·ε). The samplers of k-diffusion think in σ, the noise level of
x = x0 + σ·ε (Karras et al. 2022, arXiv:2206.00364), with σ_t = √((1−ᾱ_t)/ᾱ_t). The wrappers of this file
turn a network call into a denoiser in one of the two conventions.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

# ᾱ_T of a schedule rescaled to zero terminal signal: exactly 0 would mean σ = ∞.
SMALLEST_ALPHA_BAR = 4.8973451890853435e-08


class Predict(Protocol):
    """The network call of ``DiffusionModel.predict``: raw output, same shape as ``x``."""

    def __call__(self, x: Tensor, timesteps: Tensor, cond: Any) -> Tensor:
        """Predict ε or v for ``x`` [N, C, h, w] at ``timesteps`` [N] under N rows of conditioning."""


class Denoiser(Protocol):
    """One network call in a sampler's convention, before guidance."""

    blend_first: bool

    def __call__(self, x: Tensor, sigma: Tensor, cond: Any) -> Tensor:
        """Output for ``x`` [N, C, h, w] at the levels ``sigma`` [N]."""

    def estimate(self, x: Tensor, out: Tensor, sigma: Tensor) -> Tensor:
        """The clean latent that the output ``out`` of this denoiser means at ``x``."""


def schedule_alphas(alphas_cumprod: Tensor, downcast: bool = False, zero_snr: bool = False) -> Tensor:
    """The ᾱ that a run uses: float32 [T] of the model, changed by two settings.

    ``downcast`` rounds to half precision (old pictures were made so). ``zero_snr`` shifts and scales √ᾱ so
    that the last level is pure noise (Lin et al. 2023, arXiv:2305.08891, algorithm 1). The result is float16
    where only ``downcast`` is set: old pictures computed their noise levels in it.
    """
    alphas = alphas_cumprod.detach().to("cpu", torch.float32)
    if downcast:
        alphas = alphas.half()
    if zero_snr:
        # In half precision the last level would round to infinite noise.
        root = alphas.float().sqrt()
        first, last = root[0].clone(), root[-1].clone()
        root = (root - last) * (first / (first - last))
        alphas = root**2
        alphas[-1] = SMALLEST_ALPHA_BAR
    return alphas


class NoiseSchedule:
    """The noise levels of a model, lowest first, and the way between σ and the training timestep.

    Everything is kept on the host: a schedule is built there, and no step has to wait for the device.
    ``prediction`` is ``"eps"`` or ``"v"``. ``quantize`` rounds timesteps to trained ones.
    """

    def __init__(self, alphas_cumprod: Tensor, prediction: str = "eps", quantize: bool = False) -> None:
        if prediction not in ("eps", "v"):
            raise ValueError(f"prediction is {prediction!r}, expected 'eps' or 'v'")
        alphas = alphas_cumprod.detach().cpu()
        sigmas = ((1 - alphas) / alphas) ** 0.5
        self.alphas_cumprod = alphas.float()
        self.sigmas = sigmas.float()
        self.log_sigmas = sigmas.log().float()
        self.prediction = prediction
        self.quantize = quantize
        self._tables: dict[torch.device, Tensor] = {self.log_sigmas.device: self.log_sigmas}

    def __len__(self) -> int:
        return len(self.sigmas)

    @property
    def sigma_min(self) -> float:
        """Lowest noise level."""
        return float(self.sigmas[0])

    @property
    def sigma_max(self) -> float:
        """Highest noise level."""
        return float(self.sigmas[-1])

    def _table(self, device: torch.device) -> Tensor:
        if device not in self._tables:
            self._tables[device] = self.log_sigmas.to(device)
        return self._tables[device]

    def sigma_to_t(self, sigma: Tensor) -> Tensor:
        """Timestep of ``sigma`` (any shape): linear in log σ between trained levels, clamped to them."""
        table = self._table(sigma.device)
        log_sigma = sigma.log()
        if self.quantize:
            return (log_sigma[..., None] - table).abs().argmin(dim=-1)
        low = (torch.searchsorted(table, log_sigma, right=True) - 1).clamp(0, len(table) - 2)
        a, b = table[low], table[low + 1]
        share = ((a - log_sigma) / (a - b)).clamp(0, 1)
        return (1 - share) * low + share * (low + 1)

    def t_to_sigma(self, t: Tensor) -> Tensor:
        """σ of the timestep ``t``, which need not be whole; the inverse of ``sigma_to_t``."""
        t = t.float()
        table = self._table(t.device)
        share = t.frac()
        return ((1 - share) * table[t.floor().long()] + share * table[t.ceil().long()]).exp()

    def default_sigmas(self, n: int) -> Tensor:
        """``n`` levels uniform in the timestep, from the highest to the lowest, then 0: float32 [n + 1]."""
        t = torch.linspace(len(self) - 1, 0, n)
        return torch.cat([self.t_to_sigma(t), t.new_zeros(1)])


class ConsistencySchedule(NoiseSchedule):
    """The 50 levels of latent consistency distillation (Luo et al. 2023, arXiv:2310.04378)."""

    KEPT = 50

    def __init__(self, alphas_cumprod: Tensor) -> None:
        alphas = alphas_cumprod.detach().cpu()
        self.stride = len(alphas) // self.KEPT
        kept = [len(alphas) - 1 - k * self.stride for k in reversed(range(self.KEPT))]
        # The reference copies the chosen ᾱ into a float32 table.
        super().__init__(alphas[kept].float())

    def sigma_to_t(self, sigma: Tensor) -> Tensor:
        """Training timestep of the kept level nearest to ``sigma``."""
        table = self._table(sigma.device)
        nearest = (sigma.log()[..., None] - table).abs().argmin(dim=-1)
        return nearest * self.stride + (self.stride - 1)

    def t_to_sigma(self, t: Tensor) -> Tensor:
        """σ of a training timestep, interpolated between the kept levels."""
        place = (t.float() - (self.stride - 1)) / self.stride
        return super().t_to_sigma(place.clamp(0, len(self) - 1))

    def default_sigmas(self, n: int) -> Tensor:
        """``n`` levels uniform in the training timestep, then 0."""
        top = (len(self) - 1) * self.stride + self.stride - 1
        t = torch.linspace(top, self.stride - 1, n)
        return torch.cat([self.t_to_sigma(t), t.new_zeros(1)])


def _over(value: Tensor, like: Tensor) -> Tensor:
    """Give a vector [N] the trailing axes of ``like`` [N, ...]."""
    return value.reshape(value.shape + (1,) * (like.ndim - value.ndim))


class ScaledDenoiser:
    """Network → estimate of the clean latent at noise level σ, the convention of k-diffusion.

    With σ_data = 1: the input is scaled by 1/√(σ²+1); ε gives x − σ·ε, and v gives
    x/(σ²+1) − v·σ/√(σ²+1) (Salimans & Ho 2022, arXiv:2202.00512).
    """

    blend_first = False

    def __init__(self, predict: Predict, schedule: NoiseSchedule) -> None:
        self.predict = predict
        self.schedule = schedule

    def __call__(self, x: Tensor, sigma: Tensor, cond: Any) -> Tensor:
        """Denoised ``x`` [N, C, h, w] at ``sigma`` [N]."""
        level = _over(sigma, x)
        norm = (level**2 + 1) ** 0.5
        out = self.predict(x * (1 / norm), self.schedule.sigma_to_t(sigma), cond)
        if self.schedule.prediction == "v":
            return out * (-level / norm) + x * (1 / (level**2 + 1))
        return x - out * level

    def estimate(self, x: Tensor, out: Tensor, sigma: Tensor) -> Tensor:
        """The output already is the estimate."""
        return out


class ConsistencyDenoiser(ScaledDenoiser):
    """Boundary conditions of consistency models around an ε network (Luo et al. 2023, section 3).

    c_skip and c_out depend on the timestep times 10 with σ_data = 0.5. The reference uses the ε formula
    for v networks as well, and so does this.
    """

    SIGMA_DATA = 0.5
    TIMESTEP_SCALE = 10.0

    def __call__(self, x: Tensor, sigma: Tensor, cond: Any) -> Tensor:
        """Denoised ``x`` [N, C, h, w] at ``sigma`` [N]."""
        level = _over(sigma, x)
        t = self.schedule.sigma_to_t(sigma)
        clean = x - self.predict(x * (1 / (level**2 + 1) ** 0.5), t, cond) * level
        scaled = _over(t, x) * self.TIMESTEP_SCALE
        spread = scaled**2 + self.SIGMA_DATA**2
        return clean * (scaled / spread**0.5) + x * (self.SIGMA_DATA**2 / spread)


class TimestepDenoiser:
    """Network → ε at an integer timestep, the convention of DDIM, PLMS and UniPC.

    ``sigma`` of the calls is the timestep here. ``x`` is variance preserving: √ᾱ·x0 + √(1−ᾱ)·ε.
    """

    blend_first = True

    def __init__(self, predict: Predict, schedule: NoiseSchedule) -> None:
        self.predict = predict
        self.schedule = schedule
        self._tables: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def _roots(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """√ᾱ and √(1−ᾱ) at the whole part of ``t`` [N], shaped like ``like``."""
        if t.device not in self._tables:
            alphas = self.schedule.alphas_cumprod.to(t.device)
            self._tables[t.device] = (alphas.sqrt(), (1 - alphas).sqrt())
        signal, noise = self._tables[t.device]
        whole = t.long()
        return _over(signal[whole], like), _over(noise[whole], like)

    def __call__(self, x: Tensor, sigma: Tensor, cond: Any) -> Tensor:
        """ε for ``x`` [N, C, h, w] at timesteps ``sigma`` [N]."""
        out = self.predict(x, sigma, cond)
        if self.schedule.prediction == "v":
            signal, noise = self._roots(sigma, x)
            return signal * out + noise * x
        return out

    def estimate(self, x: Tensor, out: Tensor, sigma: Tensor) -> Tensor:
        """x0 = (x − √(1−ᾱ)·ε) / √ᾱ."""
        signal, noise = self._roots(sigma, x)
        return (x - noise * out) / signal
