"""When each waiting job will start, as ranges: futures of the present, and what they are worth by earlier ones.

A future is the present run on by the compiled clock of a counted pool (kernels/clock.py), with a run time drawn for
every job from what ended before, and with past days happening again as arrivals. The ranges that many futures give
are then moved as `calibration` has learnt. How it is done and what it is worth: docs/discussion/forecast.md.
"""

from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from weir.scheduling import lanes, prediction
from weir.scheduling.calibration import LEVELS_MILLI, Calibration, calibrated, strata_of
from weir.scheduling.compilation import kernel, kernel_of
from weir.scheduling.inputs import Int64s
from weir.scheduling.policy import Order, Policy
from weir.scheduling.simulated import rates_of, rule_of
from weir.scheduling.tables import Table

Int32s = NDArray[np.int32]

FUTURES = 64
FIRST = 10_000
"""So many waiting jobs, the first in order, are followed through futures; the rest are told by class and position."""
ON_REQUEST = 1_000
"""So many are followed when one job is asked about and there is no time for more."""
DAY_MS = 86_400_000
DAYS = 14
"""So many past days may happen again."""
MEMORY = 32
"""Of each user, and of each half octave of time limits, so many jobs that ended are remembered."""
_HORIZON_DAYS = 28
"""So many days from now on jobs arrive in a future; what has come by then is run to its end."""
_LEAST_ARRIVALS = 4_096
RUNNING_LUCK, _ARRIVED_LUCK = 1 << 40, 1 << 41
"""Above any job's number, so that no two draws have the same."""
_LEANING = 1
"""Eighths."""
_SMALL_CLASS = 32
_FRACTION = 12
_LONGEST_MS, _SLOWEST = 1 << 40, 1 << 20
"""Bounds of the tail's work (35 years) and of the time for each part of it (256 times as long): nothing overflows."""


class Past(NamedTuple):
    """What is remembered of jobs that ended, for drawing run times; `remember` changes the arrays in place.

    Logarithms of ms and nodes are in 1/65536 octave.
    """

    by_user: Int32s
    """[user, MEMORY, (limit, nodes, run)]; row `ended % MEMORY` is the next."""
    ended: Int64s
    by_limit: Int32s
    """[half octave of limits, MEMORY, (limit, run)]; row `seen % MEMORY` is the next."""
    seen: Int64s


@dataclass(frozen=True, slots=True)
class Running:
    """What runs, as columns. `need` is in nodes."""

    need: Int64s
    placed_ms: Int64s
    limit_ms: Int64s
    user: Int64s


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits, as columns, in any order. `job` decides ties; `expected_ms` is what the policy orders by."""

    job: Int64s
    need: Int64s
    submitted_ms: Int64s
    limit_ms: Int64s
    expected_ms: Int64s
    user: Int64s


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What came in the last `DAYS` days or longer, as columns in order of submission."""

    submitted_ms: Int64s
    need: Int64s
    limit_ms: Int64s
    expected_ms: Int64s
    user: Int64s
    elapsed_ms: Int64s
    """How long it has run so far, 0 if it has not started; looked at where it has not ended."""
    run_ms: Int64s
    """How long it ran, -1 if it has not ended."""


@dataclass(frozen=True, slots=True)
class Present:
    """A pool whose nodes are taken whole: what runs and waits after the pass at `now_ms`, and what came lately."""

    nodes: int
    now_ms: int
    running: Running
    waiting: Waiting
    arrivals: Arrivals
    policy: Policy


@dataclass(frozen=True, slots=True)
class Forecast:
    """Ranges of the jobs asked for, in rows; `as_of_ms` is what its age is counted from."""

    as_of_ms: int
    futures: int
    job: Int64s
    start_ms: Int64s
    """[job, level] with the levels of `calibration.LEVELS_MILLI`: 2.5, 10, 25, 50, 75, 90 and 97.5 %."""
    stratum: Int64s
    raw_ms: Int64s
    """[job, level] the time left before calibration. `calibration.learnt` is told both when the job starts."""
    followed: NDArray[np.bool_]
    """Whether the job was followed through futures; otherwise it is told by its class and position."""

    def range_ms(self, row: int, percent: int) -> tuple[int, int]:
        """The range of one row that holds its start with 50, 80 or 95 %. ValueError for another percentage."""
        if percent not in (50, 80, 95):
            raise ValueError(f"percent: {percent} is none of 50, 80, 95")
        low = LEVELS_MILLI.index(500 - 5 * percent)
        return int(self.start_ms[row, low]), int(self.start_ms[row, len(LEVELS_MILLI) - 1 - low])


