"""Merging: arithmetic against plain torch, memory, recipes, refusals, and a loadable result."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from modules.checkpoints.catalogue import CheckpointInfo
from modules.checkpoints.header import read_header
from modules.checkpoints.loading import load_model
from modules.checkpoints.merge_command import main
from modules.checkpoints.merge_recipe import MergeRequest, Method, usual_name
from modules.checkpoints.merging import merge
from modules.checkpoints.pickles import load_pickle
from modules.devices.policy import DevicePolicy
from modules.errors import InvalidInput, ModelFileError
from tests.paths import GOLDENS, HAVE_GOLDENS

pytestmark = pytest.mark.skipif(not HAVE_GOLDENS, reason="needs the goldens beside the checkout")

MODELS = GOLDENS / "models" / "Stable-diffusion"
A = MODELS / "tiny-sd1.safetensors"
INPUT = "model.diffusion_model.input_blocks.0.0.weight"
VAE = GOLDENS / "models" / "VAE" / "tiny-vae.safetensors"
SDXL = MODELS / "tiny-sdxl.safetensors"
CPU = DevicePolicy(torch.device("cpu"))


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A second model of the same shapes, and one with the inputs of an inpainting model."""
    folder = tmp_path_factory.mktemp("models")
    generator = torch.Generator().manual_seed(1)
    weights = load_file(A)
    for name, tensor in weights.items():
        if tensor.is_floating_point():
            noise = torch.randn(tensor.shape, generator=generator) * 0.01
            weights[name] = tensor + noise.to(tensor.dtype)
    save_file(weights, folder / "b.safetensors")
    extra = torch.randn(weights[INPUT].shape[0], 5, 3, 3, generator=generator).to(weights[INPUT].dtype)
    save_file({**weights, INPUT: torch.cat([weights[INPUT], extra], dim=1)}, folder / "inpaint.safetensors")
    for name in ("b", "inpaint"):
        (folder / f"{name}.yaml").write_bytes(A.with_suffix(".yaml").read_bytes())
    return folder / "b.safetensors", folder / "inpaint.safetensors"


@pytest.fixture
def B(others: tuple[Path, Path]) -> Path:
    return others[0]


@pytest.fixture
def INPAINT(others: tuple[Path, Path]) -> Path:
    return others[1]


def test_weighted_sum(tmp_path: Path, B: Path) -> None:
    result = merge(MergeRequest((A, B), tmp_path / "m.safetensors", Method.SUM, 0.3))
    a, b, merged = load_file(A), load_file(B), load_file(result.path)
    assert set(merged) == set(a) | {name for name in b if "model" in name}
    for name, tensor in merged.items():
        if name in a and name in b and "model" in name and a[name].is_floating_point():
            wanted = a[name].float() * 0.7 + b[name].float() * 0.3
            # One rounding to the type of the file.
            assert torch.allclose(tensor.float(), wanted, atol=1e-6, rtol=2**-10), name
        elif name in a:
            assert torch.equal(tensor, a[name]), name
    assert result.config == tmp_path / "m.yaml"
    assert result.nonfinite == ()


def test_the_result_loads(tmp_path: Path, B: Path) -> None:
    result = merge(MergeRequest((A, B), tmp_path / "m.safetensors"))
    model = load_model(CheckpointInfo.for_file(result.path), CPU)
    assert model.spec.is_sd1


def test_add_difference_and_blocks(tmp_path: Path, B: Path) -> None:
    request = MergeRequest(
        (A, B, A),
        tmp_path / "m.safetensors",
        Method.DIFFERENCE,
        0.0,
        blocks=((r"diffusion_model\.out\.", 1.0), (r"first_stage_model", 0.5)),
    )
    merged, a, b = load_file(merge(request).path), load_file(A), load_file(B)
    changed = "model.diffusion_model.out.2.weight"
    # A + (B - A) is B up to the rounding of the type.
    assert torch.allclose(merged[changed].float(), b[changed].float(), atol=1e-3)
    kept = "model.diffusion_model.input_blocks.0.0.weight"
    assert torch.equal(merged[kept], a[kept])


def test_half_precision_vae_and_discarded_weights(tmp_path: Path) -> None:
    request = MergeRequest(
        (A,), tmp_path / "m.safetensors", Method.NONE, half=True, vae=VAE, discard=r"^cond_stage_model"
    )
    merged, vae = load_file(merge(request).path), load_file(VAE)
    assert not any(name.startswith("cond_stage_model") for name in merged)
    assert {tensor.dtype for tensor in merged.values() if tensor.is_floating_point()} == {torch.float16}
    name = "decoder.conv_in.weight"
    assert torch.equal(merged[f"first_stage_model.{name}"], vae[name].half())


