"""32 writers that submit whole jobs against one budget and one scheme's pool, each in a transaction of its own."""

import secrets
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from bench.figure import Figure
from bench.postgresql import postgresql, programs
from weir.access import server_itself
from weir.billing import counters, verify
from weir.billing.budget import Budget
from weir.billing.budget_orders import set_budget
from weir.billing.budget_periods import Period
from weir.billing.charge_check import check_money
from weir.billing.price_book import read_price_book
from weir.billing.price_versions import apply_price_book
from weir.billing.scheme_change import apply_change
from weir.control.intake import submit
from weir.model.job import JobSpecification
from weir.model.problem import ProblemError
from weir.registry import apply_province, import_facts, read_fact_file, read_province
from weir.store import Store, StoreBusyError, Transaction, open_store
from weir.units import MICRO_YUAN_PER_YUAN

WRITERS = 32
SUBMISSIONS = {"SQLite": 1_600, "PostgreSQL": 320}
NOW_MS = 1_750_046_400_000
"""16 June 2025, noon in Shanghai."""
TENANT = "91340100WEYR00027A"
PROVINCE = f"""
version: 1
province: bench
cities: [{{id: hefei, name: Hefei}}]
organisations: [{{id: "{TENANT}", name: Tenant, roles: [tenant]}}]
projects: [{{id: research, organisation: "{TENANT}"}}]
devices: [{{id: cpu, name: CPU, kind: cpu, vendor: Huawei, stack: aarch64}}]
centres:
  - id: hefei
    kind: general
    city: hefei
    pools: [{{id: cpu, device: cpu, nodes: 100, cores_per_node: 64, memory_per_node: 256 GiB}}]
"""
FACTS = f"organisation,fact,value,valid_from\n{TENANT},kind,company,2020-01-01\n"
BOOK = """
version: 1
price_book: bench
tax: {name: VAT, rate: "0.06"}
prices: [{pool: "*", core_hour: "1.00", memory_gb_hour: "0"}]
"""
SCHEME = """
version: 1
scheme: bench
name: A scheme
sources: [{title: A measurement, official: true}]
editions:
  - begins: 2025-01-01
    base: usage
    pool_per_year: "POOL"
    tiers: [{id: all, rate: "50%"}]
    affiliation_refused: false
    redemption: {mode: deduct}
    funders: [{id: city, name: City}]
"""
JOB = JobSpecification(
    command=("true",), project="research", cores=1_000, memory=1 << 30, time_limit=3_600_000
)
"""Costs up to 1 yuan."""


def measure(seed: int) -> Sequence[Figure]:
    """On SQLite in a file, and on PostgreSQL where it is installed."""
    del seed
    with tempfile.TemporaryDirectory() as folder:
        figures = [_measured("SQLite", f"sqlite:///{Path(folder) / 'weir.db'}")]
    found = programs()
    if found is not None:
        with postgresql(found) as address:
            figures.append(_measured("PostgreSQL", address))
    return figures


def _measured(name: str, address: str) -> Figure:
    """There is money for three submissions in four, and the pool lasts for half of them."""
    asked = SUBMISSIONS[name]
    accepted: list[int] = []
    busy: list[int] = []

    def work(store: Store) -> None:
        for number in range(asked // WRITERS):
            while not _submit(store, number, accepted, busy):
                pass

    with open_store(address) as store:
        store.write(lambda tx: _begin(tx, asked))
        threads = [threading.Thread(target=work, args=(store,)) for _ in range(WRITERS)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - began
        limits = store.read(lambda c: counters(c, ["pool/bench/2025", "budget/lab/2025"]))
        faults = [*store.read(check_money), *store.read(verify).faults]
    if faults or any(one.available < 0 for one in limits.values()) or not 0 < len(accepted) < asked:
        raise RuntimeError(f"{name}: {len(accepted)} of {asked} were accepted, {limits}, {faults[:3]}")
    note = f"{WRITERS} writers, {len(accepted)} of {asked} accepted, {len(busy)} told to come again"
    return Figure(f"writers: submissions on {name}", asked / seconds, "submissions/s", note)


def _submit(store: Store, number: int, accepted: list[int], busy: list[int]) -> bool:
    """Whether it was answered: accepted, or refused for want of money."""
    try:
        store.write(lambda tx: submit(tx, server_itself(), [JOB], NOW_MS, secrets.randbits))
    except StoreBusyError:
        busy.append(number)
        return False
    except ProblemError as error:
        if error.problem.kind != "money":
            raise
        return True
    accepted.append(number)
    return True


def _begin(tx: Transaction, asked: int) -> None:
    actor = server_itself()
    apply_province(tx, read_province(PROVINCE, "bench.yaml"), actor, 1)
    import_facts(tx, read_fact_file(FACTS, "facts.csv"), actor, 1)
    apply_price_book(tx, actor, read_price_book(BOOK, "bench"), 1)
    budget = Budget("lab", TENANT, limit=asked // 2 * MICRO_YUAN_PER_YUAN, period=Period.YEAR)
    set_budget(tx, actor, budget, NOW_MS)
    apply_change(tx, SCHEME.replace("POOL", str(asked // 4)), "bench.yaml", actor, NOW_MS)


__all__ = ["measure"]
