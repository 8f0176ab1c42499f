"""The agent through random histories: answers lost, repeated, late; crashes; an engine that is away; a restored store.

What must hold at every step is asserted where it would be broken; at the end everything must come to rest.
"""

import copy

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.unit.agents.centre import Centre, Server, job_of
from weir.agents.effects import (
    Cancel,
    Collect,
    Describe,
    Effect,
    Fetch,
    Observe,
    SendPull,
    SendReport,
    Submit,
    Withdraw,
)
from weir.agents.inputs import (
    Collected,
    EngineUnreachable,
    Fetched,
    Input,
    LocalOrder,
    PullFailed,
    ReportFailed,
    SubmitUnknown,
)
from weir.agents.record import Order, Phase
from weir.engines.driver import EngineEnd
from weir.model.agent import InputFile
from weir.model.state import Cause, Desired, Observed

JOBS = ("aaaaaaaaaaaa", "bbbbbbbbbbbb.3")
FAILURE = EngineEnd(Cause.EXIT, 3, None, "", 500, 900)
FILE = InputFile("data", "0" * 64, 4)


class Histories(RuleBasedStateMachine):
    """`answers` are under way to the agent; `old` may come a second time."""

    @initialize()
    def begin(self) -> None:
        self.centre = Centre()
        self.answers: list[Input] = []
        self.old: list[Input] = []
        self.epochs = dict.fromkeys(JOBS, 0)
        self.stopped: set[str] = set()
        self.backup: Server | None = None
        self.levels: dict[str, Observed] = {}
        self.seen_reports = 0
        self.orders = 0

    @rule(job=st.sampled_from(JOBS), inputs=st.booleans())
    def place(self, job: str, inputs: bool) -> None:
        """Control places a job anew: whatever went before is no longer wanted."""
        server = self.centre.server
        if self.epochs[job]:
            before = f"{job}-{self.epochs[job]}"
            if before not in server.ends and before in server.desired:
                self.stop(job)
        self.epochs[job] += 1
        server.run(f"{job}-{self.epochs[job]}", inputs=(FILE,) if inputs else ())

    @rule(job=st.sampled_from(JOBS))
    def stop(self, job: str) -> None:
        attempt = f"{job}-{self.epochs[job]}"
        known = self.centre.server.desired.get(attempt)
        if known is not None and known.desired is Desired.RUN:
            self.stopped.add(attempt)
            self.centre.server.stop(attempt)

    @precondition(lambda self: self.centre.pending)
    @rule(data=st.data())
    def carry_out(self, data: st.DataObject) -> None:
        """An effect takes place; its answer is under way."""
        effect = data.draw(st.sampled_from(self.centre.pending))
        answer = self.centre.answer_to(effect)
        if answer is not None:
            self.centre.pending.remove(effect)
            self.answers.append(answer)

    @precondition(lambda self: self.centre.pending)
    @rule(data=st.data(), arrived=st.booleans())
    def lose(self, data: st.DataObject, arrived: bool) -> None:
        """An effect takes place or not, and its answer never comes."""
        effect = data.draw(st.sampled_from(self.centre.pending))
        if arrived:
            self.centre.answer_to(effect)
        failure = _failure(effect)
        if failure is not None:
            self.centre.pending.remove(effect)
            self.answers.append(failure)

    @precondition(lambda self: any(isinstance(effect, SendReport) for effect in self.centre.pending))
    @rule()
    def repeat_a_report(self) -> None:
        for effect in self.centre.pending:
            if isinstance(effect, SendReport):
                self.centre.answer_to(effect)

    @precondition(lambda self: self.answers)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        answer = data.draw(st.sampled_from(self.answers))
        self.answers.remove(answer)
        self.old = [*self.old[-5:], answer]
        self.centre.give(answer)

    @precondition(lambda self: self.old)
    @rule(data=st.data())
    def deliver_again(self, data: st.DataObject) -> None:
        self.centre.give(data.draw(st.sampled_from(self.old)))

    @rule()
    def crash(self) -> None:
        """The process is gone, between a commit and the next effect; what the engine runs goes on."""
        self.answers, self.old = [], []
        self.centre.start()

    @rule(by_ms=st.sampled_from([50, 1_000, 6_000, 61_000, -5_000]))
    def time_passes(self, by_ms: int) -> None:
        self.centre.later(by_ms)

    @precondition(lambda self: self.centre.engine.live())
    @rule(data=st.data(), hint=st.booleans(), fails=st.booleans())
    def engine_moves(self, data: st.DataObject, hint: bool, fails: bool) -> None:
        engine = self.centre.engine
        attempt = data.draw(st.sampled_from(sorted(engine.live())))
        if engine.states[attempt].observed is Observed.QUEUED:
            engine.begin(attempt)
            running = [name for name in engine.live() if engine.states[name].observed is Observed.RUNNING]
            assert len({job_of(name) for name in running}) == len(running), "two attempts of a job run"
        else:
            engine.end(attempt, FAILURE if fails else EngineEnd(None, 0, None, "", 500, 900))
        if hint:
            self.centre.engine_says(attempt)

    @rule()
    def all_goes_well_for_a_while(self) -> None:
        answers, self.answers = self.answers, []
        self.centre.give(*answers)
        self.centre.settle()

    @rule(order=st.sampled_from([Order.DRAIN, Order.RESUME]))
    def local_order(self, order: Order) -> None:
        self.orders += 1
        self.centre.give(LocalOrder(order, self.orders))

    @rule()
    def back_up(self) -> None:
        self.backup = copy.deepcopy(self.centre.server)

    @precondition(lambda self: self.backup is not None)
    @rule()
    def restore(self) -> None:
        """An older store, under another incarnation; what the old one answered is still under way. Jobs that it
        places next get epochs that nobody used.
        """
        assert self.backup is not None
        count = int(self.centre.server.incarnation.rpartition("-")[2])
        self.centre.server, self.backup = self.backup, None
        self.centre.server.incarnation = f"store-{count + 1}"
        self.centre.server.synchronised = False

    @invariant()
    def nothing_is_submitted_twice(self) -> None:
        submitted = self.centre.submitted
        assert len(set(submitted)) == len(submitted)

    @invariant()
    def nothing_starts_twice(self) -> None:
        assert all(count == 1 for count in self.centre.engine.started.values())

    @invariant()
    def nothing_is_ended_that_nobody_stopped(self) -> None:
        for attempt in self.centre.engine.cancelled:
            job, _, epoch = attempt.rpartition("-")
            superseded = int(epoch) < self.epochs[job]
            assert attempt in self.stopped or superseded, f"{attempt} was ended"

    @invariant()
    def reports_never_go_down(self) -> None:
        for report in self.centre.reports[self.seen_reports :]:
            for seen in report.observations:
                assert seen.observed >= self.levels.get(seen.attempt, Observed.NOTHING)
                self.levels[seen.attempt] = seen.observed
        self.seen_reports = len(self.centre.reports)

    @invariant()
    def what_the_engine_has_is_recorded(self) -> None:
        recorded = {attempt.id for attempt in self.centre.record.load().attempts}
        assert set(self.centre.engine.states) <= recorded

    def teardown(self) -> None:
        """Left in peace, everything that was wanted ends, is told, and is cleared away."""
        if not hasattr(self, "centre"):
            return
        centre = self.centre
        self.orders += 1
        centre.give(LocalOrder(Order.RESUME, self.orders))
        for answer in self.answers:
            centre.give(answer)
        for _ in range(30):
            centre.settle()
            for attempt in sorted(centre.engine.live()):
                if centre.engine.states[attempt].observed is Observed.QUEUED:
                    centre.engine.begin(attempt)
                centre.engine.end(attempt)
            centre.later(10_000)
        centre.settle()
        assert [] == [one for one in centre.record.load().attempts if one.phase is not Phase.KEPT]
        for attempt in centre.server.desired:
            assert attempt in centre.server.ends, f"nothing was told of the end of {attempt}"
        self.nothing_is_submitted_twice()


def _failure(effect: Effect) -> Input | None:
    match effect:
        case SendPull(number):
            return PullFailed(number, "no answer")
        case SendReport(number):
            return ReportFailed(number, "no answer")
        case Submit(orders):
            return SubmitUnknown(tuple(order.attempt for order in orders))
        case Observe() | Describe() | Cancel() | Withdraw():
            return EngineUnreachable("no answer")
        case Fetch(attempt):
            return Fetched(attempt, "no answer", again=True)
        case Collect(attempt):
            return Collected(attempt.id, problem="no answer", again=True)
    return None


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=120, stateful_step_count=60)
