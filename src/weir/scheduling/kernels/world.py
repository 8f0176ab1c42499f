"""One pass in front of many pools: in order, each job starts on its best pool with room, or is promised its best one.

What was found out stays known between passes. A class's window is the longest time limit with which a job of it
might start now (NONE: none, ALWAYS: not known); windows only shrink until something is freed.
"""

import numpy as np

from weir.scheduling.kernels.compiled import bare_folded as folded
from weir.scheduling.kernels.compiled import bare_inner as inner
from weir.scheduling.kernels.line import BLOCK, insert, remove_at
from weir.scheduling.kernels.promises import (
    ALWAYS,
    CONTENT,
    LATER,
    MARKED,
    NEVER,
    NOBODY,
    REOPENED,
    RESUMED,
    WAITING,
    WANTED,
    kept_from,
    prefers_later,
    renew,
    reopen,
    score_of,
    seek_promise,
    segment_width,
    waits_by_choice,
    withdraw,
)
from weir.scheduling.kernels.reasons import GROUPS, group_of
from weir.scheduling.kernels.room import FREE_RECORDS, choose, fitting, may_fit, take
from weir.scheduling.kernels.running import FREE_RUNS, new_run, release
from weir.scheduling.kernels.seats import are_several, unsettle_seats
from weir.scheduling.kernels.several import examine_several, make_ready
from weir.scheduling.kernels.stay import is_in_service, limit_within, score_now, stays
from weir.scheduling.kernels.supply import in_service_until
from weir.scheduling.kernels.tenants import SHARING, ahead_of, hold, is_beyond, let_go
from weir.scheduling.kernels.turn import ONLY
from weir.scheduling.kernels.vacancy import bar, is_eligible, is_vacant, unbar, unbar_all
from weir.scheduling.kernels.verdicts import judge

NONE = -1
DEPTH, REASONS = 0, 6
_ONES, _HIGHS, _NO_ZERO = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080), np.uint64(0)
"""For Mycroft's test of eight bytes for a zero."""


@inner
def wait(order, lines, slots, world, slot):  # type: ignore[no-untyped-def]
    """A job comes to wait, among those of its class that do."""
    job_class = np.int64(slots[slot].need)
    world.waiting[expect_class(world, job_class)].jobs += 1
    insert(order, lines, slots, np.int64(slots[slot].line), slot, slots[slot].key, job_class)


@inner
def expect_class(world, job_class):  # type: ignore[no-untyped-def]
    """The row of a class among those that have waiting jobs, made if it has none yet."""
    at = world.waiting_at[job_class]
    if at < 0:
        at = world.signal[WAITING]
        world.signal[WAITING] += 1
        world.waiting_at[job_class] = at
        world.waiting[at].job_class = job_class
        world.waiting[at].jobs = 0
    return at


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
        unbar_all(world.classes, job_class)


@inner
def score_with_room(rule, world, slots, slot):  # type: ignore[no-untyped-def]
    """Of a job: the open pools where its class may have room, into `candidate` and `score`; returns how many."""
    job_class = np.int64(slots[slot].need)
    barred = world.classes.barred
    eights = world.classes.eights
    count = 0
    width = segment_width(world)
    segments = world.classes.row[job_class].chances
    none = segments
    first = 0
    part = np.int64(1)
    while segments != 0:
        if segments & 1 != 0:
            for eight in range(first, min(first + width, eights.shape[1])):
                # Most have no zero among their bytes.
                several = eights[job_class, eight]
                if (several - _ONES) & ~several & _HIGHS == _NO_ZERO:
                    continue
                for place in range(8 * eight, 8 * eight + 8):
                    if barred[job_class, place] != 0:
                        continue
                    if world.pools[place].open != 0:
                        if not may_fit(world.pools[place], world.classes.row[job_class]):
                            bar(world.classes, job_class, place)
                            continue
                        world.score[place] = score_now(world, slots, slot, place)
                        world.candidate[count] = place
                        count += 1
                    none &= ~part
        segments >>= 1
        first += width
        part <<= 1
    world.classes.row[job_class].chances &= ~none
    return count


