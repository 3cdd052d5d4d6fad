"""Which device and which precision the flags give."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import pytest
import torch

from modules.devices.policy import DevicePolicy, pick_device
from modules.errors import InvalidInput

FP16, BF16, FP32 = torch.float16, torch.bfloat16, torch.float32


def policy(device: str = "cpu", monkeypatch: pytest.MonkeyPatch | None = None, **flags: Any) -> DevicePolicy:
    """The policy for ``flags`` on a machine whose accelerator is ``device``."""
    if monkeypatch is not None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: device == "cuda")
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: device == "mps")
    return DevicePolicy.from_flags(Namespace(**flags))


def types(made: DevicePolicy) -> tuple[torch.dtype, ...]:
    return made.unet_dtype, made.text_dtype, made.vae_dtype


@pytest.mark.parametrize("flags", [{}, {"precision": "full", "no_half": True}, {"no_half_vae": True}])
def test_a_cpu_computes_in_float32(flags: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    made = policy("cpu", monkeypatch, **flags)
    assert made.device == torch.device("cpu")
    assert types(made) == (FP32, FP32, FP32)
    assert not made.autocast
    assert made.is_full_precision
    assert made.higher() is None
    assert made.higher_vae() is None
    assert made.attention == "sdp"


@pytest.mark.parametrize(
    ("flags", "expected", "autocast"),
    [
        ({}, (FP16, FP16, FP16), True),
        ({"precision": "autocast"}, (FP16, FP16, FP16), True),
        ({"no_half_vae": True}, (FP16, FP16, FP32), True),
        ({"no_half": True}, (FP32, FP32, FP32), False),
        ({"precision": "half"}, (FP16, FP16, FP16), False),
        ({"precision": "full"}, (FP32, FP32, FP32), False),
        ({"precision": "full", "no_half": True}, (FP32, FP32, FP32), False),
    ],
)
def test_an_nvidia_card_computes_in_float16(
    flags: dict, expected: tuple, autocast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = policy("cuda", monkeypatch, **flags)
    assert made.device == torch.device("cuda", 0)
    assert types(made) == expected
    assert made.autocast is autocast
    assert made.compute_dtype == FP32


def test_the_retry_goes_to_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    made = policy("cuda", monkeypatch)
    higher = made.higher()
    assert higher is not None
    assert types(higher) == (FP32, FP32, FP32)
    assert not higher.autocast
    assert higher.device == made.device
    assert higher.higher() is None


def test_the_retry_of_the_vae_leaves_the_unet(monkeypatch: pytest.MonkeyPatch) -> None:
    made = policy("cuda", monkeypatch)
    assert types(made.higher_vae() or made) == (FP16, FP16, FP32)
    between = made.higher_vae(bfloat16=True)
    assert between is not None
    assert types(between) == (FP16, FP16, BF16)
    assert types(between.higher_vae(bfloat16=True) or made) == (FP16, FP16, FP32)


def test_use_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert policy("cuda", monkeypatch, use_cpu=["all"]).device.type == "cpu"
    assert policy("cuda", monkeypatch, use_cpu=["SD"]).device.type == "cpu"
    made = policy("cuda", monkeypatch, use_cpu=["esrgan", "GFPGAN"])
    assert made.device.type == "cuda"
    assert made.device_for("ESRGAN").type == "cpu"
    assert made.device_for("gfpgan").type == "cpu"
    assert made.device_for("codeformer").type == "cuda"


def test_device_id(monkeypatch: pytest.MonkeyPatch) -> None:
    assert policy("cuda", monkeypatch, device_id="1").device == torch.device("cuda", 1)
    for wrong in ("2", "-1", "cuda:0"):
        with pytest.raises(InvalidInput, match=r"--device-id is .* expected a number from 0 to 1"):
            policy("cuda", monkeypatch, device_id=wrong)


def test_a_mac(monkeypatch: pytest.MonkeyPatch) -> None:
    made = policy("mps", monkeypatch, upcast_sampling=True)
    assert made.device.type == "mps"
    assert types(made) == (FP16, FP16, FP16)
    assert made.upcast_sampling
    assert not made.autocast
    assert made.attention == "sub-quadratic"
    assert policy("mps", monkeypatch, use_cpu=["sd"]).device.type == "cpu"


@pytest.mark.parametrize("other", ["no_half", "no_half_vae"])
def test_half_and_no_half_contradict_each_other(other: str) -> None:
    with pytest.raises(InvalidInput, match="Use one or the other"):
        policy(precision="half", **{other: True})


def test_an_unknown_precision_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"'double'.*full, half, autocast"):
        policy(precision="double")


def test_other_flags() -> None:
    assert policy().check_finite
    assert not policy(disable_nan_check=True).check_finite
    assert policy(opt_split_attention_v1=True).attention == "V1"
    assert policy(disable_opt_split_attention=True).attention == "none"
    assert policy(opt_channelslast=True).channels_last


def test_an_ipex_flag_without_an_intel_card_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.xpu, "is_available", lambda: False)
    assert pick_device(Namespace(use_ipex=True, use_cpu=["all"])).type == "cpu"
    monkeypatch.setattr(torch.xpu, "is_available", lambda: True)
    monkeypatch.setattr(torch.xpu, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device(Namespace(use_ipex=True)).type == "xpu"


def test_autocast_is_entered_only_where_it_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    with policy("cpu", monkeypatch).autocast_context():
        assert not torch.is_autocast_enabled("cpu")
    card = policy("cuda", monkeypatch)
    with card.autocast_context(FP32):
        assert not torch.is_autocast_enabled("cuda")
