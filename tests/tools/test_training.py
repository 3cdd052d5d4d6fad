"""The training runs, learns, stops and goes on as if it had never stopped; what it exports paints."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from modules.checkpoints.catalogue import CheckpointInfo
from modules.checkpoints.embeddings import encoder_widths, read_vectors
from modules.checkpoints.families import detect
from modules.checkpoints.header import read_header
from modules.checkpoints.loading import load_model
from modules.checkpoints.network_keys import parse_name
from modules.checkpoints.network_targets import model_targets
from modules.devices.policy import DevicePolicy
from tools.default_checkpoint import export as exporting
from tools.default_checkpoint.networks import FULL, SCALE_FACTOR, make_autoencoder, make_text, make_unet
from tools.default_checkpoint.painters import DirectPainter, EnginePainter, Order
from tools.default_checkpoint.presets import GPU, SMOKE, Preset, StagePreset
from tools.default_checkpoint.stage import Session
from tools.default_checkpoint.tokens import UNKNOWN, clip_rows
from tools.default_checkpoint.train_autoencoder import finished_vae, stretch_latents
from tools.default_checkpoint.train_diffusion import NoiseTask
from tools.default_checkpoint.train_taesd import make_decoder
from tools.default_checkpoint.training import train


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    """The order of additions, and with it the last bit, depends on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def session(folder: Path, preset: Preset = SMOKE, **more: Any) -> Session:
    return Session(folder, preset, torch.device("cpu"), say=lambda _: None, **more)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """A whole run of the smallest preset."""
    made = session(tmp_path_factory.mktemp("run"))
    assert train(made)
    return made


@pytest.fixture(scope="module")
def files(run: Session) -> dict[str, Path]:
    return exporting.export(run, run.folder / "export")


def losses(made: Session, stage: str) -> list[float]:
    lines = (made.folder / f"{stage}.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


@pytest.mark.parametrize("stage", ["autoencoder", "diffusion", "taesd"])
def test_losses_fall(run: Session, stage: str) -> None:
    found = losses(run, stage)
    assert found[-1] < 0.9 * found[0]


def test_curves_are_drawn(run: Session) -> None:
    for stage in SMOKE.stages:
        assert Image.open(run.folder / f"{stage}.png").size == (480, 240)


def states(made: Session) -> dict[str, Any]:
    names = ("autoencoder", "diffusion", "lora", "embedding")
    return {
        name: torch.load(made.folder / f"{name}.state.pt", weights_only=True)["trainee"] for name in names
    }


def assert_same(first: Any, second: Any) -> None:
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second)
    elif isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first:
            assert_same(first[key], second[key])
    elif isinstance(first, list):
        for one, other in zip(first, second, strict=True):
            assert_same(one, other)
    else:
        assert first == second


@pytest.mark.slow
def test_a_stopped_run_ends_with_the_same_bits(run: Session, tmp_path: Path) -> None:
    """Each invocation is stopped by its clock after a few steps, wherever it stands."""
    calls, done = 0, False
    while not done:
        calls += 1
        stopping = session(tmp_path, deadline=time.monotonic() + 2.5)
        done = train(stopping)
        assert calls < 60
    assert calls > 1
    assert_same(states(run), states(stopping))


def test_a_line_beyond_the_last_save_is_not_kept(run: Session, tmp_path: Path) -> None:
    stages = MappingProxyType({"autoencoder": StagePreset(2, 0.2, 1e-3, 1)})
    short = replace(SMOKE, pictures=8, stages=stages)
    made = session(tmp_path, short)
    train(made, ("autoencoder",))
    log = tmp_path / "autoencoder.jsonl"
    with log.open("a") as file:
        file.write('{"step": 3, "loss": 9}\n')
    longer = replace(short, stages=MappingProxyType({"autoencoder": StagePreset(4, 0.2, 1e-3, 1)}))
    train(session(tmp_path, longer), ("autoencoder",))
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == [1, 2, 3, 4]


def test_a_stage_without_what_it_needs_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="run the stage 'autoencoder' first"):
        train(session(tmp_path), ("latents",))


def test_scaled_latents_have_unit_variance(run: Session) -> None:
    saved = torch.load(run.folder / "latents-64x64.pt", weights_only=True)
    latents = saved["latents"].float()
    assert latents.std((0, 2, 3)).sub(1).abs().max() < 0.15
    assert latents.mean((0, 2, 3)).abs().max() < 0.15


def test_stretching_changes_latents_and_not_pictures() -> None:
    torch.manual_seed(1)
    vae = make_autoencoder(SMOKE.measures)
    pixels = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        mean, logvar = vae.encode(pixels)
        wanted = vae.decode(mean)
        middle, deviation = mean.mean((0, 2, 3)), mean.std((0, 2, 3))
        stretch_latents(vae, middle, deviation)
        stretched, new_logvar = vae.encode(pixels)
        torch.testing.assert_close(vae.decode(stretched), wanted, atol=2e-4, rtol=1e-3)
    assert (stretched * SCALE_FACTOR).std((0, 2, 3)).sub(1).abs().max() < 1e-3
    expected = logvar - 2 * (deviation * SCALE_FACTOR).log()[None, :, None, None]
    torch.testing.assert_close(new_logvar, expected, atol=1e-4, rtol=1e-4)


