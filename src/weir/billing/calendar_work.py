"""Working days in China: from the yearly announcements, as data; a year without one is refused, never guessed."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from types import MappingProxyType

from weir.billing.calendar_days import begin_of, next_month
from weir.model.problem import Problem, ProblemError
from weir.registry import data_folder
from weir.registry.document import parse_document, read_document

VERSION = 1
KIND = "invalid-calendar"
CLOSING_DAY = 5
"""A month's statements close at the end of the fifth working day of the next."""
_STRICT = {"extra": "forbid"}
_SATURDAY = 5


@dataclass(frozen=True, slots=True)
class WorkingYear:
    """The announcement for one year; `off` are days or ranges `FIRST..LAST`."""

    __pydantic_config__ = _STRICT
    year: int
    source: str
    off: tuple[str, ...]
    worked: tuple[str, ...]


class WorkingCalendar:
    """Which days are worked, for the years that are known."""

    def __init__(self, years: tuple[WorkingYear, ...]) -> None:
        self.sources: Mapping[int, str] = MappingProxyType({one.year: one.source for one in years})
        self._off = {day for one in years for text in one.off for day in _days(text)}
        self._worked = {day for one in years for text in one.worked for day in _days(text)}

    def is_worked(self, day: date) -> bool:
        """Whether the day is worked. Raises ProblemError where its year is not known."""
        if day.year not in self.sources:
            known = f"{min(self.sources)} to {max(self.sources)}" if self.sources else "none"
            title = (
                f"the working days of {day.year} are not known (known: {known}); add the announcement of that "
                "year to catalogue/working-days.yaml"
            )
            raise ProblemError(Problem("unknown-year", 422, title))
        if day in self._worked:
            return True
        return day not in self._off and day.weekday() < _SATURDAY

    def nth_worked(self, month: date, count: int) -> date:
        """The month's working day of that number, from 1. Raises ProblemError."""
        day = month.replace(day=1)
        while True:
            count -= self.is_worked(day)
            if count == 0:
                return day
            day += timedelta(days=1)


def closes_ms(month: date, calendar: WorkingCalendar) -> int:
    """The instant at which a month's statements close: the end of CLOSING_DAY of the next month."""
    return begin_of(calendar.nth_worked(next_month(month), CLOSING_DAY) + timedelta(days=1))


@functools.cache
def working_calendar() -> WorkingCalendar:
    """The calendar that ships with Weir. Read once."""
    file = data_folder("catalogue") / "working-days.yaml"
    return read_calendar(file.read_text("utf-8"), file.name)


def read_calendar(text: str, source: str) -> WorkingCalendar:
    """The calendar in a YAML text. Raises ProblemError naming line, field and what is accepted."""
    document = read_document(text, source)
    version = document.values.get("version") if isinstance(document.values, dict) else None
    if version != VERSION:
        raise document.problem(KIND, [(("version",), version, f"give version: {VERSION}")])
    years = parse_document(document, tuple[WorkingYear, ...], at=("years",), kind=KIND)
    seen: set[int] = set()
    for place, one in enumerate(years):
        if one.year in seen:
            raise document.problem(
                KIND, [(("years", place, "year"), one.year, "this year is there; keep one")]
            )
        seen.add(one.year)
        for name in ("off", "worked"):
            for at, text_ in enumerate(getattr(one, name)):
                try:
                    good = all(day.year == one.year for day in _days(text_)) and bool(_days(text_))
                except ValueError:
                    good = False
                if not good:
                    accepted = f"give a day of {one.year}, or FIRST..LAST"
                    raise document.problem(KIND, [(("years", place, name, at), text_, accepted)])
    return WorkingCalendar(years)


def _days(text: str) -> list[date]:
    first, _, last = text.partition("..")
    begin, end = date.fromisoformat(first), date.fromisoformat(last or first)
    return [begin + timedelta(days=place) for place in range((end - begin).days + 1)]


__all__ = ["CLOSING_DAY", "WorkingCalendar", "WorkingYear", "closes_ms", "read_calendar", "working_calendar"]
