"""The offered load of a province: against a linear program solved exactly, and small cases by hand."""

import highspy
import numpy as np
import pytest

from weir.scheduling.inputs import JobClass, LinkRow, PoolRow
from weir.twin.generators.offered import fullest, province_load
from weir.twin.generators.people import Floats
from weir.twin.province import single_pool
from weir.twin.workload import Workload, processors


def exact(loads: Floats) -> float:
    """The same by the simplex method."""
    solver = highspy.Highs()  # type: ignore[no-untyped-call]
    solver.silent()
    top = solver.addVariable(lb=0, obj=1)
    places = [np.flatnonzero(np.isfinite(row)).tolist() for row in loads]
    part = {(g, p): solver.addVariable(lb=0) for g, row in enumerate(places) for p in row}
    for g, row in enumerate(places):
        solver.addConstr(sum(part[g, p] for p in row) == 1)
    for p in range(loads.shape[1]):
        filled = [loads[g, p] * part[g, p] for g, row in enumerate(places) if p in row]
        if filled:
            solver.addConstr(sum(filled) - top <= 0)
    solver.run()
    return float(solver.getObjectiveValue())


@pytest.mark.parametrize("seed", range(8))
def test_bounds_enclose_the_exact_answer(seed: int) -> None:
    rng = np.random.default_rng(seed)
    work, pools = int(rng.integers(3, 60)), int(rng.integers(2, 25))
    stack = rng.integers(0, 4, pools)
    runs_on = rng.random((work, 4)) < 0.4
    runs_on[np.arange(work), stack[rng.integers(0, pools, work)]] = True
    loads = (
        rng.lognormal(0, 1, (work, 1))
        / rng.lognormal(0, 0.8, (1, pools))
        * rng.uniform(0.7, 1.4, (work, pools))
    )
    loads[~runs_on[:, stack]] = np.inf
    above, below, filled, prices = fullest(loads)
    answer = exact(loads)
    assert below - 1e-9 <= answer <= above + 1e-9
    assert above <= below * 1.02
    assert above == pytest.approx(filled.max())
    assert 1.0 == pytest.approx(prices.sum())


def pool(key: str, stack: str, nodes: int, speed: int = 1_000) -> PoolRow:
    return PoolRow(
        key, key.partition("/")[0], "here", "intelligent", "model", stack, False, 0, (), nodes, 8, 64_000, 1 << 40,
        False, speed, 0, 0, 0, 0,
    )  # fmt: skip


def workload(*jobs: tuple[JobClass, int, int]) -> Workload:
    """(class, submit seconds, run seconds)"""
    zeros = np.zeros(len(jobs), np.int64)
    run = np.array([run for _, _, run in jobs]) * 1_000
    return Workload(
        "made", np.arange(1, len(jobs) + 1), np.array([at for _, at, _ in jobs]) * 1_000, run, run, zeros + 1,
        np.arange(len(jobs)), zeros, zeros, zeros, tuple(job_class for job_class, _, _ in jobs), ("u",), ("g",),
    )  # fmt: skip


def device(stack: str = "", tasks: int = 1, **more: object) -> JobClass:
    return JobClass(tasks, 8_000, 0, 0, stack=stack, **more)  # type: ignore[arg-type]  # fields by name


def test_one_machine_is_loaded_as_every_log_says() -> None:
    jobs = workload((processors(4), 0, 50), (processors(2), 100, 100))
    found = province_load(jobs, [single_pool(8)], [])
    assert (4 * 50 + 2 * 100) / (8 * 100) == pytest.approx(found.load, rel=0.002)


def test_the_stack_that_lacks_capacity_binds() -> None:
    pools = [pool("a/x", "cuda", 4), pool("b/y", "cann", 4)]
    jobs = workload((device("cuda", 4), 0, 90), (device("cann", 4), 100, 30))
    found = province_load(jobs, pools, [])
    assert 0.9 == pytest.approx(found.load, rel=0.003)
    assert ("intelligent (cuda)", ("a/x",)) == (found.binding, found.pools)


def test_work_that_runs_on_both_goes_where_there_is_room_at_its_speed_there() -> None:
    pools = [pool("a/x", "cuda", 4), pool("b/y", "cann", 4, speed=500)]
    both = device(tasks=4, variant_speeds=(("cann", 1_000), ("cuda", 1_000)))
    found = province_load(workload((both, 0, 90), (both, 100, 0)), pools, [])
    # Three machines of half speed in all: two thirds of the work to the faster one.
    assert 0.6 == pytest.approx(found.load, rel=0.003)
    assert ("a/x", "b/y") == found.pools


def test_data_without_a_link_binds_its_centre() -> None:
    pools = [pool("a/x", "cuda", 4), pool("b/y", "cuda", 4), pool("c/z", "cuda", 4)]
    here = device(tasks=4, data=(("a", 1 << 30),))
    jobs = workload((here, 0, 80), (here, 100, 0))
    links = [LinkRow("a", "b", 10**9, 1), LinkRow("b", "c", 10**9, 1)]
    assert 0.4 == pytest.approx(province_load(jobs, pools, links).load, rel=0.003)
    assert 0.8 == pytest.approx(province_load(jobs, pools, []).load, rel=0.003)


def test_what_fits_nowhere_is_counted_and_left_out() -> None:
    jobs = workload((device("cuda", 4), 0, 50), (device("xpu"), 100, 50))
    found = province_load(jobs, [pool("a/x", "cuda", 4)], [])
    assert 1 == found.nowhere
    assert 0.5 == pytest.approx(found.load, rel=0.003)
