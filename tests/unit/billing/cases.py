"""Organisations, suppliers and contracts for the schemes' tests, and the presets."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from functools import cache
from typing import Any

from weir.billing.calendar_days import term_end
from weir.billing.entitlement import Clause, Decision, Entitlement, Refused, Undecided
from weir.billing.scheme import preset_files, read_scheme
from weir.billing.scheme_case import ContractCase, Line, Party, Situation, Supplier
from weir.model.fact import Fact
from weir.model.scheme import Scheme

HOLDER, OPERATOR, GROUP = "91340100WEYR00027A", "91340200WEYR00035A", "12340100WEYR00078P"
YUAN = 1_000_000
LONG_AGO = date(2015, 1, 1)


@cache
def preset(name: str) -> Scheme:
    """A scheme that ships with Weir."""
    [file] = [file for file in preset_files() if file.stem == name]
    return read_scheme(file.read_text("utf-8"), file.name)


def party(organisation: str = HOLDER, **facts: str) -> Party:
    """An organisation about which these facts hold since long ago; `designation_ai` is `designation.ai`."""
    names = {
        name.replace("designation_", "designation.").replace("_", "-"): value for name, value in facts.items()
    }
    return Party(organisation, tuple(Fact(name, value, LONG_AGO) for name, value in names.items()))


def situation(
    holder: Party, operator: Party | None = None, centre: Mapping[str, str] | None = None
) -> Situation:
    """The facts of one case."""
    return Situation(holder, Supplier(operator or party(OPERATOR), centre or {}))


def contract(*amounts: int, name: str = "c1", origin: str = "", signed: str = "2024-03-01") -> ContractCase:
    """A contract for a year of computing at these agreed amounts in yuan, signed and recorded, alone."""
    day = date.fromisoformat(signed)
    return ContractCase(
        name,
        signed=day,
        begins=day,
        ends=term_end(day, 12),
        lines=tuple(Line("compute", amount * YUAN, chip_origin=origin) for amount in amounts),
        other_subsidies=frozenset(),
        evidence=frozenset({"contract"}),
    )


def without(case: ContractCase, **changes: Any) -> ContractCase:
    """The same contract with some facts changed."""
    return replace(case, **changes)


def yuan(decision: Decision) -> int:
    """What it entitles to, in whole yuan."""
    assert isinstance(decision, Entitlement), decision
    assert 0 == decision.amount_micro_yuan % YUAN
    return decision.amount_micro_yuan // YUAN


def against(decision: Decision) -> list[str]:
    """The clauses that refuse it."""
    assert isinstance(decision, Refused), decision
    return [clause.id for clause in decision.against]


def missing(decision: Decision) -> tuple[str, ...]:
    """The facts that it lacks."""
    assert isinstance(decision, Undecided), decision
    return decision.missing


def clause_of(decision: Decision, name: str) -> Clause:
    """The one clause of that id."""
    [found] = [clause for clause in decision.clauses if clause.id == name]
    return found
