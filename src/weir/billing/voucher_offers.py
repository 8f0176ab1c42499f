"""The vouchers that a job's cost can be taken off: what holds and quotes ask for."""

from collections.abc import Iterable, Sequence
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
from weir.billing.hold_legs import VoucherOffer
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


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A claim that pays a share at every pool of the request."""

    claim: Claim
    edition: Edition
    share_ppm: int


def _candidates(
    connection: Connection, request: OfferRequest, to_come: Iterable[Claim] = ()
) -> list[_Candidate]:
    """By scheme, earliest expiry first: claims that are deducted at use and cover limit, year and every pool."""
    begins, last = day_of(request.now_ms), day_of(request.now_ms + HORIZON_MS + request.limit_ms)
    if begins.year != last.year or not request.pools:
        return []
    pairs = dict(_contracts(connection, request))
    at: dict[str, dict[str, Claim]] = {}
    for claim in (*claims_of(connection, organisation=request.organisation), *to_come):
        if pairs.get(claim.centre) == claim.contract and (claim.valid_through or last) >= last:
            at.setdefault(claim.scheme, {})[claim.centre] = claim
    found = []
    for by_centre in at.values():
        if by_centre.keys() != pairs.keys():
            continue
        claims = list(by_centre.values())
        if any(one.amount_micro_yuan is not None for one in claims) and len(claims) > 1:
            continue  # sums of several contracts: which one pays is known when the job is placed
        candidate = _candidate(connection, request, by_centre, begins)
        if candidate is not None:
            found.append(candidate)
    return sorted(found, key=lambda one: (one.claim.valid_through or date.max, one.claim.scheme))


def _candidate(
    connection: Connection, request: OfferRequest, by_centre: dict[str, Claim], on: date
) -> _Candidate | None:
    first = next(iter(by_centre.values()))
    # A sum is judged again by every change that reaches back, which names its version; a usage voucher has no sum to
    # judge, and follows the rules in force.
    usage = first.amount_micro_yuan is None
    rules = (
        scheme_in_force(connection, first.scheme)
        if usage
        else scheme_version(connection, first.scheme, first.version)
    )
    edition = rules.edition(first.claimed)
    if edition is None or edition.redemption.mode is not Mode.DEDUCT:
        return None
    facts = {
        centre: situation_of(connection, request.organisation, centre, known_ms=claim.decided_ms)
        for centre, claim in by_centre.items()
    }
    shares = [
        _share(edition, facts[centre], line, by_centre[centre], on)
        for centre, line in _lines(connection, request)
    ]
    share = min(shares, default=0)
    return _Candidate(first, edition, share) if share else None


def _share(edition: Edition, facts: Situation, line: Line, claim: Claim, on: date) -> int:
    share, _ = rate_of(edition, facts, line, claim.tier, on)
    return share


def _lines(connection: Connection, request: OfferRequest) -> Iterable[tuple[str, Line]]:
    """What is bought at each pool of the request, with its centre."""
    wanted = set(request.pools)
    origins = {
        row.id: "domestic" if from_body(DeviceModel, row.body).domestic else "foreign"
        for row in connection.execute(select(s.device_model))
    }
    for row in connection.execute(select(s.pool.c.centre, s.pool.c.id, s.pool.c.body)):
        if f"{row.centre}/{row.id}" in wanted:
            origin = origins.get(from_body(Pool, row.body).device, "")
            yield row.centre, Line("compute", chip_origin=origin, purpose=request.purpose)


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


__all__ = ["HORIZON_MS", "granting_offers", "quoted_offers"]
