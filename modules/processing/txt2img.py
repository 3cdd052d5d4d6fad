"""Text → pictures: the way of one job from its request to its files.

Read from the bottom: ``paint_txt2img`` is the table of contents.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch

from modules.devices.finite import require_finite
from modules.processing.batches import Batch, batch_of, conditioning_of, noise_of, plan_of, with_retry
from modules.processing.output import Output
from modules.processing.pictures import decode_pictures
from modules.processing.preparation import prepare
from modules.processing.request import Txt2ImgRequest
from modules.processing.result import Processed
from modules.processing.tiling import tiled
from modules.processing.validation import validate
from modules.sampling.run import SamplingResult, sample_txt2img

if TYPE_CHECKING:
    from modules.checkpoints.model import DiffusionModel
    from modules.options.view import SettingsView
    from modules.processing.engine import Engine
    from modules.sampling.monitor import Monitor


def sample_batch(batch: Batch, model: DiffusionModel, engine: Engine, monitor: Monitor) -> SamplingResult:
    """One sampling run with ``model``; raises ``NonFiniteError`` when its latent is not finite."""
    request = batch.job.request
    noise = noise_of(batch, model, request.width, request.height)
    cond, uncond = conditioning_of(batch, model, engine)
    result = sample_txt2img(plan_of(batch, model, engine), noise, cond, uncond, monitor)
    if model.policy.check_finite and not result.interrupted:
        require_finite(result.latent, "The latent")
    return result


@torch.inference_mode()
def paint_txt2img(
    request: Txt2ImgRequest, engine: Engine, settings: SettingsView, monitor: Monitor
) -> Processed:
    """Paint all pictures of ``request``; the settings already hold its overrides.

    Raises ``InvalidInput``, ``NotFound``, ``ModelFileError`` or ``NonFiniteError``. An interrupted job
    returns what it has.
    """
    validate(request, engine.limits)
    job = prepare(request, engine, settings)
    output = Output(job, engine, getattr(monitor, "job_timestamp", None))
    monitor.begin_job(request.n_iter)
    with tiled(job.model, job.tiling):
        for iteration in range(request.n_iter):
            if monitor.interrupted or monitor.stopping_generation:
                break
            batch = batch_of(job, iteration)
            output.begin_batch(batch.rows, batch.extra)
            attempt = partial(sample_batch, batch, engine=engine, monitor=monitor)
            result = with_retry(job.model, attempt)
            pictures = decode_pictures(job.model, result.latent)
            output.add_batch(pictures, result.extra, complete=not monitor.interrupted)
            monitor.next_job()
    return output.finish()
