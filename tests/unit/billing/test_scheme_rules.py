"""Rules over facts in three-valued logic: what is missing is undecided, and only what it depends on waits for it."""

from dataclasses import fields
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.billing.cases import (
    HOLDER,
    OPERATOR,
    YUAN,
    clause_of,
    contract,
    missing,
    party,
    preset,
    situation,
)
from weir.billing.entitlement import Entitlement, Reading, Refused, Undecided, Verdict
from weir.billing.scheme import edition_on, read_scheme, scheme_of
from weir.billing.scheme_case import ContractCase, Line, Party, Past, PastClaim
from weir.billing.scheme_evaluation import FEN, evaluate
from weir.billing.scheme_parties import affiliation_clause, credit_clause
from weir.billing.scheme_rules import judge, negation, reader
from weir.model.fact import Fact
from weir.model.problem import ProblemError
from weir.model.scheme import Condition, Edition

DAY = date(2025, 6, 16)
NAMES = ("kind", "size", "region", "industry")
SMALL = Condition("holder.size", one_of=("small",))

facts = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(("a", "ab", "7", "2025-01-01")), max_size=4)
leaves = st.builds(
    Condition,
    fact=st.sampled_from([f"holder.{name}" for name in NAMES]),
    one_of=st.lists(st.sampled_from(("a", "ab", "7")), min_size=1, max_size=2).map(tuple),
)
conditions = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        .map(tuple)
        .flatmap(
            lambda parts: st.sampled_from(
                (Condition(all_of=parts), Condition(any_of=parts), Condition(none_of=parts))
            )
        )
    ),
    max_leaves=8,
)


def judged(condition: Condition, known: dict[str, str]) -> bool | None:
    holder = Party(HOLDER, tuple(Fact(name, value, date(2020, 1, 1)) for name, value in known.items()))
    return judge(condition, reader(situation(holder), DAY), DAY, [])


def plain(condition: Condition, known: dict[str, str]) -> bool:
    """The same in two-valued logic, where every fact is known."""
    if condition.fact:
        return known[condition.fact.removeprefix("holder.")] in condition.one_of
    if condition.all_of:
        return all(plain(part, known) for part in condition.all_of)
    if condition.any_of:
        return any(plain(part, known) for part in condition.any_of)
    return not any(plain(part, known) for part in condition.none_of)


@given(conditions, facts)
def test_what_is_decided_stays_so_whatever_the_missing_facts_turn_out_to_be(
    condition: Condition, known: dict[str, str]
) -> None:
    verdict = judged(condition, known)
    for value in ("a", "ab", "7", "other"):
        whole = dict.fromkeys(NAMES, value) | known
        assert judged(condition, whole) == plain(condition, whole)
        if verdict is not None:
            assert verdict == plain(condition, whole)


@given(conditions, facts)
def test_nothing_known_makes_every_condition_undecided(condition: Condition, known: dict[str, str]) -> None:
    assert judged(condition, {}) is None
    assert judged(Condition(none_of=(condition,)), known) == negation(judged(condition, known))


@pytest.mark.parametrize(
    ("condition", "value", "verdict"),
    [
        (Condition("holder.region", within=("11", "1310")), "131002", True),
        (Condition("holder.region", within=("11", "1310")), "130600", False),
        (Condition("holder.region", at_least=100), "100", True),
        (Condition("holder.region", at_least=100), "99.999", False),
        (Condition("holder.region", above=1000), "1000", False),
        (Condition("holder.region", at_most=5, at_least=5), "5", True),
        (Condition("holder.region", at_least=100), "many", None),
        (Condition("holder.founded", since=date(2025, 1, 1)), "2024-12-31", False),
        (Condition("holder.founded", until=date(2024, 2, 29)), "2024-02-29", True),
        (Condition("holder.founded", first_months=12), "2024-06-16", False),
        (Condition("holder.founded", first_months=12), "2024-06-17", True),
        (Condition("holder.founded", first_months=12), "2025-06-17", False),
        (Condition("holder.founded", first_months=12), "soon", None),
        (Condition("holder.founded"[:0], none_of=(SMALL,)), "", None),
    ],
)
def test_each_test_of_a_fact(condition: Condition, value: str, verdict: bool | None) -> None:
    name = condition.fact.removeprefix("holder.")
    assert verdict is judged(condition, {name: value} if name else {})


