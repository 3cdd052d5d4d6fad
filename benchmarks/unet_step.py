"""One UNet step of ours against diffusers, with the same random weights, as a ratio in one run.

    python -m benchmarks.unet_step --family sd1 --latent 64 --rounds 7

A step is one evaluation for a batch of two (a guided step of one picture). Both read the same weights.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch

from benchmarks import twins
from benchmarks.timing import Timing, interleave, machine, print_table
from modules.devices.attention import choose_backend
from modules.nets.autoencoder import AutoencoderConfig, AutoencoderKL
from modules.nets.layers import timestep_embedding
from modules.nets.unet import UNetModel

FAMILIES = {"sd1": twins.SD1_UNET, "sd2": twins.SD2_UNET, "sdxl": twins.SDXL_UNET}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def main() -> None:
    """Print a table for every size asked for."""
    options = _parse()
    if options.threads:
        torch.set_num_threads(options.threads)
    print(machine())
    with torch.inference_mode():
        for size in options.latent:
            timings = compare_unets(options, size)
            title = (
                f"UNet step, {options.family}, {options.dtype}, batch {options.batch}, latent {size}×{size}"
            )
            print_table(title, timings, timings[1])
        if options.vae:
            timings = compare_decoders(options, options.latent[0])
            title = f"VAE decoding, {options.dtype}, batch 1, latent {options.latent[0]}×{options.latent[0]}"
            print_table(title, timings, timings[1])


def compare_unets(options: argparse.Namespace, size: int) -> tuple[Timing, ...]:
    """Times of our UNet and of diffusers'. Stops when their results differ."""
    config = FAMILIES[options.family]
    device, dtype = torch.device(options.device), DTYPES[options.dtype]
    ours = twins.random_net(UNetModel, config).to(device, dtype)
    theirs = twins.diffusers_unet(ours)
    if options.channels_last:
        ours.to(memory_format=torch.channels_last)
    ours.set_attention(choose_backend(options.attention, None, device))
    generator = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator).to(device, dtype)

    batch = options.batch
    x, context = noise(batch, config.in_channels, size, size), noise(batch, 77, config.context_dim or 1)
    times = torch.full((batch,), 500.0, device=device)
    y, extra = None, {}
    if config.adm_in_channels is not None:
        text = noise(batch, config.adm_in_channels - 6 * 256)
        sizes = torch.tensor([[1024.0, 1024, 0, 0, 1024, 1024]] * batch, device=device)
        y = torch.cat([text, timestep_embedding(sizes.flatten(), 256).reshape(batch, -1).to(dtype)], dim=1)
        extra = {"added_cond_kwargs": {"text_embeds": text, "time_ids": sizes}}
    return _race(
        lambda: ours(x, times, context, y), lambda: theirs(x, times, context, **extra).sample, options
    )


def compare_decoders(options: argparse.Namespace, size: int) -> tuple[Timing, ...]:
    """Times of our decoder and of diffusers'. Stops when their results differ."""
    device, dtype = torch.device(options.device), DTYPES[options.dtype]
    ours = twins.random_net(AutoencoderKL, AutoencoderConfig()).to(device, dtype)
    theirs = twins.diffusers_vae(ours)
    latent = torch.randn(1, 4, size, size, generator=torch.Generator().manual_seed(0)).to(device, dtype)
    return _race(lambda: ours.decode(latent), lambda: theirs.decode(latent).sample, options)


def _race(
    ours: Callable[[], Any], theirs: Callable[[], Any], options: argparse.Namespace
) -> tuple[Timing, ...]:
    expected = theirs().float()
    error = float((ours().float() - expected).abs().max() / expected.abs().max())
    if error > (1e-4 if options.dtype == "fp32" else 5e-2):
        raise SystemExit(
            f"The results differ by {error:.1e} of the largest value: there is nothing to compare."
        )
    return interleave({"ours": ours, "diffusers": theirs}, options.rounds)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--family", choices=FAMILIES, default="sd1")
    parser.add_argument("--latent", type=int, nargs="+", default=[64], help="side of the latent (pixels / 8)")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dtype", choices=DTYPES, default="fp32")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--attention", default="Automatic", help="a title or name of the attention table")
    parser.add_argument(
        "--channels-last", action="store_true", help="our weights in NHWC order, as a CPU loads them"
    )
    parser.add_argument("--vae", action="store_true", help="also decode one latent of the first size")
    return parser.parse_args()


if __name__ == "__main__":
    main()
