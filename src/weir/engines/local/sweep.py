"""Removing what is forgotten, without holding up what is started.

A forgotten folder leaves its place at once, by a rename; its content is removed later, by a process of its
own, when nothing was started for a while. Removing large trees takes long, and some file systems create
files slowly for a minute after many were removed.
"""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

__all__ = ["Sweeper"]

_AT_MOST = 10_000
_QUIET_S = 2.0
_LATEST_S = 60.0


class Sweeper:
    """The forgotten of one folder of attempts. They lie in `.forgotten` beside them."""

    def __init__(self, attempts: Path) -> None:
        self._forgotten = attempts / ".forgotten"
        self._removing = attempts / ".removing"
        self._waiting = 1 if self._forgotten.exists() or self._removing.exists() else 0
        self._since_s = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def waiting(self) -> bool:
        return self._waiting > 0 or self._process is not None

    def forget(self, folder: Path, now_s: float) -> None:
        """Take an attempt's folder away; it is gone from its place when this returns."""
        if not self._waiting:
            self._since_s = now_s
        self._forgotten.mkdir(mode=0o700, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            folder.rename(self._forgotten / f"{folder.name}.{os.getpid()}.{self._waiting}")
        self._waiting += 1

    def sweep(self, now_s: float, last_start_s: float) -> None:
        """Begin to remove what waits, when it is time for it."""
        if self._process is not None:
            if self._process.poll() is None:
                return
            self._process = None
        due = now_s - last_start_s > _QUIET_S or now_s - self._since_s > _LATEST_S or self._waiting > _AT_MOST
        if not self._waiting or not due:
            return
        if not self._removing.exists():
            self._waiting = 0
            self._since_s = now_s
            if not self._forgotten.exists():
                return
            self._forgotten.rename(self._removing)
        self._process = subprocess.Popen(
            ["rm", "-rf", "--", os.fspath(self._removing)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def close(self) -> None:
        """Remove the rest now."""
        if self._process is not None:
            self._process.wait()
            self._process = None
        for folder in (self._removing, self._forgotten):
            shutil.rmtree(folder, ignore_errors=True)
        self._waiting = 0
