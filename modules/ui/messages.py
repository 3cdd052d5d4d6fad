"""Small pieces of HTML for the page. Everything that comes from outside is escaped here."""

from __future__ import annotations

import html
import logging
from collections.abc import Iterable

from modules.errors import EaselError, InvalidInput
from modules.ui.services import CheckpointList

log = logging.getLogger(__name__)


def infotext_html(infotext: str) -> str:
    """The generation text as paragraphs, one a line; markup in it stays visible text."""
    lines = [line for line in infotext.splitlines() if line.strip()]
    return "".join(f"<p>{_text(line)}</p>" for line in lines)


def error_html(error: BaseException) -> str:
    """A failure as one sentence. Unexpected ones are logged with traceback and named in short."""
    if isinstance(error, EaselError):
        name = error.field if isinstance(error, InvalidInput) else None
        return _message("error", error.message, name)
    log.error("Unexpected failure behind the page", exc_info=error)
    kind = type(error).__name__
    text = f"{kind}: {error}" if str(error) else kind
    return _message("error", f"This should not have happened ({text}). The console shows the details.")


def problem_html(sentence: str) -> str:
    """A refusal that is a sentence already."""
    return _message("error", sentence)


def warnings_html(sentences: Iterable[str]) -> str:
    """Warnings of a finished job, one box each."""
    return "".join(_message("warning", sentence) for sentence in sentences)


def notice_html(sentence: str) -> str:
    """A neutral remark."""
    return _message("notice", sentence)


def duration_html(seconds: float | None) -> str:
    """How long the job ran, or nothing."""
    if seconds is None:
        return ""
    minutes, rest = divmod(seconds, 60)
    text = f"{int(minutes)} min {rest:.1f} s" if minutes else f"{rest:.1f} s"
    return f'<p class="performance">Time taken: <span class="measurement">{text}</span></p>'


def checkpoint_notice_html(checkpoints: CheckpointList) -> str:
    """What to do when there is no model yet; empty as soon as there is one."""
    if checkpoints.titles:
        return ""
    folder = f"<code>{_text(checkpoints.folder)}</code>"
    return (
        '<div class="easel-message notice" role="status"><strong>No checkpoint yet.</strong> '
        f"Put a .safetensors file into {folder}, then press the refresh button beside the list above.</div>"
    )


def token_counter_html(tokens: int, limit: int) -> str:
    """The counter in the corner of a prompt box, as ``12/75``."""
    over = " over" if tokens > limit else ""
    return f'<span class="tokens{over}" title="Tokens of this prompt">{int(tokens)}/{int(limit)}</span>'


def _message(kind: str, sentence: str, field: str | None = None) -> str:
    role = "alert" if kind == "error" else "status"
    mark = f' data-field="{html.escape(field, quote=True)}"' if field else ""
    return f'<div class="easel-message {kind}" role="{role}"{mark}>{_text(sentence)}</div>'


def _text(text: str) -> str:
    return html.escape(text.replace("\0", "\N{REPLACEMENT CHARACTER}"))
