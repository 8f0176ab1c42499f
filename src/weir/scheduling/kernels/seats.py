"""Several promises a pool: its seats, each held by a waiting job and bound to nodes for as long as that may stay.

A seat's *layer* is what the pool has free when it begins, by the limits of what runs and by what the seats in force
hold then. Between two such instants nothing is taken, so whatever is to stay until `end` fits if it fits now and in the
layer of every seat that begins before `end`. Which seats are in force is a question: those of jobs ahead of the one
that asks, or all but its own. Layers are laid for one such set at a time, and kept until anything there is another.

What runs ends early: each seat in order is then made anew with all others in place, and so only for earlier. One that
cannot be kept is made anew behind those ahead of it alone, for a named cause, and so are all behind it.
"""

import numpy as np

from weir.scheduling.kernels.compiled import bare_folded as folded
from weir.scheduling.kernels.compiled import bare_inner as inner
from weir.scheduling.kernels.room import TASK_BITS, TASK_MASK, choose_later, fitting, give_back, withhold
from weir.scheduling.kernels.stay import stays
from weir.scheduling.kernels.supply import opens_for
from weir.scheduling.kernels.tenants import ahead_of

GATED = 2**62
"""The start of a seat whose holder has not waited long enough: it is in force for nobody."""
NEVER = 2**62
NOBODY, UNLAID = -1, -1
WINDOW = 5


@folded
def are_several(world):  # type: ignore[no-untyped-def]
    """Whether any pool has more than one seat; else nothing of this is used, nor compiled for simulations."""
    return len(world.several) != 0 and len(world.laid) != 0


@folded
def row_at(world, seat, place):  # type: ignore[no-untyped-def]
    """The row of a seat among promises."""
    return seat * len(world.pools) + place


@inner
def taken(world, place):  # type: ignore[no-untyped-def]
    """How many seats of a pool are held."""
    seat = np.int64(0)
    while seat < world.pools[place].seats and world.promise[row_at(world, seat, place)].slot >= 0:
        seat += 1
    return seat


@inner
def seat_of(world, place, slot):  # type: ignore[no-untyped-def]
    """The seat that a job holds in a pool, or -1."""
    for seat in range(world.pools[place].seats):
        if world.promise[row_at(world, seat, place)].slot == slot:
            return np.int64(seat)
    return np.int64(-1)


@inner
def in_force(world, slots, place, slot, own):  # type: ignore[no-untyped-def]
    """The seats, a bit each, that a job must not delay: all others where it has one itself, else those ahead of it."""
    seats = np.int64(0)
    for seat in range(world.pools[place].seats):
        row = world.promise[row_at(world, seat, place)]
        if row.slot < 0 or seat == own or row.start == GATED:
            continue
        if own >= 0 or not ahead_of(world, slots, slot, np.int64(row.slot)):
            seats |= np.int64(1) << seat
    return seats


@inner
def standing(world, place):  # type: ignore[no-untyped-def]
    """All seats of a pool that are in force for somebody, a bit each."""
    seats = np.int64(0)
    for seat in range(world.pools[place].seats):
        row = world.promise[row_at(world, seat, place)]
        if row.slot >= 0 and row.start != GATED:
            seats |= np.int64(1) << seat
    return seats


@inner
def shade(world, slots, place, seats, until):  # type: ignore[no-untyped-def]
    """Let `later` have the least that a pool has free from now until an instant, beside what is free now; whether any
    of these seats begins before then."""
    lay(world, slots, place, seats)
    return darken(world, place, seats, np.int64(-1), until, False)


@inner
def last_start(world, place, seats, until):  # type: ignore[no-untyped-def]
    """When the last of these seats begins that begins before an instant; there is one."""
    last = np.int64(-1)
    for seat in range(world.pools[place].seats):
        start = np.int64(world.promise[row_at(world, seat, place)].start)
        if seats >> seat & 1 != 0 and start < until:
            last = max(last, start)
    return last


