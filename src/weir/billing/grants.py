"""Grants without an application (免申即享): facts in, entitlement out, claims made where a contract is first used.

Where schemes exclude each other, the one is chosen at a contract's first claim that gives most, then the one that
expires first, then by id; that choice is fixed. Schemes that go together are redeemed in order of their expiry.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from sqlalchemy import Connection, insert, select

from weir.access.actor import Actor
from weir.access.audit import record
from weir.billing.accounts import account
from weir.billing.calendar_days import day_of
from weir.billing.contracts import contracts, standing
from weir.billing.entitlement import Decision, Entitlement, outcome_of, said
from weir.billing.ledger import Entry, Transfer, open_account, post
from weir.billing.ledger_counters import open_counter
from weir.billing.scheme_evaluation import evaluate
from weir.billing.scheme_store import StoredScheme, scheme_in_force, schemes_in_force
from weir.billing.voucher_cases import (
    Claim,
    cap_key,
    case_of,
    claim_key,
    claimed_key,
    claims_of,
    past_of,
    pool_key,
    situation_of,
)
from weir.model.codec import to_plain
from weir.model.problem import not_found
from weir.model.scheme import Base, Count, Edition, Scope
from weir.store import Transaction
from weir.store import schema as s

UNLIMITED = 2**62
"""Micro-yuan: the limit of a counter where the scheme gives none."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What a scheme says about one contract today; `claim` where it has been claimed for."""

    scheme: StoredScheme
    organisation: str
    centre: str
    contract: str
    decision: Decision
    claim: Claim | None = None


def judge_contract(
    connection: Connection, organisation: str, centre: str, contract: str, now_ms: int
) -> tuple[Judged, ...]:
    """What every scheme says about a contract now, by scheme. A claim that was made is shown as it was decided anew.

    Raises ProblemError (404) for a centre or contract that does not exist.
    """
    on = day_of(now_ms)
    stored = schemes_in_force(connection)
    facts = situation_of(connection, organisation, centre)
    case = case_of(connection, organisation, centre, contract)
    made = {one.scheme: one for one in claims_of(connection, contract=contract)}
    found = []
    for scheme in stored:
        past = past_of(connection, stored, organisation, scheme.id, on.year)
        decision = evaluate(scheme.scheme, facts, case, past, on)
        found.append(Judged(scheme, organisation, centre, contract, decision, made.get(scheme.id)))
    return tuple(found)


def why(
    connection: Connection, organisation: str, scheme: str, now_ms: int, *, centre: str = ""
) -> tuple[Judged, ...]:
    """What one scheme says about the organisation: for each of its contracts, and the standing ones.

    With `centre` only about those with it. Raises ProblemError (404) for no such scheme or centre, and for an
    organisation that is neither declared nor has a fact.
    """
    scheme_in_force(connection, scheme)
    declared = select(s.organisation.c.id).where(s.organisation.c.id == organisation)
    stated = select(s.organisation_fact.c.organisation).where(
        s.organisation_fact.c.organisation == organisation
    )
    if connection.execute(declared.union_all(stated).limit(1)).first() is None:
        raise not_found("organisation", organisation)
    agreed = contracts(connection, organisation=organisation)
    pairs = [(one.centre, one.id) for one in agreed if centre in ("", one.centre)]
    named = (
        [centre] if centre else [str(one) for one in connection.scalars(select(s.centre.c.id).order_by("id"))]
    )
    pairs += [(one, standing(organisation, one)) for one in named]
    return tuple(
        judged
        for at, contract in pairs
        for judged in judge_contract(connection, organisation, at, contract, now_ms)
        if judged.scheme.id == scheme
    )


def grant(
    tx: Transaction, organisation: str, centre: str, contract: str, actor: Actor, now_ms: int
) -> tuple[Claim, ...]:
    """Claim what a contract is entitled to and has not claimed for; the claims that were made.

    Nobody needs to ask for it: the first work under a contract does. A sum that is claimed is reserved in the
    scheme's pool and the holder's cap. Doing it again makes no further claim.
    """
    made = {claim.scheme for claim in claims_of(tx.connection, contract=contract)}
    if made and made.issuperset(one.id for one in schemes_in_force(tx.connection)):
        return ()  # as with all work under a contract but the first
    fixed = set(_groups(tx.connection, organisation, contract))
    due = _due(tx.connection, organisation, centre, contract, now_ms, fixed)
    return tuple(_claim(tx, one, decision, edition, actor, now_ms) for one, decision, edition in due)


