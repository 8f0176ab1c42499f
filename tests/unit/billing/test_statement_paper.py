"""Statements on paper: the same sums in CSV and HTML, and amounts in words as Chinese bills write them."""

import csv
import io
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.billing.test_focus import closed
from weir.billing.statement import FEN, PartyKind, Posting, Statement, make_statement
from weir.billing.statement_close import statements_of
from weir.billing.statement_paper import statement_html, statements_csv, yuan_in_words
from weir.billing.statement_tax import TaxLine, tax_in, taxes_of

TENANT, YUAN = "91340100WEYR00027A", 1_000_000


def made(kind: PartyKind = PartyKind.TENANT, other: str = "hefei-ai", **vouchers: int) -> Statement:
    posting = Posting(1, "2025-06", other, "k1", {"device_hour/": 1_234 * YUAN + 567_890}, vouchers)
    return make_statement(
        kind, "2025-06-T0000001", TENANT, "2025-06", 1_751_900_000_000, [posting], 1_000, "ab"
    )


@pytest.mark.parametrize(
    ("fen", "words"),
    [
        (0, "零元整"), (1, "壹分"), (10, "壹角整"), (5, "伍分"), (100, "壹元整"), (101, "壹元零壹分"),
        (1_000_00, "壹仟元整"), (1_001_00, "壹仟零壹元整"), (1_0010_00, "壹万零壹拾元整"), (10_0000_00, "壹拾万元整"),
        (123_456, "壹仟贰佰叁拾肆元伍角陆分"), (1_0000_0000_00, "壹亿元整"), (1_0000_0001_00, "壹亿零壹元整"),
        (1_0001_0000_00, "壹亿零壹万元整"), (2_005_00, "贰仟零伍元整"), (-350, "负叁元伍角整"),
        (9_9999_9999_99, "玖亿玖仟玖佰玖拾玖万玖仟玖佰玖拾玖元玖角玖分"),
    ],
)  # fmt: skip
def test_amounts_in_words(fen: int, words: str) -> None:
    assert words == yuan_in_words(fen)


@given(st.integers(0, 10**14))
def test_different_amounts_have_different_words(fen: int) -> None:
    assert yuan_in_words(fen) != yuan_in_words(fen + 1)
    assert "零零" not in yuan_in_words(fen)


def test_rows_of_the_table_add_up_to_total_and_carry() -> None:
    one = made(city=200 * YUAN)
    rows = list(csv.DictReader(io.StringIO(statements_csv([one]))))
    by_item: dict[str, Decimal] = {row["item"]: Decimal(row["amount_yuan"]) for row in rows}
    parts = by_item["device_hour/"] + by_item["voucher"] + by_item["carried in"]
    assert parts == by_item["total"] + by_item["carry"]
    assert Decimal(one.total_fen) / 100 == by_item["total"]
    assert abs(by_item["carry"]) * 1_000_000 < FEN


def test_no_cell_is_taken_for_a_formula() -> None:
    text = statements_csv([made(other="=HYPERLINK(1)")])
    assert ",'=HYPERLINK(1)," in text


def test_the_page_says_who_when_how_much_and_is_whole_in_itself() -> None:
    one = made(city=200 * YUAN)
    page = statement_html(one, party_name="艾克米 <Acme>", names={"hefei-ai": "合肥智算中心"})
    for said in ("租户对账单", one.id, TENANT, "艾克米 &lt;Acme&gt;", "合肥智算中心 (hefei-ai)", "¥1,034.57",
                 "壹仟零叁拾肆元伍角柒分", "-200.000000", one.hash, "加速卡时"):  # fmt: skip
        assert said in page, said
    assert "<Acme>" not in page
    assert "http" not in page
    centre = statement_html(made(PartyKind.CENTRE, TENANT, city=200 * YUAN))
    assert "算力中心结算单" in centre
    assert "¥1,234.57" in centre  # what vouchers paid is the centre's too


def test_what_goes_back_is_said_as_such() -> None:
    posting = Posting(1, "2025-06", "hefei-ai", "k1", {"device_hour/": -26 * YUAN}, {})
    page = statement_html(make_statement(PartyKind.TENANT, "a", TENANT, "2025-07", 1, [posting], 0, ""))
    for said in ("应退金额 Amount to be returned", ">¥26.00<", "贰拾陆元整"):
        assert said in page
    assert "应付金额" not in page


@pytest.mark.parametrize("voucher", [False, True])
def test_the_tax_that_prices_include_is_named_with_its_rate(voucher: bool) -> None:
    world, _ = closed(voucher=voucher)
    for one in world.store.read(statements_of):
        taxes = world.store.read(lambda connection, one=one: taxes_of(connection, one))  # type: ignore[misc]  # at once
        assert (TaxLine("VAT", "0.06", one.gross, tax_in(one.gross, "0.06")),) == taxes
        page = statement_html(one, taxes=taxes)
        assert "其中税额 Of which tax (VAT 6 %)</td><td class=n>0.113285<" in page  # of 2.001371


@given(amount=st.integers(-(10**15), 10**15), hundredths=st.integers(0, 100))
def test_amount_without_tax_and_its_tax_are_the_amount(amount: int, hundredths: int) -> None:
    tax = tax_in(amount, f"{hundredths / 100}")
    assert abs((amount - tax) * hundredths - tax * 100) <= 100 + hundredths
