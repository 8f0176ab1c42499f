"""Elastic jobs at their start: the core starts them with the fewest tasks, and here they get what else has room."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection, select

from weir.control.leftovers import Leftovers
from weir.control.listed import among, number_list
from weir.control.pools import Pools
from weir.model.task_range import TaskRange
from weir.scheduling import State
from weir.scheduling.plan import Plan, PoolReason, Start
from weir.store import schema

_job = schema.job.c
_submission = schema.submission.c
_SPECIFICATIONS = (
    select(_job.number, _submission.specification)
    .join(schema.submission, _submission.number == _job.submission)
    .where(among(_job.number, "jobs"))
)


@dataclass(frozen=True, slots=True)
class Widened:
    """A plan's starts of elastic jobs, as they are to be made."""

    starts: Mapping[int, Start] = field(default_factory=dict)
    """By job; `reason` counts from 0 in `reasons`."""
    reasons: tuple[tuple[PoolReason, ...], ...] = ()

    def onto(self, plan: Plan | None) -> Plan | None:
        """The plan with these starts instead of its own; its digest stays that of its own."""
        if plan is None or not self.starts:
            return plan
        before = len(plan.reasons)
        starts = tuple(
            start
            if (wide := self.starts.get(start.job)) is None
            else replace(wide, reason=wide.reason + before)
            for start in plan.starts
        )
        return replace(plan, starts=starts, reasons=plan.reasons + self.reasons)


def ranges_of(
    connection: Connection, jobs: Collection[int], elastic: Mapping[str, TaskRange]
) -> dict[int, TaskRange]:
    """Those of the jobs that are elastic, each with how many tasks it may have. `elastic`: by specification."""
    if not elastic or not jobs:
        return {}
    rows = connection.execute(_SPECIFICATIONS, {"jobs": number_list(jobs)})
    return {row.number: elastic[row.specification] for row in rows if row.specification in elastic}


def find(plan: Plan | None, state: State | None, ranges: Mapping[int, TaskRange], pools: Pools) -> Widened:
    """What elastic jobs that have just been started get besides, in the order in which they were.

    Pools that let only so many of Weir's wait, and those that are closed, get none that did not go there anyway.
    """
    if plan is None or state is None or not ranges:
        return Widened()
    left = Leftovers(state)
    shut = frozenset(pools.shared) | {row.key for row in pools.rows if row.closed_because}
    starts: dict[int, Start] = {}
    numbers: dict[tuple[PoolReason, ...], int] = {}
    for start in plan.starts:
        tasks = ranges.get(start.job)
        if tasks is not None:
            wide = left.widen(start, plan.reasons[start.reason], tasks, shut)
            reason = numbers.setdefault(wide.reasons, len(numbers))
            starts[start.job] = replace(wide.start, reason=reason)
    return Widened(starts, tuple(numbers))


__all__ = ["Widened", "find", "ranges_of"]
