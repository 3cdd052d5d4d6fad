"""Networks without weights, and putting the tensors of a file into them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from modules.checkpoints.tensor_file import TensorFile
from modules.errors import ModelFileError


class _WithoutInit(TorchFunctionMode):
    """Inside, the functions of ``torch.nn.init`` do nothing: the values are replaced anyway."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: tuple[type, ...],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if getattr(func, "__module__", "") == "torch.nn.init":
            return (kwargs or {}).get("tensor", args[0] if args else None)
        return func(*args, **(kwargs or {}))


def build_empty(make: Callable[[], nn.Module]) -> nn.Module:
    """The network that ``make`` builds, on the meta device: shapes without memory."""
    with torch.device("meta"), _WithoutInit():
        return make().eval().requires_grad_(False)


@dataclass(frozen=True)
class Placement:
    """Where the tensors of one network come from.

    ``sources``: name in the network → name in the file. ``module`` is on the meta device until ``fill``.
    """

    what: str
    module: nn.Module
    sources: Mapping[str, str]

    @classmethod
    def plan(cls, what: str, module: nn.Module, file: TensorFile, names: Mapping[str, str]) -> Placement:
        """Match every tensor of ``module`` with one of the file; ``names``: name without prefix → name there.

        Raises ``ModelFileError`` naming what is missing or has another shape.
        """
        optional: frozenset[str] = getattr(module, "optional_keys", frozenset())
        wanted = module.state_dict()
        missing = [name for name in wanted if name not in names and name not in optional]
        if missing:
            raise ModelFileError(
                f"Its {what} is incomplete: {len(missing)} of {len(wanted)} tensors are missing, for "
                f"instance {missing[0]}. Download it again, or use another version of the model."
            )
        sources = {name: names[name] for name in wanted if name in names}
        for name, source in sources.items():
            _check_shape(what, name, tuple(wanted[name].shape), file.entries[source].shape)
            _check_dtype(what, name, file.entries[source].dtype)
        return cls(what, module, sources)

    def fill(
        self, file: TensorFile, dtype: torch.dtype, device: torch.device, channels_last: bool = False
    ) -> nn.Module:
        """Read the tensors in the order of the file and assign them; the file is read once, front to back."""
        wanted = self.module.state_dict()
        state: dict[str, Tensor] = {}
        for name, source in sorted(self.sources.items(), key=lambda item: file.entries[item[1]].offset):
            shape = tuple(wanted[name].shape)
            spatial = channels_last and len(shape) == 4 and shape[-1] > 1
            layout = torch.channels_last if spatial else torch.contiguous_format
            state[name] = file.read(source, dtype, device, shape, layout)
        for name in wanted:
            if name not in state:
                state[name] = torch.zeros(wanted[name].shape, dtype=dtype, device=device)
        self.module.load_state_dict(state, strict=True, assign=True)
        return self.module.requires_grad_(False)

    @property
    def parameters(self) -> int:
        """Number of values of the network."""
        return sum(parameter.numel() for parameter in self.module.parameters())


def _check_shape(what: str, name: str, wanted: tuple[int, ...], found: tuple[int, ...]) -> None:
    """Equal but for trailing ones: some files keep 1x1 convolutions as matrices, and the other way round."""
    if _without_ones(wanted) != _without_ones(found):
        raise ModelFileError(
            f"Its {what} does not fit together: {name} has the shape {list(found)}, and the other tensors "
            f"call for {list(wanted)}."
        )


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    while shape and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _check_dtype(what: str, name: str, dtype: torch.dtype) -> None:
    if not dtype.is_floating_point:
        raise ModelFileError(
            f"Its {what} holds {name} as {str(dtype).removeprefix('torch.')}; floating point numbers were "
            "expected. Quantised checkpoints are not supported."
        )
