"""The text encoder of CLIP (Radford et al. 2021, arXiv:2103.00020) in the layout of SD1 and SDXL checkpoints.

State-dict names are those below ``cond_stage_model.transformer.`` (SD1) or
``conditioner.embedders.0.transformer.`` (SDXL): everything begins with ``text_model.``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def quick_gelu(x: Tensor) -> Tensor:
    """x · sigmoid(1.702 x), the approximation that CLIP-L was trained with."""
    return x * torch.sigmoid(1.702 * x)


ACTIVATIONS: tuple[tuple[str, Callable[[Tensor], Tensor]], ...] = (
    ("quick_gelu", quick_gelu),
    ("gelu", F.gelu),
)


@dataclass(frozen=True)
class CLIPTextConfig:
    """Hyper-parameters; the defaults are those of CLIP ViT-L/14. ``hidden_act``: "quick_gelu" or "gelu"."""

    vocab_size: int = 49408
    hidden_size: int = 768
    intermediate_size: int = 3072
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    max_position_embeddings: int = 77
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5


class CLIPTextEmbeddings(nn.Module):
    """Token and position embeddings, added."""

    def __init__(self, config: CLIPTextConfig) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embedding = nn.Embedding(config.max_position_embeddings, config.hidden_size)

    def forward(self, input_ids: Tensor | None = None, inputs_embeds: Tensor | None = None) -> Tensor:
        """``input_ids``: [B, T] or, in their place, ``inputs_embeds``: [B, T, D]. Returns [B, T, D]."""
        if inputs_embeds is None:
            inputs_embeds = self.token_embedding(input_ids)
        return inputs_embeds + self.position_embedding.weight[: inputs_embeds.shape[1]]


class CLIPAttention(nn.Module):
    """Causal self-attention with separate projections."""

    def __init__(self, config: CLIPTextConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.num_heads = config.num_attention_heads
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            layer(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out_proj(out.transpose(1, 2).flatten(2))


class CLIPMLP(nn.Module):
    """Feed-forward layer."""

    def __init__(self, config: CLIPTextConfig) -> None:
        super().__init__()
        self.activation = dict(ACTIVATIONS)[config.hidden_act]
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.activation(self.fc1(x)))


class CLIPEncoderLayer(nn.Module):
    """Attention and feed-forward layer, each normalised before and added to its input."""

    def __init__(self, config: CLIPTextConfig) -> None:
        super().__init__()
        self.self_attn = CLIPAttention(config)
        self.layer_norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = CLIPMLP(config)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class CLIPEncoder(nn.Module):
    """The stack of layers."""

    def __init__(self, config: CLIPTextConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(CLIPEncoderLayer(config) for _ in range(config.num_hidden_layers))


class CLIPTextTransformer(nn.Module):
    """Embeddings, layers and the final normalisation."""

    def __init__(self, config: CLIPTextConfig) -> None:
        super().__init__()
        self.embeddings = CLIPTextEmbeddings(config)
        self.encoder = CLIPEncoder(config)
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)


class CLIPTextModel(nn.Module):
    """The encoder. ``forward`` gives the hidden states; the final normalisation is left to the caller."""

    optional_keys: frozenset[str] = frozenset()

    def __init__(self, config: CLIPTextConfig) -> None:
        super().__init__()
        self.config = config
        self.text_model = CLIPTextTransformer(config)

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        return self.text_model.final_layer_norm.weight.dtype

    @property
    def token_embedding(self) -> nn.Embedding:
        """The table of token vectors [vocab, D]."""
        return self.text_model.embeddings.token_embedding

    @property
    def final_layer_norm(self) -> nn.LayerNorm:
        """The normalisation that follows the layer at which the caller stops."""
        return self.text_model.final_layer_norm

    def forward(
        self, input_ids: Tensor | None = None, inputs_embeds: Tensor | None = None, layers: int | None = None
    ) -> list[Tensor]:
        """Hidden states, each [B, T, D]: first the embeddings, then the output of each layer.

        ``input_ids``: int64 [B, T], T ≤ 77; or ``inputs_embeds``: [B, T, D], token vectors without positions.
        ``layers``: how many layers to run, all when None. The last state is not normalised.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("Give either input_ids or inputs_embeds.")
        x = self.text_model.embeddings(input_ids, inputs_embeds)
        states = [x]
        for layer in self.text_model.encoder.layers[:layers]:
            x = layer(x)
            states.append(x)
        return states
