"""A cycle run again, with one job marked: what every pool was found to be to it at its turn."""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

from weir.scheduling import layout
from weir.scheduling.classes import ClassTable
from weir.scheduling.compilation import kernel
from weir.scheduling.inputs import QueuedJobs
from weir.scheduling.plan import PoolReason
from weir.scheduling.queue import WaitingLine
from weir.scheduling.state import State
from weir.scheduling.step import digest_of, reasons_of, run_pass, starts_of
from weir.scheduling.tables import JUDGED, NOTHING, Cycle, Int64s, Table
from weir.scheduling.tenants import TenantTable


class OtherPlanError(AssertionError):
    """A cycle, run again, gave another plan than it did. It cannot come from any input, only from a fault."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a marked job's turn found: a row a pool."""

    now_ms: int
    """When the cycle was made."""
    job_class: int
    """The row of its class."""
    row: Table
    """Rows of JUDGED."""
    not_before_ms: Int64s
    """By pool: before then not enough ends there, by the time limits of what runs after the cycle; NOTHING where it
    never will, or where nothing need end."""
    promised: str
    """The key of the pool that is promised to it after the cycle."""
    promised_ms: int
    """The start that it is promised there, or 0."""
    later_score: int
    """What it scores from that start on, its wait included, or 0."""
    started: tuple[PoolReason, ...]
    """What is said of its start, where the cycle started it."""


def rerun(state: State, job: int) -> Found:
    """Run the last cycle again on a copy of the state, with a job marked that waits after it.

    Takes what a whole cycle takes from which nothing is known. Raises OtherPlanError when the plan's hash is not the
    logged one.
    """
    again = copied(state)
    last = again.last
    if last is None:
        raise ValueError("there was no cycle yet")
    rewind(again)
    return marked_pass(again, job, last.now_ms, last.digest)


def marked_pass(state: State, job: int, now_ms: int, digest: str) -> Found:
    """Make the pass of a cycle with a job marked that waits; the state is as it was before that, and `rewind` can
    make it so again.

    Raises OtherPlanError when the plan's hash is not `digest`.
    """
    slot = state.queue.find(job)
    number = int(state.queue.slots["need"][slot])
    places = len(state.rows)
    state.known.forget_findings()
    state.work = state.work._replace(found=np.zeros(places, JUDGED))
    live = kernel("live")
    state.signal[kernel("promises").MARKED] = slot
    waiting = state.queued
    before = (state.seats.promise.copy(), state.seats.proven.copy(), state.holders())
    started = run_pass(state, now_ms)
    state.last = Cycle(now_ms, digest, *before, state.queue.slots[started], state.queue.deadline[started])
    starts = starts_of(state, started, now_ms)
    reservations = state.reservations()
    if digest_of(starts, reservations, waiting) != digest:
        raise OtherPlanError(f"the cycle at {now_ms}, run again, gave another plan than it did")
    not_before_ms = np.full(places, NOTHING, np.int64)
    live.outlook(state.world, number, now_ms, not_before_ms)
    kept = next((kept for kept in reservations if kept.job == job), None)
    return Found(
        now_ms=now_ms,
        job_class=number,
        row=state.work.found,
        not_before_ms=not_before_ms,
        promised=kept.pool if kept else "",
        promised_ms=kept.start_ms if kept else 0,
        later_score=int(live.later_score(state.queue.slots, state.world, slot, now_ms)) if kept else 0,
        started=next((reasons_of(state, now_ms)[start.reason] for start in starts if start.job == job), ()),
    )


def rewind(state: State) -> None:
    """Make a state that has just made its cycle what it was before, so far as the plan depends on it."""
    last = state.last
    if last is None:
        raise ValueError("there was no cycle yet")
    state.release(last.started["job"].tolist())
    state.enqueue(_as_batches(state, last))
    state.promise_none()
    state.promise_all(state.reservations_of(last.promise, last.proven, last.holder))


def _as_batches(state: State, last: Cycle) -> tuple[QueuedJobs, ...]:
    found = []
    for row in range(len(last.started)):
        one = last.started[row : row + 1]
        job_class = state.known.described[int(one["need"][0])]
        assert job_class is not None
        found.append(
            QueuedJobs(
                job_class,
                job=one["job"].copy(),
                priority=kernel("waiting").priority_of(one["key"]),
                submitted_ms=one["submitted"].copy(),
                time_limit_ms=one["limit"].copy(),
                expected_ms=one["expected"].copy(),
                deadline_ms=last.deadline[row : row + 1].copy(),
                tenant=state.tenants.numbers_of(one["line"]),
            )
        )
    return tuple(found)


def copied(state: State) -> State:
    """The same state in arrays of its own."""
    found: State = _copied(state)
    table = found.known.table
    found.known.table = table._replace(eights=layout.eights_of(table.barred))
    return found


def _copied(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(_copied, value))
    if isinstance(value, dict | list):
        return copy.copy(value)
    if isinstance(value, State | ClassTable | WaitingLine | TenantTable):
        other = copy.copy(value)
        for name, held in vars(value).items():
            setattr(other, name, _copied(held))
        return other
    return value


__all__ = ["Found", "OtherPlanError", "copied", "marked_pass", "rerun", "rewind"]
