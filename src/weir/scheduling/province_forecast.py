"""When each waiting job of a province will start, as ranges: futures of the present over many pools.

A future is the present run on by the very code that decides for many pools (`province_simulation.py`), as `forecast.py`
does for a pool whose nodes are counted: with a run time drawn for every job from what ended before, and with past days
happening again as arrivals. Draws of run times, calibration and ranges are those of `forecast.py`.

What runs is laid out at one instant before anything waits, bound to its pool, for as long as makes it end when it is
drawn to; then every pool is closed until now, so that those that wait keep their submission and their order. Windows
to come are honoured, and prices change as they are declared to; what runs into a window is taken to end where that
begins. Where tenants share, they take turns as the live loop has them, by what each has used so far and uses from
then on.
"""

from dataclasses import dataclass, fields, replace

import numpy as np

from weir.scheduling import forecast as counted
from weir.scheduling.calibration import Calibration, calibrated, strata_of
from weir.scheduling.compilation import kernel_of
from weir.scheduling.forecast import DAY_MS, DAYS, RUNNING_LUCK, Arrivals, Forecast, Past, arrived
from weir.scheduling.inputs import Int64s, JobClass, LinkRow, PoolRow, TenantRow, Window
from weir.scheduling.layout import seats
from weir.scheduling.policy import Policy
from weir.scheduling.province_simulation import Prepared, ProvinceRun, check_province
from weir.scheduling.simulated import Expected, PoolChange, SimulatedJobs
from weir.scheduling.supply import MINUTE_MS, next_window, since
from weir.scheduling.usage import Usage

FUTURES, FIRST = 32, 2_000
"""Fewer than of one pool: each future of a province costs more."""
HORIZON_DAYS = 7
WINDOW_DAYS = 30
"""So far ahead windows are looked at."""
"""So many days from now on jobs arrive; what has come by then is run to its end."""
LONGEST_GRAIN_MS, GRAINS = 60_000, 32
"""Ends and arrivals of futures fall on multiples of a grain, at most so long, and so many are in the middle run: there
are as many passes as instants at which anything happens, and nobody is foretold a start that exactly."""
NEVER_MS = 365 * DAY_MS
"""From now on: what starts in no future."""
_BEFORE_MS = 2_000
_LONGEST_STEP_MS = 256 * DAY_MS
_CLOSED = "the future has not begun"
_OUT = "it is out of service"
_NOTHING = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Jobs:
    """Jobs as columns: what runs, what waits (`job` decides ties) or what came lately (in order of submission).

    `pool` is an index into the province's pools, looked at only of what runs. `run_ms` is how long at nominal speed it
    ran, -1 if it has not ended; looked at only of what came. `elapsed_ms` is how long at nominal speed it has run.
    `submitted_ms` of what runs is when it was placed, and looked at only where tenants share.
    """

    job: Int64s
    job_class: Int64s
    size: Int64s
    submitted_ms: Int64s
    limit_ms: Int64s
    user: Int64s
    elapsed_ms: Int64s
    pool: Int64s
    run_ms: Int64s
    priority: Int64s | None = None
    """Larger first; None where all are of one class."""
    expected_ms: Int64s | None = None
    """For how long each is expected to run, by which it is ordered and scored; looked at only of what waits. None: as
    long as its limit. What comes is expected to run for as much of its limit as what waits is in the middle."""
    tenant: Int64s | None = None
    """Whose each is: a row of the usage's tenants; None: all are the first one's."""

    def __len__(self) -> int:
        return len(self.job)


@dataclass(frozen=True, slots=True)
class Province:
    """Many pools, and what runs and waits after the pass at `now_ms`. `classes` are those of all jobs."""

    pools: tuple[PoolRow, ...]
    links: tuple[LinkRow, ...]
    classes: tuple[JobClass, ...]
    now_ms: int
    running: Jobs
    waiting: Jobs
    arrivals: Jobs
    policy: Policy
    usage: Usage | None = None
    """What tenants may use and have used, for a policy that goes by tenants; None: there is but one tenant."""


@dataclass(frozen=True, slots=True)
class Lived:
    """What became of waiting jobs, [row, future]: when each starts, and the index of its pool, -1 if it never does."""

    start_ms: Int64s
    pool: Int64s


def forecast(
    present: Province,
    past: Past,
    calibration: Calibration,
    seed: int,
    futures: int = FUTURES,
    first: int = FIRST,
) -> Forecast:
    """The ranges of the first so many waiting jobs by submission, in that order; the rest are not told.

    The same input gives the same answer on any machine. Raises ValueError that names what is wrong: a policy that is
    for one pool only, columns of unlike length, something that runs in no pool.
    """
    return forecast_and_lived(present, past, calibration, seed, futures, first)[0]


