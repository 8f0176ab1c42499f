"""What one shape of job costs at one pool: exact rates per unit and band, and what follows from them.

All amounts are exact until the one place where they are rounded: each unit and band of an attempt by itself, half to
even, over all the time so far. A charge is the difference of two such amounts.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple

from weir.billing.price_bands import Bands, bands_of, time_in_bands
from weir.billing.price_book import UNITS, PoolPrices, Preempted, PriceBook
from weir.units import round_half_even

HOUR_MS = 3_600_000
MONTH_MS = 30 * 24 * HOUR_MS
GB, TB = 10**9, 10**12


@dataclass(frozen=True, slots=True)
class Needs:
    """What a job uses while it runs, over all its tasks, and the data that it reads.

    Of an elastic job this is what it uses with the most tasks that it may have.
    """

    devices_milli: int
    cores_milli: int
    memory_bytes: int
    data: tuple[tuple[str, int], ...] = ()
    """(centre where it lies, bytes)"""
    tasks: int = 0
    """Of an elastic job, that most; 0 for a job that has one size alone."""

    def of(self, tasks: int) -> "Needs":
        """The same of an attempt with so many tasks, each using as much; 0 stands for all of them."""
        if not tasks or not self.tasks or tasks == self.tasks:
            return self
        devices, cores, memory = (
            total // self.tasks * tasks for total in (self.devices_milli, self.cores_milli, self.memory_bytes)
        )
        return replace(self, devices_milli=devices, cores_milli=cores, memory_bytes=memory, tasks=tasks)


@dataclass(frozen=True, slots=True)
class PricedPool:
    """What has to be known of a pool to price its use. `qubits` is that of its device model, 0 where it has none."""

    key: str
    centre: str
    device_model: str
    qubits: int = 0


class Line(NamedTuple):
    """One unit in one band: `quantity` of it is used all the time, in thousandths, bytes or the like.

    A millisecond costs rate_numerator / rate_denominator micro-yuan.
    """

    unit: str
    band: str
    price: int
    """List price of the unit in micro-yuan."""
    numerator: int
    denominator: int
    name: str
    """`unit/band`, by which charges are told apart."""

    def cost(self, time_ms: int) -> Fraction:
        """The exact cost of so much time, in micro-yuan."""
        return Fraction(self.numerator * time_ms, self.denominator)


@dataclass(frozen=True, slots=True)
class RateCard:
    """What a job of some needs costs a class of tenants at a pool, under one version of the price book."""

    version: int
    pool: str
    tenant_class: str
    bands: Bands
    lines: tuple[Line, ...]
    transfer_micro_yuan: int
    """Once, for moving the data that lies elsewhere."""
    transfer_price: int
    minimum_micro_yuan: int
    preempted_charged: bool

    def parts(self, intervals: Sequence[tuple[int, int]]) -> dict[str, int]:
        """The charge for having run in these disjoint intervals, by `unit/band`; `transfer_gb` and `minimum` besides.

        Its sum is 0 for no time at all, and never falls when time is added.
        """
        times = time_in_bands(self.bands, intervals)
        if not times:
            return {}
        found = {}
        for _, band, _, numerator, denominator, name in self.lines:
            if band in times:
                # As `round_half_even`; this is done for each line of each interval.
                amount, rest = divmod(numerator * times[band], denominator)
                if rest and (rest + rest > denominator or (rest + rest == denominator and amount & 1)):
                    amount += 1
                if amount:
                    found[name] = amount
        if self.transfer_micro_yuan:
            found["transfer_gb"] = self.transfer_micro_yuan
        if self.minimum_micro_yuan:
            missing = self.minimum_micro_yuan - sum(found.values())
            if missing > 0:
                found["minimum"] = missing
        return found

    def total(self, intervals: Sequence[tuple[int, int]]) -> int:
        """The sum of `parts`, in micro-yuan."""
        return sum(self.parts(intervals).values())

    def worst(self, limit_ms: int) -> int:
        """The most that running for at most so long can be charged, whenever it starts.

        Each line may be rounded up by less than one micro-yuan, and so counts one more.
        """
        return _worst(self, limit_ms)

    def hourly(self) -> Fraction:
        """The exact price of an hour, in the dearest band."""
        by_band: dict[str, Fraction] = {}
        for line in self.lines:
            by_band[line.band] = by_band.get(line.band, Fraction(0)) + line.cost(HOUR_MS)
        return max(by_band.values(), default=Fraction(0))


@dataclass(frozen=True, slots=True)
class Unpriced:
    """A pool that refuses the job, because it uses units that have no price there."""

    pool: str
    units: tuple[str, ...]

    def __str__(self) -> str:
        return f"the price book has no {' and no '.join(self.units)} at {self.pool}"


def rate_card(
    book: PriceBook, version: int, pool: PricedPool, tenant_class: str, needs: Needs
) -> RateCard | Unpriced:
    """What a job of these needs costs there, or what has no price.

    Devices of a pool whose model has qubits are counted in qubit-seconds, others in device-hours of the model.
    """
    prices = book.at(pool.key) or PoolPrices(pool.key)
    bands = bands_of(book)
    moved = sum(size for at, size in needs.data if at != pool.centre)
    uses: dict[str, tuple[int, int]] = {}  # unit: (quantity, quantity and milliseconds that cost its price)
    if needs.devices_milli and pool.qubits:
        uses["qubit_second"] = (needs.devices_milli * pool.qubits, 1_000 * 1_000)
    elif needs.devices_milli:
        uses["device_hour"] = (needs.devices_milli, 1_000 * HOUR_MS)
    if needs.cores_milli:
        uses["core_hour"] = (needs.cores_milli, 1_000 * HOUR_MS)
    if needs.memory_bytes:
        uses["memory_gb_hour"] = (needs.memory_bytes, GB * HOUR_MS)
    if moved:
        uses["storage_tb_month"] = (moved, TB * MONTH_MS)
    share = book.share_of(tenant_class)
    missing = [
        unit for unit in uses if any(price_of(prices, band, unit, pool) is None for band in bands.distinct)
    ]
    if moved and prices.transfer_gb is None:
        missing.append("transfer_gb")
    if missing:
        named = {"device_hour": f"device_hour of {pool.device_model}"}
        return Unpriced(pool.key, tuple(named.get(unit, unit) for unit in missing))
    lines = []
    for band in bands.distinct:
        for unit, (quantity, per) in uses.items():
            price = price_of(prices, band, unit, pool)
            assert price is not None
            costs = quantity * price * share.numerator, per * share.denominator
            lines.append(Line(unit, band, price, *costs, f"{unit}/{band}"))
    transfer_price = prices.transfer_gb or 0
    return RateCard(
        version=version,
        pool=pool.key,
        tenant_class=tenant_class,
        bands=bands,
        lines=tuple(line for line in lines if line.numerator),
        transfer_micro_yuan=round_half_even(moved * transfer_price * share.numerator, GB * share.denominator),
        transfer_price=transfer_price,
        minimum_micro_yuan=prices.minimum_charge or 0,
        preempted_charged=prices.preempted is Preempted.CHARGED,
    )


def needed_units(pool: PricedPool) -> dict[str, tuple[str, ...]]:
    """The units that need a price at a pool for each kind of need of a job."""
    return {
        "cores_and_memory": ("core_hour", "memory_gb_hour"),
        "devices": ("qubit_second",) if pool.qubits else ("device_hour",),
        "data": ("storage_tb_month", "transfer_gb"),
    }


def difference(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """What has to be charged (or given back) for the parts to become others; parts that stay are left out."""
    found = {}
    for name, amount in after.items():
        more = amount - before.get(name, 0)
        if more:
            found[name] = more
    if not before.keys() <= after.keys():
        for name, amount in before.items():
            if name not in after and amount:
                found[name] = -amount
    return found


@functools.lru_cache(maxsize=1 << 16)
def _worst(card: RateCard, limit_ms: int) -> int:
    dearest = Fraction(0)
    for start in card.bands.turning_starts(limit_ms):
        times = time_in_bands(card.bands, [(start, start + limit_ms)])
        cost = sum((line.cost(times.get(line.band, 0)) for line in card.lines), Fraction(0))
        dearest = max(dearest, cost)
    most = -(-dearest.numerator // dearest.denominator) + len(card.lines) + card.transfer_micro_yuan
    return max(most, card.minimum_micro_yuan)


def price_of(prices: PoolPrices, band: str, unit: str, pool: PricedPool) -> int | None:
    """The list price of a unit in a band: the band's own, else that outside of bands."""
    assert unit in UNITS
    for rates in (prices.bands.get(band), prices):
        if rates is None:
            continue
        price: int | None = (
            rates.device_hour.get(pool.device_model) if unit == "device_hour" else getattr(rates, unit)
        )
        if price is not None:
            return price
    return None


__all__ = [
    "Line",
    "Needs",
    "PricedPool",
    "RateCard",
    "Unpriced",
    "difference",
    "needed_units",
    "price_of",
    "rate_card",
]
