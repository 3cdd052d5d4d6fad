"""The events behind Generate, Interrupt and Skip, the same for every generating tab."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from modules.ui.components import JS_EVENT, QUIET_EVENT, TabBuilder
from modules.ui.hires import SAME_CHECKPOINT, SAME_SAMPLER, SAME_SCHEDULER
from modules.ui.messages import error_html, notice_html
from modules.ui.results import ResultsPanel, show_result
from modules.ui.services import PageServices
from modules.ui.toprow import TopRow

Submit = Callable[[Mapping[str, Any], str], Any]

MAX_WAITING = 256
"""Pages that can wait for a result at once. A waiting thread is idle and costs little memory."""


def _waiting_room() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=MAX_WAITING, thread_name_prefix="page-wait")


@dataclass
class Generation:
    """The actions of one tab.

    Waiting for a job happens in threads of its own, so that a full house of waiting pages never
    keeps Interrupt, which runs on the event loop, from being heard.
    """

    gr: Any
    services: PageServices
    submit: Submit
    fields: Sequence[str]
    waiting: ThreadPoolExecutor = field(default_factory=_waiting_room)

    async def generate(self, task_id: str, *values: Any) -> list[Any]:
        """Queue a job with the values of the tab and show its result."""
        return await self._in_thread(lambda: self.submit(request_values(self.fields, values), task_id))

    async def restore(self, task_id: str) -> list[Any]:
        """Show the result of a job that was started before this page was loaded."""
        return await self._in_thread(lambda: self.services.find_task(task_id))

    async def interrupt(self, task_id: str | None) -> None:
        """First click: end after the picture at work, if the setting says so; else end now."""
        if not self.services.stop_generating(task_id or None):
            self.services.interrupt(task_id or None)

    async def interrupt_now(self, task_id: str | None) -> None:
        """End the job now."""
        self.services.interrupt(task_id or None)

    async def skip(self, task_id: str | None) -> None:
        """Go on with the next batch."""
        self.services.skip(task_id or None)

    async def _in_thread(self, start: Callable[[], Any]) -> list[Any]:
        return await asyncio.get_running_loop().run_in_executor(self.waiting, self._finish, start)

    def _finish(self, start: Callable[[], Any]) -> list[Any]:
        try:
            handle = start()
            if handle is None:
                return [*self._unchanged(), notice_html(FORGOTTEN)]
            return show_result(self.gr, self.services.wait(handle))
        except Exception as error:
            return [*self._unchanged(), error_html(error)]

    def _unchanged(self) -> list[Any]:
        return [self.gr.skip() for _ in range(3)]


SWITCHED: Mapping[str, tuple[str, ...]] = {
    "extra": ("subseed", "subseed_strength", "seed_resize_from_w", "seed_resize_from_h"),
    "enable_hr": (
        "denoising_strength",
        "hr_upscaler", "hr_second_pass_steps", "hr_scale", "hr_resize_x", "hr_resize_y", "hr_checkpoint_name",
        "hr_sampler_name", "hr_scheduler", "hr_prompt", "hr_negative_prompt",
    ),
    "refiner": ("refiner_checkpoint", "refiner_switch_at"),
}  # fmt: skip
"""Switch of the page → fields that count only while it is on."""

SWITCHES_ONLY = ("extra", "refiner")
"""Switches that are no fields of a request."""

SAME_AS_FIRST = (SAME_CHECKPOINT, SAME_SAMPLER, SAME_SCHEDULER)

FORGOTTEN = "The result of the earlier job is no longer held here. Its pictures are in the output folder."


def request_values(fields: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    """The values of the tab by request field.

    Empty boxes and "use the same" are left out, so the request's own defaults apply; so is everything
    that belongs to a switch that is off.
    """
    given = dict(zip(fields, values, strict=True))
    off = {name for switch, names in SWITCHED.items() if not given.get(switch, True) for name in names}
    return {
        name: value
        for name, value in given.items()
        if name not in off and name not in SWITCHES_ONLY and value is not None and value not in SAME_AS_FIRST
    }


def connect_generation(
    ui: TabBuilder,
    top: TopRow,
    panel: ResultsPanel,
    inputs: Mapping[str, Any],
    actions: Generation,
    *,
    submit_js: str = "submit",
) -> None:
    """Connect the buttons of the top row. ``inputs``: components by request field.

    ``submit_js`` names the function in the browser that puts the task id in front.
    """
    task_id = ui.hidden_text("task_id")
    outputs = panel.outputs()
    long: dict[str, Any] = {"show_progress": "hidden", "trigger_mode": "multiple", **QUIET_EVENT}
    finished: dict[str, Any] = {"fn": None, "js": f"() => {{ finishSubmit({ui.tab!r}); }}", **JS_EVENT}
    top.generate.click(actions.generate, [task_id, *inputs.values()], outputs, js=submit_js, **long).then(
        **finished
    )
    restore_js = f"restoreProgress{ui.tab[:1].upper()}{ui.tab[1:]}"
    top.restore.click(actions.restore, [task_id], outputs, js=restore_js, **long).then(**finished)

    quick: dict[str, Any] = {
        "queue": False,
        "show_progress": "hidden",
        "trigger_mode": "multiple",
        "js": f"() => [runningTask({ui.tab!r})]",
        **QUIET_EVENT,
    }
    top.interrupt.click(actions.interrupt, [task_id], None, **quick)
    top.interrupting.click(actions.interrupt_now, [task_id], None, **quick)
    top.skip.click(actions.skip, [task_id], None, **quick)
