"""What people write is read exactly, and what cannot be read is refused with what is accepted."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.units import (
    Quantity,
    UnlikeQuantitiesError,
    format_bytes,
    format_duration,
    format_time,
    format_yuan,
    parse_bytes,
    parse_duration_ms,
    parse_time_ms,
    parse_yuan,
)
from weir.units.marker import parse_milli_cores
from weir.units.rate import parse_bits_per_second, parse_operations_per_second, parse_watts


@pytest.mark.parametrize(
    ("text", "expected_ms"),
    [
        ("90s", 90_000),
        ("850ms", 850),
        ("30m", 1_800_000),
        ("30min", 1_800_000),
        ("2h30m", 9_000_000),
        ("2h 30m", 9_000_000),
        ("1d", 86_400_000),
        ("1.5h", 5_400_000),
        ("0:05", 300_000),
        ("2:30:00", 9_000_000),
        ("1-12:00:00", 129_600_000),
    ],
)
def test_a_duration_is_read_with_its_unit(text: str, expected_ms: int) -> None:
    assert expected_ms == parse_duration_ms(text)


@pytest.mark.parametrize(
    "text", ["", "90", 90, 1.5, None, True, "2 hours", "-5s", "0s", "5y", "h", "367d", "1:2", "٣s x"]
)
def test_a_duration_without_a_unit_or_out_of_range_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"duration|unit"):
        parse_duration_ms(text)


@pytest.mark.parametrize(
    ("text", "expected_bytes"),
    [
        ("1B", 1),
        ("1kB", 1_000),
        ("1KiB", 1_024),
        ("16GiB", 16 << 30),
        ("1.5GiB", 3 << 29),
        ("2TB", 2 * 10**12),
        ("64 MiB", 64 << 20),
    ],
)
def test_a_size_is_decimal_or_binary_as_its_unit_says(text: str, expected_bytes: int) -> None:
    assert expected_bytes == parse_bytes(text)


@pytest.mark.parametrize("text", ["", "16", 16, "16 gigs", "-1GiB", "0GiB", "GiB", None, "1e3GiB", "2000PiB"])
def test_a_size_without_a_unit_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_bytes(text)


@given(st.integers(min_value=1, max_value=2**40))
def test_a_size_in_bytes_survives_being_written(size_bytes: int) -> None:
    assert size_bytes == parse_bytes(f"{size_bytes}B")
    assert format_bytes(size_bytes)[-1] == "B"


@given(st.integers(min_value=-(10**18), max_value=10**18))
def test_money_survives_being_written_to_the_micro_yuan(micro_yuan: int) -> None:
    written = format_yuan(micro_yuan).replace("¥", "").replace(",", "")
    assert micro_yuan == parse_yuan(written)


@pytest.mark.parametrize(
    "text",
    [12.5, True, None, "1.0000001", "twelve", "NaN", "Infinity", "", "１００", "٣", "1_000", "1,000", "1e3", "1e999999",
     "9" * 25, "+5", "5.", ".5", "--5"],
)  # fmt: skip
def test_money_that_is_not_exact_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="write an amount in yuan"):
        parse_yuan(text)


def test_money_is_shown_with_two_decimals_and_more_only_where_needed() -> None:
    assert "¥12.50" == format_yuan(12_500_000)
    assert "¥1,234.00" == format_yuan(1_234_000_000)
    assert "-¥0.000001" == format_yuan(-1)


@given(st.integers(min_value=0, max_value=4_102_444_800_000))
def test_an_instant_survives_being_written(time_ms: int) -> None:
    assert time_ms == parse_time_ms(format_time(time_ms))


@pytest.mark.parametrize("text", ["2026-11-22T08:00", "yesterday", ""])
def test_an_instant_without_an_offset_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"offset|ISO 8601"):
        parse_time_ms(text)


@pytest.mark.parametrize(("value", "expected_milli"), [(4, 4_000), ("0.5", 500), (0.001, 1), ("64", 64_000)])
def test_cores_are_read_in_thousandths(value: object, expected_milli: int) -> None:
    assert expected_milli == parse_milli_cores(value)


@pytest.mark.parametrize("value", [0, -1, "0.0001", True, "many", None, float("inf"), 65_537])
def test_cores_that_are_no_number_of_thousandths_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="number of cores"):
        parse_milli_cores(value)


def test_rates_and_power_are_read_with_their_unit() -> None:
    assert 312 * 10**12 == parse_operations_per_second("312 TFLOPS")
    assert 989_400_000_000_000 == parse_operations_per_second("989.4 TFLOPS")
    assert 624 * 10**12 == parse_operations_per_second("624 TOPS")
    assert 10**11 == parse_bits_per_second("100 Gbit/s")
    assert 400 == parse_watts("400 W")
    for parse, wrong in (
        (parse_operations_per_second, "312"),
        (parse_bits_per_second, "100 GB/s"),
        (parse_watts, 400),
    ):
        with pytest.raises(ValueError, match="write a"):
            parse(wrong)


@pytest.mark.parametrize(
    ("duration_ms", "shown"),
    [
        (850, "850ms"),
        (4_200, "4.2s"),
        (200_000, "3m20s"),
        (7_500_000, "2h05m"),
        (273_600_000, "3d04h"),
        (-4_200, "-4.2s"),
    ],
)
def test_a_duration_is_shown_in_its_shortest_form(duration_ms: int, shown: str) -> None:
    assert shown == format_duration(duration_ms)


def test_like_quantities_add_and_unlike_ones_never_do() -> None:
    intelligent = Quantity(Decimal(1200), "P", "intelligent", "fp16")
    assert Quantity(Decimal(2400), "P", "intelligent", "fp16") == intelligent + intelligent
    for unlike in (
        Quantity(Decimal(1), "P", "intelligent", "fp64"),
        Quantity(Decimal(1), "P", "general", "fp16"),
        Quantity(Decimal(1), "P", "intelligent", "fp16", "measured"),
        Quantity(Decimal(1), "qubit", "intelligent", "fp16"),
    ):
        with pytest.raises(UnlikeQuantitiesError, match="never added"):
            intelligent + unlike
