"""The live cycle on a deep queue: all of it looked at, a hundred changes, taking it in, and what a queued job takes.

Compiled code is warm. The queue and the province are those of `bench/live_queue.py`.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bench.figure import Figure, median
from bench.live_queue import LiveQueue, live_queue, some_changes
from weir.control.cycle import LIVE
from weir.scheduling import Policy, State, explain, step, warm_up
from weir.scheduling.base import base_of
from weir.scheduling.explanation import explain_kept
from weir.scheduling.inputs import Changes
from weir.scheduling.kept import Promises, replayed
from weir.scheduling.packed import packed, unpacked
from weir.scheduling.plan import Plan
from weir.scheduling.policies import NAMED

ROUNDS = 7
JOBS, CLASSES = 1_000_000, 20_000
DISTINCT = 100_000
CYCLES = 100
GROWTH = (10_000, 100_000, 1_000_000)


def measure(seed: int) -> Sequence[Figure]:
    """About a minute on two cores that do nothing else."""
    warm_up()
    queue = live_queue(JOBS, seed=seed, classes=CLASSES)
    how = f"{JOBS:,} queued of {CLASSES:,} classes before {len(queue.pools):,} pools"
    state, taking, _ = _taken_in(queue, LIVE)
    bytes_a_job = _bytes(state) / JOBS
    whole = [_whole(queue, state, round_) for round_ in range(3)]
    state, hundred = _hundreds(queue, state)
    waits = next(job for job in queue.job.tolist() if state.waits(job))
    explained = _timed(lambda: explain(state, waits))
    full = median(whole)
    return [
        Figure("live: whole queue looked at", full, "s", f"one step, nothing known; {how}"),
        Figure("live: 100 changes", median(hundred), "s", f"median of {ROUNDS} steps; {how}"),
        Figure("live: decisions", JOBS / full, "/s", "jobs started, promised, or proven unable to start"),
        Figure("live: taken in", taking, "s", f"from columns to the first plan; {how}"),
        Figure("live: a queued job", bytes_a_job, "bytes", f"all arrays of the state, shared out; {how}"),
        Figure("live: one job explained", explained, "s", f"the last cycle run again; {how}"),
        *_by_tenant(queue, how),
        *_past_cycle(queue, state, waits, how),
        _growth(seed),
        *_distinct(seed, DISTINCT),
    ]


def measure_past(seed: int) -> Sequence[Figure]:
    """The past cycle alone, also where tenants share."""
    warm_up()
    queue = live_queue(JOBS, seed=seed, classes=CLASSES)
    how = f"{JOBS:,} queued of {CLASSES:,} classes before {len(queue.pools):,} pools"
    found: list[Figure] = []
    for policy, name in ((LIVE, "live"), (NAMED["weir-by-tenant"], "live: by tenant")):
        state, _, _ = _taken_in(queue, policy)
        waits = next(job for job in queue.job.tolist() if state.waits(job))
        found += _past_cycle(queue, state, waits, how, name)
    return found


def _past_cycle(queue: LiveQueue, state: State, job: int, how: str, name: str = "live") -> Sequence[Figure]:
    first, again, processor = _past(queue, state, job)
    how = f"from a base and {CYCLES} cycles since, packed; {how}"
    known = f"what the cycle began with is still known; {how}"
    name += "," if ":" in name else ":"
    return (
        Figure(f"{name} a past cycle explained", first, "s", f"{processor:.2f} s of one processor; {how}"),
        Figure(f"{name} another job of that cycle", again, "s", known),
    )


def _by_tenant(queue: LiveQueue, how: str) -> Sequence[Figure]:
    """The same under the two levels of `weir-by-tenant`."""
    state, _, _ = _taken_in(queue, NAMED["weir-by-tenant"])
    bytes_a_job = _bytes(state) / JOBS
    whole = median([_whole(queue, state, round_) for round_ in range(3)])
    state, hundred = _hundreds(queue, state)
    how = f"{len(queue.tenants)} tenants by turns; {how}"
    return [
        Figure("live: by tenant, whole queue", whole, "s", f"one step, nothing known; {how}"),
        Figure("live: by tenant, 100 changes", median(hundred), "s", f"median of {ROUNDS} steps; {how}"),
        Figure("live: by tenant, a queued job", bytes_a_job, "bytes", f"all arrays of the state; {how}"),
    ]


def _hundreds(queue: LiveQueue, state: State) -> tuple[State, list[float]]:
    """ROUNDS steps of a hundred changes each."""
    found: list[float] = []
    for round_ in range(ROUNDS):
        changes = some_changes(queue, round_)
        state, _, seconds = _stepped(state, changes, queue.now_ms + 60_000 * (round_ + 1))
        found.append(seconds)
    return state, found


def measure_distinct(seed: int) -> Sequence[Figure]:
    """A million jobs of as many classes: some minutes, and 12 GB of memory."""
    warm_up()
    return _distinct(seed, JOBS)


def _taken_in(queue: LiveQueue, policy: Policy) -> tuple[State, float, Plan]:
    told = Changes(pools=queue.pools, links=queue.links, queued=queue.batches(), running=queue.running)
    state, plan, seconds = _stepped(State.empty(policy), told, queue.now_ms)
    return state, seconds, plan


def _stepped(state: State, changes: Changes, now_ms: int) -> tuple[State, Plan, float]:
    began = time.perf_counter()
    state, plan = step(state, changes, now_ms)
    return state, plan, time.perf_counter() - began


def _whole(queue: LiveQueue, state: State, round_: int) -> float:
    """Nothing changes, and nothing is known any more of any class."""
    state.known.forget_findings()
    _, _, seconds = _stepped(state, Changes(), queue.now_ms + 1_000 * (round_ + 1))
    return seconds


def _timed(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _bytes(state: State) -> int:
    """Of every array that the state holds, counted once where several show the same memory."""
    seen: dict[int, int] = {}

    def look(value: Any) -> None:
        if isinstance(value, np.ndarray):
            while isinstance(value.base, np.ndarray):
                value = value.base
            seen[id(value)] = value.nbytes
        elif isinstance(value, tuple) and hasattr(value, "_fields"):
            for each in value:
                look(each)

    for holder in (state, state.known, state.queue):
        for value in vars(holder).values():
            look(value)
    return sum(seen.values())


def _growth(seed: int) -> Figure:
    """How much faster than n log n the first step grows from the least queue to the largest."""
    seconds = []
    for jobs in GROWTH:
        queue = live_queue(jobs, seed=seed, classes=CLASSES * jobs // JOBS)
        state, _, _ = _taken_in(queue, LIVE)
        seconds.append(median([_whole(queue, state, round_) for round_ in range(3)]))
    shown = ", ".join(f"{jobs:,}: {each:.3f} s" for jobs, each in zip(GROWTH, seconds, strict=True))
    due = GROWTH[-1] * math.log(GROWTH[-1]) / (GROWTH[0] * math.log(GROWTH[0]))
    return Figure("live: growth", seconds[-1] / seconds[0] / due, "x", f"times n log n; {shown}")


def _past(queue: LiveQueue, state: State, job: int) -> tuple[float, float, float]:
    """Seconds to explain a job in a cycle that was kept, and another in the same cycle; the first also in time of the
    processor."""
    base, promises = packed(base_of(state)), Promises(state.reservations())
    kept = []
    for round_ in range(CYCLES):
        changes, now_ms = some_changes(queue, 1_000 + round_), queue.now_ms + 3_600_000 + 1_000 * round_
        state, plan = step(state, changes, now_ms)
        kept.append(packed(promises.of(state, changes, plan, now_ms)))
    began, worked = time.perf_counter(), time.process_time()
    cycles = [unpacked(each) for each in kept]
    before = replayed(unpacked(base), cycles)
    explain_kept(before, cycles[-1], job)
    first, processor = time.perf_counter() - began, time.process_time() - worked
    return first, _timed(lambda: explain_kept(before, cycles[-1], job)), processor


def _distinct(seed: int, jobs: int) -> Sequence[Figure]:
    """As many classes as jobs, which is beside the aim."""
    queue = live_queue(jobs, seed=seed, classes=jobs)
    state, taking, _ = _taken_in(queue, LIVE)
    whole = median([_whole(queue, state, round_) for round_ in range(3)])
    name = "live: all classes distinct" if jobs == DISTINCT else "live: a million classes"
    how = f"{jobs:,} jobs of as many classes before {len(queue.pools):,} pools"
    return (
        Figure(name, whole, "s", f"{how}; taken in in {taking:.1f} s"),
        Figure(f"{name}, a queued job", _bytes(state) / jobs, "bytes", f"all arrays of the state; {how}"),
    )
