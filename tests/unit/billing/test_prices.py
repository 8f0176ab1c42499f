"""Prices: exact, the same for any way that time is told, and never more than the worst case that is held."""

import re
from datetime import datetime
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.billing.budget_periods import SHANGHAI, Period, in_ms, period_ends_ms, period_name
from weir.billing.hold_legs import VoucherOffer, charged, resized, sized, total_charged, total_held
from weir.billing.ledger import Transfer
from weir.billing.price_bands import WEEK_MS, bands_of, time_in_bands, union
from weir.billing.price_book import PriceBook, read_price_book
from weir.billing.rate_card import Needs, PricedPool, RateCard, Unpriced, difference, rate_card
from weir.model.problem import ProblemError

HOUR_MS = 3_600_000
POOL = PricedPool("hefei-ai/npu", "hefei-ai", "ascend-910b")
TEXT = """
version: 1
price_book: test
tax: {name: VAT, rate: "0.06"}
bands:
  peak:
    - {from: "08:00", to: "22:00", days: [mon, tue, wed, thu, fri]}
  night:
    - {from: "00:00", to: "06:30"}
    - {from: "23:30", to: "24:00", days: [sun]}
classes: {internal: "0.6", partner: "0.333333"}
tenants: {"91340100MA2N00001X": internal}
prices:
  - {pool: "*", core_hour: "0.10", memory_gb_hour: "0.013", device_hour: {ascend-910b: "9.37"},
     storage_tb_month: "100.00", transfer_gb: "0.05"}
  - {pool: "hefei-ai/*", minimum_charge: "0.02",
     bands: {peak: {device_hour: {ascend-910b: "12.5"}, core_hour: "0.153"}, night: {core_hour: "0"}}}
"""
BOOK = read_price_book(TEXT, "book")
BANDS = bands_of(BOOK)
NEEDS = Needs(3_500, 7_000, 100 * 10**9, (("wuhu-hpc", 3 * 10**12),))


def card(book: PriceBook = BOOK, needs: Needs = NEEDS, tenant_class: str = "list") -> RateCard:
    made = rate_card(book, 1, POOL, tenant_class, needs)
    assert isinstance(made, RateCard)
    return made


CARDS = [card(tenant_class=name) for name in ("list", "internal", "partner")]
TIMES = st.integers(0, 40 * WEEK_MS)
INTERVALS = st.lists(
    st.tuples(TIMES, st.integers(-1_000, 3 * WEEK_MS)).map(lambda one: (one[0], one[0] + one[1])), max_size=12
)


def at(text: str) -> int:
    return in_ms(datetime.fromisoformat(text).replace(tzinfo=SHANGHAI))


