"""A job that could start now waits for a better pool only while its promise there is worth it."""

from dataclasses import replace

import numpy as np
import pytest

from tests.unit.scheduling.provinces import HOUR, NOW, pool, started, task, waiting
from weir.scheduling import Policy, State, explain, step, validate
from weir.scheduling.inputs import Changes, JobClass, RunningJob
from weir.scheduling.plan import PoolReason, Verdict

MINUTE = 60_000
LATER = Policy(later=True)
"""An hour is worth ¥10."""
CHEAP, DEAR = (
    pool("cheap/a", nodes=1, device_hour_micro_yuan=10_000_000, core_hour_micro_yuan=0),
    pool("dear/a", nodes=1, device_hour_micro_yuan=12_000_000, core_hour_micro_yuan=0),
)
WHOLE = task(devices_milli=8_000)
"""An hour of it costs ¥16 more where it is dear, which is worth 96 minutes of waiting."""


def busy(limit_ms: int, key: str = "cheap/a", job: int = 100) -> RunningJob:
    return RunningJob(job, WHOLE, key, ((0, 1),), NOW, limit_ms)


def begun(limit_ms: int, policy: Policy = LATER, wish: JobClass = WHOLE) -> tuple[State, dict[int, str]]:
    """One job comes while the cheap pool is busy for so long by its limit, and the dear one is free."""
    changes = Changes(pools=(CHEAP, DEAR), running=(busy(limit_ms),), queued=(waiting(wish, [1]),))
    state, plan = step(State.empty(policy), changes, NOW)
    validate(state)
    return state, started(plan)


def reasons_of(state: State, job: int) -> dict[str, PoolReason]:
    found = explain(state, job)
    assert found is not None
    return {reason.pool: reason for reason in found.pools}


@pytest.mark.parametrize(("minutes", "starts"), [(95, {}), (96, {1: "dear/a"}), (97, {1: "dear/a"})])
def test_a_job_waits_for_a_better_pool_up_to_break_even(minutes: int, starts: dict[int, str]) -> None:
    assert starts == begun(minutes * MINUTE)[1]


def test_without_the_flag_a_job_starts_wherever_there_is_room() -> None:
    assert {1: "dear/a"} == begun(MINUTE, Policy())[1]


def test_who_minds_only_the_time_does_not_wait_for_a_price() -> None:
    assert {1: "dear/a"} == begun(MINUTE, wish=replace(WHOLE, weight_money=0))[1]


def test_who_waits_is_promised_the_better_pool_and_is_told_what_that_is_worth() -> None:
    state, _ = begun(HOUR)
    [kept] = state.reservations()
    assert (1, "cheap/a", NOW + HOUR) == (kept.job, kept.pool, kept.start_ms)
    reasons = reasons_of(state, 1)
    assert (Verdict.FULL, NOW + HOUR) == (reasons["cheap/a"].verdict, reasons["cheap/a"].not_before_ms)
    dear = reasons["dear/a"]
    assert (Verdict.OUTSCORED, NOW + HOUR) == (dear.verdict, dear.rather_at_ms)
    assert 16_000_000 - 10_000_000 == dear.better_by_micro_yuan
    assert "it waits for cheap/a" in dear.note


def test_a_promise_that_slips_past_break_even_gives_way_to_a_start_now() -> None:
    state, _ = begun(HOUR)
    state, plan = step(state, Changes(running=(busy(2 * HOUR),)), NOW + MINUTE)
    assert {1: "dear/a"} == started(plan)


def test_a_promise_that_slips_a_little_is_waited_for() -> None:
    state, _ = begun(HOUR)
    state, plan = step(state, Changes(running=(busy(HOUR + MINUTE),)), NOW + MINUTE)
    assert {} == started(plan)
    [kept] = plan.reservations
    assert (NOW + HOUR + MINUTE, NOW + HOUR) == (kept.start_ms, kept.first_start_ms)


def test_nobody_waits_for_what_should_have_ended() -> None:
    state, _ = begun(HOUR)
    state, plan = step(state, Changes(), NOW + HOUR - 1)
    assert {} == started(plan)
    _, plan = step(state, Changes(), NOW + HOUR)
    assert {1: "dear/a"} == started(plan)


def test_who_loses_the_promise_to_a_job_ahead_starts_where_there_is_room() -> None:
    state, _ = begun(HOUR)
    first = waiting(replace(WHOLE, centres=("cheap",)), [2], priority=1)
    _, plan = step(state, Changes(queued=(first,)), NOW + MINUTE)
    assert {1: "dear/a"} == started(plan)
    assert [(2, "cheap/a")] == [(kept.job, kept.pool) for kept in plan.reservations]


def test_whoever_is_behind_and_promised_nothing_starts_now() -> None:
    changes = Changes(pools=(CHEAP, DEAR), running=(busy(HOUR),), queued=(waiting(WHOLE, [1, 2]),))
    _, plan = step(State.empty(LATER), changes, NOW)
    assert {2: "dear/a"} == started(plan)
    assert [(1, "cheap/a")] == [(kept.job, kept.pool) for kept in plan.reservations]


def test_the_better_pool_is_taken_as_soon_as_it_is_free() -> None:
    state, _ = begun(HOUR)
    _, plan = step(state, Changes(freed=(100,)), NOW + MINUTE)
    assert {1: "cheap/a"} == started(plan)


def test_who_has_not_waited_long_enough_to_be_promised_a_pool_takes_what_there_is() -> None:
    assert {1: "dear/a"} == begun(MINUTE, replace(LATER, gate_ms=HOUR))[1]


def test_of_two_better_pools_the_one_is_waited_for_where_the_job_scores_best_from_its_start_on() -> None:
    soon = pool("soon/a", nodes=1, device_hour_micro_yuan=10_500_000, core_hour_micro_yuan=0)
    for minutes, wanted in ((30, "soon/a"), (10, "cheap/a")):
        running = (busy((30 if minutes == 30 else 20) * MINUTE + MINUTE), busy(MINUTE, "soon/a", 101))
        state, plan = step(
            State.empty(LATER),
            Changes(pools=(CHEAP, DEAR, soon), running=running, queued=(waiting(WHOLE, [1]),)),
            NOW,
        )
        assert {} == started(plan)
        [kept] = state.reservations()
        assert wanted == kept.pool


def test_a_job_that_waits_and_could_start_is_as_well_off_when_told_anew() -> None:
    state, _ = begun(HOUR)
    told = Changes(
        pools=(CHEAP, DEAR),
        running=(busy(HOUR),),
        queued=(waiting(WHOLE, [1]),),
        promised=state.reservations(),
    )
    for minute in range(1, 60, 7):
        now_ms = NOW + minute * MINUTE
        state, plan = step(state, Changes(), now_ms)
        _, again = step(State.empty(LATER), told, now_ms)
        assert (plan.digest, {}) == (again.digest, started(again))


@pytest.mark.parametrize("wrong", [{"depth": 0}, {"placement": 1}])
def test_only_who_promises_and_places_by_score_can_let_jobs_wait(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="later: a job can only wait"):
        Policy(later=True, **wrong)  # type: ignore[arg-type]


def test_nobody_who_waits_by_choice_keeps_others_from_what_he_does_not_take() -> None:
    state, _ = begun(HOUR)
    other = waiting(replace(WHOLE, centres=("dear",)), [2], submitted_ms=NOW + 1)
    _, plan = step(state, Changes(queued=(other,)), NOW + MINUTE)
    assert {2: "dear/a"} == started(plan)
    assert np.array_equal([1], [kept.job for kept in plan.reservations])
