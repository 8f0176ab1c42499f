"""Tokens: making, listing and revoking them."""

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from weir.access import Permission, create_token, list_tokens, record, require_grant, revoke, scope_of
from weir.access.tokens import get_token
from weir.api.bodies import JsonBody, object_of
from weir.api.caller import Asked
from weir.api.openapi import json_body_of
from weir.api.problems import REFUSALS
from weir.model.problem import not_found, refused
from weir.model.role import Role
from weir.model.view import TokenMadeView, TokensView
from weir.store import Transaction
from weir.units import parse_duration_ms

router = APIRouter(prefix="/api/v1/tokens", tags=["access"], responses=REFUSALS)

_FIELDS: dict[str, type] = dict.fromkeys(
    ("name", "role", "organisation", "project", "centre", "valid_for"), str
)
_BODY = {
    "type": "object",
    "required": ["name", "role"],
    "additionalProperties": False,
    "properties": {name: {"type": "string"} for name in _FIELDS}
    | {"role": {"type": "string", "enum": [role.value for role in Role]}},
}


@router.get("", response_model=TokensView, summary="Tokens, without their secrets")
def tokens(caller: Asked) -> Response:
    caller.require(Permission.READ_TOKENS)
    scope = scope_of(caller.actor)
    found = caller.read(lambda connection: list_tokens(connection, organisation=scope.organisation))
    if scope.project is not None:
        found = tuple(view for view in found if view.project == scope.project)
    return caller.answer(TokensView(found))


@router.post(
    "",
    status_code=201,
    response_model=TokenMadeView,
    openapi_extra=json_body_of(_BODY),
    summary="Make a token; its secret is shown once",
)
def make(caller: Asked, body: JsonBody) -> Response:
    caller.require(Permission.MANAGE_TOKENS)
    given = object_of(body, _FIELDS)
    try:
        role = Role(given.get("role", ""))
    except ValueError:
        accepted = f"give one of {', '.join(role.value for role in Role)}"
        raise refused("role", given.get("role", ""), accepted) from None
    expires_ms = None
    if given.get("valid_for"):
        try:
            expires_ms = caller.now_ms + parse_duration_ms(given["valid_for"])
        except ValueError as error:
            raise refused("valid_for", given["valid_for"], str(error)) from None
    scope = {name: given.get(name, "") for name in ("organisation", "project", "centre")}
    require_grant(caller.actor, role, organisation=scope["organisation"], project=scope["project"])

    def work(tx: Transaction) -> TokenMadeView:
        token_id, secret = create_token(
            tx,
            name=given.get("name", ""),
            role=role,
            **scope,
            now_ms=caller.now_ms,
            random_bits=caller.services.random_bits,
            expires_ms=expires_ms,
        )
        detail = {"name": given.get("name", ""), "role": role.value, **scope, "expires_ms": expires_ms}
        record(
            tx,
            caller.actor,
            "token.create",
            str(token_id),
            detail,
            caller.now_ms,
            organisation=scope["organisation"] or None,
        )
        return TokenMadeView(get_token(tx.connection, token_id), secret)

    # The secret is kept nowhere, so the answer is not either: a repetition makes another token.
    return caller.answer(caller.write(work), 201)


@router.delete(
    "/{token_id}", status_code=204, response_class=Response, summary="Make a token useless from now on"
)
def end(caller: Asked, token_id: Annotated[int, Path(ge=0, le=1 << 62)]) -> Response:
    caller.require(Permission.MANAGE_TOKENS)

    def work(tx: Transaction) -> None:
        token = get_token(tx.connection, token_id)
        scope = scope_of(caller.actor)
        if scope.organisation is not None and scope.organisation != token.organisation:
            raise not_found("token", str(token_id))
        require_grant(caller.actor, Role(token.role), organisation=token.organisation, project=token.project)
        if token.revoked_ms is not None:
            return
        revoke(tx, token_id, caller.now_ms)
        record(
            tx,
            caller.actor,
            "token.revoke",
            str(token_id),
            {"name": token.name},
            caller.now_ms,
            organisation=token.organisation or None,
        )

    caller.write(work)
    caller.services.tokens.drop()
    return Response(status_code=204)


__all__ = ["router"]
