"""The pipe on which supervisors tell the driver that there is news of an attempt."""

import contextlib
import fcntl
import os
from pathlib import Path

__all__ = ["Poke"]

_PIPE_BYTES = 1 << 20


class Poke:
    """A named pipe in the agent's folder: writes to it are whole, and it holds thousands of them.

    It stays when the driver goes, so that running supervisors find the next driver by the same name.
    """

    def __init__(self, path: Path) -> None:
        with contextlib.suppress(FileExistsError):
            os.mkfifo(path, 0o600)
        # Open for writing too, so that it never reports an end.
        self._pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._unread = b""
        with contextlib.suppress(OSError):  # a smaller pipe does too: what is not told is looked for
            fcntl.fcntl(self._pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def fileno(self) -> int:
        return self._pipe

    def heard(self) -> list[str]:
        """The attempts named since the last call, each once; an empty name is a mere call to wake up."""
        content = self._unread
        while True:
            try:
                content += os.read(self._pipe, _PIPE_BYTES)
            except BlockingIOError:
                break
        *lines, self._unread = content.split(b"\n")
        return list(dict.fromkeys(line.decode("ascii", "replace") for line in lines))

    def wake(self) -> None:
        # A full pipe wakes as well.
        with contextlib.suppress(BlockingIOError):
            os.write(self._pipe, b"\n")

    def close(self) -> None:
        os.close(self._pipe)
