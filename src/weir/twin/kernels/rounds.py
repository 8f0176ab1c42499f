"""What happens within a round of `weir.twin.rounds`, and its two orders of whole jobs."""

import numpy as np
from numpy.typing import NDArray

from weir.scheduling.kernels.compiled import entry

Floats = NDArray[np.float64]
Int64s = NDArray[np.int64]

NONE = -1
"""No option: the job holds no device."""


@entry
def place(
    now: float,
    active: Int64s,
    wanted: Int64s,
    option: Int64s,
    since_s: Floats,
    start_s: Floats,
    delay_s: Floats,
    moves: Int64s,
    profile: Int64s,
    restart_s: Floats,
) -> None:
    """Put every active job on its wanted option; one that changes begins its restart anew."""
    for i in range(active.size):
        job = active[i]
        if wanted[i] == option[job]:
            continue
        option[job] = wanted[i]
        since_s[job] = now
        if wanted[i] == NONE:
            continue
        delay_s[job] = restart_s[profile[job]]
        if start_s[job] < 0:
            start_s[job] = now
        else:
            moves[job] += 1


@entry
def advance(
    now: float,
    round_s: float,
    whole_steps: bool,
    whole_seconds: bool,
    active: Int64s,
    option: Int64s,
    done: Floats,
    phase: Int64s,
    delay_s: Floats,
    attained_s: Floats,
    kind_s: Floats,
    lost_s: Floats,
    widest: Int64s,
    end_s: Floats,
    profile: Int64s,
    work: Floats,
    rate: Floats,
    phase_end: Floats,
    option_kind: Int64s,
    option_devices: Int64s,
) -> float:
    """One round from `now`; returns when the last run in it ended (`now` if none ran).

    `attained_s` and `lost_s` are device-seconds held, and held while restarting; `kind_s` [job, kind] is time held.
    `widest` is the most devices that a job has worked on.
    """
    last = now
    for i in range(active.size):
        job = active[i]
        chosen = option[job]
        if chosen < 0:
            continue
        devices = option_devices[chosen]
        own = profile[job]
        left = round_s
        if delay_s[job] > 0:
            wait = min(delay_s[job], left)
            delay_s[job] -= wait
            lost_s[job] += wait * devices
            left -= wait
        if left > 0:
            widest[job] = max(widest[job], devices)
        if whole_steps:
            speed = rate[own, phase[job], chosen]
            steps = np.floor(speed * left)
            if steps >= work[job] - done[job]:
                steps = work[job] - done[job]
                done[job] = work[job]
                end_s[job] = now + (round_s - left) + steps / speed
            else:
                done[job] += steps
            used = (round_s - left) + steps / speed
        else:
            while left > 0 and end_s[job] < 0:
                speed = rate[own, phase[job], chosen]
                goal = min(phase_end[own, phase[job]], work[job])
                if done[job] + speed * left < goal:
                    done[job] += speed * left
                    left = 0.0
                    continue
                needed = (goal - done[job]) / speed
                if whole_seconds:
                    needed = np.rint(needed)
                left = max(0.0, left - needed)
                done[job] = goal
                if goal >= work[job]:
                    end_s[job] = now + (round_s - left)
                else:
                    phase[job] += 1
            used = round_s - left
        attained_s[job] += used * devices
        kind_s[job, option_kind[chosen]] += used
        last = max(last, now + used)
    return last


@entry
def in_turn(
    order: Int64s, rate: Floats, option: Int64s, devices: Int64s, capacity: Int64s, known: NDArray[np.bool_]
) -> Int64s:
    """Kind by kind, in that kind's order [kind, job], each job where it still fits; jobs without a share yet only
    hold their place."""
    chosen = np.full(devices.size, NONE)
    taken = np.zeros(devices.size, np.bool_)
    for kind in range(capacity.size):
        left = capacity[kind]
        for i in order[kind]:
            if left == 0:
                break
            if taken[i] or rate[i, kind] <= 0 or devices[i] > left:
                continue
            left -= devices[i]
            taken[i] = True
            if known[i]:
                chosen[i] = option[i, kind]
    return chosen


@entry
def first_come(
    active: Int64s,
    holds: Int64s,
    rate: Floats,
    option: Int64s,
    devices: Int64s,
    capacity: Int64s,
    kind_of: Int64s,
) -> Int64s:
    """Jobs in order, each on the kind where it is fastest of those with room; none overtakes one without room."""
    left = capacity.copy()
    for job in active:
        if holds[job] != NONE:
            left[kind_of[holds[job]]] -= devices[job]
    chosen = np.full(active.size, NONE)
    blocked = False
    for i in range(active.size):
        job = active[i]
        if holds[job] != NONE:
            chosen[i] = holds[job]
            continue
        if blocked:
            continue
        best = 0.0
        for kind in range(left.size):
            if left[kind] >= devices[job] and rate[job, kind] > best:
                best = rate[job, kind]
                chosen[i] = option[job, kind]
        if chosen[i] == NONE:
            blocked = True
        else:
            left[kind_of[chosen[i]]] -= devices[job]
    return chosen
