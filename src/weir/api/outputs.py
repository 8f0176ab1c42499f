"""What jobs hand over: listed, and fetched in whole or in part."""

from typing import Annotated

from fastapi import APIRouter, Header, Query
from sqlalchemy import Connection
from starlette.responses import Response

from weir.api.answers import file_response
from weir.api.caller import Asked
from weir.api.jobs import JobId
from weir.api.problems import REFUSALS, Refusal
from weir.control.jobs import find, list_outputs
from weir.model.problem import Problem, not_found, refused
from weir.model.view import OutputPage, OutputView

router = APIRouter(prefix="/api/v1/jobs", tags=["content"], responses=REFUSALS)

LONGEST_PAGE = 10_000


@router.get("/{job}/outputs", response_model=OutputPage, summary="A page of what it has handed over")
def outputs(
    caller: Asked,
    job: JobId,
    cursor: Annotated[
        str, Query(max_length=18, pattern="^[0-9]*$", description="The `next` of the page before.")
    ] = "",
    limit: Annotated[int, Query(ge=1, le=LONGEST_PAGE)] = 1_000,
) -> Response:
    found = caller.read(lambda connection: list_outputs(connection, find(connection, caller.actor, job)))
    start = int(cursor or 0)
    following = str(start + limit) if start + limit < len(found) else ""
    return caller.answer(OutputPage(found[start : start + limit], following))


@router.get("/{job}/outputs/{path:path}", summary="One output's content", response_class=Response)
def content(
    caller: Asked,
    job: JobId,
    path: str,
    range_: Annotated[str, Header(alias="Range", max_length=100)] = "",
    if_match: Annotated[str, Header(alias="If-Match", max_length=100)] = "",
) -> Response:
    """The path is looked up among the outputs that are known; it never names a file of the server."""

    def work(connection: Connection) -> OutputView | None:
        found = find(connection, caller.actor, job)
        if found.is_array and found.index is None:
            raise refused("id", job, f"give one of its elements, such as {found.id}.0")
        return next((view for view in list_outputs(connection, found) if view.path == path), None)

    view = caller.read(work)
    if view is None:
        raise not_found("output", path)
    blobs = caller.services.blobs
    size = blobs.size(view.digest)
    if size is None:
        raise Refusal(Problem("gone", 410, f"the content of {path} is kept no longer"))
    return file_response(blobs.open(view.digest), size, view.digest, range_, if_match)


__all__ = ["router"]
