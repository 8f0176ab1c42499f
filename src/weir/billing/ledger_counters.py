"""Counters: how much of a limit is held and spent. Changed by conditional updates, always in one order."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, case, collate, func, insert, select, update

from weir.model.problem import FieldProblem, Problem, ProblemError
from weir.store import Transaction, schema
from weir.store.bulk import FEW, run_many
from weir.store.listed import among_texts, text_list
from weir.units import format_yuan

RANKS = ("pool", "cap", "budget", "share")
"""The first part of a counter's key, in the order in which counters are changed: a scheme's pool, a holder's cap, a
budget, a member's sub-limit. One order for all is what keeps two writers from waiting for each other."""

_counter = schema.ledger_counter.c
_SOME = select(schema.ledger_counter).where(among_texts(_counter.key, "keys"))
_MOVE = (
    update(schema.ledger_counter)
    .where(
        _counter.key == bindparam("of_key"),
        _counter.held_micro_yuan + bindparam("held") >= 0,
        _counter.spent_micro_yuan + bindparam("spent") >= 0,
        _counter.held_micro_yuan + _counter.spent_micro_yuan + bindparam("more") <= _counter.limit_micro_yuan,
    )
    .values(
        held_micro_yuan=_counter.held_micro_yuan + bindparam("held"),
        spent_micro_yuan=_counter.spent_micro_yuan + bindparam("spent"),
    )
)
_MOVED = ("of_key", "held", "spent", "more")
_LOCK = (
    select(_counter.key)
    .where(among_texts(_counter.key, "keys"))
    .order_by(
        case({rank: place for place, rank in enumerate(RANKS)}, value=func.split_part(_counter.key, "/", 1)),
        collate(_counter.key, "C"),
    )
    .with_for_update()
)
_SET_LIMIT = (
    update(schema.ledger_counter)
    .where(
        _counter.key == bindparam("of_key"),
        _counter.held_micro_yuan + _counter.spent_micro_yuan <= bindparam("limit"),
    )
    .values(limit_micro_yuan=bindparam("limit"))
)


@dataclass(frozen=True, slots=True)
class Counter:
    """A limit and what counts against it, in micro-yuan."""

    key: str
    limit: int
    held: int
    spent: int

    @property
    def available(self) -> int:
        return self.limit - self.held - self.spent


class Change(NamedTuple):
    """How much a counter's two sides move."""

    held: int
    spent: int


@dataclass(frozen=True, slots=True)
class Shortage:
    """A counter that has too little left, and by how much, in micro-yuan."""

    key: str
    short: int
    available: int


class OverLimitError(ProblemError):
    """A limit would be exceeded; nothing has been changed."""

    def __init__(self, shortage: Shortage) -> None:
        self.shortage = shortage
        asked = format_yuan(shortage.available + shortage.short)
        said = f"at most {format_yuan(max(0, shortage.available))} are available, {format_yuan(shortage.short)} less"
        title = f"{shortage.key}: {asked} is not accepted; {said}"
        super().__init__(Problem("money", 422, title, (FieldProblem(shortage.key, asked, said),)))


class LimitTooLowError(ProblemError):
    """More than a new limit is held or spent already; nothing has been changed."""

    def __init__(self, key: str, limit: int, used: int) -> None:
        asked, said = format_yuan(limit), f"{format_yuan(used)} are spent or held already; give at least that"
        title = f"the limit of {key}: {asked} is not accepted; {said}"
        super().__init__(Problem("money", 422, title, (FieldProblem("limit", asked, said),)))


def open_counter(tx: Transaction, key: str, limit: int) -> None:
    """Begin a counter with nothing held or spent; one that is there already stays as it is.

    Raises ValueError for a key of no rank or a negative limit.
    """
    rank_of(key)
    if limit < 0:
        raise ValueError(f"{key}: a limit is at least 0")
    if not counters(tx.connection, [key]):
        row = {"key": key, "limit_micro_yuan": limit, "held_micro_yuan": 0, "spent_micro_yuan": 0}
        tx.connection.execute(insert(schema.ledger_counter), row)


