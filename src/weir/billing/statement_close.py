"""Closing a month: every party's statement from the ledger, once, in one transaction."""

import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, Select, and_, func, insert, or_, select

from weir.access.actor import Actor
from weir.access.audit import record
from weir.billing.calendar_days import DAY_MS, SHANGHAI_MS, add_months, begin_of, day_of, next_month
from weir.billing.calendar_work import WorkingCalendar, closes_ms, working_calendar
from weir.billing.statement import (
    PartyKind,
    Posting,
    Statement,
    hash_of,
    hash_of_all,
    make_statement,
    statement_from,
)
from weir.model.problem import conflict, not_found, refused
from weir.store import Transaction
from weir.store import schema as s
from weir.store.listed import AnyRow
from weir.units import format_time

BATCH = 2_000
_charge = s.charge.c
_transfer = s.ledger_transfer.c
_statement = s.statement.c
VOUCHER = "hold:voucher/"


@dataclass(frozen=True, slots=True)
class Closed:
    """A month that is closed."""

    month: str
    closes_ms: int
    closed_ms: int
    statements: int
    hash: str
    held_back: tuple[int, ...]
    """Entries that open exceptions kept off; they come with the next month."""


def close_month(
    tx: Transaction,
    month: date,
    actor: Actor,
    now_ms: int,
    *,
    calendar: WorkingCalendar | None = None,
) -> Closed:
    """Issue the statements of a month. A month that is closed already stays as it is, and is answered with.

    Raises ProblemError: 422 before it closes, or where working days are not known; 409 while an earlier month with
    postings is open.
    """
    name = name_of(month)
    known = closed_month(tx.connection, name)
    if known is not None:
        return known
    end = closes_ms(month, calendar or working_calendar())
    if now_ms < end:
        raise refused(
            "month", name, f"it closes at {format_time(end)}, at the end of the fifth working day after it"
        )
    last = tx.connection.execute(select(func.max(s.statement_close.c.month))).scalar()
    if last is not None and last != name_of(add_months(month, -1)):
        raise conflict(f"{last} is the last month that is closed; close the months in order")
    before = None if last is None else closed_month(tx.connection, last)
    window = _Window(name, begin_of(month), begin_of(next_month(month)), end, before)
    held_back = _held_back(tx.connection, window)
    hashes: list[str] = []
    for kind in PartyKind:
        hashes += _issue(tx, kind, window, held_back, now_ms)
    row = {
        "month": name,
        "closes_ms": end,
        "closed_ms": now_ms,
        "statements": len(hashes),
        "hash": hash_of_all(hashes),
        "held_back": json.dumps(sorted(held_back)),
    }
    tx.connection.execute(insert(s.statement_close), row)
    detail = {"statements": len(hashes), "hash": row["hash"], "held_back": len(held_back)}
    record(tx, actor, "statements.close", name, detail, now_ms)
    return Closed(name, end, now_ms, len(hashes), str(row["hash"]), tuple(sorted(held_back)))


def closed_month(connection: Connection, month: str) -> Closed | None:
    """The closing of a month, such as 2025-06; None while it is open."""
    row = connection.execute(
        select(s.statement_close).where(s.statement_close.c.month == month)
    ).one_or_none()
    if row is None:
        return None
    held_back = tuple(json.loads(row.held_back))
    return Closed(row.month, row.closes_ms, row.closed_ms, row.statements, row.hash, held_back)


def statements_of(
    connection: Connection,
    *,
    kind: PartyKind | None = None,
    party: str | None = None,
    month: str | None = None,
    limit: int = 1_000,
) -> tuple[Statement, ...]:
    """Issued statements, newest month first, then by id."""
    query = select(_statement.body).order_by(_statement.month.desc(), _statement.id).limit(limit)
    for column, value in (
        (_statement.kind, None if kind is None else kind.value),
        (_statement.party, party),
        (_statement.month, month),
    ):
        if value is not None:
            query = query.where(column == value)
    return tuple(statement_from(body) for body in connection.scalars(query))


