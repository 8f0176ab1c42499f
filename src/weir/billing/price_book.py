"""The price book as a file: what a unit costs at a pool, when, and for whom."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from enum import Enum
from fractions import Fraction

from weir.model.problem import ProblemError
from weir.registry.document import Document, Path, parse_document, read_document
from weir.units import MicroYuan, parse_time_ms

_STRICT = {"extra": "forbid"}
_ALIASED = {**_STRICT, "alias_generator": lambda name: name.rstrip("_"), "validate_by_name": True}
KIND = "invalid-price-book"
BOOK_VERSION = 1
LIST = "list"
"""The class of tenants that the book does not name; its share is 1."""
STANDARD = "standard"
"""The band of the time that lies in no other."""
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DEAREST_MICRO_YUAN = 10**12
"""A million yuan a unit; what is more is a slip of the pen."""
_CLOCK = re.compile(r"([01]\d|2[0-4]):([0-5]\d)")
_POOL = re.compile(r"\*|[^\s/*]+/(?:\*|[^\s/*]+)")
_SHARE = re.compile(r"[0-9](?:\.[0-9]{1,6})?")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
Fault = tuple[Path, object, str]
"""A field, its value, and what is accepted."""


class Preempted(Enum):
    """What becomes of the charge for work that had to make room for another."""

    FREE = "free"
    """It is given back."""
    CHARGED = "charged"


@dataclass(frozen=True, slots=True)
class Rates:
    """Prices of units in yuan, tax included. A unit that is left out has no price; `"0"` is a price.

    An hour is 3,600 s; a month is 30 days of 24 hours; GB and TB are 10^9 and 10^12 bytes.
    """

    __pydantic_config__ = _STRICT
    device_hour: Mapping[str, MicroYuan] = field(default_factory=dict)
    """An hour of one accelerator, by device model."""
    core_hour: MicroYuan | None = None
    memory_gb_hour: MicroYuan | None = None
    storage_tb_month: MicroYuan | None = None
    """For data that a job brings to a centre, while it runs there."""
    transfer_gb: MicroYuan | None = None
    """For data that a job brings to a centre where it does not lie."""
    qubit_second: MicroYuan | None = None


@dataclass(frozen=True, slots=True)
class PoolPrices:
    """Prices at some pools. For each unit the entry that names a pool most exactly counts."""

    __pydantic_config__ = _STRICT
    pool: str
    """`CENTRE/POOL`, `CENTRE/*` or `*`."""
    device_hour: Mapping[str, MicroYuan] = field(default_factory=dict)
    core_hour: MicroYuan | None = None
    memory_gb_hour: MicroYuan | None = None
    storage_tb_month: MicroYuan | None = None
    transfer_gb: MicroYuan | None = None
    qubit_second: MicroYuan | None = None
    bands: Mapping[str, Rates] = field(default_factory=dict)
    """Other prices within a band; what is not given there is as outside of it."""
    minimum_charge: MicroYuan | None = None
    """What an attempt costs at least, once it has run."""
    preempted: Preempted | None = None
    """By default free."""


@dataclass(frozen=True, slots=True)
class Window:
    """A time of day in Asia/Shanghai, on some days of the week. `to` may be 24:00, and is after `from`."""

    __pydantic_config__ = _ALIASED
    from_: str
    to: str
    days: tuple[str, ...] = DAYS


@dataclass(frozen=True, slots=True)
class Tax:
    """The tax that all prices include."""

    __pydantic_config__ = _STRICT
    name: str
    rate: str
    """As a decimal, such as "0.06"."""


@dataclass(frozen=True, slots=True)
class PriceBook:
    """A whole price book file. It is in force from `starts` on, until another begins."""

    __pydantic_config__ = _STRICT
    version: int
    price_book: str
    """Its name."""
    tax: Tax
    prices: tuple[PoolPrices, ...]
    starts: str = ""
    """ISO 8601 with its offset; by default when it is applied."""
    bands: Mapping[str, tuple[Window, ...]] = field(default_factory=dict)
    classes: Mapping[str, str] = field(default_factory=dict)
    """Tenant classes, such as internal and partner, each with its share of the list price as a decimal."""
    tenants: Mapping[str, str] = field(default_factory=dict)
    """The class of an organisation; others pay the list price."""

    def class_of(self, organisation: str) -> str:
        """The class that an organisation is in."""
        return self.tenants.get(organisation, LIST)

    def share_of(self, tenant_class: str) -> Fraction:
        """What a class pays of the list price."""
        return Fraction(1) if tenant_class == LIST else Fraction(Decimal(self.classes[tenant_class]))

    def at(self, pool: str) -> PoolPrices | None:
        """What counts at a pool, put together from all entries that name it; None where none does."""
        centre = pool.partition("/")[0]
        named = {entry.pool: entry for entry in self.prices}
        found = [named[name] for name in ("*", f"{centre}/*", pool) if name in named]
        if not found:
            return None
        values: dict[str, object] = {"pool": pool}
        for name in (*UNITS, "minimum_charge", "preempted"):
            if name == "device_hour":
                values[name] = {model: price for entry in found for model, price in entry.device_hour.items()}
                continue
            given = [value for entry in found if (value := getattr(entry, name)) is not None]
            values[name] = given[-1] if given else None
        values["bands"] = {band: _joined(band, found) for band in self.bands}
        return PoolPrices(**values)  # type: ignore[arg-type]  # the fields by name, as declared above


UNITS = tuple(one.name for one in fields(Rates))
"""The names of the units, as in `Rates`."""


def read_price_book(text: str, source: str) -> PriceBook:
    """The price book that a YAML text declares; `source` names the text in messages.

    Raises ProblemError naming each field with its line, its value and what is accepted.
    """
    document = read_document(text, source)
    book = parse_document(document, PriceBook, kind=KIND)
    faults = list(_faults(book))
    if faults:
        raise document.problem(KIND, faults)
    return book


def starts_ms(book: PriceBook, now_ms: int) -> int:
    """When the book begins to be in force. Raises ProblemError where that lies in the past."""
    if not book.starts:
        return now_ms
    begins = parse_time_ms(book.starts)
    if begins < now_ms:
        said = "a price book begins now or later, since what was priced stays priced; leave it out for now"
        raise _refusal(("starts",), book.starts, said)
    return begins


def _joined(band: str, found: list[PoolPrices]) -> Rates:
    given = [entry.bands[band] for entry in found if band in entry.bands]
    values: dict[str, object] = {
        "device_hour": {model: price for rates in given for model, price in rates.device_hour.items()}
    }
    for name in UNITS[1:]:
        known = [value for rates in given if (value := getattr(rates, name)) is not None]
        values[name] = known[-1] if known else None
    return Rates(**values)  # type: ignore[arg-type]  # the fields by name, as declared above


def _refusal(path: Path, value: object, accepted: str) -> ProblemError:
    return Document("the price book", {}, {}).problem(KIND, [(path, value, accepted)])


def _faults(book: PriceBook) -> Iterator[Fault]:
    if book.version != BOOK_VERSION:
        yield ("version",), book.version, f"give version: {BOOK_VERSION}"
    for path, text in ((("price_book",), book.price_book), (("tax", "name"), book.tax.name)):
        if not text.strip() or not text.isprintable():
            yield path, text, "give a name"
    if book.starts:
        try:
            parse_time_ms(book.starts)
        except ValueError as error:
            yield ("starts",), book.starts, str(error)
    if not _is_share(book.tax.rate):
        yield ("tax", "rate"), book.tax.rate, 'give a decimal from 0 to 1, such as "0.06"'
    for name, share in book.classes.items():
        if name == LIST or not _NAME.fullmatch(name):
            yield ("classes", name), name, f"name a class in lower-case letters, other than {LIST}"
        if not _is_share(share):
            yield ("classes", name), share, 'give the share of the list price as a decimal, such as "0.8"'
    for organisation, name in book.tenants.items():
        if name != LIST and name not in book.classes:
            yield ("tenants", organisation), name, f"give one of {', '.join((LIST, *book.classes))}"
    yield from _band_faults(book)
    yield from _price_faults(book)


def _band_faults(book: PriceBook) -> Iterator[Fault]:
    taken: dict[str, list[tuple[int, int, str]]] = {day: [] for day in DAYS}
    for band, windows in book.bands.items():
        if band == STANDARD or not _NAME.fullmatch(band):
            yield ("bands", band), band, f"name a band in lower-case letters, other than {STANDARD}"
        for place, window in enumerate(windows):
            path = ("bands", band, place)
            begins, ends = minutes(window.from_), minutes(window.to)
            if begins is None or ends is None or begins >= ends:
                yield (
                    path,
                    f"{window.from_}-{window.to}",
                    "give times as HH:MM, `to` after `from`, at most 24:00",
                )
                continue
            for day in window.days:
                if day not in DAYS:
                    yield (*path, "days"), day, f"give days of {', '.join(DAYS)}"
                    continue
                for other_begins, other_ends, other in taken[day]:
                    if begins < other_ends and other_begins < ends:
                        yield (
                            path,
                            f"{window.from_}-{window.to}",
                            f"it overlaps with {other} on {day}; cut one",
                        )
                taken[day].append((begins, ends, band))


def _price_faults(book: PriceBook) -> Iterator[Fault]:
    if not book.prices:
        yield ("prices",), [], 'give at least one entry, such as {pool: "*", core_hour: "0.10"}'
    seen: set[str] = set()
    for place, entry in enumerate(book.prices):
        path = ("prices", place)
        if not _POOL.fullmatch(entry.pool):
            yield (*path, "pool"), entry.pool, "give CENTRE/POOL, CENTRE/* or *"
        if entry.pool in seen:
            yield (*path, "pool"), entry.pool, "it is given twice; keep one"
        seen.add(entry.pool)
        yield from _amount_faults(path, entry)
        if entry.minimum_charge is not None and not 0 <= entry.minimum_charge <= DEAREST_MICRO_YUAN:
            yield (*path, "minimum_charge"), entry.minimum_charge, "give yuan from 0 to 1000000"
        for band, rates in entry.bands.items():
            if band not in book.bands:
                yield (
                    (*path, "bands", band),
                    band,
                    f"give one of {', '.join(book.bands) or 'the bands (there are none)'}",
                )
            yield from _amount_faults((*path, "bands", band), rates)


def _amount_faults(path: tuple[str | int, ...], rates: Rates | PoolPrices) -> Iterator[Fault]:
    given: list[tuple[Path, int | None]] = []
    given += [((*path, "device_hour", model), price) for model, price in rates.device_hour.items()]
    given += [((*path, name), getattr(rates, name)) for name in UNITS[1:]]
    for where, price in given:
        if price is not None and not 0 <= price <= DEAREST_MICRO_YUAN:
            yield where, price, "give yuan from 0 to 1000000"


def minutes(clock: str) -> int | None:
    """Minutes after midnight of HH:MM; None for what is none."""
    match = _CLOCK.fullmatch(clock)
    total = int(match[1]) * 60 + int(match[2]) if match else None
    return None if total is None or total > 24 * 60 else total


def _is_share(text: str) -> bool:
    return bool(_SHARE.fullmatch(text)) and Decimal(text) <= 1


__all__ = [
    "DAYS",
    "LIST",
    "STANDARD",
    "UNITS",
    "PoolPrices",
    "Preempted",
    "PriceBook",
    "Rates",
    "Tax",
    "Window",
    "minutes",
    "read_price_book",
    "starts_ms",
]
