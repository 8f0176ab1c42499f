"""Amounts over time: against a count of every second."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.twin.made import column
from weir.twin.timeline import edges, mean_amount, most_at_once

INTERVALS = st.lists(
    st.tuples(st.integers(0, 50), st.integers(0, 30), st.integers(1, 9)), min_size=1, max_size=20
)


@given(INTERVALS, st.integers(1, 13))
def test_means_and_maximum_agree_with_counting_every_instant(
    intervals: list[tuple[int, int, int]], bins: int
) -> None:
    there = np.zeros(100)
    for begin, lasts, height in intervals:
        there[begin : begin + lasts] += height
    first, length, amount = (column(each) for each in zip(*intervals, strict=True))
    marks = edges(0, 99, bins)
    found = mean_amount(first, first + length, amount, marks)
    wanted = [there[a:b].mean() for a, b in pairwise(marks)]
    assert pytest.approx(wanted) == found.tolist()
    when, most = most_at_once(first, first + length, amount)
    assert there.max() == most
    assert most in (0, there[when])


def test_nothing_at_all() -> None:
    none = column([])
    assert [0.0, 0.0] == mean_amount(none, none, none, column([0, 5, 10])).tolist()
    assert (0, 0) == most_at_once(none, none, none)


def test_a_span_shorter_than_its_bins_has_fewer() -> None:
    assert [0, 1, 2] == edges(0, 2, 100).tolist()
    assert [5, 6] == edges(5, 5, 100).tolist()
