"""Promises: at most one a pool, to a waiting job, of proven nodes from a start on; it binds those behind in order.

A promise stands until its holder starts, waits no more, or loses it to a job ahead in order that wants the same pool.
When jobs end early it is only looked at again (`stale`) once somebody would be kept from starting by it, or its holder
is looked at. It is for later only for a cause, which is kept.
"""

import numpy as np

from weir.scheduling.kernels.compiled import bare_folded as folded
from weir.scheduling.kernels.compiled import bare_inner as inner
from weir.scheduling.kernels.priority import GATE_MS, gate
from weir.scheduling.kernels.room import TASK_BITS, TASK_MASK, choose_later, fitting, give_back, withhold
from weir.scheduling.kernels.seats import are_several, give_up_seat, row_at, seat_of
from weir.scheduling.kernels.stay import as_of, latest_for, least_from, score_from, score_then, stays
from weir.scheduling.kernels.supply import opens_for
from weir.scheduling.kernels.tenants import ahead_of, is_beyond
from weir.scheduling.kernels.vacancy import is_eligible, is_vacant
from weir.scheduling.tables import FAILS, SEGMENTS

ALWAYS = 2**62
CONTENT = 2**61
"""A window: nobody of the class may start now but those who wait by choice, for whom nothing has changed since."""
NEVER = 2**62
NOBODY, ANYWHERE = -1, -2
RACES, LATER = 1, 8
REOPENED, WANTED, WAITING, RESUMED, MARKED = 0, 1, 2, 3, 4
AS_PROMISED, AHEAD, OVERRUN, CAPACITY, LIMITS, WINDOW, FEWER = 0, 1, 2, 3, 4, 5, 6
"""Why a promise is later than it was: a job ahead of its holder started there; something runs past its limit; nodes
were lost; what runs there has other limits; the pool is out of service meanwhile; it promises fewer starts
than it did, and whoever had one that lapsed, and is ahead, is promised one anew."""


@inner
def seek_promise(rule, slots, world, slot, now):  # type: ignore[no-untyped-def]
    """Promise a waiting job its best pool, unless a job ahead of it holds that one's promise.

    Where jobs race, each pool promises to the first that wants it.
    """
    job_class = np.int64(slots[slot].need)
    if rule[RACES] != 0:
        world.best[job_class] = ANYWHERE
        for place in range(len(world.pools)):
            if world.classes.barred[job_class, place] & FAILS == 0 and world.pools[place].open != 0:
                claim(rule, slots, world, slot, place, now)
        return
    if rule[LATER] != 0 and slots[slot].promised >= 0:
        # It may have chosen to wait there when it could start elsewhere.
        return
    if world.best[job_class] < 0:
        if len(world.features) != 0 and slots[slot].promised >= 0:
            # What is better may be another by now; what was promised is kept.
            world.best[job_class] = slots[slot].promised
        else:
            world.best[job_class] = best_open(world, score_of(rule, world, slots, slot))
    best = world.best[job_class]
    if best >= 0:
        if slots[slot].promised >= 0 and slots[slot].promised != best:
            withdraw(rule, slots, world, slot)
        claim(rule, slots, world, slot, best, now)


@inner
def prefers_later(rule, slots, world, slot, there, here, now):  # type: ignore[no-untyped-def]
    """Whether a job that could start now in one pool, where it scores `here`, rather waits for one promised to it.

    It does while its score there, from the promised start on, is the better one; whoever is promised nothing yet asks
    for the pool where that is best. A start that is due and not there is one that nobody can count on. Spoils what
    nodes were chosen.
    """
    place = np.int64(slots[slot].promised)
    if place < 0:
        place = best_later(rule, slots, world, slot, here, now)
        if place < 0:
            return False
        claim(rule, slots, world, slot, place, now)
    elif place == there:
        return False
    elif world.promise[place].stale != 0:
        renew(rule, slots, world, place, now)
    if slots[slot].promised < 0:
        return False
    start = world.promise[place].start
    if start <= now or start == ALWAYS:
        return False
    if score_from(world, slots, slot, place, start, as_of(world, now)) >= here:
        return False
    world.promise[place].chosen = 1
    return True


