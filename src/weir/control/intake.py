"""Taking in new jobs: validated, resolved, stored and told in one transaction."""

import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Connection, Integer, Select, bindparam, cast, insert, literal, select

from weir.access.actor import Actor
from weir.access.audit import record
from weir.control import money, moves, references
from weir.control.additions import add_missing
from weir.control.inputs import not_uploaded
from weir.control.pools import Pools, declared_pools, why_never
from weir.control.references import Entry, Referring
from weir.control.shapes import PRIORITY_LEVELS, class_of, stored_form
from weir.model.change import ChangeKind
from weir.model.identity import submission_id
from weir.model.job import JobSpecification, Priority
from weir.model.job_rules import check_specification
from weir.model.problem import FieldProblem, Problem, ProblemError, not_found, refused
from weir.model.role import Role
from weir.model.state import JobState
from weir.model.view import SubmittedView
from weir.store import Transaction, schema
from weir.units import parse_time_ms

RandomBits = Callable[[int], int]

_project = schema.project.c
_submission = schema.submission.c
_LAST = (
    select(_submission.number, (_submission.first_job + _submission.size).label("next_job"))
    .order_by(_submission.number.desc())
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class IntakeLimits:
    """How much one request may bring."""

    entries: int = 10_000
    jobs: int = 1_000_000


class Project(NamedTuple):
    """Who pays, and the time limit of jobs that state none."""

    id: str
    organisation: str
    default_time_limit_ms: int | None


def submit(
    tx: Transaction,
    actor: Actor,
    specifications: Sequence[JobSpecification],
    now_ms: int,
    random_bits: RandomBits,
    limits: IntakeLimits | None = None,
    *,
    detail: Mapping[str, Any] | None = None,
) -> list[SubmittedView]:
    """Store the jobs and arrays that these specifications make; one answer for each, in order.

    All of them or none: ProblemError names the first field that cannot be accepted. `after` and `inputs.from`
    may name a fellow of the request as `#N`. `detail` is added to the audit entry, of which there is
    one for each organisation.
    """
    limits = limits or IntakeLimits()
    if not 1 <= len(specifications) <= limits.entries:
        raise refused("jobs", len(specifications), f"give 1 to {limits.entries} entries in one request")
    checked = _checked(tx.connection, actor, specifications, now_ms)
    total = sum(specification.size for specification, _ in checked)
    if total > limits.jobs:
        raise refused("array", total, f"one request makes at most {limits.jobs} jobs")
    entries = _entries(tx.connection, checked, random_bits, bulk=len(specifications) > 1)
    _check_uploads(tx.connection, entries)
    referring = references.resolve(tx.connection, entries)
    answers = _store(tx, actor, referring, now_ms)
    answers = _hold(tx, referring, answers, now_ms)
    for organisation in sorted({entry.organisation for entry in entries}):
        its = [entry for entry in entries if entry.organisation == organisation]
        told = {
            "submissions": len(its),
            "jobs": sum(entry.specification.size for entry in its),
            "ids": [entry.id for entry in its[:100]],
            **(detail or {}),
        }
        record(tx, actor, "job.submit", its[0].id, told, now_ms, organisation=organisation)
    return answers


def _checked(
    connection: Connection, actor: Actor, specifications: Sequence[JobSpecification], now_ms: int
) -> list[tuple[JobSpecification, Project]]:
    """Each with its project, and looked at alone."""
    pools = declared_pools(connection)
    projects: dict[str, Project] = {}
    fitting: set[object] = set()
    checked = []
    for position, given in enumerate(specifications):
        try:
            check_specification(given)
            if given.priority is Priority.RESERVED and actor.role is not Role.COORDINATOR:
                raise refused(
                    "priority",
                    given.priority.value,
                    "give urgent, normal or low; reserved is the coordinator's",
                )
            deadline = given.constraints.deadline
            if deadline and parse_time_ms(deadline) <= now_ms:
                raise refused(
                    "constraints.deadline", deadline, "it has passed; give a later one, or leave it out"
                )
            if given.project not in projects:
                projects[given.project] = project_for(connection, actor, given.project)
            project = projects[given.project]
            if given.time_limit is None and project.default_time_limit_ms is None:
                raise refused("time_limit", "", "give one, such as 2h; the project has no default")
            job_class = class_of(given)
            if job_class not in fitting:
                _check_fits(given, pools)
                fitting.add(job_class)
        except ProblemError as error:
            raise (_of_entry(error, position) if len(specifications) > 1 else error) from None
        checked.append((given, project))
    return checked


def _of_entry(error: ProblemError, position: int) -> ProblemError:
    """The same problem, saying in which entry of the request it is."""
    problem = error.problem
    before = f"jobs[{position}]."
    fields = tuple(
        FieldProblem(before + field.field, field.value, field.accepted) for field in problem.fields
    )
    return ProblemError(Problem(problem.kind, problem.status, before + problem.title, fields))


def project_for(connection: Connection, actor: Actor, asked: str) -> Project:
    """The project that pays, as named or the only one. Raises ProblemError: 404, or 422 where it has to be named."""
    name = asked or actor.project
    everybodys = actor.role is Role.COORDINATOR or (actor.role is Role.AUDITOR and not actor.organisation)
    query = _projects(own=not everybodys or not name, named=bool(name))
    rows = connection.execute(query, {"own": actor.organisation, "name": name}).all()
    if asked and actor.project and asked != actor.project:
        rows = []
    if not rows and name:
        raise not_found("project", name)
    if not rows and not actor.organisation:
        raise refused("project", "", "name the one that pays; this token is of no organisation")
    if not rows:
        raise refused(
            "project", "", "there is none for this token's organisation; ask the coordinator to declare one"
        )
    if len(rows) > 1:
        raise refused("project", "", f"give one of {', '.join(row.id for row in rows)}")
    return Project(*rows[0])


@functools.cache
def _projects(*, own: bool, named: bool) -> Select[Any]:
    """Of the organisation `own`, of the id `name`, or both; made once, since making it takes a while."""
    query = select(_project.id, _project.organisation, _project.default_time_limit_ms)
    if own:
        query = query.where(_project.organisation == bindparam("own"))
    if named:
        query = query.where(_project.id == bindparam("name"))
    return query.order_by(_project.id).limit(6)


def _check_fits(specification: JobSpecification, pools: Pools) -> None:
    """Refuse at once what no pool could ever run."""
    never = why_never(pools, class_of(specification))
    if never:
        raise refused(
            never.field, never.asked, f"no pool could ever run this; {never.said}", kind="impossible"
        )


def _entries(
    connection: Connection,
    checked: Sequence[tuple[JobSpecification, Project]],
    random_bits: RandomBits,
    *,
    bulk: bool,
) -> list[Entry]:
    last = connection.execute(_LAST).one_or_none()
    number, first_job = (1, 1) if last is None else (last.number + 1, last.next_job)
    entries = []
    for position, (specification, project) in enumerate(checked):
        entries.append(
            Entry(
                specification=specification,
                organisation=project.organisation,
                project=project.id,
                time_limit_ms=specification.time_limit or project.default_time_limit_ms or 0,
                id=submission_id(random_bits(80)),
                number=number + position,
                first_job=first_job,
                field=f"jobs[{position}]." if bulk else "",
            )
        )
        first_job += specification.size
    return entries


def _check_uploads(connection: Connection, entries: Sequence[Entry]) -> None:
    wanted: dict[str, dict[str, str]] = {}
    for entry in entries:
        for index, given in enumerate(entry.specification.inputs):
            if given.file and not given.url:
                field = f"{entry.field}inputs[{index}].digest"
                wanted.setdefault(entry.organisation, {}).setdefault(given.digest, field)
    for organisation, fields in wanted.items():
        missing = not_uploaded(connection, organisation, set(fields))
        if missing:
            digest = min(missing, key=list(fields).index)
            raise refused(fields[digest], digest, "upload this content first")


def _store(tx: Transaction, actor: Actor, referring: Sequence[Referring], now_ms: int) -> list[SubmittedView]:
    specifications: dict[str, str] = {}
    submissions: list[dict[str, Any]] = []
    singles: list[dict[str, Any]] = []
    arrays: list[dict[str, Any]] = []
    dependencies: list[dict[str, Any]] = []
    answers: list[SubmittedView] = []
    for one in referring:
        entry, specification = one.entry, one.entry.specification
        body = stored_form(specification, entry.project, entry.time_limit_ms)
        digest = hashlib.sha256(body.encode()).hexdigest()
        specifications[digest] = body
        unmet = one.unmet
        submissions.append(
            {
                "number": entry.number,
                "id": entry.id,
                "organisation": entry.organisation,
                "project": entry.project,
                "owner": actor.name,
                "name": specification.name,
                "specification": digest,
                "first_job": entry.first_job,
                "size": specification.size,
                "is_array": specification.array is not None,
                "submitted_ms": now_ms,
                "attempts_allowed": specification.attempts_allowed,
                "unmet": unmet,
                "dependency_failed": one.failed,
                "labels": json.dumps(dict(specification.labels), ensure_ascii=False),
            }
        )
        state, cause = moves.first_state(unmet=unmet > 0, dependency_failed=one.failed)
        job = {
            "number": entry.first_job,
            "submission": entry.number,
            "array_index": 0,
            "state": int(state),
            "cause": None if cause is None else cause.value,
            "priority": PRIORITY_LEVELS[specification.priority],
            "time_limit_ms": entry.time_limit_ms,
            "queued_ms": now_ms if state is JobState.QUEUED else None,
            "ended_ms": now_ms if state.ended else None,
        }
        if specification.array is None:
            singles.append(job)
        else:
            arrays.append(job | {"size": specification.size})
        dependencies += [
            {
                "submission": entry.number,
                "on_submission": dependency.on_submission,
                "on_job": dependency.on_job,
                "remaining": dependency.remaining,
            }
            for dependency in one.dependencies
        ]
        answers.append(
            SubmittedView(entry.id, specification.size, specification.array is not None, state.name.lower())
        )
        tx.append(
            ChangeKind.SUBMITTED,
            {"submission": entry.id, "first_job": entry.first_job, "size": specification.size},
            at_ms=now_ms,
            organisation=entry.organisation,
        )
    add_missing(
        tx.connection,
        schema.specification,
        [{"digest": digest, "body": body} for digest, body in specifications.items()],
    )
    tx.connection.execute(insert(schema.submission), submissions)
    if singles:
        tx.connection.execute(insert(schema.job), singles)
    for array in arrays:
        tx.connection.execute(_ARRAY, array)
    if dependencies:
        tx.connection.execute(insert(schema.dependency), dependencies)
    return answers


def _hold(
    tx: Transaction, referring: Sequence[Referring], answers: Sequence[SubmittedView], now_ms: int
) -> list[SubmittedView]:
    """Set money aside where work is priced; the answers with what their owners should know of it."""
    entries = [(one.entry, not one.failed) for one in referring]
    notices = money.hold(tx, entries, now_ms)
    return [
        replace(answer, notices=(*answer.notices, *notices.get(one.entry.number, ())))
        for one, answer in zip(referring, answers, strict=True)
    ]


def _array_statement() -> Any:
    """The elements of an array as rows, counted by the database itself."""
    count = select(literal(0, Integer).label("i")).cte("count", recursive=True)
    count = count.union_all(select(count.c.i + 1).where(count.c.i + 1 < bindparam("size", type_=Integer)))

    def same(name: str) -> Any:
        kind = schema.job.c[name].type
        return cast(bindparam(name, type_=kind), kind)

    columns = [
        "number",
        "submission",
        "array_index",
        "state",
        "cause",
        "priority",
        "time_limit_ms",
        "queued_ms",
        "ended_ms",
    ]
    values = [
        cast(bindparam("number", type_=BigInteger), BigInteger) + count.c.i,
        same("submission"),
        count.c.i,
    ]
    return insert(schema.job).from_select(columns, select(*values, *(same(name) for name in columns[3:])))


_ARRAY = _array_statement()

__all__ = ["IntakeLimits", "Project", "project_for", "submit"]
