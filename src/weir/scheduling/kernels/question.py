"""What the state says about one waiting job, with the same judgement that a pass uses."""

from weir.scheduling.kernels.cycle import (
    CLOSED,
    ELIGIBLE,
    FULL,
    KEPT,
    NEVER,
    OUTSCORED,
    SCORED_CLASS,
    outlasts,
    score_pools,
)
from weir.scheduling.kernels.room import room_for
from weir.scheduling.kernels.score import compiled, terms


@compiled
def judge(  # type: ignore[no-untyped-def]
    pools,
    classes,
    free,
    later,
    reservations,
    work,
    counters,
    rates,
    job_class,
    limit,
    now,
    verdict,
    room,
    found,
):
    """For every pool: a verdict, how many tasks have room now, and the score's terms.

    The best pool with room, if there is one, is not told from the others with room: all are OUTSCORED; the caller
    knows which is best. Room kept for a reservation is KEPT, however many tasks would fit without it.
    """
    counters[SCORED_CLASS] = -1
    score_pools(pools, classes, rates, work, counters, job_class, limit)
    for pool in range(len(pools.open)):
        verdict[pool] = ELIGIBLE
        room[pool] = 0
        if work.score[pool] == NEVER:
            continue
        parts = terms(pools, classes, rates, pool, job_class, limit)
        for i in range(5):
            found[pool, i] = parts[i]
        room[pool] = room_for(pools, classes, free, later, False, pool, job_class)
        both = outlasts(reservations, pool, now + limit)
        if pools.open[pool] == 0:
            verdict[pool] = CLOSED
        elif room[pool] < classes.tasks[job_class]:
            verdict[pool] = FULL
        elif both and room_for(pools, classes, free, later, True, pool, job_class) < classes.tasks[job_class]:
            verdict[pool] = KEPT
        else:
            verdict[pool] = OUTSCORED
