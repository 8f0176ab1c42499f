"""Quarterly settlement: what each funder pays for the vouchers redeemed, each redemption once.

A redemption is a transfer from a voucher's account to a centre (or back: a refund). It belongs to the quarter in which
it was posted, needs proof of delivery (its charge: metered usage) and what else its scheme asks for, and is carried to
a later quarter while something is missing or it is disputed. Funders pay by their parts, by cumulative differences, so
that the parts of all add up to the whole. Vouchers that are paid back are redeemed here too (`settlement_reimburse`).
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import NamedTuple

from sqlalchemy import Connection, and_, insert, or_, select, update

from weir.access.actor import Actor
from weir.access.audit import record
from weir.billing.accounts import account
from weir.billing.calendar_days import add_months, begin_of, quarter_of
from weir.billing.contracts import DocumentKind, documents_of
from weir.billing.ledger import Entry, Transfer, post
from weir.billing.scheme_store import scheme_version
from weir.billing.settlement_reimburse import pay_back
from weir.billing.voucher_cases import Claim, claims_of
from weir.model.problem import conflict, not_found, refused
from weir.model.scheme import Edition
from weir.store import Transaction
from weir.store import schema as s
from weir.units import cumulative_share, format_time, round_half_even

FEN = 10_000
VOUCHER = "hold:voucher/"
_Funders = tuple[tuple[str, int], ...]
"""Who pays how many parts."""
_charge = s.charge.c
_transfer = s.ledger_transfer.c
_redemption = s.redemption.c


class Redeemed(NamedTuple):
    """One redemption. The amount is in micro-yuan, below 0 for a refund; `waits` says why it cannot be settled."""

    entry: int
    line: int
    scheme: str
    organisation: str
    centre: str
    contract: str
    at_ms: int
    amount: int
    waits: str


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a funder pays for a quarter: `amount` + `carried_in` = `total_fen` × FEN + `carry`, in micro-yuan."""

    id: str
    funder: str
    quarter: str
    issued_ms: int
    amounts: tuple[tuple[str, str, int], ...]
    """By scheme and centre: this funder's part."""
    redemptions: int
    waiting: tuple[tuple[int, int, str], ...]
    """Redemptions that are carried, with the reason."""
    carried_in: int
    total_fen: int
    carry: int
    hash: str


def settle_quarter(tx: Transaction, quarter: date, actor: Actor, now_ms: int) -> tuple[Settlement, ...]:
    """Settle a quarter: one settlement for each funder, each redemption moved from redeemed to settled, once.

    A quarter that is settled stays as it is, and is answered with. Raises ProblemError (422) before it has ended.
    """
    first = quarter_of(quarter)
    name = quarter_name(first)
    end_ms = begin_of(add_months(first, 3))
    known = settlements_of(tx.connection, quarter=name)
    if known:
        return known
    if now_ms < end_ms:
        raise refused("quarter", name, f"it ends at {format_time(end_ms)}; settle it then")
    found = redemptions(tx.connection, end_ms)
    ready = [one for one in found if not one.waits]
    waiting = tuple((one.entry, one.line, one.waits) for one in found if one.waits)
    paid_back = pay_back(
        tx, name, end_ms, now_ms, lambda connection, claim: _lacking(connection, *_key(claim))
    )
    returned = [
        Redeemed(
            one.entry, 1, *_key(one.claim)[:2], one.claim.centre, one.claim.contract, now_ms, one.amount, ""
        )
        for one in paid_back
    ]
    parts = _parts(tx.connection, [*ready, *returned])
    made = tuple(
        _settlement(tx.connection, funder, name, amounts, len(ready) + len(returned), waiting, now_ms)
        for funder, amounts in sorted(parts.items())
    )
    for one in made:
        _post(tx, one, now_ms)
    marked = {
        (row.entry, row.line) for row in tx.connection.execute(select(_redemption.entry, _redemption.line))
    }
    fresh = [{"entry": one.entry, "line": one.line, "quarter": name} for one in ready]
    new = [row for row in fresh if (row["entry"], row["line"]) not in marked]
    if new:
        tx.connection.execute(insert(s.redemption), new)
    for row in fresh:
        if (row["entry"], row["line"]) in marked:
            same = and_(_redemption.entry == row["entry"], _redemption.line == row["line"])
            tx.connection.execute(update(s.redemption).where(same).values(quarter=name))
    detail = {"redemptions": len(ready), "carried": len(waiting), "funders": [one.funder for one in made]}
    record(tx, actor, "settlement.close", name, detail, now_ms)
    return made


