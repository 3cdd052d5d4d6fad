"""Hypernetworks: the layers that weights describe, and their place in cross attention."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from benchmarks import twins
from modules.checkpoints.hypernetwork_files import load_hypernetwork
from modules.errors import ModelFileError, NonFiniteError
from modules.nets.hypernetwork import HypernetworkModule, context_hook
from modules.nets.unet import UNetModel

WIDTH = 6
UNET = replace(twins.SD1_UNET, model_channels=32, context_dim=24)


def state_of(*layers: nn.Module) -> dict[str, Tensor]:
    """The weights of a trained network as files name them."""
    torch.manual_seed(3)
    sequence = nn.Sequential(*layers)
    for parameter in sequence.parameters():
        nn.init.normal_(parameter, std=0.5)
    return {f"linear.{key}": value.detach() for key, value in sequence.state_dict().items()}


def run(state: dict[str, Tensor], layers: list[nn.Module], x: Tensor) -> Tensor:
    """The same layers, put together by hand."""
    sequence = nn.Sequential(*layers)
    sequence.load_state_dict({key.removeprefix("linear."): value for key, value in state.items()})
    return sequence.eval()(x)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("relu", nn.ReLU), ("swish", nn.Hardswish), ("mish", nn.Mish), ("gelu", nn.GELU), ("tanh", nn.Tanh)],
)
@pytest.mark.parametrize("activate_output", [False, True])
def test_activations_follow_all_layers_or_all_but_the_last(
    name: str, kind: type[nn.Module], activate_output: bool
) -> None:
    layers = [nn.Linear(WIDTH, 12), kind(), nn.LayerNorm(12), nn.Dropout(0.3), nn.Linear(12, WIDTH)]
    if activate_output:
        layers.append(kind())
    state, x = state_of(*layers), torch.randn(2, 5, WIDTH)
    module = HypernetworkModule(state, name, activate_output)
    torch.testing.assert_close(module(x, 0.5), x + 0.5 * run(state, layers, x))


@pytest.mark.parametrize("name", ["linear", None])
def test_without_activation(name: str | None) -> None:
    layers: list[nn.Module] = [nn.Linear(WIDTH, 12), nn.Linear(12, WIDTH)]
    state, x = state_of(*layers), torch.randn(1, 3, WIDTH)
    torch.testing.assert_close(HypernetworkModule(state, name, False)(x, 1.0), x + run(state, layers, x))
    old = {key.replace(".0.", "1.").replace(".1.", "2."): value for key, value in state.items()}
    assert set(old) == {"linear1.weight", "linear1.bias", "linear2.weight", "linear2.bias"}
    assert torch.equal(
        HypernetworkModule(old, name, False)(x, 1.0), HypernetworkModule(state, name, False)(x, 1.0)
    )


def write(path: Path, *widths: int, activation: str = "relu") -> Path:
    data: dict[object, object] = {"name": "inner name", "activation_func": activation, "step": 1}
    for width in widths:
        pair = [state_of(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)) for _ in range(2)]
        pair[1] = {key: value * 0.5 for key, value in pair[1].items()}
        data[width] = tuple(pair)
    torch.save(data, path)
    return path


def test_it_changes_what_keys_and_values_are_made_of(tmp_path: Path) -> None:
    network = load_hypernetwork(write(tmp_path / "h.pt", 24), "h")
    context = torch.randn(1, 7, 24)
    hook = context_hook([(network, 0.7), (network, 0.2)])
    assert hook is not None
    keys, values = hook(context)
    first = network.pairs["24"]
    torch.testing.assert_close(keys, first[0](first[0](context, 0.7), 0.2))
    torch.testing.assert_close(values, first[1](first[1](context, 0.7), 0.2))
    other = torch.randn(1, 7, 32)
    assert hook(other) == (other, other)
    assert context_hook([]) is None


def test_the_unet_uses_it_in_self_and_cross_attention_and_forgets_it(tmp_path: Path) -> None:
    unet = twins.random_net(UNetModel, UNET)
    x, times, context = torch.randn(1, 4, 8, 8), torch.tensor([500]), torch.randn(1, 7, 24)
    with torch.no_grad():
        before = unet(x, times, context)
        results = []
        for width in (24, 32):
            network = load_hypernetwork(write(tmp_path / f"h{width}.pt", width), "h")
            unet.set_context_hook(context_hook([(network, 1.0)]))
            results.append(unet(x, times, context))
        assert not torch.allclose(results[0], before)
        assert not torch.allclose(results[1], before)
        assert not torch.allclose(results[0], results[1])
        unet.set_context_hook(None)
        assert torch.equal(unet(x, times, context), before)


@pytest.mark.parametrize(
    ("data", "error", "word"),
    [
        ({"name": "x"}, ModelFileError, "no hypernetwork"),
        ({6: ({"linear.0.weight": torch.zeros(6, 6)},) * 2}, ModelFileError, "without weight or bias"),
        ({6: ({"other.weight": torch.zeros(6)},) * 2}, ModelFileError, "unknown part"),
        ({8: (state_of(nn.Linear(6, 6)),) * 2}, ModelFileError, "another width"),
        (
            {6: (state_of(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6)),) * 2, "activation_func": "exec"},
            ModelFileError,
            "exec",
        ),
        (
            {
                6: ({"linear.0.weight": torch.full((6, 6), float("nan")), "linear.0.bias": torch.zeros(6)},)
                * 2
            },
            NonFiniteError,
            "NaN",
        ),
    ],
)
def test_other_files_are_refused(
    tmp_path: Path, data: dict[object, object], error: type[Exception], word: str
) -> None:
    torch.save(data, tmp_path / "h.pt")
    with pytest.raises(error, match=word):
        load_hypernetwork(tmp_path / "h.pt", "h")
