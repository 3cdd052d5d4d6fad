"""The Gradio pages: one file a tab, over ``PageServices``; no torch, no processing internals.

Importing this package does not import Gradio: that takes seconds, so it happens inside
``create_page`` and ``mount_page``, which are called when the JSON interface already answers.
"""

from __future__ import annotations

from modules.ui.mounting import mount_page, mount_waiting_page
from modules.ui.page import create_page
from modules.ui.services import CheckpointList, PageResult, PageServices, Picture

__all__ = [
    "CheckpointList",
    "PageResult",
    "PageServices",
    "Picture",
    "create_page",
    "mount_page",
    "mount_waiting_page",
]
