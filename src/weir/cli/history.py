"""`weir history`: Weir's own jobs as a table that the twin runs again, or begins with."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from weir.cli.progress import progress_bar
from weir.cli.session import client
from weir.client import Client
from weir.model.problem import refused
from weir.model.state import JobState
from weir.model.view import JobView
from weir.units import parse_duration_ms

if TYPE_CHECKING:  # these load NumPy and Polars, which only a command that runs should wait for
    from weir.model.job import JobSpecification
    from weir.scheduling.inputs import JobClass
    from weir.twin.history import PastJob

history = typer.Typer(help="Weir's own jobs, for the twin.", no_args_is_help=True)

FILE = typer.Argument(metavar="FILE", help="Where to write: a name that ends in .parquet or .csv.")
STATE = typer.Option(False, "--state", help="What runs and waits now, instead of what has ended.")
SINCE = typer.Option("", metavar="DURATION", help="Only jobs submitted in the last so long, such as 30d.")


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.add_typer(history, name="history")


@history.callback()
def about() -> None:
    """Weir's own jobs, for the twin."""


@history.command()
def export(file: Path = FILE, state: bool = STATE, since: str = SINCE) -> None:
    """Write the jobs that you may see as a table: those that have ended, or the present with --state.

    `weir twin run FILE` runs them again; `weir twin run --start FILE` begins with the present.
    """
    from weir.twin.history import check_name

    check_name(file)
    if state and since:
        raise refused("--since", since, "leave it out: the present is what runs and waits now")
    count, ended = write_export(file, state=state, since_ms=_since(since))
    more = "" if ended is None else f"; run times expected from {ended:,} ended jobs"
    print(f"{file}: {count:,} jobs{more}")


def write_export(file: Path, *, state: bool, since_ms: int = 0) -> tuple[int, int | None]:
    """Fetch and write; how many jobs, and for a state from how many ended ones their run times are expected."""
    from weir.twin.history import write_history

    api = client()
    now_ms = time.time_ns() // 1_000_000
    with progress_bar("history", "jobs") as advance:
        found = list(_past_jobs(api, since_ms, advance))
    ended = [job for one, job in found if _ended(one)]
    if not state:
        return write_history(ended, file), None
    return write_history(_present(found, ended, now_ms), file, now_ms=now_ms), len(ended)


def _past_jobs(
    api: Client, since_ms: int, advance: Callable[[int, int], None]
) -> Iterator[tuple[JobView, "PastJob"]]:
    """Every job with its shape; a submission's specification is asked for once."""
    from weir.control.shapes import PRIORITY_LEVELS
    from weir.model.codec import from_plain
    from weir.model.job import JobSpecification, Priority
    from weir.twin.history import PastJob, nominal_ms

    stacks = {model.id: model.stack for model in api.devices()}
    pools = {
        f"{pool.centre}/{pool.id}": (pool.speed_milli, stacks.get(pool.device, "")) for pool in api.pools()
    }
    known: dict[str, JobClass] = {}
    submissions = [each for each in api.all_jobs() if each.submitted_ms >= since_ms]
    submissions.reverse()  # oldest first
    for number, submission in enumerate(submissions):
        first = api.job(f"{submission.id}.0" if submission.is_array else submission.id)
        assert isinstance(first, JobView)
        body = dict(first.specification)
        shape = repr(sorted(body.items(), key=lambda item: item[0]))
        if shape not in known:
            known[shape] = _with_checkpoint(from_plain(JobSpecification, body))
        jobs: Sequence[JobView] = list(api.elements(submission.id)) if submission.is_array else [first]
        for one in jobs:
            where = f"{one.centre}/{one.pool}" if one.pool else ""
            speed, stack = pools.get(where, (1_000, ""))
            job_class = known[shape]
            if one.attempts:  # an elastic job has in each the number that it started with
                job_class = replace(job_class, tasks=one.attempts[-1].tasks)
            yield (
                one,
                PastJob(
                    submitted_ms=one.submitted_ms,
                    run_ms=nominal_ms(one.running_ms, speed, stack, job_class),
                    limit_ms=one.time_limit_ms,
                    user=f"{one.organisation}/{one.owner}",
                    group=f"{one.organisation}/{one.project}",
                    priority=PRIORITY_LEVELS[Priority(one.priority)],
                    job_class=job_class,
                    state=one.state,
                    started_ms=one.started_ms,
                    ended_ms=one.ended_ms,
                    pool=where,
                ),
            )
        advance(number + 1, len(submissions))


def _with_checkpoint(specification: "JobSpecification") -> "JobClass":
    """The class of a job, with how it saves its work, which the twin counts with."""
    from weir.control.shapes import class_of

    saves = specification.checkpoint
    job_class = class_of(specification)
    if saves is None:
        return job_class
    return replace(
        job_class,
        checkpoint_every_ms=saves.every,
        checkpoint_save_ms=saves.save or 0,
        checkpoint_restore_ms=saves.restore or 0,
    )


def _present(
    found: Sequence[tuple[JobView, "PastJob"]], ended: Sequence["PastJob"], now_ms: int
) -> Iterator["PastJob"]:
    """What holds capacity and what is ready, with how long each may run. What waits for others is not ready."""
    from weir.twin.history import RUNNING, WAITING, expected_ms

    for one, job in found:
        state = JobState[one.state.upper()]
        if state.placed:
            began = one.started_ms or now_ms
            yield replace(
                job,
                run_ms=expected_ms(job, ended, job.run_ms),
                started_ms=began,
                ended_ms=None,
                state=RUNNING,
            )
        elif state is JobState.QUEUED:
            yield replace(job, run_ms=expected_ms(job, ended, 0), started_ms=None, pool="", state=WAITING)


def _ended(one: JobView) -> bool:
    return JobState[one.state.upper()].ended


def _since(text: str) -> int:
    if not text:
        return 0
    try:
        return time.time_ns() // 1_000_000 - parse_duration_ms(text)
    except ValueError as error:
        raise refused("--since", text, str(error)) from None


__all__ = ["register", "write_export"]
