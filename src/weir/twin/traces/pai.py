"""Alibaba's PAI, July and August 2020 (Weng et al., NSDI 2022): jobs of tasks of instances, many on part of a GPU."""

from collections.abc import Callable
from pathlib import PurePath

import numpy as np
import polars as pl
from numpy.typing import NDArray

from weir.scheduling.inputs import JobClass
from weir.twin.traces.assembly import Columns
from weir.twin.traces.source import Source, located, members
from weir.twin.traces.table import Rows, combined, read_rows
from weir.twin.workload import Int64s

TASKS = (
    *("job_name", "task_name", "inst_num", "status", "start_time", "end_time"),
    *("plan_cpu", "plan_mem", "plan_gpu", "gpu_type"),
)
JOBS = ("job_name", "inst_id", "user", "status", "start_time", "end_time")
SIMULATED = ("submit_time", "duration", "num_gpu", "num_cpu", "num_inst")
"""The columns that are read of the table which PAI's own simulator takes."""

_GIGABYTE = 10**9


def read(source: Source, *, skip_bad: bool, on_bad: Callable[[int, str], None]) -> Columns:
    """The task table, with or without a header, one job for all tasks of a `job_name` that ask for GPUs.

    Its tasks are their instances, each with the mean share of a GPU, rounded up to thousandths, and from one GPU on to
    whole ones; cores and memory of all the job's tasks are shared out over them. Size is the GPUs asked for, rounded
    up. Run time is from the first start to the last end of its tasks; the job was submitted when the job table
    beside it says (or a column `submit_time`), else when its first task started. The user comes from the job table
    or a column `user`. The GPU model that a task got is left aside; no limits.
    """
    rows = read_rows(
        source, header=TASKS, required=("job_name", "inst_num", "start_time", "end_time", "plan_gpu")
    )
    table = pl.DataFrame(
        {
            "row": np.arange(len(rows)),
            "name": rows.text("job_name").fill_null(""),
            "start": rows.milliseconds("start_time", -1.0),
            "end": rows.milliseconds("end_time", -1.0),
            "instances": rows.whole("inst_num", 1),
            "cpu": rows.number("plan_cpu", 0.0),
            "gpu": rows.number("plan_gpu", 0.0),
            "memory": rows.number("plan_mem", 0.0),
            "submit": rows.milliseconds("submit_time", -1.0),
            "user": rows.text("user"),
            "group": rows.text("group"),
        }
    )
    good = rows.good(skip_bad=skip_bad, on_bad=on_bad)
    launched = _job_table(source, skip_bad=skip_bad, on_bad=on_bad)
    wants = pl.col("gpu") > 0
    percent = pl.col("instances") * pl.col("gpu")
    jobs = (
        table.filter(good)
        .group_by("name", maintain_order=True)
        .agg(
            start=pl.col("start").filter(pl.col("start") >= 0).min(),
            end=pl.col("end").max(),
            instances=pl.col("instances").filter(wants).sum(),
            devices_milli=(10 * percent).sum(),
            cores_milli=(10 * pl.col("instances") * pl.col("cpu")).sum(),
            memory=(pl.col("instances") * pl.col("memory") * _GIGABYTE).sum(),
            submit=pl.col("submit").filter(pl.col("submit") >= 0).min(),
            user=pl.col("user").drop_nulls().first(),
            group=pl.col("group").drop_nulls().first(),
        )
        .join(launched, on="name", how="left", maintain_order="left")
        .with_columns(
            submit=pl.coalesce("submit", "launched", "start").fill_null(0),
            user=pl.coalesce("user", "launched_by"),
            run=(pl.col("end") - pl.col("start")).fill_null(0),
        )
    )
    return _columns(
        source,
        job=np.arange(1, jobs.height + 1),
        submit_ms=jobs["submit"].to_numpy(),
        run_ms=jobs["run"].to_numpy(),
        tasks=jobs["instances"].to_numpy(),
        devices_milli=_up(jobs["devices_milli"].to_numpy()),
        cores_milli=_up(jobs["cores_milli"].to_numpy()),
        memory_bytes=_up(jobs["memory"].to_numpy()),
        names=jobs.select("user", "group"),
        bad=rows.bad,
    )


