"""Networks on a model: what they change, and that the weights come back bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from modules.checkpoints.catalogue import CheckpointInfo
from modules.checkpoints.loading import load_model
from modules.checkpoints.model import DiffusionModel
from modules.checkpoints.network_loading import load_network
from modules.checkpoints.networks import ActiveNetwork, Network
from modules.devices.policy import DevicePolicy
from modules.errors import ModelFileError, NonFiniteError, OutOfMemoryError
from tests.checkpoints.files import write_safetensors, write_tiny_sd1

ATTENTION = "down_blocks_0_attentions_0"
UNET_LAYER = f"{ATTENTION}_transformer_blocks_0_attn2_to_k"
TEXT_LAYER = "text_model_encoder_layers_0_mlp_fc1"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_sd1(tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors")


def model_in(
    checkpoint: Path, dtype: torch.dtype = torch.float32, channels_last: bool = True
) -> DiffusionModel:
    policy = DevicePolicy(
        torch.device("cpu"), unet_dtype=dtype, text_dtype=dtype, channels_last=channels_last
    )
    return load_model(CheckpointInfo.for_file(checkpoint), policy)


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> DiffusionModel:
    return model_in(checkpoint)


def randoms(seed: int, **shapes: tuple[int, ...]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator).half() for name, shape in shapes.items()}


def lora_tensors(seed: int) -> dict[str, Tensor]:
    """A LoRA of UNet and text encoder in the names of kohya, with a 3×3 convolution and a norm."""
    parts = randoms(seed, k_up=(32, 4), k_down=(4, 64), c_up=(32, 4, 1, 1), c_down=(4, 32, 3, 3))
    parts |= randoms(seed + 1, t_up=(128, 2), t_down=(2, 64), w=(32,), b=(32,))
    return {
        f"lora_unet_{UNET_LAYER}.lora_up.weight": parts["k_up"],
        f"lora_unet_{UNET_LAYER}.lora_down.weight": parts["k_down"],
        f"lora_unet_{UNET_LAYER}.alpha": torch.tensor(2.0),
        "lora_unet_down_blocks_0_resnets_0_conv1.lora_up.weight": parts["c_up"],
        "lora_unet_down_blocks_0_resnets_0_conv1.lora_down.weight": parts["c_down"],
        f"lora_unet_{ATTENTION}_norm.w_norm": parts["w"],
        f"lora_unet_{ATTENTION}_norm.b_norm": parts["b"],
        f"lora_te_{TEXT_LAYER}.lora_up.weight": parts["t_up"],
        f"lora_te_{TEXT_LAYER}.lora_down.weight": parts["t_down"],
    }


def write(folder: Path, tensors: dict[str, Tensor], name: str = "net") -> Network:
    return load_network(write_safetensors(folder / f"{name}.safetensors", tensors), name)


@pytest.fixture
def network(tmp_path: Path) -> Network:
    return write(tmp_path, lora_tensors(1))


def bits(model: DiffusionModel) -> dict[str, bytes]:
    """Every weight of UNet and text encoders, exactly."""
    return {
        f"{number}.{name}": parameter.detach().contiguous().view(torch.uint8).numpy().tobytes()
        for number, net in enumerate((model.unet, *model.text_encoders))
        for name, parameter in net.named_parameters()
    }


def changed(before: dict[str, bytes], after: dict[str, bytes]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


def test_a_network_changes_its_layers_and_no_others(model: DiffusionModel, network: Network) -> None:
    before = bits(model)
    weight = model.unet.input_blocks[1][1].transformer_blocks[0].attn2.to_k.weight
    old = weight.clone()
    model.patches.switch(model, [ActiveNetwork(network, te_multiplier=0.5, unet_multiplier=2.0)])
    assert changed(before, bits(model)) == {
        "0.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",
        "0.input_blocks.1.0.in_layers.2.weight",
        "0.input_blocks.1.1.norm.weight",
        "0.input_blocks.1.1.norm.bias",
        "1.text_model.encoder.layers.0.mlp.fc1.weight",
    }
    tensors = lora_tensors(1)
    product = (
        tensors[f"lora_unet_{UNET_LAYER}.lora_up.weight"].float()
        @ tensors[f"lora_unet_{UNET_LAYER}.lora_down.weight"].float()
    )
    torch.testing.assert_close(weight - old, product * 2.0 * 2 / 4, atol=1e-4, rtol=1e-4)
    model.patches.switch(model, [])
    assert bits(model) == before
    assert model.patches.held_bytes == 0


def test_strengths_of_zero_leave_their_half_alone(model: DiffusionModel, network: Network) -> None:
    before = bits(model)
    model.patches.switch(model, [ActiveNetwork(network, 0.0, 1.0)])
    assert {name[0] for name in changed(before, bits(model))} == {"0"}
    model.patches.switch(model, [ActiveNetwork(network, 1.0, 0.0)])
    assert {name[0] for name in changed(before, bits(model))} == {"1"}
    model.patches.switch(model, [])
    assert bits(model) == before


@pytest.mark.parametrize(
    ("dtype", "channels_last"), [(torch.float32, True), (torch.float32, False), (torch.float16, True)]
)
@settings(deadline=None, max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.lists(st.tuples(st.integers(0, 2), st.sampled_from([-1.0, 0.3, 1.0, 40.0])), max_size=3),
        min_size=1,
        max_size=4,
    )
)
def test_no_sequence_of_switches_leaves_a_residue(
    checkpoint: Path,
    tmp_path: Path,
    dtype: torch.dtype,
    channels_last: bool,
    steps: list[list[tuple[int, float]]],
) -> None:
    model = model_in(checkpoint, dtype, channels_last)
    networks = [write(tmp_path, lora_tensors(seed), f"net{seed}") for seed in range(3)]
    before = bits(model)
    for step in steps:
        model.patches.switch(model, [ActiveNetwork(networks[n], strength, strength) for n, strength in step])
    # The last state does not depend on what came before it.
    direct = model_in(checkpoint, dtype, channels_last)
    direct.patches.switch(direct, list(model.patches.active))
    assert bits(direct) == bits(model)
    model.patches.switch(model, [])
    assert bits(model) == before


def test_the_same_networks_are_not_put_on_twice(model: DiffusionModel, network: Network) -> None:
    model.patches.switch(model, [ActiveNetwork(network)])
    version, state = model.patches.version, model.patches.state
    model.patches.switch(model, [ActiveNetwork(network)])
    assert (model.patches.version, model.patches.state) == (version, state)
    model.patches.switch(model, [])
    assert model.patches.state == ()
    assert model.patches.version > version


def test_dialects_of_one_network_make_the_same_weights(model: DiffusionModel, tmp_path: Path) -> None:
    kohya = lora_tensors(5)
    unet_path = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
    up, down = (kohya[f"lora_unet_{UNET_LAYER}.lora_{side}.weight"] for side in ("up", "down"))
    text_up, text_down = (kohya[f"lora_te_{TEXT_LAYER}.lora_{side}.weight"] for side in ("up", "down"))
    text_path = "text_model.encoder.layers.0.mlp.fc1"
    dialects: dict[str, dict[str, Tensor]] = {
        "kohya": {
            f"lora_unet_{UNET_LAYER}.lora_up.weight": up,
            f"lora_unet_{UNET_LAYER}.lora_down.weight": down,
            f"lora_te_{TEXT_LAYER}.lora_up.weight": text_up,
            f"lora_te_{TEXT_LAYER}.lora_down.weight": text_down,
        },
        "peft": {
            f"unet.{unet_path}.lora_B.weight": up,
            f"unet.{unet_path}.lora_A.weight": down,
            f"text_encoder.{text_path}.lora_B.weight": text_up,
            f"text_encoder.{text_path}.lora_A.weight": text_down,
        },
        "early diffusers": {
            f"unet.{unet_path.replace('to_k', 'processor.to_k_lora')}.up.weight": up,
            f"unet.{unet_path.replace('to_k', 'processor.to_k_lora')}.down.weight": down,
            f"text_encoder.{text_path}.lora_linear_layer.up.weight": text_up,
            f"text_encoder.{text_path}.lora_linear_layer.down.weight": text_down,
        },
        "sgm": {
            "diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.lora_up.weight": up,
            "diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.lora_down.weight": down,
            f"cond_stage_model.transformer.{text_path}.lora_up.weight": text_up,
            f"cond_stage_model.transformer.{text_path}.lora_down.weight": text_down,
        },
    }
    before, results = bits(model), []
    for name, tensors in dialects.items():
        model.patches.switch(model, [ActiveNetwork(write(tmp_path, tensors, name))])
        assert model.patches.misfits == ()
        results.append(bits(model))
    model.patches.switch(model, [])
    assert len(changed(before, results[0])) == 2
    assert all(result == results[0] for result in results)


def test_a_network_of_another_family_is_named_and_does_no_harm(
    model: DiffusionModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k"
    tensors = randoms(3, up=(640, 4), down=(4, 2048))
    foreign = write(
        tmp_path,
        {f"{other}.lora_up.weight": tensors["up"], f"{other}.lora_down.weight": tensors["down"]},
        "for-sdxl",
    )
    before = bits(model)
    model.patches.switch(model, [ActiveNetwork(foreign)])
    assert bits(model) == before
    assert "for-sdxl" in caplog.text
    assert "another model family" in caplog.text
    assert [misfit.name for misfit in model.patches.misfits] == ["for-sdxl"]
    model.patches.switch(model, [])
    assert model.patches.misfits == ()


def test_layers_that_fit_are_used_beside_those_that_do_not(model: DiffusionModel, tmp_path: Path) -> None:
    tensors = lora_tensors(2)
    tensors["lora_unet_no_such_layer.diff"] = torch.zeros(2, 2)
    tensors["lora_unet_out_2.diff"] = torch.zeros(5, 5)
    before = bits(model)
    model.patches.switch(model, [ActiveNetwork(write(tmp_path, tensors))])
    (misfit,) = model.patches.misfits
    assert (misfit.layers, misfit.missing, misfit.misshapen) == (6, 1, 1)
    assert len(changed(before, bits(model))) == 5
    model.patches.switch(model, [])
    assert bits(model) == before


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_nan_is_named(tmp_path: Path, bad: float) -> None:
    tensors = lora_tensors(1)
    tensors[f"lora_unet_{UNET_LAYER}.lora_up.weight"][3, 1] = bad
    with pytest.raises(NonFiniteError, match=f"broken .*{UNET_LAYER}"):
        write(tmp_path, tensors, "broken")


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no LoRA"):
        write(tmp_path, {"something.weight": torch.zeros(2)})


def test_out_of_memory_gives_all_weights_back(
    model: DiffusionModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = bits(model)
    first, second = write(tmp_path, lora_tensors(1), "a"), write(tmp_path, lora_tensors(2), "b")
    model.patches.switch(model, [ActiveNetwork(first)])
    written = []

    def fail(parameter: Tensor, original: Tensor, products: object) -> None:
        written.append(parameter.add_(1.0))
        if len(written) == 2:
            raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr("modules.checkpoints.networks.write_products", fail)
        with pytest.raises(OutOfMemoryError, match="Use fewer"):
            model.patches.switch(model, [ActiveNetwork(second)])
    assert bits(model) == before
    assert model.patches.state == ()
    model.patches.switch(model, [ActiveNetwork(second)])
    model.patches.switch(model, [])
    assert bits(model) == before


def test_the_copy_for_a_retry_holds_the_networks_and_knows_it(checkpoint: Path, network: Network) -> None:
    model = model_in(checkpoint, torch.float16)
    model.patches.switch(model, [ActiveNetwork(network)])
    higher = model.recast(replace(model.policy, unet_dtype=torch.float32, text_dtype=torch.float32))
    path = "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
    assert torch.equal(higher.unet.get_parameter(path), model.unet.get_parameter(path).float())
    held = bits(higher)
    higher.patches.switch(higher, [ActiveNetwork(network)])
    assert bits(higher) == held
    with pytest.raises(ValueError, match="another model"):
        higher.patches.switch(higher, [])


def test_bundled_embeddings_are_read(tmp_path: Path) -> None:
    tensors = lora_tensors(1)
    tensors["bundle_emb.word.string_to_param.*"] = torch.ones(3, 64).half()
    tensors["bundle_emb.both.clip_l"] = torch.ones(2, 64)
    tensors["bundle_emb.both.clip_g"] = torch.ones(2, 80)
    word, both = write(tmp_path, tensors).embeddings
    assert (word.name, word.vector_count, word.shape) == ("word", 3, 64)
    assert (both.name, both.vector_count, both.shape) == ("both", 2, 144)
