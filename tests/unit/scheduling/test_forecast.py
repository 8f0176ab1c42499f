"""Forecasts: of futures that are the core's own, the same for the same seed, and calibrated by what came of them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from weir.scheduling import calibration as cal
from weir.scheduling import forecast as fc
from weir.scheduling.inputs import PoolRow
from weir.scheduling.policies import NAMED
from weir.scheduling.simulation import SimulatedJobs, simulate
from weir.twin.province import single_pool
from weir.twin.workload import processors

Int64s = NDArray[np.int64]
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
NOW = 30 * DAY
POOL: PoolRow = single_pool(8)
NOTHING = np.empty(0, np.int64)


def column(values: Sequence[int]) -> Int64s:
    return np.array(values, np.int64)


def waiting(*jobs: tuple[int, int]) -> fc.Waiting:
    """(nodes, limit) of jobs that came one a minute, numbered from 1."""
    count = len(jobs)
    need, limit = column([job[0] for job in jobs]), column([job[1] for job in jobs])
    came = NOW - MINUTE * np.arange(count, 0, -1)
    return fc.Waiting(np.arange(1, count + 1), need, came, limit, limit, np.zeros(count, np.int64))


def running(*jobs: tuple[int, int, int]) -> fc.Running:
    """(nodes, elapsed, limit)"""
    need, elapsed, limit = (column([job[i] for job in jobs]) for i in range(3))
    return fc.Running(need, NOW - elapsed, limit, np.zeros(len(jobs), np.int64))


def arrivals(count: int = 0) -> fc.Arrivals:
    """Small jobs of another user, spread over the last 15 days, all ended after half of their limits."""
    ones = np.ones(count, np.int64)
    came = NOW - 15 * DAY + np.arange(count) * (15 * DAY // max(1, count))
    return fc.Arrivals(came, ones, ones * HOUR, ones * HOUR, ones, ones * 0, ones * HOUR // 2)


def present(
    run: fc.Running, wait: fc.Waiting, came: fc.Arrivals | None = None, policy: str = "easy"
) -> fc.Present:
    return fc.Present(8, NOW, run, wait, arrivals() if came is None else came, NAMED[policy])


def taught(ratio: float = 0.5, jobs: int = 40) -> fc.Past:
    """Everybody's jobs ended after that share of their limits of an hour."""
    past = fc.no_past(3)
    ones = np.ones(jobs, np.int64)
    for user in (0, 1):
        fc.remember(past, user * ones, ones, HOUR * ones, (ratio * HOUR * ones).astype(np.int64))
    return past


BUSY = running((8, 10 * MINUTE, HOUR))


def test_a_job_waits_for_what_runs_as_long_as_such_jobs_ran() -> None:
    found = fc.forecast(present(BUSY, waiting((8, HOUR))), taught(), cal.uncalibrated(), seed=1)
    low, high = found.range_ms(0, 80)
    assert NOW < low < NOW + 20 * MINUTE < high < NOW + 30 * MINUTE
    assert found.as_of_ms == NOW


def test_what_has_outlived_its_limit_ends_at_any_moment() -> None:
    late = running((8, 2 * HOUR, HOUR))
    found = fc.forecast(present(late, waiting((8, HOUR))), taught(), cal.uncalibrated(), seed=1)
    assert (found.start_ms[0] <= NOW + MINUTE).all()


def test_ranges_lie_within_each_other() -> None:
    queue = waiting(*((1 + i % 8, HOUR * (1 + i % 3)) for i in range(40)))
    found = fc.forecast(present(BUSY, queue, arrivals(900)), taught(), cal.uncalibrated(), seed=1)
    assert (np.diff(found.start_ms, axis=1) >= 0).all()
    assert (found.start_ms >= NOW).all()
    for row in range(40):
        ranges = [found.range_ms(row, percent) for percent in (95, 80, 50)]
        assert [low for low, _ in ranges] == sorted(low for low, _ in ranges)
        assert [high for _, high in ranges] == sorted((high for _, high in ranges), reverse=True)
    with pytest.raises(ValueError, match="percent: 90"):
        found.range_ms(0, 90)


@pytest.mark.parametrize(
    "policy", ["easy", "weir", "conservative", "wfp3", "easy-sjbf", "sjf-committed", "fcfs"]
)
def test_a_future_without_chance_is_what_the_core_does(policy: str) -> None:
    # With all runs at their limits and nothing to come, it is a simulation of the same jobs from an empty pool.
    draw = np.random.default_rng(5)
    need, limit = draw.integers(1, 9, 200), MINUTE * draw.integers(1, 600, 200)
    nobody = np.zeros(200, np.int64)
    sizes, job_class = np.unique(need, return_inverse=True)
    jobs = SimulatedJobs(
        np.full(200, NOW), limit, limit, job_class.astype(np.int64), tuple(processors(int(n)) for n in sizes),
        nobody, nobody, nobody, nobody,
    )  # fmt: skip
    wait = fc.Waiting(np.arange(200), need, np.full(200, NOW), limit, limit, nobody)
    # An empty pool, and everybody waits: what the pass at `now` finds.
    assert (
        fc.reserved(present(running(), wait, policy=policy), fc.no_past(1)).tolist()
        == simulate((POOL,), (), jobs, NAMED[policy]).start_ms.tolist()
    )


