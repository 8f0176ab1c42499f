"""Simulated time for one counted pool: ends, then arrivals, then one pass."""

import numpy as np

from weir.scheduling.kernels.address import addressed
from weir.scheduling.kernels.coming import pop, push, slot_of, time_of
from weir.scheduling.kernels.compiled import bare
from weir.scheduling.kernels.compiled import bare_folded as folded
from weir.scheduling.kernels.compiled import bare_inner as inner
from weir.scheduling.kernels.counted import give_back, take
from weir.scheduling.kernels.line import insert, remove
from weir.scheduling.kernels.prediction import began, learn, predict
from weir.scheduling.kernels.priority import key_of
from weir.scheduling.kernels.shares import charge, put_off
from weir.scheduling.kernels.turn import FAIR, ONLY, PREDICTS, SECOND, go_over, starts_at_once

NEXT, ENDS, NOW, DONE = 0, 1, 2, 3
PLACES = 4
FAR = 2**62
ASKED_EVERY_MS = 60_000
NOWHERE = -2
"""What precedes a job that does not wait."""


@bare
def keys(rates, second_rates, slots):  # type: ignore[no-untyped-def]
    """Give jobs the keys that they have when they come, by what is expected of them."""
    for slot in range(len(slots)):
        submitted = slots[slot].submitted
        expected = slots[slot].expected
        need = np.int64(slots[slot].need)
        slots[slot].key = key_of(rates, submitted, expected, need, submitted)
        slots[slot].second = key_of(second_rates, submitted, expected, need, submitted)


@folded
def wait(rule, slots, order, lines, second, second_lines, trace, slot):  # type: ignore[no-untyped-def]
    """A job comes to wait, in both orders and among those of its user."""
    need = np.int64(slots[slot].need)
    insert(order, lines, slots, ONLY, slot, slots[slot].key, need)
    if rule[SECOND] != 0:
        insert(second, second_lines, slots, ONLY, slot, slots[slot].second, need)
    if rule[PREDICTS] != 0 or rule[FAIR] != 0:
        join(trace, slot)


@inner
def join(trace, slot):  # type: ignore[no-untyped-def]
    """A job waits, among others of its user."""
    user = trace.user[slot]
    after = trace.first[user]
    trace.following[slot] = after
    trace.preceding[slot] = -1
    if after >= 0:
        trace.preceding[after] = slot
    trace.first[user] = slot


@inner
def leave(trace, slot):  # type: ignore[no-untyped-def]
    """A job waits no more; nothing happens where it never did."""
    before = trace.preceding[slot]
    if before == NOWHERE:
        return
    after = trace.following[slot]
    if before >= 0:
        trace.following[before] = after
    else:
        trace.first[trace.user[slot]] = after
    if after >= 0:
        trace.preceding[after] = before
    trace.preceding[slot] = NOWHERE


@inner
def expected_of(rule, slots, history, trace, slot, now):  # type: ignore[no-untyped-def]
    """How long a job is expected to run, by what has ended so far."""
    if rule[PREDICTS] == 0:
        return slots[slot].expected
    size = np.int64(slots[slot].size)
    return predict(history, trace.user[slot], trace.group[slot], size, slots[slot].limit, now)


@inner
def put_in_order(rule, rates, second_rates, slots, trace, slot, expected, now):  # type: ignore[no-untyped-def]
    """Note what is expected of a job, and the keys that this and its tenant's share give it."""
    size = np.int64(slots[slot].size)
    submitted = slots[slot].submitted
    slots[slot].expected = expected
    slots[slot].key = key_of(rates, submitted, expected, size, now)
    slots[slot].second = key_of(second_rates, submitted, expected, size, now)
    if rule[FAIR] != 0:
        slots[slot].key += put_off(trace, trace.tenant[slot])


@inner
def expect_again(  # type: ignore[no-untyped-def]
    rule, rates, second_rates, slots, order, lines, second, second_lines, history, trace, user, now
):
    """A user's job has ended: that may tell how long those will run that he has waiting.

    Asked once a minute at most; what changes by less than an eighth stays as it is. Both save most of the work for
    users with thousands of waiting jobs, and little is lost by it.
    """
    if now - trace.asked[user] < ASKED_EVERY_MS:
        return
    trace.asked[user] = now
    slot = trace.first[user]
    while slot >= 0:
        key = slots[slot].key
        other = slots[slot].second
        need = np.int64(slots[slot].need)
        before = slots[slot].expected
        expected = expected_of(rule, slots, history, trace, slot, now)
        if rule[FAIR] == 0 and abs(expected - before) * 8 < before:
            slot = trace.following[slot]
            continue
        put_in_order(rule, rates, second_rates, slots, trace, slot, expected, now)
        if slots[slot].key != key:
            remove(order, lines, ONLY, slot)
            insert(order, lines, slots, ONLY, slot, slots[slot].key, need)
        if rule[SECOND] != 0 and slots[slot].second != other:
            remove(second, second_lines, ONLY, slot)
            insert(second, second_lines, slots, ONLY, slot, slots[slot].second, need)
        slot = trace.following[slot]


