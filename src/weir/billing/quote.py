"""Quotes: what a job would cost at each pool, before anybody submits it. Nothing is written."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import median_low

from sqlalchemy import Connection, select

from weir.billing.hold_legs import sized
from weir.billing.hold_offers import OfferRequest, Offers, no_offers
from weir.billing.price_bands import time_in_bands
from weir.billing.price_versions import card_for, in_force, priced_pools
from weir.billing.rate_card import GB, HOUR_MS, Needs, RateCard, Unpriced
from weir.model.money_view import PoolQuoteView, QuoteLineView, QuoteView, QuoteVoucherView
from weir.model.state import JobState
from weir.store import schema
from weir.units import format_yuan

MOST_REMEMBERED = 50
"""So many of the last jobs of a name make its forecast."""

_submission = schema.submission.c
_job = schema.job.c


@dataclass(frozen=True, slots=True)
class Asked:
    """The job that a quote is asked for."""

    organisation: str
    project: str
    name: str
    purpose: str
    jobs: int
    needs: Needs
    limit_ms: int
    pools: tuple[str, ...]
    """Those that could ever run it."""
    fewest: int = 0
    """Of an elastic job, its fewest tasks."""
    max_price: int | None = None
    """In micro-yuan: a job that could cost more at a pool that it may use is refused."""


def quote(
    connection: Connection,
    asked: Asked,
    now_ms: int,
    offers: Offers = no_offers,
    predicted: tuple[int, int] | None = None,
) -> QuoteView:
    """What the job costs at each of the pools: at its time limit, at the forecast run time, line by line.

    predicted: (how long it is expected to run, over how many jobs that is learnt); without it, by its name alone.
    Cheapest first, by what is left after vouchers; pools that refuse it come last, with the reason.
    """
    version = in_force(connection, now_ms)
    forecast_ms, remembered = predicted or forecast(
        connection, asked.organisation, asked.name, asked.limit_ms
    )
    if version is None:
        return QuoteView(None, "", "", asked.limit_ms, forecast_ms, remembered, asked.jobs, 0, ())
    book = version.book
    tenant_class = book.class_of(asked.organisation)
    known = priced_pools(connection)
    pools = []
    for key in asked.pools:
        card = card_for(version, known[key], tenant_class, asked.needs)
        if isinstance(card, Unpriced):
            pools.append(PoolQuoteView(key, refused=str(card)))
        else:
            fewest = card_for(version, known[key], tenant_class, asked.needs.of(asked.fewest))
            assert isinstance(fewest, RateCard)  # it uses the same units
            share = book.share_of(tenant_class)
            pools.append(_of_pool(connection, asked, (card, fewest), share, forecast_ms, now_ms, offers))
    refused = _refused(asked, pools)
    pools.sort(key=lambda one: (bool(one.refused), one.net, one.pool))
    return QuoteView(
        version=version.version,
        tenant_class=tenant_class,
        tax=f"{book.tax.name} {book.tax.rate} included",
        limit_ms=asked.limit_ms,
        forecast_ms=forecast_ms,
        forecast_from=remembered,
        jobs=asked.jobs,
        hold=0 if refused else max((one.worst for one in pools), default=0) * asked.jobs,
        pools=tuple(pools),
        class_share=_decimal(book.share_of(tenant_class)),
        refused=refused,
    )


def forecast(connection: Connection, organisation: str, name: str, limit_ms: int) -> tuple[int | None, int]:
    """The median run time of an organisation's last jobs of a name that succeeded, and over how many; None without.

    Never more than the limit.
    """
    if not name:
        return None, 0
    rows = connection.execute(
        select(_job.started_ms, _job.ended_ms)
        .join(schema.submission, _submission.number == _job.submission)
        .where(
            _submission.organisation == organisation,
            _submission.name == name,
            _job.state == int(JobState.SUCCEEDED),
            _job.started_ms.is_not(None),
        )
        .order_by(_submission.number.desc(), _job.number.desc())
        .limit(MOST_REMEMBERED)
    ).all()
    lengths = [row.ended_ms - row.started_ms for row in rows]
    return (min(limit_ms, median_low(lengths)) if lengths else None), len(lengths)


def _refused(asked: Asked, pools: Sequence[PoolQuoteView]) -> str:
    """As a submission would be (`holds.place`), but for a budget that has too little left."""
    if all(one.refused for one in pools):
        return "no pool that could run it has a price for all that it uses"
    dear = [one for one in pools if asked.max_price is not None and one.worst > asked.max_price]
    if asked.max_price is None or not dear:
        return ""
    shown = ", ".join(f"{one.pool} up to {format_yuan(one.worst)}" for one in dear[:5])
    return f"max_price is {format_yuan(asked.max_price)}, and it could cost more ({shown})"


def _of_pool(
    connection: Connection,
    asked: Asked,
    cards: tuple[RateCard, RateCard],
    share: Fraction,
    forecast_ms: int | None,
    now_ms: int,
    offers: Offers,
) -> PoolQuoteView:
    card, fewest = cards
    limit = [(now_ms, now_ms + asked.limit_ms)]
    at_limit = card.total(limit)
    worst = card.worst(asked.limit_ms)
    request = OfferRequest(
        asked.organisation,
        asked.project,
        asked.purpose,
        (card.pool,),
        at_limit,
        asked.limit_ms,
        asked.jobs,
        now_ms,
    )
    legs = sized(at_limit, offers(connection, request), "", "")[:-1]
    vouchers = tuple(
        QuoteVoucherView(leg.account.partition(":")[2], str(leg.share), leg.held) for leg in legs
    )
    return PoolQuoteView(
        pool=card.pool,
        worst=worst,
        at_limit=at_limit,
        at_limit_fewest=fewest.total(limit) if asked.fewest else None,
        at_forecast=None if forecast_ms is None else fewest.total([(now_ms, now_ms + forecast_ms)]),
        lines=_lines(card, asked.needs, share, limit),
        vouchers=vouchers,
        net=at_limit - sum(one.amount for one in vouchers),
        preempted_charged=card.preempted_charged,
    )


def _lines(
    card: RateCard, needs: Needs, share: Fraction, intervals: Sequence[tuple[int, int]]
) -> tuple[QuoteLineView, ...]:
    parts = card.parts(intervals)
    times = time_in_bands(card.bands, intervals)
    quantities = {
        "device_hour": Fraction(needs.devices_milli, 1_000),
        "core_hour": Fraction(needs.cores_milli, 1_000),
        "memory_gb_hour": Fraction(needs.memory_bytes, GB),
    }
    found = []
    for line in card.lines:
        if line.band not in times:
            continue
        quantity = quantities.get(line.unit) or _quantity(line.numerator, line.denominator, line.price, share)
        amount = parts.get(f"{line.unit}/{line.band}", 0)
        lasts_ms = times[line.band]
        found.append(QuoteLineView(line.unit, line.band, line.price, _decimal(quantity), amount, lasts_ms))
    for name, price in (("transfer_gb", card.transfer_price), ("minimum", card.minimum_micro_yuan)):
        if name in parts:
            moved = _decimal(Fraction(parts[name]) / (price * share)) if name == "transfer_gb" else ""
            found.append(QuoteLineView(name, "", price, moved, parts[name]))
    return tuple(found)


def _quantity(numerator: int, denominator: int, price: int, share: Fraction) -> Fraction:
    """How much of a unit an hour uses, worked out from its rate."""
    return Fraction(numerator * HOUR_MS, denominator) / (price * share)


def _decimal(quantity: Fraction) -> str:
    text = f"{float(quantity):.6f}".rstrip("0").rstrip(".")
    return text or "0"


__all__ = ["Asked", "forecast", "quote"]
