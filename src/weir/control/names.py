"""From the names that people and agents use to the numbers of rows, and back, many at a time."""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Connection, select

from weir.control.listed import among_texts, text_list
from weir.model.identity import JobName, parse_attempt_id
from weir.store import schema

_submission = schema.submission.c


class AttemptKey(NamedTuple):
    """The primary key of an attempt."""

    job: int
    epoch: int


_BY_ID = select(_submission.id, _submission.first_job, _submission.size, _submission.is_array).where(
    among_texts(_submission.id, "ids")
)


def job_name(submission: str, is_array: bool, array_index: int) -> str:
    """How a job is called."""
    return f"{submission}.{array_index}" if is_array else submission


def job_numbers(connection: Connection, names: Iterable[JobName]) -> dict[JobName, int]:
    """The numbers of the jobs that have such names, whole and unshortened; others are left out."""
    wanted = set(names)
    if not wanted:
        return {}
    rows = connection.execute(_BY_ID, {"ids": text_list({name.submission for name in wanted})})
    known = {row.id: row for row in rows}
    found = {}
    for name in wanted:
        row = known.get(name.submission)
        if row is None or (name.index is None) is row.is_array or (name.index or 0) >= row.size:
            continue
        found[name] = row.first_job + (name.index or 0)
    return found


def attempt_keys(connection: Connection, names: Iterable[str]) -> dict[str, AttemptKey]:
    """The keys that attempts of such names have, or would have; names of no job, or of no form, are left out."""
    parsed = {}
    for name in names:
        try:
            job, epoch = parse_attempt_id(name)
        except ValueError:
            continue
        parsed[name] = (JobName.parse(job), epoch)
    numbers = job_numbers(connection, [job for job, _ in parsed.values()])
    return {name: AttemptKey(numbers[job], epoch) for name, (job, epoch) in parsed.items() if job in numbers}


__all__ = ["AttemptKey", "attempt_keys", "job_name", "job_numbers"]