@folded
def waits_by_choice(slots, world, slot, now):  # type: ignore[no-untyped-def]
    """Whether a job could start when it was last looked at, and waits for the better pool that is promised to it from a
    later instant on."""
    place = np.int64(slots[slot].promised)
    if place < 0:
        return False
    row = promise_of(world, place, slot)
    return world.promise[row].chosen != 0 and world.promise[row].start > now


@folded
def promise_of(world, place, slot):  # type: ignore[no-untyped-def]
    """The row of what a job is promised in a pool."""
    if are_several(world):
        return row_at(world, seat_of(world, place, slot), place)
    return place


@inner
def best_later(rule, slots, world, slot, most, now):  # type: ignore[no-untyped-def]
    """Of the pools that can be promised to a job at once, the one where it scores best, and less than `most`, from the
    start on that it would be promised; -1 for none."""
    job_class = np.int64(slots[slot].need)
    since = as_of(world, now)
    best = np.int64(NOBODY)
    width = 8 * segment_width(world)
    segments = world.classes.row[job_class].segments
    first = 0
    while segments != 0:
        if segments & 1 != 0:
            for place in range(first, min(first + width, len(world.pools))):
                if world.classes.barred[job_class, place] & FAILS != 0 or world.pools[place].open == 0:
                    continue
                holder = np.int64(world.promise[place].slot)
                if is_beyond(world, slots, slot, place):
                    continue
                if holder >= 0 and ahead_of(world, slots, holder, slot):
                    continue
                least = least_from(world, slots, slot, place, since)
                if least >= most or is_gated(slots, world, slot, place, now):
                    continue
                latest = latest_for(world, job_class, most - least, since)
                start = start_there(rule, slots, world, slot, place, latest, now)
                if start <= now:
                    continue
                score = score_from(world, slots, slot, place, start, since)
                if score < most:
                    best = np.int64(place)
                    most = score
        segments >>= 1
        first += width
    return best


@inner
def start_there(rule, slots, world, slot, place, latest, now):  # type: ignore[no-untyped-def]
    """The start that a job would be promised in a pool, or -1 if there is none until `latest`."""
    job_class = np.int64(slots[slot].need)
    if not may_fit_until(world, place, job_class, latest):
        return np.int64(-1)
    start = foresee(world, world.then, place, job_class, latest, now)
    if start >= 0 and len(world.features) != 0:
        length = stays(rule, world, place, job_class, slots[slot].limit)
        start = opens_for(world.supply, place, start, length)
        if start > latest or start == NEVER:
            return np.int64(-1)
    return start


@inner
def may_fit_until(world, place, job_class, latest):  # type: ignore[no-untyped-def]
    """Whether a pool will have as much free by then, all nodes together, as a gang needs."""
    pool = world.pools[place]
    need = world.classes.row[job_class]
    cores = need.tasks * need.cores - pool.free_cores
    devices = np.int64(0) if pool.shares != 0 else need.tasks * need.devices - pool.free_devices
    run = pool.running
    while (cores > 0 or devices > 0) and run >= 0 and world.runs[run].end <= latest:
        held = world.classes.row[world.runs[run].job_class]
        cores -= held.tasks * held.cores
        devices -= held.tasks * held.devices
        run = world.runs[run].next
    return cores <= 0 and devices <= 0


