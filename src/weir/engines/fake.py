"""A fake engine on a virtual clock, with faults that are injected by chance from a seed.

It is the engine, not the agent's end of it: whoever simulates an agent's crash gives the same object to the
next agent. It runs nothing and touches no files: an attempt takes FAKE_RUN_MS of its environment (else a
time drawn by chance) and ends with the code FAKE_EXIT (else 0); FAKE_OUTPUT is what it writes.
"""

import heapq
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from weir.engines.driver import AttemptOrder, EngineEnd, EngineState, EngineUnreachableError, SubmitOutcome
from weir.engines.local.allocation import Allocation, PoolSpace
from weir.model.agent import NodeGroup, PoolEntry, PoolObservation
from weir.model.state import Cause, Observed

__all__ = ["FakeEngine", "Faults"]


@dataclass(frozen=True, slots=True)
class Faults:
    """How often what goes wrong, in thousandths, and how long it lasts."""

    submit_lost: int = 0
    """Of submissions: nothing, or only the first orders, arrive, and there is no answer."""
    reply_lost: int = 0
    """Of submissions: all orders are accepted, and there is no answer."""
    call_lost: int = 0
    """Of all other calls: no answer."""
    slow_start: int = 0
    """Of attempts: the start takes up to `slow_start_ms`."""
    slow_start_ms: int = 30_000
    node_failed: int = 0
    """Of attempts: they are lost, or end with their node, somewhere in the middle."""
    unreachable: int = 0
    """Of seconds: the engine goes away, for up to `unreachable_ms`."""
    unreachable_ms: int = 60_000
    clock_jump: int = 0
    """Of seconds: the engine's clock, from which its times are taken, jumps by up to `clock_jump_ms`."""
    clock_jump_ms: int = 3_600_000


NO_FAULTS = Faults()


@dataclass(slots=True)
class _Run:
    order: AttemptOrder
    state: EngineState
    allocation: Allocation | None = None
    stopping: bool = False
    doomed: bool = False
    """Its node is going to fail before it ends."""
    generation: int = 0
    """Events of an older generation no longer hold."""


