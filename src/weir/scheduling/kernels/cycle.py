"""One pass: in global order each job starts on its best pool with room, reserves its best pool, or is passed over."""

import numpy as np

from weir.scheduling.kernels.queue import advance, gather, mixed, unlink
from weir.scheduling.kernels.room import FREE_RECORDS, choose, give_back, records_wanted, take, withhold
from weir.scheduling.kernels.running import FREE_RUNS, new_run
from weir.scheduling.kernels.score import compiled, terms
from weir.scheduling.tables import Counter

HEAP, STARTS, GROUPS, NOW = Counter.HEAP, Counter.STARTS, Counter.GROUPS, Counter.NOW
RECORDS_WANTED, SCORED_CLASS, SCORED_LIMIT = (
    Counter.RECORDS_WANTED,
    Counter.SCORED_CLASS,
    Counter.SCORED_LIMIT,
)

NEVER = 2**62
LIST_ALL_BELOW = 100
LISTED = 16
"""From so many pools on, so many are listed with a start: the chosen one and the best scored."""

ELIGIBLE, CHOSEN, OUTSCORED, FULL, KEPT, CLOSED = 0, 1, 2, 3, 4, 5
DONE, MORE_ROOM = 0, 1


@compiled
def begin(classes, queues, slots, reservations, work, counters, now):  # type: ignore[no-untyped-def]
    """Make ready for a pass: no reservation, nothing started, every queue at its head."""
    counters[STARTS] = 0
    counters[GROUPS] = 0
    counters[RECORDS_WANTED] = 0
    counters[SCORED_CLASS] = -1
    counters[NOW] = now
    reservations.job[:] = -1
    work.group_index[:] = -1
    classes.kept[:] = 0
    gather(queues, slots, work, counters)


@compiled
def proceed(  # type: ignore[no-untyped-def]
    pools, free, later, classes, queues, slots, runs, records, reservations, work, counters, rates
):
    """Go on with the pass. DONE at its end; MORE_ROOM when a table is full: enlarge it, and call again."""
    now = counters[NOW]
    while counters[HEAP] > 0:
        if (
            counters[FREE_RUNS] == 0
            or counters[STARTS] == len(work.start_run)
            or 2 * counters[GROUPS] >= len(work.group_index)
        ):
            return MORE_ROOM
        queue = work.heap[0]
        slot = work.cursor[queue]
        job_class = queues.job_class[queue]
        limit = slots.limit[slot]
        score_pools(pools, classes, rates, work, counters, job_class, limit)
        pool, nodes, both = best_with_room(
            pools, classes, free, later, reservations, work, job_class, now + limit
        )
        after = slots.next[slot]
        if pool >= 0:
            wanted = records_wanted(pools, classes, pool, job_class, nodes)
            if counters[FREE_RECORDS] < wanted:
                counters[RECORDS_WANTED] = wanted
                return MORE_ROOM
            group = group_of(pools, classes, rates, work, counters, job_class, limit, pool)
            run = new_run(pools, runs, counters, slots.job[slot], job_class, pool, now + limit)
            runs.record[run] = take(
                pools, classes, free, later, both, records, counters, work, pool, job_class, nodes
            )
            work.start_run[counters[STARTS]] = run
            work.start_group[counters[STARTS]] = group
            counters[STARTS] += 1
            unlink(queues, slots, counters, slot)
        else:
            if work.waits[queue] == 0:
                work.waits[queue] = 1
                reserve(
                    pools,
                    classes,
                    free,
                    later,
                    runs,
                    records,
                    reservations,
                    work,
                    slots.job[slot],
                    job_class,
                    now,
                )
            after = next_that_may_start(
                pools, classes, queues, slots, reservations, queue, slot, job_class, now
            )
        advance(queues, slots, work, counters, after)
    return DONE


@compiled
def score_pools(pools, classes, rates, work, counters, job_class, limit):  # type: ignore[no-untyped-def]
    """Into `work.score`, the score of every pool, NEVER where a constraint fails; kept from the job before if alike."""
    if counters[SCORED_CLASS] == job_class and counters[SCORED_LIMIT] == limit:
        return
    counters[SCORED_CLASS] = job_class
    counters[SCORED_LIMIT] = limit
    for pool in range(len(pools.open)):
        work.score[pool] = NEVER
        if classes.failed[job_class, pool] == 0:
            work.score[pool] = terms(pools, classes, rates, pool, job_class, limit)[4]


