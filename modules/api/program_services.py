"""The endpoints' view of the program."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from modules.api.middleware import MAX_BODY_BYTES
from modules.api.network_rows import network_services
from modules.api.pictures import MAX_PIXELS
from modules.api.services import ApiServices, no_scripts, refuse_scripts
from modules.extensions.arguments import script_arguments
from modules.extensions.catalogue import Catalogue
from modules.extensions.runner import ScriptRunner
from modules.faces.registry import FaceRestorers
from modules.jobs.journal import settings_of
from modules.jobs.model_tools import ModelTools
from modules.jobs.program import Program
from modules.jobs.workshop import EXTENSIONS_WAIT
from modules.launcher.extensions import read_extension_choice
from modules.launcher.sysinfo import collect
from modules.processing.face_restoration import check_face_restorer
from modules.processing.infotext_parsing import parse_infotext
from modules.processing.request import GenerationRequest, Txt2ImgRequest
from modules.processing.validation import validate
from modules.upscaling.families import FAMILIES
from modules.upscaling.registry import Upscaler

LATENT_UPSCALE_MODES = (
    "Latent",
    "Latent (antialiased)",
    "Latent (bicubic)",
    "Latent (bicubic antialiased)",
    "Latent (nearest)",
    "Latent (nearest-exact)",
)


def api_services(program: Program, *, restartable: bool) -> ApiServices:
    """What the endpoints need, taken from the parts of ``program``."""
    workshop = program.workshop
    tools = ModelTools(program.paths, program.catalogue, workshop.vaes, program.hashes, program.state)
    return ApiServices(
        queue=program.queue,
        state=program.state,
        options=program.options,
        checkpoints=program.catalogue,
        flags=program.flags,
        parse_infotext=partial(read_infotext, program),
        check=lambda request, settings: check_request(request, settings, workshop.faces),
        save_settings=program.save_settings,
        vaes=lambda: [
            {"model_name": name, "filename": str(workshop.vaes.path(name))} for name in workshop.vaes.names
        ],
        refresh_vaes=workshop.vaes.refresh,
        samplers=sampler_rows,
        schedulers=scheduler_rows,
        upscalers=lambda: upscaler_rows(workshop.upscalers.available(program.options.view())),
        realesrgan_models=realesrgan_rows,
        face_restorers=lambda: [
            {"name": name, "cmd_dir": str(workshop.faces.folder(name))} for name in workshop.faces.names
        ],
        check_extras=workshop.check_extras,
        check_merge=tools.merge_request,
        merge_models=tools.merge,
        inspect_model=lambda model, weights, hashing: tools.inspect(model, weights=weights, hashing=hashing),
        latent_upscale_modes=lambda: [{"name": name} for name in LATENT_UPSCALE_MODES],
        styles=lambda: [
            {"name": style.name, "prompt": style.prompt, "negative_prompt": style.negative_prompt}
            for style in program.styles.styles.values()
        ],
        memory=workshop.memory,
        startup_profile=program.timer.dump,
        unload_checkpoint=workshop.unload,
        reload_checkpoint=lambda: workshop.load_model(program.options.view()),
        restartable=restartable,
        **network_services(workshop),
        extensions=lambda: extension_rows(program),
        scripts=lambda: script_names(program),
        script_info=lambda: script_rows(program),
        check_scripts=partial(check_scripts, program),
        sysinfo=lambda: system_report(program),
        worker_alive=lambda: program.worker.alive,
        spool=program.journal.spool,
        history=program.journal.history,
        settings_of=lambda values: settings_of(program.options, values),
        output_folders=program.output_folders,
        max_body_bytes=(program.flags.max_body_mb or 0) * 1024 * 1024 or MAX_BODY_BYTES,
        max_pixels=(program.flags.max_megapixels or 0) * 1_000_000 or MAX_PIXELS,
    )


def read_infotext(program: Program, text: str, settings: Any) -> Mapping[str, Any]:
    """The entries of a generation text; extensions may change them."""
    entries = dict(parse_infotext(text, settings, program.styles))
    if program.workshop.host is not None:
        program.workshop.host.callbacks.call("infotext_pasted", text, entries)
    return entries


def script_names(program: Program) -> dict[str, Any]:
    """Names of the scripts of both tabs. Waits for extensions that are being loaded."""
    named = {
        kind: [script.name for script in runner.scripts if script.name is not None]
        for kind, runner in _runners(program)
    }
    return {**no_scripts(), **named}


def script_rows(program: Program) -> list[dict[str, Any]]:
    """The scripts of both tabs with their arguments."""
    return [
        asdict(script.api_info)
        for _, runner in _runners(program)
        for script in runner.scripts
        if script.api_info is not None
    ]


def _runners(program: Program) -> list[tuple[str, ScriptRunner]]:
    host = program.workshop.host
    if host is None:
        return []
    host.ready.wait(EXTENSIONS_WAIT)
    return [("txt2img", host.txt2img), ("img2img", host.img2img)]


def check_scripts(program: Program, kind: str, values: Mapping[str, Any]) -> None:
    """Refuse at the door scripts that are not there and arguments that do not fit.

    While extensions are being loaded nothing is refused: the job waits for them.
    """
    host = program.workshop.host
    if host is None:
        refuse_scripts(kind, values)
    elif host.ready.is_set():
        runner = host.img2img if kind == "img2img" else host.txt2img
        script_arguments(
            runner, values["script_name"], values["script_args"] or [], values["alwayson_scripts"]
        )


def extension_rows(program: Program) -> list[dict[str, Any]]:
    """The extensions on disk with the facts of their repositories; reads folders and calls git."""
    flags, paths = program.flags, program.paths
    catalogue = Catalogue(
        paths.extensions_dir,
        paths.extensions_builtin_dir,
        lambda: read_extension_choice(
            paths.config_file, flags.disable_all_extensions, flags.disable_extra_extensions
        ),
    )
    catalogue.refresh()
    for extension in catalogue.extensions:
        extension.read_info_from_repo()
    return [{"name": one.name, "enabled": one.enabled, **one.to_dict()} for one in catalogue.extensions]


def system_report(program: Program) -> dict[str, Any]:
    """The description of the system, with what the running program knows."""
    extra = {"Startup": program.timer.dump()}
    return collect(program.paths.install_dir, program.flags, sys.argv, os.environ, extra)


def check_request(request: GenerationRequest, settings: Any, faces: FaceRestorers) -> None:
    """Refuse at the door what the painter would refuse after its wait in the queue."""
    from modules.processing.hires import choose_hires_sampler
    from modules.processing.preparation import choose_sampler

    validate(request)
    choose_sampler(request.sampler_name, request.scheduler)
    if isinstance(request, Txt2ImgRequest) and request.enable_hr:
        choose_hires_sampler(request)
    check_face_restorer(request, settings, faces)


def upscaler_rows(upscalers: Iterable[Upscaler]) -> list[dict[str, Any]]:
    """The upscalers as the endpoint lists them; ``model_path`` is a file, or the address of one to fetch."""
    return [
        {
            "name": row.name,
            "model_name": row.model_name,
            "model_path": row.location,
            "model_url": None,
            "scale": row.scale,
        }
        for row in upscalers
    ]


def realesrgan_rows() -> list[dict[str, Any]]:
    """The Real-ESRGAN models that can be fetched, shown by the settings or not."""
    family = next(row for row in FAMILIES if row.name == "RealESRGAN")
    return [{"name": row.name, "path": row.url, "scale": row.scale} for row in family.downloads]


def sampler_rows() -> list[dict[str, Any]]:
    """The samplers as the endpoint lists them; values of options are texts there."""
    from modules.sampling.samplers import SAMPLERS

    return [
        {
            "name": row.name,
            "aliases": list(row.aliases),
            "options": {key: str(value) for key, value in row.options.items()},
        }
        for row in SAMPLERS
    ]


def scheduler_rows() -> list[dict[str, Any]]:
    """The schedule types as the endpoint lists them."""
    from modules.sampling.schedulers import SCHEDULERS

    return [
        {
            "name": row.name,
            "label": row.label,
            "aliases": list(row.aliases) or None,
            "default_rho": row.default_rho,
            "need_inner_model": row.need_inner_model,
        }
        for row in SCHEDULERS
    ]
