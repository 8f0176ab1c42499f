"""One pass in front of many pools: in order, each job starts on its best pool with room, or is promised its best one.

What was found out stays known between passes. A class's window is the longest time limit with which a job of it
might start now (NONE: none, ALWAYS: not known); windows only shrink until something is freed. A promise is a job, a
pool, proven nodes and a start; it binds those behind its holder in order. When jobs end early it is only looked at
again (`stale`) once somebody would be kept from starting by it, or its holder is looked at.
"""

import numpy as np

from weir.scheduling.kernels.compiled import bare_folded as folded
from weir.scheduling.kernels.compiled import bare_inner as inner
from weir.scheduling.kernels.line import BLOCK, insert, remove_at
from weir.scheduling.kernels.priority import GATE_MS, gate
from weir.scheduling.kernels.room import (
    FREE_RECORDS,
    TASK_BITS,
    TASK_MASK,
    choose,
    choose_later,
    fitting,
    give_back,
    may_fit,
    take,
    withhold,
)
from weir.scheduling.kernels.running import FREE_RUNS, new_run, release
from weir.scheduling.kernels.score import terms
from weir.scheduling.kernels.turn import ONLY, ahead

ALWAYS, NONE = 2**62, -1
NEVER = 2**62
NOBODY = -1
DEPTH, RACES, SCALES = 0, 1, 2
REOPENED, WANTED, WAITING = 0, 1, 2
NOMINAL = 1_000_000


@folded
def speed_at(world, place, job_class):  # type: ignore[no-untyped-def]
    """In millionths of nominal, how fast a pool runs a class."""
    variant = world.classes.row[job_class].variant
    speed = world.pools[place].speed
    if variant >= 0:
        return max(1, speed * world.classes.variant_speed[variant, world.pools[place].stack])
    return max(1, speed * 1_000)


@folded
def time_at(rule, world, place, job_class, time):  # type: ignore[no-untyped-def]
    """How long there what takes so long at nominal speed; limits are as long everywhere unless the rule scales them."""
    if rule[SCALES] == 0:
        return time
    speed = speed_at(world, place, job_class)
    return (time * NOMINAL + speed - 1) // speed


@folded
def reopen(world, place):  # type: ignore[no-untyped-def]
    """A pool's promise is free: whoever may use that pool is to be looked at again, for room or for the promise."""
    world.signal[REOPENED] = 1
    for i in range(world.signal[WAITING]):
        job_class = world.waiting[i].job_class
        if world.classes.failed[job_class, place] == 0:
            world.window[job_class] = ALWAYS


@inner
def wait(order, lines, slots, world, slot):  # type: ignore[no-untyped-def]
    """A job comes to wait, among those of its class that do."""
    job_class = slots[slot].need
    at = world.waiting_at[job_class]
    if at < 0:
        at = world.signal[WAITING]
        world.signal[WAITING] += 1
        world.waiting_at[job_class] = at
        world.waiting[at].job_class = job_class
        world.waiting[at].jobs = 0
    world.waiting[at].jobs += 1
    insert(order, lines, slots, ONLY, slot, slots[slot].key, job_class)


@inner
def wait_no_more(world, job_class):  # type: ignore[no-untyped-def]
    """A job of a class has left the line. What is known of a class ends with its last waiting job."""
    at = world.waiting_at[job_class]
    world.waiting[at].jobs -= 1
    if world.waiting[at].jobs == 0:
        last = world.signal[WAITING] - 1
        world.signal[WAITING] = last
        world.waiting[at] = world.waiting[last]
        world.waiting_at[world.waiting[at].job_class] = at
        world.waiting_at[job_class] = -1


@inner
def know_nothing(world, job_class):  # type: ignore[no-untyped-def]
    """Of a class without waiting jobs nothing is kept up to date; so start anew when one comes."""
    world.window[job_class] = ALWAYS
    if world.waiting_at[job_class] < 0:
        world.classes.blocked[job_class, :] = 0


