"""How long work is expected to wait in the queue of a shared pool: by its engine's word, else by what was seen."""

from statistics import median_low
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, func, select

from weir.model.agent import ForeignWork, PoolObservation
from weir.store import schema

ENGINE, HISTORY = "engine", "history"
REMEMBERED = 32
"""So many of Weir's last starts in a pool say how long it lets wait."""
LOOKED_AT = 20_000
"""They are looked for among so many of the newest jobs."""
LEAST_WAIT_MS = 15_000
"""What an engine takes to start what it has room for: less than this counts as no wait."""
COARSE = 4
"""An estimate is told in steps of such a part of itself, a quarter or less, so that not each report changes it."""
FINE = 16
LEAST_STEP_MS = 60_000
LATEST_MS = 2**52
SPARE_STEP_MILLI = 125
"""What others leave of a node counts in eighths."""

_attempt = schema.attempt.c
_LAST_STARTS = (
    select(_attempt.placed_ms, _attempt.started_ms)
    .where(
        _attempt.centre == bindparam("centre"),
        _attempt.pool == bindparam("pool"),
        _attempt.started_ms.is_not(None),
        _attempt.job > select(func.max(schema.job.c.number)).scalar_subquery() - LOOKED_AT,
    )
    .order_by(_attempt.job.desc(), _attempt.epoch.desc())
    .limit(REMEMBERED)
)


class ExpectedWait(NamedTuple):
    """How long, and whose word that is; None and nobody's where nothing is known."""

    wait_ms: int | None
    said_by: str


def expected_wait(connection: Connection, centre: str, seen: PoolObservation) -> ExpectedWait:
    """How long new work is expected to wait in the pool, in coarse steps.

    Where the engine gives no estimate: not at all while nobody else is there, else the median of the last
    waits that Weir's own work had there.
    """
    if seen.expected_wait_ms is not None:
        return ExpectedWait(coarse(seen.expected_wait_ms), ENGINE)
    if not seen.foreign and not seen.queued_foreign:
        return ExpectedWait(None, "")
    rows = connection.execute(_LAST_STARTS, {"centre": centre, "pool": seen.pool}).all()
    if not rows:
        return ExpectedWait(None, "")
    return ExpectedWait(coarse(median_low(row.started_ms - row.placed_ms for row in rows)), HISTORY)


def coarse(wait_ms: int) -> int:
    """A wait in steps of at most a quarter of itself, rounded up; 0 for one that an engine always takes.

    It is an agent's word: whatever that says, what is stored can be reckoned with.
    """
    wait_ms = min(wait_ms, LATEST_MS)
    if wait_ms < LEAST_WAIT_MS:
        return 0
    return _stepped(wait_ms, COARSE, LEAST_WAIT_MS)


def coarse_foreign(seen: PoolObservation) -> tuple[ForeignWork, ...]:
    """Others' work with its ends in steps of about a sixteenth of the time left, by the order of their ends."""
    ends: dict[int, tuple[int, int]] = {}
    for block in seen.foreign:
        left_ms = min(block.until_ms, LATEST_MS) - seen.read_ms
        step_ms = _step(max(0, left_ms), FINE, LEAST_STEP_MS)
        until_ms = -(-min(block.until_ms, LATEST_MS) // step_ms) * step_ms
        nodes, spare_milli = ends.get(until_ms, (0, 0))
        spare_milli = max(spare_milli, min(block.spare_milli, 999) // SPARE_STEP_MILLI * SPARE_STEP_MILLI)
        ends[until_ms] = nodes + max(0, block.nodes), spare_milli
    return tuple(
        ForeignWork(nodes, until_ms, spare_milli)
        for until_ms, (nodes, spare_milli) in sorted(ends.items())
        if nodes
    )


def _stepped(value: int, parts: int, least: int) -> int:
    step = _step(value, parts, least)
    return -(-value // step) * step


def _step(value: int, parts: int, least: int) -> int:
    """`least` doubled as often as it still is no more than such a part of the value."""
    times = value // (parts * least)
    return least << (times.bit_length() - 1) if times else least


__all__ = ["ENGINE", "HISTORY", "ExpectedWait", "coarse", "coarse_foreign", "expected_wait"]
