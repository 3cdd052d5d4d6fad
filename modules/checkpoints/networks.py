"""Networks on a loaded model: weights are changed in place, and come back bit for bit.

Before a weight is touched for the first time, its bits are copied to the CPU. Every switch starts from these
copies, so nothing adds up over time; the copies go when the weight is original again.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from modules.checkpoints.network_targets import Target, model_targets
from modules.errors import OutOfMemoryError
from modules.nets.adapters.base import Adapter

if TYPE_CHECKING:
    from modules.checkpoints.embeddings import EmbeddingVectors
    from modules.checkpoints.model import DiffusionModel

_log = logging.getLogger(__name__)

CACHED_VALUES = 1 << 17
"""Values that are worked on at once: 512 kB in float32, which fits into the cache of one core."""

Layer = tuple[str, str]
"""(place, path with underscores), see ``network_keys``."""


@dataclass(frozen=True)
class Network:
    """A network file in memory.

    ``identity`` tells one state of one file from all others. ``unknown``: tensors that nobody understands.
    """

    name: str
    identity: tuple[str, int, int]
    layers: Mapping[Layer, Adapter]
    embeddings: tuple[EmbeddingVectors, ...] = ()
    unknown: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class ActiveNetwork:
    """A network with its strengths. ``dyn_dim``: keep only so many components of the rank."""

    network: Network
    te_multiplier: float = 1.0
    unet_multiplier: float = 1.0
    dyn_dim: int | None = None

    @property
    def key(self) -> Hashable:
        """Equal for what changes the weights equally."""
        return (self.network.identity, self.te_multiplier, self.unet_multiplier, self.dyn_dim)

    def multiplier(self, target: Target) -> float:
        """Strength for the weight ``target``."""
        return self.te_multiplier if target.net else self.unet_multiplier


@dataclass(frozen=True)
class Misfit:
    """What of a network the model has no place for: ``missing`` layers, and layers of another shape."""

    name: str
    layers: int
    missing: int
    misshapen: int

    def __str__(self) -> str:
        unused = self.missing + self.misshapen
        if 2 * unused < self.layers:
            why = "this model has no such layers. The others are in use."
        else:
            why = "it was made for another model family. Use one that was made for this family."
        return f"{unused} of {self.layers} layers of the network {self.name} were left out: {why}"


@dataclass(frozen=True)
class _Step:
    """One adapter on its way into one weight."""

    target: Target
    adapter: Adapter
    multiplier: float
    dyn_dim: int | None


@dataclass
class WeightPatches:
    """Which networks the weights of one model hold at present.

    ``state`` is equal for equal weights: ``()`` when they are as loaded. ``version`` grows with every change,
    for whoever keeps something that was derived from the weights. ``misfits`` are of the present networks;
    ``problems`` names those that were asked for and are not or not wholly there.
    """

    state: tuple[Hashable, ...] = ()
    version: int = 0
    active: tuple[ActiveNetwork, ...] = ()
    misfits: tuple[Misfit, ...] = ()
    problems: tuple[str, ...] = ()
    _originals: dict[tuple[int, str], Tensor] = field(default_factory=dict, repr=False)
    _owner: weakref.ref[nn.Module] | None = field(default=None, repr=False)

    @property
    def held_bytes(self) -> int:
        """Memory of the copies of original weights."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self._originals.values())

    @torch.no_grad()
    def switch(self, model: DiffusionModel, wanted: Sequence[ActiveNetwork]) -> None:
        """Make the weights of ``model`` hold exactly the networks ``wanted``, in this order.

        Raises ``OutOfMemoryError`` with all weights as loaded.
        """
        state = tuple(one.key for one in wanted)
        if state == self.state:
            return
        if self._owner is not None and self._owner() is not model.unet and self._originals:
            raise ValueError("These patches belong to the weights of another model.")
        self._owner = weakref.ref(model.unet)
        steps, misfits = _plan(model, wanted)
        try:
            self._apply(model, steps)
        except (torch.OutOfMemoryError, MemoryError) as error:
            self._restore(model, keep=())
            self.state, self.active, self.misfits = (), (), ()
            raise OutOfMemoryError(
                "The networks of the prompt do not fit into memory beside the model. Use fewer of them."
            ) from error
        self.state, self.active, self.misfits = state, tuple(wanted), misfits
        for misfit in misfits:
            _log.warning("%s", misfit)

    def _apply(self, model: DiffusionModel, steps: Sequence[_Step]) -> None:
        self.version += 1
        by_weight: dict[tuple[int, str], list[_Step]] = {}
        by_bias: dict[tuple[int, str], list[_Step]] = {}
        for step in steps:
            by_weight.setdefault((step.target.net, step.target.weight), []).append(step)
            if step.adapter.changes_bias and step.target.bias is not None:
                by_bias.setdefault((step.target.net, step.target.bias), []).append(step)
        self._restore(model, keep={*by_weight, *by_bias})
        for key, parameter in _parameters(model, [*by_weight, *by_bias]):
            original = self._original(key, parameter)
            products = _products(by_weight.get(key, ()), parameter)
            if products is not None:
                write_products(parameter, original, products)
                continue
            weight = _working_copy(original, parameter)
            for step in by_weight.get(key, ()):
                step.adapter.add_to(_rows(weight, step.target), step.multiplier, step.dyn_dim)
            for step in by_bias.get(key, ()):
                step.adapter.add_to_bias(_rows(weight, step.target), step.multiplier)
            if weight is not parameter.data:
                parameter.copy_(weight)

    def _original(self, key: tuple[int, str], parameter: nn.Parameter) -> Tensor:
        """The weight as it was loaded; its bits are copied when it is touched for the first time."""
        original = self._originals.get(key)
        if original is None:
            original = self._originals[key] = parameter.detach().to("cpu", copy=True)
        return original

    def _restore(self, model: DiffusionModel, keep: set[tuple[int, str]] | tuple[()]) -> None:
        gone = [key for key in self._originals if key not in keep]
        for key, parameter in _parameters(model, gone):
            parameter.copy_(self._originals.pop(key))


