"""Networks of every architecture through our way and through spandrel directly; tiles without seams."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from modules.compat.torchvision_cpu import prepare_torchvision
from modules.errors import OutOfMemoryError
from modules.upscaling.registry import Upscalers
from modules.upscaling.tiles import even_starts, run_averaged, run_fading, stepped_starts
from modules.upscaling.watching import NoWatcher
from tests.upscaling.conftest import compact, noise


def esrgan() -> Any:
    from spandrel.architectures.ESRGAN import ESRGAN

    return ESRGAN(num_filters=8, num_blocks=1, scale=4)


def swinir() -> Any:
    from spandrel.architectures.SwinIR import SwinIR

    return SwinIR(
        img_size=16,
        window_size=8,
        depths=[2],
        embed_dim=12,
        num_heads=[2],
        mlp_ratio=2,
        upsampler="nearest+conv",
        upscale=4,
        img_range=1.0,
        resi_connection="1conv",
    )


def scunet() -> Any:
    from spandrel.architectures.SCUNet import SCUNet

    return SCUNet(config=[1, 1, 1, 1, 1, 1, 1], dim=64)


def dat() -> Any:
    from spandrel.architectures.DAT import DAT

    return DAT(
        img_size=16,
        embed_dim=32,
        split_size=[8, 8],
        depth=[2],
        num_heads=[2],
        expansion_factor=2.0,
        upscale=2,
        img_range=1.0,
        upsampler="pixelshuffle",
        resi_connection="1conv",
    )


def hat() -> Any:
    from spandrel.architectures.HAT import HAT

    return HAT(
        img_size=16,
        window_size=16,
        embed_dim=12,
        depths=[2],
        num_heads=[2],
        compress_ratio=3,
        squeeze_factor=6,
        mlp_ratio=2,
        upscale=2,
        img_range=1.0,
        upsampler="pixelshuffle",
        resi_connection="1conv",
    )


def direct(weights: dict[str, torch.Tensor], picture: Image.Image) -> np.ndarray:
    """spandrel alone, with the channels in the order of the reference."""
    from spandrel import ModelLoader

    network = ModelLoader("cpu").load_from_state_dict(dict(weights)).eval()
    planes = torch.from_numpy(np.asarray(picture)[:, :, ::-1].copy()).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        done = network(planes)[0].flip(0).permute(1, 2, 0)
    return (done * 255).round().clamp(0, 255).byte().numpy()


@pytest.mark.parametrize(
    "kind",
    [
        (esrgan, "esrgan_dir", {"ESRGAN_tile": 0}),
        (swinir, "swinir_dir", {"SWIN_tile": 512}),
        (scunet, "scunet_dir", {"SCUNET_tile": 0}),
        (dat, "dat_dir", {"DAT_tile": 0}),
        (hat, "hat_dir", {"ESRGAN_tile": 0}),
    ],
    ids=lambda kind: kind[0].__name__,
)
def test_the_same_as_spandrel(
    upscalers: Upscalers, settings: Any, folders: dict[str, Path], kind: tuple[Any, str, dict[str, int]]
) -> None:
    prepare_torchvision()
    make, folder, sets = kind
    torch.manual_seed(3)
    weights = make().state_dict()
    torch.save({"params_ema": weights}, folders[folder] / "tiny.pth")
    picture = noise(24, 24)
    wanted = direct(weights, picture)
    scale = wanted.shape[0] / 24
    view = settings.with_overrides(**sets)
    done = np.asarray(upscalers.upscale("tiny", picture, scale, view))
    assert np.abs(done.astype(int) - wanted.astype(int)).max() <= 1


def test_safetensors_are_read_too(
    upscalers: Upscalers, settings: Any, folders: dict[str, Path], add_compact: Callable[..., Path]
) -> None:
    from safetensors.torch import save_file

    add_compact("pickled")
    save_file(compact(2), folders["esrgan_dir"] / "plain.safetensors")
    picture = noise(32, 24)
    pictures = [upscalers.upscale(name, picture, 2, settings) for name in ("pickled", "plain")]
    assert pictures[0].tobytes() == pictures[1].tobytes()


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1"])
def test_every_kind_of_picture_is_taken(
    upscalers: Upscalers, settings: Any, add_compact: Callable[..., Path], mode: str
) -> None:
    add_compact("small")
    done = upscalers.upscale("small", noise(16, 16).convert(mode), 2, settings)
    assert (done.mode, done.size) == ("RGB", (32, 32))


def test_one_pixel(upscalers: Upscalers, settings: Any, add_compact: Callable[..., Path]) -> None:
    add_compact("small")
    assert upscalers.upscale("small", Image.new("RGB", (1, 1)), 2, settings).size == (8, 8)


@pytest.mark.parametrize("size", [1, 7, 16, 17, 30, 64, 100, 333])
@pytest.mark.parametrize(("tile", "overlap"), [(16, 0), (16, 4), (16, 15), (64, 8)])
def test_tiles_cover_the_edge(size: int, tile: int, overlap: int) -> None:
    for starts in (even_starts(size, tile, overlap), stepped_starts(size, min(tile, size), 0)):
        covered = {place for start in starts for place in range(start, start + tile)}
        assert set(range(size)) <= covered
        assert starts[-1] <= max(size - 1, 0)


@pytest.mark.parametrize("work", [run_fading, run_averaged])
def test_a_local_network_leaves_no_seam(work: Any) -> None:
    """Where a network looks at each pixel alone, tiles must give what the whole picture gives."""

    def run(piece: np.ndarray) -> np.ndarray:
        return (1 - piece).repeat(2, axis=0).repeat(2, axis=1)

    pixels = np.asarray(noise(83, 61), dtype=np.float32) / 255
    done = work(pixels, run, 16, 5, NoWatcher())
    assert done.shape == (122, 166, 3)
    assert np.abs(done - run(pixels)).max() < 1e-6


@pytest.mark.parametrize("work", [run_fading, run_averaged])
def test_seams_of_disagreeing_tiles_are_soft(work: Any) -> None:
    """Tiles that differ by a whole step in brightness must not meet in a hard edge when they overlap."""
    number = iter(range(100))

    def run(piece: np.ndarray) -> np.ndarray:
        return np.full_like(piece, next(number) % 2)

    done = work(np.zeros((32, 120, 3), dtype=np.float32), run, 32, 16, NoWatcher())
    steps = np.abs(np.diff(done[0, :, 0]))
    assert steps.max() <= (1 / 16 + 1e-3 if work is run_fading else 0.5)


def test_tiled_looks_like_whole(
    upscalers: Upscalers, settings: Any, add_compact: Callable[..., Path]
) -> None:
    """Inside the picture, where a tile's edge is not the picture's edge, the difference is invisible."""
    add_compact("small")
    picture = noise(96, 96)
    whole = np.asarray(upscalers.upscale("small", picture, 2, settings.with_overrides(ESRGAN_tile=0)))
    tiled = np.asarray(
        upscalers.upscale(
            "small", picture, 2, settings.with_overrides(ESRGAN_tile=40, ESRGAN_tile_overlap=16)
        )
    )
    difference = np.abs(whole.astype(int) - tiled.astype(int))
    assert difference.mean() < 0.5
    assert np.percentile(difference, 99) <= 8


def test_a_lack_of_memory_makes_the_tiles_smaller(
    upscalers: Upscalers, settings: Any, add_compact: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from modules.upscaling import networks

    add_compact("small")
    real, sizes = networks._run, []

    def scarce(network: Any, pixels: Any) -> Any:
        sizes.append(pixels.shape[0])
        if pixels.shape[0] > 64:
            raise torch.OutOfMemoryError("out of memory")
        return real(network, pixels)

    monkeypatch.setattr(networks, "_run", scarce)
    done = upscalers.upscale("small", noise(200, 200), 2, settings.with_overrides(ESRGAN_tile=0))
    assert done.size == (400, 400)
    assert sizes[:4] == [200, 512, 256, 128]
    assert min(sizes) == 64

    def hopeless(_network: Any, _pixels: Any) -> Any:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(networks, "_run", hopeless)
    with pytest.raises(OutOfMemoryError, match="not even in tiles"):
        upscalers.upscale("small", noise(200, 200), 2, settings)
