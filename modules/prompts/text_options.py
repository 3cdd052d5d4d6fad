"""Everything that decides, besides the text itself, how a text becomes a tensor."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass


@dataclass(frozen=True)
class TextOptions:
    """Settings of one job for its prompts.

    ``emphasis``: "None", "Ignore", "Original" or "No norm". ``clip_skip``: 1 takes the last layer of
    the encoder, 2 the one before, and so on. ``comma_padding_backtrack``: 0 to 74 tokens.
    ``use_old_emphasis``: brackets as tokens, one chunk only. ``upcast``: give float32, whatever the
    encoder computes in.

    For SDXL: ``sdxl_clip_l_skip`` lets ``clip_skip`` count for its first encoder; ``width`` and
    ``height`` of the picture, ``crop_top`` and ``crop_left`` in pixels; the aesthetic scores go to
    the refiner, the high one with the prompt and the low one with the negative prompt.

    ``network_state``: anything that changes when networks are applied to the encoders, so that
    cached tensors of another state are not used.
    """

    emphasis: str = "Original"
    clip_skip: int = 1
    comma_padding_backtrack: int = 20
    use_old_emphasis: bool = False
    upcast: bool = False
    sdxl_clip_l_skip: bool = False
    width: int = 1024
    height: int = 1024
    crop_top: int = 0
    crop_left: int = 0
    low_aesthetic_score: float = 2.5
    high_aesthetic_score: float = 6.0
    network_state: Hashable = None