def _working_copy(original: Tensor, parameter: nn.Parameter) -> Tensor:
    """The original weight in float32 to add to: the parameter itself where that is its type."""
    if parameter.dtype == torch.float32:
        parameter.copy_(original)
        return parameter.data
    return original.to(parameter.device, torch.float32)


def _products(steps: Sequence[_Step], parameter: nn.Parameter) -> list[tuple[Tensor, Tensor, float]] | None:
    """The changes as products of matrices, strengths included; None when one of them is something else."""
    products: list[tuple[Tensor, Tensor, float]] = []
    for step in steps:
        product = step.adapter.product(parameter.device, step.dyn_dim)
        if product is None or step.target.rows is not None:
            return None
        right = product.right
        if parameter.ndim == 4 and right.ndim == 4 and not parameter.is_contiguous():
            right = right.permute(0, 2, 3, 1)  # the order in which the weight lies in memory
        right = right.flatten(1)
        if product.left.shape[0] != len(parameter) or len(parameter) * right.shape[1] != parameter.numel():
            return None
        products.append((product.left, right, product.factor * step.multiplier))
    return products or None


def write_products(
    parameter: Tensor, original: Tensor, products: Sequence[tuple[Tensor, Tensor, float]]
) -> None:
    """``parameter`` = ``original`` + the sum of factor · left @ right, in one pass over the memory.

    On a CPU a few rows at a time, so that they are still in its cache when the products are added.
    """
    rows, source = _as_matrix(parameter), _as_matrix(original)
    step = max(1, CACHED_VALUES // rows.shape[1]) if rows.device.type == "cpu" else len(rows)
    for begin in range(0, len(rows), step):
        piece = slice(begin, begin + step)
        target = rows[piece]
        if target.dtype == torch.float32:
            work = target.copy_(source[piece])
        else:
            work = source[piece].to(target.device, torch.float32)
        for left, right, factor in products:
            work.addmm_(left[piece], right, alpha=factor)
        if work is not target:
            target.copy_(work)


def _as_matrix(weight: Tensor) -> Tensor:
    """[out, rest] as a view, the rest in the order of the memory."""
    if weight.ndim == 4 and not weight.is_contiguous():
        weight = weight.permute(0, 2, 3, 1)
    return weight.view(weight.shape[0], -1)


def _rows(weight: Tensor, target: Target) -> Tensor:
    return weight if target.rows is None else weight[slice(*target.rows)]


def _parameters(
    model: DiffusionModel, keys: Sequence[tuple[int, str]]
) -> Iterator[tuple[tuple[int, str], nn.Parameter]]:
    networks = (model.unet, *model.text_encoders)
    for net, name in dict.fromkeys(keys):
        yield (net, name), networks[net].get_parameter(name)


def _plan(model: DiffusionModel, wanted: Sequence[ActiveNetwork]) -> tuple[list[_Step], tuple[Misfit, ...]]:
    """Which adapter goes where, and what has no place. A strength of 0 changes nothing."""
    targets = model_targets(model) if wanted else {}
    networks = (model.unet, *model.text_encoders)
    steps: list[_Step] = []
    misfits: list[Misfit] = []
    for one in wanted:
        missing = misshapen = 0
        for layer, adapter in one.network.layers.items():
            target = targets.get(layer)
            if target is None:
                missing += 1
            elif not adapter.fits(_shape(networks[target.net].get_parameter(target.weight), target)):
                misshapen += 1
            elif one.multiplier(target):
                steps.append(_Step(target, adapter, one.multiplier(target), one.dyn_dim))
        if missing or misshapen:
            misfits.append(Misfit(one.network.name, len(one.network.layers), missing, misshapen))
    return steps, tuple(misfits)


def _shape(parameter: Tensor, target: Target) -> tuple[int, ...]:
    if target.rows is None:
        return tuple(parameter.shape)
    return (target.rows[1] - target.rows[0], *parameter.shape[1:])
