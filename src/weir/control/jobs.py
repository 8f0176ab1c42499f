"""Finding and showing jobs: by a shortened id, in pages, or one in full; each within what the asker may see."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, exists, func, select

from weir.access.actor import Actor, Permission, require, scope_of
from weir.control.listed import AnyRow, among, number_list
from weir.control.names import AttemptKey, job_name
from weir.control.outcomes import attempt_view, words_for
from weir.control.shapes import PRIORITIES, specification_of
from weir.model.codec import to_plain
from weir.model.identity import SUBMISSION_LENGTH, JobName, attempt_id
from weir.model.problem import not_found, refused
from weir.model.state import JobState, Observed
from weir.model.view import (
    JobPage,
    JobView,
    OutputPage,
    OutputView,
    StartForecastView,
    SubmissionPage,
    SubmissionView,
)
from weir.store import schema

LONGEST_PAGE = 1_000
Starts = Callable[[Connection, int], StartForecastView]
"""When a queued job of this number will start, as `foretelling.Foretold.start`."""

_submission = schema.submission.c
_job = schema.job.c
_attempt = schema.attempt.c
_output = schema.output.c

_FOUND = select(
    _submission.number,
    _submission.id,
    _submission.organisation,
    _submission.project,
    _submission.first_job,
    _submission.size,
    _submission.is_array,
    _submission.specification,
)
_JOBS = (
    select(
        schema.job,
        _submission.id,
        _submission.is_array,
        _submission.name,
        _submission.organisation,
        _submission.project,
        _submission.owner,
        _submission.submitted_ms,
        _submission.labels,
        schema.specification.c.body.label("specification"),
    )
    .join(schema.submission, _submission.number == _job.submission)
    .join(schema.specification, schema.specification.c.digest == _submission.specification)
)
_ATTEMPTS = select(schema.attempt).where(among(_attempt.job, "jobs")).order_by(_attempt.job, _attempt.epoch)
_COUNTS = (
    select(_job.submission, _job.state, func.count())
    .where(among(_job.submission, "submissions"))
    .group_by(_job.submission, _job.state)
)


@dataclass(frozen=True, slots=True)
class Found:
    """What an id stands for: a whole submission, or one element of it."""

    submission: int
    id: str
    organisation: str
    project: str
    first_job: int
    size: int
    is_array: bool
    specification: str
    """Digest."""
    index: int | None = None
    """Of the element, where one was named."""

    @property
    def name(self) -> str:
        """The id in full."""
        return str(JobName(self.id, self.index))

    @property
    def first(self) -> int:
        """The number of the first job meant."""
        return self.first_job + (self.index or 0)

    @property
    def count(self) -> int:
        """How many jobs are meant."""
        return 1 if self.index is not None else self.size

    @property
    def numbers(self) -> range:
        """The numbers of the jobs meant."""
        return range(self.first, self.first + self.count)

    def jobs(self) -> ColumnElement[bool]:
        """The condition on `job.number` that holds for the jobs meant."""
        return _job.number.between(self.first, self.first + self.count - 1)


def find(
    connection: Connection, actor: Actor, text: str, permission: Permission = Permission.READ_JOBS
) -> Found:
    """What the id, which may be a unique beginning, stands for among the jobs that the actor may see.

    Raises ProblemError: 404 for none and for another's, 422 for a malformed or ambiguous one, 403 where the role
    may not do this at all.
    """
    require(actor, permission)
    try:
        name = JobName.parse(text)
    except ValueError as error:
        raise refused("id", text, str(error)) from None
    query = _limited(_FOUND, actor)
    if len(name.submission) == SUBMISSION_LENGTH:
        query = query.where(_submission.id == name.submission)
    else:
        query = query.where(_submission.id.startswith(name.submission, autoescape=True))
    rows = connection.execute(query.order_by(_submission.number.desc()).limit(6)).all()
    if not rows:
        raise not_found("job", text)
    if len(rows) > 1:
        candidates = ", ".join(row.id for row in rows[:5]) + (", …" if len(rows) > 5 else "")
        raise refused("id", text, f"give more of it; it may be {candidates}", kind="ambiguous")
    found = Found(*rows[0])
    if name.index is None:
        return found
    if not found.is_array or name.index >= found.size:
        raise not_found("job", text)
    return replace(found, index=name.index)


def show_submission(
    connection: Connection, found: Found, now_ms: int, starts: Starts | None = None
) -> SubmissionView:
    """A submission with the counts of its jobs by state; a single job is shown in full besides."""
    rows = connection.execute(select(schema.submission).where(_submission.number == found.submission)).all()
    [view] = _submission_views(connection, rows)
    return view if found.is_array else replace(view, job=show_job(connection, found, now_ms, starts))


def show_job(connection: Connection, found: Found, now_ms: int, starts: Starts | None = None) -> JobView:
    """One job in full: attempts, times, specification. Raises ProblemError for an array as a whole."""
    if found.is_array and found.index is None:
        raise refused("id", found.id, f"give one of its elements, such as {found.id}.0")
    rows = connection.execute(_JOBS.where(_job.number == found.first)).all()
    [view] = _job_views(connection, rows, now_ms, starts, whole=True)
    return view


def list_submissions(
    connection: Connection,
    actor: Actor,
    now_ms: int,
    *,
    cursor: str = "",
    limit: int = 50,
    states: Sequence[str] = (),
    name: str = "",
    starts: Starts | None = None,
) -> SubmissionPage:
    """A page of the submissions that the actor may see, newest first; each single one with its job.

    `states`: with at least one job in one of them. `name`: as submitted.
    `cursor`: empty, or the `next` of the page before.
    """
    require(actor, Permission.READ_JOBS)
    query = _limited(select(schema.submission), actor).order_by(_submission.number.desc())
    if cursor:
        query = query.where(_submission.number < _position(cursor))
    if states:
        wanted = exists().where(_job.submission == _submission.number, _job.state.in_(_states(states)))
        query = query.where(wanted)
    if name:
        query = query.where(_submission.name == name)
    rows = connection.execute(query.limit(_limit(limit) + 1)).all()
    page = rows[:limit]
    following = str(page[-1].number) if len(rows) > limit else ""
    singles = connection.execute(
        _JOBS.where(among(_job.number, "jobs")),
        {"jobs": number_list(row.first_job for row in page if not row.is_array)},
    ).all()
    jobs = {view.id: view for view in _job_views(connection, singles, now_ms, starts, whole=False)}
    views = [replace(view, job=jobs.get(view.id)) for view in _submission_views(connection, page)]
    return SubmissionPage(tuple(views), following)


def list_elements(
    connection: Connection,
    found: Found,
    now_ms: int,
    *,
    cursor: str = "",
    limit: int = 100,
    states: Sequence[str] = (),
    starts: Starts | None = None,
) -> JobPage:
    """A page of a submission's jobs in order of their index; of a single job, that one."""
    query = _JOBS.where(found.jobs()).order_by(_job.number)
    if cursor:
        query = query.where(_job.array_index > _position(cursor))
    if states:
        query = query.where(_job.state.in_(_states(states)))
    rows = connection.execute(query.limit(_limit(limit) + 1)).all()
    page = rows[:limit]
    following = str(page[-1].array_index) if len(rows) > limit else ""
    return JobPage(tuple(_job_views(connection, page, now_ms, starts, whole=False)), following)


