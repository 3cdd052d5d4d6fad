"""Connects the three callbacks of guidance, and that of extra noise, to a sampling run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor

from modules.checkpoints.conditioning import Conditioning
from modules.extensions.callbacks import CallbackRegistry
from modules.extensions.params import (
    AfterCFGCallbackParams,
    CFGDenoisedParams,
    CFGDenoiserParams,
    ExtraNoiseParams,
)
from modules.sampling.guidance import GuidanceHooks, GuidedOutput, ModelInput, ModelOutput
from modules.sampling.planning import ExtraNoise


def guidance_hooks(hooks: GuidanceHooks, callbacks: CallbackRegistry, p: Any) -> GuidanceHooks:
    """``hooks`` and, where somebody registered, the callbacks. ``p`` is given to the denoiser as ``.p``."""

    def before(given: ModelInput) -> None:
        given.denoiser.p = p  # type: ignore[attr-defined]
        params = CFGDenoiserParams(
            given.x,
            given.image_conditioning,
            given.sigma,
            given.step,
            given.steps,
            _as_known(given.cond),
            _as_known(given.uncond),
            given.denoiser,
        )
        callbacks.call("cfg_denoiser", params)
        given.x, given.sigma, given.image_conditioning = params.x, params.sigma, params.image_cond
        given.cond = _as_ours(params.text_cond, given.cond)
        given.uncond = _as_ours(params.text_uncond, given.uncond)

    def after(given: ModelOutput) -> None:
        params = CFGDenoisedParams(given.x, given.step, given.steps, given.denoiser.denoiser)
        callbacks.call("cfg_denoised", params)
        given.x = params.x

    def final(given: GuidedOutput) -> None:
        params = AfterCFGCallbackParams(given.x, given.step, given.steps)
        callbacks.call("cfg_after_cfg", params)
        given.x = params.x

    # A hook costs the shortcuts of guidance, so it is there only when somebody listens.
    wanted = {name: callbacks.any(name) for name in ("cfg_denoiser", "cfg_denoised", "cfg_after_cfg")}
    return replace(
        hooks,
        before_model=(*hooks.before_model, *([before] if wanted["cfg_denoiser"] else [])),
        after_model=(*hooks.after_model, *([after] if wanted["cfg_denoised"] else [])),
        after_guidance=(*hooks.after_guidance, *([final] if wanted["cfg_after_cfg"] else [])),
    )


def extra_noise_hooks(callbacks: CallbackRegistry) -> tuple[Callable[[ExtraNoise], None], ...]:
    """The callback of extra noise, when somebody registered for it."""

    def call(given: ExtraNoise) -> None:
        params = ExtraNoiseParams(given.noise, given.x, given.xi)
        callbacks.call("extra_noise", params)
        given.noise = params.noise

    return (call,) if callbacks.any("extra_noise") else ()


def _as_known(rows: Conditioning) -> Any:
    """A tensor for one text encoder, a mapping for two: what extensions know."""
    return rows.crossattn if rows.vector is None else {"crossattn": rows.crossattn, "vector": rows.vector}


def _as_ours(given: Any, before: Conditioning) -> Conditioning:
    if isinstance(given, dict):
        return replace(before, crossattn=given["crossattn"], vector=given.get("vector"))
    return replace(before, crossattn=given) if isinstance(given, Tensor) else before
