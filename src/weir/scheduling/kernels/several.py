"""A job's turn where pools have several seats: it starts, takes a seat in its best pool, or asks no more for its class.

Of a class, fellows ask one after another until one is refused a seat; those behind him would be, too.
"""

import numpy as np

from weir.scheduling.kernels.compiled import bare_folded as folded
from weir.scheduling.kernels.compiled import bare_inner as inner
from weir.scheduling.kernels.promises import (
    AHEAD,
    ALWAYS,
    CONTENT,
    FEWER,
    LATER,
    NOBODY,
    REOPENED,
    best_open,
    is_gated,
    may_fit_until,
    open_gates,
    reopen,
    score_of,
    segment_width,
    withdraw,
)
from weir.scheduling.kernels.reasons import group_of
from weir.scheduling.kernels.room import choose, take
from weir.scheduling.kernels.running import new_run
from weir.scheduling.kernels.seats import (
    GATED,
    NEVER,
    UNLAID,
    are_several,
    earliest,
    give_up_seat,
    in_force,
    last_start,
    open_seat,
    row_at,
    seat_of,
    seat_proven,
    settle_seats,
    shade,
    taken,
)
from weir.scheduling.kernels.stay import (
    as_of,
    is_in_service,
    latest_for,
    least_from,
    limit_within,
    score_from,
    stays,
)
from weir.scheduling.kernels.supply import in_service_until
from weir.scheduling.kernels.tenants import SHARING, ahead_of, hold, is_beyond
from weir.scheduling.kernels.vacancy import bar
from weir.scheduling.tables import FAILS

DEPTH, REASONS = 0, 6
NONE = -1


@folded
def make_ready(rule, slots, world, now):  # type: ignore[no-untyped-def]
    """Put promises right before a pass."""
    if are_several(world):
        look_at_seats(rule, slots, world, now)
    else:
        open_gates(rule, slots, world, now)


@inner
def look_at_seats(rule, slots, world, now):  # type: ignore[no-untyped-def]
    """Seats are put right where something has ended, and those who have waited long enough by now get theirs."""
    for place in range(len(world.pools)):
        if world.promise[place].slot < 0:
            continue
        if world.promise[place].stale != 0 and settle_seats(rule, slots, world, place, np.int64(AHEAD), now):
            reopen(world, place)
        seat = np.int64(0)
        while seat < taken(world, place):
            row = world.promise[row_at(world, seat, place)]
            slot = np.int64(row.slot)
            if row.start == GATED and not is_gated(slots, world, slot, place, now):
                if not fill(rule, slots, world, slot, place, seat, now):
                    continue
                reopen(world, place)
            seat += 1


@inner
def examine_several(rule, slots, world, candidates, slot, now):  # type: ignore[no-untyped-def]
    """Start a job where it can start best, or see to its seat. True if it starts.

    candidates: so many pools, with their scores, may have room for it.
    """
    job_class = np.int64(slots[slot].need)
    limit = slots[slot].limit
    window = np.int64(NONE)
    beyond = False
    while True:
        best = np.int64(-1)
        least = np.int64(NEVER)
        for i in range(candidates):
            if world.score[world.candidate[i]] < least:
                best = world.candidate[i]
                least = world.score[best]
        if best < 0:
            break
        world.score[best] = NEVER
        if is_beyond(world, slots, slot, best):
            beyond = True
            continue
        if not is_in_service(rule, world, best, job_class, limit, now):
            left = in_service_until(world.supply, best, now) - now
            window = max(window, limit_within(rule, world, best, job_class, left))
            continue
        until = now + stays(rule, world, best, job_class, limit)
        seats = in_force(world, slots, best, slot, seat_of(world, best, slot))
        both = shade(world, slots, best, seats, until)
        if choose(world.pools, world.classes, world.free, world.later, both, world.work, best, job_class) > 0:
            if rule[LATER] != 0 and waits_for_later(rule, slots, world, slot, best, least, now):
                if world.window[job_class] == ALWAYS:
                    world.window[job_class] = CONTENT
                    let_choose_anew(slots, world, slot)
                return False
            begin_there(rule, slots, world, slot, best, now)
            return True
        if both and (
            choose(world.pools, world.classes, world.free, world.later, False, world.work, best, job_class)
            > 0
        ):
            # From 0 on: there is room, and it is kept.
            left = last_start(world, best, seats, until) - now
            window = max(window, np.int64(0), limit_within(rule, world, best, job_class, left))
        else:
            bar(world.classes, job_class, best)
    if beyond:
        # That says nothing of others of its class.
        return False
    if rule[DEPTH] == 0 or not has_seat(rule, slots, world, slot, now):
        world.window[job_class] = window
        world.first[job_class] = slot
    return False


@folded
def let_choose_anew(slots, world, slot):  # type: ignore[no-untyped-def]
    """Something has changed for a job's class: its fellows who wait by choice chose before that."""
    for row in range(len(world.promise)):
        other = np.int64(world.promise[row].slot)
        if other >= 0 and other != slot and slots[other].need == slots[slot].need:
            world.promise[row].chosen = 0


