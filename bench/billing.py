"""How fast usage is charged: intervals of running attempts posted in bulk, from meters to the ledger.

As many intervals as a province with 508,000 tenants' worth of work may close in a day. Each is metered, priced by unit
and band, charged to a hold, posted to the ledger with its hash, and counted against a budget and a sub-limit.
"""

import multiprocessing
import resource
import secrets
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.figure import Figure
from bench.postgresql import postgresql, programs
from weir.access import server_itself
from weir.billing.budget import Budget
from weir.billing.budget_orders import set_budget
from weir.billing.ledger_verify import verify
from weir.billing.meters import Seen, observe
from weir.billing.price_book import read_price_book
from weir.billing.price_versions import apply_price_book
from weir.control.intake import submit
from weir.model.job import JobSpecification
from weir.model.province import (
    Centre,
    CentreKind,
    City,
    DeviceKind,
    DeviceModel,
    Organisation,
    Pool,
    Project,
    Province,
)
from weir.registry import apply_province
from weir.store import Store, Transaction, open_store
from weir.units import MICRO_YUAN_PER_YUAN

INTERVALS = 2_180_000
ON_POSTGRESQL = 100_000
EACH = 20
"""Intervals of one attempt."""
AT_ONCE = 5_000
"""Attempts whose intervals are closed in one transaction."""
TENANTS = 100
START_MS = 1_790_000_000_000
EVERY_MS = 300_000
GIB = 1 << 30

BOOK = """
version: 1
price_book: bench
tax: {name: VAT, rate: "0.06"}
bands: {peak: [{from: "08:00", to: "22:00"}]}
prices:
  - {pool: "*", core_hour: "0.137", memory_gb_hour: "0.011", bands: {peak: {core_hour: "0.191"}}}
"""


def measure(seed: int) -> Sequence[Figure]:
    """On stores of its own, committing as in service: SQLite in a file, and PostgreSQL where it is installed."""
    del seed
    return [*measured(INTERVALS), *on_postgresql()]


def measured(intervals: int) -> Sequence[Figure]:
    """On SQLite, for a multiple of EACH times TENANTS; in a process of its own, so that its memory can be told."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_on_sqlite, (intervals,))


def on_postgresql() -> Sequence[Figure]:
    """On PostgreSQL, whose own processes do part of the work: by the clock."""
    folder = programs()
    if folder is None:
        return ()
    with postgresql(folder) as address, open_store(address, threaded=False) as store:
        jobs = ON_POSTGRESQL // EACH
        _declare(store)
        _submit(store, jobs)
        seconds, _ = _post(store, jobs)
        found = store.read(verify)
        assert found.faults == (), found.faults[:3]
    note = f"{ON_POSTGRESQL} intervals of {jobs} attempts, by the clock"
    return [
        Figure(
            "billing: intervals posted in bulk on PostgreSQL", ON_POSTGRESQL / seconds, "intervals/s", note
        )
    ]


def _on_sqlite(intervals: int) -> list[Figure]:
    with (
        tempfile.TemporaryDirectory() as folder,
        open_store(f"sqlite:///{Path(folder) / 'weir.db'}", threaded=False) as store,
    ):
        jobs = intervals // EACH
        _declare(store)
        _submit(store, jobs)
        by_clock, seconds = _post(store, jobs)
        began = time.process_time()
        found = store.read(verify)
        walking = time.process_time() - began
        assert found.faults == (), found.faults[:3]
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024
    note = f"processor time; {by_clock:.0f} s by the clock; {intervals} intervals of {jobs} attempts, {TENANTS} tenants"
    entries = f"processor time; {found.entries} entries"
    return [
        Figure("billing: intervals posted in bulk", intervals / seconds, "intervals/s", note),
        Figure("billing: ledger verified", found.entries / walking, "entries/s", entries),
        Figure("billing: memory", peak_mib, "MiB", "peak of the process that posts"),
    ]


def _declare(store: Store) -> None:
    tenants = [f"91340100MA2N{number:05d}X" for number in range(TENANTS)]
    province = Province(
        version=1,
        province="bench",
        cities=(City("hefei", "Hefei"),),
        organisations=tuple(Organisation(one, one) for one in tenants),
        projects=tuple(Project(f"p{number}", one) for number, one in enumerate(tenants)),
        devices=(DeviceModel("cpu", "CPU", DeviceKind.CPU, "Huawei", "aarch64"),),
        centres=(
            Centre(
                id="hefei",
                kind=CentreKind.GENERAL,
                city="hefei",
                pools=(Pool("cpu", "cpu", nodes=1_000, cores_per_node=64_000, memory_per_node=256 * GIB),),
            ),
        ),
    )
    actor = server_itself()

    def work(tx: Transaction) -> None:
        apply_province(tx, province, actor, START_MS, catalogue={})
        apply_price_book(tx, actor, read_price_book(BOOK, "bench"), START_MS)
        for number, one in enumerate(tenants):
            budget = Budget(f"b{number}", one, limit=10**9 * MICRO_YUAN_PER_YUAN)
            set_budget(tx, actor, budget, START_MS)

    store.write(work)


def _submit(store: Store, jobs: int) -> None:
    limit_ms = 2 * EACH * EVERY_MS
    for number in range(TENANTS):
        one = JobSpecification(
            command=("true",),
            project=f"p{number}",
            cores=4_000,
            memory=8 * GIB,
            time_limit=limit_ms,
            array=jobs // TENANTS,
        )
        _submit_one(store, one)


def _submit_one(store: Store, one: JobSpecification) -> None:
    store.write(lambda tx: submit(tx, server_itself(), [one], START_MS, secrets.randbits))


def _post(store: Store, jobs: int) -> tuple[float, float]:
    """Close an interval of every attempt again and again; how long that took by the clock and of the processor."""
    began, busy = time.perf_counter(), time.process_time()
    for turn in range(1, EACH + 1):
        now_ms = START_MS + turn * EVERY_MS
        for first in range(1, jobs + 1, AT_ONCE):
            seen = [
                Seen(job, 1, "hefei", "cpu", START_MS, EACH * EVERY_MS if turn == EACH else None)
                for job in range(first, min(first + AT_ONCE, jobs + 1))
            ]
            _observe(store, seen, now_ms)
    return time.perf_counter() - began, time.process_time() - busy


def _observe(store: Store, seen: Sequence[Seen], now_ms: int) -> None:
    store.write(lambda tx: observe(tx, seen, now_ms))


__all__ = ["measure", "measured", "on_postgresql"]
