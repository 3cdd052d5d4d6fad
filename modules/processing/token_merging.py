"""Token merging in a sampling run: the setting, and the model that applies it call by call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modules.processing.request import Img2ImgRequest

if TYPE_CHECKING:
    from torch import Tensor

    from modules.checkpoints.model import DiffusionModel
    from modules.options.view import SettingsView
    from modules.processing.request import GenerationRequest
    from modules.sampling.planning import SampledModel


@dataclass(frozen=True)
class MergingModel:
    """``model`` with a share ``ratio`` of its tokens merged while it predicts; untouched between calls."""

    model: DiffusionModel
    ratio: float

    @property
    def spec(self) -> Any:
        """That of the model."""
        return self.model.spec

    @property
    def alphas_cumprod(self) -> Tensor:
        """That of the model."""
        return self.model.alphas_cumprod

    def predict(self, x: Tensor, timesteps: Tensor, cond: Any) -> Tensor:
        """Raw network output."""
        with self.model.unet.merging_tokens(self.ratio):
            return self.model.predict(x, timesteps, cond)


def merging(model: DiffusionModel, ratio: float) -> SampledModel:
    """``model`` for sampling, with tokens merged when ``ratio`` is above 0."""
    return MergingModel(model, ratio) if ratio > 0 else model


def merge_ratio(request: GenerationRequest, settings: SettingsView) -> float:
    """The ratio that the settings give for the kind of request."""
    own = settings.token_merging_ratio_img2img if isinstance(request, Img2ImgRequest) else 0
    return float(own or settings.token_merging_ratio)


def second_pass_ratio(first: float, settings: SettingsView) -> float:
    """The ratio of the second pass of hires fix, when that of the first is ``first``."""
    return float(settings.token_merging_ratio_hr or first)
