"""Resampling: load, size and span as asked, users' sequences intact, days and weeks kept."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from weir.model.problem import ProblemError
from weir.twin.generators.lublin import lublin, offered_load
from weir.twin.generators.people import Habits
from weir.twin.generators.resample import WEEK_MS, resample
from weir.twin.workload import Workload

SOURCE = lublin(1, 12_000, 256, load=0.7, habits=Habits(jobs_per_user=60))
DAY_MS = 86_400_000


@pytest.mark.parametrize("by", ["user", "week"])
@pytest.mark.parametrize(
    "asked",
    [
        {"load": 0.9},
        {"load": 0.3},
        {"load": 0.9, "machine_size": 1_024},
        {"machine_size": 300},
        {"load": 0.8, "span_ms": 40 * WEEK_MS},
        {"load": 0.8, "jobs": 30_000},
    ],
)
def test_the_load_is_as_asked(by: str, asked: dict[str, Any]) -> None:
    made = resample(SOURCE, 5, by=by, **asked)
    size = asked.get("machine_size", 256)
    span = asked.get("span_ms", SOURCE.submit_ms[-1] - SOURCE.submit_ms[0])
    assert size == made.machine_size
    work = float(np.dot(made.run_ms.astype(float), made.size))
    if "jobs" in asked:
        assert 30_000 == pytest.approx(len(made), rel=0.25)
        span = work / (size * 0.8)
    assert asked.get("load", 0.7) == pytest.approx(work / (size * float(span)), rel=0.02)
    assert asked.get("load", 0.7) == pytest.approx(offered_load(made), rel=0.03)
    assert made.submit_ms[-1] < span * 1.001


def test_jobs_are_in_order_and_columns_hold_together() -> None:
    made = resample(SOURCE, 1, load=1.1, machine_size=512)
    assert np.all(np.diff(made.submit_ms) >= 0)
    assert np.array_equal(made.job, np.arange(1, len(made) + 1))
    assert set(made.job_class.tolist()) == set(range(len(made.classes)))
    assert set(made.user.tolist()) == set(range(len(made.users)))
    assert len(set(made.users)) == len(made.users)
    assert all(
        made.classes[code].tasks == size
        for code, size in zip(made.job_class[:500].tolist(), made.size[:500].tolist(), strict=True)
    )


def test_a_users_sequence_stays_its_own() -> None:
    weeks = -(-int(SOURCE.submit_ms[-1] + 1 - SOURCE.submit_ms[0]) // WEEK_MS)
    made = resample(SOURCE, 2, load=1.4, span_ms=weeks * WEEK_MS)
    known = {SOURCE.users[user]: _sequence(SOURCE, user) for user in range(len(SOURCE.users))}
    whole = 0
    for user, name in enumerate(made.users):
        original, drawn = known[name.partition("+")[0]], _sequence(made, user)
        # Moved round the weeks: the same jobs, from some place on and then from the beginning.
        assert not Counter(drawn) - Counter(original)
        whole += len(drawn) == len(original) and drawn in [
            original[k:] + original[:k] for k in range(len(original))
        ]
    assert whole >= len(made.users) - 1


def test_days_and_weekdays_stay() -> None:
    made = resample(SOURCE, 3, load=0.9, machine_size=512)
    for period, phases in ((DAY_MS, 24), (WEEK_MS, 7)):
        first = int(SOURCE.submit_ms[0])
        before = np.bincount((SOURCE.submit_ms - first) % period * phases // period, minlength=phases) / len(
            SOURCE
        )
        after = np.bincount(made.submit_ms % period * phases // period, minlength=phases) / len(made)
        assert np.abs(before - after).max() < 0.03


def test_equal_arguments_give_equal_workloads_and_seeds_differ() -> None:
    first, again, other = (resample(SOURCE, seed, load=0.9) for seed in (4, 4, 5))
    assert np.array_equal(first.submit_ms, again.submit_ms)
    assert first.users == again.users
    assert not np.array_equal(first.submit_ms[:100], other.submit_ms[:100])


def test_jobs_that_do_not_fit_are_counted() -> None:
    made = resample(SOURCE, 6, machine_size=64)
    assert made.size.max() <= 64
    assert ("larger than the machine", int(np.count_nonzero(SOURCE.size > 64))) in made.dropped


def test_a_workload_of_one_user_can_be_resampled_by_weeks() -> None:
    one = lublin(2, 5_000, 128, load=0.6)
    made = resample(one, 1, load=0.8, by="week")
    assert 0.8 == pytest.approx(offered_load(made), rel=0.05)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"load": 0}, "load"),
        ({"machine_size": -1}, "machine_size"),
        ({"jobs": 10, "span_ms": 10}, "jobs"),
        ({"jobs": 0}, "jobs"),
        ({"span_ms": 0}, "span_ms"),
        ({"by": "job"}, "by"),
    ],
)
def test_impossible_numbers_are_named(asked: dict[str, Any], field: str) -> None:
    with pytest.raises(ProblemError, match=field):
        resample(SOURCE, 1, **asked)


def test_what_would_never_end_is_refused_at_once() -> None:
    few = SOURCE.rows(slice(0, 5))
    with pytest.raises(ProblemError, match="50000000 jobs"):
        resample(replace(few, run_ms=few.run_ms * 0 + 1_000), 1, load=2.0, machine_size=10**6, span_ms=10**12)


def test_a_workload_without_machine_or_time_is_refused() -> None:
    with pytest.raises(ProblemError, match="machine_size"):
        resample(replace(SOURCE, machine_size=0), 1)
    with pytest.raises(ProblemError, match="workload"):
        resample(SOURCE.rows(slice(0, 1)), 1)


def _sequence(workload: Workload, user: int) -> list[tuple[int, int, int]]:
    mine = np.flatnonzero(workload.user == user)
    return list(
        zip(
            workload.size[mine].tolist(),
            workload.run_ms[mine].tolist(),
            workload.limit_ms[mine].tolist(),
            strict=True,
        )
    )
