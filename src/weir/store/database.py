"""The store as everybody sees it: read, write, and follow what was committed."""

import json
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self, TypeVar

from sqlalchemy import Connection, make_url
from sqlalchemy.exc import ArgumentError

from weir.model.change import Change, ChangeKind
from weir.store import log
from weir.store.notifier import ChangeNotifier
from weir.store.problems import StoreError

T = TypeVar("T")
RandomBits = Callable[[int], int]
"""So many random bits as an integer, like `random.getrandbits`."""


class NewChange(NamedTuple):
    """A change that is committed with its transaction, and gets its position then."""

    at_ms: int
    kind: str
    organisation: str
    body: str


class Transaction:
    """What a `work` changes things through: a connection, and what everybody is told once it is committed."""

    __slots__ = ("centres", "changes", "connection")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.changes: list[NewChange] = []
        self.centres: set[str] = set()

    def append(
        self, kind: ChangeKind, body: Mapping[str, Any], *, at_ms: int, organisation: str = ""
    ) -> None:
        """Add a change to the log; those of one transaction get neighbouring positions, in this order.

        Raises TypeError for a body that is no JSON.
        """
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        self.changes.append(NewChange(at_ms, kind.value, organisation, text))

    def touch_centre(self, centre: str) -> None:
        """What is desired of this centre changed: its agents' long polls wake after the commit."""
        self.centres.add(centre)


class Store(ABC):
    """One database. Every method may be called from any thread; those below `write` are atomic and durable.

    A `work` gets a connection within a transaction and returns plain values, no open results. It may be run
    again when others interfere, so it changes nothing but the database, does no other I/O, and calls no
    method of the store. What it raises is raised to the caller, and nothing of it is kept. It lets the
    database's own errors pass: PostgreSQL takes no statement after one, so that where a row may be there
    already it says ON CONFLICT.
    """

    dialect: Literal["sqlite", "postgresql"]
    incarnation: str
    """New whenever the store was restored from a backup."""
    notifier: ChangeNotifier

    @abstractmethod
    def read(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns, over one consistent state that holds every write acknowledged before."""

    @abstractmethod
    def write(self, work: Callable[[Transaction], T]) -> T:
        """What `work` returns, once all that it did is durably committed.

        Raises StoreFullError, StoreBusyError or StoreUnavailableError besides what `work` raises.
        """

    @abstractmethod
    def position(self) -> int:
        """The position of the last committed change; 0 when there has been none."""

    @abstractmethod
    def backup(self, target: Path) -> None:
        """Write a consistent copy to a new file while work goes on.

        A store opened on it gets a new incarnation. Raises StoreError when the file is there already, and on
        PostgreSQL, which has its own tools for this.
        """

    @abstractmethod
    def close(self) -> None:
        """Finish what has been handed in, and let go of the database. Harmless when repeated."""

    def changes(self, after: int, limit: int) -> list[Change]:
        """The first `limit` changes whose position is above `after`, in order.

        Raises LogCutError when some of those after it have been cut off.
        """
        return self.read(lambda connection: log.changes(connection, after, limit))

    def cut(self, before_position: int) -> None:
        """Drop the changes below that position. Only what a stored checkpoint covers may be cut."""
        self.write(lambda tx: log.cut(tx.connection, before_position))

    def wait_for_change(self, after: int, timeout_s: float) -> bool:
        """Whether there is a change above `after`, waiting for one for at most `timeout_s`."""
        return self.position() > after or self.notifier.wait(after, timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_store(
    url: str, *, threaded: bool = True, restored: bool = False, random_bits: RandomBits = secrets.randbits
) -> Store:
    """The store at `sqlite:///FILE`, `sqlite://` (in memory) or `postgresql://…`, made or migrated as needed.

    With `threaded=False` everything happens in the caller's thread. `restored` says that the database was put
    back by other means than `Store.backup`'s copy, which is recognised: it gets a new incarnation.
    Raises StoreError: another process has the file open, a newer Weir wrote it, or it cannot be reached.
    """
    try:
        address = make_url(url)
    except ArgumentError:
        raise _no_store(url) from None
    backend = address.get_backend_name()
    if backend == "sqlite":
        from weir.store.memory import memory_image, memory_store
        from weir.store.sqlite import open_sqlite

        if address.database in (None, "", ":memory:"):
            return memory_store(memory_image(random_bits))
        return open_sqlite(
            Path(address.database), threaded=threaded, restored=restored, random_bits=random_bits
        )
    if backend == "postgresql":
        from weir.store.postgresql import PostgresqlStore

        return PostgresqlStore(address, threaded=threaded, restored=restored, random_bits=random_bits)
    raise _no_store(url)


def _no_store(url: str) -> StoreError:
    return StoreError(f"{url!r} is no store: give sqlite:///FILE or postgresql://USER@HOST/DATABASE")


__all__ = ["NewChange", "RandomBits", "Store", "Transaction", "open_store"]
