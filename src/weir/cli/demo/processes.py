"""The processes of a demonstration: the server and one agent a centre, as in production, and their certain end."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from weir.agents.local_orders import stop_all
from weir.model.problem import Problem, ProblemError

MARK = "WEIR_DEMO_FOLDER"
"""In the environment of every process of a demonstration, so that none can be overlooked at its end."""
START_TIMEOUT_S = 180.0
END_TIMEOUT_S = 10.0


class Processes:
    """Starts the server and the agents below one folder; `end` leaves none of them, nor of their tasks, behind."""

    def __init__(self, folder: Path, *, outlive: bool = False) -> None:
        """With `outlive` the processes go on when this one is gone."""
        self.folder = folder
        self._with_parent = [] if outlive else ["--with-parent", str(os.getpid())]
        self.server_data = folder / "server"
        self._started: dict[str, subprocess.Popen[bytes]] = {}

    def start_server(self, say: Callable[[str], None], *options: str) -> str:
        """Start `weir serve`, also with these options; its address, once it answers. `say` is told what it is doing."""
        log = self.folder / "server.log"
        self._start(
            "server",
            [
                "serve",
                "--data",
                str(self.server_data),
                "--port",
                "0",
                "--no-machine",
                "--no-settings",
                *options,
            ],
            log,
        )
        address = self.server_data / "server.json"
        for _ in self._until(address.exists, "server", log):
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
            say(lines[-1] if lines else "starting the server")
        return str(json.loads(address.read_text(encoding="utf-8"))["url"])

    def start_agent(self, centre: str, url: str, code: str, *options: str) -> None:
        """Start the agent of one centre, also with these options; its one-time code goes by a file that only this
        user reads."""
        folder = self.agent_folder(centre)
        folder.mkdir(parents=True, mode=0o700)
        code_file = folder / "code"
        with os.fdopen(os.open(code_file, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as out:
            out.write(code)
        arguments = ["agent", "--folder", str(folder), "--url", url, "--code-file", str(code_file)]
        arguments += ["--private-root", str(self.folder), *options]
        self._start(centre, arguments, self.folder / f"agent-{centre}.log")

    def agent_folder(self, centre: str) -> Path:
        """Where a centre's agent keeps everything."""
        return self.folder / "centres" / centre

    def check(self) -> None:
        """Raise ProblemError if a process has ended that should run, with the end of what it said."""
        for name, process in self._started.items():
            if process.poll() is not None:
                log = self.folder / ("server.log" if name == "server" else f"agent-{name}.log")
                tail = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
                title = f"the {name} process ended with {process.returncode}: {' / '.join(tail)} (all of it: {log})"
                raise ProblemError(Problem("demo", 500, title))

    def end(self) -> None:
        """End every process: tasks first, then agents, then the server. Returns when none is left."""
        for centre in [name for name in self._started if name != "server"]:
            self._terminate(centre)
        end_tasks(self.folder)
        self._terminate("server")
        kill_marked(self.folder)

    def _start(self, name: str, arguments: list[str], log: Path) -> None:
        with log.open("ab") as output:
            self._started[name] = subprocess.Popen(
                [sys.executable, "-m", "weir", *arguments, *self._with_parent],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, MARK: str(self.folder), "PYTHONUNBUFFERED": "1"},
                # Its own session: Ctrl-C reaches this process alone, which then ends the others in order.
                start_new_session=True,
            )

    def _until(self, ready: Callable[[], bool], name: str, log: Path) -> Iterator[None]:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise ProblemError(
                    Problem("demo", 500, f"the {name} did not come up in {START_TIMEOUT_S:.0f} s, see {log}")
                )
            yield
            time.sleep(0.05)

    def _terminate(self, name: str) -> None:
        process = self._started.get(name)
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def end_kept(folder: Path) -> int:
    """End a demonstration that was kept, from another process; how many processes that were."""
    found = _marked(folder)
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + END_TIMEOUT_S
    while _marked(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    end_tasks(folder)
    kill_marked(folder)
    return len(found)


def end_tasks(folder: Path) -> None:
    """Stop what the centres' engines still run; their agents must have ended."""
    for centre in sorted((folder / "centres").glob("*/record.db")):
        # A broken record must not keep the other centres' tasks alive: `kill_marked` is behind this.
        with contextlib.suppress(OSError, ProblemError):
            stop_all(centre.parent)


def kill_marked(folder: Path) -> None:
    """Kill whatever still carries the demonstration's mark."""
    for pid in _marked(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _marked(folder: Path) -> list[int]:
    """Processes that still carry this demonstration's mark, other than this one."""
    found = []
    wanted = f"{MARK}={folder}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found
