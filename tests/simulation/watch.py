"""What every commit did to jobs and attempts, seen by triggers, and checked against what may be done to them."""

import json
import sqlite3
from collections.abc import Callable
from typing import Any, Protocol

from weir.model.change import ChangeKind
from weir.model.state import LEGAL_MOVES, Desired, JobState, Observed
from weir.store.sqlite import InlineSqliteStore

_JOB = ("state", "version", "epoch", "cause", "exit_code", "ended_ms", "priority", "held", "cancelled_ms")
_CENTRE = ("agent_incarnation", "report_number", "desired_revision")
_ATTEMPT = (
    "centre",
    "pool",
    "nodes",
    "desired",
    "observed",
    "cause",
    "exit_code",
    "ended_ms",
    "desired_revision",
    "term",
)


def _trigger(table: str, event: str, key: tuple[str, ...], columns: tuple[str, ...]) -> str:
    old = [f"OLD.{column}" if event != "INSERT" else "NULL" for column in columns]
    new = [f"NEW.{column}" if event != "DELETE" else "NULL" for column in columns]
    row = "OLD" if event == "DELETE" else "NEW"
    values = ", ".join([*(f"{row}.{column}" for column in key), *old, *new])
    return (
        f"CREATE TEMP TRIGGER seen_{table}_{event} AFTER {event} ON main.{table} "  # noqa: S608 - of constants
        f"BEGIN INSERT INTO seen_{table} VALUES (NULL, '{event}', {values}); END"
    )


def _table(table: str, key: tuple[str, ...], columns: tuple[str, ...]) -> str:
    names = [*key, *(f"old_{column}" for column in columns), *(f"new_{column}" for column in columns)]
    return f"CREATE TEMP TABLE seen_{table} (n INTEGER PRIMARY KEY, event TEXT, {', '.join(names)})"


_SETUP = [
    _table("job", ("number",), _JOB),
    _table("attempt", ("job", "epoch"), _ATTEMPT),
    _table("centre", ("id",), _CENTRE),
    _trigger("centre", "UPDATE", ("id",), _CENTRE),
    *(_trigger("job", event, ("number",), _JOB) for event in ("INSERT", "UPDATE", "DELETE")),
    *(_trigger("attempt", event, ("job", "epoch"), _ATTEMPT) for event in ("INSERT", "UPDATE", "DELETE")),
]


class Row:
    """A row's facts before and after a write."""

    __slots__ = ("event", "key", "new", "old")

    def __init__(self, event: str, key: tuple[Any, ...], old: dict[str, Any], new: dict[str, Any]) -> None:
        self.event = event
        self.key = key
        self.old = old
        self.new = new


class Audience(Protocol):
    """Told of what commits did to attempts."""

    def placed(self, job: int, epoch: int, centre: str, term: int) -> None:
        """An attempt was made: by the leader of a term, or with term 0 because an agent had it already."""

    def desired(self, job: int, epoch: int, centre: str, wanted: int) -> None:
        """What is wanted of an attempt changed."""

    def ended(self, job: int, epoch: int, centre: str, cause: str | None, exit_code: int | None) -> None:
        """An attempt is known to have ended."""


