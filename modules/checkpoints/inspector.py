"""What a model file is and what is in it, without loading it.

Everything but the search for NaN and infinity comes from the header; for that search, tensors are read one at
a time. The file is never run: pickles are only described.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from modules.checkpoints.building import build_empty
from modules.checkpoints.families import canonical_names, detect
from modules.checkpoints.foreign import FOREIGN, FRAGMENTS, find_foreign
from modules.checkpoints.hashes import HashStore
from modules.checkpoints.loading import open_tensors
from modules.checkpoints.pickles import load_pickle
from modules.checkpoints.spec import ModelSpec
from modules.checkpoints.tensor_file import TensorFile
from modules.checkpoints.yaml_config import read_yaml
from modules.errors import ModelFileError
from modules.nets.autoencoder import AutoencoderKL
from modules.nets.clip_text import CLIPTextConfig, CLIPTextModel
from modules.nets.open_clip_text import OpenCLIPTextModel
from modules.nets.unet import UNetModel

SHOWN_NAMES = 50
"""Most names that a report lists of each kind; the counts are complete."""

Watch = Callable[[int, int], None]
"""(tensors done, tensors in all); may raise to break off."""


@dataclass(frozen=True)
class Names:
    """Some tensors of a file: how many, and the names of the first."""

    count: int = 0
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, names: list[str]) -> Names:
        return cls(len(names), tuple(sorted(names)[:SHOWN_NAMES]))


@dataclass(frozen=True)
class TypeCount:
    """The tensors of one number type."""

    tensors: int = 0
    parameters: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Report:
    """What was found.

    ``kind``: "checkpoint", the name of a row in ``modules.checkpoints.foreign`` for another known kind of
    file, or "unknown"; ``problem``: why it cannot be used as a checkpoint, a sentence. ``prediction_source``:
    see ``ModelSpec``; "assumed" means that only a look at the weights can tell. ``missing``: tensors that the
    networks need; ``extra``: tensors that no network uses. ``nonfinite`` is None when it was not looked for.
    ``sha256`` is None when it is not known.
    """

    path: str
    bytes: int
    format: str
    kind: str
    problem: str | None = None
    family: str | None = None
    label: str | None = None
    prediction: str | None = None
    prediction_source: str | None = None
    zero_terminal_snr: bool | None = None
    conditioning: str | None = None
    native_size: int | None = None
    is_inpainting: bool | None = None
    has_vae: bool = False
    text_encoders: tuple[str, ...] = ()
    tensors: int = 0
    parameters: int = 0
    dtypes: dict[str, TypeCount] = field(default_factory=dict)
    missing: Names = field(default_factory=Names)
    extra: Names = field(default_factory=Names)
    nonfinite: Names | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    config: str | None = None
    sha256: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The report as plain data."""
        return asdict(self)


def inspect_file(
    path: str | os.PathLike[str],
    *,
    weights: bool = False,
    hashing: bool = False,
    hashes: HashStore | None = None,
    watch: Watch = lambda done, total: None,
) -> Report:
    """Look into a model file of any kind.

    ``weights``: read all tensors and look for NaN and infinity. ``hashing``: compute the SHA-256 when it is
    not known. ``watch`` is called for each tensor that is read. Raises ``ModelFileError`` for a damaged or
    hostile file.
    """
    path = Path(path)
    yaml = path.with_suffix(".yaml")
    store = hashes if hashes is not None else HashStore(None)
    with open_tensors(path, tolerant=True) as file:
        contents = _contents(file)
        facts = _kind(contents, yaml if yaml.is_file() else None)
        found = Report(
            path=str(path),
            bytes=file.identity.size,
            format="safetensors" if path.suffix.lower() == ".safetensors" else "pickle",
            tensors=len(contents.tensors),
            parameters=sum(math.prod(shape) for _, shape in contents.tensors.values()),
            dtypes=_types(contents),
            nonfinite=_nonfinite(contents, watch) if weights else None,
            metadata=dict(contents.metadata),
            config=str(yaml) if yaml.is_file() else None,
            sha256=store.sha256(path) if hashing else store.peek(path),
            **facts,
        )
        file.check_unchanged()
        return found


@dataclass(frozen=True)
class _Contents:
    """Name → (number type, shape) of every tensor, and a way to read one."""

    tensors: Mapping[str, tuple[torch.dtype, tuple[int, ...]]]
    metadata: Mapping[str, str]
    read: Callable[[str], Tensor]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: shape for name, (_, shape) in self.tensors.items()}


def _contents(file: TensorFile) -> _Contents:
    """What is in an open file. Upscalers keep their tensors one level deeper than checkpoints do."""
    if file.entries or file.path.lower().endswith(".safetensors"):
        tensors = {name: (entry.dtype, entry.shape) for name, entry in file.entries.items()}
        return _Contents(tensors, file.metadata, file.read)
    deeper = _deeper(load_pickle(file.path, tolerant=True))
    tensors = {name: (value.dtype, tuple(value.shape)) for name, value in deeper.items()}
    return _Contents(tensors, file.metadata, deeper.__getitem__)


def _deeper(table: Mapping[Any, Any]) -> dict[str, Tensor]:
    """The tensors of the fullest table below ``table``."""
    found = [value for value in table.values() if isinstance(value, Mapping)]
    tensors = [{str(k): v for k, v in one.items() if isinstance(v, Tensor)} for one in found]
    return max(tensors, key=len, default={})


