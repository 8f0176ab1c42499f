"""One pass: in global order each job starts on its best pool with room, reserves its best pool, or is passed over."""

import numpy as np

from weir.scheduling.kernels.compiled import entry, folded, inner
from weir.scheduling.kernels.queue import advance, gather, mixed, unlink
from weir.scheduling.kernels.room import (
    FREE_RECORDS,
    TASK_BITS,
    TASK_MASK,
    choose,
    give_back,
    records_wanted,
    take,
    withhold,
)
from weir.scheduling.kernels.running import FREE_RUNS, new_run
from weir.scheduling.kernels.score import terms
from weir.scheduling.tables import SCORED_ROWS, Counter

HEAP, STARTS, GROUPS, NOW = Counter.HEAP, Counter.STARTS, Counter.GROUPS, Counter.NOW
RECORDS_WANTED = Counter.RECORDS_WANTED

NEVER = 2**62
ELIGIBLE, CHOSEN, OUTSCORED, FULL, KEPT, CLOSED = 0, 1, 2, 3, 4, 5
DONE, MORE_ROOM = 0, 1


@entry
def begin(classes, queues, slots, reservations, work, counters, now):  # type: ignore[no-untyped-def]
    """Make ready for a pass: no reservation, nothing started, every queue at its head."""
    counters[STARTS] = 0
    counters[GROUPS] = 0
    counters[RECORDS_WANTED] = 0
    counters[NOW] = now
    for place in range(len(reservations.pool)):
        reservations.pool[place].job = -1
    work.group_index[:] = -1
    work.scored[:] = -1
    classes.kept[:] = 0
    gather(queues, slots, work, counters)


@entry
def proceed(  # type: ignore[no-untyped-def]
    pools, free, later, classes, queues, slots, runs, records, reservations, work, counters, rates
):
    """Go on with the pass. DONE at its end; MORE_ROOM when a table is full: enlarge it, and call again."""
    now = counters[NOW]
    while counters[HEAP] > 0:
        if (
            counters[FREE_RUNS] == 0
            or counters[STARTS] == len(work.start)
            or 2 * counters[GROUPS] >= len(work.group_index)
        ):
            return MORE_ROOM
        queue = work.heap[0]
        slot = queues[queue].cursor
        job_class = queues[queue].job_class
        limit = slots[slot].limit
        score = score_pools(pools, classes, rates, work, job_class, limit)
        place, nodes, both = best_with_room(
            pools, classes, free, later, reservations, work, score, job_class, now + limit
        )
        after = np.int64(slots[slot].next)
        if place >= 0:
            wanted = records_wanted(pools, classes, place, job_class, nodes)
            if counters[FREE_RECORDS] < wanted:
                counters[RECORDS_WANTED] = wanted
                return MORE_ROOM
            group = group_of(pools, classes, rates, work, counters, score, job_class, limit, place)
            run = new_run(pools, runs, counters, slots[slot].job, job_class, place, now + limit)
            runs[run].record = take(
                pools, classes, free, later, both, records, counters, work, place, job_class, nodes
            )
            work.start[counters[STARTS]].run = run
            work.start[counters[STARTS]].group = group
            counters[STARTS] += 1
            unlink(queues, slots, counters, slot)
        else:
            if queues[queue].waits == 0:
                queues[queue].waits = 1
                job = slots[slot].job
                reserve(
                    pools, classes, free, later, runs, records, reservations, work, score, job, job_class, now
                )
            after = next_that_may_start(pools, classes, queues, slots, reservations, queue, slot, now)
        advance(queues, slots, work, counters, after)
    return DONE


@inner
def score_pools(pools, classes, rates, work, job_class, limit):  # type: ignore[no-untyped-def]
    """The score of every pool, NEVER where a constraint fails; of jobs alike it is computed once."""
    row = mixed(mixed(job_class + 1) + limit) & (SCORED_ROWS - 1)
    score = work.score[row]
    if work.scored[row, 0] != job_class or work.scored[row, 1] != limit:
        work.scored[row, 0] = job_class
        work.scored[row, 1] = limit
        failed = classes.failed
        for place in range(len(pools)):
            score[place] = NEVER
            if failed[job_class, place] == 0:
                score[place] = terms(pools, classes, rates, place, job_class, limit)[4]
    return score