@inner
def has_seat(rule, slots, world, slot, now):  # type: ignore[no-untyped-def]
    """Whether a job has a seat, or is given one, in its best pool."""
    job_class = np.int64(slots[slot].need)
    held = np.int64(slots[slot].promised)
    if held >= 0 and (rule[LATER] != 0 or len(world.features) != 0):
        # It may have chosen to wait there when it could start elsewhere; and what is better may be another by now.
        return True
    best = np.int64(world.best[job_class]) if len(world.features) == 0 else np.int64(NOBODY)
    if best < 0:
        best = np.int64(best_open(world, score_of(rule, world, slots, slot)))
    world.best[job_class] = best
    if best < 0:
        return False
    if held >= 0 and held != best:
        withdraw(rule, slots, world, slot)
    return claim_seat(rule, slots, world, slot, best, now)


@inner
def claim_seat(rule, slots, world, slot, place, now):  # type: ignore[no-untyped-def]
    """Give a job a seat in a pool, if it is not held by those ahead of it; whether it has one then."""
    if seat_of(world, place, slot) >= 0:
        return True
    if is_beyond(world, slots, slot, place):
        return False
    seat = open_seat(world, slots, place, slot)
    if seat < 0:
        return False
    if is_gated(slots, world, slot, place, now):
        return True
    return fill(rule, slots, world, slot, place, seat, now)


@inner
def fill(rule, slots, world, slot, place, seat, now):  # type: ignore[no-untyped-def]
    """Give a new seat its start and nodes; whoever sits behind it may have to wait longer. False if there are none."""
    if not seat_proven(
        rule, slots, world, place, seat, in_force(world, slots, place, slot, np.int64(-1)) & ~(1 << seat),
        np.int64(NEVER - 1), now,
    ):  # fmt: skip
        give_up_seat(world, slots, place, seat)
        return False
    row = world.promise[row_at(world, seat, place)]
    row.first = row.start
    named = np.int64(AHEAD if world.promise[place].fewer == 0 else FEWER)
    if seat + 1 < taken(world, place) and settle_seats(rule, slots, world, place, named, now):
        reopen(world, place)
    return True


@inner
def waits_for_later(rule, slots, world, slot, there, here, now):  # type: ignore[no-untyped-def]
    """As `promises.prefers_later`, of seats."""
    place = np.int64(slots[slot].promised)
    if place < 0:
        place = best_seat_later(rule, slots, world, slot, here, now)
        if place < 0 or not claim_seat(rule, slots, world, slot, place, now):
            return False
    elif place == there:
        return False
    row = world.promise[row_at(world, seat_of(world, place, slot), place)]
    if row.start <= now or row.start == GATED:
        return False
    if score_from(world, slots, slot, place, row.start, as_of(world, now)) >= here:
        return False
    row.chosen = 1
    return True


@inner
def best_seat_later(rule, slots, world, slot, most, now):  # type: ignore[no-untyped-def]
    """As `promises.best_later`, of seats."""
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
                if is_beyond(world, slots, slot, place) or not has_seat_for(world, slots, place, slot):
                    continue
                least = least_from(world, slots, slot, place, since)
                if least >= most or is_gated(slots, world, slot, place, now):
                    continue
                latest = latest_for(world, job_class, most - least, since)
                if not may_fit_until(world, place, job_class, latest):
                    continue
                seats = in_force(world, slots, place, slot, np.int64(-1))
                start = earliest(rule, slots, world, slot, place, seats, latest, now)
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
def has_seat_for(world, slots, place, slot):  # type: ignore[no-untyped-def]
    """Whether a pool has a free seat, or one that is held by somebody behind a job."""
    seats = taken(world, place)
    if seats < world.pools[place].seats:
        return True
    last = np.int64(world.promise[row_at(world, seats - 1, place)].slot)
    return not ahead_of(world, slots, last, slot)


@inner
def begin_there(rule, slots, world, slot, place, now):  # type: ignore[no-untyped-def]
    """A job starts in a pool that has room for it beside the seats it must not delay; those behind it that it delays
    are put off."""
    job_class = np.int64(slots[slot].need)
    until = now + stays(rule, world, place, job_class, slots[slot].limit)
    own = seat_of(world, place, slot)
    if rule[REASONS] != 0:
        slots[slot].second = group_of(
            rule, slots, world, score_of(rule, world, slots, slot), slot, place, now
        )
    seats = in_force(world, slots, place, slot, own)
    both = shade(world, slots, place, seats, until)
    nodes = choose(world.pools, world.classes, world.free, world.later, both, world.work, place, job_class)
    run = new_run(world.pools, world.runs, world.counters, slots[slot].job, job_class, place, until)
    world.runs[run].record = take(
        world.pools, world.classes, world.free, world.later, both, world.records, world.counters, world.work,
        place, job_class, nodes,
    )  # fmt: skip
    world.run_of[slot] = run
    if world.tenants.clock[SHARING] != 0:
        hold(world, run, world.tenants.of[slots[slot].line], now)
    withdraw(rule, slots, world, slot)
    world.laid[place] = UNLAID
    if world.promise[place].slot >= 0 and settle_seats(rule, slots, world, place, np.int64(AHEAD), now):
        reopen(world, place)
        world.signal[REOPENED] = 1
