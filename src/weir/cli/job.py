"""Commands about single jobs: run, submit, logs, wait, and what an owner may still change."""

import sys
from pathlib import Path
from typing import Any, BinaryIO

import typer

from weir.cli.completion import complete_job
from weir.cli.endings import submission_ending, submission_exit_code
from weir.cli.job_file import assignments, input_options, read_job_file, with_uploads
from weir.cli.session import client, show_json, show_table
from weir.client import Client, ClientError, UnreachableError
from weir.model.problem import ProblemError, refused
from weir.model.view import JobView, OrderView, OutputView, SubmissionView, SubmittedView

JOB = typer.Argument(
    metavar="ID",
    help="A job's id, or the beginning of it; ID.7 is an element of an array.",
    autocompletion=complete_job,
)
JOBS = typer.Argument(
    metavar="ID…",
    help="Ids, or their beginnings; ID.7 is an element of an array.",
    autocompletion=complete_job,
)
JSON = typer.Option(False, "--json", help="Print JSON for a program.")
LARGE_LOG = 1 << 20
"""Only of logs larger than this can a part have been dropped."""


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command(context_settings={"allow_interspersed_args": False})(run)
    for command in (submit, logs, wait, cancel, hold, release, update, outputs):
        app.command()(command)


def run(
    command: list[str] = typer.Argument(
        None, metavar="-- COMMAND…", help="Program and arguments, run without a shell."
    ),
    time_limit: str = typer.Option(
        "", "--time-limit", "-t", help="Such as 30m or 2h; the project's default otherwise."
    ),
    cores: str = typer.Option("", help="Cores a task, such as 4 or 0.5."),
    memory: str = typer.Option("", help="Memory a task, such as 16GiB."),
    devices: int = typer.Option(0, help="Accelerators a task."),
    model: list[str] = typer.Option([], help="Accept this device model (may be repeated)."),
    stack: str = typer.Option("", help="Software stack, such as cuda or cann."),
    tasks: str = typer.Option("", help="Tasks that start together."),
    prefer: str = typer.Option("", help="balanced, cheap, fast or green."),
    centre: list[str] = typer.Option([], help="Only at this centre (may be repeated)."),
    priority: str = typer.Option("", help="urgent, normal or low."),
    name: str = typer.Option("", help="A name for people."),
    project: str = typer.Option("", help="Who pays; needed where you have several."),
    env: list[str] = typer.Option([], help="NAME=VALUE for the job (may be repeated)."),
    input_: list[str] = typer.Option(
        [], "--input", help="FILE[=PATH], or JOB:PATTERN[=FOLDER] (may be repeated)."
    ),
    output: list[str] = typer.Option([], help="Path pattern to keep (may be repeated)."),
    after: list[str] = typer.Option([], help="Start after this job has succeeded (may be repeated)."),
    restartable: bool = typer.Option(False, help="May be started again after a loss that is not its own."),
    retry_of: str = typer.Option(
        "", help="Submit the same as this job once more.", autocompletion=complete_job
    ),
    detach: bool = typer.Option(False, "--detach", "-d", help="Print the id and do not wait."),
) -> None:
    """Run COMMAND at the best centre, follow its output, and exit with its own code."""
    api = client()
    specification: dict[str, Any] = _given(
        {
            "command": list(command or []),
            "time_limit": time_limit,
            "cores": cores,
            "memory": memory,
            "tasks": tasks,
            "prefer": prefer,
            "priority": priority,
            "name": name,
            "project": project,
            "environment": assignments("--env", env),
            "outputs": output,
            "after": after,
            "restartable": restartable,
            "constraints": {"centres": centre} if centre else {},
            "inputs": input_options(input_),
        }
    )
    if devices or model or stack:
        specification["devices"] = _given({"count": devices or 1, "models": model, "stack": stack})
    if retry_of:
        if specification:
            shown = ", ".join(specification)
            raise refused("--retry-of", retry_of, f"it runs the same once more; leave out {shown}")
        submitted = api.retry(retry_of)
    else:
        submitted = api.submit(with_uploads(api, specification, Path()))[0]
    if detach:
        print(submitted.id)
        return
    print(f"weir: job {submitted.id}", file=sys.stderr)
    ended = follow(api, submitted)
    print(f"weir: {submission_ending(ended)}", file=sys.stderr)
    raise typer.Exit(submission_exit_code(ended))


def follow(api: Client, submitted: SubmittedView) -> SubmissionView:
    """Print a job's output as it comes, standard error to standard error, and return it once it has ended.

    Of a gang that is the first task's; of an array nothing is printed. Ctrl-C leaves the job running and says how to
    come back to it.
    """
    job = submitted.id
    try:
        if not submitted.is_array:
            _copy_both(api, job)
        ended = api.wait_submission(job)
    except KeyboardInterrupt:
        print(f"\nweir: {_goes_on(job)}", file=sys.stderr)
        raise typer.Exit(130) from None
    except UnreachableError:
        print(f"weir: {_goes_on(job)}", file=sys.stderr)
        raise
    assert ended is not None  # no timeout was given
    return ended


def submit(
    file: str = typer.Argument(help="A job file in YAML or JSON; - reads standard input."),
    json_: bool = JSON,
) -> None:
    """Submit the jobs that a file describes, and print their ids."""
    api = client()
    folder = Path() if file == "-" else Path(file).parent
    specifications = [with_uploads(api, document, folder) for document in read_job_file(file)]
    submitted = api.submit(specifications[0] if len(specifications) == 1 else specifications)
    if json_:
        show_json(submitted)
        return
    for one in submitted:
        print(
            one.id
            if not one.is_array
            else f"{one.id}\t{one.size} jobs, {one.id}.0 to {one.id}.{one.size - 1}"
        )
        for notice in one.notices:
            print(f"weir: {one.id}: {notice}", file=sys.stderr)


