"""The thread in which the scheduler steps: woken by commits, never polling faster than it is told."""

import threading
import time
from collections.abc import Callable

import structlog

from weir.api import Meters
from weir.control.cycle import Control
from weir.store import Store

_log = structlog.stdlib.get_logger("weir.control")

LONGEST_SLEEP_S = 5.0
TROUBLE_PAUSE_S = 1.0


class ControlLoop:
    """Steps one Control until it is stopped, as a context. What it cannot do is logged and tried again."""

    def __init__(self, control: Control, store: Store, meters: Meters, now_ms: Callable[[], int]) -> None:
        self._control = control
        self._store = store
        self._meters = meters
        self._now_ms = now_ms
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="weir-control", daemon=True)

    def __enter__(self) -> "ControlLoop":
        self._unsubscribe = self._store.notifier.subscribe(self._committed)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopping = True
        self._wake.set()
        self._thread.join()
        self._unsubscribe()

    def _committed(self, position: int, centres: frozenset[str], any_change: bool) -> None:
        if any_change:
            self._wake.set()

    def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            pause_s = self._step()
            if pause_s > 0:
                self._wake.wait(pause_s)
        try:
            self._control.resign(self._now_ms())
        except Exception:  # noqa: BLE001 - leaving must not fail; the lease has an end
            _log.exception("the lease could not be given back; it runs out by itself")

    def _step(self) -> float:
        """One step; how long to sleep at the most before the next."""
        began = time.perf_counter()
        try:
            outcome = self._control.step(self._now_ms())
        except Exception:  # noqa: BLE001 - whatever it is, scheduling goes on
            _log.exception("a scheduling step failed; the next begins from the store's rows")
            time.sleep(TROUBLE_PAUSE_S)
            return 0.0
        if outcome.planned:
            self._meters.cycle(time.perf_counter() - began)
        if outcome.again:
            return 0.0
        return min(LONGEST_SLEEP_S, max(0.0, (outcome.next_ms - self._now_ms()) / 1_000))


__all__ = ["ControlLoop"]
