"""Schemes and vouchers: what there is, what it grants to whom and why, and changing it by an act."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from sqlalchemy import Connection
from starlette.responses import Response

from weir.access import Permission, scope_of
from weir.api.bodies import TextBody
from weir.api.caller import Asked
from weir.api.problems import REFUSALS
from weir.billing.contracts import contracts
from weir.billing.grants import grant, why
from weir.billing.scheme_change import apply_change, preview_change
from weir.billing.voucher_views import change_view, judged_view, scheme_view, schemes_view, vouchers_view
from weir.model.problem import Problem, ProblemError, not_found
from weir.model.role import Role
from weir.model.voucher import SchemeChangeView, SchemesView, SchemeView, VouchersView, WhyView
from weir.store import Transaction

router = APIRouter(prefix="/api/v1", tags=["schemes"], responses=REFUSALS)

SchemeId = Annotated[str, Path(max_length=200)]
Source = Annotated[str, Query(max_length=200, description="What problems call the file.")]
ClawBack = Annotated[bool, Query(description="Ask back what was redeemed in excess.")]
_YAML: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/yaml": {"schema": {"type": "string"}}}}
}


@router.get("/schemes", response_model=SchemesView, summary="Every scheme in force")
def schemes(caller: Asked) -> Response:
    caller.require(Permission.READ_PROVINCE)
    return caller.answer(caller.read(lambda connection: schemes_view(connection, caller.now_ms)))


@router.get("/schemes/{scheme}", response_model=SchemeView, summary="One scheme with its file")
def scheme(caller: Asked, scheme: SchemeId) -> Response:
    caller.require(Permission.READ_PROVINCE)
    return caller.answer(caller.read(lambda connection: scheme_view(connection, scheme, caller.now_ms)))


@router.post(
    "/schemes/diff",
    response_model=SchemeChangeView,
    openapi_extra=_YAML,
    summary="What applying a scheme would do: who gains, who loses, by how much",
)
def difference(
    caller: Asked, text: TextBody, source: Source = "the scheme file", claw_back: ClawBack = False
) -> Response:
    caller.require(Permission.SET_MONEY)

    def work(connection: Connection) -> SchemeChangeView:
        return change_view(preview_change(connection, text, source, caller.now_ms, claw_back=claw_back))

    return caller.answer(caller.read(work))


@router.post(
    "/schemes/apply", response_model=SchemeChangeView, openapi_extra=_YAML, summary="Apply a scheme file"
)
def apply(
    caller: Asked,
    text: TextBody,
    source: Source = "the scheme file",
    act: Annotated[str, Query(max_length=200, description="The act that changes rules of past days.")] = "",
    expected: Annotated[str, Query(max_length=200, description="Digest of what was looked at.")] = "",
    claw_back: ClawBack = False,
) -> Response:
    caller.require(Permission.SET_MONEY)

    def work(tx: Transaction) -> SchemeChangeView:
        done = apply_change(
            tx, text, source, caller.actor, caller.now_ms, act=act, expected=expected, claw_back=claw_back
        )
        return change_view(done)

    return caller.answer(caller.write(work))


@router.get("/vouchers", response_model=VouchersView, summary="Vouchers of an organisation, or all")
def vouchers(caller: Asked, organisation: Annotated[str, Query(max_length=200)] = "") -> Response:
    wanted = _organisation(caller, organisation)
    return caller.answer(caller.read(lambda connection: vouchers_view(connection, wanted, caller.now_ms)))


@router.get(
    "/vouchers/why", response_model=WhyView, summary="What a scheme says about an organisation, and why"
)
def reasons(
    caller: Asked,
    scheme: Annotated[str, Query(max_length=200)],
    organisation: Annotated[str, Query(max_length=200)] = "",
    centre: Annotated[str, Query(max_length=200, description="Only contracts with this centre.")] = "",
) -> Response:
    wanted = _organisation(caller, organisation)
    if wanted is None:
        raise not_found("organisation", organisation)

    def work(connection: Connection) -> WhyView:
        judged = why(connection, wanted, scheme, caller.now_ms, centre=centre)
        return WhyView(wanted, scheme, tuple(judged_view(one) for one in judged))

    return caller.answer(caller.read(work))


@router.post(
    "/vouchers/grant",
    response_model=VouchersView,
    summary="Claim for every recorded contract what it is entitled to; work under a contract does so by itself",
)
def grant_all(caller: Asked, organisation: Annotated[str, Query(max_length=200)] = "") -> Response:
    caller.require(Permission.SET_MONEY)

    def work(tx: Transaction) -> VouchersView:
        for one in contracts(tx.connection, organisation=organisation or None):
            grant(tx, one.organisation, one.centre, one.id, caller.actor, caller.now_ms)
        return vouchers_view(tx.connection, organisation or None, caller.now_ms)

    return caller.answer(caller.write(work))


def _organisation(caller: Asked, named: str) -> str | None:
    """Whose vouchers are asked for: the named one's, else the actor's own, else (None) everybody's."""
    if caller.actor.role is Role.CENTRE_OPERATOR:
        raise ProblemError(
            Problem("forbidden", 403, "vouchers are for tenants, the coordinator and auditors")
        )
    own = scope_of(caller.actor).organisation
    wanted = named or own
    caller.require(Permission.READ_MONEY, organisation=wanted)
    return wanted


__all__ = ["router"]
