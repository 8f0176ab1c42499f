"""Many rows at once: a statement is compiled once, and its rows go to the driver as tuples.

SQLAlchemy looks at every parameter of every row, which takes several times as long as storing it.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.sql.dml import UpdateBase

FEW = 8
"""Fewer rows than this go the usual way."""


def run_many(connection: Connection, statement: UpdateBase, rows: Sequence[Mapping[str, Any]]) -> None:
    """Execute an insert or update once for each of the rows, whose keys are the same: columns or bound names.

    Values are plain ones that the driver knows; no type of SQLAlchemy converts them.
    """
    if not rows:
        return
    if len(rows) < FEW:
        connection.execute(statement, [dict(row) for row in rows])
        return
    text, names, constants = _compiled(statement, connection.dialect, tuple(rows[0]))
    tuples = [tuple([row[name] if name in row else constants[name] for name in names]) for row in rows]
    connection.exec_driver_sql(text, tuples)


@functools.lru_cache(maxsize=256)
def _compiled(
    statement: UpdateBase, dialect: Any, keys: tuple[str, ...]
) -> tuple[str, tuple[str, ...], dict[str, Any]]:
    """The statement's text, the names of its parameters in order, and the values of those that no row gives."""
    compiled = statement.compile(dialect=dialect, column_keys=list(keys))
    positions = compiled.positiontup
    assert positions is not None, "the drivers of both databases take parameters by position"
    return str(compiled), tuple(positions), dict(compiled.params)


__all__ = ["run_many"]