@inner
def claim(rule, slots, world, slot, place, now):  # type: ignore[no-untyped-def]
    """Promise a pool to a job, if nobody ahead of it holds that promise."""
    holder = np.int64(world.promise[place].slot)
    if holder == slot or is_beyond(world, slots, slot, place):
        return
    if holder >= 0:
        if ahead_of(world, slots, holder, slot):
            return
        slots[holder].promised = NOBODY
        world.window[slots[holder].need] = ALWAYS
        ask_anew(world, np.int64(slots[holder].need))
        world.signal[REOPENED] = 1
        world.promise[place].slot = NOBODY
        reopen(world, place)
    if is_gated(slots, world, slot, place, now):
        world.promise[place].slot = slot
        world.promise[place].start = ALWAYS
        world.promise[place].stale = 0
        world.promise[place].chosen = 0
        slots[slot].promised = place
    elif prove(rule, slots, world, slot, place, now):
        slots[slot].promised = place


@inner
def withdraw(rule, slots, world, slot):  # type: ignore[no-untyped-def]
    """Take back what is promised to a job."""
    place = np.int64(slots[slot].promised)
    if place >= 0:
        if are_several(world):
            give_up_seat(world, slots, place, seat_of(world, place, slot))
            reopen(world, place)
            return
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
    start = world.promise[place].start
    first = world.promise[place].first
    cause = world.promise[place].cause
    world.promise[place].slot = NOBODY
    if prove(rule, slots, world, slot, place, now):
        if start != ALWAYS:
            keep_cause(world, place, start, first, cause, AHEAD)
    else:
        slots[slot].promised = NOBODY
        ask_anew(world, np.int64(slots[slot].need))
        reopen(world, place)
    world.window[slots[slot].need] = ALWAYS
    world.signal[REOPENED] = 1


@folded
def ask_anew(world, job_class):  # type: ignore[no-untyped-def]
    """The first job of a class has lost its promise: which pool it asks for is what is best by now."""
    if len(world.features) != 0:
        world.best[job_class] = NOBODY


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


@folded
def kept_from(rule, slots, world, place, slot, end):  # type: ignore[no-untyped-def]
    """Whether a job that may run there until `end` would take what is promised to a job ahead of it."""
    holder = world.promise[place].slot
    return (
        holder >= 0
        and holder != slot
        and end > world.promise[place].start
        and not ahead_of(world, slots, slot, holder)
    )


@folded
def is_gated(slots, world, slot, place, now):  # type: ignore[no-untyped-def]
    """Whether a job has not yet waited long enough to be promised a pool, for as much of it as it takes."""
    if world.turn[GATE_MS] == 0 or world.pools[place].ahead != 0:
        return False
    whole = world.pools[place].nodes * max(1, world.pools[place].devices_per_node)
    return now - slots[slot].submitted < gate(world.turn, np.int64(slots[slot].size), max(1, whole))


@folded
def reopen(world, place):  # type: ignore[no-untyped-def]
    """A pool's promise is free or another: whom it kept out and who asks for it are to be looked at again."""
    world.signal[REOPENED] = 1
    for i in range(world.signal[WAITING]):
        job_class = world.waiting[i].job_class
        if world.window[job_class] != ALWAYS:
            best = world.best[job_class]
            if (
                best == place
                or is_vacant(world.classes, job_class, place)
                or (best == ANYWHERE and is_eligible(world.classes, job_class, place))
            ):
                world.window[job_class] = ALWAYS


@inner
def prove(rule, slots, world, slot, place, now):  # type: ignore[no-untyped-def]
    """Promise the first instant when, by their limits, enough will have ended; whether there is one.

    What the pool has free then, besides the proven nodes, is left in `later`.
    """
    job_class = np.int64(slots[slot].need)
    start = foresee(world, world.later, place, job_class, np.int64(NEVER), now)
    if start < 0:
        return False
    if len(world.features) != 0:
        length = stays(rule, world, place, job_class, slots[slot].limit)
        opens = opens_for(world.supply, place, start, length)
        if opens == NEVER:
            return False
        wait_for_ends(world, place, start, opens)
        start = opens
    used = choose_later(world.pools, world.classes, world.free, world.later, world.work, place, job_class)
    withhold(world.pools, world.classes, world.later, world.work, place, job_class, used)
    first_node = world.pools[place].first_node
    for i in range(used):
        world.proven[first_node + i].node = world.work.choice[i] >> TASK_BITS
        world.proven[first_node + i].tasks = world.work.choice[i] & TASK_MASK
    world.promise[place].slot = slot
    world.promise[place].start = start
    world.promise[place].used = used
    world.promise[place].stale = 0
    world.promise[place].first = start
    world.promise[place].cause = AS_PROMISED
    world.promise[place].chosen = 0
    return True


