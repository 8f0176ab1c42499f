"""The schemes that ship with Weir, clause by clause; every number is worked out by hand beside it."""

from datetime import date
from pathlib import Path

import pytest

from tests.unit.billing.cases import (
    HOLDER,
    OPERATOR,
    YUAN,
    against,
    clause_of,
    contract,
    missing,
    party,
    preset,
    situation,
    without,
    yuan,
)
from weir.billing.entitlement import Decision, Entitlement, Verdict
from weir.billing.scheme import preset_files
from weir.billing.scheme_case import ContractCase, Line, Party, Past, PastClaim
from weir.billing.scheme_evaluation import evaluate, rate_of
from weir.model.scheme import Base, Count, Mode, Scope

ON = date(2025, 6, 16)
NONE = Past()


def claimed(scheme: str, amount: int, on: date = ON, name: str = "earlier", tier: str = "") -> PastClaim:
    return PastClaim(scheme, name, on, amount * YUAN, tier)


@pytest.mark.parametrize("file", preset_files(), ids=lambda file: file.stem)
def test_every_preset_says_that_it_was_not_taken_from_the_official_text(file: Path) -> None:
    scheme = preset(file.stem)
    assert "secondary publications" in scheme.notice
    assert "official text" in scheme.notice
    assert scheme.sources
    assert not any(source.official for source in scheme.sources)
    assert scheme.name_zh


# Henan 2025

HENAN = preset("henan-2025")
COLLEGE = party(kind="university")
SUPER = {"centre.kind": "supercomputing", "centre.city": "zhengzhou"}
STANDING = ContractCase("standing", evidence=frozenset())


def test_henan_takes_a_fifth_of_each_eligible_fee() -> None:
    facts = situation(COLLEGE, centre=SUPER)
    # No sum is agreed: the claim is for what the yearly cap leaves, ¥1,000,000, and each fee counts by a fifth.
    assert 1_000_000 == yuan(evaluate(HENAN, facts, STANDING, NONE, ON))
    edition = HENAN.editions[0]
    assert Base.USAGE is edition.base
    share, _ = rate_of(edition, facts, Line("compute", 12_345 * YUAN), "", ON)
    assert 2_469 * YUAN == 12_345 * YUAN * share // 1_000_000  # 12,345 × 0.20 = 2,469
    assert (0, ()) == rate_of(edition, facts, Line("storage", 100 * YUAN), "", ON)


def test_henan_gives_a_user_a_million_a_year_from_fifty_million() -> None:
    facts = situation(COLLEGE, centre=SUPER)
    past = Past((claimed("henan-2025", 400_000, date(2025, 1, 1)),), 49_800_000 * YUAN)
    # 1,000,000 − 400,000 = 600,000 of the user's; 50,000,000 − 49,800,000 = 200,000 of the pool: the lesser.
    assert 200_000 == yuan(evaluate(HENAN, facts, STANDING, past, ON))
    past = Past((claimed("henan-2025", 1_000_000, date(2025, 12, 31)),))
    assert ["holder-cap"] == against(evaluate(HENAN, facts, STANDING, past, date(2025, 12, 31)))
    assert 1_000_000 == yuan(evaluate(HENAN, facts, STANDING, past, date(2026, 1, 1)))  # a new year's cap


@pytest.mark.parametrize(
    ("centre", "eligible"),
    [
        ({"centre.kind": "supercomputing"}, True),
        ({"centre.kind": "intelligent", "centre.capacity.intelligent.P.fp16": "100"}, True),
        ({"centre.kind": "general", "centre.capacity.general.rack": "1001"}, True),
        ({"centre.kind": "intelligent", "centre.capacity.intelligent.P.fp16": "99.9",
          "centre.capacity.general.rack": "1000"}, False),
        ({"centre.kind": "intelligent", "centre.capacity.intelligent.P.fp16": "99.9"}, None),
    ],
)  # fmt: skip
def test_henan_counts_three_kinds_of_centres(centre: dict[str, str], eligible: bool | None) -> None:
    decision = evaluate(HENAN, situation(COLLEGE, centre=centre), STANDING, NONE, ON)
    if eligible is None:  # how many racks there are is not known
        assert ("centre.capacity.general.rack",) == missing(decision)
    else:
        assert eligible == isinstance(decision, Entitlement)


