"""Contracts of tenants and centres with their invoices, payments and evidence.

A tenant and a centre see their own, the coordinator and the province's auditor all. The coordinator records them; a
centre's operator records the invoices that its centre issues.
"""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from sqlalchemy import Connection
from starlette.responses import Response

from weir.access import Permission, scope_of
from weir.api.bodies import JsonBody, TextBody, object_of
from weir.api.caller import Asked, Caller
from weir.api.openapi import json_body_of
from weir.api.problems import REFUSALS
from weir.api.specifications import read_value
from weir.billing.contract_views import contract_view, views
from weir.billing.contracts import (
    ContractDocument,
    DocumentKind,
    add_contract,
    add_document,
    contract_of,
    contracts,
    documents_of,
    end_contract,
    read_contract,
)
from weir.model.contract_view import ContractsView, ContractView
from weir.model.problem import Problem, ProblemError, not_found, refused
from weir.registry import centre_operator
from weir.store import Transaction
from weir.units import MicroYuan, parse_time_ms

router = APIRouter(prefix="/api/v1", tags=["contracts"], responses=REFUSALS)

Id = Annotated[str, Path(max_length=500)]
Source = Annotated[str, Query(max_length=200, description="What problems call the file.")]
_TEXT = {"type": "string"}
_YAML: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/yaml": {"schema": {"type": "string"}}}}
}
_DOCUMENT = {
    "type": "object",
    "required": ["kind", "reference"],
    "additionalProperties": False,
    "properties": {
        "kind": {"enum": [kind.value for kind in DocumentKind]},
        "reference": _TEXT,
        "amount": {**_TEXT, "examples": ["1000.00"]},
        "at": {**_TEXT, "description": "ISO 8601 with offset; by default now."},
        "digest": {**_TEXT, "description": "SHA-256 of the paper."},
    },
}
_END = {
    "type": "object",
    "required": ["ends"],
    "additionalProperties": False,
    "properties": {"ends": {**_TEXT, "description": "ISO 8601 with offset."}},
}


@router.get("/contracts", response_model=ContractsView, summary="Contracts with their papers")
def show_contracts(
    caller: Asked,
    organisation: Annotated[str, Query(max_length=200)] = "",
    centre: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    caller.require(Permission.READ_MONEY)
    own = scope_of(caller.actor)
    if caller.actor.centre == "" and caller.actor.role.value == "centre-operator":
        raise ProblemError(Problem("forbidden", 403, "a centre's token is made for one centre; name it"))
    for name, given, limit in (
        ("organisation", organisation, own.organisation),
        ("centre", centre, own.centre),
    ):
        if given and limit is not None and given != limit:
            raise not_found(name, given)

    def work(connection: Connection) -> ContractsView:
        found = contracts(
            connection,
            organisation=organisation or own.organisation,
            centre=centre or own.centre,
        )
        return ContractsView(views(connection, found))

    return caller.answer(caller.read(work))


@router.post(
    "/contracts", response_model=ContractView, openapi_extra=_YAML, summary="Record a contract, once"
)
def record_contract(caller: Asked, text: TextBody, source: Source = "the contract") -> Response:
    caller.require(Permission.SET_MONEY)
    given = read_contract(text, source)

    def work(tx: Transaction) -> ContractView:
        add_contract(tx, caller.actor, given, caller.now_ms)
        return contract_view(tx.connection, given.id)

    return caller.answer(caller.write(work))


@router.post(
    "/contracts/{contract:path}/documents",
    response_model=ContractView,
    openapi_extra=json_body_of(_DOCUMENT),
    summary="Record an invoice, a payment or evidence, once for its kind and reference",
)
def record_document(caller: Asked, contract: Id, body: JsonBody) -> Response:
    fields = ("kind", "reference", "amount", "at", "digest")
    given = object_of(body, dict.fromkeys(fields, str))
    kind = read_value(DocumentKind, given.get("kind", ""), "kind")
    # The role first, so that who may record nothing learns nothing of which contracts there are.
    needed = Permission.RECORD_INVOICES if kind is DocumentKind.INVOICE else Permission.SET_MONEY
    caller.require(needed)
    amount = read_value(MicroYuan, given.get("amount", "0"), "amount")
    try:
        at_ms = parse_time_ms(given["at"]) if given.get("at") else caller.now_ms
    except ValueError as error:
        raise refused("at", given["at"], str(error)) from None
    reference = given.get("reference", "")
    paper = ContractDocument(contract, kind, reference, at_ms, amount, given.get("digest", ""))

    def work(tx: Transaction) -> ContractView:
        if kind is DocumentKind.INVOICE:
            found = contract_of(tx.connection, contract)
            operator = centre_operator(tx.connection, found.centre)
            caller.require(needed, organisation=operator, centre=found.centre, what="contract", name=contract)
        known = [one for one in documents_of(tx.connection, contract) if one.kind is kind]
        before = next((one.at_ms for one in known if one.reference == reference), at_ms)
        # What is sent again without a date is the same paper, not one of today.
        add_document(
            tx, caller.actor, paper if given.get("at") else replace(paper, at_ms=before), caller.now_ms
        )
        return contract_view(tx.connection, contract)

    return caller.answer(caller.write(work))


@router.post(
    "/contracts/{contract:path}/end",
    response_model=ContractView,
    openapi_extra=json_body_of(_END),
    summary="End a contract sooner or later; work that has begun stays with it",
)
def end(caller: Asked, contract: Id, body: JsonBody) -> Response:
    caller.require(Permission.SET_MONEY)
    ends = object_of(body, {"ends": str}).get("ends", "")

    def work(tx: Transaction) -> ContractView:
        end_contract(tx, caller.actor, contract, ends, caller.now_ms)
        return contract_view(tx.connection, contract)

    return caller.answer(caller.write(work))


@router.get(
    "/contracts/{contract:path}",
    response_model=ContractView,
    summary="One contract; a standing one is standing/ORGANISATION/CENTRE",
)
def show_contract(caller: Asked, contract: Id) -> Response:
    caller.require(Permission.READ_MONEY)

    def work(connection: Connection) -> ContractView:
        found = contract_view(connection, contract)
        _may_read(caller, found)
        return found

    return caller.answer(caller.read(work))


def _may_read(caller: Caller, found: ContractView) -> None:
    """Pass for either party of it. Raises ProblemError (404)."""
    own = scope_of(caller.actor)
    of_tenant = own.centre is None and own.organisation in (None, found.organisation)
    if not (of_tenant or (own.centre is not None and own.centre == found.centre)):
        raise not_found("contract", found.id)


__all__ = ["router"]
