"""Endpoints for settings and command-line flags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modules.api.replies import Reply
from modules.api.services import ApiServices
from modules.errors import NotFound

SECRETS = ("api_auth", "gradio_auth", "ngrok", "ngrok_options")
"""Flags whose values are not shown."""

HIDDEN = "(hidden)"


class Settings:
    """Reading and writing settings."""

    def __init__(self, services: ApiServices) -> None:
        self._services = services

    def read(self) -> Reply:
        """All settings, with their defaults where nothing was stored."""
        return Reply(self._services.options.api_values())

    def write(self, body: dict[str, Any]) -> Reply:
        """Change settings and store them. Either all values are fit, or none is taken over."""
        options = self._services.options
        wanted = {key: value for key, value in body.items() if not self._passed_over(key)}
        fit = options.view(wanted)
        self._check_checkpoint(wanted)
        changed = [options.set(key, fit[key], is_api=True) for key in wanted]
        if any(changed):
            self._services.save_settings()
        return Reply(None)

    def flags(self) -> Reply:
        """The command-line flags; secrets are hidden."""
        flags = {
            name: HIDDEN if name in SECRETS and value else value
            for name, value in vars(self._services.flags).items()
        }
        return Reply(flags)

    def hints(self) -> Reply:
        """Name and label of every setting."""
        labels = self._services.options.data_labels
        return Reply([{"name": key, "label": info.label} for key, info in labels.items()])

    def _passed_over(self, key: str) -> bool:
        """What is shown but not written: explanations, and settings that guard the interface itself."""
        info = self._services.options.data_labels.get(key)
        return info is not None and (info.restrict_api or info.do_not_save)

    def _check_checkpoint(self, wanted: Mapping[str, Any]) -> None:
        name = wanted.get("sd_model_checkpoint")
        if name and self._services.checkpoints.find(str(name)) is None:
            raise NotFound(
                f"There is no checkpoint {str(name)!r:.200}; /sdapi/v1/sd-models lists those that are there, "
                "and POST /sdapi/v1/refresh-checkpoints looks for new ones."
            )
