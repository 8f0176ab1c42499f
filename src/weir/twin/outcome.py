"""What became of a workload: when and where each job started and ended."""

from dataclasses import dataclass

import numpy as np

from weir.scheduling.inputs import PoolRow
from weir.twin.workload import Int64s, Workload

NEVER = -1


@dataclass(frozen=True, slots=True)
class GivenUp:
    """An attempt that gave way to a job of a higher priority class."""

    row: int
    """Of the workload."""
    pool: int
    """Index into the pools."""
    start_ms: int
    end_ms: int
    kept_ms: int
    """How much of its time is not lost: up to the last time that it saved its work."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one simulated run; columns are parallel to the workload's jobs.

    A job that never started (it fits nowhere, or its province ended first) has start, end and pool -1, and counts in
    no mean; `unstarted` says how many there are. Wait is start minus submit, run is end minus start.
    """

    workload: Workload
    pools: tuple[PoolRow, ...]
    policy: str
    estimates: str
    """user, exact or predicted."""
    tenants: str
    """none or user."""
    passes: str
    """second or event."""
    start_ms: Int64s
    end_ms: Int64s
    pool: Int64s
    """Index into `pools`."""
    simulated_s: float
    """Wall time of the simulation alone, compiled code warm."""
    given_up: tuple["GivenUp", ...] = ()
    """Attempts that gave way to others; the times above are those of the last one."""
    read_s: float = 0.0
    """Wall time of reading the trace."""

    @property
    def unstarted(self) -> int:
        return int(np.count_nonzero(self.start_ms == NEVER))


__all__ = ["NEVER", "GivenUp", "Outcome"]
