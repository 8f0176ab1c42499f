"""Preemption: for a job of a higher class that has no room, the cheapest jobs whose classes allow it give up theirs.

So do, for the job of a tenant who holds less than his quota, the cheapest of the same class that others have borrowed.

What a job that gives way costs is the work that it loses and has to do again, with what beginning again takes, at what
its time is worth for all that it holds, and what its tenant is given back for the lost time. Of all sets that make
room the cheapest is sought, the cheapest jobs first, within a budget of steps; then whoever is not needed stays.
"""

import numpy as np

from weir.scheduling.kernels.compiled import bare_folded as folded
from weir.scheduling.kernels.compiled import bare_inner as inner
from weir.scheduling.kernels.line import BLOCK
from weir.scheduling.kernels.promises import kept_from, waits_by_choice
from weir.scheduling.kernels.room import fitting, give_back
from weir.scheduling.kernels.score import HOUR_MS, LARGEST_RATE, LARGEST_TERM, scaled
from weir.scheduling.kernels.stay import is_in_service, score_now, speed_at, stays
from weir.scheduling.kernels.tenants import HEAPED, QUOTAS, SHARING, done_with, gather, rate_of
from weir.scheduling.kernels.turn import ONLY
from weir.scheduling.tables import FAILS

NEVER = 2**62
MOST, LEAST_RUN, LOWEST, GIVEN_UP, RUNNING, RESERVED = 0, 1, 2, 3, 4, 5
"""Of `lives.rule`: how often a job may be preempted, and not before it has run so long; the lowest rank; how many
attempts were given up; how many jobs run that may be preempted; from which rank on jobs may be."""
STEPS = 2_000


@inner
def displace(rule, slots, order, lines, world, trace, now):  # type: ignore[no-untyped-def]
    """Who has to give way to the first job in order for which that makes room: runs, into `lives.victim`; how many."""
    if world.lives.rule[RUNNING] == 0:
        return 0
    if world.tenants.clock[SHARING] == 0:
        return max(0, displace_for(rule, slots, order, lines, world, trace, ONLY, now))
    gather(order, lines, world.tenants)
    while world.tenants.clock[HEAPED] > 0:
        victims = displace_for(rule, slots, order, lines, world, trace, world.tenants.heap[0], now)
        if victims != 0:
            return max(0, victims)
        done_with(world.tenants)
    return 0


@inner
def displace_for(rule, slots, order, lines, world, trace, line, now):  # type: ignore[no-untyped-def]
    """As `displace`, for the jobs of one line; -1 where nobody gives way for these and those behind them."""
    block = np.int64(lines[line].head)
    while block >= 0:
        for at in range(block * BLOCK + order.block[block].first, block * BLOCK + order.block[block].end):
            slot = np.int64(order.entry[at].slot)
            if world.lives.rank[slot] == world.lives.rule[LOWEST] and not has_quotas(world):
                return -1
            if waits_by_choice(slots, world, slot, now):
                continue
            victims = victims_of(rule, slots, world, trace, slot, now)
            if victims > 0:
                return victims
        block = np.int64(order.block[block].next)
    return 0


@inner
def victims_of(rule, slots, world, trace, slot, now):  # type: ignore[no-untyped-def]
    """As `displace`, for one waiting job: those of the pool where they cost least, its score there included."""
    job_class = np.int64(slots[slot].need)
    limit = slots[slot].limit
    least = np.int64(NEVER)
    victims = 0
    for place in range(len(world.pools)):
        if world.classes.barred[job_class, place] & FAILS != 0 or world.pools[place].open == 0:
            continue
        if not is_in_service(rule, world, place, job_class, limit, now):
            continue
        if kept_from(rule, slots, world, place, slot, now + stays(rule, world, place, job_class, limit)):
            continue
        own = score_now(world, slots, slot, place)
        found, cost = cheapest(slots, world, trace, slot, place, now, least - own)
        if found > 0 and cost + own < least:
            least = cost + own
            victims = found
            for i in range(found):
                world.lives.victim[i] = world.lives.chosen[i]
    return victims


