"""How much memory and time a merge takes: ``python -m benchmarks.merging``.

Two files of four tensors each, as large as the largest of an SD 1.x checkpoint in float32 (49408 × 768), are
merged by a weighted sum. The growth of the process is given as a multiple of that tensor and the two models.
"""

from __future__ import annotations

import resource
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import save_file

from modules.checkpoints.merge_recipe import MergeRequest
from modules.checkpoints.merging import merge

SHAPE = (49408, 768)
TENSORS = 4


def make(path: Path, value: float) -> Path:
    """A file of equal tensors; one is in memory."""
    tensor = torch.full(SHAPE, value)
    save_file({f"model.tensor{number}": tensor.clone() for number in range(TENSORS)}, path)
    return path


def peak_bytes() -> int:
    """The most memory that this process ever had (Linux counts in kilobytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Merge and print the figures."""
    import multiprocessing

    with tempfile.TemporaryDirectory() as folder:
        # In a process of its own, so that the memory of making the files is not counted.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            a, b = pool.starmap(
                make, [(Path(folder) / "a.safetensors", 0.0), (Path(folder) / "b.safetensors", 1.0)]
            )
        before, start = peak_bytes(), time.perf_counter()
        # The pattern matches nothing; it says that the result need not be a whole checkpoint.
        result = merge(
            MergeRequest((a, b), Path(folder) / "m.safetensors", discard="^none$", add_recipe=False)
        )
        seconds = time.perf_counter() - start
        growth = peak_bytes() - before
        unit = 2 * SHAPE[0] * SHAPE[1] * 4
        print(f"{result.nbytes / 1e6:.0f} MB merged in {seconds:.1f} s")
        print(f"growth {growth / 1e6:.0f} MB: {growth / unit:.2f} × the largest tensor × models")


if __name__ == "__main__":
    main()
