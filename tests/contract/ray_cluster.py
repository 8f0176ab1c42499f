"""A real Ray on this machine, for tests: up, down, and broken in several ways."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_MARK = "WEIR_TEST_RAY"


def find_ray() -> Path | None:
    """The `ray` command: WEIR_RAY, or what `make ray` has installed."""
    given = os.environ.get("WEIR_RAY")
    path = Path(given) if given else ROOT / ".venv-ray" / "bin" / "ray"
    return path if path.exists() else None


class RayCluster:
    """A head with eight pretended CPUs and accelerators. Every process of it carries a mark, by which they are
    found again: `ray stop` would end every Ray of the machine."""

    def __init__(self, ray: Path) -> None:
        self._ray = ray
        self._mark = uuid.uuid4().hex
        # Sockets lie below it, whose names must stay short.
        self._folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
        self._ports = _free_ports(6)
        self._sessions: set[int] = set()
        self._dashboard: subprocess.Popen[bytes] | None = None
        try:
            self.up()
        except RuntimeError:
            self.remove()
            raise

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._ports[0]}"

    @property
    def port(self) -> int:
        return self._ports[0]

    def up(self) -> None:
        """Start it; on a machine that is busy with other things, at the third attempt at the latest."""
        said = ""
        for attempt in range(3):
            said = self._start()
            if not said:
                self.until_answering()
                return
            self.down()
            time.sleep(attempt)
        raise RuntimeError(f"Ray did not start: {said}")

    def _start(self) -> str:
        """Start it once; what it says where that failed."""
        dashboard, gcs, client, agent, agent_grpc, metrics = map(str, self._ports)
        with subprocess.Popen(
            [
                *(self._ray, "start", "--head", "--node-ip-address", "127.0.0.1", "--port", gcs),
                *("--dashboard-host", "127.0.0.1", "--dashboard-port", dashboard),
                *("--ray-client-server-port", client, "--dashboard-agent-listen-port", agent),
                *("--dashboard-agent-grpc-port", agent_grpc, "--metrics-export-port", metrics),
                *("--num-cpus", "8", "--num-gpus", "8", "--resources", '{"narrow": 1}'),
                *("--memory", str(16 << 30), "--object-store-memory", "100000000"),
                *("--disable-usage-stats", "--temp-dir", self._folder),
            ],
            env={**os.environ, _MARK: self._mark},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as starter:
            self._sessions.add(starter.pid)
            said, _ = starter.communicate(timeout=200)
        return said if starter.returncode else ""

    def down(self) -> None:
        """Kill everything of it."""
        while pids := list(self._processes()):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        self._sessions.clear()
        if self._dashboard is not None:
            self._dashboard.wait()
            self._dashboard = None

    def remove(self) -> None:
        self.down()
        shutil.rmtree(self._folder, ignore_errors=True)

    def restart(self) -> None:
        """All of it: it forgets everything."""
        self.down()
        self.up()

    def restart_dashboard(self) -> None:
        """The process that answers, as roughly as can be. What runs goes on."""
        [pid] = [
            pid for pid in self._processes() if b"dashboard/dashboard.py" in _read(f"/proc/{pid}/cmdline")
        ]
        command = _read(f"/proc/{pid}/cmdline").rstrip(b"\0").split(b"\0")
        os.kill(pid, signal.SIGKILL)
        with Path(self._folder, "dashboard.log").open("ab") as log:
            self._dashboard = subprocess.Popen(
                command,
                env={**os.environ, _MARK: self._mark},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._sessions.add(self._dashboard.pid)
        self.until_answering()

    def until_answering(self) -> None:
        until = time.monotonic() + 60
        while True:
            try:
                self.ask("GET", "/api/jobs/")
                return
            except (OSError, ValueError):
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One request; raises urllib.error.HTTPError for an error."""
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 (its own address)
            self.address + path, content, {"Content-Type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 (likewise)
            return json.loads(answer.read())

    def of_agent(self, tag: str) -> list[str]:
        """The jobs that have this agent's mark."""
        jobs = self.ask("GET", "/api/jobs/")
        return [job["submission_id"] for job in jobs if (job["metadata"] or {}).get("weir_agent") == tag]

    @contextlib.contextmanager
    def foreign(self, **resources: Any) -> Iterator[str]:
        """While entered, a job of somebody else runs."""
        body = {"entrypoint": "sleep 600", **resources}
        name = self.ask("POST", "/api/jobs/", body)["submission_id"]
        self._until(lambda: self.ask("GET", f"/api/jobs/{name}")["status"] == "RUNNING")
        try:
            yield name
        finally:
            self.ask("POST", f"/api/jobs/{name}/stop")
            self._until(lambda: self.ask("GET", f"/api/jobs/{name}")["status"] == "STOPPED")

    def kill_actor_of(self, supervisor: int) -> None:
        """Kill Ray's own process for a job, found above the process that Weir runs for it."""
        pid = supervisor
        while not _read(f"/proc/{pid}/cmdline").startswith(b"ray::"):
            pid = int(_read(f"/proc/{pid}/stat").rpartition(b")")[2].split()[1])
            assert pid > 1, "no process of Ray is above it"
        os.kill(pid, signal.SIGKILL)

    def _until(self, holds: Callable[[], bool]) -> None:
        until = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < until
            time.sleep(0.1)

    def _processes(self) -> Iterator[int]:
        """Those of its sessions, and those with its mark: some overwrite their environment, others leave."""
        mark = f"{_MARK}={self._mark}".encode()
        for name in (path.name for path in Path("/proc").iterdir()):
            if not name.isdigit() or int(name) == os.getpid():
                continue
            with contextlib.suppress(OSError):
                state, _, _, session = _read(f"/proc/{name}/stat").rpartition(b")")[2].split()[:4]
                if state == b"Z":
                    continue
                if int(session) in self._sessions or mark in _read(f"/proc/{name}/environ").split(b"\0"):
                    yield int(name)


def _read(path: str) -> bytes:
    return Path(path).read_bytes()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
