"""What a job's end means for a command that waited for it: its exit code, and one line in words."""

from weir.model.view import JobView, SubmissionView

_CODES = {"cancelled": 130, "start": 127, "time-limit": 124, "out-of-memory": 137, "dependency": 3}


def exit_code(job: JobView) -> int:
    """The job's own exit code; 128 + n after signal n; 124 at the time limit; 1 where nothing else says more."""
    if job.state == "succeeded":
        return 0
    if job.cause == "exit" and job.exit_code:
        return job.exit_code
    if job.cause == "signal" and job.attempts and job.attempts[-1].signal:
        return 128 + job.attempts[-1].signal
    return _CODES.get(job.cause or "", 1)


def submission_exit_code(submission: SubmissionView) -> int:
    """The same for a submission: of an array 0 only when every element has succeeded."""
    if submission.job is not None:
        return exit_code(submission.job)
    return 0 if set(submission.states) == {"succeeded"} else 1


def state_words(job: JobView) -> str:
    """A job's state in a column: with its cause, and its exit code, where it did not succeed."""
    if not job.cause or job.cause == job.state:
        return job.state
    code = f" {job.exit_code}" if job.cause == "exit" else ""
    return f"{job.state} ({job.cause}{code})"


def counts(submission: SubmissionView) -> str:
    """How many of a submission's jobs are in which state."""
    return ", ".join(f"{count} {state}" for state, count in submission.states.items())


def ending(job: JobView) -> str:
    """One line: how the job stands or ended, where, and why."""
    if job.message or not job.cause or job.cause == job.state:
        line = f"{job.id} {job.state}"
    else:
        line = f"{job.id} {state_words(job)}"
    if job.pool and job.state not in ("queued", "held", "waiting"):
        line += f" at {job.centre}/{job.pool}"
    return f"{line}: {job.message}" if job.message else line


def submission_ending(submission: SubmissionView) -> str:
    """The same for a submission: of an array how many are in which state."""
    if submission.job is not None:
        return ending(submission.job)
    return f"{submission.id} {counts(submission)}"
