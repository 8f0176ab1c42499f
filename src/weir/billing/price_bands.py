"""Time-of-use bands: how much of an interval lies in which, exactly. A week in Asia/Shanghai repeats for ever.

China has kept UTC+8 without summer time since 1992, so that a week is always 7 x 24 hours there.
"""

import bisect
import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from weir.billing.price_book import DAYS, STANDARD, PriceBook, Window, minutes

MINUTE_MS = 60_000
DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS
MONDAY_MS = 4 * DAY_MS - 8 * 3_600_000
"""Monday 5 January 1970, 00:00 in Asia/Shanghai, as UTC milliseconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Bands:
    """A week cut into segments, each of one band. Offsets are milliseconds after Monday 00:00 in Asia/Shanghai."""

    starts: tuple[int, ...]
    """Rising, the first is 0."""
    names: tuple[str, ...]
    """The band of the segment that begins there."""

    @property
    def distinct(self) -> tuple[str, ...]:
        """The bands that there are, in alphabetical order."""
        return tuple(sorted(set(self.names)))

    def split(self, from_ms: int, to_ms: int) -> dict[str, int]:
        """How many milliseconds of [from, to) lie in each band; those of none are left out."""
        if to_ms <= from_ms:
            return {}
        starts = self.starts
        if len(starts) == 1:
            return {self.names[0]: to_ms - from_ms}
        offset = (from_ms - MONDAY_MS) % WEEK_MS
        place = bisect.bisect_right(starts, offset) - 1
        until = offset + to_ms - from_ms
        if until <= (starts[place + 1] if place + 1 < len(starts) else WEEK_MS):
            return {self.names[place]: to_ms - from_ms}
        found: dict[str, int] = {}
        weeks, rest = divmod(to_ms - from_ms, WEEK_MS)
        if weeks:
            for place, name in enumerate(self.names):
                found[name] = found.get(name, 0) + weeks * (self._end(place) - self.starts[place])
        while rest:
            step = min(rest, self._end(place) - offset)
            found[self.names[place]] = found.get(self.names[place], 0) + step
            rest -= step
            place = (place + 1) % len(self.starts)
            offset = self.starts[place]
        return found

    def pieces(self, from_ms: int, to_ms: int) -> list[tuple[int, int, str]]:
        """[from, to) cut where the band changes, each piece with its band."""
        found: list[tuple[int, int, str]] = []
        position = from_ms
        while position < to_ms:
            offset = (position - MONDAY_MS) % WEEK_MS
            place = bisect.bisect_right(self.starts, offset) - 1
            until = min(to_ms, position + self._end(place) - offset)
            if found and found[-1][2] == self.names[place]:
                found[-1] = (found[-1][0], until, self.names[place])
            else:
                found.append((position, until, self.names[place]))
            position = until
        return found

    def turning_starts(self, duration_ms: int) -> list[int]:
        """Starts within a week among which, for anything that lasts so long, the dearest and the cheapest is.

        What an interval costs is linear in its start as long as neither end meets a change of band.
        """
        if len(self.starts) == 1:
            return [MONDAY_MS]
        offsets = {*self.starts, *((start - duration_ms) % WEEK_MS for start in self.starts)}
        return [MONDAY_MS + offset for offset in sorted(offsets)]

    def _end(self, place: int) -> int:
        return self.starts[place + 1] if place + 1 < len(self.starts) else WEEK_MS


@functools.lru_cache(maxsize=256)
def _bands_of(windows: tuple[tuple[str, tuple[Window, ...]], ...]) -> Bands:
    marks: list[tuple[int, int, str]] = []
    for name, its in windows:
        for window in its:
            begins, ends = minutes(window.from_), minutes(window.to)
            assert begins is not None
            assert ends is not None
            for day in window.days:
                midnight = DAYS.index(day) * DAY_MS
                marks.append((midnight + begins * MINUTE_MS, midnight + ends * MINUTE_MS, name))
    starts: list[int] = []
    names: list[str] = []

    def add(start: int, name: str) -> None:
        if not names or names[-1] != name:
            starts.append(start)
            names.append(name)

    position = 0
    for begins, ends, name in sorted(marks):
        if begins > position:
            add(position, STANDARD)
        add(begins, name)
        position = ends
    if position < WEEK_MS:
        add(position, STANDARD)
    return Bands(tuple(starts), tuple(names))


def bands_of(book: PriceBook) -> Bands:
    """The bands of a price book; without any, all time is in the standard band."""
    return _bands_of(_key(book.bands))


def union(intervals: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same instants as disjoint intervals [from, to) in rising order, touching ones joined, empty ones left out.

    The same for any cutting, order, repetition or overlap of what is given.
    """
    found: list[tuple[int, int]] = []
    for begins, ends in sorted(intervals):
        if ends <= begins:
            continue
        if found and begins <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], ends))
        else:
            found.append((begins, ends))
    return found


def extended(intervals: tuple[tuple[int, int], ...], from_ms: int, to_ms: int) -> tuple[tuple[int, int], ...]:
    """The union of disjoint intervals in rising order with [from, to)."""
    if len(intervals) == 1 and intervals[0][0] <= from_ms <= intervals[0][1]:
        begins, ends = intervals[0]
        return intervals if to_ms <= ends else ((begins, to_ms),)
    return tuple(union([*intervals, (from_ms, to_ms)]))


def time_in_bands(bands: Bands, intervals: Sequence[tuple[int, int]]) -> dict[str, int]:
    """How many milliseconds of disjoint intervals lie in each band."""
    if len(intervals) == 1:
        return bands.split(*intervals[0])
    found: dict[str, int] = {}
    for begins, ends in intervals:
        for name, length_ms in bands.split(begins, ends).items():
            found[name] = found.get(name, 0) + length_ms
    return found


def _key(bands: Mapping[str, tuple[Window, ...]]) -> tuple[tuple[str, tuple[Window, ...]], ...]:
    return tuple(sorted(bands.items()))


__all__ = ["DAY_MS", "MONDAY_MS", "WEEK_MS", "Bands", "bands_of", "extended", "time_in_bands", "union"]