@inner
def darken(world, place, seats, since, until, begun):  # type: ignore[no-untyped-def]
    """Take from `later` what is not free in every layer of these seats that begins after `since` and before `until`.

    begun: `later` holds something already. Returns whether it does then.
    """
    pool = world.pools[place]
    nodes = len(world.free.node)
    devices = len(world.free.device)
    later = world.later
    layers = world.layers
    for seat in range(pool.seats):
        start = np.int64(world.promise[row_at(world, seat, place)].start)
        if seats >> seat & 1 == 0 or start <= since or start >= until:
            continue
        for i in range(pool.first_node, pool.end_node):
            layer = layers.node[seat * nodes + i]
            if begun:
                later.node[i].devices = min(later.node[i].devices, layer.devices)
                later.node[i].cores = min(later.node[i].cores, layer.cores)
                later.node[i].memory = min(later.node[i].memory, layer.memory)
            else:
                later.node[i] = layer
        for i in range(pool.first_device, pool.end_device):
            left = layers.device[seat * devices + i]
            later.device[i] = min(later.device[i], left) if begun else left
        begun = True
    return begun


@inner
def lay(world, slots, place, seats):  # type: ignore[no-untyped-def]
    """Lay the layers of these seats, as if there were no others. Spoils `later` and what nodes were chosen."""
    if world.laid[place] == seats:
        return
    world.laid[place] = seats
    pool = world.pools[place]
    nodes = len(world.free.node)
    devices = len(world.free.device)
    later = world.later
    for seat in range(pool.seats):
        if seats >> seat & 1 == 0:
            continue
        start = np.int64(world.promise[row_at(world, seat, place)].start)
        for i in range(pool.first_node, pool.end_node):
            later.node[i] = world.free.node[i]
        for i in range(pool.first_device, pool.end_device):
            later.device[i] = world.free.device[i]
        end_by(world, later, place, np.int64(-1), start)
        occupied(world, slots, later, place, seats, start)
        for i in range(pool.first_node, pool.end_node):
            world.layers.node[seat * nodes + i] = later.node[i]
        for i in range(pool.first_device, pool.end_device):
            world.layers.device[seat * devices + i] = later.device[i]


@inner
def end_by(world, table, place, after, until):  # type: ignore[no-untyped-def]
    """Let a table have what ends by its limit after one instant and not after another."""
    pool = world.pools[place]
    run = pool.running
    while run >= 0 and world.runs[run].end <= until:
        if world.runs[run].end > after:
            held = world.classes.row[world.runs[run].job_class]
            record = world.runs[run].record
            while record >= 0:
                give_back(pool, table, held, world.records[record], np.int64(1))
                record = world.records[record].next
        run = world.runs[run].next


@inner
def occupied(world, slots, table, place, seats, time):  # type: ignore[no-untyped-def]
    """Take from a table what these seats hold at an instant."""
    nodes = len(world.free.node)
    for seat in range(world.pools[place].seats):
        row = world.promise[row_at(world, seat, place)]
        if seats >> seat & 1 == 0 or row.start > time or row.until <= time:
            continue
        first = seat * nodes + world.pools[place].first_node
        for i in range(row.used):
            proven = world.proven[first + i]
            world.work.choice[i] = (proven.node << TASK_BITS) | proven.tasks
        job_class = np.int64(slots[row.slot].need)
        withhold(world.pools, world.classes, table, world.work, place, job_class, row.used)


@inner
def earliest(rule, slots, world, slot, place, seats, latest, now):  # type: ignore[no-untyped-def]
    """The first instant from which on a job fits beside what runs and beside these seats for as long as it may stay;
    -1 if none is until `latest`. What is free meanwhile is left in `later`, and the seats' layers are laid."""
    lay(world, slots, place, seats)
    job_class = np.int64(slots[slot].need)
    pool = world.pools[place]
    need = world.classes.row[job_class]
    length = stays(rule, world, place, job_class, slots[slot].limit)
    free = world.then
    for i in range(pool.first_node, pool.end_node):
        free.node[i] = world.free.node[i]
    for i in range(pool.first_device, pool.end_device):
        free.device[i] = world.free.device[i]
    start = np.int64(now)
    end_by(world, free, place, np.int64(-1), start)
    while start <= latest:
        if len(world.features) != 0:
            opens = opens_for(world.supply, place, start, length)
            if opens == NEVER or opens > latest:
                return np.int64(-1)
            end_by(world, free, place, start, opens)
            start = opens
        if holds(pool, free, need):
            for i in range(pool.first_node, pool.end_node):
                world.later.node[i] = free.node[i]
            for i in range(pool.first_device, pool.end_device):
                world.later.device[i] = free.device[i]
            occupied(world, slots, world.later, place, seats, start)
            darken(world, place, seats, start, start + length, True)
            if holds(pool, world.later, need):
                return start
        following = next_end(world, place, seats, start)
        if following == NEVER:
            return np.int64(-1)
        end_by(world, free, place, start, following)
        start = following
    return np.int64(-1)


