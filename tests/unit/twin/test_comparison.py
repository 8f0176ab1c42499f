"""Differences between runs: the intervals mean what they say, and only like is compared with like."""

from dataclasses import replace

import numpy as np
import pytest

from tests.unit.twin.made import column, first_come, outcome, random_work, workload
from weir.model.problem import ProblemError
from weir.twin.comparison import (
    Comparison,
    Difference,
    block_length,
    compare_jobs,
    compare_pairs,
    student_quantile,
)
from weir.twin.metrics import Measures, measure
from weir.twin.results import Results, results_of


def compared(first: Results, second: Results, seed: int = 1, rounds: int = 500) -> Comparison:
    random = np.random.default_rng(seed)
    return compare_jobs(first, second, names=("first", "second"), random=random, rounds=rounds)


def figure(comparison: Comparison, name: str) -> Difference:
    [found] = [each for each in comparison.differences if each.figure == name]
    return found


def correlated(count: int, rho: float, random: np.random.Generator) -> np.ndarray:
    noise = random.normal(size=count)
    values = np.empty(count)
    values[0] = noise[0]
    for at in range(1, count):
        values[at] = rho * values[at - 1] + noise[at]
    return values


def test_a_run_against_itself_differs_by_nothing() -> None:
    ran = results_of(first_come(random_work(300, 1), 4))
    found = compared(ran, ran)
    assert (300, 0) == (found.pairs, found.left_out)
    assert all((0, 0, 0) == (each.difference, each.low, each.high) for each in found.differences)
    assert not any(each.told_apart for each in found.differences)


def test_a_larger_machine_is_told_apart_and_the_difference_is_that_of_the_figures() -> None:
    work = random_work(2_000, 1)
    first, second = (results_of(first_come(work, size)) for size in (4, 8))
    found = compared(first, second)
    for name, attribute in [
        ("mean wait", "mean_wait_s"),
        ("95th percentile of wait", "p95_wait_s"),
        ("99.9th percentile of wait", "p999_wait_s"),
        ("mean bounded slowdown", "mean_bounded_slowdown"),
        ("RMS bounded slowdown", "rms_bounded_slowdown"),
        ("mean flow", "mean_flow_s"),
    ]:
        one = figure(found, name)
        before, after = (getattr(measure(each), attribute) for each in (first, second))
        assert (before, after, after - before) == (one.first, one.second, one.difference)
        assert one.low <= one.difference <= one.high < 0
        assert one.told_apart
        assert one.percent is not None
        assert pytest.approx(100 * (after / before - 1)) == one.percent


def test_the_same_seed_gives_the_same_intervals() -> None:
    work = random_work(500, 1)
    first, second = (results_of(first_come(work, size)) for size in (4, 5))
    assert compared(first, second, 3) == compared(first, second, 3)
    assert compared(first, second, 3) != compared(first, second, 4)


def test_intervals_over_correlated_jobs_cover_as_often_as_they_say() -> None:
    # Waits that differ by correlated noise of mean zero: about 95 of 100 intervals should hold zero. Resampling
    # single jobs instead of blocks would hold it in about 45.
    random = np.random.default_rng(11)
    rows = [(60 * at, 100, 1) for at in range(3_000)]
    still = results_of(outcome(workload(rows), [row[0] + 5_000 for row in rows]))
    held = 0
    for _ in range(100):
        moved_ms = (1_000 * correlated(len(rows), 0.9, random)).astype(np.int64)
        moved = replace(still, start_ms=still.start_ms + moved_ms, end_ms=still.end_ms + moved_ms)
        held += not figure(compared(still, moved, rounds=300), "mean wait").told_apart
    assert 86 <= held <= 100


@pytest.mark.parametrize("rho", [0.5, 0.9])
def test_the_block_length_is_near_the_best_for_a_known_process(rho: float) -> None:
    # Of a first-order autoregressive process, the best length is (1.5 (2 rho / (1 - rho^2))^2 n)^(1/3).
    count = 20_000
    best = (1.5 * (2 * rho / (1 - rho**2)) ** 2 * count) ** (1 / 3)
    found = block_length(correlated(count, rho, np.random.default_rng(4)))
    assert pytest.approx(best, rel=0.35) == found


def test_blocks_of_what_does_not_vary_or_hardly_is_there_have_a_length() -> None:
    assert 1 == block_length(column([7]))
    assert 5 == block_length(column([7] * 100))
    assert block_length(np.random.default_rng(0).normal(size=1_000)) < 5


def test_jobs_that_started_in_one_run_alone_are_left_out_and_counted() -> None:
    work = random_work(100, 1)
    ran = first_come(work, 4)
    starts = ran.start_ms / 1_000
    some = outcome(work, np.where(np.arange(100) % 4 == 0, -1, starts).tolist())
    found = compared(results_of(ran), results_of(some))
    assert (75, 25) == (found.pairs, found.left_out)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (random_work(301, 1), "first has 300"),
        (random_work(300, 2), "submit of row 1"),
        (random_work(300, 1, size=column([4] * 300)), "size of row"),
        (random_work(300, 1, job=column(range(300))), "job of row 1"),
    ],
)
def test_runs_of_other_jobs_are_refused(other, said: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ProblemError, match=said):
        compared(results_of(first_come(random_work(300, 1), 4)), results_of(first_come(other, 4)))


def test_too_few_jobs_for_an_interval_are_refused() -> None:
    ran = results_of(first_come(random_work(20, 1), 4))
    with pytest.raises(ProblemError, match="at least 30 jobs"):
        compared(ran, ran)


def test_over_pairs_of_runs_the_interval_is_student_s() -> None:
    ran = measure(results_of(first_come(random_work(50, 1), 4)))

    def with_wait(seconds: float) -> Measures:
        return replace(ran, mean_wait_s=seconds)

    pairs = [(with_wait(100), with_wait(100 + apart)) for apart in (-10, -20, -30, -40)]
    one = figure(compare_pairs(pairs, names=("a", "b")), "mean wait")
    assert pytest.approx(-25) == one.difference
    # 3.1824 is Student's t at 97.5 % with 3 degrees of freedom; the standard deviation is 12.91.
    assert pytest.approx(-25 - 3.1824 * 12.9099 / 2, rel=1e-4) == one.low
    assert one.told_apart
    assert one.percent is not None
    assert pytest.approx(100 * ((0.9 * 0.8 * 0.7 * 0.6) ** 0.25 - 1)) == one.percent


def test_two_pairs_are_too_few() -> None:
    ran = measure(results_of(first_come(random_work(50, 1), 4)))
    with pytest.raises(ProblemError, match="needs 3 or more"):
        compare_pairs([(ran, ran)] * 2, names=("a", "b"))


@pytest.mark.parametrize(("freedom", "wanted"), [(1, 12.7062), (4, 2.7764), (9, 2.2622), (99, 1.9842)])
def test_student_s_quantiles_are_those_of_the_tables(freedom: int, wanted: float) -> None:
    assert pytest.approx(wanted, abs=1e-4) == student_quantile(0.975, freedom)
