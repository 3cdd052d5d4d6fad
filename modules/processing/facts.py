"""Facts about a job that its texts, file names and answer share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.processing.face_restoration import face_restorer
from modules.processing.infotext import InfotextFields
from modules.processing.request import Img2ImgRequest, Txt2ImgRequest
from modules.processing.token_merging import second_pass_ratio
from modules.processing.version import COMPATIBLE_VERSION
from modules.sampling.schedulers import find_scheduler

if TYPE_CHECKING:
    from modules.processing.engine import Engine
    from modules.processing.preparation import Prepared
    from modules.processing.result import Processed


class JobFacts:
    """What is true for all pictures of ``job``. Hashes are waited for when first asked for."""

    def __init__(self, job: Prepared, engine: Engine) -> None:
        self.job = job
        self.engine = engine
        self.init_image_hash: str | None = None

    @cached_property
    def model_hash(self) -> str | None:
        """First ten digits of the checkpoint's sha256; waits for the background hash of a new file."""
        info = self.job.model.info
        return info.shorthash if self.engine.hashing and info.shorthash else self._short_hash(info.filename)

    @cached_property
    def vae_name(self) -> str | None:
        """File name of the separate VAE, when there is one."""
        return Path(self.job.model.vae_file).name if self.job.model.vae_file else None

    @cached_property
    def vae_hash(self) -> str | None:
        """First ten digits of the sha256 of the separate VAE."""
        return self._short_hash(self.job.model.vae_file) if self.job.model.vae_file else None

    @property
    def default_scheduler(self) -> str | None:
        """Label of the schedule type that Automatic means for the sampler."""
        name = self.job.sampler.scheduler
        return find_scheduler(name).label if name else None

    @property
    def inpainting_conditioning(self) -> bool:
        """Whether the model sees mask and masked picture besides the latent."""
        return self.job.model.spec.is_inpainting

    @property
    def image_cfg_scale(self) -> float | None:
        """How closely an edit model keeps to the picture; ``None`` for all others."""
        request = self.job.request
        if isinstance(request, Img2ImgRequest) and self.job.model.spec.is_pix2pix:
            return request.image_cfg_scale
        return None

    @property
    def face_restoration(self) -> str | None:
        """Name of the model that restores faces; ``None`` when none does."""
        return face_restorer(self.job.request, self.job.settings)

    @property
    def token_merging_ratio_hr(self) -> float | None:
        """Share of tokens merged in the second pass; ``None`` without one."""
        request = self.job.request
        if not isinstance(request, Txt2ImgRequest) or not request.enable_hr:
            return None
        return second_pass_ratio(self.job.token_merging_ratio, self.job.settings)

    def _short_hash(self, filename: str) -> str | None:
        if not self.engine.hashing:
            return None
        return self.engine.models.catalogue.hashes.sha256(filename)[:10]

    def fields(self, row: int | None, extra: Mapping[str, Any]) -> InfotextFields:
        """What the text of picture ``row`` says; ``None`` stands for the grid."""
        job, request = self.job, self.job.request
        index = row or 0
        return InfotextFields(
            prompt=job.main_prompt if row is None else job.prompts[row],
            negative_prompt=job.main_negative_prompt if row is None else job.negative_prompts[row],
            steps=request.steps,
            sampler=job.sampler.name,
            scheduler=job.scheduler,
            cfg_scale=request.cfg_scale,
            seed=job.seeds.seeds[index],
            width=request.width,
            height=request.height,
            model_hash=self.model_hash,
            model_name=job.model.info.name_for_extra,
            vae_hash=self.vae_hash,
            vae_name=self.vae_name,
            subseed=job.seeds.subseeds[index],
            subseed_strength=request.subseed_strength,
            seed_resize_from_w=request.seed_resize_from_w,
            seed_resize_from_h=request.seed_resize_from_h,
            image_cfg_scale=self.image_cfg_scale,
            conditional_mask_weight=(
                job.settings.inpainting_mask_weight if self.inpainting_conditioning else None
            ),
            init_image_hash=self.init_image_hash,
            clip_skip=job.text_options.clip_skip,
            uses_ensd=job.sampler.uses_seed_delta(request.eta),
            token_merging_ratio=job.token_merging_ratio,
            token_merging_ratio_hr=self.token_merging_ratio_hr,
            tiling=job.tiling,
            face_restoration=self.face_restoration,
            user=request.user,
            extras=extra,
        )

    def info(
        self, processed: Processed, rows: Sequence[int], extra: Mapping[str, Any], job_timestamp: str
    ) -> dict[str, Any]:
        """The ``info`` object of the answer, in the order and with the names of the reference."""
        job, request = self.job, self.job.request
        first = rows[0] if rows else 0
        return {
            "prompt": job.prompts[first],
            "all_prompts": list(job.prompts),
            "negative_prompt": job.negative_prompts[first],
            "all_negative_prompts": list(job.negative_prompts),
            "seed": job.seeds.seeds[first],
            "all_seeds": list(job.seeds.seeds),
            "subseed": job.seeds.subseeds[first],
            "all_subseeds": list(job.seeds.subseeds),
            "subseed_strength": request.subseed_strength,
            "width": request.width,
            "height": request.height,
            "sampler_name": job.sampler.name,
            "cfg_scale": request.cfg_scale,
            "steps": request.steps,
            "batch_size": request.batch_size,
            "restore_faces": self.face_restoration is not None,
            "face_restoration_model": self.face_restoration,
            "sd_model_name": job.model.info.name_for_extra,
            "sd_model_hash": self.model_hash,
            "sd_vae_name": self.vae_name,
            "sd_vae_hash": self.vae_hash,
            "seed_resize_from_w": request.seed_resize_from_w,
            "seed_resize_from_h": request.seed_resize_from_h,
            "denoising_strength": request.denoising_strength,
            "extra_generation_params": {k: None if callable(v) else v for k, v in extra.items()},
            "index_of_first_image": processed.index_of_first_image,
            "infotexts": [text for text in processed.infotexts if text],
            "styles": list(request.styles),
            "job_timestamp": job_timestamp,
            "clip_skip": job.text_options.clip_skip,
            "is_using_inpainting_conditioning": self.inpainting_conditioning,
            "version": COMPATIBLE_VERSION,
        }