def list_outputs(connection: Connection, found: Found, *, cursor: str = "", limit: int = 1_000) -> OutputPage:
    """A page of the files that the jobs meant have handed over, in order of job and path.

    Of two tasks' files of one path the first is listed. `cursor`: empty, or the `next` of the page before.
    """
    query = _outputs_of(found)
    if cursor:
        index, slash, path = cursor.partition("/")
        if not slash:
            raise refused("cursor", cursor, "give the `next` of the page before")
        number = found.first_job + _position(index)
        query = query.where((_output.job > number) | ((_output.job == number) & (_output.path > path)))
    rows = connection.execute(query.order_by(_output.job, _output.path).limit(_limit(limit) + 1)).all()
    views = tuple(_output_view(found, row) for row in rows[:limit])
    following = f"{rows[limit - 1].array_index}/{views[-1].path}" if len(rows) > limit else ""
    return OutputPage(views, following)


def find_output(connection: Connection, found: Found, path: str) -> OutputView:
    """One file of one job. Raises ProblemError: 404 for none, 422 for an array as a whole."""
    if found.is_array and found.index is None:
        raise refused("id", found.id, f"give one of its elements, such as {found.id}.0")
    row = connection.execute(_outputs_of(found).where(_output.path == path)).one_or_none()
    if row is None:
        raise not_found("output", path)
    return _output_view(found, row)


