"""The one host of this process.

The public interface for extensions consists of functions of modules (``script_callbacks.on_ui_tabs`` and so
on), so what they register with has to be found from there. The program itself gets the host handed in;
tests of it make hosts of their own.
"""

from __future__ import annotations

from modules.extensions.host import ExtensionHost

HOST = ExtensionHost()
