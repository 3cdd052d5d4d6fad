"""What the server as a whole is told to do: stop or restart."""

from __future__ import annotations

import threading


class ServerCommands:
    """One slot for a command, which any thread may fill and one thread waits for.

    Known commands are ``"stop"``, ``"restart"`` and ``"kill"``.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._command: str | None = None

    @property
    def command(self) -> str | None:
        """The command that waits to be obeyed, or ``None``."""
        return self._command

    @command.setter
    def command(self, value: str | None) -> None:
        with self._changed:
            self._command = value
            self._changed.notify_all()

    def wait(self, timeout: float | None = None) -> str | None:
        """Wait for a command and take it out of the slot; ``None`` after ``timeout`` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._command is not None, timeout)
            command, self._command = self._command, None
            return command
