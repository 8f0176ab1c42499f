"""One sequence of jobs under RLScheduler's decision rule, in compiled code."""

import numpy as np
from numpy.typing import NDArray

from weir.scheduling.kernels.compiled import entry, inner

Int64s = NDArray[np.int64]


@entry
def rl_sequence(
    submit: Int64s,
    run: Int64s,
    request: Int64s,
    nodes: Int64s,
    rank: Int64s,
    machine_nodes: int,
    backfill: bool,
) -> Int64s:
    """Start times of one sequence, in the log's unit, on a machine that is empty at the first job's submission.

    Columns are parallel, in the log's order; `rank` is the order of choice (smallest first), `nodes` what a job
    occupies. The chosen job is committed: nothing that arrives later overtakes it, and only with `backfill` may
    others start before it. Every job must fit the empty machine.
    """
    count = len(submit)
    start = np.full(count, -1, np.int64)
    queue = np.empty(count, np.int64)  # in order of submission
    running = np.empty(count, np.int64)
    queue[0] = 0
    waiting = 1
    active = 0
    free = machine_nodes
    now = submit[0]
    arriving = 1
    while waiting:
        best = 0
        for place in range(1, waiting):
            if rank[queue[place]] < rank[queue[best]]:
                best = place
        head = queue[best]
        if nodes[head] > free:
            promised = now
            if backfill:
                _sort_running(running, active, start, request)
                room = free
                for place in range(active):
                    job = running[place]
                    room += nodes[job]
                    promised = start[job] + request[job]
                    if room >= nodes[head]:
                        break
            while nodes[head] > free:
                if backfill:
                    kept = 0
                    for place in range(waiting):
                        job = queue[place]
                        if now + request[job] < promised and nodes[job] <= free:
                            start[job] = now
                            free -= nodes[job]
                            running[active] = job
                            active += 1
                        else:
                            queue[kept] = job
                            kept += 1
                    waiting = kept
                _sort_running(running, active, start, run)
                ended = running[0]
                end = start[ended] + run[ended]
                if arriving < count and submit[arriving] <= end:
                    now = max(now, submit[arriving])
                    waiting = _join(queue, waiting, arriving, submit)
                    arriving += 1
                else:
                    now = max(now, end)
                    free += nodes[ended]
                    active = _drop_first(running, active)
        start[head] = now
        free -= nodes[head]
        running[active] = head
        active += 1
        waiting = _leave(queue, waiting, head)
        while not waiting and arriving < count:
            if active:
                _sort_running(running, active, start, run)
                ended = running[0]
                end = start[ended] + run[ended]
                if submit[arriving] > end:
                    now = max(now, end)
                    free += nodes[ended]
                    active = _drop_first(running, active)
                    continue
            now = max(now, submit[arriving])
            waiting = _join(queue, waiting, arriving, submit)
            arriving += 1
    return start


@inner
def _sort_running(running, active, start, length):  # type: ignore[no-untyped-def]
    """Put what runs in order of its end; stable, and quick because it is nearly in order."""
    for place in range(1, active):
        job = running[place]
        end = start[job] + length[job]
        hole = place
        while hole > 0 and start[running[hole - 1]] + length[running[hole - 1]] > end:
            running[hole] = running[hole - 1]
            hole -= 1
        running[hole] = job


@inner
def _drop_first(running, active):  # type: ignore[no-untyped-def]
    for place in range(1, active):
        running[place - 1] = running[place]
    return active - 1


@inner
def _join(queue, waiting, job, submit):  # type: ignore[no-untyped-def]
    hole = waiting
    while hole > 0 and submit[queue[hole - 1]] > submit[job]:
        queue[hole] = queue[hole - 1]
        hole -= 1
    queue[hole] = job
    return waiting + 1


@inner
def _leave(queue, waiting, job):  # type: ignore[no-untyped-def]
    kept = 0
    for place in range(waiting):
        if queue[place] != job:
            queue[kept] = queue[place]
            kept += 1
    return kept
