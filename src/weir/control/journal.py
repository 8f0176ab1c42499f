"""The journal of cycles: what each was told and what came of it, kept so that it can be run again and explained.

A cycle's row is written in the transaction that makes its plan true, so that none is missing. Cycles follow from those
before them: the journal begins with one that began from nothing, after each start of the scheduler, and after many
cycles all that the scheduler knows is written down as a new base, by itself and later. The change log would not do:
it says which jobs changed, and not what they and the pools were then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, delete, func, insert, select

from weir import __version__
from weir.model.problem import Problem, ProblemError
from weir.scheduling import State, code_version
from weir.scheduling.base import Base, base_of
from weir.scheduling.inputs import Changes
from weir.scheduling.kept import KeptCycle, Promises
from weir.scheduling.packed import packed, unpacked
from weir.scheduling.plan import Plan
from weir.scheduling.rerun import copied
from weir.store import Transaction, schema
from weir.units import format_time

KEPT_MS = 7 * 86_400_000
"""For so long a cycle can be explained."""
BASE_CYCLES, BASE_WEIGHT = 500, 20_000
"""A new base is due after so many cycles, or so many jobs told of in them; with a deep queue, half as many as wait."""

_kept = schema.kept_cycle.c
_base = schema.cycle_base.c


class AskedCycle(NamedTuple):
    """Which cycle is asked for: the last that rests on no later position, or that was not made later."""

    through: int | None = None
    at_ms: int | None = None


class Entry(NamedTuple):
    """A row of the journal."""

    through: int
    at_ms: int
    whole: bool
    body: bytes


@dataclass(frozen=True, slots=True)
class DueBase:
    """A copy of what the scheduler knew after a cycle, still to be written down."""

    through: int
    state: State


class Journal:
    """What the scheduler's next entry follows from. Its methods are called in turn, from one thread."""

    def __init__(self) -> None:
        self._promises = Promises()
        self._cycles = self._weight = 0

    def enter(
        self, changes: Changes, plan: Plan, through: int, state: State, now_ms: int, *, whole: bool
    ) -> Entry:
        """The entry of a cycle that has just been planned; `state` is the one after it.

        whole: it began from nothing. The next one follows from this one.
        """
        if whole:
            self._promises = Promises()
            self._cycles = self._weight = 0
        self._cycles += 1
        self._weight += len(plan.starts) + len(changes.freed) + len(changes.running)
        self._weight += len(changes.unqueued) + sum(len(batch.job) for batch in changes.queued)
        if whole:
            self._weight = 0
        return Entry(through, now_ms, whole, packed(self._promises.of(state, changes, plan, now_ms)))

    def due(self, through: int, state: State) -> DueBase | None:
        """A base to be written down with `keep`, where it is time for one, after the cycle just entered."""
        if self._cycles < BASE_CYCLES and self._weight < max(BASE_WEIGHT, state.queued // 2):
            return None
        self._cycles = self._weight = 0
        return DueBase(through, copied(state))


def write(tx: Transaction, entry: Entry) -> None:
    """Keep a cycle, in the transaction that makes its plan true."""
    tx.connection.execute(
        insert(schema.kept_cycle).values(
            through=entry.through,
            at_ms=entry.at_ms,
            code=code_version(),
            version=__version__,
            whole=entry.whole,
            body=entry.body,
        )
    )


def base_body(due: DueBase) -> bytes:
    """What `keep` writes; takes as long as it takes, outside of transactions."""
    return packed(base_of(due.state))


def keep(tx: Transaction, through: int, body: bytes) -> None:
    """Write a base down."""
    tx.connection.execute(insert(schema.cycle_base).values(through=through, body=body))


def find(connection: Connection, asked: AskedCycle) -> tuple[int, int]:
    """The position that the cycle asked for rests on, and its time.

    Raises ProblemError: 404 where none was so early, or it is kept no longer; 409 where another version made it.
    """
    chosen = select(_kept.through, _kept.at_ms, _kept.code, _kept.version)
    if asked.through is not None:
        chosen = chosen.where(_kept.through <= asked.through).order_by(_kept.through.desc())
    else:
        chosen = chosen.where(_kept.at_ms <= asked.at_ms).order_by(_kept.at_ms.desc(), _kept.through.desc())
    row = connection.execute(chosen.limit(1)).one_or_none()
    if row is None:
        raise _not_kept(connection)
    if row.code != code_version():
        title = (
            f"the cycle of {format_time(row.at_ms)} was made by version {row.version} (code {row.code[:12]}); this is "
            f"{__version__} (code {code_version()[:12]}), which may decide otherwise and cannot explain it"
        )
        raise ProblemError(Problem("other-version", 409, title))
    return row.through, row.at_ms


def recorded(connection: Connection, through: int) -> tuple[bytes | None, Sequence[bytes]]:
    """What a cycle can be run again from: the base that it follows from, if any, and the cycles since, it the last.

    Raises ProblemError (404) where it is kept no longer.
    """
    begin = _begin(connection, through)
    if begin is None:
        raise _not_kept(connection)
    bodies = connection.execute(
        select(_kept.body)
        .where(_kept.through > begin.after, _kept.through <= through)
        .order_by(_kept.through)
    )
    return begin.base and bytes(begin.base), [bytes(body) for body in bodies.scalars()]


def read(record: tuple[bytes | None, Sequence[bytes]]) -> tuple[Base | None, tuple[KeptCycle, ...]]:
    """The same in the core's own form; takes as long as it takes, outside of transactions."""
    base, bodies = record
    return None if base is None else unpacked(base), tuple(map(unpacked, bodies))


def forget(tx: Transaction, before_ms: int, most: int) -> bool:
    """Drop up to so many cycles that are older and that no younger or coming one follows from.

    Whether there may be more.
    """
    young = tx.connection.execute(select(func.min(_kept.through)).where(_kept.at_ms >= before_ms)).scalar()
    if young is None:
        young = (tx.connection.execute(select(func.max(_kept.through))).scalar() or 0) + 1
    begin = _begin(tx.connection, young)
    if begin is None:
        return False
    some = select(_kept.through).where(_kept.through <= begin.after).order_by(_kept.through).limit(most)
    old = tx.connection.execute(some).scalars().all()
    if not old:
        return False
    tx.connection.execute(delete(schema.kept_cycle).where(_kept.through <= old[-1]))
    of_base = begin.after if begin.base is not None else begin.after + 1
    tx.connection.execute(delete(schema.cycle_base).where(_base.through <= old[-1], _base.through < of_base))
    return len(old) == most


class _Begin(NamedTuple):
    """What a cycle can be run again from: the cycles behind a position, and a base unless they began from nothing."""

    after: int
    base: bytes | None


def _begin(connection: Connection, through: int) -> _Begin | None:
    whole = connection.execute(
        select(func.max(_kept.through)).where(_kept.through <= through, _kept.whole)
    ).scalar()
    base = connection.execute(
        select(_base.through, _base.body)
        .where(_base.through < through, _base.through >= (whole or 0))
        .order_by(_base.through.desc())
        .limit(1)
    ).one_or_none()
    if base is not None:
        return _Begin(base.through, base.body)
    return None if whole is None else _Begin(whole - 1, None)


def _not_kept(connection: Connection) -> ProblemError:
    oldest = connection.execute(
        select(_kept.through, _kept.at_ms).order_by(_kept.through).limit(1)
    ).one_or_none()
    since = "none has been made yet"
    if oldest is not None:
        since = f"the first that is kept is of {format_time(oldest.at_ms)}, through {oldest.through}"
    days = KEPT_MS // 86_400_000
    return ProblemError(
        Problem("no-cycle", 404, f"no cycle is kept from then: {since}, and cycles are kept for {days} days")
    )


__all__ = [
    "KEPT_MS",
    "AskedCycle",
    "DueBase",
    "Entry",
    "Journal",
    "base_body",
    "find",
    "forget",
    "keep",
    "read",
    "recorded",
    "write",
]
