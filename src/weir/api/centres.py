"""Centres, pools and device models; inviting agents, draining and resuming."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Path
from sqlalchemy import Connection
from starlette.responses import Response

from weir.access import Actor, Permission, invite, record
from weir.api.bodies import JsonBody, object_of
from weir.api.caller import Asked, Caller
from weir.api.openapi import json_body_of
from weir.api.problems import REFUSALS
from weir.model.problem import refused
from weir.model.role import Role
from weir.model.view import CentresView, CentreView, InvitesView, PoolsView, PoolView
from weir.registry import centre_operator, list_centres, list_devices, list_pools, set_draining
from weir.store import Transaction

router = APIRouter(prefix="/api/v1", tags=["province"], responses=REFUSALS)

CentreId = Annotated[str, Path(max_length=200)]
MOST_INVITES = 10_000
_INVITES = {
    "type": "object",
    "required": ["centres"],
    "properties": {"centres": {"type": "array", "items": {"type": "string"}}},
}


@router.get("/centres", response_model=CentresView, summary="Every centre")
def centres(caller: Asked) -> Response:
    caller.require(Permission.READ_PROVINCE)
    return caller.answer(CentresView(caller.read(list_centres)))


@router.get("/pools", response_model=PoolsView, summary="Every pool")
def pools(caller: Asked) -> Response:
    caller.require(Permission.READ_PROVINCE)

    def work(connection: Connection) -> PoolsView:
        operators = {centre.id: centre.operator for centre in list_centres(connection)}
        found = list_pools(connection)
        return PoolsView(tuple(_as_shown_to(caller.actor, pool, operators[pool.centre]) for pool in found))

    return caller.answer(caller.read(work))


@router.get("/devices", summary="Every device model")
def devices(caller: Asked) -> Response:
    caller.require(Permission.READ_PROVINCE)
    return caller.answer({"devices": caller.read(list_devices)})


@router.post(
    "/centres/invites",
    status_code=201,
    response_model=InvitesView,
    openapi_extra=json_body_of(_INVITES),
    summary="Make one-time codes with which agents join",
)
def invites(caller: Asked, body: JsonBody) -> Response:
    caller.require(Permission.INVITE_AGENTS)
    named = object_of(body, {"centres": list}).get("centres", [])
    if not all(isinstance(name, str) for name in named) or not 1 <= len(named) <= MOST_INVITES:
        raise refused("centres", named, f"give a list of 1 to {MOST_INVITES} ids of centres")

    def work(tx: Transaction) -> InvitesView:
        for name in named:
            _require(caller, tx.connection, Permission.INVITE_AGENTS, name)
        made = invite(tx, named, caller.now_ms, caller.services.random_bits)
        target = named[0] if len(named) == 1 else f"{len(named)} centres"
        record(tx, caller.actor, "centre.invite", target, {"centres": named}, caller.now_ms)
        return InvitesView(made)

    return caller.answer(caller.write(work), 201)


@router.post("/centres/{centre}/drain", response_model=CentreView, summary="Start nothing new there")
def drain(caller: Asked, centre: CentreId) -> Response:
    return _drained(caller, centre, draining=True)


@router.post("/centres/{centre}/resume", response_model=CentreView, summary="Start jobs there again")
def resume(caller: Asked, centre: CentreId) -> Response:
    return _drained(caller, centre, draining=False)


def _drained(caller: Caller, centre: str, *, draining: bool) -> Response:
    caller.require(Permission.DRAIN_CENTRE)

    def work(tx: Transaction) -> CentreView:
        _require(caller, tx.connection, Permission.DRAIN_CENTRE, centre)
        set_draining(tx, centre, draining, caller.actor, caller.now_ms)
        return next(view for view in list_centres(tx.connection) if view.id == centre)

    return caller.answer(caller.write(work))


def _as_shown_to(actor: Actor, pool: PoolView, operator: str) -> PoolView:
    """With what it may know of who runs as whom: whose the centre is all, a tenant what is its own."""
    of_centre = actor.centre == pool.centre or (not actor.centre and actor.organisation == operator)
    if (
        actor.role in (Role.COORDINATOR, Role.AUDITOR)
        or (actor.role is Role.CENTRE_OPERATOR and of_centre)
        or not pool.runs_as
    ):
        return pool
    own = {account: user for account, user in pool.runs_as.items() if account in ("*", actor.organisation)}
    return replace(pool, runs_as=own)


def _require(caller: Caller, connection: Connection, permission: Permission, centre: str) -> None:
    operator = centre_operator(connection, centre)
    caller.require(permission, organisation=operator, centre=centre)


__all__ = ["router"]
