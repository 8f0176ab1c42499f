"""Days, months and terms as contracts count them, at the ends of months, years and leap days."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.billing.calendar_days import (
    DAY_MS,
    add_months,
    begin_of,
    day_of,
    month_of,
    next_month,
    quarter_of,
    term_end,
)
from weir.units import parse_time_ms

days = st.dates(date(1995, 1, 1), date(2100, 12, 31))


@pytest.mark.parametrize(
    ("instant", "day"),
    [
        ("2025-12-31T15:59:59.999+00:00", "2025-12-31"),
        ("2025-12-31T16:00:00+00:00", "2026-01-01"),
        ("2024-02-28T23:59:59.999+08:00", "2024-02-28"),
        ("2024-02-29T00:00:00+08:00", "2024-02-29"),
    ],
)
def test_the_day_begins_at_midnight_in_shanghai(instant: str, day: str) -> None:
    assert date.fromisoformat(day) == day_of(parse_time_ms(instant))


@given(days)
def test_a_day_lasts_from_its_beginning_to_the_next(day: date) -> None:
    first = begin_of(day)
    assert (day, day, day + timedelta(1)) == (
        day_of(first),
        day_of(first + DAY_MS - 1),
        day_of(first + DAY_MS),
    )


@pytest.mark.parametrize(
    ("begins", "months", "later", "end"),
    [
        ("2024-01-31", 1, "2024-02-29", "2024-02-29"),
        ("2023-01-31", 1, "2023-02-28", "2023-02-28"),
        ("2024-02-29", 12, "2025-02-28", "2025-02-28"),
        ("2023-02-28", 12, "2024-02-28", "2024-02-27"),
        ("2024-12-31", 2, "2025-02-28", "2025-02-28"),
        ("2025-01-01", 12, "2026-01-01", "2025-12-31"),
        ("2025-11-30", 3, "2026-02-28", "2026-02-28"),
        ("2025-08-15", 4, "2025-12-15", "2025-12-14"),
    ],
)
def test_months_are_added_and_terms_end_by_the_calendar(
    begins: str, months: int, later: str, end: str
) -> None:
    day = date.fromisoformat(begins)
    assert date.fromisoformat(later) == add_months(day, months)
    assert date.fromisoformat(end) == term_end(day, months)


@given(days)
def test_months_and_quarters_hold_their_days(day: date) -> None:
    assert month_of(day) <= day < next_month(month_of(day))
    assert next_month(day) == next_month(month_of(day))
    first = quarter_of(day)
    assert first <= day < add_months(first, 3)
    assert first.month in (1, 4, 7, 10)


@given(days, st.integers(0, 600))
def test_going_back_by_months_never_passes_the_day(day: date, months: int) -> None:
    assert add_months(add_months(day, months), -months) <= day
    assert add_months(day, months).month == (day.month - 1 + months) % 12 + 1
