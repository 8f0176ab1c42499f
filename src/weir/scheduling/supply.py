"""What pools offer over time, as the core's rows: windows, and prices and carbon that change."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from weir.scheduling.bounds import LARGEST_VALUE
from weir.scheduling.inputs import Curve, PoolRow, Prices, Window
from weir.scheduling.tables import NOTHING, Int64s, Table

MINUTE_MS = 60_000
LONGEST_CYCLE_MS = 366 * 86_400_000
"""After which the windows of a pool, together, come again."""
EARLIEST_MS, LATEST_MS = -(2**52), 2**52
_FAR = 2**62


def _row(names: str) -> np.dtype[np.void]:
    return np.dtype([(name, np.int64) for name in names.split()], align=True)


POOL_TIMES = _row("first_window end_window longest carbon")
"""A row a pool: its windows; the longest time between those that come again (2**62: there are none); its curve of mg of
CO2 an hour of one device, or -1."""
BOOK_TIMES = _row("device core")
"""Curves of the price of a device hour and of a core hour, or -1."""
WINDOW = _row("start length every")
CURVE = _row("first end every total")
"""Its steps; total: value times minutes over all of them, where they come again."""
STEP = _row("start value before")
"""before: value times minutes of the steps before it."""


class Supply(NamedTuple):
    """What kernels/supply.py reads."""

    pool: Table
    book: Table
    """[book, pool] of BOOK_TIMES, with the books of `Classes.price`."""
    window: Table
    curve: Table
    step: Table
    cycle: Int64s
    """When the last window or step comes that does not come again; and after how long all have twice come again."""


def supply_of(rows: Sequence[PoolRow]) -> Supply:
    """The pools' windows and curves; `rows` in the order of the core's pools. Raises ValueError naming the pool."""
    books = books_of(rows)
    pool = np.zeros(len(rows), POOL_TIMES)
    book = np.zeros((1 + len(books), len(rows)), BOOK_TIMES)
    windows: list[tuple[int, int, int]] = []
    curves: list[tuple[int, int, int, int]] = []
    steps: list[tuple[int, int, int]] = []

    def added(curve: Curve | None, factor: int) -> int:
        if curve is None:
            return NOTHING
        first, before = len(steps), 0
        said = curve.steps
        if curve.every_ms and said[0][0] > 0:
            said = ((0, said[-1][1]), *said)  # what held last holds at the beginning of the next turn
        times = [at for at, _ in said] + ([curve.every_ms] if curve.every_ms else [])
        for place, (at, value) in enumerate(said):
            counted = min(LARGEST_VALUE, value * factor)
            steps.append((at, counted, before))
            if place + 1 < len(times):
                before += counted * ((times[place + 1] - at) // MINUTE_MS)
        curves.append((first, len(steps), curve.every_ms, before))
        return len(curves) - 1

    for place, row in enumerate(rows):
        check_times(row)
        pool["first_window"][place] = len(windows)
        windows += [(each.from_ms, each.until_ms - each.from_ms, each.every_ms) for each in row.windows]
        pool["end_window"][place] = len(windows)
        pool["longest"][place] = longest_between(row.windows)
        for number, of in enumerate(prices_by_book(row, books)):
            book[number, place] = (added(of.device_hour_over_time, 1), added(of.core_hour_over_time, 1))
        pool["carbon"][place] = added(row.carbon_over_time, row.device_power_watts)
    once = [each.until_ms for row in rows for each in row.windows if not each.every_ms]
    again = [every for _, _, every in windows if every]
    once += [at for first, end, every, _ in curves if not every for at, _, _ in steps[first:end]]
    again += [every for _, _, every, _ in curves if every]
    cycle = np.array([max(once, default=0), 2 * max(again, default=0)], np.int64)
    return Supply(
        pool, book, np.array(windows, WINDOW), np.array(curves, CURVE), np.array(steps, STEP), cycle
    )


def changes_with_time(rows: Sequence[PoolRow]) -> bool:
    """Whether any pool has a window or a curve."""
    return any(row.windows or any(curves_of(row)) for row in rows)


def books_of(rows: Sequence[PoolRow]) -> dict[int, int]:
    """Of each version of the price book by which some pool has prices, its number; that of a pool's own is 0."""
    versions = {each.version for row in rows for each in row.books}
    return {version: number for number, version in enumerate(sorted(versions), 1)}


def prices_by_book(row: PoolRow, books: Mapping[int, int]) -> list[Prices | PoolRow]:
    """What a pool costs, by number of the book: its own prices in those that do not say."""
    found: list[Prices | PoolRow] = [row] * (1 + len(books))
    for each in row.books:
        found[books[each.version]] = each
    return found


def curves_of(row: PoolRow) -> list[Curve | None]:
    """All that a pool may have of figures that change with time."""
    found = [row.carbon_over_time, row.device_hour_over_time, row.core_hour_over_time]
    for each in row.books:
        found += (each.device_hour_over_time, each.core_hour_over_time)
    return found


