"""Refusals as RFC 9457 problem details: one form for everything that goes wrong."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from weir.files import OffsetError
from weir.model.problem import FieldProblem, Problem, ProblemError

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:weir:problem:"
RETRY_AFTER_S = 1
_SHOWN = 200

SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "description": "RFC 9457 problem details. Nothing has been changed.",
    "type": "object",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string", "format": "uri", "examples": [f"{TYPE_PREFIX}invalid"]},
        "title": {"type": "string", "description": "One sentence that says what to do."},
        "status": {"type": "integer"},
        "instance": {"type": "string", "description": "The request's id, which is in the server's log."},
        "fields": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "value", "accepted"],
                "properties": {
                    "field": {"type": "string", "examples": ["inputs[0].path"]},
                    "value": {"type": "string", "description": "As given, shortened."},
                    "accepted": {"type": "string", "description": "What is accepted instead."},
                },
            },
        },
    },
}

_DESCRIPTIONS = {
    400: "The request is not well-formed.",
    401: "There is no token, or it is not accepted.",
    403: "The token's role may not do this.",
    404: "There is no such thing, or it is not for the token's holder to know.",
    409: "It cannot be done in the present state, or the Idempotency-Key was used for another request.",
    410: "What is asked for was cut off; list anew.",
    413: "The body is too large.",
    422: "A field cannot be accepted.",
    503: "It cannot be answered now; see Retry-After.",
}

REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": description,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status, description in _DESCRIPTIONS.items()
}
"""Documents what every operation may answer besides success."""


class Refusal(ProblemError):  # noqa: N818 - it is a ProblemError with what HTTP adds to it
    """A problem with headers and members of its own, such as the last state that is known."""

    def __init__(
        self,
        problem: Problem,
        *,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(problem)
        self.headers = dict(headers or {})
        self.more = dict(more or {})


@dataclass(frozen=True, slots=True)
class Refused:
    """What to answer: the problem, headers, and members that go beyond the common ones."""

    problem: Problem
    headers: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)


def refused_by(error: Exception) -> Refused | None:
    """What an exception means for the one who asked; None for a fault of ours."""
    if isinstance(error, Refusal):
        return Refused(error.problem, error.headers, error.more)
    if isinstance(error, OffsetError):
        return Refused(error.problem, {"x-weir-offset": str(error.expected)}, {"offset": error.expected})
    if isinstance(error, ProblemError):
        headers = {"retry-after": str(RETRY_AFTER_S)} if error.problem.status == 503 else {}
        return Refused(error.problem, headers)
    if isinstance(error, RequestValidationError):
        return Refused(_invalid_request(error))
    if isinstance(error, HTTPException):
        return _http(error)
    return None


def response(refused: Refused, request_id: str) -> Response:
    """The answer that tells it."""
    problem = refused.problem
    body: dict[str, Any] = {
        "type": TYPE_PREFIX + problem.kind,
        "title": problem.title,
        "status": problem.status,
        "instance": f"urn:weir:request:{request_id}",
    }
    if problem.fields:
        body["fields"] = [
            {"field": entry.field, "value": _shown(entry.value), "accepted": entry.accepted}
            for entry in problem.fields
        ]
    content = json.dumps({**body, **refused.more}, ensure_ascii=False).encode("utf-8", "replace")
    headers = {"cache-control": "no-store", **refused.headers}
    return Response(content, problem.status, headers, MEDIA_TYPE)


async def answer_problem(request: Request, error: Exception) -> Response:
    """Starlette's handler for the exceptions that `refused_by` knows."""
    refused = refused_by(error)
    assert refused is not None
    return response(refused, request.state.request_id)


def _http(error: HTTPException) -> Refused:
    headers = dict(error.headers or {})
    if error.status_code == 404:
        return Refused(
            Problem("not-found", 404, "there is nothing at this address; see /openapi.json"), headers
        )
    if error.status_code == 405:
        allowed = headers.get("Allow", headers.get("allow", ""))
        return Refused(
            Problem("method", 405, f"this address takes {allowed} only" if allowed else "wrong method"),
            headers,
        )
    return Refused(Problem("http", error.status_code, str(error.detail)), headers)


def _invalid_request(error: RequestValidationError) -> Problem:
    fields = tuple(
        FieldProblem(
            ".".join(str(part) for part in entry["loc"][1:]) or str(entry["loc"][0]),
            _shown(entry.get("input")),
            str(entry["msg"]),
        )
        for entry in error.errors()[:20]
    )
    first = fields[0]
    return Problem(
        "invalid", 422, f"{first.field}: {first.value!r} is not accepted; {first.accepted}", fields
    )


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else "" if value is None else str(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


__all__ = [
    "MEDIA_TYPE",
    "REFUSALS",
    "SCHEMA",
    "Refusal",
    "Refused",
    "answer_problem",
    "refused_by",
    "response",
]