@inner
def next_end(world, place, seats, after):  # type: ignore[no-untyped-def]
    """The next instant at which something that runs, or one of these seats, ends."""
    run = world.pools[place].running
    while run >= 0 and world.runs[run].end <= after:
        run = world.runs[run].next
    following = np.int64(world.runs[run].end) if run >= 0 else np.int64(NEVER)
    for seat in range(world.pools[place].seats):
        until = np.int64(world.promise[row_at(world, seat, place)].until)
        if seats >> seat & 1 != 0 and until > after:
            following = min(following, until)
    return following


@inner
def holds(pool, table, need):  # type: ignore[no-untyped-def]
    """Whether a whole gang fits what a table says is free."""
    total = 0
    for node in range(pool.nodes):
        total += fitting(pool, table, table, False, node, need, need.tasks - total)[0]
        if total >= need.tasks:
            return True
    return False


@inner
def seat_proven(rule, slots, world, place, seat, seats, latest, now):  # type: ignore[no-untyped-def]
    """Give a seat the first start that it can have beside these others, until `latest`; whether there is one.

    It keeps its nodes where they serve and its start is as it was.
    """
    row = world.promise[row_at(world, seat, place)]
    slot = np.int64(row.slot)
    job_class = np.int64(slots[slot].need)
    start = earliest(rule, slots, world, slot, place, seats, latest, now)
    if start < 0:
        return False
    first = seat * len(world.free.node) + world.pools[place].first_node
    if start != row.start or not still_proven(world, place, first, row.used, job_class):
        used = choose_later(world.pools, world.classes, world.free, world.later, world.work, place, job_class)
        for i in range(used):
            world.proven[first + i].node = world.work.choice[i] >> TASK_BITS
            world.proven[first + i].tasks = world.work.choice[i] & TASK_MASK
        row.used = used
    row.start = start
    row.until = start + stays(rule, world, place, job_class, slots[slot].limit)
    world.laid[place] = UNLAID
    return True


@inner
def still_proven(world, place, first, used, job_class):  # type: ignore[no-untyped-def]
    """Whether the nodes of a promise, from a row on, hold the whole job in `later`."""
    pool = world.pools[place]
    need = world.classes.row[job_class]
    total = 0
    last = -1
    for i in range(used):
        node = world.proven[first + i].node
        tasks = world.proven[first + i].tasks
        if node <= last or node >= pool.nodes or tasks < 1:
            return False
        if fitting(pool, world.later, world.later, False, node, need, tasks)[0] < tasks:
            return False
        last = node
        total += tasks
    return total == need.tasks


@inner
def settle_seats(rule, slots, world, place, named, now):  # type: ignore[no-untyped-def]
    """Put all seats of a pool right, in order, by what runs there now; whether any of them is another than it was.

    named: why, if one is for later; nobody is kept from anything by a seat that has become impossible, so it is given
    up.
    """
    sort_seats(world, slots, place)
    world.laid[place] = UNLAID
    changed = False
    broken = False
    ahead = np.int64(0)
    seat = 0
    while seat < world.pools[place].seats and world.promise[row_at(world, seat, place)].slot >= 0:
        row = world.promise[row_at(world, seat, place)]
        bit = np.int64(1) << seat
        if row.start == GATED:
            seat += 1
            continue
        was = np.int64(row.start)
        proven = False
        if not broken:
            others = standing(world, place) & ~bit
            proven = seat_proven(rule, slots, world, place, seat, others, max(was, now), now)
        if not proven:
            broken = True
            proven = seat_proven(rule, slots, world, place, seat, ahead, np.int64(NEVER - 1), now)
        if not proven:
            give_up_seat(world, slots, place, seat)
            changed = True
            continue
        if row.start > was:
            cause = named
            if len(world.features) != 0:
                length = row.until - row.start
                if opens_for(world.supply, place, was, length) > was:
                    cause = np.int64(WINDOW)
            row.cause = cause
        elif row.start <= row.first:
            row.cause = 0
        if row.start != was:
            changed = True
            world.window[slots[row.slot].need] = NEVER
        ahead |= bit
        seat += 1
    world.promise[place].stale = 0
    return changed


