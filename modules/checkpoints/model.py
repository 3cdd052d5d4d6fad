"""A loaded model: the networks of one checkpoint and what they have in common."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from modules.checkpoints.building import build_empty
from modules.checkpoints.catalogue import CheckpointInfo
from modules.checkpoints.conditioning import Conditioning
from modules.checkpoints.networks import WeightPatches
from modules.checkpoints.spec import ModelSpec
from modules.devices.attention import AttentionBackend, choose_backend
from modules.devices.policy import DevicePolicy
from modules.errors import InvalidInput
from modules.nets.autoencoder import AutoencoderKL
from modules.nets.clip_text import CLIPTextModel
from modules.nets.open_clip_text import OpenCLIPTextModel
from modules.nets.unet import UNetModel

Network = TypeVar("Network", bound=nn.Module)


@dataclass(eq=False)
class DiffusionModel:
    """The networks of a checkpoint on their device.

    ``text_encoders`` are in the order of ``spec.text_encoders``. ``alphas_cumprod``: float32
    [num_timesteps] on the CPU, the share of signal in the squared noisy latent. ``vae_file``: where the
    VAE comes from when it is not the checkpoint. ``patches``: which networks the weights hold at present.
    """

    info: CheckpointInfo
    spec: ModelSpec
    unet: UNetModel
    vae: AutoencoderKL
    text_encoders: tuple[CLIPTextModel | OpenCLIPTextModel, ...]
    policy: DevicePolicy
    alphas_cumprod: Tensor
    vae_file: str | None = None
    patches: WeightPatches = field(default_factory=WeightPatches, repr=False)
    _other_vaes: dict[torch.dtype, AutoencoderKL] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.set_attention(choose_backend(self.policy.attention, None, self.policy.device))

    @property
    def device(self) -> torch.device:
        return self.policy.device

    @property
    def latent_channels(self) -> int:
        """Channels of the latent; the UNet may take more."""
        return self.vae.config.embed_dim

    @property
    def downscale(self) -> int:
        """Pixels per latent element along each side."""
        return self.vae.config.downscale

    def set_attention(self, backend: AttentionBackend, upcast: bool = False) -> None:
        """Compute attention with ``backend`` everywhere; ``upcast``: that of the UNet in float32."""
        self.unet.set_attention(backend, upcast)
        self.vae.set_attention(backend)

    @torch.no_grad()
    def predict(self, x: Tensor, timesteps: Tensor, cond: Conditioning) -> Tensor:
        """One evaluation of the UNet: its raw output (noise or velocity), [B, 4, h, w] in the type of ``x``.

        ``x``: [B, 4, h, w], scaled as the UNet was trained (unit variance); ``timesteps``: [B], 0..999;
        ``cond``: B rows. Raises ``InvalidInput`` when the rows lack what this model needs.
        """
        self._require(cond)
        dtype = self.unet.dtype
        inputs = x if cond.concat is None else torch.cat([x, cond.concat.to(x)], dim=1)
        with self.policy.autocast_context(dtype):
            out = self.unet(
                inputs.to(dtype),
                timesteps.to(x.device),
                cond.crossattn.to(x.device, dtype),
                None if cond.vector is None else cond.vector.to(x.device, dtype),
            )
        return out.to(x.dtype)

    @torch.no_grad()
    def decode_latent(self, latent: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Pixels [B, 3, H, W] of a latent [B, 4, h, w] in the sampler's scale; about -1..1, float32.

        ``dtype``: compute in this type in place of the policy's. Finiteness is checked by the caller.
        """
        vae = self._vae_in(dtype)
        latent = latent.to(self.device, torch.float32) / self.spec.scale_factor
        with self._vae_autocast(dtype):
            return vae.decode(latent.to(vae.dtype)).float()

    @torch.no_grad()
    def encode_pixels(
        self, pixels: Tensor, noise: Tensor | None = None, dtype: torch.dtype | None = None
    ) -> Tensor:
        """Latent [B, 4, h, w] in the sampler's scale of pixels [B, 3, H, W] in -1..1; float32.

        ``noise``: standard normal of the latent's shape, to sample the posterior; its mean without.
        """
        vae = self._vae_in(dtype)
        with self._vae_autocast(dtype):
            mean, logvar = vae.encode(pixels.to(self.device, vae.dtype))
        latent = mean.float()
        if noise is not None:
            latent = latent + torch.exp(0.5 * logvar.float()) * noise.to(latent)
        return latent * self.spec.scale_factor

    def recast(self, policy: DevicePolicy) -> DiffusionModel:
        """The same model in the number types of ``policy``, for a retry at higher precision.

        Networks that have the right type already are shared, the others are cast from the weights in
        use, networks included; the file is not read again.
        """
        unet = cast_network(self.unet, policy.unet_dtype)
        unet.set_context_hook(self.unet.context_hook)
        return replace(
            self,
            unet=unet,
            vae=cast_network(self.vae, policy.vae_dtype),
            text_encoders=tuple(cast_network(net, policy.text_dtype) for net in self.text_encoders),
            policy=policy,
            _other_vaes={},
        )

    def networks(self) -> Iterator[nn.Module]:
        """All networks, the UNet first."""
        yield self.unet
        yield self.vae
        yield from self.text_encoders

    def nbytes(self) -> int:
        """Memory of all weights, in bytes."""
        return sum(p.numel() * p.element_size() for net in self.networks() for p in net.parameters())

    def _vae_in(self, dtype: torch.dtype | None) -> AutoencoderKL:
        if dtype is None or dtype == self.vae.dtype:
            return self.vae
        vae = self._other_vaes.get(dtype)
        if vae is None:
            vae = self._other_vaes[dtype] = cast_network(self.vae, dtype)
        return vae

    def _vae_autocast(self, dtype: torch.dtype | None) -> contextlib.AbstractContextManager[object]:
        if dtype is not None and dtype != self.policy.vae_dtype:
            return contextlib.nullcontext()
        return self.policy.autocast_context(self.vae.dtype)

    def _require(self, cond: Conditioning) -> None:
        width = self.spec.unet.context_dim
        if cond.crossattn.shape[-1] != width:
            raise InvalidInput(
                f"The text conditioning is {cond.crossattn.shape[-1]} wide, and {self.info.name} needs "
                f"{width}: it was made by the text encoder of another model."
            )
        if (cond.vector is None) != (self.spec.unet.adm_in_channels is None):
            needs = "needs a vector conditioning" if cond.vector is None else "takes no vector conditioning"
            raise InvalidInput(f"{self.info.name} ({self.spec.label}) {needs}.")
        if (cond.concat is None) != (self.spec.conditioning != "hybrid"):
            needs = "needs the picture it works on as" if cond.concat is None else "takes no"
            raise InvalidInput(f"{self.info.name} ({self.spec.label}) {needs} extra input channels.")


def cast_network(network: Network, dtype: torch.dtype) -> Network:
    """The network itself if its weights are ``dtype``, else a copy whose weights are cast one by one."""
    parameters = dict(network.named_parameters())
    if all(parameter.dtype == dtype for parameter in parameters.values()):
        return network
    config = getattr(network, "config")  # noqa: B009 (nn.Module hides the attribute from the type checker)
    fresh = build_empty(lambda: type(network)(copy.copy(config)))
    fresh.load_state_dict({name: value.to(dtype) for name, value in parameters.items()}, assign=True)
    return fresh.requires_grad_(False)  # type: ignore[return-value]
