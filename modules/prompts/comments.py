"""Comments in prompts: from ``#`` to the end of the line."""

from __future__ import annotations


def strip_comments(text: str) -> str:
    """Remove the comments of a prompt.

    A comment at the end of a line leaves the line feed, also at the end of the prompt. A line that
    is nothing but a comment vanishes together with the line feed in front of it. As in the
    reference, the line below such a line has none to give: a comment there leaves an empty line.
    """
    if "#" not in text:
        return text
    lines = text.split("\n")
    out: list[str] = []
    line_feed_taken = False
    for number, line in enumerate(lines):
        words, mark, _ = line.partition("#")
        only_comment = bool(mark) and not words
        vanishes = only_comment and number > 0 and not line_feed_taken
        if not vanishes:
            out.append(words)
            if mark or number < len(lines) - 1:
                out.append("\n")
        line_feed_taken = only_comment and (vanishes or number == 0)
    return "".join(out)