def _types(contents: _Contents) -> dict[str, TypeCount]:
    """Name of a number type → its tensors, the largest share first."""
    found: dict[str, TypeCount] = {}
    for dtype, shape in contents.tensors.values():
        name, count = str(dtype).removeprefix("torch."), math.prod(shape)
        known = found.get(name, TypeCount())
        found[name] = TypeCount(
            known.tensors + 1, known.parameters + count, known.bytes + count * dtype.itemsize
        )
    return dict(sorted(found.items(), key=lambda item: -item[1].bytes))


def _kind(contents: _Contents, yaml: Path | None) -> dict[str, Any]:
    """The fields of the report that depend on what the file is."""
    shapes = contents.shapes
    names = canonical_names(shapes)
    has_vae = {"decoder.conv_in.weight", "first_stage_model.decoder.conv_in.weight"} & set(names)
    try:
        spec = detect(shapes, contents.metadata, read_yaml(yaml) if yaml is not None else None)
    except ModelFileError as error:
        row = find_foreign(shapes, FOREIGN) or find_foreign(shapes, FRAGMENTS)
        kind = row.name if row is not None else "unknown"
        return {"kind": kind, "problem": str(error), "has_vae": bool(has_vae)}
    wanted, optional = _wanted(spec)
    missing = [name for name in wanted if name not in names and name not in optional]
    prefixes = (spec.unet_prefix, spec.vae_prefix, *(part.prefix for part in spec.text_encoders))
    return {
        "kind": "checkpoint",
        "problem": _problem(spec, missing),
        "family": spec.family,
        "label": spec.label,
        "prediction": spec.prediction,
        "prediction_source": spec.prediction_source,
        "zero_terminal_snr": spec.zero_terminal_snr,
        "conditioning": spec.conditioning,
        "native_size": spec.native_size,
        "is_inpainting": spec.is_inpainting,
        "has_vae": spec.vae is not None,
        "text_encoders": tuple(part.kind for part in spec.text_encoders),
        "missing": Names.of(missing),
        "extra": Names.of([names[name] for name in names if name not in wanted and _counts(name, prefixes)]),
    }


def _counts(name: str, prefixes: tuple[str, ...]) -> bool:
    """Tensors beside the networks, such as the schedule of the training, are no surplus."""
    known = ("position_ids", "logit_scale", "attn_mask")
    return (name.startswith(prefixes) and not name.endswith(known)) or name.startswith("model_ema.")


def _problem(spec: ModelSpec, missing: list[str]) -> str | None:
    if missing:
        return f"{len(missing)} tensors are missing, for instance {missing[0]}. Download it again."
    if spec.vae is None:
        return "It holds no VAE. Choose one for it in the settings."
    return None


def _wanted(spec: ModelSpec) -> tuple[set[str], set[str]]:
    """Names of all tensors that the networks of ``spec`` have, and those of them that may be missing."""
    wanted: set[str] = set()
    optional: set[str] = set()
    for prefix, module in _modules(spec):
        wanted |= {prefix + name for name in module.state_dict()}
        optional |= {prefix + name for name in getattr(module, "optional_keys", ())}
    return wanted, optional


def _modules(spec: ModelSpec) -> Iterator[tuple[str, nn.Module]]:
    """(prefix, network without memory) of every network."""
    yield spec.unet_prefix, build_empty(lambda: UNetModel(spec.unet))
    if spec.vae is not None:
        vae = spec.vae
        yield spec.vae_prefix, build_empty(lambda: AutoencoderKL(vae))
    for part in spec.text_encoders:
        config = part.config
        if isinstance(config, CLIPTextConfig):
            clip = config
            yield part.prefix, build_empty(lambda clip=clip: CLIPTextModel(clip))  # type: ignore[misc]
        else:
            tower = config
            yield part.prefix, build_empty(lambda tower=tower: OpenCLIPTextModel(tower))  # type: ignore[misc]


def _nonfinite(contents: _Contents, watch: Watch) -> Names:
    """Names of the tensors with NaN or infinity; one tensor is in memory at a time."""
    found = []
    for done, (name, (dtype, _)) in enumerate(contents.tensors.items()):
        watch(done, len(contents.tensors))
        if dtype.is_floating_point and not torch.isfinite(contents.read(name).float()).all():
            found.append(name)
    return Names.of(found)


def as_text(report: Report) -> str:
    """The report for a terminal."""
    lines = [f"{report.path}", f"  {report.bytes} bytes, {report.format}, {report.kind}"]
    if report.label:
        lines.append(f"  {report.label}, predicts {report.prediction} ({report.prediction_source})")
    lines.append(f"  {report.tensors} tensors, {report.parameters} parameters")
    lines += [
        f"    {name}: {count.tensors} tensors, {count.parameters} parameters, {count.bytes} bytes"
        for name, count in report.dtypes.items()
    ]
    lines.append(f"  VAE: {'yes' if report.has_vae else 'no'}")
    for title, names in _lists(report).items():
        lines.append(f"  {title}: {names.count}")
        lines += [f"    {name}" for name in names.names]
    lines += [f"  SHA-256: {report.sha256}"] if report.sha256 else []
    lines += [f"  {key}: {value[:200]}" for key, value in report.metadata.items()]
    lines += [f"  {report.problem}"] if report.problem else []
    return "\n".join(lines)


def _lists(report: Report) -> Mapping[str, Names]:
    found = {"missing": report.missing, "not used": report.extra}
    return found if report.nonfinite is None else {**found, "with NaN or infinity": report.nonfinite}