@inner
def go_over(rule, slots, order, lines, world, started, now):  # type: ignore[no-untyped-def]
    """One pass at `now` over all that wait. Returns how many jobs start; they are in `started`.

    When rows for placements or reasons run out, it stops with `signal[WANTED]`: enlarge them and call it again, and
    it goes on from there.
    """
    starts = 0
    if len(world.features) != 0 and world.now[1] == 0:
        world.now[0] = now
    marked = np.int64(world.signal[MARKED])
    at = np.int64(world.signal[RESUMED])
    if at < 0:
        make_ready(rule, slots, world, now)
        world.signal[REOPENED] = 1
    while at >= 0 or world.signal[REOPENED] != 0:
        if at >= 0:
            block = at // BLOCK
            world.signal[RESUMED] = -1
        else:
            world.signal[REOPENED] = 0
            block = np.int64(lines[ONLY].head)
        while block >= 0:
            after = np.int64(order.block[block].next)
            at = max(at, block * BLOCK + order.block[block].first)
            while at < block * BLOCK + order.block[block].end:
                if order.entry[at].slot == marked:
                    judge(rule, slots, world, marked, now)
                if order.entry[at].limit > world.window[order.entry[at].need]:
                    at += 1
                    continue
                slot = np.int64(order.entry[at].slot)
                job_class = np.int64(order.entry[at].need)
                if world.window[job_class] == CONTENT and waits_by_choice(slots, world, slot, now):
                    at += 1
                    continue
                if is_short_of_rows(world, job_class):
                    world.signal[RESUMED] = at
                    return starts
                if examine(rule, slots, world, slot, now):
                    started[starts] = slot
                    starts += 1
                    at = remove_at(order, lines, ONLY, block, at)
                    wait_no_more(world, job_class)
                else:
                    at += 1
            block = after
            at = np.int64(-1)
    return starts


