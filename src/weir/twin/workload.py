"""A workload: the jobs of a trace as columns, whatever format they were read from or however they were generated."""

from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from weir.scheduling.inputs import JobClass

Int64s = NDArray[np.int64]
NO_DEADLINE = 2**62


@dataclass(frozen=True, slots=True)
class Workload:
    """Jobs in order of submission (and of the trace where they were submitted at once), one row each.

    All columns are int64 and of equal length. Times are milliseconds; `submit_ms` counts from `origin_s`. What a
    trace does not say is said as the loader documents it, never left out: without an estimate the limit is the run
    time, and `has_estimates` is False.
    """

    name: str
    job: Int64s
    """The trace's own number of each job, or its line or row number from 1 where the trace names jobs otherwise."""
    submit_ms: Int64s
    run_ms: Int64s
    """How long it ran at nominal speed, after the kill rule: never longer than the limit."""
    limit_ms: Int64s
    """The user's estimate, at which the job is killed."""
    size: Int64s
    """Processors or whole accelerators that it occupies, as the trace counts them (rounded up for shares)."""
    job_class: Int64s
    """Index into `classes`."""
    user: Int64s
    """Index into `users`."""
    group: Int64s
    """Index into `groups`: the trace's group, project or virtual cluster."""
    priority: Int64s
    """Larger first; 0 where the trace has none."""
    classes: tuple[JobClass, ...]
    """What the jobs need; every class is used by some job."""
    users: tuple[str, ...]
    groups: tuple[str, ...]
    machine_size: int = 0
    """Processors or accelerators of the recorded machine as the trace states it; 0 where it does not."""
    origin_s: int = 0
    """Unix time of submit_ms 0; 0 where the trace does not say."""
    has_estimates: bool = True
    deadline_ms: Int64s | None = None
    """When each is to have ended; NO_DEADLINE where it has none. None where no job has one."""
    dropped: tuple[tuple[str, int], ...] = ()
    """What cleaning left out or cut, as (rule, number of jobs)."""

    def __len__(self) -> int:
        return len(self.job)

    def rows(self, which: NDArray[np.int64] | NDArray[np.bool_] | slice) -> Self:
        """These jobs alone, in the order of `which`."""
        names = [each.name for each in fields(self) if isinstance(getattr(self, each.name), np.ndarray)]
        chosen: dict[str, Any] = {name: np.ascontiguousarray(getattr(self, name)[which]) for name in names}
        return replace(self, **chosen)


def processors(count: int) -> JobClass:
    """What a job of a log that counts processors needs: so many tasks of one core each, and nothing else."""
    return JobClass(tasks=count, devices_milli=0, cores_milli=1_000, memory_bytes=0)


__all__ = ["NO_DEADLINE", "Int64s", "Workload", "processors"]
