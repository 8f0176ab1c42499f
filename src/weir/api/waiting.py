"""Waiting for news without holding a thread: coroutines woken by what is committed to the store.

One task follows the change log for all of them. What waits is woken by the centre that was touched, or by the
job that moved; it then looks for itself, so a needless waking does no harm and a missed one is made up by the
time limit of every wait.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from anyio.to_thread import run_sync

from weir.model.change import Change, ChangeKind
from weir.store import EVERY_CENTRE, LogCutError, Store

KEPT_CHANGES = 8_192
KEPT_MOVES = 200_000
TROUBLE_PAUSE_S = 1.0
_READ_AT_ONCE = 1_000
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _JobWatch:
    first: int
    count: int
    woken: asyncio.Event


class News:
    """Follows one store's commits for the coroutines of one event loop."""

    def __init__(self, store: Store, observe: Callable[[Sequence[Change]], None]) -> None:
        """`observe` is told of every change once, in a thread."""
        self._store = store
        self._observe = observe
        self._loop: asyncio.AbstractEventLoop | None = None
        self._centres: dict[str, set[asyncio.Event]] = {}
        self._jobs: set[_JobWatch] = set()
        self._changes: set[asyncio.Event] = set()
        self._kept: deque[Change] = deque()
        self._kept_weight = 0
        self._committed_any = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._unsubscribe: Callable[[], None] | None = None
        self.position = 0
        """Up to here the log has been followed."""
        self.closing = False
        self._closed = asyncio.Event()

    async def open(self) -> None:
        """Begin to follow."""
        self._loop = asyncio.get_running_loop()
        self.position = await run_sync(self._store.position)
        self._unsubscribe = self._store.notifier.subscribe(self._committed)
        self._task = asyncio.create_task(self._follow())

    def close_soon(self) -> None:
        """The server is about to stop: whoever waits, or is about to, stops waiting."""
        self.closing = True
        self._closed.set()
        self._committed_any.set()
        for woken in self._all():
            woken.set()

    async def close(self) -> None:
        """Stop following; on return nothing of this reads the store any more."""
        self.close_soon()
        if self._unsubscribe is not None:
            self._unsubscribe()
        if self._task is not None:
            await self._task

    @contextmanager
    def of_centre(self, centre: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever what is desired of this centre has changed."""
        woken = self._event()
        watching = self._centres.setdefault(centre, set())
        watching.add(woken)
        try:
            yield woken
        finally:
            watching.discard(woken)
            if not watching:
                self._centres.pop(centre, None)

    @contextmanager
    def of_jobs(self, first: int, count: int) -> Iterator[asyncio.Event]:
        """An event that is set whenever one of these jobs (by number) moves."""
        watch = _JobWatch(first, count, self._event())
        self._jobs.add(watch)
        try:
            yield watch.woken
        finally:
            self._jobs.discard(watch)

    @contextmanager
    def of_changes(self) -> Iterator[asyncio.Event]:
        """An event that is set whenever the change log grows."""
        woken = self._event()
        self._changes.add(woken)
        try:
            yield woken
        finally:
            self._changes.discard(woken)

    async def wait(self, woken: asyncio.Event, timeout_s: float) -> None:
        """Until it is set, the server is closing, or the time is over; the event is clear again then."""
        if self.closing:
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(woken.wait(), max(0.0, timeout_s))
        if not self.closing:
            woken.clear()

    async def rest(self, pause_s: float) -> None:
        """Until the time is over, or the server is closing."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closed.wait(), pause_s)

    def kept_after(self, position: int) -> list[Change] | None:
        """The changes above `position` up to `self.position`; None when they must be read from the store."""
        if position >= self.position:
            return []
        if not self._kept or self._kept[0].position > position + 1:
            return None
        return [change for change in self._kept if change.position > position]

    def _event(self) -> asyncio.Event:
        woken = asyncio.Event()
        if self.closing:
            woken.set()
        return woken

    def _all(self) -> Iterator[asyncio.Event]:
        for watching in self._centres.values():
            yield from watching
        yield from (watch.woken for watch in self._jobs)
        yield from self._changes

    def _committed(self, position: int, centres: frozenset[str], any_change: bool) -> None:
        """Called in whichever thread committed."""
        assert self._loop is not None
        with suppress(RuntimeError):  # the loop has been closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._wake, centres, any_change)

    def _wake(self, centres: frozenset[str], any_change: bool) -> None:
        if centres:
            named = list(self._centres) if EVERY_CENTRE in centres else centres
            for centre in named:
                for woken in self._centres.get(centre, ()):
                    woken.set()
        if any_change:
            self._committed_any.set()

    async def _follow(self) -> None:
        while not self.closing:
            try:
                await self._read_on()
                await self._committed_any.wait()
                self._committed_any.clear()
            except LogCutError as cut:
                self._skip_to(cut.floor - 1)
            except Exception:  # noqa: BLE001 - whatever it was, those who wait must not wait for ever
                _log.exception("the change log could not be read; trying again")
                await self.rest(TROUBLE_PAUSE_S)

    async def _read_on(self) -> None:
        while not self.closing and (changes := await run_sync(self._read)):
            self._keep(changes)
            self.position = changes[-1].position
            for woken in self._changes:
                woken.set()
            if self._jobs:
                self._wake_jobs(changes)

    def _read(self) -> list[Change]:
        changes = self._store.changes(self.position, _READ_AT_ONCE)
        if changes:
            self._observe(changes)
        return changes

    def _skip_to(self, position: int) -> None:
        """What lay between is gone: everybody looks for themselves."""
        self.position = position
        self._kept.clear()
        self._kept_weight = 0
        for woken in self._all():
            woken.set()

    def _keep(self, changes: Sequence[Change]) -> None:
        self._kept.extend(changes)
        self._kept_weight += sum(map(_weight, changes))
        while len(self._kept) > KEPT_CHANGES or self._kept_weight > KEPT_MOVES:
            self._kept_weight -= _weight(self._kept.popleft())

    def _wake_jobs(self, changes: Sequence[Change]) -> None:
        moves = [
            (first, first + count)
            for change in changes
            if change.kind is ChangeKind.MOVED
            for first, count, _ in change.body["moves"]
        ]
        for watch in self._jobs:
            end = watch.first + watch.count
            if any(first < end and watch.first < last for first, last in moves):
                watch.woken.set()


def _weight(change: Change) -> int:
    return len(change.body.get("moves", ()))


__all__ = ["KEPT_CHANGES", "News"]