def read_simulated(source: Source, *, skip_bad: bool, on_bad: Callable[[int, str], None]) -> Columns:
    """The table that PAI's own simulator takes: `num_inst` instances with `num_gpu` GPUs and `num_cpu` cores each.

    Unlike the simulator, which makes it one second, a job whose duration is not positive is dropped.
    """
    rows = read_rows(source, required=("submit_time", "duration", "num_gpu"))
    tasks = rows.whole("num_inst", 1)
    devices, cores = rows.number("num_gpu", 0.0), rows.number("num_cpu", 0.0)
    columns = _columns(
        source,
        job=rows.job("job_id"),
        submit_ms=rows.milliseconds("submit_time"),
        run_ms=rows.milliseconds("duration"),
        tasks=tasks,
        devices_milli=_up(1_000 * tasks * devices),
        cores_milli=_up(1_000 * tasks * cores),
        memory_bytes=np.zeros(len(rows), np.int64),
        names=pl.DataFrame([rows.text("user"), rows.text("group")]),
        bad=0,
    )
    return rows.settled(columns, skip_bad=skip_bad, on_bad=on_bad)


def _columns(
    source: Source,
    *,
    job: Int64s,
    submit_ms: Int64s,
    run_ms: Int64s,
    tasks: Int64s,
    devices_milli: Int64s,
    cores_milli: Int64s,
    memory_bytes: Int64s,
    names: pl.DataFrame,
    bad: int,
) -> Columns:
    """Columns from what all tasks of a job need together."""
    each = np.maximum(tasks, 1)
    share = -(-devices_milli // each)
    share = np.where(share > 1_000, 1_000 * -(-share // 1_000), share)
    cores, memory = -(-cores_milli // each), -(-memory_bytes // each)
    places, first = combined(each, share, cores, memory)
    named = Rows(source, names, job)
    user, users = named.names("user")
    group, groups = named.names("group")
    return Columns(
        job=job,
        submit_ms=submit_ms,
        run_ms=run_ms,
        limit_ms=np.zeros(len(job), np.int64),
        size=-(-devices_milli // 1_000),
        job_class=places,
        classes=[
            JobClass(
                tasks=int(each[row]),
                devices_milli=int(share[row]),
                cores_milli=int(cores[row]),
                memory_bytes=int(memory[row]),
            )
            for row in first
        ],
        user=user,
        users=users,
        group=group,
        groups=groups,
        bad=bad,
    )


def _up(amounts: NDArray[np.float64]) -> Int64s:
    """Rounded up; what no machine has counts as 10^15."""
    return np.ceil(np.minimum(amounts, 1e15)).astype(np.int64)


def _job_table(source: Source, *, skip_bad: bool, on_bad: Callable[[int, str], None]) -> pl.DataFrame:
    """When each job was launched and by whom, from the job table beside the task table, if it is there."""
    beside = _beside(source)
    if beside is None:
        return pl.DataFrame(schema={"name": pl.String, "launched": pl.Int64, "launched_by": pl.String})
    rows = read_rows(beside, header=JOBS, required=("job_name", "user", "start_time"))
    table = pl.DataFrame(
        {
            "name": rows.text("job_name").fill_null(""),
            "launched": rows.milliseconds("start_time", -1.0),
            "launched_by": rows.text("user"),
        }
    )
    good = rows.good(skip_bad=skip_bad, on_bad=on_bad)
    known = table.filter(good).with_columns(pl.when(pl.col("launched") >= 0).then(pl.col("launched")))
    return known.unique("name", keep="first", maintain_order=True)


def _beside(source: Source) -> Source | None:
    """The job table in the same folder or archive, or in an archive of its own beside the task table's."""
    if source.member:
        within = source.beside(PurePath(source.member).name.replace("task_table", "job_table"))
        if within != source and within.member in members(Source(source.path)):
            return within
    path = source.path.with_name(source.path.name.replace("task_table", "job_table"))
    return located(path) if path != source.path and path.is_file() else None