def test_the_fact_in_force_is_the_one_that_began_last_and_holds_on_the_day() -> None:
    holder = Party(
        HOLDER,
        (
            Fact("size", "small", date(2020, 1, 1)),
            Fact("size", "medium", date(2024, 1, 1), date(2024, 12, 31), "return of 2023"),
        ),
    )

    def size(day: date) -> tuple[Reading, bool | None]:
        readings: list[Reading] = []
        verdict = judge(SMALL, reader(situation(holder), day), day, readings)
        return readings[0], verdict

    assert (Reading("holder.size", ("small",)), True) == size(date(2023, 12, 31))
    assert (Reading("holder.size", ("medium",), ("return of 2023",)), False) == size(date(2024, 1, 1))
    assert (Reading("holder.size", ("medium",), ("return of 2023",)), False) == size(date(2024, 12, 31))
    assert (Reading("holder.size", ("small",)), True) == size(date(2025, 1, 1))
    assert (Reading("holder.size"), None) == size(date(2019, 12, 31))


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [
        ({}, {}, Verdict.UNDECIDED),
        ({"controller": HOLDER}, {}, Verdict.UNDECIDED),
        ({"controller": HOLDER}, {"controller": OPERATOR}, Verdict.FOR),
        ({"controller": HOLDER}, {"controller": HOLDER}, Verdict.AGAINST),
        ({"not_affiliated_with": OPERATOR}, {}, Verdict.FOR),
        ({}, {"not_affiliated_with": HOLDER}, Verdict.FOR),
        ({"affiliated_with": OPERATOR}, {"not_affiliated_with": HOLDER}, Verdict.AGAINST),
        ({"not_affiliated_with": OPERATOR, "controller": HOLDER}, {"controller": HOLDER}, Verdict.AGAINST),
        ({"affiliated_with": "12340100WEYR00078P"}, {}, Verdict.UNDECIDED),
    ],
)
def test_affiliation_is_stated_excluded_or_undecided(
    ours: dict[str, str], theirs: dict[str, str], verdict: Verdict
) -> None:
    facts = situation(party(**ours), party(OPERATOR, **theirs))
    assert verdict is affiliation_clause(facts, DAY).verdict


def test_nobody_buys_from_itself() -> None:
    assert Verdict.AGAINST is affiliation_clause(situation(party(), party(HOLDER)), DAY).verdict


@pytest.mark.parametrize(
    ("day", "verdict"),
    [
        (date(2022, 6, 15), Verdict.UNDECIDED),
        (date(2024, 12, 31), Verdict.AGAINST),
        (date(2025, 6, 30), Verdict.AGAINST),
        (date(2025, 7, 1), Verdict.FOR),
        (date(2026, 1, 1), Verdict.UNDECIDED),
    ],
)
def test_an_entry_for_bad_credit_counts_for_its_years_and_good_credit_is_checked(
    day: date, verdict: Verdict
) -> None:
    holder = Party(
        HOLDER,
        (
            Fact("credit-record", "bad", date(2022, 6, 16), date(2022, 6, 30)),
            Fact("credit-record", "clear", date(2025, 6, 17), date(2025, 12, 31)),
        ),
    )
    assert verdict is credit_clause(holder, 3, day).verdict


