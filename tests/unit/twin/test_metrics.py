"""The figures of a run, against hand-made cases and against plain definitions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.twin.made import column, first_come, outcome, pool, random_work, workload
from weir.scheduling.inputs import JobClass
from weir.twin.metrics import (
    bounded_slowdown,
    by_tenant,
    exact_sum,
    jain,
    measure,
    percentile_s,
    score_forecast,
    summarise,
)
from weir.twin.results import results_of

TIMES = st.lists(st.integers(0, 2**44), min_size=1, max_size=60)


def test_a_small_run_by_hand() -> None:
    work = workload([(0, 100, 4), (0, 10, 2), (10, 5, 2)], users=[0, 1, 1])
    found = measure(results_of(outcome(work, [0, 100, 100])))
    assert (3, 0) == (found.jobs, found.unstarted)
    assert 190 / 3 == found.mean_wait_s
    assert 100.0 == found.max_wait_s
    assert 90.0 == found.median_wait_s
    assert 305 / 3 == found.mean_flow_s
    # 100/100, 110/10, and 95 s of flow over the 10 s that shorter runs count as
    assert pytest.approx((1 + 11 + 9.5) / 3) == found.mean_bounded_slowdown
    assert pytest.approx(math.sqrt((1 + 121 + 90.25) / 3)) == found.rms_bounded_slowdown
    assert 11.0 == found.max_bounded_slowdown
    assert 110.0 == found.makespan_s
    assert (400 + 20 + 10) / (4 * 110) == found.utilisation
    assert "core" == found.utilisation_of
    assert found.worst_tenant is not None
    assert ("u1", 2, 10.25) == (
        found.worst_tenant.tenant,
        found.worst_tenant.jobs,
        found.worst_tenant.mean_bounded_slowdown,
    )
    assert pytest.approx((1 + 10.25) ** 2 / (2 * (1 + 10.25**2))) == found.jain_fairness
    # 430 core-seconds at 0.06 yuan a core-hour; each job's part is rounded to a micro-yuan
    assert 6_667 + 333 + 167 == found.cost_micro_yuan


def test_jobs_that_never_start_count_in_no_mean() -> None:
    work = workload([(0, 10, 1), (5, 10, 9)])
    found = measure(results_of(outcome(work, [0, -1])))
    assert (2, 1, 0.0, 1.0) == (found.jobs, found.unstarted, found.mean_wait_s, found.mean_bounded_slowdown)
    assert 10.0 == found.makespan_s
    assert 167 == found.cost_micro_yuan


def test_without_any_start_there_are_no_figures_and_no_error() -> None:
    found = measure(results_of(outcome(workload([(0, 10, 1)]), [-1])))
    assert 1 == found.unstarted
    none = (found.mean_wait_s, found.p999_wait_s, found.utilisation, found.makespan_s, found.worst_tenant)
    assert (None,) * 5 == none


def test_the_summary_has_every_figure_that_is_promised() -> None:
    results = results_of(first_come(random_work(50, 1), 4), peak_rss_bytes=7)
    said = summarise(results, measure(results))
    promised = (
        "jobs",
        "jobs_per_second",
        "read_seconds",
        "mean_wait_s",
        "p95_wait_s",
        "p999_wait_s",
        "max_wait_s",
        "mean_bounded_slowdown",
        "rms_bounded_slowdown",
        "utilisation",
        "makespan_s",
        "peak_rss_bytes",
    )
    assert [] == [name for name in promised if said[name] is None]
    assert (50, 100.0, 0.25, 7) == tuple(
        said[name] for name in ("jobs", "jobs_per_second", "read_seconds", "peak_rss_bytes")
    )


def test_accelerators_and_cores_are_counted_each_in_their_own_pools() -> None:
    training = JobClass(tasks=2, devices_milli=4_000, cores_milli=8_000, memory_bytes=0)
    serial = JobClass(tasks=1, devices_milli=0, cores_milli=2_000, memory_bytes=0)
    rates = {"device_hour_micro_yuan": 9_000_000, "core_hour_micro_yuan": 100_000, "device_power_watts": 400}
    pools = (
        pool("a/gpu", nodes=4, devices_per_node=8, cores_milli_per_node=64_000, **rates),
        pool("b/cpu", nodes=10, cores_milli_per_node=32_000),
    )
    work = workload([(0, 3600, 8), (0, 1800, 2)], job_class=column([0, 1]), classes=(training, serial))
    results = results_of(outcome(work, [0, 0], pools=pools, where=[0, 1]))
    found = measure(results)
    gpu, cpu = found.pools
    assert ("device", 32.0, 0.25) == (gpu.unit, gpu.capacity, gpu.utilisation)
    assert ("core", 320.0, 2 * 1800 / (320 * 3600)) == (cpu.unit, cpu.capacity, cpu.utilisation)
    assert ("device", 0.25) == (found.utilisation_of, found.utilisation)
    assert 8 * 9_000_000 + 16 * 100_000 == gpu.cost_micro_yuan
    assert 60_000 == cpu.cost_micro_yuan
    assert 3.2 == found.energy_kwh
    assert 1.6 == found.carbon_kg


def test_a_large_machine_s_figures_are_exact() -> None:
    # 80,640 processors for 250 days, five times over: more than 2**63 thousandth-milliseconds.
    days = 250 * 86_400
    work = workload([(day * days, days, 80_640) for day in range(6)])
    found = measure(results_of(outcome(work, [day * days for day in range(6)], pools=(pool(nodes=80_640),))))
    assert 1.0 == found.utilisation
    assert 6 * 80_640 * 250 * 24 * 60_000 == found.cost_micro_yuan


def test_a_price_beyond_the_usual_is_still_exact() -> None:
    dear = pool(core_hour_micro_yuan=2**39)
    results = results_of(outcome(workload([(0, 3600, 4)]), [0], pools=(dear,)))
    assert 4 * 2**39 == results.cost_micro_yuan[0]


@given(TIMES, st.integers(0, 1_000))
def test_percentiles_interpolate_as_numpy_does(values: list[int], thousandths: int) -> None:
    wanted = float(np.percentile(np.array(values, np.float64), thousandths / 10)) / 1_000
    assert pytest.approx(wanted, rel=1e-12, abs=1e-9) == percentile_s(column(values), thousandths)


@given(TIMES, st.integers(0, 2**44))
def test_bounded_slowdown_by_its_definition(waits: list[int], run: int) -> None:
    runs = column([run] * len(waits))
    wanted = [max(1.0, (wait + run) / max(run, 10_000)) for wait in waits]
    assert wanted == bounded_slowdown(column(waits), runs).tolist()


@given(st.lists(st.integers(-(2**62), 2**62), max_size=50))
def test_sums_do_not_overflow(values: list[int]) -> None:
    assert sum(values) == exact_sum(column(values))


@given(st.lists(st.floats(1, 1e6), min_size=1, max_size=30))
def test_jain_lies_between_one_tenant_has_all_and_all_fare_alike(values: list[float]) -> None:
    found = jain(np.array(values))
    assert 1 / len(values) - 1e-9 <= found <= 1 + 1e-9
    assert pytest.approx(1) == jain(np.full(len(values), values[0]))


@given(st.permutations(range(40)))
def test_no_figure_depends_on_the_order_of_rows(order: list[int]) -> None:
    ran = first_come(random_work(40, 3), 4)
    rows = np.array(order)
    mixed = outcome(ran.workload.rows(rows), (ran.start_ms[rows] / 1_000).tolist())
    first, second = measure(results_of(ran)), measure(results_of(mixed))
    assert first.mean_bounded_slowdown == second.mean_bounded_slowdown
    assert first.rms_bounded_slowdown == second.rms_bounded_slowdown
    assert first.p95_wait_s == second.p95_wait_s
    assert first.utilisation == second.utilisation


def test_each_tenant_s_figures_are_those_of_its_jobs_alone() -> None:
    results = results_of(first_come(random_work(200, 5), 4))
    found = by_tenant(results)
    assert 200 == found.jobs.sum()
    for row, tenant in enumerate(found.tenant):
        own = results.tenant == tenant
        wait = (results.start_ms - results.submit_ms)[own]
        assert pytest.approx(wait.mean() / 1_000) == found.mean_wait_s[row]


def test_a_forecast_is_scored_by_coverage_width_and_interval_score() -> None:
    found = score_forecast(
        column([0, 0, 5_000]), column([10_000, 10_000, 6_000]), column([10_000, 12_000, 4_000]), 0.8
    )
    assert 1 / 3 == found.coverage
    assert 7.0 == found.mean_width_s
    assert pytest.approx(7 + 10 * (2 + 1) / 3) == found.mean_interval_score_s
