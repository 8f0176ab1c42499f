"""What jobs hand over: listed, and fetched in whole or in part."""

from typing import Annotated

from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from weir.api.answers import file_response
from weir.api.caller import Asked
from weir.api.jobs import JobId, Limit
from weir.api.problems import REFUSALS, Refusal
from weir.control.jobs import find, find_output, list_outputs
from weir.model.problem import Problem
from weir.model.view import OutputPage

router = APIRouter(prefix="/api/v1/jobs", tags=["content"], responses=REFUSALS)


@router.get("/{job}/outputs", response_model=OutputPage, summary="A page of what it has handed over")
def outputs(
    caller: Asked,
    job: JobId,
    cursor: Annotated[str, Query(max_length=5_000, description="The `next` of the page before.")] = "",
    limit: Limit = 1_000,
) -> Response:
    return caller.answer(
        caller.read(
            lambda connection: list_outputs(
                connection, find(connection, caller.actor, job), cursor=cursor, limit=limit
            )
        )
    )


@router.get("/{job}/outputs/{path:path}", summary="One output's content", response_class=Response)
def content(
    caller: Asked,
    job: JobId,
    path: str,
    range_: Annotated[str, Header(alias="Range", max_length=100)] = "",
    if_match: Annotated[str, Header(alias="If-Match", max_length=100)] = "",
) -> Response:
    """The path is looked up among the outputs that are known; it never names a file of the server."""
    view = caller.read(lambda connection: find_output(connection, find(connection, caller.actor, job), path))
    if view.url:
        raise Refusal(
            Problem("elsewhere", 409, f"{path} is not kept here; the centre has written it to {view.url}")
        )
    blobs = caller.services.blobs
    size = blobs.size(view.digest)
    if size is None:
        raise Refusal(Problem("gone", 410, f"the content of {path} is kept no longer"))
    return file_response(blobs.open(view.digest), size, view.digest, range_, if_match)


__all__ = ["router"]
