"""The workloads of GAIA (Hanafy et al., ASPLOS 2024): arrival, length and CPUs, derived from Alibaba PAI and others."""

from collections.abc import Callable

import numpy as np

from weir.twin.traces.assembly import Columns
from weir.twin.traces.source import Source
from weir.twin.traces.table import combined, read_rows
from weir.twin.workload import processors

HEADER = ("arrival_time", "length", "cpus")


def read(
    source: Source, *, skip_bad: bool, on_bad: Callable[[int, str], None], second: float = 1.0
) -> Columns:
    """No user, no group, no limit. `second`: how many seconds the file's unit of time has."""
    rows = read_rows(source, required=HEADER)
    size = rows.whole("cpus")
    places, first = combined(size)
    nobody = np.zeros(len(rows), np.int64)
    columns = Columns(
        job=np.arange(1, len(rows) + 1),
        submit_ms=rows.milliseconds("arrival_time", second=second),
        run_ms=rows.milliseconds("length", second=second),
        limit_ms=nobody,
        size=size,
        job_class=places,
        classes=[processors(int(each)) for each in size[first]],
        user=nobody,
        users=["unknown"],
        group=nobody,
        groups=["unknown"],
    )
    return rows.settled(columns, skip_bad=skip_bad, on_bad=on_bad)


def read_hours(source: Source, *, skip_bad: bool, on_bad: Callable[[int, str], None]) -> Columns:
    """The files whose times are hours, as those of 100,000 jobs; nothing in them says so."""
    return read(source, skip_bad=skip_bad, on_bad=on_bad, second=3_600.0)
