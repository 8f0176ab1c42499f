"""Windows and curves: the compiled arithmetic against counting minute by minute."""

from typing import Any

import numba
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.scheduling.provinces import pool
from weir.scheduling.inputs import Curve, Window
from weir.scheduling.kernels import supply as kernels
from weir.scheduling.kernels.linked import EntryCompiler
from weir.scheduling.supply import Supply, longest_between, supply_of, value_over

MINUTE = 60_000
DAY = 1_440 * MINUTE
NEVER = 2**62
_OPTIONS: Any = {"pipeline_class": EntryCompiler}  # as those that call these functions


@numba.njit(**_OPTIONS)
def average(supply, start, length):  # type: ignore[no-untyped-def]
    return kernels.average(supply, 0, start, length)


@numba.njit(**_OPTIONS)
def opens_for(supply, start, length):  # type: ignore[no-untyped-def]
    return kernels.opens_for(supply, 0, start, length)


@numba.njit(**_OPTIONS)
def in_service_until(supply, now):  # type: ignore[no-untyped-def]
    return kernels.in_service_until(supply, 0, now)


@numba.njit(**_OPTIONS)
def next_change(supply, now):  # type: ignore[no-untyped-def]
    return kernels.next_change(supply, now)


@st.composite
def curves(draw: st.DrawFn) -> Curve:
    every = draw(st.sampled_from((0, 10, 60, 1_440)))
    low, high = (0, every - 1) if every else (-100, 2_000)
    times = draw(st.lists(st.integers(low, high), min_size=1, max_size=6, unique=True))
    values = st.one_of(st.integers(0, 9), st.integers(0, 2**31 - 1))
    return Curve(tuple((at * MINUTE, draw(values)) for at in sorted(times)), every * MINUTE)


@st.composite
def windows(draw: st.DrawFn) -> tuple[Window, ...]:
    found = []
    for _ in range(draw(st.integers(0, 4))):
        every = draw(st.sampled_from((0, 0, 30, 60)))
        start, length = draw(st.integers(0, 200)), draw(st.integers(1, every - 1 if every else 80))
        found.append(Window(start * MINUTE, (start + length) * MINUTE, every * MINUTE))
    return tuple(found)


def is_out(all_windows: tuple[Window, ...], minute: int) -> bool:
    now = minute * MINUTE
    return any(
        (now - each.from_ms) % (each.every_ms or 2**60) < each.until_ms - each.from_ms for each in all_windows
    )


def of(**changed: Any) -> Supply:
    return supply_of([pool(**changed)])


@given(
    curve=curves(),
    start=st.integers(0, 3 * DAY),
    length=st.one_of(st.integers(1, 200_000), st.integers(1, 30 * DAY)),
)
def test_a_mean_is_that_of_every_instant(curve: Curve, start: int, length: int) -> None:
    counted = min(length, 2**31 - 1)
    expected = value_over(curve, start, start + counted) // counted
    assert expected == average(of(device_hour_over_time=curve), start, length)


@given(curve=curves(), minute=st.integers(0, 4_000))
def test_what_holds_in_a_minute_is_the_last_step_before_it(curve: Curve, minute: int) -> None:
    time = minute * MINUTE % curve.every_ms if curve.every_ms else minute * MINUTE
    before = [value for at, value in curve.steps if at <= time]
    expected = before[-1] if before else curve.steps[-1 if curve.every_ms else 0][1]
    assert expected == average(of(device_hour_over_time=curve), minute * MINUTE, MINUTE)


def test_a_constant_curve_costs_to_the_last_digit_what_the_price_costs() -> None:
    for length in (1, 7, 3_600_000, 2**38):
        assert 12_345_679 == average(of(device_hour_over_time=Curve(((0, 12_345_679),), DAY)), 17, length)


@given(all_windows=windows(), start=st.integers(0, 400), length=st.integers(1, 70))
def test_a_pool_opens_at_the_first_minute_from_which_it_is_in_service_for_long_enough(
    all_windows: tuple[Window, ...], start: int, length: int
) -> None:
    out = "".join("x" if is_out(all_windows, minute) else "-" for minute in range(start, start + 700))
    found = out.find("-" * length)
    expected = NEVER if found < 0 else (start + found) * MINUTE
    assert expected == opens_for(of(windows=all_windows), start * MINUTE, length * MINUTE)


@given(all_windows=windows(), now=st.integers(0, 400))
def test_until_when_a_pool_is_in_service(all_windows: tuple[Window, ...], now: int) -> None:
    out = next((minute for minute in range(now, now + 500) if is_out(all_windows, minute)), None)
    until = in_service_until(of(windows=all_windows), now * MINUTE)
    if out == now:
        assert until <= now * MINUTE
    else:
        assert (NEVER if out is None else out * MINUTE) == until


@given(all_windows=windows(), curve=curves(), minute=st.integers(0, 400))
def test_nothing_changes_before_the_next_time(
    all_windows: tuple[Window, ...], curve: Curve, minute: int
) -> None:
    until = next_change(of(windows=all_windows, carbon_over_time=curve), minute * MINUTE)
    assert minute * MINUTE < until

    def held(at: int) -> tuple[bool, int]:
        return is_out(all_windows, at), value_over(curve, at * MINUTE, at * MINUTE + 1)

    for at in range(minute, min(until // MINUTE, minute + 1_600)):
        assert held(minute) == held(at)


def test_the_longest_time_between_windows_that_come_again() -> None:
    daily, twice = Window(0, 60 * MINUTE, DAY), Window(720 * MINUTE, 780 * MINUTE, DAY)
    assert NEVER == longest_between([Window(0, 60 * MINUTE)])
    assert 1_380 * MINUTE == longest_between([daily, Window(5 * MINUTE, 20 * MINUTE)])
    assert 660 * MINUTE == longest_between([daily, twice])


@pytest.mark.parametrize(
    "changed",
    [
        {"windows": (Window(5, 5),)},
        {"windows": (Window(0, DAY, DAY),)},
        {"windows": (Window(0, 1, 61_000),)},
        {"windows": (Window(0, 1, 365 * DAY), Window(0, 1, 364 * DAY))},
        {"carbon_over_time": Curve(())},
        {"carbon_over_time": Curve(((1, 5),))},
        {"carbon_over_time": Curve(((0, 5), (0, 6)))},
        {"carbon_over_time": Curve(((DAY, 5),), DAY)},
        {"carbon_over_time": Curve(((0, -1),))},
    ],
)
def test_what_cannot_be_is_refused_with_the_name_of_the_pool(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="pool hefei/a: "):
        of(**changed)
