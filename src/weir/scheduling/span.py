"""Cycles in a row that a state takes in at once: what is left of them at the end, instead of one after another.

Only where nothing but jobs is another meanwhile, and every placement says which devices it has. What tenants have used
depends on when each thing happened, and is wrong afterwards, as what they may use: both are to be told anew.
"""

from itertools import count

import numpy as np

from weir.scheduling.inputs import Changes, Int64s, QueuedJobs, RunningJob
from weir.scheduling.placements import Placements, admit_all, joined, rows_of
from weir.scheduling.state import State

_GONE = -1


class Span:
    """What a state has still to take in. It may be used again after `settle`."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._begin()

    def may_take(self, changes: Changes) -> bool:
        """Whether a cycle that was told this can be taken in with others."""
        return (
            changes.pools is None
            and changes.links is None
            and not changes.promised
            and all(job.devices or not job.job_class.devices_milli for job in changes.running)
        )

    def take(self, changes: Changes, starts: Placements, now_ms: int) -> None:
        """A cycle that was told this, and started that, is the next one."""
        for job in changes.freed:
            self._running.pop(job, None)
            self._freed.add(job)
        self._leave(changes.unqueued)
        for batch in changes.queued:
            self._jobs.append(batch.job)
            self._rows.append(np.arange(self._count, self._count + len(batch.job)))
            self._batches.append(batch)
            self._count += len(batch.job)
        for running in changes.running:
            self._running[running.job] = running
        self._leave(np.array([running.job for running in changes.running], np.int64))
        self._running.update(zip(starts.job.tolist(), count(self._started), strict=False))
        self._started += len(starts)
        self._starts.append(starts)
        self._start_ms.append(now_ms)
        self._told_before.append(len(self._jobs))
        self._leave(starts.job)

    def settle(self) -> None:
        """Bring the state up to date. Raises ValueError where the cycles contradict themselves.

        Nothing is found out meanwhile; what was found is to be forgotten before the next pass.
        """
        if not self._jobs and not self._freed:
            return
        state = self._state
        state.release(sorted(self._freed), looking=False)
        self._start()
        job, row = self._last_of_each()
        state.dequeue(job[row == _GONE])
        state.forget_classes()
        state.enqueue(self._left(row[row != _GONE]))
        state.admit([told for told in self._running.values() if isinstance(told, RunningJob)])
        self._begin()

    def _begin(self) -> None:
        self._freed: set[int] = set()
        self._running: dict[int, RunningJob | int] = {}
        """Placements, those that were started by their number among all that were."""
        self._jobs: list[Int64s] = []
        """Pieces: jobs that came to wait or ceased to, in the order in which that was told."""
        self._rows: list[Int64s] = []
        """Of each piece, the jobs' rows in `_batches` together, or _GONE."""
        self._batches: list[QueuedJobs] = []
        self._count = self._started = 0
        self._starts: list[Placements] = []
        self._start_ms: list[int] = []
        self._told_before: list[int] = []
        """Of each cycle: what it started, when, and how many pieces had been told before."""

    def _leave(self, jobs: Int64s) -> None:
        if len(jobs):
            self._jobs.append(jobs)
            self._rows.append(np.full(len(jobs), _GONE, np.int64))

    def _last_of_each(self) -> tuple[Int64s, Int64s]:
        """Each job that was named, and what was told of it last."""
        if not self._jobs:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        job, row = np.concatenate(self._jobs), np.concatenate(self._rows)
        order = np.argsort(job, kind="stable")
        last = np.append(np.diff(job[order]) != 0, True)
        return job[order][last], row[order][last]

    def _left(self, rows: Int64s) -> tuple[QueuedJobs, ...]:
        """The batches, with these rows alone."""
        stays = np.zeros(self._count, np.bool_)
        stays[rows] = True
        found, first = [], 0
        for batch in self._batches:
            mine = stays[first : first + len(batch.job)]
            first += len(batch.job)
            if mine.all():
                found.append(batch)
            elif mine.any():
                found.append(_only(batch, mine))
        return tuple(found)

    def _start(self) -> None:
        """Let all run that was started and has not ended. What it waited as is found in the state, or in what was
        told before."""
        which = np.array([told for told in self._running.values() if isinstance(told, int)], np.int64)
        if not len(which):
            return
        cycle = np.repeat(np.arange(len(self._starts)), [len(starts) for starts in self._starts])[which]
        starts = joined(self._starts).only(which)
        state = self._state
        row = self._row_before(starts.job, np.array(self._told_before, np.int64)[cycle])
        job_class, limit_ms, tenant = np.zeros((3, len(which)), np.int64)
        waited = np.flatnonzero(row == _GONE)
        slots = state.queue.slots[rows_of(state, starts.job[waited])]
        job_class[waited], limit_ms[waited] = slots["need"], slots["limit"]
        tenant[waited] = state.tenants.numbers_of(slots["line"])
        came = np.flatnonzero(row != _GONE)
        first = np.cumsum([0, *(len(batch.job) for batch in self._batches)])
        of = np.searchsorted(first, row[came], side="right") - 1
        batches = [self._batches[batch] for batch in of.tolist()]
        job_class[came] = state.known.number_all([batch.job_class for batch in batches])
        places = (row[came] - first[of]).tolist()
        limit_ms[came] = [batch.time_limit_ms[at] for batch, at in zip(batches, places, strict=True)]
        tenant[came] = [
            0 if batch.tenant is None else batch.tenant[at] for batch, at in zip(batches, places, strict=True)
        ]
        start_ms = np.array(self._start_ms, np.int64)[cycle]
        admit_all(state, starts, job_class, start_ms, limit_ms, tenant)

    def _row_before(self, jobs: Int64s, told_before: Int64s) -> Int64s:
        """Of each job, the row in `_batches` that was told of it last before so many pieces; _GONE where none was."""
        if not self._batches:
            return np.full(len(jobs), _GONE, np.int64)
        job, row = np.concatenate(self._jobs), np.concatenate(self._rows)
        piece = np.repeat(np.arange(len(self._jobs)), [len(each) for each in self._jobs])
        come = np.flatnonzero(row != _GONE)
        come = come[np.argsort(job[come], kind="stable")]
        # By job, and then as they were told: the last entry of the job that is before that piece.
        number = np.unique(np.concatenate([job[come], jobs]), return_inverse=True)[1]
        wide = len(self._jobs) + 1
        told = number[: len(come)] * wide + piece[come]
        at = np.searchsorted(told, number[len(come) :] * wide + told_before) - 1
        theirs = (at >= 0) & (job[come][np.maximum(at, 0)] == jobs)
        return np.where(theirs, row[come][np.maximum(at, 0)], _GONE)


def _only(batch: QueuedJobs, mine: np.ndarray) -> QueuedJobs:
    return QueuedJobs(
        batch.job_class,
        batch.job[mine],
        batch.priority[mine],
        batch.submitted_ms[mine],
        batch.time_limit_ms[mine],
        *(
            None if column is None else column[mine]
            for column in (batch.expected_ms, batch.deadline_ms, batch.tenant)
        ),
    )


__all__ = ["Span"]
