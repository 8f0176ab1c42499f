"""What tasks print: read from an offset, and followed as it comes."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Query
from sqlalchemy import Connection
from starlette.responses import Response

from weir.api.caller import Asked, Caller
from weir.api.jobs import JobId
from weir.api.problems import REFUSALS
from weir.control.follow import follow, needs_following
from weir.control.jobs import Found, find, jobs_left, log_owner, show_job
from weir.control.names import AttemptKey
from weir.model.identity import parse_attempt_id
from weir.model.problem import not_found, refused

router = APIRouter(prefix="/api/v1/jobs", tags=["content"], responses=REFUSALS)

LARGEST_PIECE = 8 << 20


@dataclass(frozen=True, slots=True)
class _Log:
    """Where a log stands. Looked at before its bytes are read: what `ended` says then holds for these."""

    attempt: str = ""
    key: AttemptKey | None = None
    ended: bool = False
    job_ended: bool = False


@router.get(
    "/{job}/logs/{stream}",
    response_class=Response,
    summary="What a task has printed, from an offset on",
    responses={
        200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
    },
)
async def read_log(
    caller: Asked,
    job: JobId,
    stream: Annotated[str, Path(pattern="^(stdout|stderr)$")],
    task: Annotated[int, Query(ge=0, le=999_999)] = 0,
    offset: Annotated[int, Query(ge=0, le=1 << 50)] = 0,
    limit: Annotated[int, Query(ge=1, le=LARGEST_PIECE)] = 1 << 20,
    wait_ms: Annotated[int, Query(ge=0, le=60_000, description="Wait so long for more.")] = 0,
    attempt: Annotated[str, Query(max_length=64, description="Of this attempt; the newest by default.")] = "",
    after_attempt: Annotated[
        str, Query(max_length=64, description="Of the first attempt after this one.")
    ] = "",
) -> Response:
    """Says in headers whose log it is, and whether it (X-Weir-Log-Ended) and its job (X-Weir-Job-Ended) have ended."""
    services, news = caller.services, caller.news
    until_s = time.monotonic() + min(wait_ms, services.settings.longest_poll_ms) / 1_000

    def first_look(connection: Connection) -> Found:
        found = find(connection, caller.actor, job)
        if found.is_array and found.index is None:
            raise refused("id", job, f"give one of its elements, such as {found.id}.0")
        if task:
            _check_task(connection, found, task)
        return found

    found = await run_sync(services.store.read, first_look)
    epoch, after = _epoch_of(found, attempt, "attempt"), _epoch_of(found, after_attempt, "after_attempt")

    def look() -> tuple[_Log, bytes]:
        log = services.store.read(lambda connection: _look(connection, found, epoch, after))
        if log.key is None:
            return log, b""
        if not log.ended:
            _have_it_sent(caller, log.key, task, stream)
        return log, services.logs.read(log.attempt, task, stream, offset, limit)

    loop = asyncio.get_running_loop()
    with news.of_jobs(found.first, 1) as woken:

        def added() -> None:
            with suppress(RuntimeError):  # the loop has been closed: nobody waits any more
                loop.call_soon_threadsafe(woken.set)

        unfollow: Callable[[], None] = _nothing
        followed = ""
        try:
            log, data = await run_sync(look)
            while not data and not log.ended and not log.job_ended and not news.closing:
                left_s = until_s - time.monotonic()
                if left_s <= 0:
                    break
                if log.attempt != followed:
                    unfollow()
                    unfollow, followed = services.logs.follow(log.attempt, task, stream, added), log.attempt
                else:
                    # Another process of this server may add to it without waking us.
                    await news.wait(woken, min(left_s, services.settings.log_look_s))
                log, data = await run_sync(look)
        finally:
            unfollow()
    headers = {
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "x-weir-attempt": log.attempt,
        "x-weir-offset": str(offset + len(data)),
        "x-weir-log-ended": str(log.ended).lower(),
        "x-weir-job-ended": str(log.job_ended).lower(),
    }
    return Response(data, 200, headers, "application/octet-stream")


def _nothing() -> None:
    """Ends the following of no log."""


def _look(connection: Connection, found: Found, epoch: int | None, after: int | None) -> _Log:
    newest = log_owner(connection, found)
    if newest is None or (after is not None and newest.key.epoch <= after):
        return _Log(job_ended=jobs_left(connection, found) == 0)
    owner = log_owner(connection, found, newest.key.epoch if epoch is None else epoch)
    if owner is None:
        raise not_found("attempt", f"{found.name}-{epoch}")
    return _Log(owner.attempt, owner.key, owner.ended, newest.ended and owner.key == newest.key)


def _have_it_sent(caller: Caller, key: AttemptKey, task: int, stream: str) -> None:
    """Somebody reads it now, so its agent sends it as it is written."""
    now_ms = caller.services.now_ms()
    if caller.read(lambda connection: needs_following(connection, key, task, stream, now_ms)):
        caller.write(lambda tx: follow(tx, key, task, stream, now_ms))


def _epoch_of(found: Found, attempt: str, field: str) -> int | None:
    if not attempt:
        return None
    try:
        job, epoch = parse_attempt_id(attempt)
    except ValueError as error:
        raise refused(field, attempt, str(error)) from None
    if job != found.name:
        raise refused(field, attempt, f"give an attempt of {found.name}")
    return epoch


def _check_task(connection: Connection, found: Found, task: int) -> None:
    job = show_job(connection, found, 0)
    may_have = job.specification.get("tasks", {}).get("most", 1)
    tasks = max((attempt.tasks for attempt in job.attempts), default=may_have)
    if task >= tasks:
        raise refused("task", task, f"give a number from 0 to {tasks - 1}")


__all__ = ["router"]
