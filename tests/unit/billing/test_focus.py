"""FOCUS 1.2: every column's rules hold in what Weir exports, and each rule finds what breaks it."""

import csv
import io
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from tests.unit.billing.granted import scheme_text
from tests.unit.billing.test_priced_work import BOOK, HERE, HOUR_MS, placed, priced
from tests.unit.control.world import COORDINATOR, TENANT, World, job
from weir.billing.calendar_days import day_of, next_month
from weir.billing.calendar_work import WorkingCalendar, WorkingYear
from weir.billing.charges import refund
from weir.billing.focus_export import focus_csv
from weir.billing.focus_rules import COLUMNS, ONE_PARENT, RULES, Column, focus_faults
from weir.billing.scheme_change import apply_change
from weir.billing.statement import FEN
from weir.billing.statement_close import close_month, statements_of
from weir.model.problem import ProblemError
from weir.model.state import Observed

CALENDAR = WorkingCalendar((WorkingYear(2023, "made up", (), ()), WorkingYear(2024, "made up", (), ())))
USAGE = {
    **dict.fromkeys((column.name for column in COLUMNS), ""),
    "BilledCost": "2", "EffectiveCost": "2", "ContractedCost": "2", "ListCost": "2",
    "BillingAccountId": "a", "BillingAccountType": "Organisation", "BillingCurrency": "CNY",
    "BillingPeriodStart": "2025-05-31T16:00:00Z", "BillingPeriodEnd": "2025-06-30T16:00:00Z",
    "ChargePeriodStart": "2025-06-01T00:00:00Z", "ChargePeriodEnd": "2025-06-01T01:00:00Z",
    "ChargeCategory": "Usage", "ChargeFrequency": "Usage-Based", "ChargeDescription": "d",
    "ConsumedQuantity": "4", "ConsumedUnit": "Core-Hours", "PricingQuantity": "4", "PricingUnit": "Core-Hours",
    "ContractedUnitPrice": "0.5", "ListUnitPrice": "0.5", "PricingCategory": "Standard",
    "InvoiceIssuerName": "W", "ProviderName": "W", "PublisherName": "C",
    "ServiceCategory": "Compute", "ServiceSubcategory": "Other (Compute)", "ServiceName": "Computing power",
    "SkuId": "s", "SkuMeter": "m", "SkuPriceId": "p", "ResourceId": "1", "ResourceType": "Job",
    "RegionId": "hefei", "RegionName": "Hefei", "SubAccountId": "p", "SubAccountName": "P",
    "SubAccountType": "Project", "Tags": "{}",
}  # fmt: skip
HEADER = [column.name for column in COLUMNS]


def faults(**changes: str) -> list[str]:
    return list(focus_faults(HEADER, [USAGE | changes]))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"ChargeClass": "Correction", "ChargePeriodStart": "2025-05-01T00:00:00Z", "ConsumedQuantity": "",
         "ConsumedUnit": "", "ContractedUnitPrice": "", "BilledCost": "-2"},
        {"ChargeCategory": "Credit", "ConsumedQuantity": "", "ConsumedUnit": "", "PricingQuantity": "",
         "PricingUnit": "", "BilledCost": "-1", "EffectiveCost": "-1", "ContractedCost": "-1", "ListCost": "-1",
         "ContractedUnitPrice": "", "ListUnitPrice": ""},
    ],
)  # fmt: skip
def test_good_rows_pass(changes: dict[str, str]) -> None:
    assert [] == faults(**changes)


