"""A scheme's new version: looked at first (who gains, who loses, by how much), then posted by a signed act.

Claims for sums since the first changed day are judged again in the order in which they were made, by the facts as
they were known then. Increases come from what is left in that year's pool. What was redeemed or is held stays, unless
the change names claw-back: then what was redeemed in excess is a receivable, outside of every budget. Claims without a
sum have nothing to judge again: charges that were posted keep their share, later ones follow the new rules. Closed
statements and settled quarters stand in any case.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date

from sqlalchemy import Connection, func, select, update

from weir.access.actor import Actor
from weir.billing.accounts import account
from weir.billing.calendar_days import day_of
from weir.billing.entitlement import Decision, Entitlement, Undecided
from weir.billing.grants import UNLIMITED, claimed_cap, decision_view, redeemed_cap, reserve
from weir.billing.ledger import Entry, Transfer, post
from weir.billing.ledger_counters import Counter, all_counters, counters, set_limit
from weir.billing.scheme import edition_on, read_scheme, scheme_digest
from weir.billing.scheme_case import Past, PastClaim
from weir.billing.scheme_evaluation import evaluate
from weir.billing.scheme_store import (
    StoredScheme,
    add_version,
    first_changed_day,
    schemes_in_force,
    versions_of,
)
from weir.billing.voucher_cases import Claim, case_of, claim_key, claims_of, pool_key, situation_of
from weir.model.problem import conflict, refused
from weir.model.scheme import Edition, Scheme
from weir.store import Transaction
from weir.store import schema as s
from weir.store.listed import among_texts, text_list


@dataclass(frozen=True, slots=True)
class ClaimChange:
    """What becomes of one claim. Amounts in micro-yuan; `receivable` is what is asked back."""

    claim: int
    organisation: str
    contract: str
    claimed: date
    before: int
    after: int
    used: int
    """Redeemed and not asked back, or held for jobs."""
    receivable: int
    said: str
    decision: Decision

    @property
    def difference(self) -> int:
        """Above 0 for who gains."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class SchemeChange:
    """A new version as it would be, or was, applied. `reaches_back` is the first changed day, None for no past day."""

    scheme: str
    version: int
    reaches_back: date | None
    claw_back: bool
    claims: tuple[ClaimChange, ...]
    digest: str
    """Of the text and of all that it changes: an act signs this."""

    @property
    def gains(self) -> tuple[ClaimChange, ...]:
        return tuple(one for one in self.claims if one.difference > 0)

    @property
    def loses(self) -> tuple[ClaimChange, ...]:
        return tuple(one for one in self.claims if one.difference < 0 or one.receivable)


def preview_change(
    connection: Connection, text: str, source: str, now_ms: int, *, claw_back: bool = False
) -> SchemeChange:
    """What applying the text would do; nothing is written. Raises ProblemError for a text that is no scheme."""
    scheme = read_scheme(text, source)
    before = versions_of(connection, scheme.scheme)
    last = before[-1] if before else None
    day = first_changed_day(None if last is None else last.scheme, scheme, day_of(now_ms))
    changes = () if day is None else tuple(_changes(connection, scheme, day, claw_back))
    version = 1 if last is None else last.version + (last.text != text)
    rows = [[one.claim, one.before, one.after, one.used, one.receivable, one.said] for one in changes]
    signed = json.dumps([scheme_digest(text), version, str(day), claw_back, rows], ensure_ascii=False)
    digest = hashlib.sha256(signed.encode()).hexdigest()
    return SchemeChange(scheme.scheme, version, day, claw_back, changes, digest)


