"""Saving pictures: name, folder, format, metadata; never half a file, never over another picture.

A picture is encoded into a temporary file in its own folder and then given its name in one step.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from PIL import Image

from modules.errors import EaselError
from modules.images.filenames import DEFAULT_DIRECTORY_PATTERN, NameFields, expand
from modules.images.formats import FORMATS, ImageFormat, find_format
from modules.images.metadata import PARAMETERS, storable
from modules.images.sanitize import safe_folders, safe_stem

_log = logging.getLogger(__name__)

# Choosing a number and taking the name must not interleave between threads. Numbers belong to
# folders, which all parts of the process share, so the lock does too.
_NUMBERING = threading.Lock()
_MAX_ATTEMPTS = 10_000


class ImageNotSaved(EaselError):
    """A picture could not be written. It is kept in ``image`` and can be saved again elsewhere."""

    status = 507

    def __init__(self, message: str, image: Image.Image, path: Path) -> None:
        super().__init__(message)
        self.image = image
        self.path = path


@dataclass(frozen=True)
class SavedImage:
    """Where a picture went. ``copy_path`` is the smaller JPG of a large picture."""

    path: Path
    txt_path: Path | None = None
    copy_path: Path | None = None


@dataclass(frozen=True)
class PendingSave:
    """What is about to be saved; a ``before_save`` hook may return a changed one.

    ``path`` is the expected name. When the number in it is taken by another thread meanwhile, the
    next one is used, unless the hook chose another path.
    """

    image: Image.Image
    path: Path
    infotext: str | None
    texts: Mapping[str, Any] = field(default_factory=dict)


def save_image(
    image: Image.Image,
    directory: str | Path,
    basename: str,
    settings: Any,
    *,
    fields: NameFields | None = None,
    infotext: str | None = None,
    extension: str | None = None,
    suffix: str = "",
    grid: bool = False,
    short_filename: bool = False,
    forced_filename: str | None = None,
    save_to_dirs: bool | None = None,
    existing_info: Mapping[str, Any] | None = None,
    section: str = PARAMETERS,
    before_save: Callable[[PendingSave], PendingSave] | None = None,
) -> SavedImage:
    """Save a picture by the rules of the settings.

    ``settings`` is a SettingsView. ``fields`` fill the tokens of name and folder; without a seed in
    them the name is the number alone, as with ``short_filename``. ``extension`` defaults to the
    setting for pictures or grids. ``forced_filename`` (without extension) replaces pattern and
    number. ``existing_info`` are further texts for a PNG, ``section`` names the chunk of
    ``infotext``. Raises ImageNotSaved, which holds the picture, when it cannot be written.
    """
    names = replace(fields or NameFields(), image=image, basename=basename)
    names = replace(names, max_prompt_words=int(settings.directories_max_prompt_words))
    wanted = extension or (settings.grid_format if grid else settings.samples_format)
    name, row = _format_for(image, str(wanted))
    folder = Path(directory).joinpath(*_subfolders(settings, names, grid, save_to_dirs))
    if forced_filename is not None:
        namer = _fixed(folder / f"{safe_stem(forced_filename, name, names.rules)}.{name}", settings)
    else:
        decoration = "" if short_filename or names.seed is None else expand(_pattern(settings), names)
        namer = _namer(folder, names, settings, name, (decoration, suffix))
    pending = PendingSave(image, folder, infotext, _texts(settings, existing_info, section, infotext))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _NUMBERING:
            proposed = namer(0)
        pending = replace(pending, path=proposed)
        if before_save is not None:
            pending = before_save(pending)
        if pending.path != proposed:
            namer = _fixed(pending.path, settings)
        return _write(pending, row, namer, settings)
    except (OSError, ValueError) as error:  # ValueError: a path that cannot be written in this locale
        raise _not_saved(error, image, pending.path) from error


def save_image_as(
    image: Image.Image,
    path: str | Path,
    settings: Any,
    *,
    infotext: str | None = None,
    existing_info: Mapping[str, Any] | None = None,
    section: str = PARAMETERS,
) -> Path:
    """Save a picture at exactly ``path``, replacing what is there, in the format of its extension.

    Raises ImageNotSaved.
    """
    target = Path(path)
    found = find_format(target.suffix)
    row = found[1] if found else FORMATS["png"]
    pending = PendingSave(image, target, infotext, _texts(settings, existing_info, section, infotext))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = _encode(pending, row, settings)
        return _publish(temporary, _Namer(lambda attempt: target, True))
    except (OSError, ValueError) as error:
        raise _not_saved(error, image, target) from error


def next_sequence_number(directory: Path, basename: str = "") -> int:
    """One more than the highest number that starts a name in the folder (after ``basename-``)."""
    prefix = f"{basename}-" if basename else ""
    highest = -1
    with contextlib.suppress(FileNotFoundError):
        for entry in Path(directory).iterdir():
            if not entry.name.startswith(prefix):
                continue
            number = entry.stem[len(prefix) :].split("-")[0]
            # A run of more digits than a counter ever has is a date or a seed.
            if number.isascii() and number.isdigit() and len(number) < 16:
                highest = max(highest, int(number))
    return highest + 1


@dataclass(frozen=True)
class _Namer:
    """Gives the path for an attempt; ``overwrite`` when the first one may replace a file."""

    path: Callable[[int], Path]
    overwrite: bool

    def __call__(self, attempt: int) -> Path:
        return self.path(attempt)


def _format_for(image: Image.Image, extension: str) -> tuple[str, ImageFormat]:
    found = find_format(extension)
    if found is None:
        _log.warning(
            "%r is not a format for pictures; expected one of %s. The picture is saved as png.",
            extension,
            ", ".join(FORMATS),
        )
        return "png", FORMATS["png"]
    if not found[1].fits(image):
        _log.warning("A %s cannot hold %dx%d pixels; the picture is saved as png.", found[0], *image.size)
        return "png", FORMATS["png"]
    return found


def _subfolders(settings: Any, names: NameFields, grid: bool, wanted: bool | None) -> tuple[str, ...]:
    if wanted is None:
        wanted = settings.grid_save_to_dirs if grid else settings.save_to_dirs
    if not wanted:
        return ()
    return safe_folders(
        expand(settings.directories_filename_pattern or DEFAULT_DIRECTORY_PATTERN, names), names.rules
    )


def _texts(
    settings: Any, existing: Mapping[str, Any] | None, section: str, infotext: str | None
) -> dict[str, Any]:
    if not settings.enable_pnginfo:
        return {}
    texts = dict(existing or {})
    if infotext is not None:
        texts[section] = infotext
    return texts


def _namer(
    folder: Path, names: NameFields, settings: Any, extension: str, decoration: tuple[str, str]
) -> _Namer:
    """How a picture is called; ``decoration`` is what follows the number, and a suffix to it."""

    def clean(stem: str) -> str:
        return safe_stem(stem, extension, names.rules)

    # A separator in the pattern itself starts a folder; values of tokens hold none.
    *inner, last = safe_folders(decoration[0], names.rules) or ("",)
    last += decoration[1]
    target = folder.joinpath(*inner)
    if not settings.save_images_add_number and last:
        return _fixed(target / f"{clean(last)}.{extension}", settings)
    base = clean(names.basename)
    tail = f"-{last}" if last else ""

    def numbered(attempt: int) -> Path:
        number = next_sequence_number(target, base) + attempt
        head = f"{base}-{number:04}" if base else f"{number:05}"
        return target / f"{clean(head + tail)}.{extension}"

    return _Namer(numbered, False)


def _pattern(settings: Any) -> str:
    default = "[seed]" if settings.save_to_dirs else "[seed]-[prompt_spaces]"
    return settings.samples_filename_pattern or default


def _fixed(path: Path, settings: Any) -> _Namer:
    def attempt(number: int) -> Path:
        return path if number == 0 else path.with_name(f"{path.stem}-{number}{path.suffix}")

    return _Namer(attempt, settings.save_images_replace_action == "Replace")


def _write(pending: PendingSave, row: ImageFormat, namer: _Namer, settings: Any) -> SavedImage:
    pending.path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _encode(pending, row, settings)
    path = _publish(temporary, namer)
    # The picture is safe now: trouble with its companions is reported and no more.
    txt_path = _companion("text file", lambda: _text_file(pending.infotext, path, row, settings))
    return SavedImage(
        path, txt_path, _companion("smaller copy", lambda: _small_copy(pending, path, settings))
    )


def _companion(what: str, save: Callable[[], Path | None]) -> Path | None:
    try:
        return save()
    except OSError as error:
        _log.warning("The picture is saved, but its %s is not: %s.", what, error.strerror or error)
        return None


def _text_file(infotext: str | None, path: Path, row: ImageFormat, settings: Any) -> Path | None:
    """Write the generation text beside the picture: when asked for, or when the format cannot hold it."""
    if infotext is None or not (settings.save_txt or (settings.enable_pnginfo and not row.holds(infotext))):
        return None
    txt_path = path.with_suffix(".txt")
    txt_path.write_text(storable(infotext) + "\n", encoding="utf-8")
    return txt_path


def _encode(pending: PendingSave, row: ImageFormat, settings: Any) -> Path:
    temporary = pending.path.with_name(f".{secrets.token_hex(8)}.tmp")
    infotext = pending.infotext if settings.enable_pnginfo else None
    try:
        descriptor = os.open(
            temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666
        )
        with os.fdopen(descriptor, "w+b") as file:
            row.encode(pending.image, file, settings, pending.texts, infotext)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _publish(temporary: Path, namer: _Namer) -> Path:
    """Give the finished file its name, without ever replacing another one unless that is wanted."""
    try:
        with _NUMBERING:
            for attempt in range(_MAX_ATTEMPTS):
                path = namer(attempt)
                if namer.overwrite:
                    temporary.replace(path)
                    return path
                try:
                    _rename_new(temporary, path)
                    return path
                except FileExistsError:
                    continue
        raise FileExistsError(errno.EEXIST, "all names are taken", str(path))
    finally:
        temporary.unlink(missing_ok=True)


def _rename_new(source: Path, target: Path) -> None:
    """Rename, or raise FileExistsError; two processes that want one name get two answers."""
    if os.name == "nt":
        source.rename(target)  # refuses an existing target there
        return
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        # No hard links here (FAT, some network drives): take the name with an empty file first.
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        source.replace(target)


def _small_copy(pending: PendingSave, path: Path, settings: Any) -> Path | None:
    """Save a JPG beside a picture that is over the limits of size in bytes or of side in pixels."""
    if not settings.export_for_4chan:
        return None
    image, limit = pending.image, int(settings.target_side_length)
    oversize = limit > 0 and max(image.size) > limit
    if not oversize and path.stat().st_size <= float(settings.img_downscale_threshold) * 1024 * 1024:
        return None
    if oversize:
        ratio = limit / max(image.size)
        size = (max(1, round(image.width * ratio)), max(1, round(image.height * ratio)))
        image = _resized(image, size)
    copy = replace(pending, image=image, path=path.with_suffix(".jpg"))
    temporary = _encode(copy, FORMATS["jpg"], settings)

    def attempt(number: int) -> Path:
        name = path.with_suffix(".jpg")
        return name if number == 0 else name.with_name(f"{name.stem}-{number}.jpg")

    # Replacing is right for the copy of a picture that was itself replaced, never for the picture.
    replaces = settings.save_images_replace_action == "Replace" and path.suffix != ".jpg"
    return _publish(temporary, _Namer(attempt, replaces and not settings.save_images_add_number))


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    try:
        return image.resize(size, Image.Resampling.LANCZOS)
    except ValueError:
        return image.resize(size)  # modes such as palette and 1 bit know no filter


def _not_saved(error: OSError | ValueError, image: Image.Image, path: Path) -> ImageNotSaved:
    code = error.errno if isinstance(error, OSError) else None
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    remedy = {
        errno.ENOSPC: "Make room on the disk",
        errno.EACCES: "Give write permission, or choose another output folder in the settings",
        errno.EROFS: "Choose an output folder in the settings that can be written",
    }.get(code or 0, "Check the output folder in the settings")
    return ImageNotSaved(
        f"The picture could not be saved in {path.parent} ({reason}). {remedy}; the picture is kept.",
        image,
        path,
    )
