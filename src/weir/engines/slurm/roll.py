"""Every attempt that the driver knows, in memory and on disk, and what has changed of them."""

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from weir.engines.driver import EngineEnd, EngineState
from weir.engines.slurm.folder import SharedFolder
from weir.engines.slurm.record import SlurmRecord
from weir.engines.slurm.tracked import Phase, Tracked
from weir.model.state import Cause

__all__ = ["Roll"]


class Roll:
    """The attempts by name. Whoever reads or changes them holds `lock`."""

    def __init__(self, record: SlurmRecord, clock: Callable[[], int]) -> None:
        """`clock` gives milliseconds since 1970."""
        self.lock = threading.RLock()
        self.record = record
        self.clock = clock
        self.woken = threading.Event()
        self.attempts: dict[str, Tracked] = {}
        self.held_back: dict[str, None] = {}
        """Those that Slurm has not heard of, in the order in which they came."""
        self.live: dict[str, None] = {}
        """Those that have not ended."""
        self.news = False
        self.room = False
        """Something has started or ended since this was last taken back: where only so many may wait, more may."""
        self._changed: dict[str, None] = {}
        self._unsaved: dict[str, Tracked] = {}
        self._folders: dict[Path, SharedFolder] = {}
        for tracked in record.load():
            tracked.sent_s = time.monotonic()
            self._put(tracked)
            self.note(tracked.attempt)

    def add(self, tracked: Tracked) -> None:
        """Take up a new one; it is on disk after `save`."""
        self._put(tracked)
        self._unsaved[tracked.attempt] = tracked
        self.note(tracked.attempt)

    def move(self, tracked: Tracked, phase: Phase) -> None:
        tracked.phase = phase
        if phase is Phase.HELD_BACK:
            self.held_back[tracked.attempt] = None
        else:
            self.held_back.pop(tracked.attempt, None)
        self._unsaved[tracked.attempt] = tracked

    def show(self, tracked: Tracked, state: EngineState) -> None:
        """Its state is this now; a start and an end are worth a line on disk, a reason to wait is not."""
        if state == tracked.state:
            return
        if state.started_ms != tracked.state.started_ms or state.end is not None:
            self._unsaved[tracked.attempt] = tracked
            self.room = True
        tracked.state = state
        self.note(tracked.attempt)

    def settle(self, tracked: Tracked, end: EngineEnd) -> None:
        """It has ended so, for good."""
        if tracked.ended:
            return
        self.show(tracked, tracked.end_state(end))
        self.move(tracked, Phase.ENDED)
        self.live.pop(tracked.attempt, None)

    def end_unstarted(self, tracked: Tracked, cause: Cause, message: str) -> None:
        """Nothing of it runs, or ever ran as far as anybody knows."""
        self.settle(tracked, EngineEnd(cause, None, None, message, tracked.state.started_ms, self.clock()))

    def changed_job(self, tracked: Tracked) -> None:
        """Its number at Slurm is known, or known better."""
        self._unsaved[tracked.attempt] = tracked

    def save(self) -> None:
        """Put everything on disk that has changed since the last time."""
        unsaved, self._unsaved = self._unsaved, {}
        if unsaved:
            self.record.save(unsaved.values())

    def drop(self, names: Iterable[str]) -> list[Tracked]:
        """Forget these for good; what they were."""
        dropped = []
        for name in names:
            tracked = self.attempts.pop(name, None)
            if tracked is not None:
                for table in (self.held_back, self.live, self._changed, self._unsaved):
                    table.pop(name, None)
                dropped.append(tracked)
        if dropped:
            self.record.forget(tracked.attempt for tracked in dropped)
        return dropped

    def folder(self, tracked: Tracked) -> SharedFolder:
        """The shared folder that its own lies in."""
        return self.shared(tracked.folder.parent)

    def shared(self, root: Path) -> SharedFolder:
        """The shared folder at this place, made ready where it is not known yet."""
        if root not in self._folders:
            self._folders[root] = SharedFolder(root)
        return self._folders[root]

    def folders(self) -> list[SharedFolder]:
        return list(self._folders.values())

    def waiting(self, pool: str) -> int:
        """How many of a pool's attempts Slurm has and has not started."""
        return sum(
            1
            for name in self.live
            for tracked in (self.attempts[name],)
            if tracked.pool == pool and tracked.at_slurm and tracked.state.started_ms is None
        )

    def note(self, name: str) -> None:
        self._changed[name] = None
        self.news = True
        self.woken.set()

    def changed(self) -> list[str]:
        names = list(self._changed)
        self._changed.clear()
        return names

    def _put(self, tracked: Tracked) -> None:
        self.attempts[tracked.attempt] = tracked
        if not tracked.ended:
            self.live[tracked.attempt] = None
        if tracked.phase is Phase.HELD_BACK:
            self.held_back[tracked.attempt] = None
