"""The agent's step: everything that it decides, without I/O, clock or chance of its own."""

from collections.abc import Callable, Sequence
from pathlib import Path

from weir.agents.agenda import Agenda, Pace
from weir.agents.attempts import Attempts
from weir.agents.effects import Describe, Effect
from weir.agents.following import Following
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
from weir.agents.lifecycle import Lifecycle
from weir.agents.pulling import Pulling
from weir.agents.record import STOPPED_HERE, Order, Phase, Record
from weir.agents.reporting import Reporting
from weir.model.agent import PullAnswer, ReportAnswer
from weir.model.state import Desired, Observed


class Machine:
    """One start of an agent. After a crash, or when `step` raised, a new one takes up the same record.

    `attempts_root` is where each attempt's folder will lie; `random_bits(n)` gives n random bits, for pauses.
    """

    def __init__(
        self, record: Record, attempts_root: Path, random_bits: Callable[[int], int], pace: Pace | None = None
    ) -> None:
        self._record = record
        self._agenda = Agenda(random_bits, pace or Pace())
        self._attempts = Attempts(self._agenda)
        self._lifecycle = Lifecycle(self._agenda, self._attempts, record, attempts_root)
        self._reporting = Reporting(self._agenda, self._attempts, record)
        self._pulling = Pulling(self._agenda)
        self._following = Following(self._agenda, self._attempts)
        self._drained_here = False
        self._drained_by_server = False
        self._started = False
        self.entry_revision = ""
        """The revision of the centre's entry that the server named last; "" before it has."""

    @property
    def draining(self) -> bool:
        """Whether nothing new is started, by whosever order."""
        return self._drained_here or self._drained_by_server

    def step(self, now_ms: int, inputs: Sequence[Input]) -> list[Effect]:
        """Take in what happened, commit what follows from it, and return what is to be done.

        When the commit fails its error is raised, and this machine must not be used again: no effect of the
        step was given out.
        """
        agenda = self._agenda
        if now_ms < agenda.now_ms:
            agenda.timers.shift(now_ms - agenda.now_ms)  # the clock was set back; pauses keep their length
        agenda.now_ms = now_ms
        for happened in inputs:
            self._take(happened)
        for key in agenda.timers.take_due(now_ms):
            self._timer(key)
        self._reporting.draining = self._drained_here
        if self._started:
            self._pulling.speak()
            self._reporting.speak()
        effects = agenda.take_effects()
        batch = agenda.take_batch()
        if batch:
            self._record.commit(batch)
        return effects

    def wake_ms(self) -> int | None:
        """When the next step is due though nothing may happen until then."""
        return self._agenda.timers.next_ms()

    def check(self) -> None:
        """Assert what must hold of the whole state. For tests and simulation: it looks at every attempt."""
        recorded = {attempt.id: attempt for attempt in self._record.load().attempts}
        assert recorded == {attempt.id: attempt for attempt in self._attempts}
        for attempt in self._attempts:
            assert (
                (attempt.phase >= Phase.ENDED)
                == (attempt.observed is Observed.ENDED)
                == (attempt.end is not None)
            )
            assert (
                attempt.phase < Phase.FETCHING or attempt.work is not None or attempt.phase >= Phase.SUBMITTED
            )
            assert attempt.phase is not Phase.COLLECTING or attempt.ending is not None
        at_engine = self._attempts.in_phase(Phase.SUBMITTED, Phase.HELD)
        assert len({attempt.job for attempt in at_engine}) == len(at_engine), (
            "two attempts of a job at the engine"
        )

    def _take(self, happened: Input) -> None:
        match happened:
            case Tick():
                pass
            case Started():
                self._start()
            case PullAnswered(number, answer):
                self._pull_answered(number, answer)
            case PullFailed(number, _, lasting):
                self._pulling.failed(number, lasting=lasting)
            case ReportAnswered(number, report_answer):
                self._report_answered(number, report_answer)
            case ReportFailed(number, _, lasting):
                self._reporting.failed(number, lasting=lasting)
            case EngineStates():
                self._lifecycle.engine_states(happened)
            case SubmitAnswered():
                self._lifecycle.submit_answered(happened)
            case SubmitUnknown():
                self._lifecycle.submit_unknown(happened)
            case EngineUnreachable():
                self._lifecycle.engine_down()
            case Described(pools, live):
                self._lifecycle.live = live
                self._lifecycle.engine_up()
                self._reporting.described(pools, live)
            case Fetched():
                self._lifecycle.fetched(happened)
            case Collected():
                self._lifecycle.collected(happened)
            case LogsSent():
                self._following.sent(happened)
            case Forgotten(attempts):
                self._lifecycle.forgotten(attempts)
            case LocalOrder(order, number):
                self._order(order, number)

    def _start(self) -> None:
        agenda = self._agenda
        recorded = self._record.load()
        incarnation = recorded.incarnation + 1
        agenda.batch.incarnation = incarnation
        agenda.numbers = (
            incarnation << 32
        )  # no answer to an earlier start's question is taken for one to this one's
        self._reporting.incarnation = self._pulling.incarnation = incarnation
        self._reporting.store_incarnation = self._pulling.store_incarnation = recorded.store_incarnation
        self._drained_here = self._lifecycle.draining = recorded.drained
        self._attempts.load(recorded.attempts)
        self._lifecycle.start()
        self._reporting.start()
        agenda.effects.append(Describe())
        agenda.after(("describe",), agenda.pace.describe_ms)
        self._started = True

    def _pull_answered(self, number: int, answer: PullAnswer) -> None:
        counts, again = self._pulling.answered(number, answer)
        if not counts:
            return
        self._store_is(answer.store_incarnation)
        self.entry_revision = answer.entry_revision
        self._drained_by_server = answer.draining
        self._lifecycle.set_draining(self.draining)
        # Stops first, so that a newer attempt of the same job finds the older one told to end.
        for wanted in sorted(answer.attempts, key=lambda one: one.desired is Desired.RUN):
            self._lifecycle.want(wanted, answer.works)
        self._following.replace(answer.followed)
        if again:
            self._reporting.try_now()
            self._lifecycle.server_answers_again()

    def _report_answered(self, number: int, answer: ReportAnswer) -> None:
        counts, again = self._reporting.answered(number, answer)
        if not counts:
            return
        if not self._store_is(answer.store_incarnation):
            self._pulling.start_over()
        else:
            self._lifecycle.kept(answer.kept)
        if again:
            self._pulling.try_now()
            self._lifecycle.server_answers_again()

    def _store_is(self, incarnation: str) -> bool:
        """Whether the server's store is the one that this agent has told what it knows."""
        before = self._reporting.store_incarnation
        if incarnation == before:
            return True
        self._reporting.store_incarnation = incarnation
        self._agenda.batch.store_incarnation = incarnation
        if not before:
            return True  # the first word with any server: the first report is full anyway
        self._reporting.want_full()
        self._attempts.all_unreported()
        return False

    def _order(self, order: Order, number: int) -> None:
        self._agenda.batch.orders_done = number
        self._drained_here = order is not Order.RESUME
        self._agenda.batch.drained = self._drained_here
        self._lifecycle.set_draining(self.draining)
        if order is Order.STOP_ALL:
            self._lifecycle.stop_all(STOPPED_HERE)

    def _timer(self, key: tuple[str, ...]) -> None:
        match key[0]:
            case "describe":
                self._agenda.effects.append(Describe())
                self._agenda.after(key, self._agenda.pace.describe_ms)
            case "follow":
                self._following.timer(key)
            case "first-report":
                self._reporting.timer(key)
            case "heartbeat" | "report-again" | "pull-again":
                pass  # both conversations look for themselves at the end of the step
            case _:
                self._lifecycle.timer(key)


__all__ = ["Machine"]
