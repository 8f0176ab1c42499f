"""What a province's jobs cost at the least under any schedule whose mean wait is at most 0.70 of that of `race`.

`python -m bench.patient_cost` prints it as a share of what the jobs cost where each is cheapest (as `cheapest` has it,
however long it takes), for the provinces of `quality-province` at 0.85 and 0.95. Beside it stands what bounds every
schedule that keeps up with what comes in (see `least_cost`): where the first is the lower one, what is between them is
saved by leaving work undone until nothing more comes.

The bound is Lagrange's: pools ask rents by device and time, an hour of waiting costs all jobs the same, and each job
starts where and when that is cheapest for it. Whatever the rents, the sum over jobs less the rent of all devices less
the worth of the allowed wait is at most what any schedule costs that runs each job as a whole, in one pool, from one
instant on, never has more devices in use than there are, and keeps to that wait; it may know all jobs beforehand, and
nodes are not looked at. Rents are raised where too much was asked for and lowered elsewhere; the best sum found counts.
Jobs of fewer than 8 devices (3 % of the work) go where they are cheapest and take nothing of what there is.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.least_cost import least_cost
from bench.quality_province import FIRST_SEED, HEAVY, JOBS, LEAST_GAIN, SEEDS, smaller
from weir.scheduling import fits_ever
from weir.scheduling.inputs import LinkRow, PoolRow
from weir.scheduling.plan import Verdict
from weir.twin.generators.province import province_case
from weir.twin.run import run
from weir.twin.workload import Workload

Floats = npt.NDArray[np.float64]
HOUR_MS = 3_600_000
FEWEST_DEVICES = 8
ROUNDS = 160
AFTER_D = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Rents change at eighths of the time of submission, and so long after it; then nothing is asked."""
FIRST_STEP, SLOWING, STEADINESS, MEMORY, LEAST_SCALE, SWAY = 0.5, 15.0, 0.8, 0.95, 0.1, 0.5
"""Of the ascent: any values give a bound, these a good one after ROUNDS."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What each job may choose: rows by job, then pool. Hours, yuan, devices."""

    job: npt.NDArray[np.int64]
    pool: npt.NDArray[np.int64]
    run: Floats
    cost: Floats
    submitted: Floats
    """By row, from the first submission on."""
    devices: Floats
    small_cost: float
    """Of the jobs that choose nothing."""
    cheapest: float
    """Of all jobs, each where it costs least."""


def main() -> int:
    """Print the bounds."""
    parser = argparse.ArgumentParser(prog="python -m bench.patient_cost", description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="provinces at each load")
    parser.add_argument("--first", type=int, default=FIRST_SEED, help="the first seed")
    parser.add_argument("--jobs", type=int, default=JOBS, help="in each")
    options = parser.parse_args()
    if options.seeds < 1 or options.jobs < 1:
        parser.error("--seeds and --jobs: at least 1")
    for load in HEAVY:
        logs = []
        for seed in range(options.first, options.first + options.seeds):
            work, pools, links = province_case(seed, load, smaller(options.jobs))
            raced = run(work, pools, policy="race", estimates="predicted", links=links)
            wait_ms = (1 - LEAST_GAIN) * float((raced.start_ms - work.submit_ms).sum())
            choices = choices_of(work, pools, links)
            patient = patient_cost(choices, pools, wait_ms / HOUR_MS) / choices.cheapest
            lasting = least_cost(work, pools, links, int(np.ptp(work.submit_ms))) / 1e6 / choices.cheapest
            logs.append((math.log(patient), math.log(lasting)))
            print(f"  seed {seed}, {load:.2f}: {patient:.3f}, keeping up {lasting:.3f}", flush=True)
        means = np.exp(np.mean(logs, axis=0))
        print(f"{load:.2f}: at least {means[0]:.3f} of cheapest's cost; keeping up, {means[1]:.3f}")
    return 0


def choices_of(workload: Workload, pools: Sequence[PoolRow], links: Sequence[LinkRow]) -> Choices:
    """Where each job may run, for how long and for how much, at prices without bands."""
    offers = {number: _offers(workload, pools, links, number) for number in np.unique(workload.job_class)}
    rows, small, cheapest, count = list[tuple[float, ...]](), 0.0, 0.0, 0
    hours = workload.run_ms / HOUR_MS
    submitted = (workload.submit_ms - workload.submit_ms[0]) / HOUR_MS
    for job, number in enumerate(workload.job_class.tolist()):
        wish = workload.classes[number]
        devices = wish.tasks * wish.devices_milli / 1_000
        least = min(hours[job] * slower * rate for _, slower, rate in offers[number])
        cheapest += least
        if devices < FEWEST_DEVICES:
            small += least
            continue
        for place, slower, rate in offers[number]:
            run_h = hours[job] * slower
            rows.append((count, place, run_h, run_h * rate, submitted[job], devices))
        count += 1
    job_of, place_of, run_of, cost, since, held = np.array(rows).T
    return Choices(
        job_of.astype(np.int64), place_of.astype(np.int64), run_of, cost, since, held, small, cheapest
    )


