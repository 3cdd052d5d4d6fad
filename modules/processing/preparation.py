"""Request → everything decided: model, sampler, texts and seeds of every picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modules.processing.face_restoration import check_face_restorer
from modules.processing.hooks import NO_HOOKS, JobHooks
from modules.processing.networks import default_tags
from modules.processing.request import GenerationRequest
from modules.processing.seeds import Seeds
from modules.processing.token_merging import merge_ratio
from modules.prompts.comments import strip_comments
from modules.prompts.text_options import TextOptions
from modules.sampling.samplers import Sampler, find_sampler, resolve_sampler_names
from modules.sampling.schedulers import find_scheduler
from modules.sampling.settings import SamplerSettings

if TYPE_CHECKING:
    from modules.checkpoints.model import DiffusionModel
    from modules.options.view import SettingsView
    from modules.processing.engine import Engine


@dataclass(frozen=True)
class Prepared:
    """A job with all its choices made. Lists run over the pictures of the whole job.

    ``prompts`` and ``negative_prompts`` have styles applied and comments removed; tags of extra networks
    are still in them, because infotexts show them. ``main_*`` stand for the grid.
    """

    request: GenerationRequest
    settings: SettingsView
    model: DiffusionModel
    sampler: Sampler
    scheduler: str
    prompts: tuple[str, ...]
    negative_prompts: tuple[str, ...]
    main_prompt: str
    main_negative_prompt: str
    seeds: Seeds
    tiling: bool
    sampler_settings: SamplerSettings
    text_options: TextOptions
    token_merging_ratio: float = 0.0
    hooks: JobHooks = NO_HOOKS


def prepare(
    request: GenerationRequest, engine: Engine, settings: SettingsView, hooks: JobHooks = NO_HOOKS
) -> Prepared:
    """Make every choice of a validated request; loads the model when it is not loaded.

    Raises ``NotFound`` for an unknown sampler or checkpoint and ``ModelFileError`` for missing files of a
    face restorer, before any time is spent.
    """
    check_face_restorer(request, settings, engine.faces)
    sampler, scheduler = choose_sampler(request.sampler_name, request.scheduler)
    prompt = apply_styles(request.prompt, request, engine, settings)
    negative = apply_styles(request.negative_prompt, request, engine, settings, negative=True)
    count = request.image_count
    job = Prepared(
        request=request,
        settings=settings,
        model=engine.model(settings),
        sampler=sampler,
        scheduler=scheduler,
        prompts=(prompt,) * count,
        negative_prompts=(negative,) * count,
        main_prompt=prompt,
        main_negative_prompt=negative,
        seeds=Seeds.expand(request.seed, request.subseed, request.subseed_strength, count),
        tiling=settings.tiling if request.tiling is None else request.tiling,
        sampler_settings=SamplerSettings.from_view(settings),
        text_options=text_options(request, settings),
        token_merging_ratio=merge_ratio(request, settings),
        hooks=hooks,
    )
    return hooks.prepared(job)


def apply_styles(
    text: str, request: GenerationRequest, engine: Engine, settings: SettingsView, *, negative: bool = False
) -> str:
    """``text`` with the styles of the request applied and, by setting, without comments.

    Prompts also get the tags of the networks that the settings add to each.
    """
    styles = engine.styles
    apply = styles.apply_negative_styles_to_prompt if negative else styles.apply_styles_to_prompt
    text = apply(text, request.styles)
    text = strip_comments(text) if settings.enable_prompt_comments else text
    if not negative and not request.disable_extra_networks:
        text += default_tags(text, settings, engine.networks.folders)
    return text


def choose_sampler(sampler_name: str | None, scheduler_name: str | None) -> tuple[Sampler, str]:
    """Sampler and schedule type label for the names of a request; old combined names are split.

    The reference silently takes its first sampler for an unknown name; here that is ``NotFound``.
    """
    if scheduler_name:
        find_scheduler(scheduler_name)
    name, scheduler = resolve_sampler_names(sampler_name, scheduler_name, fold_automatic=False)
    if sampler_name and not sampler_name.startswith(name):
        find_sampler(sampler_name)
    return find_sampler(name), scheduler


def text_options(request: GenerationRequest, settings: SettingsView) -> TextOptions:
    """The settings that decide how the texts of this request are read."""
    return TextOptions(
        emphasis=settings.emphasis,
        clip_skip=int(settings.CLIP_stop_at_last_layers),
        comma_padding_backtrack=int(settings.comma_padding_backtrack),
        use_old_emphasis=settings.use_old_emphasis_implementation,
        sdxl_clip_l_skip=settings.sdxl_clip_l_skip,
        width=request.width,
        height=request.height,
        crop_top=int(settings.sdxl_crop_top),
        crop_left=int(settings.sdxl_crop_left),
        low_aesthetic_score=settings.sdxl_refiner_low_aesthetic_score,
        high_aesthetic_score=settings.sdxl_refiner_high_aesthetic_score,
    )
