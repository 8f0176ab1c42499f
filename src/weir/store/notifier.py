"""Who waits for a commit is told of it here, within one process."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

EVERY_CENTRE = "*"
"""Stands among the touched centres when which ones is not known: all should look."""

_log = logging.getLogger(__name__)


class Subscriber(Protocol):
    """Called after each commit that changed or touched something, in the thread that committed.

    It must return at once, hands work on to its own thread or event loop, and may see positions out of order.
    `centres`: whose desired state changed (see EVERY_CENTRE). `any_change`: whether the change log grew.
    """

    def __call__(self, position: int, centres: frozenset[str], any_change: bool) -> None: ...


class ChangeNotifier:
    """Passes on that something was committed. A subscriber that fails is logged and hurts nobody else."""

    def __init__(self, position: int = 0) -> None:
        self._condition = threading.Condition()
        self._position = position
        self._subscribers: tuple[Subscriber, ...] = ()

    @property
    def position(self) -> int:
        """The highest position told of."""
        return self._position

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Have it called from now on. Returns what ends that."""
        with self._condition:
            self._subscribers = (*self._subscribers, subscriber)
        return lambda: self._unsubscribe(subscriber)

    def committed(self, position: int, centres: frozenset[str], any_change: bool) -> None:
        """Tell everybody, after a commit."""
        if any_change:
            with self._condition:
                self._position = max(position, self._position)
                self._condition.notify_all()
        for subscriber in self._subscribers:
            try:
                subscriber(position, centres, any_change)
            except Exception:  # noqa: BLE001 - what a subscriber does wrong must not undo or delay a commit
                _log.exception("a subscriber to the store's commits failed")

    def wait(self, after: int, timeout_s: float) -> bool:
        """Whether a position above `after` is known, waiting for one for at most `timeout_s`."""
        until = time.monotonic() + timeout_s
        with self._condition:
            while self._position <= after:
                left = until - time.monotonic()
                if left <= 0:
                    return False
                self._condition.wait(left)
            return True

    def _unsubscribe(self, subscriber: Subscriber) -> None:
        with self._condition:
            self._subscribers = tuple(other for other in self._subscribers if other is not subscriber)


__all__ = ["EVERY_CENTRE", "ChangeNotifier", "Subscriber"]
