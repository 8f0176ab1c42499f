"""The agent protocol over HTTP: join, pull, report, blobs and logs, each for the agent's own centre alone."""

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Header, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from weir.access import Permission, join
from weir.api.answers import file_response, json_response
from weir.api.bodies import JsonBody, message_of, object_of
from weir.api.caller import Asked, Caller
from weir.api.logs import LogKeeper, chunks_of
from weir.api.problems import REFUSALS, Refusal
from weir.api.proven import with_proven_outputs
from weir.api.services import Services
from weir.api.uploads import RecentUploads, receive_blob
from weir.control.follow import from_held
from weir.control.inputs import is_wanted_at
from weir.control.pull import has_news, pull
from weir.control.reports import own_attempts, report
from weir.model.agent import PROTOCOL_VERSION, CentreEntry, Pull, PullAnswer, Report, ReportAnswer
from weir.model.problem import Problem, ProblemError, not_found
from weir.registry import centre_entry

router = APIRouter(prefix="/api/v1/agent", tags=["agent"], responses=REFUSALS)

Digest = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="SHA-256 of the content, in hexadecimal.")]
Offset = Annotated[int, Query(ge=0, le=1 << 50)]

MOST_REFUSED_JOINS = 20
REFUSED_JOINS_S = 60.0


@dataclass(slots=True)
class JoinGuard:
    """Counts refused codes by address, so that nobody can go on guessing."""

    refused: dict[str, deque[float]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def check(self, address: str, now_s: float) -> None:
        """Pass, or raise Refusal (429)."""
        with self.lock:
            times = self.refused.get(address)
            while times and times[0] <= now_s - REFUSED_JOINS_S:
                times.popleft()
            if times is not None and not times:
                del self.refused[address]
            if times and len(times) >= MOST_REFUSED_JOINS:
                wait_s = int(times[0] + REFUSED_JOINS_S - now_s) + 1
                raise Refusal(
                    Problem("too-many", 429, f"too many refused codes from here; try again in {wait_s} s"),
                    headers={"retry-after": str(wait_s)},
                )

    def count(self, address: str, now_s: float) -> None:
        """A code from there was refused."""
        with self.lock:
            if len(self.refused) > 10_000:
                self.refused.clear()
            self.refused.setdefault(address, deque()).append(now_s)


@router.post("/join", summary="Exchange a one-time code for the centre's token")
def join_centre(request: Request, body: JsonBody) -> Response:
    services: Services = request.app.state.services
    guard: JoinGuard = request.app.state.join_guard
    address = request.client.host if request.client else ""
    guard.check(address, time.monotonic())
    code = object_of(body, {"code": str}).get("code", "")
    try:
        with services.meters.write():
            centre, token = services.store.write(
                lambda tx: join(tx, code, services.now_ms(), services.random_bits)
            )
    except ProblemError as error:
        if error.problem.status == 403:
            guard.count(address, time.monotonic())
        raise
    services.tokens.drop()
    return json_response({"token": token, "centre": centre})


@router.get("/centre", response_model=CentreEntry, summary="What this centre must know of itself")
def own_centre(caller: Asked) -> Response:
    centre = _centre(caller)
    return caller.answer(
        caller.read(lambda connection: centre_entry(connection, centre, caller.services.store.incarnation))
    )


@router.post("/pull", response_model=PullAnswer, summary="What is desired; waits for news")
async def pull_desired(
    caller: Asked, body: JsonBody, wait_ms: Annotated[int, Query(ge=0, le=60_000)] = 0
) -> Response:
    centre = _centre(caller)
    asked = message_of(Pull, body)
    _check_protocol(asked.protocol)
    services = caller.services
    limit_s = min(wait_ms, services.settings.longest_poll_ms) / 1_000
    until_s = time.monotonic() + limit_s

    def look() -> PullAnswer:
        return services.store.read(lambda connection: pull(connection, centre, asked, services.now_ms()))

    with caller.news.of_centre(centre) as woken:
        answer = await run_sync(look)
        while not has_news(asked, answer) and not caller.news.closing:
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                break
            await caller.news.wait(woken, left_s)
            answer = await run_sync(look)
    if answer.followed:
        answer = await run_sync(from_held, answer, services.logs.size)
    return json_response(answer)


@router.post("/report", response_model=ReportAnswer, summary="What is observed")
def take_report(caller: Asked, body: JsonBody) -> Response:
    centre = _centre(caller)
    told = with_proven_outputs(message_of(Report, body), caller.services.blobs)
    _check_protocol(told.protocol)
    keeper: LogKeeper = caller.request.app.state.log_keeper
    left = keeper.take(centre, chunks_of(told))
    answer = caller.write(lambda tx: report(tx, centre, told, caller.now_ms))
    keeper.take(centre, left)  # of attempts that a restored store has just taken back
    keeper.end(answer.kept)
    return caller.answer(answer)


@router.get("/blobs/{digest}", summary="An input of one of this centre's attempts", response_class=Response)
def read_blob(caller: Asked, digest: Digest, range_: Annotated[str, Header(alias="Range")] = "") -> Response:
    centre = _centre(caller)
    if not caller.read(lambda connection: is_wanted_at(connection, centre, digest)):
        raise not_found("blob", digest)
    blobs = caller.services.blobs
    size = blobs.size(digest)
    if size is None:
        raise not_found("blob", digest)
    return file_response(blobs.open(digest), size, digest, range_)


@router.head("/blobs/{digest}", summary="How much of an output is here already", response_class=Response)
def look_at_blob(caller: Asked, digest: Digest) -> Response:
    centre = _centre(caller)
    blobs = caller.services.blobs
    brought: RecentUploads = caller.request.app.state.brought
    size = blobs.size(digest) if (centre, digest) in brought else None
    if size is not None:
        return Response(status_code=200, headers={"x-weir-offset": str(size)})
    # What others brought is not told of: only the content itself proves that this centre has it.
    offset = blobs.partial_size(digest, _uploader(centre))
    return Response(status_code=404, headers={"x-weir-offset": str(offset)})


@router.put("/blobs/{digest}", summary="Bring an output's content", response_class=Response)
async def bring_blob(
    caller: Asked, digest: Digest, offset: Offset = 0, size: Annotated[int | None, Query(ge=0)] = None
) -> Response:
    centre = _centre(caller)
    await receive_blob(
        caller.request,
        caller.services.blobs,
        digest,
        _uploader(centre),
        offset,
        size,
        caller.services.blobs.limit_bytes,
    )
    caller.request.app.state.brought.add((centre, digest))
    return json_response({"digest": digest})


@router.put("/logs/{attempt}/{task}/{stream}", summary="Bring a piece of a log", response_class=Response)
async def bring_log(
    caller: Asked,
    attempt: str,
    task: Annotated[int, Path(ge=0, le=999_999)],
    stream: Annotated[str, Path(pattern="^(stdout|stderr)$")],
    offset: Offset = 0,
) -> Response:
    centre = _centre(caller)
    data = await caller.request.body()
    keeper: LogKeeper = caller.request.app.state.log_keeper

    def keep() -> int:
        if attempt not in caller.read(lambda connection: own_attempts(connection, centre, [attempt])):
            raise not_found("attempt", attempt)
        return keeper.append(attempt, task, stream, offset, data)

    return json_response({"offset": await run_sync(keep)})


def _centre(caller: Caller) -> str:
    """The centre that the agent's token is bound to. Raises ProblemError (403) for another kind of token."""
    caller.require(Permission.SERVE_CENTRE)
    return caller.actor.centre


def _uploader(centre: str) -> str:
    return f"centre:{centre}"


def _check_protocol(spoken: int) -> None:
    if spoken not in (PROTOCOL_VERSION, PROTOCOL_VERSION - 1):
        older = "agent" if spoken < PROTOCOL_VERSION else "server"
        title = f"the agent speaks version {spoken} of the protocol, the server {PROTOCOL_VERSION}; update the {older}"
        raise ProblemError(Problem("protocol", 426, title))


__all__ = ["JoinGuard", "router"]
