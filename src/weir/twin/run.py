"""One run of the twin: a workload on a province under a policy."""

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from weir.model.problem import refused
from weir.model.province import Share
from weir.registry.pool_rows import tenant_row
from weir.scheduling.inputs import LinkRow, PoolRow
from weir.scheduling.policies import NAMED
from weir.scheduling.province_simulation import check_province
from weir.scheduling.simulated import Expected, PoolChange, SimulatedJobs
from weir.scheduling.simulation import LATEST_MS, MOST_JOBS, simulate, whole_nodes
from weir.scheduling.supply import changes_with_time, since
from weir.scheduling.tables import Table
from weir.twin.changed import PoolEvent
from weir.twin.outcome import NEVER, GivenUp, Outcome
from weir.twin.workload import NO_DEADLINE, Int64s, Workload

ESTIMATES = ("user", "exact", "predicted")
TENANTS = ("none", "user")
PASSES = ("second", "event")
SECOND_MS, MINUTE_MS = 1_000, 60_000


def run(
    workload: Workload,
    pools: Sequence[PoolRow],
    *,
    policy: str,
    estimates: str = "user",
    tenants: str = "none",
    passes: str = "second",
    links: Sequence[LinkRow] = (),
    events: Sequence[PoolEvent] = (),
    shares: Mapping[str, Share] | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Outcome:
    """Simulate the workload and say what became of it.

    estimates: what jobs are ordered by and promises are made on: the user's own, `exact` run times (a job's limit is
    then its run), or the user's for promises and a prediction for the order. tenants: `user` shares out fairly
    between users. passes: one a second of simulated time in which something happens (submissions within a second
    count from its end), or one after each event. shares: what users may use, by name, for a policy by tenants; others
    have the weight 1 and no quota. `progress` is told how many of how many jobs have ended.

    Raises ProblemError when an option is not one of these.
    """
    _check("policy", policy, tuple(NAMED))
    _check("estimates", estimates, ESTIMATES)
    _check("tenants", tenants, TENANTS)
    _check("passes", passes, PASSES)
    submitted = workload.submit_ms
    if passes == "second":
        submitted = -(-submitted // SECOND_MS) * SECOND_MS
    # Logs may count from 1970; the core from the first submission, so that times stay small.
    origin_ms = int(submitted[0]) if len(submitted) else 0
    if changes_with_time(pools):
        # Prices change at whole minutes, in the core's time as well.
        origin_ms -= (1_000 * workload.origin_s + origin_ms) % MINUTE_MS
    if len(workload) > MOST_JOBS:
        raise refused(
            "jobs", len(workload), f"a run takes at most {MOST_JOBS:,} jobs; take fewer with --jobs"
        )
    if len(workload) and int(submitted[-1]) - origin_ms >= LATEST_MS:
        years = (int(submitted[-1]) - origin_ms) / (365.25 * 86_400_000)
        raise refused(
            "trace", f"{years:.0f} years", "a run takes submissions of at most 69 years; take fewer jobs"
        )
    limit = workload.run_ms if estimates == "exact" else workload.limit_ms
    nobody = np.zeros(len(workload), np.int64)
    jobs = SimulatedJobs(
        submitted_ms=submitted - origin_ms,
        run_ms=workload.run_ms,
        limit_ms=limit,
        job_class=workload.job_class,
        classes=workload.classes,
        tenant=workload.user if tenants == "user" else nobody,
        user=workload.user,
        group=workload.group,
        priority=workload.priority,
        deadline_ms=None
        if workload.deadline_ms is None
        else np.where(
            workload.deadline_ms == NO_DEADLINE, NO_DEADLINE, np.maximum(0, workload.deadline_ms - origin_ms)
        ),
        tenants=tuple(
            tenant_row(number, shares[name])
            for number, name in enumerate(workload.users)
            if shares and tenants == "user" and name in shares
        ),
    )
    if events or whole_nodes(pools, jobs) is None:
        try:
            check_province(NAMED[policy], pools)
        except ValueError as error:
            raise refused("policy", policy, str(error)) from None
    simulated = simulate(
        [since(row, 1_000 * workload.origin_s + origin_ms) for row in pools],
        links,
        jobs,
        NAMED[policy],
        expected=Expected.PREDICTION if estimates == "predicted" else Expected.ESTIMATE,
        pass_per_event=passes == "event",
        changes=[
            PoolChange(max(0, event.at_ms - origin_ms), event.pool, event.closed_because, event.lost)
            for event in events
        ],
        progress=progress,
        clock=time.perf_counter,
    )
    return Outcome(
        workload=workload,
        pools=tuple(pools),
        policy=policy,
        estimates=estimates,
        tenants=tenants,
        passes=passes,
        start_ms=_counted_from(origin_ms, simulated.start_ms),
        end_ms=_counted_from(origin_ms, simulated.end_ms),
        pool=simulated.pool,
        simulated_s=simulated.elapsed_s,
        given_up=_given_up(origin_ms, simulated.given_up),
    )


def _given_up(origin_ms: int, attempts: Table | None) -> tuple[GivenUp, ...]:
    if attempts is None:
        return ()
    return tuple(
        GivenUp(job, pool, origin_ms + start, origin_ms + end, kept)
        for job, pool, start, end, kept in attempts.tolist()
    )


def _counted_from(origin_ms: int, times_ms: Int64s) -> Int64s:
    return np.where(times_ms == NEVER, NEVER, times_ms + origin_ms)


def _check(field: str, value: str, accepted: tuple[str, ...]) -> None:
    if value not in accepted:
        raise refused(field, value, "one of " + ", ".join(accepted))


__all__ = ["ESTIMATES", "PASSES", "TENANTS", "run"]