@inner
def score_of(world, slots, slot):  # type: ignore[no-untyped-def]
    """Fill `world.score` with what every pool scores for a job, NEVER where it cannot go."""
    score = world.score
    job_class = slots[slot].need
    expected = slots[slot].expected
    failed = world.classes.failed
    for place in range(len(world.pools)):
        score[place] = NEVER
        if failed[job_class, place] == 0:
            score[place] = terms(world.pools, world.classes, world.rates, place, job_class, expected)[4]


@inner
def go_over(rule, slots, order, lines, world, started, now):  # type: ignore[no-untyped-def]
    """One pass at `now` over all that wait. Returns how many jobs start; they are in `started`.

    When rows for placements run out, it stops with `signal[WANTED]`: enlarge them and go over the rest.
    """
    starts = 0
    open_gates(rule, slots, world, now)
    world.signal[REOPENED] = 1
    while world.signal[REOPENED] != 0:
        world.signal[REOPENED] = 0
        block = np.int64(lines[ONLY].head)
        while block >= 0:
            after = np.int64(order.block[block].next)
            at = block * BLOCK + order.block[block].first
            while at < block * BLOCK + order.block[block].end:
                if order.entry[at].limit > world.window[order.entry[at].need]:
                    at += 1
                    continue
                slot = np.int64(order.entry[at].slot)
                if is_short_of_rows(world, slots[slot].need):
                    return starts
                if examine(rule, slots, world, slot, now):
                    started[starts] = slot
                    starts += 1
                    at = remove_at(order, lines, ONLY, block, at)
                    wait_no_more(world, slots[slot].need)
                else:
                    at += 1
            block = after
    return starts


