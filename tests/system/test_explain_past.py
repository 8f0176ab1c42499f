"""`weir explain --at`: why a job waited, and why it went where it did, told by a server that was started since."""

from pathlib import Path

from tests.system.conftest import RealProvince, until
from weir.cli.demo.processes import Processes

PROVINCE = """\
version: 1
province: test
cities: [{id: hefei, name: Hefei}]
organisations: [{id: "12340100WEYR00078P", name: University}]
projects: [{id: vision, organisation: "12340100WEYR00078P"}]
centres:
  - id: north
    kind: supercomputing
    city: hefei
    engine: {driver: local}
    pools: [{id: cpu, device: huawei-kunpeng-920-7260, nodes: 1, cores_per_node: 4, memory_per_node: 1GiB}]
"""


def served(folder: Path) -> RealProvince:
    processes = Processes(folder)
    url = processes.start_server(lambda line: None)
    return RealProvince(folder, url, processes.server_data / "coordinator.token", processes)


def test_a_server_started_since_says_how_a_job_stood_before(tmp_path: Path) -> None:
    here = served(tmp_path)
    try:
        client = here.client
        client.apply_province(PROVINCE)
        [invite] = client.invite(["north"])
        here.processes.start_agent("north", here.url, invite.code)
        until(lambda: client.pools()[0].observed_nodes == 1, "the centre has reported", 120)
        wall = here.submit("sleep", "600", cores=4)
        here.reaches(wall, "running")
        waits = here.submit("true", cores=2)
        then = client.explain(waits)
        assert ("queued", 1) == (then.state, then.position)
        client.cancel(wall)
        here.ended(waits)
    finally:
        here.processes.end()
    here = served(tmp_path)
    try:
        at = here.weir("explain", waits, "--cycle", str(then.as_of_position)).good().splitlines()
        assert "it was number 1 of 1 in the queue" in at[0]
        assert "north/cpu  full" in at[1]
        assert "not before" in at[1]
        now = here.weir("explain", waits).good().splitlines()
        assert "north/cpu was chosen at " in now[0]
        placed = now[0].rpartition(" ")[2]
        there = here.weir("explain", waits, "--at", placed).good().splitlines()
        assert "it was started, and north/cpu was chosen" in there[0]
        assert now[1] == there[1]
        assert "kept for 7 days" in here.weir("explain", waits, "--at", "30d").refused()
        assert "no offset" in here.weir("explain", waits, "--at", "2026-11-22").refused()
        assert "not both" in here.weir("explain", waits, "--at", "1h", "--cycle", "3").refused()
    finally:
        here.processes.end()
