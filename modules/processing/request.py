"""What a picture is asked for with: plain objects that travel from the door to the painter.

Field names, types and defaults are those of the reference's JSON interface (version 1.10.1), so a
request read from a client, from a page or from an infotext is the same object.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass
class GenerationRequest:
    """The parameters that every kind of generation shares.

    ``seed`` and ``subseed`` of -1 mean "pick one at random"; ``None`` in a sampler parameter means
    "take the setting". Sizes are pixels. Nothing here is checked: ``validation.validate`` does that
    once, at the door.
    """

    prompt: str = ""
    negative_prompt: str = ""
    styles: list[str] = field(default_factory=list)
    seed: int = -1
    subseed: int = -1
    subseed_strength: float = 0
    seed_resize_from_h: int = -1
    seed_resize_from_w: int = -1
    sampler_name: str | None = None
    scheduler: str | None = None
    batch_size: int = 1
    n_iter: int = 1
    steps: int = 50
    cfg_scale: float = 7.0
    width: int = 512
    height: int = 512
    restore_faces: bool | None = None
    tiling: bool | None = None
    do_not_save_samples: bool = False
    do_not_save_grid: bool = False
    eta: float | None = None
    denoising_strength: float | None = None
    s_min_uncond: float | None = None
    s_churn: float | None = None
    s_tmax: float | None = None
    s_tmin: float | None = None
    s_noise: float | None = None
    override_settings: dict[str, Any] = field(default_factory=dict)
    override_settings_restore_afterwards: bool = True
    refiner_checkpoint: str | None = None
    refiner_switch_at: float | None = None
    disable_extra_networks: bool = False
    user: str | None = None
    script_name: str | None = None
    script_args: list[Any] = field(default_factory=list)
    alwayson_scripts: dict[str, Any] = field(default_factory=dict)

    @property
    def image_count(self) -> int:
        """Number of pictures that the request asks for."""
        return self.batch_size * self.n_iter


@dataclass
class Txt2ImgRequest(GenerationRequest):
    """A picture from text alone, with the fields of the second ("hires") pass.

    ``hr_cfg`` is the CFG scale of the second pass, ``None`` for that of the first. ``firstpass_image`` takes
    the place of the first pass: it is enlarged and worked over; its size wins over width and height.
    """

    enable_hr: bool = False
    firstphase_width: int = 0
    firstphase_height: int = 0
    hr_scale: float = 2.0
    hr_upscaler: str | None = None
    hr_second_pass_steps: int = 0
    hr_resize_x: int = 0
    hr_resize_y: int = 0
    hr_checkpoint_name: str | None = None
    hr_sampler_name: str | None = None
    hr_scheduler: str | None = None
    hr_prompt: str = ""
    hr_negative_prompt: str = ""
    hr_cfg: float | None = None
    firstpass_image: Image | None = None


@dataclass
class Img2ImgRequest(GenerationRequest):
    """A picture from pictures, with the fields of inpainting.

    ``init_images``: one for all pictures of a batch, or one each, which then decides about the batch size.
    ``resize_mode``: number of a ``ResizeMode``. ``mask``: white where to paint; alpha counts before grey.
    ``latent_mask`` replaces it for the latent alone. ``mask_blur`` sets both directions (pixels).
    ``inpainting_fill``: what lies under the mask at first (0 colours around, 1 original, 2 noise, 3 nothing).
    ``inpaint_full_res``: paint the surroundings of the mask alone, at the full size of the request.
    ``inpainting_mask_invert``: 1 paints where the mask is black. ``image_cfg_scale`` is for edit models.
    """

    denoising_strength: float | None = 0.75
    init_images: list[Image] = field(default_factory=list)
    resize_mode: int = 0
    image_cfg_scale: float | None = None
    mask: Image | None = None
    mask_blur_x: int = 4
    mask_blur_y: int = 4
    mask_blur: int | None = None
    mask_round: bool = True
    inpainting_fill: int = 0
    inpaint_full_res: bool = True
    inpaint_full_res_padding: int = 0
    inpainting_mask_invert: int = 0
    initial_noise_multiplier: float | None = None
    latent_mask: Image | None = None

    @property
    def blur(self) -> tuple[int, int]:
        """Blur of the mask along x and y in pixels."""
        if self.mask_blur is not None:
            return self.mask_blur, self.mask_blur
        return self.mask_blur_x, self.mask_blur_y
