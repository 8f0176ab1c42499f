"""The store on SQLite: one process, one writer that commits in groups, readers with their own snapshots."""

import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from weir.model.problem import ProblemError
from weir.store import log, migrate
from weir.store.backup import write_backup
from weir.store.database import RandomBits, Store, Transaction
from weir.store.file_lock import FileLock
from weir.store.notifier import ChangeNotifier
from weir.store.problems import StoreError, StoreFullError, StoreUnavailableError

T = TypeVar("T")

GROUP_LIMIT = 256
"""So many waiting works share a commit at most, so that the first of them need not wait for ever."""
READER_LIMIT = 8
BUSY_TIMEOUT_S = 10.0
CHECKPOINT_PAGES = 4_000
"""So many pages (16 MiB) may be in the write-ahead log before they go to the file: a page that is changed again and
again goes there once."""

_INSERT_CHANGE = "INSERT INTO change (position, at_ms, kind, organisation, body) VALUES (?, ?, ?, ?, ?)"
# A disk over its quota shows as a failed write.
_NO_ROOM = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE})


class Session:
    """One connection, whose transactions are begun and ended here and not by SQLAlchemy.

    To SQLAlchemy it is for ever within one transaction, which spares its bookkeeping at each of ours.
    """

    def __init__(self, raw: sqlite3.Connection, connection: Connection) -> None:
        self.raw = raw
        self.connection = connection

    def close(self) -> None:
        self.connection.close()
        self.raw.close()


class Waiting:
    """A work handed to the writer, and what became of it."""

    __slots__ = ("done", "error", "result", "work")

    def __init__(self, work: Callable[[Transaction], Any]) -> None:
        self.work = work
        self.result: Any = None
        self.error: BaseException | None = None
        self.done = threading.Lock()
        self.done.acquire()

    def outcome(self) -> Any:
        """Returns or raises what the work did."""
        error, self.error = self.error, None
        if error is None:
            return self.result
        try:
            raise error
        finally:
            del error, self  # or the traceback would keep itself alive


class GroupWriter:
    """Runs works in one transaction a group, each undone by itself when it fails."""

    def __init__(self, session: Session, position: int, where: str) -> None:
        self.position = position
        self.notifier = ChangeNotifier(position)
        self._session = session
        self._where = where

    def run(self, group: Sequence[Waiting]) -> None:
        """Do them all and commit once. Each then holds its result or error, and its `done` is released."""
        touched: set[str] = set()
        added = self._attempt(group, touched)
        for waiting in group:
            waiting.done.release()
        if added or touched:
            self.notifier.committed(self.position, frozenset(touched), added > 0)

    def _attempt(self, group: Sequence[Waiting], touched: set[str]) -> int:
        """The number of changes added."""
        raw = self._session.raw
        rows: list[tuple[int, int, str, str, str]] = []
        try:
            raw.execute("BEGIN IMMEDIATE")
            for waiting in group:
                transaction = self._run_one(waiting, alone=len(group) == 1)
                if not raw.in_transaction:
                    return self._apart(group, touched)
                if transaction is not None:
                    first = self.position + 1 + len(rows)
                    rows.extend((first + n, *change) for n, change in enumerate(transaction.changes))
                    touched |= transaction.centres
            if rows:
                raw.executemany(_INSERT_CHANGE, rows)
            raw.execute("COMMIT")
        except sqlite3.Error as error:
            raw.rollback()
            touched.clear()
            for waiting in group:
                waiting.error = waiting.error or self._translated(error)
            return 0
        self.position += len(rows)
        return len(rows)

    def _run_one(self, waiting: Waiting, *, alone: bool) -> Transaction | None:
        """The transaction of a work; None where it failed, and was undone.

        One that is alone needs no savepoint: SQLite keeps the pages that a savepoint may need in a list, which each
        statement with a trigger walks from its beginning.
        """
        raw = self._session.raw
        transaction = Transaction(self._session.connection)
        if not alone:
            raw.execute("SAVEPOINT work")
        try:
            waiting.result = waiting.work(transaction)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it belongs to the caller, who gets it
            waiting.error = self._translated(error)
            if alone:
                raw.rollback()
            elif raw.in_transaction:
                raw.execute("ROLLBACK TO work")
                raw.execute("RELEASE work")
            return None
        if not alone:
            raw.execute("RELEASE work")
        return transaction

    def _apart(self, group: Sequence[Waiting], touched: set[str]) -> int:
        """SQLite undid the whole group (it does when the disk is full): each goes again by itself."""
        touched.clear()
        if len(group) == 1:
            return 0
        added = 0
        for waiting in group:
            waiting.result = waiting.error = None
            one_touched: set[str] = set()
            added += self._attempt([waiting], one_touched)
            touched |= one_touched
        return added

    def _translated(self, error: BaseException) -> BaseException:
        cause = error.orig if isinstance(error, DBAPIError) else error
        code = getattr(cause, "sqlite_errorcode", 0) if isinstance(cause, sqlite3.Error) else 0
        problem: ProblemError
        if code in _NO_ROOM:
            problem = StoreFullError(self._where)
        elif code & 0xFF == sqlite3.SQLITE_BUSY:
            problem = StoreUnavailableError(f"another program has locked {self._where}")
        else:
            return error
        problem.__cause__ = error
        return problem


