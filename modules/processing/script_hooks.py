"""Lets scripts and callbacks of extensions take part in a job, through the object ``p`` that they know."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from modules.extensions.hook_args import (
    MaskBlendArgs,
    PostprocessBatchListArgs,
    PostprocessImageArgs,
    PostSampleArgs,
)
from modules.extensions.host import ExtensionHost
from modules.extensions.params import ImageSaveParams
from modules.processing.facade import StableDiffusionProcessing, to_request
from modules.processing.guidance_callbacks import extra_noise_hooks, guidance_hooks
from modules.processing.hooks import JobHooks
from modules.processing.preparation import choose_sampler
from modules.processing.seeds import Seeds
from modules.processing.validation import validate
from modules.sampling.guidance import MaskBlend

if TYPE_CHECKING:
    from modules.images.saving import PendingSave
    from modules.options.view import SettingsView
    from modules.processing.batches import Batch
    from modules.processing.engine import Engine
    from modules.processing.preparation import Prepared
    from modules.sampling.monitor import Monitor
    from modules.sampling.noise import ImageNoise
    from modules.sampling.planning import SamplingPlan


@dataclass(frozen=True)
class Stage:
    """What a job is painted with, also for the jobs that scripts start inside it; what they all left."""

    engine: Engine
    settings: SettingsView
    monitor: Monitor
    host: ExtensionHost
    saved: list[Path] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


STAGE: ContextVar[Stage | None] = ContextVar("stage", default=None)
"""The stage of the job that this thread paints."""


class HookedNoise:
    """Random numbers that tell when the first of a sampling run are drawn."""

    def __init__(self, noise: ImageNoise, drawn: Callable[[Tensor], None]) -> None:
        self._noise = noise
        self._drawn = drawn

    def __getattr__(self, name: str) -> Any:
        return getattr(self._noise, name)

    def first(self) -> Tensor:
        """Initial noise [B, C, h, w]; scripts see it and may change it in place."""
        noise = self._noise.first()
        self._drawn(noise)
        return noise


class ScriptHooks(JobHooks):
    """Calls the scripts of ``p.scripts`` and the callbacks of the host, and takes over what they change."""

    def __init__(self, p: StableDiffusionProcessing, stage: Stage, *, second: bool = False) -> None:
        self.p = p
        self.stage = stage
        self.runner = p.scripts
        self._second = second

    def _call(self, hook: str, *args: Any, **kwargs: Any) -> None:
        if self.runner is not None:
            getattr(self.runner, hook)(self.p, *args, **kwargs)

    def _wanted(self, hook: str) -> bool:
        return self.runner is not None and bool(self.runner.list_scripts_for_method(hook))

    # Before the pictures

    def prepared(self, job: Prepared) -> Prepared:
        """Fill the lists of ``p``, call ``process``, take the lists back."""
        p = self.p
        p.all_prompts, p.all_negative_prompts = list(job.prompts), list(job.negative_prompts)
        p.all_seeds, p.all_subseeds = list(job.seeds.seeds), list(job.seeds.subseeds)
        p.main_prompt, p.main_negative_prompt = job.main_prompt, job.main_negative_prompt
        p.seed, p.subseed = p.all_seeds[0], p.all_subseeds[0]
        p.sampler_name, p.scheduler, p.sd_model = job.sampler.name, job.scheduler, job.model
        p.sd_model_name = job.model.info.name_for_extra
        p.tiling = job.tiling
        before = to_request(p)
        self._call("process")
        job = replace(
            job,
            prompts=tuple(p.all_prompts),
            negative_prompts=tuple(p.all_negative_prompts),
            main_prompt=p.main_prompt,
            main_negative_prompt=p.main_negative_prompt,
            seeds=Seeds(tuple(p.all_seeds), tuple(p.all_subseeds)),
        )
        after = to_request(p)
        if after == before:
            return job
        validate(after, self.stage.engine.limits)
        sampler, scheduler = choose_sampler(after.sampler_name, after.scheduler)
        return replace(job, request=after, sampler=sampler, scheduler=scheduler)

    def before_batch(self, job: Prepared, rows: range) -> Prepared:
        """Call ``before_process_batch``; prompts and seeds of the batch may change."""
        if self._second:
            return job
        p, number = self.p, rows.start // job.request.batch_size
        p.iteration = number
        p.prompts, p.negative_prompts = (
            list(job.prompts[rows.start : rows.stop]),
            list(job.negative_prompts[rows.start : rows.stop]),
        )
        p.seeds = list(job.seeds.seeds[rows.start : rows.stop])
        p.subseeds = list(job.seeds.subseeds[rows.start : rows.stop])
        self._call("before_process_batch", **self._batch_words(number))
        return replace(
            job,
            prompts=_put(job.prompts, rows, p.prompts),
            negative_prompts=_put(job.negative_prompts, rows, p.negative_prompts),
            seeds=Seeds(_put(job.seeds.seeds, rows, p.seeds), _put(job.seeds.subseeds, rows, p.subseeds)),
        )

    def _batch_words(self, number: int) -> dict[str, Any]:
        p = self.p
        return {"batch_number": number, "prompts": p.prompts, "seeds": p.seeds, "subseeds": p.subseeds}

    def batch(self, batch: Batch) -> Batch:
        """Call ``after_extra_networks_activate`` and ``process_batch``; the prompts may change."""
        if self._second:
            return batch
        p = self.p
        p.prompts, p.extra_network_data = list(batch.prompts), batch.networks
        words = self._batch_words(p.iteration)
        self.stage.host.networks.activate(p, batch.networks)
        self._call("after_extra_networks_activate", **words, extra_network_data=batch.networks)
        self._call("process_batch", **words)
        negative = _put(batch.job.negative_prompts, batch.rows, p.negative_prompts)
        return replace(batch, prompts=tuple(p.prompts), job=replace(batch.job, negative_prompts=negative))

    # Sampling

    def before_second_pass(self) -> None:
        """Call ``before_hr``."""
        self.p.is_hr_pass = True
        self._call("before_hr")

    def second_pass(self) -> JobHooks:
        """The same scripts; texts of the batch are not asked for again."""
        return ScriptHooks(self.p, self.stage, second=True)

    def plan(self, plan: SamplingPlan) -> SamplingPlan:
        """Connect the callbacks of guidance, mask blending and noise."""
        callbacks, hooks = self.stage.host.callbacks, plan.hooks
        blends = (self._mask_blend,) if self._wanted("on_mask_blend") else ()
        hooks = guidance_hooks(hooks, callbacks, self.p)
        override = getattr(self.p, "sampler_noise_scheduler_override", None)
        return replace(
            plan,
            hooks=replace(hooks, mask_blend=(*hooks.mask_blend, *blends)),
            extra_noise_hooks=(*plan.extra_noise_hooks, *extra_noise_hooks(callbacks)),
            sigmas=override or plan.sigmas,
        )

    def _mask_blend(self, view: MaskBlend) -> None:
        seen = MaskBlendArgs(
            view.current_latent,
            view.nmask,
            view.init_latent,
            view.mask,
            view.blended_latent,
            denoiser=view.denoiser,
            sigma=view.sigma,
        )
        self._call("on_mask_blend", seen)
        view.blended_latent = seen.blended_latent

    def noise(self, batch: Batch, noise: ImageNoise) -> ImageNoise:
        """Call ``process_before_every_sampling`` when the sampler draws its first noise."""
        if not self._wanted("process_before_every_sampling"):
            return noise
        p = self.p

        def drawn(first: Tensor) -> None:
            self._call("process_before_every_sampling", x=first, noise=first, c=p.c, uc=p.uc)

        return cast("ImageNoise", HookedNoise(noise, drawn))

    # After sampling

    def latent(self, latent: Tensor) -> Tensor:
        """Call ``post_sample``."""
        seen = PostSampleArgs(latent)
        self._call("post_sample", seen)
        return seen.samples

    def pictures(self, pictures: Sequence[Image.Image], rows: Sequence[int]) -> Sequence[Image.Image]:
        """Call the hooks of the batch, then those of each picture."""
        pictures = self._batch_hooks(list(pictures))
        done = []
        for index, picture in enumerate(pictures):
            self.p.batch_index = index  # type: ignore[attr-defined]
            seen = PostprocessImageArgs(picture)
            self._call("postprocess_image", seen)
            self._call("postprocess_image_after_composite", seen)
            done.append(seen.image)
        return done

    def _batch_hooks(self, pictures: list[Image.Image]) -> list[Image.Image]:
        words = {"batch_number": self.p.iteration}
        if pictures and self._wanted("postprocess_batch"):
            batch = torch.stack([_to_tensor(picture) for picture in pictures])
            before = batch.clone()
            self._call("postprocess_batch", batch, **words)
            if not torch.equal(batch, before):
                pictures = [_to_picture(one) for one in batch]
        if self._wanted("postprocess_batch_list"):
            images = [_to_tensor(picture) for picture in pictures]
            given = {id(one): (picture, one.clone()) for one, picture in zip(images, pictures, strict=True)}
            seen = PostprocessBatchListArgs(images)
            self._call("postprocess_batch_list", seen, **words)
            pictures = [_unchanged(one, given) or _to_picture(one) for one in seen.images]
        return pictures

    def entries(self, row: int | None) -> Mapping[str, Any]:
        """What scripts put into ``p.extra_generation_params``; functions are called for each picture."""
        p = self.p
        values = {}
        for key, value in p.extra_generation_params.items():
            chosen = self._entry(key, value, row or 0)
            if chosen is not None:
                values[key] = chosen
        return values

    def _entry(self, key: str, value: Any, row: int) -> Any:
        if isinstance(value, list):
            return value[row] if row < len(value) else None
        if not callable(value):
            return value
        code = getattr(value, "__code__", None)
        owner = self.stage.host.callbacks.owner(code.co_filename if code else "")
        return self.stage.host.ledger.contain(owner, f"entry {key}", value, **self._facts(row))

    def _facts(self, row: int) -> dict[str, Any]:
        p = self.p
        return {
            "p": p,
            "all_prompts": p.all_prompts,
            "all_seeds": p.all_seeds,
            "all_subseeds": p.all_subseeds,
            "all_negative_prompts": p.all_negative_prompts,
            "index": row,
            "iteration": p.iteration,
            "position_in_batch": row % max(p.batch_size, 1),
            "prompt_text": p.all_prompts[row],
            "negative_prompt": p.all_negative_prompts[row],
        }

    # Files

    def before_save(self, pending: PendingSave) -> PendingSave:
        """Call ``before_image_saved``."""
        callbacks = self.stage.host.callbacks
        if not callbacks.any("before_image_saved"):
            return pending
        params = ImageSaveParams(pending.image, self.p, str(pending.path), dict(pending.texts))
        callbacks.call("before_image_saved", params)
        text = params.pnginfo.get("parameters", pending.infotext)
        return replace(
            pending, image=params.image, path=Path(params.filename), texts=params.pnginfo, infotext=text
        )

    def saved(self, picture: Image.Image, path: Path, text: str) -> None:
        """Call ``image_saved``."""
        params = ImageSaveParams(picture, self.p, str(path), {"parameters": text})
        self.stage.host.callbacks.call("image_saved", params)


def _put(values: Sequence[Any], rows: range, new: Sequence[Any]) -> tuple[Any, ...]:
    return (*values[: rows.start], *new, *values[rows.stop :])


def _to_tensor(picture: Image.Image) -> Tensor:
    pixels = np.asarray(picture.convert("RGB"), dtype=np.float32) / 255.0
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def _to_picture(pixels: Tensor) -> Image.Image:
    array = (pixels.detach().float().clamp(0, 1) * 255.0).round().permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(array.astype(np.uint8))


def _unchanged(one: Tensor, given: Mapping[int, tuple[Image.Image, Tensor]]) -> Image.Image | None:
    picture, before = given.get(id(one), (None, None))
    return picture if before is not None and torch.equal(one, before) else None
