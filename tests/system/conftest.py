"""One real province for the tests of commands: server and agents as processes, in a fresh folder, ended at the end."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from weir.cli.demo.processes import Processes
from weir.client import Client
from weir.model.view import JobView

TENANT, OTHER, OPERATOR = "12340100WEYR00078P", "91340100WEYR00027A", "11340000WEYR00019J"

PROVINCE = """\
version: 1
province: test
name: Test
cities: [{id: hefei, name: Hefei, name_zh: 合肥}, {id: wuhu, name: Wuhu, name_zh: 芜湖}]
organisations:
  - {id: "12340100WEYR00078P", name: University, roles: [tenant]}
  - {id: "91340100WEYR00027A", name: Company, roles: [tenant]}
  - {id: "11340000WEYR00019J", name: Operator, roles: [centre-operator, coordinator]}
projects:
  - {id: vision, organisation: "12340100WEYR00078P", default_time_limit: 10m}
  - {id: speech, organisation: "91340100WEYR00027A"}
centres:
  - id: north
    name: North
    city: hefei
    kind: intelligent
    operator: "11340000WEYR00019J"
    engine: {driver: local}
    pools:
      - {id: cpu, device: huawei-kunpeng-920-7260, nodes: 2, cores_per_node: 16, memory_per_node: 8GiB,
         price: {core_hour: "0.06"}}
      - {id: ascend, device: huawei-ascend-910b, nodes: 1, devices_per_node: 4, cores_per_node: 8,
         memory_per_node: 8GiB, price: {device_hour: "9.00", core_hour: "0.50"}}
  - id: south
    name: 南方
    city: wuhu
    kind: edge
    operator: "11340000WEYR00019J"
    engine: {driver: local}
    pools:
      - {id: a100, device: nvidia-a100-sxm-80gb, nodes: 2, devices_per_node: 2, cores_per_node: 8,
         memory_per_node: 8GiB, price: {device_hour: "16.00", core_hour: "0.50"}}
      - {id: old, device: cambricon-mlu370-s4, nodes: 1, devices_per_node: 1, cores_per_node: 2,
         memory_per_node: 4GiB, price: {device_hour: "2.50", core_hour: "0.50"}}
  - id: away
    name: Away
    city: wuhu
    kind: general
    operator: "11340000WEYR00019J"
    engine: {driver: local}
    pools:
      - {id: cpu, device: huawei-kunpeng-920-7260, nodes: 1, cores_per_node: 64, memory_per_node: 64GiB}
  - id: tight
    name: Tight
    city: wuhu
    kind: edge
    operator: "11340000WEYR00019J"
    engine: {driver: local}
    pools:
      - {id: cpu, device: huawei-kunpeng-920-7260, nodes: 1, cores_per_node: 4, memory_per_node: 4GiB,
         price: {core_hour: "90"}}
links:
  - {a: north, b: south, bandwidth: 10 Gbit/s, latency: 3 ms}
"""


@dataclass(frozen=True)
class Ran:
    """What a command ended with."""

    code: int
    out: str
    err: str

    def good(self) -> str:
        """Its output, stripped; it must have ended with 0."""
        assert 0 == self.code, self
        return self.out.strip()

    def refused(self, code: int = 2) -> str:
        """What it said in its one line on standard error; it must have ended with this code."""
        assert code == self.code, self
        lines = self.err.strip().splitlines()
        assert 1 == len(lines), self
        assert lines[0].startswith("weir: "), self
        return lines[0].removeprefix("weir: ")


@dataclass(frozen=True)
class RealProvince:
    """A server and agents that run, as one token's owner sees them."""

    folder: Path
    url: str
    token_file: Path
    processes: Processes

    def weir(
        self, *arguments: str, text: str | None = None, cwd: Path | None = None, timeout_s: float = 60
    ) -> Ran:
        """Run one command to its end."""
        process = subprocess.run(
            [sys.executable, "-m", "weir", *arguments],
            input=text,
            capture_output=True,
            text=True,
            env=self.environment,
            cwd=cwd or self.folder,
            timeout=timeout_s,
            check=False,
        )
        return Ran(process.returncode, process.stdout, process.stderr)

    @contextmanager
    def started(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """A command that goes on; ended at the end of the block if it still runs."""
        with subprocess.Popen(
            [sys.executable, "-m", "weir", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
            cwd=self.folder,
        ) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("WEIR_")}
        return kept | {
            "WEIR_URL": self.url,
            "WEIR_TOKEN_FILE": str(self.token_file),
            "PYTHONUNBUFFERED": "1",
            "COLUMNS": "200",
        }

    @property
    def client(self) -> Client:
        return Client(self.url, self.token_file.read_text(encoding="utf-8").strip())

    def as_owner_of(self, token_file: Path) -> "RealProvince":
        return replace(self, token_file=token_file)

    def submit(self, *command: str, **changes: object) -> str:
        """Submit a small job by the client; its id."""
        small = {"time_limit": "2m", "cores": 0.1, "memory": "64MiB", "project": "vision"}
        return self.client.submit({"command": list(command), **small, **changes})[0].id

    def ended(self, job: str, timeout_s: float = 60) -> JobView:
        """The job, once it has ended."""
        found = self.client.wait_submission(job, timeout_s=timeout_s)
        assert found is not None, self.client.job(job)
        assert found.job is not None
        return found.job

    def reaches(self, job: str, *states: str, timeout_s: float = 60) -> JobView:
        """The job, once it is in one of these states."""
        found: list[JobView] = []

        def there() -> bool:
            view = self.client.job(job)
            assert isinstance(view, JobView)
            found[:] = [view]
            return view.state in states

        until(there, f"{job} is {', '.join(states)}", timeout_s)
        return found[0]

    def log(self, job: str, stream: str = "stdout", task: int = 0) -> bytes:
        return b"".join(self.client.logs(job, stream, task=task))


def until(holds: Callable[[], bool], what: str, timeout_s: float = 60) -> None:
    """Wait until it holds; fails, saying what did not come about."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def province(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealProvince]:
    """A province of four centres as its coordinator sees it; agents run at `north` and `south`."""
    folder = tmp_path_factory.mktemp("province")
    processes = Processes(folder)
    try:
        url = processes.start_server(lambda line: None)
        made = RealProvince(folder, url, processes.server_data / "coordinator.token", processes)
        with made.client as client:
            client.apply_province(PROVINCE)
            for invite in client.invite(["north", "south"]):
                processes.start_agent(invite.centre, url, invite.code)
            until(
                lambda: all(one.observed_nodes for one in client.pools() if one.centre in ("north", "south")),
                "both centres have reported",
                120,
            )
        yield made
        processes.check()
    finally:
        processes.end()


@pytest.fixture(scope="session")
def tenant(province: RealProvince) -> RealProvince:
    """The province as a member of the university sees it."""
    return province.as_owner_of(_token(province, "Li Hua", TENANT))


@pytest.fixture(scope="session")
def other(province: RealProvince) -> RealProvince:
    """The province as a member of the company sees it."""
    return province.as_owner_of(_token(province, "Wang Fang", OTHER))


def _token(province: RealProvince, name: str, organisation: str) -> Path:
    file = province.folder / f"{organisation}.token"
    _, secret = province.client.create_token(name, "tenant-member", organisation=organisation)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(secret)
    return file