def test_henan_is_paid_half_by_the_province_and_half_by_the_city() -> None:
    funders = HENAN.editions[0].funders
    assert [1, 1] == [funder.parts for funder in funders]


# Beijing 2023

BEIJING = preset("beijing-2023")
CLEAR = {"kind": "company", "region": "110108", "industry": "I6513", "credit_record": "clear"}


def beijing(case: ContractCase, past: Past = NONE, on: date = ON, **changes: str) -> Decision:
    return evaluate(
        BEIJING, situation(party(**(CLEAR | {"not_affiliated_with": OPERATOR} | changes))), case, past, on
    )


BJ_CONTRACT = contract(5_000_000)


def test_beijing_gives_a_fifth_of_the_contract_and_two_million_a_year() -> None:
    # 5,000,000 × 20 % = 1,000,000
    assert 1_000_000 == yuan(beijing(BJ_CONTRACT))
    # 15,000,000 × 20 % = 3,000,000, but 2,000,000 a calendar year
    assert 2_000_000 == yuan(beijing(contract(15_000_000)))
    past = Past((claimed("beijing-2023", 1_700_000, date(2025, 2, 1)),))
    # 2,000,000 − 1,700,000 = 300,000 are left of 2025; 2024 had a cap of its own
    assert 300_000 == yuan(beijing(BJ_CONTRACT, past))
    assert 300_000 == yuan(beijing(BJ_CONTRACT, past, date(2025, 12, 31)))
    assert 1_000_000 == yuan(beijing(BJ_CONTRACT, past, date(2024, 12, 31)))


def test_beijing_counts_the_cap_at_the_claim_and_at_the_redemption() -> None:
    cap = BEIJING.editions[0].holder_cap
    assert cap is not None
    assert {Count.CLAIMED, Count.REDEEMED} == set(cap.counts)


def test_beijing_counts_computing_alone() -> None:
    mixed = without(BJ_CONTRACT, lines=(Line("compute", 1_000_000 * YUAN), Line("storage", 500_000 * YUAN),
                                        Line("network", 1 * YUAN), Line("security", 1 * YUAN)))  # fmt: skip
    assert 200_000 == yuan(beijing(mixed))  # 1,000,000 × 20 %
    only = without(BJ_CONTRACT, lines=(Line("storage", 500_000 * YUAN),))
    assert ["cost-lines"] == against(beijing(only))


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"region": "310115"}, ["legal-person"]),
        ({"kind": "university"}, ["legal-person"]),
        ({"industry": "I6311"}, ["industry"]),
        ({"industry": "C3912"}, []),
        ({"credit_record": "bad"}, ["credit"]),
    ],
)
def test_beijing_is_for_its_own_software_and_manufacturing_firms_of_good_credit(
    changes: dict[str, str], refused: list[str]
) -> None:
    decision = beijing(BJ_CONTRACT, NONE, ON, **changes)
    assert refused == (against(decision) if refused else [])
    assert bool(refused) != isinstance(decision, Entitlement)


def test_beijing_refuses_affiliated_suppliers_and_decides_nothing_without_knowing() -> None:
    holder = party(**CLEAR)
    assert ("holder.controller", "supplier.controller") == missing(
        evaluate(BEIJING, situation(holder), BJ_CONTRACT, NONE, ON)
    )
    ours, theirs = party(**CLEAR, controller=HOLDER), party(OPERATOR, controller=OPERATOR)
    assert 1_000_000 == yuan(evaluate(BEIJING, situation(ours, theirs), BJ_CONTRACT, NONE, ON))
    for operator in (party(OPERATOR, controller=HOLDER), party(OPERATOR, affiliated_with=HOLDER), ours):
        assert ["affiliation"] == against(evaluate(BEIJING, situation(ours, operator), BJ_CONTRACT, NONE, ON))


