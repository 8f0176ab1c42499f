"""What must lie in an attempt's folder before it starts: uploaded files, and what other jobs handed over."""

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, select

from weir.control.listed import among_texts, text_list
from weir.control.shapes import specification_of
from weir.model.agent import InputFile
from weir.model.identity import JobName
from weir.model.job import Input, JobSpecification
from weir.model.state import Desired, JobState, Observed
from weir.store import schema

_submission = schema.submission.c
_job = schema.job.c
_output = schema.output.c
_upload = schema.upload.c
_attempt = schema.attempt.c

_UPLOADS = select(_upload.digest, _upload.size_bytes).where(
    _upload.organisation == bindparam("organisation"), among_texts(_upload.digest, "digests")
)
_OUTPUTS = (
    select(
        _submission.id,
        _submission.is_array,
        _job.array_index,
        _output.path,
        _output.size_bytes,
        _output.digest,
        _output.url,
    )
    .join(schema.job, _job.submission == _submission.number)
    .join(schema.output, (_output.job == _job.number) & (_output.epoch == _job.epoch))
    .where(
        among_texts(_submission.id, "ids"),
        _submission.organisation == bindparam("organisation"),
        _job.state == int(JobState.SUCCEEDED),
    )
    .order_by(_job.number, _output.task, _output.path)
)
_WANTED_HERE = (
    select(_submission.organisation, schema.specification.c.body)
    .distinct()
    .join(schema.job, _job.submission == _submission.number)
    .join(schema.attempt, (_attempt.job == _job.number) & (_attempt.epoch == _job.epoch))
    .join(schema.specification, schema.specification.c.digest == _submission.specification)
    .where(
        _attempt.centre == bindparam("centre"),
        _attempt.observed < int(Observed.ENDED),
        _attempt.desired == int(Desired.RUN),
    )
)


class Wish(NamedTuple):
    """Whose inputs are asked for."""

    organisation: str
    specification: JobSpecification


class _Output(NamedTuple):
    element: int | None
    path: str
    size_bytes: int
    digest: str
    url: str


def resolve(
    connection: Connection, wishes: Iterable[Wish]
) -> dict[tuple[str, tuple[Input, ...]], tuple[InputFile, ...]]:
    """The files behind the inputs of each wish, by organisation and inputs.

    An uploaded file lies where the specification says. A single job's outputs lie below `to`, those of an array
    below `to` and the element's index. Of two files for one place the first is taken: by order of the inputs,
    then of the elements, then of the tasks that made them.
    """
    by_organisation: dict[str, set[tuple[Input, ...]]] = {}
    for wish in wishes:
        by_organisation.setdefault(wish.organisation, set()).add(wish.specification.inputs)
    found = {}
    for organisation, wanted in by_organisation.items():
        entries = [entry for inputs in wanted for entry in inputs]
        sizes = _uploaded(
            connection, organisation, {entry.digest for entry in entries if entry.file and not entry.url}
        )
        outputs = _handed_over(connection, organisation, {entry.from_ for entry in entries if entry.from_})
        for inputs in wanted:
            found[organisation, inputs] = _laid(inputs, sizes, outputs)
    return found


def not_uploaded(connection: Connection, organisation: str, digests: set[str]) -> set[str]:
    """Those of the blobs that this organisation has not brought."""
    return digests - set(_uploaded(connection, organisation, digests))


def is_wanted_at(connection: Connection, centre: str, digest: str) -> bool:
    """Whether this blob is an input of an attempt that should run at this centre, so that its agent may read it."""
    wishes = [
        Wish(organisation, specification_of(body))
        for organisation, body in connection.execute(_WANTED_HERE, {"centre": centre})
        if digest in body or '"from"' in body
    ]
    return any(
        file.digest == digest and not file.url
        for files in resolve(connection, wishes).values()
        for file in files
    )


def matches(pattern: str, path: str) -> bool:
    """Whether the whole relative path matches: `*`, `?` and `[…]` within one folder's name, `**` any folders."""
    return _expression(pattern).fullmatch(path) is not None


@functools.lru_cache(maxsize=4_096)
def _expression(pattern: str) -> re.Pattern[str]:
    *folders, last = pattern.split("/")
    parts = ["(?:[^/]+/)*" if name == "**" else _one_name(name) + "/" for name in folders]
    return re.compile("".join(parts) + (".+" if last == "**" else _one_name(last)), re.DOTALL)


def _one_name(pattern: str) -> str:
    """The expression for a pattern without folders; a bracket that is never closed stands for itself."""
    parts = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        end = pattern.find("]", position + 2 + (pattern[position + 1 : position + 2] == "!"))
        if character == "[" and end > 0:
            parts.append(_one_of(pattern[position + 1 : end]))
            position = end
        else:
            parts.append({"*": "[^/]*", "?": "[^/]"}.get(character) or re.escape(character))
        position += 1
    return "".join(parts)


def _one_of(inside: str) -> str:
    """The expression for what stands between brackets: characters and ranges; those that run backwards are empty."""
    others = inside.startswith("!")
    left = inside.removeprefix("!")
    items = ""
    while left:
        if len(left) >= 3 and left[1] == "-":
            first, last, left = left[0], left[2], left[3:]
            items += f"{re.escape(first)}-{re.escape(last)}" if first <= last else ""
        else:
            items, left = items + re.escape(left[0]), left[1:]
    if not items:
        return "[^/]" if others else "(?!)"
    return f"(?!/)[{'^' if others else ''}{items}]"


def _uploaded(connection: Connection, organisation: str, digests: set[str]) -> dict[str, int]:
    if not digests:
        return {}
    rows = connection.execute(_UPLOADS, {"organisation": organisation, "digests": text_list(digests)})
    return {row.digest: row.size_bytes for row in rows}


def _handed_over(connection: Connection, organisation: str, jobs: set[str]) -> dict[str, list[_Output]]:
    """The outputs of each job named, whole submissions and elements alike."""
    found: dict[str, list[_Output]] = {}
    if not jobs:
        return found
    ids = text_list({JobName.parse(job).submission for job in jobs})
    for row in connection.execute(_OUTPUTS, {"organisation": organisation, "ids": ids}):
        index = row.array_index if row.is_array else None
        found.setdefault(row.id, []).append(_Output(index, row.path, row.size_bytes, row.digest, row.url))
        if row.is_array:
            element = f"{row.id}.{row.array_index}"
            found.setdefault(element, []).append(_Output(None, row.path, row.size_bytes, row.digest, row.url))
    return found


def _laid(
    inputs: Sequence[Input], sizes: Mapping[str, int], outputs: Mapping[str, Sequence[_Output]]
) -> tuple[InputFile, ...]:
    files: dict[str, InputFile] = {}
    for entry in inputs:
        if entry.url:
            files.setdefault(entry.file, InputFile(entry.file, entry.digest, entry.size or 0, entry.url))
            continue
        if entry.file:
            files.setdefault(entry.file, InputFile(entry.file, entry.digest, sizes.get(entry.digest, 0)))
            continue
        for output in outputs.get(entry.from_, ()):
            if matches(entry.path, output.path):
                folders = [
                    part for part in (entry.to, "" if output.element is None else str(output.element)) if part
                ]
                path = "/".join([*folders, output.path])
                files.setdefault(path, InputFile(path, output.digest, output.size_bytes, output.url))
    return tuple(files.values())


__all__ = ["Wish", "is_wanted_at", "matches", "not_uploaded", "resolve"]
