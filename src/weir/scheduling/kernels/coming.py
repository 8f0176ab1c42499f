"""The ends that are to come, as a heap of single numbers: an end's time, and in the lowest bits whose it is.

Places are given as unsigned numbers, which need not be looked at for being negative.
"""

import numpy as np

from weir.scheduling.kernels.compiled import bare_folded as folded

SLOT_BITS = 21
SLOT_MASK = 2**SLOT_BITS - 1
"""So many jobs at most; times then go up to 2**42 ms, which is 139 years."""


@folded
def time_of(end):  # type: ignore[no-untyped-def]
    """When an end comes."""
    return end >> SLOT_BITS


@folded
def slot_of(end):  # type: ignore[no-untyped-def]
    """Whose end it is."""
    return end & SLOT_MASK


@folded
def push(heap, size, time, slot):  # type: ignore[no-untyped-def]
    """Put an end among the coming ones; `size` is how many there were."""
    end = (time << SLOT_BITS) | slot
    at = size
    while at > 0:
        above = (at - 1) >> 1
        if heap[np.uint64(above)] < end:
            break
        heap[np.uint64(at)] = heap[np.uint64(above)]
        at = above
    heap[np.uint64(at)] = end


@folded
def pop(heap, size):  # type: ignore[no-untyped-def]
    """Take the first of the coming ends away; `size` is how many there were.

    The gap goes down to a leaf along the lesser children, and the last end goes up from there: it mostly stays low.
    """
    last = size - 1
    end = heap[last]
    at = np.int64(0)
    child = np.int64(1)
    while child < last:
        # Behind the last child stands the last end itself: the gap may go there, and comes back from it below.
        child += np.int64(heap[np.uint64(child + 1)] < heap[np.uint64(child)])
        heap[np.uint64(at)] = heap[np.uint64(child)]
        at = child
        child = 2 * at + 1
    while at > 0:
        above = (at - 1) >> 1
        if heap[np.uint64(above)] < end:
            break
        heap[np.uint64(at)] = heap[np.uint64(above)]
        at = above
    heap[np.uint64(at)] = end


@folded
def discard(heap, size, time, slot):  # type: ignore[no-untyped-def]
    """Take one of the coming ends away, wherever it is; `size` is how many there were."""
    at = 0
    while heap[at] != (time << SLOT_BITS) | slot:
        at += 1
    last = size - 1
    end = heap[last]
    while at > 0 and heap[(at - 1) >> 1] > end:
        heap[at] = heap[(at - 1) >> 1]
        at = (at - 1) >> 1
    child = 2 * at + 1
    while child < last:
        if child + 1 < last and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] > end:
            break
        heap[at] = heap[child]
        at = child
        child = 2 * at + 1
    heap[at] = end
