"""Why a job stands where it stands, answered by whoever leads."""

import json
from typing import Annotated
from urllib.parse import urlsplit

import urllib3
from fastapi import APIRouter, Query
from sqlalchemy import Connection
from starlette.responses import Response

from weir.api.answers import text_response
from weir.api.caller import Asked, Caller
from weir.api.jobs import JobId
from weir.api.problems import REFUSALS, Refusal
from weir.control.explaining import explain, explain_past
from weir.control.jobs import Found, find, show_job
from weir.control.journal import AskedCycle
from weir.control.leader import Lease, leader
from weir.model.codec import to_plain
from weir.model.problem import Problem, ProblemError, refused
from weir.model.state import JobState
from weir.model.view import ExplanationView, JobView

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"], responses=REFUSALS)

FORWARDED = "x-weir-forwarded"
FORWARD_TIMEOUT_S = 10.0
RETRY_AFTER_S = 2


Through = Annotated[
    int | None,
    Query(
        ge=0, le=2**62, description="As of the last cycle that rests on no later position of the change log."
    ),
]
AtMs = Annotated[
    int | None,
    Query(alias="at_ms", ge=0, le=2**53, description="As of the last cycle that was made by then."),
]


@router.get("/{job}/explain", response_model=ExplanationView, summary="Where it stands, and why")
def explain_job(caller: Asked, job: JobId, cycle: Through = None, at_ms: AtMs = None) -> Response:
    """With `cycle` or `at_ms`, where it stood in a cycle of the last 7 days: 404 where none is kept from then, 409
    where another version of Weir made it. Where nobody leads, 503 tells the last stored state.
    """
    if cycle is not None or at_ms is not None:
        if cycle is not None and at_ms is not None:
            raise refused("at_ms", at_ms, "give cycle or at_ms, not both")
        return _explain_past(caller, job, AskedCycle(cycle, at_ms))

    def look(connection: Connection) -> tuple[Found, JobView | None, Lease | None]:
        found = find(connection, caller.actor, job)
        whole = found.is_array and found.index is None
        view = None if whole else show_job(connection, found, caller.now_ms)
        return found, view, leader(connection, caller.now_ms)

    found, view, lease = caller.read(look)
    queued = view is not None and view.state == JobState.QUEUED.name.lower()
    ask = caller.services.stand
    stand = ask(found.first) if queued and ask is not None else None
    if (
        queued
        and stand is None
        and lease is not None
        and lease.address
        and FORWARDED not in caller.request.headers
    ):
        answer = _asked_leader(caller, lease.address, found.name)
        if answer is not None:
            return answer
    try:
        foretold = caller.services.foretold
        return caller.answer(
            caller.read(lambda connection: explain(connection, found, stand, caller.now_ms, foretold))
        )
    except ProblemError as error:
        if error.problem.status != 503:
            raise
        raise Refusal(
            error.problem,
            headers={"retry-after": str(RETRY_AFTER_S)},
            more={"last_state": None if view is None else to_plain(view)},
        ) from None


def _explain_past(caller: Caller, job: str, asked: AskedCycle) -> Response:
    found, lease = caller.read(
        lambda connection: (find(connection, caller.actor, job), leader(connection, caller.now_ms))
    )
    whole = found.is_array and found.index is None
    ask = caller.services.stood
    forwarded = FORWARDED in caller.request.headers
    try:
        stand = ask(found.first, asked, caller.now_ms) if ask is not None and not whole else None
        if stand is None and not whole and lease is not None and lease.address and not forwarded:
            query = f"cycle={asked.through}" if asked.through is not None else f"at_ms={asked.at_ms}"
            answer = _asked_leader(caller, lease.address, found.name, f"?{query}")
            if answer is not None:
                return answer
        return caller.answer(caller.read(lambda connection: explain_past(connection, found, stand)))
    except ProblemError as error:
        if error.problem.status != 503:
            raise
        raise Refusal(error.problem, headers={"retry-after": str(RETRY_AFTER_S)}) from None


def _asked_leader(caller: Caller, address: str, job: str, query: str = "") -> Response | None:
    """The leader's own answer; None where it has none, or is this very process."""
    if urlsplit(address).netloc == caller.request.url.netloc:
        return None
    headers = {"authorization": caller.request.headers["authorization"], FORWARDED: "1"}
    try:
        answer = urllib3.request(
            "GET",
            f"{address.rstrip('/')}/api/v1/jobs/{job}/explain{query}",
            headers=headers,
            timeout=FORWARD_TIMEOUT_S,
            retries=False,
            redirect=False,
        )
    except urllib3.exceptions.HTTPError:
        return None
    if answer.status == 200:
        return text_response(answer.data.decode())
    if query and answer.status in (404, 409, 503):
        # What it refused is about the cycle asked for, and its words are the answer.
        problem = json.loads(answer.data)
        raise ProblemError(
            Problem(str(problem["type"]).rpartition(":")[2], answer.status, str(problem["title"]))
        )
    return None


__all__ = ["router"]
