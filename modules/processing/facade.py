"""The job as scripts of extensions see and change it: ``p``.

The names are those that extensions know. Any attribute may be added. ``to_request`` makes a request of one,
so what a script changes before a job begins counts; ``ScriptHooks`` takes over what is changed later.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from modules.processing.request import GenerationRequest, Img2ImgRequest, Txt2ImgRequest
from modules.processing.seeds import fixed_seed

if TYPE_CHECKING:
    from modules.processing.script_hooks import Stage


@dataclass(repr=False, eq=False)
class StableDiffusionProcessing:
    """What all kinds of jobs share. ``stage`` is what the job is painted with; set when it begins."""

    sd_model: Any = None
    outpath_samples: str | None = None
    outpath_grids: str | None = None
    prompt: str = ""
    prompt_for_display: str | None = None
    negative_prompt: str = ""
    styles: list[str] | None = None
    seed: int = -1
    subseed: int = -1
    subseed_strength: float = 0
    seed_resize_from_h: int = -1
    seed_resize_from_w: int = -1
    seed_enable_extras: bool = True
    sampler_name: str | None = None
    scheduler: str | None = None
    batch_size: int = 1
    n_iter: int = 1
    steps: int = 50
    cfg_scale: float = 7.0
    width: int = 512
    height: int = 512
    restore_faces: bool | None = None
    tiling: bool | None = None
    do_not_save_samples: bool = False
    do_not_save_grid: bool = False
    extra_generation_params: Any = None
    overlay_images: Any = None
    eta: float | None = None
    do_not_reload_embeddings: bool = False
    denoising_strength: float | None = None
    ddim_discretize: str | None = None
    s_min_uncond: float | None = None
    s_churn: float | None = None
    s_tmax: float | None = None
    s_tmin: float | None = None
    s_noise: float | None = None
    override_settings: Any = None
    override_settings_restore_afterwards: bool = True
    sampler_index: int | None = None
    refiner_checkpoint: str | None = None
    refiner_switch_at: float | None = None
    token_merging_ratio: ClassVar[Any] = 0
    token_merging_ratio_hr: ClassVar[Any] = 0
    disable_extra_networks: bool = False
    firstpass_image: Any = None
    scripts_setup_complete: bool = field(default=False, init=False)
    cached_uc: ClassVar[Any] = [None, None]
    cached_c: ClassVar[Any] = [None, None]
    comments: Any = None
    sampler: Any = field(default=None, init=False)
    is_using_inpainting_conditioning: bool = field(default=False, init=False)
    paste_to: Any = field(default=None, init=False)
    is_hr_pass: bool = field(default=False, init=False)
    c: Any = field(default=None, init=False)
    uc: Any = field(default=None, init=False)
    rng: Any = field(default=None, init=False)
    step_multiplier: int = field(default=1, init=False)
    color_corrections: Any = field(default=None, init=False)
    all_prompts: Any = field(default=None, init=False)
    all_negative_prompts: Any = field(default=None, init=False)
    all_seeds: Any = field(default=None, init=False)
    all_subseeds: Any = field(default=None, init=False)
    iteration: int = field(default=0, init=False)
    main_prompt: str | None = field(default=None, init=False)
    main_negative_prompt: str | None = field(default=None, init=False)
    prompts: Any = field(default=None, init=False)
    negative_prompts: Any = field(default=None, init=False)
    seeds: Any = field(default=None, init=False)
    subseeds: Any = field(default=None, init=False)
    extra_network_data: Any = field(default=None, init=False)
    user: str | None = field(default=None, init=False)
    sd_model_name: str | None = field(default=None, init=False)
    sd_model_hash: str | None = field(default=None, init=False)
    sd_vae_name: str | None = field(default=None, init=False)
    sd_vae_hash: str | None = field(default=None, init=False)
    is_api: bool = field(default=False, init=False)
    scripts_value: Any = field(default=None, init=False)
    script_args_value: Any = field(default=None, init=False)
    stage: Stage | None = field(default=None, init=False)

    request_class: ClassVar[type[GenerationRequest]] = GenerationRequest

    def __post_init__(self) -> None:
        self.styles = [] if self.styles is None else self.styles
        self.extra_generation_params = self.extra_generation_params or {}
        self.override_settings = self.override_settings or {}
        self.comments = {}

    @property
    def scripts(self) -> Any:
        """The runner whose scripts take part."""
        return self.scripts_value

    @scripts.setter
    def scripts(self, runner: Any) -> None:
        self.scripts_value = runner
        self._setup_when_complete()

    @property
    def script_args(self) -> Any:
        """The arguments of all scripts, one after the other; the first is the number of the chosen one."""
        return self.script_args_value

    @script_args.setter
    def script_args(self, values: Any) -> None:
        self.script_args_value = values
        self._setup_when_complete()

    def _setup_when_complete(self) -> None:
        if self.scripts_value and self.script_args_value and not self.scripts_setup_complete:
            self.setup_scripts()

    def setup_scripts(self) -> None:
        """Tell the scripts about this job, once."""
        self.scripts_setup_complete = True
        self.scripts_value.setup_scrips(self, is_ui=not self.is_api)

    def comment(self, text: str) -> None:
        """A sentence that the user gets with the pictures."""
        self.comments[text] = 1

    def save_samples(self) -> bool:
        """Whether pictures of this job are saved."""
        settings = self.stage.settings if self.stage else None
        return bool(settings is None or settings.samples_save) and not self.do_not_save_samples

    def get_token_merging_ratio(self, for_hr: bool = False) -> float:
        """The share of tokens that attention merges."""
        return (self.token_merging_ratio_hr if for_hr else 0) or self.token_merging_ratio

    def close(self) -> None:
        """Forget what was kept for the job."""
        self.c = self.uc = self.sampler = None


@dataclass(repr=False, eq=False)
class StableDiffusionProcessingTxt2Img(StableDiffusionProcessing):
    """A picture from text, and a second pass."""

    enable_hr: bool = False
    denoising_strength: float = 0.75
    firstphase_width: int = 0
    firstphase_height: int = 0
    hr_scale: float = 2.0
    hr_upscaler: str | None = None
    hr_second_pass_steps: int = 0
    hr_resize_x: int = 0
    hr_resize_y: int = 0
    hr_checkpoint_name: str | None = None
    hr_sampler_name: str | None = None
    hr_scheduler: str | None = None
    hr_prompt: str = ""
    hr_negative_prompt: str = ""
    force_task_id: str | None = None
    cached_hr_uc: ClassVar[Any] = [None, None]
    cached_hr_c: ClassVar[Any] = [None, None]
    hr_checkpoint_info: Any = field(default=None, init=False)
    hr_upscale_to_x: int = field(default=0, init=False)
    hr_upscale_to_y: int = field(default=0, init=False)
    truncate_x: int = field(default=0, init=False)
    truncate_y: int = field(default=0, init=False)
    applied_old_hires_behavior_to: Any = field(default=None, init=False)
    latent_scale_mode: Any = field(default=None, init=False)
    hr_c: Any = field(default=None, init=False)
    hr_uc: Any = field(default=None, init=False)
    all_hr_prompts: Any = field(default=None, init=False)
    all_hr_negative_prompts: Any = field(default=None, init=False)
    hr_prompts: Any = field(default=None, init=False)
    hr_negative_prompts: Any = field(default=None, init=False)
    hr_extra_network_data: Any = field(default=None, init=False)

    request_class: ClassVar[type[GenerationRequest]] = Txt2ImgRequest


@dataclass(repr=False, eq=False)
class StableDiffusionProcessingImg2Img(StableDiffusionProcessing):
    """A picture from pictures."""

    init_images: Any = None
    resize_mode: int = 0
    denoising_strength: float = 0.75
    image_cfg_scale: float | None = None
    mask: Any = None
    mask_blur_x: int = 4
    mask_blur_y: int = 4
    mask_blur: int | None = None
    mask_round: bool = True
    inpainting_fill: int = 0
    inpaint_full_res: bool = True
    inpaint_full_res_padding: int = 0
    inpainting_mask_invert: int = 0
    initial_noise_multiplier: float | None = None
    latent_mask: Any = None
    force_task_id: str | None = None
    image_mask: Any = field(default=None, init=False)
    nmask: Any = field(default=None, init=False)
    image_conditioning: Any = field(default=None, init=False)
    init_img_hash: str | None = field(default=None, init=False)
    mask_for_overlay: Any = field(default=None, init=False)
    init_latent: Any = field(default=None, init=False)

    request_class: ClassVar[type[GenerationRequest]] = Img2ImgRequest

    def __post_init__(self) -> None:
        super().__post_init__()
        self.image_mask, self.mask = self.mask, None
        if self.mask_blur is not None:
            self.mask_blur_x = self.mask_blur_y = self.mask_blur


_LISTS = ("styles", "init_images")
_OF_SCRIPTS = ("script_name", "script_args", "alwayson_scripts")


def from_request(request: GenerationRequest) -> StableDiffusionProcessing:
    """``p`` for a request."""
    kind = (
        StableDiffusionProcessingImg2Img
        if isinstance(request, Img2ImgRequest)
        else StableDiffusionProcessingTxt2Img
    )
    known = {row.name for row in dataclasses.fields(kind) if row.init}
    values = {row.name: getattr(request, row.name) for row in dataclasses.fields(request)}
    p = kind(**{name: _copied(value) for name, value in values.items() if name in known})
    p.user = request.user
    return p


def to_request(p: StableDiffusionProcessing) -> GenerationRequest:
    """The request that ``p`` stands for at this moment."""
    names = [row.name for row in dataclasses.fields(p.request_class)]
    wanted = [name for name in names if name not in _OF_SCRIPTS and hasattr(p, name)]
    values = {name: _copied(getattr(p, name)) for name in wanted}
    for name in _LISTS:
        if name in values and values[name] is None:
            values[name] = []
    values["override_settings"] = values.get("override_settings") or {}
    if isinstance(p, StableDiffusionProcessingImg2Img):
        values["mask"], values["mask_blur"] = p.image_mask, None
    return p.request_class(**values)


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, list) else value


def get_fixed_seed(seed: Any) -> int:
    """``seed`` as a number, or a random one for -1, an empty text and ``None``."""
    return fixed_seed(-1 if seed is None or seed == "" else int(seed))


def fix_seed(p: StableDiffusionProcessing) -> None:
    """Replace seeds of -1 by random numbers, so that they stay the same from now on."""
    p.seed, p.subseed = get_fixed_seed(p.seed), get_fixed_seed(p.subseed)
