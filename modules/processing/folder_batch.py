"""img2img over a folder: one job after the other, each with the prompt and the mask of its file."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageOps

from modules.errors import EaselError, InvalidInput, NotFound
from modules.images.conversion import eight_bit
from modules.images.metadata import read_info
from modules.images.saving import save_image
from modules.processing.hooks import NO_HOOKS, JobHooks
from modules.processing.img2img import paint_img2img
from modules.processing.infotext_parsing import parse_infotext
from modules.processing.result import Processed

if TYPE_CHECKING:
    from modules.options.view import SettingsView
    from modules.processing.engine import Engine
    from modules.processing.request import Img2ImgRequest
    from modules.sampling.monitor import Monitor

_log = logging.getLogger(__name__)

PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff")
MAX_PIXELS = 200_000_000

PNG_INFO_FIELDS: Mapping[str, str] = {
    "Seed": "seed",
    "CFG scale": "cfg_scale",
    "Sampler": "sampler_name",
    "Steps": "steps",
}
"""Entry of a generation text → field that it may replace; prompts are appended instead."""


@dataclass(frozen=True)
class FolderBatch:
    """What is done with a folder.

    ``pictures``: a folder, its pictures are taken in order of their names. ``output``: where the results go,
    under the names of their originals; ``None`` saves them as usual. ``masks``: a folder with one mask for
    all, or one of the same name for each. ``use_png_info``: take the ``properties`` ("Prompt",
    "Negative prompt", "Seed", "CFG scale", "Sampler", "Steps", "Model hash") from the text in each file, or
    in the file of the same name in ``png_info``. A text file of the same name beside a picture holds its own
    prompt. ``show``: how many results come back as pictures; -1 is all.
    """

    pictures: Path
    output: Path | None = None
    masks: Path | None = None
    use_png_info: bool = False
    properties: frozenset[str] = frozenset()
    png_info: Path | None = None
    show: int = 32


def paint_folder(
    request: Img2ImgRequest,
    folder: FolderBatch,
    engine: Engine,
    settings: SettingsView,
    monitor: Monitor,
    *,
    job_hooks: JobHooks = NO_HOOKS,
) -> Processed:
    """Paint from every picture of the folder. A file that cannot be done costs a warning, not the others.

    Raises ``NotFound`` for a folder without pictures. The ``info`` of the result is that of its first job.
    """
    files = _pictures_in(folder.pictures)
    masks = _pictures_in(folder.masks) if folder.masks is not None else ()
    monitor.begin_job(len(files) * request.n_iter)
    whole = Processed()
    for file in files:
        if monitor.interrupted or monitor.stopping_generation:
            break
        try:
            own, own_settings = _request_of(file, request, folder, masks, settings)
            result = paint_img2img(own, engine, own_settings, monitor, job_hooks=job_hooks, count_jobs=False)
            _take(whole, result, file, folder, own_settings)
        except EaselError as error:
            _log.warning("%s: %s", file.name, error)
            whole.warnings.append(f"{file.name}: {error}")
    return whole


def _pictures_in(folder: Path) -> tuple[Path, ...]:
    try:
        found = [path for path in folder.iterdir() if path.suffix.lower() in PICTURE_ENDINGS]
    except OSError as error:
        raise NotFound(f"The folder {folder} cannot be read: {error.strerror or error}.") from None
    if not found:
        raise NotFound(f"The folder {folder} holds no pictures; known endings are {PICTURE_ENDINGS}.")
    return tuple(sorted(found, key=lambda path: path.name))


def _open(file: Path) -> tuple[Image.Image, str | None]:
    """The picture, upright and of 8 bits, and the generation text in it."""
    try:
        with Image.open(file) as image:
            if image.width * image.height > MAX_PIXELS:
                raise InvalidInput(f"It has more than {MAX_PIXELS} pixels, which is the limit.")
            text, _ = read_info(image)
            return eight_bit(ImageOps.exif_transpose(image)), text
    except EaselError:
        raise
    except Exception as error:  # decoders of damaged files raise almost anything
        raise InvalidInput(f"It is not a readable picture ({type(error).__name__}).") from None


def _mask_of(file: Path, masks: Sequence[Path]) -> Image.Image | None:
    if not masks:
        return None
    own = masks[0] if len(masks) == 1 else next((one for one in masks if one.stem == file.stem), None)
    if own is None:
        raise NotFound("There is no mask of the same name.")
    return _open(own)[0]


def _request_of(
    file: Path,
    request: Img2ImgRequest,
    folder: FolderBatch,
    masks: Sequence[Path],
    settings: SettingsView,
) -> tuple[Img2ImgRequest, SettingsView]:
    """The request for one file, and the settings for it."""
    image, text = _open(file)
    changes: dict[str, Any] = {"init_images": [image], "prompt": request.prompt}
    if folder.masks is not None:
        changes["mask"] = _mask_of(file, masks)
    changes["do_not_save_samples"] = request.do_not_save_samples or folder.output is not None
    beside = file.with_suffix(".txt")
    if beside.is_file():
        changes["prompt"] = _joined(request.prompt, beside.read_text("utf-8", "replace").strip())
    if folder.use_png_info:
        if folder.png_info is not None:
            text = _open(folder.png_info / file.name)[1]
        entries = parse_infotext(text or "", settings, skip_fields=())
        chosen = {key: value for key, value in entries.items() if key in folder.properties}
        changes["prompt"] = _joined(changes["prompt"], str(chosen.get("Prompt", "")))
        changes["negative_prompt"] = _joined(request.negative_prompt, str(chosen.get("Negative prompt", "")))
        changes |= _numbers(chosen, request)
        if chosen.get("Model hash"):
            settings = settings.with_overrides({"sd_model_checkpoint": chosen["Model hash"]})
    return replace(request, **changes), settings


def _joined(*texts: str) -> str:
    return " ".join(text for text in texts if text)


def _numbers(chosen: Mapping[str, Any], request: Img2ImgRequest) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for entry, name in PNG_INFO_FIELDS.items():
        if entry not in chosen:
            continue
        kind = str if name == "sampler_name" else type(getattr(request, name))
        try:
            changes[name] = kind(chosen[entry])
        except ValueError:
            raise InvalidInput(f"Its text says {entry}: {chosen[entry]!r:.60}, which is no number.") from None
    return changes


def _take(
    whole: Processed, result: Processed, file: Path, folder: FolderBatch, settings: SettingsView
) -> None:
    """Save the pictures of one file, and add them to the answer as far as there is room."""
    if folder.output is not None:
        for index, (image, text) in enumerate(zip(result.images, result.infotexts, strict=True)):
            saved = save_image(
                image,
                folder.output,
                "",
                settings,
                infotext=text or None,
                forced_filename=f"{file.stem}-{index}" if index else file.stem,
                save_to_dirs=False,
            )
            result.saved.append(saved.path)
    room = len(result.images) if folder.show < 0 else max(folder.show - len(whole.images), 0)
    whole.images += result.images[:room]
    whole.infotexts += result.infotexts[:room]
    whole.saved += result.saved
    whole.warnings += result.warnings
    whole.info = whole.info or result.info
