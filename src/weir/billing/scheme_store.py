"""Schemes in the store: every version as the text that was applied, by whom and by which act."""

from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, func, insert, select

from weir.access.actor import Actor
from weir.access.audit import record
from weir.billing.calendar_days import day_of
from weir.billing.scheme import edition_on, read_scheme, scheme_digest, scheme_of
from weir.model.problem import conflict, not_found
from weir.model.scheme import Edition, Scheme
from weir.store import Transaction
from weir.store import schema as s
from weir.store.listed import AnyRow

_scheme = s.scheme.c


@dataclass(frozen=True, slots=True)
class StoredScheme:
    """One version of a scheme."""

    scheme: Scheme
    version: int
    text: str
    digest: str
    applied_ms: int
    applied_by: str
    act: str

    @property
    def id(self) -> str:
        return self.scheme.scheme

    def edition(self, day: date) -> Edition | None:
        """The rules for claims of that day."""
        return edition_on(self.scheme, day)


def schemes_in_force(connection: Connection) -> tuple[StoredScheme, ...]:
    """The newest version of every scheme, by id."""
    newest = select(_scheme.id, func.max(_scheme.version).label("version")).group_by(_scheme.id).subquery()
    same = (_scheme.id == newest.c.id) & (_scheme.version == newest.c.version)
    rows = connection.execute(select(s.scheme).join(newest, same).order_by(_scheme.id))
    return tuple(_stored(row) for row in rows)


def scheme_in_force(connection: Connection, scheme: str) -> StoredScheme:
    """The newest version of a scheme. Raises ProblemError (404)."""
    query = select(s.scheme).where(_scheme.id == scheme).order_by(_scheme.version.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise not_found("scheme", scheme)
    return _stored(row)


def scheme_version(connection: Connection, scheme: str, version: int) -> StoredScheme:
    """One version of a scheme. Raises ProblemError (404)."""
    query = select(s.scheme).where(_scheme.id == scheme, _scheme.version == version)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise not_found("version of a scheme", f"{scheme} {version}")
    return _stored(row)


def versions_of(connection: Connection, scheme: str) -> tuple[StoredScheme, ...]:
    """Every version of a scheme, oldest first."""
    query = select(s.scheme).where(_scheme.id == scheme).order_by(_scheme.version)
    return tuple(_stored(row) for row in connection.execute(query))


def first_changed_day(before: Scheme | None, after: Scheme, today: date) -> date | None:
    """The first day whose rules differ, where it lies before today: then the change reaches back. Else None.

    A scheme that is new reaches back to nothing, because nobody has claimed under it.
    """
    if before is None or before.editions == after.editions:
        return None
    edges = {edition.begins for scheme in (before, after) for edition in scheme.editions}
    for scheme in (before, after):
        for edition in scheme.editions:
            if edition.ends is not None:
                edges.add(date.fromordinal(edition.ends.toordinal() + 1))
    for day in sorted(edges):
        if day < today and _rules(before, day) != _rules(after, day):
            return day
    return None


def add_version(
    tx: Transaction, text: str, source: str, actor: Actor, now_ms: int, *, act: str = ""
) -> StoredScheme:
    """Keep a new version of a scheme. The same text once more is no new version.

    Raises ProblemError for a text that is no scheme, and where rules of past days would change without an act.
    """
    scheme = read_scheme(text, source)
    before = versions_of(tx.connection, scheme.scheme)
    if before and before[-1].text == text:
        return before[-1]
    day = first_changed_day(before[-1].scheme if before else None, scheme, day_of(now_ms))
    if day is not None and not act:
        raise conflict(
            f"{scheme.scheme}: this changes the rules of {day} and later, which have been applied; "
            "look at the dry run, and apply it by an act (--act) with the digest that the dry run shows"
        )
    version = before[-1].version + 1 if before else 1
    row = {
        "id": scheme.scheme,
        "version": version,
        "body": text,
        "digest": scheme_digest(text),
        "applied_ms": now_ms,
        "applied_by": actor.label,
        "act": act,
    }
    tx.connection.execute(insert(s.scheme), row)
    detail = {"version": version, "digest": row["digest"], "act": act}
    record(tx, actor, "scheme.apply", scheme.scheme, detail, now_ms)
    return scheme_in_force(tx.connection, scheme.scheme)


def _rules(scheme: Scheme, day: date) -> object:
    """What matters on a day; that an edition begins or ends elsewhere changes nothing of it."""
    edition = edition_on(scheme, day)
    if edition is None:
        return None
    return {
        name: getattr(edition, name)
        for name in Edition.__dataclass_fields__
        if name not in ("begins", "ends", "assumed")
    }


def _stored(row: AnyRow) -> StoredScheme:
    return StoredScheme(
        scheme_of(row.body), row.version, row.body, row.digest, row.applied_ms, row.applied_by, row.act
    )


__all__ = [
    "StoredScheme",
    "add_version",
    "first_changed_day",
    "scheme_in_force",
    "scheme_version",
    "schemes_in_force",
    "versions_of",
]
