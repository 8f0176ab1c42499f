"""Settlement: each redemption once, in the quarter of its posting, with its proofs, shared out by funders' parts."""

from collections.abc import Iterator
from datetime import date

import pytest
from sqlalchemy import update

from tests.unit.billing.granted import ACME, CHIEF, OTHER, YUAN, scheme_text
from tests.unit.billing.test_statements import Ledger
from weir.billing import balances, verify
from weir.billing.contracts import ContractDocument, DocumentKind, add_document
from weir.billing.grants import grant
from weir.billing.scheme_change import apply_change, preview_change
from weir.billing.settlement import (
    Settlement,
    dispute,
    quarter_name,
    redemptions,
    settle_quarter,
    settlements_of,
    sign_check,
)
from weir.billing.settlement_cities import city_flows, city_flows_csv
from weir.model.problem import ProblemError
from weir.registry import import_facts, read_fact_file
from weir.store import schema
from weir.units import parse_time_ms

Q2 = date(2025, 5, 1)
AFTER = parse_time_ms("2025-07-01T00:00+08:00")
STANDING = f"standing/{ACME}/cluster"


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    made = Ledger()
    yield made
    made.store.close()


def begin(ledger: Ledger, *, checks: str = "", evidence: str = "") -> int:
    text = scheme_text(base="usage", mode=f"deduct{evidence}").replace(
        "funders: [{id: city, name: City}]",
        "funders: [{id: province, name: Province, parts: 2}, {id: city, name: City}]",
    )
    if checks:
        text = text.replace("    redemption:", f"    checks: {checks}\n    redemption:")
    at = parse_time_ms("2025-04-01T00:00+08:00")
    ledger.write(lambda tx: apply_change(tx, text, "city.yaml", CHIEF, at))
    [claim] = ledger.write(lambda tx: grant(tx, ACME, "cluster", STANDING, CHIEF, at))
    return claim.number


def settle(ledger: Ledger, quarter: date = Q2, now_ms: int = AFTER) -> tuple[Settlement, ...]:
    return ledger.write(lambda tx: settle_quarter(tx, quarter, CHIEF, now_ms))


def test_what_vouchers_paid_is_shared_out_by_the_funders_parts(ledger: Ledger) -> None:
    begin(ledger)
    ledger.charge("2025-04-03T10:00+08:00", 10 * YUAN, voucher=3 * YUAN)
    ledger.charge("2025-06-30T23:59+08:00", 1 * YUAN, voucher=100_000)
    ledger.charge("2025-07-01T00:00+08:00", 1 * YUAN, voucher=500_000)
    city, province = settle(ledger)
    # 3.10 yuan: two thirds are 2.066667, one third is 1.033333
    assert ("2025-Q2-province", 207, 2_066_667 - 2_070_000) == (
        province.id,
        province.total_fen,
        province.carry,
    )
    assert ("2025-Q2-city", 103, 1_033_333 - 1_030_000) == (city.id, city.total_fen, city.carry)
    owed = ledger.store.read(balances)
    assert (2_066_667, 1_033_333) == (owed["funder:province"], owed["funder:city"])
    assert () == ledger.store.read(verify).faults


def test_each_claim_is_paid_by_the_funders_of_its_own_edition(ledger: Ledger) -> None:
    text = scheme_text(base="usage")
    edition = text.split("editions:\n")[1]
    later = edition.replace("2025-01-01", "2025-05-01").replace(
        "{id: city, name: City}", "{id: land, name: Land}"
    )
    text = text.replace("begins: 2025-01-01", "begins: 2025-01-01\n    ends: 2025-04-30") + later
    at = parse_time_ms("2025-04-01T00:00+08:00")
    may = parse_time_ms("2025-05-01T00:00+08:00")
    ledger.write(lambda tx: apply_change(tx, text, "city.yaml", CHIEF, at))
    ledger.write(lambda tx: grant(tx, ACME, "cluster", STANDING, CHIEF, at))
    ledger.write(lambda tx: grant(tx, OTHER, "cluster", f"standing/{OTHER}/cluster", CHIEF, may))
    ledger.charge("2025-04-03T10:00+08:00", 10 * YUAN, voucher=3 * YUAN)
    ledger.charge("2025-05-03T10:00+08:00", 10 * YUAN, voucher=6 * YUAN, who=OTHER)
    assert [("city", 300), ("land", 600)] == [(one.funder, one.total_fen) for one in settle(ledger)]
    assert () == ledger.store.read(verify).faults


