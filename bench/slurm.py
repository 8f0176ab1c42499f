"""Slurm on one real cluster, brought up for the purpose: root and Slurm's packages."""

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.engines import Engine, by_driver, through_weir, with_many
from bench.figure import Figure
from bench.many_live import FEW, MANY, Ask, ManyLive, share_of
from tests.engines_up.slurm import WIDE, Nodes, SlurmCluster, missing
from weir.engines.slurm.driver import SlurmDriver
from weir.model.agent import PoolEntry

_SINGLE, _AT_ONCE = 10, 240
_WATCHED_S = 5.0
_RUNNING = 20


def measure(seed: int) -> Sequence[Figure]:
    """Beside plain `sbatch`, and with thousands of Weir's jobs pending; nothing where no cluster can be brought up."""
    del seed
    problem = missing()
    if problem:
        print(f"slurm is left out: {problem}", file=sys.stderr)
        return []
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as name:
        nodes = (WIDE, Nodes(MANY, 1, _RUNNING, 1 << 18))
        cluster = SlurmCluster(Path(name) / "cluster", nodes=nodes, settings=("MaxJobCount=20000",))
        try:
            cluster.start()
            return [*_figures(cluster, Path(name))]
        finally:
            cluster.stop()


def _figures(cluster: SlurmCluster, folder: Path) -> Iterator[Figure]:
    engine = _engine(cluster, folder)
    yield from through_weir(engine)
    yield from by_driver(engine)
    pool = PoolEntry(MANY, 1, 0, 1_000 * _RUNNING, 1 << 38, "any", False, {"partition": MANY})

    def controller(agent: ManyLive) -> Iterator[Figure]:
        pid = cluster.processes["slurmctld"].pid
        with agent.still():
            idle = share_of(pid, _WATCHED_S)
        watched = share_of(pid, _WATCHED_S)
        how = f"of slurmctld over {_WATCHED_S:.0f} s, less {idle:.2f} % while the agent stands still"
        yield Figure("engines: slurm, share of the controller's time", max(0.0, watched - idle), "%", how)

    what = f"arrays of 1,000, of which {_RUNNING} elements run `sleep` and the others are pending"
    yield from with_many(engine, pool, Ask(1_000), what=what, more=controller)


def _engine(cluster: SlurmCluster, folder: Path) -> Engine:
    options = {**cluster.rest_options, "reads": "commands", "conf": str(cluster.conf)}

    def first_ms() -> float:
        stamp = folder / f"stamp-{time.monotonic_ns()}"
        began = time.time()
        _sbatch(cluster, str(stamp), "date +%s.%N")
        cluster.until(lambda: stamp.exists() and stamp.read_text(encoding="ascii").strip())
        return (float(stamp.read_text(encoding="ascii")) - began) * 1_000

    def rate(count: int) -> float:
        began = time.perf_counter()
        for _ in range(count):
            _sbatch(cluster, os.devnull, "true")
        cluster.until(lambda: not cluster.run("squeue", "-h", f"-p{WIDE.partition}"), 120)
        return count / (time.perf_counter() - began)

    return Engine(
        name="slurm",
        driver="slurm",
        make=SlurmDriver,
        options=lambda place: options,
        pool=PoolEntry(FEW, 2, 0, 512_000, 1 << 42, "any", False, {"partition": WIDE.partition}),
        device="intel-xeon-platinum-8358",
        first_ms=first_ms,
        own_rate=rate,
        how="plain sbatch",
        single=_SINGLE,
        at_once=_AT_ONCE,
        cores_milli=1_000,
        refresh=_read,
    )


def _read(driver: SlurmDriver) -> None:
    """What a cycle asks of Slurm."""
    driver._watch.read()


def _sbatch(cluster: SlurmCluster, output: str, line: str) -> None:
    cluster.run("sbatch", f"-p{WIDE.partition}", "--mem=64", f"-o{output}", text=f"#!/bin/sh\n{line}\n")
