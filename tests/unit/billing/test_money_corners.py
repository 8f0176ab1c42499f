"""Money where things come together: refunds and running attempts, late proofs, shortages, vouchers of waiting jobs."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from sqlalchemy import Connection

from tests.unit.billing.granted import ACME, CHIEF, NOON, Granted
from tests.unit.billing.test_priced_work import (
    BOOK,
    HERE,
    HOUR_MS,
    counter,
    end,
    explained,
    placed,
    priced,
    sound,
)
from tests.unit.control.world import COORDINATOR, OTHER, TENANT, World, job, runs
from weir.billing import holds
from weir.billing.budget import Budget, BudgetKind
from weir.billing.budget_orders import set_budget, top_up
from weir.billing.budget_periods import Period
from weir.billing.charges import refund
from weir.billing.hold_legs import VoucherOffer
from weir.billing.hold_offers import OfferRequest
from weir.billing.hold_rows import bar, submission_holds
from weir.billing.ledger import Entry, Transfer, open_account, post
from weir.billing.ledger_counters import open_counter
from weir.billing.voucher_offers import granting_offers
from weir.control import money, orders
from weir.model.problem import ProblemError
from weir.model.state import Cause, Observed
from weir.store import Transaction
from weir.units import MICRO_YUAN_PER_YUAN as YUAN

VOUCHER = "hold:voucher/city/lab/2023"
CLAIM = "pool/city/2023"


class Vouchers:
    """Half of every cost, up to `most` of one job; none where that is 0."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.asked: list[OfferRequest] = []

    def __call__(self, connection: Connection, request: OfferRequest) -> list[VoucherOffer]:
        self.asked.append(request)
        return [VoucherOffer(VOUCHER, "commitment:city", Fraction(1, 2), self.most)] if self.most else []


def vouched(made: World, monkeypatch: pytest.MonkeyPatch, most: int = 100 * YUAN) -> Vouchers:
    """Vouchers for all that the server sizes; their pool has 100 yuan."""

    def work(tx: Transaction) -> None:
        open_counter(tx, CLAIM, 100 * YUAN)
        open_account(tx, VOUCHER, [CLAIM])

    made.store.write(work)
    found = Vouchers(most)
    monkeypatch.setattr(money, "offers", lambda tx: found)
    return found


def test_a_running_attempt_gives_no_money_back() -> None:
    made = priced()
    agent, [attempt] = placed(
        made, job(cores=4_000, time_limit=2 * HOUR_MS, constraints=HERE, restartable=True)
    )
    began_ms = made.now_ms
    agent.report(agent.seen(attempt, Observed.RUNNING))
    made.now_ms += HOUR_MS
    agent.report()
    [row] = made.rows("job")

    def back(tx: Any) -> None:
        refund(tx, COORDINATOR, row.number, 1, YUAN, "why", made.now_ms)

    with pytest.raises(ProblemError, match="still runs"):
        made.store.write(back)
    end(made, agent, attempt, began_ms, Cause.NODE_FAILED)
    assert counter(made) == (8 * YUAN + 1, 0)
    sound(made)


def test_a_late_proof_of_success_charges_nothing_for_a_job_that_is_queued_again() -> None:
    made = priced()
    agent, [attempt] = placed(
        made, job(cores=4_000, time_limit=2 * HOUR_MS, constraints=HERE, restartable=True)
    )
    began_ms = made.now_ms
    agent.report(agent.seen(attempt, Observed.RUNNING))
    made.now_ms += HOUR_MS
    agent.report()
    for _ in range(2):
        made.now_ms += 60_000
        made.step()
    assert made.states() == ["unknown"]
    [submission] = made.rows("submission")
    made.store.write(lambda tx: orders.give_up(tx, COORDINATOR, submission.id, made.now_ms))
    assert made.states() == ["queued"]
    end(made, agent, attempt, began_ms)
    assert made.states() == ["queued"]
    assert counter(made) == (8 * YUAN + 1, 0)
    assert [row.kind for row in made.rows("charge")] == ["usage", "reversal"]
    sound(made)


def test_what_is_given_back_goes_where_it_came_from_also_when_the_job_is_sized_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = priced(book=BOOK.replace('{pool: "*",', '{pool: "*", preempted: charged,'))
    vouched(made, monkeypatch)
    agent, [attempt] = placed(
        made, job(cores=4_000, time_limit=2 * HOUR_MS, constraints=HERE, restartable=True)
    )
    began_ms = made.now_ms
    agent.report(agent.seen(attempt, Observed.RUNNING))
    made.now_ms += HOUR_MS
    end(made, agent, attempt, began_ms, Cause.PREEMPTED)
    assert made.states() == ["queued"]
    assert (counter(made)[1], counter(made, CLAIM)[1]) == (2 * YUAN, 2 * YUAN)
    [row] = made.rows("job")
    for left in (1, 0):
        made.store.write(
            lambda tx: refund(tx, COORDINATOR, row.number, 1, 2 * YUAN, "slow disk", made.now_ms)
        )
        assert (counter(made)[1], counter(made, CLAIM)[1]) == (left * YUAN, left * YUAN)
        assert counter(made)[0] + counter(made, CLAIM)[0] == 8 * YUAN + 1
        sound(made)