@compiled
def best_with_room(pools, classes, free, later, reservations, work, job_class, end):  # type: ignore[no-untyped-def]
    """(pool, number of nodes in `work.chosen_*`, whether the job may outlast a reservation there); pool -1 for none.

    Each pool found without room is marked, so that no fellow asks again before something is freed.
    """
    while True:
        best = -1
        for pool in range(len(pools.open)):
            if (
                work.score[pool] < NEVER
                and (best < 0 or work.score[pool] < work.score[best])
                and pools.open[pool] != 0
                and classes.blocked[job_class, pool] == 0
                and not (classes.kept[job_class, pool] != 0 and outlasts(reservations, pool, end))
            ):
                best = pool
        if best < 0:
            return -1, 0, False
        both = outlasts(reservations, best, end)
        nodes = choose(pools, classes, free, later, both, work, best, job_class)
        if nodes > 0:
            return best, nodes, both
        if both:
            classes.kept[job_class, best] = 1
            nodes = choose(pools, classes, free, later, False, work, best, job_class)
        if nodes == 0:
            classes.blocked[job_class, best] = 1


@compiled
def outlasts(reservations, pool, end):  # type: ignore[no-untyped-def]
    """Whether a job that may run until `end` could still run when the pool's reservation starts."""
    return reservations.job[pool] >= 0 and end > reservations.start[pool]


@compiled
def reserve(pools, classes, free, later, runs, records, reservations, work, job, job_class, now):  # type: ignore[no-untyped-def]
    """Reserve the job's best pool, unless another has: the first instant when enough will have ended by its limit.

    A job past its limit counts as ending now. What the pool has free then, besides the nodes proven for the job,
    is left in `later`.
    """
    pool = -1
    for other in range(len(pools.open)):
        if (
            work.score[other] < NEVER
            and pools.open[other] != 0
            and (pool < 0 or work.score[other] < work.score[pool])
        ):
            pool = other
    if pool < 0 or reservations.job[pool] >= 0:
        return
    copy_pool(pools, free, later, pool)
    count = 0
    run = pools.running[pool]
    while run >= 0:
        count += 1
        run = runs.next[run]
    which = np.empty(count, np.int64)
    ends = np.empty(count, np.int64)
    count = 0
    run = pools.running[pool]
    while run >= 0:
        which[count] = run
        ends[count] = max(now, runs.end[run])
        count += 1
        run = runs.next[run]
    order = np.argsort(ends)
    at = 0
    nodes = 0
    start = now
    # A binary search over the ends: fitting is monotonic in what has ended.
    low = 0
    high = count
    while low < high:
        middle = (low + high) // 2
        while middle + 1 < count and ends[order[middle + 1]] == ends[order[middle]]:
            middle += 1
        at = move_ends(pools, classes, later, runs, records, pool, which, order, at, middle + 1)
        if choose(pools, classes, later, later, False, work, pool, job_class) > 0:
            high = middle
            while high > low and ends[order[high - 1]] == ends[order[middle]]:
                high -= 1
            start = ends[order[middle]]
            nodes = middle + 1
        else:
            low = middle + 1
    if nodes == 0:
        return  # what runs on nodes out of service keeps it from ever fitting by limits
    move_ends(pools, classes, later, runs, records, pool, which, order, at, nodes)
    used = choose(pools, classes, later, later, False, work, pool, job_class)
    withhold(pools, classes, later, work, pool, job_class, used)
    first = pools.first_node[pool]
    for i in range(used):
        reservations.node[first + i] = work.chosen_node[i]
        reservations.tasks[first + i] = work.chosen_tasks[i]
    reservations.job[pool] = job
    reservations.start[pool] = start
    reservations.used[pool] = used


@compiled
def move_ends(pools, classes, later, runs, records, pool, which, order, at, to):  # type: ignore[no-untyped-def]
    """Let `later` be what is free when the first `to` runs have ended, where it was that of the first `at`."""
    sign = 1 if to > at else -1
    for i in range(min(at, to), max(at, to)):
        run = which[order[i]]
        record = runs.record[run]
        while record >= 0:
            give_back(pools, classes, later, records, pool, runs.job_class[run], record, False, sign)
            record = records.next[record]
    return to


@compiled
def copy_pool(pools, free, later, pool):  # type: ignore[no-untyped-def]
    """Let `later` be what is free now."""
    first = pools.first_node[pool]
    last = pools.first_node[pool + 1]
    later.devices[first:last] = free.devices[first:last]
    later.cores[first:last] = free.cores[first:last]
    later.memory[first:last] = free.memory[first:last]
    later.tasks[first:last] = free.tasks[first:last]
    first = pools.first_device[pool]
    last = pools.first_device[pool + 1]
    later.device[first:last] = free.device[first:last]


