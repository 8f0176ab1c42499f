"""Statements: what a month comes to for one party. Pure: postings in, a document out.

A posting is on the statement of the month in which its usage began, if it was posted before that month closed; else
on the next that is open, with its original period. Amounts are exact; what is to be paid is rounded to the fen, and the
rest is carried to the party's next statement, so that statements and carry together are what the ledger has.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from weir.units import round_half_even

FEN = 10_000
"""Micro-yuan."""


class PartyKind(Enum):
    """For whom a statement is."""

    TENANT = "tenant"
    CENTRE = "centre"


class Posting(NamedTuple):
    """One entry of the ledger that belongs on a statement. Amounts in micro-yuan.

    `other` is who stands on the other side: the centre for a tenant, the tenant for a centre. `parts` is the gross
    amount by unit; `vouchers` what of it schemes paid.
    """

    entry: int
    period: str
    other: str
    contract: str
    parts: Mapping[str, int]
    vouchers: Mapping[str, int]


class StatementLine(NamedTuple):
    """So much for one unit in one period with one other party under one contract."""

    period: str
    other: str
    contract: str
    unit: str
    amount: int


class VoucherLine(NamedTuple):
    """So much of the charges of one period that a scheme paid."""

    period: str
    scheme: str
    amount: int


@dataclass(frozen=True, slots=True)
class Statement:
    """An issued statement. Amounts in micro-yuan, except for `total_fen`.

    `gross` - `voucher` + `carried_in` = `total_fen` × FEN + `carry`, and |carry| < FEN. A centre is owed gross; what
    vouchers paid of it is shown and not deducted.
    """

    id: str
    kind: PartyKind
    party: str
    month: str
    issued_ms: int
    lines: tuple[StatementLine, ...]
    vouchers: tuple[VoucherLine, ...]
    carried_in: int
    total_fen: int
    carry: int
    previous: str
    """The hash of the party's statement before; empty for the first."""
    hash: str = field(default="", compare=False)

    @property
    def gross(self) -> int:
        return sum(line.amount for line in self.lines)

    @property
    def voucher(self) -> int:
        return sum(line.amount for line in self.vouchers)

    @property
    def net(self) -> int:
        """What the month comes to for this party, before rounding."""
        return self.gross - (self.voucher if self.kind is PartyKind.TENANT else 0)

    def body(self) -> str:
        """What it says, as the text that the hash is over."""
        said: dict[str, Any] = {
            "id": self.id,
            "kind": self.kind.value,
            "party": self.party,
            "month": self.month,
            "issued_ms": self.issued_ms,
            "lines": self.lines,
            "vouchers": self.vouchers,
            "carried_in": self.carried_in,
            "total_fen": self.total_fen,
            "carry": self.carry,
            "previous": self.previous,
        }
        return json.dumps(said, ensure_ascii=False, separators=(",", ":"))


def make_statement(
    kind: PartyKind,
    id_: str,
    party: str,
    month: str,
    issued_ms: int,
    postings: Iterable[Posting],
    carried_in: int,
    previous: str,
) -> Statement:
    """The statement of these postings, its lines in order, with its hash."""
    amounts: dict[tuple[str, str, str, str], int] = defaultdict(int)
    schemes: dict[tuple[str, str], int] = defaultdict(int)
    for _, period, other, contract, parts, vouchers in postings:
        for unit, amount in parts.items():
            amounts[period, other, contract, unit] += amount
        for scheme, amount in vouchers.items():
            schemes[period, scheme] += amount
    lines = tuple(StatementLine(*key, amounts[key]) for key in sorted(amounts))
    paid = tuple(VoucherLine(*key, schemes[key]) for key in sorted(schemes))
    due = carried_in + sum(line.amount for line in lines)
    if kind is PartyKind.TENANT:
        due -= sum(line.amount for line in paid)
    fen = round_half_even(due, FEN)
    made = Statement(
        id_, kind, party, month, issued_ms, lines, paid, carried_in, fen, due - fen * FEN, previous
    )
    return _sealed(made)


def statement_from(body: str) -> Statement:
    """A statement from what was stored, with the hash that follows from it."""
    said = json.loads(body)
    made = Statement(
        said["id"],
        PartyKind(said["kind"]),
        said["party"],
        said["month"],
        said["issued_ms"],
        tuple(StatementLine(*row) for row in said["lines"]),
        tuple(VoucherLine(*row) for row in said["vouchers"]),
        said["carried_in"],
        said["total_fen"],
        said["carry"],
        said["previous"],
    )
    return _sealed(made)


def hash_of(body: str) -> str:
    """SHA-256 of what a statement says, which includes the hash of the one before."""
    return hashlib.sha256(body.encode()).hexdigest()


def hash_of_all(hashes: Sequence[str]) -> str:
    """One hash for a month: over those of all its statements, in order."""
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def _sealed(made: Statement) -> Statement:
    object.__setattr__(made, "hash", hash_of(made.body()))
    return made


__all__ = [
    "FEN",
    "PartyKind",
    "Posting",
    "Statement",
    "StatementLine",
    "VoucherLine",
    "hash_of",
    "hash_of_all",
    "make_statement",
    "statement_from",
]
