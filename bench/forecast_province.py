"""What forecasts over a whole province are worth, and how long they take.

A generated province is run under `weir`; at evenly spread instants of its last two thirds all jobs that wait (the first
LOOKED_AT of them) are forecast from what was known then, and the calibration is told of each once it starts. Scored are
the instants of the last third: how often the ranges held the start.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.figure import Figure, median
from bench.quality_province import smaller
from weir.scheduling import calibration, warm_up
from weir.scheduling.calibration import LEVELS_MILLI
from weir.scheduling.forecast import Past, no_past, remember
from weir.scheduling.inputs import LinkRow, PoolRow
from weir.scheduling.policies import NAMED
from weir.scheduling.province_forecast import Jobs, Province, forecast
from weir.twin.generators.province import province_case
from weir.twin.outcome import Outcome
from weir.twin.run import run

Int64s = NDArray[np.int64]
JOBS, LOAD, INSTANTS, FUTURES, LOOKED_AT = 3_000, 0.95, 30, 16, 200
_SECOND_MS, _DAY_MS, _RECENT_DAYS = 1_000, 86_400_000, 15


@dataclass(frozen=True, slots=True)
class Told:
    """What was forecast for one job at one instant."""

    instant: int
    stratum: Int64s
    raw_ms: Int64s
    range_ms: Int64s
    """[level] time left."""
    left_ms: int
    start_ms: int


def measure(seed: int) -> Sequence[Figure]:
    """Coverage and time on one small province."""
    warm_up()
    told, seconds = issued(seed, JOBS, INSTANTS, FUTURES)
    last = [each for each in told if each.instant >= 2 * INSTANTS // 3]
    how = f"{len(last):,} forecasts on a province of {JOBS:,} jobs at {LOAD} under weir, {FUTURES} futures"
    return [
        Figure("forecast: province, held at 80 %", coverage(last, 80), "%", how),
        Figure("forecast: province, held at 95 %", coverage(last, 95), "%", how),
        Figure("forecast: province, an answer", median(seconds), "s", "all that wait at one instant, median"),
    ]


def coverage(told: Sequence[Told], percent: int) -> float:
    """In per cent, how often the range held the start; 0 without any."""
    low = LEVELS_MILLI.index(500 - 5 * percent)
    held = [each.range_ms[low] <= each.left_ms <= each.range_ms[-1 - low] for each in told]
    return 100 * float(np.mean(held)) if held else 0.0


def issued(seed: int, jobs: int, instants: int, futures: int) -> tuple[list[Told], list[float]]:
    """(forecasts in order of issue, the seconds that each instant took)."""
    work, pools, links = province_case(seed, LOAD, smaller(jobs))
    outcome = run(work, pools, policy="weir", links=links)
    came = -(-work.submit_ms // _SECOND_MS) * _SECOND_MS
    span = int(came[-1]) - int(came[0])
    past, state = no_past(len(work.users)), calibration.uncalibrated()
    by_end = np.argsort(outcome.end_ms, kind="stable")
    told: list[Told] = []
    open_: list[Told] = []
    seconds = []
    ended = 0
    for instant in range(instants):
        now = int(came[0]) + span // 3 + 2 * span * instant // (3 * instants)
        # Of those that have started by now the calibration is told, in the order of their starts.
        started = sorted((each for each in open_ if each.start_ms <= now), key=lambda each: each.start_ms)
        for each in started:
            state = calibration.learnt(
                state, each.stratum, each.raw_ms[None, :], np.array([each.left_ms], np.int64)
            )
        open_ = [each for each in open_ if each.start_ms > now]
        upto = int(np.searchsorted(outcome.end_ms[by_end], now, "right"))
        _remember(past, outcome, by_end[ended:upto])
        ended = upto
        present = _present(outcome, came, pools, links, now)
        began = time.perf_counter()
        found = forecast(present, past, state, seed, futures, first=LOOKED_AT)
        seconds.append(time.perf_counter() - began)
        for row, job in enumerate(found.job.tolist()):
            start = int(outcome.start_ms[job])
            one = Told(
                instant,
                found.stratum[row : row + 1],
                found.raw_ms[row],
                found.start_ms[row] - now,
                start - now,
                start,
            )
            told.append(one)
            open_.append(one)
    return told, seconds


def _remember(past: Past, outcome: Outcome, over: Int64s) -> None:
    over = over[outcome.start_ms[over] >= 0]
    log = outcome.workload
    remember(past, log.user[over], log.size[over], log.limit_ms[over], log.run_ms[over])


def _present(
    outcome: Outcome, came: Int64s, pools: Sequence[PoolRow], links: Sequence[LinkRow], now: int
) -> Province:
    log, start, end = outcome.workload, outcome.start_ms, outcome.end_ms
    here = (came <= now) & (start >= 0)
    runs = np.flatnonzero(here & (start <= now) & (end > now))
    waits = np.flatnonzero(here & (start > now))
    lately = np.flatnonzero((came <= now) & (came > now - _RECENT_DAYS * _DAY_MS) & (start >= 0))
    # What has run for so long there: its share of the time that it takes there, of the nominal one.
    whole = np.maximum(1, end - start)
    elapsed = np.where(here, np.clip(now - start, 0, whole) * log.run_ms // whole, 0)

    def jobs(rows: Int64s, ran: Int64s) -> Jobs:
        return Jobs(
            rows, log.job_class[rows], log.size[rows], came[rows], log.limit_ms[rows], log.user[rows],
            elapsed[rows], outcome.pool[rows], ran,
        )  # fmt: skip

    nothing = np.full(len(log), -1, np.int64)
    return Province(
        tuple(pools), tuple(links), log.classes, now, jobs(runs, nothing[runs]), jobs(waits, nothing[waits]),
        jobs(lately, np.where(end[lately] <= now, log.run_ms[lately], -1)), NAMED["weir"],
    )  # fmt: skip


__all__ = ["Told", "coverage", "issued", "measure"]
