"""Between cities: what tenants of one city used in another, month by month (城市内供给, overflow to others).

A tenant's city is its fact `home-city` on the first day of the month; a tenant without one is shown as of no city,
never guessed.
"""

import csv
import io
from collections import defaultdict
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, func, select

from weir.billing.scheme_case import Party
from weir.billing.statement_close import on_statements
from weir.model.province import Centre
from weir.registry import facts_of
from weir.registry.rows import from_body
from weir.store import schema as s

HOME = "home-city"
COLUMNS = ("month", "from_city", "to_city", "charges", "amount_micro_yuan")


@dataclass(frozen=True, slots=True)
class CityFlow:
    """What tenants of one city used in a city on the statements of a month: their own, or another."""

    from_city: str
    """Empty for tenants whose city nobody stated."""
    to_city: str
    charges: int
    amount: int
    """Micro-yuan, before vouchers: what the centres there are owed."""

    @property
    def within(self) -> bool:
        """Whether the city supplied its own tenants."""
        return self.from_city == self.to_city


def city_flows(connection: Connection, month: date) -> tuple[CityFlow, ...]:
    """The flows of a closed month by cities; together they are all that centres earned. Raises ProblemError (409)."""
    charge = s.charge.c
    query = (
        select(charge.organisation, charge.centre, func.count(), func.sum(charge.amount_micro_yuan))
        .where(on_statements(connection, month.replace(day=1)))
        .group_by(charge.organisation, charge.centre)
    )
    cities = {
        row.id: from_body(Centre, row.body).city
        for row in connection.execute(select(s.centre.c.id, s.centre.c.body))
    }
    homes: dict[str, str] = {}
    sums: dict[tuple[str, str], tuple[int, int]] = defaultdict(lambda: (0, 0))
    for organisation, centre, count, amount in connection.execute(query):
        if organisation not in homes:
            found = Party(organisation, facts_of(connection, organisation)).on(HOME, month.replace(day=1))
            homes[organisation] = found[0].value if found else ""
        key = homes[organisation], cities.get(centre, "")
        before = sums[key]
        sums[key] = before[0] + count, before[1] + int(amount)
    return tuple(CityFlow(*key, *sums[key]) for key in sorted(sums))


def city_flows_csv(connection: Connection, month: date) -> str:
    """The same as CSV, for the cities' settlement with each other."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for flow in city_flows(connection, month):
        name = f"{month.year:04d}-{month.month:02d}"
        writer.writerow((name, flow.from_city, flow.to_city, flow.charges, flow.amount))
    return text.getvalue()


__all__ = ["COLUMNS", "HOME", "CityFlow", "city_flows", "city_flows_csv"]