BREAKS: dict[str, dict[str, str]] = {
    "BillingPeriodStart is before BillingPeriodEnd": {"BillingPeriodStart": "2025-06-30T16:00:00Z"},
    "ChargePeriodStart is before ChargePeriodEnd": {"ChargePeriodEnd": "2025-06-01T00:00:00Z"},
    "no charge begins after its billing period": {"ChargePeriodStart": "2025-07-01T00:00:00Z"},
    "a correction corrects an earlier billing period": {"ChargeClass": "Correction"},
    "ConsumedQuantity is null for what is no usage, and is there for usage that is no correction": {
        "ConsumedQuantity": "",
        "ConsumedUnit": "",
    },
    "ConsumedUnit is null exactly where ConsumedQuantity is": {"ConsumedUnit": ""},
    "PricingUnit is null exactly where PricingQuantity is": {"PricingUnit": ""},
    "a purchase is not Usage-Based": {"ChargeCategory": "Purchase"},
    "ContractedUnitPrice is there for usage": {"ContractedUnitPrice": ""},
    "ListUnitPrice is there for usage": {"ListUnitPrice": ""},
    "PricingCategory is there for usage": {"PricingCategory": ""},
    "PricingQuantity is there for usage": {"PricingQuantity": "", "PricingUnit": ""},
    "SkuId is there for usage": {"SkuId": ""},
    "SkuPriceId is there for usage": {"SkuPriceId": ""},
    "SkuMeter is null where SkuId is": {"SkuId": ""},
    "SkuPriceDetails is null where SkuPriceId is": {"SkuPriceId": "", "SkuPriceDetails": "{}"},
    "ContractedCost is ContractedUnitPrice times PricingQuantity": {"ContractedCost": "2.1"},
    "ListCost is ListUnitPrice times PricingQuantity": {"ListUnitPrice": "0.6"},
    "RegionName is null exactly where RegionId is": {"RegionName": ""},
    "ResourceName is null where ResourceId is": {"ResourceId": "", "ResourceName": "x"},
    "ResourceType is null exactly where ResourceId is": {"ResourceType": ""},
    "SubAccountName is null exactly where SubAccountId is": {"SubAccountName": ""},
    "ContractedCost is BilledCost where there is no ContractedUnitPrice": {
        "ContractedUnitPrice": "",
        "ContractedCost": "0",
    },
    "ListCost is BilledCost where there is no ListUnitPrice": {"ListUnitPrice": "", "ListCost": "0"},
    "EffectiveCost is BilledCost for what is unrelated to other charges": {
        "ChargeCategory": "Adjustment",
        "EffectiveCost": "0",
    },
    "BillingAccountType is there with BillingAccountId": {"BillingAccountType": ""},
    "ResourceName is not ResourceId": {"ResourceName": "1"},
    "SkuPriceDetails' keys are of FOCUS or begin with x_": {"SkuPriceDetails": '{"Cores": 4}'},
    "SubAccountType is null exactly where SubAccountId is": {"SubAccountType": ""},
    "ServiceSubcategory belongs to ServiceCategory": {"ServiceCategory": "Storage"},
    "a credit is not above 0, unless it is a correction": {"ChargeCategory": "Credit"},
}


@pytest.mark.parametrize("rule", [said for said, _ in RULES])
def test_each_rule_finds_what_breaks_it(rule: str) -> None:
    assert f"row 1: {rule}" in faults(**BREAKS[rule])


@pytest.mark.parametrize(("said", "child", "parent"), ONE_PARENT)
def test_rows_that_contradict_each_other_are_found(said: str, child: str, parent: str) -> None:
    same = USAGE | {child: "one"}
    assert f"row 2: {said}" in focus_faults(HEADER, [same, same | {parent: "other"}])
    assert not [found for found in focus_faults(HEADER, [same, same]) if said in found]


@pytest.mark.parametrize("value", ["+1", "1_000", "1,000", "1e3", "NaN", " 1", "٣", "1/3", "¥1"])
def test_a_number_is_written_as_the_specification_says(value: str) -> None:
    assert f"row 1: BilledCost {value!r} is no decimal number" in faults(BilledCost=value)
    assert [] == faults(BilledCost="2.00E-3")


@pytest.mark.parametrize(
    ("value", "why"), [("[]", "no flat"), ('{"a": 1, "a": 2}', "twice"), ('{"a": {}}', "flat")]
)
def test_tags_are_one_flat_object(value: str, why: str) -> None:
    assert any(why in found for found in faults(Tags=value))


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
def test_each_column_finds_values_of_another_form(column: Column) -> None:
    if not column.null:
        assert f"row 1: {column.name} must not be null" in faults(**{column.name: ""})
    bad = {"time": "2025-06-01", "decimal": "1,5", "price": "-1", "currency": "yuan", "json": "[1]"}
    value = "Something" if column.allowed else bad.get(column.form, "")
    expected = f"row 1: {column.name} " if value else "never"
    assert bool(value) == any(fault.startswith(expected) for fault in faults(**{column.name: value or "x"}))


def test_a_missing_double_or_unknown_column_is_found() -> None:
    found = list(focus_faults([*HEADER[1:], HEADER[2], "Colour", "x_pool"], []))
    assert 3 == len(found)
    assert "column BilledCost is there 0 times, not once" in found
    assert any("Colour" in fault for fault in found)