@inner
def sort_seats(world, slots, place):  # type: ignore[no-untyped-def]
    """Seats in the order of their holders."""
    for seat in range(1, taken(world, place)):
        at = seat
        while at > 0 and ahead_of(
            world,
            slots,
            np.int64(world.promise[row_at(world, at, place)].slot),
            np.int64(world.promise[row_at(world, at - 1, place)].slot),
        ):
            swap_seats(world, place, at)
            at -= 1


@inner
def swap_seats(world, place, seat):  # type: ignore[no-untyped-def]
    """Let a seat and the one before it change places."""
    one = world.promise[row_at(world, seat, place)]
    other = world.promise[row_at(world, seat - 1, place)]
    one.slot, other.slot = other.slot, one.slot
    one.start, other.start = other.start, one.start
    one.until, other.until = other.until, one.until
    one.first, other.first = other.first, one.first
    one.cause, other.cause = other.cause, one.cause
    one.chosen, other.chosen = other.chosen, one.chosen
    nodes = len(world.free.node)
    first = seat * nodes + world.pools[place].first_node
    for i in range(first, first + max(one.used, other.used)):
        mine, others = world.proven[i], world.proven[i - nodes]
        mine.node, others.node = others.node, mine.node
        mine.tasks, others.tasks = others.tasks, mine.tasks
    one.used, other.used = other.used, one.used
    world.laid[place] = UNLAID


@inner
def open_seat(world, slots, place, slot):  # type: ignore[no-untyped-def]
    """A free seat for a job, in its place in the order; the last in order loses his where there is none, and he is
    behind the job. -1: there is none for it."""
    seats = taken(world, place)
    seat = seats
    while seat > 0 and not ahead_of(
        world, slots, np.int64(world.promise[row_at(world, seat - 1, place)].slot), slot
    ):
        seat -= 1
    if seats == world.pools[place].seats:
        if seat == seats:
            return np.int64(-1)
        seats -= 1
        give_up_seat(world, slots, place, seats)
    row = world.promise[row_at(world, seats, place)]
    row.slot = slot
    row.start = GATED
    row.until = GATED
    row.used = 0
    row.first = GATED
    row.cause = 0
    row.chosen = 0
    slots[slot].promised = place
    for at in range(seats, seat, -1):
        swap_seats(world, place, at)
    world.laid[place] = UNLAID
    return np.int64(seat)


@inner
def unsettle_seats(world, slots, place):  # type: ignore[no-untyped-def]
    """Something has ended in a pool: before the next pass its seats are put right, and their holders looked at."""
    world.laid[place] = UNLAID
    for seat in range(taken(world, place)):
        row = world.promise[row_at(world, seat, place)]
        world.promise[place].stale = 1
        world.window[slots[row.slot].need] = NEVER


@inner
def give_up_seat(world, slots, place, seat):  # type: ignore[no-untyped-def]
    """A seat's holder has it no more; those behind it move up."""
    row = world.promise[row_at(world, seat, place)]
    slots[row.slot].promised = NOBODY
    world.window[slots[row.slot].need] = NEVER
    last = taken(world, place) - 1
    for at in range(seat + 1, last + 1):
        swap_seats(world, place, at)
    world.promise[row_at(world, last, place)].slot = NOBODY
    world.laid[place] = UNLAID
    world.promise[place].stale = 1
