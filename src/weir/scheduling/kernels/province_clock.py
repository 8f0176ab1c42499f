"""Simulated time for many pools: ends, then arrivals, then one pass."""

import numpy as np

from weir.scheduling.kernels.address import addressed
from weir.scheduling.kernels.bound import (
    PLACEMENT,
    SCORE,
    amount,
    count_no_more,
    expected_work,
    fix,
    queue_up,
)
from weir.scheduling.kernels.by_tenant import pass_over
from weir.scheduling.kernels.clock import ASKED_EVERY_MS, ENDS, FAR, NEXT, join, leave
from weir.scheduling.kernels.coming import discard, pop, push, slot_of, time_of
from weir.scheduling.kernels.compiled import bare
from weir.scheduling.kernels.compiled import bare_folded as folded
from weir.scheduling.kernels.compiled import bare_inner as inner
from weir.scheduling.kernels.line import BLOCK, insert, remove
from weir.scheduling.kernels.prediction import began, learn, left, predict
from weir.scheduling.kernels.preemption import (
    GIVEN_UP,
    LEAST_RUN,
    LOWEST,
    RUNNING,
    displace,
    saved_wall,
    saves_in,
)
from weir.scheduling.kernels.priority import KIND, PATIENCE, SUBMITTED, key_of
from weir.scheduling.kernels.promises import ALWAYS, REOPENED, WAITING, WANTED, withdraw
from weir.scheduling.kernels.seats import are_several, give_up_seat
from weir.scheduling.kernels.shares import charge, put_off
from weir.scheduling.kernels.stay import move_to, saving, speed_at
from weir.scheduling.kernels.supply import next_change
from weir.scheduling.kernels.tenants import QUOTAS, SHARING, tell_time
from weir.scheduling.kernels.vacancy import is_eligible, unbar
from weir.scheduling.kernels.world import (
    arrive,
    end,
    is_short_of_rows,
    know_nothing,
    wait,
)

KEY_BITS = 53
KEY_MASK = 2**KEY_BITS - 1
"""As in kernels/waiting.py: below its priority class, a key is the order's own."""
NOW, DONE, PENDING, CHANGE, ACTIVE, GRAIN = 2, 3, 4, 5, 6, 7
"""CHANGE: when the supply changes next. ACTIVE: when anything else happened last. GRAIN: ends fall on its multiples."""
OVER, MORE_TIME, MORE_ROOM = 0, 1, 2
PREDICTS, FAIR = 3, 5


@inner
def expect(rule, rates, slots, world, history, trace, slot, now):  # type: ignore[no-untyped-def]
    """What is expected of a job's run, at nominal speed, and so its place in the order."""
    if rule[PREDICTS] != 0:
        slots[slot].expected = predict(
            history, trace.user[slot], trace.group[slot], trace.size[slot], slots[slot].limit, now
        )
    slots[slot].key = place_in_order(rule, rates, slots, world, trace, slot, slots[slot].expected, now)


@inner
def place_in_order(rule, rates, slots, world, trace, slot, expected, now):  # type: ignore[no-untyped-def]
    """The key that a job has by what is expected of it and by its tenant's share."""
    key = key_of(rates, slots[slot].submitted, expected, trace.size[slot], now)
    if rule[FAIR] != 0:
        key += put_off(trace, trace.tenant[slot])
    if len(world.features) != 0 and rates[KIND] in (SUBMITTED, PATIENCE):
        # These keys are times, so a job goes ahead in time for its deadline; never of those that were there before.
        key = min(key, max(slots[slot].submitted, world.deadline[slot] - 2 * expected))
    if len(world.features) != 0 and world.lives.rule[LOWEST] > 0:
        key = (world.lives.rank[slot] << KEY_BITS) + min(KEY_MASK, max(0, key))
    return key