def test_every_clause_is_shown_for_and_against_with_what_it_read() -> None:
    holder = party(kind="company", region="310115", industry="I65")
    decision = evaluate(preset("beijing-2023"), situation(holder), contract(100), Past(), DAY)
    assert isinstance(decision, Refused)  # although affiliation and credit are undecided
    shown = {clause.id: clause.verdict for clause in decision.clauses}
    assert (Verdict.AGAINST, Verdict.FOR, Verdict.UNDECIDED) == (
        shown["legal-person"],
        shown["industry"],
        shown["credit"],
    )
    assert (
        Reading("holder.kind", ("company",)),
        Reading("holder.region", ("310115",)),
    ) == clause_of(decision, "legal-person").readings


def test_the_amount_of_no_contract_is_undecided_where_the_rate_is_of_a_contract() -> None:
    facts = situation(party(kind="university"), centre={"centre.city": "qingyang"})
    standing = ContractCase("standing", evidence=frozenset({"contract"}))
    assert ("contract.lines",) == missing(evaluate(preset("qingyang-2024"), facts, standing, Past(), DAY))


amounts = st.integers(1, 10**15)
pasts = st.lists(
    st.tuples(st.integers(0, 10**13), st.dates(date(2024, 1, 1), date(2026, 12, 31))), max_size=5
)


