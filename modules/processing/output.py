"""Pictures of a job → texts, files, grid and the answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modules.errors import EaselError
from modules.images.filenames import NameFields
from modules.images.grids import image_grid
from modules.images.saving import save_image
from modules.processing.facts import JobFacts
from modules.processing.infotext import create_infotext
from modules.processing.networks import LEFT_OUT
from modules.processing.request import Img2ImgRequest
from modules.processing.result import Processed
from modules.processing.text_file import write_text_atomically

if TYPE_CHECKING:
    from PIL.Image import Image

    from modules.processing.engine import Engine
    from modules.processing.preparation import Prepared

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Companion:
    """A picture that belongs to a painted one, for instance its mask: shown, saved, or both.

    Its file has the name of a picture with ``suffix``; in the answer it has no text.
    """

    image: Image
    suffix: str
    show: bool = False
    save: bool = False


class Output:
    """Collects the pictures of one job, saves each as soon as it is there, and makes the answer.

    A picture that cannot be saved stays in the answer, with a sentence in ``warnings``.
    """

    def __init__(self, job: Prepared, engine: Engine, job_timestamp: str | None = None) -> None:
        self.job = job
        self.engine = engine
        self.facts = JobFacts(job, engine)
        self.processed = Processed()
        self.extra: dict[str, Any] = {}
        self._painted: list[Image] = []
        self._rows: list[int] = []
        self._batch_rows: Sequence[int] = ()
        self._timestamp = job_timestamp or time.strftime("%Y%m%d%H%M%S")

    def begin_batch(self, rows: Sequence[int], extra: Mapping[str, Any]) -> None:
        """The next pictures are numbers ``rows`` of the job; ``extra`` are entries of their texts."""
        self._batch_rows = rows
        self.extra.update(extra)
        if rows and rows[0] == 0 and self.engine.keep_last_infotext:
            self._keep_last_infotext()

    def add_batch(
        self,
        pictures: Sequence[Image],
        extra: Mapping[str, Any],
        *,
        complete: bool,
        companions: Sequence[Sequence[Companion]] = (),
    ) -> None:
        """Take the pictures of the batch; an incomplete one is saved only if the settings say so.

        ``companions`` has one list a picture, or is empty.
        """
        self.extra.update(extra)
        pictures = self.job.hooks.pictures(pictures, self._batch_rows)
        self._note_networks()
        settings, request = self.job.settings, self.job.request
        keep = complete or settings.save_incomplete_images
        save = settings.samples_save and not request.do_not_save_samples and keep
        for index, (picture, row) in enumerate(zip(pictures, self._batch_rows, strict=False)):
            text = self.infotext(row)
            if settings.enable_pnginfo:
                picture.info["parameters"] = text
            self.processed.images.append(picture)
            self.processed.infotexts.append(text)
            self._painted.append(picture)
            self._rows.append(row)
            if save:
                self._save(picture, row, text)
            for companion in companions[index] if companions else ():
                self._add_companion(companion, row, text, save)

    def restored(self, pictures: Sequence[Image]) -> Sequence[Image]:
        """The pictures of the batch with their faces restored, when the job asks for it."""
        if self.facts.face_restoration is None:
            return pictures
        settings = self.job.settings
        if settings.save_images_before_face_restoration:
            for picture, row in zip(pictures, self._batch_rows, strict=False):
                self.save_intermediate(picture, row, "-before-face-restoration")
        return [self.engine.faces.restore_by_settings(picture, settings) for picture in pictures]

    def _note_networks(self) -> None:
        """Say in text and answer which networks of the prompt are not in the pictures."""
        names = ", ".join(self.job.model.patches.problems)
        if names and self.extra.get(LEFT_OUT) != names:
            self.extra[LEFT_OUT] = names
            self.warn(f"Not all networks of the prompt could be used: {names}. The log says why.")

    def _add_companion(self, companion: Companion, row: int, text: str, save: bool) -> None:
        if save and companion.save:
            self._save(companion.image, row, text, suffix=companion.suffix)
        if companion.show:
            self.processed.images.append(companion.image)
            self.processed.infotexts.append("")

    def save_intermediate(self, picture: Image, row: int, suffix: str) -> None:
        """Save a stage of picture ``row`` under its name and ``suffix``, if pictures are saved at all."""
        settings = self.job.settings
        if settings.samples_save and not self.job.request.do_not_save_samples:
            text = self.infotext(row)
            if settings.enable_pnginfo:
                picture.info["parameters"] = text
            self._save(picture, row, text, suffix=suffix)

    def infotext(self, row: int) -> str:
        """The text of picture number ``row`` of the job."""
        return create_infotext(self.facts.fields(row, self._entries(row)), self.job.settings, row)

    def _entries(self, row: int | None) -> dict[str, Any]:
        return {**self.extra, **self.job.hooks.entries(row)}

    def grid_infotext(self) -> str:
        """The text of the grid: the main prompt and the first seed."""
        return create_infotext(self.facts.fields(None, self._entries(None)), self.job.settings, 0)

    def finish(self) -> Processed:
        """Add the grid when one is wanted, and fill in the facts of the answer."""
        settings, request = self.job.settings, self.job.request
        count = len(self._painted)
        wanted = (settings.return_grid or settings.grid_save) and not request.do_not_save_grid
        if wanted and count and not (count < 2 and settings.grid_only_if_multiple):
            self._add_grid()
        entries = self._entries(self._rows[0] if self._rows else None)
        self.processed.info = self.facts.info(self.processed, self._rows, entries, self._timestamp)
        return self.processed

    def _add_grid(self) -> None:
        settings = self.job.settings
        try:
            grid = image_grid(
                self._painted,
                self.job.request.batch_size,
                n_rows=int(settings.n_rows),
                prevent_empty_spots=settings.grid_prevent_empty_spots,
                background=settings.grid_background_color,
                max_megapixels=settings.img_max_size_mp,
            )
        except EaselError as error:
            self.warn(str(error))
            return
        text = self.grid_infotext()
        if settings.enable_pnginfo:
            grid.info["parameters"] = text
        if settings.return_grid:
            self.processed.images.insert(0, grid)
            self.processed.infotexts.insert(0, text)
            self.processed.index_of_first_image = 1
        if settings.grid_save:
            self._save(grid, self._rows[0], text, grid=True)

    def _save(self, picture: Image, row: int, text: str, *, grid: bool = False, suffix: str = "") -> None:
        settings = self.job.settings
        folder = settings.outdir_grids if grid else settings.outdir_samples
        if not folder:
            kind = "img2img" if isinstance(self.job.request, Img2ImgRequest) else "txt2img"
            folder = getattr(settings, f"outdir_{kind}_{'grids' if grid else 'samples'}")
        try:
            saved = save_image(
                picture,
                self.engine.folder(folder),
                "grid" if grid else "",
                settings,
                fields=self._name_fields(row),
                infotext=text,
                suffix=suffix,
                grid=grid,
                short_filename=grid and not settings.grid_extended_filename,
                before_save=self.job.hooks.before_save,
            )
        except EaselError as error:
            self.warn(str(error))
            return
        picture.info["saved_as"] = str(saved.path)
        self.processed.saved.append(saved.path)
        self.job.hooks.saved(picture, saved.path, text)

    def warn(self, sentence: str) -> None:
        """Tell the user something with the answer."""
        _log.warning("%s", sentence)
        self.processed.warnings.append(sentence)

    def _name_fields(self, row: int) -> NameFields:
        request, job = self.job.request, self.job
        return NameFields(
            seed=job.seeds.seeds[row],
            prompt=job.prompts[row],
            negative_prompt=job.negative_prompts[row],
            all_seeds=job.seeds.seeds,
            steps=request.steps,
            cfg=request.cfg_scale,
            sampler=job.sampler.name,
            scheduler=job.scheduler,
            default_scheduler=self.facts.default_scheduler,
            model_hash=self.facts.model_hash,
            model_name=job.model.info.name_for_extra,
            vae_filename=self.facts.vae_name,
            styles=request.styles,
            style_prompts=self.engine.styles.prompts(request.styles),
            batch_size=request.batch_size,
            n_iter=request.n_iter,
            batch_index=row % request.batch_size,
            iteration=row // request.batch_size,
            clip_skip=job.text_options.clip_skip,
            denoising=request.denoising_strength,
            user=request.user,
            job_timestamp=self._timestamp,
            rules=self.engine.name_rules,
        )

    def _keep_last_infotext(self) -> None:
        try:
            write_text_atomically(self.engine.data_dir / "params.txt", self.infotext(0))
        except OSError as error:
            _log.warning("params.txt could not be written: %s", error)
