"""An agent's machine with a record, an engine and a server made of dictionaries, for tests without I/O."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

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
    Fetched,
    Forgotten,
    Input,
    LogsSent,
    PullAnswered,
    ReportAnswered,
    Started,
    SubmitAnswered,
    Tick,
)
from weir.agents.machine import Machine
from weir.agents.record import MemoryRecord
from weir.engines.driver import EngineEnd, EngineState, SubmitOutcome
from weir.model.agent import (
    DesiredAttempt,
    End,
    InputFile,
    NodeGroup,
    NodeShare,
    Observation,
    PoolObservation,
    Pull,
    PullAnswer,
    Report,
    ReportAnswer,
    Work,
)
from weir.model.identity import parse_attempt_id
from weir.model.state import Cause, Desired, Observed

E = TypeVar("E", bound=Effect)
JOB = "aaaaaaaaaaaa"
WORK = Work(
    job_submission=JOB,
    pool="gpu",
    command=("true",),
    environment={},
    tasks=1,
    cores_milli=1_000,
    memory_bytes=1 << 30,
    devices_milli=2_000,
    device_model="a100",
    visible_devices_variable="CUDA_VISIBLE_DEVICES",
    time_limit_ms=60_000,
    stop_signal="TERM",
    stop_grace_ms=1_000,
    restartable=False,
    outputs=(),
    output_limit_bytes=1 << 20,
    log_limit_bytes=1 << 20,
)
SUCCESS = EngineEnd(None, 0, None, "", 500, 900)
CANCELLED = EngineEnd(Cause.CANCELLED, None, 15, "", 500, 900)


@dataclass
class Engine:
    """What the engine has. As the driver's contract says: what it accepted it has until it is forgotten."""

    states: dict[str, EngineState] = field(default_factory=dict)
    started: dict[str, int] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)

    def submit(self, attempt: str) -> SubmitOutcome:
        self.states.setdefault(attempt, EngineState(attempt, Observed.QUEUED))
        return SubmitOutcome(attempt, True)

    def begin(self, attempt: str) -> None:
        assert self.states[attempt].observed is Observed.QUEUED
        self.started[attempt] = self.started.get(attempt, 0) + 1
        self.states[attempt] = EngineState(attempt, Observed.RUNNING, 500)

    def end(self, attempt: str, end: EngineEnd = SUCCESS) -> None:
        self.states[attempt] = EngineState(attempt, Observed.ENDED, end.started_ms, end)

    def cancel(self, attempt: str) -> None:
        self.cancelled.append(attempt)
        if attempt in self.live():
            started = self.states[attempt].started_ms
            self.end(attempt, replace(CANCELLED, started_ms=started))

    def withdraw(self, attempt: str) -> None:
        if self.observe(attempt).observed is Observed.QUEUED:
            self.end(attempt, replace(CANCELLED, started_ms=None, message="taken back"))

    def observe(self, attempt: str) -> EngineState:
        return self.states.get(attempt, EngineState(attempt, Observed.NOTHING))

    def live(self) -> frozenset[str]:
        return frozenset(name for name, state in self.states.items() if state.observed < Observed.ENDED)

    def forget(self, attempt: str) -> None:
        assert attempt not in self.live(), f"{attempt} is forgotten while it lives"
        self.states.pop(attempt, None)


@dataclass
class Server:
    """Levels as the real server keeps them, and what it was ever told."""

    incarnation: str = "store-1"
    revision: int = 1
    desired: dict[str, DesiredAttempt] = field(default_factory=dict)
    observed: dict[str, Observed] = field(default_factory=dict)
    ends: dict[str, End] = field(default_factory=dict)
    keeps: bool = True
    draining: bool = False
    synchronised: bool = False

    def run(self, attempt: str, *, inputs: tuple[InputFile, ...] = ()) -> None:
        self._desire(DesiredAttempt(attempt, Desired.RUN, 0, "work", None, (NodeShare(0, 1),), inputs))

    def stop(self, attempt: str, desired: Desired = Desired.STOPPED) -> None:
        self._desire(DesiredAttempt(attempt, desired, 0))

    def take_back(self, attempt: str) -> None:
        self._desire(replace(self.desired[attempt], withdrawn=True))

    def has_news(self, pull: Pull) -> bool:
        return (
            not pull.revision or pull.store_incarnation != self.incarnation or pull.revision < self.revision
        )

    def pull(self, pull: Pull) -> PullAnswer:
        full = not pull.revision or pull.store_incarnation != self.incarnation
        after = 0 if full else pull.revision
        attempts = tuple(
            wanted
            for name, wanted in self.desired.items()
            if wanted.revision > after and name not in self.ends
        )
        return PullAnswer(
            self.incarnation, self.revision, full, {"work": WORK}, attempts, draining=self.draining
        )

    def report(self, report: Report) -> ReportAnswer:
        if report.full and report.store_incarnation == self.incarnation:
            self.synchronised = True
        for seen in report.observations:
            self.observed[seen.attempt] = max(
                self.observed.get(seen.attempt, Observed.NOTHING), seen.observed
            )
            if seen.end is not None:
                self.ends.setdefault(seen.attempt, seen.end)
        kept = tuple(seen.attempt for seen in report.observations if seen.attempt in self.ends and self.keeps)
        other = report.store_incarnation != self.incarnation
        return ReportAnswer(self.incarnation, report.number, other or not self.synchronised, kept)

    def _desire(self, wanted: DesiredAttempt) -> None:
        self.revision += 1
        self.desired[wanted.attempt] = replace(wanted, revision=self.revision)


