"""Why one job waits, or why it went where it is."""

from weir.scheduling.compilation import kernel
from weir.scheduling.eligibility import constraint_in_words
from weir.scheduling.kept import KeptCycle
from weir.scheduling.plan import Constraint, Explanation, PoolReason, Terms, Verdict
from weir.scheduling.rerun import Found, marked_pass, rerun, rewind
from weir.scheduling.state import State
from weir.scheduling.step import KEPT_NOTE, away, elsewhere
from weir.units import format_yuan

LATER_NOTE = "there is room, and it waits for {pool}, which is promised to it"


def explain(state: State, job: int) -> Explanation | None:
    """Every pool's reason for one job, by pool key, as its turn in the last cycle found them.

    For a job that waits, that cycle is run again on a copy of the state, with the job marked; OtherPlanError when it
    does not give the plan that it gave. For a job that this state started, the reasons of that decision, and position
    0. None for a job that neither waits nor was started by this state: its reasons are where the plan that started it
    was stored; and before the first cycle.
    """
    if job in state.reasons:
        return Explanation(state.reasons[job], 0, 0, state.queued)
    if not state.waits(job) or state.last is None:
        return None
    return _explanation(state, job, rerun(state, job))


def explain_kept(state: State, cycle: KeptCycle, job: int) -> Explanation | None:
    """The same of a cycle that was kept; `state` is that of `kept.replayed` just before it, and serves again for the
    next job.

    Position 0 where that cycle started the job; None where it did not wait in it. Raises OtherPlanError when the cycle
    does not give the plan that it gave; the state must then be given up.
    """
    if not state.waits(job):
        return None
    found = marked_pass(state, job, cycle.now_ms, cycle.digest)
    if found.started:
        answer = Explanation(found.started, 0, 0, state.queued)
    else:
        answer = _explanation(state, job, found)
    rewind(state)
    return answer


def _explanation(state: State, job: int, found: Found) -> Explanation:
    position, ahead = kernel("waiting").position(state.world, state.queue.slots, state.queue.find(job))
    return Explanation(_pools_of_waiting(state, found), int(position), int(ahead), state.queued)


def _pools_of_waiting(state: State, found: Found) -> tuple[PoolReason, ...]:
    job_class = state.known.described[found.job_class]
    assert job_class is not None
    said_of = kernel("reasons")
    codes = state.known.failed(found.job_class)
    reasons = []
    for row, code, each, not_before_ms in zip(
        state.rows, codes.tolist(), found.row, found.not_before_ms.tolist(), strict=True
    ):
        if code:
            failed = constraint_in_words(row, job_class, code)
            reasons.append(PoolReason(row.key, Verdict.FAILS, failed=failed))
            continue
        said, note = Verdict.FULL, f"room for {int(each['room'])} of {job_class.tasks} tasks"
        until_ms = rather_ms = better_by = 0
        if each["verdict"] == said_of.CLOSED:
            said, note = Verdict.CLOSED, row.closed_because
        elif each["verdict"] == said_of.AWAY:
            said, note = Verdict.CLOSED, away(row, found.now_ms)
        elif each["verdict"] == said_of.BEYOND:
            failed = beyond(int(each["rate"]), int(each["holds"]), int(each["ceiling"]))
            reasons.append(PoolReason(row.key, Verdict.FAILS, failed=failed))
            continue
        elif each["verdict"] == said_of.KEPT:
            note = KEPT_NOTE.format(job=int(each["holder"]))
            until_ms = int(each["until"])
        elif each["verdict"] == said_of.OUTSCORED and found.promised:
            said, note = Verdict.OUTSCORED, LATER_NOTE.format(pool=found.promised)
            rather_ms, better_by = found.promised_ms, int(each["score"]) - found.later_score
        if row.key == found.promised:
            note = f"promised to this job; {note}"
        note = "; ".join(filter(None, (note, elsewhere(row, job_class))))
        reasons.append(
            PoolReason(
                row.key,
                said,
                terms=Terms(
                    run_ms=int(each["run"]),
                    data_ms=int(each["data"]),
                    money_micro_yuan=int(each["money"]),
                    carbon_mg=int(each["carbon"]),
                    score=int(each["score"]),
                    wait_ms=row.expected_wait_ms,
                ),
                free_nodes=int(each["idle"]),
                note=note,
                not_before_ms=max(0, not_before_ms),
                fits_until_ms=until_ms,
                rather_at_ms=rather_ms,
                better_by_micro_yuan=better_by,
            )
        )
    return tuple(reasons)


def beyond(rate: int, holds: int, ceiling: int) -> Constraint:
    """That a job would take its tenant beyond its ceiling; all in micro-yuan an hour."""
    return Constraint(
        "quota",
        f"{format_yuan(rate)} an hour of the tenant's share",
        f"{format_yuan(max(0, ceiling - holds))} left of the ceiling of {format_yuan(ceiling)}",
    )
