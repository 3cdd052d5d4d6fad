"""Hypernetworks: small networks that change what cross attention makes keys and values of.

For each width of the context there is a pair of networks, one for keys, one for values; each adds its output
to the context. An idea of Kurumuz (NovelAI) from 2022; the layout is that of the files in circulation.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from modules.errors import ModelFileError

ACTIVATIONS: dict[str, type[nn.Module]] = {
    **{
        name.lower(): kind
        for name, kind in inspect.getmembers(nn.modules.activation, inspect.isclass)
        if kind.__module__ == nn.modules.activation.__name__
    },
    "relu": nn.ReLU,
    "leakyrelu": nn.LeakyReLU,
    "elu": nn.ELU,
    "swish": nn.Hardswish,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}
"""Names of activation functions in the files. What they call swish is its piecewise form."""

LINEAR = "linear"
_OLD_NAMES = {"linear1": "linear.0", "linear2": "linear.1"}
_KEY = re.compile(r"linear\.(\d{1,4})\.(weight|bias)\Z")


class HypernetworkModule(nn.Module):
    """One network, [..., dim] to [..., dim], built from its weights.

    Matrices are linear layers, vectors are layer norms, in the order of their numbers. ``activation`` follows
    each linear layer, the last only with ``activate_output``. Dropout is for training and left out.
    Raises ``ModelFileError`` for weights that make no such network.
    """

    def __init__(self, state: Mapping[str, Tensor], activation: str | None, activate_output: bool) -> None:
        super().__init__()
        layers = _grouped(state)
        matrices = [number for number, parts in layers.items() if parts["weight"].ndim == 2]
        if not matrices:
            raise ModelFileError("The hypernetwork has a part without any linear layer.")
        modules: list[nn.Module] = []
        for number in sorted(layers):
            parts = layers[number]
            modules.append(_linear(parts) if number in matrices else _layer_norm(parts))
            active = number in matrices and (number != matrices[-1] or activate_output)
            if active and activation not in (None, LINEAR):
                modules.append(_activation(str(activation)))
        self.linear = nn.Sequential(*modules).requires_grad_(False).eval()
        self.dim = layers[matrices[0]]["weight"].shape[1]

    def forward(self, x: Tensor, multiplier: float) -> Tensor:
        """``x`` plus ``multiplier`` times the network's answer to it."""
        return x + self.linear(x.to(self.linear[0].weight.dtype)).to(x.dtype) * multiplier


class Hypernetwork(nn.Module):
    """A whole file: for each width of the context one network for keys and one for values."""

    def __init__(self, name: str, pairs: Mapping[int, tuple[HypernetworkModule, HypernetworkModule]]) -> None:
        super().__init__()
        self.name = name
        self.pairs = nn.ModuleDict({str(width): nn.ModuleList(pair) for width, pair in pairs.items()})

    def forward(self, keys: Tensor, values: Tensor, multiplier: float) -> tuple[Tensor, Tensor]:
        """The contexts of keys and values, [B, T, D] each; unchanged when no network is as wide."""
        name = str(keys.shape[-1])
        if name not in self.pairs:
            return keys, values
        pair = self.pairs[name]
        return pair[0](keys, multiplier), pair[1](values, multiplier)  # type: ignore[index]


def context_hook(
    active: Sequence[tuple[Hypernetwork, float]],
) -> Callable[[Tensor], tuple[Tensor, Tensor]] | None:
    """What ``CrossAttention.context_hook`` takes for these hypernetworks, one after the other."""
    if not active:
        return None

    def hook(context: Tensor) -> tuple[Tensor, Tensor]:
        keys, values = context, context
        for network, multiplier in active:
            keys, values = network(keys, values, multiplier)
        return keys, values

    return hook


def _grouped(state: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    """Number of the layer → its tensors, in ascending order."""
    layers: dict[int, dict[str, Tensor]] = {}
    for key, tensor in state.items():
        head, _, rest = key.partition(".")
        match = _KEY.match(f"{_OLD_NAMES[head]}.{rest}" if head in _OLD_NAMES else key)
        if match is None or not isinstance(tensor, Tensor) or tensor.ndim not in (1, 2):
            raise ModelFileError(f"The hypernetwork holds an unknown part {key!r}.")
        layers.setdefault(int(match[1]), {})[match[2]] = tensor
    if any(set(parts) != {"weight", "bias"} for parts in layers.values()):
        raise ModelFileError("The hypernetwork has a layer without weight or bias.")
    return dict(sorted(layers.items()))


def _linear(parts: Mapping[str, Tensor]) -> nn.Module:
    out, width = parts["weight"].shape
    with torch.device("meta"):
        layer = nn.Linear(width, out)
    layer.load_state_dict(dict(parts), assign=True)
    return layer


def _layer_norm(parts: Mapping[str, Tensor]) -> nn.Module:
    with torch.device("meta"):
        layer = nn.LayerNorm(parts["weight"].shape[0])
    layer.load_state_dict(dict(parts), assign=True)
    return layer


def _activation(name: str) -> nn.Module:
    kind = ACTIVATIONS.get(name)
    if kind is None:
        raise ModelFileError(f"The hypernetwork uses an unknown activation function, {name!r}.")
    try:
        return kind()
    except TypeError as error:
        raise ModelFileError(f"The hypernetwork's activation {name!r} needs arguments.") from error
