"""The result of a job as scripts of extensions know it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from modules.processing.result import Processed as Result
from modules.processing.version import COMPATIBLE_VERSION

_OF_JOB = (
    "prompt", "negative_prompt", "subseed_strength", "width", "height", "sampler_name", "cfg_scale", "steps",
    "batch_size", "restore_faces", "sd_model_name", "sd_model_hash", "sd_vae_name", "sd_vae_hash",
    "seed_resize_from_w", "seed_resize_from_h", "denoising_strength", "extra_generation_params", "styles",
    "token_merging_ratio", "token_merging_ratio_hr", "eta", "ddim_discretize", "s_churn", "s_tmin", "s_tmax",
    "s_noise", "s_min_uncond", "is_using_inpainting_conditioning",
)  # fmt: skip
_JS = (
    "prompt", "all_prompts", "negative_prompt", "all_negative_prompts", "seed", "all_seeds", "subseed",
    "all_subseeds", "subseed_strength", "width", "height", "sampler_name", "cfg_scale", "steps", "batch_size",
    "restore_faces", "face_restoration_model", "sd_model_name", "sd_model_hash", "sd_vae_name", "sd_vae_hash",
    "seed_resize_from_w", "seed_resize_from_h", "denoising_strength", "extra_generation_params",
    "index_of_first_image", "infotexts", "styles", "job_timestamp", "clip_skip",
    "is_using_inpainting_conditioning", "version",
)  # fmt: skip


class Processed:
    """Pictures, their texts and the facts of the job ``p``. ``images`` and ``infotexts`` may be changed."""

    def __init__(  # noqa: PLR0917 - the order is part of the interface for extensions
        self,
        p: Any,
        images_list: list[Any],
        seed: int = -1,
        info: str = "",
        subseed: int | None = None,
        all_prompts: Sequence[str] | None = None,
        all_negative_prompts: Sequence[str] | None = None,
        all_seeds: Sequence[int] | None = None,
        all_subseeds: Sequence[int] | None = None,
        index_of_first_image: int = 0,
        infotexts: list[str] | None = None,
        comments: str = "",
    ) -> None:
        for name in _OF_JOB:
            setattr(self, name, getattr(p, name, None))
        settings = p.stage.settings if getattr(p, "stage", None) is not None else None
        self.images = images_list
        self.seed = int(_first(p.seed if seed == -1 else seed))
        self.subseed = int(_first(p.subseed if subseed is None else subseed))
        self.info = info
        self.comments = comments or "".join(f"{text}\n" for text in p.comments)
        self.image_cfg_scale = getattr(p, "image_cfg_scale", None)
        self.face_restoration_model = (
            settings.face_restoration_model if settings and p.restore_faces else None
        )
        self.job_timestamp = str(getattr(p.stage.monitor, "job_timestamp", "0")) if settings else "0"
        self.clip_skip = int(settings.CLIP_stop_at_last_layers) if settings else 1
        self.sampler_noise_scheduler_override = getattr(p, "sampler_noise_scheduler_override", None)
        self.index_of_first_image = index_of_first_image
        self.all_prompts = list(all_prompts or p.all_prompts or [p.prompt])
        self.all_negative_prompts = list(
            all_negative_prompts or p.all_negative_prompts or [p.negative_prompt]
        )
        self.all_seeds = list(all_seeds or p.all_seeds or [self.seed])
        self.all_subseeds = list(all_subseeds or p.all_subseeds or [self.subseed])
        self.infotexts = infotexts or [info] * len(images_list)
        self.version = COMPATIBLE_VERSION

    @classmethod
    def of(cls, p: Any, result: Result) -> Processed:
        """What the painter returned for ``p``."""
        facts = result.info
        made = cls(
            p,
            result.images,
            seed=facts["seed"],
            info=result.infotexts[0] if result.infotexts else "",
            subseed=facts["subseed"],
            all_prompts=facts["all_prompts"],
            all_negative_prompts=facts["all_negative_prompts"],
            all_seeds=facts["all_seeds"],
            all_subseeds=facts["all_subseeds"],
            index_of_first_image=result.index_of_first_image,
            infotexts=result.infotexts,
        )
        for name in set(_JS) & set(facts):
            setattr(made, name, facts[name])
        return made

    def js(self) -> str:
        """The facts as JSON text."""
        facts = {name: getattr(self, name, None) for name in _JS}
        return json.dumps(facts, default=lambda _: None)

    def infotext(self, p: Any, index: int) -> str:
        """The text of picture ``index`` of the job."""
        place = index + self.index_of_first_image
        return self.infotexts[place] if place < len(self.infotexts) else self.info

    def get_token_merging_ratio(self, for_hr: bool = False) -> float:
        """The share of tokens that attention merged."""
        return self.token_merging_ratio_hr if for_hr else self.token_merging_ratio  # type: ignore[attr-defined]


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) else value
