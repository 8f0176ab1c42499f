"""Queued jobs as the core's columns: neighbours that are alike are read as one row, however many they are."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Connection, Select, bindparam, func, select

from weir.control.listed import among, number_list
from weir.control.shares import tenant_number
from weir.model.state import JobState
from weir.scheduling.inputs import NO_DEADLINE, JobClass, QueuedJobs
from weir.store import schema

_hold = schema.hold.c
_job = schema.job.c
_submission = schema.submission.c


class Run(NamedTuple):
    """Neighbouring queued jobs of one submission that differ in nothing but their number."""

    first: int
    last: int
    version: int
    priority: int
    time_limit_ms: int
    submitted_ms: int
    specification: str
    """Digest."""
    price_version: int | None
    """Of the price book that they are priced by."""
    tenant_class: str | None
    legs: str | None
    """What is held for each, as stored."""
    paid_there: str | None
    """What vouchers pay at each pool, as stored. All four are None for work that is not priced."""
    organisation: str
    owner: str
    project: str


_ALIKE = (
    _job.version,
    _job.priority,
    _job.time_limit_ms,
    _submission.submitted_ms,
    _submission.specification,
    _hold.price_version,
    _hold.tenant_class,
    _hold.legs,
    _hold.paid_there,
    _submission.organisation,
    _submission.owner,
    _submission.project,
)
# Jobs that wait for money; the core hears of them when they have it.
_POOR = select(schema.job_hold.c.job).where(schema.job_hold.c.waiting_ms.is_not(None))


def _queued(*columns: Any) -> Select[Any]:
    joined = (
        select(*columns, *_ALIKE)
        .join(schema.submission, _submission.number == _job.submission)
        .outerjoin(schema.hold, _hold.submission == _job.submission)
    )
    return joined.where(_job.state == int(JobState.QUEUED), _job.number.not_in(_POOR))


_ONES = _queued(_job.number, _job.number)
_ONES_AMONG = _ONES.where(among(_job.number, "jobs"))
_ONES_OF = _ONES.where(among(_job.submission, "submissions"))
_GROUPS = _queued(func.min(_job.number), func.max(_job.number), func.count(), _job.submission).group_by(
    _job.submission, *_ALIKE
)
_GROUPS_WITHIN = _GROUPS.where(_job.number.between(bindparam("first"), bindparam("last")))


def all_queued(connection: Connection) -> list[Run]:
    """Every queued job."""
    rows = connection.execute(_GROUPS).all()
    broken = {row[3] for row in rows if row[1] - row[0] + 1 != row[2]}
    runs = [Run(row[0], row[1], *row[4:]) for row in rows if row[3] not in broken]
    if broken:
        listed = {"submissions": number_list(broken)}
        runs += [Run._make(row) for row in connection.execute(_ONES_OF, listed).all()]
    return runs


def all_queued_within(connection: Connection, first: int, count: int) -> list[Run]:
    """The jobs from `first` on, if every one of them is queued; else none, and they are to be looked at one by one."""
    rows = connection.execute(_GROUPS_WITHIN, {"first": first, "last": first + count - 1}).all()
    if sum(row[2] for row in rows) != count or any(row[1] - row[0] + 1 != row[2] for row in rows):
        return []
    return [Run(row[0], row[1], *row[4:]) for row in rows]


def queued_among(connection: Connection, jobs: Collection[int]) -> list[Run]:
    """Those of the jobs that are queued, each by itself."""
    return [Run._make(row) for row in connection.execute(_ONES_AMONG, {"jobs": number_list(jobs)}).all()]


class Told(NamedTuple):
    """Neighbouring jobs as the core is told of them, with what it is told besides."""

    run: Run
    job_class: JobClass
    expected_ms: int
    deadline_ms: int


def as_columns(told: Sequence[Told]) -> tuple[QueuedJobs, ...]:
    """The jobs by class; those of one class that are the same object are not compared one by one."""
    alike: dict[int, list[Told]] = defaultdict(list)
    for one in told:
        alike[id(one.job_class)].append(one)
    by_class: dict[JobClass, list[Told]] = defaultdict(list)
    for its in alike.values():
        by_class[its[0].job_class] += its
    return tuple(_columns(job_class, its) for job_class, its in by_class.items())


def _columns(job_class: JobClass, told: Sequence[Told]) -> QueuedJobs:
    runs, _, *further = zip(*told, strict=True)
    first, last, _, priority, time_limit_ms, submitted_ms = (
        np.array(column, np.int64) for column in list(zip(*runs, strict=True))[:6]
    )
    expected_ms, deadline_ms = (np.array(column, np.int64) for column in further)
    count = last - first + 1
    before = np.cumsum(count) - count
    return QueuedJobs(
        job_class,
        job=np.repeat(first - before, count) + np.arange(int(count.sum()), dtype=np.int64),
        priority=np.repeat(priority, count),
        submitted_ms=np.repeat(submitted_ms, count),
        time_limit_ms=np.repeat(time_limit_ms, count),
        expected_ms=np.repeat(expected_ms, count),
        deadline_ms=np.repeat(deadline_ms, count) if (deadline_ms < NO_DEADLINE).any() else None,
        tenant=np.repeat(np.array([tenant_number(run.organisation) for run in runs], np.int64), count),
    )


__all__ = ["Run", "Told", "all_queued", "all_queued_within", "as_columns", "queued_among"]
