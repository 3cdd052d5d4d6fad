"""What the page asks about the texts of pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class InfotextServices(Protocol):
    """Texts of pictures, read and turned into values."""

    def read_infotext(self, text: str) -> Mapping[str, Any]:
        """The entries of a generation text; of the last picture's text when ``text`` is empty."""

    def override_texts(self, entries: Mapping[str, Any], skip: Sequence[str]) -> Sequence[str]:
        """``Name: value`` for each setting in which ``entries`` differ from the present ones."""

    def picture_info(self, path: str) -> tuple[str | None, Mapping[str, Any]]:
        """The generation text of a picture file, and its other entries."""

    def checkpoint_title(self, name: str) -> str | None:
        """The title of the checkpoint that a text calls ``name``."""

    def hires_upscalers(self) -> Sequence[str]:
        """What can enlarge between the two passes."""
