"""The store as the processes of a history see it: every write may be the last thing that one of them does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection

from tests.simulation.world import Crash, Process, World
from weir.store import ChangeNotifier, Store, Transaction
from weir.store.sqlite import InlineSqliteStore

T = TypeVar("T")


class _OnceMoreError(Exception):
    """Undoes a work that is then done again, as the store may do with any work."""


class Tap(Store):
    """One process's way to the common store. Kills fall right before and right after commits.

    `committed` is called after every commit; `between` may let others act right before one.
    """

    dialect = "sqlite"

    def __init__(
        self,
        world: World,
        process: Process,
        store: InlineSqliteStore,
        committed: Callable[[str], None],
        between: Callable[[], None],
        killing: float,
    ) -> None:
        self._world = world
        self._process = process
        self._life = process.life
        self._inner = store
        self._committed = committed
        self._between = between
        self._killing = killing
        self.label = ""

    @property
    def incarnation(self) -> str:  # type: ignore[override]  # the store's own may be read alone
        return self._inner.incarnation

    @property
    def notifier(self) -> ChangeNotifier:  # type: ignore[override]
        return self._inner.notifier

    def read(self, work: Callable[[Connection], T]) -> T:
        return self._inner.read(work)

    def write(self, work: Callable[[Transaction], T]) -> T:
        world = self._world
        self._between()
        self._must_live()
        if world.chance(self._killing):
            raise Crash(self._process, f"before it commits ({self.label})")
        if world.chance(0.02):
            self._undone(work)
        result = self._inner.write(work)
        self._committed(f"{self._process.name}: {self.label}")
        if world.chance(self._killing):
            raise Crash(self._process, f"after it has committed ({self.label})")
        return result

    def position(self) -> int:
        return self._inner.position()

    def backup(self, target: Path) -> None:
        self._inner.backup(target)

    def close(self) -> None:
        """The common store stays."""

    def _must_live(self) -> None:
        if self._process.life != self._life or not self._process.alive:
            raise Crash(self._process, "meanwhile")

    def _undone(self, work: Callable[[Transaction], Any]) -> None:
        def undone(tx: Transaction) -> None:
            work(tx)
            raise _OnceMoreError

        try:
            self._inner.write(undone)
        except _OnceMoreError:
            return


__all__ = ["Tap"]
