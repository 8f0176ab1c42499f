"""Another workload from a recorded one: another load, a larger machine, a longer time, another seed.

Users are sampled, not jobs, so that each keeps its own sequence of submissions and what can be learnt from it;
sequences are moved by whole weeks, so that days and weekends stay (N. Zakay, D. Feitelson, "Workload resampling for
performance evaluation of parallel job schedulers", Concurrency and Computation: Practice and Experience 26, 2014).
"""

from dataclasses import dataclass, replace

import numpy as np

from weir.model.problem import refused
from weir.twin.generators.people import Floats
from weir.twin.workload import NO_DEADLINE, Int64s, Workload

WEEK_MS = 7 * 86_400_000
MOST_JOBS = 50_000_000
LONGEST_SPAN_MS = 2**46
"""Two thousand years."""


def resample(
    workload: Workload,
    seed: int,
    *,
    load: float | None = None,
    machine_size: int | None = None,
    jobs: int | None = None,
    span_ms: int | None = None,
    by: str = "user",
) -> Workload:
    """A workload made of the recorded one's parts; equal arguments give equal workloads.

    `load`: the offered load on `machine_size` (None keeps the recorded one); `machine_size`: processors of the new
    machine (None keeps the recorded one); jobs that are larger are left out, and counted in `dropped`.
    `span_ms`: how long jobs are submitted; or `jobs`: about how many of them, at least one; with neither it is the
    recorded span. Not both.

    `by="user"`: users are drawn, all once before any twice, each with its whole sequence moved by whole weeks around
    the recorded time, until there is work enough; the last one's sequence ends where there is. A longer span goes
    round again, each time with other moves. Sizes stay: a larger machine gets more users. `by="week"`: for each week
    of the new time a recorded one is drawn, and of its users' weeks as many (the same one again where need be) as
    make the load; this keeps what users do at the same time, and loses what they do from one week to the next.
    Time is never stretched, so that days stay days; the load is met but for the last job.

    A drawn user is called after the recorded one, with `+2` at its second copy and so on. Raises ProblemError for
    numbers out of range and for a workload without jobs or machine size.
    """
    wanted = _checked(workload, load, machine_size, jobs, span_ms, by)
    rng = np.random.default_rng(seed)
    fitting = np.flatnonzero(workload.size <= wanted.machine_size)
    if not len(fitting):
        raise refused(
            "machine_size",
            wanted.machine_size,
            f"give at least {int(workload.size.min())}, the smallest job's size",
        )
    source = workload.rows(fitting)
    drawn = _by_user(rng, source, wanted) if by == "user" else _by_week(rng, source, wanted)
    left_out = len(workload) - len(source)
    made = _made(source, drawn, wanted, f"{workload.name}, resampled with seed {seed}")
    if left_out:
        made = replace(made, dropped=(*made.dropped, ("larger than the machine", left_out)))
    return made


@dataclass(frozen=True, slots=True)
class _Wanted:
    load: float
    machine_size: int
    span_ms: int


@dataclass(frozen=True, slots=True)
class _Drawn:
    row: Int64s
    """Of the source."""
    copy: Int64s
    """Which copy of its user, from 0."""
    submit_ms: Int64s


def _checked(
    workload: Workload,
    load: float | None,
    machine_size: int | None,
    jobs: int | None,
    span_ms: int | None,
    by: str,
) -> _Wanted:
    recorded = workload.machine_size
    span = int(workload.submit_ms[-1] - workload.submit_ms[0]) if len(workload) else 0
    if span < 1:
        raise refused(
            "workload", workload.name, "give a workload with jobs that are submitted one after the other"
        )
    if by not in ("user", "week"):
        raise refused("by", by, "give user or week")
    size = machine_size or recorded
    if size < 1 or (machine_size is not None and machine_size < 1):
        raise refused(
            "machine_size", machine_size, "give processors of the machine, since the workload has none"
        )
    if load is not None and not 0 < load <= 100:
        raise refused("load", load, "give an offered load above 0, such as 0.85")
    if jobs is not None and span_ms is not None:
        raise refused("jobs", jobs, "give jobs or a span, not both")
    work = _work(workload)
    base = recorded or size
    chosen = load if load is not None else work / (base * span)
    if jobs is not None:
        if not 1 <= jobs <= MOST_JOBS:
            raise refused("jobs", jobs, f"give a number from 1 to {MOST_JOBS}")
        span_ms = round(work / len(workload) * jobs / (chosen * size))
    wanted = span if span_ms is None else span_ms
    if not 1 <= wanted <= LONGEST_SPAN_MS:
        raise refused("span_ms", wanted, "give a time above 0 that is not beyond reason")
    return _Wanted(chosen, size, wanted)


