"""What people order of budgets: to make and change them, and to book payments into prepaid ones.

Jobs that wait for money are looked at again in the same transaction.
"""

import json
import re
from collections.abc import Sequence
from decimal import Decimal

from sqlalchemy import Connection, insert, select, update

from weir.access import Actor, record
from weir.billing.accounts import account
from weir.billing.budget import (
    BUDGET_ID,
    UNLIMITED,
    Budget,
    BudgetKind,
    BudgetState,
    budget_key,
    find_budget,
    member_key,
    open_member,
    open_period,
    state_of,
)
from weir.billing.budget_periods import Period, period_name
from weir.billing.hold_offers import Offers, no_offers
from weir.billing.holds import wake
from weir.billing.ledger import Entry, Posted, Transfer, entry_of, post
from weir.billing.ledger_counters import OverLimitError, Shortage, counters, set_limit
from weir.model.codec import to_plain
from weir.model.problem import conflict, not_found, refused
from weir.store import Transaction, schema
from weir.units import format_yuan

_budget = schema.budget.c
_SHARE = re.compile(r"[0-9](?:\.[0-9]{1,6})?")


def set_budget(
    tx: Transaction, actor: Actor, budget: Budget, now_ms: int, offers: Offers = no_offers
) -> BudgetState:
    """Make a budget, or give one other limits and thresholds from now on.

    Raises ProblemError: 422 for what cannot be accepted, among it a limit below what is spent or held already, 409
    where organisation, kind or period of an existing one would change, 404 for an organisation that is not declared.
    """
    _check(tx.connection, budget)
    known = find_budget(tx.connection, budget.id)
    if known and (known.organisation, known.kind, known.period) != (
        budget.organisation,
        budget.kind,
        budget.period,
    ):
        raise conflict(f"budget {budget.id} keeps its organisation, kind and period; make another")
    body = json.dumps(to_plain(budget), ensure_ascii=False, sort_keys=True)
    row = {"id": budget.id, "organisation": budget.organisation, "body": body}
    if known is None:
        tx.connection.execute(insert(schema.budget), row)
    else:
        tx.connection.execute(update(schema.budget).where(_budget.id == budget.id).values(body=body))
    period = period_name(budget.period, now_ms)
    open_period(tx, budget, period)
    if budget.kind is BudgetKind.CREDIT:
        set_limit(tx, budget_key(budget.id, period), budget.limit)
    members = {*budget.members, *(known.members if known else ())}
    for member in sorted(members):
        open_member(tx, budget, period, member)
        set_limit(tx, member_key(budget.id, member, period), budget.members.get(member, UNLIMITED))
    detail = {"limit_micro_yuan": budget.limit, "period": budget.period.value, "kind": budget.kind.value}
    record(tx, actor, "budget.set", budget.id, detail, now_ms, organisation=budget.organisation)
    wake(tx, now_ms, offers)
    return state_of(tx.connection, budget, now_ms)


def top_up(
    tx: Transaction,
    actor: Actor,
    budget_id: str,
    amount: int,
    reference: str,
    now_ms: int,
    offers: Offers = no_offers,
) -> Posted:
    """Book a payment into a prepaid budget; its limit rises by as much. The same once more changes nothing.

    Raises ProblemError: 404, 422 for another kind of budget or an amount that is not more than 0, or 409 for a
    reference that another amount was booked with.
    """
    return _moved(tx, actor, budget_id, amount, reference, now_ms, "top-up", offers)


def pay_out(
    tx: Transaction,
    actor: Actor,
    budget_id: str,
    amount: int,
    reference: str,
    now_ms: int,
    offers: Offers = no_offers,
) -> Posted:
    """Book that money was paid back out of a prepaid budget; no more than is neither spent nor held.

    Raises ProblemError as `top_up` does, and OverLimitError.
    """
    return _moved(tx, actor, budget_id, amount, reference, now_ms, "pay-out", offers)


def _moved(
    tx: Transaction,
    actor: Actor,
    budget_id: str,
    amount: int,
    reference: str,
    now_ms: int,
    kind: str,
    offers: Offers,
) -> Posted:
    budget = find_budget(tx.connection, budget_id)
    if budget is None:
        raise not_found("budget", budget_id)
    if budget.kind is not BudgetKind.PREPAID:
        raise refused("budget", budget_id, "give a prepaid one; one on credit has a limit instead")
    if not 0 < amount < UNLIMITED // 2:
        raise refused("amount", format_yuan(amount), "give an amount of more than 0")
    if not reference:
        raise refused("reference", "", "give the payment's own reference, so that it is booked once")
    purse = account("prepaid", budget.id)
    transfer = Transfer("bank", purse, amount) if kind == "top-up" else Transfer(purse, "bank", amount)
    entry = Entry(
        budget.organisation,
        f"{kind}/{budget.id}/{reference}",
        kind,
        now_ms,
        (transfer,),
        detail={"budget": budget.id, "reference": reference},
    )
    [posted] = post(tx, [entry])
    if not posted.new:
        known = entry_of(tx.connection, posted.number)
        booked = sum(one.amount for one in known.transfers) if known else 0
        if booked != amount:
            said = f"reference {reference!r} was booked with {format_yuan(booked)} before; give another reference"
            raise conflict(said)
    if posted.new:
        period = period_name(budget.period, now_ms)
        open_period(tx, budget, period)
        key = budget_key(budget.id, period)
        now = counters(tx.connection, [key])[key]
        if kind != "top-up" and amount > now.available:
            raise OverLimitError(Shortage(key, amount - now.available, now.available))
        set_limit(tx, key, now.limit + (amount if kind == "top-up" else -amount))
        detail = {"amount_micro_yuan": amount, "reference": reference, "entry": posted.number}
        record(tx, actor, f"budget.{kind}", budget.id, detail, now_ms, organisation=budget.organisation)
        wake(tx, now_ms, offers)
    return posted


def _check(connection: Connection, budget: Budget) -> None:
    if not BUDGET_ID.fullmatch(budget.id):
        raise refused("id", budget.id, "give lower-case letters, digits, . and -, at most 63 of them")
    if budget.id == "voucher":
        raise refused("id", budget.id, "give another one: the accounts of vouchers are called so")
    organisation = schema.organisation.c.id
    if connection.execute(select(organisation).where(organisation == budget.organisation)).first() is None:
        raise not_found("organisation", budget.organisation)
    if budget.kind is BudgetKind.PREPAID and (budget.period is not Period.ONCE or budget.limit):
        raise refused(
            "period",
            budget.period.value,
            "a prepaid budget has the period once and no limit but its payments",
        )
    _check_amount("limit", budget.limit)
    projects = schema.project.c
    known: Sequence[str] = (
        connection.execute(select(projects.id).where(projects.organisation == budget.organisation))
        .scalars()
        .all()
    )
    for member, limit in budget.members.items():
        if member not in known:
            raise refused(
                "members", member, f"give projects of the organisation: {', '.join(known) or 'none'}"
            )
        _check_amount(f"members.{member}", limit)
    for threshold in budget.thresholds:
        if not _SHARE.fullmatch(threshold) or not 0 < Decimal(threshold) <= 1:
            raise refused("thresholds", threshold, 'give shares of the limit, such as "0.8"')


def _check_amount(name: str, amount: int) -> None:
    if not 0 <= amount < UNLIMITED // 2:
        raise refused(name, format_yuan(amount), "give an amount from 0 to a million million yuan")


__all__ = ["pay_out", "set_budget", "top_up"]
