"""Jobs that are given to one pool when they come, and how much work each pool then has before it."""

import numpy as np

from weir.scheduling.kernels.compiled import bare_folded as folded
from weir.scheduling.kernels.compiled import bare_inner as inner
from weir.scheduling.kernels.room import choose
from weir.scheduling.kernels.stay import speed_at, terms_at
from weir.scheduling.tables import FAILS

SCORE, EARLIEST, CHEAPEST, NEAREST = 0, 1, 2, 3
PLACEMENT = 4
NEVER = 2**62


@inner
def fix(rule, slots, world, trace, slot, now):  # type: ignore[no-untyped-def]
    """Where a job is given to one pool when it comes: from then on its class is that of jobs bound to that pool."""
    count = len(world.pools)
    base = np.int64(slots[slot].need) * count
    best = np.int64(-1)
    least = np.int64(NEVER)
    second = np.int64(NEVER)
    for place in range(count):
        job_class = base + place
        if world.classes.barred[job_class, place] & FAILS != 0 or world.pools[place].open == 0:
            continue
        _, move, money, _, _ = terms_at(world, place, job_class, slots[slot].expected, now)
        backlog = np.int64(0)
        # Those that were given to it at this very instant wait too, though none is promised anything yet.
        waits = world.promise[place].slot >= 0 or world.backlog[place, 2] > 0
        if waits or not has_room(world, place, job_class):
            work = world.backlog[place, 0] - now * world.backlog[place, 1] + world.backlog[place, 2]
            backlog = max(0, work) // max(1, world.backlog[place, 3])
        if rule[PLACEMENT] == CHEAPEST:
            first = money
        elif rule[PLACEMENT] == NEAREST:
            first = move
        else:
            first = backlog
        if first < least or (first == least and backlog < second):
            best = np.int64(place)
            least = first
            second = backlog
    if best < 0:
        best = eligible(world, base)
    slots[slot].need = base + max(np.int64(0), best)
    if best >= 0:
        queue_up(world, trace, slots, slot, best)


@inner
def eligible(world, base):  # type: ignore[no-untyped-def]
    """The first pool that a job fits, though it is closed now; -1 if there is none."""
    for place in range(len(world.pools)):
        if world.classes.barred[base + place, place] & FAILS == 0:
            return place
    return -1


@inner
def queue_up(world, trace, slots, slot, place):  # type: ignore[no-untyped-def]
    """Count a job's work among what waits at the pool that it is given to; until it starts, `due` says how much."""
    trace.due[slot] = expected_work(world, trace, slots, slot, place)
    world.backlog[place, 2] += trace.due[slot]


@inner
def count_no_more(world, slots, trace, slot):  # type: ignore[no-untyped-def]
    """A job runs no longer, so it is not among what runs in its pool."""
    place = trace.pool[slot]
    held = amount(world, np.int64(slots[slot].need), place)
    world.backlog[place, 0] -= trace.due[slot] * held
    world.backlog[place, 1] -= held


@folded
def has_room(world, place, job_class):  # type: ignore[no-untyped-def]
    """Whether a job of a class would fit now."""
    return (
        choose(world.pools, world.classes, world.free, world.later, False, world.work, place, job_class) > 0
    )


@folded
def expected_work(world, trace, slots, slot, place):  # type: ignore[no-untyped-def]
    """Node-milliseconds, in whatever the pool has least of, that a job is expected to take there."""
    run = slots[slot].expected * 1_000_000 // speed_at(world, place, np.int64(slots[slot].need))
    return run * amount(world, np.int64(slots[slot].need), place)


@folded
def amount(world, job_class, place):  # type: ignore[no-untyped-def]
    """How much of a pool a job holds: thousandths of devices where it has any, else of cores."""
    need = world.classes.row[job_class]
    if need.devices > 0:
        return need.tasks * need.devices
    return max(1, need.tasks * need.cores)
