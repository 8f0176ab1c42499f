"""A province in rounds: jobs that are saved and moved between its pools, each at the speed that it has there.

What Gavel's policies need, and a workload with its province says: `variant_speeds` of the jobs (by software stack)
times the speeds of the pools. A pool is one kind of device of the round's case; its devices are counted together (its
cores, where it has none), so that a gang always fits while there are enough. A round lasts six minutes or until the
last run in it ends, as in Gavel's simulator (OSDI 2020); nothing is lost by a preemption.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from weir.model.problem import refused
from weir.scheduling import fits_ever
from weir.scheduling.inputs import JobClass, LinkRow, PoolRow
from weir.scheduling.plan import Verdict
from weir.twin.outcome import NEVER, Outcome
from weir.twin.rounds.case import Case, Floats, Int64s, Rule
from weir.twin.rounds.policies.max_min import max_min
from weir.twin.rounds.policies.min_jct import min_jct
from weir.twin.rounds.simulation import Policy, simulate
from weir.twin.workload import Workload

ROUNDS_RUNS: dict[str, Callable[[Case], Policy]] = {"max-min": max_min, "min-jct": min_jct}
"""Policies by the names that `weir twin run --policy` knows."""
ABOUT = {
    "max-min": "in rounds: whoever gets least of what an equal share would do gets more, in the manner of Gavel",
    "min-jct": "in rounds: shares of time by which jobs are done soonest in the mean, in the manner of Gavel",
}
RULE = Rule(round_s=360.0, until_last=True)
_WHOLE = 1_000


@dataclass(frozen=True, slots=True)
class Preempted:
    """What became of a workload whose jobs were moved; `outcome` has first starts and, of the pools, the longest."""

    outcome: Outcome
    held_ms: Int64s
    """[job, pool] how long it ran there."""


def rounds_run(
    workload: Workload,
    pools: Sequence[PoolRow],
    links: Sequence[LinkRow],
    *,
    policy: str,
    clock: Callable[[], float],
    estimates: str = "user",
) -> Preempted:
    """Run it in rounds. `policy` is one of ROUNDS_RUNS, `clock` gives seconds.

    With `estimates` user, what `min-jct` takes for the work that a job has left comes from its limit; with exact, it
    is that. A job that no pool can hold never starts. Raises ProblemError for other estimates, and where no job is
    faster in one pool than in another.
    """
    if estimates not in ("user", "exact"):
        raise refused("--estimates", estimates, f"user or exact; {policy} makes no use of predictions")
    rate = rates(workload.classes, pools, links)
    fits = np.asarray(rate > 0)
    anywhere = np.asarray(fits.any(axis=1))
    fastest, slowest = rate.max(axis=1), np.where(fits, rate, np.inf).min(axis=1)
    if not bool((anywhere & (fastest > slowest)).any()):
        raise refused(
            "--policy",
            policy,
            "give a workload with speeds and a province of unlike pools: jobs with variant_speeds, or pools whose "
            "speeds differ; here every job is as fast in one pool as in another",
        )
    able = np.flatnonzero(anywhere[workload.job_class])
    case = _case(workload, pools, rate, able)
    believed = case
    if estimates == "user":
        believed = replace(case, work=workload.limit_ms[able] / _WHOLE)
    began = clock()
    done = simulate(case, lambda _: ROUNDS_RUNS[policy](believed))
    seconds = clock() - began
    start = np.full(len(workload), NEVER, np.int64)
    end, place = start.copy(), start.copy()
    held = np.zeros((len(workload), len(pools)), np.int64)
    if done.rounds:
        held[able] = np.rint(done.kind_s * 1_000).astype(np.int64)
        start[able] = np.rint(done.start_s * 1_000).astype(np.int64)
        # A job that was never moved ends when what it held does, whatever was rounded.
        end[able] = np.maximum(
            np.rint(done.end_s * 1_000).astype(np.int64), start[able] + held[able].sum(axis=1)
        )
        place[able] = held[able].argmax(axis=1)
    outcome = Outcome(
        workload=workload, pools=tuple(pools), policy=policy, estimates=estimates, tenants="none",
        passes="event", start_ms=start, end_ms=end, pool=place, simulated_s=seconds,
    )  # fmt: skip
    return Preempted(outcome, held)


def rates(classes: Sequence[JobClass], pools: Sequence[PoolRow], links: Sequence[LinkRow]) -> Floats:
    """[class, pool] seconds of nominal work done in a second there; 0 where the class cannot run."""
    found = np.zeros((len(classes), len(pools)))
    for row, each in enumerate(classes):
        variants = dict(each.variant_speeds)
        told = fits_ever(pools, links, each)
        for place, (pool, reason) in enumerate(zip(pools, told, strict=True)):
            if reason.verdict is Verdict.FITS and 0 < _amount(each, pool) <= _capacity(pool):
                speed = variants.get(pool.stack, 0) if variants else _WHOLE
                found[row, place] = pool.speed_milli * speed / _WHOLE**2
    return found


def _case(workload: Workload, pools: Sequence[PoolRow], rate: Floats, able: Int64s) -> Case:
    needs = [[_amount(each, pool) for pool in pools] for each in workload.classes]
    options = sorted(
        {
            (place, need[place])
            for row, need in enumerate(needs)
            for place in range(len(pools))
            if rate[row, place] > 0
        }
    )
    column = {option: number for number, option in enumerate(options)}
    speeds = np.zeros((len(workload.classes), 1, len(options)))
    for row, need in enumerate(needs):
        for place in np.flatnonzero(rate[row] > 0).tolist():
            speeds[row, 0, column[place, need[place]]] = rate[row, place]
    classes = len(workload.classes)
    return Case(
        name=workload.name,
        kinds=tuple(pool.key for pool in pools),
        capacity=np.array([_capacity(pool) for pool in pools], np.int64),
        node_devices=np.ones(len(pools), np.int64),
        option_kind=np.array([place for place, _ in options], np.int64),
        option_devices=np.array([amount for _, amount in options], np.int64),
        profiles=tuple(str(number) for number in range(classes)),
        rate=speeds,
        phase_end=np.full((classes, 1), np.inf),
        restart_s=np.zeros(classes),
        jobs=tuple(str(job) for job in workload.job[able].tolist()),
        submit_s=workload.submit_ms[able] / _WHOLE,
        profile=workload.job_class[able],
        work=workload.run_ms[able] / _WHOLE,
        rule=RULE,
    )


def _capacity(pool: PoolRow) -> int:
    """Devices of an open pool, or cores where it has none."""
    if pool.closed_because:
        return 0
    return pool.nodes * (pool.devices_per_node or pool.cores_milli_per_node // _WHOLE)


def _amount(job_class: JobClass, pool: PoolRow) -> int:
    """How much of the pool's capacity a job takes: whole devices, or whole cores of a pool without; 0: it is not for
    that pool."""
    if pool.devices_per_node:
        return job_class.tasks * -(-job_class.devices_milli // _WHOLE)
    return 0 if job_class.devices_milli else -(-job_class.tasks * job_class.cores_milli // _WHOLE)


__all__ = ["ABOUT", "ROUNDS_RUNS", "Preempted", "rates", "rounds_run"]
