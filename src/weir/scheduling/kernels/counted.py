"""Room as a count: a pool of nodes that jobs take whole, so that which nodes are free makes no difference.

What runs is kept in the order of the latest ends (placed plus time limit), which is what promises are made on.
"""

import numpy as np

from weir.scheduling.kernels.compiled import bare_folded as folded

FREE, RUNNING, PROMISED, SHADOW, EXTRA, COMMITTED = 0, 1, 2, 3, 4, 5
PLACES = 6


@folded
def take(count, slot, end, need):  # type: ignore[no-untyped-def]
    """A job starts on so many nodes, and will have ended by `end`."""
    at = count.state[RUNNING]
    count.state[RUNNING] = at + 1
    count.state[FREE] -= need
    while at > 0 and count.run[np.uint64(at - 1)].end > end:
        count.run[np.uint64(at)] = count.run[np.uint64(at - 1)]
        at -= 1
    count.run[at].end = end
    count.run[at].need = need
    count.run[at].slot = slot


@folded
def give_back(count, slot, end):  # type: ignore[no-untyped-def]
    """A job that was to have ended by `end` has ended."""
    low = np.int64(0)
    left = count.state[RUNNING]
    last = left - 1
    # Nothing here depends on a guess: half of what is left is passed over, or nothing is.
    while left > 1:
        half = left >> 1
        low += half * np.int64(count.run[np.uint64(low + half - 1)].end < end)
        left -= half
    while count.run[np.uint64(low)].slot != slot:
        low += 1
    count.state[FREE] += count.run[low].need
    count.state[RUNNING] = last
    for at in range(low, last):
        count.run[np.uint64(at)] = count.run[np.uint64(at + 1)]


@folded
def promise(count, slot, need, now):  # type: ignore[no-untyped-def]
    """Promise a job the first instant at which enough will have ended, and note how much else is free then.

    What ends at that very instant counts as free. What has outlived its limit counts as ending now.
    """
    free = count.state[FREE]
    at = 0
    while free < need:
        free += count.run[np.uint64(at)].need
        at += 1
    shadow = max(now, count.run[at - 1].end) if at > 0 else now
    while at < count.state[RUNNING] and count.run[np.uint64(at)].end <= shadow:
        free += count.run[np.uint64(at)].need
        at += 1
    count.state[PROMISED] = slot
    count.state[SHADOW] = shadow
    count.state[EXTRA] = free - need


@folded
def unpromised(count):  # type: ignore[no-untyped-def]
    """Whether no promise holds."""
    return count.state[PROMISED] < 0


@folded
def packed(value):  # type: ignore[no-untyped-def]
    """A number as the tables hold it."""
    return np.int32(value)