@folded
def keep_cause(world, place, start, first, cause, named):  # type: ignore[no-untyped-def]
    """A promise was made anew for the same job: what was promised first, and why it is later if it is."""
    world.promise[place].first = first
    if world.promise[place].start > start:
        world.promise[place].cause = named
    elif world.promise[place].start > first:
        world.promise[place].cause = cause


@inner
def foresee(world, later, place, job_class, latest, now):  # type: ignore[no-untyped-def]
    """The first instant when, by their limits, enough for a class will have ended; -1 if none is until `latest`.

    What runs past its limit counts as ending now. What the pool has free then is left in `later`.
    """
    pool = world.pools[place]
    need = world.classes.row[job_class]
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
        if start > latest:
            return np.int64(-1)
        record = world.runs[run].record
        held = world.classes.row[world.runs[run].job_class]
        while record >= 0:
            node = world.records[record].node
            counted = node < pool.nodes and total < need.tasks
            if counted:
                total -= fitting(pool, later, later, False, node, need, need.tasks)[0]
            give_back(pool, later, held, world.records[record], np.int64(1))
            if counted:
                total += fitting(pool, later, later, False, node, need, need.tasks)[0]
            record = world.records[record].next
        run = world.runs[run].next
    return start if total >= need.tasks else np.int64(-1)


@inner
def wait_for_ends(world, place, start, then):  # type: ignore[no-untyped-def]
    """After `foresee` said `start`: let `later` have what will have ended by a later instant, too."""
    pool = world.pools[place]
    run = pool.running
    while run >= 0 and world.runs[run].end <= then:
        if world.runs[run].end > start:
            held = world.classes.row[world.runs[run].job_class]
            record = world.runs[run].record
            while record >= 0:
                give_back(pool, world.later, held, world.records[record], np.int64(1))
                record = world.records[record].next
        run = world.runs[run].next


@inner
def score_of(rule, world, slots, slot):  # type: ignore[no-untyped-def]
    """What every pool scores for a job, into `score`, NEVER where it cannot go; where it can, into `candidate`.

    Returns how many pools that are.
    """
    score = world.score
    job_class = np.int64(slots[slot].need)
    barred = world.classes.barred
    count = 0
    for place in range(len(world.pools)):
        score[place] = NEVER
    width = 8 * segment_width(world)
    segments = world.classes.row[job_class].segments
    first = 0
    while segments != 0:
        if segments & 1 != 0:
            for place in range(first, min(first + width, len(world.pools))):
                if barred[job_class, place] & FAILS == 0:
                    score[place] = score_then(rule, world, slots, slot, place)
                    world.candidate[count] = place
                    count += 1
        segments >>= 1
        first += width
    return count


@folded
def segment_width(world):  # type: ignore[no-untyped-def]
    """How many eights of pools lie in each segment."""
    return max(1, (len(world.pools) + 8 * SEGMENTS - 1) // (8 * SEGMENTS))


@inner
def best_open(world, count):  # type: ignore[no-untyped-def]
    """Of so many pools in `candidate` the best scored that is open, with room or without, or -1."""
    best = NOBODY
    least = NEVER
    for i in range(count):
        place = world.candidate[i]
        if world.score[place] < least and world.pools[place].open != 0:
            best = place
            least = world.score[place]
    return best
