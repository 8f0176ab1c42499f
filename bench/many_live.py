"""An agent with thousands of live jobs: a real one, as a process, before a small server of the protocol that wants
all of them at once. What waits there waits in its engine."""

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.system.agent_server import CODE, AgentServer, serving, work
from weir.agents.local_orders import stop_all
from weir.engines.driver import Driver, EngineState, EngineUnreachableError
from weir.model.agent import CentreEntry, DesiredAttempt, NodeShare, PoolEntry, Work
from weir.model.state import Desired, Observed

FEW, MANY = "few", "many"
"""The pools: one with room for what is measured, and one whose engine has thousands."""
_ARRAY = "mmmmmmmmmmmm"
_PATIENCE_S = 180.0
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Ask:
    """What a job asks of its pool."""

    cores_milli: int
    memory_bytes: int = 64 << 20
    devices_milli: int = 0


@dataclass(slots=True)
class ManyLive:
    """An agent that runs, the server that it knows, and what jobs ask of the two pools."""

    server: AgentServer
    process: "subprocess.Popen[bytes]"
    folder: Path
    few: Ask
    many: Ask
    work_root: Path | None = None
    """What the driver is told of where its work lies, as agents tell Ray's alone."""
    count: int = 0

    def begin(self) -> None:
        """Wait until the agent is there. Raises RuntimeError."""
        server = self.server
        with server.changed:
            there = server.changed.wait_for(lambda: self.process.poll() is not None or server.reports, 60)
        if not there or self.process.poll() is not None:
            raise RuntimeError(f"the agent does not report: {self._said()}")

    def fill(self, count: int) -> float:
        """Want an array of so many long jobs in MANY; seconds until the agent has told that the engine has all."""
        wanted = self._work(MANY, self.many, "sleep", "3600")
        server = self.server
        began = time.perf_counter()
        with server.changed:
            server.revision += 1
            for index in range(count):
                name = f"{_ARRAY}.{index}-1"
                attempt = DesiredAttempt(
                    name, Desired.RUN, server.revision, _ARRAY, index, (NodeShare(0, 1),)
                )
                server.desired[name] = (attempt, wanted)
            server.changed.notify_all()
            there = server.changed.wait_for(
                lambda: self.process.poll() is not None or self._in_engine() >= count, _PATIENCE_S
            )
        ends = [end for name, end in server.ends.items() if name.startswith(_ARRAY)][:1]
        if not there or self.process.poll() is not None or ends:
            raise RuntimeError(f"the engine has {self._in_engine()} of {count}: {ends}, {self._said()}")
        self.count = count
        return time.perf_counter() - began

    def ends(self, count: int) -> list[float]:
        """Milliseconds from a job's own time stamp, which is all that it does, until the server is told of its end."""
        waits = []
        for _ in range(count):
            name = f"e{next(_numbers):011d}-1"
            self.server.run(name, self._work(FEW, self.few, "date", "+%s.%N"))
            self.server.await_end(name, _PATIENCE_S)
            seen = time.time()
            waits.append((seen - float(self.server.log(name))) * 1_000)
        return waits

    @contextlib.contextmanager
    def still(self) -> Iterator[None]:
        """While entered, the agent stands still."""
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.process.pid, signal.SIGCONT)

    def cycle_ms(
        self,
        make: Callable[[Path], Driver],
        pools: tuple[PoolEntry, ...],
        refresh: Callable[[Driver], object],
    ) -> list[float]:
        """End the agent, let a driver take up what is live on its folder, and time how it looks at all of it:
        what it asks of the engine, what has changed, and how each stands. Milliseconds a look."""
        self.process.terminate()
        self.process.wait(30)
        driver = make(self.folder)
        try:
            apart = {} if self.work_root is None else {"work_root": str(self.work_root)}
            driver.attach(pools, {**self.server.entry.options, **apart})
            _await_reached(driver)
            names = [f"{_ARRAY}.{index}-1" for index in range(self.count)]
            took = []
            states: list[EngineState] = []
            for _ in range(5):
                began = time.perf_counter()
                refresh(driver)
                driver.changed()
                states = driver.observe(names)
                took.append((time.perf_counter() - began) * 1_000)
            lost = sum(state.observed not in (Observed.QUEUED, Observed.RUNNING) for state in states)
            if lost:
                raise RuntimeError(f"{lost} of {self.count} are not live after the driver was made anew")
            return took
        finally:
            driver.close()

    def _in_engine(self) -> int:
        seen = self.server.observed.items()
        return sum(level >= Observed.QUEUED for name, level in seen if name.startswith(_ARRAY))

    def _said(self) -> str:
        return (self.folder.parent / "agent.log").read_text(encoding="utf-8", errors="replace")[-1_000:]

    def _work(self, pool: str, ask: Ask, *command: str) -> Work:
        return work(
            *command,
            pool=pool,
            cores_milli=ask.cores_milli,
            memory_bytes=ask.memory_bytes,
            devices_milli=ask.devices_milli,
            device_model="any",
            time_limit_ms=7_200_000,
        )


