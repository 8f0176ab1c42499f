"""What makes forecasts beside the scheduler: a thread that asks, and a process of low priority that works it out."""

import os
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import IO, Any

import structlog

from weir.cli.parent import end_with
from weir.control import foretelling
from weir.control.cycle import Control
from weir.control.foretelling import Foreteller
from weir.scheduling.outlook import Outlook, Picture, look_out
from weir.scheduling.packed import packed, unpacked
from weir.store import Store

_log = structlog.stdlib.get_logger("weir.forecast")

EVERY_S = 30.0
"""From one forecast's beginning to the next one's, where it does not take longer."""
FIRST_S = 10.0
NICE = 19
"""The process takes what nobody else wants of the processors."""
LONGEST_S = 900.0
"""A forecast that takes longer is given up, and the process with it."""
_HEAD = struct.Struct("<Q")


class Forecaster:
    """Makes one forecast after another while this process leads, as a context."""

    def __init__(self, control: Control, store: Store, now_ms: Callable[[], int]) -> None:
        self._control = control
        self._store = store
        self._now_ms = now_ms
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="weir-forecast", daemon=True)
        self._foreteller = Foreteller()
        self._child: subprocess.Popen[bytes] | None = None
        self._said = ""

    def __enter__(self) -> "Forecaster":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._end_child()
        self._thread.join()

    def _run(self) -> None:
        pause_s = FIRST_S
        while not self._stop.wait(pause_s):
            began_ms = self._now_ms()
            try:
                self._make(began_ms)
            except Exception:  # noqa: BLE001 - whatever it is, the next one is tried
                if not self._stop.is_set():
                    _log.exception("no forecast could be made; the next is tried")
                self._end_child()
            pause_s = max(1.0, EVERY_S - (self._now_ms() - began_ms) / 1_000)

    def _make(self, now_ms: int) -> None:
        standing = self._control.standing()
        if standing is None:
            return
        picture = self._foreteller.picture(self._store, standing, now_ms)
        outlook = picture if isinstance(picture, str) else self._worked_out(picture)
        if isinstance(outlook, str):
            self._none(outlook, now_ms)
            return
        self._said = ""
        whole = self._foreteller.made(outlook, standing)
        self._store.write(lambda tx: foretelling.write(tx, now_ms, "", whole))

    def _none(self, why: str, now_ms: int) -> None:
        """Keep why there is no forecast, once."""
        if why != self._said:
            self._said = why
            self._store.write(lambda tx: foretelling.write(tx, now_ms, why, None))

    def _worked_out(self, picture: Picture) -> Outlook | str:
        child = self._child
        if child is None or child.poll() is not None:
            child = self._child = subprocess.Popen(
                [sys.executable, "-m", "weir.cli.forecaster"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C reaches the server alone, which ends this process in order
            )
        assert child.stdin is not None
        assert child.stdout is not None
        late = threading.Timer(LONGEST_S, child.kill)
        late.start()
        try:
            _send(child.stdin, picture)
            answer: Outlook | str = _receive(child.stdout)
        finally:
            late.cancel()
        return answer

    def _end_child(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()


def work() -> None:
    """What the process does: an outlook, or why there is none, for each picture, until nothing more comes."""
    os.nice(NICE)
    if not end_with(os.getppid()):
        return
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    # Nothing else may get among the answers.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    while True:
        try:
            picture = _receive(sys.stdin.buffer)
        except EOFError:
            return
        answer: Outlook | str
        try:
            answer = look_out(picture)
        except ValueError as error:
            answer = f"a forecast knows nothing of what there is here: {error}"
        _send(answers, answer)


def _send(pipe: IO[bytes], value: object) -> None:
    body = packed(value)
    pipe.write(_HEAD.pack(len(body)) + body)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> Any:
    """What was sent. Raises EOFError where nothing more comes."""
    head = pipe.read(_HEAD.size)
    if len(head) < _HEAD.size:
        raise EOFError("the other end is gone")
    [length] = _HEAD.unpack(head)
    body = pipe.read(length)
    if len(body) < length:
        raise EOFError("the other end is gone")
    return unpacked(body)


if __name__ == "__main__":
    work()

__all__ = ["Forecaster", "work"]
