"""Extensions: which there are, how they come and go, and the places where they plug in. Knows no PyTorch.

``extensions`` lists all that are installed, ``active()`` those that run.
"""

from __future__ import annotations

from modules.extensions.catalogue import Extension
from modules.extensions.current import HOST
from modules.extensions.metadata import CallbackOrderInfo, ExtensionMetadata

__all__ = [
    "CallbackOrderInfo",
    "Extension",
    "ExtensionMetadata",
    "active",
    "find_extension",
    "list_extensions",
]

extensions = HOST.catalogue.extensions
extension_paths = HOST.catalogue.by_path
loaded_extensions = HOST.catalogue.by_name


def active() -> list[Extension]:
    """The extensions that run, in the order in which they load."""
    return HOST.catalogue.active()


def list_extensions() -> None:
    """Read the folders of extensions again."""
    HOST.catalogue.refresh()


def find_extension(filename: str) -> Extension | None:
    """The extension that a file belongs to."""
    return HOST.catalogue.find(filename)
