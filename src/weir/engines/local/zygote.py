"""The zygote: one warm, single-threaded process that forks a supervisor for each task.

A new interpreter for each costs ten times as much. It reads lines `[folder, attempt, task]` from its standard
input (a socket), and writes to it a line `["ready", {...}]` and then lines `["exit", attempt, task, status]`
for supervisors that did not end in good order. It ends when the other side closes; supervisors then go on.
"""

import gc
import json
import os
import select
import signal
import sys
from typing import Any

from weir.engines.local import namespace
from weir.engines.local.process import boot_id
from weir.engines.local.supervisor import FAILED, supervise

__all__ = ["COMMAND", "main"]

COMMAND = "import sys; sys.path.insert(0, sys.argv[1]); from weir.engines.local.zygote import main; main()"
"""What a fresh interpreter is told to run: argv[1] is where the `weir` package lies (a folder or an archive),
argv[2] the folder that should be hidden from tasks, empty for none."""

_SOCKET = 0


def main() -> None:
    """Serve until the other side closes."""
    probe = sys.argv[2]
    isolation = bool(probe) and namespace.namespaces_work(probe)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    os.set_blocking(wake_read, False)
    os.set_blocking(_SOCKET, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    boot_id()  # kept, so that no supervisor needs to read it
    gc.collect()
    gc.freeze()
    gc.disable()  # a collection in a forked process would copy every page that it touches
    zygote = _Zygote((wake_read, wake_write))
    zygote.say(["ready", {"isolation": isolation}])
    zygote.serve()


class _Zygote:
    def __init__(self, wake: tuple[int, int]) -> None:
        self._wake = wake
        self._running: dict[int, tuple[str, int]] = {}
        self._unread = b""
        self._unsent = b""

    def say(self, message: list[Any]) -> None:
        self._unsent += json.dumps(message).encode() + b"\n"

    def serve(self) -> None:
        poll = select.poll()
        poll.register(self._wake[0], select.POLLIN)
        while True:
            poll.register(_SOCKET, select.POLLIN | (select.POLLOUT if self._unsent else 0))
            ready = dict(poll.poll())
            if self._wake[0] in ready:
                self._reap()
            state = ready.get(_SOCKET, 0)
            try:
                if state & select.POLLOUT:
                    self._unsent = self._unsent[os.write(_SOCKET, self._unsent) :]
                if state & ~select.POLLOUT and not self._read():
                    return
            except ConnectionError:
                return

    def _read(self) -> bool:
        try:
            content = os.read(_SOCKET, 65_536)
        except BlockingIOError:
            return True
        *lines, self._unread = (self._unread + content).split(b"\n")
        for line in lines:
            self._fork(*json.loads(line))
        return bool(content)

    def _fork(self, folder: str, attempt: str, task: int) -> None:
        try:
            pid = os.fork()
        except OSError:
            self.say(["exit", attempt, task, FAILED << 8])
            return
        if pid:
            self._running[pid] = (attempt, task)
            return
        status = FAILED
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            for descriptor in (*self._wake, _SOCKET):
                os.close(descriptor)
            os.open(os.devnull, os.O_RDONLY)  # takes number 0
            status = supervise(folder, task)
        except BaseException:  # noqa: BLE001 (it goes to the engine's log; the driver sees the exit code)
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stderr.flush()
            os._exit(status)

    def _reap(self) -> None:
        try:
            while os.read(self._wake[0], 4096):
                pass
        except BlockingIOError:
            pass
        while self._running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            attempt, task = self._running.pop(pid)
            if status:
                self.say(["exit", attempt, task, status])
