"""What is known about a checkpoint before its tensors are read."""

from __future__ import annotations

from dataclasses import dataclass

from modules.nets.autoencoder import AutoencoderConfig
from modules.nets.clip_text import CLIPTextConfig
from modules.nets.open_clip_text import OpenCLIPTextConfig
from modules.nets.unet import UNetConfig


@dataclass(frozen=True)
class TextEncoderSpec:
    """One text encoder: where its weights are, and which of its states the UNet was trained on.

    ``kind``: "clip" (CLIPTextConfig) or "open_clip" (OpenCLIPTextConfig).
    ``layer``: index into the list of hidden states (0: the embeddings), counted from the start.
    ``final_norm``: the chosen state passes the final normalisation.
    ``pooled``: the pooled and projected text goes into the vector conditioning.
    """

    kind: str
    prefix: str
    config: CLIPTextConfig | OpenCLIPTextConfig
    layer: int
    final_norm: bool
    pooled: bool = False

    @property
    def width(self) -> int:
        """Width of the states, D."""
        config = self.config
        return config.hidden_size if isinstance(config, CLIPTextConfig) else config.width

    @property
    def layers(self) -> int:
        """Number of layers; there is one hidden state more."""
        config = self.config
        return config.num_hidden_layers if isinstance(config, CLIPTextConfig) else config.layers


@dataclass(frozen=True)
class ModelSpec:
    """A recognised checkpoint: its family and all hyper-parameters.

    ``family``: name of the row in ``FAMILIES``. ``prediction``: "eps" or "v", what the UNet predicts;
    ``prediction_source``: "yaml", "marker", "metadata", "family" (a rule of the family), or "assumed", when
    only a look at the weights can tell. ``conditioning``: "crossattn", or "hybrid" when extra channels are
    joined to the latent. ``vae`` is None and ``text_encoders`` are empty when the file lacks them.
    ``size_fields``: how many 256-wide size embeddings follow the pooled text in the vector.
    ``linear_start``, ``linear_end``, ``num_timesteps``: the noise schedule of the training.
    """

    family: str
    label: str
    unet: UNetConfig
    vae: AutoencoderConfig | None
    text_encoders: tuple[TextEncoderSpec, ...]
    prediction: str = "eps"
    prediction_source: str = "family"
    zero_terminal_snr: bool = False
    scale_factor: float = 0.18215
    conditioning: str = "crossattn"
    native_size: int = 512
    size_fields: int = 0
    linear_start: float = 0.00085
    linear_end: float = 0.012
    num_timesteps: int = 1000
    is_sd1: bool = False
    is_sd2: bool = False
    is_sdxl: bool = False
    is_refiner: bool = False
    is_ssd: bool = False
    is_inpainting: bool = False
    is_pix2pix: bool = False
    unet_prefix: str = "model.diffusion_model."
    vae_prefix: str = "first_stage_model."
