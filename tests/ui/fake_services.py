"""A program behind the page that paints coloured pictures slowly and obeys the stop verbs."""

from __future__ import annotations

import base64
import colorsys
import io
import itertools
import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from PIL import Image, PngImagePlugin

from modules.errors import InvalidInput, ModelFileError, NotFound
from modules.options.flags import parse_flags
from modules.options.paths import Paths
from modules.options.settings import default_options
from modules.prompts.styles import StyleDatabase
from modules.ui.assets import ROOT
from modules.ui.program_infotext import ProgramInfotext
from modules.ui.program_settings import ProgramSettings
from modules.ui.services import CheckpointList, PageResult, Picture
from modules.ui.setting_services import SettingsSection

SAMPLERS = ("DPM++ 2M", "DPM++ SDE", "Euler a", "Euler", "LMS", "Heun", "DDIM", "UniPC")
SHOWN_SECTIONS = ("sd", "vae")
SCHEDULERS = ("Automatic", "Uniform", "Karras", "Exponential", "Simple", "Normal")


@dataclass
class FakeJob:
    """One job: what was asked, how far it is, and what came of it."""

    task_id: str
    values: Mapping[str, Any]
    done: threading.Event = field(default_factory=threading.Event)
    result: PageResult | None = None
    error: Exception | None = None
    step: int = 0
    started: float | None = None
    preview: bytes = b""
    preview_id: int = -1
    interrupted: bool = False
    skipped: bool = False
    stopping: bool = False

    @property
    def total(self) -> int:
        return int(self.values["steps"]) * int(self.values["n_iter"])


