"""What hooks of scripts are given besides the job; most may be replaced by the hook."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class MaskBlendArgs:
    """Laying the painted part over the kept one, at a step or, with ``is_final_blend``, at the end.

    Latents [B, C, h, w]; ``nmask`` is 1 where it is painted, ``mask`` where it is kept.
    ``blended_latent`` may be replaced.
    """

    def __init__(  # noqa: PLR0917 - the order is part of the interface for extensions
        self,
        current_latent: Any,
        nmask: Any,
        init_latent: Any,
        mask: Any,
        blended_latent: Any,
        denoiser: Any = None,
        sigma: Any = None,
    ) -> None:
        self.current_latent = current_latent
        self.nmask = nmask
        self.init_latent = init_latent
        self.mask = mask
        self.blended_latent = blended_latent
        self.denoiser = denoiser
        self.is_final_blend = denoiser is None
        self.sigma = sigma


class PostSampleArgs:
    """The latents [B, C, h, w] before they are decoded; may be replaced."""

    def __init__(self, samples: Any) -> None:
        self.samples = samples


class PostprocessImageArgs:
    """One picture; ``image`` may be replaced."""

    def __init__(self, image: Any) -> None:
        self.image = image


class PostProcessMaskOverlayArgs:
    """The mask and the overlay of picture ``index``; both may be replaced."""

    def __init__(self, index: int, mask_for_overlay: Any, overlay_image: Any) -> None:
        self.index = index
        self.mask_for_overlay = mask_for_overlay
        self.overlay_image = overlay_image


class PostprocessBatchListArgs:
    """The pictures of a batch, tensors [3, H, W] in 0..1, in a list that may be changed."""

    def __init__(self, images: list[Any]) -> None:
        self.images = images


@dataclass
class OnComponent:
    """The component that a callback waited for."""

    component: Any


@dataclass
class ScriptArg:
    """An argument of a script, as the JSON interface lists it."""

    label: str | None = None
    value: Any = None
    minimum: Any = None
    maximum: Any = None
    step: Any = None
    choices: list[Any] | None = None


@dataclass
class ScriptInfo:
    """A script and its arguments, as the JSON interface lists them."""

    name: str | None = None
    is_alwayson: bool | None = None
    is_img2img: bool | None = None
    args: list[ScriptArg] | None = None
