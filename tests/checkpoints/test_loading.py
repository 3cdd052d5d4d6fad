"""From a file to a model: values, types, memory, damage, and what a model then computes."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from modules.checkpoints.catalogue import CheckpointInfo
from modules.checkpoints.conditioning import Conditioning
from modules.checkpoints.hashes import HashStore
from modules.checkpoints.loading import load_model, prepare
from modules.checkpoints.model import DiffusionModel
from modules.checkpoints.schedule import alphas_cumprod, is_valid_schedule
from modules.checkpoints.tensor_file import TensorFile, open_safetensors
from modules.devices.policy import DevicePolicy
from modules.errors import EaselError, InvalidInput, ModelFileError, OutOfMemoryError
from tests.checkpoints.files import (
    EPS_METADATA,
    TINY_UNET,
    tiny_tensors,
    write_safetensors,
    write_tiny_sd1,
)
from tests.paths import GOLDENS, HAVE_GOLDENS

CPU = DevicePolicy(torch.device("cpu"))
needs_goldens = pytest.mark.skipif(not HAVE_GOLDENS, reason="the reference data is not beside the checkout")


def load(path: Path, policy: DevicePolicy = CPU, vae_file: Path | None = None) -> DiffusionModel:
    return load_model(CheckpointInfo.for_file(path), policy, vae_file=vae_file)


def weights(model: DiffusionModel) -> dict[str, Tensor]:
    """All weights under the names of the file."""
    parts = [(model.spec.unet_prefix, model.unet), (model.spec.vae_prefix, model.vae)]
    parts += [
        (spec.prefix, net)  # type: ignore[misc]
        for spec, net in zip(model.spec.text_encoders, model.text_encoders, strict=True)
    ]
    return {prefix + name: value for prefix, net in parts for name, value in net.state_dict().items()}


def assert_weights(model: DiffusionModel, expected: dict[str, Tensor]) -> None:
    found = weights(model)
    assert set(found) == set(expected)
    for name, value in found.items():
        assert torch.equal(value, expected[name].float()), name


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_every_weight_has_the_value_of_the_file(
    tmp_path: Path, dtype: torch.dtype, channels_last: bool
) -> None:
    path = write_tiny_sd1(tmp_path / "a.safetensors", dtype=dtype)
    model = load(path, replace(CPU, channels_last=channels_last))
    assert_weights(model, tiny_tensors(dtype=dtype))
    assert {value.dtype for value in weights(model).values()} == {torch.float32}
    assert not any(parameter.requires_grad for net in model.networks() for parameter in net.parameters())
    assert not any(net.training for net in model.networks())
    conv = model.unet.input_blocks[1][0].in_layers[2].weight  # type: ignore[index, union-attr]
    assert conv.is_contiguous(memory_format=torch.channels_last) is channels_last


def test_types_follow_the_policy(tmp_path: Path) -> None:
    policy = replace(CPU, unet_dtype=torch.float16, vae_dtype=torch.bfloat16, text_dtype=torch.float32)
    model = load(write_tiny_sd1(tmp_path / "a.safetensors"), policy)
    assert (model.unet.dtype, model.vae.dtype, model.text_encoders[0].dtype) == (
        torch.float16,
        torch.bfloat16,
        torch.float32,
    )


def test_pickled_checkpoints_load_alike(tmp_path: Path) -> None:
    tensors = tiny_tensors()
    torch.save({"state_dict": tensors, "epoch": 1}, tmp_path / "a.ckpt")
    torch.save(tensors, tmp_path / "b.ckpt", _use_new_zipfile_serialization=False)
    reference = weights(load(write_tiny_sd1(tmp_path / "c.safetensors")))
    for name in ("a.ckpt", "b.ckpt"):
        found = weights(load(tmp_path / name))
        assert all(torch.equal(found[key], value) for key, value in reference.items())


def test_types_of_a_quarter_and_a_strange_layout(tmp_path: Path) -> None:
    """Eight-bit floats, and 1x1 convolutions of the VAE kept as matrices."""
    tensors = tiny_tensors()
    name = "model.diffusion_model.out.2.weight"
    tensors[name] = tensors[name].float().to(torch.float8_e4m3fn)
    matrix = "first_stage_model.encoder.mid.attn_1.q.weight"
    tensors[matrix] = tensors[matrix].flatten(1)
    model = load(write_safetensors(tmp_path / "a.safetensors", tensors, EPS_METADATA))
    found = weights(model)
    assert torch.equal(found[name], tensors[name].float())
    assert torch.equal(found[matrix].flatten(1), tensors[matrix].float())


def test_the_stored_schedule_wins_over_the_computed_one(tmp_path: Path) -> None:
    computed = load(write_tiny_sd1(tmp_path / "a.safetensors")).alphas_cumprod
    assert torch.equal(computed, alphas_cumprod(0.00085, 0.012, 1000))
    stored = torch.linspace(0.9, 0.1, 1000)
    tensors = tiny_tensors() | {"alphas_cumprod": stored.half()}
    model = load(write_safetensors(tmp_path / "b.safetensors", tensors, EPS_METADATA))
    assert torch.equal(model.alphas_cumprod, stored.half().float())
    tensors["alphas_cumprod"] = stored.flip(0)
    model = load(write_safetensors(tmp_path / "c.safetensors", tensors, EPS_METADATA))
    assert torch.equal(model.alphas_cumprod, computed)


def test_the_schedule() -> None:
    values = alphas_cumprod(0.00085, 0.012, 1000)
    assert values.dtype == torch.float32
    assert values[0].item() == pytest.approx(1 - 0.00085, rel=1e-6)
    assert values[-1].item() == pytest.approx(0.00466009, rel=1e-5)
    assert is_valid_schedule(values, 1000)
    broken = values.clone()
    broken[5] = float("nan")
    assert not is_valid_schedule(broken, 1000)
    assert not is_valid_schedule(values[:10], 1000)


# --- damage -------------------------------------------------------------------------------------------


def refusal(path: Path, **options: Path) -> str:
    with pytest.raises(ModelFileError) as caught:
        load(path, **options)  # type: ignore[arg-type]
    return str(caught.value)


def test_truncation_names_the_missing_bytes(tmp_path: Path) -> None:
    path = write_tiny_sd1(tmp_path / "a.safetensors")
    path.write_bytes(path.read_bytes()[:-1000])
    assert "1000 of its" in refusal(path)


@pytest.mark.parametrize(
    ("prefix", "word"),
    [
        ("first_stage_model.", "no VAE"),
        ("model.diffusion_model.output_blocks.3.0.", "UNet is incomplete.*output_blocks"),
        ("model.diffusion_model.time_embed.", "UNet is incomplete: 4 of"),
        ("first_stage_model.decoder.mid.", "VAE is incomplete"),
        ("cond_stage_model.transformer.text_model.encoder.layers.1.mlp", "text encoder is incomplete"),
    ],
)
def test_missing_parts_are_named(tmp_path: Path, prefix: str, word: str) -> None:
    tensors = {name: value for name, value in tiny_tensors().items() if not name.startswith(prefix)}
    path = write_safetensors(tmp_path / "a.safetensors", tensors, EPS_METADATA)
    with pytest.raises(ModelFileError, match=word) as caught:
        load(path)
    assert str(caught.value).startswith("a.safetensors cannot be loaded. ")


def test_a_missing_text_encoder_is_named(tmp_path: Path) -> None:
    tensors = tiny_tensors(unet=replace(TINY_UNET, context_dim=768))
    with_text = write_safetensors(tmp_path / "a.safetensors", tensors, EPS_METADATA)
    assert "give 64 values for a token, and its UNet expects 768" in refusal(with_text)
    tensors = {name: value for name, value in tensors.items() if not name.startswith("cond_stage_model.")}
    without = write_safetensors(tmp_path / "b.safetensors", tensors, EPS_METADATA)
    assert "SD 1.x with 0 of 1 text encoders" in refusal(without)


def test_shapes_and_types_that_do_not_fit(tmp_path: Path) -> None:
    name = "model.diffusion_model.time_embed.2.weight"
    tensors = tiny_tensors() | {name: torch.zeros(64, 64, dtype=torch.float16)}
    assert "time_embed.2.weight has the shape [64, 64]" in refusal(
        write_safetensors(tmp_path / "a.safetensors", tensors)
    )
    quantised = torch.zeros(128, 128, dtype=torch.uint8)
    tensors = tiny_tensors() | {name: quantised}
    assert "uint8" in refusal(write_safetensors(tmp_path / "b.safetensors", tensors))


def test_a_file_of_an_unknown_suffix(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(b"x")
    assert ".safetensors" in refusal(path)


def test_a_file_replaced_by_rename_while_in_use(tmp_path: Path) -> None:
    path = write_tiny_sd1(tmp_path / "a.safetensors", seed=1)
    model = load(path)
    before = {name: value.clone() for name, value in weights(model).items()}
    other = write_tiny_sd1(tmp_path / "new", seed=2)
    other.replace(path)
    assert_weights(model, before)


def test_a_file_overwritten_in_place_while_in_use(tmp_path: Path) -> None:
    """Truncating a file that is mapped would end the process; ours is in memory of its own."""
    path = write_tiny_sd1(tmp_path / "a.safetensors", dtype=torch.float32)
    model = load(path)
    before = {name: value.clone() for name, value in weights(model).items()}
    with path.open("r+b") as file:
        file.truncate(100)
    assert_weights(model, before)


def test_a_file_that_changes_while_it_is_read(tmp_path: Path) -> None:
    path = write_tiny_sd1(tmp_path / "a.safetensors")
    with prepare(CheckpointInfo.for_file(path), CPU) as plan:
        raw = path.read_bytes()
        path.write_bytes(raw + b"more")
        with pytest.raises(ModelFileError, match="changed while it was read"):
            plan.execute()
    path.write_bytes(raw)
    with prepare(CheckpointInfo.for_file(path), CPU) as plan:
        path.write_bytes(raw[: len(raw) // 2])
        with pytest.raises(ModelFileError, match="became shorter"):
            plan.execute()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), OutOfMemoryError),
        (torch.OutOfMemoryError("CUDA out of memory"), OutOfMemoryError),
        (MemoryError(), OutOfMemoryError),
        (OSError(5, "Input/output error"), ModelFileError),
        (RuntimeError("another"), RuntimeError),
    ],
)
def test_failures_of_memory_and_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, expected: type[Exception]
) -> None:
    def read(self: TensorFile, *arguments: object) -> Tensor:
        raise error

    path = write_tiny_sd1(tmp_path / "a.safetensors")
    monkeypatch.setattr(TensorFile, "read", read)
    with pytest.raises(expected) as caught:
        load(path)
    assert isinstance(caught.value, EaselError) == (expected is not RuntimeError)


def test_preparing_allocates_no_tensor(tmp_path: Path) -> None:
    with prepare(CheckpointInfo.for_file(write_tiny_sd1(tmp_path / "a.safetensors")), CPU) as plan:
        assert all(parameter.is_meta for parameter in plan.unet.module.parameters())


def test_reading_tensors_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modules.checkpoints.tensor_file.CHUNK_BYTES", 64)
    tensor = torch.randn(37, 5)
    path = write_safetensors(tmp_path / "a.safetensors", {"x": tensor, "e": torch.zeros(0, 3)})
    with open_safetensors(path) as file:
        assert torch.equal(file.read("x"), tensor)
        assert torch.equal(file.read("x", torch.float64), tensor.double())
        assert torch.equal(file.read("x", shape=(5, 37)), tensor.view(5, 37))
        assert file.read("e").shape == (0, 3)


# --- separate VAEs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "first_stage_model."])
def test_a_vae_of_its_own_replaces_the_checkpoints(tmp_path: Path, prefix: str) -> None:
    path = write_tiny_sd1(tmp_path / "a.safetensors")
    other = {
        name.replace("first_stage_model.", prefix): value
        for name, value in tiny_tensors(seed=5).items()
        if name.startswith("first_stage_model.")
    }
    vae = write_safetensors(tmp_path / "x.vae.safetensors", other)
    model = load(path, vae_file=vae)
    assert model.vae_file == str(vae)
    expected = other[f"{prefix}decoder.conv_in.weight"].float()
    assert torch.equal(model.vae.decoder.conv_in.weight, expected)
    assert torch.equal(model.unet.out[2].weight, load(path).unet.out[2].weight)  # type: ignore[index]


@pytest.mark.parametrize(
    ("names", "word"),
    [
        (["encoder.down_blocks.0.resnets.0.conv1.weight", "decoder.conv_in.weight"], "diffusers"),
        (["something"], "holds no VAE"),
        (["decoder.conv_in.weight", "encoder.conv_in.weight"], "lacks the tensor"),
    ],
)
def test_files_that_are_no_vae(tmp_path: Path, names: list[str], word: str) -> None:
    path = write_tiny_sd1(tmp_path / "a.safetensors")
    vae = write_safetensors(tmp_path / "x.safetensors", {name: torch.zeros(8, 8, 3, 3) for name in names})
    with pytest.raises(ModelFileError, match=word) as caught:
        load(path, vae_file=vae)
    assert "x.safetensors" in str(caught.value)


# --- what a model computes ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> DiffusionModel:
    return load(write_tiny_sd1(tmp_path_factory.mktemp("models") / "tiny.safetensors"))


def test_prediction_keeps_type_and_size(tiny: DiffusionModel) -> None:
    cond = Conditioning(torch.randn(2, 77, 64))
    for dtype in (torch.float32, torch.float16):
        out = tiny.predict(torch.randn(2, 4, 8, 16, dtype=dtype), torch.tensor([999.0, 10.0]), cond)
        assert (out.shape, out.dtype) == ((2, 4, 8, 16), dtype)


def test_rows_do_not_depend_on_each_other(tiny: DiffusionModel) -> None:
    x, t = torch.randn(2, 4, 8, 8), torch.tensor([500.0, 3.0])
    cond = Conditioning(torch.randn(2, 77, 64))
    both = tiny.predict(x, t, cond)
    assert torch.allclose(tiny.predict(x[1:], t[1:], cond[1:]), both[1:], atol=1e-5)


def test_conditioning_of_another_model_is_a_sentence(tiny: DiffusionModel) -> None:
    x, t = torch.randn(1, 4, 8, 8), torch.tensor([1.0])
    with pytest.raises(InvalidInput, match="768 wide"):
        tiny.predict(x, t, Conditioning(torch.zeros(1, 77, 768)))
    with pytest.raises(InvalidInput, match="takes no vector"):
        tiny.predict(x, t, Conditioning(torch.zeros(1, 77, 64), torch.zeros(1, 10)))
    with pytest.raises(InvalidInput, match="extra input channels"):
        tiny.predict(x, t, Conditioning(torch.zeros(1, 77, 64), None, torch.zeros(1, 5, 8, 8)))


def test_extra_channels_are_joined_to_the_latent(tmp_path: Path) -> None:
    unet = replace(TINY_UNET, in_channels=9)
    path = write_safetensors(tmp_path / "a.safetensors", tiny_tensors(unet=unet))
    model = load(path)
    assert model.spec.is_inpainting
    cond = Conditioning(torch.randn(1, 77, 64), None, torch.randn(1, 5, 8, 8))
    out = model.predict(torch.randn(1, 4, 8, 8), torch.tensor([5.0]), cond)
    assert out.shape == (1, 4, 8, 8)
    with pytest.raises(InvalidInput, match="picture it works on"):
        model.predict(torch.randn(1, 4, 8, 8), torch.tensor([5.0]), Conditioning(torch.randn(1, 77, 64)))


def test_latents_and_pixels(tiny: DiffusionModel) -> None:
    pixels = tiny.decode_latent(torch.randn(2, 4, 4, 6))
    assert (pixels.shape, pixels.dtype) == ((2, 3, 32, 48), torch.float32)
    mean = tiny.encode_pixels(pixels)
    assert mean.shape == (2, 4, 4, 6)
    noise = torch.randn(2, 4, 4, 6)
    assert torch.equal(tiny.encode_pixels(pixels, noise * 0), mean)
    assert not torch.equal(tiny.encode_pixels(pixels, noise), mean)
    raw_mean, logvar = tiny.vae.encode(pixels)
    expected = (raw_mean + torch.exp(0.5 * logvar) * noise) * 0.18215
    assert torch.allclose(tiny.encode_pixels(pixels, noise), expected, atol=1e-6)


def test_a_retry_at_higher_precision_casts_the_weights_in_use(tmp_path: Path) -> None:
    path = write_tiny_sd1(tmp_path / "a.safetensors")
    low = replace(CPU, unet_dtype=torch.bfloat16, vae_dtype=torch.bfloat16)
    model = load(path, low)
    path.unlink()
    higher = low.higher()
    assert higher is not None
    full = model.recast(higher)
    assert (full.unet.dtype, full.vae.dtype, model.unet.dtype) == (
        torch.float32,
        torch.float32,
        torch.bfloat16,
    )
    assert full.text_encoders[0] is model.text_encoders[0]
    assert torch.equal(full.unet.out[2].weight, model.unet.out[2].weight.float())  # type: ignore[index]
    latent = torch.randn(1, 4, 4, 4)
    assert torch.equal(model.decode_latent(latent, dtype=torch.float32), full.decode_latent(latent))


# --- the reference ------------------------------------------------------------------------------------


def reference(name: str) -> DiffusionModel:
    return load(GOLDENS / "models" / "Stable-diffusion" / f"{name}.safetensors")


@needs_goldens
@pytest.mark.parametrize(
    "name",
    ["tiny-sd1", "tiny-sd1-b", "tiny-sd1-inpaint", "tiny-sd2-v", "tiny-sdxl", "tiny-sdxl-refiner"],
)
def test_all_reference_checkpoints_load(name: str) -> None:
    model = reference(name)
    path = GOLDENS / "models" / "Stable-diffusion" / f"{name}.safetensors"
    found = weights(model)
    with open_safetensors(path) as file:
        assert all(torch.equal(value, file.read(key, torch.float32)) for key, value in found.items())
        unused = set(file.entries) - set(found)
    assert not [key for key in unused if key.startswith(("model.diffusion_model.", "first_stage_model."))]


@needs_goldens
@pytest.mark.parametrize("name", ["tiny-sd1", "tiny-sd2-v", "tiny-sdxl"])
def test_the_noise_schedule_of_the_reference(name: str) -> None:
    expected = np.load(GOLDENS / "units" / f"sigmas_{name}.npz")["alphas_cumprod"]
    assert np.array_equal(reference(name).alphas_cumprod.numpy(), expected)


@needs_goldens
def test_the_unet_and_the_vae_of_the_reference() -> None:
    model = reference("tiny-sd1")
    arrays = {k: torch.from_numpy(v) for k, v in np.load(GOLDENS / "tensors" / "basic-euler.npz").items()}
    cond = Conditioning(torch.cat([arrays["unet00_cond_crossattn"], arrays["unet00_uncond_crossattn"]]))
    log_sigmas = ((1 - model.alphas_cumprod) / model.alphas_cumprod).sqrt().log().numpy()
    for step in range(8):
        x, sigma = arrays[f"unet{step:02d}_x"], arrays[f"unet{step:02d}_sigma"]
        times = torch.from_numpy(np.interp(sigma.log().numpy(), log_sigmas, np.arange(1000.0))).float()
        wide = sigma[:, None, None, None]
        denoised = x - wide * model.predict(x / (wide**2 + 1).sqrt(), times, cond)
        guided = denoised[1] + 7 * (denoised[0] - denoised[1])
        assert torch.allclose(guided, arrays[f"unet{step:02d}_denoised"][0], atol=5e-3)

    from PIL import Image

    pixels = model.decode_latent(arrays["latent_0"])[0].permute(1, 2, 0)
    found = (((pixels + 1) / 2).clamp(0, 1) * 255).to(torch.uint8).numpy().astype(int)
    expected = np.asarray(Image.open(GOLDENS / "cases" / "basic-euler.png").convert("RGB")).astype(int)
    assert np.abs(found - expected).max() <= 1


@needs_goldens
def test_probing_tells_the_reference_networks_apart() -> None:
    """Without metadata and yaml: the weights alone say which of them predicts velocity."""
    from modules.checkpoints.probing import classify, probe_correlation

    assert classify(probe_correlation(reference("tiny-sd1"))) == "eps"
    assert classify(probe_correlation(reference("tiny-sdxl"))) == "eps"
    assert classify(probe_correlation(reference("tiny-sd2-v"))) == "v"


@needs_goldens
@pytest.mark.parametrize(("name", "prediction"), [("tiny-sd2-v", "v"), ("tiny-sd1", "eps")])
def test_a_checkpoint_that_states_nothing_is_asked_itself(tmp_path: Path, name: str, prediction: str) -> None:
    source = GOLDENS / "models" / "Stable-diffusion" / f"{name}.safetensors"
    path = tmp_path / source.name
    path.write_bytes(source.read_bytes())
    yaml = source.with_suffix(".yaml").read_text().replace("    parameterization: v\n", "")
    # The small files need their yaml for the numbers of heads; it must not tell the prediction.
    yaml = yaml.replace("unet_config:", "network_config:")
    path.with_suffix(".yaml").write_text(yaml)
    hashes = HashStore(None)
    info = CheckpointInfo.for_file(path, None, hashes)
    model = load_model(info, CPU)
    assert (model.spec.prediction, model.spec.prediction_source) == (prediction, "probe")
    assert hashes.peek(path, "prediction") == prediction
    hashes.remember(info.stamp, "prediction", "v")
    assert load_model(info, CPU).spec.prediction == "v"


def test_the_header_length_is_checked_before_anything_is_allocated(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", 2**63) + bytes(100))
    assert "9223372036854775808" in refusal(path)
