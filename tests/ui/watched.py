"""A browser page that remembers what it asked for and what went wrong in it."""

from __future__ import annotations

from typing import Any

from tests.ui.page_server import PageServer

GENERATE = "#txt2img_generate"


class Watched:
    """A page that remembers what it asked for and what went wrong in it."""

    def __init__(self, page: Any, server: PageServer) -> None:
        self.page = page
        self.server = server
        self.requests: list[str] = []
        self.errors: list[str] = []
        page.on("request", lambda r: self.requests.append(r.url))
        page.on("pageerror", lambda e: self.errors.append(str(e)))
        page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)

    def open(self) -> None:
        self.page.goto(self.server.url)
        self.loaded()

    def loaded(self) -> None:
        self.page.wait_for_function("window.executedOnLoaded && Object.keys(opts).length > 0")

    def tab(self, name: str) -> None:
        """Open a page tab."""
        self.page.locator("#tabs > .tab-nav > button", has_text=name).first.click()

    def text(self, selector: str) -> str:
        return self.page.locator(selector).inner_text()

    def number(self, name: str, value: int) -> None:
        box = self.page.locator(f"#txt2img_{name} input[type=number]")
        box.fill(str(value))
        box.blur()

    def idle(self) -> None:
        self.page.locator(GENERATE).wait_for()
        self.page.wait_for_function("!runningTask('txt2img')")

    def running(self) -> None:
        self.page.locator(".progressDiv").wait_for()
        self.page.wait_for_function("document.querySelector('.progressDiv').ariaValueNow > 0")
