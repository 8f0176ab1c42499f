"""The events stream: the change log as Server-Sent Events, for each viewer what is theirs to see."""

import json
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Header, Query
from sqlalchemy import Connection, bindparam, func, select
from starlette.responses import StreamingResponse

from weir.access import Actor, Permission, allows, scope_of
from weir.api.caller import Asked, Caller
from weir.api.problems import REFUSALS
from weir.model.change import Change, ChangeKind
from weir.model.codec import to_plain
from weir.model.problem import refused
from weir.model.role import Role
from weir.model.view import EventView
from weir.store import LogCutError, Store, schema

router = APIRouter(prefix="/api/v1/events", tags=["events"], responses=REFUSALS)

READ_AT_ONCE = 500
MOST_KEPT = 100_000
"""Changes and runs of jobs, together."""
_JOBS = frozenset({ChangeKind.SUBMITTED, ChangeKind.MOVED, ChangeKind.EDITED})
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"description": "Events for ever.", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
}

_submission = schema.submission.c
_COVERING = (
    select(_submission.id, _submission.project, _submission.first_job, _submission.size, _submission.is_array)
    .where(
        _submission.first_job
        >= func.coalesce(
            select(func.max(_submission.first_job))
            .where(_submission.first_job <= bindparam("first"))
            .correlate(None)
            .scalar_subquery(),
            0,
        ),
        _submission.first_job < bindparam("stop"),
    )
    .order_by(_submission.first_job)
)


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring jobs of one submission; `index` is None for a job that is no element of an array."""

    submission: str
    project: str
    index: int | None
    count: int
    state: str | None


class RunNames:
    """Names the jobs of a change, once for all who watch; safe to use from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._known: OrderedDict[int, tuple[Run, ...]] = OrderedDict()
        self._weight = 0

    def of(self, changes: Iterable[Change]) -> dict[int, tuple[Run, ...]]:
        """By position, the jobs that the changes tell of."""
        wanted = [change for change in changes if change.kind in _JOBS]
        with self._lock:
            found = {
                change.position: self._known[change.position]
                for change in wanted
                if change.position in self._known
            }
        missing = [change for change in wanted if change.position not in found]
        if missing:
            new = self._store.read(
                lambda connection: {one.position: _runs(connection, one) for one in missing}
            )
            found |= new
            with self._lock:
                for position, runs in new.items():
                    if position not in self._known:
                        self._known[position] = runs
                        self._weight += 1 + len(runs)
                while self._weight > MOST_KEPT:
                    self._weight -= 1 + len(self._known.popitem(last=False)[1])
        return found


@router.get("", responses=_STREAM, response_class=StreamingResponse, summary="What changes, as it changes")
async def events(
    caller: Asked,
    last_event_id: Annotated[str, Header(alias="Last-Event-ID", description="Go on after this event.")] = "",
    after: Annotated[str, Query(description="The same, where no header can be set.")] = "",
) -> StreamingResponse:
    given = last_event_id or after
    position = caller.news.position
    if given:
        if not given.isdigit() or not given.isascii() or len(given) > 18:
            raise refused("Last-Event-ID", given, "give the id of an event")
        position = int(given)
        last = await run_sync(caller.services.store.position)
        if position > last:
            # A restored store has not come so far: what the viewer knows is of another time.
            raise LogCutError(position, last + 1)
        await run_sync(caller.services.store.changes, position, 1)
    return StreamingResponse(_stream(caller, position), 200, _HEADERS, "text/event-stream")


async def _stream(caller: Caller, position: int) -> AsyncIterator[str]:
    names: RunNames = caller.request.app.state.run_names
    store, news = caller.services.store, caller.news

    def told(changes: Sequence[Change]) -> str:
        return "".join(
            _event("change", view.position, json.dumps(to_plain(view), ensure_ascii=False))
            for view in _visible(caller.actor, changes, names.of(changes))
        )

    with news.of_changes() as woken:
        yield _event("position", position, "")
        while not news.closing:
            changes = news.kept_after(position)
            if changes is None:
                try:
                    changes = await run_sync(store.changes, position, READ_AT_ONCE)
                except LogCutError:
                    yield _event("gone", position, "")
                    return
            if changes:
                changes = changes[:READ_AT_ONCE]
                if text := await run_sync(told, changes):
                    yield text
                position = changes[-1].position
                continue
            before = position
            await news.wait(woken, caller.services.settings.keep_alive_s)
            if news.position == before:
                yield _event("position", position, "")


def _event(name: str, position: int, data: str) -> str:
    return f"event: {name}\nid: {position}\ndata: {data}\n\n"


def _visible(
    actor: Actor, changes: Sequence[Change], names: dict[int, tuple[Run, ...]]
) -> Iterable[EventView]:
    """What this viewer may see of the changes."""
    scope = scope_of(actor)
    may_read_jobs = allows(actor, Permission.READ_JOBS)
    for change in changes:
        if change.kind is ChangeKind.CYCLE:
            if actor.role is Role.COORDINATOR or (actor.role is Role.AUDITOR and scope.organisation is None):
                yield EventView(change.position, change.at_ms, change.kind, change.body)
            continue
        if change.kind is ChangeKind.POSTED:
            if scope.organisation in (None, change.organisation) and scope.project is scope.centre is None:
                yield EventView(change.position, change.at_ms, change.kind, change.body)
            continue
        if change.kind not in _JOBS:
            yield EventView(change.position, change.at_ms, change.kind, change.body)
            continue
        if not may_read_jobs or scope.organisation not in (None, change.organisation):
            continue
        runs = [run for run in names[change.position] if scope.project in (None, run.project)]
        if runs:
            yield EventView(change.position, change.at_ms, change.kind, _body(change.kind, runs))


def _body(kind: ChangeKind, runs: Sequence[Run]) -> dict[str, Any]:
    if kind is ChangeKind.SUBMITTED:
        [run] = runs
        return {"submission": run.submission, "size": run.count}
    if kind is ChangeKind.MOVED:
        return {"moves": [[run.submission, run.index, run.count, run.state] for run in runs]}
    return {"jobs": [[run.submission, run.index, run.count] for run in runs]}


def _runs(connection: Connection, change: Change) -> tuple[Run, ...]:
    body = change.body
    found: list[Run] = []
    if change.kind is ChangeKind.SUBMITTED:
        ranges: list[tuple[int, int, str | None]] = [(body["first_job"], body["size"], None)]
    elif change.kind is ChangeKind.MOVED:
        ranges = [(first, count, state) for first, count, state in body["moves"]]
    else:
        ranges = [(first, count, None) for first, count in body["jobs"]]
    for first, count, state in ranges:
        stop = first + count
        for row in connection.execute(_COVERING, {"first": first, "stop": stop}):
            begin, end = max(first, row.first_job), min(stop, row.first_job + row.size)
            if begin < end:
                index = begin - row.first_job if row.is_array else None
                found.append(Run(row.id, row.project, index, end - begin, state))
    return tuple(found)


__all__ = ["RunNames", "router"]
