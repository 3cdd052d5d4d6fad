"""The environment variables that steer the launcher, read once. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class LaunchEnvironment:
    """The launcher's own variables; ``None`` where the user said nothing.

    An empty value counts as unset: user files often hold ``export NAME=""``.
    """

    torch_index_url: str | None
    torch_command: str | None
    reqs_file: str
    reqs_file_for_npu: str
    xformers_package: str
    clip_package: str | None
    openclip_package: str | None
    git: str
    index_url: str | None
    live_output: bool
    overrides: Mapping[str, str]

    @staticmethod
    def read(environ: Mapping[str, str]) -> LaunchEnvironment:
        """From ``os.environ`` or a mapping like it."""
        return LaunchEnvironment(
            torch_index_url=environ.get("TORCH_INDEX_URL") or None,
            torch_command=environ.get("TORCH_COMMAND") or None,
            reqs_file=environ.get("REQS_FILE") or "requirements_versions.txt",
            reqs_file_for_npu=environ.get("REQS_FILE_FOR_NPU") or "requirements_npu.txt",
            xformers_package=environ.get("XFORMERS_PACKAGE") or "xformers==0.0.35",
            clip_package=environ.get("CLIP_PACKAGE") or None,
            openclip_package=environ.get("OPENCLIP_PACKAGE") or None,
            git=environ.get("GIT") or "git",
            index_url=environ.get("INDEX_URL") or None,
            live_output=environ.get("WEBUI_LAUNCH_LIVE_OUTPUT") == "1",
            overrides={name: value for name, value in environ.items() if _is_override(name) and value},
        )


def _is_override(name: str) -> bool:
    return name.endswith(("_REPO", "_COMMIT_HASH"))
