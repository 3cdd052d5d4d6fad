"""Textual inversion files: learned vectors that stand for a word (Gal et al. 2022, arXiv:2208.01618).

    .pt           {"string_to_param": {"*": [n, D]}, "name": ..., "step": ...}
    .safetensors  {"emb_params": [n, D]}, or {"clip_l": [n, D], "clip_g": [n, E]} for SDXL
    .bin          {"<token>": [D] or [n, D]}, as the diffusers library saves them
    pictures      the table of the .pt form, see ``embedding_images``

Names come from the files' names, so a folder of thousands is known without opening any but the pictures;
a file is read when its name occurs in a prompt.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.checkpoints.hashes import FileStamp, HashStore
from modules.checkpoints.scanning import FolderScanner, ScanRules
from modules.errors import ModelFileError, NonFiniteError

if TYPE_CHECKING:  # listing names needs no torch
    from torch import Tensor

    from modules.checkpoints.spec import ModelSpec

_log = logging.getLogger(__name__)

TENSOR_SUFFIXES = (".pt", ".bin", ".safetensors")
IMAGE_SUFFIXES = (".png", ".webp", ".jxl", ".avif")
PREVIEW = ".preview"
CLIP_L, CLIP_G = "clip_l", "clip_g"
MAX_VECTORS = 10_000


@dataclass(frozen=True, eq=False)
class EmbeddingVectors:
    """The vectors of one embedding.

    ``by_encoder``: float32 [vector_count, D] for "clip_l" and "clip_g", or under "" for a model with a single
    encoder. ``step``, ``sd_checkpoint`` (hash) and ``sd_checkpoint_name``: of its training, where known.
    """

    name: str
    by_encoder: Mapping[str, Tensor]
    step: int | None = None
    sd_checkpoint: str | None = None
    sd_checkpoint_name: str | None = None

    @property
    def vector_count(self) -> int:
        """Number of tokens that the embedding takes."""
        return next(iter(self.by_encoder.values())).shape[0]

    @property
    def shape(self) -> int:
        """Width of the vectors, of all encoders together."""
        return sum(vectors.shape[1] for vectors in self.by_encoder.values())

    def vectors(self, encoder: str) -> Tensor | None:
        """[vector_count, D] for "clip_l" or "clip_g"."""
        return self.by_encoder.get(encoder, self.by_encoder.get(""))

    def fits(self, widths: Mapping[str, int]) -> bool:
        """Whether it was made for encoders of these widths."""
        own = {label: vectors.shape[1] for label, vectors in self.by_encoder.items()}
        return list(own.values()) == list(widths.values()) if "" in own else own == dict(widths)


def encoder_widths(spec: ModelSpec) -> dict[str, int]:
    """The widths that an embedding for this model must have: "clip_l" and "clip_g", those it has."""
    return {CLIP_G if text.kind == "open_clip" else CLIP_L: text.width for text in spec.text_encoders}


def read_vectors(data: Mapping[Any, Any], name: str) -> EmbeddingVectors:
    """The embedding in the table of a file.

    Raises ``ModelFileError`` for a table of another kind, ``NonFiniteError`` for NaN and infinity.
    """
    import torch

    if "string_to_param" in data:
        # An early version saved a torch ParameterDict; the loader gives its table.
        table = data["string_to_param"]
        found = {"": _only(getattr(table, "_parameters", table), name)}
    elif CLIP_G in data and CLIP_L in data:
        found = {CLIP_L: data[CLIP_L], CLIP_G: data[CLIP_G]}
    else:
        found = {
            "": _only({key: value for key, value in data.items() if isinstance(value, torch.Tensor)}, name)
        }
    vectors = {label: _checked(tensor, name) for label, tensor in found.items()}
    if len({len(tensor) for tensor in vectors.values()}) != 1:
        raise ModelFileError(f"The embedding {name} has different numbers of vectors for its two encoders.")
    step = data.get("step")
    return EmbeddingVectors(
        name,
        vectors,
        step if isinstance(step, int) else None,
        _text(data.get("sd_checkpoint")),
        _text(data.get("sd_checkpoint_name")),
    )


def _only(table: Any, name: str) -> Any:
    if not isinstance(table, Mapping) or len(table) != 1:
        raise ModelFileError(
            f"{name} is no textual inversion embedding: one table of vectors was expected. "
            "Move the file to the folder of its kind."
        )
    return next(iter(table.values()))


def _checked(tensor: Any, name: str) -> Tensor:
    import torch

    if not isinstance(tensor, torch.Tensor) or tensor.ndim not in (1, 2) or tensor.numel() == 0:
        raise ModelFileError(f"The vectors of the embedding {name} are no matrix [n, width].")
    vectors = tensor.detach().float()
    vectors = vectors.unsqueeze(0) if vectors.ndim == 1 else vectors
    if len(vectors) > MAX_VECTORS:
        raise ModelFileError(
            f"The embedding {name} has {len(vectors)} vectors; at most {MAX_VECTORS} are read."
        )
    if not bool(torch.isfinite(vectors).all()):
        raise NonFiniteError(f"The embedding {name} holds NaN or infinity. Download it again.")
    return vectors


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


@dataclass(frozen=True)
class EmbeddingFile:
    """A file of the catalogue. ``name``: what a prompt calls it."""

    name: str
    stamp: FileStamp

    @property
    def path(self) -> str:
        return self.stamp.path

    def read(self, tolerant: bool = False) -> EmbeddingVectors:
        """The vectors. Raises ``ModelFileError`` or ``NonFiniteError``."""
        if self.path.lower().endswith(IMAGE_SUFFIXES):
            from modules.checkpoints.embedding_images import read_image

            data = read_image(self.path)
            if data is None:
                raise ModelFileError(f"The picture {self.path} holds no embedding.")
            return read_vectors(data, self.name)
        if self.path.lower().endswith(".safetensors"):
            from modules.checkpoints.tensor_file import open_safetensors

            with open_safetensors(self.path) as file:
                return read_vectors({key: file.read(key) for key in file.entries}, self.name)
        from modules.checkpoints.pickles import load_pickle

        return read_vectors(load_pickle(self.path, tolerant=tolerant), self.name)


class EmbeddingCatalogue:
    """The embeddings of a folder by name; of no folder at all without one. Thread-safe.

    ``version`` grows when the set of files changes. ``tolerant``: see ``open_pickle``.
    """

    def __init__(self, folder: str | Path | None, hashes: HashStore, *, tolerant: bool = False) -> None:
        self.folder = None if folder is None else str(Path(folder).absolute())
        self.hashes = hashes
        self.version = 0
        self._tolerant = tolerant
        self._scanner = FolderScanner(ScanRules((*TENSOR_SUFFIXES, *IMAGE_SUFFIXES), excluded=()))
        self._lock = threading.Lock()
        self._folder_time: int | None = None
        self._files: dict[str, EmbeddingFile] = {}
        self._read: dict[FileStamp, EmbeddingVectors | None] = {}
        self._picture_names: dict[FileStamp, str | None] = {}

    @property
    def files(self) -> Mapping[str, EmbeddingFile]:
        """Name → file, in the order of the names without case."""
        return self._files

    def refresh(self) -> None:
        """Read the folder again."""
        with self._lock:
            self._folder_time = self._time()
            found: dict[str, EmbeddingFile] = {}
            for item in self._scanner.scan([self.folder])[self.folder].files if self.folder else ():
                name = self._name(item.stamp)
                if name and item.stamp.size:
                    found[name] = EmbeddingFile(name, item.stamp)
            files = dict(sorted(found.items(), key=lambda pair: pair[0].lower()))
            if files != self._files:
                self.version += 1
            self._files = files

    def refresh_if_changed(self) -> None:
        """Read the folder again if a file was added to it or removed since; costs one look at the folder."""
        if self._folder_time is None or self._time() != self._folder_time:
            self.refresh()

    def read(self, name: str) -> EmbeddingVectors | None:
        """The vectors of an embedding, read once; None, with a warning in the log, when that fails."""
        file = self._files.get(name)
        if file is None:
            return None
        if file.stamp not in self._read:
            try:
                self._read[file.stamp] = file.read(self._tolerant)
            except (ModelFileError, NonFiniteError) as error:
                _log.warning("The embedding %s is left out: %s", name, error)
                self._read[file.stamp] = None
        return self._read[file.stamp]

    def shorthash(self, name: str) -> str | None:
        """The first twelve digits of the file's sha256; None when hashing is off."""
        file = self._files.get(name)
        if file is None or not self.hashes.enabled:
            return None
        return self.hashes.sha256(file.path)[:12]

    def sorted_by_fit(
        self, widths: Mapping[str, int] | None
    ) -> tuple[Sequence[EmbeddingVectors], Sequence[EmbeddingVectors]]:
        """All embeddings: those that fit encoders of these widths (None: any), then the others."""
        read = [vectors for name in list(self._files) if (vectors := self.read(name)) is not None]
        fitting = [one for one in read if widths is None or one.fits(widths)]
        return fitting, [one for one in read if one not in fitting]

    def _time(self) -> int:
        try:
            return Path(self.folder or "").stat().st_mtime_ns
        except OSError:
            return 0

    def _name(self, stamp: FileStamp) -> str | None:
        stem = Path(stamp.path).stem
        if not stamp.path.lower().endswith(IMAGE_SUFFIXES):
            return stem
        if stem.lower().endswith(PREVIEW):
            return None
        if stamp not in self._picture_names:
            from modules.checkpoints.embedding_images import read_image

            try:
                data = read_image(stamp.path)
            except ModelFileError as error:
                _log.warning("%s", error)
                data = None
            self._picture_names[stamp] = None if data is None else _text(data.get("name")) or stem
        return self._picture_names[stamp]
