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
        if x.device.type == "cpu" and x.ndim == 4 and not x.is_contiguous():
            # PyTorch's NHWC kernel takes the variance as a difference of large sums. For a flat area (mean 5,
            # deviation 0.001) its result is off by 1; a group whose mean is 0 loses nothing.
            x = x - self._group_means(x)
        if x.dtype == self.weight.dtype:
            return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)
        normal = F.group_norm(x.float(), self.num_groups, self.weight.float(), self.bias.float(), self.eps)
        return normal.to(x.dtype)

    def _group_means(self, x: Tensor) -> Tensor:
        """Mean of each channel's group, [B, C, 1, 1]."""
        batch, channels = x.shape[:2]
        means = x.mean(dim=(2, 3)).view(batch, self.num_groups, -1).mean(dim=-1, keepdim=True)
        return means.expand(-1, -1, channels // self.num_groups).reshape(batch, channels, 1, 1)


class Conv2d(nn.Conv2d):
    """A convolution that becomes one matrix product where the kernel is large next to the map.

    On a CPU the library rearranges the whole kernel before each convolution. In the inner levels of a UNet
    that costs more than the convolution: 59 MB of weights for the 16 positions of a 4×4 map. There the
    windows of the map are laid out as rows instead (im2col), and the weights are read once, as they lie.
    """

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self._kernel_outweighs(input):
            return self._as_product(input, weight, bias)
        return super()._conv_forward(input, weight, bias)

    def _kernel_outweighs(self, x: Tensor) -> bool:
        if x.device.type != "cpu" or x.dtype != torch.float32 or x.ndim != 4:
            return False
        if self.padding_mode != "zeros" or self.groups != 1 or self.dilation != (1, 1):
            return False
        if self.kernel_size == (1, 1) and x.is_contiguous(memory_format=torch.channels_last):
            return True
        positions = x.shape[0] * x.shape[2] * x.shape[3] // (self.stride[0] * self.stride[1])
        # The rows cost positions · K to write, the rearranged kernel out_channels · K.
        return 2 * positions <= self.out_channels

    def _as_product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        (kernel_h, kernel_w), (stride_h, stride_w) = self.kernel_size, self.stride
        pad_h, pad_w = self.padding  # type: ignore[misc]
        padded = F.pad(x, (pad_w, pad_w, pad_h, pad_h)) if pad_h or pad_w else x
        windows = padded.unfold(2, kernel_h, stride_h).unfold(3, kernel_w, stride_w)
        batch, _, out_h, out_w = windows.shape[:4]
        if weight.is_contiguous():
            rows, matrix = windows.permute(0, 2, 3, 1, 4, 5), weight.flatten(1)
        else:
            rows, matrix = windows.permute(0, 2, 3, 4, 5, 1), weight.permute(0, 2, 3, 1).flatten(1)
        out = F.linear(rows.reshape(batch * out_h * out_w, -1), matrix, bias)
        return out.view(batch, out_h, out_w, -1).permute(0, 3, 1, 2)


def channels_last(x: Tensor) -> Tensor:
    """The map [B, C, h, w] in NHWC memory order on a CPU, where maps and tokens then are views of each other.

    Elsewhere the order of the weights decides: a convolution whose weights are NHWC answers in that order.
    """
    if x.device.type != "cpu":
        return x
    return x.contiguous(memory_format=torch.channels_last)


def timestep_embedding(timesteps: Tensor, dim: int, max_period: float = 10000.0) -> Tensor:
    """Sinusoidal embedding of diffusion times, cosines first (Ho et al. 2020, Vaswani et al. 2017).

    ``timesteps``: [B], may be fractional. Returns float32 [B, dim]; an odd ``dim`` ends with a zero column.
    """
    half = dim // 2
    exponents = torch.arange(half, dtype=torch.float32, device=timesteps.device) / half
    angles = timesteps.float()[:, None] * torch.exp(-math.log(max_period) * exponents)[None]
    embedding = torch.cat([angles.cos(), angles.sin()], dim=-1)
    return F.pad(embedding, (0, dim % 2))
