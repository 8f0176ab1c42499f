"""The vouchers that a job's cost can be taken off: what holds and quotes ask for."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from sqlalchemy import Connection, select

from weir.access.actor import Actor
from weir.billing.accounts import account
from weir.billing.calendar_days import day_of
from weir.billing.contracts import contract_among, contracts_between
from weir.billing.grants import (
    UNLIMITED,
    claims_to_come,
    grant,
    open_redemption,
    redemption_account,
    redemption_limits,
)
from weir.billing.hold_legs import VoucherOffer, sized
from weir.billing.hold_offers import OfferRequest, Offers
from weir.billing.ledger_counters import counters
from weir.billing.scheme_case import Line, Situation
from weir.billing.scheme_evaluation import rate_of
from weir.billing.scheme_store import scheme_in_force, scheme_version
from weir.billing.voucher_cases import Claim, claims_of, situation_of
from weir.model.province import DeviceModel, Pool
from weir.model.scheme import Edition, Mode
from weir.registry.rows import from_body
from weir.store import Transaction
from weir.store import schema as s
from weir.units.share import WHOLE_PPM

HORIZON_MS = 7 * 86_400_000
"""A hold is sized for starts within a week; one that is placed later is sized anew then."""


_ANY = select(s.scheme.c.id).limit(1)


def granting_offers(tx: Transaction, actor: Actor) -> Offers:
    """Offers for holds: what a job's contracts are entitled to is claimed where that was not done yet."""

    def offers(connection: Connection, request: OfferRequest) -> Sequence[VoucherOffer]:
        if connection.execute(_ANY).first() is None:
            return ()
        for centre, contract in _contracts(connection, request):
            grant(tx, request.organisation, centre, contract, actor, request.now_ms)
        found = _candidates(connection, request)
        year = day_of(request.now_ms).year
        for one in found:
            open_redemption(tx, one.claim, one.edition, year)
        return _offers(connection, request, found)

    return offers


def quoted_offers(connection: Connection, request: OfferRequest) -> Sequence[VoucherOffer]:
    """What `granting_offers` would offer; nothing is claimed, so that a quote can be asked for by anybody."""
    if connection.execute(_ANY).first() is None:
        return ()
    to_come = claims_to_come(
        connection, request.organisation, _contracts(connection, request), request.now_ms
    )
    return _offers(connection, request, _candidates(connection, request, to_come))


def paid_there(connection: Connection, request: OfferRequest, worst: Mapping[str, int]) -> dict[str, int]:
    """What claims that were made would pay of a job's worst cost at each pool by itself, in micro-yuan.

    A voucher that pays at some of the request's pools alone, or more at some, is offered for all of them as far as it
    pays at each; once the job is placed it pays what it pays there, and so that pool is the cheaper one. Pools where
    nothing is paid are left out. `worst`: by pool.
    """
    if connection.execute(_ANY).first() is None:
        return {}
    claims, begins = _valid_claims(connection, request), day_of(request.now_ms)
    terms = {
        claim.number: _terms(connection, claim)
        for by_centre in claims.values()
        for claim in by_centre.values()
    }
    found = {}
    for pool, centre, line in _lines(connection, request) if claims else ():
        there = []
        for by_centre in claims.values():
            its = terms[by_centre[centre].number] if centre in by_centre else None
            share = 0 if its is None else its.share(line, begins)
            if its is not None and share:
                there.append(_Candidate(its.claim, its.edition, share))
        legs = sized(worst[pool], _offers(connection, request, sorted(there, key=_by_expiry)), "", "")
        paid = sum(leg.held for leg in legs[:-1])
        if paid:
            found[pool] = paid
    return found


