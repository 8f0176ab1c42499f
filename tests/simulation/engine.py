"""A centre's engine in virtual time, with faults, which tells an observer of all that really runs."""

import functools
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tests.simulation.world import World
from weir.engines.driver import AttemptOrder, EngineEnd, EngineState, EngineUnreachableError, SubmitOutcome
from weir.model.agent import ForeignWork, NodeGroup, PoolEntry, PoolObservation
from weir.model.state import Cause, Observed

CAPABILITIES = ("devices", "gang", "shares", "time-limit")
SHARED_CAPABILITIES = (*CAPABILITIES, "queue", "withdraw")


class Observer(Protocol):
    """Told of everything that really happens at an engine."""

    def begins(self, centre: str, order: AttemptOrder) -> None:
        """A command of the attempt runs from now."""

    def ends(self, centre: str, attempt: str) -> None:
        """Nothing of the attempt runs any more."""


@dataclass(slots=True)
class _Held:
    order: AttemptOrder
    observed: Observed = Observed.QUEUED
    started_ms: int | None = None
    end: EngineEnd | None = None
    cancelled: bool = False


class SimulatedEngine:
    """Runs attempts whose command is `sim DURATION_MS OUTCOME`; OUTCOME is ok, a cause, or exit-N.

    What it has accepted it keeps, whatever happens to agents, until it is told to forget it.
    """

    def __init__(self, world: World, centre: str, pools: tuple[PoolEntry, ...], observer: Observer) -> None:
        self.pools = pools
        self.reachable = True
        self.unreliable = 0.01
        """How often a single question gets no answer."""
        self.skew_ms = 0
        self.missing_nodes: dict[str, int] = {}
        self.others: dict[str, ForeignWork] = {}
        """What the centre's own users run, by pool. While they have all of one, nothing of Weir's starts there."""
        self.hint: Callable[[], None] = lambda: None
        """Called when `changed` has something new."""
        self._world = world
        self._centre = centre
        self._observer = observer
        self._held: dict[str, _Held] = {}
        self._changed: dict[str, None] = {}

    def attach_again(self) -> None:
        """A new agent asks: everything known is named once."""
        self._changed.update(dict.fromkeys(self._held))
        self._world.after(5, self.hint)

    def describe(self, now_ms: int) -> tuple[PoolObservation, ...]:
        self._answer()
        found = []
        for pool in self.pools:
            missing = self.missing_nodes.get(pool.id, 0)
            group = NodeGroup(
                pool.nodes - missing,
                pool.devices_per_node * 1_000,
                pool.cores_milli_per_node,
                pool.memory_bytes_per_node,
            )
            others = self.others.get(pool.id)
            found.append(
                PoolObservation(
                    pool.id,
                    now_ms,
                    (group,),
                    drained_nodes=missing,
                    capabilities=SHARED_CAPABILITIES if self._world.shares else CAPABILITIES,
                    foreign=(others,) if others else (),
                    expected_wait_ms=max(0, others.until_ms - now_ms)
                    if others and others.nodes > 1
                    else None,
                )
            )
        return tuple(found)

    def submit(self, orders: Sequence[AttemptOrder], now_ms: int) -> list[SubmitOutcome]:
        world = self._world
        self._answer()
        arriving = list(orders)
        lost = world.chance(0.03)
        if lost:
            arriving = arriving[: world.random.randint(0, len(arriving))]
        outcomes = []
        for order in arriving:
            if order.work.command[2] == "rejected":
                outcomes.append(SubmitOutcome(order.attempt, False, "the engine does not want it"))
                continue
            if order.attempt not in self._held:
                self._held[order.attempt] = _Held(order)
                world.after(
                    world.between(0, 60) if world.random.random() < 0.9 else world.between(0, 8_000),
                    self._starter(order),
                )
            outcomes.append(SubmitOutcome(order.attempt, True))
        if lost:
            raise EngineUnreachableError("the answer to the submit was lost")
        return outcomes

    def observe(self, attempts: Iterable[str]) -> list[EngineState]:
        self._answer()
        return self.peek(attempts)

    def peek(self, attempts: Iterable[str]) -> list[EngineState]:
        """What `observe` answers when it does."""
        found = []
        for name in attempts:
            held = self._held.get(name)
            if held is None:
                found.append(EngineState(name, Observed.NOTHING))
            else:
                found.append(EngineState(name, held.observed, held.started_ms, held.end))
        return found

    def changed(self) -> list[str]:
        self._answer()
        changed, self._changed = list(self._changed), {}
        return changed

    def live(self) -> list[str]:
        self._answer()
        return self.really_live()

    def really_live(self) -> list[str]:
        """What `live` answers when it does."""
        return [name for name, held in self._held.items() if held.observed is not Observed.ENDED]

    def cancel(self, attempts: Iterable[str]) -> None:
        self._answer()
        for name in attempts:
            held = self._held.get(name)
            if held is None or held.observed is Observed.ENDED or held.cancelled:
                continue
            held.cancelled = True
            if held.observed is Observed.QUEUED:
                self._end(name, Cause.CANCELLED, None, 15)
            else:
                end = functools.partial(self._end, name, Cause.CANCELLED, None, 15)
                self._world.after(self._world.between(0, 6_000), end)

    def withdraw(self, attempts: Iterable[str]) -> None:
        self._answer()
        for name in attempts:
            held = self._held.get(name)
            if held is not None and held.observed is Observed.QUEUED:
                self._end(name, Cause.CANCELLED, None, None)

    def forget(self, attempts: Iterable[str]) -> None:
        self._answer()
        for name in attempts:
            held = self._held.get(name)
            if held is not None and held.observed is Observed.ENDED:
                del self._held[name]
                self._changed.pop(name, None)

    def fail_something(self) -> None:
        """A node breaks: something that runs there ends."""
        running = [name for name, held in self._held.items() if held.observed is Observed.RUNNING]
        if running:
            self._end(self._world.random.choice(running), Cause.NODE_FAILED, None, 9)

    def come(self, pool: PoolEntry, nodes: int, for_ms: int) -> None:
        """The centre's own users take nodes of a pool, in place of what they had there."""
        self.others[pool.id] = ForeignWork(nodes, self.clock_ms() + for_ms)
        self._world.after(for_ms, lambda: self.leave(pool))

    def leave(self, pool: PoolEntry) -> None:
        """They have gone."""
        self.others.pop(pool.id, None)

    def preempt_something(self, pools: Container[str]) -> None:
        """The centre's own work takes the place of something that runs in one of these pools."""
        running = [
            name
            for name, held in self._held.items()
            if held.observed is Observed.RUNNING and held.order.work.pool in pools
        ]
        if running:
            self._end(self._world.random.choice(running), Cause.PREEMPTED, None, 15)

    def calm(self) -> None:
        """It answers, all its nodes are there, and nobody else is."""
        self.reachable = True
        self.missing_nodes.clear()
        self.others.clear()

    def clock_ms(self) -> int:
        """What the engine's clock shows."""
        return self._world.now_ms + self.skew_ms

    def _is_taken(self, pool: str) -> bool:
        """Whether others have all of a pool."""
        others = self.others.get(pool)
        return others is not None and others.nodes >= next(
            each.nodes for each in self.pools if each.id == pool
        )

    def _answer(self) -> None:
        if not self.reachable or self._world.chance(self.unreliable):
            raise EngineUnreachableError("the engine does not answer")

    def _starter(self, order: AttemptOrder) -> Callable[[], None]:
        def start() -> None:
            held = self._held.get(order.attempt)
            if held is None or held.observed is not Observed.QUEUED:
                return
            if self._is_taken(order.work.pool):
                self._world.after(1_000, start)
                return
            _, duration_ms, outcome = order.work.command
            if outcome == "start":
                self._end(order.attempt, Cause.START, 127, None)
                return
            held.observed = Observed.RUNNING
            held.started_ms = self.clock_ms()
            self._note(order.attempt)
            self._observer.begins(self._centre, order)
            over = int(duration_ms) > order.work.time_limit_ms
            lasts_ms = min(int(duration_ms), order.work.time_limit_ms)
            self._world.after(
                lasts_ms, lambda: self._finish(order.attempt, "time-limit" if over else outcome)
            )

        return start

    def _finish(self, name: str, outcome: str) -> None:
        if outcome == "ok":
            self._end(name, None, 0, None)
        elif outcome.startswith("exit-"):
            self._end(name, Cause.EXIT, int(outcome[5:]), None)
        else:
            self._end(name, Cause(outcome), None, 9)

    def _end(self, name: str, cause: Cause | None, exit_code: int | None, signal: int | None) -> None:
        held = self._held.get(name)
        if held is None or held.observed is Observed.ENDED:
            return
        ran = held.observed is Observed.RUNNING
        held.observed = Observed.ENDED
        held.end = EngineEnd(cause, exit_code, signal, "", held.started_ms, self.clock_ms())
        self._note(name)
        if ran:
            self._observer.ends(self._centre, name)

    def _note(self, name: str) -> None:
        self._changed[name] = None
        self._world.after(self._world.between(0, 20), self.hint)


__all__ = ["SimulatedEngine"]
