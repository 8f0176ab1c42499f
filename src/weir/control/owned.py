"""A class of jobs with what is its owner's: what it pays, and which city's pools it prefers."""

import json
from dataclasses import replace
from fractions import Fraction
from typing import Protocol

from sqlalchemy import Connection

from weir.billing.hold_legs import legs_from
from weir.billing.price_rows import net_milli, with_price_needs
from weir.billing.price_versions import version_of
from weir.scheduling.inputs import JobClass


class Held(Protocol):
    """What is held for a job, as stored; all None for work that is not priced."""

    @property
    def price_version(self) -> int | None: ...
    @property
    def tenant_class(self) -> str | None: ...
    @property
    def legs(self) -> str | None: ...
    @property
    def paid_there(self) -> str | None: ...


def as_owned(connection: Connection, job_class: JobClass, held: Held, home: str, away_ms: int) -> JobClass:
    """The class as the core is told it. `home`: the owner's city, or empty; `away_ms`: how much longer a job rather
    waits for a pool there."""
    if home:
        job_class = replace(job_class, home=home, away_ms=away_ms)
    if held.price_version is None or held.tenant_class is None or held.legs is None:
        return job_class
    version = version_of(connection, held.price_version)
    apart = json.loads(held.paid_there or "{}")
    if apart:
        there = {
            pool: net_milli(version, held.tenant_class, Fraction(paid, 1_000)) for pool, paid in apart.items()
        }
        job_class = replace(job_class, net_there=tuple(sorted(there.items())))
    shares = () if apart else (leg.share for leg in legs_from(held.legs) if leg.share is not None)
    paid = net_milli(version, held.tenant_class, sum(shares, Fraction(0)))
    return with_price_needs(job_class, held.price_version, paid)


__all__ = ["Held", "as_owned"]
