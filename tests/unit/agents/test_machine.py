"""What an agent does about one attempt and another, told step by step."""

import sqlite3
from dataclasses import replace

import pytest

from tests.unit.agents.centre import SUCCESS, WORK, Centre
from weir.agents.effects import (
    Cancel,
    Fetch,
    Forget,
    Observe,
    SendPull,
    SendReport,
    Submit,
)
from weir.agents.inputs import (
    EngineStates,
    EngineUnreachable,
    Fetched,
    LocalOrder,
    PullAnswered,
    SubmitAnswered,
    SubmitUnknown,
)
from weir.agents.record import Batch, Order, Phase
from weir.engines.driver import EngineState, SubmitOutcome
from weir.model.agent import DesiredAttempt, End, InputFile, PullAnswer
from weir.model.state import Cause, Desired, Observed

ONE = "aaaaaaaaaaaa-1"
TWO = "aaaaaaaaaaaa-2"
FILE = InputFile("data", "0" * 64, 4)


def test_an_attempt_runs_is_reported_and_forgotten(centre: Centre) -> None:
    centre.run_to_running(ONE)
    assert Observed.RUNNING is centre.server.observed[ONE]
    centre.finish(ONE)
    assert None is centre.server.ends[ONE].cause
    assert None is centre.recorded(ONE)
    assert {} == centre.engine.states
    assert [ONE] == centre.submitted


def test_the_intention_is_recorded_before_the_engine_hears_of_it(centre: Centre) -> None:
    centre.server.run(ONE)
    centre.settle(lambda effect: isinstance(effect, SendPull))
    assert centre.asked(Submit)
    assert Phase.SUBMITTED is centre.recorded(ONE).phase


def test_inputs_are_fetched_before_the_start(centre: Centre) -> None:
    centre.server.run(ONE, inputs=(FILE,))
    centre.settle(lambda effect: isinstance(effect, SendPull))
    assert not centre.asked(Submit)
    assert (FILE,) == centre.take(Fetch).inputs
    centre.give(Fetched(ONE))
    assert centre.asked(Submit)


def test_fetching_again_after_a_crash_is_no_second_start(centre: Centre) -> None:
    centre.server.run(ONE, inputs=(FILE,))
    centre.settle(lambda effect: isinstance(effect, SendPull))
    centre.start()
    assert centre.asked(Fetch)
    centre.settle()
    assert [ONE] == centre.submitted


def test_inputs_that_cannot_be_had_end_it(centre: Centre) -> None:
    centre.server.run(ONE, inputs=(FILE,))
    centre.settle(lambda effect: isinstance(effect, SendPull))
    centre.take(Fetch)
    centre.give(Fetched(ONE, "the disk is full"))
    centre.settle()
    assert (Cause.INPUTS, "the disk is full") == (
        centre.server.ends[ONE].cause,
        centre.server.ends[ONE].message,
    )
    assert [] == centre.submitted


def test_an_unreachable_server_is_asked_for_inputs_again(centre: Centre) -> None:
    centre.server.run(ONE, inputs=(FILE,))
    centre.settle(lambda effect: isinstance(effect, SendPull))
    for _ in range(20):
        centre.take(Fetch)
        centre.give(Fetched(ONE, "no answer", again=True))
        centre.later(11_000)
    centre.settle()
    assert [ONE] == centre.submitted


def test_a_submit_without_an_answer_is_looked_for_and_found(centre: Centre) -> None:
    centre.server.run(ONE)
    centre.settle(lambda effect: isinstance(effect, SendPull))
    centre.take(Submit)
    centre.engine.submit(ONE)
    centre.give(SubmitUnknown((ONE,)))
    centre.settle()
    assert Observed.QUEUED is centre.server.observed[ONE]
    assert [ONE] == centre.submitted


def test_a_submit_without_an_answer_that_is_not_found_is_lost_and_never_made_again(centre: Centre) -> None:
    centre.server.run(ONE)
    centre.settle(lambda effect: isinstance(effect, SendPull))
    centre.take(Submit)
    centre.give(SubmitUnknown((ONE,)))
    centre.settle()
    assert Cause.LOST is centre.server.ends[ONE].cause
    assert [ONE] == centre.submitted


def test_after_a_crash_between_intention_and_submit_it_is_lost(centre: Centre) -> None:
    centre.server.run(ONE)
    centre.settle(lambda effect: isinstance(effect, SendPull))
    centre.start()
    centre.settle()
    assert Cause.LOST is centre.server.ends[ONE].cause
    assert [ONE] == centre.submitted


def test_an_answer_to_an_older_question_loses_nothing(centre: Centre) -> None:
    centre.run_to_running(ONE)
    centre.later(60_000)
    early = centre.take(Observe)
    centre.server.run("bbbbbbbbbbbb-1")
    centre.settle(lambda effect: isinstance(effect, SendPull))
    submit = centre.take(Submit)
    nothing = EngineState(submit.orders[0].attempt, Observed.NOTHING)
    centre.give(EngineStates((nothing,), early.number))
    assert Phase.SUBMITTED is centre.recorded("bbbbbbbbbbbb-1").phase
    centre.give(SubmitUnknown(("bbbbbbbbbbbb-1",)))
    centre.give(EngineStates((nothing,), early.number))
    assert Phase.SUBMITTED is centre.recorded("bbbbbbbbbbbb-1").phase


