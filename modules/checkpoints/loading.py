"""From a file to a model that is ready to paint.

Two steps, so that the model in use can be kept until the new one is known to be good: ``prepare`` reads the
header, recognises the family and matches every tensor without allocating any; ``LoadPlan.execute`` reads each
tensor once, straight into its final type, layout and device.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor

from modules.checkpoints.architecture import read_autoencoder
from modules.checkpoints.building import Placement, build_empty
from modules.checkpoints.catalogue import CheckpointInfo
from modules.checkpoints.families import canonical_names, detect
from modules.checkpoints.foreign import FOREIGN, find_foreign
from modules.checkpoints.model import DiffusionModel
from modules.checkpoints.pickles import open_pickle
from modules.checkpoints.probing import settle_prediction
from modules.checkpoints.schedule import alphas_cumprod, is_valid_schedule
from modules.checkpoints.spec import ModelSpec, TextEncoderSpec
from modules.checkpoints.tensor_file import TensorFile, open_safetensors
from modules.checkpoints.yaml_config import read_yaml
from modules.devices.policy import DevicePolicy
from modules.errors import ModelFileError, OutOfMemoryError
from modules.nets.autoencoder import AutoencoderKL
from modules.nets.clip_text import CLIPTextConfig, CLIPTextModel
from modules.nets.open_clip_text import OpenCLIPTextModel
from modules.nets.unet import UNetModel

OPENERS: tuple[tuple[str, Callable[[str], TensorFile]], ...] = (
    (".safetensors", open_safetensors),
    (".ckpt", open_pickle),
    (".pt", open_pickle),
    (".pth", open_pickle),
    (".bin", open_pickle),
)


def open_tensors(path: str | os.PathLike[str]) -> TensorFile:
    """Open a file of tensors by its suffix. Raises ``ModelFileError``."""
    name = os.fspath(path)
    for suffix, opener in OPENERS:
        if name.lower().endswith(suffix):
            return opener(name)
    known = ", ".join(suffix for suffix, _ in OPENERS)
    raise ModelFileError(f"{name} is of an unknown kind; files with these suffixes can be read: {known}.")


def load_model(
    info: CheckpointInfo, policy: DevicePolicy, *, vae_file: str | os.PathLike[str] | None = None
) -> DiffusionModel:
    """Load a checkpoint. ``vae_file``: take the VAE from this file in place of the checkpoint's own.

    Raises ``ModelFileError`` for a file that is damaged, hostile or of another kind, and
    ``OutOfMemoryError`` when it does not fit.
    """
    with prepare(info, policy, vae_file=vae_file) as plan:
        return plan.execute()


@dataclass
class LoadPlan:
    """A checked checkpoint whose files are open. Use it as a context manager."""

    info: CheckpointInfo
    spec: ModelSpec
    policy: DevicePolicy
    vae_file: str | None
    unet: Placement
    vae: Placement
    text: tuple[Placement, ...]
    file: TensorFile
    vae_source: TensorFile
    stack: ExitStack

    def execute(self) -> DiffusionModel:
        """Read the tensors and return the model. Raises ``ModelFileError`` or ``OutOfMemoryError``."""
        try:
            model = self._fill()
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise OutOfMemoryError(
                f"{self.info.name} does not fit into the memory of {self.policy.device}. Use --medvram, "
                "16-bit precision or a smaller model, or end other programs that use this memory."
            ) from error
        except OSError as error:
            raise ModelFileError(
                f"{self.info.filename} could not be read to its end: {error.strerror or error}."
            ) from error
        self.file.check_unchanged()
        self.vae_source.check_unchanged()
        model.spec = settle_prediction(model)
        return model

    def _fill(self) -> DiffusionModel:
        policy, device = self.policy, self.policy.device
        spatial = policy.channels_last
        text = tuple(placement.fill(self.file, policy.text_dtype, device) for placement in self.text)
        unet = self.unet.fill(self.file, policy.unet_dtype, device, spatial)
        vae = self.vae.fill(self.vae_source, policy.vae_dtype, device, spatial)
        schedule = read_schedule(self.file, self.spec)
        return DiffusionModel(
            self.info,
            self.spec,
            unet,
            vae,
            text,
            policy,
            schedule,
            self.vae_file,  # type: ignore[arg-type]
        )

    def __enter__(self) -> LoadPlan:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stack.close()


def prepare(
    info: CheckpointInfo, policy: DevicePolicy, *, vae_file: str | os.PathLike[str] | None = None
) -> LoadPlan:
    """Check a checkpoint completely without reading its tensors. Raises ``ModelFileError``."""
    with ExitStack() as stack:
        file = stack.enter_context(open_tensors(info.filename))
        try:
            return _plan(info, policy, file, vae_file, stack.pop_all())
        except ModelFileError as error:
            raise _about(info.filename, error) from error


def _plan(
    info: CheckpointInfo,
    policy: DevicePolicy,
    file: TensorFile,
    vae_file: str | os.PathLike[str] | None,
    stack: ExitStack,
) -> LoadPlan:
    try:
        spec = detect(file.shapes, file.metadata, read_yaml(info.config) if info.config else None)
        names = canonical_names(file.entries)
        _require_text(spec)
        unet_config = spec.unet
        unet = _place("UNet", lambda: UNetModel(unet_config), file, names, spec.unet_prefix)
        text = tuple(_place_text(part, file, names) for part in spec.text_encoders)
        vae_source = file if vae_file is None else stack.enter_context(open_tensors(vae_file))
        vae = _plan_vae(spec, file, names) if vae_file is None else plan_vae_file(vae_source)
        chosen = None if vae_file is None else os.fspath(vae_file)
        return LoadPlan(info, spec, policy, chosen, unet, vae, text, file, vae_source, stack)
    except BaseException:
        stack.close()
        raise


def _place(
    what: str, make: Callable[[], torch.nn.Module], file: TensorFile, names: Mapping[str, str], prefix: str
) -> Placement:
    try:
        module = build_empty(make)
    except (RuntimeError, ValueError) as error:
        raise ModelFileError(f"Its {what} has impossible measures ({str(error).splitlines()[0]}).") from error
    own = {name[len(prefix) :]: source for name, source in names.items() if name.startswith(prefix)}
    return Placement.plan(what, module, file, own)


def _place_text(spec: TextEncoderSpec, file: TensorFile, names: Mapping[str, str]) -> Placement:
    config = spec.config
    if isinstance(config, CLIPTextConfig):
        clip = config
        return _place("text encoder", lambda: CLIPTextModel(clip), file, names, spec.prefix)
    tower = config
    place = _place("text encoder", lambda: OpenCLIPTextModel(tower), file, names, spec.prefix)
    if spec.pooled and "text_projection" not in place.sources:
        raise ModelFileError("Its text encoder lacks the text projection. Use another version of the model.")
    return place


def _require_text(spec: ModelSpec) -> None:
    expected = 2 if spec.size_fields == 6 else 1
    if len(spec.text_encoders) < expected:
        raise ModelFileError(
            f"It is {spec.label} with {len(spec.text_encoders)} of {expected} text encoders. "
            "Use a version of the model that includes them."
        )
    width = sum(part.width for part in spec.text_encoders)
    if width != spec.unet.context_dim:
        raise ModelFileError(
            f"Its text encoders give {width} values for a token, and its UNet expects "
            f"{spec.unet.context_dim}."
        )


def _plan_vae(spec: ModelSpec, file: TensorFile, names: Mapping[str, str]) -> Placement:
    config = spec.vae
    if config is None:
        raise ModelFileError(
            "It holds no VAE, so its latents cannot become pictures. Choose a VAE for it in the settings, or "
            "put one beside it, named like it and ending in .vae.safetensors."
        )
    vae = config
    return _place("VAE", lambda: AutoencoderKL(vae), file, names, spec.vae_prefix)


def plan_vae_file(file: TensorFile) -> Placement:
    """Match the VAE of a file of its own, with or without the prefix of checkpoints."""
    names = {name.removeprefix("first_stage_model."): name for name in file.entries}
    shapes = {name: file.entries[source].shape for name, source in names.items()}
    try:
        if "decoder.conv_in.weight" not in shapes or "encoder.conv_in.weight" not in shapes:
            row = find_foreign(shapes, FOREIGN)
            what = f"It is {row.what}. {row.remedy}" if row else "It holds no VAE."
            raise ModelFileError(what)
        row = find_foreign(shapes, tuple(row for row in FOREIGN if row.name == "diffusers"))
        if row is not None:
            raise ModelFileError(f"It is {row.what}. Use the VAE in its original layout (decoder.up.).")
        config = read_autoencoder(shapes)
        return _place("VAE", lambda: AutoencoderKL(config), file, names, "")
    except ModelFileError as error:
        raise _about(file.path, error) from error


def read_schedule(file: TensorFile, spec: ModelSpec) -> Tensor:
    """``alphas_cumprod``, float32: what the file stores where it stores a valid one, else computed.

    Checkpoints of SD1 and SD2 carry the schedule they were trained with, rounded like their weights.
    """
    entry = file.entries.get("alphas_cumprod")
    if entry is not None and not spec.is_sdxl and entry.shape == (spec.num_timesteps,):
        stored = file.read("alphas_cumprod").float()
        if is_valid_schedule(stored, spec.num_timesteps):
            return stored
    return alphas_cumprod(spec.linear_start, spec.linear_end, spec.num_timesteps)


def _about(path: str, error: ModelFileError) -> ModelFileError:
    """The sentence with the name of the file in front, unless it names the file already."""
    text = str(error)
    return error if path in text else ModelFileError(f"{Path(path).name} cannot be loaded. {text}")
