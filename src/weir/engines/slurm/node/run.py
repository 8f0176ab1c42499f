"""What runs on a compute node in the place of the tenant's command.

These files are packed into one, laid into the shared folder, and run there by the node's own Python (3.6 or newer),
so they import the standard library alone, and annotations that older ones cannot evaluate are written as texts.

    batch BATCH                in the batch step of a Slurm job
    node BATCH ELEMENT TASKS,TASKS,… HOST PORT
                               on each node of a gang over several, started by srun

An attempt's folder holds `work`, and in `run`: `claim` (made by exclusive creation, names the Slurm job),
`record.json` (what became of it), `N.stdout`, `N.stderr`, and `scratch` (HOME and TMPDIR). The wish to stop stands
outside, where the work itself cannot write.
"""

import json
import os
import signal
import subprocess
import sys
from typing import Any

from .attempt import Attempt, Ended, now_ms
from .process import HEARD, listen, unblock
from .tasks import Tasks

__all__ = ["DUPLICATE", "FAULT", "main", "tasks_per_node"]

DUPLICATE, FAULT = 125, 124
"""Exit codes of this program: another run of the attempt has claimed it; it could not do its own work."""


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
        launch = json.load(file)
    if len(arguments) > 1:
        element, tasks, place, door = arguments[1:5]
        counts = [int(count) for count in tasks.split(",")]
        return _run_node(launch, Attempt(launch, int(element)), counts, place, int(door))
    attempt = Attempt(launch, int(os.environ.get("SLURM_ARRAY_TASK_ID") or 0))
    if not attempt.claim():
        return DUPLICATE
    if attempt.stop_reason():
        attempt.end("cancelled", None, None, "cancelled before its start", None)
        return 0
    counts = tasks_per_node(os.environ.get("SLURM_TASKS_PER_NODE", "1"), launch["tasks"])
    # One task meets nobody: it is spared the search for a name that others reach it by.
    host, port = _meeting_place() if launch["tasks"] > 1 else (_names_here()[0], 0)
    if len(counts) > 1:
        return _run_gang(launch, attempt, counts, host, port, arguments[0])
    tasks_here = Tasks(launch, attempt, range(launch["tasks"]), [host] * launch["tasks"], host, port)
    return attempt.conclude(tasks_here.run())


def _run_gang(
    launch: "dict[str, Any]", attempt: Attempt, counts: "list[int]", host: str, port: int, batch: str
) -> int:
    """Start this program on each node of the job by srun, and make one end of what each of them recorded."""
    nodes = len(counts)
    attempt.forget_parts(nodes)
    srun = [
        "srun",
        f"--nodes={nodes}",
        f"--ntasks={nodes}",
        "--ntasks-per-node=1",
        "--overlap",
        "--mem=0",
    ]
    srun += ["--cpu-bind=none", "--kill-on-bad-exit=1", "--input=none", "--export=ALL"]
    here = [sys.executable, "-I", "-S", os.path.abspath(sys.argv[0]), batch]
    environment = dict(os.environ)
    if launch.get("door"):
        here, environment["WEIR_FILES_TOKEN"] = _boot_elsewhere(launch["door"]), launch["door"]["token"]
    here.append(str(attempt.element))
    names = _names_of(os.environ.get("SLURM_JOB_NODELIST", ""))
    places = [",".join(str(count) for count in counts), host, str(port)]
    with open(attempt.run + "/srun.log", "ab") as log:
        process = subprocess.Popen(
            srun + here + places,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=dict(environment, WEIR_NODE_NAMES=",".join(names)),
            preexec_fn=unblock,  # noqa: PLW1509 (there are no threads)
        )
    told = False
    while process.poll() is None:
        heard = signal.sigtimedwait(HEARD, 1.0)
        if heard is not None and heard.si_signo == signal.SIGTERM and not told:
            told = True  # Slurm tells every step by itself
    if launch.get("door"):
        _fetch_parts(launch["door"], attempt, nodes)
    ends = attempt.parts(nodes)
    if not ends:
        with open(attempt.run + "/srun.log", encoding="utf-8", errors="replace") as lines:
            last = lines.read()[-500:].strip()
        ends = [Ended("engine" if told else "node-failed", None, None, "srun: " + last, None, now_ms())]
    elif len(ends) < launch["tasks"] and all(end.cause is None for end in ends):
        ends.append(Ended("engine", None, None, "some of its tasks left no record", None, now_ms()))
    return attempt.conclude(ends)


def _boot_elsewhere(door: "dict[str, Any]") -> "list[str]":
    """How this program is started on a node that has none of its files."""
    import zipfile  # here alone: a node pays for what is imported at every start

    with zipfile.ZipFile(sys.argv[0]) as archive:
        text = archive.read("weir/engines/courier/node.py").decode()
    return [sys.executable, "-I", "-S", "-c", text, "boot", door["url"], door["place"]]


def _fetch_parts(door: "dict[str, Any]", attempt: Attempt, nodes: int) -> None:
    """What the other nodes have recorded; they have brought it to the agent."""
    from weir.engines.courier.node import Courier

    courier = Courier(door["urls"][attempt.element], door["tokens"][attempt.element])
    try:
        for node in range(nodes):
            status, content = courier.ask("GET", f"part/{node}")
            if status == 200:
                with open(f"{attempt.run}/part.{node}.json", "wb") as file:
                    file.write(content)
    finally:
        courier.close()


def _run_node(launch: "dict[str, Any]", attempt: Attempt, counts: "list[int]", host: str, port: int) -> int:
    """Run one node's part of a gang. Exits with 1 where a task failed, upon which srun ends the rest."""
    node = int(os.environ["SLURM_NODEID"])
    first = sum(counts[:node])
    names = os.environ.get("WEIR_NODE_NAMES", "").split(",")
    hosts = [
        names[place] if place < len(names) else "" for place, count in enumerate(counts) for _ in range(count)
    ]
    tasks = Tasks(launch, attempt, range(first, first + counts[node]), hosts, host, port)
    ends = tasks.run(first_node=node == 0)
    attempt.write_part(node, ends)
    return int(any(end.cause is not None for end in ends))


def _meeting_place() -> "tuple[str, int]":
    """The name by which other nodes reach this one, and a port that nobody listens on now."""
    import socket  # here alone, as above

    def resolves(name: str) -> bool:
        try:
            socket.getaddrinfo(name, None)
        except OSError:
            return False
        return True

    host = next((name for name in _names_here() if resolves(name)), "127.0.0.1")
    with socket.socket() as trial:
        trial.bind(("", 0))
        return host, int(trial.getsockname()[1])


def _names_here() -> "list[str]":
    """What this node may be called, by Slurm and by itself."""
    return [name for name in (os.environ.get("SLURMD_NODENAME", ""), os.uname().nodename) if name]


def _names_of(nodes: str) -> "list[str]":
    """The names in Slurm's short form of a list of nodes; the form itself where Slurm does not take it apart."""
    try:
        said = subprocess.run(
            ["scontrol", "show", "hostnames", nodes],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError):
        return [nodes]
    return said.stdout.decode().split()
