"""The audit log: who did what to what, from where."""

from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy import Connection
from starlette.responses import Response

from weir.access import Permission, list_audit, scope_of
from weir.api.caller import Asked
from weir.api.problems import REFUSALS
from weir.model.role import Role
from weir.model.view import AuditPage
from weir.registry import centre_operator

router = APIRouter(prefix="/api/v1/audit", tags=["access"], responses=REFUSALS)


@router.get("", response_model=AuditPage, summary="A page of the audit log, newest first")
def audit(caller: Asked, cursor: str = "", limit: Annotated[int, Query(ge=1, le=1_000)] = 100) -> Response:
    caller.require(Permission.READ_AUDIT)

    def work(connection: Connection) -> AuditPage:
        organisation = scope_of(caller.actor).organisation
        if caller.actor.role is Role.CENTRE_OPERATOR and organisation is None:
            # One that is bound to a centre sees what concerns those who operate it.
            organisation = centre_operator(connection, caller.actor.centre)
            if not organisation:
                return AuditPage(())
        return list_audit(connection, cursor=cursor, limit=limit, organisation=organisation)

    return caller.answer(caller.read(work))


__all__ = ["router"]
