"""Provinces in rounds: Gavel's policies on a workload with speeds, by name."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.unit.twin.made import pool, random_work, workload
from weir.model.problem import ProblemError
from weir.scheduling.inputs import JobClass
from weir.twin.metrics import measure, summarise
from weir.twin.results import Results, read_results, results_of, write_results
from weir.twin.rounds.province import rates, rounds_run
from weir.twin.trial import known_policies
from weir.twin.workload import Workload

FAST = pool("a/fast", nodes=2, stack="cuda", speed_milli=2_000, core_hour_micro_yuan=3_000_000)
SLOW = pool("b/slow", nodes=4, stack="cann", core_hour_micro_yuan=1_000_000)


def run(work: Workload, *pools: Any, policy: str = "max-min", **more: Any) -> Results:
    found = rounds_run(work, pools, (), policy=policy, clock=lambda: 0.0, **more)
    return results_of(found.outcome, held_ms=found.held_ms)


def test_both_are_known_by_name() -> None:
    assert {"max-min", "min-jct"} <= set(known_policies())


def test_a_job_alone_runs_where_it_is_fastest_and_pays_for_that() -> None:
    found = run(workload([(0, 3_600, 2)]), FAST, SLOW)
    assert [0] == found.pool.tolist()
    assert [1_800_000] == found.end_ms.tolist()
    assert [3_000_000] == found.cost_micro_yuan.tolist()
    assert not found.preempted


def test_speeds_of_jobs_and_pools_multiply() -> None:
    kind = JobClass(1, 0, 1_000, 0, variant_speeds=(("cann", 800), ("cuda", 1_000)))
    bound = JobClass(1, 0, 1_000, 0, variant_speeds=(("cann", 1_000),))
    wide = JobClass(5, 0, 1_000, 0)
    assert [[2.0, 0.8], [0.0, 1.0], [0.0, 0.0]] == rates([kind, bound, wide], [FAST, SLOW], []).tolist()


@pytest.mark.parametrize("policy", ["max-min", "min-jct"])
def test_all_work_is_done_and_no_pool_holds_more_than_it_has(policy: str) -> None:
    work = random_work(60, 3)
    found = run(work, FAST, SLOW, policy=policy)
    assert found.started.all()
    assert (found.end_ms >= found.start_ms + found.run_ms).all()
    assert (found.wait_ms >= -1).all()
    # Half of the nominal time at least, since no pool is more than twice as fast; all of it at most.
    assert (found.run_ms >= work.run_ms // 2 - 1).all()
    assert (found.run_ms <= work.run_ms + 1).all()
    assert 0 < (measure(found).utilisation or 0) <= 1


def test_jobs_take_turns_on_the_fast_pool_and_wait_is_what_is_not_run(tmp_path: Any) -> None:
    found = run(workload([(0, 7_200, 2)] * 4), FAST, replace(SLOW, nodes=2))
    assert found.preempted
    measures = measure(found)
    flow = (found.end_ms - found.submit_ms).mean() / 1_000
    assert flow == pytest.approx(measures.mean_flow_s)
    write_results(found, summarise(found, measures), tmp_path / "out")
    again = read_results(tmp_path / "out")
    assert found.run_ms.tolist() == again.run_ms.tolist()
    assert found.wait_ms.tolist() == again.wait_ms.tolist()
    assert measures == measure(again)


def test_only_min_jct_looks_at_how_much_is_left_and_then_at_limits_unless_told_the_truth() -> None:
    rows = [(0, 40_000, 2)] * 4 + [(0, 2_000, 2)] * 12
    work = workload(rows)
    doubtful = replace(work, limit_ms=work.limit_ms + np.where(np.arange(16) < 8, 0, 400_000_000))
    for policy, alike in (("max-min", True), ("min-jct", False)):
        ends = [
            run(each, FAST, SLOW, policy=policy, estimates=known).end_ms.tolist()
            for each, known in ((doubtful, "user"), (doubtful, "exact"))
        ]
        assert (ends[0] == ends[1]) is alike


@pytest.mark.parametrize(
    ("pools", "more", "says"),
    [
        ((SLOW,), {}, "as fast in one pool as in another"),
        ((FAST, SLOW), {"estimates": "predicted"}, "no use of predictions"),
    ],
)
def test_what_it_cannot_do_is_refused(pools: Any, more: Any, says: str) -> None:
    with pytest.raises(ProblemError, match=says):
        run(workload([(0, 10, 1)]), *pools, **more)


def test_a_job_that_fits_nowhere_never_starts() -> None:
    found = run(workload([(0, 10, 1), (0, 10, 9)]), FAST, SLOW)
    assert [True, False] == found.started.tolist()
    assert np.array_equal([0], found.run_ms[1:])
