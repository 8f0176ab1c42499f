"""Weir's own jobs as a table: a history that the twin can run again, or the present that it can start from.

Both are Weir's table of jobs (`traces/schema.py`), as Parquet or CSV, with what has become of each job beside it. A
state also says when it was taken (`now_ms`, since `origin_s`), and holds what runs and what waits.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import polars as pl

from weir.model.problem import refused
from weir.scheduling.inputs import JobClass
from weir.twin.traces.schema import COLUMNS, HAPPENED, VERSION, shape

SUFFIXES = (".parquet", ".csv")
NOW, ORIGIN = "now_ms", "origin_s"
RUNNING, WAITING = "running", "waiting"
REMEMBERED = 32
"""Of each user, so many of the last ended jobs say how long the others may run."""
_SECOND_MS = 1_000


@dataclass(frozen=True, slots=True)
class PastJob:
    """One job; instants are Unix milliseconds. `run_ms` is at nominal speed, and 0 where it never ran.

    `state` is the job's own, or for a state that is to be started from `running` or `waiting`.
    """

    submitted_ms: int
    run_ms: int
    limit_ms: int
    user: str
    group: str
    priority: int
    job_class: JobClass
    state: str
    started_ms: int | None = None
    ended_ms: int | None = None
    pool: str = ""


def nominal_ms(ran_ms: int, pool_speed_milli: int, stack: str, job_class: JobClass) -> int:
    """How long it would have run at nominal speed: times the speed of its pool, and its own on that software stack."""
    variants = dict(job_class.variant_speeds)
    own = variants.get(stack, 1_000) if variants else 1_000
    return ran_ms * pool_speed_milli * own // 1_000_000


def expected_ms(job: PastJob, ended: Sequence[PastJob], elapsed_ms: int) -> int:
    """How long a job that has not ended may run in all, at nominal speed.

    Its limit times the middle of run / limit over the user's last ended jobs, or everybody's where he has none; its
    limit where nobody has. More than it has run already, and at most its limit unless it has run longer.
    """
    own = [each for each in ended if each.user == job.user and each.run_ms > 0][-REMEMBERED:]
    known = own or [each for each in ended if each.run_ms > 0][-REMEMBERED:]
    share = median(min(1.0, each.run_ms / max(1, each.limit_ms)) for each in known) if known else 1.0
    return max(1, elapsed_ms + 1, min(job.limit_ms, round(job.limit_ms * share)))


def write_history(jobs: Iterable[PastJob], file: Path, *, now_ms: int | None = None) -> int:
    """Write the jobs in order of submission, whole or not at all; how many there are. now_ms: it is a state.

    Raises ProblemError for a file name that ends in neither .parquet nor .csv.
    """
    check_name(file)
    ordered = sorted(jobs, key=lambda job: job.submitted_ms)
    first = min((job.submitted_ms for job in ordered), default=now_ms or 0)
    origin_s = first // _SECOND_MS
    origin_ms = origin_s * _SECOND_MS

    def since(instant: int | None) -> int:
        return -1 if instant is None else instant - origin_ms

    rows = [
        {
            "job": number,
            "submit_ms": job.submitted_ms - origin_ms,
            "run_ms": job.run_ms,
            # A pool that is faster than nominal does in its limit what would take longer at nominal speed.
            "limit_ms": max(job.limit_ms, job.run_ms),
            "size": -1,
            "user": job.user,
            "group": job.group,
            "priority": job.priority,
            **shape(job.job_class),
            "start_ms": since(job.started_ms),
            "end_ms": since(job.ended_ms),
            "pool": job.pool,
            "state": job.state,
        }
        for number, job in enumerate(ordered, 1)
    ]
    schema = {each.name: each.dtype for each in (*COLUMNS, *HAPPENED)}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    about = {"weir_jobs": VERSION, ORIGIN: str(origin_s)}
    if now_ms is not None:
        about[NOW] = str(now_ms - origin_ms)
    part = file.with_name(f".{file.name}.part")
    try:
        if file.suffix == ".parquet":
            frame.write_parquet(part, metadata=about)
        else:
            head = "".join(f"# {key}: {value}\n" for key, value in about.items())
            part.write_text(head + frame.write_csv(), encoding="utf-8")
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    return len(ordered)


def check_name(file: Path) -> None:
    """Raises ProblemError unless the name says in which form to write, and nothing else lies there as a folder."""
    if file.suffix not in SUFFIXES or file.is_dir():
        raise refused("FILE", file, f"give a file whose name ends in {' or '.join(SUFFIXES)}")


__all__ = ["NOW", "RUNNING", "WAITING", "PastJob", "check_name", "expected_ms", "nominal_ms", "write_history"]
