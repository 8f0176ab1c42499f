"""Whole logs against what other simulators made of them, job by job; in the folder that WEIR_TRACES names."""

import csv
import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from weir.scheduling import Policy, Simulated, SimulatedJobs, simulate
from weir.scheduling.inputs import PoolRow
from weir.scheduling.policies import NAMED
from weir.scheduling.province_simulation import simulate_province
from weir.scheduling.simulated import Expected
from weir.twin.metrics import bounded_slowdown
from weir.twin.province import single_pool
from weir.twin.run import run
from weir.twin.traces import read_trace
from weir.twin.workload import processors

TRACES = Path(os.environ["WEIR_TRACES"])

Columns = dict[str, NDArray[np.int64]]

MACHINES = {"kth": 100, "sdscsp2": 128, "ctcsp2": 338, "hpc2n_10k": 240, "kth_10k": 100, "lublin256": 256}
WITHOUT_BACKFILL = ("hpc2n_10k", "kth_10k", "lublin256")
CLAIRVOYANT = ("kth", *WITHOUT_BACKFILL)


@pytest.fixture(scope="module", params=MACHINES)
def oracle(request: pytest.FixtureRequest) -> tuple[str, Columns]:
    """The jobs as the other simulator was given them, rows in its order, and its waits. Seconds."""
    return request.param, read_oracle(request.param)


def test_easy_starts_every_job_when_pyss_does(oracle: tuple[str, Columns]) -> None:
    name, log = oracle
    assert_waits(log["wait_easy_requested"], log, simulated(name, log, "easy"))


@pytest.mark.parametrize("name", CLAIRVOYANT)
def test_easy_with_exact_estimates_starts_every_job_when_pyss_does(name: str) -> None:
    log = read_oracle(name)
    exact = {**log, "requested": log["run"]}
    assert_waits(log["wait_easy_clairvoyant"], log, simulated(name, exact, "easy"))


@pytest.mark.parametrize("policy", ["fcfs", "sjf"])
@pytest.mark.parametrize("name", WITHOUT_BACKFILL)
def test_blocking_policies_start_every_job_when_accasim_does(name: str, policy: str) -> None:
    log = read_oracle(name)
    assert_waits(log["wait_fifo" if policy == "fcfs" else "wait_sjf"], log, simulated(name, log, policy))


PUBLISHED = {
    "KTH-SP2-1996-2.1-cln": (100, 92.58),
    "SDSC-SP2-pyss-filtered": (128, 87.87),
    "CTC-SP2-pyss-filtered": (338, 49.57),
    "SDSC-BLUE-2000-4.2-cln": (1_152, 36.52),
}
"""Processors and EASY's mean bounded slowdown: Gaussier et al., SC'15, which makes a pass after every event."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_easy_has_the_mean_bounded_slowdown_of_sc15_within_3_percent(name: str) -> None:
    machine, published = PUBLISHED[name]
    workload = read_trace(TRACES / f"hpc/{name}.swf.gz", processors=machine)
    outcome = run(workload, [single_pool(machine)], policy="easy", passes="event")
    assert 0 == outcome.unstarted
    ours = bounded_slowdown(outcome.start_ms - workload.submit_ms, workload.run_ms).mean()
    assert published == pytest.approx(ours, rel=0.03)


@pytest.mark.parametrize("per_event", [False, True], ids=["second", "event"])
@pytest.mark.parametrize("expected", [Expected.ESTIMATE, Expected.PREDICTION], ids=["user", "predicted"])
@pytest.mark.parametrize("policy", ["easy", "weir", "saf", "f1", "sjf-greedy"])
def test_both_lanes_start_the_first_of_kth_alike(policy: str, expected: Expected, per_event: bool) -> None:
    workload = read_trace(TRACES / "hpc/KTH-SP2-1996-2.1-cln.swf.gz", limit=3_000)
    jobs = SimulatedJobs(
        submitted_ms=workload.submit_ms,
        run_ms=workload.run_ms,
        limit_ms=workload.limit_ms,
        job_class=workload.job_class,
        classes=workload.classes,
        tenant=np.zeros(len(workload), np.int64),
        user=workload.user,
        group=workload.group,
        priority=workload.priority,
    )
    pools = [single_pool(100)]
    lane = simulate(pools, (), jobs, NAMED[policy], expected=expected, pass_per_event=per_event)
    general = simulate_general(pools, jobs, NAMED[policy], expected, per_event)
    assert [] == np.flatnonzero(lane.start_ms != general.start_ms).tolist()


def simulate_general(
    pools: list[PoolRow], jobs: SimulatedJobs, policy: Policy, expected: Expected, per_event: bool
) -> Simulated:
    """Through the code for many pools."""
    return simulate_province(
        pools, (), jobs, policy, expected, per_event, (), lambda done, of: None, lambda: 0.0
    )


def read_oracle(name: str) -> Columns:
    with gzip.open(TRACES / f"reference/oracle-{name}.csv.gz", "rt", encoding="ascii") as file:
        rows = list(csv.DictReader(file))
    return {column: np.array([int(row[column]) for row in rows], np.int64) for column in rows[0]}


def simulated(name: str, log: Columns, policy: str) -> Simulated:
    sizes, job_class = np.unique(log["procs"], return_inverse=True)
    nobody = np.zeros(len(job_class), np.int64)
    jobs = SimulatedJobs(
        submitted_ms=log["submit"] * 1_000,
        run_ms=log["run"] * 1_000,
        limit_ms=log["requested"] * 1_000,
        job_class=job_class.astype(np.int64),
        classes=tuple(processors(int(size)) for size in sizes),
        tenant=nobody,
        user=nobody,
        group=nobody,
        priority=nobody,
    )
    return simulate([single_pool(MACHINES[name])], (), jobs, NAMED[policy])


def assert_waits(expected_s: NDArray[np.int64], log: Columns, found: Simulated) -> None:
    wait_ms = found.start_ms - log["submit"] * 1_000
    differing = np.flatnonzero(expected_s * 1_000 != wait_ms)
    assert [] == log["job"][differing].tolist()
