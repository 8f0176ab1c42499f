"""What became of jobs and attempts, in views and in words."""

from weir.control.listed import AnyRow
from weir.control.placement import node_shares, tasks_on
from weir.model.identity import attempt_id
from weir.model.job import JobSpecification
from weir.model.state import Cause, Desired, JobState, Observed
from weir.model.view import AttemptView
from weir.units import format_bytes

_WORDS = {
    Cause.EXIT: "the command ended with code {code}",
    Cause.SIGNAL: "the command was ended by signal {signal}",
    Cause.START: "the command could not be started",
    Cause.TIME_LIMIT: "it reached its time limit",
    Cause.OUT_OF_MEMORY: "it used more memory than it asked for",
    Cause.INPUTS: "its inputs could not be fetched",
    Cause.OUTPUTS: "its outputs could not be taken over",
    Cause.REJECTED: "the engine refused it",
    Cause.CANCELLED: "",
    Cause.PREEMPTED: "it had to make room for another",
    Cause.NODE_FAILED: "its node failed",
    Cause.LOST: "it was lost: the engine knows nothing of its end",
    Cause.CENTRE_LOST: "its centre stayed away and it was given up",
    Cause.WITHDRAWN: "it was taken back before it started",
    Cause.DEPENDENCY: "a job that it comes after did not succeed",
}
_STANDS = {
    JobState.WAITING: "it waits for the jobs that it comes after",
    JobState.HELD: "until its owner releases it",
    JobState.QUEUED: "it is ready and waits for a pool",
    JobState.PLACED: "a pool is chosen; its agent has not answered yet",
    JobState.STARTING: "the centre has it and prepares its start",
    JobState.UNKNOWN: "its centre cannot be reached; what became of it is not known",
}
_TOLD_WHOLE = frozenset(
    {Cause.EXIT, Cause.SIGNAL, Cause.TIME_LIMIT, Cause.OUT_OF_MEMORY, Cause.CANCELLED, Cause.WITHDRAWN}
)
"""Causes of which an engine's own message says all that the words above would."""


def words_for(state: JobState, cause: str | None, attempt: AnyRow | None) -> str:
    """What a job waits for, or why it ended so, in plain words, where its state alone does not tell.

    `attempt` is its newest.
    """
    if cause is None:
        said = _STANDS.get(state, "")
    else:
        code = attempt.exit_code if attempt is not None else None
        signal = attempt.signal if attempt is not None else None
        said = _WORDS[Cause(cause)].format(code=code, signal=signal)
    if attempt is None:
        return "before it was placed" if cause == Cause.CANCELLED.value else said
    if not (state.ended or state.placed) or cause == Cause.DEPENDENCY.value:
        return said
    if attempt.message:
        told_whole = not said or (cause is not None and Cause(cause) in _TOLD_WHOLE)
        said = attempt.message if told_whole else f"{said}: {attempt.message}"
    if state.ended and attempt.dropped_log_bytes:
        lost = (
            f"{format_bytes(attempt.dropped_log_bytes)} of its output was beyond the limit and was not kept"
        )
        said = f"{said}; {lost}" if said else lost
    return said


def attempt_view(
    job: str, row: AnyRow, specification: JobSpecification, device_model: str, now_ms: int
) -> AttemptView:
    """One placement, with what it has used so far in seconds of its devices and cores."""
    seconds = 0.0
    if row.started_ms is not None:
        seconds = max(0, (now_ms if row.ended_ms is None else row.ended_ms) - row.started_ms) / 1_000
    tasks, devices = tasks_on(row.nodes), specification.devices
    devices_milli = 0 if devices is None else devices.share or devices.count * 1_000
    return AttemptView(
        id=attempt_id(job, row.epoch),
        epoch=row.epoch,
        centre=row.centre,
        pool=row.pool,
        device_model=device_model,
        nodes=len(node_shares(row.nodes)),
        tasks=tasks,
        desired=Desired(row.desired).name.lower(),
        observed=Observed(row.observed).name.lower(),
        placed_ms=row.placed_ms,
        started_ms=row.started_ms,
        ended_ms=row.ended_ms,
        cause=row.cause,
        exit_code=row.exit_code,
        signal=row.signal,
        message=row.message,
        device_seconds=round(seconds * tasks * devices_milli / 1_000, 3),
        core_seconds=round(seconds * tasks * specification.cores / 1_000, 3),
        dropped_log_bytes=row.dropped_log_bytes or 0,
    )


__all__ = ["attempt_view", "words_for"]