def _by_user(rng: np.random.Generator, source: Workload, wanted: _Wanted) -> _Drawn:
    """Whole users moved by whole weeks, until their work in the span is nearest to what is wanted."""
    origin = int(source.submit_ms[0])
    weeks = max(1, -(-int(source.submit_ms[-1] + 1 - origin) // WEEK_MS))
    cycle = weeks * WEEK_MS
    rounds = -(-wanted.span_ms // cycle)
    order = np.argsort(source.user, kind="stable")
    users, first = np.unique(source.user[order], return_index=True)
    rows_of = np.split(order, first[1:])
    goal = wanted.load * wanted.machine_size * wanted.span_ms
    area = source.run_ms.astype(np.float64) * source.size
    rows, copies, times = [], [], []
    done, copy = 0.0, 0
    while done < goal:
        before = done
        for place in rng.permutation(len(users)).tolist():
            mine = rows_of[place]
            for turn in range(rounds):
                # Moved round the recorded time, whose whole weeks are so filled evenly.
                moved = (source.submit_ms[mine] - origin + int(rng.integers(weeks)) * WEEK_MS) % cycle
                inside = np.flatnonzero(moved + turn * cycle < wanted.span_ms)
                inside = inside[np.argsort(moved[inside], kind="stable")]
                inside = _until(inside, area[mine[inside]], goal - done)
                rows.append(mine[inside])
                times.append(moved[inside] + turn * cycle)
                copies.append(np.full(len(inside), copy, np.int64))
                done += float(area[mine[inside]].sum())
        copy += 1
        if done == before:
            raise refused("span_ms", wanted.span_ms, "no job falls into so short a time; give a longer one")
        _check_count(sum(map(len, rows)), done, goal, wanted)
    return _Drawn(np.concatenate(rows), np.concatenate(copies), np.concatenate(times))


def _by_week(rng: np.random.Generator, source: Workload, wanted: _Wanted) -> _Drawn:
    """Users' weeks of recorded weeks, one recorded week for each week of the new time."""
    origin = int(source.submit_ms[0])
    week = (source.submit_ms - origin) // WEEK_MS
    weeks = int(week[-1]) + 1
    begins = np.searchsorted(week, np.arange(weeks + 1))
    targets = -(-wanted.span_ms // WEEK_MS)
    goal = wanted.load * wanted.machine_size * wanted.span_ms
    area = source.run_ms.astype(np.float64) * source.size
    blocks: list[tuple[Int64s, Int64s]] = []
    for target, chosen in enumerate(rng.integers(0, weeks, targets).tolist()):
        mine = np.arange(begins[chosen], begins[chosen + 1])
        moved = source.submit_ms[mine] - origin + (target - chosen) * WEEK_MS
        mine, moved = mine[moved < wanted.span_ms], moved[moved < wanted.span_ms]
        order = np.argsort(source.user[mine], kind="stable")
        cuts = np.flatnonzero(np.diff(source.user[mine][order])) + 1
        blocks += [(mine[part], moved[part]) for part in np.split(order, cuts) if len(part)]
    if not blocks:
        raise refused("span_ms", wanted.span_ms, "no job falls into so short a time; give a longer one")
    rows, copies, times = [], [], []
    done, copy = 0.0, 0
    while done < goal:
        for place in rng.permutation(len(blocks)).tolist():
            mine, moved = blocks[place]
            inside = _until(np.arange(len(mine)), area[mine], goal - done)
            rows.append(mine[inside])
            times.append(moved[inside])
            copies.append(np.full(len(inside), copy, np.int64))
            done += float(area[mine[inside]].sum())
        copy += 1
        if not done:
            raise refused("workload", source.name, "no job of it that falls into the time runs; give another")
        _check_count(sum(map(len, rows)), done, goal, wanted)
    return _Drawn(np.concatenate(rows), np.concatenate(copies), np.concatenate(times))


def _check_count(jobs: int, done: float, goal: float, wanted: _Wanted) -> None:
    """Refuse at once what would not end at any reasonable number of jobs."""
    if jobs * max(1.0, goal / done) > MOST_JOBS:
        raise refused(
            "load", wanted.load, f"that would be more than {MOST_JOBS} jobs; give less load or time"
        )


def _until(rows: Int64s, area: Floats, left: float) -> Int64s:
    """The first of these jobs, up to the one that brings the work that is left to do."""
    if left <= 0:
        return rows[:0]
    return rows[: int(np.searchsorted(np.cumsum(area), left)) + 1]


def _made(source: Workload, drawn: _Drawn, wanted: _Wanted, name: str) -> Workload:
    """The drawn jobs in order."""
    order = np.lexsort((drawn.copy, drawn.row, drawn.submit_ms))
    rows = drawn.row[order]
    people, user = np.unique(drawn.copy[order] * len(source.users) + source.user[rows], return_inverse=True)
    used, job_class = np.unique(source.job_class[rows], return_inverse=True)
    chosen = source.rows(rows)
    return replace(
        chosen,
        name=name,
        job=np.arange(1, len(rows) + 1),
        submit_ms=drawn.submit_ms[order],
        deadline_ms=_deadlines(chosen, drawn.submit_ms[order]),
        job_class=job_class.astype(np.int64),
        classes=tuple(source.classes[place] for place in used.tolist()),
        user=user.astype(np.int64),
        users=tuple(_called(source, code) for code in people.tolist()),
        machine_size=wanted.machine_size,
    )


def _deadlines(chosen: Workload, submit_ms: Int64s) -> Int64s | None:
    """As long after submission as before."""
    deadline = chosen.deadline_ms
    if deadline is None:
        return None
    return np.where(deadline == NO_DEADLINE, NO_DEADLINE, deadline + submit_ms - chosen.submit_ms)


def _called(source: Workload, code: int) -> str:
    copy, user = divmod(code, len(source.users))
    return source.users[user] + (f"+{copy + 1}" if copy else "")


def _work(workload: Workload) -> float:
    return float(np.dot(workload.run_ms.astype(np.float64), workload.size.astype(np.float64)))


__all__ = ["resample"]
