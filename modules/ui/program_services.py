"""The pages' view of the program: the real ``PageServices``."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from modules.errors import NotFound
from modules.jobs.control import end_task, skip_task, stop_task_after_batch
from modules.jobs.job import Job
from modules.jobs.program import Program
from modules.launcher.versions import program_version
from modules.processing.request import Img2ImgRequest, Txt2ImgRequest
from modules.processing.validation import validate
from modules.ui.program_infotext import ProgramInfotext
from modules.ui.program_settings import ProgramSettings
from modules.ui.services import CheckpointList, PageResult, Picture


class ProgramServices(ProgramSettings, ProgramInfotext):
    """Hands what the pages ask for to the queue, the settings and the catalogue.

    ``reload_page`` builds and mounts the page anew.
    """

    def __init__(self, program: Program, reload_page: Callable[[], None]) -> None:
        super().__init__(program)
        self._reload_page = reload_page
        self.version = program_version(program.paths.install_dir)

    # What the page shows

    def browser_settings(self) -> Mapping[str, Any]:
        """The settings that scripts in the browser read as ``opts``."""
        return json.loads(self._program.options.dumpjson())

    def sampler_names(self) -> Sequence[str]:
        """Names of the samplers that the settings do not hide."""
        from modules.sampling.samplers import SAMPLERS

        hidden = set(self._program.options.hide_samplers)
        return [row.name for row in SAMPLERS if row.name not in hidden]

    def scheduler_labels(self) -> Sequence[str]:
        """Labels of the schedule types."""
        from modules.sampling.schedulers import SCHEDULERS

        return [row.label for row in SCHEDULERS]

    def style_names(self) -> Sequence[str]:
        """Names of the stored styles."""
        return list(self._program.styles.styles)

    def apply_styles(self, prompt: str, negative_prompt: str, names: Sequence[str]) -> tuple[str, str]:
        """Both prompts with the styles written into them."""
        styles = self._program.styles
        return (
            styles.apply_styles_to_prompt(prompt, names),
            styles.apply_negative_styles_to_prompt(negative_prompt, names),
        )

    def count_tokens(self, text: str, styles: Sequence[str], negative: bool) -> tuple[int, int]:
        """Tokens of a prompt with its styles, and the length of the chunks that hold them."""
        from modules.prompts.comments import strip_comments
        from modules.prompts.counter import count_prompt
        from modules.prompts.tokenizer import ClipTokenizer

        database, options = self._program.styles, self._program.options
        apply = database.apply_negative_styles_to_prompt if negative else database.apply_styles_to_prompt
        prompt = apply(text, styles)
        if options.enable_prompt_comments:
            prompt = strip_comments(prompt)
        return count_prompt(
            prompt,
            ClipTokenizer(),
            positive=not negative,
            emphasis=options.emphasis,
            comma_padding_backtrack=int(options.comma_padding_backtrack),
        )

    # Checkpoints

    def checkpoints(self) -> CheckpointList:
        """The known checkpoints and the one in use."""
        catalogue = self._program.catalogue
        titles = tuple(info.title for info in catalogue.infos)
        chosen = catalogue.find(self._program.options.sd_model_checkpoint)
        current = chosen.title if chosen is not None else (titles[0] if titles else None)
        return CheckpointList(titles, current, str(self._program.paths.checkpoint_dirs[-1]))

    def refresh_checkpoints(self) -> CheckpointList:
        """The checkpoints after reading the folders again."""
        self._program.catalogue.refresh()
        return self.checkpoints()

    def select_checkpoint(self, title: str) -> None:
        """Load the checkpoint and make it the setting. Raises what a user is to see."""
        if self._program.catalogue.find(title) is None:
            raise NotFound(f"There is no checkpoint {title!r}. Refresh the list and choose one of it.")
        self._program.options.set("sd_model_checkpoint", title)
        self._program.save_settings()

    def reload_page(self) -> None:
        """Build the page anew, in a thread without the context of the event that asks for it."""
        with ThreadPoolExecutor(max_workers=1) as executor:
            executor.submit(self._reload_page).result()

    # Jobs

    def submit_txt2img(self, values: Mapping[str, Any], task_id: str) -> Future[Any]:
        """Queue a job and return the future of its result."""
        return self._submit("txt2img", Txt2ImgRequest, values, task_id)

    def submit_img2img(self, values: Mapping[str, Any], task_id: str) -> Future[Any]:
        """Queue a job and return the future of its result."""
        return self._submit("img2img", Img2ImgRequest, values, task_id)

    def _submit(self, kind: str, make: Any, values: Mapping[str, Any], task_id: str) -> Future[Any]:
        fields = dict(values)
        overrides = self.overrides(fields.pop("override_texts", None) or ())
        request = make(**fields, override_settings=overrides)
        validate(request)
        settings = self._program.options.view(overrides)
        job = Job(id=task_id, kind=kind, request=request, settings=settings, overrides=overrides)
        return self._program.queue.submit(job)

    def find_task(self, task_id: str) -> Future[Any] | None:
        """The future of a waiting, running or recently ended job."""
        return self._program.queue.future(task_id)

    def wait(self, handle: Future[Any]) -> PageResult:
        """The result of a job, as the page shows it; its failure is raised."""
        begun = time.monotonic()
        processed = handle.result()
        pictures = tuple(
            Picture(text, _saved_file(image), image)
            for image, text in zip(processed.images, processed.infotexts, strict=False)
        )
        return PageResult(
            pictures, processed.info, tuple(processed.warnings), seconds=time.monotonic() - begun
        )

    def interrupt(self, task_id: str | None) -> None:
        """End the job now; ``None`` means the running one."""
        if task_id is None:
            self._program.state.interrupt()
        else:
            end_task(self._program.queue, self._program.state, task_id)

    def skip(self, task_id: str | None) -> None:
        """End the present batch of the job."""
        if task_id is None:
            self._program.state.skip()
        else:
            skip_task(self._program.queue, self._program.state, task_id)

    def stop_generating(self, task_id: str | None) -> bool:
        """End the job after the picture at work; ``False`` asks the page to interrupt at once."""
        state = self._program.state
        if not self._program.options.interrupt_after_current or state.job_count <= 1:
            return False
        if task_id is None:
            return state.stop_generating()
        return stop_task_after_batch(self._program.queue, state, task_id)


def _saved_file(image: Any) -> Path | None:
    name = image.info.get("saved_as")
    return Path(name) if name else None
