"""What runs on a compute node in the place of the tenant's command.

These files are packed into one, laid into the shared folder, and run there by the node's own Python (3.6 or newer),
so they import the standard library alone, and annotations that older ones cannot evaluate are written as texts.

    PROGRAM BATCH              in the batch step of a Slurm job
    PROGRAM BATCH ELEMENT TASKS,TASKS,… HOST PORT
                               on each node of a gang over several, started by srun

A job pays for this program's start with its own time, and a node that is full of short ones with its processors: so
what a single task needs imports little, no module that is written in Python: `os` alone costs a tenth of it.

An attempt's folder holds `work`, and in `run`: `claim` (made by exclusive creation, names the Slurm job),
`record.json` (what became of it), `N.stdout`, `N.stderr`, and `scratch` (HOME and TMPDIR). The wish to stop stands
outside, where the work itself cannot write.
"""

import posix
import sys

from .attempt import Attempt, told
from .plain import read_plain
from .process import listen
from .tasks import Tasks

__all__ = ["DUPLICATE", "FAULT", "START", "begin", "main", "names_here", "tasks_per_node"]

START = "import sys; sys.path.insert(0, sys.argv[1]); from node.run import begin; begin()"
"""What a node's Python is told to run, with the packed program and what it is to do behind it. To be told the archive
itself would cost it the imports of `runpy`."""

DUPLICATE, FAULT = 125, 124
"""Exit codes of this program: another run of the attempt has claimed it; it could not do its own work."""


def begin() -> None:
    """Run as told by `START`, to the end of this process."""
    code = main(sys.argv[2:])
    sys.stderr.flush()
    # There is nothing to tidy up, and to do so takes time.
    posix._exit(code)  # noqa: SLF001 (its name in `os` too)


def main(arguments: "list[str]") -> int:
    """Run one element of a batch, or a node's part of it; the exit code for Slurm."""
    try:
        return _main(arguments)
    except OSError as fault:
        sys.stderr.write(f"{fault}\n")
        return FAULT


def tasks_per_node(text: str, tasks: int) -> "list[int]":
    """How many tasks run on each node, from Slurm's `2(x3),1`; at most `tasks` in all."""
    counts = []  # type: list[int]
    for part in text.split(","):
        count, _, times = part.partition("(x")
        counts += [int(count)] * int(times.rstrip(")") or 1)
    if len(counts) == 1:
        return [tasks]
    # A node may have been given room for a task more than there are.
    return [max(0, min(count, tasks - sum(counts[:node]))) for node, count in enumerate(counts)]


def _main(arguments: "list[str]") -> int:
    listen()
    with open(arguments[0], encoding="utf-8") as file:
        launch = read_plain(file.read())
    if len(arguments) > 1:
        from .gang import run_node  # here alone: a node pays for what is imported at every start

        element, tasks, place, door = arguments[1:5]
        counts = [int(count) for count in tasks.split(",")]
        return run_node(launch, Attempt(launch, int(element)), counts, place, int(door))
    attempt = Attempt(launch, int(told("SLURM_ARRAY_TASK_ID") or 0))
    if not attempt.claim():
        return DUPLICATE
    if attempt.stop_reason():
        attempt.end("cancelled", None, None, "cancelled before its start", None)
        return 0
    counts = tasks_per_node(told("SLURM_TASKS_PER_NODE") or "1", launch["tasks"])
    host, port = names_here()[0], 0
    if launch["tasks"] > 1:  # one task meets nobody
        from .gang import meeting_place, run_gang

        host, port = meeting_place()
        if len(counts) > 1:
            return run_gang(launch, attempt, counts, host, port, arguments[0])
    tasks_here = Tasks(launch, attempt, range(launch["tasks"]), [host] * launch["tasks"], host, port)
    return attempt.conclude(tasks_here.run())


def names_here() -> "list[str]":
    """What this node may be called, by Slurm and by itself."""
    return [name for name in (told("SLURMD_NODENAME"), posix.uname().nodename) if name]
