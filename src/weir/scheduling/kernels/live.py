"""The live loop's way through the core: what changed is taken in, promises are put right, and one pass is made."""

from typing import Any

import numpy as np
from numba.cpython.unsafe.numbers import trailing_zeros

from weir.scheduling.kernels.address import addressed
from weir.scheduling.kernels.by_tenant import pass_over
from weir.scheduling.kernels.compiled import bare_folded as folded
from weir.scheduling.kernels.compiled import bare_inner as inner
from weir.scheduling.kernels.compiled import entry
from weir.scheduling.kernels.line import remove
from weir.scheduling.kernels.promises import (
    ALWAYS,
    CAPACITY,
    LIMITS,
    NEVER,
    NOBODY,
    OVERRUN,
    RESUMED,
    WANTED,
    WINDOW,
    ask_anew,
    foresee,
    is_gated,
    keep_cause,
    promise_of,
    reopen,
    wait_for_ends,
)
from weir.scheduling.kernels.reasons import GROUPS
from weir.scheduling.kernels.reasons import hashed as group_place
from weir.scheduling.kernels.room import TASK_BITS, TASK_MASK, choose_later, withhold
from weir.scheduling.kernels.running import release
from weir.scheduling.kernels.seats import (
    are_several,
    give_up_seat,
    open_seat,
    row_at,
    seat_of,
    settle_seats,
    still_proven,
    taken,
)
from weir.scheduling.kernels.stay import as_of, score_from, stays
from weir.scheduling.kernels.supply import next_change, opens_for
from weir.scheduling.kernels.tenants import SHARING
from weir.scheduling.kernels.tenants import let_go as use_no_more
from weir.scheduling.kernels.verdicts import room_left
from weir.scheduling.kernels.waiting import find, leave
from weir.scheduling.kernels.world import (
    expect_class,
    forget,
    give_chance,
    give_up_room,
    know_nothing,
    wait_no_more,
)
from weir.scheduling.tables import FAILS

_zeros_after: Any = trailing_zeros
"""Numba's types want its own argument of it as well."""


@entry
def dequeue(rule, slots, order, lines, index, world, jobs):  # type: ignore[no-untyped-def]
    """Take jobs out wherever they wait; those that do not wait are passed over."""
    order = addressed(order)
    world = addressed(world)
    for i in range(len(jobs)):
        slot = find(index, slots, jobs[i])
        if slot >= 0:
            remove(order, lines, np.int64(slots[slot].line), slot)
            forget(rule, slots, world, slot)
            wait_no_more(world, np.int64(slots[slot].need))
            leave(slots, world.counters, slot)


@entry
def look_at(world, job_class, jobs):  # type: ignore[no-untyped-def]
    """So many jobs of these classes have come, each class once."""
    world = addressed(world)
    for i in range(len(job_class)):
        know_nothing(world, job_class[i])
        world.waiting[expect_class(world, job_class[i])].jobs += jobs[i]


@entry
def let_go(slots, world, which, looking):  # type: ignore[no-untyped-def]
    """Several placements no longer hold capacity. What that opens is looked for once, class by class.

    looking: not 0. It is 0 where all that is known is forgotten before the next pass.
    """
    world = addressed(world)
    places = np.empty(len(which), np.int64)
    begins = np.empty(len(which) + 1, np.int64)
    count = 0
    begins[0] = 0
    for run in which:
        place = np.int64(world.runs[run].pool)
        if place >= 0:
            nodes = world.pools[place].end_node - world.pools[place].first_node
            if begins[count] + nodes > len(world.touched):
                if looking != 0:
                    give_chances(world, places, begins, count)
                count = 0
            places[count] = place
            begins[count + 1] = give_up_room(slots, world, run, begins[count])
            count += 1
        else:
            if world.tenants.clock[SHARING] != 0:
                use_no_more(world, run)
            release(world.pools, world.classes, world.free, world.runs, world.records, world.counters, run)
    if looking != 0:
        give_chances(world, places, begins, count)


@inner
def give_chances(world, places, begins, count):  # type: ignore[no-untyped-def]
    """Of so many placements that have ended, each with its pool and where its nodes begin in `touched`."""
    eligible = world.classes.eligible
    for ended in range(count):
        place = places[ended]
        for word in range(eligible.shape[1]):
            bits = eligible[place, word]
            while bits != 0:
                job_class = 64 * word + np.int64(_zeros_after(bits))
                bits &= bits - 1
                if world.waiting_at[job_class] >= 0:
                    give_chance(world, job_class, place, begins[ended], begins[ended + 1])


