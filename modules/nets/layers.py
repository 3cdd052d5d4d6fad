"""Small layers that several networks share."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class GroupNorm32(nn.GroupNorm):
    """Group normalisation whose statistics are accumulated in float32 for every input type.

    PyTorch's kernels already accumulate 16-bit inputs in float32, so an input of the weights' type is
    passed straight through; only an input of another type is converted there and back.
    Input and output: [B, C, ...].
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype == self.weight.dtype:
            return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)
        normal = F.group_norm(x.float(), self.num_groups, self.weight.float(), self.bias.float(), self.eps)
        return normal.to(x.dtype)


def timestep_embedding(timesteps: Tensor, dim: int, max_period: float = 10000.0) -> Tensor:
    """Sinusoidal embedding of diffusion times, cosines first (Ho et al. 2020, Vaswani et al. 2017).

    ``timesteps``: [B], may be fractional. Returns float32 [B, dim]; an odd ``dim`` ends with a zero column.
    """
    half = dim // 2
    exponents = torch.arange(half, dtype=torch.float32, device=timesteps.device) / half
    angles = timesteps.float()[:, None] * torch.exp(-math.log(max_period) * exponents)[None]
    embedding = torch.cat([angles.cos(), angles.sin()], dim=-1)
    return F.pad(embedding, (0, dim % 2))
