"""Jobs that wait in an engine's queue for longer than was expected: taken back, once another pool is worth it.

An attempt is taken back only as long as it has not started, which its engine makes sure of; the job is then
placed anew. So nothing ever runs twice, and what has started meanwhile goes on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from sqlalchemy import BigInteger, Connection, bindparam, func, select, tuple_, update

from weir import scheduling
from weir.billing.calendar_days import day_of
from weir.control import city_first
from weir.control.desired import raise_revisions
from weir.control.listed import AnyRow
from weir.control.liveness import Patience
from weir.control.names import AttemptKey
from weir.control.owned import as_owned
from weir.control.pools import Pools
from weir.control.shapes import class_of_stored, deadline_of_stored
from weir.control.shares import tenant_number
from weir.model.change import ChangeKind
from weir.model.state import Desired, JobState, Observed
from weir.scheduling import State
from weir.scheduling.inputs import Changes, JobClass, QueuedJobs
from weir.scheduling.rerun import copied
from weir.store import Transaction, schema

WITHDRAW = "withdraw"
"""What an engine must claim."""
MOST_AT_ONCE = 16
LOOK_MS = 15_000
"""While anything waits, it is looked at so often."""
PROBES = 3 << 60
"""From here on: jobs by which is asked where one that waits would start now."""
HOUR_MS = 3_600_000

_job = schema.job.c
_attempt = schema.attempt.c
_submission = schema.submission.c
_live = (_attempt.job == _job.number) & (_attempt.epoch == _job.epoch)
_late_ms = _attempt.placed_ms + func.coalesce(_attempt.expected_wait_ms, 0) * bindparam("times")

_AFTER = tuple_(bindparam("after_ms", type_=BigInteger), bindparam("after_job", type_=BigInteger))
_WAITING = (
    select(
        _job.number,
        _job.priority,
        _job.time_limit_ms,
        _attempt.epoch,
        _attempt.centre,
        _attempt.pool,
        _attempt.placed_ms,
        _attempt.expected_wait_ms,
        _submission.submitted_ms,
        _submission.organisation,
        schema.hold.c.price_version,
        schema.hold.c.tenant_class,
        schema.hold.c.legs,
        schema.hold.c.paid_there,
        schema.specification.c.body.label("specification"),
    )
    .join(schema.attempt, _live)
    .join(schema.submission, _submission.number == _job.submission)
    .join(schema.specification, schema.specification.c.digest == _submission.specification)
    .outerjoin(schema.hold, schema.hold.c.submission == _job.submission)
    .where(
        _job.state == int(JobState.STARTING),
        _job.withdrawals < bindparam("most"),
        _attempt.observed == int(Observed.QUEUED),
        _attempt.desired == int(Desired.RUN),
        _attempt.withdrawn == "",
        _late_ms <= bindparam("late_before_ms"),
        tuple_(_attempt.placed_ms, _job.number) > _AFTER,
    )
    .order_by(_attempt.placed_ms, _job.number)
    .limit(bindparam("at_once"))
)
_WITHDRAW = (
    update(schema.attempt)
    .where(
        _attempt.job == bindparam("of_job"),
        _attempt.epoch == bindparam("of_epoch"),
        _attempt.observed < int(Observed.RUNNING),
        _attempt.desired == int(Desired.RUN),
        _attempt.withdrawn == "",
    )
    .values(withdrawn=bindparam("why"), desired_revision=bindparam("revision"))
)


class Place(NamedTuple):
    """Where in the order of those that wait."""

    placed_ms: int
    job: int


FIRST = Place(-1, -1)


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """One attempt to take back, and why."""

    key: AttemptKey
    centre: str
    why: str


class Elsewhere(NamedTuple):
    """Where a job would start at once, what that scores, and what its own pool does."""

    pool: str
    score: int
    stays: int


def overdue(connection: Connection, now_ms: int, patience: Patience, after: Place = FIRST) -> list[AnyRow]:
    """The next attempts behind a place that wait in their engine for longer than was expected at worst, longest there
    first; behind the last, the first again."""
    listed = {
        "times": patience.wait_factor,
        "late_before_ms": now_ms - patience.wait_grace_ms,
        "most": patience.most_withdrawals,
        "at_once": MOST_AT_ONCE,
        "after_ms": after.placed_ms,
        "after_job": after.job,
    }
    rows = list(connection.execute(_WAITING, listed))
    if not rows and after != FIRST:
        return overdue(connection, now_ms, patience)
    return rows


def last_of(waiting: Sequence[AnyRow]) -> Place:
    """Behind which to look next, so that none keeps the others from their turn."""
    return Place(waiting[-1].placed_ms, waiting[-1].number) if waiting else FIRST


def probes(connection: Connection, waiting: Sequence[AnyRow], now_ms: int) -> list[QueuedJobs]:
    """By each that waits, a job of its owner's with which it is asked where it would start now."""
    away_ms = city_first.rather_waits_ms(connection) if waiting else 0
    owners = {row.organisation for row in waiting} if away_ms else set()
    homes = city_first.homes(connection, owners, day_of(now_ms)) if owners else {}
    return [
        _probe(
            row,
            as_owned(
                connection, class_of_stored(row.specification), row, homes.get(row.organisation, ""), away_ms
            ),
            place,
        )
        for place, row in enumerate(waiting)
    ]


