"""Reading a trace file, whatever its format, into a workload."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from weir.model.problem import refused
from weir.twin.traces.assembly import assembled
from weir.twin.traces.formats import FORMATS
from weir.twin.traces.source import Source, head, located, members
from weir.twin.workload import Workload

# Imported on use: a log in SWF needs no Polars, and a table no Numba.
_READERS = {
    "parquet": ("generic", "read_parquet"),
    "csv": ("generic", "read_csv"),
    "swf": ("swf", "read"),
    "philly": ("philly", "read_table"),
    "philly-log": ("philly", "read_log"),
    "helios": ("slurm", "read_helios"),
    "acme": ("slurm", "read_acme"),
    "pai": ("pai", "read"),
    "pai-simulator": ("pai", "read_simulated"),
    "gaia": ("gaia", "read"),
    "gaia-hours": ("gaia", "read_hours"),
    "openb": ("openb", "read"),
    "sia": ("sia", "read"),
    "gavel": ("gavel", "read"),
}


def read_trace(
    path: str | Path,
    *,
    format: str | None = None,  # noqa: A002  # as the command's option is called
    processors: int | None = None,
    skip_bad: bool = False,
    limit: int | None = None,
    on_bad: Callable[[int, str], None] = lambda line, reason: None,
) -> Workload:
    """The workload of a trace file, cleaned (see `assembly.assembled`); a member of an archive is ARCHIVE/MEMBER.

    `format`: a name of FORMATS, found out where it is None. `processors`: the machine's size, so that larger jobs are
    dropped; without it, the size that the trace states, if it does. `limit` keeps the first so many usable jobs. The
    first bad line is refused by number and reason; with `skip_bad`, bad lines are left out and each is told to
    `on_bad`. Raises ProblemError, also where the file is missing, cut short, or of no known format.
    """
    for name, value in (("processors", processors), ("limit", limit)):
        if value is not None and value < 1:
            raise refused(name, value, "a whole number from 1")
    source = _chosen(located(path))
    name = told_format(source) if format is None else format
    if name not in _READERS:
        raise refused("format", name, f"one of {', '.join(_READERS)}")
    module, function = _READERS[name]
    reader: Any = getattr(import_module(f"weir.twin.traces.{module}"), function)
    columns = reader(source, skip_bad=skip_bad, on_bad=on_bad)
    return assembled(source.name, columns, processors=processors, limit=limit)


def told_format(source: Source) -> str:
    """The name of the format of a file, by its content and, where that leaves it open, its name."""
    start = head(source)
    for each in FORMATS:
        if each.recognises(source.file_name.lower(), start):
            return each.name
    raise refused("trace", source, f"a file of a known format ({', '.join(_READERS)}); --format names it")


def _chosen(source: Source) -> Source:
    """The one trace in a folder or archive that stands for a set of files, as PAI's and openb's do."""
    names = members(source) if not source.member else ()
    for each in names:
        if any(part in each.lower() for part in ("pai_task_table.csv", "openb_pod_list_default.csv")):
            return Source(source.path / each) if source.path.is_dir() else Source(source.path, each)
    return source