def redemptions(connection: Connection, before_ms: int) -> tuple[Redeemed, ...]:
    """What was posted before that time and is not settled, in the ledger's order; with what each still waits for."""
    paid = and_(
        or_(_transfer.debit.startswith(VOUCHER), _transfer.credit.startswith(VOUCHER)),
        or_(_transfer.debit.startswith("payable:"), _transfer.credit.startswith("payable:")),
    )
    same = and_(_redemption.entry == _transfer.entry, _redemption.line == _transfer.line)
    query = (
        select(
            s.ledger_transfer,
            _charge.organisation,
            _charge.centre,
            _charge.contract,
            _charge.at_ms,
            _redemption.disputed,
        )
        .select_from(
            s.ledger_transfer.join(s.charge, _charge.entry == _transfer.entry).outerjoin(s.redemption, same)
        )
        .where(paid, _charge.at_ms < before_ms, or_(_redemption.quarter.is_(None), _redemption.quarter == ""))
        .order_by(_transfer.entry, _transfer.line)
    )
    lacking: dict[tuple[str, str, str], str] = {}
    found = []
    for row in connection.execute(query):
        given = row.debit.startswith(VOUCHER)
        scheme = (row.debit if given else row.credit).removeprefix(VOUCHER).partition("/")[0]
        key = (scheme, row.organisation, row.contract)
        if key not in lacking:
            lacking[key] = _lacking(connection, *key)
        waits = f"disputed: {row.disputed}" if row.disputed else lacking[key]
        amount = row.amount_micro_yuan if given else -row.amount_micro_yuan
        found.append(
            Redeemed(
                row.entry,
                row.line,
                scheme,
                row.organisation,
                row.centre,
                row.contract,
                row.at_ms,
                amount,
                waits,
            )
        )
    return tuple(found)


def dispute(tx: Transaction, entry: int, line: int, why: str, actor: Actor, now_ms: int) -> None:
    """Hold a redemption out of settlements, or with an empty reason let it in again.

    Raises ProblemError: 404 for no such redemption, 409 for one that is settled.
    """
    held = {(one.entry, one.line) for one in redemptions(tx.connection, 2**62)}
    if (entry, line) not in held:
        settled = select(_redemption.quarter).where(_redemption.entry == entry, _redemption.line == line)
        quarter = tx.connection.execute(settled).scalar()
        if quarter:
            raise conflict(f"redemption {entry}/{line} is settled in {quarter}; a refund puts it right")
        raise not_found("redemption", f"{entry}/{line}")
    same = and_(_redemption.entry == entry, _redemption.line == line)
    if not tx.connection.execute(update(s.redemption).where(same).values(disputed=why)).rowcount:
        row = {"entry": entry, "line": line, "quarter": "", "disputed": why}
        tx.connection.execute(insert(s.redemption), row)
    record(tx, actor, "redemption.dispute", f"{entry}/{line}", {"why": why}, now_ms)


def sign_check(tx: Transaction, claim: int, step: str, said: str, actor: Actor, now_ms: int) -> None:
    """Sign one step of a claim's re-check trail. Raises ProblemError: 404, 422 for no such step, 409 when signed."""
    table = s.voucher_claim.c
    row = tx.connection.execute(
        select(table.scheme, table.version, table.claimed_day).where(table.number == claim)
    ).one_or_none()
    if row is None:
        raise not_found("claim", str(claim))
    edition = scheme_version(tx.connection, row.scheme, row.version).edition(
        date.fromisoformat(row.claimed_day)
    )
    steps = [] if edition is None else [one.id for one in edition.checks]
    if step not in steps:
        raise refused(
            "step", step, f"give one of {', '.join(steps)}" if steps else "its scheme asks for no checks"
        )
    if step in _signed(tx.connection, claim):
        raise conflict(f"{step} of claim {claim} is signed")
    values = {"claim": claim, "step": step, "at_ms": now_ms, "by": actor.label, "said": said}
    tx.connection.execute(insert(s.voucher_check), values)
    record(tx, actor, "voucher.check", str(claim), {"step": step, "said": said}, now_ms)


def settlements_of(connection: Connection, *, quarter: str | None = None) -> tuple[Settlement, ...]:
    """Issued settlements, newest quarter first, then by funder."""
    table = s.settlement.c
    query = select(s.settlement).order_by(table.quarter.desc(), table.funder)
    if quarter is not None:
        query = query.where(table.quarter == quarter)
    return tuple(_from(row.body, row.hash) for row in connection.execute(query))


def quarter_name(day: date) -> str:
    """The quarter of a day: 2025-Q2."""
    return f"{day.year:04d}-Q{(day.month + 2) // 3}"


def _lacking(connection: Connection, scheme: str, organisation: str, contract: str) -> str:
    """What a redemption under this contract still needs; empty where nothing. Delivery is the charge itself."""
    found = _claim_of(connection, scheme, organisation, contract)
    if found is None:
        return "no claim"
    claim, edition = found
    unsigned = [one.id for one in edition.checks if one.id not in _signed(connection, claim)]
    if unsigned:
        return f"not signed: {', '.join(unsigned)}"
    papers: set[str] = {"delivery"}
    for document in documents_of(connection, contract):
        plain = document.kind is not DocumentKind.EVIDENCE
        papers.add(document.kind.value if plain else document.reference.partition("/")[0])
    missing = [name for name in edition.redemption.evidence if name not in papers]
    return f"not recorded: {', '.join(missing)}" if missing else ""


def _key(claim: Claim) -> tuple[str, str, str]:
    return claim.scheme, claim.organisation, claim.contract