class Watch:
    """Follows one store from commit to commit. `wrong` makes the error that is raised."""

    def __init__(
        self,
        store: InlineSqliteStore,
        wrong: Callable[[str], Exception],
        note: Callable[[str], None],
        audience: Audience,
    ) -> None:
        self._store = store
        self._raw: sqlite3.Connection = store._session.raw
        self._wrong = wrong
        self._note = note
        self._audience = audience
        self.position = store.position()
        self.states: dict[int, int] = dict(self._raw.execute("SELECT number, state FROM job"))
        """The state of every job, as the change log has told it since this watch began."""
        self.revisions: dict[tuple[int, int], int] = {}
        for statement in _SETUP:
            self._raw.execute(statement)
        self._by = ""

    def committed(self, by: str) -> None:
        """Look at what the last commit did."""
        self._by = by
        jobs = self._taken("job", 1, _JOB)
        attempts = self._taken("attempt", 2, _ATTEMPT)
        moved: set[int] = set()
        for row in jobs:
            self._check_job(row)
            if row.event == "UPDATE" and row.old["state"] != row.new["state"]:
                moved.add(row.key[0])
        for row in attempts:
            self._check_attempt(row)
        for row in self._taken("centre", 1, _CENTRE):
            self._check_centre(row)
        self._check_log(moved)

    def _taken(self, table: str, keys: int, columns: tuple[str, ...]) -> list[Row]:
        rows = self._raw.execute(f"SELECT * FROM seen_{table} ORDER BY n").fetchall()  # noqa: S608 - of constants
        if not rows:
            return []
        self._raw.execute(f"DELETE FROM seen_{table}")  # noqa: S608 - of constants
        first, width = 2 + keys, len(columns)
        return [
            Row(
                row[1],
                tuple(row[2:first]),
                dict(zip(columns, row[first : first + width], strict=True)),
                dict(zip(columns, row[first + width :], strict=True)),
            )
            for row in rows
        ]

    def _fail(self, problem: str) -> Exception:
        return self._wrong(f"{problem} (committed by {self._by})")

    def _check_job(self, row: Row) -> None:
        job, old, new = row.key[0], row.old, row.new
        if row.event == "DELETE":
            raise self._fail(f"job {job} is deleted")
        if row.event == "INSERT":
            if JobState(new["state"]) not in (
                JobState.WAITING,
                JobState.QUEUED,
                JobState.HELD,
                JobState.CANCELLED,
            ):
                raise self._fail(f"job {job} begins as {JobState(new['state']).name}")
            self._note(f"  job {job} new {JobState(new['state']).name}")
            return
        before, after = JobState(old["state"]), JobState(new["state"])
        if before is not after:
            self._note(f"  job {job} {before.name} → {after.name} {new['cause'] or ''}")
            if after not in LEGAL_MOVES[before]:
                raise self._fail(f"job {job} moves from {before.name} to {after.name}")
        if new["version"] <= old["version"] and old != new:
            raise self._fail(f"job {job} is written without raising its version: {old} to {new}")
        if before.ended and any(
            old[name] != new[name] for name in ("state", "cause", "exit_code", "ended_ms", "epoch")
        ):
            raise self._fail(f"job {job} had ended and is written: {old} to {new}")
        if new["epoch"] < old["epoch"]:
            raise self._fail(f"job {job}: its epoch goes down from {old['epoch']} to {new['epoch']}")
        if old["cancelled_ms"] is not None and new["cancelled_ms"] is None:
            raise self._fail(f"job {job}: its cancelling is forgotten")

    def _check_attempt(self, row: Row) -> None:
        (job, epoch), old, new = row.key, row.old, row.new
        if row.event == "DELETE":
            raise self._fail(f"attempt {job}-{epoch} is deleted")
        if row.event == "INSERT":
            self._note(f"  attempt {job}-{epoch} at {new['centre']}/{new['pool']} {new['nodes']}")
            live = self._raw.execute(
                "SELECT epoch FROM attempt WHERE job = ? AND epoch <> ? AND observed < ? AND desired < ?",
                (job, epoch, int(Observed.ENDED), int(Desired.ABANDONED)),
            ).fetchall()
            if live:
                raise self._fail(f"attempt {job}-{epoch} is made while {job}-{live[0][0]} lives")
            now = self._raw.execute("SELECT epoch, state FROM job WHERE number = ?", (job,)).fetchone()
            if now[0] < epoch:
                raise self._fail(f"attempt {job}-{epoch} is made and its job's epoch is {now[0]}")
            self._audience.placed(job, epoch, new["centre"], new["term"])
            return
        for name in ("observed", "desired", "desired_revision"):
            if new[name] < old[name]:
                raise self._fail(f"attempt {job}-{epoch}: {name} goes down from {old[name]} to {new[name]}")
        for name in ("centre", "pool", "nodes"):
            if new[name] != old[name]:
                raise self._fail(f"attempt {job}-{epoch}: {name} changes from {old[name]} to {new[name]}")
        if old["observed"] == Observed.ENDED:
            for name in ("cause", "exit_code", "ended_ms"):
                if new[name] != old[name]:
                    raise self._fail(
                        f"attempt {job}-{epoch} had ended; its {name} goes from {old[name]} to {new[name]}"
                    )
        if new["desired"] != old["desired"]:
            self._note(f"  attempt {job}-{epoch} desired {Desired(new['desired']).name}")
            if new["desired_revision"] <= old["desired_revision"]:
                raise self._fail(f"attempt {job}-{epoch}: desired changes and its revision does not")
            self._audience.desired(job, epoch, new["centre"], new["desired"])
        if new["observed"] != old["observed"]:
            self._note(
                f"  attempt {job}-{epoch} observed {Observed(new['observed']).name} {new['cause'] or ''}"
            )
            if new["observed"] == Observed.ENDED:
                self._audience.ended(job, epoch, new["centre"], new["cause"], new["exit_code"])

    def _check_centre(self, row: Row) -> None:
        old, new = row.old, row.new
        if (new["agent_incarnation"], new["report_number"]) < (
            old["agent_incarnation"],
            old["report_number"],
        ):
            raise self._fail(f"{row.key[0]}: an older report is taken in after a newer one: {old} to {new}")
        if new["desired_revision"] < old["desired_revision"]:
            raise self._fail(f"{row.key[0]}: the desired revision goes down: {old} to {new}")

    def _check_log(self, moved: set[int]) -> None:
        rows = self._raw.execute(
            "SELECT position, kind, body FROM change WHERE position > ? ORDER BY position", (self.position,)
        ).fetchall()
        told: set[int] = set()
        for position, kind, body_text in rows:
            if position != self.position + 1:
                raise self._fail(f"change {position} follows upon {self.position}")
            self.position = position
            if kind == ChangeKind.MOVED.value:
                for first, count, name in json.loads(body_text)["moves"]:
                    for job in range(first, first + count):
                        told.add(job)
                        self.states[job] = int(JobState[name.upper()])
            elif kind == ChangeKind.CYCLE.value:
                term = self._raw.execute("SELECT term FROM lease").fetchone()[0]
                if json.loads(body_text)["term"] != term:
                    raise self._fail(f"a cycle of a leader that is none any more is made true: {body_text}")
            elif kind == ChangeKind.SUBMITTED.value:
                body = json.loads(body_text)
                first, size = body["first_job"], body["size"]
                fresh = self._raw.execute(
                    "SELECT number, state FROM job WHERE number >= ? AND number < ?", (first, first + size)
                ).fetchall()
                if len(fresh) != size:
                    raise self._fail(
                        f"{size} jobs from {first} are told as submitted, and there are {len(fresh)}"
                    )
                for job, state in fresh:
                    if job not in told:
                        self.states[job] = state
        if self._store.position() != self.position:
            raise self._fail(
                f"the store says position {self._store.position()}, the log ends at {self.position}"
            )
        if moved - told:
            raise self._fail(f"jobs {sorted(moved - told)} have moved and no change tells of it")
        for job in told | moved:
            row = self._raw.execute("SELECT state FROM job WHERE number = ?", (job,)).fetchone()
            if row is None or row[0] != self.states.get(job):
                raise self._fail(f"the log says that job {job} is {self.states.get(job)}, its row says {row}")


__all__ = ["Watch"]
