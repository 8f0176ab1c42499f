"""States of jobs and attempts, as tables, and the one function that says what a job's state is."""

from dataclasses import dataclass
from enum import Enum, IntEnum


class JobState(IntEnum):
    """Where a job stands. Stored as the number; shown by its name in lower case."""

    WAITING = 10
    """For other jobs that it comes after."""
    HELD = 11
    """Until its owner releases it."""
    QUEUED = 12
    """Ready, and not placed yet."""
    PLACED = 20
    """A pool is chosen; its agent has not answered for it yet."""
    STARTING = 21
    """The agent has it: inputs are fetched, or it waits in the engine's own queue."""
    RUNNING = 22
    STOPPING = 23
    """It is being cancelled."""
    UNKNOWN = 24
    """Its centre cannot be reached."""
    SUCCEEDED = 30
    FAILED = 31
    CANCELLED = 32

    @property
    def ended(self) -> bool:
        return self >= JobState.SUCCEEDED

    @property
    def placed(self) -> bool:
        """Whether an attempt of it may hold capacity."""
        return JobState.PLACED <= self <= JobState.UNKNOWN


class Desired(IntEnum):
    """What control wants of an attempt. Written by control alone, and only upwards."""

    RUN = 1
    STOPPED = 2
    ABANDONED = 3
    """Given up without an answer from its centre; stopped if the centre returns."""


class Observed(IntEnum):
    """What an agent has reported of an attempt. Never goes down."""

    NOTHING = 0
    INTENDED = 1
    """The agent has durably recorded that it will start it, and may be fetching its inputs."""
    QUEUED = 2
    """The engine has it and has not started it."""
    RUNNING = 3
    ENDED = 4


class Cause(Enum):
    """Why an attempt or a job ended in another way than success."""

    EXIT = "exit"
    """The command ended with a code other than 0."""
    SIGNAL = "signal"
    """The command was ended by a signal that Weir did not send."""
    START = "start"
    """The command could not be started (not found, not executable)."""
    TIME_LIMIT = "time-limit"
    OUT_OF_MEMORY = "out-of-memory"
    INPUTS = "inputs"
    """Its inputs could not be fetched."""
    OUTPUTS = "outputs"
    """Its outputs could not be taken over (too large, or a path that leaves its folder)."""
    REJECTED = "rejected"
    """The engine refused it."""
    CANCELLED = "cancelled"
    PREEMPTED = "preempted"
    NODE_FAILED = "node-failed"
    LOST = "lost"
    """It was intended or running and the engine knows nothing of its end."""
    CENTRE_LOST = "centre-lost"
    """Its centre stayed away and it was given up."""
    WITHDRAWN = "withdrawn"
    """It was taken back before it started, for the job to be placed elsewhere."""
    DEPENDENCY = "dependency"
    """A job that it comes after did not succeed."""


REPEATABLE = frozenset({Cause.LOST, Cause.NODE_FAILED, Cause.PREEMPTED, Cause.CENTRE_LOST})
"""Causes that are not the job's own: a job with attempts left is queued again after them."""


class Dependencies(Enum):
    """What the jobs that a job comes after mean for it."""

    MET = "met"
    UNMET = "unmet"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class AttemptFacts:
    """What is known of the attempt that holds the job's current epoch. `cause` is None for success."""

    desired: Desired
    observed: Observed
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class JobFacts:
    """All that a job's state depends on."""

    cancelled: bool = False
    held: bool = False
    dependencies: Dependencies = Dependencies.MET
    attempt: AttemptFacts | None = None
    attempts_left: bool = False
    centre_reachable: bool = True


def job_state(facts: JobFacts) -> tuple[JobState, Cause | None]:
    """The state of a job, and the cause where it ended without success.

    Evaluated in the transaction that changes any of the facts; a job's state is never written otherwise.
    """
    attempt = facts.attempt
    if attempt is None:
        return _unplaced(facts)
    if attempt.desired is Desired.ABANDONED:
        return _after(facts, Cause.CENTRE_LOST)  # whatever comes from there later
    if attempt.observed is Observed.ENDED:
        return _after(facts, attempt.cause)
    if not facts.centre_reachable:
        return JobState.UNKNOWN, None
    if facts.cancelled or attempt.desired is Desired.STOPPED:
        return JobState.STOPPING, None
    return _STATE_OF_OBSERVED[attempt.observed], None


_STATE_OF_OBSERVED = {
    Observed.NOTHING: JobState.PLACED,
    Observed.INTENDED: JobState.STARTING,
    Observed.QUEUED: JobState.STARTING,
    Observed.RUNNING: JobState.RUNNING,
}


_LIVE_STATES = (JobState.PLACED, JobState.STARTING, JobState.RUNNING, JobState.STOPPING, JobState.UNKNOWN)
_ENDS = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)

LEGAL_MOVES: dict[JobState, frozenset[JobState]] = {
    # Waiting or held, then placed: an agent brings back an attempt that a restored store has forgotten.
    JobState.WAITING: frozenset({JobState.HELD, JobState.QUEUED, JobState.PLACED, JobState.CANCELLED}),
    JobState.HELD: frozenset({JobState.WAITING, JobState.QUEUED, JobState.PLACED, JobState.CANCELLED}),
    JobState.QUEUED: frozenset({JobState.HELD, JobState.PLACED, JobState.CANCELLED}),
    JobState.PLACED: frozenset(
        {
            JobState.STARTING,
            JobState.RUNNING,
            JobState.STOPPING,
            JobState.UNKNOWN,
            JobState.QUEUED,
            JobState.HELD,
            *_ENDS,
        }
    ),
    JobState.STARTING: frozenset(
        {JobState.RUNNING, JobState.STOPPING, JobState.UNKNOWN, JobState.QUEUED, JobState.HELD, *_ENDS}
    ),
    JobState.RUNNING: frozenset(
        {JobState.STOPPING, JobState.UNKNOWN, JobState.QUEUED, JobState.HELD, *_ENDS}
    ),
    JobState.STOPPING: frozenset({JobState.UNKNOWN, *_ENDS}),
    JobState.UNKNOWN: frozenset({*_LIVE_STATES, JobState.QUEUED, JobState.HELD, *_ENDS} - {JobState.UNKNOWN}),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
}
"""Every move that a job may make; an ended job never moves again."""


def _unplaced(facts: JobFacts) -> tuple[JobState, Cause | None]:
    if facts.cancelled:
        return JobState.CANCELLED, Cause.CANCELLED
    if facts.dependencies is Dependencies.FAILED:
        return JobState.CANCELLED, Cause.DEPENDENCY
    if facts.held:
        return JobState.HELD, None
    if facts.dependencies is Dependencies.UNMET:
        return JobState.WAITING, None
    return JobState.QUEUED, None


def _after(facts: JobFacts, cause: Cause | None) -> tuple[JobState, Cause | None]:
    if cause is None:
        return JobState.SUCCEEDED, None
    if facts.cancelled:
        return JobState.CANCELLED, Cause.CANCELLED
    if cause is Cause.WITHDRAWN or (cause in REPEATABLE and facts.attempts_left):
        return (JobState.HELD if facts.held else JobState.QUEUED), None
    if cause is Cause.CANCELLED:
        return JobState.CANCELLED, cause
    return JobState.FAILED, cause
