"""Hires fix: what the second pass is asked for, and what the infotext says about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from modules.errors import InvalidInput, NotFound
from modules.processing.hires_size import HiresSize, first_pass_size, hires_size
from modules.processing.preparation import Prepared, apply_styles, choose_sampler
from modules.processing.request import Txt2ImgRequest
from modules.processing.token_merging import second_pass_ratio
from modules.prompts.conditioning import Pass
from modules.sampling.samplers import Sampler

if TYPE_CHECKING:
    from modules.checkpoints.catalogue import CheckpointInfo
    from modules.checkpoints.model import DiffusionModel
    from modules.options.view import SettingsView
    from modules.processing.engine import Engine

SAME_CHECKPOINT, SAME_SAMPLER, SAME_SCHEDULER = (
    "Use same checkpoint",
    "Use same sampler",
    "Use same scheduler",
)
"""What pages and old infotexts say for "as in the first pass"."""


@dataclass(frozen=True)
class LatentMode:
    """A way of enlarging latents: arguments of ``torch.nn.functional.interpolate``."""

    name: str
    mode: str
    antialias: bool = False


LATENT_MODES: tuple[LatentMode, ...] = (
    LatentMode("Latent", "bilinear"),
    LatentMode("Latent (antialiased)", "bilinear", antialias=True),
    LatentMode("Latent (bicubic)", "bicubic"),
    LatentMode("Latent (bicubic antialiased)", "bicubic", antialias=True),
    LatentMode("Latent (nearest)", "nearest"),
    LatentMode("Latent (nearest-exact)", "nearest-exact"),
)


@dataclass(frozen=True)
class Hires:
    """The second pass of a job with all its choices made.

    ``latent_mode`` is ``None`` when pixels are enlarged, by the upscaler ``upscaler``. ``checkpoint``: that
    of the second pass, ``None`` for that of the first. ``cfg_scale`` likewise is the one in force.
    """

    size: HiresSize
    latent_mode: LatentMode | None
    upscaler: str
    steps: int
    sampler: Sampler
    scheduler: str
    cfg_scale: float
    prompt: str
    negative_prompt: str
    checkpoint: CheckpointInfo | None
    request: Txt2ImgRequest

    def reads_for(self, job: Prepared) -> Pass:
        """How the schedules of the prompts are read: in the second pass they count on from the first."""
        return Pass(
            steps=job.sampler.total_steps(job.request.steps),
            hires_steps=self.sampler.total_steps(self.steps),
            old_scheduling=job.settings.use_old_scheduling,
        )

    def second_job(self, job: Prepared, model: DiffusionModel) -> Prepared:
        """``job`` as its second pass sees it: other size, steps, sampler, prompts and model."""
        width, height = self.size.final
        count = job.request.image_count
        enlarged_width, enlarged_height = self.size.enlarged
        return replace(
            job,
            request=replace(
                job.request, width=width, height=height, steps=self.steps, cfg_scale=self.cfg_scale
            ),
            model=model,
            sampler=self.sampler,
            scheduler=self.scheduler,
            prompts=(self.prompt,) * count,
            negative_prompts=(self.negative_prompt,) * count,
            token_merging_ratio=second_pass_ratio(job.token_merging_ratio, job.settings),
            # SDXL is told the size before the cut.
            text_options=replace(job.text_options, width=enlarged_width, height=enlarged_height),
            hooks=job.hooks.second_pass(),
        )

    def entries(self, engine: Engine, sampler_name: str) -> dict[str, Any]:
        """Infotext entries in the order of the reference; ``sampler_name`` is that of the first pass."""
        request, resize = self.request, self.size.resize
        entries: dict[str, Any] = {"Denoising strength": request.denoising_strength}
        if self.checkpoint is not None:
            entries["Hires checkpoint"] = engine.short_title(self.checkpoint)
        if self.sampler.name != sampler_name:
            entries["Hires sampler"] = self.sampler.name
        entries["Hires prompt"] = _when_different(self.prompt, "prompt_text")
        entries["Hires negative prompt"] = _when_different(self.negative_prompt, "negative_prompt")
        entries["Hires schedule type"] = None  # its place; the second pass fills it in
        if resize is None:
            entries["Hires upscale"] = request.hr_scale
        else:
            entries["Hires resize"] = f"{resize[0]}x{resize[1]}"
        if request.hr_second_pass_steps:
            entries["Hires steps"] = request.hr_second_pass_steps
        if request.hr_upscaler is not None:
            entries["Hires upscaler"] = request.hr_upscaler
        if request.hr_cfg is not None and request.hr_cfg != request.cfg_scale:
            entries["Hires CFG Scale"] = request.hr_cfg
        return entries


def _when_different(text: str, keyword: str) -> Callable[..., str | None]:
    """An entry that appears only where the text of the first pass is another one."""
    return lambda **known: text if text != known[keyword] else None


def sized_by_picture(request: Txt2ImgRequest) -> Txt2ImgRequest:
    """``request`` with the size of the picture that takes the place of its first pass, if there is one."""
    if request.firstpass_image is None:
        return request
    width, height = request.firstpass_image.size
    return replace(request, width=width, height=height, firstphase_width=0, firstphase_height=0)


def settle_size(request: Txt2ImgRequest, settings: SettingsView) -> tuple[Txt2ImgRequest, HiresSize | None]:
    """``request`` with the size of its first pass as width and height, and the sizes of both passes.

    Raises ``InvalidInput`` for a second pass without pixels.
    """
    size = None
    width, height = first_pass_size(request)
    if request.enable_hr:
        old = settings.use_old_hires_fix_width_height and request.firstpass_image is None
        size = hires_size(request, old_behaviour=old)
        width, height = size.first
    return replace(request, width=width, height=height), size


def choose_hires_sampler(request: Txt2ImgRequest) -> tuple[Sampler, str]:
    """Sampler and schedule type of the second pass; what it does not name is that of the first.

    Raises ``NotFound`` for an unknown one.
    """
    sampler_name, scheduler = request.hr_sampler_name, request.hr_scheduler
    if sampler_name in (None, "", SAME_SAMPLER):
        sampler_name = request.sampler_name
    if scheduler in (None, "", SAME_SCHEDULER):
        scheduler = choose_sampler(request.sampler_name, request.scheduler)[1]
    return choose_sampler(sampler_name, scheduler)


def choose_hires(request: Txt2ImgRequest, size: HiresSize, engine: Engine, settings: SettingsView) -> Hires:
    """Make every choice of the second pass; loads nothing.

    ``request`` has its size settled. Raises ``NotFound`` for an unknown sampler, upscaler or checkpoint.
    """
    name = request.hr_checkpoint_name
    checkpoint = None if name in (None, "", "None", SAME_CHECKPOINT) else engine.models.resolve(name)
    sampler, scheduler = choose_hires_sampler(request)
    upscaler = request.hr_upscaler if request.hr_upscaler is not None else LATENT_MODES[0].name
    latent_mode = next((mode for mode in LATENT_MODES if mode.name == upscaler), None)
    if latent_mode is None:
        _require_upscaler(upscaler, engine)
    return Hires(
        size=size,
        latent_mode=latent_mode,
        upscaler=upscaler,
        steps=request.hr_second_pass_steps or request.steps,
        sampler=sampler,
        scheduler=scheduler,
        cfg_scale=request.cfg_scale if request.hr_cfg is None else request.hr_cfg,
        prompt=apply_styles(request.hr_prompt or request.prompt, request, engine, settings),
        negative_prompt=apply_styles(
            request.hr_negative_prompt or request.negative_prompt, request, engine, settings, negative=True
        ),
        checkpoint=checkpoint,
        request=request,
    )


def _require_upscaler(name: str, engine: Engine) -> None:
    try:
        engine.upscalers.find(name)
    except NotFound as error:
        modes = ", ".join(mode.name for mode in LATENT_MODES)
        raise InvalidInput(f"{error} For hr_upscaler there are also: {modes}.", "hr_upscaler") from error
