"""Gavel's traces (Narayanan et al., OSDI 2020): tab-separated training jobs, so many steps of a model each."""

import ast
import json
import re
from collections.abc import Callable

import numpy as np
import polars as pl

from weir.model.problem import refused
from weir.twin.traces.assembly import Columns
from weir.twin.traces.gang import gang
from weir.twin.traces.source import Source, contents, members
from weir.twin.traces.table import Rows, combined

NOMINAL = "v100"
"""The accelerator at whose speed run times are reckoned."""

_FORMS = {
    7: ("job_type", "command", "steps_argument", "needs_data", "steps", "arrival", "scale_factor"),
    9: (
        "job_type",
        "command",
        "steps_argument",
        "needs_data",
        "steps",
        "scale_factor",
        "weight",
        "slo",
        "arrival",
    ),
    10: (
        *("job_type", "command", "folder", "steps_argument", "needs_data"),
        *("steps", "scale_factor", "weight", "slo", "arrival"),
    ),
}
"""The cells of a line, by their number; Gavel wrote three forms over time."""

Throughputs = dict[tuple[str, int], float]
"""Steps a second of a kind of job on so many accelerators."""


def read(source: Source, *, skip_bad: bool, on_bad: Callable[[int, str], None]) -> Columns:
    """Jobs of `scale_factor` accelerators; the group is the kind of job; no user, no limit.

    Run time is steps over the throughput of such a job by itself on v100, from Gavel's `simulation_throughputs.json`
    in the trace's folder or one of the three above. On more accelerators than the table has for it, a job is as fast as
    on the most that it has; a kind of job that is not in it at all is a bad line.
    """
    beside = _beside(source)
    by_model = throughputs(beside)
    if NOMINAL not in by_model:
        raise refused(str(beside), ", ".join(by_model), f"throughputs of {NOMINAL}")
    speeds = by_model[NOMINAL]
    rows = _rows(source)
    size = rows.whole("scale_factor")
    steps = rows.number("steps")
    group, groups = rows.names("job_type")
    places, first = combined(group, size)
    speed = np.array([_speed(speeds, groups[group[row]], int(size[row])) for row in first])[places]
    rows.reject(speed <= 0.0, lambda row: f"the throughputs have no {groups[group[row]]!r} on {NOMINAL}")
    shape, first_of_shape = combined(size)
    columns = Columns(
        job=np.arange(1, len(rows) + 1),
        submit_ms=rows.milliseconds("arrival"),
        run_ms=np.rint(np.minimum(1_000 * steps / np.where(speed > 0.0, speed, 1.0), 1e15)).astype(np.int64),
        limit_ms=np.zeros(len(rows), np.int64),
        size=size,
        job_class=shape,
        classes=[gang(int(each)) for each in size[first_of_shape]],
        user=np.zeros(len(rows), np.int64),
        users=["unknown"],
        group=group,
        groups=groups,
    )
    return rows.settled(columns, skip_bad=skip_bad, on_bad=on_bad)


def throughputs(source: Source) -> dict[str, Throughputs]:
    """By accelerator, how fast each kind of job runs by itself, from Gavel's table."""
    try:
        table = json.loads(contents(source))
        return {
            accelerator: {_kind(name): float(speeds["null"]) for name, speeds in jobs.items()}
            for accelerator, jobs in table.items()
        }
    except (ValueError, SyntaxError, KeyError, TypeError, AttributeError) as error:
        raise refused("throughputs", source, f"Gavel's table of throughputs: {error}") from error


def _speed(speeds: Throughputs, job_type: str, size: int) -> float:
    """Steps a second on `size` accelerators, or on the most below that the table has; 0 where it has none."""
    listed = [most for name, most in speeds if name == job_type and most <= size]
    return speeds[job_type, max(listed)] if listed else 0.0


def _kind(name: str) -> tuple[str, int]:
    job_type, scale_factor = ast.literal_eval(name)
    return str(job_type), int(scale_factor)


def _beside(source: Source) -> Source:
    """The table of throughputs that goes with a trace."""
    found = [Source(source.path, name) for name in (members(source) if source.member else ())]
    for folder in list(source.path.absolute().parents)[:4]:
        found += [Source(path) for path in sorted(folder.iterdir())]
    for each in found:
        if re.search(r"simulation_throughputs\.json(\.\w+)?$", each.member or each.path.name):
            return each
    raise refused(
        "trace", source, "a trace with Gavel's simulation_throughputs.json in its folder or one above"
    )


def _rows(source: Source) -> Rows:
    names = _FORMS[10]
    cells: list[list[str]] = []
    lines: list[int] = []
    misshapen: dict[int, str] = {}
    for number, line in enumerate(contents(source).decode(errors="replace").split("\n"), 1):
        found = line.rstrip("\r").split("\t")
        if len(found) in _FORMS:
            by_name = dict(zip(_FORMS[len(found)], found, strict=True))
            cells.append([by_name.get(name, "") for name in names])
            lines.append(number)
        elif line.strip():
            misshapen[number] = f"{len(found)} cells between tabs, where a job has 7, 9 or 10"
    frame = pl.DataFrame(cells, schema=dict.fromkeys(names, pl.String), orient="row")
    return Rows(source, frame, np.array(lines, np.int64), misshapen=misshapen)