@dataclass(frozen=True, slots=True)
class _Terms:
    """By what a claim that is deducted at use pays."""

    claim: Claim
    edition: Edition
    facts: Situation

    def share(self, line: Line, on: date) -> int:
        """Millionths of what is bought."""
        share, _ = rate_of(self.edition, self.facts, line, self.claim.tier, on)
        return share


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A claim that pays a share at every pool of the request."""

    claim: Claim
    edition: Edition
    share_ppm: int


def _by_expiry(one: _Candidate) -> tuple[date, str]:
    return one.claim.valid_through or date.max, one.claim.scheme


def _candidates(
    connection: Connection, request: OfferRequest, to_come: Sequence[Claim] = ()
) -> list[_Candidate]:
    """By scheme, earliest expiry first: claims that are deducted at use and cover limit, year and every pool."""
    found = []
    claims, begins = _valid_claims(connection, request, to_come), day_of(request.now_ms)
    lines = list(_lines(connection, request)) if claims else []
    for by_centre in claims.values():
        if by_centre.keys() != {pool.partition("/")[0] for pool in request.pools}:
            continue
        if any(one.amount_micro_yuan is not None for one in by_centre.values()) and len(by_centre) > 1:
            continue  # sums of several contracts: which one pays is known when the job is placed
        terms = {centre: _terms(connection, claim) for centre, claim in by_centre.items()}
        shares = [
            0 if (its := terms[centre]) is None else its.share(line, begins) for _, centre, line in lines
        ]
        first = next(iter(terms.values()))
        if first is not None and min(shares, default=0):
            found.append(_Candidate(first.claim, first.edition, min(shares)))
    return sorted(found, key=_by_expiry)


def _valid_claims(
    connection: Connection, request: OfferRequest, to_come: Sequence[Claim] = ()
) -> dict[str, dict[str, Claim]]:
    """By scheme and centre: those of the contracts that work beginning now belongs to, which cover limit and year."""
    begins, last = day_of(request.now_ms), day_of(request.now_ms + HORIZON_MS + request.limit_ms)
    if begins.year != last.year or not request.pools:
        return {}
    pairs = dict(_contracts(connection, request))
    found: dict[str, dict[str, Claim]] = {}
    for claim in (*claims_of(connection, organisation=request.organisation), *to_come):
        if pairs.get(claim.centre) == claim.contract and (claim.valid_through or last) >= last:
            found.setdefault(claim.scheme, {})[claim.centre] = claim
    return found


def _terms(connection: Connection, claim: Claim) -> _Terms | None:
    # A sum is judged again by every change that reaches back, which names its version; a usage voucher has no sum to
    # judge, and follows the rules in force.
    usage = claim.amount_micro_yuan is None
    rules = (
        scheme_in_force(connection, claim.scheme)
        if usage
        else scheme_version(connection, claim.scheme, claim.version)
    )
    edition = rules.edition(claim.claimed)
    if edition is None or edition.redemption.mode is not Mode.DEDUCT:
        return None
    facts = situation_of(connection, claim.organisation, claim.centre, known_ms=claim.decided_ms)
    return _Terms(claim, edition, facts)


def _lines(connection: Connection, request: OfferRequest) -> Iterable[tuple[str, str, Line]]:
    """The request's pools, each with its centre and what is bought there."""
    wanted = set(request.pools)
    origins = {
        row.id: "domestic" if from_body(DeviceModel, row.body).domestic else "foreign"
        for row in connection.execute(select(s.device_model))
    }
    for row in connection.execute(select(s.pool.c.centre, s.pool.c.id, s.pool.c.body)):
        key = f"{row.centre}/{row.id}"
        if key in wanted:
            origin = origins.get(from_body(Pool, row.body).device, "")
            yield key, row.centre, Line("compute", chip_origin=origin, purpose=request.purpose)


def _contracts(connection: Connection, request: OfferRequest) -> list[tuple[str, str]]:
    """The centres of the request's pools, each with the contract that work beginning now belongs to."""
    centres = sorted({pool.partition("/")[0] for pool in request.pools})
    return [
        (
            centre,
            contract_among(
                contracts_between(connection, request.organisation, centre),
                request.organisation,
                centre,
                request.now_ms,
            ),
        )
        for centre in centres
    ]


def _offers(connection: Connection, request: OfferRequest, found: Sequence[_Candidate]) -> list[VoucherOffer]:
    year = day_of(request.now_ms).year
    own = dict(request.own)
    offers = []
    for one in found:
        claim = one.claim
        code = redemption_account(claim, year)
        limits = redemption_limits(claim, one.edition, year)
        known = counters(connection, list(limits))
        # A counter that nothing was counted by yet is opened with its limit.
        free = (
            known[key].available if key in known else UNLIMITED if limit is None else limit
            for key, limit in limits.items()
        )
        left = min(free) // max(1, request.jobs)
        left += own.get(code, 0)
        if left > 0:
            offers.append(
                VoucherOffer(
                    code,
                    account("commitment", claim.scheme),
                    Fraction(one.share_ppm, WHOLE_PPM),
                    left,
                )
            )
    return offers


__all__ = ["HORIZON_MS", "granting_offers", "paid_there", "quoted_offers"]
