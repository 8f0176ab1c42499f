"""Why jobs start where they do: starts decided alike share one list of what was found about each pool."""

import numpy as np

from weir.scheduling.kernels.compiled import bare_folded as folded
from weir.scheduling.kernels.compiled import bare_inner as inner
from weir.scheduling.kernels.seats import are_several, row_at
from weir.scheduling.kernels.stay import is_in_service, terms_then
from weir.scheduling.tables import BLOCKED, Counter

GROUPS = Counter.GROUPS
NEVER = 2**62
ELIGIBLE, CHOSEN, OUTSCORED, FULL, KEPT, CLOSED, AWAY, BEYOND = 0, 1, 2, 3, 4, 5, 6, 7
"""AWAY: out of service before the job would have ended by its limit. BEYOND: its tenant's ceiling keeps it away."""
_MIX = -7046029254386353131  # 2**64 / golden ratio, as a signed number


@folded
def mixed(number):  # type: ignore[no-untyped-def]
    """A well spread non-negative number."""
    number = number * _MIX
    number ^= number >> 29
    return (number * _MIX) & 0x7FFFFFFFFFFFFFFF


@inner
def group_of(rule, slots, world, candidates, slot, chosen, now):  # type: ignore[no-untyped-def]
    """The group of starts decided alike that one belongs to, made if it is the first.

    `world.score` holds what every pool scores for it, `world.candidate` the pools where it can go. A better one that is
    not known to be full was kept for the job to which it is promised.
    """
    job_class = np.int64(slots[slot].need)
    limit = slots[slot].limit
    expected = slots[slot].expected
    deadline = world.deadline[slot] if len(world.features) != 0 else np.int64(0)
    score = world.score
    kept = np.int64(0)
    for i in range(candidates):
        place = world.candidate[i]
        if score[place] <= score[chosen] and verdict_of(rule, slots, world, slot, place, chosen, now) == KEPT:
            kept = mixed(mixed(kept + place + 1) + holder_of(slots, world, slot, place))
    index = world.work.group_index
    mask = len(index) - 1
    at = hashed(job_class, limit, expected, deadline, chosen, kept) & mask
    while index[at] >= 0:
        group = index[at]
        row = world.work.group[group]
        if (
            row.job_class == job_class
            and row.limit == limit
            and row.expected == expected
            and row.deadline == deadline
            and row.chosen == chosen
            and row.kept == kept
        ):
            return group
        at = (at + 1) & mask
    group = world.counters[GROUPS]
    world.counters[GROUPS] += 1
    index[at] = group
    row = world.work.group[group]
    row.job_class = job_class
    row.limit = limit
    row.expected = expected
    row.deadline = deadline
    row.chosen = chosen
    row.kept = kept
    row.listed = list_pools(rule, slots, world, candidates, group, slot, chosen, now)
    return group


@inner
def hashed(job_class, limit, expected, deadline, chosen, kept):  # type: ignore[no-untyped-def]
    """Where a group is looked for."""
    return mixed(
        mixed(mixed(mixed(mixed(mixed(job_class + 1) + limit) + expected) + deadline) + chosen) + kept
    )


@inner
def list_pools(rule, slots, world, candidates, group, slot, chosen, now):  # type: ignore[no-untyped-def]
    """Write the chosen pool and then the others by score, as many as are listed; returns how many."""
    place = chosen
    for listed in range(world.work.listed.shape[1]):
        if listed > 0:
            place = next_best(world, candidates, chosen, place if listed > 1 else np.int64(-1))
            if place < 0:
                return listed
        row = world.work.listed[group, listed]
        row.pool = place
        row.verdict = verdict_of(rule, slots, world, slot, place, chosen, now)
        row.idle = world.pools[place].idle
        row.holder = holder_of(slots, world, slot, place)
        row.run, row.data, row.money, row.carbon, row.score = terms_then(rule, world, slots, slot, place)
    return world.work.listed.shape[1]


@inner
def next_best(world, candidates, chosen, last):  # type: ignore[no-untyped-def]
    """The best scored pool after `last` (-1: of all), besides the chosen one and those that fail; -1 for none."""
    score = world.score
    best = np.int64(-1)
    least = NEVER
    for i in range(candidates):
        place = world.candidate[i]
        if (
            score[place] < least
            and place != chosen
            and (last < 0 or score[place] > score[last] or (score[place] == score[last] and place > last))
        ):
            best = place
            least = score[place]
    return best


@folded
def holder_of(slots, world, slot, place):  # type: ignore[no-untyped-def]
    """The job to which a pool is promised, the first of them but the one that asks, or -1."""
    holder = world.promise[place].slot
    if holder == slot and are_several(world) and world.pools[place].seats > 1:
        holder = world.promise[row_at(world, 1, place)].slot
    return slots[holder].job if holder >= 0 else np.int64(-1)


@folded
def verdict_of(rule, slots, world, slot, place, chosen, now):  # type: ignore[no-untyped-def]
    """What the decision for one pool found about another."""
    score = world.score
    job_class = np.int64(slots[slot].need)
    if place == chosen:
        return CHOSEN
    if score[place] == NEVER:
        return ELIGIBLE
    if world.pools[place].open == 0:
        return CLOSED
    if score[place] > score[chosen] or (score[place] == score[chosen] and place > chosen):
        return OUTSCORED
    if world.classes.barred[job_class, place] == BLOCKED:
        return FULL
    if not is_in_service(rule, world, place, job_class, slots[slot].limit, now):
        return AWAY
    return KEPT