def forecast_and_lived(
    present: Province, past: Past, calibration: Calibration, seed: int, futures: int, first: int
) -> tuple[Forecast, Lived]:
    """The same, and the futures that it follows from: a row for each of the forecast's."""
    rows = np.lexsort((present.waiting.job, present.waiting.submitted_ms))[:first]
    now = present.now_ms
    found = lived(present, past, seed, futures, rows)
    left_ms = found.start_ms - now
    limits_ms = starts(present, past, seed, 1, rows, on_limits=True) - now
    raw_ms = counted.leaned(counted.quantiles(left_ms), limits_ms)
    stratum = strata_of(raw_ms, now - present.waiting.submitted_ms[rows])
    moved_ms = calibrated(calibration, stratum, raw_ms)
    followed = np.ones(len(rows), np.bool_)
    return Forecast(now, futures, present.waiting.job[rows], now + moved_ms, stratum, raw_ms, followed), found


def starts(
    present: Province, past: Past, seed: int, futures: int, rows: Int64s, *, on_limits: bool = False
) -> Int64s:
    """[row, future] when these rows of `waiting` start in each future, in ms; those that never do, a year from now.

    on_limits: everything runs to its limit and nothing else comes.
    """
    return lived(present, past, seed, futures, rows, on_limits=on_limits).start_ms


