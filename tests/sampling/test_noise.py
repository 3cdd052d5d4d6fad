"""Random numbers: exact values, independence of the batch, variation seeds and Brownian paths."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import torchsde

from modules.errors import EaselError, InvalidInput
from modules.sampling.brownian import BrownianNoise
from modules.sampling.noise import ImageNoise, slerp
from modules.sampling.philox import PhiloxGenerator, philox_4x32_10
from tests.paths import DATA, GOLDENS, HAVE_GOLDENS

FACTS = json.loads((DATA / "sampling.json").read_text(encoding="utf-8"))
needs_goldens = pytest.mark.skipif(not HAVE_GOLDENS, reason="the reference data is not beside the checkout")


@pytest.mark.parametrize("key", FACTS["philox"])
def test_philox_values_of_the_reference(key: str) -> None:
    seed, draw = map(int, key.split("|"))
    generator = PhiloxGenerator(seed)
    for _ in range(draw):
        generator.randn((4, 8, 8))
    values = generator.randn((4, 8, 8)).ravel()[:8]
    np.testing.assert_allclose(values, FACTS["philox"][key], atol=1e-5)


def test_philox_known_answers() -> None:
    # Vectors published with the paper's implementation (Random123, kat_vectors).
    zero = philox_4x32_10(np.zeros((4, 1), np.uint32), 0)
    assert zero[:, 0].tolist() == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    full = philox_4x32_10(np.full((4, 1), 0xFFFFFFFF, np.uint32), 0xFFFFFFFFFFFFFFFF)
    assert full[:, 0].tolist() == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]


def test_philox_is_normal() -> None:
    values = PhiloxGenerator(5).randn((100_000,))
    assert abs(values.mean()) < 0.02
    assert abs(values.std() - 1) < 0.02
    assert np.isfinite(values).all()


@needs_goldens
def test_draws_of_the_reference() -> None:
    table = np.load(GOLDENS / "units" / "rng.npz")
    for key in table.files:
        source, seed, *draw = key.split("|")
        noise = ImageNoise((4, 8, 8), [int(seed)], source="NV" if source == "nv" else "CPU")
        for _ in range(int(draw[0]) if draw else 0):
            noise.next()
        tolerance = 1e-5 if source == "nv" else 0
        np.testing.assert_allclose(noise.next()[0], table[key], atol=tolerance, rtol=0, err_msg=key)


@needs_goldens
def test_first_noise_of_the_reference() -> None:
    table = np.load(GOLDENS / "units" / "image_rng.npz")
    for key in table.files:
        parts = key.removeprefix("resize|").split("|")
        resized = key.startswith("resize|")
        noise = ImageNoise(
            (4, 8, 12) if resized else (4, 8, 8),
            [int(parts[1])],
            [int(parts[2])],
            float(parts[3]),
            seed_resize_from_h=80 if resized else 0,
            seed_resize_from_w=64 if resized else 0,
            source=parts[0],
        )
        # Values of the host generator are exact; NV goes through a logarithm and a sine.
        tolerance = 1e-5 if parts[0] == "NV" else 2e-7 if float(parts[3]) else 0
        np.testing.assert_allclose(noise.first(), table[key], atol=tolerance, rtol=0, err_msg=key)


@pytest.mark.parametrize("source", ["CPU", "GPU", "NV"])
def test_an_image_has_its_noise_in_every_batch(source: str) -> None:
    together = ImageNoise((4, 8, 8), [3, 9], source=source)
    alone = ImageNoise((4, 8, 8), [9], source=source)
    for _ in range(3):
        assert torch.equal(together.next()[1:], alone.next())


def test_next_begins_with_the_first() -> None:
    a, b = ImageNoise((4, 8, 8), [3], source="CPU"), ImageNoise((4, 8, 8), [3], source="CPU")
    assert torch.equal(a.first(), b.next())
    assert torch.equal(a.next(), b.next())


def test_seed_delta_changes_all_but_the_first_noise() -> None:
    plain = ImageNoise((4, 8, 8), [3], source="CPU")
    shifted = ImageNoise((4, 8, 8), [3], source="CPU", eta_noise_seed_delta=31337)
    assert torch.equal(plain.first(), shifted.first())
    expected = ImageNoise((4, 8, 8), [3 + 31337], source="CPU").first()
    assert torch.equal(shifted.next(), expected)


def test_variation_strength_moves_from_seed_to_subseed() -> None:
    def first(strength: float) -> torch.Tensor:
        return ImageNoise((4, 8, 8), [3], [4], strength, source="CPU").first()

    own, other = ImageNoise((4, 8, 8), [3], source="CPU"), ImageNoise((4, 8, 8), [4], source="CPU")
    assert torch.equal(first(0.0), own.first())
    torch.testing.assert_close(first(1.0), other.first(), atol=1e-6, rtol=0)
    assert 0.7 < first(0.5).std() < 1.3


def test_a_batch_with_too_few_subseeds_takes_seed_0() -> None:
    noise = ImageNoise((4, 8, 8), [3, 4], [7], 1.0, source="CPU").first()
    zero = ImageNoise((4, 8, 8), [0], source="CPU").first()
    torch.testing.assert_close(noise[1:], zero, atol=1e-6, rtol=0)


def test_slerp_of_parallel_noise_is_finite() -> None:
    noise = torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(slerp(0.3, noise, noise), noise)


@pytest.mark.parametrize(
    ("height", "width", "canvas", "patch"),
    [
        (64, 64, (slice(1, 9), slice(2, 10)), (slice(8), slice(8))),
        # A patch that stands out loses an even number of cells, also where the difference is odd.
        (40, 120, (slice(2, 7), slice(13)), (slice(5), slice(1, 14))),
        (136, 24, (slice(9), slice(5, 8)), (slice(4, 13), slice(3))),
    ],
)
def test_seed_resize_keeps_the_middle(height: int, width: int, canvas: tuple, patch: tuple) -> None:
    noise = ImageNoise((4, 10, 13), [3], seed_resize_from_h=height, seed_resize_from_w=width, source="CPU")
    plain = ImageNoise((4, 10, 13), [3], source="CPU").first()[0]
    small = ImageNoise((4, height // 8, width // 8), [3], source="CPU").first()[0]
    plain[(slice(None), *canvas)] = small[(slice(None), *patch)]
    assert torch.equal(noise.first()[0], plain)


def test_unknown_source_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"'TPU'.*GPU, CPU, NV"):
        ImageNoise((4, 8, 8), [1], source="TPU")


def test_seeds_may_be_huge_or_negative() -> None:
    for source in ("CPU", "NV"):
        for seed in (2**63 - 1, -1, 0):
            assert torch.isfinite(ImageNoise((4, 8, 8), [seed], source=source).first()).all()


def test_brownian_noise_is_that_of_torchsde() -> None:
    like = torch.zeros(2, 4, 8, 8)
    noise = BrownianNoise(like, 0.1, 10.0, (5, 6), "CPU")
    for index, seed in enumerate((5, 6)):
        tree = torchsde.BrownianTree(0.1, torch.zeros(4, 8, 8), 10.0, entropy=seed)
        for start, end in ((10.0, 4.0), (4.0, 1.5), (1.5, 0.1)):
            expected = -tree(end, start) / (start - end) ** 0.5
            torch.testing.assert_close(noise(start, end)[index], expected, atol=1e-6, rtol=1e-5)


def test_brownian_noise_does_not_depend_on_the_order_of_queries() -> None:
    like = torch.zeros(1, 4, 8, 8)
    forward, backward = (BrownianNoise(like, 0.1, 10.0, (5,)) for _ in range(2))
    late = forward(10.0, 3.0), forward(3.0, 0.1)
    early = backward(3.0, 0.1), backward(10.0, 3.0)
    torch.testing.assert_close(late[0], early[1])
    torch.testing.assert_close(late[1], early[0])


def test_brownian_path_is_consistent() -> None:
    noise = BrownianNoise(torch.zeros(1, 4, 8, 8), 0.1, 10.0, (5,))
    halves = noise(10.0, 5.0) * 5.0**0.5 + noise(5.0, 0.1) * 4.9**0.5
    torch.testing.assert_close(noise(10.0, 0.1) * 9.9**0.5, halves, atol=1e-5, rtol=0)


def test_brownian_source_is_private() -> None:
    interval = torchsde._brownian.brownian_interval
    original = interval._randn
    like = torch.zeros(1, 4, 8, 8)
    nv, cpu = BrownianNoise(like, 0.1, 10.0, (5,), "NV"), BrownianNoise(like, 0.1, 10.0, (5,), "CPU")
    assert not torch.equal(nv(10.0, 1.0), cpu(10.0, 1.0))
    assert interval._randn is original


def test_brownian_noise_without_torchsde(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modules.sampling.brownian._TORCHSDE_FILE", "no_such_package.interval")
    with pytest.raises(EaselError, match="torchsde"):
        BrownianNoise(torch.zeros(1, 4, 8, 8), 0.1, 10.0, (5,))(10.0, 1.0)
