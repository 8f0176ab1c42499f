"""What an agent durably knows: the port `Record`, what it holds, and a record in memory for simulation."""

from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Protocol

from weir.engines.driver import EngineEnd
from weir.model.agent import End, InputFile, LogChunk, NodeShare, Work
from weir.model.state import Desired, Observed


class Phase(IntEnum):
    """How far an attempt has come here. It only rises."""

    FETCHING = 1
    """It will be started, and its inputs are being fetched. It was never given to the engine."""
    WAITING = 2
    """Its inputs are there; an older attempt of its job must end first, or the engine must answer again."""
    SUBMITTED = 3
    """It was given to the engine, or was about to be: whether it arrived, only the engine knows."""
    HELD = 4
    """The engine has answered for it."""
    COLLECTING = 5
    """It has ended in the engine; logs and outputs are being taken over."""
    ENDED = 6
    """Its end is final, and is told to the server until that has it."""
    KEPT = 7
    """The server has its end; what the engine and the folder keep of it is being removed."""


@dataclass(frozen=True, slots=True)
class RecordedAttempt:
    """One attempt as the record holds it."""

    id: str
    job: str
    epoch: int
    phase: Phase
    desired: Desired
    observed: Observed
    since_ms: int
    """Since when `observed` is so, by the centre's clock."""
    pool: str = ""
    nodes: tuple[NodeShare, ...] = ()
    array_index: int | None = None
    work: Work | None = None
    """None for one that was never to start."""
    inputs: tuple[InputFile, ...] = ()
    folder: str = ""
    started_ms: int | None = None
    message: str = ""
    stop_reason: str = ""
    """Why it is stopped, where it is not the server that wants it."""
    ending: EngineEnd | None = None
    """What the engine says of its end, before outputs were taken over."""
    end: End | None = None


STOPPED_HERE = "stopped by the centre's operator"
"""The reason given for what a local order stops."""


class Order(Enum):
    """What the centre's operator orders on the spot, with or without the server."""

    DRAIN = "drain"
    """Start nothing new; what runs goes on."""
    RESUME = "resume"
    STOP_ALL = "stop-all"
    """Stop whatever is recorded, and start nothing new until resumed."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """The whole record, as read at start."""

    incarnation: int
    store_incarnation: str
    drained: bool
    """By a local order."""
    attempts: tuple[RecordedAttempt, ...]


@dataclass(slots=True)
class Batch:
    """What one step changes; committed whole or not at all."""

    attempts: dict[str, RecordedAttempt] = field(default_factory=dict)
    chunks: dict[str, tuple[LogChunk, ...]] = field(default_factory=dict)
    """Small logs of attempts that ended, kept until the server has them."""
    removed: dict[str, End] = field(default_factory=dict)
    """Forgotten attempts; their ends stay findable for a good while."""
    incarnation: int | None = None
    store_incarnation: str | None = None
    drained: bool | None = None
    orders_done: int | None = None
    """Local orders up to this number are carried out."""

    def __bool__(self) -> bool:
        simple = (self.incarnation, self.store_incarnation, self.drained, self.orders_done)
        return bool(self.attempts or self.chunks or self.removed) or any(
            value is not None for value in simple
        )


class Record(Protocol):
    """Where an agent keeps what must survive it. One agent uses it; others may read, and leave orders."""

    def load(self) -> Recorded:
        """Everything, as of the last commit."""
        ...

    def commit(self, batch: Batch) -> None:
        """On return the whole batch survives any crash; when it raises, nothing of it does."""
        ...

    def chunks(self, attempt: str) -> tuple[LogChunk, ...]:
        """The small logs kept of an ended attempt."""
        ...

    def past_end(self, attempt: str) -> End | None:
        """The end of an attempt that was forgotten; None where none such is known any more."""
        ...

    def orders(self) -> list[tuple[int, Order]]:
        """Local orders that are not carried out yet, by number."""
        ...

    def leave_order(self, order: Order, now_ms: int) -> int:
        """Durably leave an order for the agent that runs, or will; its number."""
        ...


LARGEST_PAST = 200_000
"""How many ends of forgotten attempts a record keeps, so that a restored server cannot start one again."""


class MemoryRecord:
    """A record that outlives an agent's crash but not the process: for simulation and tests."""

    def __init__(self) -> None:
        self._incarnation = 0
        self._store_incarnation = ""
        self._drained = False
        self._attempts: dict[str, RecordedAttempt] = {}
        self._chunks: dict[str, tuple[LogChunk, ...]] = {}
        self._past: dict[str, End] = {}
        self._orders: dict[int, Order] = {}
        self._last_order = 0

    def load(self) -> Recorded:
        attempts = tuple(self._attempts.values())
        return Recorded(self._incarnation, self._store_incarnation, self._drained, attempts)

    def commit(self, batch: Batch) -> None:
        self._attempts.update(batch.attempts)
        self._chunks.update(batch.chunks)
        for attempt, end in batch.removed.items():
            self._attempts.pop(attempt, None)
            self._chunks.pop(attempt, None)
            self._past[attempt] = end
        while len(self._past) > LARGEST_PAST:
            del self._past[next(iter(self._past))]
        if batch.incarnation is not None:
            self._incarnation = batch.incarnation
        if batch.store_incarnation is not None:
            self._store_incarnation = batch.store_incarnation
        if batch.drained is not None:
            self._drained = batch.drained
        if batch.orders_done is not None:
            self._orders = {
                number: order for number, order in self._orders.items() if number > batch.orders_done
            }

    def chunks(self, attempt: str) -> tuple[LogChunk, ...]:
        return self._chunks.get(attempt, ())

    def past_end(self, attempt: str) -> End | None:
        return self._past.get(attempt)

    def orders(self) -> list[tuple[int, Order]]:
        return sorted(self._orders.items())

    def leave_order(self, order: Order, now_ms: int) -> int:
        self._last_order += 1
        self._orders[self._last_order] = order
        return self._last_order


__all__ = [
    "LARGEST_PAST",
    "STOPPED_HERE",
    "Batch",
    "MemoryRecord",
    "Order",
    "Phase",
    "Record",
    "Recorded",
    "RecordedAttempt",
]
