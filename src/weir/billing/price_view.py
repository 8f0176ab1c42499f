"""Price books for people: versions as views, and what a new one would change."""

from sqlalchemy import Connection

from weir.billing.price_book import UNITS, PoolPrices, PriceBook, Rates, starts_ms
from weir.billing.price_versions import BookVersion, all_versions, book_digest, in_force, latest
from weir.model.codec import to_plain
from weir.model.money_view import PriceDifferenceView, PriceVersionsView, PriceVersionView
from weir.units import format_time, format_yuan


def version_view(version: BookVersion, *, in_force: bool, whole: bool = True) -> PriceVersionView:
    """One version; without its book for lists."""
    return PriceVersionView(
        version.version,
        version.name,
        version.starts_ms,
        version.applied_ms,
        version.digest,
        in_force,
        to_plain(version.book) if whole else {},
    )


def versions_view(connection: Connection, now_ms: int) -> PriceVersionsView:
    """All versions, newest first."""
    current = in_force(connection, now_ms)
    number = current.version if current else 0
    return PriceVersionsView(
        tuple(
            version_view(one, in_force=one.version == number, whole=False) for one in all_versions(connection)
        )
    )


def difference_view(connection: Connection, book: PriceBook, now_ms: int) -> PriceDifferenceView:
    """What applying the book would change against the newest version. Raises ProblemError for a start in the past."""
    newest = latest(connection)
    if newest is not None and newest.digest == book_digest(book):
        return PriceDifferenceView((), changed=False, version=newest.version)
    begins = starts_ms(book, now_ms)
    before = _facts(newest.book) if newest else {}
    after = _facts(book)
    lines = [f"version {newest.version + 1 if newest else 1} of the price book, from {format_time(begins)}"]
    if newest is None:
        lines.append("until now work is not priced; from then on every job needs a budget")
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        if old is None:
            lines.append(f"+ {key}: {new}")
        elif new is None:
            lines.append(f"- {key}: {old}")
        else:
            lines.append(f"~ {key}: {old} → {new}")
    return PriceDifferenceView(tuple(lines), changed=True, version=newest.version if newest else 0)


def _facts(book: PriceBook) -> dict[str, str]:
    """All that a book says, by what it is about."""
    found = {"tax": f"{book.tax.name} {book.tax.rate}"}
    found |= {f"class {name}": f"{share} of list" for name, share in book.classes.items()}
    found |= {f"tenant {organisation}": name for organisation, name in book.tenants.items()}
    for band, windows in book.bands.items():
        found[f"band {band}"] = ", ".join(
            f"{window.from_}-{window.to} {' '.join(window.days)}" for window in windows
        )
    for entry in book.prices:
        found |= _prices(entry.pool, entry)
        for band, rates in entry.bands.items():
            found |= _prices(f"{entry.pool} ({band})", rates)
        if entry.minimum_charge is not None:
            found[f"{entry.pool} minimum_charge"] = format_yuan(entry.minimum_charge)
        if entry.preempted is not None:
            found[f"{entry.pool} preempted"] = entry.preempted.value
    return found


def _prices(where: str, rates: Rates | PoolPrices) -> dict[str, str]:
    found = {}
    for model, price in rates.device_hour.items():
        found[f"{where} device_hour of {model}"] = format_yuan(price)
    for unit in UNITS[1:]:
        price = getattr(rates, unit)
        if price is not None:
            found[f"{where} {unit}"] = format_yuan(price)
    return found


__all__ = ["difference_view", "version_view", "versions_view"]