@inner
def cheapest(slots, world, trace, slot, place, now, limit):  # type: ignore[no-untyped-def]
    """(how many runs of a pool, in `lives.chosen`, make room for a job; what they cost, which is less than `limit`).

    (0, 0) where none do.
    """
    pool = world.pools[place]
    need = world.classes.row[slots[slot].need]
    lives = world.lives
    count = candidates(slots, world, trace, slot, place, now)
    then = lives.room
    for i in range(pool.first_node, pool.end_node):
        then.node[i] = world.free.node[i]
    for i in range(pool.first_device, pool.end_device):
        then.device[i] = world.free.device[i]
    total = 0
    for node in range(pool.nodes):
        total += fitting(pool, then, then, False, node, need, need.tasks)[0]
    best = np.int64(limit)
    found = 0
    cost = np.int64(0)
    depth = 0
    at = 0
    steps = 0
    while True:
        steps += 1
        if at < count and steps < STEPS and cost + lives.cost[at] < best:
            total += changed(world, place, need, lives.run[at], np.int64(1))
            cost += lives.cost[at]
            lives.path[depth] = at
            depth += 1
            if total < need.tasks:
                at += 1
                continue
            best = cost
            found = depth
            for i in range(depth):
                lives.chosen[i] = lives.path[i]
        if depth == 0:
            break
        depth -= 1
        at = lives.path[depth]
        total += changed(world, place, need, lives.run[at], np.int64(-1))
        cost -= lives.cost[at]
        at += 1
    if found == 0:
        return 0, np.int64(0)
    return spared(world, place, need, found, total), best


@inner
def spared(world, place, need, found, total):  # type: ignore[no-untyped-def]
    """Let those of the chosen stay that are not needed, the dearest first; of the others `chosen` then has the runs."""
    lives = world.lives
    for i in range(found):
        total += changed(world, place, need, lives.run[lives.chosen[i]], np.int64(1))
    for i in range(found - 1, -1, -1):
        without = changed(world, place, need, lives.run[lives.chosen[i]], np.int64(-1))
        if total + without >= need.tasks:
            total += without
            lives.chosen[i] = -1
        else:
            changed(world, place, need, lives.run[lives.chosen[i]], np.int64(1))
    left = 0
    for i in range(found):
        if lives.chosen[i] >= 0:
            lives.chosen[left] = lives.run[lives.chosen[i]]
            left += 1
    return left


@inner
def changed(world, place, need, run, sign):  # type: ignore[no-untyped-def]
    """Give `lives.room` what a run holds (sign 1), or take it; by how many more tasks then fit."""
    pool = world.pools[place]
    then = world.lives.room
    held = world.classes.row[world.runs[run].job_class]
    more = 0
    record = world.runs[run].record
    while record >= 0:
        node = world.records[record].node
        if node < pool.nodes:
            more -= fitting(pool, then, then, False, node, need, need.tasks)[0]
        give_back(pool, then, held, world.records[record], sign)
        if node < pool.nodes:
            more += fitting(pool, then, then, False, node, need, need.tasks)[0]
        record = world.records[record].next
    return more


@inner
def candidates(slots, world, trace, slot, place, now):  # type: ignore[no-untyped-def]
    """The runs of a pool that may have to give way to a job, into `lives.run` with `lives.cost`, the cheapest first."""
    lives = world.lives
    count = 0
    run = np.int64(world.pools[place].running)
    while run >= 0:
        other = np.int64(world.runs[run].job)
        keep = lives.keep[world.runs[run].job_class]
        if (
            keep.preemptible != 0
            and lives.rank[other] >= lives.rule[RESERVED]
            and (
                lives.rank[other] > lives.rank[slot] or is_lent(world, slots, slot, place, run, other, count)
            )
            and lives.times[other] < lives.rule[MOST]
            and now - trace.start[other] >= lives.rule[LEAST_RUN]
        ):
            cost = cost_of(world, trace, place, run, other, now)
            at = count
            while at > 0 and (
                lives.cost[at - 1] > cost
                or (lives.cost[at - 1] == cost and world.runs[lives.run[at - 1]].job > other)
            ):
                lives.cost[at] = lives.cost[at - 1]
                lives.run[at] = lives.run[at - 1]
                at -= 1
            lives.cost[at] = cost
            lives.run[at] = run
            count += 1
        run = np.int64(world.runs[run].next)
    return count


