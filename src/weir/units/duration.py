"""Durations: integer milliseconds inside, `90s`, `2h30m`, `1d` where people write them."""

import re

_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|min|s|m|h|d)")
_CLOCK = re.compile(r"(?:(\d+)-)?(\d{1,3}):([0-5]\d)(?::([0-5]\d))?")
ACCEPTED = "a duration with its unit, such as 90s, 30m, 2h30m or 1d, or H:MM:SS"
LONGEST_MS = 366 * 86_400_000
_LATENCY_UNIT_US = {"us": 1, "µs": 1, "ms": 1_000, "s": 1_000_000}
_LATENCY = re.compile(r"(\d+(?:\.\d+)?)\s*(us|µs|ms|s)")
LATENCY_ACCEPTED = "a latency with its unit, more than 0 and at most 60 s, such as 0.3 ms"
LONGEST_LATENCY_US = 60_000_000


def parse_duration_ms(text: object) -> int:
    """Milliseconds of a duration as people write it (`90s`, `2h30m`, `1d`, `2:30:00`, `1-12:00:00`).

    A bare number is refused, since nobody can tell its unit. Raises ValueError saying what is accepted.
    """
    if not isinstance(text, str):
        raise ValueError(f"{text!r} has no unit; write {ACCEPTED}")
    value = text.strip().lower()
    clock = _CLOCK.fullmatch(value)
    if clock:
        days, hours, minutes, seconds = (int(part or 0) for part in clock.groups())
        return _bounded(((days * 24 + hours) * 60 + minutes) * 60_000 + seconds * 1_000, text)
    position, total = 0, 0.0
    while position < len(value):
        part = _PART.match(value, position)
        if not part:
            raise ValueError(f"{text!r} is not a duration; write {ACCEPTED}")
        total += float(part[1]) * _UNIT_MS[part[2]]
        position = part.end()
        while position < len(value) and value[position] == " ":
            position += 1
    if not value:
        raise ValueError(f"an empty text is not a duration; write {ACCEPTED}")
    return _bounded(round(total), text)


def parse_latency_us(text: object) -> int:
    """Microseconds of a network latency such as `0.3 ms` or `850 us`. Raises ValueError."""
    match = _LATENCY.fullmatch(text.strip()) if isinstance(text, str) else None
    latency_us = round(float(match[1]) * _LATENCY_UNIT_US[match[2]]) if match else 0
    if not 0 < latency_us <= LONGEST_LATENCY_US:
        raise ValueError(f"{text!r} is not a latency; write {LATENCY_ACCEPTED}")
    return latency_us


def format_duration(duration_ms: int) -> str:
    """The shortest form that people read: `850ms`, `4.2s`, `3m20s`, `2h05m`, `3d04h`."""
    if duration_ms < 0:
        return "-" + format_duration(-duration_ms)
    if duration_ms < 1_000:
        return f"{duration_ms}ms"
    if duration_ms < 60_000:
        return f"{duration_ms / 1_000:.1f}s"
    seconds = duration_ms // 1_000
    if seconds < 3_600:
        return f"{seconds // 60}m{seconds % 60:02d}s"
    if seconds < 86_400:
        return f"{seconds // 3_600}h{seconds % 3_600 // 60:02d}m"
    return f"{seconds // 86_400}d{seconds % 86_400 // 3_600:02d}h"


def _bounded(duration_ms: int, text: str) -> int:
    if not 0 < duration_ms <= LONGEST_MS:
        raise ValueError(f"{text!r} is out of range; a duration is more than 0 and at most 366d")
    return duration_ms
