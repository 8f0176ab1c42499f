"""The driver's durable record: which attempts Slurm may have, and under which numbers."""

import json
import sqlite3
import threading
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from weir.engines.driver import AttemptOrder, EngineEnd, EngineState
from weir.engines.slurm.port import ClusterFacts
from weir.engines.slurm.tracked import Phase, Tracked
from weir.model.agent import NodeShare, Work
from weir.model.codec import from_plain, to_plain
from weir.model.state import Cause, Observed

__all__ = ["SlurmRecord"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS fact (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attempt (
    name TEXT PRIMARY KEY, phase INTEGER NOT NULL, pool TEXT NOT NULL, folder TEXT NOT NULL, user TEXT NOT NULL,
    uid INTEGER NOT NULL, batch TEXT NOT NULL, element INTEGER, job INTEGER NOT NULL, own INTEGER NOT NULL,
    submitted_s INTEGER NOT NULL, stopping INTEGER NOT NULL, started_ms INTEGER, placing TEXT NOT NULL,
    work TEXT NOT NULL, ended TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS forgotten (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
"""
_SAVE = """
INSERT INTO attempt VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET
    phase = excluded.phase, batch = excluded.batch, element = excluded.element, job = excluded.job,
    own = excluded.own, submitted_s = excluded.submitted_s, stopping = excluded.stopping,
    started_ms = excluded.started_ms, ended = excluded.ended
"""
_MOST_FORGOTTEN = 200_000
"""Slurm itself remembers an ended job for a few minutes; this is many times as long."""


class SlurmRecord:
    """The record in one SQLite file. What a method has written is on disk when it returns; threads may share it."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        path.touch(mode=0o600)
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.executescript(_SCHEMA)
        self._works: dict[int, tuple[Work, str]] = {}

    def load(self) -> list[Tracked]:
        """Every attempt that was not forgotten, as it was last written."""
        works: dict[str, Work] = {}
        with self._lock:
            return [_tracked(row, works) for row in self._connection.execute("SELECT * FROM attempt")]

    def save(self, attempts: Iterable[Tracked]) -> None:
        """Write these as they are now, all of them or none."""
        with self._lock, self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(_SAVE, map(self._row, attempts))

    def forget(self, names: Iterable[str]) -> None:
        """Drop these, and remember that they are not to be found again."""
        rows = [(name,) for name in names]
        with self._lock, self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("DELETE FROM attempt WHERE name = ?", rows)
            self._connection.executemany("INSERT OR IGNORE INTO forgotten (name) VALUES (?)", rows)
            self._connection.execute(
                "DELETE FROM forgotten WHERE number <= (SELECT max(number) FROM forgotten) - ?",
                (_MOST_FORGOTTEN,),
            )

    def is_forgotten(self, name: str) -> bool:
        with self._lock:
            found = self._connection.execute("SELECT 1 FROM forgotten WHERE name = ?", (name,)).fetchone()
        return found is not None

    def keep_facts(self, facts: ClusterFacts) -> None:
        """What the cluster said of itself, for a start at which it does not answer."""
        with self._lock, self._connection:
            self._connection.execute(
                "INSERT INTO fact VALUES ('cluster', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (json.dumps(asdict(facts)),),
            )

    def facts(self) -> ClusterFacts | None:
        with self._lock:
            found = self._connection.execute("SELECT value FROM fact WHERE key = 'cluster'").fetchone()
        return None if found is None else ClusterFacts(**json.loads(found[0]))

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _row(self, tracked: Tracked) -> tuple[Any, ...]:
        order, end = tracked.order, tracked.state.end
        placing, work = "", ""
        if order is not None:
            shares = [[share.node, share.tasks] for share in order.nodes]
            placing = json.dumps([order.job, order.epoch, order.array_index, shares])
            work = self._work(order.work)
        return (
            tracked.attempt,
            int(tracked.phase),
            tracked.pool,
            str(tracked.folder),
            tracked.user,
            tracked.uid,
            tracked.batch,
            tracked.element,
            tracked.job,
            tracked.own,
            tracked.submitted_s,
            int(tracked.stopping),
            tracked.state.started_ms,
            placing,
            work,
            "" if end is None else json.dumps([end.cause and end.cause.value, *_rest(end)]),
        )

    def _work(self, work: Work) -> str:
        """Its text; the elements of an array share one object, and so one text."""
        known = self._works.get(id(work))
        if known is None or known[0] is not work:
            if len(self._works) > 256:
                self._works.clear()
            known = self._works[id(work)] = work, json.dumps(to_plain(work), sort_keys=True)
        return known[1]


def _rest(end: EngineEnd) -> tuple[Any, ...]:
    return end.exit_code, end.signal, end.message, end.started_ms, end.ended_ms


def _tracked(row: tuple[Any, ...], works: dict[str, Work]) -> Tracked:
    (
        name, phase, pool, folder, user, uid, batch, element, job, own, submitted_s, stopping, started_ms, placing,
        work_text, ended,
    ) = row  # fmt: skip
    order = None
    if placing:
        job_name, epoch, index, shares = json.loads(placing)
        if work_text not in works:
            works[work_text] = from_plain(Work, json.loads(work_text))
        nodes = tuple(NodeShare(node, tasks) for node, tasks in shares)
        order = AttemptOrder(name, job_name, epoch, index, works[work_text], nodes, Path(folder))
    end = None
    if ended:
        cause, *rest = json.loads(ended)
        end = EngineEnd(Cause(cause) if cause else None, *rest)
    observed = Observed.QUEUED if started_ms is None else Observed.RUNNING
    state = EngineState(name, observed, started_ms, message="" if started_ms else "waits in Slurm")
    if end is not None:
        state = EngineState(name, Observed.ENDED, started_ms, end)
    found = Tracked(name, pool, Path(folder), user, uid, Phase(phase), state, order, batch, element)
    found.job, found.own, found.submitted_s = job, own, submitted_s
    found.stopping = bool(stopping)
    if order is not None:
        found.grace_s = order.work.stop_grace_ms / 1_000
    return found