def claims_to_come(
    connection: Connection, organisation: str, pairs: Iterable[tuple[str, str]], now_ms: int
) -> tuple[Claim, ...]:
    """What `grant` would claim now for these centres and contracts, one after the other; nothing is written.

    They have the number 0.
    """
    found: list[Claim] = []
    fixed: set[tuple[str, str]] = set()
    for centre, contract in pairs:
        fixed |= set(_groups(connection, organisation, contract))
        due = _due(connection, organisation, centre, contract, now_ms, fixed)
        found += [_claim_of(0, one, decision, now_ms) for one, decision, _ in due]
    return tuple(found)


def _due(
    connection: Connection,
    organisation: str,
    centre: str,
    contract: str,
    now_ms: int,
    fixed: set[tuple[str, str]],
) -> list[tuple[Judged, Entitlement, Edition]]:
    """What the contract is entitled to and has not claimed for. `fixed` are groups that claims exclude, and grows."""
    found = []
    judged = [
        one for one in judge_contract(connection, organisation, centre, contract, now_ms) if one.claim is None
    ]
    for one in sorted(judged, key=_rank):
        edition = one.scheme.edition(day_of(now_ms))
        if not isinstance(one.decision, Entitlement) or edition is None:
            continue
        groups = {(exclusive.group, _where(exclusive.scope, one)) for exclusive in edition.exclusive}
        if groups & fixed:
            continue
        fixed |= groups
        found.append((one, one.decision, edition))
    return found


def decision_view(decision: Decision) -> dict[str, Any]:
    """A decision as JSON: its outcome in a word and a sentence, and every clause with what it read."""
    view: dict[str, Any] = {
        "outcome": outcome_of(decision),
        "said": said(decision),
        "clauses": [to_plain(clause) for clause in decision.clauses],
    }
    if isinstance(decision, Entitlement):
        through = decision.valid_through
        view |= {
            "amount_micro_yuan": decision.amount_micro_yuan,
            "tier": decision.tier,
            "cap_year": decision.cap_year,
            "valid_through": None if through is None else through.isoformat(),
            "limits": [to_plain(limit) for limit in decision.limits],
            "open": [to_plain(clause) for clause in decision.open],
        }
    return view


def redemption_account(claim: Claim, year: int) -> str:
    """The account from which a claim is redeemed in a year of posting.

    Claims without a sum are one for a holder and scheme, so that a job may run under any of its contracts.
    """
    which = (
        f"claim-{claim.number or 'to-come'}" if claim.amount_micro_yuan is not None else claim.organisation
    )
    tier = f"/{claim.tier}" if claim.tier and claim.amount_micro_yuan is None else ""
    return account("hold", f"voucher/{claim.scheme}/{which}{tier}/{year}")


def open_redemption(tx: Transaction, claim: Claim, edition: Edition, year: int) -> str:
    """The account from which a claim is redeemed in that year, with its counters; opened where it is not yet.

    Which counters an account has never depends on the edition, whose changes are then a matter of limits alone.
    """
    keys = [_counter(tx, key, limit) for key, limit in redemption_limits(claim, edition, year).items()]
    code = redemption_account(claim, year)
    open_account(tx, code, keys)
    return code


def redemption_limits(claim: Claim, edition: Edition, year: int) -> dict[str, int | None]:
    """The counters that a claim's redemptions of a year count against, with the limits at which they are opened."""
    if claim.amount_micro_yuan is None:
        first = {pool_key(claim.scheme, year): edition.pool_per_year}
    else:
        first = {claim_key(claim.number): claim.amount_micro_yuan}
    return {**first, cap_key(claim.scheme, claim.organisation, year): redeemed_cap(edition)}


def redeemed_cap(edition: Edition) -> int | None:
    """What a holder may redeem in a year; None for no such limit. A claim without a sum counts when it is redeemed."""
    cap = edition.holder_cap
    if cap is None or cap.unless is not None:
        return None
    return cap.per_year if edition.base is Base.USAGE or Count.REDEEMED in cap.counts else None


