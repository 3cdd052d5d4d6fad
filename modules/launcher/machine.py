"""What this machine has to compute with, without importing torch. Standard library only."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from modules.launcher.processes import run_program
from modules.launcher.requirements import release

_QUERY = "--query-gpu=name,driver_version,compute_cap,memory.total"
_ASK_SECONDS = 15.0


@dataclass(frozen=True)
class Gpu:
    """An NVIDIA GPU. ``driver`` and ``compute`` (compute capability) are () when unknown; memory in MiB."""

    name: str
    driver: tuple[int, ...] = ()
    compute: tuple[int, ...] = ()
    memory: int = 0

    def __str__(self) -> str:
        parts = [self.name]
        if self.memory:
            parts.append(f"{self.memory / 1024:.0f} GiB")
        if self.driver:
            parts.append("driver " + ".".join(map(str, self.driver)))
        return ", ".join(parts)


@dataclass(frozen=True)
class Machine:
    """System, processor architecture and GPUs; ``other_gpu`` names one that is not from NVIDIA."""

    system: str
    architecture: str
    python: str
    gpus: tuple[Gpu, ...] = ()
    other_gpu: str = ""

    @property
    def has_nvidia(self) -> bool:
        return bool(self.gpus)

    def describe(self) -> str:
        """One line for the summary."""
        if self.gpus:
            return "; ".join(map(str, self.gpus))
        return self.other_gpu or "none found"


def look_at_machine(root: Path = Path("/")) -> Machine:
    """Ask the system what it has. Takes a fraction of a second; bounded. ``root`` holds proc, dev and sys."""
    gpus = _ask_nvidia_smi() or _read_driver_files(root)
    return Machine(
        system=platform.system(),
        architecture=platform.machine(),
        python=platform.python_version(),
        gpus=gpus,
        other_gpu="" if gpus else _other_gpu(root / "sys"),
    )


def driver_version(root: Path = Path("/")) -> str:
    """The version of the NVIDIA driver on Linux when a device is there, or an empty text.

    A container without access to the GPU still sees the driver of its host, but no device.
    """
    if not any((root / "dev").glob("nvidia[0-9]*")):
        return ""
    try:
        text = (root / "proc" / "driver" / "nvidia" / "version").read_text()
    except OSError:
        return ""
    match = re.search(r"\b(\d{3,}\.\d+(?:\.\d+)?)\b", text)
    return match[1] if match else "unknown"


def _ask_nvidia_smi() -> tuple[Gpu, ...]:
    places = [shutil.which("nvidia-smi"), "/usr/lib/wsl/lib/nvidia-smi"]
    if os.name == "nt":
        places.append(str(Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32" / "nvidia-smi.exe"))
    for place in places:
        if place and Path(place).is_file():
            answer = run_program([place, _QUERY, "--format=csv,noheader,nounits"], limit=_ASK_SECONDS)
            return _parse_nvidia_smi(answer.output) if answer.ok else ()
    return ()


def _parse_nvidia_smi(text: str) -> tuple[Gpu, ...]:
    gpus = []
    for line in text.splitlines():
        fields = [field.strip() for field in line.split(",")]
        if len(fields) == 4 and fields[0]:
            memory = int(fields[3]) if fields[3].isdigit() else 0
            gpus.append(Gpu(fields[0], release(fields[1]), release(fields[2]), memory))
    return tuple(gpus)


def _read_driver_files(root: Path) -> tuple[Gpu, ...]:
    # Containers often lack nvidia-smi but have the device.
    version = driver_version(root)
    if not version:
        return ()
    gpus = []
    for file in sorted((root / "proc" / "driver" / "nvidia" / "gpus").glob("*/information")):
        try:
            match = re.search(r"^Model:\s*(.+)$", file.read_text(), re.MULTILINE)
        except OSError:
            continue
        gpus.append(Gpu(match[1].strip() if match else "NVIDIA GPU", release(version)))
    return tuple(gpus)


def _other_gpu(sys_dir: Path) -> str:
    if sys.platform == "darwin":
        return "Apple GPU" if platform.machine() == "arm64" else ""
    names = {"0x1002": "AMD GPU", "0x8086": "Intel GPU"}
    found = set()
    for file in sorted((sys_dir / "class" / "drm").glob("card*/device/vendor")):
        try:
            found.add(names.get(file.read_text().strip(), ""))
        except OSError:
            continue
    return " and ".join(sorted(found - {""}))
