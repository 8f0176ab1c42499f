"""Scheme files: read, checked, and kept as the text that was signed."""

import functools
import hashlib
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from weir.model.province import CentreKind
from weir.model.scheme import Base, Combine, Condition, Edition, Scheme
from weir.registry import data_folder, fact_catalogue
from weir.registry.document import parse_document, read_document
from weir.registry.fact_catalogue import fact_fault
from weir.units import format_yuan

VERSION = 1
KIND = "invalid-scheme"
COST_LINES = ("compute", "memory", "storage", "transfer", "network", "security", "service")
LINE_FACTS = ("line.kind", "line.chip-origin", "line.purpose", "line.registered-model")
CENTRE_FACTS = ("centre.kind", "centre.city")
_VALUES = {
    "centre.kind": tuple(kind.value for kind in CentreKind),
    "line.kind": COST_LINES,
    "line.chip-origin": ("domestic", "foreign"),
    "line.registered-model": ("yes", "no"),
}
MOST_MONTHS = 1_200
_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_CAPACITY = re.compile(r"centre\.capacity\.[a-z]+\.[A-Za-z]+(\.[a-z0-9]+)?")
_TESTS = ("one_of", "within", "at_least", "at_most", "above", "since", "until", "first_months")

_Path = tuple[str | int, ...]
_Fault = tuple[_Path, object, str]


def read_scheme(text: str, source: str) -> Scheme:
    """The scheme that a YAML text declares; `source` names the text in messages.

    Every fact that it reads can be stated, its editions follow each other, its funders pay the whole. Raises
    ProblemError naming each field with its line, its value and what is accepted.
    """
    document = read_document(text, source)
    scheme = parse_document(document, Scheme, kind=KIND)
    faults = list(_faults(scheme))
    if faults:
        raise document.problem(KIND, faults)
    return scheme


def scheme_digest(text: str) -> str:
    """What is signed: the SHA-256 of the file's text."""
    return hashlib.sha256(text.encode()).hexdigest()


def edition_on(scheme: Scheme, day: date) -> Edition | None:
    """The rules for claims of that day; None where there are none."""
    for edition in scheme.editions:
        if edition.begins <= day and (edition.ends is None or day <= edition.ends):
            return edition
    return None


def preset_files() -> tuple[Path, ...]:
    """The scheme files that ship with Weir, by name."""
    return tuple(sorted(data_folder("schemes").glob("*.yaml")))


@functools.lru_cache(maxsize=256)
def scheme_of(text: str) -> Scheme:
    """A scheme from a text that was accepted before; read once.

    Only its form is looked at, so that what was signed stays readable where more is asked of new texts.
    """
    return parse_document(read_document(text, "the stored scheme"), Scheme, kind=KIND)


def _faults(scheme: Scheme) -> Iterator[_Fault]:
    if scheme.version != VERSION:
        yield ("version",), scheme.version, f"give version: {VERSION}"
    if not _ID.fullmatch(scheme.scheme) or len(scheme.scheme) > 63:
        yield ("scheme",), scheme.scheme, "give small letters, digits and single dashes, such as henan-2025"
    if not scheme.name.strip():
        yield ("name",), scheme.name, "give the scheme's name"
    if not scheme.sources:
        yield ("sources",), [], "name at least one source"
    if not scheme.notice and not any(source.official for source in scheme.sources):
        yield ("notice",), "", "say that it was not taken from the official text, since no source is official"
    if not scheme.editions:
        yield ("editions",), [], "give at least one edition"
    for index, edition in enumerate(scheme.editions):
        where: _Path = ("editions", index)
        if edition.ends is not None and edition.ends < edition.begins:
            yield (*where, "ends"), str(edition.ends), f"it is before begins, {edition.begins}"
        before = scheme.editions[index - 1] if index else None
        if before is not None and (before.ends is None or before.ends >= edition.begins):
            yield (
                (*where, "begins"),
                str(edition.begins),
                "the edition before must have ended; put them in order",
            )
        yield from _edition_faults(where, edition)


def _edition_faults(where: _Path, edition: Edition) -> Iterator[_Fault]:
    if not edition.tiers:
        yield (*where, "tiers"), [], "give at least one tier"
    for name in ("tiers", "holder", "supplier", "checks", "funders"):
        seen: set[str] = set()
        for place, one in enumerate(getattr(edition, name)):
            if one.id in seen or not _ID.fullmatch(one.id):
                yield (
                    (*where, name, place, "id"),
                    one.id,
                    "give small letters, digits and dashes, each id once",
                )
            seen.add(one.id)
    for name in ("pool_per_year", "least_claim", "most_claim"):
        amount = getattr(edition, name)
        if amount is not None and amount <= 0:
            yield (*where, name), format_yuan(amount), "give an amount above 0, or leave it out"
    cap = edition.holder_cap
    if cap is not None and cap.per_year <= 0:
        yield (*where, "holder_cap", "per_year"), format_yuan(cap.per_year), "give an amount above 0"
    if cap is not None and not cap.counts:
        yield (*where, "holder_cap", "counts"), [], "say what counts: claimed, redeemed or both"
    for name in ("evidence", "assumed"):
        for place, word in enumerate(getattr(edition, name)):
            if not word.strip():
                yield (*where, name, place), word, "give a word, or leave it out"
    for place, check in enumerate(edition.checks):
        if not check.by.strip():
            yield (*where, "checks", place, "by"), check.by, "say who signs it"
    for place, line in enumerate(edition.cost_lines):
        if line not in COST_LINES:
            yield (*where, "cost_lines", place), line, f"give one of {', '.join(COST_LINES)}"
    if not edition.cost_lines:
        yield (*where, "cost_lines"), [], f"give some of {', '.join(COST_LINES)}"
    if not edition.funders or any(funder.parts < 1 for funder in edition.funders):
        yield (*where, "funders"), len(edition.funders), "name who pays, each with 1 part or more"
    yield from _bound_faults(where, edition)
    validity = edition.validity
    given = (validity.months is not None) + validity.year_end + (validity.through is not None)
    if given > 1 or not 1 <= (1 if validity.months is None else validity.months) <= MOST_MONTHS:
        yield (
            (*where, "validity"),
            validity.months or given,
            f"give one of months (1 to {MOST_MONTHS}), year_end and through",
        )
    longest = edition.contract.most_months
    if longest is not None and not 1 <= longest <= MOST_MONTHS:
        yield (*where, "contract", "most_months"), longest, f"give 1 to {MOST_MONTHS}"
    if not 0 <= edition.credit_clear_years <= 100:
        yield (*where, "credit_clear_years"), edition.credit_clear_years, "give 0 to 100"
    if edition.transferable:
        yield (*where, "transferable"), True, "not supported: Weir transfers no voucher; leave it out"
    yield from _condition_faults(where, edition)


