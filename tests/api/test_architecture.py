"""Rules of the house: nothing heavy at import, nothing that blocks on the event loop."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.paths import ROOT

API_FILES = sorted((ROOT / "modules" / "api").glob("*.py"))

BLOCKING_CALLS = {
    "sleep": "time.sleep",
    "result": "Future.result",
    "join": "Thread.join",
    "acquire": "Lock.acquire",
    "wait": "Event.wait",
    "take": "JobQueue.take",
    "open": "open",
    "read_text": "Path.read_text",
    "read_bytes": "Path.read_bytes",
    "write_text": "Path.write_text",
    "write_bytes": "Path.write_bytes",
    "run": "subprocess.run",
    "urlopen": "urllib.request.urlopen",
    "save": "saving",
    "save_settings": "saving settings",
    "encode_image": "encoding a picture",
    "open_picture": "reading a picture",
    "parse_infotext": "parsing a text",
    "view": "copying all settings",
    "refresh": "reading folders, decoding previews",
    "take_order": "reading a request",
    "picture_reply": "encoding pictures",
    "memory": "asking the device",
    "find": "looking for a checkpoint",
}
"""Names that must not be called from a coroutine, and what they stand for."""


def async_functions(tree: ast.AST) -> Iterator[ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef))


def own_nodes(function: ast.AsyncFunctionDef) -> Iterator[ast.AST]:
    """Nodes of the function, without those of plain functions and lambdas inside: these may go to threads."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.Lambda)):
            waiting.extend(ast.iter_child_nodes(node))


def blocking_calls(source: str) -> list[str]:
    """``function: call`` for each blocking call in a coroutine of ``source``."""
    found = []
    for function in async_functions(ast.parse(source)):
        nodes = list(own_nodes(function))
        awaited = {id(node.value) for node in nodes if isinstance(node, ast.Await)}
        for node in nodes:
            if isinstance(node, ast.Call) and id(node) not in awaited:
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                if name in BLOCKING_CALLS:
                    found.append(f"{function.name}: {BLOCKING_CALLS[name]}")
    return found


@pytest.mark.parametrize("path", API_FILES, ids=lambda path: path.name)
def test_coroutines_do_not_block(path: Path) -> None:
    assert blocking_calls(path.read_text("utf-8")) == []


def test_the_rule_finds_what_it_forbids() -> None:
    bad = "async def a(self):\n    time.sleep(1)\n    x = self.options.view()\n    await lock.acquire()\n"
    assert blocking_calls(bad) == ["a: copying all settings", "a: time.sleep"]


def test_there_are_coroutines_to_look_at() -> None:
    assert sum(len(list(async_functions(ast.parse(path.read_text("utf-8"))))) for path in API_FILES) > 10


HEAVY = ("torch", "gradio", "numpy", "transformers", "scipy", "modules.ui")


def test_importing_the_floor_loads_nothing_heavy() -> None:
    code = (
        "import sys, modules.api.app, modules.api.server, modules.jobs.worker, modules.jobs.control\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
