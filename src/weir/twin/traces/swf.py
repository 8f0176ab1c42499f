"""The Standard Workload Format of the Parallel Workloads Archive.

Chapin et al., "Benchmarks and Standards for the Evaluation of Parallel Job Schedulers", JSSPP 1999: one line a job, 18
numbers between white space, -1 for what is not known, comments behind `;`, of which those at the head describe the
machine.
"""

import re
from collections.abc import Callable, Iterator
from types import ModuleType

import numpy as np

from weir.model.problem import refused
from weir.scheduling.compilation import kernel_of
from weir.twin.traces.assembly import Columns, distinct
from weir.twin.traces.source import Source, chunks
from weir.twin.workload import Int64s, processors

FIELDS = (
    "job number",
    "submit time",
    "wait time",
    "run time",
    "allocated processors",
    "average CPU time",
    "used memory",
    "requested processors",
    "requested time",
    "requested memory",
    "status",
    "user",
    "group",
    "executable",
    "queue",
    "partition",
    "preceding job",
    "think time",
)
UNKNOWN = "unknown"
"""The name of the user or group that a trace does not tell."""
_HEADER = re.compile(rb";\s*(MaxProcs|MaxNodes|UnixStartTime)\s*:\s*(\d+(?:,\d{3})*)", re.IGNORECASE)


def read(source: Source, *, skip_bad: bool, on_bad: Callable[[int, str], None]) -> Columns:
    """The log's jobs, uncleaned. Size is requested processors if positive, else those allocated.

    `machine_size` is MaxProcs; where that is missing, MaxNodes if the largest job takes exactly so many (then the log
    counts what the header counts), else 0. `on_bad` is told the number and the reason of each skipped line.
    """
    kernel = kernel_of("twin", "swf")
    header: dict[bytes, int] = {}
    in_header = True
    tables: list[Int64s] = [np.empty((kernel.COLUMNS, 0), np.int64)]
    line, bad_lines = 1, 0
    for text in _whole_lines(chunks(source)):
        if in_header:
            in_header = _read_header(text, header)
        values = np.empty((kernel.COLUMNS, len(text) // kernel.SHORTEST_JOB + 1), np.int64)
        bad = np.empty((len(text) // kernel.SHORTEST_LINE + 1 if skip_bad else 1, 3), np.int64)
        first = line
        jobs, wrong, line = kernel.lines(np.frombuffer(text, np.uint8), first, values, bad, not skip_bad)
        for number, code, field in bad[:wrong].tolist():
            reason = _reason(kernel, code, field)
            if not skip_bad:
                shown = text.split(b"\n")[number - first].strip()[:100].decode(errors="replace")
                raise refused(f"{source} line {number}", shown, f"{reason}; --skip-bad leaves such lines out")
            on_bad(number, reason)
        bad_lines += wrong
        tables.append(values[:, :jobs])
    job, submit_ms, run_ms, allocated, requested, limit_ms, user, group = np.concatenate(tables, axis=1)
    size = np.where(requested > 0, requested, allocated)
    sizes, job_class = distinct(size)
    user, users = _named(user)
    group, groups = _named(group)
    nodes = header.get(b"maxnodes", 0)
    counts_nodes = nodes > 0 and nodes == size[run_ms > 0].max(initial=0)
    return Columns(
        job=job,
        submit_ms=submit_ms,
        run_ms=run_ms,
        limit_ms=limit_ms,
        size=size,
        job_class=job_class,
        classes=[processors(each) for each in sizes.tolist()],
        user=user,
        users=users,
        group=group,
        groups=groups,
        machine_size=header.get(b"maxprocs", 0) or (nodes if counts_nodes else 0),
        origin_s=header.get(b"unixstarttime", 0),
        bad=bad_lines,
    )


def _whole_lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces that end where a line does."""
    rest: list[bytes] = []
    for piece in pieces:
        end = piece.rfind(b"\n") + 1
        if end:
            yield b"".join((*rest, piece[:end]))
            rest = []
        if end < len(piece):
            rest.append(piece[end:])
    if rest:
        yield b"".join(rest)


def _read_header(text: bytes, header: dict[bytes, int]) -> bool:
    """Add what comments at the head say, the first to say it being believed; False once a job's line is met."""
    for line in text.splitlines():
        stripped = line.strip()
        if stripped and not stripped.startswith(b";"):
            return False
        found = _HEADER.match(stripped)
        if found:
            header.setdefault(found[1].lower(), int(found[2].replace(b",", b"")[:18]))
    return True


def _named(numbers: Int64s) -> tuple[Int64s, list[str]]:
    """Names for a log's numbers of users or groups."""
    found, places = distinct(np.maximum(numbers, -1))
    return places, [str(each) if each >= 0 else UNKNOWN for each in found.tolist()]


def _reason(kernel: ModuleType, code: int, field: int) -> str:
    if code == kernel.TOO_FEW:
        return f"a line has {kernel.FIELDS} fields, and this one {field}"
    what = f"field {field} ({FIELDS[field - 1]})"
    if code == kernel.TOO_LARGE:
        return f"{what} is larger than {kernel.LARGEST}"
    return f"{what} is not a whole number" if code == kernel.NOT_WHOLE else f"{what} is not a number"
