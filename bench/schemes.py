"""A scheme over 191,000 organisations: their facts read from the store, and each judged clause by clause."""

import multiprocessing
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert

from bench.figure import Figure
from weir.billing.entitlement import outcome_of
from weir.billing.scheme import preset_files, read_scheme
from weir.billing.scheme_case import ContractCase, Line, Party, Past, Situation, Supplier
from weir.billing.scheme_evaluation import evaluate
from weir.registry import all_facts
from weir.store import Transaction, open_store
from weir.store import schema as s

ORGANISATIONS = 191_000
DAY = date(2025, 6, 16)
OPERATOR = "12340100WEYR00078P"
BATCH = 20_000


def measure(seed: int) -> Sequence[Figure]:
    """In a process of its own, so that its memory can be told from that of others."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        seconds, outcomes, peak_mib = pool.apply(_judged, (ORGANISATIONS,))
    shown = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(outcomes.items()))
    return [
        Figure(
            "scheme: over 191,000 organisations",
            seconds,
            "s",
            f"processor time; Beijing 2023, eight facts each: {shown}",
        ),
        Figure("scheme: peak memory", peak_mib, "MiB", "of the process that judges"),
    ]


def _judged(organisations: int) -> tuple[float, dict[str, int], float]:
    [file] = [file for file in preset_files() if file.stem == "beijing-2023"]
    scheme = read_scheme(file.read_text("utf-8"), file.name)
    supplier = Supplier(Party(OPERATOR), {"centre.kind": "intelligent"})
    case = ContractCase(
        "k1",
        signed=date(2025, 3, 1),
        begins=date(2025, 3, 1),
        ends=date(2026, 2, 28),
        lines=(Line("compute", 5_000_000_000_000),),
        other_subsidies=frozenset(),
        evidence=frozenset({"contract"}),
    )
    outcomes: Counter[str] = Counter()

    def judge(connection: Connection) -> None:
        for organisation, facts in all_facts(connection):
            situation = Situation(Party(organisation, facts), supplier)
            outcomes[outcome_of(evaluate(scheme, situation, case, Past(), DAY))] += 1

    with (
        tempfile.TemporaryDirectory() as folder,
        open_store(f"sqlite:///{Path(folder) / 'weir.db'}", threaded=False) as store,
    ):
        store.write(lambda tx: _fill(tx, organisations))
        began = time.process_time()
        store.read(judge)
        seconds = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return seconds, dict(outcomes), peak / 1024


def _fill(tx: Transaction, organisations: int) -> None:
    rows: list[dict[str, Any]] = []
    for number in range(organisations):
        facts = {
            "kind": "company" if number % 10 else "university",
            "region": "110108" if number % 3 else "340100",
            "industry": ("I6513", "C3911", "F5179")[number % 3 - number % 2],
            "size": ("micro", "small", "medium", "large")[number % 4],
            "founded": "2019-05-01",
            "designation.high-tech": "yes" if number % 2 else "no",
            "not-affiliated-with": OPERATOR,
        }
        if number % 7:
            facts["credit-record"] = "clear"
        rows += [
            {
                "organisation": f"9134{number:014d}",
                "name": name,
                "value": value,
                "valid_from": "2020-01-01",
                "recorded_ms": 1,
                "recorded_by": "bench",
            }
            for name, value in facts.items()
        ]
        if len(rows) > BATCH:
            tx.connection.execute(insert(s.organisation_fact), rows)
            rows = []
    tx.connection.execute(insert(s.organisation_fact), rows)