@inner
def expect_again(rule, rates, slots, order, lines, world, history, trace, user, now):  # type: ignore[no-untyped-def]
    """A user's job has ended: that may tell how long those will run that he has waiting. As for a counted pool."""
    if now - trace.asked[user] < ASKED_EVERY_MS:
        return
    trace.asked[user] = now
    slot = trace.first[user]
    while slot >= 0:
        before = slots[slot].expected
        expected = before
        if rule[PREDICTS] != 0:
            expected = predict(history, user, trace.group[slot], trace.size[slot], slots[slot].limit, now)
        if rule[FAIR] != 0 or abs(expected - before) * 8 >= before:
            slots[slot].expected = expected
            key = place_in_order(rule, rates, slots, world, trace, slot, expected, now)
            if key != slots[slot].key:
                line = np.int64(slots[slot].line)
                remove(order, lines, line, slot)
                slots[slot].key = key
                insert(order, lines, slots, line, slot, key, slots[slot].need)
            world.window[slots[slot].need] = ALWAYS
            world.first[slots[slot].need] = -1
            if slots[slot].promised >= 0:
                withdraw(rule, slots, world, slot)
        slot = trace.following[slot]


@inner
def come_to_wait(rule, slots, order, lines, world, trace, slot):  # type: ignore[no-untyped-def]
    """A job waits, in the line and among those of its user."""
    wait(order, lines, slots, world, slot)
    if rule[PREDICTS] != 0 or rule[FAIR] != 0:
        join(trace, slot)


