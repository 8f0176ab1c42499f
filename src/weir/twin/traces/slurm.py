"""Job tables taken from Slurm at GPU clusters: Helios (Hu et al., SC 2021) and Acme (Hu et al., NSDI 2024)."""

from collections.abc import Callable

import numpy as np

from weir.twin.traces.assembly import Columns
from weir.twin.traces.gang import gang
from weir.twin.traces.source import Source
from weir.twin.traces.table import Rows, combined, read_rows, since_first
from weir.twin.workload import Int64s

HELIOS = ("job_id", "user", "vc", "gpu_num", "submit_time", "duration")
ACME = ("job_id", "user", "gpu_num", "type", "submit_time", "duration")
"""What of their headers tells the two apart from other tables."""

_GIGABYTE = 10**9
_MANY = 10**9
"""Nodes, cores and gigabytes beyond this are no fact about any machine."""


def read_helios(source: Source, *, skip_bad: bool, on_bad: Callable[[int, str], None]) -> Columns:
    """A cluster's log: size is gpu_num, the group is the virtual cluster; no limits; local times are taken for UTC."""
    return _read(source, HELIOS, "vc", skip_bad=skip_bad, on_bad=on_bad)


def read_acme(source: Source, *, skip_bad: bool, on_bad: Callable[[int, str], None]) -> Columns:
    """Seren's or Kalos' log: size is gpu_num, the group is the kind of work; no limits.

    Kalos' duration counts the wait as well, so the run time is end minus start wherever both are known.
    """
    return _read(source, ACME, "type", skip_bad=skip_bad, on_bad=on_bad)


def _read(
    source: Source,
    required: tuple[str, ...],
    group_by: str,
    *,
    skip_bad: bool,
    on_bad: Callable[[int, str], None],
) -> Columns:
    rows = read_rows(source, required=required)
    submit_ms, origin_s = since_first(rows.moment("submit_time"))
    size = rows.whole("gpu_num", 0)
    nodes, cores = rows.whole("node_num", 0, _MANY), rows.whole("cpu_num", 0, _MANY)
    memory = np.rint(rows.number("mem_per_pod_GB", 0.0, _MANY) * _GIGABYTE).astype(np.int64)
    places, first = combined(size, nodes, cores, memory)
    user, users = rows.names("user")
    group, groups = rows.names(group_by)
    columns = Columns(
        job=rows.job("job_id"),
        submit_ms=submit_ms,
        run_ms=_run(rows),
        limit_ms=np.zeros(len(rows), np.int64),
        size=size,
        job_class=places,
        classes=[
            gang(
                int(size[row]),
                int(nodes[row]),
                cores_milli=1_000 * int(cores[row]),
                memory_bytes=int(memory[row]) * max(int(nodes[row]), 1),
            )
            for row in first
        ],
        user=user,
        users=users,
        group=group,
        groups=groups,
        origin_s=origin_s,
    )
    return rows.settled(columns, skip_bad=skip_bad, on_bad=on_bad)


def _run(rows: Rows) -> Int64s:
    """End minus start where both are known, else the stated duration, else 0."""
    start, end = rows.moment("start_time", required=False), rows.moment("end_time", required=False)
    return np.where((start >= 0) & (end >= 0), end - start, rows.milliseconds("duration", 0.0))
