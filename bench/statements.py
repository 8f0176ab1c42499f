"""A month's statements for 508,000 tenants: from charges in the store to issued, hashed statements."""

import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from bench.figure import Figure
from weir.access import server_itself
from weir.billing.calendar_days import begin_of
from weir.billing.calendar_work import closes_ms, working_calendar
from weir.billing.statement_close import close_month
from weir.store import Transaction, open_store
from weir.store import schema as s

TENANTS = 508_000
CENTRES = 34
MONTH = date(2025, 6, 1)
BATCH = 20_000


def measure(seed: int) -> Sequence[Figure]:
    """In a process of its own, so that its memory can be told from that of others."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        seconds, statements, peak_mib = pool.apply(_closed, (TENANTS,))
    how = f"{statements:,} statements of {TENANTS:,} tenants and {CENTRES} centres; processor time, on SQLite"
    return [
        Figure("statements: a month for 508,000 tenants", seconds, "s", how),
        Figure("statements: peak memory", peak_mib, "MiB", "of the process that closes the month"),
    ]


def _closed(tenants: int) -> tuple[float, int, float]:
    with (
        tempfile.TemporaryDirectory() as folder,
        open_store(f"sqlite:///{Path(folder) / 'weir.db'}", threaded=False) as store,
    ):
        store.write(lambda tx: _fill(tx, tenants))
        at_ms = closes_ms(MONTH, working_calendar())
        began = time.process_time()
        done = store.write(lambda tx: close_month(tx, MONTH, server_itself(), at_ms))
        seconds = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return seconds, done.statements, peak / 1024


def _fill(tx: Transaction, tenants: int) -> None:
    """One charge a tenant, a third of them paid in part by a voucher: what metering would have posted."""
    charges: list[dict[str, Any]] = []
    transfers: list[dict[str, Any]] = []
    for charge, paid in _rows(tenants):
        charges.append(charge)
        transfers += paid
        if len(charges) == BATCH:
            tx.connection.execute(insert(s.charge), charges)
            tx.connection.execute(insert(s.ledger_transfer), transfers)
            charges, transfers = [], []
    if charges:
        tx.connection.execute(insert(s.charge), charges)
        tx.connection.execute(insert(s.ledger_transfer), transfers)


def _rows(tenants: int) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    begins = begin_of(MONTH)
    for number in range(1, tenants + 1):
        organisation, centre = f"9134{number:014d}", f"centre-{number % CENTRES:02d}"
        amount = 1_000_000 + number * 7_919 % 90_000_000
        at_ms = begins + number * 4_999 % 2_500_000_000
        voucher = amount // 5 if number % 3 == 0 else 0
        paid = [(f"hold:{organisation}", amount - voucher)]
        if voucher:
            paid.append((f"hold:voucher/henan-2025/{organisation}/2025", voucher))
        yield (
            {
                "entry": number,
                "line": 0,
                "job": number,
                "epoch": 1,
                "organisation": organisation,
                "centre": centre,
                "pool": "a",
                "contract": f"standing/{organisation}/{centre}",
                "kind": "charge",
                "at_ms": at_ms,
                "from_ms": at_ms,
                "to_ms": at_ms + 1,
                "times": "{}",
                "parts": f'{{"device_hour/":{amount}}}',
                "amount_micro_yuan": amount,
            },
            [
                {
                    "entry": number,
                    "line": line,
                    "debit": debit,
                    "credit": f"payable:{centre}",
                    "amount_micro_yuan": part,
                }
                for line, (debit, part) in enumerate(paid)
            ],
        )