@inner
def begin(rule, slots, world, history, trace, clock, slot, now):  # type: ignore[no-untyped-def]
    """A job has its place: it starts once its data are there, and its end is to come."""
    run = world.run_of[slot]
    place = np.int64(world.runs[run].pool)
    job_class = np.int64(slots[slot].need)
    speed = speed_at(world, place, job_class)
    lasts = (trace.run[slot] * 1_000_000 + speed - 1) // speed
    start = now + move_to(rule, world, place, job_class)
    if len(world.features) != 0:
        lasts += saving(world, job_class, trace.run[slot])
        if world.lives.done[slot] > 0:
            lasts += world.lives.keep[job_class].restore
        world.lives.rule[RUNNING] += world.lives.keep[job_class].preemptible
    lasts = min(lasts, world.runs[run].end - start)
    if clock[GRAIN] > 1:
        lasts = grained(start, lasts, world.runs[run].end, clock[GRAIN])
    trace.start[slot] = start
    trace.end[slot] = start + lasts
    trace.pool[slot] = place
    push(trace.heap, clock[ENDS], start + lasts, slot)
    clock[ENDS] += 1
    if rule[PREDICTS] != 0 or rule[FAIR] != 0:
        leave(trace, slot)
    if rule[FAIR] != 0:
        charge(trace, trace.tenant[slot], slots[slot].limit // 1_000 * slots[slot].size, start)
    if rule[PREDICTS] != 0:
        began(history, trace.user[slot], trace.size[slot], slots[slot].limit, start)
    if rule[PLACEMENT] != SCORE:
        held = amount(world, job_class, place)
        world.backlog[place, 2] -= trace.due[slot]
        trace.due[slot] = now + expected_work(world, trace, slots, slot, place) // held
        world.backlog[place, 0] += trace.due[slot] * held
        world.backlog[place, 1] += held


@folded
def grained(start, lasts, limit, grain):  # type: ignore[no-untyped-def]
    """How long a run lasts that ends on the nearest multiple of the grain, not beyond its limit, if it lasts then."""
    end = (start + lasts + grain // 2) // grain * grain
    if end > limit:
        end -= grain
    return end - start if end > start else lasts


@inner
def finish(rule, rates, slots, order, lines, world, history, trace, slot, now):  # type: ignore[no-untyped-def]
    """A job has ended."""
    if rule[PLACEMENT] != SCORE:
        count_no_more(world, slots, trace, slot)
    if len(world.features) != 0:
        world.lives.rule[RUNNING] -= world.lives.keep[slots[slot].need].preemptible
    end(rule, slots, world, slot)
    if rule[PREDICTS] != 0:
        learn(
            history, trace.user[slot], trace.group[slot], trace.size[slot], slots[slot].limit, trace.run[slot],
            trace.start[slot],
        )  # fmt: skip
    if rule[FAIR] != 0:
        unused = (slots[slot].limit - trace.run[slot]) // 1_000 * slots[slot].size
        charge(trace, trace.tenant[slot], -unused, trace.start[slot])
    if rule[PREDICTS] != 0 or rule[FAIR] != 0:
        expect_again(rule, rates, slots, order, lines, world, history, trace, trace.user[slot], now)


@bare
def run(  # type: ignore[no-untyped-def]
    rule, rates, slots, order, lines, world, history, trace, clock, started, single, until, budget
):
    """Let at most so many events happen, none of them at or after `until`.

    OVER when all is done up to then, MORE_TIME when the budget is spent, MORE_ROOM when rows for placements ran out:
    enlarge them, and call again. single: one pass after each event.
    """
    order = addressed(order)
    world = addressed(world)
    history = addressed(history)
    trace = addressed(trace)
    jobs = len(slots)
    events = 0
    while events < budget:
        arrival = slots[clock[NEXT]].submitted if clock[NEXT] < jobs else FAR
        ending = time_of(trace.heap[0]) if clock[ENDS] > 0 else FAR
        now = min(arrival, ending)
        changed = False
        if len(world.features) != 0:
            look = next_look(order, lines, world, trace, clock, now, until)
            changed = look <= now and look < FAR
            now = min(now, look)
        if clock[PENDING] != 0:
            now = clock[NOW]
        elif now >= until:
            return OVER
        freed = clock[PENDING] != 0 or changed
        if clock[PENDING] == 0:
            clock[NOW] = now
            if world.tenants.clock[SHARING] != 0:
                tell_time(world, now)
            if changed:
                look_again(slots, world)
                events += 1
            while clock[ENDS] > 0 and time_of(trace.heap[0]) == now:
                slot = slot_of(trace.heap[0])
                pop(trace.heap, clock[ENDS])
                clock[ENDS] -= 1
                finish(rule, rates, slots, order, lines, world, history, trace, slot, now)
                clock[DONE] += 1
                events += 1
                freed = True
                if single:
                    break
            if arrival == now and not (single and freed):
                only = single or clock[NEXT] + 1 == jobs or slots[clock[NEXT] + 1].submitted > now
                while clock[NEXT] < jobs and slots[clock[NEXT]].submitted == now:
                    slot = clock[NEXT]
                    expect(rule, rates, slots, world, history, trace, slot, now)
                    if rule[PLACEMENT] != SCORE:
                        fix(rule, slots, world, trace, slot, now)
                    alone = (
                        only and not freed and not may_displace(world) and world.tenants.clock[SHARING] == 0
                    )
                    if alone and not is_short_of_rows(world, np.int64(slots[slot].need)):
                        world.signal[REOPENED] = 0
                        if arrive(rule, slots, order, lines, world, slot, now):
                            begin(rule, slots, world, history, trace, clock, slot, now)
                        elif rule[PREDICTS] != 0 or rule[FAIR] != 0:
                            join(trace, slot)
                    else:
                        know_nothing(world, np.int64(slots[slot].need))
                        come_to_wait(rule, slots, order, lines, world, trace, slot)
                        world.signal[REOPENED] = 1
                    clock[NEXT] += 1
                    events += 1
                    if single:
                        break
        clock[PENDING] = 0
        if len(world.features) != 0 and (ending == now or arrival == now):
            clock[ACTIVE] = now
        if world.signal[WAITING] == 0 or (not freed and world.signal[REOPENED] == 0):
            continue
        starts = pass_over(rule, slots, order, lines, world, started, now)
        for i in range(starts):
            begin(rule, slots, world, history, trace, clock, started[i], now)
        if len(world.features) != 0:
            if starts > 0:
                clock[ACTIVE] = now
            victims = 0
            if world.signal[WANTED] == 0:
                victims = displace(rule, slots, order, lines, world, trace, now)
            while victims > 0:
                for i in range(victims):
                    run_given_up = world.lives.victim[i]
                    give_up(rule, slots, order, lines, world, history, trace, clock, run_given_up, now)
                world.signal[REOPENED] = 1
                starts = pass_over(rule, slots, order, lines, world, started, now)
                for i in range(starts):
                    begin(rule, slots, world, history, trace, clock, started[i], now)
                victims = 0
                if starts > 0 and world.signal[WANTED] == 0:
                    victims = displace(rule, slots, order, lines, world, trace, now)
        if world.signal[WANTED] != 0:
            clock[PENDING] = 1
            return MORE_ROOM
    return MORE_TIME


@inner
def next_look(order, lines, world, trace, clock, now, until):  # type: ignore[no-untyped-def]
    """When those that wait are to be looked at before or with what happens at `now`, though nobody comes or goes; FAR
    if they are not: a window begins or ends, a price changes, or somebody has run long enough to give way.

    Where nothing else is to come, jobs that have not started by the time when all changes have come again never will.
    """
    if world.signal[WAITING] == 0 or clock[PENDING] != 0:
        return FAR
    if clock[CHANGE] <= clock[NOW]:
        clock[CHANGE] = next_change(world.supply, clock[NOW])
    look = clock[CHANGE]
    if now == FAR and look > max(clock[ACTIVE], world.supply.cycle[0]) + world.supply.cycle[1]:
        look = FAR
    look = min(look, next_ripe(order, lines, world, trace, clock[NOW]))
    return look if look <= now and look < until else FAR


@inner
def next_ripe(order, lines, world, trace, before):  # type: ignore[no-untyped-def]
    """The first instant after `before` at which a job has run long enough to give way, if anybody waits for that."""
    ripe = FAR
    if world.lives.rule[RUNNING] == 0 or not somebody_may_ask(order, lines, world):
        return ripe
    for place in range(len(world.pools)):
        run = world.pools[place].running
        while run >= 0:
            if world.lives.keep[world.runs[run].job_class].preemptible != 0:
                then = trace.start[world.runs[run].job] + world.lives.rule[LEAST_RUN]
                if then > before:
                    ripe = min(ripe, then)
            run = world.runs[run].next
    return ripe


@inner
def somebody_may_ask(order, lines, world):  # type: ignore[no-untyped-def]
    """Whether anybody waits for whom others may have to give way."""
    if world.tenants.clock[SHARING] != 0 and world.tenants.clock[QUOTAS] != 0:
        return True
    for line in range(len(lines)):
        block = lines[line].head
        if block >= 0:
            first = order.entry[block * BLOCK + order.block[block].first].slot
            if world.lives.rank[first] != world.lives.rule[LOWEST]:
                return True
    return False


@folded
def may_displace(world):  # type: ignore[no-untyped-def]
    """Whether somebody runs who may have to give way."""
    if len(world.features) == 0:
        return False
    return world.lives.rule[RUNNING] > 0


@inner
def give_up(rule, slots, order, lines, world, history, trace, clock, run, now):  # type: ignore[no-untyped-def]
    """A job gives way: what it has not saved is lost, and it waits again, as old as it is."""
    slot = np.int64(world.runs[run].job)
    place = np.int64(world.runs[run].pool)
    job_class = np.int64(slots[slot].need)
    lives = world.lives
    wall = saved_wall(world, trace, place, job_class, slot, now)
    saved = saves_in(world, trace, place, job_class, slot, now) * lives.keep[job_class].every
    saved = min(saved, trace.run[slot] - 1)
    row = lives.given_up[lives.rule[GIVEN_UP]]
    row.job = slot
    row.pool = place
    row.start = trace.start[slot]
    row.end = now
    row.kept = wall
    lives.rule[GIVEN_UP] += 1
    lives.rule[RUNNING] -= 1
    lives.times[slot] += 1
    lives.done[slot] += saved
    discard(trace.heap, clock[ENDS], trace.end[slot], slot)
    clock[ENDS] -= 1
    if rule[FAIR] != 0:
        unused = (slots[slot].limit // 1_000 - saved // 1_000) * slots[slot].size
        charge(trace, trace.tenant[slot], -unused, trace.start[slot])
    if rule[PREDICTS] != 0:
        left(history, trace.user[slot], trace.size[slot], slots[slot].limit, trace.start[slot])
    if rule[PLACEMENT] != SCORE:
        count_no_more(world, slots, trace, slot)
    end(rule, slots, world, slot)
    trace.run[slot] -= saved
    slots[slot].limit -= saved
    slots[slot].expected = max(1, min(slots[slot].limit, slots[slot].expected - saved))
    if rule[PLACEMENT] != SCORE:
        queue_up(world, trace, slots, slot, place)
    trace.start[slot] = -1
    trace.end[slot] = -1
    trace.pool[slot] = -1
    know_nothing(world, np.int64(slots[slot].need))
    come_to_wait(rule, slots, order, lines, world, trace, slot)


@inner
def look_again(slots, world):  # type: ignore[no-untyped-def]
    """The supply is another from now on: all that wait are to be looked at. Promises stand, as do their pools."""
    for i in range(world.signal[WAITING]):
        job_class = world.waiting[i].job_class
        world.window[job_class] = ALWAYS
        first = world.first[job_class]
        if are_several(world) or (first >= 0 and slots[first].promised < 0):
            world.best[job_class] = -1
    world.signal[REOPENED] = 1


@bare
def unsettle(slots, world, place):  # type: ignore[no-untyped-def]
    """A pool was closed or opened: nothing is known any more of who might start where, and its promise is void."""
    world = addressed(world)
    while world.promise[place].slot >= 0:
        holder = np.int64(world.promise[place].slot)
        if are_several(world):
            give_up_seat(world, slots, place, np.int64(0))
        else:
            slots[holder].promised = -1
            world.promise[place].slot = -1
    for i in range(world.signal[WAITING]):
        job_class = world.waiting[i].job_class
        if is_eligible(world.classes, job_class, place):
            unbar(world.classes, job_class, place)
        world.window[job_class] = ALWAYS
        world.best[job_class] = -1
    world.signal[REOPENED] = 1


@bare
def lose(rule, slots, order, lines, world, history, trace, lost, place):  # type: ignore[no-untyped-def]
    """What runs in a pool is lost: its jobs wait again. Returns how many; their ends stay listed."""
    order = addressed(order)
    world = addressed(world)
    history = addressed(history)
    trace = addressed(trace)
    count = 0
    run = world.pools[place].running
    while run >= 0:
        lost[count] = world.runs[run].job
        count += 1
        run = world.runs[run].next
    for i in range(count):
        slot = lost[i]
        if rule[FAIR] != 0:
            charge(
                trace, trace.tenant[slot], -(slots[slot].limit // 1_000 * slots[slot].size), trace.start[slot]
            )
        if rule[PREDICTS] != 0:
            left(history, trace.user[slot], trace.size[slot], slots[slot].limit, trace.start[slot])
        if rule[PLACEMENT] != SCORE:
            count_no_more(world, slots, trace, slot)
            queue_up(world, trace, slots, slot, place)
        if len(world.features) != 0:
            world.lives.rule[RUNNING] -= world.lives.keep[slots[slot].need].preemptible
        end(rule, slots, world, slot)
        trace.start[slot] = -1
        trace.end[slot] = -1
        trace.pool[slot] = -1
        know_nothing(world, np.int64(slots[slot].need))
        come_to_wait(rule, slots, order, lines, world, trace, slot)
    return count
