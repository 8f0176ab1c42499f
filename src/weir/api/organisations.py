"""Facts about organisations: listed for those concerned, stated by the coordinator from a table."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from weir.access import Permission
from weir.api.bodies import TextBody
from weir.api.caller import Asked
from weir.api.problems import REFUSALS
from weir.model.fact import FactImportView, FactsView
from weir.registry import facts_view, import_facts, preview_facts, read_fact_file

router = APIRouter(prefix="/api/v1/organisations", tags=["organisations"], responses=REFUSALS)

OrganisationId = Annotated[str, Path(max_length=200)]
_CSV: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"text/csv": {"schema": {"type": "string"}}}}
}


@router.post(
    "/facts",
    response_model=FactImportView,
    openapi_extra=_CSV,
    summary="Import facts about organisations, all rows or none",
)
def import_(
    caller: Asked,
    text: TextBody,
    source: Annotated[
        str, Query(max_length=200, description="What the report calls the file.")
    ] = "the file of facts",
    dry_run: Annotated[bool, Query(description="Only say what each row would do.")] = False,
) -> Response:
    caller.require(Permission.STATE_FACTS)
    file = read_fact_file(text, source)
    if dry_run:
        return caller.answer(caller.read(lambda connection: preview_facts(connection, file)))
    return caller.answer(caller.write(lambda tx: import_facts(tx, file, caller.actor, caller.now_ms)))


@router.get("/{organisation}/facts", response_model=FactsView, summary="What is held about an organisation")
def facts(caller: Asked, organisation: OrganisationId) -> Response:
    caller.require(Permission.READ_FACTS, organisation=organisation)
    return caller.answer(caller.read(lambda connection: facts_view(connection, organisation)))


__all__ = ["router"]