def next_window(row: PoolRow, now_ms: int) -> Window | None:
    """The window of a pool that it is in, or the next one, as that one time; None where none is to come."""
    found = []
    for window in row.windows:
        begins, every = window.from_ms, window.every_ms
        length = window.until_ms - begins
        if every:
            begins += (now_ms - begins) // every * every
            begins += 0 if now_ms < begins + length else every
        if now_ms < begins + length:
            found.append(Window(begins, begins + length, 0, window.reason))
    return min(found, key=lambda each: (each.from_ms, -each.until_ms), default=None)


def longest_between(windows: Sequence[Window]) -> int:
    """The longest time between two windows of those that come again; 2**62 where none does."""
    again = [each for each in windows if each.every_ms]
    if not again:
        return _FAR
    cycle = math.lcm(*(each.every_ms for each in again))
    times = sorted(
        (each.from_ms % each.every_ms + turn, each.until_ms - each.from_ms)
        for each in again
        for turn in range(0, 2 * cycle, each.every_ms)
    )
    longest, until = 0, times[0][0]
    for start, length in times:
        longest = max(longest, start - until)
        until = max(until, start + length)
    return longest


def check_times(row: PoolRow) -> None:
    """Raise ValueError for windows or curves that cannot be."""
    for window in row.windows:
        if not EARLIEST_MS <= window.from_ms < window.until_ms <= LATEST_MS:
            raise ValueError(
                f"pool {row.key}: a window from {window.from_ms} until {window.until_ms} ms ends before it begins"
            )
        if window.every_ms and not window.until_ms - window.from_ms < window.every_ms:
            raise ValueError(
                f"pool {row.key}: a window that comes again every {window.every_ms} ms lasts that long"
            )
    again = {window.every_ms for window in row.windows if window.every_ms}
    if any(every % MINUTE_MS for every in again) or math.lcm(*again) > LONGEST_CYCLE_MS:
        raise ValueError(
            f"pool {row.key}: windows come again after whole minutes, and all of them together within 366 days"
        )
    for curve in curves_of(row):
        if curve is not None:
            _check_curve(row.key, curve)


def _check_curve(key: str, curve: Curve) -> None:
    times = [at for at, _ in curve.steps]
    if not times or any(at % MINUTE_MS for at in (*times, curve.every_ms)):
        raise ValueError(f"pool {key}: a curve has at least one step, and each begins at a whole minute")
    if any(after <= at for at, after in itertools.pairwise(times)):
        raise ValueError(f"pool {key}: the steps of a curve follow one another in time")
    least, most = (0, curve.every_ms - 1) if curve.every_ms else (EARLIEST_MS, LATEST_MS)
    if times[0] < least or times[-1] > most or curve.every_ms < 0:
        raise ValueError(f"pool {key}: the steps of a curve lie between {least} and {most} ms")
    if any(not 0 <= value <= LARGEST_VALUE for _, value in curve.steps):
        raise ValueError(f"pool {key}: a curve's values are between 0 and {LARGEST_VALUE}")


def since(row: PoolRow, origin_ms: int) -> PoolRow:
    """The pool with its windows and curves in times that count from `origin_ms`, a whole minute where it has any."""

    def moved(curve: Curve | None) -> Curve | None:
        if curve is None:
            return None
        every = curve.every_ms
        steps = ((at - origin_ms, value) for at, value in curve.steps)
        return Curve(tuple(sorted((at % every if every else at, value) for at, value in steps)), every)

    if not changes_with_time([row]):
        return row
    return replace(
        row,
        windows=tuple(
            replace(each, from_ms=each.from_ms - origin_ms, until_ms=each.until_ms - origin_ms)
            for each in row.windows
        ),
        device_hour_over_time=moved(row.device_hour_over_time),
        core_hour_over_time=moved(row.core_hour_over_time),
        carbon_over_time=moved(row.carbon_over_time),
        books=tuple(
            replace(
                each,
                device_hour_over_time=moved(each.device_hour_over_time),
                core_hour_over_time=moved(each.core_hour_over_time),
            )
            for each in row.books
        ),
    )


def value_over(curve: Curve, start_ms: int, end_ms: int) -> int:
    """The sum of value times milliseconds over [start, end): what the compiled code's means are rounded from."""
    total, at = 0, start_ms
    while at < end_ms:
        value, until = step_of(curve, at)
        until = min(until, end_ms)
        total += value * (until - at)
        at = until
    return total


def step_of(curve: Curve, at_ms: int) -> tuple[int, int]:
    """(value at an instant, until when it holds)."""
    base = at_ms // curve.every_ms * curve.every_ms if curve.every_ms else 0
    held = [step for step in curve.steps if step[0] + base <= at_ms]
    if held:
        value, place = held[-1][1], len(held)
    elif curve.every_ms:
        return curve.steps[-1][1], base + curve.steps[0][0]
    else:
        value, place = curve.steps[0][1], 1
    if place < len(curve.steps):
        return value, base + curve.steps[place][0]
    return value, base + curve.every_ms + curve.steps[0][0] if curve.every_ms else _FAR


__all__ = [
    "Supply",
    "books_of",
    "changes_with_time",
    "check_times",
    "longest_between",
    "next_window",
    "prices_by_book",
    "since",
    "step_of",
    "supply_of",
    "value_over",
]
