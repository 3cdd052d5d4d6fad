"""Runs other programs with bounded patience: a limit in all, and a limit without any output.

Standard library only.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_KEPT_CHARACTERS = 200_000
_POLL_SECONDS = 0.1
_GRACE_SECONDS = 2.0


@dataclass(frozen=True)
class Finished:
    """How a program ended. ``output`` is stdout and stderr together; ``code`` -1 when it was not found.

    ``gave_up`` tells in words why it was ended by us, or is empty.
    """

    command: tuple[str, ...]
    code: int
    output: str
    gave_up: str = ""

    @property
    def ok(self) -> bool:
        return self.code == 0 and not self.gave_up

    @property
    def last_line(self) -> str:
        """The last line that says something, or why there is none."""
        if self.gave_up:
            return self.gave_up
        lines = [line.strip() for line in self.output.replace("\r", "\n").splitlines() if line.strip()]
        return lines[-1] if lines else f"ended with code {self.code}"


def run_program(
    command: Sequence[str],
    *,
    limit: float | None = None,
    silence: float | None = None,
    cwd: Path | None = None,
    environ: Mapping[str, str] | None = None,
    echo: Callable[[str], None] | None = None,
) -> Finished:
    """Run ``command`` to its end, or end it after ``limit`` seconds, or ``silence`` seconds without output.

    Its standard input is empty, so it cannot wait for an answer. Children that it started end with
    it. ``echo`` is called with every piece of text as it comes. Never raises for a missing program.
    """
    words = tuple(command)
    try:
        process = subprocess.Popen(
            words,
            cwd=cwd,
            env=None if environ is None else dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=os.name != "nt",
        )
    except OSError as error:
        return Finished(words, -1, f"{words[0]}: {error.strerror or error}")
    return _follow(process, words, _Patience(limit, silence), echo)


class _Patience:
    """When to stop waiting for a program."""

    def __init__(self, limit: float | None, silence: float | None) -> None:
        self.limit, self.silence = limit, silence
        self.started = self.heard = time.monotonic()
        self.ended: float | None = None

    def lost(self) -> str:
        """Why the program must be ended, or an empty text."""
        now = time.monotonic()
        if self.limit is not None and now - self.started > self.limit:
            return f"no end within {self.limit:g} s"
        if self.silence is not None and now - self.heard > self.silence:
            return f"no answer for {self.silence:g} s"
        return ""

    def over(self, process: subprocess.Popen[bytes]) -> bool:
        """Whether the program ended a while ago: a child it left behind may hold its output open."""
        if process.poll() is None:
            return False
        self.ended = self.ended or time.monotonic()
        return time.monotonic() - self.ended > _GRACE_SECONDS


def _follow(
    process: subprocess.Popen[bytes],
    words: tuple[str, ...],
    patience: _Patience,
    echo: Callable[[str], None] | None,
) -> Finished:
    assert process.stdout is not None
    pieces: queue.Queue[bytes | None] = queue.Queue()
    threading.Thread(target=_pump, args=(process.stdout, pieces), daemon=True).start()
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    output, gave_up = "", ""
    try:
        while not (gave_up := patience.lost()):
            try:
                piece = pieces.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                if patience.over(process):
                    break
                continue
            if piece is None:
                break
            patience.heard = time.monotonic()
            text = decoder.decode(piece)
            output = (output + text)[-_KEPT_CHARACTERS:]
            if echo:
                echo(text)
    except BaseException:
        _end(process)
        raise
    if gave_up:
        _end(process)
    return Finished(words, _wait(process), output, gave_up)


def _pump(stream: IO[bytes], pieces: queue.Queue[bytes | None]) -> None:
    with contextlib.suppress(OSError, ValueError):
        while piece := os.read(stream.fileno(), 65536):
            pieces.put(piece)
    pieces.put(None)


def _wait(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait()
    except BaseException:  # Ctrl-C: the program is in a group of its own and has not heard it
        _end(process)
        raise


def _end(process: subprocess.Popen[bytes]) -> None:
    for strength in ("TERM", "KILL"):
        _signal_group(process, strength)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_SECONDS)
            break
    _signal_group(process, "KILL")  # children that outlived it


def _signal_group(process: subprocess.Popen[bytes], strength: str) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.name == "nt":
            process.terminate() if strength == "TERM" else process.kill()
        else:
            os.killpg(process.pid, getattr(signal, f"SIG{strength}"))
