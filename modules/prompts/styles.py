"""Saved styles: pieces of prompt that are added by name.

A style either holds the mark ``{prompt}``, which the prompt replaces, or is appended with a comma.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from modules.errors import InvalidInput, NotFound
from modules.prompts.style_files import StyleRow, expand_patterns, read_styles, write_styles

PLACEHOLDER = "{prompt}"
_BLANKS = re.compile(r"\s+")


class PromptStyle(NamedTuple):
    """One style. ``path`` is the file it is kept in, ``"do_not_save"`` for a divider of the menu."""

    name: str
    prompt: str | None
    negative_prompt: str | None
    path: str | None = None


DO_NOT_SAVE = "do_not_save"


def apply_style_text(style_text: str, prompt: str) -> str:
    """Put one style on one prompt."""
    if PLACEHOLDER in style_text:
        return style_text.replace(PLACEHOLDER, prompt)
    return ", ".join(part for part in (prompt.strip(), style_text.strip()) if part)


def apply(prompt: str, style_texts: Iterable[str]) -> str:
    """Put styles on a prompt, in their order."""
    for text in style_texts:
        prompt = apply_style_text(text, prompt)
    return prompt


def extract_style_text(style_text: str, prompt: str) -> tuple[bool, str]:
    """Take one style off a prompt.

    Returns:
        Whether the style was found, and the prompt without it (unchanged if it was not).
        Blanks at the ends do not matter, and runs of blanks count as one.
    """
    style = _BLANKS.sub(" ", style_text).strip()
    painted = _BLANKS.sub(" ", prompt).strip()
    if PLACEHOLDER in style:
        before, _, after = style.partition(PLACEHOLDER)
        fits = painted.startswith(before) and painted.endswith(after)
        if fits and len(painted) >= len(before) + len(after):
            original = painted[len(before) : len(painted) - len(after)]
            if style.replace(PLACEHOLDER, original) == painted:
                return True, original
    elif painted.endswith(style):
        original = painted[: len(painted) - len(style)]
        return True, original.removesuffix(", ")
    return False, prompt


def extract(style: PromptStyle, prompt: str, negative_prompt: str) -> tuple[bool, str, str]:
    """Take both texts of a style off a pair of prompts, or change nothing.

    A style without any text is never found: otherwise every picture would seem to bear it.
    """
    if not (style.prompt or style.negative_prompt):
        return False, prompt, negative_prompt
    found, original = extract_style_text(style.prompt or "", prompt)
    found_negative, original_negative = extract_style_text(style.negative_prompt or "", negative_prompt)
    if found and found_negative:
        return True, original, original_negative
    return False, prompt, negative_prompt


class StyleDatabase:
    """The styles of one or several CSV files.

    Args:
        paths: files, or patterns with ``*`` and ``?`` in the file name. A file that does not
            exist is made when a style is saved into it. New styles go into the first file.
    """

    def __init__(self, paths: Sequence[str | Path]) -> None:
        self.paths = [Path(path) for path in paths]
        self.no_style = PromptStyle("None", "", "", None)
        self.styles: dict[str, PromptStyle] = {}
        self.all_styles_files: list[Path] = []
        self.problems: list[str] = []
        self.reload()

    @property
    def default_path(self) -> Path | None:
        """The file that a new style goes into: the first one named without a wildcard."""
        plain = [path for path in self.paths if not set("*?") & set(path.name)]
        return next(iter(plain or self.all_styles_files), None)

    def reload(self) -> None:
        """Read all files again. A file that cannot be read is named in ``problems``."""
        self.all_styles_files = expand_patterns(self.paths)
        styles: dict[str, PromptStyle] = {}
        problems: list[str] = []
        several = len(self.all_styles_files) > 1
        for path in self.all_styles_files:
            rows, problem = read_styles(path)
            if problem:
                problems.append(problem)
            if several and rows:
                divider = f" {path.stem} ".upper().center(40, "-")
                styles[divider] = PromptStyle(divider, None, None, DO_NOT_SAVE)
            for row in rows:
                styles[row.name] = PromptStyle(row.name, row.prompt, row.negative_prompt, str(path))
        self.styles, self.problems = styles, problems

    def prompts(self, names: Iterable[str]) -> list[str]:
        """The prompt texts of styles; an unknown name counts as an empty style."""
        return [self.styles.get(name, self.no_style).prompt or "" for name in names]

    def negative_prompts(self, names: Iterable[str]) -> list[str]:
        return [self.styles.get(name, self.no_style).negative_prompt or "" for name in names]

    def apply_styles_to_prompt(self, prompt: str, names: Iterable[str]) -> str:
        return apply(prompt, self.prompts(names))

    def apply_negative_styles_to_prompt(self, prompt: str, names: Iterable[str]) -> str:
        return apply(prompt, self.negative_prompts(names))

    def extract_styles_from_prompt(self, prompt: str, negative_prompt: str) -> tuple[list[str], str, str]:
        """Find the styles that a pair of prompts bears.

        Returns:
            Names in the order in which they were applied, and the prompts without them.
        """
        remaining = [style for style in self.styles.values() if style.path != DO_NOT_SAVE]
        names: list[str] = []
        progress = True
        while progress:
            progress = False
            for style in remaining:
                found, prompt, negative_prompt = extract(style, prompt, negative_prompt)
                if found:
                    names.insert(0, style.name)
                    remaining.remove(style)
                    progress = True
                    break
        return names, prompt, negative_prompt

    def put(self, style: PromptStyle) -> None:
        """Add a style or replace the one of that name; saved by ``save_styles``.

        Raises:
            InvalidInput: the name is empty or begins with ``#``, which marks lines that are not read.
        """
        if not style.name.strip() or style.name.startswith("#"):
            raise InvalidInput(
                f'"{style.name}" cannot name a style: the name must not be empty or begin with "#".', "name"
            )
        known = self.styles.get(style.name)
        path = style.path or (known.path if known else None) or str(self.default_path or "")
        self.styles[style.name] = style._replace(path=path or None)

    def delete(self, name: str) -> None:
        """Remove a style; saved by ``save_styles``.

        Raises:
            NotFound: there is no style of that name.
        """
        if name not in self.styles:
            raise NotFound(f'There is no style named "{name}". The styles are: {", ".join(self.styles)}.')
        del self.styles[name]

    def save_styles(self, path: str | Path | None = None) -> None:
        """Write the styles into their files.

        Args:
            path: write only this file. Default: every file that styles came from.
        """
        targets = [Path(path)] if path is not None else self._files_in_use()
        for target in targets:
            rows = [
                StyleRow(style.name, style.prompt or "", style.negative_prompt or "")
                for style in self.styles.values()
                if style.path is not None and style.path != DO_NOT_SAVE and Path(style.path) == target
            ]
            write_styles(target, rows)
        self.all_styles_files = expand_patterns(self.paths)

    def _files_in_use(self) -> list[Path]:
        files = list(self.all_styles_files)
        files += [Path(s.path) for s in self.styles.values() if s.path and s.path != DO_NOT_SAVE]
        return list(dict.fromkeys(files))
