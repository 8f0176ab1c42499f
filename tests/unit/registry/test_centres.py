"""Centres and pools as they are listed, told to agents and drained; declared against observed."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, update

from tests.unit.registry.conftest import place
from weir.access import Actor, list_audit, server_itself
from weir.model.agent import NodeGroup, PoolEntry, PoolObservation
from weir.model.problem import ProblemError
from weir.model.province import Engine, Pool, Province
from weir.model.role import Role
from weir.model.state import Observed
from weir.registry import (
    UsablePool,
    apply_province,
    centre_entry,
    centre_operator,
    drift,
    list_centres,
    list_devices,
    list_pools,
    set_draining,
    usable,
    visible_devices_variables,
)
from weir.registry.rows import to_body
from weir.store import Transaction
from weir.store import schema as s

CHIEF = Actor(1, "chief", Role.COORDINATOR, address="10.0.0.1")
GIB = 2**30
POOL = Pool("toys", "toy", nodes=4, cores_per_node=64_000, memory_per_node=512 * GIB, devices_per_node=8)
WHOLE = NodeGroup(4, 8_000, 64_000, 512 * GIB)


@pytest.fixture(autouse=True)
def _declared(tx: Transaction, small: Province) -> None:
    apply_province(tx, small, server_itself(), 1)
    tx.changes.clear()
    tx.centres.clear()


def observe(connection: Connection, observation: PoolObservation, centre: str = "hefei-ai") -> None:
    chosen = (s.pool.c.centre == centre) & (s.pool.c.id == observation.pool)
    connection.execute(update(s.pool).where(chosen).values(observed=to_body(observation)))


def seen(*groups: NodeGroup, drained: int = 0) -> PoolObservation:
    return PoolObservation("toys", 5, groups, drained)


def test_an_agent_is_told_of_its_own_pools_alone(connection: Connection) -> None:
    entry = centre_entry(connection, "hefei-ai", "incarnation-1")
    assert ("hefei-ai", "local", {"isolation": "off"}) == (entry.centre, entry.driver, entry.options)
    assert "incarnation-1" == entry.store_incarnation
    assert (
        PoolEntry("cpus", 2, 0, 64_000, 256 * GIB, "intel-xeon-platinum-8358", False),
        PoolEntry("toys", 4, 8, 64_000, 512 * GIB, "toy", False),
    ) == entry.pools


def test_kubernetes_is_told_what_the_device_plugins_call_a_device(
    connection: Connection, tx: Transaction, small: Province
) -> None:
    centres = tuple(replace(centre, engine=Engine("kubernetes")) for centre in small.centres)
    devices = tuple(replace(device, kubernetes_resource="example.org/toy") for device in small.devices)
    apply_province(tx, replace(small, centres=centres, devices=devices), server_itself(), 2)
    entry = centre_entry(connection, "hefei-ai", "incarnation-1")
    assert {"cpus": "", "toys": "example.org/toy"} == {
        pool.id: pool.kubernetes_resource for pool in entry.pools
    }


def test_an_agent_keeps_what_its_draining_pool_needs(
    connection: Connection, tx: Transaction, small: Province
) -> None:
    place(connection, "wuhu-ai", "toys")
    bare = Province(
        1, "small", cities=small.cities, organisations=small.organisations, projects=small.projects
    )
    apply_province(tx, bare, CHIEF, 2)
    [pool] = centre_entry(connection, "wuhu-ai", "x").pools
    assert ("toys", 1) == (pool.id, pool.nodes)
    assert (True, True) == (list_pools(connection)[0].removed, list_pools(connection)[0].draining)


def test_centres_are_listed_with_what_runs_there(connection: Connection) -> None:
    place(connection, "hefei-ai", "toys")
    place(connection, "hefei-ai", "cpus", job=2, observed=Observed.QUEUED)
    hefei, wuhu = list_centres(connection)
    assert ("hefei-ai", "intelligent", "hefei", "local", 2, 1) == (
        hefei.id, hefei.kind, hefei.city, hefei.driver, hefei.pools, hefei.running,
    )  # fmt: skip
    assert ("wuhu-ai", 1, 0, False) == (wuhu.id, wuhu.pools, wuhu.running, wuhu.reachable)
    assert [("cpus", 0), ("toys", 1)] == [
        (pool.id, pool.running) for pool in list_pools(connection, "hefei-ai")
    ]


def test_a_pool_shows_declared_observed_and_what_is_used(connection: Connection) -> None:
    observe(connection, seen(NodeGroup(3, 8_000, 64_000, 512 * GIB), drained=1))
    pool = list_pools(connection, "hefei-ai")[1]
    assert (4, 3, 3) == (pool.declared_nodes, pool.observed_nodes, pool.used_nodes_limit)
    assert "4 nodes declared, 3 in service, 1 drained" == pool.drift
    untouched = list_pools(connection, "wuhu-ai")[0]
    assert (1, None, 1, "") == (
        untouched.declared_nodes, untouched.observed_nodes, untouched.used_nodes_limit, untouched.drift,
    )  # fmt: skip


def test_device_models_are_listed_with_their_stacks_variable(connection: Connection) -> None:
    assert ["intel-xeon-platinum-8358", "toy"] == [model.id for model in list_devices(connection)]
    assert {"intel-xeon-platinum-8358": "", "toy": ""} == visible_devices_variables(connection)


def test_draining_is_told_once_and_recorded(connection: Connection, tx: Transaction) -> None:
    assert set_draining(tx, "wuhu-ai", True, CHIEF, 5)
    assert not set_draining(tx, "wuhu-ai", True, CHIEF, 6)
    assert [("centre", {"centre": "wuhu-ai"}, 5)] == [
        (c.kind, json.loads(c.body), c.at_ms) for c in tx.changes
    ]
    assert {"wuhu-ai"} == tx.centres
    assert [False, True] == [centre.draining for centre in list_centres(connection)]
    assert [False, False, True] == [pool.draining for pool in list_pools(connection)]
    assert set_draining(tx, "wuhu-ai", False, CHIEF, 7)
    assert [False, False] == [centre.draining for centre in list_centres(connection)]
    assert ["centre.resume", "centre.drain"] == [entry.action for entry in list_audit(connection).entries[:2]]


def test_the_operator_of_a_centre_is_known(connection: Connection) -> None:
    assert "91340100WEYR00027A" == centre_operator(connection, "hefei-ai")
    assert "" == centre_operator(connection, "wuhu-ai")


def test_an_unknown_centre_is_not_found(connection: Connection, tx: Transaction) -> None:
    for ask in (
        lambda: centre_entry(connection, "nowhere", "x"),
        lambda: list_pools(connection, "nowhere"),
        lambda: centre_operator(connection, "nowhere"),
        lambda: set_draining(tx, "nowhere", True, CHIEF, 5),
    ):
        with pytest.raises(ProblemError, match="no centre 'nowhere'"):
            ask()
    assert [] == tx.changes


@pytest.mark.parametrize(
    ("groups", "expected", "said"),
    [
        ([WHOLE], UsablePool(4, 8, 64_000, 512 * GIB), ""),
        (
            [NodeGroup(9, 8_000, 128_000, 900 * GIB)],
            UsablePool(4, 8, 64_000, 512 * GIB),
            "4 nodes declared, 9 in service",
        ),
        ([], UsablePool(0, 8, 64_000, 512 * GIB), "4 nodes declared, 0 in service"),
        (
            [NodeGroup(4, 8_000, 64_000, 503 * GIB)],
            UsablePool(4, 8, 64_000, 503 * GIB),
            "4 smaller than declared; 4 used with 8 devices, 64 cores and 503GiB each",
        ),
        (
            [NodeGroup(3, 8_000, 64_000, 512 * GIB), NodeGroup(1, 2_000, 64_000, 512 * GIB)],
            UsablePool(3, 8, 64_000, 512 * GIB),
            "1 smaller than declared; 3 used with 8 devices, 64 cores and 512GiB each",
        ),
        (
            [NodeGroup(1, 8_000, 64_000, 512 * GIB), NodeGroup(3, 7_000, 64_000, 512 * GIB)],
            UsablePool(4, 7, 64_000, 512 * GIB),
            "3 smaller than declared; 4 used with 7 devices, 64 cores and 512GiB each",
        ),
    ],
)  # fmt: skip
def test_the_lesser_of_declared_and_observed_is_used(
    groups: list[NodeGroup], expected: UsablePool, said: str
) -> None:
    assert expected == usable(POOL, seen(*groups))
    assert said == drift(POOL, seen(*groups))


node_groups = st.builds(
    NodeGroup,
    nodes=st.integers(0, 9),
    devices_milli=st.sampled_from([0, 2_000, 7_000, 8_000, 9_000]),
    cores_milli=st.sampled_from([1_000, 64_000, 96_000]),
    memory_bytes=st.sampled_from([GIB, 500 * GIB, 512 * GIB, 900 * GIB]),
)


@given(st.lists(node_groups, max_size=5))
def test_no_more_is_used_than_is_declared_and_exists(groups: list[NodeGroup]) -> None:
    found = usable(POOL, seen(*groups))
    covering = sum(
        group.nodes
        for group in groups
        if group.devices_milli >= found.devices_per_node * 1_000
        and group.cores_milli >= found.cores_milli_per_node
        and group.memory_bytes >= found.memory_bytes_per_node
    )
    assert 0 <= found.nodes <= min(POOL.nodes, covering)
    assert found.devices_per_node <= POOL.devices_per_node
    assert found.cores_milli_per_node <= POOL.cores_per_node
    assert found.memory_bytes_per_node <= POOL.memory_per_node
    assert found.nodes or not any(group.nodes for group in groups)


def test_the_order_of_groups_does_not_matter() -> None:
    groups = [NodeGroup(2, 8_000, 64_000, 500 * GIB), NodeGroup(2, 8_000, 60_000, 512 * GIB)]
    assert usable(POOL, seen(*groups)) == usable(POOL, seen(*reversed(groups)))
