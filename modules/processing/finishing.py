"""Painted pictures → shown ones: colours, the kept part of the original over them, masks beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from PIL import Image

from modules.images.resizing import Upscale
from modules.processing.init_images import InitImages
from modules.processing.masks import masked_composite, under_overlay
from modules.processing.output import Companion

if TYPE_CHECKING:
    from modules.options.view import SettingsView

Entry = TypeVar("Entry")


@dataclass(frozen=True)
class Laid:
    """What goes over one picture: ``overlay`` (RGBA), the kept original, and the mask that it comes from."""

    mask: Image.Image | None
    overlay: Image.Image | None


@dataclass(frozen=True)
class Finisher:
    """Puts a painted picture into its original, and adds the pictures that the settings ask for."""

    images: InitImages
    settings: SettingsView
    upscale: Upscale | None = None

    def finish(
        self, pictures: Sequence[Image.Image], laid: Sequence[Laid] = ()
    ) -> tuple[list[Image.Image], list[tuple[Companion, ...]]]:
        """The pictures of a batch as they are shown, and the companions of each.

        ``laid`` replaces what is laid over them, one entry a picture.
        """
        both = [
            self._finish_one(picture, laid[index] if laid else self._laid(index), index)
            for index, picture in enumerate(pictures)
        ]
        return [picture for picture, _ in both], [companions for _, companions in both]

    def _laid(self, index: int) -> Laid:
        masking = self.images.masking
        return Laid(masking.overlay if masking else None, one_of(self.images.overlays, index))

    def _finish_one(
        self, picture: Image.Image, laid: Laid, index: int
    ) -> tuple[Image.Image, tuple[Companion, ...]]:
        images, settings = self.images, self.settings
        overlay = laid.overlay if settings.overlay_inpaint else None
        companions: list[Companion] = []
        target = one_of(images.targets, index)
        if target is not None:
            before, _ = under_overlay(picture, overlay, images.region, self.upscale)
            companions.append(
                Companion(
                    before, "-before-color-correction", save=settings.save_images_before_color_correction
                )
            )
            picture = target.apply(picture)
        picture, painted = under_overlay(picture, overlay, images.region, self.upscale)
        if laid.mask is not None:
            companions += self._masks(laid.mask, painted)
        return picture, tuple(companions)

    def _masks(self, mask: Image.Image, painted: Image.Image) -> list[Companion]:
        settings = self.settings
        found: list[Companion] = []
        if settings.return_mask or settings.save_mask:
            found.append(
                Companion(mask.convert("RGB"), "-mask", show=settings.return_mask, save=settings.save_mask)
            )
        if settings.return_mask_composite or settings.save_mask_composite:
            found.append(
                Companion(
                    masked_composite(painted, mask),
                    "-mask-composite",
                    show=settings.return_mask_composite,
                    save=settings.save_mask_composite,
                )
            )
        return found


def one_of(values: Sequence[Entry], index: int) -> Entry | None:
    """The entry of a picture in a list with one for all, one each, or none."""
    if not values:
        return None
    return values[index] if len(values) > 1 else values[0]
