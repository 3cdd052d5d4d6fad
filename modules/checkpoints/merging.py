"""Merging checkpoints tensor by tensor.

One tensor of each model is in memory at a time; arithmetic runs in float32 on small pieces of it. The kind of
the result is checked before anything is written, its header afterwards.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from modules.checkpoints.families import VAE_PREFIX, canonical_names, detect
from modules.checkpoints.hashes import HashStore, old_hash
from modules.checkpoints.header import read_header
from modules.checkpoints.loading import open_tensors
from modules.checkpoints.merge_recipe import (
    CONFIG_SOURCES,
    Ingredient,
    MergeRequest,
    Method,
    compiled,
    result_metadata,
)
from modules.checkpoints.tensor_file import TensorFile
from modules.checkpoints.tensor_writer import OutputTensor, TensorWriter, publish
from modules.checkpoints.yaml_config import read_yaml
from modules.errors import InvalidInput, ModelFileError, OutOfMemoryError

PIECE = 1 << 20
"""Elements that are computed at once."""

NEVER_MERGED = ("cond_stage_model.transformer.text_model.embeddings.position_ids",)
"""Whole numbers that a weighted sum would spoil."""

_UNET_INPUT = "model.diffusion_model.input_blocks.0.0.weight"
_LATENT = 4
"""Channels of a latent: the first ones of a UNet with more inputs, and all of a usual one."""

Watch = Callable[[int, int], None]
"""(tensors done, tensors in all); may raise to break off."""


@dataclass(frozen=True)
class MergeResult:
    """The written file. ``nonfinite``: names of tensors with NaN or infinity in them."""

    path: Path
    tensors: int
    nbytes: int
    config: Path | None = None
    nonfinite: tuple[str, ...] = ()


@dataclass
class _Source:
    """An open model with its tensors under their current names."""

    file: TensorFile
    names: Mapping[str, str]

    @classmethod
    def open(cls, path: Path, stack: ExitStack) -> _Source:
        file = stack.enter_context(open_tensors(path))
        return cls(file, canonical_names(file.entries))

    def shape(self, name: str) -> tuple[int, ...]:
        return self.file.entries[self.names[name]].shape

    def dtype(self, name: str) -> torch.dtype:
        return self.file.entries[self.names[name]].dtype

    def read(self, name: str) -> Tensor:
        return self.file.read(self.names[name]).view(-1)


@dataclass
class _Merge:
    """A checked merge with its files open."""

    request: MergeRequest
    sources: list[_Source]
    vae: _Source | None
    nonfinite: list[str] = field(default_factory=list)

    def entries(self) -> dict[str, OutputTensor]:
        """The tensors of the result: those of A, what only the others have, and the VAE's."""
        found = {
            name: self._output(source, name)
            for source in reversed(self.sources)
            for name in source.names
            if source is self.sources[0] or "model" in name
        }
        for name in self.vae_names():
            assert self.vae is not None
            found[VAE_PREFIX + name] = self._output(self.vae, name)
        if self.request.discard:
            pattern = compiled(self.request.discard)
            found = {name: entry for name, entry in found.items() if not pattern.search(name)}
        if not found:
            raise InvalidInput("The pattern discards every tensor.", "discard")
        return found

    def pieces(self, name: str) -> Iterator[Tensor]:
        """The elements of a tensor of the result, in order, in the type of the result."""
        finite = True
        for piece in self._pieces(name):
            if piece.is_floating_point():
                done = piece.half() if self.request.half else piece
                finite = finite and bool(torch.isfinite(done).all())
                yield done
            else:
                yield piece
        if not finite:
            self.nonfinite.append(name)

    def vae_names(self) -> list[str]:
        if self.vae is None:
            return []
        return [name for name in self.vae.names if name.split(".")[0] in _VAE_PARTS]

    def _output(self, source: _Source, name: str) -> OutputTensor:
        dtype = source.dtype(name)
        half = self.request.half and dtype.is_floating_point
        return OutputTensor(torch.float16 if half else dtype, source.shape(name))

    def _pieces(self, name: str) -> Iterator[Tensor]:
        part = name.removeprefix(VAE_PREFIX)
        if self.vae is not None and name.startswith(VAE_PREFIX) and part in self.vae_names():
            yield from _split(self.vae.read(part))
            return
        first = next(source for source in self.sources if name in source.names)
        if not self.is_merged(name, first):
            yield from _split(first.read(name))
        elif first.shape(name) == self.sources[1].shape(name):
            yield from self._joined(name, first.read(name))
        else:
            yield from _split(self._joined_input(name))

    def is_merged(self, name: str, first: _Source) -> bool:
        return (
            self.request.method is not Method.NONE
            and first is self.sources[0]
            and name in self.sources[1].names
            and "model" in name
            and name not in NEVER_MERGED
            and first.dtype(name).is_floating_point
        )

    def _joined(self, name: str, a: Tensor) -> Iterator[Tensor]:
        weight, dtype = self.request.multiplier_of(name), a.dtype
        b = self.sources[1].read(name)
        c = self._subtrahend(name, b)
        for begin in range(0, a.numel(), PIECE):
            part = slice(begin, begin + PIECE)
            if self.request.method is Method.SUM:
                piece = a[part].float() * (1 - weight) + b[part].float() * weight
            else:
                change = b[part].float() - c[part].float() if c is not None else torch.zeros(())
                piece = a[part].float() + change * weight
            yield piece.to(dtype)

    def _subtrahend(self, name: str, b: Tensor) -> Tensor | None:
        """C's tensor; None when it has none, so that nothing is added."""
        if self.request.method is not Method.DIFFERENCE:
            return None
        source = self.sources[2]
        if name not in source.names:
            return None
        c = source.read(name)
        if c.numel() != b.numel():
            raise _mismatch(name, self.sources[1], source)
        return c

    def _joined_input(self, name: str) -> Tensor:
        """A has a UNet with more input channels than B: the latent's are merged, the others stay A's."""
        source, other = self.sources[0], self.sources[1]
        a, b = source.shape(name), other.shape(name)
        if name != _UNET_INPUT or a[:1] + a[2:] != b[:1] + b[2:] or b[1] != _LATENT:
            raise _mismatch(name, source, other)
        whole = source.read(name).view(a)
        part = whole[:, :_LATENT].contiguous()
        merged = torch.cat(list(self._joined(name, part.view(-1))))
        whole[:, :_LATENT] = merged.view(b)
        return whole.view(-1)