def claimed_cap(edition: Edition) -> int | None:
    """What a holder may claim in a year; None for no such limit, also where some holders are free of it."""
    cap = edition.holder_cap
    return cap.per_year if cap is not None and cap.unless is None and Count.CLAIMED in cap.counts else None


def _claim(
    tx: Transaction, one: Judged, decision: Entitlement, edition: Edition, actor: Actor, now_ms: int
) -> Claim:
    made = _claim_of(0, one, decision, now_ms)
    row = {
        "scheme": made.scheme,
        "version": made.version,
        "organisation": made.organisation,
        "centre": made.centre,
        "contract": made.contract,
        "claimed_day": made.claimed.isoformat(),
        "amount_micro_yuan": made.amount_micro_yuan,
        "tier": made.tier,
        "valid_through": None if made.valid_through is None else made.valid_through.isoformat(),
        "decided_ms": now_ms,
        "decision": json.dumps(decision_view(decision), ensure_ascii=False, sort_keys=True),
    }
    number = tx.connection.execute(
        insert(s.voucher_claim).values(row).returning(s.voucher_claim.c.number)
    ).scalar_one()
    claim = replace(made, number=number)
    if claim.amount_micro_yuan is not None:
        reserve(tx, claim, edition, claim.amount_micro_yuan, f"claim/{number}", now_ms)
    open_redemption(tx, claim, edition, day_of(now_ms).year)
    detail = {"contract": one.contract, "claim": number, "said": said(decision)}
    record(tx, actor, "voucher.claim", one.scheme.id, detail, now_ms, organisation=one.organisation)
    return claim


def _claim_of(number: int, one: Judged, decision: Entitlement, now_ms: int) -> Claim:
    usage = not any(limit.id == "rate" for limit in decision.limits)
    return Claim(
        number,
        one.scheme.id,
        one.scheme.version,
        one.organisation,
        one.centre,
        one.contract,
        day_of(now_ms),
        None if usage else decision.amount_micro_yuan,
        decision.tier,
        decision.valid_through,
        now_ms,
    )


def reserve(tx: Transaction, claim: Claim, edition: Edition, amount: int, cause: str, now_ms: int) -> None:
    """Reserve so much more of a claim in pool and cap of its year; less than 0 gives it back."""
    year = claim.claimed.year
    keys = [
        _counter(tx, pool_key(claim.scheme, year), edition.pool_per_year),
        _counter(tx, claimed_key(claim.scheme, claim.organisation, year), claimed_cap(edition)),
    ]
    reserved = account("claimed", f"{claim.scheme}/{claim.number}")
    open_account(tx, reserved, keys)
    funding = account("claimable", claim.scheme)
    transfer = Transfer(funding, reserved, amount) if amount > 0 else Transfer(reserved, funding, -amount)
    detail = {"scheme": claim.scheme, "claim": claim.number, "organisation": claim.organisation}
    post(tx, [Entry(f"scheme/{claim.scheme}", cause, "claim", now_ms, (transfer,), detail=detail)])


def _counter(tx: Transaction, key: str, limit: int | None) -> str:
    open_counter(tx, key, UNLIMITED if limit is None else limit)
    return key


def _rank(one: Judged) -> tuple[int, date, str]:
    decision = one.decision
    if not isinstance(decision, Entitlement):
        return 0, date.max, one.scheme.id
    return -decision.amount_micro_yuan, decision.valid_through or date.max, one.scheme.id


def _where(scope: Scope, one: Judged) -> str:
    return one.contract if scope is Scope.CONTRACT else one.organisation


def _groups(connection: Connection, organisation: str, contract: str) -> Sequence[tuple[str, str]]:
    """The groups that the holder's claims exclude, with the contract or holder for which they do."""
    by_id = {one.id: one for one in schemes_in_force(connection)}
    found = []
    for claim in claims_of(connection, organisation=organisation):
        edition = by_id[claim.scheme].edition(claim.claimed) if claim.scheme in by_id else None
        for exclusive in () if edition is None else edition.exclusive:
            held = claim.contract if exclusive.scope is Scope.CONTRACT else organisation
            found.append((exclusive.group, held))
    return found


__all__ = [
    "UNLIMITED",
    "Judged",
    "claimed_cap",
    "claims_to_come",
    "decision_view",
    "grant",
    "judge_contract",
    "open_redemption",
    "redeemed_cap",
    "redemption_account",
    "redemption_limits",
    "reserve",
    "why",
]
