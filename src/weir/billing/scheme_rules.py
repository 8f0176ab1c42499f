"""Conditions over facts in Kleene's three-valued logic: true, false, or undecided where a fact is missing."""

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation

from weir.billing.calendar_days import term_end
from weir.billing.entitlement import Clause, Reading, Verdict
from weir.billing.scheme_case import NOTHING, Party, Situation
from weir.model.scheme import Condition

Read = Callable[[str], Reading]
"""What is known of a fact; without values where it is missing."""

_VERDICT = {True: Verdict.FOR, False: Verdict.AGAINST, None: Verdict.UNDECIDED}


def reader(situation: Situation, day: date, line: Mapping[str, str] = NOTHING) -> Read:
    """Reads facts as they hold on that day; `line` are those of what is bought."""

    def read(fact: str) -> Reading:
        subject, _, name = fact.partition(".")
        if subject == "holder":
            return _of_party(situation.holder, fact, name, day)
        if subject == "supplier":
            return _of_party(situation.supplier.operator, fact, name, day)
        known = situation.supplier.centre if subject == "centre" else line
        return Reading(fact, (known[fact],)) if fact in known else Reading(fact)

    return read


def judge(condition: Condition, read: Read, day: date, readings: list[Reading]) -> bool | None:
    """Whether the condition holds; None where it is undecided. Every fact that it read is added to `readings`.

    A false part decides a conjunction, and a true one a disjunction, whatever else is missing.
    """
    if condition.fact:
        reading = read(condition.fact)
        readings.append(reading)
        return _test(condition, reading.values[0], day) if reading.values else None
    if condition.all_of:
        return _all([judge(part, read, day, readings) for part in condition.all_of])
    parts = condition.any_of or condition.none_of
    negated = _all([negation(judge(part, read, day, readings)) for part in parts])
    return negated if condition.none_of else negation(negated)


def clause(id_: str, text: str, condition: Condition, read: Read, day: date) -> Clause:
    """The condition as a clause with its verdict."""
    readings: list[Reading] = []
    verdict = judge(condition, read, day, readings)
    return Clause(id_, text, _VERDICT[verdict], tuple(dict.fromkeys(readings)))


def verdict_of(value: bool | None) -> Verdict:
    """For, against, or undecided."""
    return _VERDICT[value]


def negation(value: bool | None) -> bool | None:
    """Not; undecided stays undecided."""
    return None if value is None else not value


def _all(values: list[bool | None]) -> bool | None:
    if False in values:
        return False
    return None if None in values else True


def _of_party(party: Party, fact: str, name: str, day: date) -> Reading:
    found = party.on(name, day)[:1]
    return Reading(
        fact, tuple(one.value for one in found), tuple(one.evidence for one in found if one.evidence)
    )


def _test(condition: Condition, value: str, day: date) -> bool | None:
    """Every test that is given must hold. A value of another form than a test wants is undecided."""
    results: list[bool | None] = []
    if condition.one_of:
        results.append(value in condition.one_of)
    if condition.within:
        results.append(value.startswith(condition.within))
    if condition.at_least is not None or condition.at_most is not None or condition.above is not None:
        number = _number(value)
        results.append(None if number is None else _between(condition, number))
    if condition.since is not None or condition.until is not None or condition.first_months is not None:
        when = _day(value)
        results.append(None if when is None else _dated(condition, when, day))
    return _all(results)


def _between(condition: Condition, number: Decimal) -> bool:
    return (
        (condition.at_least is None or number >= condition.at_least)
        and (condition.at_most is None or number <= condition.at_most)
        and (condition.above is None or number > condition.above)
    )


def _dated(condition: Condition, when: date, day: date) -> bool:
    return (
        (condition.since is None or when >= condition.since)
        and (condition.until is None or when <= condition.until)
        and (condition.first_months is None or when <= day <= term_end(when, condition.first_months))
    )


def _number(value: str) -> Decimal | None:
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _day(value: str) -> date | None:
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None


__all__ = ["Read", "clause", "judge", "negation", "reader", "verdict_of"]
