"""How long a job stays in a pool, its data's way there included, and what it scores there from an instant on.

What changes with time, and what is asked of single jobs, is only looked at where `world.features` says so: its length
is known when this is compiled, so that without them nothing of it is left.
"""

import numpy as np

from weir.scheduling.kernels.compiled import bare_folded as folded
from weir.scheduling.kernels.score import HOUR_MS, LARGEST_TERM, move_there, priced, run_there, scaled
from weir.scheduling.kernels.supply import average, in_service_until, opens_for

SCALES, MOVES = 2, 7
NOMINAL = 1_000_000
NEVER = 2**62
LARGEST_MARGIN, LONGEST_HOURS = 2**60, 2**30
LATE = 2**58
"""What missing a deadline adds to a score: more than all else together, and less than not being able to run."""


@folded
def speed_at(world, place, job_class):  # type: ignore[no-untyped-def]
    """In millionths of nominal, how fast a pool runs a class."""
    variant = world.classes.row[job_class].variant
    speed = world.pools[place].speed
    if variant >= 0:
        return max(1, speed * world.classes.variant_speed[variant, world.pools[place].stack])
    return max(1, speed * 1_000)


@folded
def time_at(rule, world, place, job_class, time):  # type: ignore[no-untyped-def]
    """How long there what takes so long at nominal speed; limits are as long everywhere unless the rule scales them."""
    if rule[SCALES] == 0:
        return time
    speed = speed_at(world, place, job_class)
    return (time * NOMINAL + speed - 1) // speed


@folded
def move_to(rule, world, place, job_class):  # type: ignore[no-untyped-def]
    """How long a job of a class waits in a pool for its data."""
    if rule[MOVES] == 0:
        return np.int64(0)
    return move_there(world.pools, world.classes, place, job_class)


@folded
def stays(rule, world, place, job_class, limit):  # type: ignore[no-untyped-def]
    """How long a job may hold its place in a pool: until its data are there, and then as long as its limit is."""
    time = move_to(rule, world, place, job_class) + time_at(rule, world, place, job_class, limit)
    if len(world.features) != 0:
        time += saving(world, job_class, limit) + world.lives.keep[job_class].restore
    return time


