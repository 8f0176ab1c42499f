"""The legs of a hold: from which accounts a job's cost is taken, and how a charge is split over them.

The last leg is the budget's, and pays what the vouchers' legs do not. A voucher's leg pays its share of all that is
charged since it was sized, rounded half-even over the whole, up to what is reserved in it: shares are cumulative
differences, so that it does not matter in how many charges a job's cost comes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from weir.billing.ledger import Transfer
from weir.billing.stored_text import quoted, read_texts
from weir.store.bulk import made
from weir.units import cumulative_share


class Leg(NamedTuple):
    """One source of money of one job. Amounts in micro-yuan.

    `held` is set aside now, `charged` was taken in all, `base` of that before the leg had its present size.
    `share` is None for the budget's leg.
    """

    account: str
    funding: str
    share: Fraction | None
    held: int
    charged: int = 0
    base: int = 0


@dataclass(frozen=True, slots=True)
class VoucherOffer:
    """That a voucher pays a share of what a job is charged, up to `most` micro-yuan.

    `account` is its hold account, opened with the counters of the scheme's pool and the holder's cap; `funding` is
    where what is set aside comes from, such as `commitment:SCHEME`.
    """

    account: str
    funding: str
    share: Fraction
    most: int


def sized(worst: int, offers: Sequence[VoucherOffer], account: str, funding: str) -> tuple[Leg, ...]:
    """Fresh legs that cover a cost of up to `worst`: the vouchers' in the order given, then the budget's."""
    legs: list[Leg] = []
    left = Fraction(1)
    for offer in offers:
        share = min(offer.share, left)
        reserved = min(offer.most, cumulative_share(worst, share))
        if reserved > 0:
            left -= share
            legs.append(Leg(offer.account, offer.funding, share, reserved))
    # With more than one voucher the parts' roundings may leave a micro-yuan each to the budget.
    rounding = max(0, len(legs) - 1)
    rest = worst - sum(leg.held for leg in legs) + rounding
    return (*legs, Leg(account, funding, None, rest))


def resized(before: Sequence[Leg], after: Sequence[Leg]) -> tuple[tuple[Leg, ...], list[Transfer]]:
    """The legs with what they were charged so far and the sizes of others, and the transfers that this takes.

    A leg that is not among the new ones stays, with nothing held, because it may have been charged.
    """
    old = {leg.account: leg for leg in before}
    kept: list[Leg] = []
    transfers: list[Transfer] = []
    for leg in after:
        known = old.pop(leg.account, None)
        charged = known.charged if known else 0
        kept.append(leg._replace(charged=charged, base=charged))
        transfers += _held(leg, leg.held - (known.held if known else 0))
    left = [leg._replace(held=0, base=leg.charged, share=Fraction(0)) for leg in old.values()]
    for leg in old.values():
        transfers += _held(leg, -leg.held)
    return (*(leg for leg in left if leg.charged), *kept), transfers


def charged(legs: Sequence[Leg], more: int, payable: str) -> tuple[tuple[Leg, ...], list[Transfer]]:
    """The legs after `more` was charged (less than 0: given back), and the transfers to and from `payable`.

    What is given back is held again. Where a leg has too little held, what it lacks is taken from its funding first,
    as part of the same transfers; a limit may then refuse them.
    """
    if len(legs) == 1:
        [(account, funding, share, held, taken, base)] = legs
        if share is None and 0 < more <= held:
            paid = made(Leg, (account, funding, None, held - more, taken + more, base))
            return (paid,), [made(Transfer, (account, payable, more))]
    total = more
    for leg in legs:
        total += leg.charged - leg.base
    after: list[Leg] = []
    transfers: list[Transfer] = []
    left = total
    for account, funding, share, held, taken, base in legs:
        part = left if share is None else min(held + taken - base, cumulative_share(max(0, total), share))
        left -= part
        step = base + part - taken
        lacks = max(0, step - held)
        if lacks:
            transfers.append(Transfer(funding, account, lacks))
        if step > 0:
            transfers.append(Transfer(account, payable, step))
        elif step < 0:
            transfers.append(Transfer(payable, account, -step))
        after.append(Leg(account, funding, share, held + lacks - step, taken + step, base))
    return tuple(after), transfers


def released(legs: Sequence[Leg]) -> tuple[tuple[Leg, ...], list[Transfer]]:
    """The legs with nothing held, and the transfers that give it back."""
    transfers = [transfer for leg in legs for transfer in _held(leg, -leg.held)]
    return tuple(leg._replace(held=0) for leg in legs), transfers


def times(transfers: Iterable[Transfer], count: int) -> list[Transfer]:
    """The transfers of so many jobs alike, as one of each."""
    return [Transfer(debit, credit, amount * count) for debit, credit, amount in transfers if count]


def total_held(legs: Iterable[Leg]) -> int:
    return sum(leg.held for leg in legs)


def total_charged(legs: Iterable[Leg]) -> int:
    return sum(leg.charged for leg in legs)


def stored_legs(legs: Sequence[Leg]) -> str:
    """The legs as they are stored."""
    if len(legs) == 1 and legs[0][2] is None:
        [(account, funding, _, held, taken, base)] = legs
        return f"[[{quoted(account)},{quoted(funding)},null,{held},{taken},{base}]]"
    rows = [
        f"[{quoted(account)},{quoted(funding)},{'null' if share is None else quoted(str(share))},{held},{taken},{base}]"
        for account, funding, share, held, taken, base in legs
    ]
    return f"[{','.join(rows)}]"


def legs_from(stored: str) -> tuple[Leg, ...]:
    """The legs that were stored so."""
    return many_legs_from([stored])[0]


def many_legs_from(stored: Iterable[str]) -> list[tuple[Leg, ...]]:
    """The legs that each of these texts says."""
    return [
        tuple(
            [
                made(Leg, (account, funding, None if share is None else Fraction(share), held, taken, base))
                for account, funding, share, held, taken, base in legs
            ]
        )
        for legs in read_texts(stored)
    ]


def _held(leg: Leg, more: int) -> list[Transfer]:
    if more > 0:
        return [Transfer(leg.funding, leg.account, more)]
    return [Transfer(leg.account, leg.funding, -more)] if more < 0 else []


__all__ = [
    "Leg",
    "VoucherOffer",
    "charged",
    "legs_from",
    "many_legs_from",
    "released",
    "resized",
    "sized",
    "stored_legs",
    "times",
    "total_charged",
    "total_held",
]
