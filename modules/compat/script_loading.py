"""Running a Python file as a module, for extensions."""

from __future__ import annotations

from modules.extensions.current import HOST
from modules.extensions.loading import load_module

__all__ = ["load_module", "loaded_scripts"]

loaded_scripts = HOST.loader.modules