def statement_of(connection: Connection, id_: str) -> Statement:
    """The statement of that number. Raises ProblemError (404), and RuntimeError where it was changed since."""
    row = connection.execute(
        select(_statement.body, _statement.hash).where(_statement.id == id_)
    ).one_or_none()
    if row is None:
        raise not_found("statement", id_)
    if hash_of(row.body) != row.hash:
        raise RuntimeError(f"statement {id_} is not what was issued: its hash is another")
    return statement_from(row.body)


def verify_statements(connection: Connection) -> tuple[str, ...]:
    """What is wrong with issued statements, in words: hashes, their chains, the hash of each month."""
    faults: list[str] = []
    last: dict[tuple[str, str], tuple[str, int]] = {}
    by_month: dict[str, list[tuple[str, str, str]]] = {}
    query = select(s.statement).order_by(_statement.month, _statement.id)
    for row in connection.execute(query, execution_options={"yield_per": BATCH}):
        made = statement_from(row.body)
        if hash_of(row.body) != row.hash:
            faults.append(f"{row.id}: its hash is another")
        previous, carry = last.get((row.kind, row.party), ("", 0))
        if (made.previous, made.carried_in) != (previous, carry):
            faults.append(f"{row.id}: it does not follow the statement before")
        last[row.kind, row.party] = (row.hash, row.carry_micro_yuan)
        by_month.setdefault(row.month, []).append((_ORDER[row.kind], row.id, row.hash))
    for row in connection.execute(select(s.statement_close)):
        hashes = [each for _, _, each in sorted(by_month.get(row.month, []))]
        if (len(hashes), hash_of_all(hashes)) != (row.statements, row.hash):
            faults.append(f"{row.month}: its statements are not those that were issued")
    return tuple(faults)


def on_statements(connection: Connection, month: date) -> Any:
    """The condition that a row of `charge` is on the statements of a closed month. Raises ProblemError (409)."""
    closed = closed_month(connection, name_of(month))
    if closed is None:
        raise conflict(f"{name_of(month)} is open; close it first, so that what is exported stays as it is")
    before = closed_month(connection, name_of(add_months(month, -1)))
    window = _Window(closed.month, begin_of(month), begin_of(next_month(month)), closed.closes_ms, before)
    mine = _covered(window)
    return and_(mine, _charge.entry.not_in(closed.held_back)) if closed.held_back else mine


def name_of(month: date) -> str:
    """A month's name: 2025-06."""
    return f"{month.year:04d}-{month.month:02d}"


@dataclass(frozen=True, slots=True)
class _Window:
    name: str
    begins_ms: int
    ends_ms: int
    closes_ms: int
    before: Closed | None


_ORDER = {PartyKind.TENANT.value: "0", PartyKind.CENTRE.value: "1"}
_LETTER = {PartyKind.TENANT: "T", PartyKind.CENTRE: "C"}


def _issue(
    tx: Transaction, kind: PartyKind, window: _Window, held_back: frozenset[int], now_ms: int
) -> list[str]:
    """Issue all statements of a kind; their hashes in order."""
    last = _last(tx.connection, kind)
    hashes: list[str] = []
    rows: list[dict[str, Any]] = []
    for number, (party, postings) in enumerate(_by_party(tx.connection, kind, window, held_back), 1):
        carry, previous = last.get(party, (0, ""))
        id_ = f"{window.name}-{_LETTER[kind]}{number:07d}"
        made = make_statement(kind, id_, party, window.name, now_ms, postings, carry, previous)
        hashes.append(made.hash)
        rows.append(
            {
                "id": id_,
                "kind": kind.value,
                "party": party,
                "month": window.name,
                "issued_ms": now_ms,
                "total_fen": made.total_fen,
                "carry_micro_yuan": made.carry,
                "body": made.body(),
                "hash": made.hash,
            }
        )
        if len(rows) == BATCH:
            tx.connection.execute(insert(s.statement), rows)
            rows = []
    if rows:
        tx.connection.execute(insert(s.statement), rows)
    return hashes


