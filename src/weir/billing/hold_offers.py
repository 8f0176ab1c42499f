"""What a job may cost at most, pool by pool, and the vouchers that would pay a share of it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from weir.billing.hold_legs import Leg, VoucherOffer, sized
from weir.billing.hold_rows import SubmissionHold
from weir.billing.price_versions import BookVersion, card_for, priced_pools, version_of
from weir.billing.rate_card import RateCard, Unpriced
from weir.units import format_yuan

NO_PRICE = "no price"
"""What is found at a pool that has no price for something that a job uses."""


@dataclass(frozen=True, slots=True)
class OfferRequest:
    """What vouchers are asked for: `jobs` alike, each of which may run at any of these pools and cost up to `worst`."""

    organisation: str
    project: str
    purpose: str
    pools: tuple[str, ...]
    worst: int
    """Micro-yuan, of one job."""
    limit_ms: int
    jobs: int
    now_ms: int
    own: tuple[tuple[str, int], ...] = ()
    """What is held already for this job, by account: it is free for it when the job is sized anew."""


Offers = Callable[[Connection, OfferRequest], Sequence[VoucherOffer]]
"""The vouchers that pay a share at every one of the pools, in the order in which they are redeemed.

An offer's `most` is what it pays for one job. Only vouchers that are deducted at use, and whose validity and year
cover the limit, may be offered; what is offered is then reserved by the hold's transfers, or refuses them.
"""


Apart = Callable[[Connection, OfferRequest, Mapping[str, int]], Mapping[str, int]]
"""What vouchers would pay of a job's worst cost, which is told by pool, at each pool by itself; in micro-yuan."""


def no_offers(connection: Connection, request: OfferRequest) -> Sequence[VoucherOffer]:
    """No vouchers: the budget pays it all."""
    return ()


def nothing_apart(
    connection: Connection, request: OfferRequest, worst: Mapping[str, int]
) -> Mapping[str, int]:
    """No vouchers at any pool."""
    return {}


@dataclass(frozen=True, slots=True)
class Worst:
    """The most that a job can cost at each pool that it may use, and why it may not use others."""

    by_pool: dict[str, int]
    barred: dict[str, tuple[str, str]]

    @property
    def gross(self) -> int:
        return max(self.by_pool.values(), default=0)


def worst_of(
    connection: Connection,
    version: BookVersion,
    hold: SubmissionHold,
    pools: Iterable[str],
    limit_ms: int,
    tasks: int = 0,
) -> Worst:
    """What a job of the submission can cost at most at these pools; a pool that is gone is left out.

    tasks: of an elastic job, how many it has there; 0 for the most that it may have.
    """
    known = priced_pools(connection)
    needs = hold.needs.of(tasks)
    found = Worst({}, {})
    for key in pools:
        if key not in known:
            continue
        if key in hold.barred:
            found.barred[key] = hold.barred[key]
            continue
        card = card_for(version, known[key], hold.tenant_class, needs)
        if isinstance(card, Unpriced):
            found.barred[key] = (", ".join(card.units), NO_PRICE)
            continue
        most = card.worst(limit_ms)
        if hold.max_price is not None and most > hold.max_price:
            found.barred[key] = (f"at most {format_yuan(hold.max_price)}", f"up to {format_yuan(most)}")
        else:
            found.by_pool[key] = most
    return found


def template(
    connection: Connection,
    hold: SubmissionHold,
    worst: Worst,
    limit_ms: int,
    now_ms: int,
    offers: Offers,
    own: Sequence[Leg] = (),
) -> tuple[Leg, ...]:
    """Fresh legs for one job that may run at any of these pools; the budget's are those that the hold has.

    `own`: the legs that it has so far.
    """
    budget = hold.legs[-1]
    asked = asked_for(hold, worst, limit_ms, now_ms, own)
    return sized(worst.gross, offers(connection, asked), budget.account, budget.funding)


def asked_for(
    hold: SubmissionHold, worst: Worst, limit_ms: int, now_ms: int, own: Sequence[Leg] = ()
) -> OfferRequest:
    """What vouchers are asked for, for one job that may run at any of these pools."""
    return OfferRequest(
        hold.organisation,
        hold.project,
        hold.purpose,
        tuple(sorted(worst.by_pool)),
        worst.gross,
        limit_ms,
        max(1, hold.untouched),
        now_ms,
        tuple((leg.account, leg.held) for leg in own if leg.held),
    )


class Cards:
    """Rate cards, each asked for once. For use within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._pools = priced_pools(connection)
        self._versions: dict[int, BookVersion] = {}
        self._found: dict[tuple[int, str, str, int], RateCard | Unpriced] = {}

    def of(self, hold: SubmissionHold, centre: str, pool: str, tasks: int = 0) -> RateCard | Unpriced:
        """By what a job of the submission is charged at a pool, an elastic one with so many tasks (0: the most).

        A pool that is gone has no prices.
        """
        key = (hold.submission, centre, pool, tasks)
        card = self._found.get(key)
        if card is None:
            priced = self._pools.get(f"{centre}/{pool}")
            if priced is None:
                card = Unpriced(f"{centre}/{pool}", ("pool",))
            else:
                version, needs = self._version(hold.price_version), hold.needs.of(tasks)
                card = card_for(version, priced, hold.tenant_class, needs)
            self._found[key] = card
        return card

    def _version(self, number: int) -> BookVersion:
        version = self._versions.get(number)
        if version is None:
            version = self._versions[number] = version_of(self._connection, number)
        return version


__all__ = [
    "NO_PRICE",
    "Apart",
    "Cards",
    "OfferRequest",
    "Offers",
    "Worst",
    "asked_for",
    "no_offers",
    "nothing_apart",
    "template",
    "worst_of",
]