def apply_change(
    tx: Transaction,
    text: str,
    source: str,
    actor: Actor,
    now_ms: int,
    *,
    act: str = "",
    expected: str = "",
    claw_back: bool = False,
) -> SchemeChange:
    """Keep the new version, and post what it changes.

    One that reaches back needs an act (whose number or title is given) and the digest of the dry run that was looked
    at. Raises ProblemError: 422 without these, 409 where the digest is of another state.
    """
    change = preview_change(tx.connection, text, source, now_ms, claw_back=claw_back)
    if expected and expected != change.digest:
        said = "this is not what the dry run showed; look at it again, with claw-back where that is to be applied"
        raise conflict(said)
    if change.reaches_back is not None:
        if not act.strip():
            raise refused(
                "act", act, f"the rules of {change.reaches_back} and later change: name the act that says so"
            )
        if not expected:
            raise refused(
                "expected", expected, "give the digest that the dry run shows, since past days change"
            )
    stored = add_version(tx, text, source, actor, now_ms, act=act)
    _set_limits(tx, stored)
    by_number = {claim.number: claim for claim in claims_of(tx.connection, scheme=stored.id)}
    for one in change.claims:
        if one.difference or one.receivable:
            _post(tx, stored, by_number[one.claim], one, now_ms)
    return change


def _changes(connection: Connection, scheme: Scheme, day: date, claw_back: bool) -> Iterator[ClaimChange]:
    amounts: dict[int, int] = {}
    taken: dict[int, int] = defaultdict(int)
    left: dict[int, int] = {}
    groups = {one.id: one for one in schemes_in_force(connection)}
    for claim in claims_of(connection, scheme=scheme.scheme):
        if claim.amount_micro_yuan is None or claim.claimed < day:
            continue
        year = claim.claimed.year
        if year not in left:
            left[year] = _left(connection, scheme, year)
        one = _judged(connection, scheme, claim, _past(connection, claim, amounts, groups), claw_back)
        if one.difference > 0:
            more = min(one.difference, max(0, left[year] - taken[year]))
            taken[year] += more
            one = replace(one, after=one.before + more)
        amounts[claim.number] = one.after
        yield one


def _judged(connection: Connection, scheme: Scheme, claim: Claim, past: Past, claw_back: bool) -> ClaimChange:
    assert claim.amount_micro_yuan is not None
    facts = situation_of(connection, claim.organisation, claim.centre, known_ms=claim.decided_ms)
    case = case_of(connection, claim.organisation, claim.centre, claim.contract)
    decision = evaluate(scheme, facts, case, past, claim.claimed)
    before, key = claim.amount_micro_yuan, claim_key(claim.number)
    counter = counters(connection, [key]).get(key, Counter(key, 0, 0, 0))
    kept = counter.spent - _asked_back(connection, claim)
    used, receivable = counter.held + kept, 0
    if isinstance(decision, Undecided):
        after, said = before, "undecided: it stays as it is"
    else:
        after = decision.amount_micro_yuan if isinstance(decision, Entitlement) else 0
        said = "entitled" if isinstance(decision, Entitlement) else "refused"
        if after < used:
            floor = counter.held if claw_back else used
            receivable = min(kept, used - max(after, floor)) if claw_back else 0
            after = max(after, floor)
            said += ", less than was used"
    return ClaimChange(
        claim.number,
        claim.organisation,
        claim.contract,
        claim.claimed,
        before,
        after,
        used,
        receivable,
        said,
        decision,
    )


def _asked_back(connection: Connection, claim: Claim) -> int:
    """What earlier changes made a receivable of what the claim redeemed; its counter stays as it was."""
    entry, transfer = s.ledger_entry.c, s.ledger_transfer.c
    query = (
        select(func.sum(transfer.amount_micro_yuan))
        .select_from(s.ledger_transfer.join(s.ledger_entry, entry.number == transfer.entry))
        .where(among_texts(entry.cause, "causes"))
    )
    causes = [_claw_back(claim, version) for version in range(1, claim.version + 1)]
    return int(connection.execute(query, {"causes": text_list(causes)}).scalar() or 0)


def _claw_back(claim: Claim, version: int) -> str:
    """The cause of what that version, which the claim then names as its own, asks back."""
    return f"claw-back/{claim.scheme}/{version}/{claim.number}"


