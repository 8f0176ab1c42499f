"""Stores to hold the contracts to: on SQLite, and on PostgreSQL where its server programs are installed."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.postgresql_server import PostgresqlServer, programs
from weir.store import Store, open_store


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    """A running server, one for each test process."""
    folder = programs()
    if folder is None:
        reason = "PostgreSQL's server programs (initdb, postgres) are not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason}, and CI runs every test")
        pytest.skip(reason)
    server = PostgresqlServer(folder)
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: PostgresqlServer) -> str:
    """A database that holds a new store, to be copied."""
    name = postgresql_server.create()
    open_store(postgresql_server.url(name), threaded=False).close()
    return name


@pytest.fixture
def postgresql_url(postgresql_server: PostgresqlServer, postgresql_template: str) -> Iterator[str]:
    """A new store's address."""
    name = postgresql_server.create(template=postgresql_template)
    yield postgresql_server.url(name)
    postgresql_server.drop(name)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new store's address, on each kind of database in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/weir.db"
    return str(request.getfixturevalue("postgresql_url"))


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """A new store, on each kind of database in turn."""
    with open_store(store_url) as opened:
        yield opened
