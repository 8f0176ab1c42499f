"""Grants without an application: what a contract is entitled to is claimed once, within pool and cap, and explained."""

from collections.abc import Iterator
from datetime import date
from fractions import Fraction

import pytest

from tests.unit.billing.granted import ACME, CHIEF, DAY, NOON, OTHER, YUAN, Granted, scheme_text
from weir.billing import Entry, Transfer, counters, post, verify
from weir.billing.budget import Budget, budget_key
from weir.billing.budget_orders import set_budget
from weir.billing.budget_periods import Period
from weir.billing.calendar_days import begin_of
from weir.billing.entitlement import Entitlement, Undecided
from weir.billing.grants import grant, why
from weir.billing.hold_legs import VoucherOffer
from weir.billing.hold_offers import OfferRequest
from weir.billing.scheme_change import apply_change, preview_change
from weir.billing.scheme_store import scheme_in_force, versions_of
from weir.billing.voucher_cases import Claim, cap_key, claim_key, claimed_key, claims_of, pool_key
from weir.billing.voucher_offers import granting_offers, quoted_offers
from weir.model.problem import ProblemError
from weir.registry import import_facts, read_fact_file

HOUR_MS = 3_600_000


@pytest.fixture
def made() -> Iterator[Granted]:
    granted = Granted()
    yield granted
    assert () == granted.store.read(verify).faults
    granted.store.close()


def claim(made: Granted, contract: str, organisation: str = ACME, now_ms: int = NOON) -> tuple[Claim, ...]:
    return made.write(lambda tx: grant(tx, organisation, "cluster", contract, CHIEF, now_ms))


def amounts(made: Granted) -> list[tuple[str, str, int | None]]:
    found = made.store.read(claims_of)
    return [
        (
            one.scheme,
            one.contract,
            None if one.amount_micro_yuan is None else one.amount_micro_yuan // YUAN,
        )
        for one in found
    ]


def request(*pools: str, worst: int = 100, jobs: int = 1, now_ms: int = NOON) -> OfferRequest:
    return OfferRequest(ACME, "research", "", pools, worst * YUAN, HOUR_MS, jobs, now_ms)


def offers(made: Granted, wanted: OfferRequest) -> list[VoucherOffer]:
    return made.write(lambda tx: list(granting_offers(tx, CHIEF)(tx.connection, wanted)))


def redeem(made: Granted, offer: VoucherOffer, yuan: int, cause: str = "job/1") -> None:
    """What a job's hold and charge post for the voucher."""
    steps = (
        Transfer(offer.funding, offer.account, yuan * YUAN),
        Transfer(offer.account, "payable:cluster", yuan * YUAN),
    )
    made.write(lambda tx: post(tx, [Entry(ACME, cause, "charge", NOON, steps)]))