@folded
def is_short_of_rows(world, job_class):  # type: ignore[no-untyped-def]
    """Whether there may be no rows for the placement of one more job of a class."""
    need = world.classes.row[job_class]
    wanted = need.tasks * max(1, need.devices // 1_000)
    if (
        world.counters[FREE_RUNS] > 0
        and world.counters[FREE_RECORDS] >= wanted
        and 2 * world.counters[GROUPS] < len(world.work.group_index)
    ):
        return False
    world.signal[WANTED] = wanted
    return True


@inner
def arrive(rule, slots, order, lines, world, slot, now):  # type: ignore[no-untyped-def]
    """Look at a job that has just come while nothing was freed: no other is concerned, unless promises change.

    True if it starts; it is then not in the line.
    """
    if len(world.features) != 0 and world.now[1] == 0:
        world.now[0] = now
    make_ready(rule, slots, world, now)
    know_nothing(world, np.int64(slots[slot].need))
    if examine(rule, slots, world, slot, now):
        return True
    wait(order, lines, slots, world, slot)
    return False


@inner
def examine(rule, slots, world, slot, now):  # type: ignore[no-untyped-def]
    """Start a job where it can start best, or see to its promise. True if it starts."""
    job_class = np.int64(slots[slot].need)
    limit = slots[slot].limit
    candidates = score_with_room(rule, world, slots, slot)
    if are_several(world):
        return examine_several(rule, slots, world, candidates, slot, now)
    score = world.score
    candidate = world.candidate
    window = np.int64(NONE)
    beyond = False
    while True:
        best = np.int64(-1)
        least = np.int64(NEVER)
        for i in range(candidates):
            if score[candidate[i]] < least:
                best = candidate[i]
                least = score[best]
        if best < 0:
            break
        score[best] = NEVER
        if is_beyond(world, slots, slot, best):
            beyond = True
            continue
        if not is_in_service(rule, world, best, job_class, limit, now):
            left = in_service_until(world.supply, best, now) - now
            window = max(window, limit_within(rule, world, best, job_class, left))
            continue
        holder = world.promise[best].slot
        if (
            holder >= 0
            and holder != slot
            and world.promise[best].stale != 0
            and not ahead_of(world, slots, slot, holder)
        ):
            if (
                choose(
                    world.pools, world.classes, world.free, world.later, False, world.work, best, job_class
                )
                == 0
            ):
                bar(world.classes, job_class, best)
                continue
            renew(rule, slots, world, best, now)
        both = kept_from(rule, slots, world, best, slot, now + stays(rule, world, best, job_class, limit))
        nodes = choose(world.pools, world.classes, world.free, world.later, both, world.work, best, job_class)
        if nodes > 0:
            held = np.int64(slots[slot].promised)
            if rule[LATER] != 0 and prefers_later(rule, slots, world, slot, best, least, now):
                resign(world, slot, job_class)
                if world.window[job_class] == ALWAYS:
                    world.window[job_class] = CONTENT
                    choose_anew(slots, world, slot)
                return False
            if rule[LATER] != 0 and (held >= 0 or slots[slot].promised >= 0):
                # What was chosen is spoilt.
                both = kept_from(
                    rule, slots, world, best, slot, now + stays(rule, world, best, job_class, limit)
                )
                nodes = choose(
                    world.pools, world.classes, world.free, world.later, both, world.work, best, job_class
                )
            begin(rule, slots, world, slot, best, nodes, both, now)
            return True
        if both:
            nodes = choose(
                world.pools, world.classes, world.free, world.later, False, world.work, best, job_class
            )
        if nodes == 0:
            bar(world.classes, job_class, best)
        else:
            left = world.promise[best].start - now
            # From 0 on: there is room, and it is kept.
            window = max(window, np.int64(0), limit_within(rule, world, best, job_class, left))
    if beyond:
        # That says nothing of others of its class.
        resign(world, slot, job_class)
        return False
    if rule[DEPTH] > 0:
        first = world.first[job_class]
        if first < 0 or (
            first != slot and world.tenants.clock[SHARING] == 0 and ahead_of(world, slots, slot, first)
        ):
            world.first[job_class] = slot
            world.best[job_class] = NOBODY
        if world.first[job_class] == slot:
            seek_promise(rule, slots, world, slot, now)
    world.window[job_class] = window
    return False


@folded
def resign(world, slot, job_class):  # type: ignore[no-untyped-def]
    """A job does not ask for what is best for its class: the first of its fellows that cannot start does, if any."""
    if world.first[job_class] == slot:
        world.first[job_class] = NOBODY
        world.window[job_class] = ALWAYS


@folded
def choose_anew(slots, world, slot):  # type: ignore[no-untyped-def]
    """Something has changed for a job's class: its fellows who wait by choice chose before that."""
    for place in range(len(world.pools)):
        other = np.int64(world.promise[place].slot)
        if other >= 0 and other != slot and slots[other].need == slots[slot].need:
            world.promise[place].chosen = 0


@inner
def begin(rule, slots, world, slot, place, nodes, both, now):  # type: ignore[no-untyped-def]
    """A job starts on the chosen nodes; a promise that it held is free again, one that it breaks is made anew."""
    job_class = np.int64(slots[slot].need)
    end = now + stays(rule, world, place, job_class, slots[slot].limit)
    if rule[REASONS] != 0:
        slots[slot].second = group_of(
            rule, slots, world, score_of(rule, world, slots, slot), slot, place, now
        )
    run = new_run(world.pools, world.runs, world.counters, slots[slot].job, job_class, place, end)
    world.runs[run].record = take(
        world.pools, world.classes, world.free, world.later, both, world.records, world.counters, world.work,
        place, job_class, nodes,
    )  # fmt: skip
    world.run_of[slot] = run
    if world.tenants.clock[SHARING] != 0:
        hold(world, run, world.tenants.of[slots[slot].line], now)
    forget(rule, slots, world, slot)
    holder = world.promise[place].slot
    if holder >= 0 and not both and end > world.promise[place].start:
        # It is ahead of the holder, who may now have to wait longer; then others may start meanwhile.
        renew(rule, slots, world, place, now)
        reopen(world, place)


@inner
def forget(rule, slots, world, slot):  # type: ignore[no-untyped-def]
    """A job waits no more: what is promised to it is free, and the next of its class asks in its stead."""
    withdraw(rule, slots, world, slot)
    job_class = np.int64(slots[slot].need)
    if world.first[job_class] == slot:
        world.first[job_class] = NOBODY
        world.window[job_class] = ALWAYS


@inner
def end(rule, slots, world, slot):  # type: ignore[no-untyped-def]
    """A job has ended."""
    end_run(slots, world, world.run_of[slot])
    world.run_of[slot] = -1


@inner
def give_chance(world, job_class, place, first, end):  # type: ignore[no-untyped-def]
    """On the nodes in `touched` from first to end, all of a pool, something is free: a class may start there now."""
    classes = world.classes
    if not is_vacant(classes, job_class, place):
        if not is_eligible(classes, job_class, place):
            return
        pool = world.pools[place]
        need = classes.row[job_class]
        if not may_fit(pool, need):
            return
        fits = need.tasks > 1
        at = first
        while not fits and at < end:
            node = world.touched[at]
            fits = (
                node < pool.nodes
                and fitting(pool, world.free, world.free, False, node, need, np.int64(1))[0] > 0
            )
            at += 1
        if not fits:
            return
        unbar(classes, job_class, place)
    world.window[job_class] = ALWAYS


@inner
def end_run(slots, world, run):  # type: ignore[no-untyped-def]
    """What a placement held is free, and whom that may concern is to be looked at again."""
    place = np.int64(world.runs[run].pool)
    freed = give_up_room(slots, world, run, np.int64(0))
    for i in range(world.signal[WAITING]):
        give_chance(world, world.waiting[i].job_class, place, np.int64(0), freed)


@inner
def give_up_room(slots, world, run, first):  # type: ignore[no-untyped-def]
    """What a placement held is free. Its nodes are in `touched` from `first` on; returns where they end."""
    place = np.int64(world.runs[run].pool)
    record = world.runs[run].record
    freed = first
    while record >= 0:
        node = world.records[record].node
        if freed == first or world.touched[freed - 1] != node:
            world.touched[freed] = node
            freed += 1
        record = world.records[record].next
    if world.tenants.clock[SHARING] != 0:
        let_go(world, run)
    release(world.pools, world.classes, world.free, world.runs, world.records, world.counters, run)
    holder = world.promise[place].slot
    if are_several(world):
        unsettle_seats(world, slots, place)
    elif holder >= 0:
        world.promise[place].stale = 1
        world.window[slots[holder].need] = ALWAYS
    return freed
