"""What a marked job's turn finds of every pool, with the same judgement that the pass uses."""

import numpy as np

from weir.scheduling.kernels.compiled import bare_folded as folded
from weir.scheduling.kernels.compiled import bare_inner as inner
from weir.scheduling.kernels.promises import kept_from, score_of
from weir.scheduling.kernels.reasons import AWAY, BEYOND, CLOSED, ELIGIBLE, FULL, KEPT, NEVER, OUTSCORED
from weir.scheduling.kernels.room import room_for
from weir.scheduling.kernels.seats import are_several, in_force, last_start, row_at, seat_of, shade
from weir.scheduling.kernels.stay import is_in_service, stays, terms_then
from weir.scheduling.kernels.tenants import is_beyond, rate_of


@inner
def judge(rule, slots, world, slot, now):  # type: ignore[no-untyped-def]
    """Write a row of `found` for every pool, as it is to one waiting job before its turn.

    OUTSCORED stands for every pool with room. Room kept for the job that a pool is promised to is KEPT, however many
    tasks would fit without it.
    """
    job_class = np.int64(slots[slot].need)
    limit = slots[slot].limit
    score_of(rule, world, slots, slot)
    score = world.score
    tasks = world.classes.row[job_class].tasks
    for place in range(len(world.pools)):
        row = world.work.found[place]
        row.pool = place
        row.verdict = ELIGIBLE
        row.idle = world.pools[place].idle
        row.window = world.window[job_class]
        row.until = 0
        holder = world.promise[place].slot
        row.holder = slots[holder].job if holder >= 0 else np.int64(-1)
        if score[place] == NEVER:
            continue
        row.run, row.data, row.money, row.carbon, row.score = terms_then(rule, world, slots, slot, place)
        row.room = room_left(world, False, place, job_class)
        end = now + stays(rule, world, place, job_class, limit)
        if world.pools[place].open == 0:
            row.verdict = CLOSED
        elif not is_in_service(rule, world, place, job_class, limit, now):
            row.verdict = AWAY
        elif is_beyond(world, slots, slot, place):
            row.verdict = BEYOND
            tenant = world.tenants.of[slots[slot].line]
            row.rate = rate_of(world, place, job_class)
            row.holds = world.tenants.holds[tenant]
            row.ceiling = world.tenants.ceiling[tenant]
        elif row.room < tasks:
            row.verdict = FULL
        elif are_several(world):
            row.verdict = OUTSCORED
            until, kept_for = binding_seat(world, slots, place, slot, end)
            if until >= 0:
                row.verdict = KEPT
                row.until = until
                row.holder = slots[kept_for].job
        elif (
            kept_from(rule, slots, world, place, slot, end)
            and room_left(world, True, place, job_class) < tasks
        ):
            row.verdict = KEPT
            row.until = world.promise[place].start
        else:
            row.verdict = OUTSCORED


@inner
def binding_seat(world, slots, place, slot, end):  # type: ignore[no-untyped-def]
    """(until when a job could use the room that a pool has, the holder of the seat that binds it from then on); -1
    where no seat does."""
    seats = in_force(world, slots, place, slot, seat_of(world, place, slot))
    tasks = world.classes.row[slots[slot].need].tasks
    until = np.int64(end)
    found = np.int64(-1)
    holder = np.int64(-1)
    while shade(world, slots, place, seats, until):
        if room_left(world, True, place, np.int64(slots[slot].need)) >= tasks:
            break
        found = last_start(world, place, seats, until)
        for seat in range(world.pools[place].seats):
            row = world.promise[row_at(world, seat, place)]
            if seats >> seat & 1 != 0 and row.start == found:
                holder = np.int64(row.slot)
        until = found
    return found, holder


@folded
def room_left(world, both, place, job_class):  # type: ignore[no-untyped-def]
    """`room_for` in the world's terms."""
    return room_for(world.pools, world.classes, world.free, world.later, both, place, job_class)
