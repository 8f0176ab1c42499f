"""Waiting jobs in their order: lines of blocks, each block a short sorted run with what its least job needs.

A line is a doubly linked list of blocks, none of them empty; within a block the entries lie from `first` to `end`.
Entries are ordered by key, then by job number. What a pass reads of a job lies in the entry itself, so that going
over a line reads memory from front to back.
"""

from typing import Any

import numpy as np
from numba.cpython.unsafe.numbers import leading_zeros

from weir.scheduling.kernels.compiled import bare_folded as folded
from weir.scheduling.kernels.compiled import bare_inner as inner

_zeros_before: Any = leading_zeros
"""Numba's types want its own argument of it as well."""
BLOCK = 64
"""Entries a block: as many as one glance of a pass takes, and as are moved at most when one comes or goes."""
BUCKETS = 16
NONE_LEAST = 2**31 - 1


@folded
def bucket_of(limit):  # type: ignore[no-untyped-def]
    """Which sixteenth of the time limits it belongs to: by powers of two from four seconds on."""
    return min(np.int64(64) - np.int64(_zeros_before(max(limit, np.int64(0)) >> 12)), np.int64(BUCKETS - 1))


@inner
def new_block(order):  # type: ignore[no-untyped-def]
    """A block without entries and neighbours. There is always one: see `Order.block`."""
    block = order.free[0]
    order.free[0] = order.block[block].next
    order.block[block].next = -1
    order.block[block].previous = -1
    order.block[block].first = 0
    order.block[block].end = 0
    order.block[block].stale = 1
    return block


@inner
def drop_block(order, lines, line, block):  # type: ignore[no-untyped-def]
    """Take an empty block out of its line."""
    before = order.block[block].previous
    after = order.block[block].next
    if before >= 0:
        order.block[before].next = after
    else:
        lines[line].head = after
    if after >= 0:
        order.block[after].previous = before
    else:
        lines[line].tail = before
    order.block[block].next = order.free[0]
    order.free[0] = block


@inner
def insert_block(order, lines, line, before):  # type: ignore[no-untyped-def]
    """A new block after `before` (-1: the first of the line)."""
    block = new_block(order)
    after = order.block[before].next if before >= 0 else np.int32(lines[line].head)
    order.block[block].previous = before
    order.block[block].next = after
    if before >= 0:
        order.block[before].next = block
    else:
        lines[line].head = block
    if after >= 0:
        order.block[after].previous = block
    else:
        lines[line].tail = block
    return block


@folded
def goes_after(order, slots, at, key, job):  # type: ignore[no-untyped-def]
    """Whether the entry at a place comes after a job with that key and number."""
    found = order.entry[at].key
    return found > key or (found == key and slots[order.entry[at].slot].job > job)


@inner
def refresh(order, block):  # type: ignore[no-untyped-def]
    """Count what the least of a block's jobs need, by how long they may run."""
    for bucket in range(BUCKETS):
        order.least[block, bucket] = NONE_LEAST
    base = block * BLOCK
    for at in range(base + order.block[block].first, base + order.block[block].end):
        bucket = bucket_of(order.entry[at].limit)
        order.least[block, bucket] = min(order.least[block, bucket], order.entry[at].need)
    for bucket in range(1, BUCKETS):
        order.least[block, bucket] = min(order.least[block, bucket], order.least[block, bucket - 1])
    order.block[block].stale = 0


@folded
def move(order, source, target, count, block):  # type: ignore[no-untyped-def]
    """Move entries to other places, which may overlap those they have; they then belong to `block`."""
    if target < source:
        for i in range(count):
            _copy(order, source + i, target + i)
    else:
        for i in range(count - 1, -1, -1):
            _copy(order, source + i, target + i)
    if source // BLOCK != target // BLOCK:
        for i in range(target, target + count):
            order.where[order.entry[i].slot] = block


@folded
def _copy(order, source, target):  # type: ignore[no-untyped-def]
    order.entry[target] = order.entry[source]


@inner
def split(order, lines, line, block):  # type: ignore[no-untyped-def]
    """Move the upper half of a full block into a new one after it."""
    half = BLOCK // 2
    other = insert_block(order, lines, line, block)
    move(order, block * BLOCK + half, other * BLOCK, BLOCK - half, other)
    order.block[block].end = half
    order.block[other].end = BLOCK - half
    order.block[block].stale = 1
    order.block[other].stale = 1