def _past(
    connection: Connection, claim: Claim, amounts: Mapping[int, int], known: Mapping[str, StoredScheme]
) -> Past:
    """The holder's claims before this one, as they are by now; the pool is seen to apart."""
    claims = []
    for one in claims_of(connection, organisation=claim.organisation):
        if one.number >= claim.number:
            continue
        edition = known[one.scheme].edition(one.claimed) if one.scheme in known else None
        groups = frozenset() if edition is None else frozenset(each.group for each in edition.exclusive)
        amount = amounts.get(one.number, one.amount_micro_yuan or 0)
        claims.append(PastClaim(one.scheme, one.contract, one.claimed, amount, one.tier, groups))
    return Past(tuple(claims))


def _left(connection: Connection, scheme: Scheme, year: int) -> int:
    """What is left of a year's pool under the new rules."""
    edition = _edition_of(scheme, year)
    if edition is None or edition.pool_per_year is None:
        return UNLIMITED
    key = pool_key(scheme.scheme, year)
    counter = counters(connection, [key]).get(key, Counter(key, 0, 0, 0))
    return edition.pool_per_year - counter.held - counter.spent


def _post(tx: Transaction, stored: StoredScheme, claim: Claim, one: ClaimChange, now_ms: int) -> None:
    cause = f"{stored.id}/{stored.version}/{claim.number}"
    key = claim_key(claim.number)
    if one.difference:
        reserve(tx, claim, _last_edition(tx.connection, claim), one.difference, f"change/{cause}", now_ms)
    counter = counters(tx.connection, [key])[key]
    # What is asked back was spent and stays so in the counter: it takes nothing of what the claim is for now.
    asked_back = _asked_back(tx.connection, claim) + one.receivable
    set_limit(tx, key, max(one.after + asked_back, counter.held + counter.spent))
    if one.receivable:
        transfer = Transfer(
            account("receivable", claim.organisation), account("commitment", claim.scheme), one.receivable
        )
        detail = {"scheme": claim.scheme, "claim": claim.number, "version": stored.version}
        post(
            tx,
            [
                Entry(
                    claim.organisation,
                    _claw_back(claim, stored.version),
                    "claw-back",
                    now_ms,
                    (transfer,),
                    detail=detail,
                )
            ],
        )
    decision = json.dumps(decision_view(one.decision), ensure_ascii=False, sort_keys=True)
    tx.connection.execute(
        update(s.voucher_claim)
        .where(s.voucher_claim.c.number == claim.number)
        .values(amount_micro_yuan=one.after, version=stored.version, decision=decision)
    )


def _last_edition(connection: Connection, claim: Claim) -> Edition:
    """The newest rules of the claim's day: where the newest version has none for it, those that were withdrawn."""
    for version in reversed(versions_of(connection, claim.scheme)):
        edition = version.edition(claim.claimed)
        if edition is not None:
            return edition
    raise AssertionError(f"claim {claim.number} was made under no rules")


def _set_limits(tx: Transaction, stored: StoredScheme) -> None:
    """Give the counters of the scheme the limits of the new version, or what is used where that is more."""
    for key, counter in all_counters(tx.connection).items():
        parts = key.split("/")
        # Budgets have counters too, and one may be called as the scheme is.
        if (parts[0], len(parts)) not in (("pool", 3), ("cap", 5)) or parts[1] != stored.id:
            continue
        edition = _edition_of(stored.scheme, int(parts[-1]))
        if edition is None:
            continue
        if parts[0] == "pool":
            limit = edition.pool_per_year
        else:
            limit = redeemed_cap(edition) if "redeemed" in parts else claimed_cap(edition)
        wanted = max(UNLIMITED if limit is None else limit, counter.held + counter.spent)
        if wanted != counter.limit:
            set_limit(tx, key, wanted)


def _edition_of(scheme: Scheme, year: int) -> Edition | None:
    """The rules of a year's pool and caps: those of its last day that has any."""
    found = edition_on(scheme, date(year, 12, 31))
    if found is not None:
        return found
    inside = [
        one
        for one in scheme.editions
        if one.begins.year <= year and (one.ends is None or one.ends.year >= year)
    ]
    return inside[-1] if inside else None


__all__ = ["ClaimChange", "SchemeChange", "apply_change", "preview_change"]
