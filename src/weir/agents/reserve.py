"""Room on the agent's disk that is given up when a job has filled it, so that the record can still be written."""

import contextlib
import os
from pathlib import Path

SIZE = 4 << 20
"""Bytes: enough for the record to say how the job ended, upon which its folder goes."""


class Reserve:
    """A file of nothing beside the record."""

    def __init__(self, path: Path, size: int = SIZE) -> None:
        self._path = path
        self._size = size

    def keep(self) -> bool:
        """Take the room, unless it is held already; whether it is held now."""
        try:
            if self._path.stat().st_size == self._size:
                return True
        except OSError:
            pass
        try:
            with self._path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, self._size)
        except OSError:
            self.give_up()
            return False
        return True

    def give_up(self) -> bool:
        """Free the room; whether there was any to free."""
        with contextlib.suppress(OSError):
            self._path.unlink()
            return True
        return False


__all__ = ["Reserve"]
