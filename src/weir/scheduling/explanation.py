"""Why one job waits, or why it went where it is."""

import numpy as np

from weir.scheduling.compilation import kernel
from weir.scheduling.eligibility import constraint_in_words
from weir.scheduling.plan import Explanation, PoolReason, Terms, Verdict
from weir.scheduling.state import State
from weir.scheduling.step import KEPT_NOTE
from weir.scheduling.tables import LISTED


def explain(state: State, job: int, now_ms: int) -> Explanation | None:
    """Every pool's reason for one job, by pool key, as the state stands after its last step.

    For a job that this state started, the reasons of that decision, and position 0. None for a job that neither
    waits nor was started by this state: its reasons are where the plan that started it was stored.
    """
    if job in state.reasons:
        return Explanation(state.reasons[job], 0, 0, state.queued)
    slot = state.queue.find(job)
    if slot < 0:
        return None
    position, ahead = kernel("waiting").position(state.queue.slots, slot)
    pools = _pools_of_waiting(state, slot, now_ms)
    return Explanation(pools, int(position), int(ahead), state.queued)


def _pools_of_waiting(state: State, slot: int, now_ms: int) -> tuple[PoolReason, ...]:
    number = int(state.queue.slots["need"][slot])
    job_class = state.known.described[number]
    assert job_class is not None
    count = len(state.rows)
    room, found = np.zeros(count, np.int64), np.zeros(count, LISTED)
    kernel("live").judge(state.rule, state.queue.slots, state.world, slot, now_ms, room, found)
    said_of = kernel("reasons")
    codes = state.known.failed(number)
    reasons = []
    for place, (row, (_, verdict, idle, holder, *terms)) in enumerate(
        zip(state.rows, found.tolist(), strict=True)
    ):
        code = int(codes[place])
        if code:
            failed = constraint_in_words(row, job_class, code)
            reasons.append(PoolReason(row.key, Verdict.FAILS, failed=failed))
            continue
        said, note = Verdict.FULL, f"room for {int(room[place])} of {job_class.tasks} tasks"
        if verdict == said_of.CLOSED:
            said, note = Verdict.CLOSED, row.closed_because
        elif verdict == said_of.KEPT:
            note = KEPT_NOTE.format(job=holder)
        elif verdict == said_of.OUTSCORED:
            # Something has changed in the meaning of `now` alone; the next step will decide.
            note = "there is room; the next step decides"
        if holder == int(state.queue.slots["job"][slot]):
            note = f"promised to this job; {note}"
        reasons.append(PoolReason(row.key, said, terms=Terms(*terms), free_nodes=idle, note=note))
    return tuple(reasons)