def _claim_of(
    connection: Connection, scheme: str, organisation: str, contract: str
) -> tuple[int, Edition] | None:
    for claim in claims_of(connection, organisation=organisation, scheme=scheme):
        if claim.contract == contract:
            edition = _edition_of(connection, claim)
            return None if edition is None else (claim.number, edition)
    return None


def _edition_of(connection: Connection, claim: Claim) -> Edition | None:
    """The rules of a claim's day. Where a later version has none for it, those by which it was last claimed.

    What was redeemed stays then, and so does who pays for it.
    """
    for number in range(claim.version, 0, -1):
        edition = scheme_version(connection, claim.scheme, number).edition(claim.claimed)
        if edition is not None:
            return edition
    return None


def _signed(connection: Connection, claim: int) -> frozenset[str]:
    table = s.voucher_check.c
    return frozenset(connection.scalars(select(table.step).where(table.claim == claim)))


def _parts(connection: Connection, ready: Iterable[Redeemed]) -> Mapping[str, Mapping[tuple[str, str], int]]:
    """By funder, by scheme and centre, its part of what was redeemed."""
    # Claims of one scheme may have been made under rules that name other funders.
    sums: dict[tuple[str, str, _Funders], int] = defaultdict(int)
    known: dict[tuple[str, str, str], _Funders] = {}
    for one in ready:
        key = (one.scheme, one.organisation, one.contract)
        if key not in known:
            found = _claim_of(connection, *key)
            assert found is not None, "what has no claim waits"
            known[key] = tuple((funder.id, funder.parts) for funder in found[1].funders)
        sums[one.scheme, one.centre, known[key]] += one.amount
    parts: dict[str, dict[tuple[str, str], int]] = defaultdict(lambda: defaultdict(int))
    for (scheme, centre, funders), amount in sorted(sums.items()):
        whole, done, given = sum(share for _, share in funders), 0, 0
        for funder, share in funders:
            done += share
            upto = cumulative_share(amount, Fraction(done, whole))
            parts[funder][scheme, centre] += upto - given
            given = upto
    return parts


def _settlement(
    connection: Connection,
    funder: str,
    quarter: str,
    amounts: Mapping[tuple[str, str], int],
    count: int,
    waiting: Sequence[tuple[int, int, str]],
    now_ms: int,
) -> Settlement:
    table = s.settlement.c
    last = (
        select(table.carry_micro_yuan).where(table.funder == funder).order_by(table.quarter.desc()).limit(1)
    )
    carried_in = connection.execute(last).scalar() or 0
    due = carried_in + sum(amounts.values())
    fen = round_half_even(due, FEN)
    rows = tuple((scheme, centre, amount) for (scheme, centre), amount in sorted(amounts.items()))
    made = Settlement(
        f"{quarter}-{funder}",
        funder,
        quarter,
        now_ms,
        rows,
        count,
        tuple(waiting),
        carried_in,
        fen,
        due - fen * FEN,
        "",
    )
    return _from(_body(made), hashlib.sha256(_body(made).encode()).hexdigest())


def _post(tx: Transaction, one: Settlement, now_ms: int) -> None:
    """The funder owes its part of what its schemes' vouchers paid."""
    tx.connection.execute(
        insert(s.settlement),
        {
            "id": one.id,
            "funder": one.funder,
            "quarter": one.quarter,
            "issued_ms": one.issued_ms,
            "total_fen": one.total_fen,
            "carry_micro_yuan": one.carry,
            "body": _body(one),
            "hash": one.hash,
        },
    )
    by_scheme: dict[str, int] = defaultdict(int)
    for scheme, _, amount in one.amounts:
        by_scheme[scheme] += amount
    owed = account("funder", one.funder)
    transfers = []
    for scheme, amount in sorted(by_scheme.items()):
        promised = account("commitment", scheme)
        if amount > 0:
            transfers.append(Transfer(owed, promised, amount))
        elif amount < 0:
            transfers.append(Transfer(promised, owed, -amount))
    if transfers:
        cause = f"settlement/{one.id}"
        detail = {"quarter": one.quarter, "settlement": one.id}
        post(
            tx, [Entry(f"funder/{one.funder}", cause, "settlement", now_ms, tuple(transfers), detail=detail)]
        )


def _body(one: Settlement) -> str:
    said = [one.id, one.funder, one.quarter, one.issued_ms, one.amounts, one.redemptions, one.waiting]
    return json.dumps(
        [*said, one.carried_in, one.total_fen, one.carry], ensure_ascii=False, separators=(",", ":")
    )


def _from(body: str, digest: str) -> Settlement:
    id_, funder, quarter, issued, amounts, count, waiting, carried_in, fen, carry = json.loads(body)
    rows = tuple((scheme, centre, amount) for scheme, centre, amount in amounts)
    held = tuple((entry, line, why) for entry, line, why in waiting)
    return Settlement(id_, funder, quarter, issued, rows, count, held, carried_in, fen, carry, digest)


__all__ = [
    "Redeemed",
    "Settlement",
    "dispute",
    "quarter_name",
    "redemptions",
    "settle_quarter",
    "settlements_of",
    "sign_check",
]
