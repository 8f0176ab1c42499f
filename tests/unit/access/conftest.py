"""A store in memory with two organisations and two centres."""

import random
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Connection, create_engine, insert

from weir.store import Transaction
from weir.store import schema as s

ACME = "91340100WEYR00027A"
OTHER = "91340200WEYR00035A"


@pytest.fixture
def connection() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    s.metadata.create_all(engine)
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys = ON")
        connection.execute(insert(s.organisation), [{"id": ACME, "body": "{}"}, {"id": OTHER, "body": "{}"}])
        rows = [
            {"id": "research", "organisation": ACME},
            {"id": "theirs", "organisation": OTHER},
        ]
        connection.execute(insert(s.project), rows)
        connection.execute(insert(s.centre), [{"id": "hefei", "body": "{}"}, {"id": "wuhu", "body": "{}"}])
        yield connection
    engine.dispose()


@pytest.fixture
def tx(connection: Connection) -> Transaction:
    return Transaction(connection)


@pytest.fixture
def random_bits() -> Callable[[int], int]:
    return random.Random(20261122).getrandbits
