"""Pictures → the latents that painting begins with, and what of them is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor
from torch.nn import functional

from modules.images.resizing import ResizeMode
from modules.processing.image_conditioning import encode_pictures, picture_conditioning
from modules.processing.init_images import InitImages, MaskedContent
from modules.processing.masks import latent_mask
from modules.sampling.guidance import LatentBlend
from modules.sampling.noise import ImageNoise

if TYPE_CHECKING:
    from modules.checkpoints.model import DiffusionModel
    from modules.processing.batches import Batch
    from modules.processing.request import Img2ImgRequest


@dataclass(frozen=True)
class Start:
    """Where the pictures of one batch begin: ``latent`` [B, C, h, w], extra channels, and what is kept."""

    latent: Tensor
    conditioning: Tensor | None = None
    blend: LatentBlend | None = None


class Starts:
    """Encodes the pictures of a job once, and makes the start of every batch from them."""

    def __init__(self, request: Img2ImgRequest, images: InitImages, mask_weight: float) -> None:
        self.request = request
        self.images = images
        self.mask_weight = mask_weight
        self._encoded: tuple[Tensor, Tensor | None] | None = None

    def of(self, batch: Batch, model: DiffusionModel) -> Start:
        """The start of ``batch``."""
        if self._encoded is None:
            self._encoded = self._encode(model)
        count = len(batch.rows)
        latent, conditioning = (self._rows(tensor, count) for tensor in self._encoded)
        assert latent is not None
        if self.images.latent_mask is None:
            return Start(latent, conditioning)
        channels, height, width = latent.shape[1:]
        hard = self.request.mask_round
        painted = latent_mask(self.images.latent_mask, channels, height, width, hard).to(latent)
        kept = 1.0 - painted
        if self.images.content is MaskedContent.LATENT_NOISE:
            # From the seeds alone: variations of one picture have the same noise under the mask.
            source = batch.job.settings.randn_source
            noise = ImageNoise(latent.shape[1:], batch.seeds, source=source, device=model.device)
            latent = latent * kept + noise.first().to(latent) * painted
        elif self.images.content is MaskedContent.LATENT_NOTHING:
            latent = latent * kept
        return Start(latent, conditioning, LatentBlend(kept, painted, latent))

    def _encode(self, model: DiffusionModel) -> tuple[Tensor, Tensor | None]:
        request, images = self.request, self.images
        pixels = images.pixels * 2 - 1
        latent = encode_pictures(model, pixels)
        if request.resize_mode == ResizeMode.LATENT:
            size = (request.height // model.downscale, request.width // model.downscale)
            latent = functional.interpolate(latent, size=size, mode="bilinear")
        conditioning = picture_conditioning(
            model,
            pixels,
            latent,
            images.masking.image if images.masking else None,
            mask_weight=self.mask_weight,
            hard=request.mask_round,
        )
        return latent, conditioning

    @staticmethod
    def _rows(tensor: Tensor | None, count: int) -> Tensor | None:
        if tensor is None or tensor.shape[0] == count:
            return tensor
        return tensor.expand(count, -1, -1, -1)
