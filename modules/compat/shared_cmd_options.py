"""``cmd_opts`` for extensions that import it from here."""

from __future__ import annotations

from modules.shared import cmd_opts, parser

__all__ = ["cmd_opts", "parser"]