@folded
def has_quotas(world):  # type: ignore[no-untyped-def]
    """Whether any tenant has a quota."""
    if world.tenants.clock[SHARING] == 0:
        return False
    return world.tenants.clock[QUOTAS] != 0


@inner
def is_lent(world, slots, slot, place, run, other, listed):  # type: ignore[no-untyped-def]
    """Whether a run holds what its tenant has borrowed, and the job of an owner who is within his quota needs it.

    Both are of one priority class. Nobody is taken below his own quota, all those listed already counted.
    """
    if not has_quotas(world) or world.lives.rank[other] != world.lives.rank[slot]:
        return False
    tenants = world.tenants
    owner = tenants.of[slots[slot].line]
    borrower = np.int64(world.runs[run].tenant)
    wanted = rate_of(world, place, np.int64(slots[slot].need))
    if borrower == owner or tenants.holds[owner] + wanted > tenants.quota[owner]:
        return False
    left = tenants.holds[borrower] - world.runs[run].rate
    for at in range(listed):
        if world.runs[world.lives.run[at]].tenant == borrower:
            left -= world.runs[world.lives.run[at]].rate
    return left >= tenants.quota[borrower]


@inner
def cost_of(world, trace, place, run, slot, now):  # type: ignore[no-untyped-def]
    """What it costs in micro-yuan that a job gives way now; from 1 on, so that of equal sets the smaller wins."""
    job_class = np.int64(world.runs[run].job_class)
    row = world.classes.row[job_class]
    price = world.classes.price[row.book, place]
    held = max(0, now - trace.start[slot])
    lost = held - saved_wall(world, trace, place, job_class, slot, now)
    again = lost + world.lives.keep[job_class].restore
    rate = scaled(price.device_hour, row.all_devices, 1_000, LARGEST_RATE)
    rate += scaled(price.core_hour, row.all_cores, 1_000, LARGEST_RATE)
    refund = scaled(rate, lost, HOUR_MS, LARGEST_TERM)
    holds = row.all_devices if row.all_devices > 0 else row.all_cores
    worth = scaled(world.rates[0], holds, 1_000, LARGEST_RATE)
    return 1 + refund + scaled(worth, again, HOUR_MS, LARGEST_TERM)


@folded
def saves_in(world, trace, place, job_class, slot, now):  # type: ignore[no-untyped-def]
    """How often a job that runs has saved its work."""
    keep = world.lives.keep[job_class]
    if keep.every == 0:
        return np.int64(0)
    ran = now - trace.start[slot]
    if world.lives.done[slot] > 0:
        ran -= keep.restore
    return max(np.int64(0), ran) // turn_of(world, place, job_class)


@folded
def turn_of(world, place, job_class):  # type: ignore[no-untyped-def]
    """From one saving to the next, in a pool."""
    keep = world.lives.keep[job_class]
    speed = speed_at(world, place, job_class)
    return (keep.every * 1_000_000 + speed - 1) // speed + keep.save


@folded
def saved_wall(world, trace, place, job_class, slot, now):  # type: ignore[no-untyped-def]
    """How much of a job's time in a pool is not lost if it gives way now."""
    times = saves_in(world, trace, place, job_class, slot, now)
    if times == 0:
        return np.int64(0)
    wall = times * turn_of(world, place, job_class)
    if world.lives.done[slot] > 0:
        wall += world.lives.keep[job_class].restore
    return wall
