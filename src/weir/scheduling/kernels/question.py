"""What the state says about one waiting job, with the same judgement that a pass uses."""

from weir.scheduling.kernels.compiled import entry
from weir.scheduling.kernels.cycle import (
    CLOSED,
    ELIGIBLE,
    FULL,
    KEPT,
    NEVER,
    OUTSCORED,
    outlasts,
    score_pools,
)
from weir.scheduling.kernels.room import room_for
from weir.scheduling.kernels.score import terms


@entry
def judge(  # type: ignore[no-untyped-def]
    pools, classes, free, later, reservations, work, rates, job_class, limit, now, room, found
):
    """For every pool, its row of `found`, and in `room` how many of the tasks have room now.

    OUTSCORED stands for every pool with room. Room kept for a reservation is KEPT, however many tasks would fit
    without it.
    """
    score = score_pools(pools, classes, rates, work, job_class, limit)
    tasks = classes.row[job_class].tasks
    for place in range(len(pools)):
        row = found[place]
        row.pool = place
        row.verdict = ELIGIBLE
        row.idle = pools[place].idle
        if score[place] == NEVER:
            continue
        row.run, row.data, row.money, row.carbon, row.score = terms(
            pools, classes, rates, place, job_class, limit
        )
        room[place] = room_for(pools, classes, free, later, False, place, job_class)
        if pools[place].open == 0:
            row.verdict = CLOSED
        elif room[place] < tasks:
            row.verdict = FULL
        elif (
            outlasts(reservations, place, now + limit)
            and room_for(pools, classes, free, later, True, place, job_class) < tasks
        ):
            row.verdict = KEPT
        else:
            row.verdict = OUTSCORED
