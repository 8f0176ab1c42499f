"""What the core is told of how long jobs will run: learnt from what ended here, and never from what has not."""

from typing import Any

import pytest

from tests.unit.control.world import COORDINATOR, TENANT, World, job, runs, world
from weir.billing.budget import Budget
from weir.billing.budget_orders import set_budget
from weir.billing.price_book import read_price_book
from weir.billing.price_versions import apply_price_book
from weir.control.expectations import ASKED_EVERY_MS
from weir.control.quoting import quote_job
from weir.control.snapshot import Snapshot
from weir.model.job import JobSpecification
from weir.model.money_view import QuoteView
from weir.model.state import Cause, Observed
from weir.scheduling.inputs import Changes

HOUR, MINUTE = 3_600_000, 60_000
BOOK = """
version: 1
price_book: test
tax: {name: VAT, rate: "0.06"}
prices: [{pool: "*", core_hour: "1.00", memory_gb_hour: "0", device_hour: {ascend-910b: "9.00"}}]
"""


@pytest.fixture
def w() -> World:
    made = world()
    made.only = made.agent("wuhu-hpc")  # type: ignore[attr-defined]
    return made


def ran(
    w: World, specification: JobSpecification, for_ms: int, cause: Cause | None = None, **told: Any
) -> None:
    """Submit a job and let it run for so long."""
    w.submit(specification, **told)
    w.step()
    agent = w.only  # type: ignore[attr-defined]
    [attempt] = runs(agent.pull())
    agent.report(agent.seen(attempt.attempt, Observed.RUNNING))
    w.step()
    w.now_ms += for_ms
    agent.report(agent.end(attempt.attempt, cause))
    w.step()


def expected(w: World, snapshot: Snapshot) -> dict[int, int]:
    """What a reader is told of those that wait."""
    changes = w.store.read(lambda connection: snapshot.read(connection, w.now_ms)).changes
    return told(changes)


def told(changes: Changes | None) -> dict[int, int]:
    batches = () if changes is None else changes.queued
    return {
        job: ms for one in batches for job, ms in zip(one.job.tolist(), one.expected.tolist(), strict=True)
    }


def test_without_a_history_half_of_the_limit_is_expected(w: World) -> None:
    w.submit(job(time_limit=2 * HOUR))
    [found] = expected(w, Snapshot()).values()
    assert HOUR - MINUTE < found <= HOUR


def test_a_user_s_jobs_are_expected_to_run_as_long_as_those_before_them(w: World) -> None:
    for _ in range(8):
        ran(w, job(time_limit=2 * HOUR), 5 * MINUTE)
    w.submit(job(time_limit=2 * HOUR))
    [found] = expected(w, Snapshot()).values()
    assert 4 * MINUTE < found < 8 * MINUTE


def test_who_has_followed_all_along_expects_what_a_new_reader_does(w: World) -> None:
    follower = Snapshot()
    expected(w, follower)
    for minutes in (5, 7, 6):
        ran(w, job(time_limit=2 * HOUR), minutes * MINUTE)
    w.submit(job(time_limit=2 * HOUR), job(time_limit=HOUR))
    followed = expected(w, follower)
    assert len(followed) == 2
    assert expected(w, Snapshot()) == followed


@pytest.mark.parametrize("cause", [Cause.CANCELLED, Cause.NODE_FAILED, Cause.START])
def test_nothing_is_learnt_of_what_was_stopped_lost_or_never_began(w: World, cause: Cause) -> None:
    other = world()
    ran(w, job(time_limit=2 * HOUR), MINUTE, cause)
    for each in (w, other):
        each.submit(job(time_limit=2 * HOUR))
    assert [*expected(w, Snapshot()).values()] == [*expected(other, Snapshot()).values()]


def test_waiting_jobs_are_told_anew_once_a_minute_when_one_of_their_user_has_ended(w: World) -> None:
    # Four jobs fill the centre, two wait.
    w.submit(*(job(cores=8_000, time_limit=2 * HOUR) for _ in range(4)))
    w.step()
    w.submit(*(job(cores=8_000, time_limit=2 * HOUR) for _ in range(2)))
    follower = Snapshot()
    first = expected(w, follower)
    assert len(first) == 2
    agent = w.only  # type: ignore[attr-defined]
    attempts = runs(agent.pull())
    for attempt in attempts:
        agent.report(agent.seen(attempt.attempt, Observed.RUNNING))
    w.now_ms += MINUTE
    agent.report(agent.end(attempts[0].attempt))
    anew = expected(w, follower)
    assert first.keys() == anew.keys()
    assert all(anew[number] < first[number] * 3 // 4 for number in first)
    w.now_ms += ASKED_EVERY_MS - 1
    agent.report(agent.end(attempts[1].attempt))
    assert {} == expected(w, follower)
    w.now_ms += 1
    follower.promised = frozenset({min(first)})
    for attempt in attempts[2:]:
        agent.report(agent.end(attempt.attempt, Cause.EXIT, exit_code=1))
    assert min(first) not in expected(w, follower)


def test_the_cycle_tells_what_it_goes_by_and_the_core_has_what_was_expected(w: World) -> None:
    for _ in range(4):
        ran(w, job(time_limit=2 * HOUR), MINUTE)
    w.submit(*(job(cores=8_000, time_limit=2 * HOUR) for _ in range(6)))
    w.step()
    state = w.control._state
    assert state is not None
    waits = state.queue.slots[state.queue.slots["job"] >= 0]
    assert 2 == len(waits)
    assert set(waits["limit"].tolist()) == {2 * HOUR}
    assert max(waits["expected"].tolist()) < 10 * MINUTE
    assert "predicted/1" == w.changes()[-1].body["forecast"]


def test_a_quote_foresees_what_would_be_expected_of_the_job_once_it_waits(w: World) -> None:
    apply = read_price_book(BOOK, "book")
    w.store.write(lambda tx: apply_price_book(tx, COORDINATOR, apply, w.now_ms))
    w.store.write(lambda tx: set_budget(tx, COORDINATOR, Budget("lab", TENANT, limit=10**9), w.now_ms))
    asked = job(time_limit=2 * HOUR)

    def quoted() -> QuoteView:
        foresee = w.control.forecast
        return w.store.read(lambda connection: quote_job(connection, w.tenant, asked, w.now_ms, foresee))

    assert (None, 0) == (quoted().forecast_ms, quoted().forecast_from)
    for _ in range(3):
        ran(w, asked, 6 * MINUTE)
    found = quoted()
    w.submit(asked)
    [expected_ms] = expected(w, Snapshot()).values()
    assert (expected_ms, 3) == (found.forecast_ms, found.forecast_from)
    [pool, *_] = found.pools
    assert pool.at_forecast is not None
    assert 5 * pool.at_forecast < pool.at_limit
    w.control.resign(w.now_ms)
    assert quoted().forecast_ms is None
