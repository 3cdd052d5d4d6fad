"""One server per data folder: two would write each other's queue, settings and history."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

from modules.errors import EaselError


class FolderInUse(EaselError):
    """Another Easel runs on the data folder."""

    status = 503


class FolderLock:
    """Held from construction until ``release`` or the end of the process, however it ends.

    Raises ``FolderInUse`` when another process holds it. Where the file system knows no locks, nothing is
    locked.
    """

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] | None = None
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b")
        try:
            _lock(file)
        except BlockingIOError:
            file.seek(0)
            owner = file.read(100).decode("ascii", "replace").strip() or "unknown"
            file.close()
            raise FolderInUse(
                f"Another Easel (process {owner}) runs on the data folder {path.parent.parent}."
            ) from None
        except OSError:
            file.close()
            return
        file.truncate(0)
        file.write(str(os.getpid()).encode("ascii"))
        file.flush()
        self._file = file

    @property
    def held(self) -> bool:
        """Whether the folder is locked by this object."""
        return self._file is not None

    def release(self) -> None:
        """Let others have the folder."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _lock(file: IO[bytes]) -> None:
    """Take an exclusive lock that ends with the process. Raises ``BlockingIOError`` when it is taken."""
    if os.name == "nt":
        import msvcrt

        # The locked byte lies behind the text, which others may then read.
        file.seek(1024)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError as error:
            raise BlockingIOError(str(error)) from error
        return
    import fcntl

    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
