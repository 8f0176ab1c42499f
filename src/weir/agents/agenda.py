"""What one step gathers until its end: the changes to commit, the effects to give out, the timers to come."""

from collections.abc import Callable
from dataclasses import dataclass, field

from weir.agents.effects import Cancel, Effect, Forget, Observe, Submit, Withdraw
from weir.agents.record import Batch
from weir.agents.timers import Timers
from weir.engines.driver import AttemptOrder

LARGEST_OBSERVE = 1_000


@dataclass(frozen=True, slots=True)
class Pace:
    """How often an agent does what it does by the clock, in milliseconds."""

    heartbeat_ms: int = 5_000
    describe_ms: int = 15_000
    pools_ms: int = 60_000
    """Pools are told this often even when nothing about them has changed."""
    sweep_ms: int = 60_000
    """Everything at the engine is observed this often, whatever the engine hints."""
    again_ms: int = 5_000
    """What has no definite answer yet is asked again after this."""
    first_report_ms: int = 2_000
    """How long the first report waits for the engine to describe itself."""


@dataclass(slots=True)
class Agenda:
    """Shared by the parts of one machine."""

    random_bits: Callable[[int], int]
    pace: Pace
    timers: Timers = field(default_factory=Timers)
    now_ms: int = 0
    batch: Batch = field(default_factory=Batch)
    effects: list[Effect] = field(default_factory=list)
    orders: list[AttemptOrder] = field(default_factory=list)
    cancels: dict[str, None] = field(default_factory=dict)
    withdraws: dict[str, None] = field(default_factory=dict)
    observes: dict[str, None] = field(default_factory=dict)
    forgets: dict[str, str] = field(default_factory=dict)
    numbers: int = 0
    """The last number given to a question; rising over the agent's starts too."""

    def number(self) -> int:
        """A number for a question that no earlier question had."""
        self.numbers += 1
        return self.numbers

    def after(self, key: tuple[str, ...], pause_ms: int) -> None:
        """Let a timer come due that long from now."""
        self.timers.set(key, self.now_ms + pause_ms)

    def take_effects(self) -> list[Effect]:
        """Everything gathered since the last time, joined into few effects."""
        effects = self.effects
        if self.orders:
            effects.append(Submit(tuple(self.orders)))
        if self.cancels:
            effects.append(Cancel(tuple(self.cancels)))
        if self.withdraws:
            effects.append(Withdraw(tuple(self.withdraws)))
        asked = tuple(self.observes)
        for start in range(0, len(asked), LARGEST_OBSERVE):
            effects.append(Observe(asked[start : start + LARGEST_OBSERVE], self.number()))
        if self.forgets:
            effects.append(Forget(tuple(self.forgets.items())))
        self.effects, self.orders = [], []
        self.cancels, self.withdraws, self.observes, self.forgets = {}, {}, {}, {}
        return effects

    def take_batch(self) -> Batch:
        """The changes gathered since the last time."""
        batch, self.batch = self.batch, Batch()
        return batch


__all__ = ["Agenda", "Pace"]
