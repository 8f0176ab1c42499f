"""The agent's record in one SQLite file: every commit survives a crash of the machine."""

import hashlib
import json
import sqlite3
import threading
from pathlib import Path
from typing import Any

from weir.agents.record import LARGEST_PAST, Batch, Order, Phase, Recorded, RecordedAttempt
from weir.engines.driver import EngineEnd
from weir.model.agent import End, InputFile, LogChunk, NodeShare, Work
from weir.model.codec import from_plain, to_plain
from weir.model.problem import conflict
from weir.model.state import Desired, Observed

FORMAT = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS fact (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS work (digest TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attempt (
    id TEXT PRIMARY KEY, job TEXT NOT NULL, epoch INTEGER NOT NULL, phase INTEGER NOT NULL,
    desired INTEGER NOT NULL, observed INTEGER NOT NULL, since_ms INTEGER NOT NULL,
    work TEXT NOT NULL, placed TEXT NOT NULL, state TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS log (attempt TEXT PRIMARY KEY, chunks TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS past (number INTEGER PRIMARY KEY, attempt TEXT NOT NULL UNIQUE, end TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS local_order (
    number INTEGER PRIMARY KEY AUTOINCREMENT, word TEXT NOT NULL, at_ms INTEGER NOT NULL,
    done INTEGER NOT NULL DEFAULT 0
);
"""
_SAVE = """
INSERT INTO attempt (id, job, epoch, phase, desired, observed, since_ms, work, placed, state)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    phase = excluded.phase, desired = excluded.desired, observed = excluded.observed,
    since_ms = excluded.since_ms, state = excluded.state
"""
_REMEMBER = (
    "INSERT INTO past (attempt, end) VALUES (?, ?) ON CONFLICT (attempt) DO UPDATE SET end = excluded.end"
)


class SqliteRecord:
    """`Record` in `path`, which is made when missing. Threads may share it.

    Raises ProblemError (conflict) when the file was written by a newer agent,
    sqlite3.Error when the disk fails.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        path.touch(mode=0o600)
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._digests: dict[int, tuple[Work, str]] = {}
        self._prepare(path)

    def load(self) -> Recorded:
        with self._lock:
            facts = dict(self._connection.execute("SELECT key, value FROM fact").fetchall())
            works = {
                digest: from_plain(Work, json.loads(body))
                for digest, body in self._connection.execute("SELECT digest, body FROM work")
            }
            columns = "id, job, epoch, phase, desired, observed, since_ms, work, placed, state"
            rows = self._connection.execute(f"SELECT {columns} FROM attempt").fetchall()  # noqa: S608 (constant)
        attempts = tuple(_attempt(row, works) for row in rows)
        return Recorded(
            int(facts.get("incarnation", "0")),
            facts.get("store_incarnation", ""),
            facts.get("drained", "") == "yes",
            attempts,
        )

    def commit(self, batch: Batch) -> None:
        if not batch:
            return
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._write(batch)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                self._digests.clear()
                raise

    def chunks(self, attempt: str) -> tuple[LogChunk, ...]:
        row = self._row("SELECT chunks FROM log WHERE attempt = ?", attempt)
        return tuple(from_plain(LogChunk, chunk) for chunk in json.loads(row[0])) if row else ()

    def past_end(self, attempt: str) -> End | None:
        row = self._row("SELECT end FROM past WHERE attempt = ?", attempt)
        return from_plain(End, json.loads(row[0])) if row else None

    def orders(self) -> list[tuple[int, Order]]:
        with self._lock:
            query = "SELECT number, word FROM local_order WHERE done = 0 ORDER BY number"
            return [(number, Order(word)) for number, word in self._connection.execute(query)]

    def leave_order(self, order: Order, now_ms: int) -> int:
        with self._lock:
            insert = "INSERT INTO local_order (word, at_ms) VALUES (?, ?) RETURNING number"
            return int(self._connection.execute(insert, (order.value, now_ms)).fetchone()[0])

    def order_done(self, number: int) -> bool:
        """Whether the agent has carried out a local order."""
        row = self._row("SELECT done FROM local_order WHERE number = ?", number)
        return row is not None and bool(row[0])

    def tidy(self) -> None:
        """Drop what no attempt needs any more. Only for who holds the folder's lock."""
        with self._lock:
            self._connection.execute("DELETE FROM work WHERE digest NOT IN (SELECT work FROM attempt)")
            self._connection.execute("DELETE FROM local_order WHERE done = 1")

    def close(self) -> None:
        """Let go of the file; what was committed stays."""
        with self._lock:
            self._connection.close()

    def _prepare(self, path: Path) -> None:
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version > FORMAT:
            raise conflict(
                f"{path} was written by a newer agent (format {version}, known: {FORMAT}); update this one"
            )
        if version < FORMAT:
            self._connection.executescript(_SCHEMA)
            self._connection.execute(f"PRAGMA user_version = {FORMAT}")

    def _row(self, query: str, key: str | int) -> tuple[Any, ...] | None:
        with self._lock:
            row: tuple[Any, ...] | None = self._connection.execute(query, (key,)).fetchone()
            return row

    def _write(self, batch: Batch) -> None:
        execute, many = self._connection.execute, self._connection.executemany
        many(_SAVE, [_row_of(attempt, self._work(attempt.work)) for attempt in batch.attempts.values()])
        many(
            "INSERT OR REPLACE INTO log (attempt, chunks) VALUES (?, ?)",
            [(attempt, _text(to_plain(chunks))) for attempt, chunks in batch.chunks.items()],
        )
        if batch.removed:
            removed = [(attempt,) for attempt in batch.removed]
            many("DELETE FROM attempt WHERE id = ?", removed)
            many("DELETE FROM log WHERE attempt = ?", removed)
            many(_REMEMBER, [(attempt, _text(to_plain(end))) for attempt, end in batch.removed.items()])
            execute("DELETE FROM past WHERE number <= (SELECT max(number) FROM past) - ?", (LARGEST_PAST,))
        facts: list[tuple[str, str]] = []
        if batch.incarnation is not None:
            facts.append(("incarnation", str(batch.incarnation)))
        if batch.store_incarnation is not None:
            facts.append(("store_incarnation", batch.store_incarnation))
        if batch.drained is not None:
            facts.append(("drained", "yes" if batch.drained else ""))
        many("INSERT OR REPLACE INTO fact (key, value) VALUES (?, ?)", facts)
        if batch.orders_done is not None:
            execute("UPDATE local_order SET done = 1 WHERE number <= ? AND done = 0", (batch.orders_done,))

    def _work(self, work: Work | None) -> str:
        """The digest of a work, stored with the first attempt that has it."""
        if work is None:
            return ""
        known = self._digests.get(id(work))
        if known is not None:
            return known[1]
        body = _text(to_plain(work))
        digest = hashlib.sha256(body.encode()).hexdigest()
        self._connection.execute("INSERT OR IGNORE INTO work (digest, body) VALUES (?, ?)", (digest, body))
        if len(self._digests) >= 1_000:
            self._digests.clear()
        self._digests[id(work)] = (work, digest)  # holding the work keeps its id from being used again
        return digest


def _row_of(attempt: RecordedAttempt, work: str) -> tuple[Any, ...]:
    placed = {
        "pool": attempt.pool,
        "nodes": to_plain(attempt.nodes),
        "array_index": attempt.array_index,
        "inputs": to_plain(attempt.inputs),
        "folder": attempt.folder,
    }
    state = {
        "started_ms": attempt.started_ms,
        "message": attempt.message,
        "stop_reason": attempt.stop_reason,
        "ending": None if attempt.ending is None else to_plain(attempt.ending),
        "end": None if attempt.end is None else to_plain(attempt.end),
    }
    return (
        attempt.id,
        attempt.job,
        attempt.epoch,
        int(attempt.phase),
        int(attempt.desired),
        int(attempt.observed),
        attempt.since_ms,
        work,
        _text(placed),
        _text(state),
    )


def _attempt(row: tuple[Any, ...], works: dict[str, Work]) -> RecordedAttempt:
    name, job, epoch, phase, desired, observed, since_ms, work, placed_text, state_text = row
    placed, state = json.loads(placed_text), json.loads(state_text)
    return RecordedAttempt(
        id=name,
        job=job,
        epoch=epoch,
        phase=Phase(phase),
        desired=Desired(desired),
        observed=Observed(observed),
        since_ms=since_ms,
        pool=placed["pool"],
        nodes=from_plain(tuple[NodeShare, ...], placed["nodes"]),
        array_index=placed["array_index"],
        work=works.get(work),
        inputs=from_plain(tuple[InputFile, ...], placed["inputs"]),
        folder=placed["folder"],
        started_ms=state["started_ms"],
        message=state["message"],
        stop_reason=state["stop_reason"],
        ending=None if state["ending"] is None else from_plain(EngineEnd, state["ending"]),
        end=None if state["end"] is None else from_plain(End, state["end"]),
    )


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


__all__ = ["FORMAT", "SqliteRecord"]
