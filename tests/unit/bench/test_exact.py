"""The exact sums of small instances are the least there are, and the core's gap to them is told as it is."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from bench.exact import Found, Instance, Job, compared, drawn, exact_sum, figures, in_order, options_of
from weir.scheduling.inputs import JobClass
from weir.scheduling.policies import NAMED

WEIR = NAMED["weir"]
MINUTE = 60_000


def least_of_all(instance: Instance) -> int:
    """Every way to give the jobs to pools, each pool going on minute by minute."""
    options = options_of(instance, WEIR)
    return min(
        sum(alone(instance, pool, places) for pool in range(len(instance.pools)))
        for places in product(range(len(instance.pools)), repeat=len(options.need))
        if all(options.score[job][pool] >= 0 for job, pool in enumerate(places))
    )


def alone(instance: Instance, pool: int, places: Sequence[int]) -> int:
    """What the jobs that go to one pool come to there, in order, each as early as it fits."""
    options = options_of(instance, WEIR)
    now, minutes = 72 * 60, 72 * 60
    free = [instance.pools[pool].nodes] * minutes
    for need, end in instance.running[pool]:
        for at in range(end // MINUTE - now):
            free[at] -= need
    total = 0
    for job, place in enumerate(places):
        if place != pool:
            continue
        run = options.run_ms[job][pool] // MINUTE
        start = next(at for at in range(minutes - run) if min(free[at : at + run]) >= options.need[job])
        for at in range(start, start + run):
            free[at] -= options.need[job]
        total += options.score[job][pool] + options.hour[job] * start // 60
    return total


def small(seed: int) -> Instance:
    """Three jobs, on pools whose speeds leave run times in whole minutes."""
    random = np.random.default_rng(seed)
    instance = drawn(random)
    pools = tuple(replace(pool, speed_milli=int(random.choice([500, 1_000]))) for pool in instance.pools[:2])
    centres = {pool.centre for pool in pools}
    jobs = [
        replace(
            job,
            job_class=replace(
                job.job_class,
                tasks=min(job.job_class.tasks, *(pool.nodes for pool in pools)) if len(pools) > 1 else 1,
                centres=tuple(each for each in job.job_class.centres if each in centres),
            ),
        )
        for job in instance.jobs[:3]
    ]
    return Instance(pools, instance.running[:2], tuple(jobs))


@pytest.mark.parametrize("seed", range(6))
def test_no_way_to_share_jobs_out_comes_to_less(seed: int) -> None:
    instance = small(seed)
    options = options_of(instance, WEIR)
    assert exact_sum(instance, options, in_order(instance, options)) == least_of_all(instance)


def test_the_exact_sum_is_never_above_that_of_a_plan_in_order() -> None:
    random = np.random.default_rng(7)
    found = [compared(drawn(random), WEIR) for _ in range(12)]
    assert all(each.exact <= each.alike for each in found)
    assert any(each.exact < each.alike for each in found)
    gaps = [each.core / each.exact - 1 for each in found]
    assert min(gaps) > -0.2
    assert np.median(gaps) < 0.1


def test_one_job_and_one_free_pool_leave_no_gap() -> None:
    instance = drawn(np.random.default_rng(3))
    pool = instance.pools[0]
    job = Job(JobClass(1, 1_000, 1_000, 0, centres=(pool.centre,)), 60 * MINUTE, 71 * 60 * MINUTE)
    found = compared(Instance((pool,), ((),), (job,)), WEIR)
    assert found.core == found.alike == found.exact > 0


def test_the_gap_is_told_in_per_cent_of_the_exact_sum() -> None:
    median, most, *_ = figures([Found(110, 100, 100), Found(100, 100, 100), Found(99, 100, 100)])
    assert [0.0, 9.8] == pytest.approx([median.value, most.value])
    assert "33 % below 0" in median.how
