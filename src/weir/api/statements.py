"""Statements and settlements: issued by the coordinator, read by those concerned, as JSON, CSV or a page for print."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Path, Query
from sqlalchemy import Connection, select
from starlette.responses import Response

from weir.access import Permission, scope_of
from weir.api.bodies import JsonBody, object_of
from weir.api.caller import Asked
from weir.api.problems import REFUSALS
from weir.billing.focus_export import focus_csv
from weir.billing.scheme_store import schemes_in_force
from weir.billing.settlement import (
    Settlement,
    dispute,
    redemptions,
    settle_quarter,
    settlements_of,
    sign_check,
)
from weir.billing.settlement_cities import city_flows_csv
from weir.billing.statement import PartyKind, Statement
from weir.billing.statement_close import close_month, statement_of, statements_of, verify_statements
from weir.billing.statement_paper import statement_html, statements_csv
from weir.billing.statement_tax import taxes_of
from weir.model.problem import Problem, ProblemError, not_found, refused
from weir.model.province import Centre, Organisation
from weir.model.role import Role
from weir.model.statement import (
    ClosedView,
    RedemptionsView,
    RedemptionView,
    SettlementsView,
    SettlementView,
    StatementsView,
    StatementView,
    VerifiedView,
)
from weir.registry.rows import from_body
from weir.store import Transaction
from weir.store import schema as s
from weir.store.listed import among_texts, text_list

router = APIRouter(prefix="/api/v1", tags=["money"], responses=REFUSALS)

StatementId = Annotated[str, Path(max_length=100)]
Party = Annotated[str, Query(max_length=200, description="Credit code of a tenant, or id of a centre.")]
Month = Annotated[str, Query(max_length=10, description="Such as 2025-06.")]
MOST = 10_000


@router.get("/statements", response_model=StatementsView, summary="Issued statements, newest month first")
def statements(
    caller: Asked,
    party: Party = "",
    month: Month = "",
    limit: Annotated[int, Query(ge=1, le=MOST)] = 100,
) -> Response:
    return caller.answer(StatementsView(tuple(_view(one) for one in _found(caller, party, month, limit))))


@router.get("/statements.csv", summary="Issued statements, line by line, as CSV")
def table(
    caller: Asked,
    party: Party = "",
    month: Month = "",
    limit: Annotated[int, Query(ge=1, le=MOST)] = MOST,
) -> Response:
    text = statements_csv(_found(caller, party, month, limit))
    return Response("\ufeff" + text, media_type="text/csv", headers=_attached("statements.csv"))


@router.get("/statements/{statement}/page", summary="One statement as a page for print")
def page(caller: Asked, statement: StatementId) -> Response:
    def work(connection: Connection) -> str:
        one = _one(caller, connection, statement)
        names = _names(connection, {one.party, *(line.other for line in one.lines)})
        if one.vouchers:
            schemes = [stored.scheme for stored in schemes_in_force(connection)]
            names |= {scheme.scheme: scheme.name_zh or scheme.name for scheme in schemes}
        return statement_html(
            one, party_name=names.get(one.party, ""), names=names, taxes=taxes_of(connection, one)
        )

    headers = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}
    return Response(caller.read(work), media_type="text/html; charset=utf-8", headers=headers)


@router.post("/statements/close", response_model=ClosedView, summary="Issue a month's statements")
def close(caller: Asked, month: Month) -> Response:
    caller.require(Permission.SET_MONEY)
    first = _first(month, "month", f"{month}-01")

    def work(tx: Transaction) -> ClosedView:
        done = close_month(tx, first, caller.actor, caller.now_ms)
        return ClosedView(
            done.month, done.closes_ms, done.closed_ms, done.statements, done.hash, len(done.held_back)
        )

    return caller.answer(caller.write(work))


@router.get(
    "/statements/verify", response_model=VerifiedView, summary="Whether issued statements are as issued"
)
def verify(caller: Asked) -> Response:
    _everything(caller)
    return caller.answer(VerifiedView(caller.read(verify_statements)))


@router.get("/statements/focus", summary="The charges of a closed month as FOCUS 1.2 rows, as CSV")
def focus(caller: Asked, month: Month) -> Response:
    kind, own = _own(caller)
    if kind is PartyKind.CENTRE:
        said = "these rows are what tenants pay; a centre's statement says what it earned"
        raise ProblemError(Problem("forbidden", 403, said))
    first = _first(month, "month", f"{month}-01")
    text = caller.read(lambda connection: focus_csv(connection, first, own))
    return Response(text, media_type="text/csv", headers=_attached(f"focus-{month}.csv"))


@router.get(
    "/settlements/cities", summary="What tenants of each city used in each city in a closed month, as CSV"
)
def cities(caller: Asked, month: Month) -> Response:
    _everything(caller)
    first = _first(month, "month", f"{month}-01")
    text = caller.read(lambda connection: city_flows_csv(connection, first))
    return Response(text, media_type="text/csv", headers=_attached(f"cities-{month}.csv"))


@router.get("/settlements", response_model=SettlementsView, summary="What funders pay, newest quarter first")
def settlements(caller: Asked) -> Response:
    _everything(caller)
    found = caller.read(settlements_of)
    return caller.answer(SettlementsView(tuple(_settlement(one) for one in found)))


@router.post("/settlements/close", response_model=SettlementsView, summary="Settle a quarter")
def settle(
    caller: Asked, quarter: Annotated[str, Query(max_length=10, description="Such as 2025-Q2.")]
) -> Response:
    caller.require(Permission.SET_MONEY)
    year, _, number = quarter.partition("-Q")
    good = number in ("1", "2", "3", "4")
    first = _first(quarter, "quarter", f"{year}-{int(number) * 3 - 2:02d}-01" if good else "")
    made = caller.write(lambda tx: settle_quarter(tx, first, caller.actor, caller.now_ms))
    return caller.answer(SettlementsView(tuple(_settlement(one) for one in made)))


@router.get(
    "/redemptions",
    response_model=RedemptionsView,
    summary="What vouchers paid and is not settled, and why it waits",
)
def unsettled(caller: Asked) -> Response:
    _everything(caller)
    found = caller.read(lambda connection: redemptions(connection, caller.now_ms))
    return caller.answer(RedemptionsView(tuple(RedemptionView(*one) for one in found)))


@router.post("/redemptions/dispute", summary="Hold a redemption out of settlements, or let it in again")
def disputed(caller: Asked, body: JsonBody) -> Response:
    caller.require(Permission.SET_MONEY)
    given = object_of(body, {"entry": int, "line": int, "why": str})
    entry, line = given.get("entry", 0), given.get("line", 0)
    caller.write(lambda tx: dispute(tx, entry, line, given.get("why", ""), caller.actor, caller.now_ms))
    return caller.answer(VerifiedView(()))


@router.post("/vouchers/check", summary="Sign a step of a claim's re-check trail")
def checked(caller: Asked, body: JsonBody) -> Response:
    caller.require(Permission.SET_MONEY)
    given = object_of(body, {"claim": int, "step": str, "said": str})
    claim, step = given.get("claim", 0), given.get("step", "")
    caller.write(lambda tx: sign_check(tx, claim, step, given.get("said", ""), caller.actor, caller.now_ms))
    return caller.answer(VerifiedView(()))


def _found(caller: Asked, party: str, month: str, limit: int) -> tuple[Statement, ...]:
    """The statements that the caller may see: a tenant its own, a centre what it earned, others all."""
    kind, own = _own(caller)
    if own is not None and party not in ("", own):
        raise not_found("statement", party)
    wanted = own or party or None

    def work(connection: Connection) -> tuple[Statement, ...]:
        return statements_of(connection, kind=kind, party=wanted, month=month or None, limit=limit)

    return caller.read(work)


def _one(caller: Asked, connection: Connection, id_: str) -> Statement:
    kind, own = _own(caller)
    found = statement_of(connection, id_)
    if own is not None and (found.kind, found.party) != (kind, own):
        raise not_found("statement", id_)
    return found


def _own(caller: Asked) -> tuple[PartyKind | None, str | None]:
    """Of whom the caller sees statements; None for no limit."""
    caller.require(Permission.READ_MONEY)
    scope = scope_of(caller.actor)
    if caller.actor.role is Role.CENTRE_OPERATOR:
        if not scope.centre:
            raise refused("token", caller.actor.name, "use a token that is bound to one centre")
        return PartyKind.CENTRE, scope.centre
    if scope.project:
        raise refused("token", caller.actor.name, "use a token of the whole organisation, not of one project")
    if scope.organisation:
        return PartyKind.TENANT, scope.organisation
    return None, None


def _everything(caller: Asked) -> None:
    if _own(caller) != (None, None):
        said = "this is of all parties, and so for the coordinator and the province's auditor"
        raise ProblemError(Problem("forbidden", 403, said))


def _first(given: str, field: str, day: str) -> date:
    try:
        found = date.fromisoformat(day)
    except ValueError:
        raise refused(
            field, given, "give one such as " + ("2025-06" if field == "month" else "2025-Q2")
        ) from None
    return found


def _names(connection: Connection, parties: set[str]) -> dict[str, str]:
    """What these organisations and centres are called."""
    names = {}
    asked = {"parties": text_list(sorted(parties))}
    organisation, centre = s.organisation.c, s.centre.c
    for row in connection.execute(
        select(organisation.id, organisation.body).where(among_texts(organisation.id, "parties")), asked
    ):
        one = from_body(Organisation, row.body)
        names[row.id] = one.name_zh or one.name
    for row in connection.execute(
        select(centre.id, centre.body).where(among_texts(centre.id, "parties")), asked
    ):
        place = from_body(Centre, row.body)
        names[row.id] = place.name_zh or place.name
    return names


def _view(one: Statement) -> StatementView:
    return StatementView(
        one.id,
        one.kind.value,
        one.party,
        one.month,
        one.issued_ms,
        one.gross,
        one.voucher,
        one.carried_in,
        one.total_fen,
        one.carry,
        one.hash,
        one.previous,
    )


def _settlement(one: Settlement) -> SettlementView:
    return SettlementView(
        one.id,
        one.funder,
        one.quarter,
        one.issued_ms,
        one.redemptions,
        len(one.waiting),
        one.total_fen,
        one.carry,
        one.hash,
    )


def _attached(name: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="{name}"', "cache-control": "private, no-cache"}


__all__ = ["router"]
