"""What the pages ask of the program: one protocol, wired up in webui.py, faked in the tests.

All methods may be called from several threads at once. Expected failures are raised as
``EaselError``; the page shows their message where the action was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from modules.ui.infotext_services import InfotextServices
from modules.ui.setting_services import SettingServices

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class CheckpointList:
    """What the checkpoint dropdown shows.

    ``titles``: choices in order; ``current``: the title in use, or ``None`` when there is none;
    ``folder``: where a user is told to put model files.
    """

    titles: tuple[str, ...] = ()
    current: str | None = None
    folder: str = ""


@dataclass(frozen=True)
class Picture:
    """One picture of a result: the saved file, or the pixels when it was not saved.

    The file is preferred, since it carries the infotext and is served without a copy.
    """

    infotext: str = ""
    path: Path | None = None
    image: Image | None = None


@dataclass(frozen=True)
class PageResult:
    """What a finished job gives to the page.

    ``info`` holds the fields of the reference's ``info`` object (``infotexts``, ``all_seeds``,
    ``index_of_first_image``, ...); ``warnings`` are sentences; ``seconds`` is the time the job ran.
    """

    pictures: tuple[Picture, ...] = ()
    info: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    seconds: float | None = None


class PageServices(SettingServices, InfotextServices, Protocol):
    """The program as the pages see it.

    A handle is whatever ``submit_txt2img`` and ``find_task`` return; the page only gives it back to
    ``wait``. Task ids are made by the browser: ``task(<15 base-36 characters>)``.
    """

    version: str

    def defaults(self) -> Mapping[str, Any]:
        """Stored values of ui-config.json, for instance ``{"txt2img/Width/value": 640}``."""

    def browser_settings(self) -> Mapping[str, Any]:
        """The settings that scripts in the browser read as ``opts``; must be JSON."""

    def sampler_names(self) -> Sequence[str]:
        """Names of the visible samplers, in order."""

    def scheduler_labels(self) -> Sequence[str]:
        """Labels of the schedulers, in order."""

    def style_names(self) -> Sequence[str]:
        """Names of the stored styles, in order."""

    def apply_styles(self, prompt: str, negative_prompt: str, names: Sequence[str]) -> tuple[str, str]:
        """Both prompts with the named styles written into them."""

    def count_tokens(self, text: str, styles: Sequence[str], negative: bool) -> tuple[int, int]:
        """Tokens of a prompt with its styles, and the length of the chunks that hold them."""

    def checkpoints(self) -> CheckpointList:
        """The known checkpoints, without looking at the disk."""

    def refresh_checkpoints(self) -> CheckpointList:
        """The checkpoints after reading the model folders again."""

    def select_checkpoint(self, title: str) -> None:
        """Use this checkpoint from the next job on; returns when that is certain."""

    def submit_txt2img(self, values: Mapping[str, Any], task_id: str) -> Any:
        """Queue a job and return its handle.

        ``values`` has the field names of ``Txt2ImgRequest``; fields the page does not show are absent.
        """

    def submit_img2img(self, values: Mapping[str, Any], task_id: str) -> Any:
        """Queue a job and return its handle. ``values`` has the field names of ``Img2ImgRequest``."""

    def find_task(self, task_id: str) -> Any | None:
        """Handle of a waiting, running or recently finished job, or ``None``."""

    def wait(self, handle: Any) -> PageResult:
        """Block until the job is finished; its failure is raised. Any number of callers may wait."""

    def interrupt(self, task_id: str | None) -> None:
        """End the job at once (a waiting one: cancel it); ``None`` means the running one."""

    def skip(self, task_id: str | None) -> None:
        """End the present batch of the running job and go on with the next."""

    def stop_generating(self, task_id: str | None) -> bool:
        """End the job after the picture at work; ``False`` when the user wants it at once.

        That is the case when the setting ``interrupt_after_current`` is off or nothing would follow;
        the page then calls ``interrupt``.
        """