def test_an_engine_that_does_not_answer_decides_nothing(centre: Centre) -> None:
    centre.server.run(ONE)
    centre.settle(lambda effect: isinstance(effect, SendPull))
    centre.take(Submit)
    centre.give(SubmitUnknown((ONE,)))
    for _ in range(10):
        if centre.asked(Observe):
            centre.take(Observe)
        centre.give(EngineUnreachable("down"))
        centre.later(10_000)
    assert Phase.SUBMITTED is centre.recorded(ONE).phase
    centre.engine.submit(ONE)
    centre.settle()
    assert Phase.HELD is centre.recorded(ONE).phase


def test_nothing_new_is_given_to_an_engine_that_does_not_answer(centre: Centre) -> None:
    centre.give(EngineUnreachable("down"))
    centre.server.run(ONE)
    centre.settle(lambda effect: isinstance(effect, SendPull))
    assert not centre.asked(Submit)
    centre.later(10_000)
    centre.settle()
    assert [ONE] == centre.submitted
    assert Phase.HELD is centre.recorded(ONE).phase


def test_a_refused_attempt_ends_as_rejected(centre: Centre) -> None:
    centre.server.run(ONE)
    centre.settle(lambda effect: isinstance(effect, SendPull))
    centre.take(Submit)
    centre.give(SubmitAnswered((SubmitOutcome(ONE, False, "no such pool"),)))
    centre.settle()
    assert (Cause.REJECTED, "no such pool") == (
        centre.server.ends[ONE].cause,
        centre.server.ends[ONE].message,
    )


def test_what_the_answer_does_not_list_goes_on(centre: Centre) -> None:
    centre.run_to_running(ONE)
    centre.server.desired.clear()
    centre.server.revision = 1
    centre.server.incarnation = "store-2"
    centre.later(5_000)
    centre.settle()
    centre.later(60_000)
    centre.settle()
    assert [] == centre.engine.cancelled
    assert frozenset({ONE}) == centre.engine.live()


def test_an_explicit_stop_ends_it(centre: Centre) -> None:
    centre.run_to_running(ONE)
    centre.server.stop(ONE)
    centre.settle()
    assert Cause.CANCELLED is centre.server.ends[ONE].cause
    assert [ONE] == centre.engine.cancelled


def test_a_stop_is_repeated_until_it_has_ended(centre: Centre) -> None:
    centre.run_to_running(ONE)
    centre.server.stop(ONE, Desired.ABANDONED)
    centre.settle(lambda effect: isinstance(effect, SendPull))
    for _ in range(3):
        assert (ONE,) == centre.take(Cancel).attempts
        centre.later(5_000)


def test_a_stop_before_the_start_needs_no_engine(centre: Centre) -> None:
    centre.server.run(ONE, inputs=(FILE,))
    centre.settle(lambda effect: isinstance(effect, SendPull))
    centre.server.stop(ONE)
    centre.settle(lambda effect: isinstance(effect, SendPull))
    centre.give(Fetched(ONE))
    centre.settle()
    assert Cause.CANCELLED is centre.server.ends[ONE].cause
    assert ([], []) == (centre.submitted, centre.engine.cancelled)


def test_a_stop_for_an_unknown_attempt_is_answered(centre: Centre) -> None:
    centre.server.stop(ONE)
    centre.settle()
    assert Cause.CANCELLED is centre.server.ends[ONE].cause
    assert [] == centre.submitted


def test_an_unclaimed_attempt_is_shown_and_left_running_until_it_is_stopped_by_name(centre: Centre) -> None:
    centre.engine.submit(ONE)
    centre.engine.begin(ONE)
    centre.later(15_000)
    centre.settle()
    assert (ONE,) == centre.reports[-1].unclaimed
    assert [] == centre.engine.cancelled
    centre.server.stop(ONE)
    centre.settle()
    assert [ONE] == centre.engine.cancelled
    assert Cause.CANCELLED is centre.server.ends[ONE].cause


def test_an_older_attempt_of_the_job_ends_before_the_newer_starts(centre: Centre) -> None:
    centre.run_to_running(ONE)
    centre.server.run(TWO)
    centre.settle(lambda effect: isinstance(effect, SendPull | SendReport))
    assert (ONE,) == centre.take(Cancel).attempts
    assert [ONE] == centre.submitted
    centre.finish(ONE)
    assert [ONE, TWO] == centre.submitted


def test_an_attempt_older_than_a_recorded_one_never_starts(centre: Centre) -> None:
    centre.run_to_running(TWO)
    centre.server.run(ONE)
    centre.settle()
    assert Cause.CANCELLED is centre.server.ends[ONE].cause
    assert [TWO] == centre.submitted


