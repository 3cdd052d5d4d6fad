"""What to merge and how, its name, and the recipe that is kept in the result."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from modules.errors import InvalidInput

MAX_PATTERN = 1000
FORMATS = ("safetensors", "ckpt")
CONFIG_SOURCES = ("A, B or C", "B", "C", "Don't")
"""Where the yaml beside the result comes from; the first means the first of the three that has one."""


class Method(str, Enum):
    """How the models are joined; M is the multiplier."""

    NONE = "No interpolation"
    SUM = "Weighted sum"
    DIFFERENCE = "Add difference"

    @property
    def models(self) -> int:
        """How many models it needs."""
        return {Method.NONE: 1, Method.SUM: 2, Method.DIFFERENCE: 3}[self]


@dataclass(frozen=True)
class MergeRequest:
    """A merge. ``models``: the files A, B, C.

    ``method``: "No interpolation": A; "Weighted sum": A · (1 - M) + B · M; "Add difference": A + (B - C) · M.
    ``multiplier``: M. ``blocks``: (regular expression, multiplier); the first that is found in the name of a
    tensor replaces M for it. ``half``: 16-bit floats. ``vae``: file of the VAE to put in. ``discard``:
    regular expression; tensors whose name it is found in are left out. ``extra_metadata``: for the header
    of the result.
    """

    models: tuple[Path, ...]
    output: Path
    method: Method = Method.SUM
    multiplier: float = 0.3
    blocks: tuple[tuple[str, float], ...] = ()
    half: bool = False
    vae: Path | None = None
    discard: str = ""
    config_source: str = CONFIG_SOURCES[0]
    keep_metadata: bool = True
    add_recipe: bool = True
    extra_metadata: Mapping[str, str] | None = None

    def check(self) -> None:
        """Raise ``InvalidInput`` for what cannot be merged."""
        needed = self.method.models
        if len(self.models) < needed:
            raise InvalidInput(
                f"{self.method.value} needs {needed} models; {len(self.models)} given.", "models"
            )
        for number in (self.multiplier, *(weight for _, weight in self.blocks)):
            if not -10 <= number <= 10:
                raise InvalidInput(f"The multiplier is {number}; expected -10 to 10.", "multiplier")
        if self.config_source not in CONFIG_SOURCES:
            raise InvalidInput(
                f"config_source is {self.config_source!r:.60}; expected one of {', '.join(CONFIG_SOURCES)}.",
                "config_source",
            )
        if self.output.suffix.lstrip(".").lower() not in FORMATS:
            raise InvalidInput(f"{self.output.name} must end in .safetensors or .ckpt.", "output")
        if self.output.exists():
            raise InvalidInput(
                f"{self.output} is already there. Choose another name, or remove it first.", "output"
            )
        for pattern in (self.discard, *(block for block, _ in self.blocks)):
            compiled(pattern)

    def multiplier_of(self, name: str) -> float:
        """The multiplier of one tensor."""
        for pattern, weight in self.blocks:
            if compiled(pattern).search(name):
                return weight
        return self.multiplier


def compiled(pattern: str) -> re.Pattern[str]:
    """The regular expression. Raises ``InvalidInput``."""
    if len(pattern) > MAX_PATTERN:
        raise InvalidInput(f"A pattern has {len(pattern)} characters; expected at most {MAX_PATTERN}.")
    try:
        return re.compile(pattern)
    except re.error as error:
        raise InvalidInput(f"{pattern!r:.100} is not a regular expression: {error}.") from error


def usual_name(method: Method, names: tuple[str, ...], multiplier: float) -> str:
    """Name of a result that the user did not name, without its suffix.

    >>> usual_name(Method.SUM, ("a", "b"), 0.3)
    '0.7(a) + 0.3(b)'
    """
    weight = round(multiplier, 4)
    if method is Method.SUM:
        return f"{round(1 - multiplier, 4)}({names[0]}) + {weight}({names[1]})"
    if method is Method.DIFFERENCE:
        return f"{names[0]} + {weight}({names[1]} - {names[2]})"
    return names[0]


@dataclass(frozen=True)
class Ingredient:
    """A model that went in: file, SHA-256, old eight-digit hash, metadata."""

    name: str
    sha256: str
    legacy_hash: str | None
    metadata: Mapping[str, str]


def result_metadata(
    request: MergeRequest, ingredients: tuple[Ingredient, ...], kind: Mapping[str, Any]
) -> dict[str, str]:
    """The metadata of the result: that of the models, the recipe, and what the request adds.

    ``kind``: further entries of the recipe, such as ``is_inpainting``.
    """
    found: dict[str, str] = {"format": "pt"}
    if request.keep_metadata:
        for one in reversed(ingredients):
            found.update(one.metadata)
    if request.add_recipe:
        found["sd_merge_recipe"] = json.dumps({**_recipe(request, ingredients), **kind})
        found["sd_merge_models"] = json.dumps(_lineage(ingredients))
    found.update(request.extra_metadata or {})
    return found


def _recipe(request: MergeRequest, ingredients: tuple[Ingredient, ...]) -> dict[str, Any]:
    hashes = [one.sha256 for one in ingredients] + [None] * 3
    return {
        "type": "webui",
        "primary_model_hash": hashes[0],
        "secondary_model_hash": hashes[1],
        "tertiary_model_hash": hashes[2],
        "interp_method": request.method.value,
        "multiplier": request.multiplier,
        "block_multipliers": dict(request.blocks) or None,
        "save_as_half": request.half,
        "custom_name": request.output.stem,
        "config_source": CONFIG_SOURCES.index(request.config_source),
        "bake_in_vae": request.vae.name if request.vae is not None else "None",
        "discard_weights": request.discard,
    }


def _lineage(ingredients: tuple[Ingredient, ...]) -> dict[str, Any]:
    """SHA-256 → description of every model that went in, and of those that had gone into these."""
    found: dict[str, Any] = {}
    for one in ingredients:
        found[one.sha256] = {
            "name": one.name,
            "legacy_hash": one.legacy_hash,
            "sd_merge_recipe": _parsed(one.metadata.get("sd_merge_recipe")),
        }
        older = _parsed(one.metadata.get("sd_merge_models"))
        if isinstance(older, dict):
            found.update({key: value for key, value in older.items() if key not in found})
    return found


def _parsed(text: str | None) -> Any:
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None
