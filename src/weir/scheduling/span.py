"""Cycles in a row that a state takes in at once: what is left of them at the end, instead of one after another.

Only where nothing but jobs is another meanwhile, and where it does not matter when each thing happened: tenants' usage
does not depend on times then, and every placement says which devices it has.
"""

from collections.abc import Sequence

import numpy as np

from weir.scheduling.inputs import Changes, Int64s, JobClass, QueuedJobs, RunningJob
from weir.scheduling.plan import Start
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
            not self._state.policy.by_tenant
            and changes.pools is None
            and changes.links is None
            and not changes.promised
            and all(job.devices or not job.job_class.devices_milli for job in changes.running)
        )

    def take(self, changes: Changes, starts: Sequence[Start], now_ms: int) -> None:
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
        at = len(self._jobs)
        for start in starts:
            self._running[start.job] = (start, now_ms, at)
        self._leave(np.array([start.job for start in starts], np.int64))

    def settle(self) -> None:
        """Bring the state up to date. Raises ValueError where the cycles contradict themselves."""
        if not self._jobs and not self._freed:
            return
        running = self._as_running()
        state = self._state
        state.release(sorted(self._freed))
        job, row = self._last_of_each()
        state.dequeue(job[row == _GONE])
        state.forget_classes()
        state.enqueue(self._left(row[row != _GONE]))
        state.admit(running)
        self._begin()

    def _begin(self) -> None:
        self._freed: set[int] = set()
        self._running: dict[int, RunningJob | tuple[Start, int, int]] = {}
        """Placements, or starts with their time and how many pieces had been told before."""
        self._jobs: list[Int64s] = []
        """Pieces: jobs that came to wait or ceased to, in the order in which that was told."""
        self._rows: list[Int64s] = []
        """Of each piece, the jobs' rows in `_batches` together, or _GONE."""
        self._batches: list[QueuedJobs] = []
        self._count = 0

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

    def _as_running(self) -> list[RunningJob]:
        wanted = {job: told[2] for job, told in self._running.items() if isinstance(told, tuple)}
        waited = self._before(wanted)
        found = []
        for job, told in self._running.items():
            if isinstance(told, RunningJob):
                found.append(told)
                continue
            start, now_ms, _ = told
            job_class, limit_ms = waited[job] if job in waited else self._of_state(job)
            found.append(RunningJob(job, job_class, start.pool, start.nodes, now_ms, limit_ms, start.devices))
        return found

    def _before(self, wanted: dict[int, int]) -> dict[int, tuple[JobClass, int]]:
        """As what they waited last, of those that came to wait in these cycles: class and limit.

        wanted: jobs, with the number of pieces that were told before.
        """
        found: dict[int, tuple[JobClass, int]] = {}
        if not wanted or not self._batches:
            return found
        job, row = np.concatenate(self._jobs), np.concatenate(self._rows)
        piece = np.repeat(np.arange(len(self._jobs)), [len(jobs) for jobs in self._jobs])
        which = np.flatnonzero((row != _GONE) & np.isin(job, np.array(list(wanted), np.int64)))
        first = np.cumsum([0, *(len(batch.job) for batch in self._batches)])
        of = np.searchsorted(first, row[which], side="right") - 1
        columns = (job[which], piece[which], of, row[which] - first[of])
        for number, at, batch, place in zip(*(column.tolist() for column in columns), strict=True):
            if at < wanted[number]:
                told = self._batches[batch]
                found[number] = (told.job_class, int(told.time_limit_ms[place]))
        return found

    def _of_state(self, job: int) -> tuple[JobClass, int]:
        queue = self._state.queue
        slot = queue.find(job)
        if slot < 0:
            raise ValueError(f"job {job} was started and did not wait")
        job_class = self._state.known.described[int(queue.slots["need"][slot])]
        assert job_class is not None
        return job_class, int(queue.slots["limit"][slot])


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