def jobs_left(connection: Connection, found: Found) -> int:
    """How many of the jobs meant have not ended."""
    query = select(func.count()).select_from(schema.job)
    return connection.execute(query.where(found.jobs(), _job.state < int(JobState.SUCCEEDED))).scalar_one()


@dataclass(frozen=True, slots=True)
class LogOwner:
    """The attempt whose log is read for a job."""

    attempt: str
    key: AttemptKey
    ended: bool
    """Whether nothing can come any more: the attempt has ended and so has the job."""


def log_owner(connection: Connection, found: Found, epoch: int | None = None) -> LogOwner | None:
    """The attempt of that epoch, or the newest; None while there is none. An array needs one of its elements."""
    if found.is_array and found.index is None:
        raise refused("id", found.id, f"give one of its elements, such as {found.id}.0")
    query = (
        select(_attempt.epoch, _attempt.observed, _job.state)
        .join(schema.job, _job.number == _attempt.job)
        .where(_attempt.job == found.first)
        .order_by(_attempt.epoch.desc())
        .limit(1)
    )
    row = connection.execute(query if epoch is None else query.where(_attempt.epoch == epoch)).one_or_none()
    if row is None:
        return None
    ended = row.observed == Observed.ENDED and (epoch is not None or JobState(row.state).ended)
    return LogOwner(attempt_id(found.name, row.epoch), AttemptKey(found.first, row.epoch), ended)


def names_of(connection: Connection, numbers: Iterable[int]) -> dict[int, tuple[str, str]]:
    """Name and organisation of jobs by number."""
    query = (
        select(_job.number, _submission.id, _submission.is_array, _job.array_index, _submission.organisation)
        .join(schema.submission, _submission.number == _job.submission)
        .where(among(_job.number, "jobs"))
    )
    return {
        row.number: (job_name(row.id, row.is_array, row.array_index), row.organisation)
        for row in connection.execute(query, {"jobs": number_list(numbers)})
    }


def _outputs_of(found: Found) -> Select[Any]:
    other = schema.output.alias("other")
    same = (other.c.job == _output.job) & (other.c.epoch == _output.epoch) & (other.c.path == _output.path)
    return (
        select(_job.array_index, _output.path, _output.size_bytes, _output.digest, _output.url)
        .join(schema.output, (_output.job == _job.number) & (_output.epoch == _job.epoch))
        .where(found.jobs(), ~exists().where(same, other.c.task < _output.task))
    )


def _output_view(found: Found, row: AnyRow) -> OutputView:
    return OutputView(
        job_name(found.id, found.is_array, row.array_index), row.path, row.size_bytes, row.digest, row.url
    )


def _limited(query: Select[Any], actor: Actor) -> Select[Any]:
    scope = scope_of(actor)
    if scope.organisation is not None:
        query = query.where(_submission.organisation == scope.organisation)
    if scope.project is not None:
        query = query.where(_submission.project == scope.project)
    return query


