"""What it costs to switch a LoRA at the real size of SD1.5, beside one pass over the touched weights.

    python -m benchmarks.network_switch [--rank 16] [--dtype float32]

One pass means: the product of the LoRA is made and added to every touched weight once. A switch takes one
network off and puts another on. Times are those of the processor, so that other programs matter less.
Also measured: listing a folder of 20,000 networks, and finding one by its alias.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from benchmarks.twins import SD1_UNET, random_net
from modules.checkpoints.hashes import HashStore
from modules.checkpoints.network_files import NetworkCatalogue
from modules.checkpoints.network_keys import TE, UNET
from modules.checkpoints.network_targets import model_targets
from modules.checkpoints.networks import ActiveNetwork, Layer, Network, WeightPatches
from modules.nets.adapters.base import Adapter
from modules.nets.adapters.table import make_adapter
from modules.nets.clip_text import CLIPTextConfig, CLIPTextModel
from modules.nets.unet import UNetModel

REPEATS = 5
FILES = 20_000


def real_size_model(dtype: torch.dtype) -> Any:
    """UNet and text encoder of SD1.5 with random weights."""
    unet = random_net(UNetModel, SD1_UNET).to(dtype)
    text = random_net(CLIPTextModel, CLIPTextConfig()).to(dtype)
    spec = SimpleNamespace(unet=SD1_UNET, is_refiner=False)
    return SimpleNamespace(unet=unet, text_encoders=(text,), spec=spec, patches=WeightPatches())


def lora_of(model: Any, rank: int, seed: int) -> Network:
    """A LoRA over all linear layers of transformer blocks and text encoder, as trainers make by default."""
    generator = torch.Generator().manual_seed(seed)
    nets = (model.unet, *model.text_encoders)
    layers: dict[Layer, Adapter] = {}
    for (place, path), target in model_targets(model).items():
        kohya = path.startswith(("down_blocks", "mid_block", "up_blocks")) and "_transformer_blocks_" in path
        if not (place == UNET and kohya) and not (place == TE and "_layers_" in path):
            continue
        weight = nets[target.net].get_parameter(target.weight)
        if weight.ndim != 2:
            continue
        parts = {
            "up": torch.randn(weight.shape[0], rank, generator=generator).half() * 0.01,
            "down": torch.randn(rank, weight.shape[1], generator=generator).half() * 0.01,
            "alpha": torch.tensor(float(rank)),
        }
        adapter = make_adapter(parts)
        assert adapter is not None
        layers[place, path] = adapter
    return Network(f"lora{seed}", (f"lora{seed}", 0, 0), layers)


def median(work: Callable[[int], None]) -> float:
    """Median seconds of ``work(number)`` after one run to warm up."""
    times = []
    for number in range(REPEATS + 1):
        start = time.process_time()
        work(number)
        times.append(time.process_time() - start)
    return statistics.median(times[1:])


def one_copy(touched: list[nn.Parameter]) -> float:
    """Seconds to copy every touched weight once: the least that any change costs."""
    copies = [parameter.detach().clone() for parameter in touched]

    def work(_number: int) -> None:
        for parameter, copy in zip(touched, copies, strict=True):
            parameter.copy_(copy)

    return median(work)


def one_pass(touched: list[nn.Parameter], rank: int) -> float:
    """Seconds to make the product for every touched weight and add it."""
    thin = [
        (weight, torch.randn(len(weight), rank), torch.randn(rank, weight.shape[1])) for weight in touched
    ]

    def work(_number: int) -> None:
        for weight, up, down in thin:
            weight.add_((up @ down).to(weight.dtype), alpha=1e-6)

    return median(work)


def measure_switch(rank: int, dtype: torch.dtype) -> None:
    """Print the times of putting on, switching and taking off."""
    model = real_size_model(dtype)
    networks = [ActiveNetwork(lora_of(model, rank, seed)) for seed in range(2)]
    patches: WeightPatches = model.patches
    start = time.process_time()
    patches.switch(model, networks[:1])
    first = time.process_time() - start
    nets = (model.unet, *model.text_encoders)
    touched = [nets[net].get_parameter(name) for net, name in patches._originals]
    switched = median(lambda number: patches.switch(model, [networks[(number + 1) % 2]]))
    copied = one_copy(touched)
    start = time.process_time()
    patches.switch(model, [])
    off = time.process_time() - start
    passed = one_pass(touched, rank)
    count = sum(parameter.numel() for parameter in touched)
    print(f"{len(touched)} weights, {count / 1e6:.0f} million values, {dtype}, rank {rank}")
    print(f"  one copy        {copied:.3f} s")
    print(f"  one pass        {passed:.3f} s")
    print(f"  put on          {first:.3f} s (with the copies of the originals)")
    print(f"  switch          {switched:.3f} s = {switched / passed:.2f} passes")
    print(f"  take off        {off:.3f} s")


def measure_listing() -> None:
    """Print the times of listing a large folder."""
    with tempfile.TemporaryDirectory() as folder:
        header = b'{"__metadata__":{"ss_output_name":"alias%d"}}'
        for number in range(FILES):
            text = header % number
            (Path(folder) / f"net{number}.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
        catalogue = NetworkCatalogue([folder], HashStore(None))
        start = time.perf_counter()
        catalogue.refresh()
        listed = time.perf_counter() - start
        start = time.perf_counter()
        found = catalogue.find("alias12345")
        aliased = time.perf_counter() - start
        again = median(lambda number: catalogue.find(f"alias{number}"))
    assert found is not None
    print(
        f"{FILES} networks: listed in {listed:.2f} s, first alias in {aliased:.2f} s, "
        f"then {again * 1e6:.0f} µs"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--dtype", default="float32", choices=["float32", "float16", "bfloat16"])
    arguments = parser.parse_args()
    with torch.no_grad():
        measure_switch(arguments.rank, getattr(torch, arguments.dtype))
    measure_listing()
