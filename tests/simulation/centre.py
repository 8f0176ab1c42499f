"""A centre of a history: the agent's real machine, its record, and an engine that both outlive."""

import hashlib
import json
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tests.simulation.engine import SimulatedEngine
from tests.simulation.fake import ToldFakeEngine
from tests.simulation.network import Exchange
from tests.simulation.world import Crash, Process, World
from weir.agents.effects import (
    Cancel,
    Collect,
    Describe,
    Effect,
    Fetch,
    Forget,
    Observe,
    SendLogs,
    SendPull,
    SendReport,
    Submit,
    Withdraw,
)
from weir.agents.inputs import (
    Collected,
    Described,
    EngineStates,
    EngineUnreachable,
    Fetched,
    Forgotten,
    Input,
    LocalOrder,
    LogsSent,
    PullAnswered,
    PullFailed,
    ReportAnswered,
    ReportFailed,
    Started,
    SubmitAnswered,
    SubmitUnknown,
    Tick,
)
from weir.agents.machine import Machine
from weir.agents.record import Batch, MemoryRecord, Order
from weir.engines.driver import EngineUnreachableError
from weir.model.agent import LONG_POLL_MS, OutputFile, Pull, PullAnswer, Report, ReportAnswer
from weir.model.codec import from_plain, to_plain
from weir.model.state import Observed

if TYPE_CHECKING:
    from tests.simulation.province import SimulatedProvince

T = TypeVar("T")
PATIENCE_MS = LONG_POLL_MS + 10_000
"""How long an agent waits for the answer to a pull; to a report, a third of it."""


class FragileRecord(MemoryRecord):
    """A record whose agent may be killed right before and right after each commit."""

    def __init__(self) -> None:
        super().__init__()
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None

    def commit(self, batch: Batch) -> None:
        self.before()
        super().commit(batch)
        self.after()


