"""The driver's end of the zygote: started here, asked to fork, listened to. Never blocks on it."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import weir
from weir.engines.driver import EngineUnreachableError
from weir.engines.local.supervisor import NO_SPACE
from weir.engines.local.zygote import COMMAND

__all__ = ["Warm", "failure_text"]

_READY_S = 30.0
# The folder, or the archive, that `weir` itself was imported from; its name may be relative.
_ORIGIN = Path(weir.__file__).absolute().parents[1]
# Little more than what the interpreter may need to start: no secret of the agent's lies in a supervisor's
# environment.
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH")


class Warm:
    """A running zygote. Ends when this is closed or the driver's process ends; supervisors go on."""

    def __init__(self, log: Path, private_root: str) -> None:
        """Raises EngineUnreachableError where it does not come up."""
        mine, its = socket.socketpair()
        with its, log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-X", "utf8", "-c", COMMAND, os.fspath(_ORIGIN), private_root],
                stdin=its.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
                cwd="/",
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            )
        self._socket = mine
        self._unread = b""
        self._unsent = b""
        self._socket.settimeout(_READY_S)
        try:
            first = self._lines()
        except TimeoutError:
            first = []
        if not first or first[0][0] != "ready":
            self.close()
            raise EngineUnreachableError(f"the local engine's zygote did not come up; {log} says why")
        self.isolation: bool = first[0][1]["isolation"]
        self._socket.setblocking(False)

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def unsent(self) -> bool:
        """Whether something waits until the zygote reads on."""
        return bool(self._unsent)

    def fork(self, folder: Path, attempt: str, task: int) -> None:
        """Have a supervisor forked for a task, as soon as the zygote comes to it."""
        self._unsent += json.dumps([os.fspath(folder), attempt, task]).encode() + b"\n"

    def flush(self) -> None:
        """Send what can be sent now. Where the zygote is gone, `exits` will tell."""
        with contextlib.suppress(OSError):
            while self._unsent:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]

    def exits(self) -> list[tuple[str, int, int]] | None:
        """(attempt, task, wait status) of supervisors that ended badly; None when the zygote itself is
        gone."""
        found: list[tuple[str, int, int]] = []
        while True:
            try:
                lines = self._lines()
            except BlockingIOError:
                return found
            except OSError:
                return None
            if lines is None:
                return found or None
            found.extend((attempt, task, status) for _, attempt, task, status in lines)

    def close(self) -> None:
        self._socket.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _lines(self) -> list[Any] | None:
        content = self._socket.recv(65_536)
        if not content:
            return None
        *lines, self._unread = (self._unread + content).split(b"\n")
        return [json.loads(line) for line in lines]


def failure_text(code: int) -> str:
    """What to say of a supervisor that ended with this code, or by a signal (then below zero)."""
    if code == NO_SPACE:
        return "no space left on the disk of the agent's folder"
    how = f"was ended by signal {-code}" if code < 0 else f"failed (code {code}; see the agent's engine.log)"
    return f"its supervisor {how} before it could start the command"
