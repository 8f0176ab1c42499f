"""How much of what a statement charges is tax: prices include it, at the rate that their price book names."""

from datetime import date
from fractions import Fraction
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from weir.billing.price_versions import version_of
from weir.billing.statement import PartyKind, Statement
from weir.billing.statement_close import on_statements
from weir.store import schema as s
from weir.units import round_half_even

_charge = s.charge.c


class TaxLine(NamedTuple):
    """What was charged at one rate, and the tax in it. Amounts in micro-yuan."""

    name: str
    rate: str
    charged: int
    tax: int


def taxes_of(connection: Connection, one: Statement) -> tuple[TaxLine, ...]:
    """The tax in a statement's charges, by name and rate; what vouchers pay of them includes it too.

    The sum of what was `charged` is the statement's gross amount, but for charges of no known price book.
    """
    party = _charge.organisation if one.kind is PartyKind.TENANT else _charge.centre
    query = (
        select(s.hold.c.price_version, func.sum(_charge.amount_micro_yuan))
        .select_from(
            s.charge.join(s.job, s.job.c.number == _charge.job).join(
                s.hold, s.hold.c.submission == s.job.c.submission
            )
        )
        .where(party == one.party, on_statements(connection, date.fromisoformat(f"{one.month}-01")))
        .group_by(s.hold.c.price_version)
    )
    charged: dict[tuple[str, str], int] = {}
    for version, amount in connection.execute(query):
        tax = version_of(connection, version).book.tax
        charged[tax.name, tax.rate] = charged.get((tax.name, tax.rate), 0) + int(amount)
    return tuple(
        TaxLine(name, rate, amount, tax_in(amount, rate)) for (name, rate), amount in sorted(charged.items())
    )


def tax_in(amount: int, rate: str) -> int:
    """The tax in an amount that includes it, half to even."""
    share = Fraction(rate)
    return round_half_even(amount * share.numerator, share.denominator + share.numerator)


__all__ = ["TaxLine", "tax_in", "taxes_of"]