@entry
def stand(rule, slots, world, place, slot, start, first, cause, node, tasks):  # type: ignore[no-untyped-def]
    """A promise was told, in place of whatever the pool and the job had; it is still to be settled."""
    world = addressed(world)
    if are_several(world):
        stand_beside(rule, slots, world, place, slot, start, first, cause, node, tasks)
        return
    holder = world.promise[place].slot
    if holder >= 0:
        slots[holder].promised = NOBODY
        world.window[slots[holder].need] = ALWAYS
        world.promise[place].slot = NOBODY
        reopen(world, place)
    other = np.int64(slots[slot].promised)
    if other >= 0:
        world.promise[other].slot = NOBODY
        reopen(world, other)
    room = world.pools[place].end_node - world.pools[place].first_node
    used = len(node) if len(node) <= room else 0
    for i in range(used):
        world.proven[world.pools[place].first_node + i].node = node[i]
        world.proven[world.pools[place].first_node + i].tasks = tasks[i]
    slots[slot].promised = place
    world.promise[place].slot = slot
    world.promise[place].start = start
    world.promise[place].used = used
    world.promise[place].stale = 1
    world.promise[place].first = first
    world.promise[place].cause = cause
    world.promise[place].chosen = 0


@inner
def stand_beside(rule, slots, world, place, slot, start, first, cause, node, tasks):  # type: ignore[no-untyped-def]
    """`stand` where pools have several seats: beside those that stand; where there is no seat left, it does not."""
    other = np.int64(slots[slot].promised)
    if other >= 0:
        give_up_seat(world, slots, other, seat_of(world, other, slot))
        reopen(world, other)
    seat = open_seat(world, slots, place, slot)
    if seat < 0:
        return
    row = world.promise[row_at(world, seat, place)]
    room = world.pools[place].end_node - world.pools[place].first_node
    used = len(node) if len(node) <= room else 0
    begin = seat * len(world.free.node) + world.pools[place].first_node
    for i in range(used):
        world.proven[begin + i].node = node[i]
        world.proven[begin + i].tasks = tasks[i]
    row.start = start
    row.until = start + stays(rule, world, place, np.int64(slots[slot].need), slots[slot].limit)
    row.used = used
    row.first = first
    row.cause = cause


@inner
def settle_several(rule, slots, world, place, now):  # type: ignore[no-untyped-def]
    """`settle`, of the seats of a pool."""
    pool = world.pools[place]
    named = np.int64(LIMITS)
    if pool.running >= 0 and world.runs[pool.running].end < now:
        named = np.int64(OVERRUN)
    seat = np.int64(0)
    while seat < taken(world, place):
        row = world.promise[row_at(world, seat, place)]
        slot = np.int64(row.slot)
        fails = world.classes.barred[slots[slot].need, place] & FAILS != 0
        if row.start == ALWAYS or pool.open == 0 or fails or is_gated(slots, world, slot, place, now):
            # Whoever has not waited long enough asks anew in each pass.
            give_up_seat(world, slots, place, seat)
            continue
        if lost_nodes(world, place, row_at(world, seat, place)):
            named = np.int64(CAPACITY)
        world.window[slots[slot].need] = ALWAYS
        seat += 1
    settle_seats(rule, slots, world, place, named, now)
    reopen(world, place)


@entry
def settle(rule, slots, world, before, now):  # type: ignore[no-untyped-def]
    """Put every promise right by what runs now. It depends on nothing but that and on the promises as they stand.

    A promise whose start is as it was keeps its nodes. before: as large as `later`, to see what is another there.
    """
    world = addressed(world)
    before = addressed(before)
    for place in range(len(world.pools)):
        slot = np.int64(world.promise[place].slot)
        if slot < 0:
            continue
        if are_several(world):
            settle_several(rule, slots, world, place, now)
            continue
        if world.promise[place].start == ALWAYS or is_gated(slots, world, slot, place, now):
            # Whoever has not waited long enough asks anew in each pass.
            void(slots, world, place, slot)
            continue
        pool = world.pools[place]
        job_class = np.int64(slots[slot].need)
        for i in range(pool.first_node, pool.end_node):
            before.node[i] = world.later.node[i]
        for i in range(pool.first_device, pool.end_device):
            before.device[i] = world.later.device[i]
        start = np.int64(-1)
        if pool.open != 0 and world.classes.barred[job_class, place] & FAILS == 0:
            start = foresee(world, world.later, place, job_class, np.int64(ALWAYS), now)
        ended = start
        if start >= 0:
            length = stays(rule, world, place, job_class, slots[slot].limit)
            start = opens_for(world.supply, place, ended, length)
            if start == NEVER:
                start = np.int64(-1)
            else:
                wait_for_ends(world, place, ended, start)
        if start < 0:
            void(slots, world, place, slot)
            continue
        was = world.promise[place].start
        holds = still_proven(world, place, pool.first_node, world.promise[place].used, job_class)
        if start != was or not holds:
            first = world.promise[place].first
            cause = world.promise[place].cause
            named = np.int64(LIMITS)
            if lost_nodes(world, place, place):
                named = np.int64(CAPACITY)
            elif pool.running >= 0 and world.runs[pool.running].end < now:
                named = np.int64(OVERRUN)
            elif start > ended:
                named = np.int64(WINDOW)
            used = choose_later(
                world.pools, world.classes, world.free, world.later, world.work, place, job_class
            )
            world.promise[place].start = start
            world.promise[place].used = used
            world.promise[place].cause = 0
            keep_cause(world, place, was, first, cause, named)
            for i in range(used):
                world.proven[pool.first_node + i].node = world.work.choice[i] >> TASK_BITS
                world.proven[pool.first_node + i].tasks = world.work.choice[i] & TASK_MASK
        used = world.promise[place].used
        for i in range(used):
            proven = world.proven[pool.first_node + i]
            world.work.choice[i] = (proven.node << TASK_BITS) | proven.tasks
        withhold(world.pools, world.classes, world.later, world.work, place, job_class, used)
        world.promise[place].stale = 0
        if start != was or differs(pool, before, world.later):
            # It may be another choice now to wait for it.
            world.window[slots[slot].need] = ALWAYS
            reopen(world, place)