def give_lab(made: World, yuan: int) -> None:
    made.store.write(
        lambda tx: set_budget(tx, COORDINATOR, Budget("lab", TENANT, limit=yuan * YUAN), made.now_ms)
    )


def test_a_job_that_is_short_of_money_when_it_is_placed_runs_there_once_there_is_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = priced(limit_yuan=5)
    vouchers = vouched(made, monkeypatch)
    made.agent("hefei-ai")
    made.submit(job(cores=4_000, time_limit=2 * HOUR_MS, constraints=HERE))
    vouchers.most = 0
    made.step()
    assert made.states() == ["queued"]
    assert explained(made).waits_for == (
        "money: budget lab has too little left in 2023-11 for what the job can still cost",
    )
    sound(made)
    give_lab(made, 20)
    made.step()
    assert made.states() == ["placed"]
    assert counter(made) == (8 * YUAN + 1, 0)
    sound(made)


def test_a_job_that_may_use_no_pool_goes_on_waiting_when_there_is_money() -> None:
    made = priced()
    made.submit(job(cores=4_000, time_limit=2 * HOUR_MS, constraints=HERE))
    [row] = made.rows("job")

    def no_pools(tx: Transaction) -> None:
        [of] = submission_holds(tx.connection, [row.submission]).values()
        for pool in of.pools:
            [now] = submission_holds(tx.connection, [row.submission]).values()
            bar(tx, now, pool, ("a price", "none"))
        assert holds.start(tx, {row.number: of.pools[0]}, made.now_ms)

    made.store.write(no_pools)
    assert [own.waiting_ms for own in made.rows("job_hold")] == [made.now_ms]
    assert made.store.write(lambda tx: holds.wake(tx, made.now_ms)) == 0
    assert [own.waiting_ms for own in made.rows("job_hold")] == [made.now_ms]
    sound(made)


def test_what_a_job_has_of_a_voucher_already_is_free_for_it_when_it_is_sized_anew() -> None:
    granted = Granted()
    granted.scheme()
    granted.contract("k1", 100)
    wanted = OfferRequest(ACME, "research", "", ("cluster/ours",), 100 * YUAN, HOUR_MS, 2, NOON)

    def work(tx: Transaction) -> None:
        offers = granting_offers(tx, CHIEF)
        [first] = offers(tx.connection, wanted)
        assert first.most == 15 * YUAN
        reserved = Transfer(first.funding, first.account, 2 * first.most)
        post(tx, [Entry(ACME, "hold/1", "hold", NOON, (reserved,))])
        assert offers(tx.connection, wanted) == []
        [own] = offers(tx.connection, replace(wanted, own=((first.account, first.most), ("hold:x", 1))))
        assert own == first

    granted.write(work)
    granted.store.close()


def test_a_job_asks_for_vouchers_with_what_it_has_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    made = priced()
    vouchers = vouched(made, monkeypatch)
    made.agent("hefei-ai")
    made.submit(job(cores=4_000, time_limit=2 * HOUR_MS, constraints=HERE, array=2))
    made.step()
    submitted, *placing = vouchers.asked
    assert (VOUCHER, 4 * YUAN) not in submitted.own
    assert [(VOUCHER, 4 * YUAN) in one.own for one in placing] == [True, True]
    sound(made)


def test_a_job_that_waits_gets_vouchers_when_another_gives_its_money_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = priced(limit_yuan=9)
    vouchers = vouched(made, monkeypatch)
    one = job(cores=4_000, time_limit=2 * HOUR_MS, constraints=HERE)
    agent = made.agent("hefei-ai")
    made.submit(one, one)
    vouchers.most = 0
    made.step()
    assert sorted(made.states()) == ["placed", "queued"]
    [attempt] = [attempt.attempt for attempt in runs(agent.pull())]
    began_ms = made.now_ms
    agent.report(agent.seen(attempt, Observed.RUNNING))
    made.now_ms += HOUR_MS
    vouchers.most = 100 * YUAN
    end(made, agent, attempt, began_ms)
    assert counter(made) == (4 * YUAN + 1, 4 * YUAN)
    assert counter(made, CLAIM) == (4 * YUAN, 0)
    sound(made)


def test_a_job_that_waits_gets_vouchers_when_a_payment_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    made = priced()
    vouchers = vouched(made, monkeypatch)

    def pay(tx: Transaction, yuan: int, reference: str) -> None:
        top_up(tx, COORDINATOR, "cash", yuan * YUAN, reference, made.now_ms, money.offers(tx))

    def begin(tx: Transaction) -> None:
        cash = Budget("cash", OTHER, BudgetKind.PREPAID, Period.ONCE)
        set_budget(tx, COORDINATOR, cash, made.now_ms)
        pay(tx, 5, "1")

    made.store.write(begin)
    made.agent("hefei-ai")
    one = job(project="elsewhere", cores=4_000, time_limit=2 * HOUR_MS, constraints=HERE)
    made.submit(one, actor=made.other)
    vouchers.most = 0
    made.step()
    assert counter(made, "budget/cash/once") == (0, 0)
    vouchers.most = 100 * YUAN
    made.store.write(lambda tx: pay(tx, 1, "2"))
    assert counter(made, "budget/cash/once") == (4 * YUAN + 1, 0)
    sound(made)
