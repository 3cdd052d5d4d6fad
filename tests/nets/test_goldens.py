"""The networks against tensors and pictures of the reference program (see ../shared/goldens/README.md)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.nets import tiny
from tests.paths import GOLDENS, HAVE_GOLDENS

pytestmark = pytest.mark.skipif(not HAVE_GOLDENS, reason="the reference tensors are not beside the checkout")

CAT, CITY = [320, 2368], [1305, 2012, 530, 518, 2443, 267, 13919, 4659]
CHAIR, BLURRY = [320, 736, 2368, 4919, 525, 320, 9057, 4269, 267, 12609, 9686], [21977, 267, 1042, 3027]
CASES = [
    ("basic-euler", "tiny-sd1"),
    ("sd2-euler", "tiny-sd2-v"),
    ("sdxl-euler", "tiny-sdxl"),
    ("inpmodel-txt2img", "tiny-sd1-inpaint"),
]


def guided(name: str, stored: dict[str, Tensor], step: int, scale: float = 7.0) -> Tensor:
    """The guided prediction of the clean latent at one model call of a stored case."""
    row, net = tiny.checkpoint(name), tiny.unet(name)
    x, sigma = stored[f"unet{step:02}_x"], stored[f"unet{step:02}_sigma"]
    context = torch.cat([stored["unet00_cond_crossattn"], stored["unet00_uncond_crossattn"]])
    y = None
    if row.unet.adm_in_channels is not None:
        y = torch.cat([stored["unet00_cond_vector"], stored["unet00_uncond_vector"]])
    s = sigma[:, None, None, None]
    inputs = x / (s**2 + 1).sqrt()
    if row.unet.in_channels == 9:
        inputs = torch.cat([inputs, blank_inpainting_inputs(name, x)], dim=1)
    output = net(inputs, tiny.sigma_to_time(sigma), context, y)
    if row.prediction == "v":
        denoised = x / (s**2 + 1) - output * s / (s**2 + 1).sqrt()
    else:
        denoised = x - s * output
    cond, uncond = denoised.chunk(2)
    return uncond + (cond - uncond) * scale


def blank_inpainting_inputs(name: str, x: Tensor) -> Tensor:
    """A mask of ones and an encoded grey picture: what an inpainting model sees without a picture."""
    grey = torch.zeros(1, 3, x.shape[-2] * 8, x.shape[-1] * 8)
    mean, _ = tiny.vae(name).encode(grey)
    concat = torch.cat([torch.ones_like(mean[:, :1]), mean * tiny.checkpoint(name).scale_factor], dim=1)
    return concat.expand(x.shape[0], -1, -1, -1)


@pytest.mark.parametrize("name", [row.name for row in tiny.CHECKPOINTS])
def test_every_checkpoint_fills_every_parameter_and_nothing_else(name: str) -> None:
    nets = [tiny.unet(name), tiny.vae(name)]
    nets += [tiny.text(name, index) for index in range(len(tiny.checkpoint(name).texts))]
    for net in nets:
        assert not any(value.is_meta for value in net.state_dict().values())
        assert not list(net.buffers())


@pytest.mark.parametrize("step", [0, 3, 5])
@pytest.mark.parametrize(("case", "name"), CASES)
def test_unet_gives_the_denoised_latent_of_the_reference(case: str, name: str, step: int) -> None:
    stored = tiny.tensors(case)
    expected = stored[f"unet{step:02}_denoised"]
    assert (guided(name, stored, step) - expected).abs().max() < 5e-3


@pytest.mark.parametrize(("case", "name"), CASES)
def test_decoder_gives_the_pixels_of_the_reference(case: str, name: str) -> None:
    latent = tiny.tensors(case)["latent_0"] / tiny.checkpoint(name).scale_factor
    pixels = ((tiny.vae(name).decode(latent)[0] + 1) / 2).clamp(0, 1).permute(1, 2, 0).numpy()
    picture = (pixels * 255).astype(np.uint8).astype(int)
    with Image.open(GOLDENS / "cases" / f"{case}.png") as image:
        expected = np.asarray(image.convert("RGB")).astype(int)
    difference = np.abs(picture - expected)
    assert difference.max() <= 2
    assert difference.mean() <= 0.15


def test_encoder_gives_the_first_latent_of_the_reference() -> None:
    """The stored first latent of an img2img case is the mean of the encoded picture."""
    with Image.open(GOLDENS / "inputs" / "photo64.png") as image:
        values = np.asarray(image.convert("RGB")).astype(np.float32)
    pixels = torch.from_numpy(values / 255 * 2 - 1).permute(2, 0, 1)[None]
    mean, logvar = tiny.vae("tiny-sd1").encode(pixels)
    expected = tiny.tensors("i2i-euler")["init_latent_0"]
    assert (mean * 0.18215 - expected).abs().max() < 5e-3
    assert logvar.max() < -20


@pytest.mark.parametrize(("words", "key"), [(CAT, "cond"), ([], "uncond")])
def test_clip_gives_the_conditioning_of_sd1(words: list[int], key: str) -> None:
    net = tiny.text("tiny-sd1")
    states = net(tiny.tokens(words, pad=49407))
    expected = tiny.tensors("basic-euler")[f"unet00_{key}_crossattn"]
    assert (net.final_layer_norm(states[-1]) - expected).abs().max() < 2e-4


@pytest.mark.parametrize(("words", "key"), [(CITY, "cond"), (BLURRY, "uncond")])
def test_open_clip_gives_the_conditioning_of_sd2(words: list[int], key: str) -> None:
    net = tiny.text("tiny-sd2-v")
    states = net(tiny.tokens(words, pad=0), layers=4)
    expected = tiny.tensors("sd2-euler")[f"unet00_{key}_crossattn"]
    assert (net.final_layer_norm(states[-1]) - expected).abs().max() < 2e-4


@pytest.mark.parametrize(("words", "key"), [(CHAIR, "cond"), (BLURRY, "uncond")])
def test_both_towers_give_the_conditioning_of_sdxl(words: list[int], key: str) -> None:
    stored = tiny.tensors("sdxl-euler")
    clip, open_clip = tiny.text("tiny-sdxl", 0), tiny.text("tiny-sdxl", 1)
    ids = tiny.tokens(words, pad=0)
    states = open_clip(ids)
    context = torch.cat([clip(tiny.tokens(words, pad=49407))[3], states[-2]], dim=-1)
    assert (context - stored[f"unet00_{key}_crossattn"]).abs().max() < 2e-4
    vector = stored[f"unet00_{key}_vector"][:, :64]
    assert (open_clip.pooled(states[-1], ids) - vector).abs().max() < 2e-4
