"""Charges as they can be read, and refunds: money given back for work that was charged rightly."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from sqlalchemy import Connection, bindparam, func, insert, select

from weir.access import Actor, record
from weir.billing.accounts import account
from weir.billing.hold_legs import Leg, total_charged
from weir.billing.hold_rows import job_entry, priced_jobs, write_job_holds
from weir.billing.ledger import Transfer, book_range, post
from weir.model.money_view import BillView, ChargeView
from weir.model.problem import conflict, not_found, refused
from weir.store import Transaction, schema
from weir.store.listed import AnyRow
from weir.units import cumulative_share, format_yuan

LONGEST_PAGE = 1_000

_charge = schema.charge.c
_meter = schema.meter.c
_OPEN = select(_meter.job).where(
    _meter.job == bindparam("of_job"), _meter.epoch == bindparam("of_epoch"), _meter.open.is_(True)
)


@dataclass(frozen=True, slots=True)
class BillScope:
    """Whose charges: an organisation's, one of its projects', or those that a centre earned; all by default."""

    organisation: str | None = None
    project: str | None = None
    centre: str | None = None


def bill(
    connection: Connection, scope: BillScope, from_ms: int, to_ms: int, *, cursor: str = "", limit: int = 200
) -> BillView:
    """The charges posted within [from, to): their sums by pool, and a page of them with jobs as numbers.

    Raises ProblemError for a bad cursor or limit.
    """
    if not 1 <= limit <= LONGEST_PAGE:
        raise refused("limit", limit, f"give a number from 1 to {LONGEST_PAGE}")
    if cursor and not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
        raise refused("cursor", cursor, "give the `next` of the page before")
    where = [_charge.at_ms >= from_ms, _charge.at_ms < to_ms]
    if scope.organisation is not None:
        book = connection.execute(
            select(schema.ledger_book.c.number).where(schema.ledger_book.c.id == scope.organisation)
        ).scalar()
        # A payer's entries are neighbours, which is faster to read than what is posted in a time.
        where.append(_charge.entry.between(*book_range(book or 0)))
        where.append(_charge.organisation == scope.organisation)
    if scope.centre is not None:
        where.append(_charge.centre == scope.centre)
    if scope.project is not None:
        own = (
            select(schema.job.c.number)
            .join(schema.hold, schema.hold.c.submission == schema.job.c.submission)
            .where(schema.hold.c.project == scope.project)
        )
        where.append(_charge.job.in_(own))
    sums = connection.execute(
        select(_charge.centre, _charge.pool, func.sum(_charge.amount_micro_yuan))
        .where(*where)
        .group_by(_charge.centre, _charge.pool)
        .order_by(_charge.centre, _charge.pool)
    ).all()
    page = select(schema.charge).where(*where).order_by(_charge.entry, _charge.line).limit(limit + 1)
    if cursor:
        page = page.where(_charge.entry > int(cursor))
    rows = connection.execute(page).all()
    return BillView(
        from_ms,
        to_ms,
        sum(int(row[2]) for row in sums),
        {f"{row[0]}/{row[1]}": int(row[2]) for row in sums},
        tuple(_view(row) for row in rows[:limit]),
        str(rows[limit - 1].entry) if len(rows) > limit else "",
    )


def refund(tx: Transaction, actor: Actor, job: int, epoch: int, amount: int, reason: str, now_ms: int) -> int:
    """Give back part of what an attempt was charged, as a correction of its last charge; the entry's number.

    It goes back to the budget and the vouchers in the proportions in which it was taken. Raises ProblemError: 404
    where the attempt was never charged, 409 while it runs, 422 for more than it was charged, or no reason.
    """
    found = priced_jobs(tx.connection, [job]).get(job)
    last = tx.connection.execute(
        select(schema.charge)
        .where(_charge.job == job, _charge.epoch == epoch)
        .order_by(_charge.entry.desc())
        .limit(1)
    ).one_or_none()
    if found is None or found.own is None or last is None:
        raise not_found("charged attempt", f"{job}-{epoch}")
    if tx.connection.execute(_OPEN, {"of_job": job, "of_epoch": epoch}).first() is not None:
        # Its charge may still be reversed, and then more would be given back than was taken.
        raise conflict("this attempt still runs; give money back when it has ended")
    so_far = tx.connection.execute(
        select(func.sum(_charge.amount_micro_yuan)).where(_charge.job == job, _charge.epoch == epoch)
    ).scalar_one()
    most = min(int(so_far), total_charged(found.own.legs))
    if not 0 < amount <= most:
        raise refused("amount", format_yuan(amount), f"give more than 0 and at most {format_yuan(most)}")
    if not reason.strip():
        raise refused("reason", reason, "say why it is given back")
    legs, transfers = _given_back(found.own.legs, amount, account("payable", last.centre))
    entry = job_entry(found.of, found.own, "refund", now_ms, transfers, {"epoch": epoch, "reason": reason})
    [posted] = post(tx, [entry._replace(corrects=last.entry)])
    write_job_holds(tx, [found.own.posted(legs, 1)])
    row = {
        **{
            name: getattr(last, name)
            for name in ("job", "epoch", "organisation", "centre", "pool", "contract")
        },
        "entry": posted.number,
        "line": 0,
        "kind": "refund",
        "at_ms": now_ms,
        "from_ms": last.from_ms,
        "to_ms": last.to_ms,
        "times": "{}",
        "parts": json.dumps({"refund": -amount}),
        "amount_micro_yuan": -amount,
    }
    tx.connection.execute(insert(schema.charge), row)
    detail = {"amount_micro_yuan": amount, "reason": reason, "entry": posted.number}
    record(tx, actor, "charge.refund", f"{job}-{epoch}", detail, now_ms, organisation=found.of.organisation)
    return posted.number


def was_charged(connection: Connection, job: int, epoch: int) -> bool:
    """Whether an attempt was ever charged."""
    wanted = select(_charge.entry).where(_charge.job == job, _charge.epoch == epoch).limit(1)
    return connection.execute(wanted).first() is not None


def _given_back(legs: Sequence[Leg], amount: int, payable: str) -> tuple[tuple[Leg, ...], list[Transfer]]:
    """The legs after so much of what they were charged was given back, and the transfers for it.

    By what each was charged, whenever that was: a leg may have another share by now, or none. Nothing is held for
    it, since it is no longer part of what the job may still cost.
    """
    whole, done, so_far = total_charged(legs), 0, 0
    made: list[Leg] = []
    transfers: list[Transfer] = []
    for leg in legs:
        done += leg.charged
        back = cumulative_share(amount, Fraction(done, whole)) - so_far
        so_far += back
        if back:
            transfers += [Transfer(payable, leg.account, back), Transfer(leg.account, leg.funding, back)]
        made.append(leg._replace(charged=leg.charged - back, base=leg.base - min(leg.base, back)))
    return tuple(made), transfers


def _view(row: AnyRow) -> ChargeView:
    return ChargeView(
        row.entry,
        str(row.job),
        row.epoch,
        row.organisation,
        row.centre,
        row.pool,
        row.contract,
        row.kind,
        row.at_ms,
        row.from_ms,
        row.to_ms,
        json.loads(row.parts),
        row.amount_micro_yuan,
    )


__all__ = ["BillScope", "bill", "refund", "was_charged"]