def set_limit(tx: Transaction, key: str, limit: int) -> None:
    """Give a counter another limit. Raises LimitTooLowError where more than that is held or spent already."""
    if tx.connection.execute(_SET_LIMIT, {"of_key": key, "limit": limit}).rowcount != 1:
        found = counters(tx.connection, [key])
        if key not in found:
            raise ValueError(f"there is no counter {key}")
        used = found[key].held + found[key].spent
        raise LimitTooLowError(key, limit, used)


def counters(connection: Connection, keys: Collection[str]) -> dict[str, Counter]:
    """The counters of these keys as they stand; one that was never opened is left out."""
    rows = connection.execute(_SOME, {"keys": text_list(keys)})
    return {row.key: Counter(*row) for row in rows}


def all_counters(connection: Connection) -> dict[str, Counter]:
    """Every counter."""
    return {row.key: Counter(*row) for row in connection.execute(select(schema.ledger_counter))}


def shortage(connection: Connection, changes: Mapping[str, Change]) -> Shortage | None:
    """The first counter, in the order of ranks, that these changes would overdraw; None where all would pass."""
    found = counters(connection, changes)
    for key in in_order(changes):
        more = changes[key].held + changes[key].spent
        available = found[key].available if key in found else 0
        if more > available and more > 0:
            return Shortage(key, more - available, available)
    return None


def change_counters(tx: Transaction, changes: Mapping[str, Change]) -> None:
    """Move the counters, in the order of ranks. Raises OverLimitError at the first that would exceed its limit.

    Raises ArithmeticError where one would go below zero, which no chain of holds, charges and releases can do.
    Either leaves the transaction unfit to be committed.
    """
    moving = [key for key in in_order(changes) if changes[key] != Change(0, 0)]
    rows = [(key, *changes[key], sum(changes[key])) for key in moving]
    if len(rows) >= FEW:
        _change_many(tx, changes, rows)
        return
    for row in rows:
        if run_many(tx.connection, _MOVE, _MOVED, [row]) != 1:
            short = shortage(tx.connection, {row[0]: changes[row[0]]})
            if short:
                raise OverLimitError(short)
            raise ArithmeticError(
                f"{row[0]} cannot move by {changes[row[0]]}: {counters(tx.connection, row[:1])}"
            )


def _change_many(
    tx: Transaction, changes: Mapping[str, Change], rows: Sequence[tuple[str, int, int, int]]
) -> None:
    """All in one statement, which says nothing of the order in which it comes to them: so each is locked before."""
    if tx.connection.dialect.name == "postgresql":
        tx.connection.execute(_LOCK, {"keys": text_list(changes)})
    short = shortage(tx.connection, changes)
    if short:
        raise OverLimitError(short)
    moved = run_many(tx.connection, _MOVE, _MOVED, rows)
    if moved != len(rows):
        raise ArithmeticError(
            f"{len(rows) - moved} of {len(rows)} counters cannot move as they should: {rows}"
        )


def in_order(keys: Iterable[str]) -> list[str]:
    """The keys in the one order in which counters are changed."""
    return sorted(keys, key=lambda key: (rank_of(key), key))


def rank_of(key: str) -> int:
    """The place of a counter's kind in the order. Raises ValueError for a key of none."""
    rank, _, rest = key.partition("/")
    if rank not in RANKS or not rest:
        raise ValueError(f"{key!r} is no counter; its key begins with one of {', '.join(RANKS)} and a slash")
    return RANKS.index(rank)


__all__ = [
    "RANKS",
    "Change",
    "Counter",
    "LimitTooLowError",
    "OverLimitError",
    "Shortage",
    "all_counters",
    "change_counters",
    "counters",
    "in_order",
    "open_counter",
    "rank_of",
    "set_limit",
    "shortage",
]