def closed(*, voucher: bool, book: str = BOOK) -> tuple[World, date]:
    """A job that ran for half an hour, with a voucher or without, and its month closed."""
    made = priced(book=book)
    if voucher:
        text = scheme_text(base="usage", rate="20%").replace("2025-01-01", "2023-01-01")
        made.store.write(lambda tx: apply_change(tx, text, "city", COORDINATOR, made.now_ms))
    agent, [attempt] = placed(made, job(cores=4_000, time_limit=2 * HOUR_MS, constraints=HERE))
    agent.report(agent.seen(attempt, Observed.RUNNING))
    began_ms = made.now_ms
    made.now_ms += HOUR_MS // 2 + 1_234
    ended = agent.end(attempt)
    assert ended.end is not None
    agent.report(replace(ended, end=replace(ended.end, started_ms=began_ms)))
    month = day_of(began_ms).replace(day=1)
    later = made.now_ms + 60 * 24 * HOUR_MS
    made.store.write(lambda tx: close_month(tx, month, COORDINATOR, later, calendar=CALENDAR))
    return made, month


def corrected() -> tuple[str, str]:
    """Two months as exported: a job with a voucher, and what was given back of it in the next."""
    made, month = closed(voucher=True)
    made.now_ms += 40 * 24 * HOUR_MS
    made.store.write(lambda tx: refund(tx, COORDINATOR, 1, 1, 700_000, "slow", made.now_ms))
    after = next_month(month)
    later = made.now_ms + 30 * 24 * HOUR_MS
    made.store.write(lambda tx: close_month(tx, after, COORDINATOR, later, calendar=CALENDAR))
    return (
        made.store.read(lambda connection: focus_csv(connection, month)),
        made.store.read(lambda connection: focus_csv(connection, after)),
    )


def test_what_is_given_back_later_is_a_correction_of_its_own_period() -> None:
    table = csv.DictReader(io.StringIO(corrected()[1]))
    rows = list(table)
    assert [] == list(focus_faults(table.fieldnames or (), rows))
    back = [row for row in rows if row["ChargeClass"] == "Correction"]
    assert ["Usage", "Credit"] == [row["ChargeCategory"] for row in back]
    assert [Decimal("-0.7"), Decimal("0.14")] == [Decimal(row["BilledCost"]) for row in back]
    assert all(row["ChargePeriodStart"] < row["BillingPeriodStart"] for row in back)


@pytest.mark.parametrize("voucher", [False, True])
def test_what_is_exported_keeps_every_rule_and_adds_up_to_the_statement(voucher: bool) -> None:
    made, month = closed(voucher=voucher)
    text = made.store.read(lambda connection: focus_csv(connection, month, TENANT))
    table = csv.DictReader(io.StringIO(text))
    rows = list(table)
    assert [] == list(focus_faults(table.fieldnames or (), rows))
    expected = {"Usage", "Credit", "Adjustment"} if voucher else {"Usage", "Adjustment"}
    assert expected == {row["ChargeCategory"] for row in rows}
    found = made.store.read(lambda connection: statements_of(connection, party=TENANT))
    assert Decimal(found[0].total_fen) / 100 == sum(Decimal(row["BilledCost"]) for row in rows)
    assert {found[0].id} == {row["InvoiceId"] for row in rows}
    [rest] = [row for row in rows if row["ChargeCategory"] == "Adjustment"]
    assert Decimal(rest["BilledCost"]) * 1_000_000 == found[0].total_fen * FEN - found[0].net
    [usage] = [row for row in rows if row["ChargeCategory"] == "Usage"]
    assert ("Core-Hours", "1") == (usage["PricingUnit"], usage["ListUnitPrice"])
    assert usage["PricingQuantity"].startswith("2.00")  # four cores for half an hour and a second
    if voucher:
        assert abs(found[0].voucher - found[0].gross / 5) <= 1


@pytest.mark.parametrize("share", ["0", "0.5"])
def test_a_minimum_charge_is_the_same_for_every_class(share: str) -> None:
    """Half an hour of four cores lists at 2 yuan and a bit, of which the class pays its share; the minimum is more."""
    classes = f'classes: {{internal: "{share}"}}\ntenants: {{"{TENANT}": internal}}\nprices:'
    book = BOOK.replace("prices:", classes, 1).replace('{pool: "*",', '{pool: "*", minimum_charge: "1.70",')
    made, month = closed(voucher=False, book=book)
    rows = list(csv.DictReader(io.StringIO(made.store.read(lambda c: focus_csv(c, month, TENANT)))))
    assert [] == list(focus_faults(rows[0], rows))
    assert Decimal("1.7") == sum(Decimal(row["BilledCost"]) for row in rows)
    [least] = [row for row in rows if row["PricingUnit"] == "Minimum Charges"]
    assert least["BilledCost"] == least["ListCost"] == least["ContractedUnitPrice"]


def test_an_open_month_is_not_exported() -> None:
    made = priced()
    with pytest.raises(ProblemError, match="2023-10 is open; close it first"):
        made.store.read(lambda connection: focus_csv(connection, date(2023, 10, 1)))