def worth_it(
    waiting: Sequence[AnyRow],
    asked: Sequence[QueuedJobs],
    state: State,
    pools: Pools,
    now_ms: int,
    patience: Patience,
) -> list[Withdrawal]:
    """Those that would start elsewhere at once, at a score that is better by the margin; `state` stays as it is.

    `asked`: their `probes`.

    The score where a job waits counts a further wait as long as it has waited so far, or as its pool lets wait now.
    """
    able = {row.key: row for row in pools.rows if WITHDRAW in row.capabilities}
    late = [(row, probe) for row, probe in zip(waiting, asked, strict=True) if _key(row) in able]
    found: dict[int, Elsewhere] = {}
    for key in sorted({_key(row) for row, _ in late}):
        of_pool = [probe for row, probe in late if _key(row) == key]
        found |= _try_out(state, of_pool, key, now_ms)
    hour_micro_yuan = state.policy.time_micro_yuan_per_hour
    taken_back = []
    for row, probe in late:
        elsewhere = found.get(int(probe.job[0]))
        if elsewhere is None:
            continue
        waited_ms = now_ms - row.placed_ms
        wait_ms = max(waited_ms, able[_key(row)].expected_wait_ms)
        further_ms = wait_ms - able[_key(row)].expected_wait_ms
        stays = (
            elsewhere.stays + further_ms * hour_micro_yuan // HOUR_MS * probe.job_class.weight_time // 1_000
        )
        if elsewhere.score + abs(stays) * patience.margin_percent // 100 < stays:
            taken_back.append(
                Withdrawal(
                    AttemptKey(row.number, row.epoch),
                    row.centre,
                    f"waited {_about(waited_ms)} at {_key(row)}, forecast {_about(row.expected_wait_ms or 0)}; "
                    f"moved to {elsewhere.pool}",
                )
            )
    return taken_back


def withdraw(tx: Transaction, taken_back: Sequence[Withdrawal], now_ms: int) -> None:
    """Have the centres take these back, but for those that have started or are to be stopped meanwhile."""
    revisions = raise_revisions(tx, {each.centre for each in taken_back})
    for each in taken_back:
        tx.connection.execute(
            _WITHDRAW,
            {
                "of_job": each.key.job,
                "of_epoch": each.key.epoch,
                "why": each.why,
                "revision": revisions[each.centre],
            },
        )
    for centre in sorted(revisions):
        tx.append(ChangeKind.CENTRE, {"centre": centre}, at_ms=now_ms)


def _try_out(state: State, probes: Sequence[QueuedJobs], but_for: str, now_ms: int) -> dict[int, "Elsewhere"]:
    """Of each probe that would start now in another pool than this one, that pool; on a copy of the state."""
    pools = tuple(
        replace(row, closed_because="they wait there") if row.key == but_for else row for row in state.rows
    )
    _, plan = scheduling.step(copied(state), Changes(pools=pools, queued=tuple(probes)), now_ms)
    found = {}
    for start in plan.starts:
        if start.job >= PROBES:
            scores = {each.pool: each.terms.score for each in plan.reasons[start.reason] if each.terms}
            # What is not listed, in a province of many pools, scores worse than all that is.
            stays = scores.get(but_for, max(scores.values()))
            found[start.job] = Elsewhere(start.pool, scores[start.pool], stays)
    return found


def _key(row: AnyRow) -> str:
    return f"{row.centre}/{row.pool}"


def _probe(row: AnyRow, job_class: JobClass, place: int) -> QueuedJobs:
    def column(value: int) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
        return np.array([value], np.int64)

    return QueuedJobs(
        job_class,
        job=column(PROBES + place),
        priority=column(row.priority),
        submitted_ms=column(row.submitted_ms),
        time_limit_ms=column(row.time_limit_ms),
        deadline_ms=column(deadline_of_stored(row.specification)),
        tenant=column(tenant_number(row.organisation)),
    )


def _about(duration_ms: int) -> str:
    """To the minute from one on, else to the second."""
    return f"{duration_ms // 60_000} min" if duration_ms >= 60_000 else f"{duration_ms // 1_000} s"


__all__ = ["FIRST", "LOOK_MS", "Withdrawal", "last_of", "overdue", "probes", "withdraw", "worth_it"]
