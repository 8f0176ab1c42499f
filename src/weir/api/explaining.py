"""Why a job stands where it stands, answered by whoever leads."""

from urllib.parse import urlsplit

import urllib3
from fastapi import APIRouter
from sqlalchemy import Connection
from starlette.responses import Response

from weir.api.answers import text_response
from weir.api.caller import Asked, Caller
from weir.api.jobs import JobId
from weir.api.problems import REFUSALS, Refusal
from weir.control.explaining import explain
from weir.control.jobs import Found, find, show_job
from weir.control.leader import Lease, leader
from weir.model.codec import to_plain
from weir.model.problem import ProblemError
from weir.model.state import JobState
from weir.model.view import ExplanationView, JobView

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"], responses=REFUSALS)

FORWARDED = "x-weir-forwarded"
FORWARD_TIMEOUT_S = 10.0
RETRY_AFTER_S = 2


@router.get("/{job}/explain", response_model=ExplanationView, summary="Where it stands, and why")
def explain_job(caller: Asked, job: JobId) -> Response:
    """Where nobody leads, 503 tells the last stored state."""

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
        return caller.answer(caller.read(lambda connection: explain(connection, found, stand, caller.now_ms)))
    except ProblemError as error:
        if error.problem.status != 503:
            raise
        raise Refusal(
            error.problem,
            headers={"retry-after": str(RETRY_AFTER_S)},
            more={"last_state": None if view is None else to_plain(view)},
        ) from None


def _asked_leader(caller: Caller, address: str, job: str) -> Response | None:
    """The leader's own answer; None where it has none, or is this very process."""
    if urlsplit(address).netloc == caller.request.url.netloc:
        return None
    headers = {"authorization": caller.request.headers["authorization"], FORWARDED: "1"}
    try:
        answer = urllib3.request(
            "GET",
            f"{address.rstrip('/')}/api/v1/jobs/{job}/explain",
            headers=headers,
            timeout=FORWARD_TIMEOUT_S,
            retries=False,
            redirect=False,
        )
    except urllib3.exceptions.HTTPError:
        return None
    if answer.status != 200:
        return None
    return text_response(answer.data.decode())


__all__ = ["router"]
