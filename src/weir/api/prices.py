"""The price book: shown to everybody, applied by the coordinator; and quotes."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from sqlalchemy import Connection
from starlette.responses import Response

from weir.access import Permission
from weir.api.bodies import JsonBody, TextBody
from weir.api.caller import Asked
from weir.api.openapi import json_body_of, named
from weir.api.problems import REFUSALS
from weir.api.specifications import read_submission
from weir.billing.price_book import read_price_book
from weir.billing.price_versions import apply_price_book, in_force, version_of
from weir.billing.price_view import difference_view, version_view, versions_view
from weir.control.quoting import quote_job
from weir.model.money_view import PriceDifferenceView, PriceVersionsView, PriceVersionView, QuoteView

router = APIRouter(prefix="/api/v1", tags=["money"], responses=REFUSALS)

Source = Annotated[str, Query(max_length=200, description="What problems call the file.")]
_YAML: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/yaml": {"schema": {"type": "string"}}}}
}


@router.get("/prices", response_model=PriceVersionsView, summary="Versions of the price book, newest first")
def prices(caller: Asked) -> Response:
    caller.require(Permission.READ_PROVINCE)
    return caller.answer(caller.read(lambda connection: versions_view(connection, caller.now_ms)))


@router.get(
    "/prices/{version}", response_model=PriceVersionView, summary="One version, whole; 0 for that in force"
)
def price(caller: Asked, version: Annotated[int, Path(ge=0, le=2**62)]) -> Response:
    caller.require(Permission.READ_PROVINCE)

    def work(connection: Connection) -> PriceVersionView:
        current = in_force(connection, caller.now_ms)
        if version == 0 and current is not None:
            return version_view(current, in_force=True)
        found = version_of(connection, version)
        return version_view(found, in_force=current is not None and current.version == version)

    return caller.answer(caller.read(work))


@router.post(
    "/prices/diff",
    response_model=PriceDifferenceView,
    openapi_extra=_YAML,
    summary="What applying a price book would change",
)
def difference(caller: Asked, text: TextBody, source: Source = "the price book") -> Response:
    caller.require(Permission.SET_MONEY)
    book = read_price_book(text, source)
    return caller.answer(caller.read(lambda connection: difference_view(connection, book, caller.now_ms)))


@router.post(
    "/prices/apply", response_model=PriceVersionView, openapi_extra=_YAML, summary="Apply a price book"
)
def apply(
    caller: Asked,
    text: TextBody,
    source: Source = "the price book",
    expected: Annotated[
        int | None, Query(ge=0, description="The newest version that was looked at; 0 for none.")
    ] = None,
) -> Response:
    caller.require(Permission.SET_MONEY)
    book = read_price_book(text, source)
    made = caller.write(
        lambda tx: apply_price_book(tx, caller.actor, book, caller.now_ms, expected_version=expected)
    )
    return caller.answer(version_view(made, in_force=made.starts_ms <= caller.now_ms))


@router.post(
    "/quote",
    response_model=QuoteView,
    openapi_extra=json_body_of(named("JobSpecification")),
    summary="What a job would cost, pool by pool",
)
def quote(caller: Asked, body: JsonBody) -> Response:
    caller.require(Permission.READ_JOBS)
    [specification] = read_submission(body.value, 1)
    return caller.answer(
        caller.read(
            lambda connection: quote_job(
                connection,
                caller.actor,
                specification,
                caller.now_ms,
                caller.services.foresee,
                caller.services.foretold,
            )
        )
    )


__all__ = ["router"]
