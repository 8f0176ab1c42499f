"""One pass in front of a counted pool: in order, each job starts, is promised a start, or is passed over."""

import numpy as np

from weir.scheduling.kernels.compiled import bare_folded as folded
from weir.scheduling.kernels.compiled import bare_inner as inner
from weir.scheduling.kernels.counted import (
    COMMITTED,
    EXTRA,
    FREE,
    PROMISED,
    SHADOW,
    promise,
    take,
    unpromised,
)
from weir.scheduling.kernels.line import BLOCK, BUCKETS, bucket_of, refresh, remove, remove_at, resort
from weir.scheduling.kernels.priority import GATE_MS, WHOLE, gate, key_of
from weir.scheduling.kernels.profile import earliest, fits_now, occupy, unwind

DEPTH, BLOCKING, COMMITS, IN_ORDER, SECOND, CHANGING, PREDICTS, FAIR = 0, 1, 2, 3, 4, 5, 6, 7
ONLY = np.int64(0)
"""The one line that a counted pool has."""
ALWAYS, ALL = 2**62, 2**31 - 1
UNKNOWN = -1


@inner
def go_over(rule, rates, slots, order, lines, second, second_lines, count, profile, scratch, started, now):  # type: ignore[no-untyped-def]
    """One pass at `now` over jobs that wait. Writes those that start into `started` and returns how many.

    second: the order in which jobs are backfilled, if the rule has one. profile: what is promised, if more than one
    job may be. scratch: room to sort jobs, if their keys change as they wait.
    """
    starts = 0
    if rule[CHANGING] != 0:
        rekey(rates, slots, order, lines, now)
        resort(order, lines, ONLY, scratch)
    count.state[PROMISED] = -1
    if rule[COMMITS] != 0 and count.state[COMMITTED] >= 0:
        slot = count.state[COMMITTED]
        if slots[slot].need > count.state[FREE]:
            return 0
        count.state[COMMITTED] = -1
        starts = start(rule, order, lines, second, second_lines, count, started, starts, now, slots, slot)
    if rule[DEPTH] == 0 and rule[BLOCKING] == 0:
        return backfill(rule, order, lines, second, second_lines, count, started, starts, now, slots)
    # Where others have promises too, the first in order must not start at their cost.
    while rule[DEPTH] <= 1 and lines[ONLY].head >= 0:
        block = np.int64(lines[ONLY].head)
        at = block * BLOCK + order.block[block].first
        need = np.int64(order.entry[at].need)
        slot = np.int64(order.entry[at].slot)
        if need > count.state[FREE]:
            break
        remove_at(order, lines, ONLY, block, at)
        if rule[SECOND] != 0:
            remove(second, second_lines, ONLY, slot)
        take(count, slot, now + slots[slot].limit, need)
        started[starts] = slot
        starts += 1
    if lines[ONLY].head < 0:
        return starts
    slot = np.int64(order.entry[lines[ONLY].head * BLOCK + order.block[lines[ONLY].head].first].slot)
    if rule[COMMITS] != 0:
        count.state[COMMITTED] = slot
    if rule[BLOCKING] != 0:
        return starts
    if rule[DEPTH] > 1:
        return promise_many(
            rule, slots, order, lines, second, second_lines, count, profile, started, starts, now
        )
    if rates[GATE_MS] != 0 and now - slots[slot].submitted < gate(
        rates, np.int64(slots[slot].need), rates[WHOLE]
    ):
        return backfill(rule, order, lines, second, second_lines, count, started, starts, now, slots)
    # When that is, is worked out once somebody else could start: mostly nobody could.
    count.state[PROMISED] = slot
    count.state[SHADOW] = UNKNOWN
    if lines[ONLY].waiting == 1 or count.state[FREE] == 0:
        return starts
    return backfill(rule, order, lines, second, second_lines, count, started, starts, now, slots)


@inner
def rekey(rates, slots, order, lines, now):  # type: ignore[no-untyped-def]
    """Give every waiting job the key that it has now."""
    block = lines[ONLY].head
    while block >= 0:
        for at in range(block * BLOCK + order.block[block].first, block * BLOCK + order.block[block].end):
            slot = order.entry[at].slot
            need = np.int64(order.entry[at].need)
            order.entry[at].key = key_of(rates, slots[slot].submitted, slots[slot].expected, need, now)
        block = np.int64(order.block[block].next)


@folded
def start(rule, order, lines, second, second_lines, count, started, starts, now, slots, slot):  # type: ignore[no-untyped-def]
    """A job waits no more, in either order, and starts; returns how many have."""
    remove(order, lines, ONLY, slot)
    if rule[SECOND] != 0:
        remove(second, second_lines, ONLY, slot)
    take(count, slot, now + slots[slot].limit, np.int64(slots[slot].need))
    started[starts] = slot
    return starts + 1


