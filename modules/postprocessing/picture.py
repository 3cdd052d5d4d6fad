"""A picture on its way through the chain. Names and methods are those that extensions use."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from PIL import Image


@dataclass
class SharedInfo:
    """What steps tell each other. ``target_width``, ``target_height``: size in pixels that the user wants."""

    target_width: int | None = None
    target_height: int | None = None


@dataclass
class PostprocessedImage:
    """One picture of the chain.

    ``info``: entries for the postprocessing text, in order. ``extra_images``: pictures that a step adds, as
    pictures or as ``PostprocessedImage``; following steps see them too. ``nametags``: parts of the file name.
    ``disable_processing``: no step changes this picture any more. ``caption``: text to save beside it.
    """

    image: Image.Image
    info: dict[str, Any] = field(default_factory=dict)
    shared: SharedInfo = field(default_factory=SharedInfo)
    extra_images: list[Any] = field(default_factory=list)
    nametags: list[str] = field(default_factory=list)
    disable_processing: bool = False
    caption: str | None = None

    def create_copy(
        self, new_image: Image.Image, *, nametags: list[str] | None = None, disable_processing: bool = False
    ) -> PostprocessedImage:
        """A picture with the information of this one; ``nametags`` are added to its name."""
        return PostprocessedImage(
            new_image,
            info=dict(self.info),
            shared=self.shared,
            nametags=[*self.nametags, *(nametags or [])],
            disable_processing=disable_processing,
        )

    def get_suffix(self, used_suffixes: dict[str, int] | None = None) -> str:
        """End of the file name from the tags; counted up when ``used_suffixes`` has it already."""
        suffix = "-".join(self.nametags)
        suffix = f"-{suffix}" if suffix else ""
        used = {} if used_suffixes is None else used_suffixes
        count = used.get(suffix, 0)
        used[suffix] = count + 1
        if not count:
            return suffix
        return f"{suffix}-{count}"
