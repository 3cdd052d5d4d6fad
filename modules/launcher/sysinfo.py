"""A description of the system for reports of problems, with everything secret taken out.

Standard library only, so that it works when nothing else does. The running program adds what it
knows (``extra``): torch, exceptions, the start-up profile.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from modules.launcher.extensions import ExtensionFolder, list_extensions, read_extension_choice
from modules.launcher.git import NOT_KNOWN, Git, current_branch, head_commit, remote_url, without_password
from modules.launcher.machine import look_at_machine
from modules.launcher.requirements import installed_version
from modules.launcher.versions import INTERFACE_VERSION, commit_hash, program_version

ENVIRONMENT_NAMES: tuple[str, ...] = (
    "ASSETS_COMMIT_HASH",
    "ASSETS_REPO",
    "BLIP_COMMIT_HASH",
    "BLIP_REPO",
    "CLIP_PACKAGE",
    "COMMANDLINE_ARGS",
    "GIT",
    "GRADIO_ANALYTICS_ENABLED",
    "IGNORE_CMD_ARGS_ERRORS",
    "INDEX_URL",
    "K_DIFFUSION_COMMIT_HASH",
    "K_DIFFUSION_REPO",
    "OPENCLIP_PACKAGE",
    "PYTHONPATH",
    "REQS_FILE",
    "STABLE_DIFFUSION_COMMIT_HASH",
    "STABLE_DIFFUSION_REPO",
    "TORCH_COMMAND",
    "TORCH_INDEX_URL",
    "WEBUI_LAUNCH_LIVE_OUTPUT",
    "XFORMERS_PACKAGE",
)
SECRET_FLAGS = ("--gradio-auth", "--api-auth", "--ngrok", "--ngrok-options", "--tls-keyfile")
MASK = "<hidden>"
_SECRET_KEY = re.compile(r"(?i)(password|passwd|secret|token|api_?key|auth|credential)")
_TORCH_PACKAGES = ("torch", "torchvision", "xformers", "triton", "numpy", "safetensors", "gradio")


def collect(
    install_dir: Path,
    flags: argparse.Namespace,
    argv: Sequence[str],
    environ: Mapping[str, str],
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The description; ``extra`` replaces or adds keys. The key ``Checksum`` covers all others."""
    config = read_config(Path(flags.ui_settings_file))
    choice = read_extension_choice(
        Path(flags.ui_settings_file), flags.disable_all_extensions, flags.disable_extra_extensions
    )
    folders = list_extensions(Path(flags.data_dir) / "extensions", install_dir / "extensions-builtin", choice)
    facts: dict[str, Any] = {
        "Platform": platform.platform(),
        "Python": platform.python_version(),
        "Version": INTERFACE_VERSION,
        "Easel": program_version(install_dir),
        "Commit": commit_hash(install_dir),
        "Git status": git_status(install_dir),
        "Script path": str(install_dir),
        "Data path": str(flags.data_dir),
        "Extensions dir": str(Path(flags.data_dir) / "extensions"),
        "Commandline": mask_words(argv),
        "Torch env info": torch_facts(),
        "Exceptions": [],
        "CPU": cpu_facts(),
        "RAM": ram_facts(),
        "Extensions": [extension_facts(folder) for folder in folders if folder.enabled],
        "Inactive extensions": [extension_facts(folder) for folder in folders if not folder.enabled],
        "Environment": environment_facts(environ),
        "Config": config,
        "Startup": None,
        "Packages": packages(),
    }
    facts.update(extra or {})
    return with_checksum(facts)


def with_checksum(facts: Mapping[str, Any]) -> dict[str, Any]:
    """``facts`` with the key ``Checksum``, by which a reader sees whether they were edited."""
    bare = {key: value for key, value in facts.items() if key != "Checksum"}
    return {**bare, "Checksum": _checksum(bare)}


def is_intact(text: str) -> bool:
    """Whether a written description is unchanged."""
    try:
        facts = json.loads(text)
    except ValueError:
        return False
    if not isinstance(facts, dict):
        return False
    told = facts.pop("Checksum", None)
    return bool(told == _checksum(facts))


def file_name(now: datetime | None = None) -> str:
    """``sysinfo-YYYY-MM-DD-HH-MM.json``, in UTC."""
    return f"sysinfo-{(now or datetime.now(timezone.utc)):%Y-%m-%d-%H-%M}.json"