@folded
def starts_at_once(rule, slots, lines, count, now, slot):  # type: ignore[no-untyped-def]
    """What a pass would find for the only job that has come since the last one, if nothing has ended since.

    1: it starts. 0: it waits, and nothing else is changed by it. -1: all must be gone over. Those that could not
    start before cannot start now; but were the new one ahead of the promised one, that promise would be its.
    """
    need = np.int64(slots[slot].need)
    if lines[ONLY].waiting == 0:
        return 1 if need <= count.state[FREE] else -1
    if rule[DEPTH] == 0:
        if rule[BLOCKING] == 0:
            return 1 if need <= count.state[FREE] else 0
        return 0 if rule[IN_ORDER] != 0 or count.state[COMMITTED] >= 0 else -1
    if rule[DEPTH] > 1 or rule[CHANGING] != 0:
        return -1
    if unpromised(count) or (rule[IN_ORDER] == 0 and ahead(slots, slot, count.state[PROMISED])):
        return -1
    if need > count.state[FREE]:
        return 0
    if count.state[SHADOW] == UNKNOWN:
        promised = count.state[PROMISED]
        promise(count, promised, np.int64(slots[promised].need), now)
    if now + slots[slot].limit > count.state[SHADOW]:
        if need > count.state[EXTRA]:
            return 0
        count.state[EXTRA] -= need
    return 1


@folded
def ahead(slots, one, other):  # type: ignore[no-untyped-def]
    """Whether one job comes before another in the order of promises."""
    if slots[one].key != slots[other].key:
        return slots[one].key < slots[other].key
    return slots[one].job < slots[other].job


@inner
def backfill(rule, order, lines, second, second_lines, count, started, starts, now, slots):  # type: ignore[no-untyped-def]
    """Start, in order, each job that fits now and either ends before the promised start or leaves that its room."""
    along = order
    along_lines = lines
    if rule[SECOND] != 0:
        along = second
        along_lines = second_lines
    free = count.state[FREE]
    promised = count.state[PROMISED]
    window = np.int64(ALWAYS)
    extra = np.int64(ALL)
    bucket = BUCKETS - 1
    known = promised < 0
    block = np.int64(along_lines[ONLY].head)
    while block >= 0 and free > 0:
        after = np.int64(along.block[block].next)
        if (
            along.block[block].stale != 0
            or along.least[block, bucket] <= free
            or along.least[block, BUCKETS - 1] <= min(free, extra)
        ):
            found = starts
            at = block * BLOCK + along.block[block].first
            while True:
                end = block * BLOCK + along.block[block].end
                at = next_fitting(along, at, end, free, window, extra)
                if at >= end:
                    break
                slot = np.int64(along.entry[at].slot)
                if slot == promised:
                    at += 1
                    continue
                if not known:
                    known = True
                    promise(count, promised, np.int64(slots[promised].need), now)
                    window = count.state[SHADOW] - now
                    extra = count.state[EXTRA]
                    bucket = bucket_of(window)
                    continue
                need = np.int64(along.entry[at].need)
                limit = along.entry[at].limit
                free -= need
                if limit > window:
                    extra -= need
                at = remove_at(along, along_lines, ONLY, block, at)
                if rule[SECOND] != 0:
                    remove(order, lines, ONLY, slot)
                take(count, slot, now + limit, need)
                started[starts] = slot
                starts += 1
            if found == starts and along.block[block].stale != 0 and along_lines[ONLY].waiting > BLOCK:
                refresh(along, block)
        block = after
    if promised >= 0 and known:
        count.state[EXTRA] = extra
    return starts


@folded
def next_fitting(order, at, end, free, window, extra):  # type: ignore[no-untyped-def]
    """The first entry from `at` on whose job fits and either ends within the window or needs no more than is extra.

    One condition an entry, as who fits is hard to foresee; an unsigned index is not looked at for being negative.
    """
    while at < end:
        entry = order.entry[np.uint64(at)]
        if (entry.need <= free) & ((entry.limit <= window) | (entry.need <= extra)):
            break
        at += 1
    return at


@inner
def promise_many(rule, slots, order, lines, second, second_lines, count, profile, started, starts, now):  # type: ignore[no-untyped-def]
    """Promise the first jobs in order a start each; then start those behind them that delay none of these.

    A job that was promised a start before keeps it or gets an earlier one: its own promise is lifted from the
    profile while the first gap that holds it is looked for, with all other old promises in place.
    """
    unwind(count, profile, now)
    block = np.int64(lines[ONLY].head)
    while block >= 0:
        for at in range(block * BLOCK + order.block[block].first, block * BLOCK + order.block[block].end):
            slot = np.int64(order.entry[at].slot)
            begin = profile.promised[slot]
            if begin >= 0:
                occupy(profile, begin, begin + order.entry[at].limit, np.int64(order.entry[at].need))
        block = np.int64(order.block[block].next)
    promises = 0
    block = np.int64(lines[ONLY].head)
    while block >= 0:
        after = np.int64(order.block[block].next)
        at = block * BLOCK + order.block[block].first
        while at < block * BLOCK + order.block[block].end:
            slot = np.int64(order.entry[at].slot)
            need = np.int64(order.entry[at].need)
            limit = order.entry[at].limit
            begin = profile.promised[slot]
            if begin >= 0:
                occupy(profile, begin, begin + limit, -need)
                profile.promised[slot] = -1
            if need <= count.state[FREE] and fits_now(profile, need, limit):
                occupy(profile, now, now + limit, need)
                at = remove_at(order, lines, ONLY, block, at)
                if rule[SECOND] != 0:
                    remove(second, second_lines, ONLY, slot)
                take(count, slot, now + limit, need)
                started[starts] = slot
                starts += 1
                continue
            if promises < rule[DEPTH]:
                promises += 1
                begin = earliest(profile, now, need, limit)
                profile.promised[slot] = begin
                occupy(profile, begin, begin + limit, need)
            at += 1
        block = after
    return starts
