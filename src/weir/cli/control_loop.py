"""The thread in which the scheduler steps: woken by commits, never polling faster than it is told."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import structlog

from weir.api import Meters
from weir.control.ageing import drop_old
from weir.control.cycle import Control, StepOutcome
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
        self._aside = ThreadPoolExecutor(1, "weir-control-aside")
        self._doing: Future[None] | None = None
        self._drop_ms = 0

    def __enter__(self) -> "ControlLoop":
        self._unsubscribe = self._store.notifier.subscribe(self._committed)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopping = True
        self._wake.set()
        self._thread.join()
        self._unsubscribe()
        self._aside.shutdown()

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
        self._do_aside(outcome)
        if outcome.again:
            return 0.0
        return min(LONGEST_SLEEP_S, max(0.0, (outcome.next_ms - self._now_ms()) / 1_000))

    def _do_aside(self, outcome: StepOutcome) -> None:
        """What may take long, and may be left out once: in a thread of its own, one thing at a time."""
        if not outcome.leading or (self._doing is not None and not self._doing.done()):
            return
        base = outcome.base
        if base is not None:
            self._doing = self._aside.submit(self._without_fail, lambda: self._control.keep(base))
        elif self._now_ms() >= self._drop_ms:
            self._doing = self._aside.submit(self._without_fail, self._drop)

    def _drop(self) -> None:
        self._drop_ms = drop_old(self._store, self._now_ms())

    def _without_fail(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception:  # noqa: BLE001 - whatever it is, scheduling goes on, and it is done another time
            self._drop_ms = max(self._drop_ms, self._now_ms() + round(TROUBLE_PAUSE_S * 1_000))
            _log.exception("what is done beside scheduling failed; it is tried again later")


__all__ = ["ControlLoop"]
