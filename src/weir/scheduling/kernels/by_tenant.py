"""One pass where tenants share: always the first job, not yet looked at, of the tenant whose turn it is.

Whoever starts a job has used more, so that another's turn may come. The order between tenants is the one that holds at
the instant when two jobs are compared.

What a pass found of a class's chance beside promises holds for that pass alone, since the next one may have another
order; that there is no room at all stays known. Of each class the first job that a round comes to asks for promises.
"""

import numpy as np

from weir.scheduling.kernels.compiled import bare_folded as folded
from weir.scheduling.kernels.compiled import bare_inner as inner
from weir.scheduling.kernels.line import BLOCK, remove_at
from weir.scheduling.kernels.promises import (
    ALWAYS,
    MARKED,
    NOBODY,
    REOPENED,
    RESUMED,
    WAITING,
    withdraw,
)
from weir.scheduling.kernels.seats import are_several
from weir.scheduling.kernels.several import make_ready
from weir.scheduling.kernels.tenants import (
    HEAPED,
    ROUND,
    SHARING,
    ahead_of,
    done_with,
    gather,
    is_beyond,
    is_beyond_anywhere,
    leads,
    note_kept,
    sink,
)
from weir.scheduling.kernels.verdicts import judge
from weir.scheduling.kernels.world import (
    DEPTH,
    examine,
    go_over,
    is_short_of_rows,
    wait_no_more,
)
from weir.scheduling.lanes import NO_CEILING


@inner
def pass_over(rule, slots, order, lines, world, started, now):  # type: ignore[no-untyped-def]
    """One pass, by tenants where they share; see `go_over`."""
    if world.tenants.clock[SHARING] == 0:
        return go_over(rule, slots, order, lines, world, started, now)
    return go_by_turns(rule, slots, order, lines, world, started, now)


@inner
def go_by_turns(rule, slots, order, lines, world, started, now):  # type: ignore[no-untyped-def]
    """As `go_over`, by tenants."""
    starts = 0
    if len(world.features) != 0 and world.now[1] == 0:
        world.now[0] = now
    tenants = world.tenants
    resumed = world.signal[RESUMED] >= 0
    if not resumed:
        make_ready(rule, slots, world, now)
        world.signal[REOPENED] = 1
        forget_order(world)
        take_from_those_beyond(rule, slots, world)
    while resumed or world.signal[REOPENED] != 0:
        again = resumed
        if resumed:
            world.signal[RESUMED] = -1
            resumed = False
        else:
            world.signal[REOPENED] = 0
            gather(order, lines, tenants)
        while tenants.clock[HEAPED] > 0:
            line = tenants.heap[0]
            at = tenants.cursor[line]
            found = at if again else next_to_examine(rule, slots, order, lines, world, line, at, now)
            again = False
            if found < 0:
                done_with(tenants)
                continue
            slot = np.int64(order.entry[found].slot)
            tenants.cursor[line] = found
            if is_short_of_rows(world, np.int64(slots[slot].need)):
                world.signal[RESUMED] = found
                return starts
            if not examine(rule, slots, world, slot, now):
                tenants.cursor[line] = after(order, found)
            else:
                block = found // BLOCK
                following = np.int64(order.block[block].next)
                started[starts] = slot
                starts += 1
                found = remove_at(order, lines, line, block, found)
                wait_no_more(world, np.int64(slots[slot].need))
                if found < block * BLOCK + order.block[block].end:
                    tenants.cursor[line] = found
                elif following >= 0:
                    tenants.cursor[line] = following * BLOCK + order.block[following].first
                else:
                    tenants.cursor[line] = -1
                if not leads(tenants):
                    sink(tenants, np.int64(0))
    note_kept(slots, world)
    return starts


@inner
def next_to_examine(rule, slots, order, lines, world, line, at, now):  # type: ignore[no-untyped-def]
    """The first entry of a line from `at` on whose job may start or has to ask for a promise; -1 if there is none."""
    tenants = world.tenants
    marked = world.signal[MARKED]
    round_ = tenants.clock[ROUND]
    tenant = tenants.of[line]
    capped = tenants.ceiling[tenant] != NO_CEILING
    entries = order.entry
    seen = tenants.seen
    window = world.window
    while at >= 0:
        block = at // BLOCK
        end = block * BLOCK + order.block[block].end
        while at < end:
            entry = entries[at]
            if entry.slot == marked:
                judge(rule, slots, world, marked, now)
            job_class = np.int64(entry.need)
            if capped and is_beyond_anywhere(world, tenant, job_class):
                at += 1
                continue
            if seen[job_class] != round_:
                seen[job_class] = round_
                if asks(rule, slots, world, np.int64(entry.slot), job_class):
                    return at
            if entry.limit <= window[job_class]:
                return at
            at += 1
        following = np.int64(order.block[block].next)
        at = following * BLOCK + order.block[following].first if following >= 0 else np.int64(-1)
    return np.int64(-1)


@inner
def asks(rule, slots, world, slot, job_class):  # type: ignore[no-untyped-def]
    """Whether the first job of a class that a round comes to has to ask for a promise, though it cannot start."""
    if rule[DEPTH] == 0:
        return False
    if are_several(world):
        return True
    if world.first[job_class] != slot:
        world.first[job_class] = NOBODY
        return True
    best = world.best[job_class]
    if best < 0:
        return False
    holder = world.promise[best].slot
    return holder != slot and (holder < 0 or not ahead_of(world, slots, holder, slot))


@folded
def after(order, at):  # type: ignore[no-untyped-def]
    """The place of the next entry of a line, or -1."""
    block = at // BLOCK
    if at + 1 < block * BLOCK + order.block[block].end:
        return at + 1
    following = np.int64(order.block[block].next)
    return following * BLOCK + order.block[following].first if following >= 0 else np.int64(-1)


@inner
def take_from_those_beyond(rule, slots, world):  # type: ignore[no-untyped-def]
    """Whose tenant's ceiling keeps him from what is promised to him is promised it no more."""
    # A seat that is given up is taken by those behind it.
    for row in range(len(world.promise) - 1, -1, -1):
        place = row % len(world.pools)
        slot = np.int64(world.promise[row].slot)
        if slot >= 0 and is_beyond(world, slots, slot, place):
            withdraw(rule, slots, world, slot)


@inner
def forget_order(world):  # type: ignore[no-untyped-def]
    """What depends on the order between tenants is not known of a new pass."""
    for i in range(world.signal[WAITING]):
        job_class = world.waiting[i].job_class
        if world.window[job_class] >= 0:
            world.window[job_class] = ALWAYS
