"""From a file to a model that is ready to paint.

Two steps, so that the model in use can be kept until the new one is known to be good: ``prepare`` reads the
header, recognises the family and matches every tensor without allocating any; ``LoadPlan.execute`` reads each
tensor once, straight into its final type, layout and device.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import cast

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

PICKLE_SUFFIXES = (".ckpt", ".pt", ".pth", ".bin")


def open_tensors(path: str | os.PathLike[str], *, tolerant: bool = False) -> TensorFile:
    """Open a file of tensors by its suffix. ``tolerant``: see ``open_pickle``. Raises ``ModelFileError``."""
    name = os.fspath(path)
    if name.lower().endswith(".safetensors"):
        return open_safetensors(name)
    if name.lower().endswith(PICKLE_SUFFIXES):
        return open_pickle(name, tolerant=tolerant)
    known = ", ".join((".safetensors", *PICKLE_SUFFIXES))
    raise ModelFileError(f"{name} is of an unknown kind; files with these suffixes can be read: {known}.")


def load_model(
    info: CheckpointInfo,
    policy: DevicePolicy,
    *,
    vae_file: str | os.PathLike[str] | None = None,
    tolerant: bool = False,
) -> DiffusionModel:
    """Load a checkpoint. ``vae_file``: take the VAE from this file in place of the checkpoint's own.

    ``tolerant``: see ``open_pickle``.
    Raises ``ModelFileError`` for a file that is damaged, hostile or of another kind, and
    ``OutOfMemoryError`` when it does not fit.
    """
    with prepare(info, policy, vae_file=vae_file, tolerant=tolerant) as plan:
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
        with self._explained():
            model = self._fill()
        model.spec = settle_prediction(model)
        return model

    def execute_vae(self, model: DiffusionModel) -> DiffusionModel:
        """``model``, which came from the same checkpoint, with the VAE of this plan; the rest is shared."""
        with self._explained():
            vae = self._fill_vae()
        return replace(model, vae=vae, vae_file=self.vae_file, _other_vaes={})

    def _fill(self) -> DiffusionModel:
        policy, device = self.policy, self.policy.device
        text = tuple(placement.fill(self.file, policy.text_dtype, device) for placement in self.text)
        unet = self.unet.fill(self.file, policy.unet_dtype, device, policy.channels_last)
        return DiffusionModel(
            info=self.info,
            spec=self.spec,
            unet=cast(UNetModel, unet),
            vae=self._fill_vae(),
            text_encoders=cast("tuple[CLIPTextModel | OpenCLIPTextModel, ...]", text),
            policy=policy,
            alphas_cumprod=read_schedule(self.file, self.spec),
            vae_file=self.vae_file,
        )

    def _fill_vae(self) -> AutoencoderKL:
        policy = self.policy
        vae = self.vae.fill(self.vae_source, policy.vae_dtype, policy.device, policy.channels_last)
        return cast(AutoencoderKL, vae)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what may go wrong while reading into sentences, and see that the files did not change."""
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            raise OutOfMemoryError(
                f"{self.info.name} does not fit into the memory of {self.policy.device}. Use --medvram, "
                "16-bit precision or a smaller model, or end other programs that use this memory."
            ) from error
        except OSError as error:
            why = error.strerror or error
            raise ModelFileError(f"{self.info.filename} could not be read to its end: {why}.") from error
        self.file.check_unchanged()
        self.vae_source.check_unchanged()

    def __enter__(self) -> LoadPlan:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stack.close()


def prepare(
    info: CheckpointInfo,
    policy: DevicePolicy,
    *,
    vae_file: str | os.PathLike[str] | None = None,
    tolerant: bool = False,
) -> LoadPlan:
    """Check a checkpoint completely without reading its tensors. Raises ``ModelFileError``."""
    with ExitStack() as stack:
        file = stack.enter_context(open_tensors(info.filename, tolerant=tolerant))
        try:
            vae = None if vae_file is None else stack.enter_context(open_tensors(vae_file, tolerant=tolerant))
            return _plan(info, policy, file, vae, stack)
        except ModelFileError as error:
            raise _about(info.filename, error) from error


def _plan(
    info: CheckpointInfo,
    policy: DevicePolicy,
    file: TensorFile,
    vae_source: TensorFile | None,
    stack: ExitStack,
) -> LoadPlan:
    spec = detect(file.shapes, file.metadata, read_yaml(info.config) if info.config else None)
    names = canonical_names(file.entries)
    _require_text(spec)
    unet = _place("UNet", lambda: UNetModel(spec.unet), file, names, spec.unet_prefix)
    text = tuple(_place_text(part, file, names) for part in spec.text_encoders)
    vae = _plan_vae(spec, file, names) if vae_source is None else plan_vae_file(vae_source)
    chosen = None if vae_source is None else vae_source.path
    return LoadPlan(info, spec, policy, chosen, unet, vae, text, file, vae_source or file, stack.pop_all())


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


def _is_out_of_memory(error: BaseException) -> bool:
    """PyTorch has an error class for accelerators only; its CPU allocator raises a bare RuntimeError."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "allocate memory" in str(error)
