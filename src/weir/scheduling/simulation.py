"""The core in simulated time: a whole workload from its first submission to its last end, in compiled code."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from weir.scheduling import lanes, prediction
from weir.scheduling.compilation import kernel
from weir.scheduling.eligibility import PoolFacts, failed_constraints
from weir.scheduling.inputs import JobClass, LinkRow, PoolRow
from weir.scheduling.policy import Policy
from weir.scheduling.province_simulation import check_province, simulate_province
from weir.scheduling.simulated import (
    CHANGING,
    NEVER,
    Expected,
    PoolChange,
    Simulated,
    SimulatedJobs,
    rates_of,
    rule_of,
    shared_out,
)

MOST_JOBS = 1 << 21
LATEST_MS = 1 << 41
"""As kernels/coming.py holds them: 69 years of simulated time, and as much again for what then waits."""
_EVENTS_BETWEEN_NEWS = 1 << 18


def simulate(
    pools: Sequence[PoolRow],
    links: Sequence[LinkRow],
    jobs: SimulatedJobs,
    policy: Policy,
    *,
    expected: Expected = Expected.ESTIMATE,
    pass_per_event: bool = False,
    changes: Sequence[PoolChange] = (),
    progress: Callable[[int, int], None] = lambda done, of: None,
    clock: Callable[[], float] = lambda: 0.0,
) -> Simulated:
    """Run the workload through the core. Everything that happens at one time is taken in first, ends before arrivals;
    then one pass is made; or, with `pass_per_event`, one after each. `changes` to pools happen before anything else of
    their instant. `progress` is told how many jobs have ended;
    `clock` is read before and after, in seconds.

    The same input gives the same result on any machine. Raises ValueError for columns that contradict the above.
    """
    _check(jobs)
    shared = policy.by_tenant and shared_out(jobs)
    nodes = None if changes or shared else whole_nodes(pools, jobs)
    if nodes is None:
        check_province(policy, pools)
        return simulate_province(
            pools, links, jobs, policy, expected, pass_per_event, changes, progress, clock
        )
    policy = replace(policy, depth=pools[0].promises(policy.depth))
    return _simulate_counted(pools[0], nodes, links, jobs, policy, expected, pass_per_event, progress, clock)


def _simulate_counted(
    pool: PoolRow,
    nodes: int,
    links: Sequence[LinkRow],
    jobs: SimulatedJobs,
    policy: Policy,
    expected: Expected,
    pass_per_event: bool,
    progress: Callable[[int, int], None],
    clock: Callable[[], float],
) -> Simulated:
    """The lane of a single pool whose nodes are taken whole."""
    need = np.array([job_class.tasks for job_class in jobs.classes], np.int64)[jobs.job_class]
    taken = np.flatnonzero(need <= nodes)
    count = len(taken)
    run_ms, limit_ms = jobs.run_ms[taken], jobs.limit_ms[taken]
    table = np.zeros(count, lanes.JOB)
    table["job"] = np.arange(count)
    table["submitted"] = jobs.submitted_ms[taken]
    table["limit"] = limit_ms
    table["expected"] = limit_ms
    table["need"] = table["size"] = need[taken]
    predicts = expected is Expected.PREDICTION
    fair = policy.fair and bool(jobs.tenant.any())
    rule, rates = rule_of(policy, predicts, fair), rates_of(policy, policy.order, nodes)
    order, line = lanes.order_of(count)
    second, second_line = lanes.order_of(count if policy.backfill_order is not None else 0)
    second_rates = rates_of(
        policy, policy.order if policy.backfill_order is None else policy.backfill_order, nodes
    )
    clock_kernel = kernel("clock")
    clock_kernel.keys(rates, second_rates, table)
    room = lanes.count_of(nodes, count)
    profile = lanes.profile_of(count if policy.depth > 1 else 0)
    scratch = lanes.scratch_of(count if policy.order in CHANGING else 0)
    people = [int(column.max(initial=0)) + 1 if predicts else 0 for column in (jobs.user, jobs.group)]
    history = prediction.empty(*people)
    columns = (jobs.user, jobs.group, jobs.tenant)
    trace = lanes.trace_of(
        np.ascontiguousarray(run_ms), *(np.ascontiguousarray(column[taken]) for column in columns)
    )
    at, started = np.zeros(4, np.int64), np.empty(count + 1, np.int64)
    begun = clock()
    over = False
    while not over:
        over = clock_kernel.run(
            rule, rates, second_rates, table, order, line, second, second_line, room, profile, scratch, history,
            trace, at, started, pass_per_event, _EVENTS_BETWEEN_NEWS,
        )  # fmt: skip
        progress(int(at[clock_kernel.DONE]), count)
    elapsed_s = clock() - begun
    start_ms = np.full(len(jobs.run_ms), NEVER, np.int64)
    start_ms[taken] = trace.start
    started_at_all = start_ms >= 0
    return Simulated(
        start_ms,
        np.where(started_at_all, start_ms + jobs.run_ms, NEVER),
        np.where(started_at_all, 0, NEVER),
        elapsed_s,
    )


def _check(jobs: SimulatedJobs) -> None:
    columns = {
        name: getattr(jobs, name)
        for name in ("submitted_ms", "run_ms", "limit_ms", "job_class", "tenant", "user", "group", "priority")
    }
    for name, column in columns.items():
        if column.dtype != np.int64 or column.shape != jobs.submitted_ms.shape:
            raise ValueError(f"{name}: the columns of simulated jobs are int64 and of equal length")
    if not len(jobs.run_ms):
        return
    if (
        len(jobs.run_ms) > MOST_JOBS
        or int(jobs.submitted_ms[0]) < 0
        or int(jobs.submitted_ms[-1]) >= LATEST_MS
    ):
        raise ValueError(
            f"submitted_ms: a simulation takes at most {MOST_JOBS} jobs, submitted between 0 and {LATEST_MS} ms"
        )
    if bool((np.diff(jobs.submitted_ms) < 0).any()):
        raise ValueError("submitted_ms: jobs come in order of submission")
    if int(jobs.run_ms.min()) < 1 or bool((jobs.run_ms > jobs.limit_ms).any()):
        raise ValueError("run_ms: every run is between 1 ms and its limit")


def whole_nodes(pools: Sequence[PoolRow], jobs: SimulatedJobs) -> int | None:
    """How many nodes the only pool has, if every job that fits it takes nodes whole, at nominal speed, and nothing else
    is asked for than the lane of whole nodes does; else None."""
    if len(pools) != 1 or pools[0].closed_because or pools[0].windows or jobs.deadline_ms is not None:
        return None
    more = any(c.data or c.checkpoint_every_ms for c in jobs.classes)
    if more or len(np.unique(jobs.priority)) > 1:
        return None
    pool = pools[0]
    shape = {(c.devices_milli, c.cores_milli, c.memory_bytes) for c in jobs.classes}
    alone = all(
        2 * cores > pool.cores_milli_per_node
        or 2 * memory > pool.memory_bytes_per_node
        or 2 * devices > 1_000 * pool.devices_per_node
        for devices, cores, memory in shape
    )
    nominal = pool.speed_milli == 1_000 and not any(c.variant_speeds for c in jobs.classes)
    if not alone or pool.shares or not nominal:
        return None
    facts = PoolFacts.of(pools)
    fits_one = [failed_constraints(facts, {}, _one_task(job_class)) for job_class in jobs.classes]
    return None if any(bool(codes.any()) for codes in fits_one) else pool.nodes


def _one_task(job_class: JobClass) -> JobClass:
    return replace(job_class, tasks=1, data=())


__all__ = [
    "LATEST_MS",
    "MOST_JOBS",
    "NEVER",
    "Expected",
    "Simulated",
    "SimulatedJobs",
    "simulate",
    "whole_nodes",
]
