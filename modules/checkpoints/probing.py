"""Finding out what a UNet predicts by asking it, where neither a yaml nor metadata tells.

With z = α·x₀ + σ·ε, α² + σ² = 1, an ε-network returns ε and a v-network returns v = α·ε - σ·x₀ (Salimans and
Ho 2022, arXiv:2202.00512). At the highest noise level of the usual schedule α is 0.068, so z is almost ε:

    ε-network: its output must be close to z, because x₀ = (z - σ·ε)/α would be many times too large
               otherwise; the correlation of output and input is near 1.
    v-network: its output is about -x₀, the negative of an average picture, which knows little of z; the
               correlation is near 0.

So one evaluation on noise tells the two apart with a wide margin. It is done on a small latent, with the
empty prompt, and its result is remembered for the file.
"""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from modules.checkpoints.conditioning import Conditioning
from modules.checkpoints.families import with_prediction
from modules.checkpoints.model import DiffusionModel
from modules.checkpoints.spec import ModelSpec, TextEncoderSpec
from modules.errors import ModelFileError
from modules.nets.clip_text import CLIPTextModel
from modules.nets.layers import timestep_embedding
from modules.nets.open_clip_text import OpenCLIPTextModel

_log = logging.getLogger(__name__)

PROBE_SIZE = 8
PROBE_SEED = 20240229
PREDICTION = "prediction"
"""Kind under which the answer is kept beside the hashes of the file."""

EPS_CORRELATION = 0.6
V_CORRELATION = 0.4


def settle_prediction(model: DiffusionModel) -> ModelSpec:
    """The spec of ``model`` with its prediction known: stated, remembered, or found out now.

    Raises ``ModelFileError`` asking for a yaml when an SD2 model gives no clear answer; the other
    families are almost always ε-networks, so there the doubt is only logged.
    """
    spec, info = model.spec, model.info
    if spec.prediction_source != "assumed":
        return spec
    known = info.hashes.peek_stamp(info.stamp, PREDICTION) if info.hashes is not None else None
    if known in ("eps", "v"):
        return with_prediction(spec, known, "probe")
    correlation = probe_correlation(model)
    prediction = classify(correlation)
    if prediction is None:
        message = _unclear(model, correlation)
        if spec.is_sd2:
            raise ModelFileError(message)
        _log.warning("%s Noise is assumed.", message)
        return spec
    if prediction == "v":
        _log.info("%s predicts velocity (v); found by testing its UNet.", info.name)
    if info.hashes is not None:
        info.hashes.remember(info.stamp, PREDICTION, prediction)
    return with_prediction(spec, prediction, "probe")


def classify(correlation: float) -> str | None:
    """ "eps", "v", or None when the correlation (NaN for an output without variance) is not clear."""
    if correlation >= EPS_CORRELATION:
        return "eps"
    if correlation <= V_CORRELATION:
        return "v"
    return None


def probe_correlation(model: DiffusionModel) -> float:
    """Correlation of the UNet's output with its input: pure noise at the highest noise level."""
    spec, device = model.spec, model.device
    generator = torch.Generator().manual_seed(PROBE_SEED)
    shape = (1, model.latent_channels, PROBE_SIZE, PROBE_SIZE)
    noise = torch.randn(shape, generator=generator).to(device)
    extra = spec.unet.in_channels - model.latent_channels
    concat = torch.zeros(1, extra, PROBE_SIZE, PROBE_SIZE, device=device) if extra else None
    time = torch.full((1,), spec.num_timesteps - 1.0, device=device)
    out = model.predict(noise, time, empty_prompt(model).with_concat(concat))
    pair = torch.stack([out.flatten(), noise.flatten()]).double()
    return float(torch.corrcoef(pair)[0, 1])


@torch.no_grad()
def empty_prompt(model: DiffusionModel) -> Conditioning:
    """Conditioning of the prompt "" at the model's native size, one row."""
    states, pooled = [], []
    for spec, network in zip(model.spec.text_encoders, model.text_encoders, strict=True):
        state, vector = _encode_empty(spec, network, model.device)
        states.append(state)
        pooled += [vector] if vector is not None else []
    crossattn = torch.cat(states, dim=-1).float()
    if model.spec.unet.adm_in_channels is None:
        return Conditioning(crossattn)
    size = float(model.spec.native_size)
    numbers = (
        (size, size, 0.0, 0.0, size, size) if model.spec.size_fields == 6 else (size, size, 0.0, 0.0, 6.0)
    )
    sizes = timestep_embedding(torch.tensor(numbers, device=model.device), 256).flatten()[None]
    return Conditioning(crossattn, torch.cat([*(vector.float() for vector in pooled), sizes], dim=-1))


def _encode_empty(
    spec: TextEncoderSpec, network: CLIPTextModel | OpenCLIPTextModel, device: torch.device
) -> tuple[Tensor, Tensor | None]:
    """The state that the UNet looks at [1, 77, D], and the pooled text [1, E] where it is used."""
    vocabulary = spec.config.vocab_size
    padding = 0 if spec.kind == "open_clip" else vocabulary - 1
    tokens = torch.full((1, 77), padding, dtype=torch.long, device=device)
    tokens[0, :2] = torch.tensor([vocabulary - 2, vocabulary - 1])
    states = network(tokens)
    state = states[spec.layer]
    if spec.final_norm:
        state = network.final_layer_norm(state)
    pools = spec.pooled and isinstance(network, OpenCLIPTextModel)
    return state, network.pooled(states[-1], tokens) if pools else None  # type: ignore[union-attr]


def _unclear(model: DiffusionModel, correlation: float) -> str:
    return (
        f"{model.info.name} does not say whether it predicts noise (eps) or velocity (v), and a test of its "
        f"UNet was not clear (correlation {correlation:.2f}). Put a file {model.info.name_for_extra}.yaml "
        "beside it that holds 'model: {params: {parameterization: v}}', or eps in place of v."
    )
