"""Forecasts over a province are issued from what was known, and scored against what came."""

import numpy as np

from bench.forecast_province import Told, coverage, issued


def test_every_forecast_is_of_a_job_that_waited_and_comes_out_in_order() -> None:
    told, seconds = issued(3, 1_500, 6, 4)
    assert 6 == len(seconds)
    assert told
    assert all(each.left_ms > 0 for each in told)
    assert all((np.diff(each.range_ms) >= 0).all() for each in told)
    # At the first instant nothing has been learnt: the ranges are those of the futures.
    first = [each for each in told if each.instant == told[0].instant]
    assert all(np.allclose(each.range_ms, each.raw_ms, rtol=0.001, atol=60) for each in first)


def test_coverage_is_the_share_of_ranges_that_held() -> None:
    levels = np.arange(7) * 10

    def one(left: int) -> Told:
        return Told(0, np.zeros(1, np.int64), levels, levels, left, 0)

    assert 50.0 == coverage([one(0), one(30), one(50), one(60)], 80)
    assert 100.0 == coverage([one(0), one(60)], 95)
    assert 0.0 == coverage([], 80)
