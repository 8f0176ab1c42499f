"""Jobs: submitting, and what their owners may do with them."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from weir.access import Permission
from weir.api.bodies import JsonBody
from weir.api.caller import Asked
from weir.api.creates import IdempotencyKey, create
from weir.api.openapi import json_body_of, named
from weir.api.problems import REFUSALS
from weir.api.specifications import read_submission
from weir.control.intake import submit
from weir.model.view import SubmittedViews
from weir.store import Transaction

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"], responses=REFUSALS)

_SUBMISSION: dict[str, Any] = {
    "anyOf": [
        named("JobSpecification"),
        {
            "type": "object",
            "required": ["jobs"],
            "additionalProperties": False,
            "properties": {
                "jobs": {"type": "array", "minItems": 1, "maxItems": 10_000, "items": named("JobSpecification")}
            },
        },
    ]
}


@router.post(
    "",
    status_code=201,
    response_model=SubmittedViews,
    openapi_extra=json_body_of(_SUBMISSION),
    summary="Submit a job, an array, or many of them at once",
)
def submit_jobs(caller: Asked, body: JsonBody, idempotency_key: IdempotencyKey = "") -> Response:
    caller.require(Permission.CHANGE_JOBS)
    services = caller.services
    specifications = read_submission(body.value, services.settings.most_jobs_a_call)

    def work(tx: Transaction) -> SubmittedViews:
        return SubmittedViews(tuple(submit(tx, caller.actor, specifications, caller.now_ms, services.random_bits)))

    return create(caller, idempotency_key, body.raw, work)


__all__ = ["router"]
