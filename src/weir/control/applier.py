"""Makes a plan true: the one place where attempts are made, each start checked against the newest state."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from weir.control import leader, money, moves
from weir.control.additions import add_missing
from weir.control.desired import raise_revisions, want
from weir.control.leader import Lease
from weir.control.listed import among, number_list
from weir.control.names import AttemptKey
from weir.control.pools import Pools, load_pools
from weir.model.change import ChangeKind
from weir.model.codec import to_plain
from weir.model.state import Desired, JobState
from weir.scheduling.plan import Plan, PoolReason, Start
from weir.scheduling.supply import next_window
from weir.store import Transaction, schema

_job = schema.job.c
_JOBS = (
    select(_job.number, _job.state, _job.version, _job.epoch, _job.time_limit_ms)
    .where(among(_job.number, "jobs"))
    .with_for_update()
)
_NEXT_EPOCH = (
    update(schema.job)
    .where(among(_job.number, "jobs"), _job.state == int(JobState.QUEUED))
    .values(epoch=_job.epoch + 1, version=_job.version + 1)
)


@dataclass(frozen=True, slots=True)
class Cycle:
    """What led to a plan, as it is logged, so that the same code can be run on the same again."""

    through: int
    """The position of the last change that it rests on."""
    now_ms: int
    policy: str
    """Name and version."""
    prices: str
    """What pools cost and emit, as a hash."""
    forecast: str
    """By what runs are expected to last: name and version."""
    code: str


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a plan's starts: job and epoch of those made, and the jobs of those refused."""

    started: tuple[AttemptKey, ...]
    refused: tuple[int, ...]


def apply(
    tx: Transaction,
    plan: Plan | None,
    versions: Mapping[int, int],
    stopping: Sequence[tuple[AttemptKey, str]],
    cycle: Cycle,
    lease: Lease,
    now_ms: int,
    waits_ms: Mapping[int, int] | None = None,
) -> Applied:
    """Make the plan's starts attempts, and tell the centres what to stop, in this one transaction.

    `versions` are those of the queued jobs when the plan was made: a job that was written since is refused, as is
    a start at a pool that has closed, that will be out of service before the job has ended or where enough of Weir's
    wait, or that there is no money for. `waits_ms`: how long jobs are expected to wait there that are sent ahead.
    Raises LeadershipLostError where another leads by now.
    """
    leader.check(tx.connection, lease)
    starts = plan.starts if plan else ()
    pools = load_pools(tx.connection) if starts else Pools(())
    good, refused = _checked(tx.connection, pools, starts, versions, now_ms)
    poor = money.start(tx, good, now_ms)
    good = {start: epoch for start, epoch in good.items() if start.job not in poor}
    refused = (*refused, *sorted(poor))
    centres = {centre for _, centre in stopping} | {_place(start)[0] for start in good}
    revisions = raise_revisions(tx, centres)
    want(tx, stopping, Desired.STOPPED, revisions)
    started: tuple[AttemptKey, ...] = ()
    if plan and good:
        waits = {row.key: row.expected_wait_ms for row in pools.rows}
        expected_ms = {start.job: waits[start.pool] for start in good} | dict(waits_ms or {})
        started = _start(tx, plan, good, revisions, expected_ms, lease.term, now_ms)
    if plan:
        tx.append(
            ChangeKind.CYCLE,
            {
                "through": cycle.through,
                "now_ms": cycle.now_ms,
                "policy": cycle.policy,
                "prices": cycle.prices,
                "forecast": cycle.forecast,
                "code": cycle.code,
                "plan": plan.digest,
                "starts": len(started),
                "term": lease.term,
            },
            at_ms=now_ms,
        )
    return Applied(started, refused)


def stored_reasons(reasons: Sequence[PoolReason]) -> tuple[str, str]:
    """Digest and text under which the reasons of a start are stored."""
    body = json.dumps(to_plain(reasons), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(body.encode()).hexdigest(), body


def _checked(
    connection: Connection, pools: Pools, starts: Sequence[Start], versions: Mapping[int, int], now_ms: int
) -> tuple[dict[Start, int], tuple[int, ...]]:
    """The starts that still hold, with the job's epoch so far, and the jobs of the others."""
    if not starts:
        return {}, ()
    rows = {
        row.number: row
        for row in connection.execute(_JOBS, {"jobs": number_list(start.job for start in starts)})
    }
    opened = {pool.key: next_window(pool, now_ms) for pool in pools.rows if not pool.closed_because}
    left = {key: pool.may_be_sent for key, pool in pools.shared.items()}
    good: dict[Start, int] = {}
    refused = []
    for start in starts:
        row = rows.get(start.job)
        if (
            row is not None
            and row.state == JobState.QUEUED
            and row.version == versions.get(start.job)
            and start.pool in opened
            and ((window := opened[start.pool]) is None or window.from_ms >= now_ms + row.time_limit_ms)
            and left.get(start.pool) != 0
        ):
            good[start] = row.epoch
            more = left.get(start.pool)
            if more is not None:
                left[start.pool] = more - 1
        else:
            refused.append(start.job)
    return good, tuple(refused)


def _start(
    tx: Transaction,
    plan: Plan,
    good: Mapping[Start, int],
    revisions: Mapping[str, int],
    expected_ms: Mapping[int, int],
    term: int,
    now_ms: int,
) -> tuple[AttemptKey, ...]:
    reasons = {index: stored_reasons(plan.reasons[index]) for index in {start.reason for start in good}}
    add_missing(
        tx.connection,
        schema.reason,
        [{"digest": digest, "body": body} for digest, body in sorted(reasons.values())],
    )
    rows = []
    for start, epoch in good.items():
        centre, pool = _place(start)
        rows.append(
            {
                "job": start.job,
                "epoch": epoch + 1,
                "centre": centre,
                "pool": pool,
                "nodes": json.dumps(start.nodes, separators=(",", ":")),
                "desired": int(Desired.RUN),
                "desired_revision": revisions[centre],
                "placed_ms": now_ms,
                "term": term,
                "reason": reasons[start.reason][0],
                "expected_wait_ms": expected_ms[start.job],
            }
        )
    tx.connection.execute(insert(schema.attempt), rows)
    jobs = [start.job for start in good]
    tx.connection.execute(_NEXT_EPOCH, {"jobs": number_list(jobs)})
    moves.settle(tx, jobs, now_ms)
    return tuple(AttemptKey(start.job, epoch + 1) for start, epoch in good.items())


def _place(start: Start) -> tuple[str, str]:
    centre, _, pool = start.pool.partition("/")
    return centre, pool


__all__ = ["Applied", "Cycle", "apply", "stored_reasons"]
