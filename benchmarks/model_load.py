"""Loading a checkpoint of the real size of SD 1.5, as ratios in one run.

    python -m benchmarks.model_load [--folder DIR] [--dtype float16] [--repeats 5]

Writes a file with random weights once, reads it into the page cache, and compares

    baseline   reading the file once into memory and casting every tensor once
    load       ``load_model``: from the file to a model that is ready

Targets: load / baseline ≤ 1.3, and peak resident memory ≤ 1.15 × the loaded model (above the resident memory
of the program with everything imported). Each measurement runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from modules.checkpoints.building import build_empty
from modules.checkpoints.catalogue import CheckpointInfo
from modules.checkpoints.header import read_header
from modules.checkpoints.loading import load_model
from modules.checkpoints.tensor_file import TORCH_DTYPES
from modules.devices.policy import DevicePolicy
from modules.nets.autoencoder import AutoencoderConfig, AutoencoderKL
from modules.nets.clip_text import CLIPTextConfig, CLIPTextModel
from modules.nets.unet import UNetConfig, UNetModel

SIZES = {"float16": ("F16", 2), "float32": ("F32", 4), "bfloat16": ("BF16", 2)}
MIB = 1 << 20


def sd15_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of a checkpoint of SD 1.5."""
    parts = (
        ("cond_stage_model.transformer.", build_empty(lambda: CLIPTextModel(CLIPTextConfig()))),
        ("first_stage_model.", build_empty(lambda: AutoencoderKL(AutoencoderConfig()))),
        ("model.diffusion_model.", build_empty(lambda: UNetModel(UNetConfig()))),
    )
    return {
        prefix + name: tuple(value.shape) for prefix, net in parts for name, value in net.state_dict().items()
    }


def write_checkpoint(path: Path, dtype: str) -> None:
    """A safetensors file of random weights, written tensor by tensor."""
    code, width = SIZES[dtype]
    header: dict[str, object] = {"__metadata__": {"modelspec.prediction_type": "epsilon"}}
    position = 0
    shapes = sd15_shapes()
    for name, shape in shapes.items():
        size = torch.Size(shape).numel() * width
        header[name] = {"dtype": code, "shape": list(shape), "data_offsets": [position, position + size]}
        position += size
    raw = json.dumps(header).encode()
    raw += b" " * (-(8 + len(raw)) % 64)  # aligned, so that the baseline can cast without another copy
    generator = torch.Generator().manual_seed(0)
    noise = (torch.randn(1 << 22, generator=generator) * 0.02).to(TORCH_DTYPES[code])
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw)
        for shape in shapes.values():
            left = torch.Size(shape).numel()
            while left:
                piece = noise[: min(left, noise.numel())]
                file.write(piece.view(torch.uint8).numpy())
                left -= piece.numel()


def read_and_cast(path: Path, dtype: torch.dtype) -> list[torch.Tensor]:
    """The baseline: the file in one read, each tensor cast once."""
    header = read_header(path)
    raw = torch.empty(path.stat().st_size, dtype=torch.uint8)
    with path.open("rb", buffering=0) as file:
        view, done = memoryview(raw.numpy()), 0
        while done < len(view):
            done += file.readinto(view[done:]) or 0  # type: ignore[attr-defined]
    data = raw[header.data_offset :]
    tensors = []
    for info in header.tensors.values():
        source = data[info.begin : info.end].view(TORCH_DTYPES[info.dtype])
        tensors.append(source.to(dtype).view(info.shape))
    return tensors


def resident() -> int:
    """Resident memory of this process in bytes (Linux)."""
    return _status("VmRSS")


def peak_resident() -> int:
    """The highest resident memory since the process began, in bytes (Linux)."""
    return _status("VmHWM")


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}; this benchmark needs Linux.")


def measure(kind: str, path: Path) -> dict[str, float]:
    """Time and memory of one way, in this process."""
    dtype = torch.float32
    before = resident()
    start = time.perf_counter()
    if kind == "baseline":
        size = sum(tensor.nbytes for tensor in read_and_cast(path, dtype))
    else:
        policy = DevicePolicy(torch.device("cpu"), channels_last=kind == "load-channels-last")
        size = load_model(CheckpointInfo.for_file(path), policy).nbytes()
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "size": size, "peak": peak_resident() - before}


def run_apart(kind: str, path: Path) -> dict[str, float]:
    """``measure`` in a new process."""
    command = [sys.executable, "-m", "benchmarks.model_load", "--child", kind, "--file", str(path)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result: dict[str, float] = json.loads(output.splitlines()[-1])
    return result


def compare(path: Path, repeats: int) -> None:
    """Print the best times, which other programs disturb least, and their ratios."""
    kinds = ("baseline", "load", "load-channels-last")
    runs: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    path.read_bytes()  # into the page cache
    for _ in range(repeats):
        for kind in kinds:
            runs[kind].append(run_apart(kind, path))
    base = min(run["seconds"] for run in runs["baseline"])
    print(f"file {path.stat().st_size / MIB:.0f} MiB, best of {repeats} runs each, taking turns")
    for kind in kinds:
        seconds = min(run["seconds"] for run in runs[kind])
        peak = max(run["peak"] for run in runs[kind])
        size = runs[kind][0]["size"]
        print(
            f"{kind:20} {seconds:6.2f} s  {seconds / base:5.2f} x baseline   model {size / MIB:.0f} MiB, "
            f"peak +{peak / MIB:.0f} MiB = {peak / size:.3f} x model"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, help="where to write the file (4 GB for float32)")
    parser.add_argument("--dtype", choices=sorted(SIZES), default="float16")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--file", type=Path, help="measure this file, and write none")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(options.child, options.file)))
        return
    if options.file:
        compare(options.file, options.repeats)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "sd15-random.safetensors"
        write_checkpoint(path, options.dtype)
        compare(path, options.repeats)


if __name__ == "__main__":
    main()