@folded
def insert(order, lines, slots, line, slot, key, need):  # type: ignore[no-untyped-def]
    """Put a waiting job where it belongs. Walks from the end of the line, where most jobs belong."""
    insert_from(order, lines, slots, line, slot, key, need, np.int32(lines[line].tail))


@folded
def insert_from(order, lines, slots, line, slot, key, need, block):  # type: ignore[no-untyped-def]
    """`insert` that walks from a block on; the job does not belong behind it, unless it is the last one."""
    job = slots[slot].job
    limit = slots[slot].limit
    while block >= 0 and goes_after(order, slots, block * BLOCK + order.block[block].first, key, job):
        block = order.block[block].previous
    if block < 0:
        block = np.int32(lines[line].head)
    if block < 0:
        block = insert_block(order, lines, line, np.int32(-1))
    first = order.block[block].first
    end = order.block[block].end
    if end == BLOCK and first == 0:
        if not goes_after(order, slots, block * BLOCK + end - 1, key, job) and order.block[block].next < 0:
            block = insert_block(order, lines, line, block)
        else:
            split(order, lines, line, block)
            upper = order.block[block].next
            if not goes_after(order, slots, upper * BLOCK, key, job):
                block = upper
        first = order.block[block].first
        end = order.block[block].end
    base = block * BLOCK
    at = base + end
    while at > base + first and goes_after(order, slots, at - 1, key, job):
        at -= 1
    if end < BLOCK:
        move(order, at, at + 1, base + end - at, block)
        order.block[block].end = end + 1
    else:
        move(order, base + first, base + first - 1, at - base - first, block)
        order.block[block].first = first - 1
        at -= 1
    order.entry[at].key = key
    order.entry[at].limit = limit
    order.entry[at].slot = slot
    order.entry[at].need = need
    order.where[slot] = block
    order.block[block].stale = 1
    lines[line].waiting += 1


@folded
def remove_at(order, lines, line, block, at):  # type: ignore[no-untyped-def]
    """Take one entry out; `at` is its place. Returns where the entry after it lies now, within the same block.

    A block left without entries leaves the line; whoever goes over the line reads its `next` beforehand.
    """
    base = block * BLOCK
    first = base + order.block[block].first
    end = base + order.block[block].end
    lines[line].waiting -= 1
    if end - first == 1:
        drop_block(order, lines, line, block)
        order.block[block].first = 0
        order.block[block].end = 0
        return base
    if at - first < end - 1 - at:
        move(order, first, first + 1, at - first, block)
        order.block[block].first += 1
        return at + 1
    move(order, at + 1, at, end - 1 - at, block)
    order.block[block].end -= 1
    return at


@folded
def place_of(order, slot):  # type: ignore[no-untyped-def]
    """Where a waiting job's entry lies. It waits in this order."""
    block = order.where[slot]
    at = block * BLOCK + order.block[block].first
    while order.entry[at].slot != slot:
        at += 1
    return at


@folded
def remove(order, lines, line, slot):  # type: ignore[no-untyped-def]
    """Take a waiting job out of its line."""
    at = place_of(order, slot)
    remove_at(order, lines, line, np.int64(order.where[slot]), at)


@inner
def resort(order, lines, line, scratch):  # type: ignore[no-untyped-def]
    """Put a line right whose entries were given new keys in place: a merge sort by way of two rows of scratch."""
    count = 0
    block = lines[line].head
    while block >= 0:
        for at in range(block * BLOCK + order.block[block].first, block * BLOCK + order.block[block].end):
            scratch[0, count] = order.entry[at]
            count += 1
        block = np.int64(order.block[block].next)
    source = 0
    width = 1
    while width < count:
        for begin in range(0, count, 2 * width):
            left = begin
            middle = min(begin + width, count)
            right = middle
            end = min(begin + 2 * width, count)
            for at in range(begin, end):
                from_left = right >= end
                if left < middle and right < end:
                    one = scratch[source, left]
                    other = scratch[source, right]
                    from_left = one.key < other.key or (one.key == other.key and one.slot < other.slot)
                if from_left:
                    scratch[1 - source, at] = scratch[source, left]
                    left += 1
                else:
                    scratch[1 - source, at] = scratch[source, right]
                    right += 1
        source = 1 - source
        width *= 2
    count = 0
    block = lines[line].head
    while block >= 0:
        for at in range(block * BLOCK + order.block[block].first, block * BLOCK + order.block[block].end):
            order.entry[at] = scratch[source, count]
            order.where[order.entry[at].slot] = block
            count += 1
        order.block[block].stale = 1
        block = np.int64(order.block[block].next)
