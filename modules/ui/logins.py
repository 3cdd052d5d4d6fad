"""The names and passwords of ``--gradio-auth`` and ``--gradio-auth-path``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from modules.errors import InvalidInput


def page_logins(flags: Namespace) -> list[tuple[str, str]] | None:
    """Pairs of name and password, or ``None`` for a page without a login.

    Pairs are joined by commas, in the file also by line ends; the first colon of a pair splits it.
    Raises ``InvalidInput`` for a pair without a colon, so that no login is silently left out.
    """
    texts = [flags.gradio_auth or ""]
    if flags.gradio_auth_path:
        try:
            texts += Path(flags.gradio_auth_path).read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise InvalidInput(
                f"--gradio-auth-path: {flags.gradio_auth_path} cannot be read: {error}."
            ) from error
    pairs = [pair.strip() for text in texts for pair in text.split(",") if pair.strip()]
    for pair in pairs:
        if ":" not in pair:
            raise InvalidInput(f"--gradio-auth has {pair!r:.40}; expected name:password.", "gradio_auth")
    return [(name, password) for name, _, password in (pair.partition(":") for pair in pairs)] or None
