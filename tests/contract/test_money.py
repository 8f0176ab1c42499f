"""Prices, holds and charges on both databases, with more rows at once than go one by one."""

from typing import Any

from tests.unit.control.world import COORDINATOR, TENANT, declare, job
from weir.billing import balances, counters, verify
from weir.billing.budget import Budget
from weir.billing.budget_orders import set_budget
from weir.billing.charges import BillScope, bill
from weir.billing.exceptions import exceptions
from weir.billing.holds import release, start
from weir.billing.meters import Seen, observe
from weir.billing.price_book import read_price_book
from weir.billing.price_versions import apply_price_book
from weir.store import Store

HOUR_MS = 3_600_000
YUAN = 1_000_000
JOBS = 20
BOOK = """
version: 1
price_book: test
tax: {name: VAT, rate: "0.06"}
prices: [{pool: "*", core_hour: "1.00", memory_gb_hour: "0"}]
"""


def test_work_is_priced_held_metered_and_charged(store: Store) -> None:
    world = declare(store)

    def begin(tx: Any) -> None:
        apply_price_book(tx, COORDINATOR, read_price_book(BOOK, "book"), world.now_ms)
        set_budget(tx, COORDINATOR, Budget("lab", TENANT, limit=1_000 * YUAN), world.now_ms)

    store.write(begin)
    world.submit(job(time_limit=2 * HOUR_MS, array=JOBS))
    numbers = list(range(1, JOBS + 1))
    assert {} == store.write(lambda tx: start(tx, dict.fromkeys(numbers, "hefei-ai/cpu"), world.now_ms))
    later = world.now_ms + HOUR_MS
    running = [Seen(number, 1, "hefei-ai", "cpu", world.now_ms) for number in numbers]
    store.write(lambda tx: observe(tx, running, later))
    store.write(lambda tx: observe(tx, running, later))
    ended = [Seen(number, 1, "hefei-ai", "cpu", world.now_ms, lasted_ms=HOUR_MS // 2) for number in numbers]
    store.write(lambda tx: observe(tx, ended, later))
    store.write(lambda tx: release(tx, {1: numbers}, later))
    found = store.read(lambda c: counters(c, ["budget/lab/2023-11"]))["budget/lab/2023-11"]
    assert (found.held, found.spent) == (0, JOBS * YUAN // 2)
    assert store.read(lambda c: balances(c, "payable")) == {"payable:hefei-ai": JOBS * YUAN // 2}
    shown = store.read(lambda c: bill(c, BillScope(TENANT), 0, later + 1))
    assert (shown.total, len(shown.charges)) == (JOBS * YUAN // 2, 2 * JOBS)
    assert store.read(exceptions) == []
    assert store.read(verify).faults == ()