def _bound_faults(where: _Path, edition: Edition) -> Iterator[_Fault]:
    cap = edition.holder_cap
    always_capped = cap is not None and cap.unless is None
    if edition.base is Base.USAGE:
        if not (edition.pool_per_year or always_capped):
            yield (*where, "base"), "usage", "give pool_per_year or holder_cap: something must bound it"
        yield from _usage_faults(where, edition)
    if edition.combine is Combine.SUM:
        for place, tier in enumerate(edition.tiers):
            if tier.most is not None or tier.once:
                yield (*where, "tiers", place), tier.id, "with combine: sum no tier has most or once"


def _usage_faults(where: _Path, edition: Edition) -> Iterator[_Fault]:
    """Without recorded amounts no sum is claimed there, so that limits of a sum would not hold."""
    needs = "it needs base: contract, where every claim is for a sum; leave it out"
    if edition.most_claim is not None:
        yield (*where, "most_claim"), edition.most_claim, needs
    if edition.holder_cap is not None and edition.holder_cap.unless is not None:
        yield (*where, "holder_cap", "unless"), edition.holder_cap.unless.fact, needs
    for place, tier in enumerate(edition.tiers):
        if tier.most is not None:
            yield (*where, "tiers", place, "most"), tier.most, needs


def _condition_faults(where: _Path, edition: Edition) -> Iterator[_Fault]:
    rules = [("holder", place, rule.when) for place, rule in enumerate(edition.holder)]
    rules += [("supplier", place, rule.when) for place, rule in enumerate(edition.supplier)]
    for name, place, when in rules:
        yield from _condition((*where, name, place, "when"), when, False)
    for place, tier in enumerate(edition.tiers):
        if tier.when is not None:
            yield from _condition((*where, "tiers", place, "when"), tier.when, True)
    if edition.holder_cap is not None and edition.holder_cap.unless is not None:
        yield from _condition((*where, "holder_cap", "unless"), edition.holder_cap.unless, False)


def _condition(where: _Path, one: Condition, lines: bool) -> Iterator[_Fault]:
    groups = [name for name in ("all_of", "any_of", "none_of") if getattr(one, name)]
    tests = [name for name in _TESTS if getattr(one, name) not in (None, ())]
    if bool(one.fact) == bool(groups) or len(groups) > 1 or (groups and tests):
        yield where, one.fact, "give a fact and a test of it, or one of all_of, any_of and none_of"
        return
    for name in groups:
        for place, inner in enumerate(getattr(one, name)):
            yield from _condition((*where, name, place), inner, lines)
    if one.fact:
        if not tests:
            yield where, one.fact, f"give a test: {', '.join(_TESTS)}"
        if not _known(one.fact, lines):
            known = (*LINE_FACTS, *CENTRE_FACTS) if lines else CENTRE_FACTS
            accepted = (
                "give holder. or supplier. and a fact of catalogue/facts.yaml, "
                f"centre.capacity.KIND.UNIT, or one of {', '.join(known)}"
            )
            yield (*where, "fact"), one.fact, accepted
        for place, value in enumerate(one.one_of):
            fault = _value_fault(one.fact, value)
            if fault:
                yield (*where, "one_of", place), value, fault


def _value_fault(fact: str, value: str) -> str:
    """Why a fact can never have this value; empty where it can. A slip of the pen would grant nothing to anybody."""
    subject, _, name = fact.partition(".")
    if subject in ("holder", "supplier") and name in fact_catalogue():
        return fact_fault(name, value, fact_catalogue())
    known = _VALUES.get(fact)
    return "" if known is None or value in known else f"{fact} is one of {', '.join(known)}"


def _known(fact: str, lines: bool) -> bool:
    subject, _, name = fact.partition(".")
    if subject in ("holder", "supplier"):
        return name in fact_catalogue()
    return fact in CENTRE_FACTS or bool(_CAPACITY.fullmatch(fact)) or (lines and fact in LINE_FACTS)


__all__ = ["COST_LINES", "edition_on", "preset_files", "read_scheme", "scheme_digest", "scheme_of"]