class InlineSqliteStore(Store):
    """Everything in the caller's thread, on one connection: for simulations and short-lived programs."""

    dialect = "sqlite"

    def __init__(
        self, session: Session, incarnation: str, *, where: str, lock: FileLock | None = None
    ) -> None:
        self.incarnation = incarnation
        self._session = session
        self._lock = lock
        self._turn = threading.RLock()
        self._at_work = False
        self._writer = GroupWriter(session, log.last_position(session.connection), where)
        self.notifier = self._writer.notifier

    def read(self, work: Callable[[Connection], T]) -> T:
        with self._working():
            self._session.raw.execute("BEGIN")
            try:
                return work(self._session.connection)
            finally:
                self._session.raw.rollback()

    def write(self, work: Callable[[Transaction], T]) -> T:
        waiting = Waiting(work)
        with self._working():
            self._writer.run([waiting])
        result: T = waiting.outcome()
        return result

    def position(self) -> int:
        return self._writer.position

    def backup(self, target: Path) -> None:
        with self._working():
            write_backup(self._session.raw, target)

    def serialized(self) -> bytes:
        """The whole database."""
        with self._working():
            return self._session.raw.serialize()

    def close(self) -> None:
        self._session.close()
        if self._lock:
            self._lock.release()

    @contextmanager
    def _working(self) -> Iterator[None]:
        with self._turn:
            if self._at_work:
                raise StoreError("a work must not call the store that runs it")
            self._at_work = True
            try:
                yield
            finally:
                self._at_work = False


class SqliteStore(Store):
    """A file in WAL mode, with one thread that writes and a few connections that read."""

    dialect = "sqlite"

    def __init__(
        self, path: Path, engine: Engine, session: Session, incarnation: str, lock: FileLock
    ) -> None:
        self.incarnation = incarnation
        self._path = path
        self._lock = lock
        self._session = session
        self._writer = GroupWriter(session, log.last_position(session.connection), str(path))
        self.notifier = self._writer.notifier
        self._readers = Readers(path, engine)
        self._queue: SimpleQueue[Waiting | None] = SimpleQueue()
        self._open = True
        self._gate = threading.Lock()
        self._thread = threading.Thread(target=self._serve, name="store-writer", daemon=True)
        self._thread.start()

    def read(self, work: Callable[[Connection], T]) -> T:
        with self._readers.snapshot() as connection:
            return work(connection)

    def write(self, work: Callable[[Transaction], T]) -> T:
        if threading.current_thread() is self._thread:
            raise StoreError("a work must not call the store that runs it")
        waiting = Waiting(work)
        with self._gate:
            if not self._open:
                raise StoreError("the store is closed")
            self._queue.put(waiting)
        waiting.done.acquire()
        result: T = waiting.outcome()
        return result

    def position(self) -> int:
        return self._writer.position

    def backup(self, target: Path) -> None:
        with closing(connect(self._path)) as source:
            write_backup(source, target)

    def close(self) -> None:
        with self._gate:
            if not self._open:
                return
            self._open = False
            self._queue.put(None)
        self._thread.join()
        self._readers.close()
        self._session.close()
        self._lock.release()

    def _serve(self) -> None:
        more = True
        while more:
            group: list[Waiting] = []
            waiting = self._queue.get()
            while True:
                if waiting is None:
                    more = False
                    break
                group.append(waiting)
                if len(group) >= GROUP_LIMIT:
                    break
                try:
                    waiting = self._queue.get_nowait()
                except Empty:
                    break
            if group:
                self._writer.run(group)


