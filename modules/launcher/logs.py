"""Sets up logging when the user asks for a level. Standard library only; rich is used where installed."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from modules.launcher.problems import ExitCode, LaunchProblem

LEVELS = ("CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG")


def configure_logging(loglevel: str | None, environ: Mapping[str, str]) -> str | None:
    """Log at ``loglevel``, else at SD_WEBUI_LOG_LEVEL; without either nothing is configured.

    Returns the level in use. Raises ``LaunchProblem`` (code 2) for a name that is no level.
    """
    chosen = loglevel or environ.get("SD_WEBUI_LOG_LEVEL") or ""
    level = chosen.upper()
    if not level:
        return None
    if level not in LEVELS:
        raise LaunchProblem(
            ExitCode.USAGE,
            f"{chosen!r} is not a log level.",
            remedy=[f"Give --loglevel or SD_WEBUI_LOG_LEVEL one of {', '.join(LEVELS)}."],
        )
    handler = _rich_handler() if environ.get("SD_WEBUI_RICH_LOG") else None
    if handler is None:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s [%(name)s] %(message)s"))
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(handler)
    root.setLevel(level)
    return level


def _rich_handler() -> logging.Handler | None:
    try:
        from rich.logging import RichHandler
    except ImportError:
        return None
    return RichHandler()
