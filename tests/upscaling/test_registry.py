"""The list of upscalers, sizes, and what happens to model files that are damaged, hostile or elsewhere."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from modules.errors import InvalidInput, ModelFileError, NotFound
from modules.sampling.monitor import NullMonitor, SamplingInterrupted
from modules.upscaling.families import Download
from modules.upscaling.registry import Upscaler, Upscalers
from modules.upscaling.sizes import scale_to, target_size
from tests.upscaling.conftest import noise

AS_INSTALLED = [
    *("None", "Lanczos", "Nearest", "DAT x2", "DAT x3", "DAT x4", "ESRGAN_4x", "R-ESRGAN 4x+"),
    *("R-ESRGAN 4x+ Anime6B", "ScuNET GAN", "ScuNET PSNR", "SwinIR 4x"),
]


def test_a_fresh_installation_lists_what_the_reference_lists(upscalers: Upscalers, settings: Any) -> None:
    """Without LDSR, which is no network that spandrel can run."""
    assert upscalers.names(settings) == AS_INSTALLED


def test_files_appear_by_their_names_and_replace_the_placeholder(
    upscalers: Upscalers, settings: Any, add_compact: Callable[..., Path]
) -> None:
    path = add_compact("My model")
    add_compact(".hidden")
    names = upscalers.names(settings)
    assert "My model" in names and "ESRGAN_4x" not in names and ".hidden" not in names
    assert upscalers.find("My model").location == str(path)


def test_a_model_that_the_settings_hide_is_still_found(upscalers: Upscalers, settings: Any) -> None:
    assert "R-ESRGAN 2x+" not in upscalers.names(settings)
    assert upscalers.find("R-ESRGAN 2x+").scale == 2


def test_an_extension_adds_an_upscaler(settings: Any) -> None:
    own = Upscaler("Mirror", enlarge=lambda image, scale: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    upscalers = Upscalers(extra=lambda: [own])
    picture = noise(16, 8)
    assert upscalers.names() == ["None", "Lanczos", "Nearest", "Mirror"]
    done = upscalers.upscale("Mirror", picture, 1, settings)
    assert done.tobytes() == picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).tobytes()


def test_unknown_names_and_giant_results_are_refused(upscalers: Upscalers, settings: Any) -> None:
    with pytest.raises(NotFound, match="'Magic'"):
        upscalers.upscale("Magic", noise(8, 8), 2, settings)
    with pytest.raises(InvalidInput, match="million"):
        upscalers.upscale("Lanczos", noise(64, 64), 10_000, settings)


@pytest.mark.parametrize(
    ("size", "scale", "expected"),
    [
        ((100, 64), 1.5, (144, 96)),
        ((64, 64), 1, (64, 64)),
        ((7, 3), 1, (8, 8)),
        ((513, 769), 2, (1024, 1536)),
    ],
)
def test_target_size(size: tuple[int, int], scale: float, expected: tuple[int, int]) -> None:
    assert target_size(*size, scale) == expected


def test_passes_of_a_model() -> None:
    """A model that doubles runs until the picture is large enough, three times at most, then Lanczos."""
    calls: list[tuple[int, int]] = []

    def double(image: Image.Image) -> Image.Image:
        calls.append(image.size)
        return image.resize((image.width * 2, image.height * 2))

    picture = noise(16, 16)
    for scale, passes in ((1, 1), (1.5, 1), (2, 1), (3, 2), (8, 3), (16, 3)):
        calls.clear()
        done = scale_to(picture, scale, double)
        assert (done.size, len(calls)) == (target_size(16, 16, scale), passes)


def test_small_factors_only_resize() -> None:
    def never(image: Image.Image) -> Image.Image:
        raise AssertionError

    assert scale_to(noise(32, 32), 0.5, never).size == (16, 16)


def test_a_truncated_file_and_no_model_at_all(
    upscalers: Upscalers, settings: Any, add_compact: Callable[..., Path]
) -> None:
    path = add_compact("broken")
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ModelFileError, match=r"broken\.pth"):
        upscalers.upscale("broken", noise(16, 16), 2, settings)
    torch.save({"something": torch.zeros(2)}, path)
    with pytest.raises(ModelFileError, match="no upscaler of a known architecture"):
        upscalers.upscale("broken", noise(16, 16), 2, settings)


def test_a_hostile_file_is_refused_and_not_run(
    upscalers: Upscalers, settings: Any, folders: dict[str, Path], tmp_path: Path
) -> None:
    class Evil:
        def __reduce__(self):  # type: ignore[no-untyped-def]
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"params": Evil()}, folders["esrgan_dir"] / "evil.pth", pickle_module=pickle)
    with pytest.raises(ModelFileError):
        upscalers.upscale("evil", noise(16, 16), 2, settings)
    assert not (tmp_path / "ran").exists()


def test_weights_without_numbers_are_an_error_and_no_black_picture(
    upscalers: Upscalers, settings: Any, add_compact: Callable[..., Path]
) -> None:
    from modules.errors import NonFiniteError

    path = add_compact("nan")
    weights = torch.load(path)["params"]
    weights["body.0.bias"][0] = float("nan")
    torch.save({"params": weights}, path)
    with pytest.raises(NonFiniteError, match=r"nan\.pth"):
        upscalers.upscale("nan", noise(16, 16), 2, settings)


def test_interrupt_stops_between_tiles(
    upscalers: Upscalers, settings: Any, add_compact: Callable[..., Path]
) -> None:
    add_compact("small")

    class Stop(NullMonitor):
        seen = -1

        def step(self, step: int) -> None:
            self.seen = step
            self.interrupted = step == 2

    monitor = Stop()
    view = settings.with_overrides(ESRGAN_tile=16)
    with pytest.raises(SamplingInterrupted):
        upscalers.upscale("small", noise(64, 64), 2, view, monitor)
    assert monitor.seen == 2


def test_a_model_is_fetched_once_when_it_is_first_used(settings: Any, tmp_path: Path) -> None:
    fetched: list[str] = []

    def fetch(download: Download, path: Path, _watcher: Any) -> None:
        from tests.upscaling.conftest import compact

        fetched.append(download.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"params": compact(2)}, path)

    from modules.compat.torchvision_cpu import prepare_torchvision

    upscalers = Upscalers({"realesrgan_dir": tmp_path / "new"}, prepare=prepare_torchvision, fetch=fetch)
    location = upscalers.find("R-ESRGAN 2x+").location
    assert location is not None and location.startswith("https://")
    for _ in range(2):
        assert upscalers.upscale("R-ESRGAN 2x+", noise(16, 16), 2, settings).size == (32, 32)
    assert fetched == ["R-ESRGAN 2x+"]
    assert upscalers.find("R-ESRGAN 2x+").location == str(tmp_path / "new" / "RealESRGAN_x2plus.pth")
