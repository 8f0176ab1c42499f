"""The province over HTTP: looked at by everybody, declared by the coordinator."""

from collections.abc import Iterator

import pytest

from tests.system.api_world import OTHER, TENANT, World, served
from weir.client import ApiError

FILE = """
version: 1
province: test
cities: [{id: hefei, name: Hefei}]
centres:
  - id: new-centre
    kind: general
    city: hefei
    pools: [{id: cpu, device: kunpeng-920, nodes: 3, cores_per_node: 8, memory_per_node: 16GiB}]
devices: [{id: kunpeng-920, name: Kunpeng 920, kind: cpu, vendor: Huawei, stack: aarch64}]
"""


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with served(tmp_path_factory.mktemp("api")) as made:
        yield made


def test_everybody_may_look(world: World) -> None:
    client = world.client()
    assert ["hefei-ai", "wuhu-hpc"] == [centre.id for centre in client.centres()]
    assert [("hefei-ai", 64_000), ("wuhu-hpc", 4_000)] == [
        (pool.centre, pool.cores_milli_per_node) for pool in client.pools()
    ]
    assert ["kunpeng-920"] == [device.id for device in client.devices()]


def test_who_runs_as_whom_is_shown_to_the_centre_and_to_each_tenant_its_own(world: World) -> None:
    agent = world.agent("hefei-ai")
    told = {TENANT: "weir-univ", OTHER: "weir-acme"}
    agent.report(full=True, pools=[{**pool, "runs_as": told} for pool in agent.pools()])

    def seen(token: str = "") -> dict[str, str]:
        [pool] = [pool for pool in world.client(token).pools() if pool.centre == "hefei-ai"]
        return dict(pool.runs_as)

    assert {TENANT: "weir-univ"} == seen()
    assert {OTHER: "weir-acme"} == seen(world.other)
    assert told == seen(world.coordinator) == seen(world.token("auditor"))
    assert told == seen(world.token("centre-operator", centre="hefei-ai"))
    assert {} == seen(world.token("centre-operator", centre="wuhu-hpc"))
    agent.report(full=True, pools=[{**pool, "runs_as": {"*": "weir"}} for pool in agent.pools()])
    assert {"*": "weir"} == seen() == seen(world.other) == seen(world.coordinator)


def test_difference_is_shown_applied_once_and_audited(world: World) -> None:
    client = world.client(world.coordinator)
    shown = client.province_diff(FILE, source="file.yaml")
    assert shown.changed
    assert any("new-centre" in line for line in shown.lines)
    assert "new-centre" not in {centre.id for centre in client.centres()}
    assert shown == client.apply_province(FILE, source="file.yaml", expected=shown.digest)
    assert "new-centre" in {centre.id for centre in client.centres()}
    assert not client.province_diff(FILE).changed
    assert "province.apply" in {entry.action for entry in client.audit(limit=3).entries}


def test_difference_that_is_old_is_refused(world: World) -> None:
    client = world.client(world.coordinator)
    shown = client.province_diff(FILE)
    client.apply_province(FILE)
    with pytest.raises(ApiError) as caught:
        client.apply_province(FILE.replace("nodes: 3", "nodes: 4"), expected=shown.digest)
    assert 409 == caught.value.status


def test_fault_is_named_with_its_line_and_nothing_is_changed(world: World) -> None:
    client = world.client(world.coordinator)
    with pytest.raises(ApiError) as caught:
        client.apply_province(FILE.replace("16GiB", "16"), source="file.yaml")
    assert 422 == caught.value.status
    assert "centres[0].pools[0].memory_per_node" in caught.value.problem.title
    assert "file.yaml, line 9" in caught.value.problem.title
    assert "new-centre" not in {centre.id for centre in client.centres()}


@pytest.mark.parametrize("body", [b"", b"\xff", b"a: [", b"- 1"])
def test_malformed_file_is_refused(world: World, body: bytes) -> None:
    answer = world.ask("POST", "/api/v1/province/apply", body, token=world.coordinator)
    assert answer.status in (400, 422)
    assert answer.kind


def test_unknown_centre_is_not_found(world: World) -> None:
    assert 404 == world.ask("POST", "/api/v1/centres/nowhere/drain", token=world.coordinator).status
