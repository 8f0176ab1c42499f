"""How long a future of the live province takes: 10,000 waiting jobs, 5,000 that came lately, with and without turns.

The province and the queue are those of `bench/live_queue.py`, without its edge pools; time is a processor's, since
the forecasts are made by a process of the lowest priority.
"""

import time
from collections.abc import Sequence

import numpy as np

from bench.figure import Figure, median
from bench.live_queue import LiveQueue, live_queue
from weir.control.cycle import LIVE, SHARED
from weir.scheduling import Policy, State, step, warm_up
from weir.scheduling.forecast import DAY_MS, Past, no_past, remember
from weir.scheduling.inputs import Changes, Int64s, JobClass
from weir.scheduling.province_forecast import Jobs, Province, lived
from weir.scheduling.standing import Standing, standing_of

WAITING, CAME, CLASSES, ROUNDS = 10_000, 5_000, 2_000, 5
_HOUR_MS = 3_600_000


def measure(seed: int) -> Sequence[Figure]:
    """A few seconds of one core for each future."""
    warm_up()
    queue = live_queue(2 * WAITING, seed=seed, classes=CLASSES, edge_pools=0)
    found = []
    for name, policy in (("in one line", LIVE), ("by turns", SHARED)):
        present = _present(queue, policy)
        how = f"{WAITING:,} waiting jobs, {CAME:,} that came, {len(present.pools)} pools; of one processor, warm"
        if present.usage is not None:
            how = f"{len(present.usage.tenants)} tenants by turns; {how}"
        found.append(Figure(f"forecast: live, a future {name}", _a_future(present), "s", how))
    return found


def _a_future(present: Province) -> float:
    past, rows = _past(), np.arange(len(present.waiting))
    lived(present, past, 1, 1, rows)
    seconds = []
    for seed in range(ROUNDS):
        began = time.process_time()
        lived(present, past, seed, 1, rows)
        once = time.process_time()
        lived(present, past, seed, 2, rows)
        # What is laid out once for all futures is not counted.
        seconds.append(time.process_time() - once - (once - began))
    return median(seconds)


def _present(queue: LiveQueue, policy: Policy) -> Province:
    told = Changes(pools=queue.pools, links=queue.links, queued=queue.batches(), running=queue.running)
    state, _ = step(State.empty(policy), told, queue.now_ms)
    standing = standing_of(state)
    rows = np.arange(WAITING)
    behind = np.arange(len(standing.job) - CAME, len(standing.job))
    lately = np.sort(np.random.default_rng(3).integers(queue.now_ms - 14 * DAY_MS, queue.now_ms, CAME))
    return Province(
        pools=standing.pools,
        links=queue.links,
        classes=tuple(each or JobClass(1, 0, 1, 1) for each in standing.described),
        now_ms=queue.now_ms,
        running=_running(standing, queue.now_ms),
        waiting=_jobs(standing, rows, standing.submitted_ms[rows], rows * 0 - 1),
        arrivals=_jobs(standing, behind, lately, np.maximum(1, standing.expected_ms[behind])),
        policy=policy,
        usage=standing.usage,
    )


def _running(standing: Standing, now_ms: int) -> Jobs:
    none = np.zeros(len(standing.running), np.int64)
    return Jobs(
        standing.running, standing.run_class, none + 1, standing.placed_ms,
        np.maximum(1, standing.end_ms - standing.placed_ms), none, np.maximum(0, now_ms - standing.placed_ms),
        standing.run_pool, none - 1, tenant=_tenant(standing, standing.run_tenant),
    )  # fmt: skip


def _jobs(standing: Standing, rows: Int64s, submitted_ms: Int64s, run_ms: Int64s) -> Jobs:
    none = np.zeros(len(rows), np.int64)
    return Jobs(
        standing.job[rows], standing.job_class[rows], standing.size[rows], submitted_ms, standing.limit_ms[rows],
        none, none, none, run_ms, priority=standing.priority[rows] - standing.priority.min(),
        expected_ms=standing.expected_ms[rows], tenant=_tenant(standing, standing.tenant[rows]),
    )  # fmt: skip


def _tenant(standing: Standing, numbers: Int64s) -> Int64s | None:
    return None if standing.usage is None else standing.usage.rows_of(numbers)


def _past() -> Past:
    """Jobs ran for half of an hour's limit."""
    past, ended = no_past(1), np.zeros(40, np.int64)
    remember(past, ended, ended + 8, ended + _HOUR_MS, ended + _HOUR_MS // 2)
    return past


__all__ = ["measure"]
