"""The families of checkpoints: one row each, recognised by names and shapes alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from modules.checkpoints.architecture import (
    Shapes,
    below,
    read_autoencoder,
    read_clip,
    read_open_clip,
    read_unet,
)
from modules.checkpoints.foreign import FOREIGN, FRAGMENTS, find_foreign
from modules.checkpoints.spec import ModelSpec, TextEncoderSpec
from modules.checkpoints.yaml_config import ModelConfig, TextConfig, parse_config
from modules.errors import ModelFileError
from modules.nets.unet import UNetConfig

UNET_PREFIX = "model.diffusion_model."
VAE_PREFIX = "first_stage_model."

SIZE_WIDTH = 256
"""Width of the embedding of one number of the picture's size (Podell et al. 2023, section 2.2)."""

# Early SD1 checkpoints were saved before Hugging Face put its text encoder below "text_model.".
RENAMES: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"^(cond_stage_model\.transformer\.)(?=(embeddings|encoder|final_layer_norm)\.)"),
        r"\1text_model.",
    ),
)


@dataclass(frozen=True)
class TextSlot:
    """A text encoder of a family. The first of ``prefixes`` that the file has is taken.

    ``skip``: how many of the last layers are not run; ``final_norm``, ``pooled``: see ``TextEncoderSpec``.
    """

    kind: str
    prefixes: tuple[str, ...]
    skip: int
    final_norm: bool
    pooled: bool = False


@dataclass(frozen=True)
class Traits:
    """What families are told apart by: the UNet, and which text encoders (kind, prefix) the file has."""

    unet: UNetConfig
    text: frozenset[tuple[str, str]]

    @property
    def has_transformer_in_middle(self) -> bool:
        return self.unet.transformer_depth_middle > 0

    def size_fields(self, count: int) -> int:
        """Width that is left of the vector conditioning for the pooled text beside ``count`` sizes."""
        return (self.unet.adm_in_channels or 0) - count * SIZE_WIDTH

    def has_text(self, slot: TextSlot) -> bool:
        return any((slot.kind, prefix) in self.text for prefix in slot.prefixes)


@dataclass(frozen=True)
class Family:
    """One row. ``matches`` decides; ``flags`` are the fields of ``ModelSpec`` that the family sets.

    ``prediction_source`` is "assumed" for families of which checkpoints of both kinds are published.
    ``v_size``: native size of the v-prediction version.
    """

    name: str
    label: str
    matches: Callable[[Traits], bool]
    text: tuple[TextSlot, ...]
    scale_factor: float
    native_size: int
    size_fields: int = 0
    prediction_source: str = "family"
    v_size: int | None = None
    flags: tuple[str, ...] = ()


SD1_CLIP = TextSlot("clip", ("cond_stage_model.transformer.",), skip=0, final_norm=True)
SD2_CLIP = TextSlot(
    "open_clip", ("cond_stage_model.model.", "conditioner.embedders.0.model."), skip=1, final_norm=True
)
XL_CLIP_L = TextSlot("clip", ("conditioner.embedders.0.transformer.",), skip=1, final_norm=False)
XL_CLIP_G = TextSlot("open_clip", ("conditioner.embedders.1.model.",), skip=1, final_norm=False, pooled=True)
REFINER_CLIP = TextSlot(
    "open_clip", ("conditioner.embedders.0.model.",), skip=1, final_norm=False, pooled=True
)
SLOTS = (SD1_CLIP, SD2_CLIP, XL_CLIP_L, XL_CLIP_G, REFINER_CLIP)


def _is_refiner(traits: Traits) -> bool:
    """Five sizes (the aesthetic score takes the place of the target size), and one text encoder only."""
    return traits.unet.adm_in_channels is not None and traits.size_fields(5) == traits.unet.context_dim


def _is_sdxl(traits: Traits) -> bool:
    """Six sizes; the pooled text of the second encoder is narrower than the joined text of both."""
    return 0 < traits.size_fields(6) < (traits.unet.context_dim or 0)


def _is_sd2(traits: Traits) -> bool:
    plain = traits.unet.adm_in_channels is None
    return plain and (traits.has_text(SD2_CLIP) or (not traits.text and traits.unet.context_dim == 1024))


def _is_sd1(traits: Traits) -> bool:
    plain = traits.unet.adm_in_channels is None
    return plain and (traits.has_text(SD1_CLIP) or (not traits.text and traits.unet.context_dim == 768))


