"""The only place that writes a job's state: what it is follows from facts, and is never set on its own."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    BindParameter,
    Connection,
    Select,
    bindparam,
    func,
    literal_column,
    null,
    select,
    update,
)
from sqlalchemy.sql.dml import Update

from weir.control import dependencies, money
from weir.control.dependencies import Ended
from weir.control.listed import among, number_list
from weir.model.change import ChangeKind
from weir.model.state import (
    LEGAL_MOVES,
    AttemptFacts,
    Cause,
    Dependencies,
    Desired,
    JobFacts,
    JobState,
    Observed,
    job_state,
)
from weir.store import Transaction, schema

_job = schema.job.c
_submission = schema.submission.c
_attempt = schema.attempt.c


class IllegalMoveError(RuntimeError):
    """The facts call for a move that no job may make: a fault in Weir, so the transaction is given up."""


class MovedMeanwhileError(RuntimeError):
    """A job was written by somebody else within this transaction's sight, so it is given up."""


class Move(NamedTuple):
    """The new state of jobs of one submission that moved alike; their numbers rise."""

    submission: int
    organisation: str
    jobs: Sequence[int]
    state: JobState
    cause: Cause | None


class Facts(NamedTuple):
    """All that the states of jobs depend on, as stored; what is equal is looked at once."""

    state: int
    version: int
    epoch: int
    held: bool
    cancelled: bool
    withdrawals: int
    attempts_allowed: int
    unmet: bool
    dependency_failed: bool
    desired: int | None
    observed: int | None
    attempt_cause: str | None
    centre_reachable: bool | None

    def now(self) -> tuple[JobState, Cause | None]:
        """The state that these facts mean."""
        attempt = None
        if self.desired is not None:
            cause = None if self.attempt_cause is None else Cause(self.attempt_cause)
            attempt = AttemptFacts(Desired(self.desired), Observed(self.observed or 0), cause)
        return job_state(
            JobFacts(
                cancelled=self.cancelled,
                held=self.held,
                dependencies=Dependencies.FAILED
                if self.dependency_failed
                else Dependencies.UNMET
                if self.unmet
                else Dependencies.MET,
                attempt=attempt,
                attempts_left=self.epoch - self.withdrawals < self.attempts_allowed,
                centre_reachable=bool(self.centre_reachable),
            )
        )


_LOOKED_AT = (
    _job.submission,
    _submission.organisation,
    _job.state,
    _job.version,
    _job.epoch,
    _job.held,
    _job.cancelled_ms.is_not(None),
    _job.withdrawals,
    _submission.attempts_allowed,
    # A bound zero would be another expression below GROUP BY.
    _submission.unmet > literal_column("0"),
    _submission.dependency_failed,
    _attempt.desired,
    _attempt.observed,
    _attempt.cause,
    schema.centre.c.reachable,
)


def _facts(*columns: Any) -> Select[Any]:
    return (
        select(*columns, *_LOOKED_AT)
        .join(schema.submission, _submission.number == _job.submission)
        .outerjoin(schema.attempt, (_attempt.job == _job.number) & (_attempt.epoch == _job.epoch))
        .outerjoin(schema.centre, schema.centre.c.id == _attempt.centre)
        .where(_job.state < int(JobState.SUCCEEDED))
    )


_FACTS = _facts(_job.number).where(among(_job.number, "jobs")).order_by(_job.number)
_FACTS_WITHIN = (
    _facts(func.min(_job.number), func.max(_job.number), func.count())
    .where(_job.number.between(bindparam("first"), bindparam("last")))
    .group_by(*_LOOKED_AT)
)


def _of_attempt(column: str) -> Any:
    return (
        select(_attempt[column])
        .where(_attempt.job == _job.number, _attempt.epoch == _job.epoch)
        .correlate(schema.job)
        .scalar_subquery()
    )


_MOVE = (
    update(schema.job)
    .where(among(_job.number, "jobs"), _job.version == bindparam("known_version"))
    .values(state=bindparam("new_state"), cause=bindparam("new_cause"), version=_job.version + 1)
)
_now: BindParameter[Any] = bindparam("now_ms")
_TO_QUEUE = _MOVE.values(queued_ms=_now, started_ms=null(), ended_ms=null(), exit_code=null())
_TO_LIVE = _MOVE.values(started_ms=_of_attempt("started_ms"))
_TO_END = _MOVE.values(
    started_ms=_of_attempt("started_ms"),
    ended_ms=func.coalesce(_of_attempt("ended_ms"), _now),
    exit_code=_of_attempt("exit_code"),
)


