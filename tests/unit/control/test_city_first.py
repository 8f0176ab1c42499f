"""A city's own pools first: its tenants' jobs go there, overflow where there is room, and cities settle for that."""

from dataclasses import replace
from datetime import date

import pytest
from sqlalchemy import insert

from tests.unit.control.world import COORDINATOR, PROVINCE, TENANT, World, job, runs, world
from weir.billing.budget import Budget
from weir.billing.budget_orders import set_budget
from weir.billing.calendar_work import closes_ms, working_calendar
from weir.billing.price_book import read_price_book
from weir.billing.price_versions import apply_price_book
from weir.billing.settlement_cities import city_flows
from weir.billing.statement_close import close_month
from weir.control.explaining import explain
from weir.control.jobs import find
from weir.model.state import Observed
from weir.model.view import ExplanationView
from weir.registry import apply_province
from weir.store import Transaction, schema
from weir.units import MICRO_YUAN_PER_YUAN as YUAN
from weir.units import parse_time_ms

HOUR, MINUTE = 3_600_000, 60_000
JUNE = date(2025, 6, 1)
BOOK = """
version: 1
price_book: test
tax: {name: VAT, rate: "0.06"}
prices:
  - {pool: "*", core_hour: "0.50", memory_gb_hour: "0"}
  - {pool: "hefei-ai/*", core_hour: "0.60"}
"""
HEFEI = PROVINCE.centres[0]
SMALL = replace(PROVINCE, centres=(replace(HEFEI, pools=HEFEI.pools[1:]), PROVINCE.centres[1]))
"""Two nodes in Hefei, four in Wuhu, which are cheaper."""


@pytest.fixture
def w() -> World:
    made = world()
    made.now_ms = parse_time_ms("2025-06-03T10:00+08:00")
    made.store.write(lambda tx: begin(tx, made.now_ms))
    made.agents = {centre: made.agent(centre) for centre in ("hefei-ai", "wuhu-hpc")}  # type: ignore[attr-defined]
    return made


def begin(tx: Transaction, now_ms: int) -> None:
    """Prices, money, and where the tenant is at home."""
    apply_province(tx, SMALL, COORDINATOR, now_ms, catalogue={})
    apply_price_book(tx, COORDINATOR, read_price_book(BOOK, "book"), now_ms)
    set_budget(tx, COORDINATOR, Budget("lab", TENANT, limit=10_000 * YUAN), now_ms)
    fact = {
        "organisation": TENANT,
        "name": "home-city",
        "value": "hefei",
        "valid_from": "2025-01-01",
        "recorded_ms": now_ms,
        "recorded_by": "coordinator",
    }
    tx.connection.execute(insert(schema.organisation_fact), fact)


def rule(w: World, city_first: int | None) -> None:
    province = replace(SMALL, city_first=city_first)
    w.store.write(lambda tx: apply_province(tx, province, COORDINATOR, w.now_ms, catalogue={}))


def places(w: World) -> list[str]:
    return [row.centre for row in sorted(w.rows("attempt"), key=lambda row: row.job)]


def explained(w: World, name: str) -> ExplanationView:
    def said(connection):  # type: ignore[no-untyped-def]
        found = find(connection, w.coordinator, name)
        return explain(connection, found, w.control.stand(found.first), w.now_ms)

    return w.store.read(said)  # type: ignore[no-any-return]


def test_without_the_rule_the_cheaper_city_is_taken(w: World) -> None:
    w.submit(*(job(cores=8_000, time_limit=HOUR) for _ in range(3)))
    w.step()
    assert ["wuhu-hpc"] * 3 == places(w)


def test_with_it_a_tenant_s_own_city_is_filled_first_and_what_overflows_is_settled(w: World) -> None:
    rule(w, 30 * MINUTE)
    first, _, third = w.submit(*(job(cores=8_000, time_limit=HOUR) for _ in range(3)))
    w.step()
    assert ["hefei-ai", "hefei-ai", "wuhu-hpc"] == places(w)
    there = {pool.pool: pool for pool in explained(w, first.id).pools}
    assert ("chosen", "outscored") == (there["hefei-ai/cpu"].verdict, there["wuhu-hpc/cpu"].verdict)
    assert "not in hefei, its own city: it would rather wait 30m00s" in there["wuhu-hpc/cpu"].note
    over = {pool.pool: pool for pool in explained(w, third.id).pools}
    assert ("full", "chosen") == (over["hefei-ai/cpu"].verdict, over["wuhu-hpc/cpu"].verdict)
    assert "not in hefei" in over["wuhu-hpc/cpu"].note
    for agent in w.agents.values():  # type: ignore[attr-defined]
        attempts = [attempt.attempt for attempt in runs(agent.pull())]
        agent.report(*(agent.seen(attempt, Observed.RUNNING) for attempt in attempts))
        began_ms, w.now_ms = w.now_ms, w.now_ms + 30 * MINUTE
        ends = [agent.end(attempt) for attempt in attempts]
        agent.report(*(replace(each, end=replace(each.end, started_ms=began_ms)) for each in ends))
    w.store.write(lambda tx: close_month(tx, JUNE, COORDINATOR, closes_ms(JUNE, working_calendar())))
    flows = w.store.read(lambda connection: city_flows(connection, JUNE))
    assert [("hefei", "hefei", 2), ("hefei", "wuhu", 1)] == [
        (flow.from_city, flow.to_city, flow.charges) for flow in flows
    ]


def test_a_price_that_outweighs_the_wait_goes_to_another_city(w: World) -> None:
    rule(w, 1_000)
    w.submit(job(cores=8_000, time_limit=HOUR))
    w.step()
    assert ["wuhu-hpc"] == places(w)


def test_another_rule_counts_for_those_that_wait_already(w: World) -> None:
    w.submit(*(job(cores=8_000, time_limit=HOUR) for _ in range(7)))
    w.step()
    [waits] = [row.number for row in w.rows("job") if row.state == 12]
    rule(w, 30 * MINUTE)
    w.step()
    state = w.control._state
    assert state is not None
    slot = state.queue.find(waits)
    known = state.known.described[int(state.queue.slots["need"][slot])]
    assert known is not None
    assert ("hefei", 30 * MINUTE, 1_000) == (known.home, known.away_ms, known.net_milli)
