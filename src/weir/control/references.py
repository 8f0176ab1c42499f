"""Which jobs a new job comes after: names and prefixes made whole, fellows of one request, cycles refused."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, case, func, select

from weir.control.listed import among, among_texts, number_list, text_list
from weir.model.identity import SUBMISSION_LENGTH, JobName
from weir.model.job import JobSpecification
from weir.model.problem import not_found, refused
from weir.model.state import JobState
from weir.store import schema

_FELLOW = re.compile(r"#(\d{1,6})(?:\.(\d{1,9}))?")
ACCEPTED = "give a job's id or a unique beginning of it, or #N for entry N of this request, counted from 0"

_submission = schema.submission.c
_job = schema.job.c

_BY_ID = select(
    _submission.id, _submission.number, _submission.first_job, _submission.size, _submission.is_array
).where(_submission.organisation == bindparam("organisation"), among_texts(_submission.id, "ids"))
_BY_PREFIX = (
    select(_submission.id)
    .where(
        _submission.organisation == bindparam("organisation"),
        _submission.id.startswith(bindparam("prefix"), autoescape=False),
    )
    .order_by(_submission.number.desc())
    .limit(6)
)
_SUCCEEDED = func.sum(case((_job.state == int(JobState.SUCCEEDED), 1), else_=0))
_FAILED = func.sum(case((_job.state > int(JobState.SUCCEEDED), 1), else_=0))
_WHOLE = (
    select(_job.submission, _SUCCEEDED, _FAILED)
    .where(among(_job.submission, "submissions"))
    .group_by(_job.submission)
)
_ONE = select(_job.number, _job.state).where(among(_job.number, "jobs"))
_LOCK = select(_submission.number).where(among(_submission.number, "submissions")).with_for_update()


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a request, with the identity that its submission will have."""

    specification: JobSpecification
    organisation: str
    project: str
    time_limit_ms: int
    id: str
    number: int
    first_job: int
    field: str = ""
    """What precedes a field's name in a problem: empty, or `jobs[3].`."""


class Dependency(NamedTuple):
    """That a submission comes after another (or one element of it, unless `on_job` is 0)."""

    on_submission: int
    on_job: int
    remaining: int
    """Jobs yet to succeed."""
    failed: bool


@dataclass(frozen=True, slots=True)
class Referring:
    """An entry with its references made whole, and what they make it wait for."""

    entry: Entry
    dependencies: tuple[Dependency, ...] = ()

    @property
    def unmet(self) -> int:
        """How many dependencies are yet to be met."""
        return sum(dependency.remaining > 0 for dependency in self.dependencies)

    @property
    def failed(self) -> bool:
        """Whether one of them can no longer be met."""
        return any(dependency.failed for dependency in self.dependencies)


class _Target(NamedTuple):
    name: str
    submission: int
    job: int
    size: int


def resolve(connection: Connection, entries: Sequence[Entry]) -> list[Referring]:
    """The entries with what they come after. Raises ProblemError: 404 for a job that the organisation does not
    have, 422 for an ambiguous beginning, a wrong element, or entries that come after each other in a circle."""
    if not any(_written(entry.specification) for entry in entries):
        return [Referring(entry) for entry in entries]
    targets = _targets(connection, entries)
    order = _in_order(entries, targets)
    existing = _existing(connection, entries, targets)
    by_number = {entry.number: position for position, entry in enumerate(entries)}
    found: dict[int, Referring] = {}
    for position in order:
        entry = entries[position]
        dependencies = {}
        for text in _written(entry.specification):
            target = targets[entry.organisation, text]
            fellow = by_number.get(target.submission)
            if fellow is None:
                remaining, failed = existing[target]
            else:
                remaining, failed = (1 if target.job else target.size), found[fellow].failed
            dependencies[target.submission, target.job] = Dependency(
                target.submission, target.job, remaining, failed
            )
        found[position] = Referring(
            replace(entry, specification=_renamed(entry, targets)) if dependencies else entry,
            tuple(dependencies.values()),
        )
    return [found[position] for position in range(len(entries))]


def whole_id(connection: Connection, organisation: str, prefix: str, field: str) -> str:
    """The one submission of the organisation whose id begins so. Raises ProblemError."""
    beginning = prefix.replace("%", "")
    ids = list(connection.execute(_BY_PREFIX, {"organisation": organisation, "prefix": beginning}).scalars())
    if not ids:
        raise not_found("job", prefix)
    if len(ids) > 1:
        raise refused(field, prefix, f"give more of the id; it may be {', '.join(ids[:5])}", kind="ambiguous")
    return str(ids[0])


def _written(specification: JobSpecification) -> tuple[str, ...]:
    return (*specification.after, *(entry.from_ for entry in specification.inputs if entry.from_))


def _fields(entry: Entry) -> Iterable[tuple[str, str]]:
    for index, text in enumerate(entry.specification.after):
        yield f"{entry.field}after[{index}]", text
    for index, given in enumerate(entry.specification.inputs):
        if given.from_:
            yield f"{entry.field}inputs[{index}].from", given.from_


