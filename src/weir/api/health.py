"""Whether it works, what is measured, and who the caller is."""

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy import select
from starlette.responses import Response

from weir.api.answers import json_response
from weir.api.caller import Asked
from weir.api.problems import REFUSALS, Refusal
from weir.api.services import Services
from weir.control.leader import leader
from weir.model.problem import Problem
from weir.model.view import WhoView
from weir.store import schema

router = APIRouter(responses=REFUSALS)


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz", tags=["health"], summary="Whether the process answers")
async def healthz() -> Response:
    return json_response({"ok": True})


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", tags=["health"], summary="Whether it can do its work: read, write, and somebody leads")
def readyz(request: Request) -> Response:
    services: Services = request.app.state.services
    now_ms = services.now_ms()
    try:
        services.store.write(lambda tx: tx.connection.execute(select(schema.meta.c.key).limit(1)).first())
        leads = services.store.read(lambda connection: leader(connection, now_ms))
    except Exception as error:
        raise _not_ready("the store does not answer") from error
    if leads is None:
        raise _not_ready("no scheduler leads at the moment")
    return json_response({"ok": True})


@router.get("/metrics", tags=["health"], summary="Measurements for Prometheus", response_class=Response)
def metrics(caller: Asked) -> Response:
    return Response(caller.services.meters.text(), headers={"content-type": CONTENT_TYPE_LATEST})


@router.get("/api/v1/whoami", tags=["access"], response_model=WhoView, summary="Whom the token stands for")
async def whoami(caller: Asked) -> Response:
    actor = caller.actor
    view = WhoView(
        actor.name, actor.role.value, actor.organisation, actor.project, actor.centre, caller.services.version
    )
    return caller.answer(view)


def _not_ready(why: str) -> Refusal:
    return Refusal(Problem("not-ready", 503, why), headers={"retry-after": "1"})


__all__ = ["router"]
