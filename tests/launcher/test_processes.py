"""Programs that answer, fail, hang, and leave children behind."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from modules.launcher.processes import run_program

pytestmark = pytest.mark.skipif(os.name == "nt", reason="process groups of POSIX")


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_output_and_code() -> None:
    finished = run_program(python("import sys; print('é'); sys.stderr.write('bad\\n'); sys.exit(3)"))
    assert (finished.ok, finished.code, finished.last_line) == (False, 3, "bad")
    assert "é" in finished.output


def test_missing_program_is_a_result() -> None:
    finished = run_program(["/no/such/program"])
    assert finished.code == -1
    assert "No such file" in finished.last_line


def test_standard_input_is_empty() -> None:
    assert (
        run_program(python("print(repr(input()))"), limit=20).last_line == "EOFError: EOF when reading a line"
    )


def test_silence_is_bounded() -> None:
    started = time.monotonic()
    finished = run_program(python("import time; print('hello', flush=True); time.sleep(60)"), silence=0.5)
    assert finished.last_line == "no answer for 0.5 s"
    assert "hello" in finished.output
    assert time.monotonic() - started < 30


def test_the_whole_is_bounded_though_it_talks() -> None:
    finished = run_program(
        python("import time\nwhile True: print('.', flush=True); time.sleep(0.05)"), limit=0.7
    )
    assert finished.gave_up.startswith("no end within")


def test_children_end_with_it(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(note)!r}, 'w').write(str(child.pid))\n"
        "time.sleep(60)"
    )
    assert run_program(python(code), limit=2).gave_up
    assert not is_running(int(note.read_text()))


def test_a_stubborn_program_is_killed() -> None:
    code = (
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    )
    finished = run_program(python(code), silence=1)
    assert finished.code == -9


def test_a_child_that_keeps_the_output_open_is_not_waited_for() -> None:
    code = (
        "import subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(8)'], start_new_session=True)\n"
        "print('done')"
    )
    started = time.monotonic()
    finished = run_program(python(code))
    assert (finished.code, finished.last_line) == (0, "done")
    assert time.monotonic() - started < 7


def test_echo_hears_everything() -> None:
    heard: list[str] = []
    run_program(python("print('a'); print('b')"), echo=heard.append)
    assert "".join(heard) == "a\nb\n"


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
