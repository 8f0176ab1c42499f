"""Budgets, charges, the ledger and exceptions: a tenant sees its own, a centre what it earned, the
coordinator and the province's auditor all; only the coordinator changes anything."""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from sqlalchemy import Connection, select
from starlette.responses import Response

from weir.access import Permission, scope_of
from weir.api.bodies import JsonBody, object_of
from weir.api.caller import Asked, Caller
from weir.api.creates import IdempotencyKey, create
from weir.api.openapi import json_body_of
from weir.api.problems import REFUSALS
from weir.api.specifications import read_value
from weir.billing import balances, entries_of_book, entry_of, verify
from weir.billing.budget import Budget, budgets_of, find_budget, state_of
from weir.billing.budget_orders import pay_out, set_budget, top_up
from weir.billing.charges import BillScope, bill, refund, was_charged
from weir.billing.counter_check import last_check
from weir.billing.exceptions import exceptions, resolve
from weir.billing.ledger_view import budget_view, entry_view, exception_view, with_names
from weir.control import money
from weir.control.jobs import find, names_of
from weir.model.identity import parse_attempt_id
from weir.model.money_view import (
    BalancesView,
    BillView,
    BudgetsView,
    BudgetView,
    ExceptionsView,
    ExceptionView,
    LedgerEntryView,
    LedgerPage,
    VerificationView,
)
from weir.model.problem import Problem, ProblemError, not_found, refused
from weir.store import Transaction, schema
from weir.units import MicroYuan

router = APIRouter(prefix="/api/v1", tags=["money"], responses=REFUSALS)