@pytest.mark.parametrize(
    ("signed", "ends", "refused"),
    [
        ("2023-09-01", "2024-08-31", []),
        ("2023-08-31", "2024-08-30", ["signed"]),
        ("2024-03-01", "2025-02-28", []),
        ("2024-03-01", "2025-03-01", ["term"]),
        ("2024-02-29", "2025-02-28", []),
        ("2024-02-29", "2025-03-01", ["term"]),
    ],
)
def test_beijing_wants_a_contract_of_at_most_a_year_signed_since_september_2023(
    signed: str, ends: str, refused: list[str]
) -> None:
    day = date.fromisoformat(signed)
    case = without(BJ_CONTRACT, signed=day, begins=day, ends=date.fromisoformat(ends))
    decision = beijing(case)
    assert refused == (against(decision) if refused else [])
    assert bool(refused) != isinstance(decision, Entitlement)


def test_beijing_takes_one_claim_a_contract_and_no_other_municipal_money() -> None:
    same = Past((claimed("beijing-2023", 1, date(2024, 5, 5), BJ_CONTRACT.id),))
    assert ["one-claim"] == against(beijing(BJ_CONTRACT, same))
    group = frozenset({"beijing-municipal-compute"})
    other = Past((PastClaim("another", "elsewhere", ON, YUAN, groups=group),))
    assert ["exclusive-beijing-municipal-compute"] == against(beijing(BJ_CONTRACT, other))
    assert Scope.HOLDER is BEIJING.editions[0].exclusive[0].scope
    declared = without(BJ_CONTRACT, other_subsidies=group)
    assert ["exclusive-beijing-municipal-compute"] == against(beijing(declared))
    undeclared = without(BJ_CONTRACT, other_subsidies=None)
    assert ("contract.other-subsidies",) == missing(beijing(undeclared))


def test_beijing_is_claimed_on_the_signed_contract_and_paid_back_on_invoice_payment_and_delivery() -> None:
    unsigned = without(BJ_CONTRACT, evidence=frozenset())
    assert ("contract.evidence.contract",) == missing(beijing(unsigned))
    redemption = BEIJING.editions[0].redemption
    assert (Mode.REIMBURSE, {"delivery", "invoice", "payment"}) == (redemption.mode, set(redemption.evidence))


@pytest.mark.parametrize(("on", "open_"), [("2023-09-01", True), ("2025-12-31", True), ("2026-01-01", False)])
def test_beijing_takes_claims_until_the_end_of_2025(on: str, open_: bool) -> None:
    case = contract(100, signed="2023-09-01")
    decision = beijing(case, on=date.fromisoformat(on))
    assert open_ == isinstance(decision, Entitlement)
    if not open_:
        assert ["window"] == against(decision)


# Hangzhou 2024

HANGZHOU = preset("hangzhou-2024")
FIRM, PARTNER = party(kind="company"), party(OPERATOR, designation_matched_partner="yes")


def hangzhou(
    case: ContractCase, past: Past = NONE, holder: Party = FIRM, operator: Party = PARTNER
) -> Decision:
    return evaluate(HANGZHOU, situation(holder, operator), case, past, ON)


def test_hangzhou_gives_thirty_of_a_hundred_for_domestic_computing_and_twenty_for_other() -> None:
    assert 300_000 == yuan(hangzhou(contract(1_000_000, origin="domestic")))
    assert 200_000 == yuan(hangzhou(contract(1_000_000, origin="foreign")))
    lines = (Line("compute", 1_000_000 * YUAN, "domestic"), Line("compute", 500_000 * YUAN, "foreign"))
    # 1,000,000 × 30 % + 500,000 × 20 % = 300,000 + 100,000
    assert 400_000 == yuan(hangzhou(without(contract(1), lines=lines)))
    registered = Line("compute", 1_000_000 * YUAN, "foreign", registered_model="yes")
    assert 300_000 == yuan(hangzhou(without(contract(1), lines=(registered,))))
    assert "line.chip-origin" in missing(hangzhou(contract(1_000_000)))


def test_hangzhou_gives_the_higher_rate_alone() -> None:
    both = Line("compute", 1_000_000 * YUAN, "domestic", registered_model="yes")
    assert 300_000 == yuan(hangzhou(without(contract(1), lines=(both,))))  # 30 %, neither 60 % nor 80 %


