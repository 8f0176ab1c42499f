"""Weir's own table of jobs, as CSV or Parquet: what `weir history export` writes and anyone may write.

One row a job; the columns are COLUMNS, of which only those marked required must be there. docs/reference/traces.md
describes them for people; a test holds the two together.
"""

from dataclasses import dataclass
from typing import Any

import polars as pl

from weir.scheduling.inputs import JobClass
from weir.twin.workload import Workload

VERSION = "1"
"""The schema's version, kept in the file's metadata as `weir_jobs`."""

METADATA = ("weir_jobs", "machine_size", "origin_s")
"""What a file says about itself: in Parquet as key-value metadata, in CSV as lines `# key: value` before the header."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name, its type, what an empty cell stands for (None: it must be filled), and what it says."""

    name: str
    dtype: type[pl.DataType]
    default: int | str | None
    meaning: str


COLUMNS = (
    Column("job", pl.Int64, 0, "number of the job; its row from 1 where it is missing"),
    Column("submit_ms", pl.Int64, None, "when it was submitted, in milliseconds since `origin_s`"),
    Column("run_ms", pl.Int64, None, "how long it ran"),
    Column("limit_ms", pl.Int64, 0, "its time limit; 0 for none"),
    Column("size", pl.Int64, -1, "processors or accelerators that it occupies; -1: as its tasks need"),
    Column("user", pl.String, "unknown", "who submitted it"),
    Column("group", pl.String, "unknown", "project, group or virtual cluster that it counts for"),
    Column("priority", pl.Int64, 0, "larger goes first"),
    Column("tasks", pl.Int64, 0, "tasks that start together; 0: one core each for `size` tasks"),
    Column("devices_milli", pl.Int64, 0, "thousandths of an accelerator that each task needs"),
    Column("cores_milli", pl.Int64, 0, "thousandths of a core that each task needs"),
    Column("memory_bytes", pl.Int64, 0, "memory that each task needs"),
    Column("models", pl.String, "", "device models on which it may run, with | between them; empty: any"),
    Column("device_memory_bytes", pl.Int64, 0, "memory that each accelerator must have"),
    Column("precision", pl.String, "", "number format that the accelerator must have"),
    Column("stack", pl.String, "", "software stack that it needs"),
    Column("domestic", pl.Int64, 0, "1 where only domestic accelerators will do"),
    Column(
        "variant_speeds",
        pl.String,
        "",
        "software stacks with thousandths of nominal speed: cuda=1000|cann=800",
    ),
    Column("centres", pl.String, "", "centres where it may run; empty: any"),
    Column("cities", pl.String, "", "cities where it may run; empty: any"),
    Column("kinds", pl.String, "", "kinds of centre where it may run; empty: any"),
    Column("data", pl.String, "", "centres where its data lie, with bytes: north=1000000|south=5"),
    Column("weight_time", pl.Int64, 1_000, "what time is worth to it, in thousandths"),
    Column("weight_money", pl.Int64, 1_000, "what money is worth to it"),
    Column("weight_carbon", pl.Int64, 0, "what carbon is worth to it"),
    Column("capabilities", pl.String, "", "what the engine must claim to be able to do"),
    Column("preemptible", pl.Int64, 0, "1 where it may have to give way to a job of a higher priority class"),
    Column("checkpoint_every_ms", pl.Int64, 0, "after so much work it saves it; 0: it never does"),
    Column("checkpoint_save_ms", pl.Int64, 0, "how long saving takes, beyond its time limit"),
    Column("checkpoint_restore_ms", pl.Int64, 0, "how long beginning again takes, beyond its time limit"),
)
OPTIONAL = (
    Column("deadline_ms", pl.Int64, 0, "when it is to have ended, since `origin_s`; 0: no matter when"),
)
"""What a table may say besides; a history does not."""
HAPPENED = (
    Column("start_ms", pl.Int64, -1, "when it started, since `origin_s`; -1: never"),
    Column("end_ms", pl.Int64, -1, "when it ended"),
    Column("pool", pl.String, "", "where it ran"),
    Column("state", pl.String, "", "how it ended"),
)
"""What a history adds; a reader of workloads leaves it aside."""

SECONDS = {"submit_ms": ("submit_s", "submit"), "run_ms": ("run_s", "run"), "limit_ms": ("limit_s", "limit")}
"""Other names of the time columns, for tables that count seconds; `submit` may hold dates with times of day."""

SHAPE = tuple(each.name for each in COLUMNS[8:])
"""The columns that make a JobClass, by its own names."""

LIVE_ALONE = frozenset(
    {"home", "away_ms", "net_milli", "net_there", "price_version", "options", "restartable"}
)
"""What else a JobClass has: of its owner's city, prices and vouchers and of a site's options, which no trace tells."""


def frame(workload: Workload) -> pl.DataFrame:
    """The workload's jobs under COLUMNS, in its order; without limits where it has no estimates."""
    classes = [shape(each) for each in workload.classes]
    place = workload.job_class
    shapes = pl.DataFrame(classes, schema={each.name: each.dtype for each in COLUMNS[8:]}, orient="row")
    jobs = pl.DataFrame(
        {
            "job": workload.job,
            "submit_ms": workload.submit_ms,
            "run_ms": workload.run_ms,
            "limit_ms": workload.limit_ms * workload.has_estimates,
            "size": workload.size,
            "user": pl.Series(workload.users, dtype=pl.String).gather(workload.user),
            "group": pl.Series(workload.groups, dtype=pl.String).gather(workload.group),
            "priority": workload.priority,
        }
    )
    return jobs.hstack(shapes[place])


def metadata(workload: Workload) -> dict[str, str]:
    """What a file with these jobs says about itself."""
    values = (VERSION, str(workload.machine_size), str(workload.origin_s))
    return dict(zip(METADATA, values, strict=True))


def shape(job_class: JobClass) -> dict[str, int | str]:
    """A class of jobs under the names of SHAPE."""

    def cell(value: object) -> int | str:
        if isinstance(value, tuple):
            return "|".join(f"{each[0]}={each[1]}" if isinstance(each, tuple) else each for each in value)
        return int(value) if isinstance(value, int) else str(value)

    return {name: cell(getattr(job_class, name)) for name in SHAPE}


def job_class(cells: dict[str, int | str]) -> JobClass:
    """The class that such cells describe. Raises ValueError where a list with values is not NAME=NUMBER|…."""

    def value(name: str) -> object:
        cell = cells[name]
        if name in ("variant_speeds", "data"):
            return tuple(_pair(each) for each in str(cell).split("|") if each)
        if name in ("models", "centres", "cities", "kinds", "capabilities"):
            return tuple(each for each in str(cell).split("|") if each)
        return bool(cell) if name in ("domestic", "preemptible") else cell

    values: dict[str, Any] = {name: value(name) for name in SHAPE}
    return JobClass(**values)


def _pair(text: str) -> tuple[str, int]:
    name, separator, number = text.rpartition("=")
    if not separator:
        raise ValueError(f"{text!r} is not NAME=NUMBER")
    return name, int(number)
