"""Waiting jobs: per-queue lists in order, the index from job number to slot, and the heap over the queues' heads."""

import numpy as np

from weir.scheduling.kernels.compiled import entry, folded, inner
from weir.scheduling.tables import Counter

HEAP, FREE_SLOT, QUEUED, QUEUES = Counter.HEAP, Counter.FREE_SLOT, Counter.QUEUED, Counter.QUEUES
_MIX = -7046029254386353131  # 2**64 / golden ratio, as a signed number


@folded
def mixed(number):  # type: ignore[no-untyped-def]
    """A well spread non-negative number."""
    number = number * _MIX
    number ^= number >> 29
    return (number * _MIX) & 0x7FFFFFFFFFFFFFFF


@entry
def find(index, slots, job):  # type: ignore[no-untyped-def]
    """The slot in which the job waits, or -1."""
    mask = len(index) - 1
    place = mixed(job) & mask
    while index[place].job >= 0:
        if index[place].job == job:
            slot = np.int64(index[place].slot)
            return slot if slots[slot].job == job and slots[slot].queue >= 0 else np.int64(-1)
        place = (place + 1) & mask
    return np.int64(-1)


@inner
def remember(index, job, slot):  # type: ignore[no-untyped-def]
    """Let the index lead from the job to the slot. Returns 1 if that took a new entry."""
    mask = len(index) - 1
    place = mixed(job) & mask
    while index[place].job >= 0:
        if index[place].job == job:
            index[place].slot = slot
            return 0
        place = (place + 1) & mask
    index[place].job = job
    index[place].slot = slot
    return 1


@entry
def reindex(index, slots):  # type: ignore[no-untyped-def]
    """Fill an empty index anew; returns how many entries it took."""
    used = 0
    for slot in range(len(slots)):
        if slots[slot].queue >= 0:
            used += remember(index, slots[slot].job, slot)
    return used


@inner
def unlink(queues, slots, counters, slot):  # type: ignore[no-untyped-def]
    """Take a job out of its queue and free its slot."""
    queue = slots[slot].queue
    before = slots[slot].previous
    after = slots[slot].next
    if before >= 0:
        slots[before].next = after
    else:
        queues[queue].head = after
    if after >= 0:
        slots[after].previous = before
    else:
        queues[queue].tail = before
    queues[queue].waiting -= 1
    slots[slot].queue = -1
    slots[slot].next = counters[FREE_SLOT]
    counters[FREE_SLOT] = slot
    counters[QUEUED] -= 1


@entry
def enqueue(queues, slots, index, counters, queue, job, submitted, limit):  # type: ignore[no-untyped-def]
    """Add jobs, given in columns ordered by (queue, submitted, job). Returns how many index entries that took.

    There are free slots and index entries for all, and none of the jobs waits. Each queue is walked once from its
    end, so jobs that come in order cost the same whatever waits already.
    """
    taken = 0
    at = np.int64(-1)
    for i in range(len(job) - 1, -1, -1):
        into = queue[i]
        if i == len(job) - 1 or queue[i + 1] != into:
            at = queues[into].tail
        while at >= 0 and (
            slots[at].submitted > submitted[i]
            or (slots[at].submitted == submitted[i] and slots[at].job > job[i])
        ):
            at = np.int64(slots[at].previous)
        slot = counters[FREE_SLOT]
        counters[FREE_SLOT] = slots[slot].next
        slots[slot].job = job[i]
        slots[slot].submitted = submitted[i]
        slots[slot].limit = limit[i]
        slots[slot].queue = into
        after = np.int64(slots[at].next) if at >= 0 else queues[into].head
        slots[slot].previous = at
        slots[slot].next = after
        if at >= 0:
            slots[at].next = slot
        else:
            queues[into].head = slot
        if after >= 0:
            slots[after].previous = slot
        else:
            queues[into].tail = slot
        if queues[into].waiting == 0 or limit[i] < queues[into].least_limit:
            queues[into].least_limit = limit[i]
        queues[into].waiting += 1
        counters[QUEUED] += 1
        taken += remember(index, job[i], slot)
    return taken


@entry
def dequeue(queues, slots, index, counters, jobs):  # type: ignore[no-untyped-def]
    """Take jobs out wherever they wait; those that do not wait are passed over."""
    for i in range(len(jobs)):
        slot = find(index, slots, jobs[i])
        if slot >= 0:
            unlink(queues, slots, counters, slot)


@folded
def goes_before(queues, slots, one, other):  # type: ignore[no-untyped-def]
    """The global order of two slots: priority class, then age, then number."""
    first = queues[slots[one].queue].priority
    second = queues[slots[other].queue].priority
    if first != second:
        return first > second
    if slots[one].submitted != slots[other].submitted:
        return slots[one].submitted < slots[other].submitted
    return slots[one].job < slots[other].job


@inner
def sink(queues, slots, work, counters, at):  # type: ignore[no-untyped-def]
    """Put the heap right below one place, whose queue now has a later cursor."""
    heap = work.heap
    size = counters[HEAP]
    moving = heap[at]
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and goes_before(
            queues, slots, queues[heap[child + 1]].cursor, queues[heap[child]].cursor
        ):
            child += 1
        if not goes_before(queues, slots, queues[heap[child]].cursor, queues[moving].cursor):
            break
        heap[at] = heap[child]
        at = child
    heap[at] = moving


@inner
def gather(queues, slots, work, counters):  # type: ignore[no-untyped-def]
    """Make the heap over the heads of all queues that are not empty."""
    size = 0
    for queue in range(counters[QUEUES]):
        queues[queue].waits = 0
        if queues[queue].head >= 0:
            queues[queue].cursor = queues[queue].head
            work.heap[size] = queue
            size += 1
    counters[HEAP] = size
    for at in range(size // 2 - 1, -1, -1):
        sink(queues, slots, work, counters, at)


@inner
def advance(queues, slots, work, counters, slot):  # type: ignore[no-untyped-def]
    """The first queue in the heap goes on to another slot (-1: it has none)."""
    if slot >= 0:
        queues[work.heap[0]].cursor = slot
    else:
        counters[HEAP] -= 1
        work.heap[0] = work.heap[counters[HEAP]]
    if counters[HEAP] > 0:
        sink(queues, slots, work, counters, 0)


@entry
def position(queues, slots, slot):  # type: ignore[no-untyped-def]
    """(place of a waiting job in the global order from 1, how many of its class are ahead of it)."""
    ahead = 0
    fellows = 0
    job_class = queues[slots[slot].queue].job_class
    for other in range(len(slots)):
        if slots[other].queue >= 0 and goes_before(queues, slots, other, slot):
            ahead += 1
            if queues[slots[other].queue].job_class == job_class:
                fellows += 1
    return ahead + 1, fellows
