"""The province file: what applying it would change, and applying it."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from weir.access import Permission
from weir.api.bodies import TextBody
from weir.api.caller import Asked
from weir.api.problems import REFUSALS
from weir.model.view import DifferenceView
from weir.registry import ProvinceDiff, apply_province, diff, read_province

router = APIRouter(prefix="/api/v1/province", tags=["province"], responses=REFUSALS)

Source = Annotated[str, Query(max_length=200, description="What problems call the file.")]
_YAML: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/yaml": {"schema": {"type": "string"}}}}
}


@router.post(
    "/diff",
    response_model=DifferenceView,
    openapi_extra=_YAML,
    summary="What applying a province file would change",
)
def difference(caller: Asked, text: TextBody, source: Source = "the province file") -> Response:
    caller.require(Permission.DECLARE_PROVINCE)
    province = read_province(text, source)
    return caller.answer(_view(caller.read(lambda connection: diff(connection, province))))


@router.post("/apply", response_model=DifferenceView, openapi_extra=_YAML, summary="Apply a province file")
def apply(
    caller: Asked,
    text: TextBody,
    source: Source = "the province file",
    expected: Annotated[
        str, Query(max_length=200, description="Digest of the difference that was looked at.")
    ] = "",
) -> Response:
    caller.require(Permission.DECLARE_PROVINCE)
    province = read_province(text, source)
    return caller.answer(
        _view(
            caller.write(
                lambda tx: apply_province(tx, province, caller.actor, caller.now_ms, expected_digest=expected)
            )
        )
    )


def _view(found: ProvinceDiff) -> DifferenceView:
    return DifferenceView(found.lines(), found.changed, found.digest)


__all__ = ["router"]
