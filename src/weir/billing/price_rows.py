"""Prices as the scheduling core takes them: rates in the pools' rows, and what makes a pool refuse unpriced work.

The core weighs what a job's owner would pay for devices and cores, as their prices change over the week, and for memory
at its dearest band: of the list price, his class's share less what vouchers pay, at each pool what they pay there.
A job that is priced is weighed by the version that it is charged by, the one that was in force when it was submitted:
rows tell the prices of every version from that on which the oldest job that has not ended may be priced by, those to
come included. Storage, transfer and minimum charges are not in its score. What a job really costs is decided by its
rate card alone.

That a pool has a price for a unit is told as a capability, by version of the price book: a job asks for the units that
it uses, in the version that it is priced by.
"""

import functools
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from sqlalchemy import Connection, func, select, union_all

from weir.billing.price_bands import MONDAY_MS, WEEK_MS, Bands, bands_of
from weir.billing.price_book import PoolPrices
from weir.billing.price_versions import BookVersion, all_versions, priced_pools
from weir.billing.rate_card import PricedPool, needed_units, price_of
from weir.model.state import JobState
from weir.scheduling.inputs import Curve, JobClass, PoolRow, Prices
from weir.store import schema

_job = schema.job.c
_submission = schema.submission.c
_OLDEST = union_all(
    *(
        select(
            select(_submission.submitted_ms)
            .join(schema.job, _job.submission == _submission.number)
            .where(_job.state == int(state))
            .order_by(_job.number)
            .limit(1)
            .scalar_subquery()
        )
        for state in JobState
        if not state.ended
    )
)
"""When the first job in each state that is not over was submitted: they were so in the order of their numbers."""

NET_STEP = 10
PREFIX = "price/"
"""What the capabilities that tell of prices begin with: `price/VERSION/UNIT`."""


def with_prices(connection: Connection, rows: Sequence[PoolRow]) -> list[PoolRow]:
    """The rows with what the price books say; as they are where none was ever applied."""
    versions = all_versions(connection)
    if not versions:
        return list(rows)
    known = priced_pools(connection)
    now_ms = connection.execute(select(func.max(schema.change.c.at_ms))).scalar() or 0
    current = _in_force(versions, now_ms)
    oldest_ms = min((at for (at,) in connection.execute(_OLDEST) if at is not None), default=now_ms)
    first = _in_force(versions, oldest_ms)
    since_ms = oldest_ms if first is None else first.starts_ms
    may_price = [one for one in versions if one.starts_ms >= since_ms]
    return [_priced(row, known[row.key], versions, current, may_price) for row in rows]


def with_price_needs(job_class: JobClass, version: int, net_milli: int) -> JobClass:
    """The class of jobs that are priced by a version, at pools alone where all that they use has a price.

    `net_milli`: as of `net_milli`.
    """
    asked = [f"{PREFIX}{version}/cores_and_memory"]
    if job_class.devices_milli:
        asked.append(f"{PREFIX}{version}/devices")
    if job_class.data:
        asked.append(f"{PREFIX}{version}/data")
    capabilities = (*job_class.capabilities, *asked)
    return replace(job_class, capabilities=capabilities, net_milli=net_milli, price_version=version)


def net_milli(version: BookVersion, tenant_class: str, paid: Fraction) -> int:
    """How much of the list price a job's owner pays: his class's share, less what vouchers pay of that.

    In thousandths, to the nearest NET_STEP, so that classes of jobs stay few.
    """
    share = version.book.share_of(tenant_class) * (1 - paid)
    return max(0, round(share * 1_000 / NET_STEP)) * NET_STEP


def _in_force(versions: Sequence[BookVersion], at_ms: int) -> BookVersion | None:
    begun = [one for one in versions if one.starts_ms <= at_ms]
    return max(begun, key=lambda one: (one.starts_ms, one.version), default=None)


def _priced(
    row: PoolRow,
    pool: PricedPool,
    versions: Sequence[BookVersion],
    current: BookVersion | None,
    may_price: Sequence[BookVersion],
) -> PoolRow:
    told = {f"{PREFIX}{one.version}/{group}" for one in versions for group in _groups(one, pool)}
    books = tuple(_prices_of(one, pool) for one in sorted(may_price, key=lambda one: one.version))
    row = replace(row, capabilities=row.capabilities | told, books=books)
    if current is None:
        return row
    its = _prices_of(current, pool)
    return replace(
        row,
        device_hour_micro_yuan=its.device_hour_micro_yuan,
        core_hour_micro_yuan=its.core_hour_micro_yuan,
        device_hour_over_time=its.device_hour_over_time,
        core_hour_over_time=its.core_hour_over_time,
        memory_gb_hour_micro_yuan=its.memory_gb_hour_micro_yuan,
    )


@functools.lru_cache(maxsize=1 << 15)
def _prices_of(version: BookVersion, pool: PricedPool) -> Prices:
    """What a version says of a pool; what has no price there costs nothing, and is refused besides."""
    prices, bands = version.book.at(pool.key) or PoolPrices(pool.key), bands_of(version.book)
    device = {band: price_of(prices, band, "device_hour", pool) or 0 for band in bands.distinct}
    memory = [price_of(prices, band, "memory_gb_hour", pool) or 0 for band in bands.distinct]
    core = {band: price_of(prices, band, "core_hour", pool) or 0 for band in bands.distinct}
    return Prices(
        version.version,
        device_hour_micro_yuan=max(device.values()),
        core_hour_micro_yuan=max(core.values()),
        device_hour_over_time=_curve(bands, device),
        core_hour_over_time=_curve(bands, core),
        memory_gb_hour_micro_yuan=max(memory),
    )


def _groups(version: BookVersion, pool: PricedPool) -> list[str]:
    """What of a job's needs is wholly priced at a pool."""
    prices, bands = version.book.at(pool.key) or PoolPrices(pool.key), bands_of(version.book)
    found = []
    for group, units in needed_units(pool).items():
        if all(price_of(prices, band, unit, pool) is not None for unit in units for band in bands.distinct):
            found.append(group)
    return found


def _curve(bands: Bands, prices: dict[str, int]) -> Curve | None:
    if len(set(prices.values())) == 1:
        return None
    steps = sorted(
        ((start + MONDAY_MS) % WEEK_MS, prices[name])
        for start, name in zip(bands.starts, bands.names, strict=True)
    )
    return Curve(tuple(steps), WEEK_MS)


__all__ = ["PREFIX", "net_milli", "with_price_needs", "with_prices"]