@pytest.mark.parametrize(
    ("begins", "ends", "expected"),
    [
        ("2026-11-23T07:00", "2026-11-23T09:00", {"standard": HOUR_MS, "peak": HOUR_MS}),  # a Monday
        ("2026-11-21T07:00", "2026-11-21T09:00", {"standard": 2 * HOUR_MS}),  # a Saturday
        ("2026-11-22T23:00", "2026-11-23T01:00", {"standard": HOUR_MS // 2, "night": 3 * HOUR_MS // 2}),
        ("2025-12-31T22:00", "2026-01-01T01:00", {"standard": 2 * HOUR_MS, "night": HOUR_MS}),
        ("2024-02-29T06:30", "2024-02-29T08:00", {"standard": 3 * HOUR_MS // 2}),
        (
            "2024-02-29T08:00",
            "2024-03-01T08:00",
            {"peak": 14 * HOUR_MS, "standard": 3.5 * HOUR_MS, "night": 6.5 * HOUR_MS},
        ),
    ],
)
def test_bands_follow_the_clock_of_shanghai(begins: str, ends: str, expected: dict[str, int]) -> None:
    assert expected == BANDS.split(at(begins), at(ends))


@given(TIMES, st.integers(0, 10 * WEEK_MS))
def test_bands_lose_and_double_nothing(begins: int, length: int) -> None:
    split = BANDS.split(begins, begins + length)
    assert sum(split.values()) == length
    pieces = BANDS.pieces(begins, begins + length) if length <= WEEK_MS else []
    for name in {piece[2] for piece in pieces}:
        assert sum(ends - start for start, ends, band in pieces if band == name) == split[name]


@given(INTERVALS, st.randoms(use_true_random=False))
def test_any_cutting_order_repetition_and_overlap_costs_the_same(
    intervals: list[tuple[int, int]], random: object
) -> None:
    whole = union(intervals)
    told = []
    for begins, ends in intervals:
        middle = (begins + ends) // 2
        told += [(begins, middle), (middle, ends), (begins, ends)]
    random.shuffle(told)  # type: ignore[attr-defined]  # a random.Random
    so_far: list[tuple[int, int]] = []
    for one in CARDS:
        so_far, posted = [], 0
        parts: dict[str, int] = {}
        for interval in told:
            so_far = union([*so_far, interval])
            after = one.parts(so_far)
            posted += sum(difference(parts, after).values())
            assert posted >= 0
            parts = after
        assert so_far == whole
        assert posted == one.total(whole)


@given(TIMES, st.integers(1, 3 * WEEK_MS), st.integers(0, 100))
def test_nothing_costs_more_than_its_worst_case(begins: int, limit: int, share: int) -> None:
    for one in CARDS:
        assert one.total([(begins, begins + limit * share // 100)]) <= one.worst(limit)


@given(st.integers(1, 3 * WEEK_MS))
def test_the_worst_case_is_reached_but_for_rounding(limit: int) -> None:
    one = card()
    dearest = max(one.total([(start, start + limit)]) for start in BANDS.turning_starts(limit))
    assert 0 <= one.worst(limit) - dearest <= 2 * len(one.lines) + 1


def test_a_charge_is_the_exact_sum_rounded_line_by_line() -> None:
    begins = at("2026-11-23T07:00")
    parts = card().parts([(begins, begins + 2 * HOUR_MS)])
    assert parts == {
        "core_hour/standard": 700_000,
        "core_hour/peak": 1_071_000,
        "device_hour/standard": 32_795_000,
        "device_hour/peak": 43_750_000,
        "memory_gb_hour/standard": 1_300_000,
        "memory_gb_hour/peak": 1_300_000,
        "storage_tb_month/standard": 416_667,  # 3 TB x 100 yuan x 1 h of 720
        "storage_tb_month/peak": 416_667,
        "transfer_gb": 150_000_000,
    }


def test_a_class_pays_its_share_and_a_minimum_is_charged_once_there_is_anything() -> None:
    small = Needs(0, 1_000, 0)
    begins = at("2026-11-23T09:00")
    assert card(needs=small).parts([(begins, begins + 36_000)]) == {
        "core_hour/peak": 1_530,
        "minimum": 18_470,
    }
    assert card(needs=small).parts([]) == {}
    internal = card(needs=small, tenant_class="internal")
    assert internal.parts([(begins, begins + HOUR_MS)]) == {"core_hour/peak": 91_800}
    assert BOOK.class_of("91340100MA2N00001X") == "internal"
    assert BOOK.class_of("somebody else") == "list"


def test_nothing_is_free_by_omission() -> None:
    book = read_price_book(TEXT.replace('memory_gb_hour: "0.013", ', ""), "book")
    made = rate_card(book, 1, POOL, "list", NEEDS)
    assert made == Unpriced("hefei-ai/npu", ("memory_gb_hour",))
    other = PricedPool("hefei-ai/gpu", "hefei-ai", "nvidia-a100")
    assert rate_card(BOOK, 1, other, "list", NEEDS) == Unpriced(
        "hefei-ai/gpu", ("device_hour of nvidia-a100",)
    )
    qubits = PricedPool("hefei-q/q", "hefei-q", "origin-72", 72)
    assert rate_card(BOOK, 1, qubits, "list", Needs(1_000, 1_000, 0)) == Unpriced(
        "hefei-q/q", ("qubit_second",)
    )


def test_qubits_are_counted_by_the_second() -> None:
    book = read_price_book(TEXT.replace('transfer_gb: "0.05"', 'qubit_second: "0.5"'), "book")
    qubits = PricedPool("quantum/q", "quantum", "origin-72", 72)
    made = rate_card(book, 1, qubits, "list", Needs(1_000, 0, 0))
    assert isinstance(made, RateCard)
    assert made.total([(0, 1_500)]) == 54_000_000


SHARES = st.lists(st.fractions(0, 1, max_denominator=1_000), max_size=3)


@given(
    st.integers(1, 10**12),
    SHARES,
    st.lists(st.integers(0, 10**12), max_size=3),
    st.lists(st.integers(1, 10**12), max_size=12),
)
def test_vouchers_pay_their_share_of_the_whole_however_it_is_charged(
    worst: int, shares: list[Fraction], caps: list[int], steps: list[int]
) -> None:
    offers = [
        VoucherOffer(f"hold:grant-{place}", "commitment:x", share, cap)
        for place, (share, cap) in enumerate(zip(shares, caps, strict=False))
    ]
    legs, opening = resized((), sized(worst, offers, "hold:lab", "credit:lab"))
    transfers: list[Transfer] = list(opening)
    total = 0
    for step in steps:
        more = min(step, worst - total)
        legs, moved = charged(legs, more, "payable:c")
        transfers += moved
        total += more
        assert total_charged(legs) == total
        assert all(leg.held >= 0 and leg.charged >= 0 for leg in legs)
    assert all(amount > 0 for _, _, amount in transfers)
    at_once, _ = charged(resized((), sized(worst, offers, "hold:lab", "credit:lab"))[0], total, "payable:c")
    assert [leg.charged for leg in at_once] == [leg.charged for leg in legs]
    assert total_held(legs) == total_held(at_once)
    back, _ = charged(legs, -total, "payable:c")
    assert total_charged(back) == 0


@pytest.mark.parametrize(
    ("text", "month", "quarter", "year"),
    [
        ("2024-02-29T23:59:59.999", "2024-02", "2024-Q1", "2024"),
        ("2024-03-01T00:00", "2024-03", "2024-Q1", "2024"),
        ("2025-12-31T23:59:59.999", "2025-12", "2025-Q4", "2025"),
        ("2026-01-01T00:00", "2026-01", "2026-Q1", "2026"),
        ("2026-09-30T23:59:59.999", "2026-09", "2026-Q3", "2026"),
        ("2026-10-01T00:00", "2026-10", "2026-Q4", "2026"),
    ],
)
def test_periods_turn_at_midnight_in_shanghai(text: str, month: str, quarter: str, year: str) -> None:
    names = [
        period_name(period, at(text)) for period in (Period.MONTH, Period.QUARTER, Period.YEAR, Period.ONCE)
    ]
    assert names == [month, quarter, year, "once"]


@given(st.sampled_from([Period.MONTH, Period.QUARTER, Period.YEAR]), st.integers(0, 4 * 10**12))
def test_a_period_ends_where_the_next_begins(period: Period, moment: int) -> None:
    ends = period_ends_ms(period, moment)
    assert ends is not None
    assert ends > moment
    assert period_name(period, ends - 1) == period_name(period, moment)
    assert period_name(period, ends) != period_name(period, moment)


@given(INTERVALS)
def test_a_union_is_disjoint_in_order_and_holds_the_same_instants(intervals: list[tuple[int, int]]) -> None:
    made = union(intervals)
    assert all(one[0] < one[1] for one in made)
    assert all(one[1] < two[0] for one, two in pairwise(made))
    assert union(made) == made
    assert sum(time_in_bands(BANDS, made).values()) == sum(ends - begins for begins, ends in made)
    assert all(
        any(one[0] <= begins and ends <= one[1] for one in made)
        for begins, ends in intervals
        if ends > begins
    )


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("price_book: ", 'price_book: ""  # ', "price_book"),
        ("tax: {name: VAT", 'tax: {name: " "', "tax.name"),
        ('rate: "0.06"', 'rate: "６"', "tax.rate"),
        ('rate: "0.06"', 'rate: "1e-999999"', "tax.rate"),
    ],
)
def test_what_names_nothing_and_odd_shares_are_refused(old: str, new: str, field: str) -> None:
    assert old in TEXT
    with pytest.raises(ProblemError, match=re.escape(f"{field}: ")):
        read_price_book(TEXT.replace(old, new, 1), "book")