@compiled
def next_that_may_start(pools, classes, queues, slots, reservations, queue, slot, job_class, now):  # type: ignore[no-untyped-def]
    """The next in the queue that ends before a reservation where its class has room now, or -1."""
    window = np.int64(-1)
    for pool in range(len(pools.open)):
        if (
            classes.failed[job_class, pool] == 0
            and pools.open[pool] != 0
            and classes.blocked[job_class, pool] == 0
            and reservations.job[pool] >= 0
        ):
            window = max(window, reservations.start[pool] - now)
    if queues.least_limit[queue] > window:
        return -1
    least = slots.limit[slot]
    from_head = queues.head[queue] == slot
    slot = slots.next[slot]
    while slot >= 0 and slots.limit[slot] > window:
        least = min(least, slots.limit[slot])
        slot = slots.next[slot]
    if slot < 0 and from_head:
        queues.least_limit[queue] = least
    return slot


@compiled
def group_of(pools, classes, rates, work, counters, job_class, limit, chosen):  # type: ignore[no-untyped-def]
    """The group of starts decided alike that one belongs to, made if it is the first."""
    kept = np.int64(0)
    for pool in range(len(pools.open)):
        if verdict_of(pools, classes, work, job_class, pool, chosen) == KEPT:
            kept = mixed(kept + pool + 1)
    mask = len(work.group_index) - 1
    place = mixed(mixed(mixed(mixed(job_class + 1) + limit) + chosen) + kept) & mask
    while work.group_index[place] >= 0:
        group = work.group_index[place]
        if (
            work.group[group, 0] == job_class
            and work.group[group, 1] == limit
            and work.group[group, 2] == chosen
            and work.group[group, 3] == kept
        ):
            return group
        place = (place + 1) & mask
    group = counters[GROUPS]
    counters[GROUPS] += 1
    work.group_index[place] = group
    work.group[group, 0] = job_class
    work.group[group, 1] = limit
    work.group[group, 2] = chosen
    work.group[group, 3] = kept
    work.group[group, 4] = list_pools(pools, classes, rates, work, group, job_class, limit, chosen)
    return group


@compiled
def list_pools(pools, classes, rates, work, group, job_class, limit, chosen):  # type: ignore[no-untyped-def]
    """Write the chosen pool and then the others by score, as many as are listed; returns how many."""
    room = work.group_pool.shape[1]
    listed = 0
    last = chosen
    while listed < room:
        if listed > 0:
            best = -1
            for pool in range(len(pools.open)):
                if pool == chosen or work.score[pool] == NEVER:
                    continue
                if listed > 1 and (
                    work.score[pool] < work.score[last]
                    or (work.score[pool] == work.score[last] and pool <= last)
                ):
                    continue
                if best < 0 or work.score[pool] < work.score[best]:
                    best = pool
            if best < 0:
                break
            last = best
        work.group_pool[group, listed] = last
        work.group_verdict[group, listed] = verdict_of(pools, classes, work, job_class, last, chosen)
        work.group_idle[group, listed] = pools.idle[last]
        found = terms(pools, classes, rates, last, job_class, limit)
        for i in range(5):
            work.group_terms[group, listed, i] = found[i]
        listed += 1
    return listed


@compiled
def verdict_of(pools, classes, work, job_class, pool, chosen):  # type: ignore[no-untyped-def]
    """What the decision for one pool found about another; the scores are in `work.score`."""
    if pool == chosen:
        return CHOSEN
    if work.score[pool] == NEVER:
        return ELIGIBLE
    if pools.open[pool] == 0:
        return CLOSED
    if work.score[pool] > work.score[chosen] or (work.score[pool] == work.score[chosen] and pool > chosen):
        return OUTSCORED
    if classes.blocked[job_class, pool] != 0:
        return FULL
    return KEPT


@compiled
def regroup(work, groups):  # type: ignore[no-untyped-def]
    """Fill an empty index over the groups anew."""
    mask = len(work.group_index) - 1
    for group in range(groups):
        row = work.group[group]
        place = mixed(mixed(mixed(mixed(row[0] + 1) + row[1]) + row[2]) + row[3]) & mask
        while work.group_index[place] >= 0:
            place = (place + 1) & mask
        work.group_index[place] = group
