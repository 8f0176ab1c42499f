"""The yardstick of speed: EASY backfilling on one machine, written as plainly as it can be, and frozen.

What the core does in a second says as much about the machine as about the core. So the bench runs this beside it and
holds the ratio. It must never be made faster, nor slower: no change, whatever is learnt. A heap holds the ends to come,
a sorted array what runs by latest end, another array the queue; every pass looks at the whole queue.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]


@numba.njit(cache=True)
def _push(when: Any, who: Any, count: int, time: int, job: int) -> None:
    at = count
    while at > 0:
        above = (at - 1) // 2
        if when[above] <= time:
            break
        when[at], who[at] = when[above], who[above]
        at = above
    when[at], who[at] = time, job


@numba.njit(cache=True)
def _pop(when: Any, who: Any, count: int) -> None:
    """Take the first out; `count` is how many there were."""
    last = count - 1
    time, job = when[last], who[last]
    at = 0
    while True:
        below = 2 * at + 1
        if below >= last:
            break
        if below + 1 < last and when[below + 1] < when[below]:
            below += 1
        if time <= when[below]:
            break
        when[at], who[at] = when[below], who[below]
        at = below
    when[at], who[at] = time, job


@numba.njit(cache=True)
def easy(submit: Int64s, run: Int64s, limit: Int64s, need: Int64s, nodes: int) -> Int64s:
    """When each job starts. Jobs come in order of submission; 1 <= run <= limit; 1 <= need <= nodes.

    Ends at an instant come before submissions, then one pass is made: the queue's head starts while it fits; then the
    first that does not is promised the time at which it must fit by the limits of what runs, and any other starts now
    if it fits and either ends by then or takes nodes that are to spare at that time.
    """
    jobs = len(submit)
    start = np.full(jobs, -1, np.int64)
    when, who, ends = np.empty(jobs + 1, np.int64), np.empty(jobs + 1, np.int64), 0
    latest, runs, running = np.empty(jobs + 1, np.int64), np.empty(jobs + 1, np.int64), 0
    queue, waiting = np.empty(jobs + 1, np.int64), 0
    free, arrived = nodes, 0
    while arrived < jobs or ends > 0:
        if ends > 0 and (arrived == jobs or when[0] <= submit[arrived]):
            now = when[0]
        else:
            now = submit[arrived]
        while ends > 0 and when[0] == now:
            job = who[0]
            _pop(when, who, ends)
            ends -= 1
            free += need[job]
            at = np.searchsorted(latest[:running], start[job] + limit[job])
            while runs[at] != job:
                at += 1
            for place in range(at, running - 1):
                latest[place], runs[place] = latest[place + 1], runs[place + 1]
            running -= 1
        while arrived < jobs and submit[arrived] == now:
            queue[waiting] = arrived
            waiting += 1
            arrived += 1

        promised = np.int64(-1)
        spare = 0
        kept = 0
        for place in range(waiting):
            job = queue[place]
            fits = need[job] <= free
            if promised < 0 and not fits:
                # The head of those that are left: find out when it must fit.
                promised = now
                room = free
                at = 0
                while room < need[job]:
                    promised = latest[at]
                    room += need[runs[at]]
                    at += 1
                while at < running and latest[at] == promised:
                    room += need[runs[at]]
                    at += 1
                spare = room - need[job]
            elif fits and (promised < 0 or now + limit[job] <= promised or need[job] <= spare):
                if promised >= 0 and now + limit[job] > promised:
                    spare -= need[job]
                start[job] = now
                free -= need[job]
                _push(when, who, ends, now + run[job], job)
                ends += 1
                end = now + limit[job]
                at = running
                while at > 0 and latest[at - 1] > end:
                    latest[at], runs[at] = latest[at - 1], runs[at - 1]
                    at -= 1
                latest[at], runs[at] = end, job
                running += 1
                continue
            queue[kept] = job
            kept += 1
        waiting = kept
    return start


__all__ = ["easy"]
