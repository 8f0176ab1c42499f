"""The workload model of U. Lublin and D. Feitelson for one parallel machine, with its published constants.

"The workload on parallel supercomputers: modeling the characteristics of rigid jobs", Journal of Parallel and
Distributed Computing 63(11), 2003. Sizes are two-stage log-uniform, with a share of serial jobs and of powers of
two; the logarithm of the run time is hyper-gamma, its mixture depending on the size; the time between arrivals is
the exponential of a gamma value, stretched by a daily cycle that itself has the shape of a gamma density.
"""

from dataclasses import dataclass, replace

import numpy as np

from weir.model.problem import refused
from weir.twin.generators.estimates import Estimates, draw_limits
from weir.twin.generators.people import Floats, Habits, Sessions, draw_sessions, likeness
from weir.twin.workload import Int64s, Workload, processors

BUCKETS = 48
BUCKET_S = 1_800
FIRST_BUCKET = 11
"""The day's density begins at 5:30, in half hours, and is laid round the clock from there."""
LONGEST_LOG_RUN = 12.0
"""Longer runs than exp(12) s, 45 hours, are drawn anew."""
LONGEST_LOG_PAUSE = 13.0
MOST_JOBS = 50_000_000
LARGEST_MACHINE = 2**20


@dataclass(frozen=True, slots=True)
class LublinParameters:
    """One kind of job; the defaults are the model's for all jobs together. Names as in the paper's program."""

    serial: float = 0.244
    power_of_two: float = 0.576
    """Share of all jobs that are parallel with a power of two as size."""
    low: float = 0.8
    medium_below_high: float = 2.5
    high_below_machine: float = 0.0
    """Logarithms to base 2 of the smallest parallel size, of the turning point and of the largest size; the latter
    two below that of the machine's size, since the paper gives them for 128 processors."""
    small: float = 0.86
    """Share of the sizes below the turning point."""
    a1: float = 4.2
    b1: float = 0.94
    a2: float = 312.0
    b2: float = 0.03
    pa: float = -0.0054
    pb: float = 0.78
    """Run time: gamma(a1, b1) with probability pa * size + pb, else gamma(a2, b2)."""
    a_pause: float = 10.2303
    b_pause: float = 0.4871
    rush_ratio: float = 1.0225
    a_day: float = 8.1737
    b_day: float = 3.9631


ALL = LublinParameters()
BATCH = LublinParameters(
    0.2927, 0.6686, 1.2, 2.0, 0.0, 0.875, 6.57, 0.823, 639.1, 0.0156, -0.003, 0.6986, 6.0415, 0.8531, 1.0519, 6.1271,
    5.2740,
)  # fmt: skip
INTERACTIVE = LublinParameters(
    0.1541, 0.625, 1.0, 2.5, 1.5, 0.705, 3.8351, 0.6605, 7.073, 0.6856, -0.0118, 0.9156, 6.5510, 0.6621, 0.9797,
    8.9186, 3.6680,
)  # fmt: skip


