"""How an agent tells what it knows, and hears what is wanted: reports, ends and pulls, step by step."""

import pytest

from tests.unit.agents.centre import POOL, SUCCESS, Centre
from weir.agents.effects import (
    Collect,
    Describe,
    Forget,
    SendPull,
    SendReport,
)
from weir.agents.inputs import (
    Collected,
    Described,
    PullAnswered,
    PullFailed,
    ReportAnswered,
    ReportFailed,
)
from weir.agents.record import Phase
from weir.model.agent import End, InputFile, LogChunk, OutputFile, ReportAnswer
from weir.model.state import Cause, Observed

ONE = "aaaaaaaaaaaa-1"
TWO = "aaaaaaaaaaaa-2"
FILE = InputFile("data", "0" * 64, 4)


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


def test_an_end_is_told_again_to_a_server_that_still_wants_the_attempt(centre: Centre) -> None:
    centre.server.keeps = False
    centre.run_to_running(ONE)
    centre.finish(ONE)
    del centre.server.ends[ONE], centre.server.observed[ONE]
    centre.server.keeps = True
    centre.server.run(ONE)
    centre.settle()
    assert End(None, 0, None, "", 500, 900) == centre.server.ends[ONE]
    assert [ONE] == centre.submitted
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
