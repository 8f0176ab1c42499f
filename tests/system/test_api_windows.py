"""Maintenance windows over HTTP: applied with the province, honoured by the running scheduler, and explained."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.system.api_world import JOB, World, served
from weir.api import Meters
from weir.cli.control_loop import ControlLoop
from weir.client import Client

FILE = """
version: 1
province: test
cities: [{{id: wuhu, name: Wuhu}}]
organisations: [{{id: 12340100WEYR00078P, name: Tenant}}]
projects: [{{id: cables, organisation: 12340100WEYR00078P}}]
centres:
  - id: wuhu-hpc
    kind: supercomputing
    city: wuhu
    pools:
      - id: cpu
        device: kunpeng-920
        nodes: 1
        cores_per_node: 4
        memory_per_node: 8GiB
        windows: [{{start: "{start}", lasts: {lasts}, reason: new cables}}]
devices: [{{id: kunpeng-920, name: Kunpeng 920, kind: cpu, vendor: Huawei, stack: aarch64}}]
"""


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with served(tmp_path_factory.mktemp("api")) as made:
        yield made


def declared(starts_in_s: int, lasts: str) -> str:
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=starts_in_s)
    return FILE.format(start=start.isoformat(), lasts=lasts)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def test_a_window_keeps_a_job_waiting_with_its_reason_and_it_starts_by_itself_when_that_is_over(
    world: World,
) -> None:
    coordinator = world.client(world.coordinator)
    shown = coordinator.apply_province(declared(30, "1h"))
    assert any("windows" in line for line in shown.lines)
    tenant = world.token("tenant-member", organisation="12340100WEYR00078P", project="cables")
    client = world.client(tenant)
    agent = world.agent("wuhu-hpc")
    [short] = client.submit(JOB | {"time_limit": "1s"})
    [long] = client.submit(JOB | {"time_limit": "1m"})
    with ControlLoop(world.control(), world.store, Meters(), now_ms):
        until_started(client, short.id)
        agent.pull()
        explanation = client.explain(long.id)
        [reason] = explanation.pools
        assert ("queued", "closed") == (explanation.state, reason.verdict)
        assert "(new cables); by its time limit the job would not end before" in reason.note
        # Nothing is committed after this, so that the scheduler wakes for the end of the window alone.
        coordinator.apply_province(declared(-3_595, "1h"))
        until_started(client, long.id)


def until_started(client: Client, job: str) -> None:
    last = time.monotonic() + 60
    while "queued" == client.explain(job).state:
        assert time.monotonic() < last, client.explain(job)
        time.sleep(0.1)