def dump(facts: Mapping[str, Any], folder: Path) -> Path:
    """Write the description into ``folder`` and return the file. Raises ``OSError``."""
    path = folder / file_name()
    path.write_text(json.dumps(facts, indent=4, ensure_ascii=False, default=str), encoding="utf-8")
    return path


def mask_words(words: Sequence[str]) -> list[str]:
    """Command-line words with the values of secret flags hidden."""
    masked: list[str] = []
    hide = False
    for word in words:
        name, equals, _ = word.partition("=")
        if hide and not word.startswith("--"):
            masked.append(MASK)
        elif name in SECRET_FLAGS and equals:
            masked.append(f"{name}={MASK}")
        else:
            masked.append(without_password(word))
        hide = word in SECRET_FLAGS
    return masked


def mask_config(value: Any, key: str = "") -> Any:
    """Settings with the values hidden whose key sounds like a secret."""
    if isinstance(value, dict):
        return {name: mask_config(inner, str(name)) for name, inner in value.items()}
    if isinstance(value, str) and value and _SECRET_KEY.search(key):
        return MASK
    if isinstance(value, list):
        return [mask_config(inner, key) for inner in value]
    return without_password(value) if isinstance(value, str) else value


def read_config(path: Path) -> Any:
    """The settings file, masked; a sentence when it cannot be read."""
    try:
        return mask_config(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        return f"{path.name} cannot be read: {error}"


def environment_facts(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that steer the program, and no others."""
    facts = {name: without_password(environ[name]) for name in ENVIRONMENT_NAMES if name in environ}
    if "COMMANDLINE_ARGS" in facts:
        try:
            facts["COMMANDLINE_ARGS"] = shlex.join(mask_words(shlex.split(facts["COMMANDLINE_ARGS"])))
        except ValueError:
            facts["COMMANDLINE_ARGS"] = MASK
    return facts


def extension_facts(folder: ExtensionFolder) -> dict[str, str]:
    """Name, path, commit, branch and remote of an extension."""
    if folder.builtin:
        return {"name": folder.name, "path": str(folder.path), "version": "built-in"}
    return {
        "name": folder.name,
        "path": str(folder.path),
        "commit": head_commit(folder.path) or NOT_KNOWN,
        "branch": current_branch(folder.path) or NOT_KNOWN,
        "remote": remote_url(folder.path) or NOT_KNOWN,
    }


def torch_facts() -> dict[str, Any]:
    """Versions and GPUs as far as they can be told without importing torch."""
    machine = look_at_machine()
    versions = {name: version for name in _TORCH_PACKAGES if (version := installed_version(name))}
    return {**versions, "gpu": machine.describe()}


def cpu_facts() -> dict[str, Any]:
    """Model and number of processors."""
    return {"model": platform.processor() or platform.machine(), "count logical": os.cpu_count()}


def ram_facts() -> dict[str, str]:
    """Total and available memory where the system tells them in a file."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return {}
    sizes = {line.partition(":")[0]: int(re.sub(r"\D", "", line) or 0) for line in lines}
    return {
        name: f"{sizes[key] / 2**20:.1f} GB"
        for name, key in (("total", "MemTotal"), ("available", "MemAvailable"))
        if key in sizes
    }


def packages() -> list[str]:
    """``name==version`` of every installed distribution, sorted."""
    found = {
        f"{distribution.metadata['Name']}=={distribution.version}"
        for distribution in importlib.metadata.distributions()
        if distribution.metadata["Name"]
    }
    return sorted(found, key=str.lower)


def git_status(install_dir: Path, executable: str = "git") -> str:
    """The output of ``git status``, or why there is none."""
    if head_commit(install_dir) is None:
        return NOT_KNOWN
    finished = Git(executable, silence=5, limit=10).run(
        "-C", str(install_dir), "status", "--short", "--branch"
    )
    return without_password(finished.output.strip() if finished.ok else finished.last_line)


def _checksum(facts: Mapping[str, Any]) -> str:
    text = json.dumps(facts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def write_report(install_dir: Path, flags: argparse.Namespace, environ: Mapping[str, str]) -> Path:
    """What ``--dump-sysinfo`` does: collect and write into the working directory. Raises ``OSError``."""
    return dump(collect(install_dir, flags, sys.argv, environ), Path.cwd())
