"""A city's own pools first: which city's pools a tenant's jobs prefer, and by how much (城市内供给).

The province file says how much longer a job rather waits for a pool of its tenant's city than goes to another city's
(`city_first`); the tenant's city is its fact `home-city`. Without either, cities make no difference. What is used in
another city all the same is on the settlement between cities (`weir.billing.settlement_cities`).
"""

import json
from collections.abc import Collection
from datetime import date

from sqlalchemy import Connection, select

from weir.billing.settlement_cities import HOME
from weir.control.listed import among_texts, text_list
from weir.registry.rows import PROVINCE_KEY
from weir.store import schema

_fact = schema.organisation_fact.c
_HOMES = (
    select(_fact.organisation, _fact.value, _fact.valid_from, _fact.valid_through)
    .where(
        _fact.name == HOME,
        _fact.withdrawn_ms.is_(None),
        among_texts(_fact.organisation, "organisations"),
    )
    .order_by(_fact.organisation, _fact.valid_from, _fact.value)
)
_HEADER = select(schema.meta.c.value).where(schema.meta.c.key == PROVINCE_KEY)


def rather_waits_ms(connection: Connection) -> int:
    """How much longer a job rather waits for a pool of its tenant's city; 0 where cities make no difference."""
    header = connection.execute(_HEADER).scalar_one_or_none()
    return int(json.loads(header).get("city_first_ms", 0)) if header else 0


def homes(connection: Connection, organisations: Collection[str], on: date) -> dict[str, str]:
    """The cities that these organisations belong to on a day; one that nobody stated is left out."""
    found: dict[str, str] = {}
    for row in connection.execute(_HOMES, {"organisations": text_list(organisations)}):
        begins, ends = date.fromisoformat(row.valid_from), row.valid_through
        if begins <= on and (not ends or on <= date.fromisoformat(ends)):
            found[row.organisation] = row.value
    return found


__all__ = ["homes", "rather_waits_ms"]
