"""The work that speed and quality are measured on: recorded logs, and generated loads."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from weir.twin.generators.estimates import ATTENTIVE
from weir.twin.generators.lublin import lublin
from weir.twin.generators.people import Habits
from weir.twin.traces import read_trace
from weir.twin.workload import Workload, processors

PHILLY, PHILLY_GPUS = Path("gpu", "philly-sia.csv.gz"), 512
"""So few that its jobs wait; on the machine of the log nobody does."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine and its jobs, each of which takes as many processors as the trace counts."""

    name: str
    work: Workload
    processors: int


def traces() -> Path | None:
    """The folder that WEIR_TRACES names, if it does."""
    folder = os.environ.get("WEIR_TRACES")
    return Path(folder) if folder else None


def read_log(path: Path, size: int | None = None, *, name: str = "", limit: int | None = None) -> Machine:
    """A log on a machine of that size; without one, of the size that it states, or that a `.machines` beside it does.

    Raises ValueError where neither does.
    """
    beside = path.with_suffix("").with_suffix(".swf.machines")
    if size is None and beside.is_file():
        size = _machines(beside)
    work = read_trace(path, processors=size, limit=limit)
    if not (size or work.machine_size):
        raise ValueError(f"{path.name} does not say how large the machine is")
    return Machine(name or work.name, counted(work), size or work.machine_size)


def counted(work: Workload) -> Workload:
    """The same jobs, each of so many tasks of one processor, whatever else the trace says; the first comes at 0."""
    sizes, job_class = np.unique(work.size, return_inverse=True)
    return replace(
        work,
        submit_ms=work.submit_ms - work.submit_ms[:1],
        job_class=job_class.astype(np.int64),
        classes=tuple(processors(count) for count in sizes.tolist()),
    )


def generated(seed: int, jobs: int, size: int, load: float) -> Machine:
    """Lublin and Feitelson's jobs, with users who work in sessions and give limits."""
    work = lublin(seed, jobs, size, load=load, habits=Habits(), estimates=ATTENTIVE)
    return Machine(f"generated, {size:,} at {load:.2f}", work, size)


def _machines(path: Path) -> int:
    """Processors of a list of machines as Alea has it: number, name, nodes, processors of each, …"""
    rows = [line.split() for line in path.read_text(encoding="ascii").splitlines() if line.strip()]
    return sum(int(row[2]) * int(row[3]) for row in rows)


__all__ = ["PHILLY", "PHILLY_GPUS", "Machine", "counted", "generated", "read_log", "traces"]
