"""Microsoft's Philly: deep learning jobs of 15 virtual clusters, August to December 2017 (Jeon et al., ATC 2019)."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from weir.model.problem import refused
from weir.twin.traces.assembly import Columns
from weir.twin.traces.gang import gang
from weir.twin.traces.source import Source, contents
from weir.twin.traces.table import Rows, combined, read_rows, since_first
from weir.twin.workload import Int64s

TABLE = ("timestamp", "duration", "num_gpus", "gpu_time", "cluster")
"""The header of the reduction that the authors of Pollux and Sia made."""


def read_table(source: Source, *, skip_bad: bool, on_bad: Callable[[int, str], None]) -> Columns:
    """The reduced table: no user, no limit, no status; local times are taken for UTC."""
    rows = read_rows(source, required=TABLE[:3])
    submitted_ms = rows.moment("timestamp")
    columns = _columns(rows, submitted_ms, rows.milliseconds("duration"), rows.whole("num_gpus"))
    return rows.settled(columns, skip_bad=skip_bad, on_bad=on_bad)


def read_log(source: Source, *, skip_bad: bool, on_bad: Callable[[int, str], None]) -> Columns:
    """The original `cluster_job_log`, a JSON list of jobs with their attempts.

    Run time is the sum over attempts with a start and an end; size is that of the widest attempt. A job without such
    an attempt has no run time. Local times are taken for UTC.
    """
    try:
        jobs = json.loads(contents(source))
    except ValueError as error:
        raise refused("trace", source, f"a JSON list of jobs: {error}") from error
    if not isinstance(jobs, list):
        raise refused("trace", source, "a JSON list of jobs")
    read: list[tuple[int, int, int, str | None, str | None]] = []
    wrong: dict[int, str] = {}
    for row, job in enumerate(jobs):
        try:
            read.append(_job(job))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            what = f"it has no {error}" if isinstance(error, KeyError) else str(error)
            wrong[row] = f"not a job of the log: {what}"
            read.append((0, 0, 0, None, None))
    frame = pl.DataFrame(
        {"cluster": [job[3] for job in read], "user": [job[4] for job in read]},
        schema={"cluster": pl.String, "user": pl.String},
    )
    rows = Rows(source, frame, np.arange(1, len(jobs) + 1), unit="job", wrong=wrong)
    submitted_ms, run_ms, size = np.array([job[:3] for job in read], np.int64).reshape(-1, 3).T
    return rows.settled(_columns(rows, submitted_ms, run_ms, size), skip_bad=skip_bad, on_bad=on_bad)


def _columns(rows: Rows, submitted_ms: Int64s, run_ms: Int64s, size: Int64s) -> Columns:
    submit_ms, origin_s = since_first(submitted_ms)
    user, users = rows.names("user")
    group, groups = rows.names("cluster")
    places, first = combined(size)
    return Columns(
        job=np.arange(1, len(rows) + 1),
        submit_ms=submit_ms,
        run_ms=run_ms,
        limit_ms=np.zeros(len(rows), np.int64),
        size=np.ascontiguousarray(size),
        job_class=places,
        classes=[gang(int(each)) for each in size[first]],
        user=user,
        users=users,
        group=group,
        groups=groups,
        origin_s=origin_s,
    )


def _job(job: dict[str, Any]) -> tuple[int, int, int, str | None, str | None]:
    """(submitted, run, accelerators, virtual cluster, user)."""
    submitted = _moment(job["submitted_time"])
    if submitted is None:
        raise ValueError("submitted_time is empty")
    run, widest = 0, 0
    for attempt in job["attempts"]:
        start, end = _moment(attempt.get("start_time")), _moment(attempt.get("end_time"))
        if start is not None and end is not None:
            run += max(end - start, 0)
            widest = max(widest, sum(len(place["gpus"]) for place in attempt["detail"]))
    return submitted, run, widest, job.get("vc"), job.get("user")


def _moment(text: str | None) -> int | None:
    if text is None or text in ("", "None"):
        return None
    return round(datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp() * 1_000)
