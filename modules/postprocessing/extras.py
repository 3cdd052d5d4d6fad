"""Jobs of the Extras tab: one picture, several, or a folder, through the chain and into files."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from modules.errors import EaselError, InvalidInput, NotFound
from modules.images.filenames import NameFields
from modules.images.metadata import PARAMETERS, read_info
from modules.images.sanitize import DEFAULT_RULES, NameRules
from modules.images.saving import SavedImage, save_image
from modules.images.text_html import plaintext_to_html
from modules.postprocessing.chain import check_arguments, info_text, run_chain
from modules.postprocessing.picture import PostprocessedImage
from modules.postprocessing.reading import open_file, upright
from modules.postprocessing.steps import Bench, Step, Values
from modules.postprocessing.table import STEPS
from modules.processing.text_file import write_text_atomically
from modules.sampling.monitor import SamplingInterrupted

_log = logging.getLogger(__name__)

SECTION = "postprocessing"
FILE_SECTION = "extras"
"""Names of the text in a picture that is sent, and in one that is saved."""


@dataclass(frozen=True)
class ExtrasRequest:
    """What to do with which pictures.

    ``pictures``: (picture, its file name or None). ``input_dir``: take every picture of that folder instead.
    ``arguments``: name of a step → its values. ``output_dir``: where the pictures of a folder go; else the
    folder of the settings. ``show_results``: whether the answer to a folder has its pictures.
    """

    pictures: tuple[tuple[Image.Image, str | None], ...] = ()
    arguments: Mapping[str, Values] = field(default_factory=dict)
    save: bool = False
    input_dir: Path | None = None
    output_dir: Path | None = None
    show_results: bool = True


@dataclass
class ExtrasResult:
    """Pictures with their postprocessing texts and the other texts to store in them.

    ``warnings`` are sentences about pictures that could not be read or saved; ``saved`` their files.
    """

    pictures: list[Image.Image] = field(default_factory=list)
    infotexts: list[str] = field(default_factory=list)
    items: list[dict[str, Any]] = field(default_factory=list)
    saved: list[SavedImage] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    last_text: str = ""

    @property
    def html_info(self) -> str:
        """The last text as one paragraph of HTML."""
        return plaintext_to_html(self.last_text)


@dataclass(frozen=True)
class Studio:
    """What outlives a job of this kind. ``data_dir``: folder that relative output folders lie in."""

    data_dir: Path
    name_rules: NameRules = DEFAULT_RULES
    steps: Sequence[Step] = STEPS


def paint_extras(request: ExtrasRequest, studio: Studio, bench: Bench) -> ExtrasResult:
    """Run the chain over every picture of the request.

    An interrupted job answers with what is finished; without anything finished it raises
    ``SamplingInterrupted``. In a batch a picture that cannot be read is named in ``warnings``. Raises
    ``InvalidInput``, ``NotFound`` and ``ModelFileError``.
    """
    check_arguments(studio.steps, request.arguments, bench)
    run, sources, monitor = _Run(request, studio, bench), _sources(request), bench.monitor
    monitor.begin_job(len(sources))
    for source, name in sources:
        if monitor.stopping_generation:
            break
        monitor.textinfo = name
        try:
            monitor.check()
            run.process(source, name)
        except SamplingInterrupted:
            if monitor.interrupted and not run.result.infotexts:
                raise
            if monitor.interrupted:
                break
        except _Unreadable as problem:
            run.result.warnings.append(str(problem))
        monitor.next_job()
    if run.result.warnings and not run.result.infotexts:
        raise InvalidInput(run.result.warnings[0])
    return run.result


class _Unreadable(EaselError):
    """A file of a folder is no picture."""


Source = Image.Image | Path


def _sources(request: ExtrasRequest) -> list[tuple[Source, str | None]]:
    if request.input_dir is None:
        return list(request.pictures)
    return [(path, path.name) for path in _listed(request.input_dir)]


def _listed(folder: Path) -> Iterator[Path]:
    """The files directly in ``folder``, by name. Raises ``NotFound``."""
    try:
        yield from sorted(
            path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")
        )
    except OSError as error:
        raise NotFound(f"The folder {folder} cannot be read: {error.strerror or error}.") from error


class _Run:
    """One job: takes its pictures one by one, collects what becomes of them."""

    def __init__(self, request: ExtrasRequest, studio: Studio, bench: Bench) -> None:
        self.request = request
        self.studio = studio
        self.bench = bench
        self.settings = bench.settings
        self.result = ExtrasResult()

    def process(self, source: Source, name: str | None) -> None:
        """One picture through the chain. Raises ``_Unreadable``."""
        try:
            image = open_file(source) if isinstance(source, Path) else upright(source)
        except (OSError, ValueError, SyntaxError) as error:
            raise _Unreadable(f"{name or 'The picture'} cannot be read as a picture: {error}.") from error
        text, items = read_info(image)
        existing = {**items, **({PARAMETERS: text} if text else {})}
        suffixes: dict[str, int] = {}
        for pp in run_chain(image, self.studio.steps, self.request.arguments, self.bench):
            info = info_text(pp.info)
            stored = {**existing, SECTION: info} if self.settings.enable_pnginfo else {}
            self.result.infotexts.append(info)
            self.result.last_text = info
            if self.request.save:
                self._save(pp, name, stored, pp.get_suffix(suffixes))
            if self.request.input_dir is None or self.request.show_results:
                self.result.pictures.append(pp.image)
                self.result.items.append(stored)

    def _save(self, pp: PostprocessedImage, name: str | None, stored: Mapping[str, Any], suffix: str) -> None:
        """Save the picture and its caption; what goes wrong becomes a warning."""
        settings = self.settings
        forced = Path(name).stem + suffix if settings.use_original_name_batch and name else None
        try:
            saved = save_image(
                pp.image,
                self._folder(),
                "",
                settings,
                fields=NameFields(rules=self.studio.name_rules),
                infotext=self.result.last_text,
                suffix=suffix,
                short_filename=True,
                forced_filename=forced,
                existing_info=stored,
                section=FILE_SECTION,
            )
            self.result.saved.append(saved)
            if pp.caption:
                _save_caption(saved.path.with_suffix(".txt"), pp.caption, settings)
        except (EaselError, OSError) as error:
            self.result.warnings.append(str(error))
            _log.warning("%s", error)

    def _folder(self) -> Path:
        if self.request.output_dir is not None:
            return self.request.output_dir
        named = self.settings.outdir_samples or self.settings.outdir_extras_samples
        return self.studio.data_dir / Path(named).expanduser()


def _save_caption(path: Path, caption: str, settings: Any) -> None:
    """Write the caption beside the picture; what is there already is treated as the settings say."""
    existing = path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else ""
    action = settings.postprocessing_existing_caption_action
    if existing and action == "Keep":
        return
    if existing and action == "Prepend":
        caption = f"{existing} {caption}"
    elif existing and action == "Append":
        caption = f"{caption} {existing}"
    write_text_atomically(path, caption.strip())
