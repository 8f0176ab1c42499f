"""A cycle kept, and run again later from what was kept before it, with one job marked."""

from collections.abc import Sequence
from dataclasses import dataclass

from weir.scheduling.base import Base, state_of
from weir.scheduling.inputs import Changes
from weir.scheduling.placements import Placements, placements_of, start_all
from weir.scheduling.plan import Plan, Reservation
from weir.scheduling.policy import Policy
from weir.scheduling.span import Span
from weir.scheduling.state import State
from weir.scheduling.step import apply


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


class Promises:
    """The promises from cycle to cycle, so that only what is another need be kept."""

    def __init__(self, standing: Sequence[Reservation] = ()) -> None:
        self._standing = _by_pool(standing)

    def of(self, policy: Policy, changes: Changes, plan: Plan, now_ms: int) -> KeptCycle:
        """The cycle that made this plan, to be kept; it is the next one after those told before."""
        after = _by_pool(plan.reservations)
        new = tuple(each for pool, kept in after.items() if self._standing.get(pool) != kept for each in kept)
        lapsed = tuple(pool for pool in self._standing if pool not in after)
        self._standing = after
        return KeptCycle(now_ms, policy, changes, placements_of(plan.starts), plan.digest, new, lapsed)

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
    if base is not None:
        state.tenants.note_kept(state.queue.slots, lambda: state.world)
    span = Span(state)
    for cycle in cycles[:-1]:
        promises.take(cycle)
        if span.may_take(cycle.changes):
            span.take(cycle.changes, cycle.starts, cycle.now_ms)
            continue
        span.settle()
        state.tenants.tell_time(lambda: state.world, cycle.now_ms)
        apply(state, cycle.changes)
        start_all(state, cycle.starts, cycle.now_ms)
        if state.policy.by_tenant:
            _promise(state, promises)
            state.tenants.note_kept(state.queue.slots, lambda: state.world)
    span.settle()
    _promise(state, promises)
    state.tenants.tell_time(lambda: state.world, last.now_ms)
    apply(state, last.changes)
    state.look(last.now_ms)
    return state


def _promise(state: State, promises: Promises) -> None:
    """Let these promises stand, and none besides."""
    state.promise_none()
    state.promise_all(promises.standing)


__all__ = ["KeptCycle", "Promises", "replayed"]
