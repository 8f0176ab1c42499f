"""A scheme over the facts of one contract: what it entitles to, clause by clause. A pure function."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from weir.billing.calendar_days import add_months, term_end
from weir.billing.entitlement import (
    Clause,
    Decision,
    Entitlement,
    Limit,
    Reading,
    Refused,
    Undecided,
    Verdict,
)
from weir.billing.scheme import edition_on
from weir.billing.scheme_case import ContractCase, Line, Past, Situation
from weir.billing.scheme_parties import affiliation_clause, credit_clause, exclusion_clauses
from weir.billing.scheme_rules import Read, clause, judge, reader, verdict_of
from weir.model.scheme import Base, Combine, Count, Edition, Scheme, Tier, Validity
from weir.units import format_yuan
from weir.units.share import WHOLE_PPM, format_share

FEN = 10_000
"""Micro-yuan: claims are whole fen, rounded down, so that none exceeds its share."""


def evaluate(
    scheme: Scheme, facts: Situation, contract: ContractCase, past: Past, on: date, *, excluded: str = ""
) -> Decision:
    """What the scheme grants for this contract if it is claimed for on that day.

    Every clause is judged, for and against, also after one was against. Where one is against, the decision is
    Refused; else, where one that all depends on is undecided, Undecided; else Entitlement. A tier that is
    undecided grants nothing, and is named in `open`. `excluded` names a claim that does not count: the one that is
    evaluated anew.
    """
    edition = edition_on(scheme, on)
    if edition is None:
        windows = ", ".join(f"{one.begins} to {one.ends or 'further notice'}" for one in scheme.editions)
        reading = Reading("claim.day", (on.isoformat(),))
        against = Clause("window", f"claims are taken from {windows}", Verdict.AGAINST, (reading,))
        return Refused(scheme.scheme, contract.id, (against,))
    claims = tuple(one for one in past.claims if not excluded or one.contract != excluded)
    past = Past(claims, past.pool_micro_yuan)
    clauses = [*_eligibility(scheme, edition, facts, contract, past, on)]
    tiers, open_tiers = _tiers(scheme, edition, facts, contract, past, on)
    clauses += tiers.clauses
    if any(one.verdict is Verdict.AGAINST for one in clauses):
        return Refused(scheme.scheme, contract.id, tuple(clauses))
    if any(one.verdict is Verdict.UNDECIDED for one in clauses):
        return Undecided(scheme.scheme, contract.id, tuple(clauses))
    limits = tuple(_limits(scheme, edition, facts, past, on, tiers))
    amount = min(limit.allows_micro_yuan for limit in limits) // FEN * FEN
    least = max(edition.least_claim or 0, FEN)
    if amount < least:
        tightest = min(limits, key=lambda limit: limit.allows_micro_yuan)
        text = f"{tightest.text}, and a claim is at least {format_yuan(least)}"
        reading = Reading("claim.amount", (format_yuan(amount),))
        clauses.append(Clause(tightest.id, text, Verdict.AGAINST, (reading,)))
        return Refused(scheme.scheme, contract.id, tuple(clauses))
    return Entitlement(
        scheme.scheme,
        contract.id,
        edition.begins,
        amount,
        tiers.special,
        on.year,
        last_day(edition.validity, on),
        tuple(clauses),
        limits,
        tuple(open_tiers),
    )


def rate_of(
    edition: Edition, facts: Situation, line: Line, special: str, on: date
) -> tuple[int, tuple[Clause, ...]]:
    """The share of one charge that a claim pays, in parts a million, and the clauses that decided.

    `special` is the claim's tier with a ceiling of its own, or empty. What cannot be decided gives nothing.
    """
    if line.kind not in edition.cost_lines:
        return 0, ()
    read = reader(facts, on, line.facts())
    clauses = []
    rates = []
    for tier in edition.tiers:
        if (tier.id == special) if special else not _is_special(tier):
            one = _tier_clause(tier, read, on)
            clauses.append(one)
            if one.verdict is Verdict.FOR:
                rates.append(tier.rate)
    total = sum(rates) if edition.combine is Combine.SUM else max(rates, default=0)
    return min(total, WHOLE_PPM), tuple(clauses)


def last_day(validity: Validity, claimed: date) -> date | None:
    """The last day on which what was claimed can be used; None for no end."""
    if validity.months is not None:
        return add_months(claimed, validity.months)
    return date(claimed.year, 12, 31) if validity.year_end else validity.through


@dataclass(frozen=True, slots=True)
class _Tiers:
    """What the tiers give, before limits: None where it is whatever the limits leave."""

    clauses: tuple[Clause, ...]
    amount_micro_yuan: int | None = None
    special: str = ""


def _eligibility(
    scheme: Scheme, edition: Edition, facts: Situation, contract: ContractCase, past: Past, on: date
) -> Iterator[Clause]:
    through = edition.ends or "further notice"
    window = f"claims are taken from {edition.begins} to {through}"
    yield Clause("window", window, Verdict.FOR, (Reading("claim.day", (on.isoformat(),)),))
    read = reader(facts, on)
    for rule in (*edition.holder, *edition.supplier):
        yield clause(rule.id, rule.text, rule.when, read, on)
    if edition.affiliation_refused:
        yield affiliation_clause(facts, on)
    if edition.credit_clear_years:
        yield credit_clause(facts.holder, edition.credit_clear_years, on)
    yield from _contract(scheme, edition, contract, past)
    yield from exclusion_clauses(edition, scheme.scheme, contract, past)
    for name in edition.evidence:
        # What is not recorded yet may come: it is undecided, not refused.
        there = True if name in contract.evidence else None
        reading = Reading(f"contract.evidence.{name}", ("recorded",) if there else ())
        yield Clause(f"evidence-{name}", f"evidence: {name}", verdict_of(there), (reading,))


def _contract(scheme: Scheme, edition: Edition, contract: ContractCase, past: Past) -> Iterator[Clause]:
    terms = edition.contract
    if terms.signed_from is not None or terms.signed_through is not None:
        signed = contract.signed
        inside: bool | None = None
        if signed is not None:
            inside = (terms.signed_from or signed) <= signed <= (terms.signed_through or signed)
        text = f"the contract was signed from {terms.signed_from or 'any day'} to {terms.signed_through or 'now'}"
        yield Clause("signed", text, verdict_of(inside), (_day_reading("contract.signed", signed),))
    if terms.most_months is not None:
        fits: bool | None = None
        if contract.begins is not None and contract.ends is not None:
            fits = contract.ends <= term_end(contract.begins, terms.most_months)
        readings = (
            _day_reading("contract.begins", contract.begins),
            _day_reading("contract.ends", contract.ends),
        )
        text = f"the contract's term is at most {terms.most_months} months"
        yield Clause("term", text, verdict_of(fits), readings)
    if terms.one_claim:
        before = [one for one in past.claims if one.scheme == scheme.scheme and one.contract == contract.id]
        reading = Reading("claims.of-contract", (str(len(before)),))
        yield Clause("one-claim", "a contract is claimed for once", verdict_of(not before), (reading,))


def _tiers(
    scheme: Scheme, edition: Edition, facts: Situation, contract: ContractCase, past: Past, on: date
) -> tuple[_Tiers, list[Clause]]:
    lines = [line for line in contract.lines if line.kind in edition.cost_lines]
    usage = edition.base is Base.USAGE and not contract.lines
    if not contract.lines and not usage:
        missing = Clause(
            "amount", "the contract names agreed amounts", Verdict.UNDECIDED, (Reading("contract.lines"),)
        )
        return _Tiers((missing,)), []
    if not lines and not usage:
        kinds = Reading("contract.lines", tuple(dict.fromkeys(line.kind for line in contract.lines)))
        text = f"only {', '.join(edition.cost_lines)} counts"
        return _Tiers((Clause("cost-lines", text, Verdict.AGAINST, (kinds,)),)), []
    used = {one.tier for one in past.claims if one.scheme == scheme.scheme and one.tier}
    judged = [
        _judged(tier, facts, lines or [Line("compute")], on, usage)
        if not (tier.once and tier.id in used)
        else _once(tier)
        for tier in edition.tiers
    ]
    certain = [one for one in judged if one.clause.verdict is Verdict.FOR]
    open_tiers = [one.clause for one in judged if one.clause.verdict is Verdict.UNDECIDED]
    if not certain:
        verdict = Verdict.UNDECIDED if open_tiers else Verdict.AGAINST
        readings = tuple(dict.fromkeys(reading for one in judged for reading in one.clause.readings))
        rates = "; ".join(one.clause.text for one in judged)
        return _Tiers((Clause("tiers", f"one of these applies: {rates}", verdict, readings),)), []
    shown = tuple(one.clause for one in certain)
    plain = [one for one in certain if not _is_special(one.tier)]
    candidates = [(_joint(edition, plain, lines), "")] if plain else []
    candidates += [(_alone(one, lines), one.tier.id) for one in certain if _is_special(one.tier)]
    if usage:
        # What each charge will be is not known: the highest rate is what gives most.
        best = max(certain, key=lambda one: one.tier.rate)
        return _Tiers(shown, None, best.tier.id if _is_special(best.tier) else ""), open_tiers
    amount, special = max(candidates, key=lambda one: one[0])
    return _Tiers(shown, amount, special), open_tiers


@dataclass(frozen=True, slots=True)
class _Judged:
    tier: Tier
    clause: Clause
    lines: tuple[bool, ...] = ()
    """By line, whether it applies."""


def _judged(tier: Tier, facts: Situation, lines: Sequence[Line], on: date, usage: bool) -> _Judged:
    """A tier over all lines: for where it holds for at least one, undecided where only lines unknown could.

    Where charges are yet to come (`usage`), what depends on them alone counts as for: each charge decides.
    """
    text = _tier_text(tier)
    if tier.when is None:
        return _Judged(tier, Clause(f"tier-{tier.id}", text, Verdict.FOR), (True,) * len(lines))
    readings: list[Reading] = []
    values: list[bool | None] = []
    for line in lines:
        read = reader(facts, on, line.facts())
        seen: list[Reading] = []
        value = judge(tier.when, read, on, seen)
        missing = {reading.fact for reading in seen if not reading.values}
        if usage and value is None and missing and all(fact.startswith("line.") for fact in missing):
            value = True
        values.append(value)
        readings += seen
    verdict = verdict_of(True if True in values else None if None in values else False)
    one = Clause(f"tier-{tier.id}", text, verdict, tuple(dict.fromkeys(readings)))
    return _Judged(tier, one, tuple(value is True for value in values))


def _once(tier: Tier) -> _Judged:
    reading = Reading("claims.of-tier", (tier.id,))
    return _Judged(tier, Clause(f"tier-{tier.id}", f"{_tier_text(tier)}, once", Verdict.AGAINST, (reading,)))


def _tier_clause(tier: Tier, read: Read, on: date) -> Clause:
    if tier.when is None:
        return Clause(f"tier-{tier.id}", _tier_text(tier), Verdict.FOR)
    return clause(f"tier-{tier.id}", _tier_text(tier), tier.when, read, on)


def _tier_text(tier: Tier) -> str:
    most = f", at most {format_yuan(tier.most)}" if tier.most is not None else ""
    return f"{format_share(tier.rate)}{most}: {tier.text or tier.id}"


def _is_special(tier: Tier) -> bool:
    """Whether a claim of it stands alone, having a ceiling of its own or being given once."""
    return tier.most is not None or tier.once


def _joint(edition: Edition, tiers: Sequence[_Judged], lines: Sequence[Line]) -> int:
    total = 0
    for place, line in enumerate(lines):
        rates = [one.tier.rate for one in tiers if one.lines[place]]
        rate = sum(rates) if edition.combine is Combine.SUM else max(rates, default=0)
        total += line.amount_micro_yuan * min(rate, WHOLE_PPM)
    return total // WHOLE_PPM


def _alone(one: _Judged, lines: Sequence[Line]) -> int:
    shares = (line.amount_micro_yuan for line, holds in zip(lines, one.lines, strict=False) if holds)
    amount = sum(shares) * one.tier.rate // WHOLE_PPM
    return amount if one.tier.most is None else min(amount, one.tier.most)


def _limits(
    scheme: Scheme, edition: Edition, facts: Situation, past: Past, on: date, tiers: _Tiers
) -> Iterator[Limit]:
    if tiers.amount_micro_yuan is not None:
        yield Limit("rate", "what the rates give", tiers.amount_micro_yuan)
    special = [tier for tier in edition.tiers if tier.id == tiers.special and tier.most is not None]
    for tier in special:
        assert tier.most is not None
        yield Limit("tier", f"{tier.text or tier.id}: at most {format_yuan(tier.most)}", tier.most)
    if edition.most_claim is not None:
        text = f"a claim is at most {format_yuan(edition.most_claim)}"
        yield Limit("most-claim", text, edition.most_claim)
    cap = edition.holder_cap
    if cap is not None and not _uncapped(edition, facts, on):
        taken = sum(
            one.amount_micro_yuan
            for one in past.claims
            if one.scheme == scheme.scheme and one.claimed_on.year == on.year and Count.CLAIMED in cap.counts
        )
        left = max(0, cap.per_year - taken)
        text = f"a holder gets at most {format_yuan(cap.per_year)} in {on.year}, of which {format_yuan(left)} are left"
        yield Limit("holder-cap", text, left)
    if edition.pool_per_year is not None:
        left = max(0, edition.pool_per_year - past.pool_micro_yuan)
        text = f"the pool of {on.year} is {format_yuan(edition.pool_per_year)}, of which {format_yuan(left)} are left"
        yield Limit("pool", text, left)


def _uncapped(edition: Edition, facts: Situation, on: date) -> bool:
    cap = edition.holder_cap
    return cap is not None and cap.unless is not None and judge(cap.unless, reader(facts, on), on, []) is True


def _day_reading(name: str, day: date | None) -> Reading:
    return Reading(name) if day is None else Reading(name, (day.isoformat(),))


__all__ = ["FEN", "evaluate", "last_day", "rate_of"]