def test_an_inpainting_model_keeps_its_extra_inputs(tmp_path: Path, INPAINT: Path) -> None:
    merged = load_file(merge(MergeRequest((INPAINT, A), tmp_path / "m.safetensors", Method.SUM, 1.0)).path)
    inpaint, plain = load_file(INPAINT)[INPUT], load_file(A)[INPUT]
    assert torch.equal(merged[INPUT][:, 4:], inpaint[:, 4:])
    assert torch.allclose(merged[INPUT][:, :4].float(), plain.float(), rtol=2**-10)
    metadata = read_header(tmp_path / "m.safetensors").metadata
    assert json.loads(metadata["sd_merge_recipe"])["is_inpainting"] is True


def test_the_recipe_names_what_went_in(tmp_path: Path, B: Path) -> None:
    first = merge(MergeRequest((A, B), tmp_path / "first.safetensors", multiplier=0.25))
    second = merge(MergeRequest((first.path, B), tmp_path / "second.safetensors"))
    recipe = json.loads(read_header(first.path).metadata["sd_merge_recipe"])
    assert (recipe["interp_method"], recipe["multiplier"]) == ("Weighted sum", 0.25)
    lineage = json.loads(read_header(second.path).metadata["sd_merge_models"])
    assert recipe["primary_model_hash"] in lineage
    assert {one["name"] for one in lineage.values()} == {"first.safetensors", A.name, B.name}


def test_a_ckpt_is_read_and_written(tmp_path: Path, B: Path) -> None:
    torch.save({"state_dict": load_file(B)}, tmp_path / "b.ckpt")
    merged = load_pickle(merge(MergeRequest((A, tmp_path / "b.ckpt"), tmp_path / "m.ckpt")).path)
    same = load_file(merge(MergeRequest((A, B), tmp_path / "m.safetensors")).path)
    state = merged.get("state_dict", merged)
    assert set(state) == set(same)
    assert all(torch.equal(state[name], same[name]) for name in same)


@pytest.mark.parametrize(
    ("models", "message"),
    [(("A", "SDXL"), "same family"), (("A", "INPAINT"), "must be A"), (("A",), "needs 2 models")],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(
    tmp_path: Path, models: tuple[str, ...], message: str, INPAINT: Path
) -> None:
    with pytest.raises(InvalidInput, match=message):
        known = {"A": A, "SDXL": SDXL, "INPAINT": INPAINT}
        merge(MergeRequest(tuple(known[name] for name in models), tmp_path / "m.safetensors"))
    assert list(tmp_path.iterdir()) == []


def test_a_truncated_model_is_refused_and_leaves_nothing(tmp_path: Path, B: Path) -> None:
    folder = tmp_path / "out"
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(B.read_bytes()[:-100])
    with pytest.raises(ModelFileError, match="truncated"):
        merge(MergeRequest((A, broken), folder / "m.safetensors"))
    assert not folder.exists()


def test_an_existing_file_is_never_replaced(tmp_path: Path, B: Path) -> None:
    target = tmp_path / "m.safetensors"
    target.write_bytes(b"mine")
    with pytest.raises(InvalidInput, match="already there"):
        merge(MergeRequest((A, B), target))
    assert target.read_bytes() == b"mine"


def test_an_interrupted_merge_leaves_nothing(tmp_path: Path, B: Path) -> None:
    def stop(done: int, _total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merge(MergeRequest((A, B), tmp_path / "m.safetensors"), watch=stop)
    assert list(tmp_path.iterdir()) == []


def test_nan_is_named(tmp_path: Path, B: Path) -> None:
    weights = load_file(B)
    weights["model.diffusion_model.out.2.bias"][0] = float("nan")
    save_file(weights, tmp_path / "nan.safetensors")
    result = merge(MergeRequest((A, tmp_path / "nan.safetensors"), tmp_path / "m.safetensors"))
    assert result.nonfinite == ("model.diffusion_model.out.2.bias",)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], B: Path) -> None:
    target = tmp_path / "m.safetensors"
    assert main([str(A), str(B), "-o", str(target), "-m", "0.5", "--block", "out=0.1", "--half"]) == 0
    assert target.is_file()
    assert main([str(A), str(B), "-o", str(target)]) == 1
    assert "already there" in capsys.readouterr().err


def test_names() -> None:
    assert usual_name(Method.DIFFERENCE, ("a", "b", "c"), 0.5) == "a + 0.5(b - c)"
