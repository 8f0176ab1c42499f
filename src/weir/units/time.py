"""Instants: integer milliseconds since 1970-01-01 UTC inside, ISO 8601 where people read them."""

from datetime import UTC, datetime

LATEST_MS = 4_102_444_800_000
"""The year 2100: no time that anybody tells is later."""


def format_time(time_ms: int) -> str:
    """ISO 8601 in UTC with milliseconds, as in `2026-11-22T05:24:00.000Z`."""
    moment = datetime.fromtimestamp(time_ms // 1_000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + f".{time_ms % 1_000:03d}Z"


def parse_time_ms(text: object) -> int:
    """Milliseconds since the epoch of an ISO 8601 instant with its offset. Raises ValueError."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        raise ValueError(
            f"{text!r} is not an instant; write ISO 8601, such as 2026-11-22T08:00+08:00"
        ) from None
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no offset; write one, such as 2026-11-22T08:00+08:00")
    return round(moment.timestamp() * 1_000)