class Agent(Process):
    """One agent process of a centre, with its machine while it lives."""

    def __init__(self, world: World, centre: "SimulatedCentre", name: str, record: FragileRecord) -> None:
        super().__init__(world, name)
        self.centre = centre
        self.record = record
        self.machine: Machine | None = None
        self._inbox: list[Input] = []
        self._step_due = False
        self._engine_free_ms = 0
        self.ghost = False
        """Taken for dead, with a successor: it speaks with the server still, and no longer with the engine."""

    def start(self) -> None:
        """Begin a new life upon the same record."""
        world = self.world
        self.alive = True
        self.record.before = lambda: self._perhaps_killed("before it commits its record")
        self.record.after = lambda: self._perhaps_killed("after it has committed its record")
        self.machine = Machine(self.record, Path("/attempts"), world.random.getrandbits)
        self._inbox = []
        self._step_due = False
        self._engine_free_ms = world.now_ms
        world.note(f"{self.name} starts")
        self.centre.engine.attach_again()
        self.hear(Started())
        for number, order in self.record.orders():
            self.hear(LocalOrder(order, number))

    def hear(self, happened: Input) -> None:
        """Take something in with the next step, which may take in more."""
        self._inbox.append(happened)
        if not self._step_due:
            self._step_due = True
            self.later(self.world.between(0, 3), self._step)

    def _step(self) -> None:
        assert self.machine is not None
        world = self.world
        self._step_due = False
        inputs, self._inbox = self._inbox, []
        for given in inputs:
            if not isinstance(given, Tick):
                world.note(f"{self.name} ←", given)
        world.steps += 1
        effects = self.machine.step(self.centre.clock_ms(), inputs)
        for effect in effects:
            self._perhaps_killed("before an effect")
            world.note(f"{self.name} →", effect)
            self._do(effect)
        if world.steps % 16 == 0:
            self.machine.check()
        wake_ms = self.machine.wake_ms()
        if wake_ms is not None:
            self.later(max(1, wake_ms - self.centre.clock_ms()), self._wake)

    def _wake(self) -> None:
        assert self.machine is not None
        wake_ms = self.machine.wake_ms()
        if wake_ms is not None and wake_ms <= self.centre.clock_ms() and not self._step_due:
            self.hear(Tick())

    def _perhaps_killed(self, where: str) -> None:
        if self.world.chance(self.centre.killing):
            raise Crash(self, where)

    def killed(self) -> None:
        self.machine = None
        self.centre.agent_killed(self)

    def _do(self, effect: Effect) -> None:
        centre, network = self.centre, self.centre.province.network
        match effect:
            case SendPull(number, pull):
                network.send(
                    Exchange[PullAnswer](
                        self,
                        centre.name,
                        lambda reply: centre.province.serve_pull(centre.name, self._sent(Pull, pull), reply),
                        lambda answer: self.hear(PullAnswered(number, self._sent(PullAnswer, answer))),
                        lambda why: self.hear(PullFailed(number, why)),
                    ),
                    PATIENCE_MS,
                )
            case SendReport(number, report):
                network.send(
                    Exchange[ReportAnswer](
                        self,
                        centre.name,
                        lambda reply: centre.province.serve_report(
                            centre.name, self._sent(Report, report), reply
                        ),
                        lambda answer: self.hear(ReportAnswered(number, self._sent(ReportAnswer, answer))),
                        lambda why: self.hear(ReportFailed(number, why)),
                    ),
                    PATIENCE_MS // 3,
                )
            case Fetch(attempt, _, inputs, _):
                centre.province.check_inputs(attempt, inputs)
                self.later(centre.pace_ms(), lambda: self._fetched(attempt))
            case Collect(recorded):
                self.later(centre.pace_ms(), lambda: self._collected(recorded.id))
            case SendLogs(attempt, task, stream, offset, _):
                self.later(centre.pace_ms(), lambda: self.hear(LogsSent(attempt, task, stream, offset, True)))
            case Submit(orders):
                for order in orders:
                    centre.province.check_submit(centre.name, order.attempt)
                self._soon(effect)
            case Observe() | Cancel() | Withdraw() | Forget() | Describe():
                self._soon(effect)

    def _soon(self, effect: Effect) -> None:
        """One thread speaks with the engine, in the order in which it was asked to."""
        begin_ms = max(self._engine_free_ms, self.world.now_ms)
        self._engine_free_ms = begin_ms + self.centre.pace_ms()
        self.later(self._engine_free_ms - self.world.now_ms, lambda: self._ask_engine(effect))

    def lost_its_record(self) -> None:
        """Its successor holds the record."""
        raise Crash(self, "because its successor holds the record")

    def _sent(self, declared: type[T], message: T) -> T:
        """What arrives of a message; in some histories by its written form, as it really travels."""
        if self.world.seed % 4:
            return message
        return from_plain(declared, json.loads(json.dumps(to_plain(message))))

    def _fetched(self, attempt: str) -> None:
        again = self.centre.province.network.is_cut(self.centre.name) or self.world.chance(0.05)
        self.hear(Fetched(attempt, "no answer" if again else "", again=again))

    def _collected(self, attempt: str) -> None:
        if self.centre.province.network.is_cut(self.centre.name) or self.world.chance(0.05):
            self.hear(Collected(attempt, problem="no answer", again=True))
            return
        outputs = self.centre.outputs_of(attempt)
        self.hear(Collected(attempt, outputs))

    def _ask_engine(self, effect: Effect) -> None:
        if self.ghost:
            return
        engine, now_ms = self.centre.engine, self.centre.clock_ms()
        try:
            match effect:
                case Submit(orders):
                    try:
                        self.hear(SubmitAnswered(tuple(engine.submit(orders, now_ms))))
                    except EngineUnreachableError as error:
                        self.hear(SubmitUnknown(tuple(order.attempt for order in orders), str(error)))
                case Observe(attempts, number):
                    self.hear(EngineStates(tuple(engine.observe(attempts)), number))
                case Cancel(attempts):
                    for attempt in attempts:
                        self.centre.province.check_cancel(self.centre.name, attempt)
                    engine.cancel(attempts)
                case Withdraw(attempts):
                    for attempt in attempts:
                        self.centre.province.check_withdraw(self.centre.name, attempt)
                    engine.withdraw(attempts)
                case Forget(attempts):
                    engine.forget([attempt for attempt, _ in attempts])
                    self.hear(Forgotten(tuple(attempt for attempt, _ in attempts)))
                case Describe():
                    self.hear(Described(engine.describe(now_ms), frozenset(engine.live())))
        except EngineUnreachableError as error:
            self.hear(EngineUnreachable(str(error)))

    def clock_was_set(self) -> None:
        """Whatever waits for its clock is woken, as sleepers are."""
        self.hear(Tick())

    def look_at_engine(self) -> None:
        """Observe what the engine hints at."""
        if self.ghost:
            return
        try:
            changed = self.centre.engine.changed()
            if changed:
                self.hear(EngineStates(tuple(self.centre.engine.observe(changed))))
        except EngineUnreachableError as error:
            self.hear(EngineUnreachable(str(error)))


