"""Everything about the extensions that run: catalogue, callbacks, scripts, times and failures."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modules.extensions.callbacks import CALLBACKS, CallbackRegistry
from modules.extensions.catalogue import Catalogue
from modules.extensions.ledger import Ledger
from modules.extensions.loading import ScriptClassData, ScriptLoader, clean_up
from modules.extensions.networks import NetworkKinds
from modules.extensions.runner import CALLBACK_NAMES, ScriptRunner
from modules.extensions.script import Script
from modules.launcher.extensions import ExtensionChoice

_OF_JOBS = (
    "before_image_saved",
    "image_saved",
    "cfg_denoiser",
    "cfg_denoised",
    "cfg_after_cfg",
    "extra_noise",
)


def _no_folder() -> Catalogue:
    return Catalogue(Path("extensions"), Path("extensions-builtin"))


@dataclass
class ExtensionHost:
    """Loads extensions and calls them. ``attach`` says where they lie, ``load_scripts`` runs their files.

    ``ready`` is set when loading is over, with whatever result. Jobs wait for it. ``make_stage`` gives what a
    job that an extension starts by itself is painted with.
    """

    catalogue: Catalogue = field(default_factory=_no_folder)
    ledger: Ledger = field(default_factory=Ledger)
    scripts_data: list[ScriptClassData] = field(default_factory=list)
    postprocessing_scripts_data: list[ScriptClassData] = field(default_factory=list)
    ready: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.callbacks = CallbackRegistry(self.catalogue, self.ledger)
        self.networks = NetworkKinds(self.callbacks)
        self.make_stage: Callable[[], Any] | None = None
        self.loader = ScriptLoader(self.catalogue, self.ledger)
        self.txt2img = ScriptRunner(self)
        self.img2img = ScriptRunner(self)
        self._settings_done: list[Any] = []

    def attach(
        self,
        install_dir: Path,
        user_dir: Path,
        builtin_dir: Path,
        choose: Callable[[], ExtensionChoice],
        priorities: Callable[[str], Sequence[str]] | None = None,
    ) -> None:
        """Say where extensions lie, which are chosen and whose callbacks come first; reads the folders."""
        self.loader.install_dir = install_dir
        self.catalogue.user_dir, self.catalogue.builtin_dir = user_dir, builtin_dir
        self.catalogue.choose = choose
        if priorities is not None:
            self.callbacks.priorities = priorities
        self.catalogue.refresh()

    def load_scripts(
        self, bases: tuple[type, ...] = (Script,), postprocessing: tuple[type, ...] = ()
    ) -> None:
        """Run all script files, in their order. Nothing that they do can stop this.

        Classes that derive from ``bases`` become scripts, those from ``postprocessing`` steps of Extras.
        What an extension registered before it failed is forgotten.
        """
        self.scripts_data.clear()
        self.postprocessing_scripts_data.clear()
        for file in self.loader.list_scripts("scripts", ".py"):
            module = self.loader.load(file)
            if module is not None:
                self.scripts_data += self.loader.classes_of(module, file, bases)
                self.postprocessing_scripts_data += self.loader.classes_of(module, file, postprocessing)
        for name in self.catalogue.off:
            self._forget(Path(self.catalogue.get(name).path))

    def _forget(self, folder: Path) -> None:
        self.callbacks.remove_of_folder(folder)
        for rows in (self.scripts_data, self.postprocessing_scripts_data):
            rows[:] = [data for data in rows if folder not in Path(data.path).parents]

    def initialize_scripts(self) -> None:
        """Make the scripts of both tabs."""
        self.txt2img.initialize_scripts(False)
        self.img2img.initialize_scripts(True)

    def build_inputs(self) -> None:
        """Build the inputs of all scripts off the page, for the arguments of requests; imports Gradio.

        Nothing happens when there is no script.
        """
        if not self.txt2img.scripts and not self.img2img.scripts:
            return
        import gradio as gr

        for runner in (self.txt2img, self.img2img):
            with gr.Blocks(analytics_enabled=False):
                runner.prepare_ui()
                runner.setup_ui()

    def takes_part(self, runner: ScriptRunner) -> bool:
        """Whether a script of the tab or a callback wants to see a job."""
        return bool(runner.scripts or self.networks.registry) or self.callbacks.any(*_OF_JOBS)

    def register_settings(self) -> None:
        """Call the ``ui_settings`` callbacks that were not called yet: late registrations count, too."""
        late = [row for row in self.callbacks.ordered("ui_settings") if row not in self._settings_done]
        for row in late:
            self._settings_done.append(row)
            self.ledger.contain(self.callbacks.owner(row.script), "ui_settings", row.callback)

    def report(self, filename: str, hook: str) -> None:
        """Tell the error that is being handled as one of the extension that ``filename`` belongs to."""
        error = sys.exc_info()[1]
        if error is not None:
            self.ledger.fail(self.callbacks.owner(filename), hook, error)

    def ordered_categories(self) -> list[str]:
        """Categories that a user can order: callbacks and script hooks that somebody has."""
        hooks = [f"script_{name}" for name in CALLBACK_NAMES if self._has_hook(name)]
        return [*self.callbacks.categories(), *hooks]

    def callback_names(self, category: str) -> list[str]:
        """Names of the callbacks of a category, in their own order."""
        if not category.startswith("script_") or category == "script_unloaded":
            rows = self.callbacks.ordered(category, enable_user_sort=False)
            return [row.name for row in rows]
        method = category.removeprefix("script_")
        rows = [
            row
            for runner in (self.txt2img, self.img2img)
            for row in runner.create_ordered_callbacks_list(method, enable_user_sort=False)
        ]
        return list(dict.fromkeys(row.name for row in rows))

    def _has_hook(self, name: str) -> bool:
        return any(runner.list_scripts_for_method(name) for runner in (self.txt2img, self.img2img))

    def unload(self) -> None:
        """Tell scripts that they are unloaded, and forget them and what they registered."""
        self.callbacks.call("script_unloaded")
        self.callbacks.clear()
        self.networks.registry.clear()
        self.networks.aliases.clear()
        self.scripts_data.clear()
        self.postprocessing_scripts_data.clear()
        self._settings_done.clear()
        clean_up(self.loader.modules)
        for runner in (self.txt2img, self.img2img):
            runner.initialize_scripts(runner.is_img2img)
        self.ready.clear()

    def summary(self) -> dict[str, Any]:
        """Seconds by extension and hook, failures and notices, for the start-up profile and the pages."""
        return {
            "seconds": self.ledger.profile(),
            "failures": [str(failure) for failure in self.ledger.failures],
            "disabled": dict(self.catalogue.off),
            "notices": list(self.catalogue.problems),
        }


__all__ = ["CALLBACKS", "ExtensionHost"]
