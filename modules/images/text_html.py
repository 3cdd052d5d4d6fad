"""Text from files and requests on its way into a page."""

from __future__ import annotations

import html


def plaintext_to_html(text: str, classname: str | None = None) -> str:
    """``text`` as one HTML paragraph: every character shows as itself, lines stay lines.

    Prompts and metadata come from other people's files. Nothing in them may act as HTML.
    """
    lines = "<br>\n".join(html.escape(line) for line in str(text).split("\n"))
    attribute = f' class="{html.escape(classname)}"' if classname else ""
    return f"<p{attribute}>{lines}</p>"
