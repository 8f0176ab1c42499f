"""Waiting jobs of the live loop: their rows, the index from job number to row, and filling the line in bulk."""

import numpy as np

from weir.scheduling.kernels.address import addressed
from weir.scheduling.kernels.compiled import entry, inner
from weir.scheduling.kernels.line import BLOCK, insert_block, insert_from
from weir.scheduling.kernels.priority import KIND, PATIENCE, SUBMITTED, key_of
from weir.scheduling.kernels.reasons import mixed
from weir.scheduling.kernels.tenants import ahead_of
from weir.scheduling.tables import Counter

FREE_SLOT = Counter.FREE_SLOT
FILLED = 56
"""Entries that a block is filled with at first, so that there is room for those that come between."""
KEY_BITS = 53
KEY_MASK = 2**KEY_BITS - 1
PRIORITIES = 2**9
"""From -512 to 511, which the bits of a key above KEY_BITS hold."""


@entry
def find(index, slots, job):  # type: ignore[no-untyped-def]
    """The row in which the job waits, or -1."""
    mask = len(index) - 1
    place = mixed(job) & mask
    while index[place] >= 0:
        if slots[index[place]].job == job:
            return np.int64(index[place])
        place = (place + 1) & mask
    return np.int64(-1)


@entry
def find_all(index, slots, jobs, found):  # type: ignore[no-untyped-def]
    """`find` of several: their rows are written to `found`."""
    mask = len(index) - 1
    for i in range(len(jobs)):
        place = mixed(jobs[i]) & mask
        found[i] = -1
        while index[place] >= 0 and found[i] < 0:
            if slots[index[place]].job == jobs[i]:
                found[i] = index[place]
            place = (place + 1) & mask


@inner
def remember(index, job, slot):  # type: ignore[no-untyped-def]
    """Let the index lead from the job to the row. Returns 1 if that took a new entry."""
    mask = len(index) - 1
    place = mixed(job) & mask
    while index[place] >= 0:
        if index[place] == slot:
            return 0
        place = (place + 1) & mask
    index[place] = slot
    return 1


@entry
def reindex(index, slots):  # type: ignore[no-untyped-def]
    """Fill an empty index anew; returns how many entries it took."""
    used = 0
    for slot in range(len(slots)):
        if slots[slot].job >= 0:
            used += remember(index, slots[slot].job, slot)
    return used


@entry
def enter(  # type: ignore[no-untyped-def]
    rates, slots, deadlines, index, counters, job_class, size, job, priority, submitted, limit, expected, deadline,
    line, taken,
):  # fmt: skip
    """Give jobs rows and keys; the rows are written to `taken`. Returns how many index entries that took.

    There are free rows and index entries for all, and none of the jobs waits. A key is the priority, the higher the
    less, and below it the order's own key as far as KEY_BITS reach. size: of each job, the devices or tasks that it
    takes, by which some orders go.
    """
    entries = 0
    for i in range(len(job)):
        slot = counters[FREE_SLOT]
        counters[FREE_SLOT] = slots[slot].second
        slots[slot].job = job[i]
        key = own_key(rates, submitted[i], expected[i], size[i], deadline[i])
        slots[slot].key = ((PRIORITIES - 1 - priority[i]) << KEY_BITS) | key
        deadlines[slot] = deadline[i]
        slots[slot].submitted = submitted[i]
        slots[slot].limit = limit[i]
        slots[slot].expected = expected[i]
        slots[slot].need = job_class[i]
        slots[slot].size = size[i]
        slots[slot].line = line[i]
        slots[slot].promised = -1
        taken[i] = slot
        entries += remember(index, job[i], slot)
    return entries


@inner
def own_key(rates, submitted, expected, size, deadline):  # type: ignore[no-untyped-def]
    """The order's own key of a job, as far as KEY_BITS reach.

    Where keys are times, a job goes ahead in time for its deadline; never of those that were there before.
    """
    key = key_of(rates, submitted, expected, size, submitted)
    if rates[KIND] == SUBMITTED or rates[KIND] == PATIENCE:
        key = min(key, max(submitted, deadline - 2 * expected))
    return min(KEY_MASK, max(0, key))


def priority_of(keys):  # type: ignore[no-untyped-def]
    """The priorities in keys."""
    return PRIORITIES - 1 - (keys >> KEY_BITS)


@entry
def rekey(rates, slots, deadlines):  # type: ignore[no-untyped-def]
    """Give jobs the keys that they have under other parameters of the order; priorities stay."""
    for slot in range(len(slots)):
        if slots[slot].job >= 0:
            size = np.int64(slots[slot].size)
            key = own_key(rates, slots[slot].submitted, slots[slot].expected, size, deadlines[slot])
            slots[slot].key = (slots[slot].key & ~KEY_MASK) | key


@inner
def leave(slots, counters, slot):  # type: ignore[no-untyped-def]
    """A row is free again."""
    slots[slot].job = -1
    slots[slot].second = counters[FREE_SLOT]
    counters[FREE_SLOT] = slot


@entry
def free_from(slots, counters, first):  # type: ignore[no-untyped-def]
    """The rows from `first` on are new, and free before all others."""
    for slot in range(first, len(slots)):
        slots[slot].job = -1
        slots[slot].promised = -1
        slots[slot].second = slot + 1
    if len(slots) > first:
        slots[len(slots) - 1].second = counters[FREE_SLOT]
        counters[FREE_SLOT] = first


@entry
def leave_all(slots, counters, which):  # type: ignore[no-untyped-def]
    """Rows are free again."""
    for slot in which:
        leave(slots, counters, slot)


@entry
def put(order, lines, slots, which):  # type: ignore[no-untyped-def]
    """Put jobs into their lines, given from the last in order to the first, so that each is walked only once."""
    order = addressed(order)
    line = -1
    block = np.int32(-1)
    for slot in which:
        if slots[slot].line != line:
            line = slots[slot].line
            block = np.int32(lines[line].tail)
        insert_from(order, lines, slots, line, slot, slots[slot].key, slots[slot].need, block)
        block = order.where[slot]


@entry
def fill(order, lines, slots, which):  # type: ignore[no-untyped-def]
    """Fill lines without entries with jobs, given line by line and in order."""
    order = addressed(order)
    block = -1
    line = -1
    for slot in which:
        if slots[slot].line != line or order.block[block].end == FILLED:
            line = slots[slot].line
            block = insert_block(order, lines, line, np.int32(lines[line].tail))
        at = block * BLOCK + order.block[block].end
        order.block[block].end += 1
        order.entry[at].key = slots[slot].key
        order.entry[at].limit = slots[slot].limit
        order.entry[at].slot = slot
        order.entry[at].need = slots[slot].need
        order.where[slot] = block
        lines[line].waiting += 1


@entry
def in_order(order, lines, found):  # type: ignore[no-untyped-def]
    """Write the rows of all that wait, line by line in order."""
    order = addressed(order)
    count = 0
    for line in range(len(lines)):
        block = np.int64(lines[line].head)
        while block >= 0:
            for at in range(block * BLOCK + order.block[block].first, block * BLOCK + order.block[block].end):
                found[count] = order.entry[at].slot
                count += 1
            block = np.int64(order.block[block].next)


@entry
def position(world, slots, slot):  # type: ignore[no-untyped-def]
    """(place of a waiting job in the order from 1, how many of its class are ahead of it)."""
    world = addressed(world)
    before = 0
    fellows = 0
    for other in range(len(slots)):
        if slots[other].job >= 0 and other != slot and ahead_of(world, slots, other, slot):
            before += 1
            if slots[other].need == slots[slot].need:
                fellows += 1
    return before + 1, fellows
