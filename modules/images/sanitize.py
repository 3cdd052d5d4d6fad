"""Names of files and folders that every file system takes and that stay where they belong."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass

# Not allowed in names on Windows, or with a meaning in URLs and on other systems.
_FORBIDDEN = '#<>:"/\\|?*'
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])\s*(\.|$)", re.IGNORECASE)
# The limit of ext4, APFS and NTFS; the first two count bytes. Some room is left for counters.
_MAX_NAME_BYTES = 255
_ROOM_FOR_COUNTER = 16


@dataclass(frozen=True)
class NameRules:
    """``--filenames-max-length`` (characters of one part) and ``--unix-filenames-sanitization``."""

    max_length: int = 128
    unix: bool = False


DEFAULT_RULES = NameRules()


def sanitize_filename_part(
    text: str | None, replace_spaces: bool = True, rules: NameRules = DEFAULT_RULES
) -> str | None:
    """``text`` as a part of a file name.

    Forbidden characters become ``_`` (blanks too when ``replace_spaces``), leading blanks and
    trailing blanks and dots are cut, the rest is cut to the maximal length. With the rules of Unix
    only the slash is forbidden. Control characters and lone surrogates always become ``_``.
    """
    if text is None:
        return None
    if replace_spaces:
        text = text.replace(" ", "_")
    forbidden = "/" if rules.unix else _FORBIDDEN
    text = _UNPRINTABLE.sub("_", text.translate({ord(character): "_" for character in forbidden}))
    return text.lstrip(" ")[: max(rules.max_length, 1)].rstrip(" .")


def safe_stem(name: str, extension: str = "", rules: NameRules = DEFAULT_RULES) -> str:
    """A file name without its extension that can be written in any folder.

    Expects text without separators. Device names of Windows get an underscore, the whole name with
    ``extension`` and a counter stays under 255 bytes.
    """
    name = _UNPRINTABLE.sub("_", name).replace("/", "_")
    if not rules.unix:
        name = name.replace("\\", "_")
    if os.name == "nt":
        name = name.translate({ord(character): "_" for character in _FORBIDDEN})
    # Under a locale that is not UTF-8 some characters have no bytes in file names.
    codec = sys.getfilesystemencoding()
    name = name.encode(codec, "replace").decode(codec).replace("?", "_") if codec != "utf-8" else name
    room = _MAX_NAME_BYTES - _ROOM_FOR_COUNTER - len(extension)
    name = name.encode("utf-8")[:room].decode("utf-8", "ignore").rstrip(" .")
    if not rules.unix and _RESERVED.match(name):
        name = f"_{name}"
    return name


def safe_folders(path: str, rules: NameRules = DEFAULT_RULES) -> tuple[str, ...]:
    """The folder names in ``path``, cleaned; separators of both kinds, never a way up or a root."""
    separators = "/" if rules.unix else r"[/\\]"
    parts = (safe_stem(part.strip(" "), rules=rules) for part in re.split(separators, path))
    return tuple(part for part in parts if part)
