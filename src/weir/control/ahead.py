"""Jobs sent ahead of room: to wait in a shared pool's own queue, as many as its centre takes."""

from dataclasses import dataclass, replace

from weir import scheduling
from weir.control.applier import Applied
from weir.control.pools import Pools
from weir.scheduling import State
from weir.scheduling.plan import Plan, PoolReason, Start, Verdict

NOTE = "there is no room now; it waits in the centre's own queue"


@dataclass(frozen=True, slots=True)
class Ahead:
    """What is sent ahead, beside a plan's own starts."""

    starts: tuple[Start, ...] = ()
    """`reason` counts from 0 in `reasons`."""
    reasons: tuple[tuple[PoolReason, ...], ...] = ()
    waits_ms: dict[int, int] | None = None
    """By job, how long it is expected to wait there."""

    def onto(self, plan: Plan | None) -> Plan | None:
        """The plan with these starts after its own; its digest stays that of its own."""
        if plan is None or not self.starts:
            return plan
        before = len(plan.reasons)
        starts = [replace(start, reason=start.reason + before) for start in self.starts]
        return replace(plan, starts=(*plan.starts, *starts), reasons=plan.reasons + self.reasons)

    def but_for(self, applied: Applied) -> Applied:
        """What became of the plan's own starts: the core takes these jobs to wait still, and is told of them."""
        if not self.starts:
            return applied
        jobs = {start.job for start in self.starts}
        return Applied(
            tuple(key for key in applied.started if key.job not in jobs),
            tuple(job for job in applied.refused if job not in jobs),
        )


def find(plan: Plan | None, state: State | None, pools: Pools, now_ms: int) -> Ahead:
    """Of the jobs to which the plan promises a shared pool, those that are sent there at once.

    As many a pool as the core promises at a time (its `reservations`): each that where the job would go first, by its
    score. Only where the pool's entry says how many may wait, fewer do, and its engine has a queue.
    """
    if plan is None or state is None or not pools.limited:
        return Ahead()
    starting = [start.pool for start in plan.starts]
    opened = {row.key for row in pools.rows if not row.closed_because}
    starts: list[Start] = []
    reasons: list[tuple[PoolReason, ...]] = []
    waits_ms: dict[int, int] = {}
    for kept in plan.reservations:
        shared = pools.shared.get(kept.pool)
        if shared is None or not shared.sends_ahead or kept.pool not in opened:
            continue
        if (shared.may_be_sent or 0) <= starting.count(kept.pool):
            continue
        explanation = scheduling.explain(state, kept.job)
        if explanation is None:
            continue
        starting.append(kept.pool)
        starts.append(Start(kept.job, kept.pool, kept.nodes, len(reasons)))
        reasons.append(_reasons(explanation.pools, kept.pool))
        terms = reasons[-1][0].terms
        waits_ms[kept.job] = max(kept.start_ms - now_ms, terms.wait_ms if terms else 0)
    return Ahead(tuple(starts), tuple(reasons), waits_ms)


def _reasons(found: tuple[PoolReason, ...], chosen: str) -> tuple[PoolReason, ...]:
    """As a plan's reasons: the chosen pool first."""
    first = [replace(each, verdict=Verdict.CHOSEN, note=NOTE) for each in found if each.pool == chosen]
    return (*first, *(each for each in found if each.pool != chosen))


__all__ = ["Ahead", "find"]