def test_each_redemption_is_settled_once(ledger: Ledger) -> None:
    begin(ledger)
    ledger.charge("2025-04-03T10:00+08:00", 10 * YUAN, voucher=3 * YUAN)
    done = settle(ledger)
    assert done == settle(ledger, now_ms=AFTER + 99)
    ledger.charge("2025-04-03T10:00+08:00", -1 * YUAN, voucher=-300_000, posted="2025-08-01T10:00+08:00")
    city, province = settle(ledger, date(2025, 7, 1), parse_time_ms("2025-10-01T00:00+08:00"))
    assert (-200_000, -100_000) == (province.amounts[0][2], city.amounts[0][2])
    assert 4 == len(ledger.store.read(settlements_of))
    assert () == ledger.store.read(lambda c: redemptions(c, 2**62))


def test_a_quarter_is_settled_once_it_has_ended(ledger: Ledger) -> None:
    with pytest.raises(ProblemError, match="it ends at 2025-06-30T16"):
        settle(ledger, now_ms=AFTER - 1)
    assert () == settle(ledger)
    assert ["2025-Q1", "2025-Q2", "2024-Q4"] == [
        quarter_name(day) for day in (date(2025, 3, 31), date(2025, 4, 1), date(2024, 12, 31))
    ]


def test_what_lacks_papers_or_signatures_is_carried(ledger: Ledger) -> None:
    claim = begin(ledger, checks="[{id: audit, by: data bureau}]")
    ledger.charge("2025-04-03T10:00+08:00", 10 * YUAN, voucher=3 * YUAN)
    [waiting] = ledger.store.read(lambda c: redemptions(c, AFTER))
    assert "not signed: audit" == waiting.waits
    assert () == settle(ledger)
    with pytest.raises(ProblemError, match="give one of audit"):
        ledger.write(lambda tx: sign_check(tx, claim, "look", "", CHIEF, AFTER))
    ledger.write(lambda tx: sign_check(tx, claim, "audit", "No. 5", CHIEF, AFTER))
    with pytest.raises(ProblemError, match="is signed"):
        ledger.write(lambda tx: sign_check(tx, claim, "audit", "", CHIEF, AFTER))
    later = settle(ledger, date(2025, 7, 1), parse_time_ms("2025-10-01T00:00+08:00"))
    assert [200, 100] == sorted((one.total_fen for one in later), reverse=True)


def test_an_invoice_is_wanted_where_the_scheme_says_so(ledger: Ledger) -> None:
    ledger.contract("k1", 1_000, start="2025-04-01")
    begin(ledger, evidence=", evidence: [delivery, invoice]")
    [claim] = ledger.write(lambda tx: grant(tx, ACME, "cluster", "k1", CHIEF, AFTER - 1))
    assert 300 * YUAN == claim.amount_micro_yuan
    entry = ledger.charge("2025-04-03T10:00+08:00", 10 * YUAN, voucher=3 * YUAN, contract="k1")
    assert {entry: "not recorded: invoice"} == {
        one.entry: one.waits for one in ledger.store.read(lambda c: redemptions(c, AFTER))
    }
    paper = ContractDocument("k1", DocumentKind.INVOICE, "No. 77", 1, 10 * YUAN)
    ledger.write(lambda tx: add_document(tx, CHIEF, paper, 1))
    assert 2 == len(settle(ledger))


def test_what_was_redeemed_is_settled_by_the_old_rules_where_new_ones_lack_its_day(ledger: Ledger) -> None:
    begin(ledger)
    entry = ledger.charge("2025-04-03T10:00+08:00", 10 * YUAN, voucher=3 * YUAN)
    later = scheme_text(base="usage").replace("2025-01-01", "2026-01-01")
    change = ledger.store.read(lambda c: preview_change(c, later, "city.yaml", AFTER - 8))
    ledger.write(
        lambda tx: apply_change(tx, later, "city.yaml", CHIEF, AFTER - 8, act="No. 1", expected=change.digest)
    )
    claim = ledger.write(lambda tx: tx.connection.execute(update(schema.voucher_claim).values(version=2)))
    assert 1 == claim.rowcount
    [one] = ledger.store.read(lambda c: redemptions(c, AFTER))
    assert (entry, "") == (one.entry, one.waits)
    assert [("city", 100), ("province", 200)] == [(part.funder, part.total_fen) for part in settle(ledger)]