def _memory() -> str | None:
    """A folder in memory with room for thousands of small folders; None where there is none."""
    there = Path("/dev/shm")
    return str(there) if there.is_dir() and shutil.disk_usage(there).free > 2 << 30 else None


def _await_reached(driver: Driver) -> None:
    """What there is of thousands may take a driver longer to list than it lets its callers wait."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            driver.changed()
            return
        except EngineUnreachableError:
            if time.monotonic() > deadline:
                raise


@contextlib.contextmanager
def many_live(
    driver: str,
    options: Callable[[Path], Mapping[str, str]],
    pools: tuple[PoolEntry, ...],
    few: Ask,
    many: Ask,
    *,
    apart: bool,
) -> Iterator[ManyLive]:
    """An agent of the centre whose engine is reached by a driver, in a fresh folder, from which `options` are made.
    With `apart`, work lies elsewhere than what the agent keeps, and `options` are made from that. All of it lies in
    memory where the machine has such a place: to lay out and to remove thousands of folders on a disk measures the
    disk."""
    top = Path(tempfile.mkdtemp(prefix="weir-bench-", dir=_memory()))
    server = AgentServer()
    place = Path(tempfile.mkdtemp(prefix="weir-bench-", dir=_memory())) if apart else top
    server.entry = CentreEntry("hefei", driver, dict(options(place)), pools, server.store_incarnation)
    code = top / "code"
    code.touch(mode=0o600)
    code.write_text(CODE, encoding="ascii")
    folder = top / "agent"
    try:
        with serving(server) as url, (top / "agent.log").open("ab") as log:
            command = [sys.executable, "-m", "weir.cli.agent_main", "run", "--folder", str(folder)]
            command += ["--work-root", str(place / "work")] if apart else []
            process = subprocess.Popen(
                [*command, "--url", url, "--code-file", str(code)], stdout=log, stderr=log
            )
            try:
                told = place / "work" if apart and driver == "ray" else None
                live = ManyLive(server, process, folder, few, many, told)
                live.begin()
                yield live
            finally:
                if process.poll() is None:
                    process.terminate()
                process.wait(30)
                if driver == "local":
                    stop_all(folder)  # other engines are gone with their clusters
    finally:
        for used in {top, place}:
            shutil.rmtree(used, ignore_errors=True)


def processor_s(pid: int) -> float:
    """Processor time that a process has used, seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """The memory that a process has."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) * 1_024


def share_of(pid: int, seconds: float) -> float:
    """The part of a processor that a process uses, over so many seconds from now, in percent."""
    before, began = processor_s(pid), time.perf_counter()
    time.sleep(seconds)
    return 100 * (processor_s(pid) - before) / (time.perf_counter() - began)