def settle(tx: Transaction, jobs: Collection[int], now_ms: int) -> list[Move]:
    """Bring the jobs, and those that come after them, into the state that their facts mean; the moves made.

    A range is looked at as a whole. Appends one MOVED change for each organisation concerned. Ended jobs are
    left as they are. Raises IllegalMoveError or MovedMeanwhileError, after which the transaction must not be
    committed.
    """
    moves: list[Move] = []
    told: dict[str, list[list[Any]]] = defaultdict(list)
    wave = jobs
    while wave:
        made = _settle_once(tx.connection, wave, now_ms)
        moves += made
        for organisation in {move.organisation for move in made}:
            told[organisation] += joined(move for move in made if move.organisation == organisation)
        ended = [
            Ended(move.submission, move.jobs, move.state is JobState.SUCCEEDED)
            for move in made
            if move.state.ended
        ]
        wave = dependencies.settle(tx.connection, ended)
    for organisation, runs in told.items():
        tx.append(ChangeKind.MOVED, {"moves": runs}, at_ms=now_ms, organisation=organisation)
    money.settled(tx, moves, now_ms)
    return moves


def joined(moves: Iterable[Move]) -> list[list[Any]]:
    """Moves as a change tells them: neighbouring jobs with the same new state are one `[first, count, state]`."""
    parts: list[list[Any]] = []
    for move in moves:
        name = move.state.name.lower()
        parts += [[first, count, name] for first, count in runs_of(move.jobs)]
    parts.sort()
    runs: list[list[Any]] = []
    for part in parts:
        if runs and runs[-1][0] + runs[-1][1] == part[0] and runs[-1][2] == part[2]:
            runs[-1][1] += part[1]
        else:
            runs.append(part)
    return runs


def runs_of(numbers: Sequence[int]) -> list[list[int]]:
    """Rising numbers as runs of neighbours, [first, count]."""
    if numbers and numbers[-1] - numbers[0] + 1 == len(numbers):
        return [[numbers[0], len(numbers)]]
    runs: list[list[int]] = []
    following = None
    for number in numbers:
        if number == following:
            runs[-1][1] += 1
        else:
            runs.append([number, 1])
        following = number + 1
    return runs


def first_state(*, unmet: bool, dependency_failed: bool) -> tuple[JobState, Cause | None]:
    """The state with which a job is stored."""
    met = Dependencies.UNMET if unmet else Dependencies.MET
    return job_state(JobFacts(dependencies=Dependencies.FAILED if dependency_failed else met))


def _settle_once(connection: Connection, jobs: Collection[int], now_ms: int) -> list[Move]:
    alike = _alike_within(connection, jobs) if isinstance(jobs, range) else None
    if alike is None:
        alike = _alike_among(connection, jobs)
    moves: list[Move] = []
    writes: dict[tuple[int, JobState, Cause | None], list[int]] = defaultdict(list)
    for (submission, organisation, *values), numbers in alike.items():
        facts = Facts(*values)
        state, cause = facts.now()
        if state == facts.state:
            continue
        if state not in LEGAL_MOVES[JobState(facts.state)]:
            raise IllegalMoveError(
                f"job {numbers[0]}: {JobState(facts.state).name} to {state.name} ({facts})"
            )
        moves.append(Move(submission, organisation, numbers, state, cause))
        writes[facts.version, state, cause] += numbers
    for (version, state, cause), numbers in writes.items():
        _write(connection, numbers, version, state, cause, now_ms)
    return moves


def _alike_among(connection: Connection, jobs: Collection[int]) -> dict[tuple[Any, ...], Sequence[int]]:
    """The jobs by submission, organisation and facts."""
    alike: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for row in connection.execute(_FACTS, {"jobs": number_list(jobs)}).all():
        alike[row[1:]].append(row[0])
    return dict(alike)


def _alike_within(connection: Connection, jobs: range) -> dict[tuple[Any, ...], Sequence[int]] | None:
    """The same for neighbours, where those that are alike are neighbours as well."""
    bounds = {"first": jobs[0], "last": jobs[-1]}
    rows = connection.execute(_FACTS_WITHIN, bounds).all()
    if any(row[1] - row[0] + 1 != row[2] for row in rows):
        return None
    return {row[3:]: range(row[0], row[1] + 1) for row in rows}


def _write(
    connection: Connection,
    numbers: list[int],
    version: int,
    state: JobState,
    cause: Cause | None,
    now_ms: int,
) -> None:
    statement, timed = _statement(state)
    values = {
        "jobs": number_list(numbers),
        "known_version": version,
        "new_state": int(state),
        "new_cause": None if cause is None else cause.value,
    }
    if timed:
        values["now_ms"] = now_ms
    written = connection.execute(statement, values).rowcount
    if written != len(numbers):
        raise MovedMeanwhileError(
            f"{len(numbers) - written} of {len(numbers)} jobs are no longer of version {version}"
        )


def _statement(state: JobState) -> tuple[Update, bool]:
    """What writes a move to this state, and whether it takes the time."""
    if state is JobState.QUEUED:
        return _TO_QUEUE, True
    if state.ended:
        return _TO_END, True
    return (_TO_LIVE if state.placed else _MOVE), False


__all__ = ["IllegalMoveError", "Move", "MovedMeanwhileError", "first_state", "joined", "runs_of", "settle"]