def lived(
    present: Province, past: Past, seed: int, futures: int, rows: Int64s, *, on_limits: bool = False
) -> Lived:
    """When and where these rows of `waiting` start; see `starts`."""
    _check(present, futures)
    answer, where = (np.empty((len(rows), futures), np.int64) for _ in range(2))
    if not len(rows):
        return Lived(answer, where)
    drawn, came = _runs(present, past, seed, futures, on_limits)
    origin = min(present.now_ms, int(present.waiting.submitted_ms.min())) - _BEFORE_MS
    origin -= origin % MINUTE_MS
    windows = tuple(_windows(pool, present.now_ms) for pool in present.pools)
    opened = tuple(
        since(replace(pool, closed_because="", windows=_later(coming, present.now_ms)), origin)
        for pool, coming in zip(present.pools, windows, strict=True)
    )
    fixed = _Fixed.of(present, windows)
    position = np.empty(len(present.waiting), np.int64)
    position[fixed.order] = np.arange(len(fixed.order))
    asked = len(present.running) + position[rows]
    grain_ms = 1 if on_limits else int(np.clip(np.median(drawn) // GRAINS, 1, LONGEST_GRAIN_MS))
    prepared = Prepared.of(opened, present.links, fixed.classes, present.policy)
    for future in range(futures):
        again = (_NOTHING, _NOTHING) if on_limits else _again(present, seed, future)
        work = _workload(present, fixed, drawn[future], came, again, origin, grain_ms)
        run = ProvinceRun(
            opened, present.links, work, present.policy, Expected.ESTIMATE, False, grain_ms, prepared
        )
        answer[:, future], where[:, future] = _lived(run, present, windows, origin, asked)
    return Lived(answer, where)


@dataclass(frozen=True, slots=True)
class _Fixed:
    """What all futures share: waiting rows in order, what runs bound to its pool, and how fast it is there."""

    order: Int64s
    classes: tuple[JobClass, ...]
    bound: Int64s
    """[running] index into `classes`."""
    speed: Int64s
    """[running] in millionths of nominal."""
    most: Int64s
    """[running] for how long at nominal speed it runs before its pool is next out of service."""

    @classmethod
    def of(cls, present: Province, windows: tuple[tuple[Window, ...], ...]) -> "_Fixed":
        running, waiting = present.running, present.waiting
        numbers: dict[JobClass, int] = {each: number for number, each in enumerate(present.classes)}
        bound, speed, most = [], [], []
        for job_class, place in zip(running.job_class.tolist(), running.pool.tolist(), strict=True):
            pool, wish = present.pools[place], present.classes[job_class]
            variants = dict(wish.variant_speeds)
            speed.append(max(1, pool.speed_milli * (variants.get(pool.stack, 1_000) if variants else 1_000)))
            models = (pool.device_model,) if pool.device_model else ()
            there = replace(wish, centres=(pool.centre,), models=models, cities=(), kinds=(), data=())
            bound.append(numbers.setdefault(there, len(numbers)))
            later = _later(windows[place], present.now_ms)
            # Rounding shall not make it end after that.
            room_ms = later[0].from_ms - present.now_ms - 2 if later else NEVER_MS
            most.append(max(1, room_ms * speed[-1] // 1_000_000))
        return cls(
            np.lexsort((waiting.job, waiting.submitted_ms)),
            tuple(numbers),
            np.array(bound, np.int64),
            np.array(speed, np.int64),
            np.array(most, np.int64),
        )


def _runs(present: Province, past: Past, seed: int, futures: int, on_limits: bool) -> tuple[Int64s, Int64s]:
    """([future, running and waiting] run times, of what came): at nominal speed, in ms."""
    running, waiting, came = present.running, present.waiting, present.arrivals
    both = [np.concatenate(each) for each in (
        (running.user, waiting.user), (running.size, waiting.size), (running.limit_ms, waiting.limit_ms),
        (running.elapsed_ms, np.zeros(len(waiting), np.int64)),
        (RUNNING_LUCK + np.arange(len(running)), waiting.job),
    )]  # fmt: skip
    drawn = np.empty((futures, len(running) + len(waiting)), np.int64)
    if on_limits:
        drawn[:] = np.maximum(both[2], both[3] + 1)
        return drawn, _NOTHING
    kernel_of("scheduling", "forecast").draw(past, seed, 0, *both, drawn)
    arrivals = Arrivals(
        came.submitted_ms, came.size, came.limit_ms, came.limit_ms, came.user, came.elapsed_ms, came.run_ms
    )
    return drawn, arrived(arrivals, past, seed)


def _again(present: Province, seed: int, future: int) -> tuple[Int64s, Int64s]:
    """(rows of `arrivals`, when they come) in one future: each coming day is a past one over again."""
    came, now = present.arrivals.submitted_ms, present.now_ms
    if not len(came):
        return _NOTHING, _NOTHING
    days = min(DAYS, int((now - came[0]) // DAY_MS))
    if not days:
        return _NOTHING, _NOTHING
    chosen = np.random.default_rng((seed, future)).integers(1, days + 1, HORIZON_DAYS)
    rows, at = [], []
    for day, back in enumerate(chosen.tolist()):
        low, high = np.searchsorted(came, [now - back * DAY_MS, now - (back - 1) * DAY_MS], "right")
        rows.append(np.arange(low, high))
        at.append(came[low:high] + (back + day) * DAY_MS)
    return np.concatenate(rows), np.concatenate(at)


def _workload(
    present: Province,
    fixed: _Fixed,
    run_ms: Int64s,
    came_ms: Int64s,
    again: tuple[Int64s, Int64s],
    origin: int,
    grain_ms: int,
) -> SimulatedJobs:
    """One future's jobs, counted from `origin`: what runs, then what waits in order, then what comes.

    What comes, comes at the grain's next instant.
    """
    running, waiting, came = present.running, present.waiting, present.arrivals
    rows, at = again
    count = len(running)
    tenants = () if present.usage is None else present.usage.tenants
    # What has run for so long here ends when what is left of it, at nominal speed, is done.
    # Rounded to the grain, its end is to be after now.
    least = np.maximum(1, grain_ms * fixed.speed // 1_000_000 + 1) if grain_ms > 1 else 1
    left = np.minimum(fixed.most, np.maximum(least, run_ms[:count] - running.elapsed_ms))
    latest = np.minimum(fixed.most, np.maximum(left, running.limit_ms - running.elapsed_ms))
    before = (present.now_ms - origin) * fixed.speed // 1_000_000
    order = fixed.order
    run = np.concatenate([before + left, run_ms[count:][order], came_ms[rows] if len(rows) else _NOTHING])
    limit = np.concatenate([before + latest, waiting.limit_ms[order], came.limit_ms[rows]])
    nobody = np.zeros(len(run), np.int64)
    user = np.concatenate([running.user, waiting.user[order], came.user[rows]])
    return SimulatedJobs(
        submitted_ms=np.concatenate(
            [
                np.zeros(count, np.int64),
                waiting.submitted_ms[order] - origin,
                -((origin - at) // grain_ms) * grain_ms,
            ]
        ),
        run_ms=np.minimum(np.maximum(1, run), np.maximum(1, limit)),
        limit_ms=np.maximum(1, limit),
        job_class=np.concatenate([fixed.bound, waiting.job_class[order], came.job_class[rows]]),
        classes=fixed.classes,
        expected_ms=_expected(limit, waiting, order, came.limit_ms[rows]),
        tenant=np.concatenate([_tenant(running), _tenant(waiting)[order], _tenant(came)[rows]]),
        user=user,
        group=nobody,
        priority=np.concatenate([nobody[:count], _priority(waiting)[order], _priority(came)[rows]]),
        # What they may use they are told once what runs is laid out, which may be more.
        tenants=tuple(TenantRow(row) for row in range(len(tenants))),
    )


def _expected(limit_ms: Int64s, waiting: Jobs, order: Int64s, coming_ms: Int64s) -> Int64s | None:
    """Of all jobs with these limits: of what runs, then of what waits in order, then of what comes."""
    if waiting.expected_ms is None:
        return None
    milli = int(np.median(waiting.expected_ms * 1_000 // np.maximum(1, waiting.limit_ms)))
    running = limit_ms[: len(limit_ms) - len(order) - len(coming_ms)]
    told = [running, waiting.expected_ms[order], np.maximum(1, coming_ms * min(1_000, milli) // 1_000)]
    return np.concatenate(told)


def _priority(jobs: Jobs) -> Int64s:
    return np.zeros(len(jobs), np.int64) if jobs.priority is None else jobs.priority


def _tenant(jobs: Jobs) -> Int64s:
    return np.zeros(len(jobs), np.int64) if jobs.tenant is None else jobs.tenant


def _windows(pool: PoolRow, now_ms: int) -> tuple[Window, ...]:
    """When a pool is out of service from now on, WINDOW_DAYS ahead: one after another, each that one time."""
    found: list[Window] = []
    at, until = now_ms, now_ms + WINDOW_DAYS * DAY_MS
    while True:
        window = next_window(pool, at)
        if window is None or window.from_ms >= until:
            return tuple(found)
        if found and window.from_ms <= found[-1].until_ms:
            window = replace(found.pop(), until_ms=max(window.until_ms, at))
        found.append(window)
        at = window.until_ms


def _later(windows: tuple[Window, ...], now_ms: int) -> tuple[Window, ...]:
    """Those that have not begun."""
    return tuple(window for window in windows if window.from_ms > now_ms)


def _lived(
    run: ProvinceRun,
    present: Province,
    windows: tuple[tuple[Window, ...], ...],
    origin: int,
    asked: Int64s,
) -> tuple[Int64s, Int64s]:
    """When and where these jobs of a workload start."""

    def silent(done: int, of: int) -> None:
        del done, of

    run.go_on(1, silent)
    for pool in present.pools:
        run.change(PoolChange(1, pool.key, _CLOSED))
    run.line_up()
    until = present.now_ms - origin
    run.go_on(until, silent)
    if present.usage is not None and present.policy.by_tenant:
        run.take_turns(present.usage, present.running.submitted_ms, origin)
    back = []
    for pool, coming in zip(present.pools, windows, strict=True):
        out = bool(coming) and coming[0].from_ms <= present.now_ms
        run.change(PoolChange(until, pool.key, pool.closed_because or (_OUT if out else "")))
        if out and not pool.closed_because:
            back.append((coming[0].until_ms - origin, pool.key))
    for at, key in sorted(back):
        run.go_on(at, silent)
        run.change(PoolChange(at, key))
        until = at
    step = DAY_MS // 4
    while True:
        until += step
        run.go_on(until, silent)
        outcome = run.outcome(0.0)
        start = outcome.start_ms[asked]
        if (start >= 0).all() or step > _LONGEST_STEP_MS:
            break
        step *= 2
    return np.where(start < 0, present.now_ms + NEVER_MS, start + origin), outcome.pool[asked]


def _check(present: Province, futures: int) -> None:
    check_province(present.policy, present.pools)
    if futures < 1:
        raise ValueError(f"futures: {futures} is not 1 or more")
    for name in ("running", "waiting", "arrivals"):
        jobs: Jobs = getattr(present, name)
        for column in fields(Jobs):
            held = getattr(jobs, column.name)
            if held is not None and len(held) != len(jobs):
                raise ValueError(f"{name}.{column.name}: not as long as {name}.job")
    pool = present.running.pool
    if len(pool) and not (0 <= pool.min() and pool.max() < len(present.pools)):
        raise ValueError("running.pool: something runs in no pool")
    if bool((np.diff(present.arrivals.submitted_ms) < 0).any()):
        raise ValueError("arrivals.submitted_ms: not in order of submission")
    if present.usage is not None:
        _check_usage(present, present.usage)


def _check_usage(present: Province, usage: Usage) -> None:
    for name in ("running", "waiting", "arrivals"):
        tenant = _tenant(getattr(present, name))
        if len(tenant) and not (0 <= tenant.min() and tenant.max() < len(usage.tenants)):
            raise ValueError(f"{name}.tenant: something is no tenant's")
    promises = len(present.pools) * int(seats(present.pools, present.policy.depth).max(initial=1))
    if promises != len(usage.kept) or promises != len(usage.kept_for):
        raise ValueError(f"usage.kept: {len(usage.kept)} rows, and pools promise {promises} starts")


__all__ = [
    "FIRST",
    "FUTURES",
    "NEVER_MS",
    "Jobs",
    "Lived",
    "Province",
    "forecast",
    "forecast_and_lived",
    "lived",
    "starts",
]