FAMILIES: tuple[Family, ...] = (
    Family(
        "sdxl-refiner",
        "SDXL refiner",
        _is_refiner,
        (REFINER_CLIP,),
        scale_factor=0.13025,
        native_size=1024,
        size_fields=5,
        flags=("is_sdxl", "is_refiner"),
    ),
    Family(
        "ssd",
        "SSD-1B or another distilled SDXL without a transformer in the middle",
        lambda traits: _is_sdxl(traits) and not traits.has_transformer_in_middle,
        (XL_CLIP_L, XL_CLIP_G),
        scale_factor=0.13025,
        native_size=1024,
        size_fields=6,
        prediction_source="assumed",
        flags=("is_sdxl", "is_ssd"),
    ),
    Family(
        "sdxl",
        "SDXL",
        _is_sdxl,
        (XL_CLIP_L, XL_CLIP_G),
        scale_factor=0.13025,
        native_size=1024,
        size_fields=6,
        prediction_source="assumed",
        flags=("is_sdxl",),
    ),
    Family(
        "sd2",
        "SD 2.x",
        _is_sd2,
        (SD2_CLIP,),
        scale_factor=0.18215,
        native_size=512,
        prediction_source="assumed",
        v_size=768,
        flags=("is_sd2",),
    ),
    Family(
        "sd1",
        "SD 1.x",
        _is_sd1,
        (SD1_CLIP,),
        scale_factor=0.18215,
        native_size=512,
        prediction_source="assumed",
        flags=("is_sd1",),
    ),
)


@dataclass(frozen=True)
class InputVariant:
    """What the channels of the UNet's input beyond the latent mean."""

    extra_channels: int
    conditioning: str
    flags: tuple[str, ...] = ()
    prediction: str | None = None


INPUT_VARIANTS: tuple[InputVariant, ...] = (
    InputVariant(0, "crossattn"),
    # All published inpainting and instruction models predict the noise.
    InputVariant(5, "hybrid", ("is_inpainting",), prediction="eps"),
    InputVariant(4, "hybrid", ("is_pix2pix",), prediction="eps"),
)

# ModelSpec (https://github.com/Stability-AI/ModelSpec) and the trainer of kohya-ss write these.
METADATA_PREDICTION: tuple[tuple[str, str, str], ...] = (
    ("modelspec.prediction_type", "v", "v"),
    ("modelspec.prediction_type", "v-prediction", "v"),
    ("modelspec.prediction_type", "v_prediction", "v"),
    ("modelspec.prediction_type", "epsilon", "eps"),
    ("modelspec.prediction_type", "eps", "eps"),
    ("modelspec.architecture", "stable-diffusion-v2-768-v", "v"),
    ("modelspec.architecture", "stable-diffusion-v2-512", "eps"),
    ("ss_v_parameterization", "true", "v"),
)

V_MARKERS = ("v_pred", "v_pred.weight")
ZERO_SNR_MARKERS = ("ztsnr", "ztsnr.weight")


def canonical_names(names: Iterable[str]) -> dict[str, str]:
    """Name under which a tensor is loaded → its name in the file, old spellings renamed."""
    canonical: dict[str, str] = {}
    for name in names:
        new = name
        for pattern, replacement in RENAMES:
            new = pattern.sub(replacement, new)
        # A file may hold both spellings; the current one is meant then.
        if new == name or new not in canonical:
            canonical[new] = name
    return canonical


def detect(
    shapes: Shapes, metadata: Mapping[str, str] | None = None, yaml: Mapping[str, Any] | None = None
) -> ModelSpec:
    """Recognise a checkpoint by the names and shapes of its tensors.

    ``metadata``: of the safetensors header; ``yaml``: the parsed configuration beside the file. The yaml
    decides what weights leave open (prediction, schedule, scale factor, heads, text layer).
    Raises ``ModelFileError`` saying what the file is instead, or what is missing.
    """
    shapes = {new: shapes[old] for new, old in canonical_names(shapes).items()}
    _refuse_foreign(shapes)
    config = parse_config(yaml)
    unet = read_unet(
        below(shapes, UNET_PREFIX),
        num_heads=_positive(config.unet.get("num_heads")),
        num_head_channels=_positive(config.unet.get("num_head_channels")),
    )
    traits = Traits(unet, frozenset(_text_encoders(shapes)))
    family = next((row for row in FAMILIES if row.matches(traits)), None)
    if family is None:
        raise ModelFileError(
            f"Its UNet (text width {unet.context_dim}, vector width {unet.adm_in_channels}) belongs to no "
            f"family that is known here: {', '.join(row.label for row in FAMILIES)}."
        )
    spec = _base_spec(family, unet, shapes, config)
    spec = _with_variant(spec)
    return _with_prediction(spec, family, shapes, metadata or {}, config)


def _refuse_foreign(shapes: Shapes) -> None:
    row = find_foreign(shapes, FOREIGN)
    if row is None and f"{UNET_PREFIX}input_blocks.0.0.weight" not in shapes:
        row = find_foreign(shapes, FRAGMENTS)
        if row is None:
            raise ModelFileError(
                f"It holds {len(shapes)} tensors of an unknown kind and no UNet ({UNET_PREFIX}). "
                "A checkpoint of SD 1.x, SD 2.x or SDXL in one file was expected."
            )
    if row is not None:
        raise ModelFileError(f"It is {row.what}. {row.remedy}")


