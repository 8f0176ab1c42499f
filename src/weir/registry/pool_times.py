"""What a pool declares over time, as the core takes it: windows, and prices and carbon in bands."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from weir.model.province import Band, Pool
from weir.scheduling.inputs import Curve, Window
from weir.units import parse_time_ms

DAY_MS = 86_400_000
MINUTE_MS = 60_000
OFFSET_MS = 8 * 3_600_000
"""A province's clocks: UTC+8 all year."""
START_ACCEPTED = (
    'give a time of day ("22:00") or of the week ("sun 02:00"), both UTC+8, '
    "or an instant (2026-03-01T22:00+08:00)"
)

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MONDAY_MS = 4 * DAY_MS
"""The first Monday of 1970."""
_AGAIN = re.compile(r"(?:(mon|tue|wed|thu|fri|sat|sun) )?([01]\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class Start:
    """A time in milliseconds since the epoch; with `every_ms`, also whenever that has passed."""

    at_ms: int
    every_ms: int


def parse_start(text: str) -> Start:
    """`22:00`, `sun 02:00` or an ISO 8601 instant with its offset. Raises ValueError saying what is accepted."""
    match = _AGAIN.fullmatch(text.strip().lower())
    if match is None:
        try:
            return Start(parse_time_ms(text), 0)
        except ValueError:
            raise ValueError(START_ACCEPTED) from None
    day, hour, minute = match[1], int(match[2]), int(match[3])
    of_day = (hour * 60 + minute) * MINUTE_MS
    if day is None:
        return Start((of_day - OFFSET_MS) % DAY_MS, DAY_MS)
    of_week = _MONDAY_MS + _WEEKDAYS.index(day) * DAY_MS + of_day - OFFSET_MS
    return Start(of_week % (7 * DAY_MS), 7 * DAY_MS)


def windows(pool: Pool) -> tuple[Window, ...]:
    """The pool's maintenance windows, as declared. Raises ValueError for a start that is none."""
    found = []
    for window in pool.windows:
        start = parse_start(window.start)
        found.append(Window(start.at_ms, start.at_ms + window.lasts, start.every_ms, window.reason))
    return tuple(found)


def curve(bands: Sequence[Band], field: str) -> Curve | None:
    """One figure of the bands that name it, as it changes; None where none does. Raises ValueError."""
    given = [(parse_start(band.start), getattr(band, field)) for band in bands]
    steps = [(start, value) for start, value in given if value is not None]
    if not steps:
        return None
    kinds = {start.every_ms for start, _ in steps}
    if len(kinds) > 1:
        raise ValueError("the bands of one figure all begin at times of day, or of the week, or at instants")
    [every_ms] = kinds
    in_order = tuple(sorted((start.at_ms, value) for start, value in steps))
    if len({at for at, _ in in_order}) < len(in_order):
        raise ValueError("two bands of one figure begin at once; keep one")
    if any(at % MINUTE_MS for at, _ in in_order):
        raise ValueError("a band begins at a whole minute")
    return Curve(in_order, every_ms)


def curves(pool: Pool) -> tuple[Curve | None, Curve | None, Curve | None]:
    """What a device hour costs, what a core hour costs, grams of CO2 a kWh: as they change, where they do."""
    return (
        curve(pool.bands, "device_hour"),
        curve(pool.bands, "core_hour"),
        curve(pool.bands, "carbon_g_per_kwh"),
    )


__all__ = ["DAY_MS", "START_ACCEPTED", "Start", "curve", "curves", "parse_start", "windows"]