Cursor = Annotated[str, Query(max_length=200, description="The `next` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=1_000)]
Name = Annotated[str, Path(max_length=200)]
_TEXT = {"type": "string"}
_BUDGET = {
    "type": "object",
    "required": ["organisation"],
    "additionalProperties": False,
    "properties": {
        "organisation": _TEXT,
        "kind": {"enum": ["credit", "prepaid"]},
        "period": {"enum": ["month", "quarter", "year", "once"]},
        "limit": {**_TEXT, "examples": ["1000.00"]},
        "members": {"type": "object", "additionalProperties": _TEXT},
        "thresholds": {"type": "array", "items": _TEXT},
    },
}
_PAYMENT = {
    "type": "object",
    "required": ["amount", "reference"],
    "additionalProperties": False,
    "properties": {"amount": {**_TEXT, "examples": ["1000.00"]}, "reference": _TEXT},
}
_REFUND = {
    "type": "object",
    "required": ["attempt", "amount", "reason"],
    "additionalProperties": False,
    "properties": {"attempt": _TEXT, "amount": _TEXT, "reason": _TEXT},
}
_RESOLUTION = {"type": "object", "required": ["resolution"], "properties": {"resolution": _TEXT}}


@router.get("/budgets", response_model=BudgetsView, summary="Budgets in their present periods")
def budgets(caller: Asked) -> Response:
    organisation = _payer(caller)
    project = scope_of(caller.actor).project

    def view(connection: Connection, budget: Budget) -> BudgetView:
        whole = budget_view(state_of(connection, budget, caller.now_ms))
        # What the organisation has left limits each project too; what each of the others spent is theirs.
        own = {name: each for name, each in whole.members.items() if project in (None, name)}
        return replace(whole, members=own)

    def work(connection: Connection) -> BudgetsView:
        return BudgetsView(tuple(view(connection, one) for one in budgets_of(connection, organisation)))

    return caller.answer(caller.read(work))


@router.put(
    "/budgets/{budget}",
    response_model=BudgetView,
    openapi_extra=json_body_of(_BUDGET),
    summary="Make a budget, or give it other limits",
)
def put_budget(caller: Asked, budget: Name, body: JsonBody) -> Response:
    caller.require(Permission.SET_MONEY)
    if not isinstance(body.value, dict):
        raise refused("", "", "give an object with organisation, limit, …")
    wanted: Budget = read_value(Budget, {**body.value, "id": budget}, "")
    state = caller.write(lambda tx: set_budget(tx, caller.actor, wanted, caller.now_ms, money.offers(tx)))
    return caller.answer(budget_view(state))


@router.post(
    "/budgets/{budget}/top-up",
    response_model=BudgetView,
    openapi_extra=json_body_of(_PAYMENT),
    summary="Book a payment into a prepaid budget, once for its reference",
)
def top_up_budget(caller: Asked, budget: Name, body: JsonBody) -> Response:
    return _paid(caller, budget, object_of(body, {"amount": str, "reference": str}), into=True)


@router.post(
    "/budgets/{budget}/pay-out",
    response_model=BudgetView,
    openapi_extra=json_body_of(_PAYMENT),
    summary="Book that money was paid back out of a prepaid budget",
)
def pay_out_budget(caller: Asked, budget: Name, body: JsonBody) -> Response:
    return _paid(caller, budget, object_of(body, {"amount": str, "reference": str}), into=False)


@router.get("/bill", response_model=BillView, summary="Charges as they were posted, with their sums")
def show_bill(
    caller: Asked,
    from_ms: Annotated[int, Query(ge=0, le=2**53)] = 0,
    to_ms: Annotated[int, Query(ge=0, le=2**53)] = 2**53,
    organisation: Annotated[str, Query(max_length=200)] = "",
    centre: Annotated[str, Query(max_length=200)] = "",
    cursor: Cursor = "",
    limit: Limit = 200,
) -> Response:
    caller.require(Permission.READ_MONEY)
    own = scope_of(caller.actor)

    def work(connection: Connection) -> BillView:
        scope = BillScope(organisation or own.organisation, own.project, centre or own.centre)
        if own.organisation is not None and scope.organisation != own.organisation:
            raise not_found("organisation", organisation)
        if own.centre is not None and scope.centre != own.centre:
            raise not_found("centre", centre)
        if caller.actor.centre == "" and caller.actor.role.value == "centre-operator":
            title = "this token is of no centre; give one that was made with --centre"
            raise ProblemError(Problem("forbidden", 403, title))
        for table, name, kind in (
            (schema.organisation, organisation, "organisation"),
            (schema.centre, centre, "centre"),
        ):
            if name and connection.execute(select(table.c.id).where(table.c.id == name)).first() is None:
                raise not_found(kind, name)
        found = bill(connection, scope, from_ms, to_ms, cursor=cursor, limit=limit)
        return with_names(found, names_of(connection, {int(one.job) for one in found.charges}))

    return caller.answer(caller.read(work))


@router.post(
    "/refunds",
    response_model=LedgerEntryView,
    status_code=201,
    openapi_extra=json_body_of(_REFUND),
    summary="Give back part of what an attempt was charged",
)
def make_refund(caller: Asked, body: JsonBody, key: IdempotencyKey = "") -> Response:
    caller.require(Permission.SET_MONEY)
    given = object_of(body, {"attempt": str, "amount": str, "reason": str})
    try:
        job, epoch = parse_attempt_id(given.get("attempt", ""))
    except ValueError as error:
        raise refused("attempt", given.get("attempt", ""), str(error)) from None
    amount = read_value(MicroYuan, given.get("amount", ""), "amount")

    def work(tx: Transaction) -> LedgerEntryView:
        found = find(tx.connection, caller.actor, job)
        reason = given.get("reason", "")
        if not was_charged(tx.connection, found.first, epoch):
            raise not_found("charged attempt", given.get("attempt", ""))
        number = refund(tx, caller.actor, found.first, epoch, amount, reason, caller.now_ms)
        return _entry(tx.connection, number)

    return create(caller, key, body.raw, work)


@router.get("/ledger/verify", response_model=VerificationView, summary="Walk the whole ledger")
def verify_ledger(caller: Asked) -> Response:
    _whole(caller)

    def work(connection: Connection) -> VerificationView:
        found, night = verify(connection), last_check(connection)
        told = (None, ()) if night is None else (night.at_ms, night.faults)
        return VerificationView(found.books, found.entries, found.transfers, found.root, found.faults, *told)

    return caller.answer(caller.read(work))


@router.get("/ledger/balances", response_model=BalancesView, summary="Balances of all accounts")
def show_balances(caller: Asked, prefix: Annotated[str, Query(max_length=200)] = "") -> Response:
    _whole(caller)
    return caller.answer(BalancesView(caller.read(lambda connection: balances(connection, prefix))))


@router.get("/ledger/books/{book:path}", response_model=LedgerPage, summary="A page of a book, oldest first")
def show_book(caller: Asked, book: Name, cursor: Cursor = "", limit: Limit = 200) -> Response:
    caller.require(Permission.READ_MONEY, organisation=book)
    if cursor and not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
        raise refused("cursor", cursor, "give the `next` of the page before")

    def work(connection: Connection) -> LedgerPage:
        found = entries_of_book(connection, book, after=int(cursor or 0), limit=limit + 1)
        following = str(found[limit - 1].number) if len(found) > limit else ""
        return LedgerPage(tuple(entry_view(one) for one in found[:limit]), following)

    return caller.answer(caller.read(work))


@router.get("/ledger/entries/{number}", response_model=LedgerEntryView, summary="One entry of the ledger")
def show_entry(caller: Asked, number: Annotated[int, Path(ge=1, le=2**62)]) -> Response:
    caller.require(Permission.READ_MONEY)
    view = caller.read(lambda connection: _entry(connection, number))
    caller.require(Permission.READ_MONEY, organisation=view.book, what="entry", name=str(number))
    return caller.answer(view)


@router.get("/exceptions", response_model=ExceptionsView, summary="What could not be metered, priced or paid")
def show_exceptions(
    caller: Asked, all_: Annotated[bool, Query(alias="all", description="Settled ones too.")] = False
) -> Response:
    caller.require(Permission.READ_MONEY)
    own = scope_of(caller.actor)

    def work(connection: Connection) -> ExceptionsView:
        found = exceptions(
            connection,
            open_only=not all_,
            organisation=own.organisation,
            project=own.project,
            centre=own.centre,
        )
        names = names_of(connection, {one.job for one in found if one.job is not None})
        return ExceptionsView(tuple(exception_view(one, names) for one in found))

    return caller.answer(caller.read(work))


@router.post(
    "/exceptions/{number}/resolve",
    response_model=ExceptionView,
    openapi_extra=json_body_of(_RESOLUTION),
    summary="Settle an exception, saying how",
)
def resolve_exception(
    caller: Asked, number: Annotated[int, Path(ge=1, le=2**53)], body: JsonBody
) -> Response:
    caller.require(Permission.SET_MONEY)
    said = object_of(body, {"resolution": str}).get("resolution", "")

    def work(tx: Transaction) -> ExceptionView:
        found = resolve(tx, caller.actor, number, said, caller.now_ms)
        names = names_of(tx.connection, [found.job] if found.job is not None else [])
        return exception_view(found, names)

    return caller.answer(caller.write(work))


def _payer(caller: Caller) -> str | None:
    """The organisation whose budgets the caller may see; None for all."""
    caller.require(Permission.READ_MONEY)
    own = scope_of(caller.actor)
    if own.centre is not None or caller.actor.role.value == "centre-operator":
        raise ProblemError(Problem("forbidden", 403, "budgets are for tenants, the coordinator and auditors"))
    return own.organisation


def _whole(caller: Caller) -> None:
    """Pass for those who may see everything."""
    caller.require(Permission.READ_MONEY)
    own = scope_of(caller.actor)
    if own.organisation is not None or own.centre is not None:
        raise ProblemError(
            Problem("forbidden", 403, "the whole ledger is for the coordinator and the province's auditor")
        )


def _paid(caller: Caller, budget: str, given: dict[str, Any], *, into: bool) -> Response:
    caller.require(Permission.SET_MONEY)
    amount = read_value(MicroYuan, given.get("amount", ""), "amount")
    act = top_up if into else pay_out

    def work(tx: Transaction) -> BudgetView:
        reference = given.get("reference", "")
        act(tx, caller.actor, budget, amount, reference, caller.now_ms, money.offers(tx))
        found = find_budget(tx.connection, budget)
        assert found is not None
        return budget_view(state_of(tx.connection, found, caller.now_ms))

    return caller.answer(caller.write(work))


def _entry(connection: Connection, number: int) -> LedgerEntryView:
    found = entry_of(connection, number)
    if found is None:
        raise not_found("entry", str(number))
    return entry_view(found)


__all__ = ["router"]
