"""``metadata.ini`` of an extension: what it requires, and what it wants to be loaded before or after.

Sections: ``[Extension]`` (Requires), ``[scripts]`` or ``[scripts/<file>]``, ``[javascript]`` or
``[javascript/<file>]``, ``[localizations/<file>]`` (Requires, Before, After), and
``[callbacks/<extension>/<file>/<category>]`` (Before, After). Lists are separated by commas and blanks;
``a|b`` stands for the first of several that is installed.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path


@dataclass
class CallbackOrderInfo:
    """An instruction: the callback ``name`` runs before and after the callbacks of these names."""

    name: str
    before: list[str]
    after: list[str]


class ExtensionMetadata:
    """What the metadata.ini in the folder ``path`` says; a missing or damaged file says nothing.

    ``canonical_name`` is the name that others refer to: the folder's name in lower case. ``problem`` is a
    sentence about a file that cannot be read.
    """

    filename = "metadata.ini"

    def __init__(self, path: str | Path, canonical_name: str) -> None:
        self.config = configparser.ConfigParser(interpolation=None, strict=False)
        self.problem = ""
        file = Path(path) / self.filename
        try:
            self.config.read(file, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError, OSError) as error:
            self.config = configparser.ConfigParser(interpolation=None)
            self.problem = f"{file} cannot be read and is ignored: {str(error).splitlines()[0]}"
        self.canonical_name = canonical_name.lower().strip()
        self.requires: list[str] = self.get_script_requirements("Requires", "Extension")

    def get_script_requirements(
        self, field: str, section: str, extra_section: str | None = None
    ) -> list[str]:
        """The list ``field`` of a section, followed by that of a second section."""
        text = self._value(section, field)
        if extra_section:
            text += ", " + self._value(extra_section, field)
        return self.parse_list(text)

    def _value(self, section: str, field: str) -> str:
        return self.config.get(section, field, fallback="") or ""

    def parse_list(self, text: str | None) -> list[str]:
        """The lower-case names of ``text``; groups ``a|b`` stay one word."""
        return [word for word in re.split(r"[,\s]+", (text or "").lower()) if word]

    def list_callback_order_instructions(self) -> list[CallbackOrderInfo]:
        """The sections that order callbacks; names without an extension belong to this one."""
        found = []
        for section in self.config.sections():
            if not section.startswith("callbacks/"):
                continue
            name = section.partition("/")[2]
            if not name.startswith(self.canonical_name + "/"):
                continue  # an extension orders its own callbacks only
            words = self.config[section]
            found.append(
                CallbackOrderInfo(
                    name, self.parse_list(words.get("Before")), self.parse_list(words.get("After"))
                )
            )
        return found


def first_installed(word: str, installed: Collection[str]) -> str | None:
    """The first of the names of ``a|b|c`` that is in ``installed``, or ``None``."""
    return next((name for name in word.split("|") if name in installed), None)
