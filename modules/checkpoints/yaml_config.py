"""The ``<base>.yaml`` beside a checkpoint: what it says that the weights cannot say.

Two layouts are in use: that of latent diffusion (``unet_config``, ``cond_stage_config``; SD1, SD2) and that
of Stability's generative models (``network_config``, ``conditioner_config``; SDXL). Both are read into one
``ModelConfig`` in which everything absent is ``None``. Names of classes are compared, never imported.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from modules.errors import ModelFileError

MAX_YAML_BYTES = 1_000_000


@dataclass(frozen=True)
class TextConfig:
    """One text encoder of the file. ``target`` is its class without the module: FrozenCLIPEmbedder."""

    target: str
    heads: int | None = None
    layer: str | None = None
    layer_index: int | None = None


@dataclass(frozen=True)
class ModelConfig:
    """What the yaml states; ``None`` where it is silent. ``prediction`` is "eps" or "v"."""

    prediction: str | None = None
    linear_start: float | None = None
    linear_end: float | None = None
    num_timesteps: int | None = None
    scale_factor: float | None = None
    conditioning_key: str | None = None
    cond_stage_key: str | None = None
    unet: Mapping[str, Any] = field(default_factory=dict)
    text: tuple[TextConfig, ...] = ()


def read_yaml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The parsed file; only plain YAML types are built. Raises ``ModelFileError``."""
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MAX_YAML_BYTES + 1)
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror or error}.") from error
    if len(raw) > MAX_YAML_BYTES:
        raise ModelFileError(
            f"{path} is larger than {MAX_YAML_BYTES} bytes, so it is no model configuration."
        )
    try:
        content = yaml.safe_load(raw.decode("utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelFileError(f"{path} is not valid YAML: {reason}. Repair or remove it.") from error
    if not isinstance(content, dict):
        raise ModelFileError(f"{path} is no model configuration: it holds no mapping. Repair or remove it.")
    return content


def parse_config(content: Mapping[str, Any] | None) -> ModelConfig:
    """Read the known fields of a parsed yaml. Raises ``ModelFileError`` where a value has the wrong kind."""
    if content is None:
        return ModelConfig()
    params = _table(content, "model", "params")
    denoiser = _table(params, "denoiser_config", "params")
    noise = _table(denoiser, "discretization_config", "params")
    return ModelConfig(
        prediction=_prediction(params, denoiser),
        linear_start=_number(params, "linear_start", _number(noise, "linear_start")),
        linear_end=_number(params, "linear_end", _number(noise, "linear_end")),
        num_timesteps=_integer(params, "timesteps", _integer(denoiser, "num_idx")),
        scale_factor=_number(params, "scale_factor"),
        conditioning_key=_text(params, "conditioning_key"),
        cond_stage_key=_text(params, "cond_stage_key"),
        unet=_table(params, "unet_config", "params") or _table(params, "network_config", "params"),
        text=_text_configs(params),
    )


def _prediction(params: Mapping[str, Any], denoiser: Mapping[str, Any]) -> str | None:
    value = _text(params, "parameterization")
    if value is not None:
        if value not in ("eps", "v"):
            raise ModelFileError(
                f"The yaml beside the checkpoint has parameterization: {value!r}; known are 'eps' and 'v'."
            )
        return value
    target = _class_name(_table(denoiser, "scaling_config"))
    known = {"EpsScaling": "eps", "VScaling": "v", "VScalingWithEDMcNoise": "v"}
    if target and target not in known:
        raise ModelFileError(
            f"The yaml beside the checkpoint asks for the scaling {target!r}; known are {', '.join(known)}."
        )
    if target:
        return known[target]
    # The configurations of latent diffusion leave the key out when they mean noise prediction.
    return "eps" if _table(params, "unet_config") else None


def _text_configs(params: Mapping[str, Any]) -> tuple[TextConfig, ...]:
    single = _table(params, "cond_stage_config")
    if single:
        return (_text_config(single),)
    models = _table(params, "conditioner_config", "params").get("emb_models")
    entries = [entry for entry in models if isinstance(entry, Mapping)] if isinstance(models, list) else []
    return tuple(_text_config(entry) for entry in entries if entry.get("input_key", "txt") == "txt")


def _text_config(entry: Mapping[str, Any]) -> TextConfig:
    params = _table(entry, "params")
    return TextConfig(
        target=_class_name(entry),
        heads=_integer(params, "num_attention_heads", _integer(params, "heads")),
        layer=_text(params, "layer"),
        layer_index=_integer(params, "layer_idx"),
    )


def _class_name(entry: Mapping[str, Any]) -> str:
    return (_text(entry, "target") or "").rpartition(".")[2]


def _table(content: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """The mapping at ``path``; empty where a part of the path is absent."""
    for key in path:
        value = content.get(key)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise _wrong(key, value, "a table")
        content = value
    return content


def _number(content: Mapping[str, Any], key: str, default: float | None = None) -> float | None:
    value = content.get(key)
    if value is None:
        return default
    if isinstance(value, str):  # YAML 1.1 reads 1e-4 as text
        try:
            value = float(value)
        except ValueError:
            raise _wrong(key, value, "a number") from None
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not math.isfinite(value)
        or value <= 0
    ):
        raise _wrong(key, value, "a positive number")
    return float(value)


def _integer(content: Mapping[str, Any], key: str, default: int | None = None) -> int | None:
    value = content.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(key, value, "a whole number")
    return value


def _text(content: Mapping[str, Any], key: str) -> str | None:
    value = content.get(key)
    if value is not None and not isinstance(value, str):
        raise _wrong(key, value, "a text")
    return value


def _wrong(key: str, value: Any, expected: str) -> ModelFileError:
    return ModelFileError(
        f"The yaml beside the checkpoint has {key}: {str(value)[:80]!r}, and {expected} was expected."
    )
