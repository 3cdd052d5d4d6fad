"""Texts of pictures, read with the program's settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from modules.errors import InvalidInput, NotFound
from modules.images.metadata import read_info
from modules.jobs.program import Program
from modules.processing.infotext_overrides import overrides_from_params, overrides_from_texts
from modules.processing.infotext_parsing import parse_infotext


class ProgramInfotext:
    """``InfotextServices`` over the program."""

    _program: Program

    def read_infotext(self, text: str) -> Mapping[str, Any]:
        """The entries of ``text``, or of params.txt."""
        program = self._program
        if not text.strip():
            text = self._last_text()
        return parse_infotext(text, program.options.view(), program.styles)

    def _last_text(self) -> str:
        path = self._program.paths.data_dir / "params.txt"
        try:
            return path.read_text(encoding="utf-8")
        except OSError:
            raise NotFound(
                f"There is no text to read: the prompt is empty and {path} does not exist yet. "
                "Generate a picture first, or put a generation text into the prompt."
            ) from None

    def override_texts(self, entries: Mapping[str, Any], skip: Sequence[str]) -> Sequence[str]:
        """Settings in which a text differs from the present ones, as the override box shows them."""
        options = self._program.options
        found = overrides_from_params(entries, options, options.view(), skip)
        return [f"{one.infotext_name}: {entries[one.infotext_name]}" for one in found]

    def overrides(self, texts: Sequence[str]) -> dict[str, Any]:
        """Settings by key from lines of the override box."""
        return overrides_from_texts(texts, self._program.options)

    def picture_info(self, path: str) -> tuple[str | None, Mapping[str, Any]]:
        """The generation text of a picture file, and its other entries."""
        try:
            with Image.open(path) as image:
                return read_info(image)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            name = Path(path).name
            raise InvalidInput(
                f"{name} cannot be read as a picture ({error}). Choose another file."
            ) from None

    def checkpoint_title(self, name: str) -> str | None:
        """The title of the checkpoint that ``name`` means."""
        info = self._program.catalogue.find(name)
        return None if info is None else info.title

    def hires_upscalers(self) -> Sequence[str]:
        """The latent modes, then the upscalers."""
        from modules.processing.hires import LATENT_MODES

        view = self._program.options.view()
        return [*(mode.name for mode in LATENT_MODES), *self._program.workshop.upscalers.names(view)]
