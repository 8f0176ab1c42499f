"""What an agent does about one attempt and another, told step by step."""

import sqlite3
from dataclasses import replace

import pytest

from tests.unit.agents.centre import POOL, SUCCESS, WORK, Centre
from weir.agents.effects import (
    Cancel,
    Collect,
    Describe,
    Fetch,
    Forget,
    Observe,
    SendPull,
    SendReport,
    Submit,
)
from weir.agents.inputs import (
    Collected,
    Described,
    EngineStates,
    EngineUnreachable,
    Fetched,
    LocalOrder,
    PullAnswered,
    PullFailed,
    ReportAnswered,
    ReportFailed,
    SubmitAnswered,
    SubmitUnknown,
)
from weir.agents.record import Batch, Order, Phase
from weir.engines.driver import EngineState, SubmitOutcome
from weir.model.agent import DesiredAttempt, End, InputFile, LogChunk, OutputFile, PullAnswer, ReportAnswer
from weir.model.state import Cause, Desired, Observed

ONE = "aaaaaaaaaaaa-1"
TWO = "aaaaaaaaaaaa-2"
FILE = InputFile("data", "0" * 64, 4)


@pytest.fixture
def centre() -> Centre:
    made = Centre()
    made.settle()
    return made


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


def test_an_end_is_told_until_the_server_has_it(centre: Centre) -> None:
    centre.server.keeps = False
    centre.run_to_running(ONE)
    centre.finish(ONE)
    centre.start()
    centre.settle()
    assert Observed.ENDED is centre.last_told(ONE).observed
    assert Phase.ENDED is centre.recorded(ONE).phase
    assert not centre.asked(Forget)
    centre.server.keeps = True
    centre.start()
    centre.settle()
    assert None is centre.recorded(ONE)


def test_an_end_waits_for_logs_and_outputs(centre: Centre) -> None:
    centre.run_to_running(ONE)
    centre.engine.end(ONE)
    centre.engine_says(ONE)
    centre.settle(lambda effect: not isinstance(effect, Collect))
    assert Observed.RUNNING is centre.server.observed[ONE]
    centre.take(Collect)
    output = OutputFile(0, "model.json", 3, "0" * 64)
    chunk = LogChunk(ONE, 0, "stdout", 0, "aGVsbG8=")
    centre.give(Collected(ONE, (output,), (chunk,), 7))
    centre.settle()
    assert (output,) == centre.server.ends[ONE].outputs
    assert 7 == centre.server.ends[ONE].dropped_log_bytes
    assert (chunk,) == next(report.chunks for report in centre.reports if report.chunks)


def test_small_logs_survive_a_crash_between_end_and_report(centre: Centre) -> None:
    centre.run_to_running(ONE)
    centre.engine.end(ONE)
    centre.engine_says(ONE)
    centre.take(Collect)
    chunk = LogChunk(ONE, 0, "stdout", 0, "aGVsbG8=")
    centre.give(Collected(ONE, (), (chunk,)))
    centre.start()
    centre.settle()
    assert (chunk,) == centre.reports[-1].chunks or (chunk,) == centre.reports[-2].chunks


@pytest.mark.parametrize(("ending", "cause"), [(SUCCESS, Cause.OUTPUTS), (None, Cause.CANCELLED)])
def test_outputs_that_cannot_be_taken_fail_a_success_alone(
    centre: Centre, ending: object, cause: Cause
) -> None:
    centre.run_to_running(ONE)
    if ending is None:
        centre.engine.cancel(ONE)
    else:
        centre.engine.end(ONE)
    centre.engine_says(ONE)
    centre.take(Collect)
    centre.give(Collected(ONE, problem="output 'x' leads out of the job's folder"))
    centre.settle()
    assert cause is centre.server.ends[ONE].cause
    assert "leads out" in centre.server.ends[ONE].message


def test_a_report_without_an_answer_is_made_again(centre: Centre) -> None:
    centre.server.run(ONE)
    centre.settle(lambda effect: not isinstance(effect, SendReport))
    lost = centre.take(SendReport)
    centre.give(ReportFailed(lost.number, "no answer"))
    assert not centre.asked(SendReport), "not before a pause"
    centre.later(5_000)
    again = centre.take(SendReport)
    assert again.number > lost.number
    assert {ONE} <= {seen.attempt for seen in again.report.observations}


