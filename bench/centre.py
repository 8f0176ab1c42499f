"""One centre of a real province, whatever its engine: server and agent as processes, and what is asked of them."""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weir.cli.demo.processes import Processes
from weir.client import Client

TENANT = "12340100WEYR00078P"
_FILE = """
version: 1
province: bench
cities: [{{id: here, name: Here}}]
organisations: [{{id: "{tenant}", name: Bench, roles: [tenant]}}]
projects: [{{id: bench, organisation: "{tenant}", default_time_limit: 10m}}]
centres: [{{id: bench, kind: general, city: here, engine: {engine}, pools: [{pool}]}}]
"""
_PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Centre:
    """A centre that runs: a client as its tenant, and what is told of a job of its pool."""

    tenant: Client
    cores: float

    def one_by_one(self, count: int, *, warm: int = 2) -> tuple[list[float], list[float]]:
        """Milliseconds from the call that submits until the job's own time stamp, and from there, which is all that
        it does, until the answer that says so; of so many jobs, one after another, behind a few that warm up."""
        starts, ends = [], []
        for number in range(count + warm):
            began = time.time()
            job = self.tenant.submit(self._job("date", "+%s.%N"))[0].id
            self.tenant.wait(job)
            seen = time.time()
            stamp = float(b"".join(self.tenant.logs(job, stream="stdout", follow=False)))
            if number >= warm:
                starts.append((stamp - began) * 1_000)
                ends.append((seen - stamp) * 1_000)
        return starts, ends

    def rate(self, count: int) -> float:
        """Jobs of `true` a second, as one array, from the call that submits it until the last has ended."""
        began = time.perf_counter()
        array = self.tenant.submit(self._job("true", array=count))[0].id
        self.tenant.wait(array)
        took = time.perf_counter() - began
        states = self.tenant.submission(array).states
        if states != {"succeeded": count}:
            raise RuntimeError(f"not every job succeeded: {states}")
        return count / took

    def _job(self, *command: str, **more: int) -> dict[str, Any]:
        return {
            "command": list(command),
            "time_limit": "10m",
            "cores": self.cores,
            "memory": "64MiB",
            **more,
        }


@contextlib.contextmanager
def running_centre(
    engine: Callable[[Path], str], pool: str, cores: float, *, apart: bool
) -> Iterator[Centre]:
    """A province of one centre with one pool, in a fresh folder.

    `engine` makes its section of the province file from that folder, `pool` is of that form too, and `cores` what each
    job asks. With `apart`, work lies elsewhere than what the agent keeps.
    """
    folder = Path(tempfile.mkdtemp(prefix="weir-bench-"))
    processes = Processes(folder)
    try:
        url = processes.start_server(lambda _: None)
        secret = (processes.server_data / "coordinator.token").read_text(encoding="utf-8").strip()
        with Client(url, secret) as coordinator:
            text = _FILE.format(tenant=TENANT, engine=engine(folder), pool=pool)
            coordinator.apply_province(text, source="bench.yaml")
            code = coordinator.invite(["bench"])[0].code
            work = ["--work-root", str(folder / "work")] if apart else []
            processes.start_agent("bench", url, code, *work)
            deadline = time.monotonic() + _PATIENCE_S
            while not all(found.observed_nodes for found in coordinator.pools()):
                processes.check()
                if time.monotonic() > deadline:
                    raise RuntimeError(f"the agent reports no nodes within {_PATIENCE_S:.0f} s")
                time.sleep(0.05)
            _, secret = coordinator.create_token(
                name="bench", role="tenant-admin", organisation=TENANT, project="", centre=""
            )
        with Client(url, secret) as tenant:
            yield Centre(tenant, cores)
    finally:
        processes.end()
        shutil.rmtree(folder, ignore_errors=True)