_VAE_PARTS = frozenset({"encoder", "decoder", "quant_conv", "post_quant_conv"})


def _split(flat: Tensor) -> Iterator[Tensor]:
    if flat.numel() == 0:
        yield flat
    for begin in range(0, flat.numel(), PIECE):
        yield flat[begin : begin + PIECE]


def _mismatch(name: str, first: _Source, second: _Source) -> InvalidInput:
    more_inputs = name == _UNET_INPUT and first.shape(name)[1] < second.shape(name)[1]
    remedy = (
        "The model with more inputs (inpainting, instruct-pix2pix) must be A."
        if more_inputs
        else "Merge models of the same family."
    )
    return InvalidInput(
        f"The tensor {name} has the shape {first.shape(name)} in {Path(first.file.path).name} and "
        f"{second.shape(name)} in {Path(second.file.path).name}. {remedy}"
    )


def merge(
    request: MergeRequest, *, hashes: HashStore | None = None, watch: Watch = lambda done, total: None
) -> MergeResult:
    """Merge and save.

    Raises ``InvalidInput`` for what does not fit together, ``ModelFileError`` for damaged files,
    ``OutOfMemoryError``, and what ``watch`` raises; then nothing is left behind.
    """
    request.check()
    try:
        with ExitStack() as stack:
            paths = request.models[: request.method.models]
            sources = [_Source.open(path, stack) for path in paths]
            vae = _Source.open(request.vae, stack) if request.vae is not None else None
            work = _Merge(request, sources, vae)
            entries = work.entries()
            _check_kinds(work, entries)
            metadata = result_metadata(request, _ingredients(request, sources, hashes), _kind(sources[0]))
            _write(work, entries, metadata, watch)
            for source in sources:
                source.file.check_unchanged()
    except OSError as error:
        raise ModelFileError(f"{request.output} cannot be written: {error.strerror or error}.") from error
    except MemoryError as error:
        raise OutOfMemoryError(f"Merging into {request.output} does not fit into the memory.") from error
    return MergeResult(
        request.output,
        len(entries),
        request.output.stat().st_size,
        _copy_config(request),
        tuple(work.nonfinite),
    )


