"""A real province for measurements: a server and one agent as processes, with a pool that never is the limit."""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from weir.cli.demo.processes import Processes
from weir.client import Client

TENANT = "12340100WEYR00078P"

_FILE = f"""
version: 1
province: bench
cities: [{{id: here, name: Here}}]
organisations: [{{id: "{TENANT}", name: Bench, roles: [tenant]}}]
projects: [{{id: bench, organisation: "{TENANT}", default_time_limit: 10m}}]
centres:
  - id: bench
    kind: general
    city: here
    engine: {{driver: local}}
    pools:
      - {{id: wide, device: intel-xeon-platinum-8358, nodes: 8, cores_per_node: 64, memory_per_node: 512GiB,
         price: {{core_hour: "0.10"}}}}
"""


@dataclass(frozen=True, slots=True)
class Running:
    """A province that runs: a client as its tenant, one as its coordinator, and the processes."""

    tenant: Client
    coordinator: Client
    processes: Processes
    url: str
    secret: str
    """The tenant's token."""


@contextlib.contextmanager
def running_province(*, agent: bool = True) -> Iterator[Running]:
    """Start it in a fresh folder, and leave nothing behind."""
    folder = Path(tempfile.mkdtemp(prefix="weir-bench-"))
    processes = Processes(folder)
    try:
        url = processes.start_server(lambda _: None)
        coordinator = Client(
            url, (processes.server_data / "coordinator.token").read_text(encoding="utf-8").strip()
        )
        coordinator.apply_province(_FILE, source="bench.yaml")
        if agent:
            processes.start_agent("bench", url, coordinator.invite(["bench"])[0].code)
            while not coordinator.centres()[0].reachable:
                processes.check()
                time.sleep(0.05)
        _, secret = coordinator.create_token(
            name="bench", role="tenant-admin", organisation=TENANT, project="", centre=""
        )
        yield Running(Client(url, secret), coordinator, processes, url, secret)
    finally:
        processes.end()
        shutil.rmtree(folder, ignore_errors=True)
