"""Jobs that come after others: who is ready, and who never will be, once some have ended."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, select, update

from weir.control.listed import among, number_list
from weir.model.state import JobState
from weir.store import schema

_dependency = schema.dependency.c
_submission = schema.submission.c
_job = schema.job.c


class Ended(NamedTuple):
    """Jobs of one submission that have just ended alike."""

    submission: int
    jobs: Sequence[int]
    succeeded: bool


_DEPENDANTS = select(
    _dependency.submission, _dependency.on_submission, _dependency.on_job, _dependency.remaining
).where(among(_dependency.on_submission, "ended"))

_SET_REMAINING = (
    update(schema.dependency)
    .where(
        _dependency.submission == bindparam("by"),
        _dependency.on_submission == bindparam("whole"),
        _dependency.on_job == bindparam("one"),
    )
    .values(remaining=bindparam("left"))
)
_LOWER_UNMET = (
    update(schema.submission)
    .where(_submission.number == bindparam("by"))
    .values(unmet=_submission.unmet - bindparam("met"))
)
_SET_FAILED = (
    update(schema.submission)
    .where(among(_submission.number, "submissions"), _submission.dependency_failed.is_(False))
    .values(dependency_failed=True)
)
_READY_OR_FAILED = (
    select(_job.number)
    .join(schema.submission, _submission.number == _job.submission)
    .where(
        among(_job.submission, "submissions"),
        _job.state.in_([int(JobState.WAITING), int(JobState.HELD), int(JobState.QUEUED)]),
        (_submission.unmet == 0) | _submission.dependency_failed.is_(True),
    )
)


def settle(connection: Connection, ended: Sequence[Ended]) -> list[int]:
    """Count what has ended for those that come after it; the jobs whose state that may change.

    Each job may be handed in once only, in the transaction in which it ended; order makes no difference.
    """
    if not ended:
        return []
    submissions = {one.submission for one in ended}
    rows = connection.execute(_DEPENDANTS, {"ended": number_list(submissions)}).all()
    if not rows:
        return []
    succeeded: Counter[int] = Counter()
    for one in ended:
        succeeded[one.submission] += len(one.jobs) if one.succeeded else 0
    failed = {one.submission for one in ended if not one.succeeded}
    succeeded_jobs: set[int] = set()
    failed_jobs: set[int] = set()
    if any(row.on_job for row in rows):
        for one in ended:
            (succeeded_jobs if one.succeeded else failed_jobs).update(one.jobs)
    remaining: list[dict[str, int]] = []
    met: Counter[int] = Counter()
    broken: set[int] = set()
    for row in rows:
        done = (row.on_job in succeeded_jobs) if row.on_job else succeeded[row.on_submission]
        if done and row.remaining > 0:
            left = max(0, row.remaining - done)
            remaining.append(
                {"by": row.submission, "whole": row.on_submission, "one": row.on_job, "left": left}
            )
            met[row.submission] += left == 0
        if (row.on_job in failed_jobs) if row.on_job else (row.on_submission in failed):
            broken.add(row.submission)
    if remaining:
        connection.execute(_SET_REMAINING, remaining)
    met = +met
    if met:
        connection.execute(_LOWER_UNMET, [{"by": by, "met": count} for by, count in met.items()])
    if broken:
        connection.execute(_SET_FAILED, {"submissions": number_list(broken)})
    touched = broken | set(met)
    if not touched:
        return []
    return list(connection.execute(_READY_OR_FAILED, {"submissions": number_list(touched)}).scalars())


__all__ = ["Ended", "settle"]
