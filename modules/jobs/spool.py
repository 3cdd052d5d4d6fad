"""Finished pictures on disk, for clients that come back for them. The oldest make room for new ones."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)

MAX_BYTES = 2 * 1024**3
MAX_JOBS = 1000
_FACTS = "facts.json"

Encoder = Callable[[Any, "str | None", Any], bytes]
"""(picture, infotext, settings) → file."""


@dataclass(frozen=True)
class Outcome:
    """How a job ended: ``state`` and either ``info`` with the ``files`` of its pictures, or an ``error``."""

    job_id: str
    kind: str
    state: str
    finished: float
    files: tuple[Path, ...] = ()
    info: str = ""
    notes: Mapping[str, Any] | None = None
    error: str = ""
    error_kind: str = ""
    status: int = 500


class Spool:
    """One folder per job, named by a digest of its id; written beside and moved into place when complete."""

    def __init__(
        self, folder: Path, encode: Encoder, max_bytes: int = MAX_BYTES, max_jobs: int = MAX_JOBS
    ) -> None:
        self._folder = folder
        self._encode = encode
        self._max_bytes = max_bytes
        self._max_jobs = max_jobs
        self._lock = threading.Lock()

    def keep(self, job: Any, result: Any) -> int:
        """Write the pictures of ``result``; returns how many. Raises ``OSError``."""
        texts = [*result.infotexts, *[None] * (len(result.images) - len(result.infotexts))]
        pictures = [
            self._encode(image, text, job.settings) for image, text in zip(result.images, texts, strict=False)
        ]
        self._store(job, pictures, {"state": "done", "info": result.js(), "count": len(pictures)})
        return len(pictures)

    def keep_error(self, job: Any, state: str, error: BaseException) -> None:
        """Write why a job ended without pictures. Raises ``OSError``."""
        facts = {
            "state": state,
            "error": str(error),
            "error_kind": type(error).__name__,
            "status": getattr(error, "status", 500),
        }
        self._store(job, [], facts)

    def _store(self, job: Any, pictures: list[bytes], facts: dict[str, Any]) -> None:
        whole = {"id": job.id, "kind": job.kind, "finished": time.time(), "notes": dict(job.notes), **facts}
        target = self._place(job.id)
        draft = target.with_name(f".{target.name}")
        with self._lock:
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(parents=True)
            for number, data in enumerate(pictures):
                (draft / str(number)).write_bytes(data)
            (draft / _FACTS).write_text(json.dumps(whole, ensure_ascii=False), encoding="utf-8")
            shutil.rmtree(target, ignore_errors=True)
            draft.replace(target)
            self._make_room(target)

    def get(self, job_id: str) -> Outcome | None:
        """How the job ended, ``None`` when nothing is kept of it."""
        folder = self._place(job_id)
        try:
            facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
            return _outcome(folder, facts)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.warning("The kept result of job %s cannot be read: %s", job_id, error)
            return None

    def forget(self, job_id: str) -> bool:
        """Remove what is kept of a job. False when nothing was."""
        with self._lock:
            there = self._place(job_id).is_dir()
            shutil.rmtree(self._place(job_id), ignore_errors=True)
        return there

    def _place(self, job_id: str) -> Path:
        # A digest, because clients choose ids: none of them can name another folder.
        return self._folder / hashlib.sha256(job_id.encode("utf-8", "replace")).hexdigest()[:40]

    def _make_room(self, newest: Path) -> None:
        folders = [one for one in self._folder.iterdir() if one.is_dir()]
        sizes = {one: sum(file.stat().st_size for file in one.iterdir()) for one in folders}
        total = sum(sizes.values())
        oldest_first = sorted(folders, key=lambda one: one.stat().st_mtime)
        left = len(folders)
        for folder in oldest_first:
            if total <= self._max_bytes and left <= self._max_jobs:
                return
            if folder != newest:
                shutil.rmtree(folder, ignore_errors=True)
                total -= sizes[folder]
                left -= 1


def _outcome(folder: Path, facts: Mapping[str, Any]) -> Outcome:
    return Outcome(
        job_id=facts["id"],
        kind=facts["kind"],
        state=facts["state"],
        finished=facts["finished"],
        files=tuple(folder / str(number) for number in range(facts.get("count", 0))),
        info=facts.get("info", ""),
        notes=facts.get("notes") or {},
        error=facts.get("error", ""),
        error_kind=facts.get("error_kind", ""),
        status=int(facts.get("status", 500)),
    )