def lublin(
    seed: int,
    jobs: int,
    machine_size: int,
    *,
    load: float | None = None,
    kinds: tuple[LublinParameters, ...] = (ALL,),
    habits: Habits | None = None,
    estimates: Estimates | None = None,
) -> Workload:
    """So many jobs of the model for a machine of that many processors; equal arguments give equal workloads.

    Time 0 is a midnight, as in the authors' program.

    `kinds`: `(ALL,)`, or `(BATCH, INTERACTIVE)`, each arriving by itself (then `group` tells them apart).
    `load`: offered load, the sum of run times x sizes over machine size x span of submission; the rate of arrivals is
    scaled, the daily cycle stays. None keeps the model's own rate, whatever load that makes.
    `habits`: gives the jobs to users and sessions. The model's jobs are kept as they are, only which arrival gets
    which (size, run) changes, so that all its distributions stay; None makes one user of all.
    `estimates`: attaches user-like limits; None makes the limit the run time (`has_estimates` False).

    Raises ProblemError for a number that is out of range.
    """
    if not 1 <= jobs <= MOST_JOBS:
        raise refused("jobs", jobs, f"give a number from 1 to {MOST_JOBS}")
    if not 8 <= machine_size <= LARGEST_MACHINE:
        raise refused(
            "machine_size", machine_size, f"give a number of processors from 8 to {LARGEST_MACHINE}"
        )
    if load is not None and not 0 < load <= 100:
        raise refused("load", load, "give an offered load above 0, such as 0.85")
    rng = np.random.default_rng(seed)
    points, kind = _arrivals(rng, jobs, kinds)
    size, run_s = np.empty(jobs, np.int64), np.empty(jobs, np.int64)
    for number, parameters in enumerate(kinds):
        mine = np.flatnonzero(kind == number)
        size[mine] = _sizes(rng, len(mine), parameters, machine_size)
        run_s[mine] = _runs_s(rng, parameters, size[mine])
    day = _day(kinds)
    scale = 1.0 if load is None else _scale_for(points, day, float(np.dot(size, run_s)), machine_size, load)
    submit_s = _clock(points * scale, day)
    sessions = None if habits is None else _in_order(rng, draw_sessions(rng, jobs, habits))
    if sessions is not None and habits is not None:
        size, run_s = _given_out(rng, sessions, habits, kind, size, run_s)
    limit_s = run_s
    if estimates is not None:
        session = np.arange(jobs) if sessions is None else sessions.session
        limit_s = draw_limits(rng, run_s, session, estimates)
        run_s = np.minimum(run_s, limit_s)
    sizes, job_class = np.unique(size, return_inverse=True)
    users, user = np.unique(
        np.zeros(jobs, np.int64) if sessions is None else sessions.user, return_inverse=True
    )
    submit_ms = submit_s.astype(np.int64) * 1_000
    return Workload(
        name=f"lublin-{machine_size}-seed-{seed}",
        job=np.arange(1, jobs + 1),
        submit_ms=submit_ms,
        run_ms=run_s * 1_000,
        limit_ms=limit_s * 1_000,
        size=size,
        job_class=job_class.astype(np.int64),
        user=user.astype(np.int64),
        group=kind,
        priority=np.zeros(jobs, np.int64),
        classes=tuple(processors(count) for count in sizes.tolist()),
        users=tuple(f"user-{number}" for number in users.tolist()),
        groups=("all",) if len(kinds) == 1 else tuple(f"kind-{number}" for number in range(len(kinds))),
        machine_size=machine_size,
        has_estimates=estimates is not None,
    )


def offered_load(workload: Workload, machine_size: int = 0) -> float:
    """Run times x sizes over machine size (the workload's own unless given) x span of submission."""
    span = int(workload.submit_ms[-1] - workload.submit_ms[0]) if len(workload) else 0
    area = float(np.dot(workload.run_ms.astype(np.float64), workload.size.astype(np.float64)))
    return area / max(1.0, float(machine_size or workload.machine_size) * span)


def _arrivals(
    rng: np.random.Generator, jobs: int, kinds: tuple[LublinParameters, ...]
) -> tuple[Floats, Int64s]:
    """When jobs arrive and of which kind, on a clock of half hours of even traffic (see `_clock`)."""
    points, of_kind = [], []
    for number, parameters in enumerate(kinds):
        shape = parameters.a_pause * parameters.rush_ratio
        pause = rng.gamma(shape, parameters.b_pause, jobs)
        while (long := np.flatnonzero(pause > LONGEST_LOG_PAUSE)).size:
            pause[long] = rng.gamma(shape, parameters.b_pause, long.size)
        points.append(np.cumsum(np.exp(pause) / BUCKET_S))
        of_kind.append(np.full(jobs, number, np.int64))
    together = np.concatenate(points)
    order = np.argsort(together, kind="stable")[:jobs]
    return together[order], np.concatenate(of_kind)[order]


def _day(kinds: tuple[LublinParameters, ...]) -> Floats:
    """Traffic of each half hour from midnight on, 1 in the mean; of more kinds the mean of theirs."""
    total = np.zeros(BUCKETS)
    steps = 64
    for parameters in kinds:
        centres = FIRST_BUCKET + np.arange(BUCKETS)
        x = centres[:, None] - 0.5 + (np.arange(steps) + 0.5)[None, :] / steps
        density = np.exp((parameters.a_day - 1.0) * np.log(x) - x / parameters.b_day).sum(axis=1)
        weights = np.empty(BUCKETS)
        weights[(centres - 1) % BUCKETS] = density
        total += weights / weights.mean()
    return total / len(kinds)


