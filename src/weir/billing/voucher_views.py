"""Schemes, vouchers and decisions as they are listed."""

from datetime import date

from sqlalchemy import Connection

from weir.billing.calendar_days import day_of
from weir.billing.entitlement import Clause, Entitlement, outcome_of, said
from weir.billing.grants import Judged
from weir.billing.ledger_counters import Counter, counters
from weir.billing.scheme_change import SchemeChange
from weir.billing.scheme_store import StoredScheme, scheme_in_force, schemes_in_force
from weir.billing.voucher_cases import cap_key, claim_key, claims_of, pool_key
from weir.model.voucher import (
    ClaimChangeView,
    ClauseView,
    DecisionView,
    LimitView,
    ReadingView,
    SchemeChangeView,
    SchemesView,
    SchemeView,
    VouchersView,
    VoucherView,
)


def schemes_view(connection: Connection, now_ms: int) -> SchemesView:
    """Every scheme in force, in short."""
    return SchemesView(tuple(_scheme(connection, one, now_ms) for one in schemes_in_force(connection)))


def scheme_view(connection: Connection, scheme: str, now_ms: int) -> SchemeView:
    """One scheme with its file. Raises ProblemError (404)."""
    return _scheme(connection, scheme_in_force(connection, scheme), now_ms, whole=True)


def change_view(change: SchemeChange) -> SchemeChangeView:
    """What applying a scheme does."""
    return SchemeChangeView(
        change.scheme,
        change.version,
        _text(change.reaches_back),
        tuple(
            ClaimChangeView(
                one.claim,
                one.organisation,
                one.contract,
                one.claimed.isoformat(),
                one.before,
                one.after,
                one.used,
                one.receivable,
                one.said,
            )
            for one in change.claims
        ),
        change.digest,
    )


def judged_view(judged: Judged) -> DecisionView:
    """A decision with its clauses."""
    decision = judged.decision
    entitled = decision if isinstance(decision, Entitlement) else None
    return DecisionView(
        judged.scheme.id,
        judged.scheme.version,
        judged.contract,
        judged.centre,
        outcome_of(decision),
        said(decision),
        tuple(_clause(one) for one in decision.clauses),
        tuple(
            LimitView(one.id, one.text, one.allows_micro_yuan)
            for one in (entitled.limits if entitled else ())
        ),
        tuple(_clause(one) for one in (entitled.open if entitled else ())),
        0 if judged.claim is None else judged.claim.number,
    )


def vouchers_view(connection: Connection, organisation: str | None, now_ms: int) -> VouchersView:
    """The claims of an organisation, or with None all, with what is held, redeemed and left of each."""
    year = day_of(now_ms).year
    found = claims_of(connection, organisation=organisation)
    keys = {claim_key(one.number) for one in found}
    keys |= {cap_key(one.scheme, one.organisation, year) for one in found}
    keys |= {pool_key(one.scheme, year) for one in found}
    known = counters(connection, keys)
    vouchers = []
    for one in found:
        cap = _counter(known, cap_key(one.scheme, one.organisation, year))
        if one.amount_micro_yuan is None:
            own, left = cap, min(cap.available, _counter(known, pool_key(one.scheme, year)).available)
        else:
            own = _counter(known, claim_key(one.number))
            left = own.available
        vouchers.append(
            VoucherView(
                one.number,
                one.scheme,
                one.organisation,
                one.centre,
                one.contract,
                one.claimed.isoformat(),
                _text(one.valid_through),
                one.amount_micro_yuan,
                own.held,
                own.spent,
                0 if one.valid_through is not None and one.valid_through < day_of(now_ms) else left,
            )
        )
    return VouchersView(tuple(vouchers))


def _scheme(connection: Connection, one: StoredScheme, now_ms: int, *, whole: bool = False) -> SchemeView:
    today = day_of(now_ms)
    edition = one.edition(today) or one.scheme.editions[-1]
    pool = _counter(counters(connection, [pool_key(one.id, today.year)]), pool_key(one.id, today.year))
    return SchemeView(
        one.id,
        one.version,
        one.scheme.name,
        one.scheme.name_zh,
        one.scheme.authority,
        one.scheme.notice,
        edition.begins.isoformat(),
        _text(edition.ends),
        edition.pool_per_year,
        pool.held + pool.spent,
        one.applied_ms,
        one.applied_by,
        one.act,
        one.digest,
        one.text if whole else "",
    )


def _clause(one: Clause) -> ClauseView:
    readings = tuple(ReadingView(each.fact, each.values, each.evidence) for each in one.readings)
    return ClauseView(one.id, one.text, one.verdict.value, readings)


def _counter(known: dict[str, Counter], key: str) -> Counter:
    return known.get(key, Counter(key, 0, 0, 0))


def _text(day: date | None) -> str:
    return "" if day is None else day.isoformat()


__all__ = ["change_view", "judged_view", "scheme_view", "schemes_view", "vouchers_view"]
