"""Facts about organisations in the store: append-only, withdrawn rather than changed."""

import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, or_, select, update

from weir.access.actor import Actor
from weir.access.audit import record
from weir.model.fact import Fact, FactRowView, FactsView, FactView
from weir.registry.fact_catalogue import FactKind, fact_catalogue
from weir.store import Transaction
from weir.store import schema as s

Query = Select[Any]
CHUNK = 500
"""Organisations that are read together: databases bound how many values one statement may have."""


@dataclass(frozen=True, slots=True)
class StatedFact:
    """A row of an import that is well formed: withdraw the fact, or state it."""

    line: int
    organisation: str
    fact: Fact
    withdraw: bool = False


def facts_of(connection: Connection, organisation: str, *, known_ms: int | None = None) -> tuple[Fact, ...]:
    """What is held about an organisation, by name and first day; with `known_ms` as it was known then."""
    facts = s.organisation_fact
    query = select(s.organisation_fact).where(facts.c.organisation == organisation).order_by(*_ORDER)
    return tuple(_fact(row) for row in connection.execute(_known(query, known_ms)))


def all_facts(connection: Connection) -> Iterator[tuple[str, tuple[Fact, ...]]]:
    """What is held about every organisation that anything is held about, in order of its code."""
    facts = s.organisation_fact
    columns = (facts.c.organisation, facts.c.name, facts.c.value, facts.c.valid_from)
    query = _known(select(*columns, facts.c.valid_through, facts.c.evidence), None)
    query = query.order_by(facts.c.organisation, *_ORDER)
    rows = connection.execute(query, execution_options={"yield_per": 10_000})
    for organisation, group in itertools.groupby(rows, key=lambda row: row.organisation):
        yield organisation, tuple(_fact(row) for row in group)


def facts_view(connection: Connection, organisation: str) -> FactsView:
    """What is held about an organisation, with who stated it and when."""
    facts = s.organisation_fact
    query = _known(select(facts), None).where(facts.c.organisation == organisation).order_by(*_ORDER)
    return FactsView(
        organisation,
        tuple(
            FactView(
                row.name,
                row.value,
                row.valid_from,
                row.valid_through or "",
                row.evidence,
                row.recorded_ms,
                row.recorded_by,
            )
            for row in connection.execute(query)
        ),
    )


def compare_facts(
    connection: Connection, stated: Sequence[StatedFact], catalogue: Mapping[str, FactKind] | None = None
) -> tuple[FactRowView, ...]:
    """What stating these would change, row by row; a row contradicting another of the same list is refused."""
    return tuple(step.view for step in _steps(connection, stated, catalogue or fact_catalogue()))


def state_facts(
    tx: Transaction,
    stated: Sequence[StatedFact],
    actor: Actor,
    now_ms: int,
    *,
    source: str = "",
    catalogue: Mapping[str, FactKind] | None = None,
) -> tuple[FactRowView, ...]:
    """State them, and say what that changed, row by row. Where any row is refused, none is stated.

    What is corrected or withdrawn stays in the table with the time and the person, so that earlier decisions
    can be checked again.
    """
    steps = list(_steps(tx.connection, stated, catalogue or fact_catalogue()))
    views = tuple(step.view for step in steps)
    if any(view.outcome == "refused" for view in views):
        return views
    facts = s.organisation_fact
    gone = [step.replaces for step in steps if step.replaces]
    for start in range(0, len(gone), CHUNK):
        tx.connection.execute(
            update(facts)
            .where(facts.c.id.in_(gone[start : start + CHUNK]))
            .values(withdrawn_ms=now_ms, withdrawn_by=actor.label)
        )
    rows = [
        {
            "organisation": step.stated.organisation,
            "name": step.stated.fact.name,
            "value": step.stated.fact.value,
            "valid_from": step.stated.fact.valid_from.isoformat(),
            "valid_through": _text(step.stated.fact.valid_through),
            "evidence": step.stated.fact.evidence,
            "recorded_ms": now_ms,
            "recorded_by": actor.label,
        }
        for step in steps
        if step.view.outcome in ("added", "corrected")
    ]
    if rows:
        tx.connection.execute(insert(facts), rows)
    if rows or gone:
        counts = {"rows": len(views), "stated": len(rows), "withdrawn": len(gone), "source": source}
        record(tx, actor, "facts.import", source or "facts", counts, now_ms)
    return views


