"""Fixtures that several rooms share, and the table of reference pictures at the end of a run."""

from __future__ import annotations

import os

# The last bits of a sum depend on how many threads share it, and the tiny random models of the reference
# pictures amplify them up to a thousandfold. With one thread, here and in the servers that tests start, a run
# is the same everywhere.
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A headless browser, or a skip where none is installed.

    One for each file of tests: while it runs, its event loop belongs to this thread, and tests that start
    loops of their own could not.
    """
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=str(CHROMIUM), args=CHROMIUM_ARGS)
        yield browser
        browser.close()


@pytest.fixture
def context(chromium: Any) -> Iterator[Any]:
    """A fresh browser profile: pages of one test share their storage, tests do not."""
    context = chromium.new_context(viewport={"width": 1280, "height": 860})
    context.set_default_timeout(15000)
    yield context
    context.close()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Reference pictures by feature: how many are the same, differ, or wait for a feature."""
    ran: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            features = dict(getattr(report, "user_properties", ())).get("features", ())
            if report.when == "call":
                ran.update(features)
                failed.update(features if outcome == "failed" else ())
    if not ran:
        return
    from tests.golden.cases import all_cases

    waiting = [case for case in all_cases() if case.pending]
    write = terminalreporter.write_line
    write(
        f"Reference pictures by feature (a case counts for each of its features): {len(waiting)} cases wait."
    )
    for feature in sorted(ran):
        verdict = f"{failed[feature]} differ" if failed[feature] else "all the same"
        write(f"  {feature:32} {ran[feature]:4}  {verdict}")
    for reason, count in sorted(Counter(case.pending for case in waiting).items()):
        write(f"  waiting for {reason}: {count}")
