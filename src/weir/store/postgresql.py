"""The store on PostgreSQL: several processes, each transaction as if alone, woken by LISTEN/NOTIFY."""

import json
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from weir.store import log, migrate
from weir.store.database import RandomBits, Store, Transaction
from weir.store.listener import CHANNEL, Listener
from weir.store.notifier import EVERY_CENTRE, ChangeNotifier
from weir.store.problems import StoreBusyError, StoreError, StoreFullError, StoreUnavailableError

T = TypeVar("T")

TRIES = 30
"""So often a transaction is run before it is given up because of conflicts with others."""
DUPLICATE_TRIES = 3
"""A duplicate key may be somebody's simultaneous insert, which the next run then sees, or a real one."""
LOST_TRIES = 3
POOL_SIZE = 16
NOTIFY_LIMIT_BYTES = 7000

_SERIALIZATION_FAILURE, _DEADLOCK, _DUPLICATE, _DISK_FULL = "40001", "40P01", "23505", "53100"
_GOING_AWAY = frozenset({"57P01", "57P02", "57P03", "08000", "08003", "08006"})

# Advisory locks are numbers that everybody on a database shares: "weir" and a serial number.
_POSITION_LOCK = 0x77656972_00000001
_MIGRATION_LOCK = 0x77656972_00000002

_TELL_AND_LOCK = text(
    f"SELECT pg_notify('{CHANNEL}', :payload), "
    f"CASE WHEN :lock THEN pg_advisory_xact_lock({_POSITION_LOCK}) END"
)
_INSERT_CHANGES = text(
    "INSERT INTO change (position, at_ms, kind, organisation, body) "
    "SELECT nextval('change_position'), at_ms, kind, organisation, body FROM ("
    "SELECT * FROM jsonb_to_recordset(CAST(:changes AS jsonb)) "
    "AS r(n bigint, at_ms bigint, kind text, organisation text, body text) ORDER BY n) AS ordered "
    "RETURNING position"
)