class SimulatedCentre:
    """A centre: its engine, its record, its clock, and the agents that come and go."""

    def __init__(
        self,
        world: World,
        province: "SimulatedProvince",
        name: str,
        engine: SimulatedEngine | ToldFakeEngine,
        killing: float,
    ) -> None:
        self.world = world
        self.province = province
        self.name = name
        self.engine = engine
        self.killing = killing
        self.record = FragileRecord()
        self.skew_ms = 0
        self.slow = False
        self.agents = 0
        self.agent = self._new_agent(self.record)

    def clock_ms(self) -> int:
        """What the centre's clock shows."""
        return self.world.now_ms + self.skew_ms

    def pace_ms(self) -> int:
        """How long something takes there."""
        if self.slow or self.world.chance(0.01):
            return self.world.between(100, 8_000)
        return self.world.between(0, 15)

    def agent_killed(self, agent: Agent) -> None:
        """A new agent comes up some time after."""
        if agent is self.agent:
            longest_ms = 90_000 if self.world.chance(0.1) else 5_000
            self.world.after(self.world.between(50, longest_ms), self._start_again)

    def split(self) -> None:
        """The agent's process is taken for dead and another is started, while the old one speaks on.

        The new one goes on with a copy of the record; the engine is its alone.
        """
        old = self.agent
        if not old.alive or old.ghost:
            return
        self.world.note(f"{old.name} goes on beside its successor")
        old.ghost = True
        # It tells and asks what it did before; with the first thing that it would write it finds out, and ends.
        old.record.before = old.lost_its_record
        old.later(self.world.between(2_000, 60_000), old.kill)
        self.record = _copy_of(self.record)
        self.agent = self._new_agent(self.record)
        self.agent.start()

    def look_at_engine(self) -> None:
        """The engine has something new for whatever agent there is."""
        if self.agent.alive:
            self.agent.look_at_engine()

    def order_locally(self, order: Order) -> None:
        """The operator orders something on the spot."""
        number = self.record.leave_order(order, self.clock_ms())
        if self.agent.alive:
            self.agent.hear(LocalOrder(order, number))

    def outputs_of(self, attempt: str) -> tuple[OutputFile, ...]:
        """What an attempt hands over when it has ended: one file, whose content is its own name."""
        (state,) = self.engine.peek([attempt])
        if state.observed is not Observed.ENDED or state.end is None or state.end.cause is not None:
            return ()
        return (OutputFile(0, "result", len(attempt), digest_of(attempt)),)

    def _new_agent(self, record: FragileRecord) -> Agent:
        self.agents += 1
        return Agent(self.world, self, f"agent {self.name}#{self.agents}", record)

    def _start_again(self) -> None:
        if not self.agent.alive:
            self.agent.start()


def digest_of(attempt: str) -> str:
    """The digest of the one output of an attempt."""
    return hashlib.sha256(attempt.encode()).hexdigest()


def _copy_of(record: FragileRecord) -> FragileRecord:
    twin = FragileRecord()
    for name, value in vars(record).items():
        if name not in ("before", "after"):
            setattr(twin, name, copy(value))
    return twin


__all__ = ["Agent", "SimulatedCentre", "digest_of"]
