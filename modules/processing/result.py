"""What comes out of a job: pictures, their texts, and the facts that clients read."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass
class Processed:
    """The pictures of one job in response order; a grid, when there is one, comes first.

    ``info`` holds the fields of the reference's ``info`` object (contract: generation_info_fields);
    ``infotexts`` runs parallel to ``images``, with an empty text for masks and the like;
    ``saved`` lists the files that were written;
    ``warnings`` are sentences for the user about what could not be done, for instance a failed save.
    """

    images: list[Image] = field(default_factory=list)
    infotexts: list[str] = field(default_factory=list)
    info: dict[str, Any] = field(default_factory=dict)
    index_of_first_image: int = 0
    saved: list[Path] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def js(self) -> str:
        """The ``info`` object as JSON text; values that JSON does not know become null."""
        return json.dumps(self.info, default=lambda _: None)
