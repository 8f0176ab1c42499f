"""What forecasts are worth on a log, and how long they take.

`python -m bench.forecast LOG --procs 100 --policy easy` runs the log through the twin, then goes through it once
more: for jobs chosen by chance of those that did not start on arrival a forecast is issued at submission and at half
and nine tenths of what their wait came to, from what was known at that instant; when the job starts, the calibration
is told. Scored are the jobs of the last third. Beside it stands the range [now, reservation on limits], its end moved
by its own past errors so that it holds as often: only ever widened, and (harder to beat) narrowed too.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.figure import Figure, median
from weir.scheduling import calibration, forecast, warm_up
from weir.scheduling.calibration import LEVELS_MILLI
from weir.scheduling.policies import NAMED
from weir.twin.outcome import Outcome
from weir.twin.province import single_pool
from weir.twin.run import run
from weir.twin.traces import read_trace

Int64s = NDArray[np.int64]
STAGES = ("at submission", "at half", "at nine tenths")
_SECOND_MS, _HOUR_MS, _DAY_MS = 1_000, 3_600_000, 86_400_000
_FIRST_STEP, _LEAST_STEP = 0.5, 0.08


@dataclass(frozen=True, slots=True)
class Issued:
    """Forecasts in order of issue, as columns; times left in ms."""

    stage: Int64s
    left_ms: Int64s
    """What it came to."""
    range_ms: Int64s
    """[forecast, level]"""
    raw_ms: Int64s
    """The same before calibration."""
    reserved_ms: Int64s
    """On limits."""
    widened_ms: Int64s
    moved_ms: Int64s
    last_third: NDArray[np.bool_]
    queue: Int64s


class Upper:
    """The reservation on limits as the end of a range, moved by its own past errors so that 80 % start before it."""

    def __init__(self, narrows: bool) -> None:
        self._narrows = narrows
        self._octaves = [0.0, 0.0]
        self._told = [0, 0]

    def end(self, waited: bool, reserved_ms: int) -> int:
        """Where it lies now."""
        return max(0, int((reserved_ms + 60_000) * 2 ** self._octaves[waited]) - 60_000)

    def tell(self, waited: bool, end_ms: int, left_ms: int) -> None:
        """A job has started."""
        self._told[waited] += 1
        step = max(_LEAST_STEP, _FIRST_STEP / self._told[waited] ** 0.5)
        moved = self._octaves[waited] + 2 * step * (0.8 - (left_ms <= end_ms))
        self._octaves[waited] = moved if self._narrows else max(0.0, moved)


def issue(outcome: Outcome, jobs: int, futures: int, seed: int) -> Issued:
    """Forecasts for so many jobs (or all there are) as they would have been issued."""
    log, policy, nodes = outcome.workload, outcome.policy, outcome.pools[0].nodes
    came = -(-log.submit_ms // _SECOND_MS) * _SECOND_MS
    never = np.int64(1) << 60
    start = np.where(outcome.start_ms < 0, never, outcome.start_ms)
    end = np.where(outcome.start_ms < 0, never, outcome.end_ms)
    waits = np.flatnonzero((start > came) & (start < never))
    chosen = np.random.default_rng(seed).permutation(waits)[:jobs]
    job, stage = np.tile(chosen, 3), np.repeat([0, 1, 2], len(chosen))
    wait = (start - came)[job]
    at = came[job] + np.select([stage == 0, stage == 1], [0, wait // 2], wait * 9 // 10)
    by_issue = np.lexsort((job, at))
    job, stage, at = job[by_issue], stage[by_issue], at[by_issue]
    by_start = np.lexsort((at, start[job]))
    by_end = np.argsort(end, kind="stable")
    latest_end = np.maximum.accumulate(end)

    past = forecast.no_past(len(log.users))
    state = calibration.uncalibrated()
    widened, moved = Upper(narrows=False), Upper(narrows=True)
    count, levels = len(job), len(LEVELS_MILLI)
    left = start[job] - at
    ranges, raw = np.zeros((count, levels), np.int64), np.zeros((count, levels), np.int64)
    reserved, wide, other, stratum, queue = (np.zeros(count, np.int64) for _ in range(5))
    ended = told = 0
    for i in range(count):
        now = int(at[i])
        while told < count and start[job[by_start[told]]] <= now:
            row = by_start[told]
            told += 1
            one = slice(row, row + 1)
            state = calibration.learnt(state, stratum[one], raw[one], left[one])
            widened.tell(bool(stage[row]), int(wide[row]), int(left[row]))
            moved.tell(bool(stage[row]), int(other[row]), int(left[row]))
        upto = int(np.searchsorted(end, now, "right", sorter=by_end))
        over = by_end[ended:upto]
        ended = upto
        forecast.remember(past, log.user[over], log.size[over], log.limit_ms[over], log.run_ms[over])
        present = _present(outcome, came, start, end, latest_end, now, nodes, policy_of=policy)
        mine = np.flatnonzero(present.waiting.job == job[i])
        queue[i] = len(present.waiting.job)
        limits = forecast.starts(present, past, seed, 1, mine, len(log), on_limits=True) - now
        told_ms = forecast.starts(present, past, seed, futures, mine, len(log)) - now
        raw[i] = forecast.leaned(forecast.quantiles(told_ms), limits)[0]
        reserved[i] = limits[0, 0]
        stratum[i] = calibration.strata_of(raw[i : i + 1], now - came[job[i : i + 1]])[0]
        ranges[i] = calibration.calibrated(state, stratum[i : i + 1], raw[i : i + 1])[0]
        wide[i] = widened.end(bool(stage[i]), int(reserved[i]))
        other[i] = moved.end(bool(stage[i]), int(reserved[i]))
    last_third = job >= 2 * len(log) // 3
    return Issued(stage, left, ranges, raw, reserved, wide, other, last_third, queue)


def coverage(issued: Issued, rows: NDArray[np.bool_]) -> dict[int, float]:
    """The share of these rows, in percent, whose job started within its range at 50, 80 and 95 %."""
    middle = len(LEVELS_MILLI) // 2
    shares = {}
    for percent, step in ((50, 1), (80, 2), (95, 3)):
        low, high = issued.range_ms[rows, middle - step], issued.range_ms[rows, middle + step]
        held = (issued.left_ms[rows] >= low) & (issued.left_ms[rows] <= high)
        shares[percent] = 100 * float(held.mean())
    return shares


def interval_score_h(low_ms: Int64s, high_ms: Int64s, left_ms: Int64s) -> float:
    """The mean interval score at 80 %, in hours: the width and ten times what it was missed by (Gneiting, Raftery)."""
    missed = np.maximum(0, low_ms - left_ms) + np.maximum(0, left_ms - high_ms)
    return float((high_ms - low_ms + 10 * missed).mean()) / _HOUR_MS


def table(issued: Issued) -> list[str]:
    """Coverage and scores on the last third, for each stage and for all three."""
    lines = []
    for stage, name in enumerate((*STAGES, "all")):
        rows = issued.last_third & ((issued.stage == stage) | (name == "all"))
        held = coverage(issued, rows)
        left, nothing = issued.left_ms[rows], np.zeros(int(rows.sum()), np.int64)
        ours = interval_score_h(issued.range_ms[rows, 1], issued.range_ms[rows, 5], left)
        raw = interval_score_h(issued.raw_ms[rows, 1], issued.raw_ms[rows, 5], left)
        wide = interval_score_h(nothing, issued.widened_ms[rows], left)
        other = interval_score_h(nothing, issued.moved_ms[rows], left)
        lines.append(
            f"{name:15} {int(rows.sum()):6} {held[50]:5.1f} {held[80]:5.1f} {held[95]:5.1f}  {ours:8.2f} {raw:8.2f}"
            f" {wide:8.2f} {other:8.2f}  {ours / wide:5.2f} {ours / other:5.2f}"
        )
    return lines


HEADING = (
    f"{'issued':15} {'number':>6} {'50 %':>5} {'80 %':>5} {'95 %':>5}  {'score h':>8} {'raw':>8} {'widened':>8}"
    f" {'moved':>8}  {'ratio':>5} {'moved':>5}"
)


def measure(seed: int) -> Sequence[Figure]:
    """How long it takes with 10,000 jobs that wait, on one core: all of them, and one on request."""
    warm_up()
    present, past = busy_pool(10_000, seed)
    state = calibration.uncalibrated()
    asked = present.waiting.job[-1:]
    forecast.forecast(present, past, state, seed, 1)
    walls = []
    for _ in range(7):
        began = time.perf_counter()
        forecast.forecast(present, past, state, seed, asked=asked, first=forecast.ON_REQUEST)
        walls.append(time.perf_counter() - began)
    began = time.perf_counter()
    forecast.forecast(present, past, state, seed)
    everyone = time.perf_counter() - began
    return [
        Figure("forecast: all", everyone, "s", "64 futures of 10,000 waiting jobs under weir, one core"),
        Figure(
            "forecast: one",
            1_000 * median(walls),
            "ms",
            "one of 10,000 waiting jobs, 64 futures, median of 7",
        ),
    ]


def busy_pool(waiting: int, seed: int, policy: str = "weir") -> tuple[forecast.Present, forecast.Past]:
    """A made-up pool of 1,000 nodes, with three weeks of arrivals behind it."""
    draw = np.random.default_rng(seed)
    users, nodes, now = 200, 1_000, 100 * _DAY_MS

    def jobs(count: int) -> tuple[Int64s, Int64s, Int64s]:
        return (
            1 << draw.integers(0, 7, count),
            _HOUR_MS * draw.integers(1, 25, count),
            draw.integers(0, users, count),
        )

    need, limit, user = jobs(waiting)
    came = now - np.sort(draw.integers(1, 5 * _DAY_MS, waiting))[::-1]
    queue = forecast.Waiting(np.arange(waiting), need, came, limit, limit, user)
    need, limit, user = jobs(100)
    fits = np.cumsum(need) <= nodes
    placed = now - (limit * draw.uniform(0, 1, 100)).astype(np.int64)
    runs = forecast.Running(need[fits], placed[fits], limit[fits], user[fits])
    need, limit, user = jobs(20_000)
    ran = np.maximum(1, (limit * draw.uniform(0, 1, users)[user]).astype(np.int64))
    came = now - np.sort(draw.integers(1, 21 * _DAY_MS, len(need)))[::-1]
    open_ = draw.uniform(size=len(need)) < 0.1
    arrivals = forecast.Arrivals(
        came, need, limit, limit, user, np.zeros(len(need), np.int64), np.where(open_, -1, ran)
    )
    past = forecast.no_past(users)
    forecast.remember(past, user, need, limit, ran)
    return forecast.Present(nodes, now, runs, queue, arrivals, NAMED[policy]), past


def _present(
    outcome: Outcome,
    came: Int64s,
    start: Int64s,
    end: Int64s,
    latest_end: Int64s,
    now: int,
    nodes: int,
    policy_of: str,
) -> forecast.Present:
    """What was known after the pass at that instant."""
    log = outcome.workload
    high = int(np.searchsorted(came, now, "right"))
    open_ = np.arange(int(np.searchsorted(latest_end, now, "right")), high)
    runs = open_[(start[open_] <= now) & (end[open_] > now)]
    waits = open_[start[open_] > now]
    recent = np.arange(int(np.searchsorted(came, now - (forecast.DAYS + 1) * _DAY_MS)), high)
    over = end[recent] <= now
    return forecast.Present(
        nodes,
        now,
        forecast.Running(log.size[runs], start[runs], log.limit_ms[runs], log.user[runs]),
        forecast.Waiting(
            waits, log.size[waits], came[waits], log.limit_ms[waits], log.limit_ms[waits], log.user[waits]
        ),
        forecast.Arrivals(
            came[recent],
            log.size[recent],
            log.limit_ms[recent],
            log.limit_ms[recent],
            log.user[recent],
            np.maximum(0, now - start[recent]),
            np.where(over, log.run_ms[recent], -1),
        ),
        NAMED[policy_of],
    )


def main() -> None:
    """Print the table of one log."""
    parser = argparse.ArgumentParser(prog="python -m bench.forecast", description=__doc__)
    parser.add_argument("log", type=Path)
    parser.add_argument("--procs", type=int, required=True)
    parser.add_argument("--policy", default="easy", choices=sorted(NAMED))
    parser.add_argument("--jobs", type=int, default=2_000, help="how many jobs, chosen by chance (2000)")
    parser.add_argument("--futures", type=int, default=forecast.FUTURES)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    outcome = run(read_trace(options.log), [single_pool(options.procs)], policy=options.policy)
    waited = outcome.start_ms > -(-outcome.workload.submit_ms // _SECOND_MS) * _SECOND_MS
    began = time.perf_counter()
    issued = issue(outcome, options.jobs, options.futures, options.seed)
    seconds = time.perf_counter() - began
    last = int(waited[2 * len(waited) // 3 :].sum())
    print(
        f"{options.log.name} {options.policy}: {last} jobs of the last third did not start on arrival;",
        end=" ",
    )
    print(f"queue {int(np.median(issued.queue))} in the middle, {issued.queue.max()} at most;", end=" ")
    print(f"{len(issued.stage)} forecasts in {seconds:.0f} s")
    print("\n".join([HEADING, *table(issued)]))


__all__ = ["Issued", "coverage", "interval_score_h", "issue", "measure", "table"]

if __name__ == "__main__":
    main()
