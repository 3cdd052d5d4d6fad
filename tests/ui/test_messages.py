"""What comes from outside reaches the page as text."""

from __future__ import annotations

import logging
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.errors import InvalidInput, ModelFileError
from modules.ui.messages import (
    checkpoint_notice_html,
    duration_html,
    error_html,
    infotext_html,
    token_counter_html,
    warnings_html,
)
from modules.ui.services import CheckpointList

EVIL = "<img src=x onerror=alert(1)>\"'&</p><script>x</script>"


class Reader(HTMLParser):
    """The tags and the text of a piece of HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_infotext_is_only_text(text: str) -> None:
    read = Reader(infotext_html(text))
    assert read.tags <= {"p"}
    assert read.text == "".join(line for line in text.splitlines() if line.strip())


def test_errors_warnings_and_notices_are_escaped() -> None:
    notice = checkpoint_notice_html(CheckpointList(folder=EVIL))
    for html in (
        error_html(ModelFileError(EVIL)),
        warnings_html([EVIL]),
        notice,
        error_html(ValueError(EVIL)),
    ):
        read = Reader(html)
        assert read.tags <= {"div", "strong", "code"}
        assert EVIL in read.text


def test_error_names_its_field() -> None:
    assert 'data-field="width"' in error_html(InvalidInput("width is 7.", field="width"))
    assert "data-field" not in error_html(InvalidInput("something"))


def test_unexpected_error_is_one_sentence_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        html = error_html(ZeroDivisionError("division by zero"))
    assert "ZeroDivisionError: division by zero" in html
    assert "Traceback" not in html
    assert caplog.records[0].exc_info is not None


def test_notice_only_without_checkpoints() -> None:
    assert "/models/sd" in checkpoint_notice_html(CheckpointList(folder="/models/sd"))
    assert checkpoint_notice_html(CheckpointList(("a",), "a", "/models/sd")) == ""


def test_duration_and_counter() -> None:
    assert duration_html(None) == ""
    assert ">5.3 s<" in duration_html(5.25001)
    assert ">2 min 3.0 s<" in duration_html(123)
    assert ">12/75<" in token_counter_html(12, 75)
