"""Vouchers that are paid back: the holder paid in full, and the funder pays its share on evidence, each quarter.

What is paid back is the claim's share of what was metered under its contract and paid for, as far as the sum that was
claimed and the holder's cap of the year reach; quarters take differences of that, so that nothing is paid back twice.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, select

from weir.billing.accounts import account
from weir.billing.calendar_days import day_of
from weir.billing.contracts import DocumentKind, documents_of
from weir.billing.grants import open_redemption
from weir.billing.ledger import Entry, Transfer, post
from weir.billing.ledger_counters import counters
from weir.billing.scheme_case import Line
from weir.billing.scheme_evaluation import FEN, rate_of
from weir.billing.scheme_store import scheme_version
from weir.billing.voucher_cases import Claim, cap_key, claim_key, claims_of, situation_of
from weir.model.province import DeviceModel, Pool
from weir.model.scheme import Edition, Mode
from weir.registry.rows import from_body
from weir.store import Transaction
from weir.store import schema as s
from weir.units.share import WHOLE_PPM

_KINDS = {"storage_tb_month": "storage", "transfer_gb": "transfer"}
"""What a unit counts as; every other one is computing."""


Lacking = Callable[[Connection, Claim], str]
"""What papers and signatures a claim still needs; empty where nothing."""


@dataclass(frozen=True, slots=True)
class PaidBack:
    """What one claim is paid back now, in micro-yuan, with the ledger entry that says so."""

    entry: int
    claim: Claim
    edition: Edition
    amount: int


def pay_back(
    tx: Transaction, quarter: str, before_ms: int, now_ms: int, lacking: Lacking
) -> tuple[PaidBack, ...]:
    """Post what claims that are reimbursed are due for usage posted before that time, where nothing lacks.

    Posted once for a claim and quarter.
    """
    done = []
    year = day_of(before_ms - 1).year
    for claim, edition in _reimbursed(tx.connection):
        if lacking(tx.connection, claim):
            continue
        due = due_for(tx.connection, claim, edition, before_ms)
        held = open_redemption(tx, claim, edition, year)
        keys = [claim_key(claim.number), cap_key(claim.scheme, claim.organisation, year)]
        known = counters(tx.connection, keys)
        left = min(counter.available for counter in known.values())
        amount = min(due - known[claim_key(claim.number)].spent, left) // FEN * FEN
        if amount <= 0:
            continue
        steps = (
            Transfer(account("commitment", claim.scheme), held, amount),
            Transfer(held, account("redeemed", claim.scheme), amount),
        )
        detail = {"claim": claim.number, "contract": claim.contract, "quarter": quarter}
        cause = f"reimbursement/{claim.number}/{quarter}"
        [posted] = post(tx, [Entry(claim.organisation, cause, "reimbursement", now_ms, steps, detail=detail)])
        done.append(PaidBack(posted.number, claim, edition, amount))
    return tuple(done)


def due_for(connection: Connection, claim: Claim, edition: Edition, before_ms: int) -> int:
    """The claim's share of what was metered under its contract before that time and paid for, in micro-yuan."""
    facts = situation_of(connection, claim.organisation, claim.centre, known_ms=claim.decided_ms)
    origins = _origins(connection)
    charge = s.charge.c
    query = select(charge.centre, charge.pool, charge.parts).where(
        charge.organisation == claim.organisation,
        charge.contract == claim.contract,
        charge.at_ms < before_ms,
    )
    amounts: dict[tuple[str, str], int] = {}
    for row in connection.execute(query):
        for part, amount in json.loads(row.parts).items():
            key = _KINDS.get(part.partition("/")[0], "compute"), origins.get(f"{row.centre}/{row.pool}", "")
            amounts[key] = amounts.get(key, 0) + amount
    share = 0
    for (kind, origin), amount in amounts.items():
        rate, _ = rate_of(edition, facts, Line(kind, chip_origin=origin), claim.tier, claim.claimed)
        share += amount * rate
    metered = sum(amounts.values())
    documents = documents_of(connection, claim.contract)
    paid = sum(one.amount for one in documents if one.kind is DocumentKind.PAYMENT and one.at_ms < before_ms)
    if metered <= 0 or share <= 0:
        return 0
    # What is not paid yet is not paid back: in proportion, since a payment names no lines.
    return share * min(paid, metered) // metered // WHOLE_PPM


def _reimbursed(connection: Connection) -> Iterator[tuple[Claim, Edition]]:
    for claim in claims_of(connection):
        edition = scheme_version(connection, claim.scheme, claim.version).edition(claim.claimed)
        if (
            claim.amount_micro_yuan is not None
            and edition is not None
            and edition.redemption.mode is Mode.REIMBURSE
        ):
            yield claim, edition


def _origins(connection: Connection) -> dict[str, str]:
    """By pool, whether its chips are domestic or foreign."""
    models = {
        row.id: "domestic" if from_body(DeviceModel, row.body).domestic else "foreign"
        for row in connection.execute(select(s.device_model))
    }
    rows = connection.execute(select(s.pool.c.centre, s.pool.c.id, s.pool.c.body))
    return {f"{row.centre}/{row.id}": models.get(from_body(Pool, row.body).device, "") for row in rows}


__all__ = ["PaidBack", "due_for", "pay_back"]
