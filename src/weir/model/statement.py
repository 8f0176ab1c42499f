"""Statements and settlements as they are listed."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StatementView:
    """An issued statement, in short. Amounts in micro-yuan, except for the total, which is in fen."""

    id: str
    kind: str
    party: str
    month: str
    issued_ms: int
    gross_micro_yuan: int
    voucher_micro_yuan: int
    carried_in_micro_yuan: int
    total_fen: int
    carry_micro_yuan: int
    hash: str
    previous: str


@dataclass(frozen=True, slots=True)
class StatementsView:
    """Statements, newest month first."""

    statements: tuple[StatementView, ...]


@dataclass(frozen=True, slots=True)
class ClosedView:
    """A month that is closed. `held_back`: charges that open exceptions kept off."""

    month: str
    closes_ms: int
    closed_ms: int
    statements: int
    hash: str
    held_back: int


@dataclass(frozen=True, slots=True)
class VerifiedView:
    """What verifying issued statements and settlements found; no faults where all holds."""

    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SettlementView:
    """What a funder pays for a quarter. `carried` redemptions wait: disputed, or without what they need."""

    id: str
    funder: str
    quarter: str
    issued_ms: int
    redemptions: int
    carried: int
    total_fen: int
    carry_micro_yuan: int
    hash: str


@dataclass(frozen=True, slots=True)
class SettlementsView:
    """Settlements, newest quarter first."""

    settlements: tuple[SettlementView, ...]


@dataclass(frozen=True, slots=True)
class RedemptionView:
    """What a voucher paid of one charge (below 0: a refund) and is not settled; `waits` says why it could not be."""

    entry: int
    line: int
    scheme: str
    organisation: str
    centre: str
    contract: str
    at_ms: int
    amount_micro_yuan: int
    waits: str


@dataclass(frozen=True, slots=True)
class RedemptionsView:
    """Redemptions, in the ledger's order."""

    redemptions: tuple[RedemptionView, ...]


__all__ = [
    "ClosedView",
    "RedemptionView",
    "RedemptionsView",
    "SettlementView",
    "SettlementsView",
    "StatementView",
    "StatementsView",
    "VerifiedView",
]
