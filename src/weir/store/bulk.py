"""Many rows at once: a statement is compiled once, and its rows go to the driver as tuples.

SQLAlchemy looks at every parameter of every row, which takes several times as long as storing it.
"""

import functools
import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.sql.dml import UpdateBase

FEW = 8
"""Fewer rows than this go the usual way."""


def run_many(
    connection: Connection, statement: UpdateBase, names: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Execute an insert or update once for each of the rows, whose values are of these columns or bound names.

    Values are plain ones that the driver knows; no type of SQLAlchemy converts them.
    """
    if not rows:
        return
    if len(rows) < FEW:
        connection.execute(statement, [dict(zip(names, row, strict=True)) for row in rows])
        return
    text, places, constants = _compiled(statement, connection.dialect, names)
    if constants:
        rows = [(*row, *constants) for row in rows]
    if places != tuple(range(len(names))):
        rows = list(map(itemgetter(*places), rows))
    connection.exec_driver_sql(text, rows)


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


__all__ = ["run_many", "uncollected"]
