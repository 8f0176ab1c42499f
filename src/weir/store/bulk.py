"""Many rows at once, past what takes longer than storing them.

SQLAlchemy looks at every parameter of every row: on SQLite a statement is compiled once, and its rows go to the driver
as tuples. On PostgreSQL each row would be a question and an answer: there all rows go as one JSON list.
"""

import functools
import gc
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    JSON,
    BindParameter,
    ColumnClause,
    Connection,
    Insert,
    Select,
    TableValuedAlias,
    Text,
    bindparam,
    cast,
    column,
    func,
    insert,
    select,
)
from sqlalchemy.sql import visitors
from sqlalchemy.sql.dml import UpdateBase

_UNBUFFERED: Mapping[str, Any] = {"yield_per": None, "stream_results": False}
"""Nothing stands between the driver's rows and whoever asks, whatever the connection has been told."""
FEW = 8
"""Fewer rows than this go the usual way."""

made = tuple.__new__
"""Of a class of named tuples and its values in order: what calling the class does, but for a Python function between,
which takes longer than the rest of it."""


def run_many(
    connection: Connection, statement: UpdateBase, names: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
) -> int:
    """Execute an insert or update once for each of the rows, whose values are of these columns or bound names.

    How many rows of the database were changed. Values are plain ones that the driver knows; no type of SQLAlchemy
    converts them.
    """
    if not rows:
        return 0
    if len(rows) < FEW:
        return sum(connection.execute(statement, dict(zip(names, row, strict=True))).rowcount for row in rows)
    if connection.dialect.name == "postgresql":
        listed = json.dumps([dict(zip(names, row, strict=True)) for row in rows], separators=(",", ":"))
        return connection.execute(_as_set(statement, connection.dialect, names), {"rows": listed}).rowcount
    text, places, constants = _compiled(statement, connection.dialect, names)
    if constants:
        rows = [(*row, *constants) for row in rows]
    if places != tuple(range(len(names))):
        rows = list(map(itemgetter(*places), rows))
    return connection.exec_driver_sql(text, rows).rowcount


def plain_rows(
    connection: Connection, statement: Select[Any], parameters: Mapping[str, Any]
) -> list[tuple[Any, ...]]:
    """All rows of a query as the driver gives them: plain tuples whose values no type of SQLAlchemy has converted.

    So a truth value is 0 or 1 on SQLite.
    """
    result = connection.execute(statement, parameters, execution_options=_UNBUFFERED)
    cursor = result.cursor
    assert cursor is not None, "a query has rows"
    found: list[tuple[Any, ...]] = list(cursor.fetchall())
    result.close()
    return found


@functools.lru_cache(maxsize=256)
def _as_set(statement: UpdateBase, dialect: Any, names: tuple[str, ...]) -> Any:
    """The same for all rows of a JSON list, which is bound to `rows`."""
    if isinstance(statement, Insert):
        row = _listed([column(name, statement.table.c[name].type) for name in names])
        return insert(statement.table).from_select(list(names), select(row))
    bound = statement.compile(dialect=dialect, column_keys=list(names)).binds
    row = _listed([column(name, bound[name].type) for name in names])

    def replaced(element: Any, **_: Any) -> Any:
        known = isinstance(element, BindParameter) and element.key in row.c
        return row.c[element.key] if known else None

    return visitors.replacement_traverse(statement, {}, replaced)


def _listed(columns: Sequence[ColumnClause[Any]]) -> TableValuedAlias:
    listed = cast(bindparam("rows", type_=Text), JSON)
    return func.json_to_recordset(listed).table_valued(*columns).render_derived("listed", with_types=True)


@contextmanager
def uncollected() -> Iterator[None]:
    """Python's cycle collector pauses within, whose objects form no cycles and are freed by their counts alone.

    It would look at thousands of rows again and again while they are made, which takes as long as making them.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@functools.lru_cache(maxsize=256)
def _compiled(
    statement: UpdateBase, dialect: Any, names: tuple[str, ...]
) -> tuple[str, tuple[int, ...], tuple[Any, ...]]:
    """The statement's text, from which place of a row and the constants behind it each parameter comes, and these."""
    compiled = statement.compile(dialect=dialect, column_keys=list(names))
    positions = compiled.positiontup
    assert positions is not None, "the drivers of both databases take parameters by position"
    more = [name for name in dict.fromkeys(positions) if name not in names]
    known = [*names, *more]
    places = tuple(known.index(name) for name in positions)
    return str(compiled), places, tuple(compiled.params[name] for name in more)


__all__ = ["FEW", "made", "plain_rows", "run_many", "uncollected"]
