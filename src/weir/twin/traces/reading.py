"""Reading a trace file, whatever its format, into a workload."""

from collections.abc import Callable
from pathlib import Path

from weir.twin.traces import swf
from weir.twin.traces.assembly import assembled
from weir.twin.traces.source import located
from weir.twin.workload import Workload


def read_trace(
    path: str | Path,
    *,
    format: str | None = None,  # noqa: A002  # the option's name
    processors: int | None = None,
    skip_bad: bool = False,
    limit: int | None = None,
    on_bad: Callable[[int, str], None] = lambda line, reason: None,
) -> Workload:
    source = located(path)
    columns = swf.read(source, skip_bad=skip_bad, on_bad=on_bad)
    return assembled(source.name, columns, processors=processors, limit=limit)
