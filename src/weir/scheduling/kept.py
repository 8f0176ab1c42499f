"""A cycle kept, and run again later from what was kept before it, with one job marked."""

from collections.abc import Sequence
from dataclasses import dataclass

from weir.scheduling.base import Base, state_of
from weir.scheduling.inputs import Changes, Int64s, TenantRow
from weir.scheduling.placements import Placements, placements_of, start_all
from weir.scheduling.plan import Plan, Reservation
from weir.scheduling.policy import Policy
from weir.scheduling.span import Span
from weir.scheduling.state import State
from weir.scheduling.step import apply
from weir.scheduling.tables import column

_NO_CEILING = -1


@dataclass(frozen=True, slots=True)
class Tally:
    """All tenants, as columns: what each may use, and what it has used of what has ended."""

    tenant: Int64s
    weight_milli: Int64s
    quota: Int64s
    """Micro-yuan an hour, as the next."""
    ceiling: Int64s
    used: Int64s

    def rows(self, as_of_ms: int) -> tuple[TenantRow, ...]:
        """The same as of this time, as a state is told it."""
        columns = (self.tenant, self.weight_milli, self.quota, self.ceiling, self.used)
        return tuple(
            TenantRow(tenant, weight, quota, None if ceiling == _NO_CEILING else ceiling, used, as_of_ms)
            for tenant, weight, quota, ceiling, used in zip(*(each.tolist() for each in columns), strict=True)
        )


def tally_of(rows: Sequence[TenantRow]) -> Tally:
    """What these rows say, but for when; all of them say what was used."""
    ceilings = (row.ceiling_micro_yuan_per_hour for row in rows)
    return Tally(
        column(row.tenant for row in rows),
        column(row.weight_milli for row in rows),
        column(row.quota_micro_yuan_per_hour for row in rows),
        column(_NO_CEILING if ceiling is None else ceiling for ceiling in ceilings),
        column(row.used or 0 for row in rows),
    )


@dataclass(frozen=True, slots=True)
class KeptCycle:
    """What a cycle was told and what came of it, so far as later ones depend on it."""

    now_ms: int
    policy: Policy
    changes: Changes
    starts: Placements
    digest: str
    promised: tuple[Reservation, ...]
    """All promises after it of the pools where one is another than before it."""
    lapsed: tuple[str, ...]
    """Pools that had a promise before it and have none after it."""
    tally: Tally
    """As of its pass, where tenants share."""


class Promises:
    """The promises from cycle to cycle, so that only what is another need be kept."""

    def __init__(self, standing: Sequence[Reservation] = ()) -> None:
        self._standing = _by_pool(standing)

    def of(self, state: State, changes: Changes, plan: Plan, now_ms: int) -> KeptCycle:
        """The cycle that made this plan, to be kept; it is the next one after those told before. `state` is the one
        after it."""
        after = _by_pool(plan.reservations)
        new = tuple(each for pool, kept in after.items() if self._standing.get(pool) != kept for each in kept)
        lapsed = tuple(pool for pool in self._standing if pool not in after)
        self._standing = after
        starts, tally = placements_of(plan.starts), tally_of(state.tenants.as_last_told())
        return KeptCycle(now_ms, state.policy, changes, starts, plan.digest, new, lapsed, tally)

    def take(self, cycle: KeptCycle) -> None:
        """A cycle that was kept is the next one."""
        for pool in cycle.lapsed:
            self._standing.pop(pool, None)
        self._standing.update(_by_pool(cycle.promised))

    @property
    def standing(self) -> tuple[Reservation, ...]:
        """As they are now, by pool."""
        return tuple(kept for pool in sorted(self._standing) for kept in self._standing[pool])


def _by_pool(promised: Sequence[Reservation]) -> dict[str, tuple[Reservation, ...]]:
    found: dict[str, tuple[Reservation, ...]] = {}
    for kept in promised:
        found[kept.pool] = (*found.get(kept.pool, ()), kept)
    return found


def replayed(base: Base | None, cycles: Sequence[KeptCycle]) -> State:
    """The state in which the last of these cycles was about to make its pass.

    `base`: what the state before the first of them knew; None where the first began from nothing. No pass is made:
    what each started is taken from what was kept. Raises ValueError where that contradicts itself.
    """
    last = cycles[-1]
    state = State.empty(last.policy) if base is None else state_of(base, last.policy)
    promises = Promises(() if base is None else base.told.promised)
    span = Span(state)
    for cycle in cycles[:-1]:
        promises.take(cycle)
        if span.may_take(cycle.changes):
            span.take(cycle.changes, cycle.starts, cycle.now_ms)
            continue
        state.tenants.tell_time(lambda: state.world, cycle.now_ms)
        span.settle()
        apply(state, cycle.changes)
        start_all(state, cycle.starts, cycle.now_ms)
    state.tenants.tell_time(lambda: state.world, last.now_ms)
    span.settle()
    _promise(state, promises)
    apply(state, last.changes)
    # When each thing happened was not told on the way, so what was used is taken from what was kept.
    state.tenants.tell(lambda: state.world, last.tally.rows(last.now_ms))
    state.look(last.now_ms)
    return state


def _promise(state: State, promises: Promises) -> None:
    """Let these promises stand, and none besides."""
    state.promise_none()
    state.promise_all(promises.standing)


__all__ = ["KeptCycle", "Promises", "Tally", "replayed", "tally_of"]
