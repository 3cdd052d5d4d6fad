"""The text tower of OpenCLIP (Cherti et al. 2022, arXiv:2212.07143) in the layout of SD2 and SDXL.

State-dict names are those below ``cond_stage_model.model.`` (SD2) or ``conditioner.embedders.N.model.``
(SDXL).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class OpenCLIPTextConfig:
    """Hyper-parameters; the defaults are those of ViT-bigG-14 (SDXL).

    SD2's ViT-H-14 has width 1024, 16 heads and 24 layers.
    """

    vocab_size: int = 49408
    width: int = 1280
    heads: int = 20
    layers: int = 32
    context_length: int = 77
    embed_dim: int = 1280


class PackedAttention(nn.Module):
    """Causal self-attention with one matrix for queries, keys and values."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.num_heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        packed = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        q, k, v = packed.unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out_proj(out.transpose(1, 2).flatten(2))


class MLP(nn.Module):
    """Feed-forward layer with the exact GELU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.gelu = nn.GELU()
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(self.gelu(self.c_fc(x)))


class ResidualAttentionBlock(nn.Module):
    """Attention and feed-forward layer, each normalised before and added to its input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = PackedAttention(width, heads)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = MLP(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    """The stack of blocks."""

    def __init__(self, config: OpenCLIPTextConfig) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(
            ResidualAttentionBlock(config.width, config.heads) for _ in range(config.layers)
        )


class OpenCLIPTextModel(nn.Module):
    """The tower. ``forward`` gives the hidden states; normalisation and pooling are left to the caller."""

    # Only the pooled output and CLIP's contrastive loss use these, so checkpoints may lack them.
    optional_keys: frozenset[str] = frozenset({"logit_scale", "text_projection"})

    def __init__(self, config: OpenCLIPTextConfig) -> None:
        super().__init__()
        self.config = config
        self.positional_embedding = nn.Parameter(torch.empty(config.context_length, config.width))
        self.text_projection = nn.Parameter(torch.empty(config.width, config.embed_dim))
        self.logit_scale = nn.Parameter(torch.empty(()))
        self.transformer = Transformer(config)
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        self.ln_final = nn.LayerNorm(config.width)

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        return self.ln_final.weight.dtype

    @property
    def final_layer_norm(self) -> nn.LayerNorm:
        """``ln_final``, under the name that both text encoders share."""
        return self.ln_final

    def forward(
        self, input_ids: Tensor | None = None, inputs_embeds: Tensor | None = None, layers: int | None = None
    ) -> list[Tensor]:
        """Hidden states, each [B, T, D]: first the embeddings, then the output of each block.

        ``input_ids``: int64 [B, T], T ≤ 77; or ``inputs_embeds``: [B, T, D], token vectors without positions.
        ``layers``: how many blocks to run, all when None. States are not normalised; [-2] is the penultimate.
        """
        if inputs_embeds is None:
            if input_ids is None:
                raise ValueError("Give either input_ids or inputs_embeds.")
            inputs_embeds = self.token_embedding(input_ids)
        x = inputs_embeds + self.positional_embedding[: inputs_embeds.shape[1]]
        states = [x]
        for block in self.transformer.resblocks[:layers]:
            x = block(x)
            states.append(x)
        return states

    def pooled(self, last: Tensor, input_ids: Tensor) -> Tensor:
        """The text vector [B, embed_dim]: the normalised last state [B, T, D] at the end token, projected.

        The end token has the highest id of the vocabulary: it is the maximum of ``input_ids`` [B, T].
        """
        rows = torch.arange(last.shape[0], device=last.device)
        ends = input_ids.to(last.device).argmax(dim=-1)
        return self.ln_final(last[rows, ends]) @ self.text_projection
