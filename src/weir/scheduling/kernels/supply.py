"""What a pool offers over time: when it is out of service, and what a unit of it costs and emits on average.

Windows and curves are read from the tables of `weir.scheduling.supply`; those that come again do so at all times,
before their first as well. All is exact in 64 bits: values are below 2**31, steps begin at whole minutes.
"""

import numpy as np

from weir.scheduling.kernels.compiled import bare_folded as folded
from weir.scheduling.kernels.compiled import bare_inner as inner

NEVER = 2**62
MINUTE_MS = 60_000
LONGEST_AVERAGED_MS = 2**31 - 1
"""Of what runs for longer than that (24 days), its first so long counts."""


@folded
def begins(supply, at, now):  # type: ignore[no-untyped-def]
    """When a window begins that has not ended at `now`: the earliest such time, NEVER if there is none."""
    start = supply.window[at].start
    every = supply.window[at].every
    length = supply.window[at].length
    if every > 0:
        start += (now - start) // every * every
        return start if now < start + length else start + every
    return start if now < start + length else NEVER


@inner
def in_service_until(supply, place, now):  # type: ignore[no-untyped-def]
    """Until when a pool is in service from `now` on: not after `now` where it is out of service then."""
    until = np.int64(NEVER)
    for at in range(supply.pool[place].first_window, supply.pool[place].end_window):
        until = min(until, begins(supply, at, now))
    return until


@inner
def back_at(supply, place, now):  # type: ignore[no-untyped-def]
    """When a pool that is out of service at `now` is in service again; `now` where it is not out of service."""
    back = now
    moved = True
    while moved:
        moved = False
        for at in range(supply.pool[place].first_window, supply.pool[place].end_window):
            start = begins(supply, at, back)
            if start <= back:
                back = start + supply.window[at].length
                moved = True
    return back


@inner
def opens_for(supply, place, start, length):  # type: ignore[no-untyped-def]
    """The first instant from `start` on from which a pool is in service for so long; NEVER if there is none."""
    if length > supply.pool[place].longest:
        return np.int64(NEVER)
    while True:
        start = back_at(supply, place, start)
        until = in_service_until(supply, place, start)
        if start + length <= until:
            return start
        start = until


@inner
def next_change(supply, now):  # type: ignore[no-untyped-def]
    """The first instant after `now` at which a window begins or ends or a curve takes another step, or NEVER."""
    first = np.int64(NEVER)
    for at in range(len(supply.window)):
        start = begins(supply, at, now)
        if start > now:
            first = min(first, start)
        else:
            first = min(first, start + supply.window[at].length)
    for curve in range(len(supply.curve)):
        every = supply.curve[curve].every
        base = (now // every) * every if every > 0 else np.int64(0)
        after = step_at(supply, curve, now) + 1
        if after < supply.curve[curve].end:
            first = min(first, supply.step[after].start + base)
        elif every > 0:
            first = min(first, base + every)
    return first


@inner
def step_at(supply, curve, now):  # type: ignore[no-untyped-def]
    """Which step of a curve holds at `now`, or its first where none does yet."""
    time = now
    if supply.curve[curve].every > 0:
        time = now % supply.curve[curve].every
    low = np.int64(supply.curve[curve].first)
    high = np.int64(supply.curve[curve].end)
    while high - low > 1:
        middle = (low + high) >> 1
        if supply.step[middle].start <= time:
            low = middle
        else:
            high = middle
    return low


@inner
def accumulated(supply, curve, now):  # type: ignore[no-untyped-def]
    """(value times minutes up to `now`, value times the milliseconds beyond the last of those minutes)."""
    time = now
    total = np.int64(0)
    every = supply.curve[curve].every
    if every > 0:
        total = (now // every) * supply.curve[curve].total
        time = now % every
    at = step_at(supply, curve, now)
    beyond = time - supply.step[at].start
    value = supply.step[at].value
    total += supply.step[at].before + value * (beyond // MINUTE_MS)
    return total, value * (beyond % MINUTE_MS)


@inner
def average(supply, curve, start, length):  # type: ignore[no-untyped-def]
    """A curve's mean over [start, start + length), rounded down; length from 1 on."""
    length = min(length, LONGEST_AVERAGED_MS)
    before, before_rest = accumulated(supply, curve, start)
    after, after_rest = accumulated(supply, curve, start + length)
    return (MINUTE_MS * (after - before) + after_rest - before_rest) // length
