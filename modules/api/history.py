"""The history of finished pictures. Plain functions: they read the disk, so they run in threads."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import Request
from starlette.responses import Response

from modules.api.fields import build_model
from modules.api.job_fields import ENTRY_CHANGE, REPAINT
from modules.api.jobs import Jobs, picture_file
from modules.api.orders import client_of
from modules.api.replies import Reply
from modules.api.services import ApiServices
from modules.errors import InvalidInput, NotFound
from modules.jobs.history import LARGEST_PAGE, PAGE_SIZE, Entry, History, Search
from modules.jobs.job import Job, create_task_id

if TYPE_CHECKING:
    from pydantic import BaseModel as EntryBody
    from pydantic import BaseModel as RepaintBody
else:
    EntryBody = build_model("HistoryChange", ENTRY_CHANGE)
    RepaintBody = build_model("HistoryRepaint", REPAINT)

LARGEST_ID = 2**63 - 1


class Pictures:
    """Looking for, marking, forgetting and repainting finished pictures."""

    def __init__(self, services: ApiServices, jobs: Jobs) -> None:
        self._services = services
        self._jobs = jobs

    @property
    def _history(self) -> History:
        if self._services.history is None:
            raise NotFound("This server keeps no history.")
        return self._services.history

    def find(
        self,
        *,
        text: str = "",
        model: str = "",
        after: float | None = None,
        before: float | None = None,
        favourite: bool | None = None,
        before_id: int | None = None,
        limit: int = PAGE_SIZE,
    ) -> Reply:
        """Finished pictures, newest first: all, or those of some words, a model, a time."""
        if not 1 <= limit <= LARGEST_PAGE:
            raise InvalidInput(f"limit is {limit}; expected 1 to {LARGEST_PAGE}.", "limit")
        last = None if before_id is None else _number(before_id)
        search = Search(text, model, after, before, favourite, last, limit)
        found = self._history.find(search)
        following = found[-1].id if len(found) == limit else None
        return Reply({"entries": [dataclasses.asdict(one) for one in found], "next": following})

    def models(self) -> Reply:
        """Names of the models that there are pictures of."""
        return Reply(self._history.models())

    def get(self, number: int) -> Reply:
        """One picture's entry."""
        return Reply(dataclasses.asdict(self._history.get(_number(number))))

    def picture(self, number: int) -> Response:
        """The file of a saved picture, if it lies in an output folder."""
        return picture_file(self._file(self._history.get(_number(number))))

    def mark(self, number: int, body: EntryBody) -> Reply:
        """Make a picture a favourite, or no longer."""
        favourite = bool(body.model_dump()["favourite"])
        return Reply(dataclasses.asdict(self._history.set_favourite(_number(number), favourite)))

    def delete(self, number: int, file: bool = False) -> Reply:
        """Forget a picture; with ``file=true`` remove its file too."""
        entry = self._history.get(_number(number))
        if file:
            try:
                self._file(entry).unlink(missing_ok=True)
            except OSError as error:
                raise NotFound(f"The file could not be removed: {error.strerror or error}.") from None
        self._history.delete(entry.id)
        return Reply(None)

    def repaint(self, number: int, request: Request, body: RepaintBody) -> Reply:
        """Queue a job that paints this picture again, with the settings and the model of that time."""
        recipe = self._history.recipe(_number(number))
        services = self._services
        settings = dict(recipe.settings)
        if not settings.get("sd_model_checkpoint"):
            settings["sd_model_checkpoint"] = recipe.model
        view = services.settings_of(settings)
        services.check(recipe.request, view)
        job = Job(
            id=create_task_id(recipe.kind),
            kind=recipe.kind,
            request=recipe.request,
            settings=view,
            overrides=recipe.overrides,
            client=client_of(request),
            priority=body.model_dump()["priority"] or 0,
            spool=True,
            notes={"parameters": _plain_fields(recipe.request), "send_images": True},
        )
        services.queue.submit(job)
        return Reply(self._jobs.status_of(job.id), status_code=202)

    def _file(self, entry: Entry) -> Path:
        """The file of a picture. Raises ``NotFound`` when it is none of the output folders' files."""
        if entry.path is None:
            raise NotFound(f"Picture number {entry.id} was not saved.")
        path = Path(entry.path).resolve()
        folders = [Path(folder).resolve() for folder in self._services.output_folders()]
        if not any(path.is_relative_to(folder) for folder in folders) or not path.is_file():
            raise NotFound(f"Picture number {entry.id} has no file in the output folders any more.")
        return path


def _number(value: int) -> int:
    if not 0 <= value <= LARGEST_ID:
        raise NotFound(f"There is no picture number {value} in the history.")
    return value


def _plain_fields(request: Any) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(request).items()
        if value is None or isinstance(value, (bool, int, float, str, list, dict))
    }