def test_hangzhou_gives_eight_million_a_firm_and_year_from_250_million() -> None:
    # 30,000,000 × 30 % = 9,000,000
    assert 8_000_000 == yuan(hangzhou(contract(30_000_000, origin="domestic")))
    past = Past((claimed("hangzhou-2024", 7_999_999, date(2025, 1, 2)),), 249_000_000 * YUAN)
    assert 1 == yuan(hangzhou(contract(30_000_000, origin="domestic"), past))
    past = Past((), 249_000_000 * YUAN)
    assert 1_000_000 == yuan(hangzhou(contract(30_000_000, origin="domestic"), past))


def test_hangzhou_widens_the_cap_for_makers_of_multimodal_base_models() -> None:
    maker = party(kind="company", designation_multimodal_base_model="yes")
    assert 9_000_000 == yuan(hangzhou(contract(30_000_000, origin="domestic"), holder=maker))


def test_hangzhou_counts_planned_centres_and_matched_partners() -> None:
    case = contract(1_000_000, origin="domestic")
    planned = party(OPERATOR, designation_planned_centre="yes")
    assert 300_000 == yuan(hangzhou(case, operator=planned))
    neither = party(OPERATOR, designation_planned_centre="no", designation_matched_partner="no")
    assert ["planned-or-matched"] == against(hangzhou(case, operator=neither))
    assert 2 == len(missing(hangzhou(case, operator=party(OPERATOR))))
    assert ["holder-kind"] == against(hangzhou(case, holder=party(kind="university")))


# Qingyang 2024

QINGYANG = preset("qingyang-2024")
CLUSTER = {"centre.city": "qingyang"}


def qingyang(case: ContractCase, past: Past = NONE, on: date = ON, **facts: str) -> Decision:
    holder = party(**(facts or {"kind": "research-institute"}))
    return evaluate(QINGYANG, situation(holder, centre=CLUSTER), case, past, on)


def test_qingyang_gives_thirty_of_a_hundred_of_the_contract() -> None:
    assert 300_000 == yuan(qingyang(contract(1_000_000)))
    assert 2_000_000 == yuan(qingyang(contract(7_000_000)))  # 2,100,000, but 2,000,000 each
    past = Past((), 99_900_000 * YUAN)
    assert 100_000 == yuan(qingyang(contract(1_000_000), past))  # of 100,000,000 a year


def test_qingyang_gives_no_voucher_below_five_thousand() -> None:
    # 16,666 × 30 % = 4,999.80; 16,667 × 30 % = 5,000.10
    assert ["rate"] == against(qingyang(contract(16_666)))
    decision = qingyang(contract(16_667))
    assert isinstance(decision, Entitlement)
    assert 5_000_100_000 == decision.amount_micro_yuan


@pytest.mark.parametrize(
    ("claimed_on", "through"),
    [("2024-03-15", "2025-03-15"), ("2024-02-29", "2025-02-28"), ("2024-12-31", "2025-12-31")],
)
def test_qingyang_is_valid_for_twelve_months(claimed_on: str, through: str) -> None:
    decision = qingyang(contract(1_000_000), on=date.fromisoformat(claimed_on))
    assert isinstance(decision, Entitlement)
    assert date.fromisoformat(through) == decision.valid_through


def test_qingyang_is_for_ai_companies_institutes_and_universities_at_its_cluster() -> None:
    case = contract(1_000_000)
    assert 300_000 == yuan(qingyang(case, kind="company", designation_ai="yes"))
    assert ["holder-kind"] == against(qingyang(case, kind="company", designation_ai="no"))
    assert ("holder.designation.ai",) == missing(qingyang(case, kind="company"))
    away = situation(party(kind="university"), centre={"centre.city": "lanzhou"})
    assert ["cluster"] == against(evaluate(QINGYANG, away, case, NONE, ON))