@folded
def saving(world, job_class, run):  # type: ignore[no-untyped-def]
    """How long a job that runs so long at nominal speed spends on saving its work: as often as some is left to do."""
    keep = world.lives.keep[job_class]
    if keep.every == 0:
        return np.int64(0)
    return keep.save * ((run - 1) // keep.every)


@folded
def limit_within(rule, world, place, job_class, time):  # type: ignore[no-untyped-def]
    """The longest limit with which a job of a class stays no longer than that in a pool."""
    left = time - move_to(rule, world, place, job_class)
    if rule[SCALES] != 0:
        return np.int64(left * speed_at(world, place, job_class) // NOMINAL)
    return left


@folded
def terms_at(world, place, job_class, expected, start):  # type: ignore[no-untyped-def]
    """As `priced`: what a run that begins at an instant costs and emits there."""
    book = np.int64(world.classes.row[job_class].book)
    run = run_there(world.pools, world.classes, place, job_class, expected)
    move = move_there(world.pools, world.classes, place, job_class)
    device_hour = world.classes.price[book, place].device_hour
    core_hour = world.classes.price[book, place].core_hour
    carbon = world.pools[place].carbon
    if len(world.features) != 0:
        times = world.supply.book[book, place]
        length = max(1, run)
        if times.device >= 0:
            device_hour = average(world.supply, times.device, start + move, length)
        if times.core >= 0:
            core_hour = average(world.supply, times.core, start + move, length)
        emits = world.supply.pool[place].carbon
        if emits >= 0:
            carbon = average(world.supply, emits, start + move, length)
    return priced(
        world.pools, world.classes, world.rates, place, job_class, run, move, device_hour, core_hour, carbon
    )


@folded
def is_in_service(rule, world, place, job_class, limit, now):  # type: ignore[no-untyped-def]
    """Whether a job that starts there now would end by its limit before the pool is out of service."""
    if len(world.features) == 0:
        return True
    return now + stays(rule, world, place, job_class, limit) <= in_service_until(world.supply, place, now)


@folded
def score_now(world, slots, slot, place):  # type: ignore[no-untyped-def]
    """What a pool scores for a job that would start there in this pass."""
    job_class = np.int64(slots[slot].need)
    run, move, _, _, score = terms_at(world, place, job_class, slots[slot].expected, world.now[0])
    if len(world.features) != 0:
        score += lateness(world, slot, world.now[0] + move + run)
    return score


@folded
def score_then(rule, world, slots, slot, place):  # type: ignore[no-untyped-def]
    """What a pool scores for a job that waits for it: it starts once the pool is in service for long enough."""
    job_class = np.int64(slots[slot].need)
    now = world.now[0]
    if len(world.features) == 0:
        return terms_at(world, place, job_class, slots[slot].expected, now)[4]
    start = opens_for(world.supply, place, now, stays(rule, world, place, job_class, slots[slot].limit))
    if start == NEVER:
        return np.int64(NEVER)
    return score_from(world, slots, slot, place, start, now)


@folded
def score_from(world, slots, slot, place, start, since):  # type: ignore[no-untyped-def]
    """What a pool scores, as of an instant, for a job that starts there at a later one: its wait is worth something."""
    job_class = np.int64(slots[slot].need)
    run, move, _, _, score = terms_at(world, place, job_class, slots[slot].expected, start)
    score += worth_of(world, job_class, start - since)
    if len(world.features) != 0:
        score += lateness(world, slot, start + move + run)
    return score


@folded
def least_from(world, slots, slot, place, since):  # type: ignore[no-untyped-def]
    """What a pool scores for a job at the least, whenever it starts there."""
    if len(world.features) != 0:
        times = world.supply.book[world.classes.row[np.int64(slots[slot].need)].book, place]
        if times.device >= 0 or times.core >= 0 or world.supply.pool[place].carbon >= 0:
            return np.int64(0)
    return score_from(world, slots, slot, place, since, since)


@folded
def as_of(world, now):  # type: ignore[no-untyped-def]
    """The instant as of which pools are scored in a pass made now."""
    return world.now[0] if len(world.features) != 0 else now


@folded
def latest_for(world, job_class, margin, since):  # type: ignore[no-untyped-def]
    """An instant, less than two hours too late, from which on it is worth more than `margin` to a job not to wait."""
    hour = world.classes.row[job_class].weight_time * world.rates[0]
    if hour < 1_000:
        return np.int64(NEVER)
    return since + min(LONGEST_HOURS, min(LARGEST_MARGIN, margin) // (hour // 1_000) + 1) * HOUR_MS


@folded
def terms_then(rule, world, slots, slot, place):  # type: ignore[no-untyped-def]
    """What `score_then` is made of, as `terms_at`; from now on where the pool is never in service for long enough."""
    job_class = np.int64(slots[slot].need)
    start = world.now[0]
    if len(world.features) != 0:
        opens = opens_for(world.supply, place, start, stays(rule, world, place, job_class, slots[slot].limit))
        if opens < NEVER:
            start = opens
    run, move, money, carbon, score = terms_at(world, place, job_class, slots[slot].expected, start)
    if len(world.features) != 0:
        score += worth_of(world, job_class, start - world.now[0]) + lateness(world, slot, start + move + run)
    return run, move, money, carbon, score


@folded
def worth_of(world, job_class, time):  # type: ignore[no-untyped-def]
    """What it costs a job in its score to wait so long."""
    return (
        world.classes.row[job_class].weight_time
        * scaled(world.rates[0], time, HOUR_MS, LARGEST_TERM)
        // 1_000
    )


@folded
def lateness(world, slot, end):  # type: ignore[no-untyped-def]
    """What ending then adds to a job's score."""
    return np.int64(LATE) if end > world.deadline[slot] else np.int64(0)
