"""A store in memory, and a small province to declare in it."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, create_engine, insert, update

from weir.model.province import Province
from weir.model.state import Desired, Observed
from weir.registry import read_province
from weir.store import Transaction
from weir.store import schema as s

SMALL = """\
version: 1
province: small
name: Small
cities:
  - {id: hefei, name: Hefei, name_zh: 合肥}
  - {id: wuhu, name: Wuhu}
organisations:
  - {id: "91340100WEYR00027A", name: Acme, roles: [tenant, centre-operator]}
  - {id: "91340200WEYR00035A", name: Other, roles: [tenant]}
projects:
  - {id: research, organisation: "91340100WEYR00027A", default_time_limit: 2h}
devices:
  - {id: toy, name: Toy, kind: accelerator, vendor: Toys, stack: cuda, memory: 8 GiB, peak: {fp16: 10 TFLOPS}}
centres:
  - id: hefei-ai
    kind: intelligent
    city: hefei
    operator: "91340100WEYR00027A"
    engine: {driver: local, options: {isolation: "off"}}
    carbon_g_per_kwh: 678
    capacity:
      - {kind: intelligent, unit: P, precision: fp16, basis: nominal, value: "0.1", date: 2025-09-24}
    pools:
      - {id: toys, device: toy, nodes: 4, devices_per_node: 8, cores_per_node: 64, memory_per_node: 512 GiB,
         price: {device_hour: "2.50"}}
      - {id: cpus, device: intel-xeon-platinum-8358, nodes: 2, cores_per_node: 64, memory_per_node: 256 GiB}
  - id: wuhu-ai
    kind: edge
    city: wuhu
    pools:
      - {id: toys, device: toy, nodes: 1, devices_per_node: 2, cores_per_node: 16, memory_per_node: 64 GiB,
         carbon_g_per_kwh: 100}
links:
  - {a: wuhu-ai, b: hefei-ai, bandwidth: 10 Gbit/s, latency: 1.7 ms}
"""


@pytest.fixture
def connection() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    s.metadata.create_all(engine)
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys = ON")
        yield connection
    engine.dispose()


@pytest.fixture
def tx(connection: Connection) -> Transaction:
    return Transaction(connection)


@pytest.fixture
def small() -> Province:
    return read_province(SMALL, "small.yaml")


def place(
    connection: Connection,
    centre: str,
    pool: str,
    *,
    job: int = 1,
    observed: Observed = Observed.RUNNING,
    desired: Desired = Desired.RUN,
) -> None:
    """An attempt of a single job of the project `research` on a pool."""
    owner = {"organisation": "91340100WEYR00027A", "project": "research", "owner": "alice"}
    size = {"first_job": job, "size": 1, "is_array": False, "submitted_ms": 1, "attempts_allowed": 1}
    if job == 1:
        connection.execute(insert(s.specification).values(digest="d", body="{}"))
    connection.execute(
        insert(s.submission).values(number=job, id=f"s{job}", specification="d", **owner, **size)
    )
    row = {"number": job, "submission": job, "array_index": 0, "state": 22, "priority": 0, "time_limit_ms": 1}
    connection.execute(insert(s.job).values(row))
    connection.execute(
        insert(s.attempt).values(
            job=job,
            epoch=1,
            centre=centre,
            pool=pool,
            nodes="[]",
            desired=int(desired),
            desired_revision=1,
            observed=int(observed),
            placed_ms=1,
            term=1,
        )
    )


def end(connection: Connection, job: int = 1) -> None:
    """The job's attempt is observed to have ended."""
    connection.execute(update(s.attempt).where(s.attempt.c.job == job).values(observed=int(Observed.ENDED)))
