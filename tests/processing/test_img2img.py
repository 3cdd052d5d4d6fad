"""Pictures from pictures: what begins, what is kept, what comes back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from modules.checkpoints.catalogue import CheckpointCatalogue
from modules.checkpoints.hashes import HashStore
from modules.checkpoints.store import ModelStore
from modules.devices.policy import DevicePolicy
from modules.errors import InvalidInput, NonFiniteError, NotFound
from modules.options.settings import default_options
from modules.processing.engine import Engine
from modules.processing.image_conditioning import blank_conditioning, picture_conditioning
from modules.processing.img2img import TAESD_MISSING, paint_img2img
from modules.processing.init_images import BLANK_MASK, picture_hash
from modules.processing.request import Img2ImgRequest
from modules.processing.result import Processed
from modules.processing.validation import validate
from modules.sampling.monitor import NullMonitor
from tests.golden.cases import ROOT


def photo(seed: int = 0, size: tuple[int, int] = (64, 64)) -> Image.Image:
    """A smooth picture."""
    noise = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def mask(box: tuple[int, int, int, int], size: tuple[int, int] = (64, 64)) -> Image.Image:
    image = Image.new("L", size)
    image.paste(255, box)
    return image


def array(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB")).astype(int)


Paint = Callable[..., Processed]


@pytest.fixture
def change(engine: Engine) -> Paint:
    """Paints from ``photo()``; keywords are fields of the request, ``sets`` settings of the job."""

    def run(monitor: Any = None, sets: dict[str, Any] | None = None, **fields: Any) -> Processed:
        values = {
            "prompt": "a cat",
            "seed": 1,
            "steps": 2,
            "width": 64,
            "height": 64,
            "sampler_name": "Euler",
            "do_not_save_samples": True,
            "do_not_save_grid": True,
            "init_images": [photo()],
        }
        settings = {"sd_model_checkpoint": "tiny-sd1", "randn_source": "CPU", **(sets or {})}
        view = default_options().view(settings)
        return paint_img2img(Img2ImgRequest(**{**values, **fields}), engine, view, monitor or NullMonitor())

    return run


LEFT = mask((0, 0, 24, 64))
"""A mask over the left part."""


def test_strength_decides_how_much_changes(change: Paint) -> None:
    original = array(photo())
    near, far = (
        np.abs(array(change(denoising_strength=strength, steps=4).images[0]) - original).mean()
        for strength in (0.0, 1.0)
    )
    assert near < far


def test_what_is_not_masked_stays(change: Paint) -> None:
    result = change(mask=LEFT, mask_blur=0, inpaint_full_res=False, inpainting_fill=1)
    assert np.array_equal(array(result.images[0])[:, 32:], array(photo())[:, 32:])
    assert not np.array_equal(array(result.images[0])[:, :16], array(photo())[:, :16])


def test_inverted_mask_keeps_the_other_side(change: Paint) -> None:
    result = change(mask=LEFT, mask_blur=0, inpaint_full_res=False, inpainting_mask_invert=1)
    assert np.array_equal(array(result.images[0])[:, :16], array(photo())[:, :16])
    assert "Mask mode: Inpaint not masked" in result.infotexts[0]


def test_only_masked_paints_a_crop_into_a_large_picture(change: Paint) -> None:
    large = photo(size=(200, 120))
    spot = mask((150, 20, 170, 40), (200, 120))
    result = change(init_images=[large], mask=spot, mask_blur=0, inpaint_full_res_padding=4)
    painted = array(result.images[0])
    assert painted.shape == (120, 200, 3)
    changed = np.argwhere((painted != array(large)).any(axis=-1))
    assert changed.min(axis=0).tolist() >= [20, 150] and changed.max(axis=0).tolist() <= [39, 169]
    assert "Inpaint area: Only masked, Masked area padding: 4" in result.infotexts[0]


def test_blank_mask_paints_the_whole_picture_and_says_so(change: Paint) -> None:
    result = change(mask=Image.new("L", (64, 64)))
    assert result.warnings == [BLANK_MASK]
    assert "Inpaint area" not in result.infotexts[0]
    assert result.images[0].tobytes() == change().images[0].tobytes()


def test_mask_of_another_size_is_stretched(change: Paint) -> None:
    small = mask((0, 0, 12, 32), (32, 32))
    result = change(mask=small, mask_blur=0)
    assert result.images[0].size == (64, 64)
    assert np.array_equal(array(result.images[0])[:, 40:], array(photo())[:, 40:])


def test_pictures_of_a_batch_have_their_own_start(change: Paint) -> None:
    both = change(init_images=[photo(1), photo(2)], batch_size=4, denoising_strength=0.3)
    assert len(both.images) == 2
    for index, seed in enumerate((1, 2)):
        alone = change(init_images=[photo(seed)], seed=1 + index, denoising_strength=0.3)
        assert np.abs(array(both.images[index]) - array(alone.images[0])).max() <= 1


def test_a_picture_of_a_later_batch_is_the_one_painted_alone(change: Paint) -> None:
    options = {"mask": LEFT, "inpainting_fill": 2, "inpaint_full_res": False}
    later = change(n_iter=2, batch_size=2, **options)
    alone = change(seed=4, **options)
    assert np.abs(array(later.images[3]) - array(alone.images[0])).max() <= 1


def test_masks_come_along_when_they_are_wanted(change: Paint, engine: Engine) -> None:
    wanted = ("return_mask", "return_mask_composite", "save_mask", "save_mask_composite")
    result = change(
        mask=LEFT,
        inpaint_full_res=False,
        do_not_save_samples=False,
        batch_size=2,
        sets=dict.fromkeys(wanted, True),
    )
    assert len(result.images) == 6
    assert [bool(text) for text in result.infotexts] == [True, False, False] * 2
    assert len(result.info["infotexts"]) == 2
    assert result.images[2].mode == "RGBA"
    names = [path.name for path in result.saved]
    assert [name.endswith("-mask.png") for name in names] == [False, True, False] * 2
    assert [name.endswith("-mask-composite.png") for name in names] == [False, False, True] * 2
    assert {path.relative_to(engine.data_dir).parts[1] for path in result.saved} == {"img2img-images"}


def test_colours_return_to_those_of_the_original(change: Paint) -> None:
    red = Image.new("RGB", (64, 64), (200, 30, 30))
    plain = change(init_images=[red], denoising_strength=1.0)
    sets = {"img2img_color_correction": True, "save_images_before_color_correction": True}
    corrected = change(init_images=[red], denoising_strength=1.0, do_not_save_samples=False, sets=sets)
    # Red against green tells the colour, and brightness is not to follow.
    assert np.ptp(array(corrected.images[0]) @ [1, -1, 0]) < np.ptp(array(plain.images[0]) @ [1, -1, 0])
    assert [path.stem.endswith("-before-color-correction") for path in corrected.saved] == [False, True]
    assert array(Image.open(corrected.saved[1])).tolist() == array(plain.images[0]).tolist()


def test_originals_are_kept_once_under_their_hash(change: Paint, engine: Engine) -> None:
    for _ in range(2):
        result = change(sets={"save_init_img": True})
    name = picture_hash(photo())
    assert f"Init image hash: {name}" in result.infotexts[0]
    kept = [path for path in Path(engine.data_dir).rglob("*.png") if path.stem.startswith(name)]
    assert len(kept) == 1
    assert array(Image.open(kept[0])).tolist() == array(photo()).tolist()


def test_noise_multiplier_is_used_and_told(change: Paint) -> None:
    result = change(initial_noise_multiplier=0.9)
    assert "Noise multiplier: 0.9" in result.infotexts[0]
    by_setting = change(sets={"initial_noise_multiplier": 0.9})
    assert by_setting.images[0].tobytes() == result.images[0].tobytes()
    assert "Noise multiplier" not in change().infotexts[0]


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
def test_every_resize_mode_gives_the_size_that_is_asked_for(change: Paint, mode: int) -> None:
    result = change(init_images=[photo(size=(50, 90))], resize_mode=mode, width=72, height=64)
    assert result.images[0].size == (72, 64)


@pytest.mark.parametrize("image", [photo(size=(1, 1)), photo().convert("L"), photo().convert("RGBA")])
def test_all_kinds_of_pictures_are_taken(change: Paint, image: Image.Image) -> None:
    assert change(init_images=[image]).images[0].size == (64, 64)


def test_transparent_parts_are_painted_over_the_background(change: Paint) -> None:
    clear = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    sets = {"img2img_background_color": "#3366aa"}
    solid = Image.new("RGB", (64, 64), "#3366aa")
    assert (
        change(init_images=[clear], sets=sets).images[0].tobytes()
        == change(init_images=[solid]).images[0].tobytes()
    )


def test_small_autoencoder_is_not_pretended(change: Paint) -> None:
    result = change(sets={"sd_vae_encode_method": "TAESD"})
    assert result.warnings == [TAESD_MISSING]
    assert "VAE Encoder" not in result.infotexts[0]


def test_unknown_upscaler_is_named_before_painting(change: Paint) -> None:
    with pytest.raises(NotFound, match="NoSuch"):
        change(sets={"upscaler_for_img2img": "NoSuch"})


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"init_images": []}, "init_images"),
        ({"init_images": [photo()] * 3, "batch_size": 2}, "init_images"),
        ({"resize_mode": 4}, "resize_mode"),
        ({"inpainting_fill": -1}, "inpainting_fill"),
        ({"inpainting_mask_invert": 2}, "inpainting_mask_invert"),
        ({"inpaint_full_res_padding": -1}, "inpaint_full_res_padding"),
        ({"mask_blur": 10**6}, "mask_blur"),
        ({"mask_blur_x": -1}, "mask_blur_x"),
        ({"initial_noise_multiplier": float("nan")}, "initial_noise_multiplier"),
        ({"denoising_strength": None}, "denoising_strength"),
        ({"denoising_strength": 1.01}, "denoising_strength"),
        ({"resize_mode": 3, "init_images": [photo(size=(7, 64))]}, "init_images"),
    ],
)
def test_bad_requests_are_refused_at_the_door(fields: dict[str, Any], said: str) -> None:
    request = Img2ImgRequest(**{"init_images": [photo()], **fields})
    with pytest.raises(InvalidInput) as caught:
        validate(request)
    assert caught.value.field == said and said in str(caught.value)


@pytest.mark.parametrize("resize", [0, 3])
def test_originals_of_different_sizes(change: Paint, resize: int) -> None:
    pictures = [photo(1), photo(2, (96, 64))]
    fields = {"init_images": pictures, "batch_size": 2, "resize_mode": resize}
    if resize == 3:
        with pytest.raises(InvalidInput, match="different sizes"):
            change(**fields)
        return
    assert len(change(**fields).images) == 2
    with pytest.raises(InvalidInput, match="one mask"):
        change(**fields, mask=LEFT, inpaint_full_res=True)


class Interrupted(NullMonitor):
    """Interrupts the job at its second model call."""

    calls = 0

    def check(self) -> None:
        self.calls += 1
        self.interrupted = self.interrupted or self.calls >= 3
        super().check()


def test_interrupted_job_returns_what_it_has(change: Paint) -> None:
    result = change(monitor=Interrupted(), steps=20, denoising_strength=1.0, n_iter=3)
    assert len(result.images) == 1


def test_nan_is_refused_when_nothing_helps(change: Paint, monkeypatch: pytest.MonkeyPatch) -> None:
    from modules.checkpoints.model import DiffusionModel

    def broken(self: Any, pixels: Any, noise: Any = None, dtype: Any = None) -> Any:
        return torch.full((1, 4, 8, 8), float("nan"))

    monkeypatch.setattr(DiffusionModel, "encode_pixels", broken)
    with pytest.raises(NonFiniteError, match="encoded"):
        change()


@pytest.fixture(scope="module")
def edit_models(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    """The small checkpoint as two edit models: one blind to the picture, one that sees a little of it."""
    folder = tmp_path_factory.mktemp("edit")
    name = "model.diffusion_model.input_blocks.0.0.weight"
    tensors = load_file(ROOT / "models/Stable-diffusion/tiny-sd1.safetensors")
    weight = tensors[name]
    for share in (0.0, 0.1):
        seen = torch.cat([weight, weight * share], dim=1)
        save_file({**tensors, name: seen}, folder / f"edit-{share}.safetensors")
        shutil.copy(ROOT / "models/Stable-diffusion/tiny-sd1.yaml", folder / f"edit-{share}.yaml")
    catalogue = CheckpointCatalogue([folder], HashStore(tmp_path_factory.mktemp("hashes")))
    catalogue.refresh()
    return ModelStore(catalogue, DevicePolicy(torch.device("cpu")))


class TestEditModels:
    """Instruct-pix2pix: eight input channels, and a scale for the picture."""

    def paint(self, engine: Engine, edit_models: ModelStore, share: float, scale: float | None) -> Processed:
        view = default_options().view({"sd_model_checkpoint": f"edit-{share}", "randn_source": "CPU"})
        request = Img2ImgRequest(
            prompt="a cat",
            seed=1,
            steps=2,
            width=64,
            height=64,
            sampler_name="Euler",
            init_images=[photo()],
            image_cfg_scale=scale,
            do_not_save_samples=True,
            do_not_save_grid=True,
        )
        return paint_img2img(request, replace(engine, models=edit_models), view, NullMonitor())

    @pytest.mark.parametrize("scale", [None, 1.5])
    def test_a_blind_one_paints_as_its_base(
        self, engine: Engine, edit_models: ModelStore, change: Paint, scale: float | None
    ) -> None:
        result = self.paint(engine, edit_models, 0.0, scale)
        assert np.abs(array(result.images[0]) - array(change().images[0])).max() <= 1
        told = "Image CFG scale: 1.5" in result.infotexts[0]
        assert told == (scale == 1.5)

    def test_the_scale_moves_a_seeing_one(self, engine: Engine, edit_models: ModelStore) -> None:
        near, far = (array(self.paint(engine, edit_models, 0.1, scale).images[0]) for scale in (1.0, 3.0))
        assert np.abs(near - far).mean() > 0.5


class SeeingModel:
    """As much of a model as its extra channels need; encodes a picture as its means over 8 x 8 pixels."""

    class spec:
        conditioning = "hybrid"
        is_pix2pix = False
        scale_factor = 0.5

    policy = DevicePolicy(torch.device("cpu"))
    device = torch.device("cpu")
    latent_channels, downscale = 4, 8

    def __init__(self, pix2pix: bool = False) -> None:
        self.spec = type("spec", (self.spec,), {"is_pix2pix": pix2pix})

    def encode_pixels(self, pixels: torch.Tensor, noise: Any = None, dtype: Any = None) -> torch.Tensor:
        means = torch.nn.functional.avg_pool2d(pixels, 8)
        return torch.cat([means, means[:, :1]], dim=1) * self.spec.scale_factor


class TestExtraChannels:
    def test_text_alone_has_a_grey_picture_under_a_full_mask(self) -> None:
        channels = blank_conditioning(SeeingModel(), 2, 64, 32)
        assert channels.shape == (2, 5, 4, 8)
        assert (channels[:, 0] == 1).all() and (channels[:, 1:] == 0).all()

    def test_masked_part_is_greyed_out_by_its_weight(self) -> None:
        pixels, latent = torch.ones(1, 3, 64, 64), torch.zeros(1, 4, 8, 8)
        for weight in (0.0, 0.25, 1.0):
            channels = picture_conditioning(SeeingModel(), pixels, latent, LEFT, mask_weight=weight)
            assert channels.shape == (1, 5, 8, 8)
            assert (channels[0, 0, :, :3] == 1).all() and (channels[0, 0, :, 3:] == 0).all()
            assert torch.allclose(channels[0, 1:, :, :3], torch.tensor(0.5 * (1 - weight)))
            assert torch.allclose(channels[0, 1:, :, 3:], torch.tensor(0.5))

    def test_latent_resize_resizes_them_too(self) -> None:
        channels = picture_conditioning(
            SeeingModel(), torch.ones(1, 3, 64, 32), torch.zeros(1, 4, 8, 8), mask((0, 0, 32, 64))
        )
        assert channels.shape == (1, 5, 8, 8)

    def test_edit_models_see_the_unscaled_picture(self) -> None:
        latent = torch.zeros(1, 4, 8, 8)
        channels = picture_conditioning(SeeingModel(pix2pix=True), torch.ones(1, 3, 64, 64), latent, None)
        assert channels.shape == (1, 4, 8, 8) and (channels == 1).all()
        assert (blank_conditioning(SeeingModel(pix2pix=True), 1, 64, 64) == 0).all()

    def test_other_models_have_none(self) -> None:
        model = SeeingModel()
        model.spec = type("spec", (model.spec,), {"conditioning": "crossattn"})
        assert blank_conditioning(model, 1, 64, 64) is None
        assert picture_conditioning(model, torch.ones(1, 3, 64, 64), torch.zeros(1, 4, 8, 8), None) is None
