"""Stores in memory: one migrated image, and clones of it in a fraction of a millisecond."""

import functools
import secrets
import sqlite3
from dataclasses import dataclass

from sqlalchemy import Engine

from weir.store import migrate
from weir.store.database import RandomBits, Store
from weir.store.problems import StoreError
from weir.store.sqlite import InlineSqliteStore, Session, make_engine, session_on


@dataclass(frozen=True, slots=True)
class MemoryImage:
    """A whole database as bytes; it can be passed to other processes."""

    content: bytes


def memory_image(random_bits: RandomBits = secrets.randbits) -> MemoryImage:
    """An empty store of today's schema, with an incarnation made of those random bits."""
    session = _session()
    try:
        session.raw.execute("PRAGMA page_size = 1024")
        session.raw.execute("BEGIN")
        migrate.prepare(session.connection, restored=False, random_bits=random_bits)
        session.raw.execute("COMMIT")
        return MemoryImage(session.raw.serialize())
    finally:
        session.close()


def memory_store(image: MemoryImage, *, restored_with: RandomBits | None = None) -> Store:
    """A store of its own that begins as the image, works in the caller's thread, and is gone when closed.

    With `restored_with` it counts as restored from a backup: it gets a new incarnation of those random bits.
    """
    session = _session()
    session.raw.deserialize(image.content)
    session.raw.execute("PRAGMA foreign_keys = ON")
    if restored_with:
        session.raw.execute("BEGIN")
        incarnation = migrate.prepare(session.connection, restored=True, random_bits=restored_with)
        session.raw.execute("COMMIT")
    else:
        incarnation = migrate.incarnation(session.connection)
    return InlineSqliteStore(session, incarnation, where="memory")


def image_of(store: Store) -> MemoryImage:
    """What a store in memory holds now."""
    if not isinstance(store, InlineSqliteStore):
        raise StoreError("only a store in memory has an image; back others up")
    return MemoryImage(store.serialized())


@functools.cache
def _engine() -> Engine:
    return make_engine()


def _session() -> Session:
    return session_on(
        _engine(),
        sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False, cached_statements=512),
    )
