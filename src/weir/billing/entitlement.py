"""What a scheme's evaluation answers: an entitlement, a refusal, or that it is undecided; each with its clauses."""

from dataclasses import dataclass
from datetime import date
from enum import Enum

from weir.units import format_yuan


class Verdict(Enum):
    """Of three-valued logic: a missing fact is neither for nor against."""

    FOR = "for"
    AGAINST = "against"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Reading:
    """A fact that a clause read. Without values it is missing."""

    fact: str
    values: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause, what it says of this case, and the facts that it read."""

    id: str
    text: str
    verdict: Verdict
    readings: tuple[Reading, ...] = ()

    @property
    def missing(self) -> tuple[str, ...]:
        """The facts that it lacked, where it is undecided."""
        if self.verdict is not Verdict.UNDECIDED:
            return ()
        return tuple(reading.fact for reading in self.readings if not reading.values)


@dataclass(frozen=True, slots=True)
class Limit:
    """One of the bounds of an amount. `allows_micro_yuan` is None where it bounds nothing."""

    id: str
    text: str
    allows_micro_yuan: int


@dataclass(frozen=True, slots=True)
class Entitlement:
    """The holder may claim so much, and use it through that day (None: for ever).

    `tier` is the tier with a ceiling of its own that gave it, empty where rates alone did. `open` are clauses of
    tiers that could not be decided: given their facts, it could be more.
    """

    scheme: str
    contract: str
    edition: date
    amount_micro_yuan: int
    tier: str
    cap_year: int
    valid_through: date | None
    clauses: tuple[Clause, ...]
    limits: tuple[Limit, ...]
    open: tuple[Clause, ...] = ()


@dataclass(frozen=True, slots=True)
class Undecided:
    """Nothing is granted until the missing facts are given; no clause is against it."""

    scheme: str
    contract: str
    clauses: tuple[Clause, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """The facts to give, in the order in which they were missed, each once."""
        return tuple(dict.fromkeys(fact for clause in self.clauses for fact in clause.missing))


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing is granted; `against` says why."""

    scheme: str
    contract: str
    clauses: tuple[Clause, ...]

    @property
    def against(self) -> tuple[Clause, ...]:
        """The clauses that refuse it."""
        return tuple(clause for clause in self.clauses if clause.verdict is Verdict.AGAINST)


Decision = Entitlement | Undecided | Refused


def outcome_of(decision: Decision) -> str:
    """One word for it: entitled, undecided or refused."""
    if isinstance(decision, Entitlement):
        return "entitled"
    return "undecided" if isinstance(decision, Undecided) else "refused"


def said(decision: Decision) -> str:
    """The decision in one sentence."""
    if isinstance(decision, Entitlement):
        until = f" through {decision.valid_through}" if decision.valid_through else ""
        return f"entitled to {format_yuan(decision.amount_micro_yuan)}{until}"
    if isinstance(decision, Undecided):
        return f"undecided: give {', '.join(decision.missing)}"
    return f"refused: {'; '.join(clause.text for clause in decision.against)}"


__all__ = [
    "Clause",
    "Decision",
    "Entitlement",
    "Limit",
    "Reading",
    "Refused",
    "Undecided",
    "Verdict",
    "outcome_of",
    "said",
]