def _submission_views(connection: Connection, rows: Sequence[AnyRow]) -> list[SubmissionView]:
    counts: dict[int, dict[str, int]] = defaultdict(dict)
    listed = number_list(row.number for row in rows)
    for number, state, count in connection.execute(_COUNTS, {"submissions": listed}):
        counts[number][JobState(state).name.lower()] = count
    return [
        SubmissionView(
            id=row.id,
            name=row.name,
            organisation=row.organisation,
            project=row.project,
            owner=row.owner,
            submitted_ms=row.submitted_ms,
            size=row.size,
            is_array=row.is_array,
            states=counts[row.number],
            ended=all(JobState[state.upper()].ended for state in counts[row.number]),
        )
        for row in rows
    ]


def _job_views(
    connection: Connection, rows: Sequence[AnyRow], now_ms: int, starts: Starts | None, *, whole: bool
) -> list[JobView]:
    attempts: Mapping[int, list[AnyRow]] = defaultdict(list)
    for attempt in connection.execute(_ATTEMPTS, {"jobs": number_list(row.number for row in rows)}):
        attempts[attempt.job].append(attempt)
    devices: dict[tuple[str, str], str] = {}
    if whole:
        devices = {
            (row.centre, row.id): json.loads(row.body)["device"]
            for row in connection.execute(select(schema.pool))
        }
    start = {}
    if starts is not None:
        start = {row.number: starts(connection, row.number) for row in rows if row.state == JobState.QUEUED}
    return [
        replace(
            _job_view(row, attempts[row.number], devices, now_ms, whole=whole), start=start.get(row.number)
        )
        for row in rows
    ]


def _job_view(
    row: AnyRow,
    attempts: Sequence[AnyRow],
    devices: Mapping[tuple[str, str], str],
    now_ms: int,
    *,
    whole: bool,
) -> JobView:
    specification = specification_of(row.specification)
    state = JobState(row.state)
    name = job_name(row.id, row.is_array, row.array_index)
    views = [
        attempt_view(name, attempt, specification, devices.get((attempt.centre, attempt.pool), ""), now_ms)
        for attempt in attempts
    ]
    last = attempts[-1] if attempts else None
    until_ms = row.ended_ms if state.ended else now_ms
    waited_until_ms = row.started_ms if row.started_ms is not None else until_ms
    return JobView(
        id=name,
        name=row.name,
        organisation=row.organisation,
        project=row.project,
        owner=row.owner,
        state=state.name.lower(),
        priority=PRIORITIES[row.priority].value,
        submitted_ms=row.submitted_ms,
        time_limit_ms=row.time_limit_ms,
        epoch=row.epoch,
        array_index=row.array_index if row.is_array else None,
        cause=row.cause,
        message=words_for(state, row.cause, last),
        exit_code=row.exit_code,
        centre=last.centre if last is not None else "",
        pool=last.pool if last is not None else "",
        queued_ms=row.queued_ms,
        started_ms=row.started_ms,
        ended_ms=row.ended_ms,
        waiting_ms=max(0, waited_until_ms - row.submitted_ms),
        running_ms=0 if row.started_ms is None else max(0, until_ms - row.started_ms),
        device_seconds=round(sum(view.device_seconds for view in views), 3),
        attempts=tuple(views) if whole else (),
        specification=to_plain(specification) if whole else {},
        labels=json.loads(row.labels),
    )


def _limit(limit: int) -> int:
    if not 1 <= limit <= LONGEST_PAGE:
        raise refused("limit", limit, f"give a number from 1 to {LONGEST_PAGE}")
    return limit


def _position(cursor: str) -> int:
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:
        raise refused("cursor", cursor, "give the `next` of the page before")
    return int(cursor)


def _states(names: Sequence[str]) -> list[int]:
    accepted = [state.name.lower() for state in JobState]
    for name in names:
        if name not in accepted:
            raise refused("state", name, f"give one of {', '.join(accepted)}")
    return [int(JobState[name.upper()]) for name in names]


__all__ = [
    "Found",
    "LogOwner",
    "find",
    "find_output",
    "jobs_left",
    "list_elements",
    "list_outputs",
    "list_submissions",
    "log_owner",
    "names_of",
    "show_job",
    "show_submission",
]
