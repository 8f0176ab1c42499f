"""Cases from the store: the facts of the parties, the contract as schemes see it, and the claims before."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, select

from weir.billing.calendar_days import day_of
from weir.billing.contracts import Contract, DocumentKind, contract_of, documents_of, standing
from weir.billing.ledger_counters import counters
from weir.billing.scheme import COST_LINES
from weir.billing.scheme_case import ContractCase, Line, Party, Past, PastClaim, Situation, Supplier
from weir.billing.scheme_store import StoredScheme
from weir.model.problem import not_found
from weir.model.province import Centre
from weir.registry import facts_of
from weir.registry.rows import from_body
from weir.store import schema as s

NO_OTHER = "no-other-subsidy"
OTHER = "other-subsidy/"
"""Evidence with this reference declares that there is no other public money for the contract, or of which group."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A grant as it is stored. `amount_micro_yuan` is None where the rate is of each charge."""

    number: int
    scheme: str
    version: int
    organisation: str
    centre: str
    contract: str
    claimed: date
    amount_micro_yuan: int | None
    tier: str
    valid_through: date | None
    decided_ms: int


def claims_of(
    connection: Connection,
    *,
    organisation: str | None = None,
    contract: str | None = None,
    scheme: str | None = None,
) -> tuple[Claim, ...]:
    """Claims in the order in which they were made: all, or those of an organisation, contract or scheme."""
    table = s.voucher_claim.c
    query = select(s.voucher_claim).order_by(table.number)
    for column, value in (
        (table.organisation, organisation),
        (table.contract, contract),
        (table.scheme, scheme),
    ):
        if value is not None:
            query = query.where(column == value)
    return tuple(
        Claim(
            row.number,
            row.scheme,
            row.version,
            row.organisation,
            row.centre,
            row.contract,
            date.fromisoformat(row.claimed_day),
            row.amount_micro_yuan,
            row.tier,
            None if row.valid_through is None else date.fromisoformat(row.valid_through),
            row.decided_ms,
        )
        for row in connection.execute(query)
    )


def situation_of(
    connection: Connection, organisation: str, centre: str, *, known_ms: int | None = None
) -> Situation:
    """What is held about the holder and about the centre and its operator. Raises ProblemError (404)."""
    body = connection.execute(select(s.centre.c.body).where(s.centre.c.id == centre)).scalar_one_or_none()
    if body is None:
        raise not_found("centre", centre)
    declared = from_body(Centre, body)
    operator = Party(
        declared.operator,
        facts_of(connection, declared.operator, known_ms=known_ms) if declared.operator else (),
    )
    holder = Party(organisation, facts_of(connection, organisation, known_ms=known_ms))
    return Situation(holder, Supplier(operator, centre_facts(declared)))


def centre_facts(centre: Centre) -> Mapping[str, str]:
    """What is declared of a centre, as schemes read it; of capacity, the newest figure of each kind."""
    known = {"centre.kind": centre.kind.value, "centre.city": centre.city}
    for fact in sorted(centre.capacity, key=lambda one: one.date):
        precision = f".{fact.precision}" if fact.precision else ""
        known[f"centre.capacity.{fact.kind}.{fact.unit}{precision}"] = fact.value
    return known


def case_of(connection: Connection, organisation: str, centre: str, contract: str) -> ContractCase:
    """A contract as schemes see it: a recorded one with its papers, or the standing one of the two."""
    if contract == standing(organisation, centre):
        return ContractCase(contract)
    found = contract_of(connection, contract)
    documents = documents_of(connection, contract)
    evidence = {"contract"}
    declared: set[str] = set()
    none_declared = False
    for document in documents:
        if document.kind is not DocumentKind.EVIDENCE:
            evidence.add(document.kind.value)
        elif document.reference == NO_OTHER:
            none_declared = True
        elif document.reference.startswith(OTHER):
            declared.add(document.reference.removeprefix(OTHER))
        else:
            evidence.add(document.reference.partition("/")[0])
    return _case(found, frozenset(evidence), frozenset(declared) if declared or none_declared else None)


def past_of(
    connection: Connection, stored: Iterable[StoredScheme], organisation: str, scheme: str, year: int
) -> Past:
    """What the holder claimed before under any scheme, and what of the scheme's pool is taken in that year."""
    by_id = {one.id: one for one in stored}
    claims = []
    shared = 0
    for claim in claims_of(connection, organisation=organisation):
        known = by_id.get(claim.scheme)
        edition = None if known is None else known.edition(claim.claimed)
        groups = frozenset() if edition is None else frozenset(one.group for one in edition.exclusive)
        taken, day = claim.amount_micro_yuan, claim.claimed
        if taken is None:
            # All claims without a sum count on one counter of the year, and so once.
            first = claim.scheme == scheme and not shared
            taken = _used(connection, cap_key(scheme, organisation, year)) if first else 0
            shared += claim.scheme == scheme
            day = date(year, 1, 1)
        claims.append(PastClaim(claim.scheme, claim.contract, day, taken, claim.tier, groups))
    return Past(tuple(claims), _used(connection, pool_key(scheme, year)))


def pool_key(scheme: str, year: int) -> str:
    """The counter of a scheme's pool of a year: what was claimed, or where no sums are claimed held and redeemed."""
    return f"pool/{scheme}/{year}"


def cap_key(scheme: str, organisation: str, year: int) -> str:
    """The counter of what a holder redeems in a year of posting."""
    return f"cap/{scheme}/{organisation}/redeemed/{year}"


def claimed_key(scheme: str, organisation: str, year: int) -> str:
    """The counter of what a holder claims in a year of claiming."""
    return f"cap/{scheme}/{organisation}/claimed/{year}"


def claim_key(claim: int) -> str:
    """The counter of what is held and redeemed of one claim for a sum."""
    return f"cap/claim/{claim}"


def _used(connection: Connection, key: str) -> int:
    found = counters(connection, [key]).get(key)
    return 0 if found is None else found.held + found.spent


def _case(found: Contract, evidence: frozenset[str], declared: frozenset[str] | None) -> ContractCase:
    lines = tuple(
        Line(line.kind, line.amount, chip_origin=line.chip_origin)
        for line in found.lines
        if line.kind in COST_LINES
    )
    return ContractCase(
        found.id,
        signed=day_of(found.signed_ms),
        begins=day_of(found.starts_ms),
        ends=day_of(found.ends_ms - 1),
        lines=lines,
        other_subsidies=declared,
        evidence=evidence,
    )


__all__ = [
    "NO_OTHER",
    "OTHER",
    "Claim",
    "cap_key",
    "case_of",
    "centre_facts",
    "claim_key",
    "claimed_key",
    "claims_of",
    "past_of",
    "pool_key",
    "situation_of",
]
