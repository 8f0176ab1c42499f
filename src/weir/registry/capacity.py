"""Sums of capacity facts: like with like, and never otherwise."""

from decimal import Decimal

from weir.model.province import Province
from weir.units import Quantity


def totals(province: Province) -> list[Quantity]:
    """The province's capacity by kind, unit, precision and basis, in that order; exact."""
    sums: dict[tuple[str, str, str, str], Quantity] = {}
    for centre in province.centres:
        for fact in centre.capacity:
            like = (fact.kind, fact.unit, fact.precision, fact.basis)
            one = Quantity(Decimal(fact.value), fact.unit, fact.kind, fact.precision, fact.basis)
            sums[like] = sums[like] + one if like in sums else one
    return [sums[like] for like in sorted(sums)]