def _clock(points: Floats, day: Floats) -> Floats:
    """Seconds from midnight at which so much traffic has passed: busy half hours pass more of it."""
    passed = np.concatenate(([0.0], np.cumsum(day)))
    days, rest = np.divmod(points, passed[-1])
    return np.asarray(
        np.floor(days * BUCKETS * BUCKET_S + np.interp(rest, passed, np.arange(BUCKETS + 1) * BUCKET_S))
    )


def _scale_for(points: Floats, day: Floats, area: float, machine_size: int, load: float) -> float:
    """By how much traffic is to be stretched for that load."""
    ends = points[[0, -1]]
    wanted_s = area / (machine_size * load)
    low, high = 0.0, 1.0
    while np.diff(_clock(ends * high, day))[0] < wanted_s and high < 1e12:
        low, high = high, high * 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if np.diff(_clock(ends * middle, day))[0] < wanted_s else (low, middle)
    return high


def _sizes(rng: np.random.Generator, count: int, parameters: LublinParameters, machine_size: int) -> Int64s:
    high = np.log2(machine_size) - parameters.high_below_machine
    medium = max(high - parameters.medium_below_high, parameters.low)
    kind = rng.random(count)
    first = rng.random(count) <= parameters.small
    exponent = np.where(first, rng.uniform(parameters.low, medium, count), rng.uniform(medium, high, count))
    exponent = np.where(
        kind <= parameters.serial + parameters.power_of_two, np.floor(exponent + 0.5), exponent
    )
    parallel = np.floor(2.0**exponent + 0.5).astype(np.int64)
    return np.where(kind <= parameters.serial, 1, np.minimum(parallel, machine_size))


def _runs_s(rng: np.random.Generator, parameters: LublinParameters, size: Int64s) -> Int64s:
    first = np.clip(parameters.pa * size + parameters.pb, 0.0, 1.0)
    log_run = np.full(len(size), np.inf)
    while (left := np.flatnonzero(log_run > LONGEST_LOG_RUN)).size:
        shorter = rng.random(left.size) <= first[left]
        log_run[left] = np.where(
            shorter,
            rng.gamma(parameters.a1, parameters.b1, left.size),
            rng.gamma(parameters.a2, parameters.b2, left.size),
        )
    run_s: Int64s = np.exp(log_run).astype(np.int64)
    return run_s


def _in_order(rng: np.random.Generator, sessions: Sessions) -> Sessions:
    """The sessions' jobs in order of arrival: each session begins anywhere and goes on among those around it."""
    jobs = len(sessions)
    begin = rng.random(len(sessions.first))[sessions.session] * jobs
    pause = rng.exponential(4.0, jobs)
    pause[sessions.first] = 0.0
    total = np.cumsum(pause)
    order = np.argsort(begin + total - total[sessions.first][sessions.session], kind="stable")
    return replace(
        sessions,
        user=sessions.user[order],
        program=sessions.program[order],
        session=sessions.session[order],
    )


def _given_out(
    rng: np.random.Generator, sessions: Sessions, habits: Habits, kind: Int64s, size: Int64s, run_s: Int64s
) -> tuple[Int64s, Int64s]:
    """The same pairs of size and run time, so given to the jobs that a user's and a session's jobs are alike.

    Sizes go by the rank of one likeness; within jobs of equal size, run times go by the rank of another.
    """
    by_size, by_run = (likeness(rng, sessions, shares) for shares in (habits.size_shares, habits.run_shares))
    pairs = np.lexsort((run_s, rng.random(len(size)), size, kind))
    takers = np.lexsort((by_size, kind))
    given_size = np.empty_like(size)
    given_size[takers] = size[pairs]
    pairs = np.lexsort((run_s, size, kind))
    takers = np.lexsort((by_run, given_size, kind))
    given_run = np.empty_like(run_s)
    given_run[takers] = run_s[pairs]
    return given_size, given_run


__all__ = ["ALL", "BATCH", "INTERACTIVE", "LublinParameters", "lublin", "offered_load"]
