"""Classifier-free guidance: from one network call to the step that a sampler sees.

Ho & Salimans 2022, arXiv:2207.12598: guided = uncond + s·(cond − uncond). Several prompts joined by AND
(Liu et al. 2022, arXiv:2206.01714) add up: uncond + Σ wₖ·s·(condₖ − uncond).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from modules.checkpoints.conditioning import Conditioning
from modules.sampling.monitor import Monitor
from modules.sampling.parameterization import Denoiser


class Composed(Protocol):
    """Rows of all prompts of a batch, and per image the (row, weight) pairs that make it up."""

    @property
    def rows(self) -> Conditioning:
        """Conditioning rows, those of the first image first."""

    @property
    def parts(self) -> Sequence[Sequence[tuple[int, float]]]:
        """One list an image."""


class UncondSchedule(Protocol):
    """Negative prompts over the run."""

    def at(self, step: int) -> Conditioning:
        """Conditioning rows, one an image, at model call ``step``."""


class CondSchedule(Protocol):
    """Prompts over the run."""

    def at(self, step: int) -> Composed:
        """Composed conditioning at model call ``step``."""


@dataclass(frozen=True)
class GuidanceOptions:
    """Scale and shortcuts of guidance; names as in the settings.

    ``image_cfg_scale`` is for edit models, which see a picture besides the text; ``None`` and 1 turn it off.
    ``preview_content`` is "Prompt", "Negative prompt" or "Combined": which estimate the monitor gets.
    """

    cfg_scale: float
    batch_cond_uncond: bool = True
    pad_cond_uncond: bool = False
    pad_cond_uncond_v0: bool = False
    skip_early_cond: float = 0.0
    s_min_uncond: float = 0.0
    s_min_uncond_all: bool = False
    preview_content: str = "Prompt"
    image_cfg_scale: float | None = None

    @property
    def guides_by_picture(self) -> bool:
        """Whether a third pass, without the picture, is made."""
        return self.image_cfg_scale not in (None, 1)


@dataclass
class ModelInput:
    """What a ``before_model`` hook sees and may replace. Rows: all conditional ones, then unconditional."""

    x: Tensor
    sigma: Tensor
    image_conditioning: Tensor | None
    cond: Conditioning
    uncond: Conditioning
    step: int
    steps: int
    denoiser: GuidedDenoiser


@dataclass
class ModelOutput:
    """What an ``after_model`` hook sees and may replace: outputs of all rows, before they are combined."""

    x: Tensor
    step: int
    steps: int
    denoiser: GuidedDenoiser


@dataclass
class GuidedOutput:
    """What an ``after_guidance`` hook sees and may replace: one output an image."""

    x: Tensor
    step: int
    steps: int


@dataclass
class MaskBlend:
    """What a ``mask_blend`` hook sees; it may replace ``blended_latent``."""

    current_latent: Tensor
    nmask: Tensor
    init_latent: Tensor
    mask: Tensor
    blended_latent: Tensor
    denoiser: GuidedDenoiser | None = None
    sigma: Tensor | None = None
    is_final_blend: bool = False


@dataclass(frozen=True)
class GuidanceHooks:
    """Places where extensions and later features plug in, each a tuple of callables.

    ``before_step(denoiser, x, sigma)`` may change ``denoiser.denoiser``, ``.cond`` and ``.uncond`` (a refiner
    does) or ``.extra``. The others get the object named after them.
    """

    before_step: tuple[Callable[[GuidedDenoiser, Tensor, Tensor], None], ...] = ()
    before_model: tuple[Callable[[ModelInput], None], ...] = ()
    after_model: tuple[Callable[[ModelOutput], None], ...] = ()
    after_guidance: tuple[Callable[[GuidedOutput], None], ...] = ()
    mask_blend: tuple[Callable[[MaskBlend], None], ...] = ()

    @property
    def see_uncond(self) -> bool:
        """Whether somebody looks at the unconditional rows."""
        return bool(self.before_model or self.after_model)


@dataclass(frozen=True)
class LatentBlend:
    """Inpainting: keep ``init_latent`` where ``mask`` is 1 and paint where ``nmask`` is 1."""

    mask: Tensor
    nmask: Tensor
    init_latent: Tensor

    def __call__(self, latent: Tensor) -> Tensor:
        """``latent`` [B, C, h, w] with the kept part laid over it."""
        return latent * self.nmask + self.init_latent * self.mask


def combine(out: Tensor, parts: Sequence[Sequence[tuple[int, float]]], scale: float) -> Tensor:
    """Guided outputs [B, ...] from ``out``: conditional rows, then one unconditional row an image."""
    base = out[-len(parts) :]
    if all(len(part) == 1 and part[0][0] == i for i, part in enumerate(parts)):
        weights = {part[0][1] for part in parts}
        if len(weights) == 1:
            return base + (out[: len(parts)] - base) * (weights.pop() * scale)
    guided = base.clone()
    for image, part in enumerate(parts):
        for row, weight in part:
            guided[image] += (out[row] - base[image]) * (weight * scale)
    return guided


def combine_edit(
    out: Tensor, parts: Sequence[Sequence[tuple[int, float]]], scale: float, image_scale: float
) -> Tensor:
    """Guided outputs of an edit model (Brooks et al. 2023, arXiv:2211.09800, equation 3).

    ``out``: conditional rows, then one row an image with the picture but no prompt, then one with neither.
    """
    images = len(parts)
    with_picture, bare = out[:-images], out[-images:]
    return combine(with_picture, parts, scale) + (with_picture[-images:] - bare) * (image_scale - 1)


@dataclass
class GuidedDenoiser:
    """The denoiser that samplers call as ``guided(x, sigma)``.

    ``total_steps`` is the number of model calls that prompt schedules and skip-early-CFG count with.
    ``extra`` receives infotext entries in the order in which they come into effect. ``last_latent`` is the
    newest estimate of the clean latent: what remains of an interrupted run.
    """

    denoiser: Denoiser
    cond: CondSchedule
    uncond: UncondSchedule
    options: GuidanceOptions
    total_steps: int
    monitor: Monitor
    extra: dict[str, Any] = field(default_factory=dict)
    hooks: GuidanceHooks = field(default_factory=GuidanceHooks)
    image_conditioning: Tensor | None = None
    empty_conditioning: Callable[[], Tensor] | None = None
    blend: LatentBlend | None = None
    scale_multiplier: float = 1.0
    keep_uncond: bool = False

    step: int = 0
    sampling_step: int = 0
    sampling_steps: int = 0
    last_latent: Tensor | None = None
    last_uncond: Tensor | None = None
    padded: bool = False
    padded_v0: bool = False

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Guided output for ``x`` [B, C, h, w] at the levels ``sigma`` [B].

        Raises ``SamplingInterrupted`` when the monitor says stop.
        """
        self.monitor.check()
        for hook in self.hooks.before_step:
            hook(self, x, sigma)
        composed = self.cond.at(self.step)
        if self.blend is not None and self.denoiser.blend_first:
            x = self._blended(x, sigma)
        given = self._model_input(x, sigma, composed)
        for before in self.hooks.before_model:
            before(given)
        recorded_skip = self._skips_uncond(sigma)
        skip = recorded_skip or self._needs_no_uncond(composed)
        out = self._outputs(given, composed, skip)
        for after in self.hooks.after_model:
            out = out.clone() if out.is_inference() else out  # a hook may write into it
            seen = ModelOutput(out, self.sampling_step, self.sampling_steps, self)
            after(seen)
            out = seen.x
        if self.keep_uncond:
            self.last_uncond = out[-len(composed.parts) :]
        scale = 1.0 if skip else self.options.cfg_scale * self.scale_multiplier
        guided = self._combined(out, composed, scale)
        if self.blend is not None and not self.denoiser.blend_first:
            guided = self._blended(guided, sigma)
        self._report(given, out, guided, composed)
        for final in self.hooks.after_guidance:
            result = GuidedOutput(guided, self.sampling_step, self.sampling_steps)
            final(result)
            guided = result.x
        self.step += 1
        return guided

    def _combined(self, out: Tensor, composed: Composed, scale: float) -> Tensor:
        image_scale = self.options.image_cfg_scale
        if image_scale is None or not self.options.guides_by_picture:
            return combine(out, composed.parts, scale)
        return combine_edit(out, composed.parts, scale, image_scale)

    def _model_input(self, x: Tensor, sigma: Tensor, composed: Composed) -> ModelInput:
        """All rows: every image once a part, then every image once for the unconditional pass.

        With guidance by a picture, every image once more with nothing to see.
        """
        images = [image for image, part in enumerate(composed.parts) for _ in part]

        def spread(value: Tensor) -> Tensor:
            if images == list(range(len(value))):
                return torch.cat([value, value])
            return torch.cat([value[image : image + 1] for image in images] + [value])

        picture = self.image_conditioning
        concat = None if picture is None else spread(picture)
        uncond = self.uncond.at(self.step)
        rows, sigmas = spread(x), spread(sigma)
        if self.options.guides_by_picture:
            rows, sigmas, uncond = torch.cat([rows, x]), torch.cat([sigmas, sigma]), uncond.repeat(2)
            if concat is not None and picture is not None:
                concat = torch.cat([concat, torch.zeros_like(picture)])
        return ModelInput(
            rows,
            sigmas,
            concat,
            composed.rows,
            uncond,
            self.sampling_step,
            self.sampling_steps,
            self,
        )

    def _skips_uncond(self, sigma: Tensor) -> bool:
        """Skip-early-CFG and negative guidance minimum sigma; both leave a note in the infotext."""
        options = self.options
        if options.guides_by_picture:
            return False
        if options.skip_early_cond != 0 and self.step / self.total_steps <= options.skip_early_cond:
            self.extra["Skip Early CFG"] = options.skip_early_cond
            return True
        # Reading the level waits for the device, so the host conditions come first.
        if (
            options.s_min_uncond > 0
            and (self.step % 2 or options.s_min_uncond_all)
            and float(sigma[0]) < options.s_min_uncond
        ):
            self.extra["NGMS"] = options.s_min_uncond
            if options.s_min_uncond_all:
                self.extra["NGMS all steps"] = True
            return True
        return False

    def _needs_no_uncond(self, composed: Composed) -> bool:
        """At scale 1 the unconditional output cancels, when the weights of every image add up to 1."""
        return (
            self.options.cfg_scale * self.scale_multiplier == 1
            and not self.keep_uncond
            and not self.options.guides_by_picture
            and not self.hooks.see_uncond
            and self.options.preview_content != "Negative prompt"
            and all(abs(sum(weight for _, weight in part) - 1) < 1e-9 for part in composed.parts)
        )

    def _pad(self, cond: Conditioning, uncond: Conditioning) -> tuple[Conditioning, Conditioning]:
        """Make token lengths equal, where a setting says so."""
        self.padded = self.padded_v0 = False
        missing = cond.crossattn.shape[1] - uncond.crossattn.shape[1]
        if missing == 0:
            return cond, uncond
        if self.options.pad_cond_uncond_v0:
            self.padded_v0 = True
            tokens = uncond.crossattn
            if missing > 0:
                tokens = torch.cat([tokens, tokens[:, -1:].expand(-1, missing, -1)], dim=1)
            return cond, dataclasses.replace(uncond, crossattn=tokens[:, : cond.crossattn.shape[1]])
        if self.options.pad_cond_uncond and self.empty_conditioning is not None:
            empty = self.empty_conditioning()
            times = abs(missing) // empty.shape[1]
            self.padded = times > 0
            if missing > 0:
                return cond, _lengthened(uncond, empty, times)
            return _lengthened(cond, empty, times), uncond
        return cond, uncond

    def _outputs(self, given: ModelInput, composed: Composed, skip: bool) -> Tensor:
        """Model outputs of all rows; without an unconditional pass, the first part stands in for it."""
        cond, uncond = self._pad(given.cond, given.uncond)
        images, count = len(composed.parts), len(cond.crossattn)
        batched = self.options.batch_cond_uncond
        if skip:
            size = count if batched else images
            out = self._run(given, cond, 0, size)
            return torch.cat([out] + [out[part[0][0] : part[0][0] + 1] for part in composed.parts])
        if cond.crossattn.shape[1] == uncond.crossattn.shape[1]:
            size = count + len(uncond.crossattn) if batched else images
            return self._run(given, Conditioning.cat([cond, uncond]), 0, size)
        size = images * 2 if batched else images
        first = self._run(given, cond, 0, size)
        return torch.cat([first, self._run(given, uncond, count, len(uncond.crossattn))])

    def _run(self, given: ModelInput, rows: Conditioning, offset: int, size: int) -> Tensor:
        """The network over ``rows``, ``size`` at a time; row 0 belongs to input row ``offset``."""
        total = len(rows.crossattn)
        outputs = []
        for start in range(0, total, size):
            stop = min(start + size, total)
            self.monitor.check()
            chosen = slice(offset + start, offset + stop)
            cond = rows[start:stop]
            if given.image_conditioning is not None:
                cond = cond.with_concat(given.image_conditioning[chosen])
            outputs.append(self.denoiser(given.x[chosen], given.sigma[chosen], cond))
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)

    def _blended(self, latent: Tensor, sigma: Tensor) -> Tensor:
        assert self.blend is not None
        blend = self.blend
        view = MaskBlend(
            latent, blend.nmask, blend.init_latent, blend.mask, blend(latent), denoiser=self, sigma=sigma
        )
        for hook in self.hooks.mask_blend:
            hook(view)
        return view.blended_latent

    def _report(self, given: ModelInput, out: Tensor, guided: Tensor, composed: Composed) -> None:
        """Keep the newest estimate and show the wanted one."""
        heads = [part[0][0] for part in composed.parts]
        images = len(heads)

        def chosen(value: Tensor) -> Tensor:
            if heads == list(range(images)):
                return value[:images]
            return torch.cat([value[row : row + 1] for row in heads])

        x, sigma = chosen(given.x), given.sigma[:images]
        self.last_latent = self.denoiser.estimate(x, chosen(out), sigma)
        preview = self.last_latent
        if self.options.preview_content == "Negative prompt":
            preview = self.denoiser.estimate(given.x[-images:], out[-images:], sigma)
        elif self.options.preview_content == "Combined":
            preview = self.denoiser.estimate(x, guided, sigma)
        self.monitor.latent(preview)


def _lengthened(rows: Conditioning, empty: Tensor, times: int) -> Conditioning:
    """``rows`` with ``times`` chunks of the empty prompt's embedding [1, 77, D] appended."""
    chunks = empty.to(rows.crossattn).expand(len(rows.crossattn), -1, -1).repeat(1, times, 1)
    return dataclasses.replace(rows, crossattn=torch.cat([rows.crossattn, chunks], dim=1))
