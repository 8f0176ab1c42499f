"""Files that users bring, as inputs of their jobs."""

from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from weir.access import Permission
from weir.api.answers import json_response
from weir.api.caller import Asked, Caller
from weir.api.problems import REFUSALS
from weir.api.uploads import receive_blob
from weir.control.uploads import is_uploaded, note_upload
from weir.model.problem import refused

router = APIRouter(prefix="/api/v1/blobs", tags=["content"], responses=REFUSALS)

Digest = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="SHA-256 of the content, in hexadecimal.")]
_CONTENT = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.head("/{digest}", summary="Whether it is here, or how much of it", response_class=Response)
def look(caller: Asked, digest: Digest) -> Response:
    caller.require(Permission.CHANGE_JOBS)
    organisation = _organisation(caller)
    # What other organisations brought is not told of: only the content itself proves that one has it.
    if caller.read(lambda connection: is_uploaded(connection, organisation, digest)):
        size = caller.services.blobs.size(digest)
        if size is not None:
            return Response(status_code=200, headers={"x-weir-offset": str(size)})
    offset = caller.services.blobs.partial_size(digest, _uploader(organisation))
    return Response(status_code=404, headers={"x-weir-offset": str(offset)})


@router.put(
    "/{digest}",
    status_code=201,
    summary="Bring a file's content",
    response_class=Response,
    openapi_extra=_CONTENT,
)
async def bring(
    caller: Asked,
    digest: Digest,
    offset: Annotated[int, Query(ge=0, le=1 << 50, description="Go on there; HEAD says where.")] = 0,
) -> Response:
    caller.require(Permission.CHANGE_JOBS)
    organisation = _organisation(caller)
    services = caller.services
    limit = services.settings.largest_input_bytes
    size = await receive_blob(
        caller.request, services.blobs, digest, _uploader(organisation), offset, None, limit
    )

    def note() -> None:
        caller.write(lambda tx: note_upload(tx, caller.actor, organisation, digest, size, caller.now_ms))

    await run_sync(note)
    return json_response({"digest": digest, "size_bytes": size}, 201)


def _organisation(caller: Caller) -> str:
    """Whose jobs may use it."""
    if not caller.actor.organisation:
        raise refused(
            "organisation", "", "this token belongs to no organisation, whose jobs could use the file"
        )
    return caller.actor.organisation


def _uploader(organisation: str) -> str:
    return f"organisation:{organisation}"


__all__ = ["router"]
