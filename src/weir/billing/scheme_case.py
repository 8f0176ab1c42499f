"""What a scheme is judged on: the parties and their facts, the contract, and what was claimed before."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType

from weir.model.fact import Fact

NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Party:
    """An organisation and what is held about it."""

    organisation: str
    facts: tuple[Fact, ...] = ()

    def on(self, name: str, day: date) -> tuple[Fact, ...]:
        """The facts of that name that hold on the day, the one that began last first."""
        found = [fact for fact in self.facts if fact.name == name and fact.holds_on(day)]
        found.sort(key=lambda fact: (fact.valid_from, fact.value), reverse=True)
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Supplier:
    """The centre that is bought from: who operates it, and what is declared of it, by fact such as `centre.kind`.

    `organisation` is empty where nobody is named as its operator.
    """

    operator: Party
    centre: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Line:
    """What is bought, as a line of a contract or a charge. Empty texts are not known."""

    kind: str
    amount_micro_yuan: int = 0
    chip_origin: str = ""
    """domestic or foreign"""
    purpose: str = ""
    """training, inference …"""
    registered_model: str = ""
    """yes or no: whether it rests on a model registered with the authority"""

    def facts(self) -> Mapping[str, str]:
        """By the name under which schemes read them, what is known of the line."""
        given = {
            "line.kind": self.kind,
            "line.chip-origin": self.chip_origin,
            "line.purpose": self.purpose,
            "line.registered-model": self.registered_model,
        }
        return {name: value for name, value in given.items() if value}


@dataclass(frozen=True, slots=True)
class ContractCase:
    """A contract as schemes see it. None and empty days are not known.

    `lines` are the agreed amounts; a standing contract has none. `other_subsidies` are the groups of public money
    from outside of Weir that were declared with it: None where nobody declared anything, which is undecided.
    """

    id: str
    signed: date | None = None
    begins: date | None = None
    ends: date | None = None
    lines: tuple[Line, ...] = ()
    other_subsidies: frozenset[str] | None = None
    evidence: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class PastClaim:
    """A claim of the same holder. `groups` are those that its scheme excludes.

    The amount is what it takes from caps: the sum claimed, or where none was agreed what is held and redeemed.
    """

    scheme: str
    contract: str
    claimed_on: date
    amount_micro_yuan: int
    tier: str = ""
    """The tier with a ceiling of its own that gave it; empty where rates alone did."""
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Past:
    """What was claimed before: by the holder, and from the scheme's pool in the year of the day by everybody."""

    claims: tuple[PastClaim, ...] = ()
    pool_micro_yuan: int = 0


@dataclass(frozen=True, slots=True)
class Situation:
    """All facts that a decision reads, besides contract and past."""

    holder: Party
    supplier: Supplier


__all__ = [
    "NOTHING",
    "ContractCase",
    "Line",
    "Party",
    "Past",
    "PastClaim",
    "Situation",
    "Supplier",
]