def test_a_perfect_guess_costs_nothing_and_noise_is_mixed_by_the_schedule() -> None:
    task, generator = NoiseTask(torch.device("cpu")), torch.Generator().manual_seed(1)
    latents = torch.randn(64, 4, 8, 8)
    noisy, steps, noise = task.draw(latents, generator)
    assert task.losses(noise, noise, steps)["loss"] == 0
    share = task.shares[steps].view(-1, 1, 1, 1)
    torch.testing.assert_close(noisy, share.sqrt() * latents + (1 - share).sqrt() * noise)


def test_the_checkpoint_loads_and_is_described(files: dict[str, Path]) -> None:
    header = read_header(files["diffusion"])
    assert header.metadata["modelspec.title"] == exporting.TITLE
    assert header.metadata["modelspec.resolution"] == "256x256"
    assert header.metadata["modelspec.prediction_type"] == "epsilon"
    assert header.metadata["modelspec.license"]
    assert {info.dtype for info in header.tensors.values()} == {"F16"}
    model = load_model(CheckpointInfo.for_file(files["diffusion"]), DevicePolicy(torch.device("cpu")))
    assert (model.spec.family, model.spec.prediction, model.spec.prediction_source) == (
        "sd1",
        "eps",
        "metadata",
    )
    assert model.spec.unet == SMOKE.measures.unet


def test_unused_tokens_are_zero_and_used_ones_are_trained(files: dict[str, Path], run: Session) -> None:
    table = exporting.checkpoint_tensors(run)[
        "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight"
    ]
    assert table.shape == (49408, SMOKE.measures.text_width)
    used = {row for row in clip_rows() if row >= 0}
    assert set(table.abs().sum(1).nonzero().flatten().tolist()) == used


def test_the_program_paints_with_it(files: dict[str, Path], tmp_path: Path) -> None:
    painter = EnginePainter(files["diffusion"], tmp_path)
    orders = [Order(prompt, 1, width=64, height=96, steps=3) for prompt in ("a red circle", "a blue star")]
    first, second = painter.paint(orders)
    assert first.shape == (96, 64, 3)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(painter.paint(orders[:1])[0], first)


def test_the_direct_painter_paints_the_same_kind_of_picture(run: Session) -> None:
    pictures = DirectPainter(run).paint(
        [Order("a red circle", n, width=64, height=64, steps=3) for n in (1, 2)]
    )
    assert [picture.shape for picture in pictures] == [(64, 64, 3)] * 2
    assert not np.array_equal(*pictures)


def test_the_lora_names_layers_of_the_checkpoint(files: dict[str, Path]) -> None:
    model = load_model(CheckpointInfo.for_file(files["diffusion"]), DevicePolicy(torch.device("cpu")))
    targets, header = model_targets(model), read_header(files["lora"])
    assert header.metadata["ss_network_module"] == "networks.lora"
    for name in header.tensors:
        parsed = parse_name(name)
        assert parsed is not None
        assert (parsed.place, parsed.module) in targets, name


def test_the_embedding_fits_the_checkpoint(files: dict[str, Path]) -> None:
    header = read_header(files["embedding"])
    shape = header.tensors["emb_params"].shape
    vectors = read_vectors({"emb_params": torch.zeros(shape)}, "easel-lime")
    spec = detect(read_header(files["diffusion"]).shapes, {})
    assert vectors.fits(encoder_widths(spec))


def test_the_small_decoder_has_the_layout_of_taesd(files: dict[str, Path]) -> None:
    shapes = read_header(files["taesd"]).shapes
    assert shapes.keys() == make_decoder().state_dict().keys()
    assert {"1.weight", "3.conv.0.weight", "7.weight", "18.conv.4.bias", "19.weight"} <= shapes.keys()
    assert "7.bias" not in shapes
    assert make_decoder()(torch.zeros(1, 4, 5, 7)).shape == (1, 3, 40, 56)
    assert files["taesd"].stat().st_size < 500_000


def test_parts_join_to_the_same_file_and_damage_is_noticed(files: dict[str, Path], tmp_path: Path) -> None:
    parts = exporting.split(files["diffusion"], tmp_path / "parts", part_bytes=1_000_000)
    assert len(parts) > 2
    joined = exporting.join(tmp_path / "parts", files["diffusion"].name, tmp_path / "joined")
    assert joined.read_bytes() == files["diffusion"].read_bytes()
    parts[1].write_bytes(b"x")
    with pytest.raises(ValueError, match="damaged or not complete"):
        exporting.join(tmp_path / "parts", files["diffusion"].name, tmp_path / "joined")


def test_the_full_checkpoint_fits_into_40_mb() -> None:
    with torch.device("meta"):
        networks = (make_unet(FULL), make_autoencoder(FULL))
        count = sum(parameter.numel() for network in networks for parameter in network.parameters())
    text = make_text(FULL)
    count += sum(parameter.numel() for parameter in text.parameters())
    count += (exporting.CLIP_VOCABULARY - len(clip_rows())) * FULL.text_width
    assert 2 * count < exporting.MAX_CHECKPOINT_BYTES - 150_000  # the header
    assert not text.token_embedding.weight[UNKNOWN].any()


def test_shares_of_the_buckets_add_up() -> None:
    assert sum(bucket.share for bucket in GPU.buckets) == pytest.approx(1)
    assert all(bucket.width % 64 == bucket.height % 64 == 0 for bucket in GPU.buckets)


def test_the_finished_autoencoder_is_frozen(run: Session) -> None:
    assert not any(parameter.requires_grad for parameter in finished_vae(run).parameters())
