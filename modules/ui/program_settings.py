"""The settings of the program, as the page shows and changes them."""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from modules.errors import EaselError
from modules.jobs.program import Program
from modules.launcher import sysinfo
from modules.options.option_info import OptionInfo
from modules.options.registry import page_headings, page_order
from modules.options.store import write_atomic
from modules.ui.setting_services import SettingRow, SettingsChange, SettingsSection

PACKAGES = ("torch", "gradio", "fastapi", "starlette", "pillow", "numpy", "safetensors", "transformers")


class ProgramSettings:
    """``SettingServices`` over the program."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def settings_sections(self) -> Sequence[SettingsSection]:
        """All pages in the order of the headings; hidden sections are left out."""
        options = self._program.options
        labels = page_order(options.data_labels, options.option_categories)
        headings = dict(page_headings(labels, options.option_categories))
        pages: dict[tuple[str, str], list[SettingRow]] = {}
        for key, info in labels.items():
            if info.section and info.section[0] is not None and info.component != "none":
                pages.setdefault((str(info.section[0]), str(info.section[1])), []).append(
                    self._row(key, info, options.why_locked(key))
                )
        return [
            SettingsSection(name, label, tuple(rows), headings.get(label))
            for (name, label), rows in pages.items()
        ]

    def _row(self, key: str, info: OptionInfo, locked: str | None) -> SettingRow:
        value = info.default if info.do_not_save else getattr(self._program.options, key)
        return SettingRow(
            key, info.label, info.component, value, info.default, dict(info.arguments()),
            refreshable=info.refresh is not None, locked=locked,
        )  # fmt: skip

    def quick_settings(self) -> Sequence[str]:
        """The settings above the tabs that exist."""
        options = self._program.options
        return [key for key in dict.fromkeys(options.quicksettings_list) if key in options.data_labels]

    def change_settings(self, values: Mapping[str, Any]) -> SettingsChange:
        """Set what differs, then write the file. A refused value is named and stops no other."""
        options, changed, problems = self._program.options, [], {}
        for key, value in values.items():
            try:
                if options.set(key, value):
                    changed.append(key)
            except EaselError as error:
                problems[key] = error.message
        if changed:
            self._program.save_settings()
        return SettingsChange(tuple(changed), problems)

    def refresh_choices(self, key: str) -> Sequence[Any]:
        """Read the choices of a setting again."""
        info = self._program.options.data_labels[key]
        if info.refresh is not None:
            info.refresh()
        return list(info.arguments().get("choices", ()))

    # Beside the settings

    def defaults(self) -> Mapping[str, Any]:
        """Stored values of ui-config.json; a missing or damaged file changes nothing."""
        try:
            stored = json.loads(self._program.paths.ui_config_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return stored if isinstance(stored, dict) else {}

    def save_defaults(self, values: Mapping[str, Any]) -> None:
        """Write values into ui-config.json. A damaged file is not overwritten."""
        path = self._program.paths.ui_config_file
        stored: dict[str, Any] = {}
        if path.exists():
            try:
                stored = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                raise EaselError(
                    f"{path} cannot be read, so nothing was written into it. Correct or remove it."
                ) from None
        text = json.dumps({**stored, **values}, indent=4, ensure_ascii=False)
        try:
            write_atomic(path, text.encode())
        except OSError as error:
            raise EaselError(f"{path} cannot be written: {error.strerror}.") from None

    def system_report(self) -> str:
        """The description of the system as JSON."""
        flags, paths = self._program.flags, self._program.paths
        facts = sysinfo.collect(paths.install_dir, flags, sys.argv, os.environ)
        return json.dumps(facts, indent=4, ensure_ascii=False, default=str)

    def report_is_intact(self, text: str) -> bool:
        """Whether a description is as it was written."""
        return sysinfo.is_intact(text)

    def licences(self) -> Sequence[tuple[str, str]]:
        """The program's own licence in full, those of its main packages by name."""
        own = self._program.paths.install_dir / "LICENSE"
        text = own.read_text(encoding="utf-8") if own.is_file() else ""
        return [("Easel", text), *((name, _licence_of(name)) for name in PACKAGES)]

    def unload_model(self) -> None:
        """Take the model off the device, in turn with the pictures."""
        self._program.queue.call(self._program.workshop.unload, "unload").result()

    def reload_model(self) -> None:
        """Put the chosen model on the device, in turn with the pictures."""
        program = self._program
        program.queue.call(lambda: program.workshop.load_model(program.options.view()), "reload").result()

    def hash_checkpoints(self) -> int:
        """Compute missing checksums of all checkpoints."""
        infos = list(self._program.catalogue.infos)
        for info in infos:
            self._program.hashes.sha256(info.filename)
        return len(infos)


def _licence_of(package: str) -> str:
    try:
        facts = dict(importlib.metadata.metadata(package).json)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
    return str(facts.get("license_expression") or facts.get("license") or "see the package")