def test_what_is_disputed_is_carried_until_it_is_not(ledger: Ledger) -> None:
    begin(ledger)
    entry = ledger.charge("2025-04-03T10:00+08:00", 10 * YUAN, voucher=3 * YUAN)
    ledger.charge("2025-04-04T10:00+08:00", 10 * YUAN, voucher=6 * YUAN)
    [one, _] = ledger.store.read(lambda c: redemptions(c, AFTER))
    ledger.write(lambda tx: dispute(tx, entry, one.line, "never delivered", CHIEF, AFTER))
    city, province = settle(ledger)
    assert (200, 400) == (city.total_fen, province.total_fen)
    assert ((entry, one.line, "disputed: never delivered"),) == city.waiting
    ledger.write(lambda tx: dispute(tx, entry, one.line, "", CHIEF, AFTER))
    city, province = settle(ledger, date(2025, 7, 1), parse_time_ms("2025-10-01T00:00+08:00"))
    assert (100, 200) == (city.total_fen, province.total_fen)
    with pytest.raises(ProblemError, match="is settled in 2025-Q3"):
        ledger.write(lambda tx: dispute(tx, entry, one.line, "late", CHIEF, AFTER))
    with pytest.raises(ProblemError, match="no redemption"):
        ledger.write(lambda tx: dispute(tx, 5, 0, "?", CHIEF, AFTER))


def test_what_a_citys_tenants_used_elsewhere_is_recorded(ledger: Ledger) -> None:
    facts = f"organisation,fact,value,valid_from\n{ACME},home-city,hefei,2025-01-01\n"
    ledger.write(lambda tx: import_facts(tx, read_fact_file(facts, "facts.csv"), CHIEF, 1))
    ledger.charge("2025-06-03T10:00+08:00", 10 * YUAN, voucher=3 * YUAN)
    ledger.charge("2025-06-03T10:00+08:00", 4 * YUAN, centre="small")
    ledger.charge("2025-06-03T10:00+08:00", 1 * YUAN, who=OTHER)
    with pytest.raises(ProblemError, match="2025-06 is open"):
        ledger.store.read(lambda c: city_flows(c, date(2025, 6, 1)))
    ledger.close(date(2025, 6, 1))
    flows = ledger.store.read(lambda c: city_flows(c, date(2025, 6, 1)))
    assert [("", "qingyang", YUAN), ("hefei", "hefei", 4 * YUAN), ("hefei", "qingyang", 10 * YUAN)] == [
        (flow.from_city, flow.to_city, flow.amount) for flow in flows
    ]
    assert [False, True, False] == [flow.within for flow in flows]
    assert "2025-06,hefei,qingyang,1,10000000" in ledger.store.read(
        lambda c: city_flows_csv(c, date(2025, 6, 1))
    )


def test_what_is_reimbursed_is_paid_back_on_payment_as_far_as_it_was_used_and_claimed(ledger: Ledger) -> None:
    text = scheme_text(mode="reimburse, evidence: [delivery, invoice, payment]")
    at = parse_time_ms("2025-04-01T00:00+08:00")
    ledger.write(lambda tx: apply_change(tx, text, "city.yaml", CHIEF, at))
    ledger.contract("k1", 1_000, start="2025-04-01")
    [claim] = ledger.write(lambda tx: grant(tx, ACME, "cluster", "k1", CHIEF, at))
    assert 300 * YUAN == claim.amount_micro_yuan
    ledger.charge("2025-04-03T10:00+08:00", 400 * YUAN, contract="k1")

    def paper(kind: DocumentKind, reference: str, yuan: int) -> None:
        document = ContractDocument("k1", kind, reference, at, yuan * YUAN)
        ledger.write(lambda tx: add_document(tx, CHIEF, document, at))

    assert () == settle(ledger)  # neither invoice nor payment
    paper(DocumentKind.INVOICE, "No. 77", 400)
    paper(DocumentKind.PAYMENT, "P1", 100)
    [third] = settle(ledger, date(2025, 7, 1), parse_time_ms("2025-10-01T00:00+08:00"))
    assert 30_00 == third.total_fen  # 30 % of the 100 that were paid
    paper(DocumentKind.PAYMENT, "P2", 2_000)
    ledger.charge("2025-10-03T10:00+08:00", 800 * YUAN, contract="k1")
    [fourth] = settle(ledger, date(2025, 10, 1), parse_time_ms("2026-01-01T00:00+08:00"))
    assert 270_00 == fourth.total_fen  # 30 % of 1,200 are 360, the claim is for 300, 30 were paid back
    owed = ledger.store.read(balances)
    assert (300 * YUAN, 300 * YUAN) == (owed["redeemed:city"], owed["funder:city"])
    assert () == ledger.store.read(verify).faults