def patient_cost(choices: Choices, pools: Sequence[PoolRow], wait_h: float) -> float:
    """Yuan of all jobs at the least, if all together wait no longer than that."""
    last = float(choices.submitted.max())
    edges = np.concatenate([np.linspace(0.0, last, 9), last + 24.0 * np.array(AFTER_D)])
    length = np.diff(edges)
    devices = np.array([pool.nodes * pool.devices_per_node for pool in pools], np.float64)
    ascent = _Ascent(choices, edges, devices[:, None] * length, wait_h)
    return max(ascent.go(number) for number in range(ROUNDS))


class _Ascent:
    """Rents, the worth of an hour's wait, and how they have moved."""

    def __init__(self, choices: Choices, edges: Floats, room: Floats, wait_h: float) -> None:
        self._choices, self._edges, self._room, self._wait_h = choices, edges, room, wait_h
        since, run_h = choices.submitted[:, None], choices.run[:, None]
        # The best start is at once, or such that the job starts or ends where rents change.
        self._start = np.hstack(
            [since, np.maximum(since, edges[None, 1:]), np.maximum(since, edges[None, 1:] - run_h)]
        )
        self._end = self._start + run_h
        self._waited = self._start - since
        self._from, self._to = self._within(self._start), self._within(self._end)
        self._first = np.flatnonzero(np.diff(choices.job, prepend=-1))
        # After the last edge nothing is asked.
        self._rent = np.zeros((len(room), room.shape[1] + 1))
        self._worth = 0.0
        self._pull, self._scale, self._lean = np.zeros_like(room), np.zeros_like(room), 0.0

    def go(self, number: int) -> float:
        """The bound by the present rents; then they move."""
        choices, room = self._choices, self._room
        asked = self._rent[:, :-1]
        hour = math.exp(self._worth)
        paid = choices.devices[:, None] * (self._rent_until(self._to) - self._rent_until(self._from))
        value = choices.cost[:, None] + paid + hour * self._waited
        when = value.argmin(axis=1)
        rows = np.arange(len(when))
        least = np.minimum.reduceat(value[rows, when], self._first)
        found = choices.small_cost + float(least.sum() - (asked * room).sum()) - hour * self._wait_h
        best = np.flatnonzero(value[rows, when] == least[choices.job])
        chosen = best[np.unique(choices.job[best], return_index=True)[1]]
        use = self._use(chosen, when[chosen])
        excess = (use - room) / np.maximum(room, 1e-9)
        longer = float(self._waited[chosen, when[chosen]].sum()) / self._wait_h - 1.0
        step = FIRST_STEP / (1.0 + number / SLOWING)
        self._pull = STEADINESS * self._pull + (1 - STEADINESS) * excess
        self._scale = MEMORY * self._scale + (1 - MEMORY) * excess**2
        asked[:] = np.maximum(0.0, asked + step * self._pull / (np.sqrt(self._scale) + LEAST_SCALE))
        self._lean = STEADINESS * self._lean + (1 - STEADINESS) * min(3.0, longer)
        self._worth += step * SWAY * max(-1.0, min(1.0, self._lean))
        return found

    def _within(self, at: Floats) -> tuple[Any, Floats]:
        """For each instant the interval that it is in, and how far."""
        interval = np.searchsorted(self._edges, at.ravel(), side="right").reshape(at.shape) - 1
        return interval, at - self._edges[interval]

    def _rent_until(self, where: tuple[Any, Floats]) -> Floats:
        """What a device costs in rent from the beginning until then, row by row."""
        sums = np.cumsum(self._rent[:, :-1] * np.diff(self._edges), axis=1)
        before = np.hstack([np.zeros((len(sums), 1)), sums])
        place = self._choices.pool[:, None]
        interval, far = where
        found: Floats = before[place, interval] + self._rent[place, interval] * far
        return found

    def _use(self, chosen: Any, when: Any) -> Floats:
        """Device hours in each pool and interval."""
        start, end = self._start[chosen, when], self._end[chosen, when]
        use = np.zeros_like(self._room)
        for number, (since, until) in enumerate(zip(self._edges[:-1], self._edges[1:], strict=True)):
            inside = np.maximum(0.0, np.minimum(end, until) - np.maximum(start, since))
            np.add.at(use[:, number], self._choices.pool[chosen], inside * self._choices.devices[chosen])
        return use


def _offers(
    workload: Workload, pools: Sequence[PoolRow], links: Sequence[LinkRow], number: int
) -> list[tuple[int, float, float]]:
    """Of a class: the pools that it fits, how much slower than the reference it is there, and yuan an hour."""
    wish = workload.classes[number]
    fits = {reason.pool for reason in fits_ever(pools, links, wish) if reason.verdict is Verdict.FITS}
    speeds = dict(wish.variant_speeds)
    devices, cores = wish.tasks * wish.devices_milli / 1_000, wish.tasks * wish.cores_milli / 1_000
    found = []
    for place, pool in enumerate(pools):
        if pool.key in fits:
            speed = pool.speed_milli * (speeds.get(pool.stack, 1_000) if speeds else 1_000)
            rate = (devices * pool.device_hour_micro_yuan + cores * pool.core_hour_micro_yuan) / 1e6
            found.append((place, 1e6 / max(1, speed), rate))
    return found


if __name__ == "__main__":
    sys.exit(main())
