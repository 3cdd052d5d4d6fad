"""Listing 1,000 checkpoints whose hashes are not known: ``python -m benchmarks.model_list``. Target ≤ 0.3 s.

The ratio compares with walking the same folders once and asking for the state of each file.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from modules.checkpoints.catalogue import CheckpointCatalogue
from modules.checkpoints.hashes import HashStore

COUNT = 1000
REPEATS = 10


def make_folder(root: Path) -> None:
    """1,000 files in 20 folders, half of them with a yaml."""
    for index in range(COUNT):
        folder = root / f"kind {index % 20}"
        folder.mkdir(exist_ok=True)
        (folder / f"model {index} v{index % 7}.safetensors").write_bytes(b"x" * 100)
        if index % 2:
            (folder / f"model {index} v{index % 7}.yaml").write_bytes(b"model: {}")


def walk(root: Path) -> int:
    """The baseline."""
    return sum(1 for folder, _, names in os.walk(root) for name in names if Path(folder, name).stat().st_size)


def best(action: Callable[[], object]) -> float:
    """Seconds of the fastest of some runs, which other programs disturb least."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "models")
        root.mkdir()
        make_folder(root)
        hashes = HashStore(Path(folder, "cache"))

        def listing() -> list[tuple[str, str, str | None]]:
            found = CheckpointCatalogue([root], hashes)
            return [(info.title, info.model_name, info.sha256) for info in found.infos]

        assert len(listing()) == COUNT
        base, seconds = best(lambda: walk(root)), best(listing)
        print(f"walk {base:.3f} s, list {seconds:.3f} s = {seconds / base:.1f} x walk")
        found = CheckpointCatalogue([root], hashes)
        found.refresh()
        print(f"first search {best(lambda: found.find('no such model')) * 1000:.1f} ms")
        hashes.close()


if __name__ == "__main__":
    main()
