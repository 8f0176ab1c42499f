"""The fake engine that ships with Weir, as a centre of a history: it tells of all that really runs."""

from collections.abc import Callable, Iterable
from random import Random

from tests.simulation.engine import Observer
from tests.simulation.world import World
from weir.engines.driver import EngineState
from weir.engines.fake import FakeEngine, Faults, _Run
from weir.model.agent import PoolEntry
from weir.model.state import Cause, Observed

FAULTS = Faults(
    submit_lost=20,
    reply_lost=20,
    call_lost=10,
    slow_start=50,
    slow_start_ms=8_000,
    node_failed=40,
    unreachable=2,
    unreachable_ms=30_000,
    clock_jump=1,
)


class ToldFakeEngine(FakeEngine):
    """A FakeEngine in the world's time. It has the same words as SimulatedEngine."""

    def __init__(self, world: World, centre: str, pools: tuple[PoolEntry, ...], observer: Observer) -> None:
        super().__init__(Random(world.random.getrandbits(64)), lambda: world.now_ms, FAULTS)
        self.pools = pools
        self.missing_nodes: dict[str, int] = {}
        self.hint: Callable[[], None] = lambda: None
        self._world = world
        self._centre = centre
        self._observer = observer
        self._woken_at_ms = 0

    @property
    def reachable(self) -> bool:
        """Whether it answers."""
        return self._now_ms >= self._away_until_ms

    @reachable.setter
    def reachable(self, answers: bool) -> None:
        self.come_back() if answers else self.go_away(10_000_000)

    @property
    def skew_ms(self) -> int:
        """How far its clock is off."""
        return self._skew_ms

    @skew_ms.setter
    def skew_ms(self, skew_ms: int) -> None:
        self._skew_ms = skew_ms

    def calm(self) -> None:
        """Nothing goes wrong by chance any more."""
        self.faults = Faults()
        self.come_back()

    def attach_again(self) -> None:
        """A new agent comes."""
        self.attach(self.pools, {})
        self._world.after(5, self.hint)
        self._wake_in_time()

    def peek(self, attempts: Iterable[str]) -> list[EngineState]:
        """What `observe` answers when it does."""
        runs = [(name, self._runs.get(name)) for name in attempts]
        return [EngineState(name, Observed.NOTHING) if run is None else run.state for name, run in runs]

    def really_live(self) -> list[str]:
        """What `live` answers when it does."""
        return [name for name, run in self._runs.items() if run.state.observed is not Observed.ENDED]

    def fail_something(self) -> None:
        """A node breaks: something that runs there ends."""
        running = self.running()
        if running:
            self.fail(self._world.random.choice(running))

    def _start(self, run: _Run) -> None:
        super()._start(run)
        self._observer.begins(self._centre, run.order)

    def _end(self, run: _Run, cause: Cause | None, code: int | None, message: str) -> None:
        ran = run.state.observed is Observed.RUNNING
        super()._end(run, cause, code, message)
        if ran:
            self._observer.ends(self._centre, run.order.attempt)

    def _note(self, attempt: str) -> None:
        super()._note(attempt)
        self._world.after(self._world.between(0, 20), self.hint)

    def _schedule(self, run: _Run, delay_ms: int) -> None:
        super()._schedule(run, delay_ms)
        self._wake_in_time()

    def _wake_in_time(self) -> None:
        """Let its next event happen when it is due, whether or not anybody asks."""
        due_ms = self.next_event_ms
        if due_ms is not None and not self._world.now_ms <= self._woken_at_ms <= due_ms:
            self._woken_at_ms = due_ms
            self._world.after(due_ms - self._world.now_ms, self._awake)

    def _awake(self) -> None:
        self.advance(self._world.now_ms)
        self._woken_at_ms = 0
        self._wake_in_time()


__all__ = ["ToldFakeEngine"]