def no_past(users: int) -> Past:
    """Nothing has ended yet; there is room for users 0..users-1."""
    return Past(
        np.zeros((users, MEMORY, 3), np.int32),
        np.zeros(users, np.int64),
        np.zeros((prediction.BUCKETS, MEMORY, 2), np.int32),
        np.zeros(prediction.BUCKETS, np.int64),
    )


def remember(past: Past, user: Int64s, need: Int64s, limit_ms: Int64s, run_ms: Int64s) -> None:
    """Jobs have ended by themselves or at their limits, in this order; all but `user` are 1 or more."""
    _kernel().remember(past, user, need, limit_ms, run_ms)


def forecast(
    present: Present,
    past: Past,
    calibration: Calibration,
    seed: int,
    futures: int = FUTURES,
    asked: Int64s | None = None,
    first: int = FIRST,
) -> Forecast:
    """The ranges of the jobs of these numbers (by default of all that wait, in the order of `waiting`).

    first: how many are followed through futures; with `ON_REQUEST` of them an answer about one job takes well under
    500 ms however many wait.

    The same input gives the same answer on any machine. Raises ValueError that names what is wrong: a column of the
    wrong kind, a job that the pool can never hold, more running than there is room, a number that does not wait.
    """
    _check(present, past, futures, first)
    waiting, now = present.waiting, present.now_ms
    order = _in_order(present)
    if asked is None:
        rows = np.arange(len(waiting.job))
    else:
        by_number = np.argsort(waiting.job, kind="stable")
        found = np.minimum(np.searchsorted(waiting.job, asked, sorter=by_number), len(waiting.job) - 1)
        rows = by_number[found] if len(waiting.job) else np.empty(0, np.int64)
        if len(rows) != len(asked) or bool((waiting.job[rows] != asked).any()):
            raise ValueError("asked: not all of these jobs wait")
    position = np.empty(len(waiting.job), np.int64)
    position[order] = np.arange(len(order))
    followed = position[rows] < first
    raw_ms = np.zeros((len(rows), len(LEVELS_MILLI)), np.int64)
    whole_head = asked is None or not bool(followed.all())
    wanted = order[:first] if whole_head else rows
    if len(rows):
        left_ms = starts(present, past, seed, futures, wanted, first) - now
        told_ms = leaned(
            quantiles(left_ms), starts(present, past, seed, 1, wanted, first, on_limits=True) - now
        )
        if whole_head:
            raw_ms[followed] = told_ms[position[rows[followed]]]
            raw_ms[~followed] = _tail(present, order, left_ms, position[rows[~followed]])
        else:
            raw_ms = told_ms
    stratum = strata_of(raw_ms, now - waiting.submitted_ms[rows])
    moved_ms = calibrated(calibration, stratum, raw_ms)
    return Forecast(now, futures, waiting.job[rows], now + moved_ms, stratum, raw_ms, followed)


def reserved(present: Present, past: Past) -> Int64s:
    """When each of the first `FIRST` jobs in order would start if all ran to their limits and nothing else came.

    A column over `waiting`; -1 beyond the first.
    """
    _check(present, past, 1, 1)
    first = _in_order(present)[:FIRST]
    answer = np.full(len(present.waiting.job), -1, np.int64)
    answer[first] = starts(present, past, 0, 1, first, on_limits=True)[:, 0]
    return answer


def starts(
    present: Present,
    past: Past,
    seed: int,
    futures: int,
    rows: Int64s,
    first: int = FIRST,
    *,
    on_limits: bool = False,
) -> Int64s:
    """[row, future] when these rows of `waiting`, all among the first in order, start in each future, in ms.

    first: how many of those that wait are in the futures at all.
    on_limits: everything runs to its limit and nothing else comes. The input is not checked.
    """
    waiting, running, arrivals, now = present.waiting, present.running, present.arrivals, present.now_ms
    in_order = _in_order(present)[:first]
    by_end = np.lexsort((running.placed_ms, running.placed_ms + running.limit_ms))
    count, runs = len(in_order), len(by_end)
    days, day_of = (0, np.zeros(1, np.int64)) if on_limits else _past_days(arrivals, now)
    busiest = int(np.diff(-day_of).max()) if days else 0
    spare = min(_HORIZON_DAYS * busiest, max(_LEAST_ARRIVALS, 2 * count) + busiest)
    size = count + runs + spare
    table = np.zeros(size, lanes.JOB)
    table[:count] = _table(waiting, in_order)
    rates, second_rates = _rates(present)
    kernel("clock").keys(rates, second_rates, table[:count])
    table["limit"][count : count + runs] = running.limit_ms[by_end]
    table["need"][count : count + runs] = running.need[by_end]

    drawn = np.empty((futures, count + runs), np.int64)
    came = np.zeros(len(arrivals.run_ms), np.int64)
    if on_limits:
        drawn[:, :count] = waiting.limit_ms[in_order]
        drawn[:, count:] = running.limit_ms[by_end]
        drawn[:, count:] = np.maximum(drawn[:, count:], now - running.placed_ms[by_end] + 1)
    else:
        _kernel().draw(
            past,
            seed,
            0,
            np.concatenate([waiting.user[in_order], running.user[by_end]]),
            np.concatenate([waiting.need[in_order], running.need[by_end]]),
            np.concatenate([waiting.limit_ms[in_order], running.limit_ms[by_end]]),
            np.concatenate([np.zeros(count, np.int64), now - running.placed_ms[by_end]]),
            np.concatenate([waiting.job[in_order], RUNNING_LUCK + np.arange(runs)]),
            drawn,
        )
        came = arrived(arrivals, past, seed)
    return _lived(
        present, table, drawn, running.placed_ms[by_end], came, day_of, days, seed, _places(in_order, rows)
    )


