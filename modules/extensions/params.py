"""What callbacks are given: objects whose fields they read, and some of which they may replace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(eq=False)
class ImageSaveParams:
    """A picture about to be saved (``image``, ``filename``, ``pnginfo`` may be replaced), or just saved.

    ``pnginfo`` maps the names of text entries to their texts, mostly ``parameters`` to the infotext.
    """

    image: Any
    p: Any
    filename: str
    pnginfo: dict[str, Any]


@dataclass(eq=False)
class ExtraNoiseParams:
    """Extra noise of img2img: ``noise`` may be replaced; ``x``: clean latent, ``xi``: noisy one."""

    noise: Any
    x: Any
    xi: Any


@dataclass(eq=False)
class CFGDenoiserParams:
    """The call of the network: rows of the batch, conditional ones first. All but the steps are read back.

    ``x`` [N, C, h, w], ``sigma`` [N], ``text_cond``, ``text_uncond`` [N, T, D] or a mapping for two encoders.
    """

    x: Any
    image_cond: Any
    sigma: Any
    sampling_step: int
    total_sampling_steps: int
    text_cond: Any
    text_uncond: Any
    denoiser: Any = None


@dataclass(eq=False)
class CFGDenoisedParams:
    """What the network returned for all rows, before guidance; ``x`` may be changed in place."""

    x: Any
    sampling_step: int
    total_sampling_steps: int
    inner_model: Any


@dataclass(eq=False)
class AfterCFGCallbackParams:
    """The guided output, one row an image; ``x`` may be replaced."""

    x: Any
    sampling_step: int
    total_sampling_steps: int


@dataclass(eq=False)
class UiTrainTabParams:
    """The inputs of the txt2img tab that previews of training use."""

    txt2img_preview_params: Any


@dataclass(eq=False)
class ImageGridLoopParams:
    """The pictures of a grid and its shape; all may be replaced."""

    imgs: Any
    cols: int
    rows: int


@dataclass(eq=False)
class BeforeTokenCounterParams:
    """What is about to be counted; all may be replaced."""

    prompt: str
    steps: int
    styles: list[str]
    is_positive: bool = True