@folded
def begin(rule, slots, history, trace, clock, slot, now):  # type: ignore[no-untyped-def]
    """A job has started: its end is to come."""
    trace.start[slot] = now
    if rule[PREDICTS] != 0 or rule[FAIR] != 0:
        leave(trace, slot)
    if rule[FAIR] != 0:
        charge(trace, trace.tenant[slot], slots[slot].limit // 1_000 * slots[slot].size, now)
    if rule[PREDICTS] != 0:
        began(history, trace.user[slot], np.int64(slots[slot].need), slots[slot].limit, now)
    push(trace.heap, clock[ENDS], now + trace.run[slot], slot)
    clock[ENDS] += 1


@bare
def run(  # type: ignore[no-untyped-def]
    rule, rates, second_rates, slots, order, lines, second, second_lines, count, profile, scratch, history, trace,
    clock, started, single, budget,
):  # fmt: skip
    """Let at most so many events happen; True when all is over.

    single: one pass after each event, rather than one after all that happen at the same time.
    """
    return go_on(
        rule, rates, second_rates, slots, addressed(order), lines, addressed(second), second_lines,
        addressed(count), addressed(profile), scratch, addressed(history), addressed(trace), clock, started, single,
        budget,
    )  # fmt: skip


@inner
def go_on(  # type: ignore[no-untyped-def]
    rule, rates, second_rates, slots, order, lines, second, second_lines, count, profile, scratch, history, trace,
    clock, started, single, budget,
):  # fmt: skip
    """`run`, for compiled code."""
    jobs = len(slots)
    events = 0
    while events < budget:
        arrival = slots[clock[NEXT]].submitted if clock[NEXT] < jobs else FAR
        end = time_of(trace.heap[0]) if clock[ENDS] > 0 else FAR
        now = min(arrival, end)
        if now == FAR:
            return True
        freed = False
        while clock[ENDS] > 0 and time_of(trace.heap[0]) == now:
            slot = slot_of(trace.heap[0])
            pop(trace.heap, clock[ENDS])
            clock[ENDS] -= 1
            give_back(count, slot, trace.start[slot] + slots[slot].limit)
            if rule[PREDICTS] != 0:
                learn(
                    history, trace.user[slot], trace.group[slot], np.int64(slots[slot].need), slots[slot].limit,
                    trace.run[slot], trace.start[slot],
                )  # fmt: skip
            if rule[FAIR] != 0:
                unused = (slots[slot].limit - trace.run[slot]) // 1_000 * slots[slot].size
                charge(trace, trace.tenant[slot], -unused, trace.start[slot])
            if rule[PREDICTS] != 0 or rule[FAIR] != 0:
                expect_again(
                    rule, rates, second_rates, slots, order, lines, second, second_lines, history, trace,
                    trace.user[slot], now,
                )  # fmt: skip
            clock[DONE] += 1
            events += 1
            freed = True
            if single:
                break
        starts = -1
        if arrival == now and not (single and freed):
            slot = clock[NEXT]
            only = single or slot + 1 == jobs or slots[slot + 1].submitted > now
            if rule[PREDICTS] != 0 or rule[FAIR] != 0:
                expected = expected_of(rule, slots, history, trace, slot, now)
                put_in_order(rule, rates, second_rates, slots, trace, slot, expected, now)
            if only and not freed:
                starts = starts_at_once(rule, slots, lines, count, now, slot)
            if starts == 1:
                clock[NEXT] += 1
                events += 1
                take(count, slot, now + slots[slot].limit, np.int64(slots[slot].need))
                begin(rule, slots, history, trace, clock, slot, now)
                continue
            while clock[NEXT] < jobs and slots[clock[NEXT]].submitted == now:
                slot = clock[NEXT]
                clock[NEXT] += 1
                events += 1
                wait(rule, slots, order, lines, second, second_lines, trace, slot)
                if single:
                    break
                slot = clock[NEXT]
                if (rule[PREDICTS] != 0 or rule[FAIR] != 0) and slot < jobs and slots[slot].submitted == now:
                    expected = expected_of(rule, slots, history, trace, slot, now)
                    put_in_order(rule, rates, second_rates, slots, trace, slot, expected, now)
        if starts == 0 or lines[ONLY].waiting == 0:
            continue
        starts = go_over(
            rule, rates, slots, order, lines, second, second_lines, count, profile, scratch, started, now
        )
        for i in range(starts):
            begin(rule, slots, history, trace, clock, started[i], now)
    return False
