"""Jobs: submitting, showing, waiting for them, and what their owners may still change."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Query
from sqlalchemy import Connection
from starlette.responses import Response

from weir.access import Actor, Permission
from weir.api.bodies import JsonBody, object_of
from weir.api.caller import Asked, Caller
from weir.api.creates import IdempotencyKey, create
from weir.api.openapi import json_body_of, named
from weir.api.problems import REFUSALS
from weir.api.specifications import read_submission, read_value
from weir.control import orders
from weir.control.intake import submit
from weir.control.jobs import (
    Found,
    Starts,
    find,
    list_elements,
    list_submissions,
    show_job,
    show_submission,
)
from weir.model.job import Priority
from weir.model.problem import refused
from weir.model.view import (
    JobPage,
    OrderView,
    SubmissionPage,
    SubmissionView,
    SubmittedView,
    SubmittedViews,
)
from weir.store import Transaction
from weir.units import DurationMs

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"], responses=REFUSALS)

JobId = Annotated[
    str,
    Path(
        max_length=64, description="A job's id or a unique beginning of it; ID.7 is an element of an array."
    ),
]
States = Annotated[list[str] | None, Query(description="In one of these states.", max_length=20)]
Cursor = Annotated[str, Query(max_length=200, description="The `next` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=1_000)]
Order = Callable[[Transaction, Actor, str, int], OrderView]

LARGE_ARRAY = 1_000
LARGE_ARRAY_PAUSE_S = 0.25
"""Who waits for a large array looks at most this often, since counting it takes a while."""

_SUBMISSION: dict[str, Any] = {
    "anyOf": [
        named("JobSpecification"),
        {
            "type": "object",
            "required": ["jobs"],
            "additionalProperties": False,
            "properties": {
                "jobs": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": 10_000,
                    "items": named("JobSpecification"),
                }
            },
        },
    ]
}
_UPDATE = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "priority": {"type": "string", "enum": [priority.value for priority in Priority]},
        "time_limit": {"type": "string", "examples": ["2h30m"]},
    },
}


@router.post(
    "",
    status_code=201,
    response_model=SubmittedViews,
    openapi_extra=json_body_of(_SUBMISSION, required=False),
    summary="Submit a job, an array, or many of them at once",
)
def submit_jobs(
    caller: Asked,
    body: JsonBody,
    idempotency_key: IdempotencyKey = "",
    retry_of: Annotated[
        str, Query(max_length=64, description="Instead of a body: once more what this was.")
    ] = "",
) -> Response:
    caller.require(Permission.CHANGE_JOBS)
    services = caller.services
    if retry_of:
        if body.value != {}:
            raise refused(
                "retry_of", retry_of, "send no body with it; the specification is submitted as it was"
            )

        def again(tx: Transaction) -> SubmittedViews:
            made = orders.retry(tx, caller.actor, retry_of, caller.now_ms, services.random_bits)
            return SubmittedViews((made,))

        return create(caller, idempotency_key, body.raw, again)
    specifications = read_submission(body.value, services.settings.most_jobs_a_call)

    def work(tx: Transaction) -> SubmittedViews:
        made: list[SubmittedView] = submit(
            tx, caller.actor, specifications, caller.now_ms, services.random_bits
        )
        return SubmittedViews(tuple(made))

    return create(caller, idempotency_key, body.raw, work)


@router.get("", response_model=SubmissionPage, summary="A page of submissions, newest first")
def list_jobs(
    caller: Asked, state: States = None, name: str = "", cursor: Cursor = "", limit: Limit = 50
) -> Response:
    return caller.answer(
        caller.read(
            lambda connection: list_submissions(
                connection,
                caller.actor,
                caller.now_ms,
                cursor=cursor,
                limit=limit,
                states=state or (),
                name=name,
                starts=caller.services.foretold.start,
            )
        )
    )


@router.get("/{job}", response_model=SubmissionView, summary="One job, or an array's summary")
def show(caller: Asked, job: JobId) -> Response:
    starts = caller.services.foretold.start
    return caller.answer(
        caller.read(
            lambda connection: _view(connection, find(connection, caller.actor, job), caller.now_ms, starts)
        )
    )


@router.get("/{job}/elements", response_model=JobPage, summary="A page of an array's elements")
def elements(
    caller: Asked, job: JobId, state: States = None, cursor: Cursor = "", limit: Limit = 100
) -> Response:
    def work(connection: Connection) -> JobPage:
        found = find(connection, caller.actor, job)
        return list_elements(
            connection,
            found,
            caller.now_ms,
            cursor=cursor,
            limit=limit,
            states=state or (),
            starts=caller.services.foretold.start,
        )

    return caller.answer(caller.read(work))


@router.get("/{job}/wait", response_model=SubmissionView, summary="Wait until it has ended")
async def wait(
    caller: Asked, job: JobId, timeout_ms: Annotated[int, Query(ge=0, le=60_000)] = 25_000
) -> Response:
    """Answers as soon as it has ended, or when the time is over."""
    store, news = caller.services.store, caller.news
    limit_s = min(timeout_ms, caller.services.settings.longest_poll_ms) / 1_000
    until_s = time.monotonic() + limit_s

    def first_look(connection: Connection) -> Found:
        return find(connection, caller.actor, job)

    found = await run_sync(store.read, first_look)

    def look(connection: Connection) -> SubmissionView:
        return _view(connection, found, caller.services.now_ms())

    with news.of_jobs(found.first, found.count) as woken:
        view = await run_sync(store.read, look)
        while not _ended(view) and not news.closing and (left_s := until_s - time.monotonic()) > 0:
            await news.wait(woken, left_s)
            if found.count > LARGE_ARRAY:
                await news.rest(LARGE_ARRAY_PAUSE_S)
                woken.clear()
            view = await run_sync(store.read, look)
    return caller.answer(view)


@router.post("/{job}/cancel", response_model=OrderView, summary="End it")
def cancel(caller: Asked, job: JobId) -> Response:
    return _ordered(caller, job, orders.cancel)


@router.post("/{job}/hold", response_model=OrderView, summary="Keep it from being placed")
def hold(caller: Asked, job: JobId) -> Response:
    return _ordered(caller, job, orders.hold)


@router.post("/{job}/release", response_model=OrderView, summary="Let a held job be placed")
def release(caller: Asked, job: JobId) -> Response:
    return _ordered(caller, job, orders.release)


@router.post("/{job}/give-up", response_model=OrderView, summary="Stop waiting for a lost centre's answer")
def give_up(caller: Asked, job: JobId) -> Response:
    return _ordered(caller, job, orders.give_up)


@router.patch(
    "/{job}",
    response_model=OrderView,
    openapi_extra=json_body_of(_UPDATE),
    summary="Change a job that has not been placed",
)
def update(caller: Asked, job: JobId, body: JsonBody) -> Response:
    given = object_of(body, {"priority": str, "time_limit": str})
    priority = read_value(Priority, given["priority"], "priority") if "priority" in given else None
    limit_ms = read_value(DurationMs, given["time_limit"], "time_limit") if "time_limit" in given else None
    return caller.answer(
        caller.write(
            lambda tx: orders.update(
                tx, caller.actor, job, caller.now_ms, priority=priority, time_limit_ms=limit_ms
            )
        )
    )


def _ordered(caller: Caller, job: str, order: Order) -> Response:
    return caller.answer(caller.write(lambda tx: order(tx, caller.actor, job, caller.now_ms)))


def _view(connection: Connection, found: Found, now_ms: int, starts: Starts | None = None) -> SubmissionView:
    """What was asked for: `job` is the single job, or the element that was named."""
    view = show_submission(connection, found, now_ms, starts)
    return view if found.index is None else replace(view, job=show_job(connection, found, now_ms, starts))


def _ended(view: SubmissionView) -> bool:
    return view.ended if view.job is None else view.job.ended_ms is not None


__all__ = ["router"]
