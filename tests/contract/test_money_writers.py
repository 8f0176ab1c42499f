"""32 clients submit at once against one budget and one scheme's pool: never over, never stuck, on both databases."""

import random
import threading
from collections.abc import Callable

from tests.unit.billing.granted import ACME, CHIEF, FACTS, NOON, PROVINCE, YUAN, scheme_text
from weir.access import server_itself
from weir.billing import counters, verify
from weir.billing.budget import Budget
from weir.billing.budget_orders import set_budget
from weir.billing.charge_check import check_money
from weir.billing.price_book import read_price_book
from weir.billing.price_versions import apply_price_book
from weir.billing.scheme_change import apply_change
from weir.control.intake import submit
from weir.model.job import JobSpecification
from weir.model.problem import ProblemError
from weir.registry import apply_province, import_facts, read_fact_file, read_province
from weir.store import Store, StoreBusyError, Transaction

WRITERS = 32
POOL, BUDGET = "pool/city/2025", "budget/lab/2025-06"
BOOK = """
version: 1
price_book: test
tax: {name: VAT, rate: "0.06"}
prices: [{pool: "*", core_hour: "1.00", memory_gb_hour: "0"}]
"""
JOB = JobSpecification(
    command=("true",), project="research", cores=2_000, memory=1 << 30, time_limit=3_600_000
)
"""It can cost 2 yuan, of which the scheme pays half as long as its pool lasts."""


def test_32_submitters_never_exceed_a_budget_or_a_schemes_pool(store: Store) -> None:
    store.write(_begin)
    refused: list[str] = []
    failures: list[BaseException] = []

    def work(writer: int) -> None:
        try:
            _submit(store, random.Random(writer).getrandbits)
        except ProblemError as error:
            refused.append(error.problem.kind)
        except BaseException as error:  # noqa: BLE001 - shown below, whatever it is
            failures.append(error)

    threads = [threading.Thread(target=work, args=(writer,)) for writer in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(200)
    assert [] == failures
    assert {"money"} == set(refused)
    found = store.read(lambda c: counters(c, [POOL, BUDGET]))
    # Who was refused, was refused at a limit that is reached: nobody gives anything back here.
    assert 0 <= found[POOL].available < YUAN
    assert 0 <= found[BUDGET].available < 2 * YUAN
    accepted = WRITERS - len(refused)
    rounding = 2 * accepted
    assert 0 <= found[POOL].held + found[BUDGET].held - 2 * YUAN * accepted <= rounding
    assert [] == store.read(check_money)
    assert () == store.read(verify).faults


def _submit(store: Store, randbits: Callable[[int], int]) -> None:
    while True:
        try:
            store.write(lambda tx: submit(tx, server_itself(), [JOB], NOON, randbits))
        except StoreBusyError:
            continue  # on PostgreSQL: turned away after many conflicts, told to come again, and nothing of it kept
        return


def _begin(tx: Transaction) -> None:
    apply_province(tx, read_province(PROVINCE, "small.yaml"), server_itself(), 1)
    import_facts(tx, read_fact_file(FACTS, "facts.csv"), CHIEF, 1)
    apply_price_book(tx, CHIEF, read_price_book(BOOK, "book"), 1)
    set_budget(tx, CHIEF, Budget("lab", ACME, limit=16 * YUAN), NOON)
    scheme = scheme_text(base="usage", rate="50%", pool="8", cap="600")
    apply_change(tx, scheme, "city.yaml", CHIEF, NOON)
