"""Where others take part in a job: one object that travels in it and is asked at each point.

``JobHooks`` itself changes nothing. The scripts of extensions take part through
``modules.processing.script_hooks.ScriptHooks``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image
    from torch import Tensor

    from modules.images.saving import PendingSave
    from modules.processing.batches import Batch
    from modules.processing.preparation import Prepared
    from modules.sampling.noise import ImageNoise
    from modules.sampling.planning import SamplingPlan


class JobHooks:
    """The points of a job in their order. Each returns what it was given, or something in its place."""

    def prepared(self, job: Prepared) -> Prepared:
        """Texts, seeds and sampler of all pictures are decided."""
        return job

    def before_batch(self, job: Prepared, rows: range) -> Prepared:
        """A batch begins; tags of networks are still in its prompts."""
        return job

    def batch(self, batch: Batch) -> Batch:
        """The networks of the batch are on the model, its prompts are free of tags."""
        return batch

    def before_second_pass(self) -> None:
        """The second pass of hires fix begins."""

    def second_pass(self) -> JobHooks:
        """The hooks of the second pass."""
        return self

    def plan(self, plan: SamplingPlan) -> SamplingPlan:
        """A sampler is about to run."""
        return plan

    def noise(self, batch: Batch, noise: ImageNoise) -> ImageNoise:
        """The random numbers of a sampling run."""
        return noise

    def latent(self, latent: Tensor) -> Tensor:
        """The latents [B, C, h, w] before they are decoded."""
        return latent

    def pictures(self, pictures: Sequence[Image], rows: Sequence[int]) -> Sequence[Image]:
        """The pictures of a batch before they get their texts; ``rows`` are their places in the job."""
        return pictures

    def entries(self, row: int | None) -> Mapping[str, Any]:
        """Infotext entries of others for picture ``row``; ``None`` stands for the grid."""
        return {}

    def before_save(self, pending: PendingSave) -> PendingSave:
        """A picture is about to be saved."""
        return pending

    def saved(self, picture: Image, path: Path, text: str) -> None:
        """A picture was saved."""


NO_HOOKS = JobHooks()
