"""A whole workload on one machine under RLScheduler's decision rule, as the twin's own runs are told.

The rule is that of `weir.twin.published.rlscheduler`; the jobs are Weir's, cleaned by the archive's rules and counted
from the trace's first second. The paper's table needs its own cleaning: `rl_table` makes it.
"""

from collections.abc import Callable, Sequence

import numpy as np

from weir.model.problem import refused
from weir.scheduling.inputs import PoolRow
from weir.twin.outcome import NEVER, Outcome
from weir.twin.published.rlscheduler import RL_POLICIES, RlLog, rl_starts
from weir.twin.workload import Workload

BACKFILL = "-backfill"
RL_RUNS = (*RL_POLICIES, *(f"{name}{BACKFILL}" for name in RL_POLICIES))
"""Every policy, without and with the rule's own backfill."""

_SECOND_MS = 1_000


def rl_run(
    workload: Workload,
    pools: Sequence[PoolRow],
    *,
    policy: str,
    clock: Callable[[], float],
    estimates: str = "user",
) -> Outcome:
    """Run it on one pool of processors. Times are rounded up to whole seconds, as the rule counts in them.

    `policy` is one of RL_RUNS, `estimates` user or exact; `clock` gives seconds. A job wider than the machine never
    starts. Raises ProblemError for anything else, and for another province than one pool without devices.
    """
    if policy not in RL_RUNS:
        raise refused("policy", policy, f"one of {', '.join(RL_RUNS)}")
    if estimates not in ("user", "exact"):
        raise refused("estimates", estimates, "user or exact, with a policy of RLScheduler's")
    if len(pools) != 1 or pools[0].devices_per_node:
        raise refused(
            "pools", ", ".join(pool.key for pool in pools), "one pool of processors for such a policy"
        )
    [pool] = pools
    machine = pool.nodes * (pool.cores_milli_per_node // 1_000)
    fitting = np.flatnonzero(-(-workload.size * pool.nodes // machine) <= pool.nodes)
    run_s = -(-workload.run_ms[fitting] // _SECOND_MS)
    limit_s = -(-workload.limit_ms[fitting] // _SECOND_MS)
    log = RlLog(
        workload.name,
        -(-workload.submit_ms[fitting] // _SECOND_MS),
        run_s,
        run_s if estimates == "exact" else limit_s,
        workload.size[fitting],
        machine,
        pool.nodes,
    )
    start = np.full(len(workload), NEVER, np.int64)
    end = start.copy()
    began = clock()
    if len(fitting):
        name = policy.removesuffix(BACKFILL)
        starts = rl_starts(log, name, backfill=policy != name, first=0, length=len(log))
        start[fitting] = starts * _SECOND_MS
        end[fitting] = start[fitting] + workload.run_ms[fitting]
    return Outcome(
        workload=workload,
        pools=(pool,),
        policy=policy,
        estimates=estimates,
        tenants="none",
        passes="event",
        start_ms=start,
        end_ms=end,
        pool=np.where(start == NEVER, NEVER, 0),
        simulated_s=clock() - began,
    )