def test_a_claim_is_made_once_and_reserved_in_pool_and_cap(made: Granted) -> None:
    made.scheme()
    made.contract("k1", 1_000)
    [first] = claim(made, "k1")
    assert 300 * YUAN == first.amount_micro_yuan
    assert () == claim(made, "k1")
    assert () == claim(made, "k1", now_ms=NOON + 400 * 24 * HOUR_MS)
    keys = [pool_key("city", 2025), claimed_key("city", ACME, 2025), claim_key(first.number)]
    found = made.store.read(lambda connection: counters(connection, keys))
    assert [(1_000, 300), (600, 300), (300, 0)] == [
        (found[key].limit // YUAN, found[key].held // YUAN) for key in keys
    ]


def test_claims_stop_at_the_cap_and_at_the_pool(made: Granted) -> None:
    made.scheme()
    made.contract("k1", 1_000)
    made.contract("k2", 2_000, start="2024-03-01")
    made.contract("k3", 3_000, organisation=OTHER)
    claim(made, "k1")  # 300 of a cap of 600
    claim(made, "k2")  # 30 % are 600, of which 300 are left
    claim(made, "k3", OTHER)  # 30 % are 900, the cap is 600, and 400 of the pool of 1,000 are left
    assert [("city", "k1", 300), ("city", "k2", 300), ("city", "k3", 400)] == amounts(made)


def test_among_schemes_that_exclude_each_other_the_highest_is_chosen_and_fixed(made: Granted) -> None:
    exclusive = "exclusive: [{group: municipal}]"
    made.scheme("low", rate="10%", extra=exclusive)
    made.scheme("high", rate="25%", extra=exclusive)
    made.scheme("beside", rate="5%")
    made.contract("k1", 1_000)
    claim(made, "k1")
    assert {("high", "k1", 250), ("beside", "k1", 50)} == set(amounts(made))
    made.scheme("higher", rate="29%", extra=exclusive)
    assert () == claim(made, "k1")
    [judged] = made.store.read(lambda c: why(c, ACME, "higher", NOON, centre="cluster"))[:1]
    assert ["exclusive-municipal"] == [
        one.id for one in judged.decision.clauses if one.verdict.value == "against"
    ]


def test_of_equal_entitlements_the_one_that_expires_first_then_the_first_by_id(made: Granted) -> None:
    for name, extra in (("a-long", "validity: {months: 12}"), ("c-short", "validity: {months: 2}"),
                        ("b-short", "validity: {months: 2}")):  # fmt: skip
        made.scheme(name, extra=f"{extra}\n    exclusive: [{{group: one}}]")
    made.contract("k1", 1_000)
    claim(made, "k1")
    assert [("b-short", "k1", 300)] == amounts(made)


def test_a_missing_fact_grants_nothing_until_it_is_given(made: Granted) -> None:
    rule = "holder: [{id: small, text: small, when: {fact: holder.size, one_of: [small]}}]"
    made.scheme(extra=rule)
    made.contract("k1", 1_000)
    assert () == claim(made, "k1")
    judged = made.store.read(lambda c: why(c, ACME, "city", NOON, centre="cluster"))[0]
    assert isinstance(judged.decision, Undecided)
    assert ("holder.size",) == judged.decision.missing
    given = read_fact_file(f"organisation,fact,value,valid_from\n{ACME},size,small,2025-01-01\n", "f.csv")
    made.write(lambda tx: import_facts(tx, given, CHIEF, NOON))
    assert 1 == len(claim(made, "k1"))


def test_why_names_every_contract_and_the_standing_ones(made: Granted) -> None:
    made.scheme()
    made.contract("k1", 1_000)
    judged = made.store.read(lambda c: why(c, ACME, "city", NOON))
    assert ["k1", f"standing/{ACME}/cluster", f"standing/{ACME}/small"] == [one.contract for one in judged]
    assert [Entitlement, Undecided, Undecided] == [type(one.decision) for one in judged]
    with pytest.raises(ProblemError, match="no scheme 'town'"):
        made.store.read(lambda c: why(c, ACME, "town", NOON))


def test_a_job_is_offered_its_claim_and_the_offer_shrinks_as_it_is_used(made: Granted) -> None:
    made.scheme()
    made.contract("k1", 1_000)
    [offer] = offers(made, request("cluster/ours"))
    assert (Fraction(3, 10), 300 * YUAN, "commitment:city") == (offer.share, offer.most, offer.funding)
    redeem(made, offer, 120)
    [later] = offers(made, request("cluster/ours", jobs=4))
    assert (180 // 4) * YUAN == later.most
    quoted = made.store.read(lambda c: quoted_offers(c, request("cluster/ours", jobs=4)))
    assert [later] == quoted


@pytest.mark.parametrize("base", ["contract", "usage"])
def test_a_quote_offers_what_submitting_would_claim_and_claims_nothing(made: Granted, base: str) -> None:
    made.scheme("alpha", base=base, extra="exclusive: [{group: city-money}]")
    made.scheme("beta", base=base, rate="40%", extra="exclusive: [{group: city-money}]")
    made.contract("k1", 1_000)
    asked = request("cluster/ours", jobs=3)
    quoted = made.store.read(lambda c: quoted_offers(c, asked))
    assert [] == amounts(made)
    claimed = offers(made, asked)
    assert [(one.funding, one.share, one.most) for one in claimed] == [
        (one.funding, one.share, one.most) for one in quoted
    ]
    assert ["commitment:beta"] == [one.funding for one in quoted]
    assert claimed == made.store.read(lambda c: quoted_offers(c, asked))


def test_a_quote_of_a_new_year_offers_that_years_pool_and_cap(made: Granted) -> None:
    made.scheme(base="usage")
    [before] = offers(made, request("cluster/ours"))
    later = begin_of(date(2026, 2, 1))
    [after] = made.store.read(lambda c: quoted_offers(c, request("cluster/ours", now_ms=later)))
    assert (before.most, before.account.replace("2025", "2026")) == (after.most, after.account)


def test_where_the_rate_is_of_each_fee_pool_and_cap_count_what_is_used(made: Granted) -> None:
    made.scheme(base="usage", rate="20%")
    [offer] = offers(made, request("cluster/ours", "small/ours"))
    assert (Fraction(1, 5), 600 * YUAN) == (offer.share, offer.most)
    redeem(made, offer, 500)
    keys = [pool_key("city", 2025), cap_key("city", ACME, 2025)]
    found = made.store.read(lambda connection: counters(connection, keys))
    assert [500, 500] == [found[key].spent // YUAN for key in keys]
    [later] = offers(made, request("cluster/ours"))
    assert 100 * YUAN == later.most
    [next_year] = offers(made, request("cluster/ours", now_ms=NOON + 210 * 24 * HOUR_MS))
    assert 600 * YUAN == next_year.most


def test_a_job_that_may_run_where_the_rate_is_lower_is_offered_the_lower(made: Granted) -> None:
    domestic = '{id: domestic, rate: "30%", when: {fact: line.chip-origin, one_of: [domestic]}}'
    text = scheme_text(base="usage").replace(
        '{id: all, rate: "30%"}', f'{domestic}, {{id: other, rate: "20%"}}'
    )
    made.write(lambda tx: apply_change(tx, text, "city.yaml", CHIEF, NOON))
    assert [Fraction(3, 10)] == [one.share for one in offers(made, request("cluster/ours"))]
    assert [Fraction(1, 5)] == [one.share for one in offers(made, request("cluster/ours", "cluster/theirs"))]


@pytest.mark.parametrize("mode", ["deduct", "reimburse"])
def test_only_what_is_deducted_at_use_is_offered(made: Granted, mode: str) -> None:
    made.scheme(mode=mode)
    made.contract("k1", 1_000)
    assert (mode == "deduct") == bool(offers(made, request("cluster/ours")))
    assert 1 == len(amounts(made))  # both are claimed


def test_a_voucher_that_ends_or_whose_year_ends_before_the_job_could_is_not_offered(made: Granted) -> None:
    made.scheme(extra="validity: {months: 1}")
    made.contract("k1", 1_000)
    assert 1 == len(offers(made, request("cluster/ours")))
    month = 30 * 24 * HOUR_MS
    assert [] == offers(made, request("cluster/ours", now_ms=NOON + month - 6 * 24 * HOUR_MS))
    made.scheme("yearly", base="usage")
    days = (DAY.replace(month=12, day=28) - DAY).days
    assert [] == offers(made, request("small/ours", now_ms=NOON + days * 24 * HOUR_MS))


def test_vouchers_that_go_together_are_offered_earliest_expiry_first(made: Granted) -> None:
    made.scheme("a-later", rate="10%", extra="validity: {months: 9}")
    made.scheme("b-sooner", rate="10%", extra="validity: {months: 3}")
    made.contract("k1", 1_000)
    found = offers(made, request("cluster/ours"))
    assert ["commitment:b-sooner", "commitment:a-later"] == [one.funding for one in found]


def test_a_new_version_for_days_to_come_needs_no_act_and_changes_no_claim(made: Granted) -> None:
    made.scheme()
    made.contract("k1", 1_000)
    claim(made, "k1")
    text = scheme_text()
    edition = text.split("editions:\n")[1]
    later = edition.replace("2025-01-01", "2025-07-01").replace("30%", "50%")
    new = text.replace("begins: 2025-01-01", "begins: 2025-01-01\n    ends: 2025-06-30") + later
    change = made.store.read(lambda c: preview_change(c, new, "city.yaml", NOON))
    assert (None, ()) == (change.reaches_back, change.claims)
    made.write(lambda tx: apply_change(tx, new, "city.yaml", CHIEF, NOON))
    assert [("city", "k1", 300)] == amounts(made)
    assert 2 == made.store.read(lambda c: scheme_in_force(c, "city")).version


def changed(
    made: Granted, text: str, *, claw_back: bool = False, act: str = "Act 7"
) -> list[tuple[str, int, int, int]]:
    """Look at the dry run, apply it, and see that it did as it said."""
    change = made.store.read(lambda c: preview_change(c, text, "city.yaml", NOON, claw_back=claw_back))
    done = made.write(
        lambda tx: apply_change(
            tx, text, "city.yaml", CHIEF, NOON, act=act, expected=change.digest, claw_back=claw_back
        )
    )
    assert change == done
    return [
        (one.contract, one.before // YUAN, one.after // YUAN, one.receivable // YUAN) for one in change.claims
    ]


def three_claims(made: Granted) -> None:
    made.scheme(cap="900")
    made.contract("k1", 1_000)
    made.contract("k2", 1_000, organisation=OTHER)
    made.contract("k3", 500, start="2024-03-01")
    claim(made, "k1")
    claim(made, "k2", OTHER)
    claim(made, "k3")
    assert [("city", "k1", 300), ("city", "k2", 300), ("city", "k3", 150)] == amounts(made)


def test_increases_come_from_what_is_left_of_the_pool_in_the_order_of_claims(made: Granted) -> None:
    three_claims(made)
    # 1,000 − 750 = 250 are left; at 45 % the three would get 450, 450 and 225: 150, 100 and nothing more
    assert [("k1", 300, 450, 0), ("k2", 300, 400, 0), ("k3", 150, 150, 0)] == changed(
        made, scheme_text(cap="900", rate="45%")
    )
    assert [("city", "k1", 450), ("city", "k2", 400), ("city", "k3", 150)] == amounts(made)
    found = made.store.read(lambda c: counters(c, [pool_key("city", 2025)]))
    assert 1_000 * YUAN == found[pool_key("city", 2025)].held


def test_a_decrease_leaves_what_was_redeemed_unless_it_is_clawed_back(made: Granted) -> None:
    three_claims(made)
    [offer] = offers(made, request("cluster/ours"))
    redeem(made, offer, 200)
    text = scheme_text(cap="900", rate="10%")
    assert [("k1", 300, 200, 0), ("k2", 300, 100, 0), ("k3", 150, 50, 0)] == changed(made, text)


def test_claw_back_posts_a_receivable_outside_of_the_budget(made: Granted) -> None:
    three_claims(made)
    [offer] = offers(made, request("cluster/ours"))
    redeem(made, offer, 200)
    text = scheme_text(cap="900", rate="10%")
    assert [("k1", 300, 100, 100), ("k2", 300, 100, 0), ("k3", 150, 50, 0)] == changed(
        made, text, claw_back=True
    )
    assert [] == offers(made, request("cluster/ours"))


def test_a_voucher_of_each_fee_follows_the_rules_in_force(made: Granted) -> None:
    made.scheme(base="usage", rate="20%")
    assert [Fraction(1, 5)] == [one.share for one in offers(made, request("small/ours"))]
    assert [] == changed(made, scheme_text(base="usage", rate="10%"))
    assert [Fraction(1, 10)] == [one.share for one in offers(made, request("small/ours"))]


def test_what_was_clawed_back_is_not_asked_for_again(made: Granted) -> None:
    three_claims(made)
    [offer] = offers(made, request("cluster/ours"))
    redeem(made, offer, 200)
    for rate, first in (
        ("10%", ("k1", 300, 100, 100)),
        ("9%", ("k1", 100, 90, 10)),
        ("30%", ("k1", 90, 300, 0)),
    ):
        assert first == changed(made, scheme_text(cap="900", rate=rate), claw_back=True)[0]
    [offer] = offers(made, request("cluster/ours"))
    assert 210 * YUAN == offer.most  # of 300, since 110 of the 200 that were redeemed are asked back


def test_where_the_rules_of_a_claims_day_are_withdrawn_the_pool_has_its_sum_again(made: Granted) -> None:
    three_claims(made)
    [offer] = offers(made, request("cluster/ours"))
    redeem(made, offer, 200)
    text = scheme_text(cap="900").replace("2025-01-01", "2025-07-01")
    assert [("k1", 300, 200, 0), ("k2", 300, 0, 0), ("k3", 150, 0, 0)] == changed(made, text)
    key = pool_key("city", 2025)
    assert 200 * YUAN == made.store.read(lambda c: counters(c, [key]))[key].held


def test_past_days_are_changed_by_an_act_on_the_dry_run_that_was_seen(made: Granted) -> None:
    three_claims(made)
    text = scheme_text(cap="900", rate="10%")

    def apply(act: str = "", expected: str = "") -> None:
        made.write(lambda tx: apply_change(tx, text, "city.yaml", CHIEF, NOON, act=act, expected=expected))

    with pytest.raises(ProblemError, match="name the act"):
        apply()
    with pytest.raises(ProblemError, match="give the digest"):
        apply(act="Act 7")
    change = made.store.read(lambda c: preview_change(c, text, "city.yaml", NOON))
    made.contract("k4", 100, organisation=OTHER, start="2024-03-01")
    claim(made, "k4", OTHER)
    with pytest.raises(ProblemError, match="not what the dry run showed; look at it again"):
        apply(act="Act 7", expected=change.digest)
    assert [1] == [one.version for one in made.store.read(lambda c: versions_of(c, "city"))]


def test_a_budget_that_is_called_as_a_scheme_keeps_its_limit(made: Granted) -> None:
    budget = Budget("city", ACME, period=Period.YEAR, limit=5_000 * YUAN)
    made.write(lambda tx: set_budget(tx, CHIEF, budget, NOON))
    made.scheme()
    key = budget_key("city", "2025")
    assert 5_000 * YUAN == made.store.read(lambda c: counters(c, [key]))[key].limit


def test_no_budget_is_called_as_the_accounts_of_vouchers_are(made: Granted) -> None:
    with pytest.raises(ProblemError, match="give another one"):
        made.write(lambda tx: set_budget(tx, CHIEF, Budget("voucher", ACME), NOON))


def test_applying_the_same_text_again_is_no_new_version(made: Granted) -> None:
    made.scheme()
    made.scheme()
    assert 1 == made.store.read(lambda c: scheme_in_force(c, "city")).version
