"""Migrating from nothing gives today's schema, on both databases."""

import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from tests.contract.postgresql_server import PostgresqlServer
from weir.store import Store, StoreError, StoreNewerError, migrate, open_store, schema


def test_the_migrations_make_the_schema(store: Store) -> None:
    def differences(connection: Connection) -> list[object]:
        # On SQLite, Alembic takes every default of '' for a change; PostgreSQL shows the real ones.
        options = {"compare_server_default": store.dialect == "postgresql"}
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, schema.metadata))

    assert [] == store.read(differences)


def test_what_comparing_overlooks_is_the_same_too(store: Store) -> None:
    """Primary keys and their order are not compared by Alembic."""

    def keys(connection: Connection) -> dict[str, list[str]]:
        found = inspect(connection)
        return {name: found.get_pk_constraint(name)["constrained_columns"] for name in schema.metadata.tables}

    assert store.read(keys) == {
        table.name: [column.name for column in table.primary_key] for table in schema.metadata.sorted_tables
    }


def test_the_newest_revision_is_known_without_asking_alembic(store: Store) -> None:
    script = store.read(lambda connection: ScriptDirectory.from_config(migrate.configuration(connection)))
    assert [migrate.HEAD] == script.get_heads()


def test_every_revision_says_what_it_does_and_goes_only_forward() -> None:
    for path in (Path(migrate.__file__).parent / "migrations" / "versions").glob("*.py"):
        assert path.name[:4].isdecimal()
        assert "def downgrade" not in path.read_text()


@pytest.mark.postgres
def test_processes_that_start_together_migrate_once(postgresql_server: PostgresqlServer) -> None:
    name = postgresql_server.create()
    incarnations: list[str] = []

    def start() -> None:
        with open_store(postgresql_server.url(name), threaded=False) as store:
            incarnations.append(store.incarnation)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    postgresql_server.drop(name)
    assert len(incarnations) == 4
    assert len(set(incarnations)) == 1


@pytest.mark.postgres
def test_a_newer_store_on_postgresql_is_refused_and_left_alone(
    postgresql_server: PostgresqlServer, postgresql_url: str
) -> None:
    database = postgresql_url.split("/")[3].split("?", maxsplit=1)[0]
    postgresql_server.execute("UPDATE alembic_version SET version_num = 'zzzz'", database=database)
    with pytest.raises(StoreNewerError, match="written by a newer Weir"):
        open_store(postgresql_url)
    undo = f"UPDATE alembic_version SET version_num = '{migrate.HEAD}'"  # noqa: S608 - of constants
    postgresql_server.execute(undo, database=database)
    open_store(postgresql_url).close()


@pytest.mark.postgres
def test_a_database_of_something_else_is_refused_and_left_alone(postgresql_server: PostgresqlServer) -> None:
    name = postgresql_server.create()
    postgresql_server.execute("CREATE TABLE album (title text)", database=name)
    with pytest.raises(StoreError, match="holds something else"):
        open_store(postgresql_server.url(name))
    postgresql_server.execute("DROP TABLE album", database=name)
    with open_store(postgresql_server.url(name)) as store:
        assert store.read(lambda c: c.execute(text("SELECT count(*) FROM job")).scalar_one()) == 0
    postgresql_server.drop(name)
