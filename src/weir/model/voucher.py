"""Schemes, vouchers and their reasons as they are listed."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SchemeView:
    """A scheme in force, in short. Days are ISO texts, empty where there is none."""

    id: str
    version: int
    name: str
    name_zh: str
    authority: str
    notice: str
    begins: str
    ends: str
    pool_micro_yuan: int | None
    """Of this year; None for no limit."""
    taken_micro_yuan: int
    applied_ms: int
    applied_by: str
    act: str
    digest: str
    text: str = ""
    """The file, where one scheme is asked for."""


@dataclass(frozen=True, slots=True)
class SchemesView:
    """Every scheme in force, by id."""

    schemes: tuple[SchemeView, ...]


@dataclass(frozen=True, slots=True)
class ClaimChangeView:
    """What becomes of one claim under a new version. Amounts in micro-yuan."""

    claim: int
    organisation: str
    contract: str
    claimed_day: str
    before_micro_yuan: int
    after_micro_yuan: int
    used_micro_yuan: int
    receivable_micro_yuan: int
    said: str


@dataclass(frozen=True, slots=True)
class SchemeChangeView:
    """What applying a scheme would do, or did. `reaches_back` is empty where no past day changes."""

    scheme: str
    version: int
    reaches_back: str
    claims: tuple[ClaimChangeView, ...]
    digest: str


@dataclass(frozen=True, slots=True)
class ReadingView:
    """A fact that a clause read; without values it is missing."""

    fact: str
    values: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClauseView:
    """One clause and its verdict: for, against or undecided."""

    id: str
    text: str
    verdict: str
    readings: tuple[ReadingView, ...] = ()


@dataclass(frozen=True, slots=True)
class LimitView:
    """One bound of the amount."""

    id: str
    text: str
    allows_micro_yuan: int


@dataclass(frozen=True, slots=True)
class DecisionView:
    """What a scheme says about one contract now. `claim` is the number of a claim that was made, 0 for none."""

    scheme: str
    version: int
    contract: str
    centre: str
    outcome: str
    """entitled, undecided or refused"""
    said: str
    clauses: tuple[ClauseView, ...]
    limits: tuple[LimitView, ...] = ()
    open: tuple[ClauseView, ...] = ()
    claim: int = 0


@dataclass(frozen=True, slots=True)
class WhyView:
    """What a scheme says about an organisation, contract by contract."""

    organisation: str
    scheme: str
    decisions: tuple[DecisionView, ...]


@dataclass(frozen=True, slots=True)
class VoucherView:
    """A claim. Without a sum, `amount_micro_yuan` is None, and what is left is what pool and cap leave this year."""

    claim: int
    scheme: str
    organisation: str
    centre: str
    contract: str
    claimed_day: str
    valid_through: str
    amount_micro_yuan: int | None
    held_micro_yuan: int
    redeemed_micro_yuan: int
    left_micro_yuan: int


@dataclass(frozen=True, slots=True)
class VouchersView:
    """Claims in the order in which they were made."""

    vouchers: tuple[VoucherView, ...]


__all__ = [
    "ClaimChangeView",
    "ClauseView",
    "DecisionView",
    "LimitView",
    "ReadingView",
    "SchemeChangeView",
    "SchemeView",
    "SchemesView",
    "VoucherView",
    "VouchersView",
    "WhyView",
]