@inner
def best_with_room(pools, classes, free, later, reservations, work, score, job_class, end):  # type: ignore[no-untyped-def]
    """(pool, number of nodes in `work.choice`, whether the job may outlast a reservation there); pool -1 for none.

    Each pool found without room is marked, so that no fellow asks again before something is freed.
    """
    blocked = classes.blocked
    kept = classes.kept
    while True:
        best = -1
        least = NEVER
        for place in range(len(pools)):
            if (
                score[place] < least
                and blocked[job_class, place] == 0
                and pools[place].open != 0
                and not (kept[job_class, place] != 0 and outlasts(reservations, place, end))
            ):
                best = place
                least = score[place]
        if best < 0:
            return -1, 0, False
        both = outlasts(reservations, best, end)
        nodes = choose(pools, classes, free, later, both, work, best, job_class)
        if nodes > 0:
            return best, nodes, both
        if both:
            kept[job_class, best] = 1
            nodes = choose(pools, classes, free, later, False, work, best, job_class)
        if nodes == 0:
            blocked[job_class, best] = 1


@folded
def outlasts(reservations, place, end):  # type: ignore[no-untyped-def]
    """Whether a job that may run until `end` could still run when the pool's reservation starts."""
    return reservations.pool[place].job >= 0 and end > reservations.pool[place].start


@inner
def best_open(pools, score):  # type: ignore[no-untyped-def]
    """The best scored pool that is open, whether or not it has room, or -1."""
    best = -1
    least = NEVER
    for place in range(len(pools)):
        if score[place] < least and pools[place].open != 0:
            best = place
            least = score[place]
    return best


@inner
def reserve(pools, classes, free, later, runs, records, reservations, work, score, job, job_class, now):  # type: ignore[no-untyped-def]
    """Reserve the job's best pool, unless another has: the first instant when enough will have ended by its limit.

    A job past its limit counts as ending now. What the pool has free then, besides the nodes proven for the job,
    is left in `later`.
    """
    place = best_open(pools, score)
    if place < 0 or reservations.pool[place].job >= 0:
        return
    pool = pools[place]
    need = classes.row[job_class]
    for i in range(pool.first_node, pool.end_node):
        later.node[i] = free.node[i]
    for i in range(pool.first_device, pool.end_device):
        later.device[i] = free.device[i]
    count = 0
    run = pool.running
    while run >= 0:
        count += 1
        run = runs[run].next
    which = np.empty(count, np.int64)
    ends = np.empty(count, np.int64)
    run = pool.running
    for i in range(count):
        which[i] = run
        ends[i] = max(now, runs[run].end)
        run = runs[run].next
    order = np.argsort(ends)
    # The more has ended the more fits, so search by halves; `ended` runs are counted as ended in `later`.
    ended = 0
    enough = 0
    start = now
    low = 0
    high = count
    while low < high:
        middle = (low + high) // 2
        while middle + 1 < count and ends[order[middle + 1]] == ends[order[middle]]:
            middle += 1
        ended = let_end(pool, classes, later, runs, records, which, order, ended, middle + 1)
        if choose(pools, classes, later, later, False, work, place, job_class) > 0:
            start = ends[order[middle]]
            enough = middle + 1
            high = middle
            while high > low and ends[order[high - 1]] == start:
                high -= 1
        else:
            low = middle + 1
    if enough == 0:
        return  # only what was told from outside can be in the way of a class that fits an empty pool
    let_end(pool, classes, later, runs, records, which, order, ended, enough)
    used = choose(pools, classes, later, later, False, work, place, job_class)
    withhold(pools, classes, later, work, place, job_class, used)
    assert need.tasks > 0
    for i in range(used):
        reservations.node[pool.first_node + i].node = work.choice[i] >> TASK_BITS
        reservations.node[pool.first_node + i].tasks = work.choice[i] & TASK_MASK
    reservations.pool[place].job = job
    reservations.pool[place].start = start
    reservations.pool[place].used = used


@inner
def let_end(pool, classes, later, runs, records, which, order, ended, to):  # type: ignore[no-untyped-def]
    """Let `later` be what is free when the first `to` runs have ended, where it was that of the first `ended`."""
    sign = 1 if to > ended else -1
    for i in range(min(ended, to), max(ended, to)):
        run = which[order[i]]
        record = runs[run].record
        while record >= 0:
            give_back(pool, later, classes.row[runs[run].job_class], records[record], sign)
            record = records[record].next
    return to