@given(amounts, pasts, st.integers(0, 2 * 10**14), st.dates(date(2024, 1, 1), date(2025, 12, 31)))
def test_no_entitlement_exceeds_rate_cap_or_pool_and_each_is_whole_fen(
    amount: int, claims: list[tuple[int, date]], pool: int, on: date
) -> None:
    scheme = preset("qingyang-2024")
    facts = situation(party(kind="university"), centre={"centre.city": "qingyang"})
    case = ContractCase("c", lines=(Line("compute", amount),), evidence=frozenset({"contract"}))
    past = Past(
        tuple(
            PastClaim("qingyang-2024", f"p{place}", day, taken) for place, (taken, day) in enumerate(claims)
        ),
        pool,
    )
    decision = evaluate(scheme, facts, case, past, on)
    taken = sum(micro for micro, day in claims if day.year == on.year)
    most = min(amount * 3 // 10, 2_000_000 * YUAN - taken, 100_000_000 * YUAN - pool)
    if isinstance(decision, Entitlement):
        assert most // FEN * FEN == decision.amount_micro_yuan
        assert decision.amount_micro_yuan >= 5_000 * YUAN
        assert on.year == decision.cap_year
        assert decision.valid_through is not None
        assert timedelta(365) <= decision.valid_through - on <= timedelta(366)
    else:
        assert isinstance(decision, Refused)
        assert most < 5_000 * YUAN


@given(st.sets(st.sampled_from(("kind", "region", "industry", "credit-record", "not-affiliated-with"))))
def test_giving_a_missing_fact_never_turns_a_grant_into_indecision(given_: set[str]) -> None:
    values = {
        "kind": "company",
        "region": "110108",
        "industry": "I65",
        "credit-record": "clear",
        "not-affiliated-with": OPERATOR,
    }
    holder = Party(HOLDER, tuple(Fact(name, values[name], date(2020, 1, 1)) for name in sorted(given_)))
    decision = evaluate(preset("beijing-2023"), situation(holder), contract(100), Past(), DAY)
    assert isinstance(decision, Entitlement if given_ == set(values) else Undecided)


BASE = """\
version: 1
scheme: test
name: Test
sources: [{title: A law, official: true}]
editions:
  - begins: 2025-01-01
    base: usage
    pool_per_year: "100"
    tiers: [{id: all, rate: "20%"}]
    redemption: {mode: deduct}
    funders: [{id: city, name: City}]
"""


def test_editions_follow_each_other_and_each_day_has_at_most_one() -> None:
    later = BASE.split("editions:\n")[1].replace("2025-01-01", "2026-03-01").replace("20%", "30%")
    scheme = read_scheme(
        BASE.replace("begins: 2025-01-01", "begins: 2025-01-01\n    ends: 2025-12-31") + later, "s"
    )
    rates = []
    for day in (date(2024, 12, 31), date(2025, 12, 31), date(2026, 2, 28), date(2026, 3, 1)):
        edition = edition_on(scheme, day)
        rates.append(None if edition is None else edition.tiers[0].rate)
    assert [None, 200_000, None, 300_000] == rates
    with pytest.raises(ProblemError, match="the edition before must have ended"):
        read_scheme(BASE + later, "s")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("version: 1", "version: 2", "give version: 1"),
        ("scheme: test", "scheme: Test!", "small letters"),
        (", official: true", "", "not taken from the official text"),
        ('rate: "20%"', "rate: 20", "write a percentage"),
        ('rate: "20%"', 'rate: "0%"', "above 0%"),
        ('rate: "20%"', 'rate: "100.1%"', "at most 100%"),
        ("{id: all,", "{id: all, when: {fact: holder.size},", "give a test"),
        ("{id: all,", "{id: all, when: {fact: holder.sise, one_of: [small]},", "catalogue/facts.yaml"),
        ("{id: all,", "{id: all, when: {one_of: [small]},", "a fact and a test"),
        ("{id: all,", "{id: all, when: {fact: line.colour, one_of: [red]},", "line.chip-origin"),
        ("base: usage", "base: usage\n    transferable: true", "transfers no voucher"),
        ("base: usage", "base: usage\n    cost_lines: [coffee]", "give one of compute"),
        ("base: usage", "base: usage\n    ends: 2024-12-31", "before begins"),
        ("base: usage", "base: usage\n    validity: {months: 12, year_end: true}", "give one of months"),
        ("base: usage", "base: usage\n    colour: red", "the fields here are"),
        ('    pool_per_year: "100"\n', "", "something must bound it"),
        ('pool_per_year: "100"', 'most_claim: "100"', "something must bound it"),
        ("base: usage", 'base: usage\n    most_claim: "50"', "it needs base: contract"),
        ("{id: all,", '{id: all, most: "50",', "it needs base: contract"),
        (
            "base: usage",
            'base: usage\n    holder_cap: {per_year: "9", unless: {fact: holder.size, one_of: [small]}}',
            "it needs base: contract",
        ),
        ('pool_per_year: "100"', "pool_per_year: 100.5", "in quotes"),
        ("redemption: {mode: deduct}", "redemption: {mode: gift}", "'deduct' or 'reimburse'"),
        ("funders: [{id: city, name: City}]", "funders: []", "name who pays"),
        ("tiers: [{id: all,", 'combine: sum\n    tiers: [{id: all, once: true,', "no tier has most or once"),
        ("base: usage", "base: usage\n    holder: [{id: a, text: a, when: {fact: line.kind, one_of: [x]}}]", "give"),
        ("base: usage", "base: usage\n    validity: {months: 0}", "give one of months"),
        ("base: usage", "base: usage\n    contract: {most_months: 0}", "give 1 to 1200"),
        ("base: usage", 'base: usage\n    holder_cap: {per_year: "0"}', "per_year: '¥0.00' is not accepted"),
        ("base: usage", 'base: usage\n    checks: [{id: audit, by: ""}]', "say who signs it"),
        ("base: usage", 'base: usage\n    evidence: [""]', "give a word"),
        ("base: usage", "base: usage\n    supplier: [{id: a, text: a, when: {fact: centre.kind, one_of: [super]}}]",
         "centre.kind is one of intelligent"),
        ("{id: all,", "{id: all, when: {fact: holder.size, one_of: [tiny]},", "size is one of micro"),
        ("{id: all,", "{id: all, when: {fact: line.chip-origin, one_of: [local]},", "domestic, foreign"),
    ],
)  # fmt: skip
def test_a_fault_in_a_scheme_file_is_named_with_its_line(old: str, new: str, why: str) -> None:
    assert old in BASE
    read_scheme(BASE, "scheme.yaml")
    with pytest.raises(ProblemError, match=why) as caught:
        read_scheme(BASE.replace(old, new, 1), "scheme.yaml")
    assert "scheme.yaml, line" in str(caught.value)


