"""Jobs that wait for money, and in which order they are tried."""

import heapq
from collections.abc import Callable

from sqlalchemy import Connection, bindparam, func, select

from weir.store import schema

MOST_NEEDS = 1_000
"""So many different needs are looked at together, each payer's oldest first, so that no payer waits for another."""

_own = schema.job_hold.c
_job = schema.job.c
_hold = schema.hold.c
_WAITING = (
    select(
        _own.job,
        _own.submission,
        _own.waiting_ms,
        _job.time_limit_ms,
        func.row_number()
        .over(partition_by=(_own.submission, _job.time_limit_ms), order_by=(_own.waiting_ms, _own.job))
        .label("place"),
    )
    .join(schema.job, _job.number == _own.job)
    .where(_own.waiting_ms.is_not(None))
    .subquery()
)
_TURN = (
    func.row_number()
    .over(partition_by=(_hold.budget, _hold.project), order_by=(_WAITING.c.waiting_ms, _WAITING.c.job))
    .label("turn")
)
_NEEDS = (
    select(_WAITING.c.job, _WAITING.c.submission, _WAITING.c.waiting_ms, _WAITING.c.time_limit_ms, _TURN)
    .join(schema.hold, _hold.submission == _WAITING.c.submission)
    .where(_WAITING.c.place == 1)
    .order_by(_TURN, _WAITING.c.waiting_ms, _WAITING.c.job)
    .limit(MOST_NEEDS)
)
_NEXT = (
    select(_own.job, _own.waiting_ms)
    .join(schema.job, _job.number == _own.job)
    .where(
        _own.submission == bindparam("submission"),
        _job.time_limit_ms == bindparam("limit_ms"),
        _own.waiting_ms.is_not(None),
    )
    .order_by(_own.waiting_ms, _own.job)
    .limit(1)
)


def serve_in_turn(connection: Connection, serve: Callable[[int], bool]) -> None:
    """Offer waiting jobs to `serve`, those that wait longest first, which says whether one waits no more.

    Of jobs of one submission and time limit, which need the same, none is offered after one that was not served.
    """
    rows = connection.execute(_NEEDS).all()
    waiting = [(row.waiting_ms, row.job, row.submission, row.time_limit_ms) for row in rows]
    heapq.heapify(waiting)
    while waiting:
        _, job, submission, limit_ms = heapq.heappop(waiting)
        if not serve(job):
            continue
        after = connection.execute(_NEXT, {"submission": submission, "limit_ms": limit_ms}).one_or_none()
        if after is not None:
            heapq.heappush(waiting, (after.waiting_ms, after.job, submission, limit_ms))


__all__ = ["MOST_NEEDS", "serve_in_turn"]