@dataclass(frozen=True, slots=True)
class _Step:
    stated: StatedFact
    view: FactRowView
    replaces: int = 0


_Key = tuple[str, str, str, str]
"""Organisation, name, first day and, where a fact may have many values, the value."""

_ORDER = (
    s.organisation_fact.c.name,
    s.organisation_fact.c.valid_from,
    s.organisation_fact.c.value,
    s.organisation_fact.c.id,
)


def _steps(
    connection: Connection, stated: Sequence[StatedFact], catalogue: Mapping[str, FactKind]
) -> Iterator[_Step]:
    held: dict[_Key, tuple[int, Fact]] = {}
    for organisation, number, fact in _held(connection, {one.organisation for one in stated}):
        held[_key(organisation, fact, catalogue)] = (number, fact)
    lines: dict[_Key, int] = {}
    for one in stated:
        key = _key(one.organisation, one.fact, catalogue)
        number, before = held.get(key, (0, None))
        if key in lines:
            yield _step(one, "refused", f"line {lines[key]} is about the same from the same day; keep one")
            continue
        lines[key] = one.line
        if one.withdraw:
            if before is None or before.value != one.fact.value:
                yield _step(one, "refused", "no such fact is held, so that there is nothing to withdraw")
            else:
                yield _step(one, "withdrawn", "", number)
        elif before == one.fact:
            yield _step(one, "unchanged", "")
        elif before is None:
            yield _step(one, "added", "")
        else:
            yield _step(one, "corrected", _difference(before, one.fact), number)


def _step(one: StatedFact, outcome: str, why: str, replaces: int = 0) -> _Step:
    view = FactRowView(one.line, one.organisation, one.fact.name, one.fact.value, outcome, why)
    return _Step(one, view, replaces)


def _difference(before: Fact, after: Fact) -> str:
    words = []
    if before.value != after.value:
        words.append(f"value {before.value} → {after.value}")
    if before.valid_through != after.valid_through:
        words.append(f"through {before.valid_through or 'no end'} → {after.valid_through or 'no end'}")
    if before.evidence != after.evidence:
        words.append(f"evidence {before.evidence!r} → {after.evidence!r}")
    return ", ".join(words)


def _held(connection: Connection, organisations: Iterable[str]) -> Iterator[tuple[str, int, Fact]]:
    facts = s.organisation_fact
    names = sorted(organisations)
    for start in range(0, len(names), CHUNK):
        query = _known(select(facts), None).where(facts.c.organisation.in_(names[start : start + CHUNK]))
        for row in connection.execute(query):
            yield row.organisation, row.id, _fact(row)


def _key(organisation: str, fact: Fact, catalogue: Mapping[str, FactKind]) -> _Key:
    kind = catalogue.get(fact.name)
    value = fact.value if kind is not None and kind.many else ""
    return organisation, fact.name, fact.valid_from.isoformat(), value


def _known(query: Query, known_ms: int | None) -> Query:
    """Only what is held now, or was held at that time."""
    facts = s.organisation_fact.c
    if known_ms is None:
        return query.where(facts.withdrawn_ms.is_(None))
    not_yet_withdrawn = or_(facts.withdrawn_ms.is_(None), facts.withdrawn_ms > known_ms)
    return query.where(facts.recorded_ms <= known_ms, not_yet_withdrawn)


def _fact(row: Row[Any]) -> Fact:
    through = None if row.valid_through is None else _day(row.valid_through)
    return Fact(row.name, row.value, _day(row.valid_from), through, row.evidence)


# Many facts share few days.
_day = functools.lru_cache(maxsize=1 << 14)(date.fromisoformat)


def _text(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


__all__ = [
    "StatedFact",
    "all_facts",
    "compare_facts",
    "facts_of",
    "facts_view",
    "state_facts",
]