def quantiles(left_ms: Int64s) -> Int64s:
    """[row, level] of `LEVELS_MILLI` from [row, future], between the nearest two."""
    ordered = np.sort(left_ms, axis=1)
    futures = ordered.shape[1]
    place = np.clip(np.array(LEVELS_MILLI) * futures - 500, 0, 1_000 * (futures - 1))
    low = place // 1_000
    high = np.minimum(low + 1, futures - 1)
    step = ordered[:, high] - ordered[:, low]
    return np.ascontiguousarray(ordered[:, low] + step * (place % 1_000) // 1_000)


def leaned(raw_ms: Int64s, reserved_ms: Int64s) -> Int64s:
    """[row, level] time still to wait, moved an eighth of the way to what is reserved on limits: [row, 1].

    What runs longest is what futures know least of, and a reservation on limits knows the longest it can take.
    """
    moved_ms = raw_ms.copy()
    _kernel().lean(moved_ms, np.ascontiguousarray(reserved_ms[:, 0]), _LEANING)
    return moved_ms


def _lived(
    present: Present,
    table: Table,
    drawn: Int64s,
    placed_ms: Int64s,
    came_ms: Int64s,
    day_of: Int64s,
    days: int,
    seed: int,
    asked: Int64s,
) -> Int64s:
    policy, arrivals, size = present.policy, present.arrivals, len(table)
    rates, second_rates = _rates(present)
    order, line = lanes.order_of(size)
    second, second_line = lanes.order_of(size if policy.backfill_order is not None else 0)
    nobody = np.zeros(size, np.int64)
    answer = np.empty((len(asked), len(drawn)), np.int64)
    _kernel().live(
        rule_of(policy, False), rates, second_rates, table, order, line, second, second_line,
        lanes.count_of(present.nodes, size), lanes.profile_of(size if policy.depth > 1 else 0),
        lanes.scratch_of(size if policy.order in (Order.WFP3, Order.UNICEF) else 0), prediction.empty(0, 0),
        lanes.trace_of(nobody.copy(), nobody, nobody), np.zeros(4, np.int64), np.empty(size + 1, np.int64),
        present.nodes, placed_ms, drawn,
        _Columns(arrivals.submitted_ms, arrivals.need, arrivals.limit_ms, arrivals.expected_ms), came_ms, day_of,
        _HORIZON_DAYS if days else 0, seed, 0, present.now_ms, asked, answer,
    )  # fmt: skip
    return answer


class _Columns(NamedTuple):
    """Arrivals as the kernel reads them."""

    submitted: Int64s
    need: Int64s
    limit: Int64s
    expected: Int64s


def _kernel() -> Any:
    return kernel_of("scheduling", "forecast")


def _rates(present: Present) -> tuple[Int64s, Int64s]:
    policy = present.policy
    second = policy.order if policy.backfill_order is None else policy.backfill_order
    return rates_of(policy, policy.order, present.nodes), rates_of(policy, second, present.nodes)


def _table(waiting: Waiting, rows: Int64s) -> Table:
    table = np.zeros(len(rows), lanes.JOB)
    for name, column in (
        ("job", waiting.job),
        ("submitted", waiting.submitted_ms),
        ("limit", waiting.limit_ms),
        ("expected", waiting.expected_ms),
        ("need", waiting.need),
    ):
        table[name] = column[rows]
    return table


def _in_order(present: Present) -> Int64s:
    """The rows of `waiting` in the policy's order; where that changes with time, as it is now."""
    waiting = present.waiting
    table = _table(waiting, np.arange(len(waiting.job)))
    _kernel().keys_now(_rates(present)[0], table, present.now_ms)
    return np.lexsort((table["job"], table["key"]))


def _places(in_order: Int64s, rows: Int64s) -> Int64s:
    place = np.full(int(in_order.max(initial=-1)) + 1, -1, np.int64)
    place[in_order] = np.arange(len(in_order))
    return place[rows]


def _past_days(arrivals: Arrivals, now_ms: int) -> tuple[int, Int64s]:
    """How many past days are known whole, and where each begins: [d] is the row of d days ago, [0] that of now."""
    if not len(arrivals.submitted_ms):
        return 0, np.zeros(1, np.int64)
    days = min(DAYS, int((now_ms - arrivals.submitted_ms[0]) // DAY_MS))
    begins = np.searchsorted(arrivals.submitted_ms, now_ms - DAY_MS * np.arange(days + 1), "right")
    return days, begins


def arrived(arrivals: Arrivals, past: Past, seed: int) -> Int64s:
    """How long each arrival runs: as it did, or drawn where it has not ended."""
    run_ms = arrivals.run_ms.copy()
    open_ = np.flatnonzero(run_ms < 0)
    drawn = np.empty((1, len(open_)), np.int64)
    columns = (arrivals.user, arrivals.need, arrivals.limit_ms, arrivals.elapsed_ms)
    _kernel().draw(past, seed, 0, *(column[open_] for column in columns), _ARRIVED_LUCK + open_, drawn)
    run_ms[open_] = drawn[0]
    return run_ms


def _tail(present: Present, order: Int64s, left_ms: Int64s, position: Int64s) -> Int64s:
    """[row, level] of jobs beyond the first, from how fast the work ahead of such jobs is done among the first.

    Work is counted in ms of the whole pool; jobs are of one class that need and expect the same within an octave.
    """
    waiting = present.waiting
    need, expected = waiting.need[order], np.clip(waiting.expected_ms[order], 1, _LONGEST_MS)
    ahead = np.minimum(np.cumsum(-(-need * expected // present.nodes)), _LONGEST_MS)
    octave = [np.frexp(column.astype(np.float64))[1].astype(np.int64) for column in (need, expected)]
    kind = octave[0] * 64 + octave[1]
    head = len(left_ms)
    pace = np.clip((left_ms << _FRACTION) // ahead[:head, None], 0, _SLOWEST)
    everyone = quantiles(pace.reshape(1, -1))[0]
    answer = np.empty((len(position), len(LEVELS_MILLI)), np.int64)
    for each in np.unique(kind[position]):
        alike = kind[:head] == each
        enough = int(np.count_nonzero(alike)) >= _SMALL_CLASS
        of_class = quantiles(pace[alike].reshape(1, -1))[0] if enough else everyone
        mine = kind[position] == each
        answer[mine] = ahead[position[mine], None] * of_class >> _FRACTION
    return answer


def _check(present: Present, past: Past, futures: int, first: int) -> None:
    if min(futures, first) < 1:
        raise ValueError(f"futures, first: {futures} and {first} are not 1 or more")
    for table in (present.running, present.waiting, present.arrivals):
        name = type(table).__name__.lower()
        columns = {each.name: getattr(table, each.name) for each in fields(table)}
        lengths = {len(column) for column in columns.values()}
        if len(lengths) > 1 or any(column.dtype != np.int64 for column in columns.values()):
            raise ValueError(f"{name}: its columns are int64 and of equal length")
        for column, least, most in (
            ("need", 1, present.nodes),
            ("limit_ms", 1, prediction.LONGEST_LIMIT_MS),
            ("user", 0, len(past.ended) - 1),
        ):
            wrong = columns[column][(columns[column] < least) | (columns[column] > most)]
            if len(wrong):
                raise ValueError(f"{name}.{column}: {wrong[0]} is not from {least} to {most}")
    if int(present.running.need.sum()) > present.nodes:
        raise ValueError(f"running.need: {present.running.need.sum()} nodes are more than {present.nodes}")
    if bool((present.running.placed_ms > present.now_ms).any()):
        raise ValueError("running.placed_ms: nothing runs that was placed after now")
    if bool((np.diff(present.arrivals.submitted_ms) < 0).any()):
        raise ValueError("arrivals.submitted_ms: they come in order of submission")


__all__ = [
    "FIRST",
    "FUTURES",
    "ON_REQUEST",
    "Arrivals",
    "Forecast",
    "Past",
    "Present",
    "Running",
    "Waiting",
    "forecast",
    "leaned",
    "no_past",
    "quantiles",
    "remember",
    "reserved",
    "starts",
]