def test_a_stored_text_is_read_though_a_new_one_would_be_refused() -> None:
    assert (
        50 * YUAN
        == scheme_of(BASE.replace("base: usage", 'base: usage\n    most_claim: "50"')).editions[0].most_claim
    )


def test_sums_of_tiers_stop_at_the_whole_cost() -> None:
    text = BASE.replace("tiers: [", 'combine: sum\n    tiers: [{id: more, rate: "90%"}, ').replace(
        '"100"', '"99999"'
    )
    case = contract(1_000, signed="2025-01-01")
    decision = evaluate(
        read_scheme(text, "s"),
        situation(party(controller=HOLDER), party(OPERATOR, controller=OPERATOR)),
        case,
        Past(),
        DAY,
    )
    assert isinstance(decision, Entitlement)
    assert 1_000 * YUAN == decision.amount_micro_yuan  # 20 % + 90 % is more than all


def test_a_claim_outside_of_every_edition_is_refused() -> None:
    decision = evaluate(preset("langfang-2023"), situation(party()), contract(1), Past(), date(2023, 1, 3))
    assert isinstance(decision, Refused)
    assert ["window"] == [clause.id for clause in decision.against]


EVERYTHING = """
version: 1
scheme: everything
name: Everything that published schemes ask for
sources: [{title: A law, official: true}]
editions:
  - begins: 2024-01-01
    ends: 2025-12-31
    base: contract
    pool_per_year: "100000000"
    holder_cap:
      per_year: "2000000"
      counts: [claimed, redeemed]
      unless: {fact: holder.designation.multimodal-base-model, one_of: ["yes"]}
    tiers:
      - {id: kind, rate: "20%", when: {fact: holder.kind, one_of: [university]}}
      - {id: use, rate: "25%", when: {fact: line.purpose, one_of: [training]}}
      - {id: chips, rate: "30%", when: {fact: line.chip-origin, one_of: [domestic]}}
      - {id: national, rate: "30%", most: "3000000", when: {fact: holder.project-lead, one_of: [national]}}
      - {id: first-year, rate: "60%", once: true, when: {fact: holder.settled, first_months: 12}}
    combine: highest
    least_claim: "5000"
    most_claim: "5000000"
    validity: {months: 12}
    cost_lines: [compute]
    holder: [{id: local, text: local, when: {fact: holder.region, within: ["34"]}}]
    supplier:
      - id: size
        text: of a kind or a size
        when:
          any_of:
            - {fact: centre.kind, one_of: [supercomputing]}
            - {fact: centre.capacity.intelligent.P.fp16, at_least: 5000}
            - {fact: centre.city, one_of: [hefei]}
            - {fact: supplier.designation.planned-centre, one_of: ["yes"]}
    contract: {signed_from: 2023-09-01, signed_through: 2025-06-30, most_months: 12, one_claim: true}
    affiliation_refused: true
    credit_clear_years: 3
    exclusive: [{group: city-money, scope: contract}, {group: state-money, scope: holder}]
    evidence: [contract, payment]
    transferable: false
    redemption: {mode: reimburse, evidence: [delivery, invoice, payment, electricity]}
    funders: [{id: province, name: Province, parts: 1}, {id: city, name: City, parts: 1}]
    checks: [{id: audit, by: data bureau}, {id: re-check, by: district}]
"""


def test_a_scheme_says_all_that_published_ones_ask_for() -> None:
    edition = read_scheme(EVERYTHING, "everything.yaml").editions[0]
    default = {field.name: field.default for field in fields(Edition)}
    said = {name for name in default if getattr(edition, name) != default[name]}
    assert {"base", "combine", "affiliation_refused", "cost_lines", "transferable", "assumed"} >= set(
        default
    ) - said
    manual = (Path(__file__).parents[3] / "docs" / "how-to" / "vouchers.md").read_text("utf-8")
    assert [] == [name for name in said - {"begins", "ends"} if f"`{name}" not in manual]