def logs(
    job: str = JOB,
    follow_: bool = typer.Option(False, "--follow", "-f", help="Go on until the job has ended."),
    stderr: bool = typer.Option(False, "--stderr", help="Standard error instead of standard output."),
    task: int = typer.Option(0, help="Which task of a gang."),
) -> None:
    """Print what a job has written: what there is now, or with --follow all that comes."""
    stream = "stderr" if stderr else "stdout"
    try:
        api = client()
        copied = _copy_log(api, job, stream, sys.stdout.buffer, task=task, follow=follow_)
        if copied > LARGE_LOG:
            _say_what_was_dropped(api.job(job))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def wait(
    jobs: list[str] = JOBS,
    json_: bool = JSON,
    timeout: str = typer.Option("", help="Give up after this long, such as 10m; exit code 124."),
) -> None:
    """Wait until jobs have ended; exits with 0 if all succeeded, else with the first other code."""
    import time

    from weir.units import parse_duration_ms

    api = client()
    deadline = time.monotonic() + parse_duration_ms(timeout) / 1_000 if timeout else None
    ended = []
    for job in jobs:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        submission = api.wait_submission(job, timeout_s=left)
        if submission is None:
            print(f"weir: {job} has not ended within {timeout}", file=sys.stderr)
            raise typer.Exit(124)
        ended.append(submission)
        if not json_:
            print(submission_ending(submission), flush=True)
    if json_:
        show_json(ended)
    codes = [submission_exit_code(submission) for submission in ended]
    raise typer.Exit(next((code for code in codes if code), 0))


def cancel(jobs: list[str] = JOBS) -> None:
    """Cancel jobs; running ones get their stop signal, and are killed after its grace."""
    api = client()
    for job in jobs:
        _tell(api.cancel(job))


def hold(jobs: list[str] = JOBS) -> None:
    """Keep waiting jobs from starting until they are released."""
    api = client()
    for job in jobs:
        _tell(api.hold(job))


def release(jobs: list[str] = JOBS) -> None:
    """Let held jobs start."""
    api = client()
    for job in jobs:
        _tell(api.release(job))


def update(
    job: str = JOB,
    priority: str = typer.Option("", help="urgent, normal or low."),
    time_limit: str = typer.Option("", "--time-limit", "-t", help="Such as 30m or 2h."),
) -> None:
    """Change a job that has not been placed yet."""
    changes = _given({"priority": priority, "time_limit": time_limit})
    if not changes:
        raise refused("update", job, "give --priority or --time-limit")
    _tell(client().update(job, **changes))


def outputs(
    job: str = JOB,
    to: Path | None = typer.Option(None, help="Fetch them into this folder."),
    json_: bool = JSON,
) -> None:
    """List what a job has handed over, or fetch it."""
    api = client()
    files = api.outputs(job)
    if json_:
        show_json(files)
        return
    if to is not None:
        for file in files:
            if file.url:
                print(
                    f"weir: {file.path} is not kept by the platform; it lies at {file.url}", file=sys.stderr
                )
                continue
            target = output_target(to, file, alone=all(one.job == files[0].job for one in files))
            target.parent.mkdir(parents=True, exist_ok=True)
            api.download_output(file.job, file.path, target)
            print(target)
        return
    from weir.units import format_bytes

    rows = [(file.job, file.path, format_bytes(file.size_bytes), file.url or "platform") for file in files]
    show_table(("JOB", "PATH", "SIZE", "WHERE"), rows, empty="no outputs")


def output_target(folder: Path, file: OutputView, *, alone: bool) -> Path:
    """Where an output is put below a folder: by its path, and where several jobs' are fetched by its job first."""
    from weir.model.job_rules import safe_relative_path

    path = safe_relative_path("path", file.path)
    return folder / path if alone else folder / file.job / path


def _tell(order: OrderView) -> None:
    print(f"{order.id} {order.said}")


def _goes_on(job: str) -> str:
    return f"job {job} goes on; `weir logs -f {job}` follows it, `weir cancel {job}` ends it"


def _copy_both(api: Client, job: str) -> None:
    """Both streams at once, each to its own; raises what kept either from being read to its end."""
    import threading

    failed: list[Exception] = []

    def copy_errors() -> None:
        try:
            _copy_log(api, job, "stderr", sys.stderr.buffer)
        except (ClientError, ProblemError, OSError) as error:
            failed.append(error)

    errors = threading.Thread(target=copy_errors, daemon=True)
    errors.start()
    _copy_log(api, job, "stdout", sys.stdout.buffer)
    errors.join()
    if failed:
        raise failed[0]


def _copy_log(
    api: Client, job: str, stream: str, into: BinaryIO, *, task: int = 0, follow: bool = True
) -> int:
    """Copy a log as it is read; how many bytes that was."""
    copied = 0
    for piece in api.logs(job, stream=stream, task=task, follow=follow):
        into.write(piece)
        into.flush()
        copied += len(piece)
    return copied


def _say_what_was_dropped(job: JobView | SubmissionView) -> None:
    dropped = job.attempts[-1].dropped_log_bytes if isinstance(job, JobView) and job.attempts else 0
    if dropped:
        from weir.units import format_bytes

        print(f"weir: the job printed {format_bytes(dropped)} more, which was not kept", file=sys.stderr)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """The options that say something; what is left out takes the server's default."""
    return {name: value for name, value in options.items() if value not in ("", [], {}, False, None)}