def _kind(first: _Source) -> dict[str, bool]:
    channels = first.shape(_UNET_INPUT)[1] if _UNET_INPUT in first.names else _LATENT
    return {"is_inpainting": channels == 9, "is_instruct_pix2pix": channels == 8}


def _check_kinds(work: _Merge, entries: Mapping[str, OutputTensor]) -> None:
    """The result must be a checkpoint that can be loaded, or a part of one on purpose."""
    if work.request.vae is not None and not work.vae_names():
        raise InvalidInput(f"{work.request.vae} holds no VAE.", "vae")
    for name in entries:
        first = next((source for source in work.sources if name in source.names), None)
        if first is None or not work.is_merged(name, first):
            continue
        if first.shape(name) != work.sources[1].shape(name) and name != _UNET_INPUT:
            raise _mismatch(name, first, work.sources[1])
    if not work.request.discard:
        yaml = work.request.models[0].with_suffix(".yaml")
        detect(
            {name: entry.shape for name, entry in entries.items()},
            {},
            read_yaml(yaml) if yaml.is_file() else None,
        )


def _ingredients(
    request: MergeRequest, sources: list[_Source], hashes: HashStore | None
) -> tuple[Ingredient, ...]:
    if not request.add_recipe:
        return tuple(Ingredient("", "", None, source.file.metadata) for source in sources)
    store = hashes if hashes is not None else HashStore(None)
    return tuple(
        Ingredient(path.name, store.sha256(path), old_hash(path), source.file.metadata)
        for path, source in zip(request.models, sources, strict=False)
    )


def _write(
    work: _Merge, entries: Mapping[str, OutputTensor], metadata: Mapping[str, str], watch: Watch
) -> None:
    if work.request.output.suffix.lower() == ".ckpt":
        _write_pickle(work, entries, watch)
        return
    with TensorWriter(work.request.output, entries, metadata) as writer:
        for done, name in enumerate(writer.order):
            watch(done, len(entries))
            for piece in work.pieces(name):
                writer.write(piece)
    _verify(work.request.output, entries)


def _write_pickle(work: _Merge, entries: Mapping[str, OutputTensor], watch: Watch) -> None:
    """A .ckpt has to be in memory as a whole before it is written: its format knows no other way."""
    state: dict[str, Tensor] = {}
    for done, (name, entry) in enumerate(entries.items()):
        watch(done, len(entries))
        state[name] = torch.cat(list(work.pieces(name))).view(entry.shape)
    output = work.request.output
    temporary = output.with_name(f".{output.name}.tmp")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"state_dict": state}, temporary)
        publish(temporary, output)
    finally:
        temporary.unlink(missing_ok=True)


def _verify(path: Path, entries: Mapping[str, OutputTensor]) -> None:
    """Read the header back; a disk that lied is found here and not at the next start."""
    found = read_header(path).shapes
    if found != {name: entry.shape for name, entry in entries.items()}:
        raise ModelFileError(f"{path} was not written as it should be. Check the disk, then merge again.")


def _copy_config(request: MergeRequest) -> Path | None:
    """Put the yaml of a model beside the result, where there is one."""
    chosen = {
        CONFIG_SOURCES[0]: request.models,
        CONFIG_SOURCES[1]: request.models[1:2],
        CONFIG_SOURCES[2]: request.models[2:3],
        CONFIG_SOURCES[3]: (),
    }[request.config_source]
    target = request.output.with_suffix(".yaml")
    for model in chosen:
        source = model.with_suffix(".yaml")
        if source.is_file() and not target.exists():
            shutil.copyfile(source, target)
            return target
    return None
