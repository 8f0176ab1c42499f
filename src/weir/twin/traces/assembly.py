"""From the columns of a trace as it was written to a workload: the cleaning rules, the same for every format."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from weir.scheduling.inputs import JobClass
from weir.twin.workload import NO_DEADLINE, Int64s, Workload

T = TypeVar("T")

NO_RUN, NO_SIZE, TOO_LARGE, CUT, BAD = (
    "run time not positive",
    "size not positive",
    "larger than the machine",
    "cut at the limit",
    "bad line",
)
"""The rules as `Workload.dropped` names them, in the order in which they are applied."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The jobs of a trace in its own order, before cleaning: int64 columns of equal length, as in `Workload`.

    Where the trace states no limit, `limit_ms` is 0 or less.
    """

    job: Int64s
    submit_ms: Int64s
    run_ms: Int64s
    limit_ms: Int64s
    size: Int64s
    job_class: Int64s
    classes: Sequence[JobClass]
    user: Int64s
    users: Sequence[str]
    group: Int64s
    groups: Sequence[str]
    priority: Int64s | None = None
    machine_size: int = 0
    origin_s: int = 0
    bad: int = 0
    """Lines that were skipped."""
    deadline_ms: Int64s | None = None
    """0 for a job without; None where no job has one."""
    sizeless: bool = False
    """Whether jobs of size 0 are meant: they need cores or memory alone."""


def assembled(name: str, columns: Columns, *, processors: int | None, limit: int | None) -> Workload:
    """The usable jobs, cleaned by the rules of the Parallel Workloads Archive, in order of submission.

    In this order: a job whose run time is not positive is dropped; one whose size is not positive; one larger than
    the machine (`processors`, or else what the trace states), where that is known. A job without a limit gets its
    run time for one; run = min(run, limit), for the machine killed it there. The sort by submit time is stable. Where
    the earliest submit time is negative, all are counted from it. `limit` keeps the first so many.
    """
    size, run_ms = columns.size, columns.run_ms
    machine = processors if processors is not None else columns.machine_size
    no_run = run_ms <= 0
    no_size = ~no_run & (size < 0 if columns.sizeless else size <= 0)
    too_large = ~no_run & (size > machine) if machine > 0 else np.zeros(len(size), np.bool_)
    kept = np.flatnonzero(~(no_run | no_size | too_large))
    submit_ms = columns.submit_ms[kept]
    if len(kept) and np.any(submit_ms[1:] < submit_ms[:-1]):
        order = np.argsort(submit_ms, kind="stable")
        kept, submit_ms = kept[order], submit_ms[order]
    run_ms, limit_ms = run_ms[kept], columns.limit_ms[kept]
    stated = limit_ms > 0
    limit_ms = np.where(stated, limit_ms, run_ms)
    cut = run_ms > limit_ms
    dropped = (
        (NO_RUN, int(np.count_nonzero(no_run))),
        (NO_SIZE, int(np.count_nonzero(no_size))),
        (TOO_LARGE, int(np.count_nonzero(too_large))),
        (CUT, int(np.count_nonzero(cut))),
        (BAD, columns.bad),
    )
    moved_s = min(0, int(submit_ms[0]) // 1_000) if len(submit_ms) else 0
    has_estimates = bool(stated.any())
    if limit is not None:
        kept, submit_ms, run_ms, limit_ms = (each[:limit] for each in (kept, submit_ms, run_ms, limit_ms))
    job_class, classes = used(columns.job_class[kept], columns.classes)
    user, users = used(columns.user[kept], columns.users)
    group, groups = used(columns.group[kept], columns.groups)
    return Workload(
        name=name,
        job=columns.job[kept],
        submit_ms=submit_ms - moved_s * 1_000,
        run_ms=np.minimum(run_ms, limit_ms),
        limit_ms=limit_ms,
        size=columns.size[kept],
        job_class=job_class,
        user=user,
        group=group,
        priority=np.zeros(len(kept), np.int64) if columns.priority is None else columns.priority[kept],
        classes=classes,
        users=users,
        groups=groups,
        machine_size=columns.machine_size,
        origin_s=columns.origin_s + moved_s if columns.origin_s else 0,
        has_estimates=has_estimates,
        deadline_ms=_deadlines(columns, kept, moved_s),
        dropped=dropped,
    )


def _deadlines(columns: Columns, kept: Int64s, moved_s: int) -> Int64s | None:
    if columns.deadline_ms is None:
        return None
    deadline = columns.deadline_ms[kept]
    if not deadline.any():
        return None
    return np.where(deadline == 0, NO_DEADLINE, deadline - moved_s * 1_000)


def distinct(values: Int64s) -> tuple[Int64s, Int64s]:
    """(the distinct values, ascending; for each value its place among them)."""
    if not len(values):
        return values, values
    least = int(values.min())
    span = int(values.max()) - least + 1
    if span > max(1 << 20, 4 * len(values)):
        found, places = np.unique(values, return_inverse=True)
        return found, places.astype(np.int64, copy=False)
    offsets = values - least
    present = np.zeros(span, np.bool_)
    present[offsets] = True
    return np.flatnonzero(present) + least, (np.cumsum(present, dtype=np.int64) - 1)[offsets]


def used(places: Int64s, things: Sequence[T]) -> tuple[Int64s, tuple[T, ...]]:
    """Only the things that a place leads to, and the places among these."""
    found, places = distinct(places)
    return places, tuple(things[each] for each in found.tolist())
