"""Price books in the store: versions that never change, each in force from its start until another's."""

import functools
import hashlib
import json
from dataclasses import dataclass, field

from sqlalchemy import Connection, bindparam, func, insert, select

from weir.access import Actor, record
from weir.billing.price_book import PriceBook, starts_ms
from weir.billing.rate_card import Needs, PricedPool, RateCard, Unpriced, rate_card
from weir.model.change import ChangeKind
from weir.model.codec import from_plain, to_plain
from weir.model.problem import conflict, not_found
from weir.model.province import DeviceModel, Pool
from weir.registry.rows import from_body
from weir.store import Transaction, schema

_book = schema.price_book.c
_IN_FORCE = (
    select(schema.price_book)
    .where(_book.starts_ms <= bindparam("at_ms"))
    .order_by(_book.starts_ms.desc(), _book.version.desc())
    .limit(1)
)
_VERSION = select(schema.price_book).where(_book.version == bindparam("version"))
_POOLS = select(schema.pool.c.centre, schema.pool.c.id, schema.pool.c.body)
_DEVICES = select(schema.device_model.c.id, schema.device_model.c.body)


@dataclass(frozen=True, slots=True)
class BookVersion:
    """One version of the price book."""

    version: int
    name: str
    starts_ms: int
    applied_ms: int
    digest: str
    book: PriceBook = field(compare=False)


def book_digest(book: PriceBook) -> str:
    """SHA-256 over what a price book says."""
    return hashlib.sha256(_body(book).encode()).hexdigest()


def apply_price_book(
    tx: Transaction, actor: Actor, book: PriceBook, now_ms: int, *, expected_version: int | None = None
) -> BookVersion:
    """Make the book a new version. The newest version once more changes nothing, and is what is returned.

    With `expected_version`, the newest that was looked at before (0 for none), raises ProblemError (409) where
    another has come in between. Raises ProblemError (422) for a start in the past.
    """
    newest = latest(tx.connection)
    version = newest.version if newest else 0
    if expected_version is not None and expected_version != version:
        raise conflict("another price book has been applied since; look at the difference again")
    digest = book_digest(book)
    if newest and newest.digest == digest:
        return newest
    row = {
        "version": version + 1,
        "name": book.price_book,
        "starts_ms": starts_ms(book, now_ms),
        "applied_ms": now_ms,
        "digest": digest,
        "body": _body(book),
    }
    tx.connection.execute(insert(schema.price_book), row)
    # The core scores by prices, and so has to look at the pools again.
    tx.append(ChangeKind.PROVINCE, {"centres": []}, at_ms=now_ms)
    detail = {"version": version + 1, "digest": digest, "starts_ms": row["starts_ms"]}
    record(tx, actor, "price.apply", book.price_book, detail, now_ms)
    return _version(tuple(row.values()))


def in_force(connection: Connection, at_ms: int) -> BookVersion | None:
    """The version in force at a time; None where none is, so that work is not priced."""
    row = connection.execute(_IN_FORCE, {"at_ms": at_ms}).one_or_none()
    return None if row is None else _version(tuple(row))


def version_of(connection: Connection, version: int) -> BookVersion:
    """A version by its number. Raises ProblemError (404)."""
    row = connection.execute(_VERSION, {"version": version}).one_or_none()
    if row is None:
        raise not_found("version of the price book", str(version))
    return _version(tuple(row))


def latest(connection: Connection) -> BookVersion | None:
    """The version that was applied last, whether or not it is in force yet."""
    row = connection.execute(select(schema.price_book).order_by(_book.version.desc()).limit(1)).one_or_none()
    return None if row is None else _version(tuple(row))


def all_versions(connection: Connection) -> list[BookVersion]:
    """Every version, newest first."""
    return [
        _version(tuple(row))
        for row in connection.execute(select(schema.price_book).order_by(_book.version.desc()))
    ]


def next_start_ms(connection: Connection, after_ms: int) -> int | None:
    """When the next version begins to be in force."""
    return connection.execute(select(func.min(_book.starts_ms)).where(_book.starts_ms > after_ms)).scalar()


def priced_pools(connection: Connection) -> dict[str, PricedPool]:
    """Every declared pool by `centre/pool`, as far as its price depends on it."""
    devices = tuple(tuple(row) for row in connection.execute(_DEVICES))
    return _pools(tuple(tuple(row) for row in connection.execute(_POOLS)), devices)


@functools.lru_cache(maxsize=1 << 16)
def card_for(version: BookVersion, pool: PricedPool, tenant_class: str, needs: Needs) -> RateCard | Unpriced:
    """The rate card of a version for a pool, a class of tenants and a job's needs; remembered."""
    return rate_card(version.book, version.version, pool, tenant_class, needs)


@functools.lru_cache(maxsize=4)
def _pools(rows: tuple[tuple[str, ...], ...], devices: tuple[tuple[str, ...], ...]) -> dict[str, PricedPool]:
    qubits = {name: from_body(DeviceModel, body).qubits or 0 for name, body in devices}
    found = {}
    for centre, name, body in rows:
        model = from_body(Pool, body).device
        found[f"{centre}/{name}"] = PricedPool(f"{centre}/{name}", centre, model, qubits.get(model, 0))
    return found


@functools.lru_cache(maxsize=64)
def _version(row: tuple[object, ...]) -> BookVersion:
    version, name, starts, applied, digest, body = row
    book = from_plain(PriceBook, json.loads(str(body)))
    return BookVersion(int(str(version)), str(name), int(str(starts)), int(str(applied)), str(digest), book)


def _body(book: PriceBook) -> str:
    return json.dumps(to_plain(book), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


__all__ = [
    "BookVersion",
    "all_versions",
    "apply_price_book",
    "book_digest",
    "card_for",
    "in_force",
    "latest",
    "next_start_ms",
    "priced_pools",
    "version_of",
]