def test_a_late_answer_to_an_older_report_acknowledges_nothing(centre: Centre) -> None:
    centre.server.run(ONE)
    centre.settle(lambda effect: not isinstance(effect, SendReport))
    lost = centre.take(SendReport)
    centre.give(ReportFailed(lost.number, "no answer"))
    centre.give(ReportAnswered(lost.number, ReportAnswer("store-1", lost.number)))
    centre.later(5_000)
    assert centre.take(SendReport).report.observations


def test_one_report_is_under_way_at_a_time(centre: Centre) -> None:
    centre.run_to_running(ONE)
    centre.later(60_000)
    assert centre.asked(SendReport)
    centre.engine.end(ONE)
    centre.engine_says(ONE)
    centre.take(Collect)
    centre.give(Collected(ONE))
    centre.take(SendReport)  # raises if there are two


def test_silence_is_broken_by_heartbeats(centre: Centre) -> None:
    centre.settle()
    count = len(centre.reports)
    centre.later(4_000)
    assert count == len(centre.reports)
    centre.later(1_001)
    assert count + 1 == len(centre.reports)
    assert () == centre.reports[-1].observations


def test_pools_are_told_when_they_change_and_once_a_minute(centre: Centre) -> None:
    assert (POOL,) == next(report.pools for report in centre.reports if report.pools)
    told = sum(report.pools is not None for report in centre.reports)
    centre.give(Described((POOL,), frozenset()))
    centre.settle()
    assert told == sum(report.pools is not None for report in centre.reports)
    centre.give(Described((), frozenset()))
    centre.settle()
    assert () == centre.reports[-1].pools
    for _ in range(13):
        centre.later(5_000)
        centre.settle(lambda effect: not isinstance(effect, Describe))
    assert told + 2 == sum(report.pools is not None for report in centre.reports)


def test_reports_are_full_at_start_on_request_and_for_another_store(centre: Centre) -> None:
    centre.run_to_running(ONE)
    assert [True] == [report.full for report in centre.reports[:1]]
    assert not centre.reports[-1].full
    centre.later(5_000)
    heartbeat = centre.take(SendReport)
    centre.give(ReportAnswered(heartbeat.number, ReportAnswer("store-1", heartbeat.number, want_full=True)))
    full = centre.take(SendReport).report
    assert full.full
    assert [(ONE, "gpu")] == [(seen.attempt, seen.pool) for seen in full.observations]
    assert full.observations[0].nodes
    centre.give(ReportAnswered(full.number, ReportAnswer("store-2", full.number)))
    again = centre.take(SendReport).report
    assert (True, "store-2") == (again.full, again.store_incarnation)


def test_incarnations_rise_over_starts_and_numbers_over_reports(centre: Centre) -> None:
    centre.later(5_000)
    centre.start()
    centre.settle()
    incarnations = [report.incarnation for report in centre.reports]
    assert {1, 2} == set(incarnations)
    assert sorted(incarnations) == incarnations
    numbers = [(report.incarnation, report.number) for report in centre.reports]
    assert sorted(set(numbers)) == numbers


def test_a_repeated_or_late_pull_answer_changes_nothing(centre: Centre) -> None:
    centre.server.run(ONE)
    pull = centre.take(SendPull)
    answer = PullAnswered(pull.number, centre.server.pull(pull.pull))
    centre.give(answer)
    centre.settle()
    centre.engine.begin(ONE)
    centre.finish(ONE)
    centre.give(answer)
    centre.settle()
    assert [ONE] == centre.submitted
    assert None is centre.recorded(ONE)


def test_failed_pulls_are_made_again_after_growing_pauses(centre: Centre) -> None:
    pauses = []
    for _ in range(8):
        pull = centre.take(SendPull)
        centre.give(PullFailed(pull.number, "no answer"))
        before = centre.now_ms
        while not centre.asked(SendPull):
            centre.later(10)
        pauses.append(centre.now_ms - before)
    assert pauses[0] <= 200
    assert 2_500 <= pauses[-1] <= 5_010


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
