"""A voucher that pays at some pools alone draws a job there: in its hold, the plan, its quote and its reasons."""

import json
from typing import Any

from sqlalchemy import Connection

from tests.unit.control.world import COORDINATOR, TENANT, World, job, world
from weir.billing import verify
from weir.billing.budget import Budget
from weir.billing.budget_orders import set_budget
from weir.billing.charge_check import check_money
from weir.billing.hold_legs import legs_from
from weir.billing.price_book import read_price_book
from weir.billing.price_versions import apply_price_book
from weir.billing.scheme_change import apply_change
from weir.control.explaining import explain
from weir.control.jobs import find
from weir.control.quoting import quote_job
from weir.model.money_view import QuoteView
from weir.units import MICRO_YUAN_PER_YUAN as YUAN

HOUR_MS = 3_600_000
HERE, THERE = "hefei-ai/cpu", "wuhu-hpc/cpu"
BOOK = """
version: 1
price_book: test
tax: {name: VAT, rate: "0.06"}
prices:
  - {pool: "*", core_hour: "10.00", memory_gb_hour: "0", device_hour: {ascend-910b: "90.00"}}
  - {pool: "wuhu-hpc/*", core_hour: "12.00"}
"""
SCHEME = """
version: 1
scheme: super
name: Vouchers for supercomputing
sources: [{title: A law, official: true}]
editions:
  - begins: 2023-01-01
    base: usage
    pool_per_year: "1000000"
    holder_cap: {per_year: "CAP"}
    tiers: [{id: all, rate: "30%"}]
    supplier:
      - {id: kind, text: a supercomputing centre, when: {fact: centre.kind, one_of: [supercomputing]}}
    affiliation_refused: false
    redemption: {mode: deduct}
    funders: [{id: city, name: City}]
"""
ONE = job(cores=1_000, time_limit=HOUR_MS)


def funded(scheme: str | None = SCHEME, cap: str = "100000") -> World:
    """Where an hour of a core costs 10 yuan at one centre, and 12 yuan at another, of which a voucher pays 30 %."""
    made = world()

    def work(tx: Any) -> None:
        apply_price_book(tx, COORDINATOR, read_price_book(BOOK, "book"), 1)
        set_budget(tx, COORDINATOR, Budget("lab", TENANT, limit=1_000 * YUAN), made.now_ms)
        if scheme is not None:
            apply_change(tx, scheme.replace("CAP", cap), "super.yaml", COORDINATOR, made.now_ms)

    made.store.write(work)
    for centre in ("hefei-ai", "wuhu-hpc"):
        made.agent(centre)
    return made


def quoted(of: World) -> dict[str, int]:
    """What is left to pay after vouchers, by pool."""

    def work(connection: Connection) -> QuoteView:
        return quote_job(connection, of.tenant, ONE, of.now_ms)

    return {one.pool: one.net for one in of.store.read(work).pools if not one.refused}


def money_terms(of: World) -> dict[str, float]:
    """What an hour at each pool would cost the owner of the only job, as its reasons say of its expected run."""
    [submission] = of.rows("submission")

    def work(connection: Connection) -> dict[str, float]:
        found = find(connection, of.tenant, submission.id)
        view = explain(connection, found, of.control.stand(found.first), of.now_ms)
        return {
            one.pool: round(one.terms.money_micro_yuan * HOUR_MS / one.terms.run_ms, -2)
            for one in view.pools
            if one.terms is not None
        }

    return of.store.read(work)


def placed_at(of: World) -> str:
    [attempt] = of.rows("attempt")
    return f"{attempt.centre}/{attempt.pool}"


def sound(of: World) -> None:
    assert () == of.store.read(verify).faults
    assert [] == of.store.read(check_money)


def test_without_the_voucher_the_cheaper_pool_is_chosen() -> None:
    made = funded(scheme=None)
    made.submit(ONE)
    made.step()
    assert HERE == placed_at(made)
    assert "{}" == made.rows("hold")[0].paid_there


def test_a_job_goes_where_its_voucher_pays_and_quote_and_reasons_agree() -> None:
    made = funded()
    before = quoted(made)
    # 12 × 70 % = 8.40, and that before anything was ever claimed.
    assert {HERE: 10 * YUAN, THERE: 8_400_000} == {key: before[key] for key in (HERE, THERE)}
    made.submit(ONE)
    [hold] = made.rows("hold")
    assert {THERE: 300} == json.loads(hold.paid_there)
    # It may still run where no voucher pays: until it is placed, all of the dearest is held of the budget.
    assert [None] == [leg.share for leg in legs_from(hold.legs)]
    sound(made)
    made.step()
    assert THERE == placed_at(made)
    found = money_terms(made)
    assert {HERE: 10 * YUAN, THERE: 8_400_000} == {key: found[key] for key in (HERE, THERE)}
    [own] = made.rows("job_hold")
    voucher, budget = legs_from(own.legs)
    assert 3_600_000 == voucher.held  # 12 × 30 %
    assert 8_400_000 <= budget.held <= 8_400_002
    assert before == quoted(made)
    sound(made)


def test_a_cap_that_is_nearly_used_up_counts_as_little_as_it_pays() -> None:
    made = funded(cap="1")
    # 1 of 12 yuan is left, a twelfth: 11.00 to pay.
    assert {HERE: 10 * YUAN, THERE: 11 * YUAN} == {key: quoted(made)[key] for key in (HERE, THERE)}
    made.submit(ONE)
    [hold] = made.rows("hold")
    assert {THERE: 83} == json.loads(hold.paid_there)
    made.step()
    assert HERE == placed_at(made)
    sound(made)


def test_a_voucher_that_pays_everywhere_alike_needs_no_word_by_pool() -> None:
    made = funded(SCHEME.replace("[supercomputing]", "[supercomputing, intelligent]"))
    made.submit(ONE)
    [hold] = made.rows("hold")
    assert "{}" == hold.paid_there
    assert ["3/10", "None"] == [str(leg.share) for leg in legs_from(hold.legs)]
    made.step()
    assert HERE == placed_at(made)
    found = money_terms(made)
    assert {HERE: 7 * YUAN, THERE: 8_400_000} == {key: found[key] for key in (HERE, THERE)}
    sound(made)