@folded
def void(slots, world, place, slot):  # type: ignore[no-untyped-def]
    """A promise holds no more."""
    world.promise[place].slot = NOBODY
    slots[slot].promised = NOBODY
    world.window[slots[slot].need] = ALWAYS
    ask_anew(world, np.int64(slots[slot].need))
    reopen(world, place)


@inner
def lost_nodes(world, place, row):  # type: ignore[no-untyped-def]
    """Whether nodes of a promise are no longer in service."""
    pool = world.pools[place]
    lost = world.promise[row].used == 0
    first = row // len(world.pools) * len(world.free.node) + pool.first_node
    for i in range(world.promise[row].used):
        if world.proven[first + i].node >= pool.nodes:
            lost = True
    return lost


@inner
def differs(pool, one, other):  # type: ignore[no-untyped-def]
    """Whether a pool's nodes are not the same in both."""
    for i in range(pool.first_node, pool.end_node):
        if (
            one.node[i].devices != other.node[i].devices
            or one.node[i].cores != other.node[i].cores
            or one.node[i].memory != other.node[i].memory
        ):
            return True
    i = pool.first_device
    while i < pool.end_device and one.device[i] == other.device[i]:
        i += 1
    return i < pool.end_device


@entry
def changes_next(supply, now):  # type: ignore[no-untyped-def]
    """The first instant after `now` at which a window begins or ends or a price changes; 2**62: never."""
    supply = addressed(supply)
    return next_change(supply, now)


@entry
def begin(world):  # type: ignore[no-untyped-def]
    """Make ready for a pass."""
    world = addressed(world)
    world.counters[GROUPS] = 0
    world.work.group_index[:] = -1
    world.signal[WANTED] = 0
    world.signal[RESUMED] = -1


@entry
def proceed(rule, slots, order, lines, world, started, now):  # type: ignore[no-untyped-def]
    """Make the pass, or go on with it; returns how many jobs start. See `go_over`."""
    order = addressed(order)
    world = addressed(world)
    return pass_over(rule, slots, order, lines, world, started, now)


@entry
def regroup(work, groups):  # type: ignore[no-untyped-def]
    """Fill an empty index over the groups of starts anew."""
    work = addressed(work)
    mask = len(work.group_index) - 1
    for group in range(groups):
        row = work.group[group]
        at = group_place(row.job_class, row.limit, row.expected, row.deadline, row.chosen, row.kept) & mask
        while work.group_index[at] >= 0:
            at = (at + 1) & mask
        work.group_index[at] = group


@entry
def outlook(world, job_class, now, not_before):  # type: ignore[no-untyped-def]
    """For every pool that a class could go to and that has no room for it now: before when, by the limits of what runs
    there, not enough ends. What is promised is not looked at, and `later` is spoilt."""
    world = addressed(world)
    for place in range(len(world.pools)):
        can_go = world.classes.barred[job_class, place] & FAILS == 0
        if can_go and room_left(world, False, place, job_class) < world.classes.row[job_class].tasks:
            not_before[place] = foresee(world, world.later, place, job_class, np.int64(ALWAYS), now)


@entry
def later_score(slots, world, slot, now):  # type: ignore[no-untyped-def]
    """What a job scores where it is promised a start, from then on."""
    world = addressed(world)
    place = np.int64(slots[slot].promised)
    start = world.promise[promise_of(world, place, slot)].start
    return score_from(world, slots, slot, place, start, as_of(world, now))
