"""Jobs that wait too long in an engine's queue are placed elsewhere, and nothing runs twice by that."""

import functools
from typing import Any

import pytest
from sqlalchemy import Connection, update

from tests.unit.control.world import COORDINATOR, TENANT, Agent, World, job, runs, world
from weir.billing.budget import Budget
from weir.billing.budget_orders import set_budget
from weir.billing.price_book import read_price_book
from weir.billing.price_versions import apply_price_book
from weir.control import orders, withdrawals
from weir.control.listed import AnyRow
from weir.control.liveness import Patience
from weir.model.agent import DesiredAttempt, End, Observation
from weir.model.identity import attempt_id, parse_attempt_id
from weir.model.job import Constraints
from weir.model.state import Cause, Observed
from weir.store import Transaction, schema
from weir.units import MICRO_YUAN_PER_YUAN as YUAN

MINUTE_MS = 60_000
ABLE = ("gang", "shares", "queue", "withdraw")
BOOK = """
version: 1
price_book: test
tax: {name: VAT, rate: "0.06"}
prices: [{pool: "*", core_hour: "0.50", memory_gb_hour: "0"}]
"""


def test_what_waits_too_long_is_taken_back_and_placed_where_there_is_room() -> None:
    w, here, there, attempt = stuck()
    pass_time(w, 11, here, there)
    [told] = [each for each in here.pull().attempts if each.withdrawn]
    assert (told.attempt, told.desired.name) == (attempt.attempt, "RUN")
    assert w.states() == ["starting"]  # until its centre confirms
    here.report(taken_back(w, attempt.attempt))
    assert w.states() == ["queued"]
    w.step()
    [old, new] = w.rows("attempt")
    assert (old.cause, new.centre, new.epoch) == ("withdrawn", "hefei-ai", 2)
    assert old.message == "waited 10 min at wuhu-hpc/cpu, forecast 0 s; moved to hefei-ai/cpu"
    [moved] = runs(there.pull())
    there.report(there.seen(moved.attempt, Observed.RUNNING))
    there.report(there.end(moved.attempt))
    assert w.states() == ["succeeded"]


def test_those_that_wait_are_looked_at_by_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    w, here, *_ = stuck()
    w.submit(*(job(constraints=Constraints(centres=("wuhu-hpc",))) for _ in range(2)))
    w.step()
    here.report(*(here.seen(each.attempt, Observed.QUEUED) for each in runs(here.pull())))
    monkeypatch.setattr(withdrawals, "_WAITING", withdrawals._WAITING.limit(2))

    def overdue(after: withdrawals.Place, connection: Connection) -> list[AnyRow]:
        return withdrawals.overdue(connection, now_ms, Patience(), after)

    now_ms, after, seen = w.now_ms + 60 * MINUTE_MS, withdrawals.FIRST, []
    for _ in range(3):
        rows = w.store.read(functools.partial(overdue, after))
        after = withdrawals.last_of(rows)
        seen.append([row.number for row in rows])
    assert [2, 1, 2] == [len(each) for each in seen]
    assert seen[0] == seen[2] == sorted(seen[0])
    assert 3 == len({*seen[0], *seen[1]})


def test_what_has_started_meanwhile_goes_on() -> None:
    w, here, there, attempt = stuck()
    pass_time(w, 11, here, there)
    assert [each for each in here.pull().attempts if each.withdrawn]
    here.report(here.seen(attempt.attempt, Observed.RUNNING))
    w.step()
    assert w.states() == ["running"]
    here.report(here.end(attempt.attempt))
    w.step()
    assert (w.states(), len(w.rows("attempt"))) == (["succeeded"], 1)


def test_one_that_was_started_and_then_ended_is_not_started_again() -> None:
    w, here, there, attempt = stuck()
    pass_time(w, 11, here, there)
    ended = here.end(attempt.attempt, Cause.CANCELLED)  # by its centre's operator, while it ran
    here.report(ended)
    w.step()
    assert (w.states(), len(w.rows("attempt"))) == (["cancelled"], 1)


def test_a_cancel_goes_before_a_withdrawal() -> None:
    w, here, there, attempt = stuck()
    pass_time(w, 11, here, there)
    [submission] = w.rows("submission")
    w.store.write(lambda tx: orders.cancel(tx, w.tenant, submission.id, w.now_ms))
    w.step()
    here.report(taken_back(w, attempt.attempt))
    w.step()
    assert (w.states(), len(w.rows("attempt"))) == (["cancelled"], 1)