@inner
def next_that_may_start(pools, classes, queues, slots, reservations, queue, slot, now):  # type: ignore[no-untyped-def]
    """The next in the queue that ends before a reservation where its class has room now, or -1."""
    job_class = queues[queue].job_class
    window = np.int64(-1)
    for place in range(len(pools)):
        if (
            classes.blocked[job_class, place] == 0
            and classes.failed[job_class, place] == 0
            and pools[place].open != 0
            and reservations.pool[place].job >= 0
        ):
            window = max(window, reservations.pool[place].start - now)
    if queues[queue].least_limit > window:
        return np.int64(-1)
    least = slots[slot].limit
    from_head = queues[queue].head == slot
    slot = np.int64(slots[slot].next)
    while slot >= 0 and slots[slot].limit > window:
        least = min(least, slots[slot].limit)
        slot = np.int64(slots[slot].next)
    if slot < 0 and from_head:
        queues[queue].least_limit = least
    return slot


@inner
def group_of(pools, classes, rates, work, counters, score, job_class, limit, chosen):  # type: ignore[no-untyped-def]
    """The group of starts decided alike that one belongs to, made if it is the first."""
    kept = np.int64(0)
    blocked = classes.blocked
    for place in range(len(pools)):
        if (
            score[place] <= score[chosen]
            and blocked[job_class, place] == 0
            and verdict_of(pools, classes, score, job_class, place, chosen) == KEPT
        ):
            kept = mixed(kept + place + 1)
    mask = len(work.group_index) - 1
    at = hashed(job_class, limit, chosen, kept) & mask
    while work.group_index[at] >= 0:
        group = work.group_index[at]
        row = work.group[group]
        if row.job_class == job_class and row.limit == limit and row.chosen == chosen and row.kept == kept:
            return group
        at = (at + 1) & mask
    group = counters[GROUPS]
    counters[GROUPS] += 1
    work.group_index[at] = group
    row = work.group[group]
    row.job_class = job_class
    row.limit = limit
    row.chosen = chosen
    row.kept = kept
    row.listed = list_pools(pools, classes, rates, work, score, group, job_class, limit, chosen)
    return group


@inner
def hashed(job_class, limit, chosen, kept):  # type: ignore[no-untyped-def]
    """Where a group is looked for."""
    return mixed(mixed(mixed(mixed(job_class + 1) + limit) + chosen) + kept)


@entry
def regroup(work, groups):  # type: ignore[no-untyped-def]
    """Fill an empty index over the groups anew."""
    mask = len(work.group_index) - 1
    for group in range(groups):
        row = work.group[group]
        at = hashed(row.job_class, row.limit, row.chosen, row.kept) & mask
        while work.group_index[at] >= 0:
            at = (at + 1) & mask
        work.group_index[at] = group


@inner
def list_pools(pools, classes, rates, work, score, group, job_class, limit, chosen):  # type: ignore[no-untyped-def]
    """Write the chosen pool and then the others by score, as many as are listed; returns how many."""
    place = chosen
    for listed in range(work.listed.shape[1]):
        if listed > 0:
            place = next_best(score, chosen, place if listed > 1 else -1)
            if place < 0:
                return listed
        row = work.listed[group, listed]
        row.pool = place
        row.verdict = verdict_of(pools, classes, score, job_class, place, chosen)
        row.idle = pools[place].idle
        row.run, row.data, row.money, row.carbon, row.score = terms(
            pools, classes, rates, place, job_class, limit
        )
    return work.listed.shape[1]


@inner
def next_best(score, chosen, last):  # type: ignore[no-untyped-def]
    """The best scored pool after `last` (-1: of all), besides the chosen one and those that fail; -1 for none."""
    best = -1
    least = NEVER
    for place in range(len(score)):
        if (
            score[place] < least
            and place != chosen
            and (last < 0 or score[place] > score[last] or (score[place] == score[last] and place > last))
        ):
            best = place
            least = score[place]
    return best


@folded
def verdict_of(pools, classes, score, job_class, place, chosen):  # type: ignore[no-untyped-def]
    """What the decision for one pool found about another."""
    if place == chosen:
        return CHOSEN
    if score[place] == NEVER:
        return ELIGIBLE
    if pools[place].open == 0:
        return CLOSED
    if score[place] > score[chosen] or (score[place] == score[chosen] and place > chosen):
        return OUTSCORED
    if classes.blocked[job_class, place] != 0:
        return FULL
    return KEPT
