"""The Slurm driver beside plain sbatch on one real cluster, brought up for the purpose: root and Slurm's packages."""

import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.figure import Figure, median
from tests.engines_up.slurm import NARROW, WIDE, SlurmCluster
from weir.engines.conformance import stage_pools
from weir.engines.driver import AttemptOrder
from weir.engines.slurm.driver import SlurmDriver
from weir.engines.slurm.watch import Watch
from weir.model.agent import NodeShare, Work
from weir.model.state import Observed

WAITING, ONE_BY_ONE, AT_ONCE = 1_000, 10, 50
_WATCHED_S = 10.0
_numbers = itertools.count()


def measure(seed: int) -> Sequence[Figure]:
    """Latencies, rate, and what a reading costs, with thousands of Weir's own jobs waiting."""
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as name:
        folder = Path(name)
        cluster = SlurmCluster(folder / "cluster", nodes=(WIDE, NARROW))
        try:
            cluster.start()
            return [*_figures(cluster, folder, seed)]
        finally:
            cluster.stop()


def _figures(cluster: SlurmCluster, folder: Path, seed: int) -> Iterator[Figure]:
    with _driver(
        folder / "rest", {**cluster.rest_options, "reads": "commands", "conf": str(cluster.conf)}
    ) as driver:
        own_ms = median([_plain(cluster) for _ in range(ONE_BY_ONE)])
        starts, ends = zip(*(_one(driver, folder / "rest") for _ in range(ONE_BY_ONE)), strict=True)
        how = f"median of {ONE_BY_ONE}; plain sbatch to its first line: {own_ms:.0f} ms"
        yield Figure("Slurm: submit to the command's start", median(starts), "ms", how)
        yield Figure("Slurm: end to seen", median(ends), "ms", f"median of {ONE_BY_ONE}")
        plain, ours = _plain_rate(cluster), _rate(driver, folder / "rest", AT_ONCE)
        yield Figure("Slurm: jobs end to end", ours, "jobs/s", f"{AT_ONCE} at once; plain sbatch {plain:.1f}")
        yield Figure("Slurm: rate over plain sbatch's", ours / plain, "", "both in this run")
        yield from _loaded(cluster, driver, folder / "rest")


def _loaded(cluster: SlurmCluster, driver: SlurmDriver, folder: Path) -> Iterator[Figure]:
    """With thousands waiting: what a reading costs, how soon an end is seen, and the controller's time."""
    waiting = [_order(folder, "narrow", "sleep", "600") for _ in range(WAITING)]
    began = time.perf_counter()
    driver.submit(waiting, 0)
    rate = WAITING / (time.perf_counter() - began)
    yield Figure(
        "Slurm: submissions through slurmrestd", rate, "jobs/s", f"{WAITING} single jobs, unix socket"
    )
    watch: Watch = driver._watch
    readings = [_timed(watch.read) for _ in range(5)]
    how = f"median of 5, {WAITING} live jobs, by squeue"
    yield Figure("Slurm: a reading of all jobs", median(readings), "ms", how)
    ends = [_one(driver, folder)[1] for _ in range(5)]
    yield Figure(
        "Slurm: end to seen, many live", median(ends), "ms", f"median of 5, {WAITING} others waiting"
    )
    controller = cluster.processes["slurmctld"].pid
    still = _cpu_s(controller), time.perf_counter()
    time.sleep(_WATCHED_S)
    idle = (_cpu_s(controller) - still[0]) / (time.perf_counter() - still[1])
    watched = _cpu_s(controller), time.perf_counter()
    until = time.monotonic() + _WATCHED_S
    while time.monotonic() < until:
        driver.wait(until - time.monotonic())
        driver.changed()
    share = (_cpu_s(controller) - watched[0]) / (time.perf_counter() - watched[1])
    how = f"processor time of slurmctld while the driver watches {WAITING} live jobs, less {idle:.2%} without it"
    yield Figure("Slurm: share of the controller's time", 100 * max(0.0, share - idle), "%", how)
    cluster.run("scancel", "--name=weir")


def _one(driver: SlurmDriver, folder: Path) -> tuple[float, float]:
    """Milliseconds from submission to the command's own first time, and from its end to the driver's word of it."""
    order = _order(folder, "wide", "sh", "-c", "date +%s%N; sleep 0.2")
    submitted = time.time_ns()
    driver.submit([order], 0)
    while (state := driver.observe([order.attempt])[0]).observed is not Observed.ENDED:
        driver.wait(5.0)
    seen_ms = time.time_ns() / 1e6
    assert state.end is not None
    assert state.end.cause is None, state
    first = int(driver.output(order.attempt, 0, "stdout", 0, 100))
    driver.forget([order.attempt])
    return (first - submitted) / 1e6, seen_ms - state.end.ended_ms


def _rate(driver: SlurmDriver, folder: Path, count: int) -> float:
    orders = [_order(folder, "wide", "true") for _ in range(count)]
    began = time.perf_counter()
    driver.submit(orders, 0)
    live = {order.attempt for order in orders}
    while live:
        driver.wait(5.0)
        names = driver.changed()
        live -= {state.attempt for state in driver.observe(names) if state.observed is Observed.ENDED}
    took = time.perf_counter() - began
    driver.forget([order.attempt for order in orders])
    return count / took


def _plain(cluster: SlurmCluster) -> float:
    """Milliseconds from sbatch to the first thing that its script does."""
    out = cluster.folder / f"plain{next(_numbers)}"
    submitted = time.time_ns()
    cluster.run("sbatch", "-pwide", "--mem=64", f"-o{out}", text="#!/bin/sh\ndate +%s%N\n")
    cluster.until(lambda: out.exists() and out.read_text().strip())
    return (int(out.read_text()) - submitted) / 1e6


def _plain_rate(cluster: SlurmCluster) -> float:
    began = time.perf_counter()
    for _ in range(AT_ONCE):
        cluster.run(
            "sbatch", "-pwide", "--mem=64", "-o/dev/null", "--comment=plain", text="#!/bin/sh\ntrue\n"
        )
    cluster.until(lambda: not cluster.run("squeue", "-h", "-pwide"), 120)
    return AT_ONCE / (time.perf_counter() - began)


@contextmanager
def _driver(folder: Path, options: dict[str, str]) -> Iterator[SlurmDriver]:
    driver = SlurmDriver(folder)
    driver.attach(stage_pools(), options)
    try:
        yield driver
    finally:
        driver.close()


def _order(folder: Path, pool: str, *command: str) -> AttemptOrder:
    work = Work(
        job_submission="bench0000000",
        pool=pool,
        command=command,
        environment={},
        tasks=1,
        cores_milli=1_000,
        memory_bytes=64 << 20,
        devices_milli=0,
        device_model="any",
        visible_devices_variable="",
        time_limit_ms=600_000,
        stop_signal="TERM",
        stop_grace_ms=1_000,
        restartable=False,
        outputs=(),
        output_limit_bytes=0,
        log_limit_bytes=0,
    )
    job = f"bench{next(_numbers):07d}"
    place = folder / "attempts" / f"{job}-1"
    (place / "work").mkdir(parents=True)
    return AttemptOrder(f"{job}-1", job, 1, None, work, (NodeShare(0, 1),), place)


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1_000


def _cpu_s(pid: int) -> float:
    """Processor time that a process has used, seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
