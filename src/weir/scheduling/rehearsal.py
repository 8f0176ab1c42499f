"""A small province with everything that compiled code distinguishes, gone through so that all of it is compiled."""

from dataclasses import replace

import numpy as np

from weir.scheduling import prediction
from weir.scheduling.base import base_of, state_of
from weir.scheduling.explanation import explain
from weir.scheduling.inputs import (
    Changes,
    JobClass,
    LinkRow,
    PoolRow,
    QueuedJobs,
    RunningJob,
    TenantRow,
    Window,
)
from weir.scheduling.placements import rows_of
from weir.scheduling.policy import Policy
from weir.scheduling.simulated import Expected, PoolChange, SimulatedJobs
from weir.scheduling.simulation import simulate
from weir.scheduling.state import State
from weir.scheduling.step import step

_GIB = 1 << 30


def rehearse(part: str) -> None:
    """Call every compiled function of a part: `live` for steps and reasons, `twin` for simulations, `times` for those
    in which something changes with time."""
    pools = tuple(
        PoolRow(
            key=f"{centre}/a", centre=centre, city="", kind="", device_model="d", stack="s", domestic=True,
            device_memory_bytes=_GIB, precisions=(), nodes=2, devices_per_node=2, cores_milli_per_node=4_000,
            memory_bytes_per_node=8 * _GIB, shares=shares, speed_milli=1_000, device_hour_micro_yuan=1,
            core_hour_micro_yuan=1, carbon_g_per_kwh=1, device_power_watts=1,
        )
        for centre, shares in (("x", False), ("y", True))
    )  # fmt: skip
    links = (LinkRow("x", "y", 10**9, 1),)
    whole = JobClass(1, 1_000, 1_000, _GIB, data=(("x", 1),), variant_speeds=(("s", 1_000),))
    share = JobClass(1, 500, 1_000, _GIB)
    gang = JobClass(4, 1_000, 1_000, _GIB)
    if part == "twin":
        _rehearse_twin(pools, links, (whole, share, gang))
        return
    if part == "times":
        _rehearse_times(pools, links, (whole, share, gang))
        return
    queued = tuple(_batch(job_class, first) for job_class, first in ((gang, 0), (whole, 10), (share, 20)))
    running = (
        RunningJob(90, whole, "x/a", ((5, 1),), 0, 1_000),
        RunningJob(91, share, "y/a", ((0, 1),), 0, 1_000),
    )
    state, plan = step(State.empty(Policy()), Changes(pools, links, queued=queued, running=running), 1_000)
    explain(state, next(job for job in range(30) if state.waits(job)))
    freed = tuple(start.job for start in plan.starts)
    state, _ = step(state, Changes(pools, freed=freed, unqueued=np.array([22], np.int64)), 2_000)
    step(state, Changes(promised=plan.reservations, freed=(90, 91)), 3_000)
    # Enough of a kind that tables are enlarged on the way.
    many = QueuedJobs(JobClass(1, 0, 1, 1), *(np.arange(1, 301) for _ in range(4)))
    wide = replace(pools[0], nodes=300, cores_milli_per_node=1)
    state, _ = step(State.empty(Policy()), Changes((wide,), links, queued=(many,)), 0)
    step(state, Changes(queued=(_batch(share, 400), _batch(gang, 500))), 0)
    state, _ = step(state, Changes(queued=(_batch(gang, 600),)), 0)
    # As a cycle that was kept is run again.
    again = state_of(base_of(state), Policy())
    rows_of(again, again.queue.slots["job"][again.queue.rows_in_order()])
    # By tenants, and with a pool that is out of service at first.
    told = Changes(
        (_closed_at_first(pools[0]), pools[1]), links, queued=queued, running=running, tenants=(TenantRow(0),)
    )
    step(State.empty(Policy(by_tenant=True)), told, 1_000)
    once = np.ones(1, np.int64)
    prediction.replay(prediction.empty(2, 2), *(once for _ in range(7)))
    prediction.corrected(once, once, once)


def _rehearse_twin(
    pools: tuple[PoolRow, ...], links: tuple[LinkRow, ...], classes: tuple[JobClass, ...]
) -> None:
    """Once in a province, of which a pool is lost meanwhile, and once in a counted pool."""
    for rows, wishes in ((pools, classes), (pools[:1], (JobClass(1, 2_000, 1, 1),))):
        for expected in Expected:
            simulate(rows, links, _six_jobs(wishes), Policy(), expected=expected)
    simulate(pools, links, _six_jobs(classes), Policy(), changes=_lost(pools[1]))


def _rehearse_times(
    pools: tuple[PoolRow, ...], links: tuple[LinkRow, ...], classes: tuple[JobClass, ...]
) -> None:
    """In a province of which a pool is out of service at first, and another is lost meanwhile."""
    pools = (_closed_at_first(pools[0]), *pools[1:])
    simulate(pools, links, _six_jobs(classes), Policy(), changes=_lost(pools[1]))


def _six_jobs(classes: tuple[JobClass, ...]) -> SimulatedJobs:
    each, none = np.arange(6, dtype=np.int64), np.zeros(6, np.int64)
    return SimulatedJobs(each, each + 1, each + 2, each % len(classes), classes, none, none, none, none)


def _closed_at_first(pool: PoolRow) -> PoolRow:
    return replace(pool, windows=(Window(0, 1),))


def _lost(pool: PoolRow) -> tuple[PoolChange, ...]:
    return (PoolChange(3, pool.key, "gone", lost=True),)


def _batch(job_class: JobClass, first: int) -> QueuedJobs:
    job = np.arange(first, first + 8, dtype=np.int64)
    return QueuedJobs(job_class, job, job % 2, job, 1_000 + job)
