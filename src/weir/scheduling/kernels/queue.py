"""Waiting jobs: per-queue lists in order, the index from job number to slot, and the heap over the queues' heads."""

from weir.scheduling.kernels.score import compiled
from weir.scheduling.tables import Counter

HEAP, FREE_SLOT, QUEUED, QUEUES = Counter.HEAP, Counter.FREE_SLOT, Counter.QUEUED, Counter.QUEUES
_MIX = -7046029254386353131  # 2**64 / golden ratio, as a signed number


@compiled
def mixed(number):  # type: ignore[no-untyped-def]
    """A well spread non-negative number."""
    number = number * _MIX
    number ^= number >> 29
    return (number * _MIX) & 0x7FFFFFFFFFFFFFFF


@compiled
def find(index, slots, job):  # type: ignore[no-untyped-def]
    """The slot in which the job waits, or -1."""
    mask = len(index.key) - 1
    place = mixed(job) & mask
    while index.key[place] >= 0:
        if index.key[place] == job:
            slot = index.slot[place]
            return slot if slots.job[slot] == job and slots.queue[slot] >= 0 else -1
        place = (place + 1) & mask
    return -1


@compiled
def remember(index, job, slot):  # type: ignore[no-untyped-def]
    """Let the index lead from the job to the slot. Returns 1 if that took a new entry."""
    mask = len(index.key) - 1
    place = mixed(job) & mask
    while index.key[place] >= 0:
        if index.key[place] == job:
            index.slot[place] = slot
            return 0
        place = (place + 1) & mask
    index.key[place] = job
    index.slot[place] = slot
    return 1


@compiled
def reindex(index, slots):  # type: ignore[no-untyped-def]
    """Fill an empty index anew; returns how many entries it took."""
    used = 0
    for slot in range(len(slots.job)):
        if slots.queue[slot] >= 0:
            used += remember(index, slots.job[slot], slot)
    return used


@compiled
def unlink(queues, slots, counters, slot):  # type: ignore[no-untyped-def]
    """Take a job out of its queue and free its slot."""
    queue = slots.queue[slot]
    before = slots.previous[slot]
    after = slots.next[slot]
    if before >= 0:
        slots.next[before] = after
    else:
        queues.head[queue] = after
    if after >= 0:
        slots.previous[after] = before
    else:
        queues.tail[queue] = before
    queues.waiting[queue] -= 1
    slots.queue[slot] = -1
    slots.next[slot] = counters[FREE_SLOT]
    counters[FREE_SLOT] = slot
    counters[QUEUED] -= 1


@compiled
def enqueue(queues, slots, index, counters, queue, job, submitted, limit):  # type: ignore[no-untyped-def]
    """Add jobs, given in columns ordered by (queue, submitted, job). Returns how many index entries that took.

    There are free slots and index entries for all, and none of the jobs waits. Each queue is walked once from its
    end, so jobs that come in order cost the same whatever waits already.
    """
    taken = 0
    at = -1
    for i in range(len(job) - 1, -1, -1):
        into = queue[i]
        if i == len(job) - 1 or queue[i + 1] != into:
            at = queues.tail[into]
        while at >= 0 and (
            slots.submitted[at] > submitted[i]
            or (slots.submitted[at] == submitted[i] and slots.job[at] > job[i])
        ):
            at = slots.previous[at]
        slot = counters[FREE_SLOT]
        counters[FREE_SLOT] = slots.next[slot]
        slots.job[slot] = job[i]
        slots.submitted[slot] = submitted[i]
        slots.limit[slot] = limit[i]
        slots.queue[slot] = into
        after = slots.next[at] if at >= 0 else queues.head[into]
        slots.previous[slot] = at
        slots.next[slot] = after
        if at >= 0:
            slots.next[at] = slot
        else:
            queues.head[into] = slot
        if after >= 0:
            slots.previous[after] = slot
        else:
            queues.tail[into] = slot
        if queues.waiting[into] == 0 or limit[i] < queues.least_limit[into]:
            queues.least_limit[into] = limit[i]
        queues.waiting[into] += 1
        counters[QUEUED] += 1
        taken += remember(index, job[i], slot)
    return taken


@compiled
def dequeue(queues, slots, index, counters, jobs):  # type: ignore[no-untyped-def]
    """Take jobs out wherever they wait; those that do not wait are passed over."""
    for i in range(len(jobs)):
        slot = find(index, slots, jobs[i])
        if slot >= 0:
            unlink(queues, slots, counters, slot)


@compiled
def goes_before(queues, slots, one, other):  # type: ignore[no-untyped-def]
    """The global order of two slots: priority class, then age, then number."""
    first = queues.priority[slots.queue[one]]
    second = queues.priority[slots.queue[other]]
    if first != second:
        return first > second
    if slots.submitted[one] != slots.submitted[other]:
        return slots.submitted[one] < slots.submitted[other]
    return slots.job[one] < slots.job[other]


@compiled
def sink(queues, slots, work, counters, at):  # type: ignore[no-untyped-def]
    """Put the heap right below one place, whose queue now has a later cursor."""
    heap = work.heap
    cursor = work.cursor
    size = counters[HEAP]
    moving = heap[at]
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and goes_before(queues, slots, cursor[heap[child + 1]], cursor[heap[child]]):
            child += 1
        if not goes_before(queues, slots, cursor[heap[child]], cursor[moving]):
            break
        heap[at] = heap[child]
        at = child
    heap[at] = moving


@compiled
def gather(queues, slots, work, counters):  # type: ignore[no-untyped-def]
    """Make the heap over the heads of all queues that are not empty."""
    size = 0
    for queue in range(counters[QUEUES]):
        work.waits[queue] = 0
        if queues.head[queue] >= 0:
            work.cursor[queue] = queues.head[queue]
            work.heap[size] = queue
            size += 1
    counters[HEAP] = size
    for at in range(size // 2 - 1, -1, -1):
        sink(queues, slots, work, counters, at)


@compiled
def advance(queues, slots, work, counters, slot):  # type: ignore[no-untyped-def]
    """The first queue in the heap goes on to another slot (-1: it has none)."""
    if slot >= 0:
        work.cursor[work.heap[0]] = slot
    else:
        counters[HEAP] -= 1
        work.heap[0] = work.heap[counters[HEAP]]
    if counters[HEAP] > 0:
        sink(queues, slots, work, counters, 0)


@compiled
def position(queues, slots, slot):  # type: ignore[no-untyped-def]
    """(place of a waiting job in the global order from 1, how many of its class are ahead of it)."""
    ahead = 0
    fellows = 0
    job_class = queues.job_class[slots.queue[slot]]
    for other in range(len(slots.job)):
        if slots.queue[other] >= 0 and goes_before(queues, slots, other, slot):
            ahead += 1
            if queues.job_class[slots.queue[other]] == job_class:
                fellows += 1
    return ahead + 1, fellows
