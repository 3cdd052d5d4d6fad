"""A complete copy of the start scripts and the launcher, with packages so small that pip is quick.

Everything is real: bash, launch.py, pip, git, wheels. Only the packages are empty, and ``webui.py`` is
a few lines that tell what they see.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.launcher.repositories import Source, make_source
from tests.launcher.wheels import make_wheel
from tests.paths import ROOT

PROGRAM = """
import json, os, sys
print("PROGRAM", json.dumps({
    "argv": sys.argv[1:], "cwd": os.getcwd(), "prefix": sys.prefix,
    "environ": {k: v for k, v in os.environ.items()}, "timer": "launch_timer" in globals(),
}))
"""

# Notes down every process and connection that the launcher starts.
WITNESS = """
import os, sys
EVENTS = ("subprocess.Popen", "socket.connect", "socket.getaddrinfo", "os.system", "os.posix_spawn")
if os.environ.get("WITNESS"):
    def note(event, arguments):
        if event in EVENTS:
            with open(os.environ["WITNESS"], "a") as file:
                file.write(f"{event} {arguments!r}"[:900] + "\\n")
    sys.addaudithook(note)
"""


@dataclass(frozen=True)
class Copy:
    """``folder`` is the checkout; ``wheels`` is what pip finds; ``source`` is cloned as k-diffusion."""

    folder: Path
    wheels: Path
    source: Source
    environ: dict[str, str] = field(default_factory=dict)

    def start(self, *words: str, timeout: float = 120, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run webui.sh in a clean environment and wait for its end."""
        return run(["bash", str(self.folder / "webui.sh"), *words], self.environ | variables, timeout)

    @property
    def site(self) -> Path:
        return next((self.folder / "venv" / "lib").glob("python*")) / "site-packages"

    @property
    def python(self) -> Path:
        return self.folder / "venv" / "bin" / "python"


def run(
    command: list[str], environ: dict[str, str], timeout: float = 120, cwd: str = "/"
) -> subprocess.CompletedProcess[str]:
    """Run a command with exactly this environment, far from its folder."""
    return subprocess.run(
        command,
        env=environ,
        cwd=cwd,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def make_copy(folder: Path, work: Path, *, environment: bool = True) -> Copy:
    """A copy in ``folder``; ``work`` holds what is beside it.

    With ``environment`` it has a virtual environment that holds pip and nothing else.
    """
    copy_program(folder)
    wheels = work / "wheels"
    for name, version in (("torch", "2.13.0"), ("torchvision", "0.28.0"), ("tiny", "1.0"), ("bare", "1.0")):
        make_wheel(wheels, name, version, ("absent",) if name == "bare" else ())
    make_wheel(wheels, "k-diffusion", "0.1.1.post1", ("absent",))
    (folder / "requirements_versions.txt").write_text("tiny==1.0  # why\n")
    (folder / "requirements_nodeps.txt").write_text("bare==1.0  # why\n")
    source = make_source(work / "source", proof="k_diffusion/sampling.py")
    environ = {
        "PATH": os.pathsep.join(
            [str(Path(sys.executable).resolve().parent), "/usr/local/bin", "/usr/bin", "/bin"]
        ),
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": wheels.as_uri(),
        "K_DIFFUSION_REPO": source.url,
        "K_DIFFUSION_COMMIT_HASH": source.commits[0],
        "TORCH_COMMAND": "pip install torch torchvision",
        "python_cmd": str(Path(sys.executable).resolve()),
    }
    copy = Copy(folder, wheels, source, environ)
    if environment:
        add_environment(copy, work)
    return copy


def copy_program(folder: Path) -> None:
    """The scripts and the launcher, and a small ``webui.py``."""
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("modules/launcher", "modules/options"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    for name in ("webui.sh", "webui-user.sh", "webui-macos-env.sh", "launch.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    for name in ("__init__.py", "errors.py", "launch_utils.py"):
        shutil.copy(ROOT / "modules" / name, folder / "modules" / name)
    (folder / "webui.py").write_text(PROGRAM)


def add_environment(copy: Copy, work: Path) -> None:
    """An environment whose pip is that of the running Python: making one with ensurepip takes seconds."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(copy.folder / "venv")], check=True)
    import pip

    home = work / "pip-home"
    home.mkdir()
    (home / "pip").symlink_to(Path(pip.__file__).parent)
    (copy.site / "easel-tests.pth").write_text(f"{home}\n")
    (copy.site / "sitecustomize.py").write_text(WITNESS)


def program(finished: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What the small webui.py told."""
    for line in finished.stdout.splitlines():
        if line.startswith("PROGRAM "):
            return json.loads(line[8:])
    raise AssertionError(finished.stdout + finished.stderr)


def screen(finished: subprocess.CompletedProcess[str], code: int) -> str:
    """The screen of a start that failed with ``code``: short, with a remedy, without a traceback."""
    shown = finished.stdout + finished.stderr
    assert finished.returncode == code, shown
    assert "Easel cannot start:" in shown
    assert "What to do:" in shown
    assert f"Exit code {code};" in shown
    assert "Traceback" not in shown
    assert len(finished.stderr.splitlines()) <= 30
    return " ".join(shown.split())
