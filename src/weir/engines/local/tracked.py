"""What the driver keeps in memory of one attempt, and what the records of its tasks mean together."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from weir.engines.driver import AttemptOrder, EngineEnd, EngineState
from weir.engines.local.allocation import Allocation
from weir.engines.local.cgroup import NO_GROUPS, Groups
from weir.model.state import Cause, Observed

__all__ = ["TaskRecord", "Tracked", "end_of", "state_of"]

TaskRecord = dict[str, Any]


@dataclass(slots=True)
class Tracked:
    """One attempt that the engine has."""

    order: AttemptOrder
    state: EngineState
    allocation: Allocation | None = None
    groups: Groups = NO_GROUPS
    """Where the groups of its tasks are; an earlier driver may have had others."""
    launched: bool = False
    """Supervisors were asked for; else it waits for room."""
    stopping: str = ""
    """The name of the stop file that was laid for it; empty while it should run."""
    records: list[TaskRecord | None] = field(default_factory=list)
    orphaned: bool = False
    """Its supervisors are no children of the present zygote, so nobody tells when one of them is killed."""
    suspect: bool = False
    """A supervisor of it ended badly: look at once, and clear up after it."""
    failures: dict[int, str] = field(default_factory=dict)
    """Of tasks whose supervisor ended badly, what is known of why."""
    silent: dict[int, float] = field(default_factory=dict)
    """Since when a task is known to be claimed without a record."""
    looked_s: float = 0.0
    """When its records were last read, by the monotonic clock."""

    @property
    def doubtful(self) -> bool:
        """Whether there is a reason to ask if its supervisors still live."""
        return self.orphaned or self.suspect

    @property
    def ended(self) -> bool:
        return self.state.observed is Observed.ENDED


def state_of(attempt: str, records: Sequence[TaskRecord | None], waiting: str = "") -> EngineState:
    """What the records say of an attempt that was launched."""
    started = [record["started_ms"] for record in records if record and record.get("started_ms") is not None]
    started_ms = min(started, default=None)
    if all(record is not None and record["state"] == "ended" for record in records):
        end = end_of([record for record in records if record is not None])
        return EngineState(attempt, Observed.ENDED, started_ms, end)
    if started_ms is None:
        return EngineState(attempt, Observed.QUEUED, message=waiting)
    return EngineState(attempt, Observed.RUNNING, started_ms)


def end_of(records: Sequence[TaskRecord]) -> EngineEnd:
    """The end of an attempt from the ends of its tasks: the first failure, or success.

    A task that was stopped because another one of its gang failed is no failure of its own.
    """
    started_ms = min((r["started_ms"] for r in records if r.get("started_ms") is not None), default=None)
    ended_ms = max(record["ended_ms"] for record in records)
    failed = [record for record in records if record["cause"] is not None]
    if not failed:
        return EngineEnd(None, 0, None, "", started_ms, ended_ms)
    first = min(failed, key=lambda record: (record["cause"] == "gang", record["ended_ms"], record["task"]))
    message = first["message"] if len(records) == 1 else f"task {first['task']}: {first['message']}"
    # Without the task that made the others stop nothing is known of why: it was lost.
    cause = Cause.LOST if first["cause"] == "gang" else Cause(first["cause"])
    return EngineEnd(cause, first["code"], first["signal"], message, started_ms, ended_ms)