def _by_party(
    connection: Connection, kind: PartyKind, window: _Window, held_back: frozenset[int]
) -> Iterator[tuple[str, list[Posting]]]:
    party, other = (
        (_charge.organisation, _charge.centre)
        if kind is PartyKind.TENANT
        else (_charge.centre, _charge.organisation)
    )
    paid = and_(
        _transfer.entry == _charge.entry,
        or_(_transfer.debit.startswith(VOUCHER), _transfer.credit.startswith(VOUCHER)),
        or_(_transfer.debit.startswith("payable:"), _transfer.credit.startswith("payable:")),
    )
    query: Select[Any] = (
        select(
            party.label("party"),
            other.label("other"),
            _charge.entry,
            _charge.from_ms,
            _charge.contract,
            _charge.parts,
            _charge.amount_micro_yuan,
            _transfer.debit,
            _transfer.credit,
            _transfer.amount_micro_yuan.label("paid"),
        )
        .select_from(s.charge.outerjoin(s.ledger_transfer, paid))
        .where(_covered(window))
        .order_by(party, _charge.entry, _transfer.line)
    )
    rows = connection.execute(query, execution_options={"yield_per": BATCH})
    for name, group in itertools.groupby(rows, key=lambda row: row.party):
        postings = [one for one in _postings(group) if one.entry not in held_back]
        if postings:
            yield name, postings


def _postings(rows: Iterable[AnyRow]) -> Iterator[Posting]:
    for entry, group in itertools.groupby(rows, key=lambda row: row.entry):
        vouchers: dict[str, int] = {}
        first = None
        for row in group:
            first = first or row
            if row.paid is not None:
                given = row.debit.startswith(VOUCHER)
                scheme = (row.debit if given else row.credit).removeprefix(VOUCHER).partition("/")[0]
                vouchers[scheme] = vouchers.get(scheme, 0) + (row.paid if given else -row.paid)
        assert first is not None
        parts = json.loads(first.parts)
        if sum(parts.values()) != first.amount_micro_yuan:
            parts = {"correction": first.amount_micro_yuan}
        yield Posting(entry, _month(first.from_ms), first.other, first.contract, parts, vouchers)


def _covered(window: _Window) -> Any:
    """Postings that belong on this month's statements, and were on none before."""
    mine = and_(_charge.at_ms < window.closes_ms, _charge.from_ms < window.ends_ms)
    if window.before is None:
        return mine
    later = or_(_charge.at_ms >= window.before.closes_ms, _charge.from_ms >= window.begins_ms)
    fresh = and_(mine, later)
    if not window.before.held_back:
        return fresh
    return or_(fresh, _charge.entry.in_(window.before.held_back))


def _held_back(connection: Connection, window: _Window) -> frozenset[int]:
    """Entries about jobs with an exception that nobody has settled."""
    trouble = select(s.money_exception.c.job).where(
        s.money_exception.c.resolved_ms.is_(None), s.money_exception.c.job.is_not(None)
    )
    query = select(_charge.entry).where(_covered(window), _charge.job.in_(trouble))
    return frozenset(connection.scalars(query))


def _last(connection: Connection, kind: PartyKind) -> dict[str, tuple[int, str]]:
    """By party, the carry and the hash of its last statement."""
    newest = (
        select(_statement.party, func.max(_statement.month).label("month"))
        .where(_statement.kind == kind.value)
        .group_by(_statement.party)
        .subquery()
    )
    same = and_(_statement.party == newest.c.party, _statement.month == newest.c.month)
    query = select(_statement.party, _statement.carry_micro_yuan, _statement.hash).join(newest, same)
    rows = connection.execute(query.where(_statement.kind == kind.value))
    return {row.party: (row.carry_micro_yuan, row.hash) for row in rows}


_names: dict[int, str] = {}


def _month(at_ms: int) -> str:
    day = (at_ms + SHANGHAI_MS) // DAY_MS
    if day not in _names:
        _names[day] = name_of(day_of(at_ms))
    return _names[day]


__all__ = [
    "Closed",
    "close_month",
    "closed_month",
    "name_of",
    "on_statements",
    "statement_of",
    "statements_of",
    "verify_statements",
]