def test_one_job_asked_for_is_told_as_among_all() -> None:
    queue = waiting(*((1 + i % 8, HOUR * (1 + i % 3)) for i in range(60)))
    now = present(BUSY, queue, arrivals(900), "weir")
    everyone = fc.forecast(now, taught(), cal.uncalibrated(), seed=3)
    alone = fc.forecast(now, taught(), cal.uncalibrated(), seed=3, asked=column([31]))
    assert alone.job.tolist() == [31]
    assert alone.start_ms.tolist() == [everyone.start_ms[30].tolist()]
    other = fc.forecast(now, taught(), cal.uncalibrated(), seed=4)
    assert everyone.start_ms.tolist() != other.start_ms.tolist()


def test_arrivals_that_overtake_make_it_later() -> None:
    queue = waiting((8, 10 * HOUR))
    # Shortest first: what comes goes ahead of a job of ten hours.
    calm = fc.forecast(present(BUSY, queue, arrivals(), "sjf"), taught(), cal.uncalibrated(), seed=1)
    busy = fc.forecast(present(BUSY, queue, arrivals(3_000), "sjf"), taught(), cal.uncalibrated(), seed=1)
    assert busy.start_ms[0, 3] > calm.start_ms[0, 3] + HOUR


def test_the_tail_is_told_by_class_and_position() -> None:
    queue = waiting(*((1 + i % 8, HOUR) for i in range(400)))
    now = present(BUSY, queue)
    whole = fc.forecast(now, taught(), cal.uncalibrated(), seed=1)
    found = fc.forecast(now, taught(), cal.uncalibrated(), seed=1, first=200)
    assert found.followed.tolist() == [True] * 200 + [False] * 200
    alone = fc.forecast(now, taught(), cal.uncalibrated(), seed=1, asked=column([350]), first=200)
    assert alone.start_ms.tolist() == [found.start_ms[349].tolist()]
    left, true = found.start_ms[200:, 3] - NOW, whole.start_ms[200:, 3] - NOW
    assert (np.abs(left - true) < true // 4).mean() > 0.8


def test_wrong_input_is_named() -> None:
    good = present(BUSY, waiting((8, HOUR)))
    past = taught()
    for wrong, message in (
        (replace(good, nodes=4), "running.need: 8 is not from 1 to 4"),
        (replace(good, waiting=waiting((9, HOUR))), "waiting.need: 9 is not from 1 to 8"),
        (replace(good, running=running((8, -1, HOUR))), "running.placed_ms"),
        (
            replace(good, running=running((5, 1, HOUR), (5, 1, HOUR))),
            "running.need: 10 nodes are more than 8",
        ),
        (
            replace(good, waiting=replace(good.waiting, user=column([7]))),
            "waiting.user: 7 is not from 0 to 2",
        ),
        (replace(good, waiting=replace(good.waiting, user=NOTHING)), "waiting: its columns"),
    ):
        with pytest.raises(ValueError, match=message):
            fc.forecast(wrong, past, cal.uncalibrated(), seed=1)
    with pytest.raises(ValueError, match="asked: not all"):
        fc.forecast(good, past, cal.uncalibrated(), seed=1, asked=column([2]))
    with pytest.raises(ValueError, match="futures, first: 0 and"):
        fc.forecast(good, past, cal.uncalibrated(), seed=1, futures=0)


def test_nobody_waits() -> None:
    found = fc.forecast(present(BUSY, waiting()), taught(), cal.uncalibrated(), seed=1)
    assert found.start_ms.shape == (0, len(cal.LEVELS_MILLI))


@given(bias=st.sampled_from([1, 4]), delay=st.integers(0, 200), seed=st.integers(0, 2**32))
@settings(max_examples=8, deadline=None)
def test_calibrated_ranges_hold_as_often_as_they_say(bias: int, delay: int, seed: int) -> None:
    # The futures are too narrow by half and off by `bias`; the news of a start comes `delay` forecasts late.
    draw = np.random.default_rng(seed)
    count = 4_000
    true = (5 * HOUR * np.exp2(draw.normal(0, 1, count))).astype(np.int64)
    spread = np.array([-1.96, -1.28, -0.67, 0, 0.67, 1.28, 1.96]) / 2
    raw = np.repeat((5 * HOUR * np.exp2(spread) / bias).astype(np.int64)[None], count, axis=0)
    state = cal.uncalibrated()
    stratum = cal.strata_of(raw, np.zeros(count, np.int64))
    issued = np.empty_like(raw)
    for i in range(count):
        issued[i] = cal.calibrated(state, stratum[i : i + 1], raw[i : i + 1])[0]
        if i >= delay:
            row = slice(i - delay, i - delay + 1)
            state = cal.learnt(state, stratum[row], raw[row], true[row])
    last = slice(count // 3, count)
    for low, high, share in ((0, 6, 0.95), (1, 5, 0.8), (2, 4, 0.5)):
        held = (true[last] >= issued[last, low]) & (true[last] <= issued[last, high])
        assert abs(held.mean() - share) < 0.05


def test_learning_changes_nothing_in_place() -> None:
    before = cal.uncalibrated()
    after = cal.learnt(before, column([0]), np.full((1, 7), HOUR), column([2 * HOUR]))
    assert not before.offset.any()
    assert after.told.tolist()[0] == 1
    assert (after.offset[0] > 0).all()
