"""Scripts: classes that take part in a job. Extensions derive from ``Script``; see docs/extensions.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modules.extensions.catalogue import ScriptFile
from modules.extensions.current import HOST
from modules.extensions.hook_args import (
    MaskBlendArgs,
    OnComponent,
    PostprocessBatchListArgs,
    PostprocessImageArgs,
    PostProcessMaskOverlayArgs,
    PostSampleArgs,
    ScriptArg,
    ScriptInfo,
)
from modules.extensions.loading import ScriptClassData, ScriptWithDependencies
from modules.extensions.ordering import topological_sort
from modules.extensions.runner import ScriptRunner as HostedRunner
from modules.extensions.script import AlwaysVisible, Script, ScriptBuiltinUI

__all__ = [
    "AlwaysVisible",
    "MaskBlendArgs",
    "OnComponent",
    "PostProcessMaskOverlayArgs",
    "PostSampleArgs",
    "PostprocessBatchListArgs",
    "PostprocessImageArgs",
    "Script",
    "ScriptArg",
    "ScriptBuiltinUI",
    "ScriptClassData",
    "ScriptFile",
    "ScriptInfo",
    "ScriptRunner",
    "ScriptWithDependencies",
    "topological_sort",
]


class ScriptRunner(HostedRunner):
    """The scripts of a tab; made without arguments, as extensions do."""

    def __init__(self) -> None:
        super().__init__(HOST)


scripts_data = HOST.scripts_data
postprocessing_scripts_data = HOST.postprocessing_scripts_data
scripts_txt2img: HostedRunner = HOST.txt2img
scripts_img2img: HostedRunner = HOST.img2img
scripts_postproc: Any = None
scripts_current: HostedRunner | None = None


def basedir() -> str:
    """Base folder of the extension whose file is being run: use it while the file is imported."""
    return HOST.loader.basedir()


def __getattr__(name: str) -> Any:
    if name == "current_basedir":
        return basedir()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def list_scripts(scriptdirname: str, extension: str, *, include_extensions: bool = True) -> list[ScriptFile]:
    """Files of one kind in the order in which they load."""
    return HOST.loader.list_scripts(scriptdirname, extension, include_extensions=include_extensions)


def list_files_with_name(filename: str) -> list[str]:
    """Paths of all files of that name at the top of the program and of every active extension."""
    return HOST.loader.files_named(filename)


def load_scripts() -> None:
    """Run all script files and make the scripts of both tabs."""
    HOST.load_scripts()
    HOST.initialize_scripts()


def reload_script_body_only() -> None:
    """Make all scripts anew from their files as they are now, keeping their inputs."""
    cache: dict[str, Any] = {}
    for runner in (scripts_txt2img, scripts_img2img):
        runner.reload_sources(cache)


reload_scripts = load_scripts


def wrap_call(
    func: Callable[..., Any], filename: str, funcname: str, *args: Any, default: Any = None, **kwargs: Any
) -> Any:
    """``func(*args, **kwargs)``, or ``default`` when it raises; the error is told with its extension."""
    owner = HOST.callbacks.owner(filename)
    return HOST.ledger.contain(owner, funcname, func, *args, default=default, **kwargs)