def _text_encoders(shapes: Shapes) -> Iterable[tuple[str, str]]:
    anchors = {"clip": "text_model.final_layer_norm.weight", "open_clip": "ln_final.weight"}
    for slot in SLOTS:
        for prefix in slot.prefixes:
            if prefix + anchors[slot.kind] in shapes:
                yield slot.kind, prefix


def _base_spec(family: Family, unet: UNetConfig, shapes: Shapes, config: ModelConfig) -> ModelSpec:
    found = set(_text_encoders(shapes))
    texts: list[TextEncoderSpec] = []
    for index, slot in enumerate(family.text):
        prefix = next((prefix for prefix in slot.prefixes if (slot.kind, prefix) in found), None)
        if prefix is not None:
            settings = config.text[index] if index < len(config.text) else TextConfig("")
            texts.append(_text_spec(slot, prefix, below(shapes, prefix), settings))
    vae = below(shapes, VAE_PREFIX)
    has_vae = "decoder.conv_in.weight" in vae and "encoder.conv_in.weight" in vae
    base = ModelSpec(
        family=family.name,
        label=family.label,
        unet=unet,
        vae=read_autoencoder(vae) if has_vae else None,
        text_encoders=tuple(texts),
        scale_factor=config.scale_factor or family.scale_factor,
        native_size=family.native_size,
        size_fields=family.size_fields,
        **dict.fromkeys(family.flags, True),  # type: ignore[arg-type]
    )
    return replace(
        base,
        linear_start=config.linear_start or base.linear_start,
        linear_end=config.linear_end or base.linear_end,
        num_timesteps=config.num_timesteps or base.num_timesteps,
    )


def _text_spec(slot: TextSlot, prefix: str, shapes: Shapes, settings: TextConfig) -> TextEncoderSpec:
    read = read_clip if slot.kind == "clip" else read_open_clip
    spec = TextEncoderSpec(
        slot.kind, prefix, read(shapes, settings.heads), 0, slot.final_norm, pooled=slot.pooled
    )
    layer = spec.layers - slot.skip
    norm = slot.final_norm
    if settings.layer == "last":
        layer = spec.layers
    elif settings.layer == "penultimate":
        layer = spec.layers - 1
    elif settings.layer == "hidden" and settings.layer_index is not None:
        layer = settings.layer_index if settings.layer_index >= 0 else spec.layers + 1 + settings.layer_index
        norm = False
    if not 0 <= layer <= spec.layers:
        raise ModelFileError(
            f"The yaml beside the checkpoint asks for layer {settings.layer_index} of a text encoder with "
            f"{spec.layers} layers. Correct layer_idx."
        )
    return replace(spec, layer=layer, final_norm=norm)


def _with_variant(spec: ModelSpec) -> ModelSpec:
    latent = spec.vae.embed_dim if spec.vae is not None else 4
    extra = spec.unet.in_channels - latent
    variant = next((row for row in INPUT_VARIANTS if row.extra_channels == extra), None)
    if variant is None:
        raise ModelFileError(
            f"Its UNet takes {spec.unet.in_channels} channels, and the latent has {latent}; known are "
            f"{', '.join(str(latent + row.extra_channels) for row in INPUT_VARIANTS)} channels."
        )
    spec = replace(spec, conditioning=variant.conditioning, **dict.fromkeys(variant.flags, True))  # type: ignore[arg-type]
    if variant.prediction is not None:
        spec = replace(spec, prediction=variant.prediction)
    return spec


def _with_prediction(
    spec: ModelSpec, family: Family, shapes: Shapes, metadata: Mapping[str, str], config: ModelConfig
) -> ModelSpec:
    """First what the user wrote, then what the author wrote, then the rule of the family."""
    prediction, source = spec.prediction, family.prediction_source
    if spec.conditioning == "hybrid":
        source = "family"
    stated = _metadata_prediction(metadata)
    if config.prediction is not None:
        prediction, source = config.prediction, "yaml"
    elif any(name in shapes for name in V_MARKERS):
        prediction, source = "v", "marker"
    elif stated is not None:
        prediction, source = stated, "metadata"
    zero_snr = any(name in shapes for name in ZERO_SNR_MARKERS) or (
        metadata.get("ss_zero_terminal_snr", "").lower() == "true"
    )
    spec = replace(spec, prediction_source=source, zero_terminal_snr=zero_snr)
    return with_prediction(spec, prediction)


def with_prediction(spec: ModelSpec, prediction: str, source: str | None = None) -> ModelSpec:
    """The same checkpoint, known to predict ``prediction``; its native size follows."""
    family = next(row for row in FAMILIES if row.name == spec.family)
    size = family.v_size if prediction == "v" and family.v_size else family.native_size
    return replace(
        spec, prediction=prediction, native_size=size, prediction_source=source or spec.prediction_source
    )


def _metadata_prediction(metadata: Mapping[str, str]) -> str | None:
    for key, value, prediction in METADATA_PREDICTION:
        if metadata.get(key, "").strip().lower() == value:
            return prediction
    return None


def _positive(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