def test_qingyang_is_deducted_at_use_settled_with_the_supplier_and_never_transferred() -> None:
    edition = QINGYANG.editions[0]
    assert Mode.DEDUCT is edition.redemption.mode
    assert "invoice" in edition.redemption.evidence
    assert not edition.transferable


# Langfang 2023

LANGFANG = preset("langfang-2023")
LOCAL = party(OPERATOR, region="131002", designation_scheme_supplier="yes")


def langfang(case: ContractCase, past: Past = NONE, on: date = ON, **facts: str) -> Decision:
    settled = {"kind": "company", "region": "131000", "settled": "2020-01-01", "project_lead": "none"}
    return evaluate(LANGFANG, situation(party(**(settled | facts)), LOCAL), case, past, on)


def test_langfang_gives_half_of_the_fee_and_a_million_a_year() -> None:
    assert 400_000 == yuan(langfang(contract(800_000)))
    assert 1_000_000 == yuan(langfang(contract(3_000_000)))
    assert 200_000 == yuan(langfang(contract(800_000), Past((), 9_800_000 * YUAN)))  # of 10,000,000 a year


def test_langfang_gives_leads_of_projects_the_higher_rate_and_not_both() -> None:
    for grade in ("national", "provincial"):
        assert 480_000 == yuan(langfang(contract(800_000), project_lead=grade))  # 60 %, not 110 %
    assert 400_000 == yuan(langfang(contract(800_000), project_lead="municipal"))


def test_langfang_gives_an_ai_company_half_a_million_once_in_the_year_in_which_it_settles() -> None:
    def settler(case: ContractCase, past: Past = NONE, on: date = ON) -> Decision:
        return langfang(case, past, on, settled="2025-01-10", designation_ai="yes")

    decision = settler(contract(800_000))
    assert 500_000 == yuan(decision)  # more than 50 % of 800,000
    assert isinstance(decision, Entitlement)
    assert "new-settler" == decision.tier
    assert 600_000 == yuan(settler(contract(1_200_000)))  # 50 % gives more than 500,000
    again = Past((claimed("langfang-2023", 500_000, date(2025, 2, 1), tier="new-settler"),))
    assert 400_000 == yuan(settler(contract(800_000), again))
    assert 500_000 == yuan(settler(contract(800_000), on=date(2026, 1, 9)))
    assert 400_000 == yuan(settler(contract(800_000), on=date(2026, 1, 10)))


def test_langfang_grants_what_is_certain_and_names_what_could_raise_it() -> None:
    holder = party(kind="company", region="131000", settled="2020-01-01")
    decision = evaluate(LANGFANG, situation(holder, LOCAL), contract(800_000), NONE, ON)
    assert 400_000 == yuan(decision)
    assert isinstance(decision, Entitlement)
    assert [("tier-project-lead", ("holder.project-lead",))] == [
        (one.id, one.missing) for one in decision.open
    ]


def test_langfang_is_for_its_own_companies_makers_institutes_and_universities_at_its_own_suppliers() -> None:
    case = contract(800_000)
    for kind in ("company", "maker-team", "research-institute", "university"):
        assert 400_000 == yuan(langfang(case, kind=kind))
    assert ["holder-kind"] == against(langfang(case, kind="government"))
    assert ["local"] == against(langfang(case, region="130600"))
    facts = situation(party(kind="company", region="131000"), party(OPERATOR, region="110105"))
    assert ["local-qualified"] == against(evaluate(LANGFANG, facts, case, NONE, ON))


def test_langfang_counts_computing_storage_and_support() -> None:
    lines = (Line("compute", 500_000 * YUAN), Line("storage", 200_000 * YUAN), Line("service", 100_000 * YUAN),
             Line("network", 1_000_000 * YUAN))  # fmt: skip
    assert 400_000 == yuan(langfang(without(contract(1), lines=lines)))  # 800,000 × 50 %


def test_langfang_is_paid_in_full_first() -> None:
    redemption = LANGFANG.editions[0].redemption
    assert Mode.REIMBURSE is redemption.mode
    assert {"delivery", "invoice", "payment"} == set(redemption.evidence)
    assert Verdict.FOR is clause_of(langfang(contract(1_000)), "evidence-contract").verdict