class FakeServices(ProgramSettings, ProgramInfotext):
    """``PageServices`` over one painting thread, with the real settings."""

    version = "test"

    def __init__(self, folder: Path, step_seconds: float = 0.02) -> None:
        super().__init__(settings_program(folder))
        self.options = self._program.options
        self.every_setting = False
        self.reloads = 0
        self.folder = folder
        self.step_seconds = step_seconds
        self.titles: tuple[str, ...] = (
            "lighthouse-v1.safetensors [0a1b2c3d4e]",
            "harbour.safetensors [77777777aa]",
        )
        self.on_disk = self.titles
        self.current: str | None = self.titles[0]
        self.broken_titles: set[str] = set()
        self.styles = ("ink", "oil & <b>brush</b>")
        self.stored: dict[str, Any] = {}
        self.settings: dict[str, Any] = {"live_preview_refresh_period": 100, "show_progress_in_title": True}
        self.polite = True
        self.fail_next: Exception | None = None
        self.calls: list[str] = []
        self.jobs: dict[str, FakeJob] = {}
        self.waiting: list[FakeJob] = []
        self._numbers = itertools.count(1)
        self._arrived = threading.Condition()
        threading.Thread(target=self._work, daemon=True).start()

    def defaults(self) -> Mapping[str, Any]:
        return self.stored

    def browser_settings(self) -> Mapping[str, Any]:
        return {**json.loads(self.options.dumpjson()), **self.settings}

    def settings_sections(self) -> Sequence[SettingsSection]:
        """Few settings unless all are wanted: a page with all of them takes longer to build and open."""
        sections = super().settings_sections()
        return sections if self.every_setting else [one for one in sections if one.id in SHOWN_SECTIONS]

    def checkpoint_title(self, name: str) -> str | None:
        return next((title for title in self.titles if name in title), None)

    def hires_upscalers(self) -> Sequence[str]:
        return ("Latent", "Latent (bicubic)", "None", "Lanczos")

    def save_defaults(self, values: Mapping[str, Any]) -> None:
        self.stored = {**self.stored, **values}

    def reload_page(self) -> None:
        self.reloads += 1

    def unload_model(self) -> None:
        raise NotFound("There is no model in memory.")

    def sampler_names(self) -> Sequence[str]:
        return SAMPLERS

    def scheduler_labels(self) -> Sequence[str]:
        return SCHEDULERS

    def style_names(self) -> Sequence[str]:
        return self.styles

    def apply_styles(self, prompt: str, negative_prompt: str, names: Sequence[str]) -> tuple[str, str]:
        return ", ".join([prompt, *names]), negative_prompt

    def count_tokens(self, text: str, styles: Sequence[str], negative: bool) -> tuple[int, int]:
        tokens = len(text.split()) + len(styles)
        return tokens, max(-(-tokens // 75), 1) * 75

    def checkpoints(self) -> CheckpointList:
        return CheckpointList(self.titles, self.current, str(self.folder / "models" / "Stable-diffusion"))

    def refresh_checkpoints(self) -> CheckpointList:
        self.titles = self.on_disk
        self.current = self.current or next(iter(self.titles), None)
        return self.checkpoints()

    def select_checkpoint(self, title: str) -> None:
        if title in self.broken_titles:
            raise ModelFileError(f"{title}: 12 bytes are missing at the end. Download the file again.")
        if title not in self.titles:
            raise NotFound(f"No checkpoint is called {title}.")
        self.current = title

    def submit_txt2img(self, values: Mapping[str, Any], task_id: str) -> FakeJob:
        if not self.titles:
            raise NotFound(f"There is no checkpoint. Put one into {self.folder}.")
        if values["width"] % 8:
            raise InvalidInput(f"width is {values['width']}; it must be a multiple of 8.", field="width")
        job = FakeJob(task_id, values)
        with self._arrived:
            self.jobs[task_id] = job
            self.waiting.append(job)
            self._arrived.notify_all()
        return job

    def submit_img2img(self, values: Mapping[str, Any], task_id: str) -> FakeJob:
        return self.submit_txt2img(values, task_id)

    def find_task(self, task_id: str) -> FakeJob | None:
        return self.jobs.get(task_id)

    def wait(self, handle: FakeJob) -> PageResult:
        handle.done.wait()
        if handle.error is not None:
            raise handle.error
        assert handle.result is not None
        return handle.result

    def interrupt(self, task_id: str | None) -> None:
        self.calls.append("interrupt")
        for job in self._running(task_id):
            job.interrupted = True

    def skip(self, task_id: str | None) -> None:
        self.calls.append("skip")
        for job in self._running(task_id):
            job.skipped = True

    def stop_generating(self, task_id: str | None) -> bool:
        jobs = [job for job in self._running(task_id) if int(job.values["n_iter"]) > 1 and not job.stopping]
        if not (self.polite and jobs):
            return False
        self.calls.append("stop_generating")
        for job in jobs:
            job.stopping = True
        return True

    def progress(self, task_id: str, live_preview: bool, id_live_preview: int) -> dict[str, Any]:
        """The answer of ``POST /internal/progress``."""
        job = self.jobs.get(task_id)
        answer: dict[str, Any] = {
            "active": False, "queued": False, "completed": False, "progress": None, "eta": None,
            "live_preview": None, "id_live_preview": -1, "textinfo": "Waiting...",
        }  # fmt: skip
        if job is None:
            return answer
        answer["completed"] = job.done.is_set()
        answer["queued"] = job in self.waiting
        if answer["queued"]:
            place = self.waiting.index(job) + 1
            answer["textinfo"] = f"In queue: {place}/{len(self.waiting)}"
        if job.started is None or answer["completed"]:
            return answer
        answer.update(active=True, textinfo=None, progress=job.step / job.total)
        passed = time.monotonic() - job.started
        answer["eta"] = passed / max(job.step, 1) * (job.total - job.step)
        if live_preview and job.preview_id != id_live_preview:
            answer["live_preview"] = "data:image/png;base64," + base64.b64encode(job.preview).decode()
        answer["id_live_preview"] = job.preview_id
        return answer

    def _running(self, task_id: str | None) -> list[FakeJob]:
        return [job for job in self.jobs.values() if not job.done.is_set() and task_id in (None, job.task_id)]

    def _work(self) -> None:
        while True:
            with self._arrived:
                self._arrived.wait_for(lambda: self.waiting)
                job = self.waiting[0]
                job.started = time.monotonic()
                self.waiting.pop(0)
            try:
                if self.fail_next is not None:
                    error, self.fail_next = self.fail_next, None
                    raise error
                job.result = self._paint(job)
            except Exception as error:
                job.error = error
            job.done.set()

    def _paint(self, job: FakeJob) -> PageResult:
        start = time.monotonic()
        values = job.values
        seed = int(values.get("seed", -1))
        seed = 1234 if seed < 0 else seed
        pictures: list[Picture] = []
        seeds: list[int] = []
        for number in range(int(values["n_iter"])):
            if job.interrupted or (job.stopping and number):
                break
            job.skipped = False
            self._steps(job, number)
            for _ in range(int(values["batch_size"])):
                seeds.append(seed + len(seeds))
                pictures.append(self._save(job, seeds[-1]))
        info = {
            "all_seeds": seeds,
            "all_subseeds": [s + 100 for s in seeds],
            "index_of_first_image": 0,
            "prompt": values["prompt"],
        }
        return PageResult(tuple(pictures), info, (), time.monotonic() - start)

    def _steps(self, job: FakeJob, number: int) -> None:
        steps = int(job.values["steps"])
        for step in range(steps):
            if job.interrupted or job.skipped:
                return
            job.step = number * steps + step
            buffer = io.BytesIO()
            painted(job.step, 48, 48, (step + 1) / steps).save(buffer, "PNG")
            job.preview, job.preview_id = buffer.getvalue(), job.step
            time.sleep(self.step_seconds)

    def _save(self, job: FakeJob, seed: int) -> Picture:
        values = job.values
        text = (
            f"{values['prompt']}\nNegative prompt: {values['negative_prompt']}\n"
            f"Steps: {values['steps']}, Sampler: {values['sampler_name']}, CFG scale: {values['cfg_scale']}, "
            f"Seed: {seed}, Size: {values['width']}x{values['height']}"
        )
        info = PngImagePlugin.PngInfo()
        info.add_text("parameters", text)
        path = self.folder / "outputs" / f"{next(self._numbers):05}-{seed}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        painted(seed, int(values["width"]), int(values["height"]), 1.0).save(path, pnginfo=info)
        return Picture(text, path)


def settings_program(folder: Path) -> Any:
    """The part of a program that the settings of the page need."""
    options = default_options(data_dir=folder)
    paths = Paths.from_flags(parse_flags(["--data-dir", str(folder)], {}, ROOT), ROOT, {})
    options.choice_providers.register("samplers", lambda: SAMPLERS)
    flags = parse_flags([], {}, ROOT)
    return SimpleNamespace(
        options=options,
        paths=paths,
        flags=flags,
        styles=StyleDatabase([]),
        save_settings=lambda: options.save(paths.config_file),
    )


def painted(seed: int, width: int, height: int, done: float) -> Image.Image:
    """A soft gradient whose colour follows the seed."""
    first, second = (
        tuple(int(255 * c) for c in colorsys.hsv_to_rgb((seed * 0.137 + shift) % 1, 0.55 * done, 0.95))
        for shift in (0.0, 0.28)
    )
    ramp = Image.linear_gradient("L").resize((width, height))
    return Image.composite(
        Image.new("RGB", (width, height), first), Image.new("RGB", (width, height), second), ramp
    )
