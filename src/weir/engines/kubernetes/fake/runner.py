"""Runs containers as processes; a process of its own, so that what it measures of them is theirs.

Commands come as JSON lines on stdin: `{"run": ID, "argv": […], "env": {…}}` and `{"signal": ID, "number": N}`.
It answers on stdout: `{"started": ID}`, `{"log": ID, "data": base64}` and `{"ended": ID, "code": N,
"peak_bytes": N}`, where the code of a signal is 128 and its number. When a container's first process has ended,
whatever it left is killed before that is said. Ends, with all containers, at the end of stdin.
"""

import base64
import contextlib
import ctypes
import json
import os
import selectors
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ["main"]

_PR_SET_CHILD_SUBREAPER = 36
_MARK = "WEIR_FAKE_CONTAINER"


class _Runner:
    def __init__(self) -> None:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._selector = selectors.DefaultSelector()
        self._mains: dict[int, str] = {}
        self._pids: dict[str, int] = {}
        self._pipes: dict[str, int] = {}
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        os.set_blocking(reading, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        self._wakeup = reading
        self._selector.register(reading, selectors.EVENT_READ, "")
        os.set_blocking(0, False)
        self._selector.register(0, selectors.EVENT_READ, "stdin")
        self._input = b""

    def run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data == "stdin":
                    if not self._read_commands():
                        self._end_all()
                        return
                elif key.data == "":
                    with contextlib.suppress(BlockingIOError):
                        while os.read(self._wakeup, 4096):
                            pass
                else:
                    self._read_log(key.data)
            self._reap()

    def _read_commands(self) -> bool:
        try:
            while True:
                piece = os.read(0, 1 << 16)
                if not piece:
                    return False
                self._input += piece
        except BlockingIOError:
            pass
        *lines, self._input = self._input.split(b"\n")
        for line in lines:
            command = json.loads(line)
            if "run" in command:
                self._start(command["run"], command["argv"], command["env"])
            else:
                pid = self._pids.get(command["signal"])
                if pid is not None:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, command["number"])
        return True

    def _start(self, name: str, argv: list[str], env: dict[str, str]) -> None:
        reading, writing = os.pipe()
        try:
            process = subprocess.Popen(
                argv,
                env={**env, _MARK: name},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                start_new_session=True,
            )
        except OSError as error:
            os.close(reading)
            self._say(ended=name, code=128, peak_bytes=0, error=str(error))
            return
        finally:
            os.close(writing)
        process.returncode = 0  # reaped below, never by this object
        os.set_blocking(reading, False)
        self._mains[process.pid] = name
        self._pids[name] = process.pid
        self._pipes[name] = reading
        self._selector.register(reading, selectors.EVENT_READ, name)
        self._say(started=name)

    def _read_log(self, name: str) -> None:
        pipe = self._pipes.get(name)
        if pipe is None:
            return
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(pipe, 1 << 16):
                self._say(log=name, data=base64.b64encode(piece).decode("ascii"))
            self._close(name)

    def _close(self, name: str) -> None:
        pipe = self._pipes.pop(name, None)
        if pipe is not None:
            self._selector.unregister(pipe)
            os.close(pipe)

    def _reap(self) -> None:
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            _, status, usage = os.wait4(found.si_pid, 0)
            name = self._mains.pop(found.si_pid, None)
            if name is None:
                continue
            del self._pids[name]
            self._end_rest(name)
            self._read_log(name)
            self._close(name)
            code = os.waitstatus_to_exitcode(status)
            self._say(ended=name, code=code if code >= 0 else 128 - code, peak_bytes=usage.ru_maxrss << 10)

    def _end_rest(self, name: str) -> None:
        """Kill what became this process's child when its own parents ended."""
        mark = f"{_MARK}={name}".encode()
        while True:
            children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text(encoding="ascii")
            strangers = [pid for pid in map(int, children.split()) if pid not in self._mains]
            mine = [pid for pid in strangers if _has(pid, mark)]
            if not mine:
                return
            for pid in mine:
                with contextlib.suppress(ProcessLookupError, ChildProcessError):
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)

    def _end_all(self) -> None:
        for pid in list(self._mains):
            os.kill(pid, signal.SIGKILL)
        names = set(self._mains.values())
        while self._mains:
            pid, _ = os.wait()
            self._mains.pop(pid, None)
        for name in names:
            self._end_rest(name)

    def _say(self, **values: Any) -> None:
        sys.stdout.write(json.dumps(values) + "\n")
        sys.stdout.flush()


def _has(pid: int, mark: bytes) -> bool:
    try:
        return mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def main() -> None:
    """Run until stdin ends."""
    _Runner().run()


if __name__ == "__main__":
    main()