class PostgresqlStore(Store):
    """SERIALIZABLE to write and one snapshot to read; what conflicts is run again.

    A change's position is drawn under a lock that is held until the commit is visible, and taken as the last
    thing before it: so position order is commit order, and whoever reads on never skips one. Positions of
    transactions that failed at their commit are left out.
    """

    dialect = "postgresql"

    def __init__(self, address: URL, *, threaded: bool, restored: bool, random_bits: RandomBits) -> None:
        arguments = _arguments(address)
        self._shown = address.render_as_string(hide_password=True)
        self._random_bits = random_bits
        self._own = f"{random_bits(64):016x}"
        self._writers = _engine(address, arguments, default_transaction_isolation="serializable")
        self._readers = _engine(
            address,
            arguments,
            default_transaction_isolation="repeatable read",
            default_transaction_read_only="on",
        )
        try:
            self.incarnation, position = self._prepared(restored)
        except BaseException:
            self.close()
            raise
        self.notifier = ChangeNotifier(position)
        self._listener: Listener | None = None
        if threaded:
            credentials = self._writers.dialect.create_connect_args(self._writers.url)[1]
            self._listener = Listener({**credentials, **arguments}, self._own, self.notifier)

    def read(self, work: Callable[[Connection], T]) -> T:
        return self._repeated(lambda: self._read_once(work))

    def write(self, work: Callable[[Transaction], T]) -> T:
        return self._repeated(lambda: self._write_once(work))

    def position(self) -> int:
        return self.read(log.last_position)

    def backup(self, target: Path) -> None:
        raise StoreError(
            f"a store on PostgreSQL is backed up with its own tools (pg_dump); {target} was not written. "
            f"After restoring one, start with --restored"
        )

    def close(self) -> None:
        listener: Listener | None = getattr(self, "_listener", None)
        if listener:
            listener.close()
        self._writers.dispose()
        self._readers.dispose()

    def _read_once(self, work: Callable[[Connection], T]) -> T:
        with self._readers.connect() as connection:
            return work(connection)

    def _write_once(self, work: Callable[[Transaction], T]) -> T:
        with self._writers.connect() as connection:
            transaction = Transaction(connection)
            result = work(transaction)
            position = self._tell(transaction)
            try:
                connection.commit()
            except (DBAPIError, OSError) as error:
                if _lost(error):
                    raise StoreUnavailableError(
                        "it went away while committing, which may have been done"
                    ) from error
                raise
        if transaction.changes or transaction.centres:
            self.notifier.committed(position, frozenset(transaction.centres), bool(transaction.changes))
        return result

    def _tell(self, transaction: Transaction) -> int:
        """Hand over what follows from the commit, as its last statements; the last position drawn."""
        if not (transaction.changes or transaction.centres):
            return 0
        payload = json.dumps([self._own, sorted(transaction.centres)])
        if len(payload) > NOTIFY_LIMIT_BYTES:
            payload = json.dumps([self._own, [EVERY_CENTRE]])
        connection = transaction.connection
        connection.execute(_TELL_AND_LOCK, {"payload": payload, "lock": bool(transaction.changes)})
        if not transaction.changes:
            return self.notifier.position
        rows = [{"n": n, **change._asdict()} for n, change in enumerate(transaction.changes)]
        drawn = connection.execute(_INSERT_CHANGES, {"changes": json.dumps(rows)}).scalars()
        return max(map(int, drawn))

    def _repeated(self, once: Callable[[], T]) -> T:
        """Its result, run again after conflicts with others and after a connection lost before the commit."""
        conflicts = duplicates = losses = 0
        while True:
            try:
                return once()
            except PoolTimeoutError as error:
                raise StoreUnavailableError("all connections are in use") from error
            except (DBAPIError, OSError) as error:
                code = _code(error)
                if code in (_SERIALIZATION_FAILURE, _DEADLOCK):
                    conflicts += 1
                    if conflicts >= TRIES:
                        raise StoreBusyError(TRIES) from error
                elif code == _DUPLICATE and duplicates + 1 < DUPLICATE_TRIES:
                    duplicates += 1
                elif code == _DISK_FULL:
                    raise StoreFullError(self._shown) from error
                elif _lost(error):
                    losses += 1
                    if losses >= LOST_TRIES:
                        raise StoreUnavailableError(_said(error)) from error
                else:
                    raise
            self._pause(conflicts + duplicates + 4 * losses)

    def _pause(self, nth: int) -> None:
        longest_ms = min(2.0**nth, 64.0)
        threading.Event().wait(longest_ms * self._random_bits(16) / 65_536 / 1000)

    def _prepared(self, restored: bool) -> tuple[str, int]:
        try:
            with self._writers.connect() as connection:
                # READ COMMITTED looks anew after waiting for the lock, and so sees what its last holder did.
                connection.execute(text("SET TRANSACTION ISOLATION LEVEL READ COMMITTED"))
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
                incarnation = migrate.prepare(connection, restored=restored, random_bits=self._random_bits)
                position = log.last_position(connection)
                connection.commit()
                return incarnation, position
        except DBAPIError as error:
            raise StoreError(f"{self._shown} cannot be opened as a store: {_said(error)}") from error


def _engine(address: URL, arguments: dict[str, Any], **settings: str) -> Engine:
    return create_engine(
        address.set(drivername="postgresql+pg8000").difference_update_query(["sslmode"]),
        connect_args={**arguments, "startup_params": {**settings, "jit": "off"}, "application_name": "weir"},
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_use_lifo=True,
    )


def _arguments(address: URL) -> dict[str, Any]:
    """What the driver is told of encryption: `sslmode` as PostgreSQL's own tools understand it."""
    mode = address.query.get("sslmode", "prefer")
    if mode == "disable":
        return {"ssl_context": False}
    if mode == "prefer":
        return {}
    if mode == "require":
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return {"ssl_context": context}
    if mode == "verify-full":
        return {"ssl_context": ssl.create_default_context()}
    raise StoreError(f"sslmode {mode!r} is not known: give disable, prefer, require or verify-full")


def _code(error: DBAPIError | OSError) -> str:
    """The SQLSTATE, or "" when the database said nothing."""
    return str(_details(error).get("C", ""))


def _said(error: DBAPIError | OSError) -> str:
    """What went wrong, in the database's words where it had some."""
    return str(_details(error).get("M", getattr(error, "orig", error)))


def _details(error: DBAPIError | OSError) -> dict[str, str]:
    cause = error.orig if isinstance(error, DBAPIError) else None
    details = cause.args[0] if cause is not None and cause.args else None
    return details if isinstance(details, dict) else {}


def _lost(error: DBAPIError | OSError) -> bool:
    """Whether the connection went away or could not be made. The driver lets some of the system's errors pass."""
    if isinstance(error, OSError):
        return True
    code = _code(error)
    unanswered = isinstance(error, InterfaceError) and not code
    return error.connection_invalidated or code in _GOING_AWAY or unanswered


__all__ = ["PostgresqlStore"]
