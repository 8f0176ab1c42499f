"""Days as contracts and statements count them: in Asia/Shanghai, whose clock is eight hours ahead all year."""

import calendar
from datetime import date, timedelta

SHANGHAI_MS = 8 * 3_600_000
"""China has kept this offset, without summer time, since 1992; no Weir instant is older."""
DAY_MS = 86_400_000
_EPOCH = date(1970, 1, 1)
_ONE = timedelta(days=1)


def day_of(time_ms: int) -> date:
    """The day on which an instant falls."""
    return _EPOCH + timedelta(days=(time_ms + SHANGHAI_MS) // DAY_MS)


def begin_of(day: date) -> int:
    """The instant at which a day begins."""
    return (day - _EPOCH).days * DAY_MS - SHANGHAI_MS


def month_of(day: date) -> date:
    """The first day of its month."""
    return day.replace(day=1)


def next_month(month: date) -> date:
    """The first day of the month after."""
    return add_months(month.replace(day=1), 1)


def quarter_of(day: date) -> date:
    """The first day of its quarter."""
    return date(day.year, (day.month - 1) // 3 * 3 + 1, 1)


def add_months(day: date, months: int) -> date:
    """The same day so many months later, or that month's last day where it is shorter (Civil Code, article 202)."""
    count = day.year * 12 + day.month - 1 + months
    year, month = divmod(count, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def term_end(begins: date, months: int) -> date:
    """The last day of a term of so many months whose first day counts: the day before the corresponding one.

    A term that begins on 29 February and lasts a year ends on 28 February, as one from 28 February ends on the
    27th.
    """
    corresponding = add_months(begins, months)
    return corresponding if corresponding.day < begins.day else corresponding - _ONE


__all__ = [
    "DAY_MS",
    "SHANGHAI_MS",
    "add_months",
    "begin_of",
    "day_of",
    "month_of",
    "next_month",
    "quarter_of",
    "term_end",
]