class Readers:
    """A few connections that read, made when first needed."""

    def __init__(self, path: Path, engine: Engine) -> None:
        self._path = path
        self._engine = engine
        self._free = threading.Semaphore(READER_LIMIT)
        self._idle: deque[Session] = deque()

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A connection on which everything read is of one moment, the first read's."""
        with self._free:
            try:
                session = self._idle.pop()
            except IndexError:
                session = session_on(self._engine, connect(self._path))
                session.raw.execute("PRAGMA query_only = ON")
            try:
                session.raw.execute("BEGIN")
                yield session.connection
            finally:
                session.raw.rollback()
                self._idle.append(session)

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()


def open_sqlite(path: Path, *, threaded: bool, restored: bool, random_bits: RandomBits) -> Store:
    """The store in that file, made when it is missing. Raises StoreError."""
    lock = FileLock(path)
    try:
        session, incarnation = _prepared(path, restored=restored, random_bits=random_bits)
    except sqlite3.Error as error:
        lock.release()
        raise StoreError(f"{path} cannot be opened as a store: {error}") from error
    except BaseException:
        lock.release()
        raise
    if threaded:
        return SqliteStore(path, session.connection.engine, session, incarnation, lock)
    return InlineSqliteStore(session, incarnation, where=str(path), lock=lock)


def connect(path: Path) -> sqlite3.Connection:
    """A connection as all of a store's are: durable at each commit, patient, with foreign keys held."""
    raw = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, cached_statements=512
    )
    try:
        raw.execute("PRAGMA journal_mode = WAL")
        raw.execute("PRAGMA synchronous = FULL")
        raw.execute("PRAGMA temp_store = MEMORY")
        raw.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        raw.close()
        raise
    return raw


_handed = threading.local()


def make_engine() -> Engine:
    """An engine whose connections are given by `session_on`; they share its compiled statements."""
    return create_engine("sqlite://", creator=lambda: _handed.raw, poolclass=NullPool)


def session_on(engine: Engine, raw: sqlite3.Connection) -> Session:
    """SQLAlchemy's connection upon one of SQLite's."""
    _handed.raw = raw
    try:
        connection = engine.connect()
    finally:
        del _handed.raw
    connection.begin()
    return Session(raw, connection)


def _prepared(path: Path, *, restored: bool, random_bits: RandomBits) -> tuple[Session, str]:
    path.touch(mode=0o600)
    session = session_on(make_engine(), connect(path))
    try:
        # A migration may make a table anew, which foreign keys would hinder; they are checked at its end.
        session.raw.execute("PRAGMA foreign_keys = OFF")
        session.raw.execute("BEGIN IMMEDIATE")
        incarnation = migrate.prepare(session.connection, restored=restored, random_bits=random_bits)
        if session.raw.execute("PRAGMA foreign_key_check").fetchone():
            raise StoreError(f"{path} refers to rows that it does not hold: restore a backup")
        session.raw.execute("COMMIT")
        session.raw.execute("PRAGMA foreign_keys = ON")
        session.raw.execute("PRAGMA cache_size = -65536")
        session.raw.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    except BaseException:
        session.close()
        raise
    return session, incarnation