class FakeEngine:
    """A driver (see `Driver`) and the engine behind it.

    What it counts, for those who check: `submits` by attempt; `reruns`, attempts that ran, were forgotten,
    and were submitted again, so that they would have run twice; `overlaps`, pairs of attempts of one job
    that ran here at the same time.
    """

    def __init__(
        self, rng: random.Random | int, clock: Callable[[], int], faults: Faults = NO_FAULTS
    ) -> None:
        """`rng` is the source of chance, or its seed; `clock` gives the present in milliseconds."""
        self._rng = rng if isinstance(rng, random.Random) else random.Random(rng)
        self._clock = clock
        self.faults = faults
        self.submits: Counter[str] = Counter()
        self.reruns: list[str] = []
        self.overlaps: list[tuple[str, str]] = []
        self._pools: dict[str, PoolSpace] = {}
        self._runs: dict[str, _Run] = {}
        self._queue: list[str] = []
        self._running: dict[str, set[str]] = {}
        self._forgotten: set[str] = set()
        self._events: list[tuple[int, int, str, int]] = []
        self._event_number = 0
        self._changed: dict[str, None] = {}
        self._news = False
        self._now_ms = clock()
        self._next_chance_ms = self._now_ms
        self._away_until_ms = 0
        self._skew_ms = 0

    @property
    def capabilities(self) -> frozenset[str]:
        return frozenset({"queue", "withdraw", "gang", "devices", "shares", "time-limit"})

    @property
    def next_event_ms(self) -> int | None:
        """When something will happen by itself; None when nothing will."""
        return self._events[0][0] if self._events else None

    def advance(self, now_ms: int) -> None:
        """Let everything happen that happens until then."""
        while self._events and self._events[0][0] <= now_ms:
            at_ms, _, attempt, generation = heapq.heappop(self._events)
            self._now_ms = max(self._now_ms, at_ms)
            run = self._runs.get(attempt)
            if run is not None and run.generation == generation:
                self._happen(run)
        self._now_ms = max(self._now_ms, now_ms)
        while self._next_chance_ms <= self._now_ms:
            self._next_chance_ms += 1_000
            if self._chance(self.faults.unreachable):
                self.go_away(self._rng.randrange(1, self.faults.unreachable_ms + 1))
            if self._chance(self.faults.clock_jump):
                self._skew_ms += self._rng.randint(-self.faults.clock_jump_ms, self.faults.clock_jump_ms)

    def go_away(self, duration_ms: int) -> None:
        """Answer nothing for so long. What runs goes on."""
        self._away_until_ms = max(self._away_until_ms, self._now_ms + duration_ms)

    def come_back(self) -> None:
        self._away_until_ms = 0

    def fail(self, attempt: str, cause: Cause = Cause.NODE_FAILED) -> None:
        """Let the node of an attempt fail now."""
        self._end(self._runs[attempt], cause, None, "the node failed")

    def lose(self, attempt: str) -> None:
        """Let an attempt vanish: it runs no more, and the engine has never heard of it."""
        self.fail(attempt, Cause.LOST)
        del self._runs[attempt]

    def skew(self, step_ms: int) -> None:
        """Let the engine's clock, from which its times are taken, jump."""
        self._skew_ms += step_ms

    def known(self) -> list[str]:
        """Attempts that the engine has and that were not forgotten, ended or not."""
        return list(self._runs)

    def running(self) -> list[str]:
        """Attempts that run now, whatever anybody knows of them."""
        self.advance(self._clock())
        return [name for name, run in self._runs.items() if run.state.observed is Observed.RUNNING]

    def attach(self, pools: tuple[PoolEntry, ...], options: Mapping[str, str]) -> None:
        self.advance(self._clock())
        self._pools = {entry.id: PoolSpace(entry) for entry in pools}
        for name, run in self._runs.items():
            self._changed[name] = None
            space = self._pools.get(run.order.work.pool)
            if run.allocation is not None and run.state.observed is not Observed.ENDED and space is not None:
                space.retake(run.order.work, run.allocation)
        self._start_queued()

    def describe(self, now_ms: int) -> tuple[PoolObservation, ...]:
        self._reached()
        return tuple(
            PoolObservation(
                entry.id,
                now_ms,
                (
                    NodeGroup(
                        entry.nodes,
                        entry.devices_per_node * 1_000,
                        entry.cores_milli_per_node,
                        entry.memory_bytes_per_node,
                    ),
                ),
                capabilities=tuple(sorted(self.capabilities)),
            )
            for space in self._pools.values()
            for entry in (space.entry,)
        )

    def submit(self, orders: Sequence[AttemptOrder], now_ms: int) -> list[SubmitOutcome]:
        self._answering()
        lost = self._chance(self.faults.submit_lost)
        arrived = orders[: self._rng.randrange(len(orders) + 1)] if lost else orders
        outcomes = [self._submit(order) for order in arrived]
        self._start_queued()
        if lost:
            raise EngineUnreachableError("the submission was lost")
        if self._chance(self.faults.reply_lost):
            raise EngineUnreachableError("the answer was lost")
        return outcomes

    def observe(self, attempts: Iterable[str]) -> list[EngineState]:
        self._reached()
        return [
            EngineState(name, Observed.NOTHING) if run is None else run.state
            for name in attempts
            for run in (self._runs.get(name),)
        ]

    def changed(self) -> list[str]:
        self._reached()
        names = list(self._changed)
        self._changed.clear()
        return names

    def live(self) -> list[str]:
        self._reached()
        return [name for name, run in self._runs.items() if run.state.observed is not Observed.ENDED]

    def cancel(self, attempts: Iterable[str]) -> None:
        self._reached()
        for name in attempts:
            run = self._runs.get(name)
            if run is None or run.stopping or run.state.observed is Observed.ENDED:
                continue
            run.stopping = True
            if run.state.observed is Observed.QUEUED:
                self._end(run, Cause.CANCELLED, None, "cancelled before its start")
            else:
                self._schedule(run, self._rng.randint(0, run.order.work.stop_grace_ms))

    def withdraw(self, attempts: Iterable[str]) -> None:
        self._reached()
        for name in attempts:
            run = self._runs.get(name)
            if run is not None and run.state.observed is Observed.QUEUED:
                self._end(run, Cause.CANCELLED, None, "taken back before its start")

    def output(self, attempt: str, task: int, stream: str, offset: int, limit: int) -> bytes:
        self._reached()
        return self._written(attempt, stream)[offset : offset + limit]

    def output_size(self, attempt: str, task: int, stream: str) -> int:
        self._reached()
        return len(self._written(attempt, stream))

    def forget(self, attempts: Iterable[str]) -> None:
        self._reached()
        for name in attempts:
            run = self._runs.get(name)
            if run is not None and run.state.observed is Observed.ENDED:
                del self._runs[name]
                self._changed.pop(name, None)
                self._forgotten.add(name)

    def wait(self, timeout_s: float) -> bool:
        """Never sleeps: in virtual time it is for others to let time pass."""
        self.advance(self._clock())
        news, self._news = self._news, False
        return news

    def wake(self) -> None:
        self._news = True

    def close(self) -> None:
        """The engine goes on."""

    def _reached(self) -> None:
        self._answering()
        if self._chance(self.faults.call_lost):
            raise EngineUnreachableError("the call was lost")

    def _answering(self) -> None:
        self.advance(self._clock())
        if self._now_ms < self._away_until_ms:
            raise EngineUnreachableError("the engine does not answer")

    def _submit(self, order: AttemptOrder) -> SubmitOutcome:
        self.submits[order.attempt] += 1
        if order.attempt in self._runs:
            return SubmitOutcome(order.attempt, True)
        space = self._pools.get(order.work.pool)
        if space is None:
            return SubmitOutcome(order.attempt, False, f"there is no pool {order.work.pool!r} here")
        if message := space.never(order.work, order.nodes):
            return SubmitOutcome(order.attempt, False, message)
        if order.attempt in self._forgotten:
            self.reruns.append(order.attempt)
        state = EngineState(order.attempt, Observed.QUEUED, message="waits for room")
        self._runs[order.attempt] = _Run(order, state)
        self._queue.append(order.attempt)
        self._note(order.attempt)
        return SubmitOutcome(order.attempt, True)

    def _start_queued(self) -> None:
        waiting = []
        blocked: set[tuple[str, int]] = set()
        for name in self._queue:
            run = self._runs.get(name)
            if run is None or run.state.observed is Observed.ENDED:
                continue
            order = run.order
            nodes = {(order.work.pool, share.node) for share in order.nodes}
            space = self._pools.get(order.work.pool)
            free = space is not None and not nodes & blocked and not space.never(order.work, order.nodes)
            run.allocation = space.take(order.work, order.nodes) if space is not None and free else None
            if run.allocation is None:
                blocked |= nodes
                waiting.append(name)
                continue
            run.state = replace(run.state, message="is being started")
            delay_ms = self._rng.randint(1, 50)
            if self._chance(self.faults.slow_start):
                delay_ms = self._rng.randint(1, self.faults.slow_start_ms)
            self._schedule(run, delay_ms)
        self._queue = waiting

    def _schedule(self, run: _Run, delay_ms: int) -> None:
        """Make something happen to it then, instead of what was to happen."""
        run.generation += 1
        self._event_number += 1
        event = (self._now_ms + delay_ms, self._event_number, run.order.attempt, run.generation)
        heapq.heappush(self._events, event)

    def _happen(self, run: _Run) -> None:
        work = run.order.work
        if run.state.observed is Observed.QUEUED:
            self._start(run)
        elif run.stopping:
            self._end(run, Cause.CANCELLED, None, "ended when it was cancelled")
        elif run.doomed:
            self._end(run, self._rng.choice([Cause.LOST, Cause.NODE_FAILED]), None, "the node failed")
        elif self._run_ms(run) >= work.time_limit_ms:
            self._end(run, Cause.TIME_LIMIT, None, "ended at its time limit")
        else:
            code = int(work.environment.get("FAKE_EXIT", "0"))
            message = f"ended with code {code}" if code else ""
            self._end(run, Cause.EXIT if code else None, code, message)

    def _start(self, run: _Run) -> None:
        name = run.order.attempt
        others = self._running.setdefault(run.order.job, set())
        self.overlaps.extend((other, name) for other in sorted(others))
        others.add(name)
        run.state = EngineState(name, Observed.RUNNING, self._now_ms + self._skew_ms)
        run_ms = min(self._run_ms(run), run.order.work.time_limit_ms)
        if self._chance(self.faults.node_failed):
            run.doomed = True
            run_ms = self._rng.randint(0, run_ms)
        self._schedule(run, run_ms)
        self._note(name)

    def _run_ms(self, run: _Run) -> int:
        given = run.order.work.environment.get("FAKE_RUN_MS")
        # From the name, so that it is the same each time it is asked.
        return int(given) if given else random.Random(run.order.attempt).randint(10, 60_000)

    def _end(self, run: _Run, cause: Cause | None, code: int | None, message: str) -> None:
        name, work = run.order.attempt, run.order.work
        started_ms = run.state.started_ms
        ended_ms = max(self._now_ms + self._skew_ms, started_ms or 0)
        number = 15 if cause in (Cause.CANCELLED, Cause.TIME_LIMIT) and started_ms is not None else None
        end = EngineEnd(cause, code, number, message, started_ms, ended_ms)
        run.state = EngineState(name, Observed.ENDED, started_ms, end)
        run.generation += 1
        self._running.get(run.order.job, set()).discard(name)
        space = self._pools.get(work.pool)
        if run.allocation is not None and space is not None:
            space.release(work, run.allocation)
        self._note(name)
        self._start_queued()

    def _written(self, attempt: str, stream: str) -> bytes:
        run = self._runs.get(attempt)
        if run is None or stream != "stdout" or run.state.observed < Observed.RUNNING:
            return b""
        return run.order.work.environment.get("FAKE_OUTPUT", "").encode()

    def _note(self, attempt: str) -> None:
        self._changed[attempt] = None
        self._news = True

    def _chance(self, thousandths: int) -> bool:
        return thousandths > 0 and self._rng.randrange(1_000) < thousandths
