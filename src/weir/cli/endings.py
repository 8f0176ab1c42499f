"""What a job's end means for a command that waited for it: its exit code, and one line in words."""

from weir.model.view import JobView

_CODES = {"cancelled": 130, "time-limit": 124, "out-of-memory": 137, "dependency": 3}


def exit_code(job: JobView) -> int:
    """The job's own exit code; 128 + n after signal n; 124 at the time limit; 1 where it never had one."""
    if job.state == "succeeded":
        return 0
    if job.cause == "exit" and job.exit_code:
        return job.exit_code
    if job.cause == "signal" and job.attempts and job.attempts[-1].signal:
        return 128 + job.attempts[-1].signal
    return _CODES.get(job.cause or "", 1)


def ending(job: JobView) -> str:
    """One line: how the job stands or ended, where, and why."""
    line = f"{job.id} {job.state}"
    if job.pool:
        line += f" at {job.centre}/{job.pool}"
    if job.cause and job.cause != job.state:
        line += f" ({job.cause}{f' {job.exit_code}' if job.cause == 'exit' else ''})"
    return f"{line}: {job.message}" if job.message else line
