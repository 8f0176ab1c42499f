"""Clauses about who deals with whom and what else was had: affiliation, credit record, no double subsidy."""

from collections.abc import Iterator
from datetime import date

from weir.billing.calendar_days import add_months
from weir.billing.entitlement import Clause, Reading, Verdict
from weir.billing.scheme_case import ContractCase, Party, Past, PastClaim, Situation
from weir.billing.scheme_rules import verdict_of
from weir.model.fact import Fact
from weir.model.scheme import Edition, Exclusive, Scope

AFFILIATION = "the supplier is not affiliated with the holder"


def affiliation_clause(facts: Situation, on: date) -> Clause:
    """Against where one is stated to be affiliated with the other, or one body controls both.

    For where they declared that they are not, or the bodies that control them are known and differ. Else
    undecided: nobody is taken to be independent because nothing is known.
    """
    holder, supplier = facts.holder, facts.supplier.operator
    if supplier.organisation and supplier.organisation == holder.organisation:
        same = Reading("supplier.organisation", (supplier.organisation,))
        return Clause("affiliation", AFFILIATION, Verdict.AGAINST, (same,))
    readings = []
    for name, verdict in (("affiliated-with", Verdict.AGAINST), ("not-affiliated-with", Verdict.FOR)):
        for subject, party, other in (("holder", holder, supplier), ("supplier", supplier, holder)):
            found = [fact for fact in party.on(name, on) if fact.value == other.organisation]
            if found:
                reading = _reading(f"{subject}.{name}", found)
                return Clause("affiliation", AFFILIATION, verdict, (reading,))
        if verdict is Verdict.AGAINST:
            controllers = [party.on("controller", on)[:1] for party in (holder, supplier)]
            readings = [
                _reading(f"{subject}.controller", found)
                for subject, found in zip(("holder", "supplier"), controllers, strict=True)
            ]
            known = [found[0].value for found in controllers if found]
            if len(known) == 2 and known[0] == known[1]:
                return Clause("affiliation", AFFILIATION, Verdict.AGAINST, tuple(readings))
    differ = all(reading.values for reading in readings) or None
    return Clause("affiliation", AFFILIATION, verdict_of(differ), tuple(readings))


def credit_clause(holder: Party, years: int, on: date) -> Clause:
    """Against where an entry for bad credit lies less than so many years back; for where the record was checked.

    A fact `credit-record` with value clear says that it was checked, for as long as it holds. An entry counts
    from its first day; without a check in force nothing is decided by there being none.
    """
    text = f"no entry for bad credit in the last {years} years"
    since = add_months(on, -12 * years)
    records = [fact for fact in holder.facts if fact.name == "credit-record" and fact.valid_from <= on]
    bad = [fact for fact in records if fact.value == "bad" and (fact.valid_through or on) >= since]
    if bad:
        return Clause("credit", text, Verdict.AGAINST, (_reading("holder.credit-record", bad),))
    clear = [fact for fact in records if fact.value == "clear" and fact.holds_on(on)]
    return Clause(
        "credit", text, verdict_of(True if clear else None), (_reading("holder.credit-record", clear),)
    )


def exclusion_clauses(edition: Edition, scheme: str, contract: ContractCase, past: Past) -> Iterator[Clause]:
    """One clause for each group that the scheme excludes: against where a claim or a declaration is of it."""
    for exclusive in edition.exclusive:
        where = "contract" if exclusive.scope is Scope.CONTRACT else "holder"
        text = f"no other public money of {exclusive.group} for the same {where}"
        claims = [one for one in past.claims if _excludes(exclusive, scheme, contract, one)]
        if claims:
            names = tuple(f"{one.scheme} for {one.contract}" for one in claims)
            reading = Reading(f"claims.of-{where}", names)
            yield Clause(f"exclusive-{exclusive.group}", text, Verdict.AGAINST, (reading,))
            continue
        declared = contract.other_subsidies
        values = () if declared is None else tuple(sorted(declared)) or ("none",)
        free = None if declared is None else exclusive.group not in declared
        reading = Reading("contract.other-subsidies", values)
        yield Clause(f"exclusive-{exclusive.group}", text, verdict_of(free), (reading,))


def _excludes(exclusive: Exclusive, scheme: str, contract: ContractCase, one: PastClaim) -> bool:
    if one.scheme == scheme or exclusive.group not in one.groups:
        return False
    return exclusive.scope is Scope.HOLDER or one.contract == contract.id


def _reading(name: str, found: "list[Fact] | tuple[Fact, ...]") -> Reading:
    evidence = tuple(fact.evidence for fact in found if fact.evidence)
    return Reading(name, tuple(fact.value for fact in found), evidence)


__all__ = ["affiliation_clause", "credit_clause", "exclusion_clauses"]
