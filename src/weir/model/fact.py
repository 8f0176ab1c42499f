"""Facts about organisations: what is held to be true of one, from when, until when, and by which evidence."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Fact:
    """One dated statement: the organisation's `name` is `value` from one day through another, both included.

    `valid_through` is None where no end is known. A fact that nobody stated is neither true nor false.
    """

    name: str
    value: str
    valid_from: date
    valid_through: date | None = None
    evidence: str = ""

    def holds_on(self, day: date) -> bool:
        """Whether the day lies within the fact's validity."""
        return self.valid_from <= day and (self.valid_through is None or day <= self.valid_through)


@dataclass(frozen=True, slots=True)
class FactView:
    """A fact as it is listed; days are ISO texts, `valid_through` is empty where no end is known."""

    name: str
    value: str
    valid_from: str
    valid_through: str
    evidence: str
    recorded_ms: int
    recorded_by: str


@dataclass(frozen=True, slots=True)
class FactsView:
    """What is held about one organisation, by name and day."""

    organisation: str
    facts: tuple[FactView, ...]


@dataclass(frozen=True, slots=True)
class FactRowView:
    """What became, or would become, of one row of an import.

    `outcome`: added, corrected (an earlier row about the same is withdrawn), withdrawn, unchanged or refused.
    """

    line: int
    organisation: str
    name: str
    value: str
    outcome: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class FactImportView:
    """The report of an import, row by row. `applied` says whether anything was written."""

    rows: tuple[FactRowView, ...]
    applied: bool


__all__ = ["Fact", "FactImportView", "FactRowView", "FactView", "FactsView"]
