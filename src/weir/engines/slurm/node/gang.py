"""A gang over several nodes, or of several tasks on one: how its parts are started and where they meet."""

import os
import socket
import subprocess
import sys
import zipfile

from .attempt import Attempt, Ended, now_ms
from .process import HEARD, signal, unblock
from .run import START, names_here
from .tasks import Tasks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["meeting_place", "run_gang", "run_node"]


def run_gang(
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
    here = [sys.executable, "-I", "-S", "-c", START, sys.argv[1], batch]
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


def run_node(launch: "dict[str, Any]", attempt: Attempt, counts: "list[int]", host: str, port: int) -> int:
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


def meeting_place() -> "tuple[str, int]":
    """The name by which other nodes reach this one, and a port that nobody listens on now."""

    def resolves(name: str) -> bool:
        try:
            socket.getaddrinfo(name, None)
        except OSError:
            return False
        return True

    host = next((name for name in names_here() if resolves(name)), "127.0.0.1")
    with socket.socket() as trial:
        trial.bind(("", 0))
        return host, int(trial.getsockname()[1])


def _boot_elsewhere(door: "dict[str, Any]") -> "list[str]":
    """How this program is started on a node that has none of its files."""
    with zipfile.ZipFile(sys.argv[1]) as archive:
        text = archive.read("weir/engines/courier/node.py").decode()
    return [sys.executable, "-I", "-S", "-c", text, "boot", door["url"], door["place"]]


def _fetch_parts(door: "dict[str, Any]", attempt: Attempt, nodes: int) -> None:
    """What the other nodes have recorded; they have brought it to the agent."""
    from weir.engines.courier.node import Courier  # here alone: it brings much along

    courier = Courier(door["urls"][attempt.element], door["tokens"][attempt.element])
    try:
        for node in range(nodes):
            status, content = courier.ask("GET", f"part/{node}")
            if status == 200:
                with open(f"{attempt.run}/part.{node}.json", "wb") as file:
                    file.write(content)
    finally:
        courier.close()


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
