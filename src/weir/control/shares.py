"""What tenants may use of the province, and have used: as the core is told it, and as it is kept.

What has ended is kept of usage; what runs is told as what it is. It is stored with a plan, once a minute at most, so
that a scheduler that starts anew lacks no more than that.
"""

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection, delete, insert, select

from weir.control.sharing import declared
from weir.model.province import Organisation
from weir.registry.pool_rows import tenant_row
from weir.scheduling.inputs import TenantRow
from weir.store import schema

STORED_EVERY_MS = 60_000
_USAGE = "usage"
_organisation = schema.organisation.c
_SHARING = (
    select(_organisation.id, _organisation.body)
    .where(_organisation.body.contains('"share"'))
    .order_by(_organisation.id)
)


@functools.lru_cache(maxsize=65_536)
def tenant_number(organisation: str) -> int:
    """By what the core knows an organisation: 40 bits of its code's SHA-256, the same wherever it is asked."""
    return int.from_bytes(hashlib.sha256(organisation.encode()).digest()[:5])


def told_shares(connection: Connection) -> tuple[TenantRow, ...]:
    """The shares that organisations declare; of two with one number, that of the first by its code."""
    found: dict[int, TenantRow] = {}
    for row in connection.execute(_SHARING):
        number = tenant_number(row.id)
        found.setdefault(number, tenant_row(number, declared(Organisation, row.body).share))
    return tuple(found.values())


def with_usage(connection: Connection, shares: Sequence[TenantRow]) -> tuple[TenantRow, ...]:
    """The shares, and what was used as it was stored last; also of those that are no longer declared."""
    stored = connection.execute(select(schema.meta.c.value).where(schema.meta.c.key == _USAGE)).scalar()
    if stored is None:
        return tuple(shares)
    kept = json.loads(stored)
    used = {int(number): amount for number, amount in kept["used"].items()}
    known = {row.tenant for row in shares}
    rows = (*shares, *(TenantRow(number) for number in used if number not in known))
    return tuple(
        replace(row, used=used[row.tenant], used_as_of_ms=kept["as_of_ms"]) if row.tenant in used else row
        for row in rows
    )


def store_usage(connection: Connection, usage: Sequence[TenantRow], now_ms: int) -> None:
    """Keep what was used, in place of what was kept before."""
    used = {str(row.tenant): row.used for row in usage if row.used}
    value = json.dumps({"as_of_ms": now_ms, "used": used}, separators=(",", ":"))
    connection.execute(delete(schema.meta).where(schema.meta.c.key == _USAGE))
    connection.execute(insert(schema.meta).values(key=_USAGE, value=value))


__all__ = ["STORED_EVERY_MS", "store_usage", "tenant_number", "told_shares", "with_usage"]
