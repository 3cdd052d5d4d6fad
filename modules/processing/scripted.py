"""Painting a job in which scripts of extensions take part, and ``process_images`` for scripts themselves."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import modules.processing as public
from modules.errors import EaselError
from modules.extensions.current import HOST
from modules.processing.facade import StableDiffusionProcessing, from_request, to_request
from modules.processing.legacy_result import Processed
from modules.processing.request import GenerationRequest, Img2ImgRequest, Txt2ImgRequest
from modules.processing.result import Processed as Result
from modules.processing.script_hooks import STAGE, ScriptHooks, Stage


class NoStage(EaselError):
    """``process_images`` was called outside of a job."""


def paint_with_scripts(
    request: GenerationRequest, stage: Stage, runner: Any, script_args: Sequence[Any]
) -> Result:
    """Paint ``request`` with the scripts of ``runner`` taking part; a chosen script does the job itself.

    Raises what the painter raises, and what the chosen script raises.
    """
    token = STAGE.set(stage)
    try:
        p = from_request(request)
        p.stage, p.is_api = stage, True  # no page hands over arguments of scripts yet
        p.scripts = runner
        p.script_args = list(script_args)
        processed = runner.run(p, *p.script_args)
        if processed is None:
            processed = public.process_images(p)
        p.close()
        return as_result(processed, p, stage)
    finally:
        STAGE.reset(token)


def process_images(p: StableDiffusionProcessing) -> Processed:
    """Paint the job ``p``. For scripts: call it as often as needed inside ``run``.

    Raises ``NoStage`` outside of a job, else what the painter raises.
    """
    if p.scripts is not None:
        p.scripts.before_process(p)
    return public.process_images_inner(p)


def process_images_inner(p: StableDiffusionProcessing) -> Processed:
    """The same without ``before_process``."""
    stage = p.stage or STAGE.get() or (HOST.make_stage() if HOST.make_stage else None)
    if stage is None:
        raise NoStage("process_images was called outside of a job: call it in a script, or queue a job.")
    if p.override_settings:
        stage = dataclasses.replace(stage, settings=stage.settings.with_overrides(p.override_settings))
    p.stage = stage
    try:
        result = _paint(p, stage)
    finally:
        stage.host.networks.deactivate(p)
    stage.saved.extend(result.saved)
    stage.warnings.extend(result.warnings)
    processed = Processed.of(p, result)
    if p.scripts is not None:
        p.scripts.postprocess(p, processed)
    return processed


def _paint(p: StableDiffusionProcessing, stage: Stage) -> Result:
    from modules.processing.img2img import paint_img2img
    from modules.processing.txt2img import paint_txt2img

    hooks, request = ScriptHooks(p, stage), to_request(p)
    if isinstance(request, Img2ImgRequest):
        return paint_img2img(request, stage.engine, stage.settings, stage.monitor, job_hooks=hooks)
    assert isinstance(request, Txt2ImgRequest)
    return paint_txt2img(request, stage.engine, stage.settings, stage.monitor, hooks)


def as_result(processed: Processed, p: StableDiffusionProcessing, stage: Stage) -> Result:
    """What the program works on with, from what a script returned."""
    texts = list(processed.infotexts)[: len(processed.images)]
    texts += [""] * (len(processed.images) - len(texts))
    return Result(
        images=list(processed.images),
        infotexts=texts,
        info=json.loads(processed.js()),
        index_of_first_image=processed.index_of_first_image,
        saved=stage.saved,
        warnings=[*stage.warnings, *p.comments],
    )