@folded
def is_short_of_rows(world, job_class):  # type: ignore[no-untyped-def]
    """Whether there may be no rows for the placement of one more job of a class."""
    need = world.classes.row[job_class]
    wanted = need.tasks * max(1, need.devices // 1_000)
    if world.counters[FREE_RUNS] > 0 and world.counters[FREE_RECORDS] >= wanted:
        return False
    world.signal[WANTED] = wanted
    return True


@inner
def arrive(rule, slots, order, lines, world, slot, now):  # type: ignore[no-untyped-def]
    """Look at a job that has just come while nothing was freed: no other is concerned, unless promises change.

    True if it starts; it is then not in the line.
    """
    open_gates(rule, slots, world, now)
    know_nothing(world, slots[slot].need)
    if examine(rule, slots, world, slot, now):
        return True
    wait(order, lines, slots, world, slot)
    return False


@inner
def examine(rule, slots, world, slot, now):  # type: ignore[no-untyped-def]
    """Start a job where it can start best, or see to its promise. True if it starts."""
    job_class = slots[slot].need
    limit = slots[slot].limit
    score_of(world, slots, slot)
    score = world.score
    blocked = world.classes.blocked
    window = np.int64(NONE)
    while True:
        best = -1
        least = NEVER
        for place in range(len(world.pools)):
            if score[place] < least and blocked[job_class, place] == 0 and world.pools[place].open != 0:
                best = place
                least = score[place]
        if best < 0:
            break
        score[best] = NEVER
        if not may_fit(world.pools[best], world.classes.row[job_class]):
            blocked[job_class, best] = 1
            continue
        holder = world.promise[best].slot
        if (
            holder >= 0
            and holder != slot
            and world.promise[best].stale != 0
            and not ahead(slots, slot, holder)
        ):
            if (
                choose(
                    world.pools, world.classes, world.free, world.later, False, world.work, best, job_class
                )
                == 0
            ):
                blocked[job_class, best] = 1
                continue
            renew(rule, slots, world, best, now)
        both = kept_from(rule, slots, world, best, slot, now + time_at(rule, world, best, job_class, limit))
        nodes = choose(world.pools, world.classes, world.free, world.later, both, world.work, best, job_class)
        if nodes > 0:
            begin(rule, slots, world, slot, best, nodes, both, now)
            return True
        if both:
            nodes = choose(
                world.pools, world.classes, world.free, world.later, False, world.work, best, job_class
            )
        if nodes == 0:
            blocked[job_class, best] = 1
        else:
            left = world.promise[best].start - now
            if rule[SCALES] != 0:
                left = np.int64(left * speed_at(world, best, job_class) // NOMINAL)
            window = max(window, left)
    if rule[DEPTH] > 0:
        seek_promise(rule, slots, world, slot, now)
    world.window[job_class] = window
    return False


@folded
def kept_from(rule, slots, world, place, slot, end):  # type: ignore[no-untyped-def]
    """Whether a job that may run there until `end` would take what is promised to a job ahead of it."""
    holder = world.promise[place].slot
    return (
        holder >= 0 and holder != slot and end > world.promise[place].start and not ahead(slots, slot, holder)
    )


@inner
def begin(rule, slots, world, slot, place, nodes, both, now):  # type: ignore[no-untyped-def]
    """A job starts on the chosen nodes; a promise that it held is free again, one that it breaks is made anew."""
    job_class = np.int64(slots[slot].need)
    end = now + time_at(rule, world, place, job_class, slots[slot].limit)
    run = new_run(world.pools, world.runs, world.counters, slot, job_class, place, end)
    world.runs[run].record = take(
        world.pools, world.classes, world.free, world.later, both, world.records, world.counters, world.work,
        place, job_class, nodes,
    )  # fmt: skip
    world.run_of[slot] = run
    withdraw(rule, slots, world, slot)
    holder = world.promise[place].slot
    if holder >= 0 and not both and end > world.promise[place].start:
        # It is ahead of the holder, who may now have to wait longer; then others may start meanwhile.
        renew(rule, slots, world, place, now)
        reopen(world, place)


@inner
def withdraw(rule, slots, world, slot):  # type: ignore[no-untyped-def]
    """Take back what is promised to a job."""
    place = np.int64(slots[slot].promised)
    if place >= 0:
        slots[slot].promised = NOBODY
        if rule[RACES] == 0:
            world.promise[place].slot = NOBODY
            reopen(world, place)
            return
        for other in range(len(world.pools)):
            if world.promise[other].slot == slot:
                world.promise[other].slot = NOBODY
                reopen(world, other)


@inner
def renew(rule, slots, world, place, now):  # type: ignore[no-untyped-def]
    """Make a pool's promise anew for the same job, by what runs there now."""
    slot = np.int64(world.promise[place].slot)
    if is_gated(slots, world, slot, place, now):
        world.promise[place].stale = 0
        return
    world.promise[place].slot = NOBODY
    if not prove(rule, slots, world, slot, place, now):
        slots[slot].promised = NOBODY
        reopen(world, place)
    world.window[slots[slot].need] = ALWAYS
    world.signal[REOPENED] = 1


@inner
def seek_promise(rule, slots, world, slot, now):  # type: ignore[no-untyped-def]
    """Promise a waiting job its best pool, unless a job ahead of it holds that one's promise.

    Where jobs race, each pool promises to the first that wants it.
    """
    score_of(world, slots, slot)
    score = world.score
    best = -1
    least = NEVER
    for place in range(len(world.pools)):
        if score[place] < NEVER and world.pools[place].open != 0:
            if rule[RACES] != 0:
                claim(rule, slots, world, slot, place, now)
            elif score[place] < least:
                best = place
                least = score[place]
    if best >= 0 and rule[RACES] == 0:
        if slots[slot].promised >= 0 and slots[slot].promised != best:
            withdraw(rule, slots, world, slot)
        claim(rule, slots, world, slot, best, now)


@inner
def claim(rule, slots, world, slot, place, now):  # type: ignore[no-untyped-def]
    """Promise a pool to a job, if nobody ahead of it holds that promise."""
    holder = np.int64(world.promise[place].slot)
    if holder == slot:
        return
    if holder >= 0:
        if ahead(slots, holder, slot):
            return
        slots[holder].promised = NOBODY
        world.window[slots[holder].need] = ALWAYS
        world.signal[REOPENED] = 1
        world.promise[place].slot = NOBODY
        reopen(world, place)
    if is_gated(slots, world, slot, place, now):
        world.promise[place].slot = slot
        world.promise[place].start = ALWAYS
        world.promise[place].stale = 0
        slots[slot].promised = place
    elif prove(rule, slots, world, slot, place, now):
        slots[slot].promised = place


@folded
def is_gated(slots, world, slot, place, now):  # type: ignore[no-untyped-def]
    """Whether a job has not yet waited long enough to be promised a pool, for as much of it as it takes."""
    if world.turn[GATE_MS] == 0:
        return False
    whole = world.pools[place].nodes * max(1, world.pools[place].devices_per_node)
    return now - slots[slot].submitted < gate(world.turn, np.int64(slots[slot].size), max(1, whole))


@inner
def open_gates(rule, slots, world, now):  # type: ignore[no-untyped-def]
    """Give promises to those that have waited long enough by now."""
    if world.turn[GATE_MS] == 0:
        return
    for place in range(len(world.pools)):
        slot = np.int64(world.promise[place].slot)
        if (
            slot >= 0
            and world.promise[place].start == ALWAYS
            and not is_gated(slots, world, slot, place, now)
        ):
            renew(rule, slots, world, place, now)


@inner
def prove(rule, slots, world, slot, place, now):  # type: ignore[no-untyped-def]
    """Promise the first instant when, by their limits, enough will have ended; whether there is one.

    What runs past its limit counts as ending now. What the pool has free then, besides the proven nodes, is left in
    `later`.
    """
    pools = world.pools
    pool = pools[place]
    job_class = np.int64(slots[slot].need)
    need = world.classes.row[job_class]
    later = world.later
    for i in range(pool.first_node, pool.end_node):
        later.node[i] = world.free.node[i]
    for i in range(pool.first_device, pool.end_device):
        later.device[i] = world.free.device[i]
    total = 0
    for node in range(pool.nodes):
        total += fitting(pool, later, later, False, node, need, need.tasks)[0]
    start = now
    run = pool.running
    while run >= 0 and (total < need.tasks or world.runs[run].end <= start):
        start = max(start, world.runs[run].end)
        record = world.runs[run].record
        held = world.classes.row[world.runs[run].job_class]
        while record >= 0:
            node = world.records[record].node
            counted = node < pool.nodes and total < need.tasks
            if counted:
                total -= fitting(pool, later, later, False, node, need, need.tasks)[0]
            give_back(pool, later, held, world.records[record], 1)
            if counted:
                total += fitting(pool, later, later, False, node, need, need.tasks)[0]
            record = world.records[record].next
        run = world.runs[run].next
    if total < need.tasks:
        return False
    used = choose_later(pools, world.classes, world.free, later, world.work, place, job_class)
    withhold(pools, world.classes, later, world.work, place, job_class, used)
    for i in range(used):
        world.proven[pool.first_node + i].node = world.work.choice[i] >> TASK_BITS
        world.proven[pool.first_node + i].tasks = world.work.choice[i] & TASK_MASK
    world.promise[place].slot = slot
    world.promise[place].start = start
    world.promise[place].used = used
    world.promise[place].stale = 0
    return True


@inner
def end(rule, slots, world, slot):  # type: ignore[no-untyped-def]
    """A job has ended: what it held is free, and whom that may concern is to be looked at again."""
    run = world.run_of[slot]
    place = np.int64(world.runs[run].pool)
    record = world.runs[run].record
    freed = 0
    while record >= 0:
        node = world.records[record].node
        if freed == 0 or world.touched[freed - 1] != node:
            world.touched[freed] = node
            freed += 1
        record = world.records[record].next
    release(world.pools, world.classes, world.free, world.runs, world.records, world.counters, run)
    world.run_of[slot] = -1
    pool = world.pools[place]
    blocked = world.classes.blocked
    for i in range(world.signal[WAITING]):
        job_class = world.waiting[i].job_class
        if world.classes.failed[job_class, place] != 0:
            continue
        need = world.classes.row[job_class]
        if blocked[job_class, place] != 0:
            if not may_fit(pool, need):
                continue
            fits = need.tasks > 1
            for j in range(freed):
                if fits:
                    break
                node = world.touched[j]
                fits = (
                    node < pool.nodes and fitting(pool, world.free, world.free, False, node, need, 1)[0] > 0
                )
            if not fits:
                continue
            blocked[job_class, place] = 0
        world.window[job_class] = ALWAYS
    holder = world.promise[place].slot
    if holder >= 0:
        world.promise[place].stale = 1
        world.window[slots[holder].need] = ALWAYS
