"""Kill -9 of the server, the agents, or all of them, at random moments while jobs flow; then everything is counted.

`python -m tests.system.kill_rounds --rounds N --seed S` runs more than the test does.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TypeVar

from weir.client import Client, UnreachableError
from weir.model.view import JobView

PROVINCE = """
version: 1
province: killed
cities: [{id: here, name: Here}]
organisations: [{id: "91340100WEYR00027A", name: Tenant, roles: [tenant]}]
projects: [{id: work, organisation: "91340100WEYR00027A"}]
devices:
  - {id: plain-cpu, name: Plain, kind: cpu, vendor: nobody, stack: x86-64}
centres:
  - id: one
    kind: general
    city: here
    pools: [{id: cpu, device: plain-cpu, nodes: 1, cores_per_node: 8, memory_per_node: 64GiB}]
  - id: two
    kind: general
    city: here
    pools: [{id: cpu, device: plain-cpu, nodes: 2, cores_per_node: 4, memory_per_node: 32GiB}]
"""
T = TypeVar("T")
CENTRES = ("one", "two")
VICTIMS = (
    ("one",), ("two",), ("one",), ("two",), CENTRES, CENTRES,
    ("server",), ("server", "one"), ("server", *CENTRES),
)  # fmt: skip
"""Agents more often than the server, which takes seconds to start."""
MARK = "WEIR_KILL_FOLDER"
"""In the environment of every process of a run, so that none is left at its end."""

# What each job does: it proves by a lock that it is alone, and writes its beginning and end by single appends.
SCRIPT = """
ledger=$1/$WEIR_JOB_ID
exec 9>>"$ledger.lock"
flock -n 9 || echo "overlap $WEIR_ATTEMPT $$" >>"$ledger"
echo "start $WEIR_ATTEMPT $$" >>"$ledger"
echo "log of $WEIR_ATTEMPT"
sleep $2
echo "made by $WEIR_ATTEMPT" >result
echo "end $WEIR_ATTEMPT $$" >>"$ledger"
exit $3
"""


@dataclass(slots=True)
class KillCount:
    """What a run came to. `wrong` names everything that is not as it must be."""

    jobs: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    wall_s: float = 0.0


def run_rounds(
    folder: Path, seed: int, rounds: int, jobs: int, say: Callable[[str], None] = lambda line: None
) -> KillCount:
    """`jobs` jobs over `rounds` rounds, in each of which something is killed; every process ends with it."""
    run = _Run(folder, seed, say)
    try:
        run.start()
        for number in range(rounds):
            run.round(number, jobs * (number + 1) // rounds - jobs * number // rounds)
        return run.count()
    finally:
        run.end()


@dataclass(frozen=True, slots=True)
class _Submitted:
    restartable: bool
    exit_code: int


class _Run:
    def __init__(self, folder: Path, seed: int, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._random = Random(seed)
        self._say = say
        self._began = time.monotonic()
        self._ledger = folder / "ledger"
        self._port = _free_port()
        self._url = f"http://127.0.0.1:{self._port}"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._client: Client | None = None
        self._jobs: dict[str, _Submitted] = {}
        self._arrays: dict[str, int] = {}
        self._found = KillCount()

    def start(self) -> None:
        """The server, and both agents by their one-time codes."""
        self._ledger.mkdir(parents=True)
        (self._folder / "province.yaml").write_text(PROVINCE)
        self._start("server")
        token = self._folder / "server" / "coordinator.token"
        self._until(lambda: token.exists() and self._answers(), "the server answers")
        self._client = Client(self._url, token.read_text().strip(), timeout_s=5.0)
        for invite in self._patiently(lambda client: client.invite(CENTRES)):
            home = self._folder / invite.centre
            home.mkdir(mode=0o700)
            code = home / "code"
            code.touch(mode=0o600)
            code.write_text(invite.code)
            self._start(invite.centre)
        for centre in CENTRES:
            # An agent that has not joined yet ends when the server is away: somebody is there to see it.
            self._until((self._folder / centre / "token").exists, f"{centre} has joined")

    def round(self, number: int, jobs: int) -> None:
        """Submit some jobs, kill something while they flow, and start it again."""
        random = self._random
        victims = random.choice(VICTIMS)
        first = random.randint(0, jobs)
        self._submit(number, "a", first)
        time.sleep(random.uniform(0, 0.5))
        for victim in victims:
            self._kill(victim)
        if random.random() < 0.3:
            time.sleep(random.uniform(0, 0.5))
        for victim in victims:
            self._start(victim)
        self._submit(number, "b", jobs - first)

    def count(self) -> KillCount:
        """Wait for every job to end, and hold what the server says against what the jobs themselves wrote."""
        deadline = time.monotonic() + 120
        for submission in (*self._arrays, *self._singles()):
            self._await_end(submission, deadline)
        for submission in self._arrays:
            for name in self._elements(submission):
                self._check(name)
        for name in self._singles():
            self._check(name)
        known = {path.name for path in self._ledger.iterdir() if path.suffix != ".lock"}
        for name in known - set(self._jobs):
            self._found.wrong.append(f"{name} ran and was never submitted")
        self._found.jobs = len(self._jobs)
        self._found.wall_s = time.monotonic() - self._began
        return self._found

    def _await_end(self, submission: str, deadline: float) -> None:
        self._patiently(lambda client: client.wait(submission), deadline)

    def _elements(self, submission: str) -> list[str]:
        return [view.id for view in self._patiently(lambda client: list(client.elements(submission)))]

    def end(self) -> None:
        """Kill everything that was started, tasks included."""
        if self._client:
            self._client.close()
        for name in list(self._processes):
            self._kill(name, count=False)
        mark = f"{MARK}={self._folder}".encode()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid() and mark in _environment(entry):
                try:
                    os.kill(int(entry.name), signal.SIGKILL)
                except ProcessLookupError:
                    continue

    def _singles(self) -> list[str]:
        return [name for name in self._jobs if "." not in name]

    def _submit(self, number: int, part: str, jobs: int) -> None:
        """So many jobs in one request, which is made until it is answered, under one key."""
        random = self._random
        requests: list[tuple[dict[str, object], _Submitted, int | None]] = []
        while jobs > 0:
            array = random.randint(2, 5) if random.random() < 0.3 and jobs >= 5 else None
            one = _Submitted(random.random() < 0.5, 0 if random.random() < 0.8 else 3)
            pause = random.choice(("0", "0.05", "0.2", "0.5", "1"))
            requests.append((self._specification(one, pause, array), one, array))
            jobs -= array or 1
        if not requests:
            return
        views = self._patiently(
            lambda client: client.submit(
                [wanted for wanted, _, _ in requests], idempotency_key=f"{number}{part}"
            )
        )
        for view, (_, one, array) in zip(views, requests, strict=True):
            if array is None:
                self._jobs[view.id] = one
            else:
                self._arrays[view.id] = array
                self._jobs |= {f"{view.id}.{index}": one for index in range(array)}

    def _specification(self, one: _Submitted, pause: str, array: int | None) -> dict[str, object]:
        wanted: dict[str, object] = {
            "command": ["sh", "-c", SCRIPT, "job", str(self._ledger), pause, str(one.exit_code)],
            "project": "work",
            "memory": "64MiB",
            "time_limit": "5m",
            "outputs": ["result"],
            "restartable": one.restartable,
        }
        return wanted if array is None else {**wanted, "array": array}

    def _check(self, name: str) -> None:
        """One job: what the server says of it against its own ledger."""
        wanted = self._jobs[name]
        view = self._patiently(lambda client: client.job(name))
        assert isinstance(view, JobView)
        self._found.states[view.state] += 1
        if view.cause:
            self._found.causes[view.cause] += 1
        path = self._ledger / name
        lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        starts = [line[1] for line in lines if line[0] == "start"]
        ends = [line[1] for line in lines if line[0] == "end"]
        wrong = self._wrong_of(name, wanted, view, starts, ends)
        if any(line[0] == "overlap" for line in lines):
            wrong = "two attempts ran at the same time"
        if wrong:
            attempts = [(one.id, one.observed, one.cause, one.message) for one in view.attempts]
            self._found.wrong.append(
                f"{name}: {wrong} (it is {view.state} {view.cause}, {attempts}, ledger {lines})"
            )

    def _wrong_of(
        self, name: str, wanted: _Submitted, view: JobView, starts: list[str], ends: list[str]
    ) -> str:
        if len(set(starts)) != len(starts):
            return "an attempt started twice"
        if len(starts) > 1 and not wanted.restartable:
            return "it is not restartable and started more than once"
        if view.state == "failed" and view.cause == "lost":
            return "it is called lost and had started" if starts else ""
        if view.state != ("failed" if wanted.exit_code else "succeeded"):
            return "it ended in another way than its command"
        if view.exit_code != wanted.exit_code:
            return f"its exit code is given as {view.exit_code}"
        last = view.attempts[-1].id
        if ends[-1:] != [last] or starts[-1:] != [last]:
            return "its last attempt is not the one that ran last"
        if any(one.observed != "ended" for one in view.attempts):
            return "an attempt of it has not ended"
        return self._wrong_of_files(name, last)

    def _wrong_of_files(self, name: str, last: str) -> str:
        log = b"".join(self._patiently(lambda client: list(client.logs(name))))
        if log != f"log of {last}\n".encode():
            return f"its log is {log!r}"
        outputs = self._patiently(lambda client: client.outputs(name))
        if [file.path for file in outputs] != ["result"]:
            return f"its outputs are {outputs}"
        target = self._folder / "taken"
        self._patiently(lambda client: client.download_output(name, "result", target))
        content = target.read_text()
        target.unlink()
        return "" if content == f"made by {last}\n" else f"its output is {content!r}"

    def _start(self, name: str) -> None:
        if name == "server":
            arguments = ["serve", "--data", str(self._folder / "server"), "--port", str(self._port)]
            arguments += ["--no-machine", "--no-settings", "--province", str(self._folder / "province.yaml")]
        else:
            home = self._folder / name
            arguments = [
                "agent",
                "--folder",
                str(home),
                "--url",
                self._url,
                "--code-file",
                str(home / "code"),
            ]
        with (self._folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "weir", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, MARK: str(self._folder)},
                start_new_session=True,
            )

    def _kill(self, name: str, *, count: bool = True) -> None:
        process = self._processes.pop(name)
        ended = process.poll()
        process.kill()
        process.wait()
        if count:
            self._say(f"{time.monotonic() - self._began:7.2f} s kill -9 {name}")
            self._found.kills[name] += 1
            if ended is not None:
                self._found.wrong.append(f"{name} had ended by itself with {ended}: {self._tail(name)}")

    def _tail(self, name: str) -> str:
        return " / ".join((self._folder / f"{name}.log").read_text(errors="replace").splitlines()[-5:])

    def _answers(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self._port)) == 0

    def _patiently(self, ask: Callable[[Client], T], deadline: float | None = None) -> T:
        """The answer, however often the server has to be asked for it."""
        assert self._client is not None
        deadline = deadline or time.monotonic() + 60
        while True:
            try:
                return ask(self._client)
            except UnreachableError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def _until(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + 120
        while not holds():
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited in vain until {what}: {self._tail('server')}")
            time.sleep(0.05)


def main() -> int:
    """0 when nothing was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.system.kill_rounds", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="leave the folder behind")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="weir-kill-"))
    found = run_rounds(folder, given.seed, given.rounds, given.jobs, print)
    for line in found.wrong:
        print(f"WRONG {line}")
    print(
        json.dumps(
            {
                "jobs": found.jobs,
                "kills": found.kills,
                "states": found.states,
                "causes": found.causes,
                "wrong": len(found.wrong),
                "wall_s": round(found.wall_s, 1),
            }
        )
    )
    if given.keep or found.wrong:
        print(f"everything is in {folder}")
    else:
        shutil.rmtree(folder)
    return 1 if found.wrong else 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environment(entry: Path) -> list[bytes]:
    try:
        return (entry / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


if __name__ == "__main__":
    sys.exit(main())
