"""The hypernetworks on disk, and reading one."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.checkpoints.hashes import FileStamp
from modules.checkpoints.scanning import FolderScanner, ScanRules
from modules.errors import ModelFileError, NonFiniteError

if TYPE_CHECKING:  # listing files needs no torch
    import torch

    from modules.nets.hypernetwork import Hypernetwork, HypernetworkModule

NONE = "None"


class HypernetworkFiles:
    """The ``.pt`` files below ``folder`` by name (without suffix). A file called None is not listed."""

    def __init__(self, folder: str | Path | None) -> None:
        self.folder = None if folder is None else str(Path(folder).absolute())
        self._scanner = FolderScanner(ScanRules((".pt",), excluded=()))
        self._lock = threading.Lock()
        self._files: dict[str, FileStamp] | None = None

    @property
    def files(self) -> Mapping[str, FileStamp]:
        """Name → file. The first access reads the folder."""
        if self._files is None:
            self.refresh()
        return self._files or {}

    def refresh(self) -> None:
        """Read the folder again."""
        with self._lock:
            found = self._scanner.scan([self.folder])[self.folder].files if self.folder else []
            stamps = {Path(item.path).stem: item.stamp for item in found}
            stamps.pop(NONE, None)
            self._files = stamps

    def find(self, name: str) -> FileStamp | None:
        """The file of that name, looked for on disk once more when it is not known."""
        if name not in self.files:
            self.refresh()
        return self.files.get(name)


def load_hypernetwork(
    path: str | Path, name: str, device: torch.device | str = "cpu", *, tolerant: bool = False
) -> Hypernetwork:
    """Read a hypernetwork, in float32. ``tolerant``: see ``load_pickle``.

    Raises ``ModelFileError`` for a damaged, hostile or foreign file, ``NonFiniteError`` for NaN.
    """
    from modules.checkpoints.pickles import load_pickle
    from modules.nets.hypernetwork import Hypernetwork

    data = load_pickle(path, tolerant=tolerant)
    pairs: dict[int, tuple[HypernetworkModule, HypernetworkModule]] = {}
    for width, states in data.items():
        if isinstance(width, int) and isinstance(states, (tuple, list)) and len(states) >= 2:
            pairs[width] = (_part(data, states[0], name), _part(data, states[1], name))
            if any(part.dim != width for part in pairs[width]):
                raise ModelFileError(f"The hypernetwork {name} has parts of another width than {width}.")
    if not pairs:
        raise ModelFileError(f"{path} is no hypernetwork. Move it to the folder of its kind.")
    return Hypernetwork(name, pairs).to(device)


def _part(data: Mapping[Any, Any], state: Any, name: str) -> HypernetworkModule:
    import torch

    from modules.nets.hypernetwork import HypernetworkModule

    if not isinstance(state, Mapping):
        raise ModelFileError(f"The hypernetwork {name} holds an object in place of a table of tensors.")
    tensors = {key: value.float() for key, value in state.items() if isinstance(value, torch.Tensor)}
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
        raise NonFiniteError(f"The hypernetwork {name} holds NaN or infinity. Download it again.")
    return HypernetworkModule(tensors, data.get("activation_func"), bool(data.get("activate_output")))
