"""Putting the running program behind the names that extensions import, and loading them."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from typing import TYPE_CHECKING, Any

from modules.compat.aliases import install_aliases
from modules.errors import EaselError
from modules.extensions.host import ExtensionHost
from modules.launcher.extensions import ExtensionChoice, read_extension_choice
from modules.options.registry import callback_priority
from modules.paths_internal import folder_names
from modules.ui.gradio_setup import load_gradio

if TYPE_CHECKING:
    from modules.jobs.program import Program

_log = logging.getLogger(__name__)


def fill_shared(program: Program) -> None:
    """Give ``modules.shared`` the parts of ``program``."""
    from modules import shared

    flags, options, workshop = program.flags, program.options, program.workshop
    names = {
        "cmd_opts": flags,
        "opts": options,
        "options_templates": options.data_labels,
        "restricted_opts": options.restricted_opts,
        "state": program.state,
        "prompt_styles": program.styles,
        "styles_filename": flags.styles_file,
        "config_filename": str(program.paths.config_file),
        "hide_dirs": {"visible": not flags.hide_ui_dir_config},
        "weight_load_location": None if flags.lowram else "cpu",
        "job_queue": program.queue,
        "job_worker": program.worker,
        **folder_names(program.paths),
    }
    shared.fill(names, lambda: workshop.engine.model(options.view()), lambda: workshop.policy().device)


def load_extensions(program: Program, host: ExtensionHost) -> None:
    """Load every extension that is enabled, and build the inputs of their scripts.

    Whatever they do, this ends, and says who failed. Jobs that wait for the extensions go on then.
    """
    started = time.perf_counter()
    try:
        fill_shared(program)
        install_aliases(sys.meta_path)
        _attach(program, host)
        if host.catalogue.active():
            _make_files(program)
            with host.ledger.timed("base", "import gradio"):  # nobody's fault that it takes seconds
                load_gradio()
        host.load_scripts()
        host.register_settings()
        host.initialize_scripts()
        host.register_settings()  # some register theirs when their scripts are made
        _add_priorities(program, host)
        host.build_inputs()
    except Exception:
        _log.exception("Extensions could not be loaded; the program goes on with those that were.")
    finally:
        _record(program, host, time.perf_counter() - started)
        host.ready.set()


def start_application(host: ExtensionHost, page: Any, app: Any) -> None:
    """The web application exists: call ``app_started``. Routes added now are served like all others."""
    host.callbacks.call("app_started", page, app)


def _attach(program: Program, host: ExtensionHost) -> None:
    flags, paths, options = program.flags, program.paths, program.options

    def choose() -> ExtensionChoice:
        return read_extension_choice(
            paths.config_file, flags.disable_all_extensions, flags.disable_extra_extensions
        )

    host.attach(
        paths.install_dir,
        paths.extensions_dir,
        paths.extensions_builtin_dir,
        choose,
        lambda category: options.data.get(f"prioritized_callbacks_{category}") or (),
    )

    def stage() -> Any:
        from modules.processing.script_hooks import Stage

        return Stage(program.workshop.engine, options.view(), program.state, host)

    host.make_stage = stage
    for problem in host.catalogue.problems:
        _log.warning("%s", problem)


def _make_files(program: Program) -> None:
    """Some extensions read these files while they are imported."""
    if not program.paths.config_file.exists():
        with contextlib.suppress(EaselError):  # frozen settings, a folder that cannot be written
            program.save_settings()
    for path, text in ((program.paths.ui_config_file, "{}"), (program.paths.params_file, "")):
        if not path.exists():
            with contextlib.suppress(OSError):
                path.write_text(text, encoding="utf-8")


def _add_priorities(program: Program, host: ExtensionHost) -> None:
    for category in host.ordered_categories():
        key, info = callback_priority(category, lambda category=category: host.callback_names(category))  # type: ignore[misc]
        program.options.add_option(key, info)


def _record(program: Program, host: ExtensionHost, seconds: float) -> None:
    """Times for the start-up profile: all, and each extension with its hooks."""
    timer = program.timer
    timer.add_time_to_record("load extensions", seconds)
    for extension, hooks in host.ledger.profile().items():
        for hook, spent in hooks.items():
            timer.add_time_to_record(f"load extensions/{extension}/{hook}", spent)
    for name, reason in host.catalogue.off.items():
        print(f"The extension {name} is off until the next start: {reason}", flush=True)
