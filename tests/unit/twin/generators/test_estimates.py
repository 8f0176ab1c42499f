"""Limits after the model of users' estimates."""

import numpy as np
import pytest

from weir.model.problem import ProblemError
from weir.twin.generators.estimates import ATTENTIVE, DAY, HOUR, Estimates, distribution, draw_limits


def test_twenty_values_hold_89_percent_and_the_longest_is_most_popular() -> None:
    values, percent = distribution(np.random.default_rng(1), 70_000, 36 * HOUR)
    assert 340 >= len(values) > 250
    assert 100.0 == pytest.approx(percent.sum())
    assert 89.0 == pytest.approx(np.sort(percent)[-20:].sum(), abs=0.5)
    assert values[-1] == 36 * HOUR
    assert percent[-1] == percent.max()
    assert np.all(np.diff(values) > 0)
    assert np.all(values % 60 == 0)
    head = set(values[np.argsort(percent)[-20:]].tolist())
    assert {300, 900, 1_800, HOUR, 2 * HOUR, 12 * HOUR} <= head


def test_short_longest_values_still_make_a_distribution() -> None:
    values, percent = distribution(np.random.default_rng(2), 500, HOUR)
    assert values[-1] == HOUR
    assert len(values) == len(percent) >= 10


def test_a_session_shares_a_limit_that_holds_its_longest_run() -> None:
    rng = np.random.default_rng(3)
    session = np.sort(rng.integers(0, 500, 3_000))
    _, session = np.unique(session, return_inverse=True)
    run_s = rng.lognormal(6, 2, 3_000).astype(np.int64).clip(1, DAY)
    limit = draw_limits(rng, run_s, session, Estimates(longest_s=2 * DAY))
    assert np.all(limit >= run_s)
    assert limit.max() <= 2 * DAY
    for number in range(0, session.max() + 1, 37):
        assert 1 == len(set(limit[session == number].tolist()))


def test_frequencies_are_kept_however_long_the_runs_are() -> None:
    rng = np.random.default_rng(4)
    run_s = np.full(10_000, 60)
    limit = draw_limits(rng, run_s, np.arange(10_000), Estimates(longest_s=18 * HOUR))
    assert 0.218 == pytest.approx(np.mean(limit == 18 * HOUR), abs=0.01)


def test_where_too_many_run_long_the_least_sufficient_value_is_taken() -> None:
    run_s = np.full(1_000, 10 * HOUR + 1)
    limit = draw_limits(np.random.default_rng(5), run_s, np.arange(1_000), Estimates(longest_s=18 * HOUR))
    assert np.all(limit > run_s)


def test_attentive_users_come_nearer_to_their_runs() -> None:
    rng = np.random.default_rng(6)
    run_s = rng.lognormal(7, 1.5, 5_000).astype(np.int64).clip(1, DAY)
    blind = draw_limits(np.random.default_rng(7), run_s, np.arange(5_000), Estimates(longest_s=DAY))
    aware = draw_limits(np.random.default_rng(7), run_s, np.arange(5_000), ATTENTIVE)
    assert np.mean(np.minimum(run_s, aware) / aware) > 2 * np.mean(run_s / blind)
    assert 0.02 < np.mean(run_s >= aware) < 0.25


@pytest.mark.parametrize("longest", [60, 7_200])
def test_a_longest_limit_that_holds_not_every_run_is_refused(longest: int) -> None:
    with pytest.raises(ProblemError, match="longest_s"):
        draw_limits(np.random.default_rng(8), np.array([9_000]), np.array([0]), Estimates(longest_s=longest))