class Centre:
    """A machine whose effects are carried out one by one, when the test says so."""

    def __init__(self) -> None:
        self.record = MemoryRecord()
        self.engine = Engine()
        self.server = Server()
        self.now_ms = 1_000
        self.pending: list[Effect] = []
        self.reports: list[Report] = []
        self.submitted: list[str] = []
        self.random = random.Random(1)
        self.start()

    def start(self) -> None:
        """A new process over the same record; what the old one had under way is gone."""
        self.pending = []
        self.machine = Machine(self.record, Path("/attempts"), self.random.getrandbits)
        self.give(Started())

    def give(self, *inputs: Input) -> None:
        effects = self.machine.step(self.now_ms, inputs or (Tick(),))
        self.machine.check()
        for effect in effects:
            if isinstance(effect, Submit):
                self.submitted += [order.attempt for order in effect.orders]
            if isinstance(effect, SendReport):
                self.reports.append(effect.report)
        self.pending += effects

    def take(self, kind: type[E]) -> E:
        """The only pending effect of this kind, which is then no longer pending."""
        [found] = [effect for effect in self.pending if isinstance(effect, kind)]
        self.pending = [effect for effect in self.pending if effect is not found]
        return found

    def asked(self, kind: type[Effect]) -> bool:
        return any(isinstance(effect, kind) for effect in self.pending)

    def answer_to(self, effect: Effect) -> Input | None:
        """Carry an effect out, as it goes when nothing goes wrong; None where it has no answer now."""
        match effect:
            case SendPull(number, pull):
                return PullAnswered(number, self.server.pull(pull)) if self.server.has_news(pull) else None
            case SendReport(number, report):
                return ReportAnswered(number, self.server.report(report))
            case Fetch(attempt):
                return Fetched(attempt)
            case Submit(orders):
                return SubmitAnswered(tuple(self.engine.submit(order.attempt) for order in orders))
            case Observe(attempts, number):
                return EngineStates(tuple(map(self.engine.observe, attempts)), number)
            case Cancel(attempts):
                for attempt in attempts:
                    self.engine.cancel(attempt)
                return EngineStates(tuple(map(self.engine.observe, attempts)))
            case Withdraw(attempts):
                for attempt in attempts:
                    self.engine.withdraw(attempt)
                return EngineStates(tuple(map(self.engine.observe, attempts)))
            case Collect(attempt):
                return Collected(attempt.id)
            case SendLogs(attempt, task, stream, offset):
                return LogsSent(attempt, task, stream, offset)
            case Forget(attempts):
                for attempt, _ in attempts:
                    self.engine.forget(attempt)
                return Forgotten(tuple(attempt for attempt, _ in attempts))
            case Describe():
                return Described((POOL,), self.engine.live())

    def settle(self, only: Callable[[Effect], bool] = lambda effect: True) -> None:
        """Carry out whatever is pending, and what follows from it, until nothing moves."""
        moved = True
        while moved:
            moved = False
            for effect in [effect for effect in self.pending if only(effect)]:
                answer = self.answer_to(effect)
                if answer is not None:
                    self.pending.remove(effect)
                    self.give(answer)
                    moved = True

    def engine_says(self, *attempts: str) -> None:
        """The engine's hint that something changed, and what."""
        self.give(EngineStates(tuple(map(self.engine.observe, attempts))))

    def later(self, by_ms: int) -> None:
        self.now_ms += by_ms
        self.give(Tick())

    def run_to_running(self, attempt: str) -> None:
        self.server.run(attempt)
        self.settle()
        self.engine.begin(attempt)
        self.engine_says(attempt)
        self.settle()

    def finish(self, attempt: str, end: EngineEnd = SUCCESS) -> None:
        self.engine.end(attempt, end)
        self.engine_says(attempt)
        self.settle()

    def recorded(self, attempt: str) -> Any:
        return {one.id: one for one in self.record.load().attempts}.get(attempt)

    def last_told(self, attempt: str) -> Observation:
        return next(
            seen
            for report in reversed(self.reports)
            for seen in report.observations
            if seen.attempt == attempt
        )


POOL = PoolObservation("gpu", 0, (NodeGroup(2, 8_000, 64_000, 1 << 38),))


def job_of(attempt: str) -> str:
    return parse_attempt_id(attempt)[0]
