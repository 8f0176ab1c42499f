"""Bringing a database to today's schema, and giving it its identity."""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, insert, inspect, select, text, update

from weir.store import schema
from weir.store.database import RandomBits
from weir.store.problems import StoreError, StoreNewerError

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0018"
"""The newest revision, so that Alembic is imported only when there is something to migrate."""

INCARNATION = "incarnation"
BACKUP = "backup"
"""Present in a copy that `backup` wrote, until a store is opened on it."""

RESTORED = "restored"
"""Present in a store that was put back, until control has waited long enough for what its centres run."""

_MIGRATIONS = Path(__file__).parent / "migrations"


def prepare(connection: Connection, *, restored: bool, random_bits: RandomBits) -> str:
    """Migrate what is there, within the caller's transaction; the store's incarnation.

    A new store, a backup and a `restored` database get a new one. Raises StoreNewerError.
    """
    if _revision(connection) != HEAD:
        _migrate(connection)
    present = _value(connection, INCARNATION)
    if present is None or restored or _value(connection, BACKUP) is not None:
        return _renew_incarnation(connection, present is None, random_bits)
    return present


def incarnation(connection: Connection) -> str:
    """The incarnation of a prepared store."""
    found = _value(connection, INCARNATION)
    if found is None:
        raise StoreError("this store has no incarnation: it was not made by Weir")
    return found


def configuration(connection: Connection) -> "Config":
    """Alembic's configuration, on an open connection whose transaction the caller ends."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _migrate(connection: Connection) -> None:
    from alembic import command
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    config = configuration(connection)
    found = _revision(connection)
    if found is not None:
        try:
            ScriptDirectory.from_config(config).get_revision(found)
        except CommandError:
            raise StoreNewerError(
                f"this store was written by a newer Weir (revision {found}, this one knows up to {HEAD}): "
                f"start that version, or restore a backup made before it"
            ) from None
    command.upgrade(config, "head")


def _revision(connection: Connection) -> str | None:
    tables = set(inspect(connection).get_table_names())
    if "alembic_version" in tables:
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if tables:
        raise StoreError(
            f"this database holds something else ({', '.join(sorted(tables)[:3])}…): give an empty one"
        )
    return None


def _renew_incarnation(connection: Connection, first: bool, random_bits: RandomBits) -> str:
    new = f"{random_bits(128):032x}"
    meta = schema.meta
    if first:
        connection.execute(insert(meta).values(key=INCARNATION, value=new))
        return new
    connection.execute(update(meta).where(meta.c.key == INCARNATION).values(value=new))
    connection.execute(meta.delete().where(meta.c.key == BACKUP))
    # No agent has been heard by this store; that none reported to it in full follows from its incarnation.
    connection.execute(update(schema.centre).values(heartbeat_ms=None))
    connection.execute(meta.delete().where(meta.c.key == RESTORED))
    connection.execute(insert(meta).values(key=RESTORED, value=new))
    return new


def _value(connection: Connection, key: str) -> str | None:
    return connection.execute(select(schema.meta.c.value).where(schema.meta.c.key == key)).scalar()


__all__ = ["BACKUP", "HEAD", "INCARNATION", "RESTORED", "configuration", "incarnation", "prepare"]
