"""What a driver adds to its engine: the same commands through the driver and by the engine's own means.

Each engine is measured where it is: the local one always, Ray where `make ray` has installed one. The engine
alone is the least that anybody could do: a bare `posix_spawn`, or a bare request to Ray.
"""

import os
import shlex
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.figure import Figure, median, percentile
from tests.contract.ray_cluster import RayCluster, find_ray
from weir.engines.conformance import NARROW, WIDE, Scale, Stage, stage_pools
from weir.engines.driver import AttemptOrder
from weir.engines.local.driver import LocalDriver
from weir.engines.ray.driver import RayDriver
from weir.model.agent import PoolEntry
from weir.model.state import Observed

WAITING = 2_000


@dataclass(frozen=True, slots=True)
class Bench:
    """One engine: a stage for its driver, and how it runs commands without one."""

    name: str
    stage: Stage
    alone: Callable[[int, Sequence[str], str], None]
    """Run a command so many times at once, its output into a file, and return when all have ended."""
    single: int
    """How many are run one by one."""
    at_once: int


def measure(seed: int) -> Sequence[Figure]:
    """Start and end latency one by one, commands a second, and what a look at waiting attempts costs."""
    del seed
    figures: list[Figure] = []
    with _local() as bench:
        figures += [*_latency(bench), *_rate(bench), *_look(bench)]
    if find_ray() is not None:
        with _ray() as bench:
            figures += [*_latency(bench), *_rate(bench)]
    return figures


def _latency(bench: Bench) -> Iterator[Figure]:
    """One command at a time, which writes the time: until then from its submission, and from then until its
    end is seen."""
    starts, ends, alone = [], [], []
    stage = bench.stage
    for _ in range(bench.single):
        order = stage.order("date", "+%s.%N")
        began = time.time()
        stage.submit(order)
        stage.reach(order, Observed.ENDED)
        seen = time.time()
        stamp = float(stage.output(order))
        starts.append((stamp - began) * 1_000)
        ends.append((seen - stamp) * 1_000)
        file = stage.folder / "stamp"
        began = time.time()
        bench.alone(1, ["date", "+%s.%N"], str(file))
        alone.append((float(file.read_text()) - began) * 1_000)
    how = f"{bench.single} commands one by one, until their own time stamp, through the driver"
    yield Figure(f"engines: {bench.name}, submit to running, p50", percentile(starts, 0.5), "ms", how)
    own = f"the same by the engine alone: {median(alone):.1f} ms at the median"
    added = median(starts) - median(alone)
    yield Figure(f"engines: {bench.name}, added to the start, p50", added, "ms", own)
    how = "from the command's own time stamp until the driver says that it ended"
    yield Figure(f"engines: {bench.name}, end to seen, p50", percentile(ends, 0.5), "ms", how)


def _rate(bench: Bench) -> Iterator[Figure]:
    """Many at once, until the last has ended."""
    stage = bench.stage
    orders = [stage.order("true", cores_milli=10, memory_bytes=1 << 20) for _ in range(bench.at_once)]
    began = time.perf_counter()
    stage.submit(*orders)
    stage.ends(orders)
    through = bench.at_once / (time.perf_counter() - began)
    stage.clear()
    began = time.perf_counter()
    bench.alone(bench.at_once, ["true"], os.devnull)
    alone = bench.at_once / (time.perf_counter() - began)
    how = f"{bench.at_once} commands at once; by the engine alone {alone:.1f}/s"
    yield Figure(f"engines: {bench.name}, jobs a second", through, "jobs/s", how)
    yield Figure(f"engines: {bench.name}, rate over the engine's own", through / alone, "", how)


def _look(bench: Bench) -> Iterator[Figure]:
    """What it costs to ask how attempts stand that wait."""
    stage = bench.stage
    stage.submit(stage.blocking())
    orders: list[AttemptOrder] = [stage.order("true", pool=NARROW) for _ in range(WAITING)]
    stage.submit(*orders)
    names = [order.attempt for order in orders]
    took = []
    for _ in range(20):
        began = time.perf_counter()
        stage.driver.changed()
        stage.driver.observe(names)
        took.append((time.perf_counter() - began) * 1_000)
    stage.clear()
    how = f"`changed` and `observe` of {WAITING} that wait, median of 20"
    yield Figure(f"engines: {bench.name}, one look", median(took), "ms", how)


@contextmanager
def _local() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(LocalDriver(Path(folder)), Path(folder), LocalDriver, {}, Scale(), stage_pools())
        stage.attach()
        try:
            yield Bench("local", stage, _spawn_all, 50, 500)
        finally:
            stage.clear()
            stage.driver.close()


def _spawn_all(count: int, command: Sequence[str], output: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    actions = [(os.POSIX_SPAWN_OPEN, 1, output, flags, 0o600)]
    pids = [
        os.posix_spawnp(command[0], list(command), os.environ, file_actions=actions) for _ in range(count)
    ]
    for pid in pids:
        os.waitpid(pid, 0)


@contextmanager
def _ray() -> Iterator[Bench]:
    ray = find_ray()
    assert ray is not None
    cluster = RayCluster(ray)
    pools = (
        PoolEntry(WIDE, 1, 8, 8_000, 16 << 30, "any", True),
        PoolEntry(NARROW, 1, 0, 8_000, 16 << 30, "any", False, {"node_resource": "narrow"}),
    )
    try:
        with tempfile.TemporaryDirectory() as folder:
            options = {"address": cluster.address}
            scale = Scale(patience_s=300)
            stage = Stage(RayDriver(Path(folder)), Path(folder), RayDriver, options, scale, pools)
            stage.attach()
            try:
                yield Bench("ray", stage, partial(_ray_alone, cluster), 5, 8)
            finally:
                stage.clear()
                stage.driver.close()
    finally:
        cluster.remove()


def _ray_alone(cluster: RayCluster, count: int, command: Sequence[str], output: str) -> None:
    """The commands as Ray's own users would submit them, by its HTTP interface."""
    body: dict[str, Any] = {"entrypoint": f"{shlex.join(command)} > {output}", "entrypoint_num_cpus": 0.01}
    left = {cluster.ask("POST", "/api/jobs/", body)["submission_id"] for _ in range(count)}
    while left:
        time.sleep(0.02)
        for job in cluster.ask("GET", "/api/jobs/"):
            if job["status"] in ("SUCCEEDED", "FAILED", "STOPPED"):
                left.discard(job["submission_id"])