def test_an_attempt_forgotten_here_never_starts_again(centre: Centre) -> None:
    centre.run_to_running(ONE)
    centre.finish(ONE)
    del centre.server.ends[ONE], centre.server.observed[ONE]
    centre.server.incarnation = "an older store"
    centre.server.run(ONE)
    centre.later(60_000)
    centre.settle()
    assert [ONE] == centre.submitted
    assert End(None, 0, None, "", 500, 900) == centre.server.ends[ONE]


def test_an_attempt_forgotten_in_the_same_step_as_it_is_wanted_never_starts_again(centre: Centre) -> None:
    centre.run_to_running(ONE)
    asked = centre.take(SendPull)
    late = PullAnswered(asked.number, centre.server.pull(replace(asked.pull, revision=0)))
    centre.engine.end(ONE, SUCCESS)
    centre.engine_says(ONE)
    centre.settle(only=lambda effect: not isinstance(effect, Forget))
    forgotten = centre.answer_to(centre.take(Forget))
    assert forgotten is not None
    centre.give(forgotten, late)
    centre.settle()
    assert [ONE] == centre.submitted
    assert None is centre.recorded(ONE)
    assert None is not centre.record.past_end(ONE)


def test_draining_starts_nothing_new_and_stops_nothing(centre: Centre) -> None:
    centre.run_to_running(ONE)
    centre.server.draining = True
    centre.server.run("bbbbbbbbbbbb-1")
    centre.settle()
    assert ([ONE], []) == (centre.submitted, centre.engine.cancelled)
    centre.server.draining = False
    centre.server.revision += 1
    centre.settle()
    assert [ONE, "bbbbbbbbbbbb-1"] == centre.submitted


def test_a_local_drain_survives_a_crash_and_is_reported(centre: Centre) -> None:
    centre.give(LocalOrder(Order.DRAIN, 1))
    centre.settle()
    assert centre.reports[-1].draining
    centre.start()
    centre.server.run(ONE)
    centre.settle()
    assert [] == centre.submitted
    centre.give(LocalOrder(Order.RESUME, 2))
    centre.settle()
    assert [ONE] == centre.submitted


def test_stop_all_stops_everything_recorded_and_starts_nothing_new(centre: Centre) -> None:
    centre.run_to_running(ONE)
    centre.server.run("bbbbbbbbbbbb-1", inputs=(FILE,))
    centre.settle(lambda effect: isinstance(effect, SendPull))
    centre.give(LocalOrder(Order.STOP_ALL, 1))
    centre.server.run("cccccccccccc-1")
    centre.settle()
    assert {ONE: Cause.CANCELLED, "bbbbbbbbbbbb-1": Cause.CANCELLED} == {
        name: end.cause for name, end in centre.server.ends.items()
    }
    assert "stopped by the centre's operator" == centre.server.ends[ONE].message
    assert [ONE] == centre.submitted


def test_one_given_up_as_lost_that_comes_back_is_ended(centre: Centre) -> None:
    centre.server.keeps = False
    centre.server.run(ONE)
    centre.settle(lambda effect: isinstance(effect, SendPull))
    centre.take(Submit)
    centre.give(SubmitUnknown((ONE,)))
    centre.settle()
    centre.engine.submit(ONE)
    centre.engine_says(ONE)
    assert (ONE,) == centre.take(Cancel).attempts


def test_a_clock_set_back_stops_no_heartbeat(centre: Centre) -> None:
    centre.later(5_000)
    centre.settle()
    count = len(centre.reports)
    centre.now_ms -= 3_600_000
    centre.later(0)
    centre.settle()
    centre.later(5_001)
    assert count < len(centre.reports)


def test_the_engine_is_asked_about_everything_from_time_to_time(centre: Centre) -> None:
    centre.run_to_running(ONE)
    centre.engine.end(ONE)
    for _ in range(5):
        centre.later(15_000)
        centre.settle()
    assert ONE in centre.server.ends, "although the engine gave no hint"


def test_a_record_that_cannot_be_written_lets_nothing_happen_and_loses_nothing(
    centre: Centre, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(batch: Batch) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    centre.server.run(ONE)
    pull = centre.take(SendPull)
    monkeypatch.setattr(centre.record, "commit", full)
    with pytest.raises(sqlite3.OperationalError):
        centre.give(PullAnswered(pull.number, centre.server.pull(pull.pull)))
    with pytest.raises(sqlite3.OperationalError):
        centre.start()
    assert not centre.asked(Submit)
    monkeypatch.undo()
    centre.start()
    centre.settle()
    assert Phase.HELD is centre.recorded(ONE).phase


def test_work_that_the_answer_does_not_hold_is_refused(centre: Centre) -> None:
    pull = centre.take(SendPull)
    wanted = DesiredAttempt(ONE, Desired.RUN, 1, "missing")
    centre.give(
        PullAnswered(pull.number, PullAnswer("store-1", 1, works={"other": WORK}, attempts=(wanted,)))
    )
    centre.settle()
    assert Cause.REJECTED is centre.server.ends[ONE].cause