def test_nothing_is_taken_back_before_its_time_or_for_no_better_place() -> None:
    w, here, there, _ = stuck()
    pass_time(w, 9, here, there)
    assert withdrawn(w) == []
    w, here, there, _ = stuck(constraints=Constraints(centres=("wuhu-hpc",)))
    pass_time(w, 11, here, there)
    assert withdrawn(w) == []


def test_nothing_is_taken_back_where_the_engine_cannot_or_the_wait_was_forecast() -> None:
    w, here, there, _ = stuck(capabilities=("gang", "shares", "queue"))
    pass_time(w, 11, here, there)
    assert withdrawn(w) == []
    w, here, there, _ = stuck()
    w.store.write(
        lambda tx: tx.connection.execute(update(schema.attempt).values(expected_wait_ms=20 * MINUTE_MS))
    )
    pass_time(w, 45, here, there)
    assert withdrawn(w) == []
    pass_time(w, 6, here, there)
    assert len(withdrawn(w)) == 1


def test_nothing_is_taken_back_for_a_pool_that_had_no_price_when_it_was_submitted() -> None:
    w = world()
    w.store.write(lambda tx: with_prices(tx, BOOK.replace("*", "wuhu-hpc/*"), w.now_ms))
    w, here, there, _ = stuck(w)
    w.store.write(lambda tx: with_prices(tx, BOOK, w.now_ms))
    pass_time(w, 11, here, there)
    assert withdrawn(w) == []


def test_a_job_is_moved_so_often_at_most_and_no_attempt_is_used_up_by_it() -> None:
    w, here, there, attempt = stuck(restartable=True, max_attempts=2)
    agents = {"wuhu-hpc": here, "hefei-ai": there}
    moved = 0
    for _ in range(5):
        pass_time(w, 11, here, there)
        agent = agents[w.rows("attempt")[-1].centre]
        told = [each for each in agent.pull().attempts if each.withdrawn]
        if not told:
            break
        moved += 1
        agent.report(taken_back(w, told[0].attempt))
        w.step()
        newest = w.rows("attempt")[-1]
        agent = agents[newest.centre]
        [again] = [each for each in runs(agent.pull()) if parse_attempt_id(each.attempt)[1] == newest.epoch]
        agent.report(agent.seen(again.attempt, Observed.QUEUED))
    assert moved == 3
    newest = w.rows("attempt")[-1]
    assert newest.epoch == 4
    name = attempt_id(parse_attempt_id(attempt.attempt)[0], 4)
    agents[newest.centre].report(agents[newest.centre].seen(name, Observed.RUNNING))
    agents[newest.centre].report(agents[newest.centre].end(name, Cause.NODE_FAILED))
    assert w.states() == ["queued"]  # the second of its two attempts is still to come


def with_prices(tx: Transaction, book: str, now_ms: int) -> None:
    apply_price_book(tx, COORDINATOR, read_price_book(book, "book"), now_ms)
    set_budget(tx, COORDINATOR, Budget("lab", TENANT, limit=1_000_000 * YUAN), now_ms)


def stuck(
    w: World | None = None, capabilities: tuple[str, ...] = ABLE, **fields: Any
) -> tuple[World, Agent, Agent, DesiredAttempt]:
    """A job that waits in the queue of wuhu-hpc; hefei-ai, where there is room, came later."""
    w = w or world()
    here = Agent(w, "wuhu-hpc", capabilities=capabilities)
    here.hello()
    w.submit(job(**fields))
    w.step()
    there = Agent(w, "hefei-ai", capabilities=ABLE)
    there.hello()
    [attempt] = runs(here.pull())
    here.report(here.seen(attempt.attempt, Observed.QUEUED))
    w.step()
    return w, here, there, attempt


def taken_back(w: World, attempt: str) -> Observation:
    end = End(Cause.CANCELLED, None, None, "taken back before its start", None, w.now_ms)
    return Observation(attempt, Observed.ENDED, end=end)


def withdrawn(w: World) -> list[str]:
    return [row.withdrawn for row in w.rows("attempt") if row.withdrawn]


def pass_time(w: World, minutes: int, *agents: Agent) -> None:
    for _ in range(3 * minutes):
        w.now_ms += MINUTE_MS // 3
        for agent in agents:
            agent.report()
        w.step()
