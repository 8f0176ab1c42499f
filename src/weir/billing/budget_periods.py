"""Periods of budgets: calendar months, quarters and years in Asia/Shanghai, or one without an end."""

from datetime import UTC, datetime, timedelta, timezone
from enum import Enum

SHANGHAI = timezone(timedelta(hours=8), "Asia/Shanghai")
"""UTC+8 without summer time since 1992."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Period(Enum):
    """After what a budget's limit begins anew."""

    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"
    ONCE = "once"
    """Never."""


def period_name(period: Period, at_ms: int) -> str:
    """The period in which an instant lies: `2026-11`, `2026-Q4`, `2026` or `once`."""
    moment = shanghai(at_ms)
    if period is Period.MONTH:
        return f"{moment.year:04d}-{moment.month:02d}"
    if period is Period.QUARTER:
        return f"{moment.year:04d}-Q{(moment.month + 2) // 3}"
    return f"{moment.year:04d}" if period is Period.YEAR else "once"


def period_ends_ms(period: Period, at_ms: int) -> int | None:
    """The first instant after the period in which an instant lies; None for one without an end."""
    moment = shanghai(at_ms)
    months = {Period.MONTH: 1, Period.QUARTER: 3, Period.YEAR: 12}.get(period)
    if months is None:
        return None
    first = (moment.month - 1) // months * months
    year, month = divmod(moment.year * 12 + first + months, 12)
    return in_ms(datetime(year, month + 1, 1, tzinfo=SHANGHAI))


def shanghai(at_ms: int) -> datetime:
    """An instant by the clock of Asia/Shanghai, exact to the millisecond."""
    return (_EPOCH + timedelta(milliseconds=at_ms)).astimezone(SHANGHAI)


def in_ms(moment: datetime) -> int:
    """Milliseconds since the epoch."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


__all__ = ["SHANGHAI", "Period", "in_ms", "period_ends_ms", "period_name", "shanghai"]
