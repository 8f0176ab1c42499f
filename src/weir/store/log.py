"""The change log's rows: reading on from a position, and cutting off what nobody needs."""

import itertools
import json

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from weir.model.change import Change, ChangeKind
from weir.store import schema
from weir.store.problems import LogCutError

CHANGE_FLOOR = "change_floor"

_change = schema.change.c
_AFTER = (
    select(_change.position, _change.at_ms, _change.kind, _change.organisation, _change.body)
    .where(_change.position > bindparam("after"))
    .order_by(_change.position)
    .limit(bindparam("most"))
)
_AGES = (
    select(_change.position, _change.at_ms)
    .where(_change.position >= bindparam("from"))
    .order_by(_change.position)
    .limit(bindparam("most"))
)
_FLOOR = select(schema.meta.c.value).where(schema.meta.c.key == CHANGE_FLOOR)
_LAST = select(func.max(_change.position))


def changes(connection: Connection, after: int, limit: int) -> list[Change]:
    """The first `limit` changes above `after`, in order. Raises LogCutError when some were cut off."""
    lowest = floor(connection)
    if after < lowest - 1:
        raise LogCutError(after, lowest)
    return [
        Change(position, at_ms, ChangeKind(kind), json.loads(body), organisation)
        for position, at_ms, kind, organisation, body in connection.execute(
            _AFTER, {"after": after, "most": limit}
        )
    ]


def floor(connection: Connection) -> int:
    """The lowest position still kept; 1 as long as nothing has been cut."""
    return int(connection.execute(_FLOOR).scalar() or 1)


def last_position(connection: Connection) -> int:
    """The position of the last change ever committed, even if it has been cut off."""
    last = connection.execute(_LAST).scalar()
    return floor(connection) - 1 if last is None else int(last)


def position_before(connection: Connection, before_ms: int, most: int) -> int:
    """The position below which all changes are older than that, at most `most` of them, for `cut`.

    It goes by the order of the log: nothing behind the first change that is younger is taken for old.
    """
    lowest = floor(connection)
    rows = connection.execute(_AGES, {"from": lowest, "most": most}).all()
    old = list(itertools.takewhile(lambda row: row.at_ms < before_ms, rows))
    return old[-1].position + 1 if old else lowest


def cut(connection: Connection, before_position: int) -> None:
    """Drop the changes below that position, at most all there are."""
    new_floor = min(before_position, last_position(connection) + 1)
    if new_floor <= floor(connection):
        return
    connection.execute(delete(schema.change).where(_change.position < new_floor))
    moved = connection.execute(
        update(schema.meta).where(schema.meta.c.key == CHANGE_FLOOR).values(value=str(new_floor))
    )
    if moved.rowcount == 0:
        connection.execute(insert(schema.meta).values(key=CHANGE_FLOOR, value=str(new_floor)))


__all__ = ["CHANGE_FLOOR", "changes", "cut", "floor", "last_position", "position_before"]