def _targets(connection: Connection, entries: Sequence[Entry]) -> dict[tuple[str, str], _Target]:
    """What each text means, by organisation and text."""
    found: dict[tuple[str, str], _Target] = {}
    named: dict[str, dict[str, tuple[JobName, str]]] = {}
    for entry in entries:
        for field, text in _fields(entry):
            if text.startswith("#"):
                found[entry.organisation, text] = _fellow(entry, entries, text, field)
                continue
            try:
                name = JobName.parse(text)
            except ValueError:
                raise refused(field, text, ACCEPTED) from None
            named.setdefault(entry.organisation, {})[text] = (name, field)
    for organisation, texts in named.items():
        whole = {
            text: name.submission
            if len(name.submission) == SUBMISSION_LENGTH
            else whole_id(connection, organisation, name.submission, field)
            for text, (name, field) in texts.items()
        }
        rows = connection.execute(
            _BY_ID, {"organisation": organisation, "ids": text_list(set(whole.values()))}
        ).all()
        by_id = {row.id: row for row in rows}
        for text, (name, field) in texts.items():
            row = by_id.get(whole[text])
            if row is None:
                raise not_found("job", text)
            job = _element(row.first_job, row.size, row.is_array, name.index, field, text)
            canonical = str(JobName(row.id, name.index))
            found[organisation, text] = _Target(canonical, row.number, job, row.size)
    return found


def _fellow(entry: Entry, entries: Sequence[Entry], text: str, field: str) -> _Target:
    match = _FELLOW.fullmatch(text)
    if match is None or int(match[1]) >= len(entries):
        raise refused(field, text, f"{ACCEPTED}; this request has {len(entries)} entries")
    other = entries[int(match[1])]
    if other.organisation != entry.organisation:
        raise refused(field, text, "give an entry of the same organisation")
    specification = other.specification
    index = None if match[2] is None else int(match[2])
    job = _element(other.first_job, specification.size, specification.array is not None, index, field, text)
    return _Target(str(JobName(other.id, index)), other.number, job, specification.size)


def _element(first_job: int, size: int, is_array: bool, index: int | None, field: str, text: str) -> int:
    if index is None:
        return 0
    if not is_array or index >= size:
        elements = f"elements 0 to {size - 1}" if is_array else "no elements, since it is no array"
        raise refused(field, text, f"it has {elements}")
    return first_job + index


def _in_order(entries: Sequence[Entry], targets: Mapping[tuple[str, str], _Target]) -> list[int]:
    """Positions so that each comes after its fellows. Raises ProblemError naming a cycle."""
    by_number = {entry.number: position for position, entry in enumerate(entries)}
    waits = [
        sorted({
            by_number[target.submission]
            for text in _written(entry.specification)
            if (target := targets[entry.organisation, text]).submission in by_number
        })
        for entry in entries
    ]  # fmt: skip
    order: list[int] = []
    done = [False] * len(entries)
    for start in range(len(entries)):
        path: dict[int, int] = {}
        stack = [start]
        while stack:
            at = stack[-1]
            if done[at]:
                stack.pop()
                continue
            step = path.setdefault(at, 0)
            if step < len(waits[at]):
                path[at] = step + 1
                following = waits[at][step]
                if following in path and not done[following]:
                    circle = [*list(path)[list(path).index(following) :], following]
                    shown = " after ".join(f"#{position}" for position in circle)
                    raise refused(
                        f"{entries[at].field}after", f"#{following}", f"the jobs go in a circle: {shown}"
                    )
                if not done[following]:
                    stack.append(following)
                continue
            done[at] = True
            del path[at]
            order.append(at)
            stack.pop()
    return order


def _existing(
    connection: Connection, entries: Sequence[Entry], targets: Mapping[tuple[str, str], _Target]
) -> dict[_Target, tuple[int, bool]]:
    """Of each target that is stored already: how many jobs are yet to succeed, and whether one did not."""
    fellows = {entry.number for entry in entries}
    stored = {target for target in targets.values() if target.submission not in fellows}
    if not stored:
        return {}
    # Held until the commit, so that none of them ends between this count and the rows that remember it.
    connection.execute(_LOCK, {"submissions": number_list({target.submission for target in stored})})
    whole = {target.submission for target in stored if not target.job}
    ones = {target.job for target in stored if target.job}
    counts = (
        {row[0]: row for row in connection.execute(_WHOLE, {"submissions": number_list(whole)})}
        if whole
        else {}
    )
    states = (
        {row.number: row.state for row in connection.execute(_ONE, {"jobs": number_list(ones)})}
        if ones
        else {}
    )
    found = {}
    for target in stored:
        if target.job:
            state = JobState(states[target.job])
            found[target] = (int(state is not JobState.SUCCEEDED), state > JobState.SUCCEEDED)
        else:
            _, succeeded, failed = counts[target.submission]
            found[target] = (target.size - int(succeeded), failed > 0)
    return found


def _renamed(entry: Entry, targets: Mapping[tuple[str, str], _Target]) -> JobSpecification:
    """The specification with whole names, which mean the same at any later time."""
    specification = entry.specification
    return replace(
        specification,
        after=tuple(targets[entry.organisation, text].name for text in specification.after),
        inputs=tuple(
            replace(given, from_=targets[entry.organisation, given.from_].name) if given.from_ else given
            for given in specification.inputs
        ),
    )


__all__ = ["Dependency", "Entry", "Referring", "resolve", "whole_id"]
