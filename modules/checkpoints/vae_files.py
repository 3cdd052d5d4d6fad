"""The separate VAE files, and which one goes with a checkpoint."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from modules.checkpoints.catalogue import CheckpointInfo
from modules.checkpoints.scanning import FolderScanner, ScanRules, natural_key
from modules.errors import NotFound

SUFFIXES = (".safetensors", ".pt", ".ckpt")
SIDECAR_MARK = ".vae"
AUTOMATIC, NONE = "Automatic", "None"


class VaeFiles:
    """VAE files by name (``file.safetensors``): those of ``dirs`` and those beside checkpoints.

    ``forced`` is the file of ``--vae-path``, which wins over everything.
    """

    def __init__(
        self, dirs: Sequence[Path], checkpoint_dirs: Sequence[Path], forced: Path | None = None
    ) -> None:
        self._dirs = tuple(dirs)
        self._checkpoint_dirs = tuple(checkpoint_dirs)
        self._forced = forced
        self._files: dict[str, Path] = {}
        self._scanner = FolderScanner(ScanRules(SUFFIXES, excluded=()))

    @property
    def names(self) -> tuple[str, ...]:
        """File names in natural reading order."""
        return tuple(self._files)

    def path(self, name: str) -> Path:
        """The file called ``name``. Raises ``NotFound``."""
        if name not in self._files:
            self.refresh()
        if name not in self._files:
            known = ", ".join(self._files) or "none; put files into models/VAE"
            raise NotFound(f"There is no VAE {name!r}. Known: {known}.")
        return self._files[name]

    def refresh(self) -> None:
        """Read the folders again."""
        found: dict[str, Path] = {}
        listed = self._scanner.scan([*self._dirs, *self._checkpoint_dirs])
        for folder in (*self._dirs, *self._checkpoint_dirs):
            for path in (Path(file.path) for file in listed[str(folder)].files):
                if folder in self._dirs or path.stem.endswith(SIDECAR_MARK):
                    found.setdefault(path.name, path)
        self._files = dict(sorted(found.items(), key=lambda item: natural_key(item[0])))

    def choose(self, info: CheckpointInfo, setting: str, overrides_preferences: bool = True) -> Path | None:
        """The VAE for a checkpoint; ``None`` means the one inside the checkpoint.

        ``setting`` is a name, "Automatic" or "None". Order: ``--vae-path``; a named setting that overrides
        preferences; the checkpoint's own preference (its user metadata, then a file that begins with its
        name); the setting. Raises ``NotFound`` for a name that does not exist.
        """
        if self._forced is not None:
            return self._forced
        setting = AUTOMATIC if setting in (None, "", "auto") else setting
        if overrides_preferences and setting != AUTOMATIC:
            return None if setting == NONE else self.path(setting)
        preferred = self._preferred(info)
        if preferred is not None:
            return preferred
        return None if setting in (AUTOMATIC, NONE) else self.path(setting)

    def _preferred(self, info: CheckpointInfo) -> Path | None:
        named = _user_metadata(info).get("vae")
        if isinstance(named, str) and named and named != AUTOMATIC:
            return None if named == NONE else self._files.get(named)
        stem = Path(info.filename).stem
        return next((path for name, path in self._files.items() if name.startswith(stem)), None)


def _user_metadata(info: CheckpointInfo) -> dict[str, object]:
    """What the user noted about the checkpoint on its card, in a JSON file beside it."""
    try:
        data = json.loads(Path(info.filename).with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}
