"""Kubernetes, on the fake cluster in a process of its own: what Weir adds to plain Jobs, and thousands of Jobs."""

import contextlib
import itertools
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench.engines import Engine, by_driver, through_weir, with_many
from bench.figure import Figure
from bench.many_live import FEW, MANY, Ask
from weir.engines.kubernetes.api import Api
from weir.engines.kubernetes.credentials import find_access
from weir.engines.kubernetes.driver import KubernetesDriver
from weir.engines.kubernetes.fake import FakeCluster, FakeNode
from weir.engines.kubernetes.settings import POOL_LABEL, Settings
from weir.model.agent import PoolEntry

JOBS = "/apis/batch/v1/namespaces/weir/jobs"
REAL_JOBS_PER_S = 29.0
"""As many Jobs of `true` ended in a second on a real Kubernetes 1.36 with the limits of its controllers' client lifted
(two cores, fake nodes that run pods as processes; 3/s with the limits that it comes with)."""
_SINGLE, _AT_ONCE, _UNPACED = 20, 240, 500
_CORES_MILLI = 100
_numbers = itertools.count()


def measure(seed: int) -> Sequence[Figure]:
    """Beside plain Jobs at a real cluster's pace; by the driver alone where the cluster costs nothing; thousands."""
    del seed
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as name:
        folder = Path(name)
        with cluster_process(folder, jobs_per_s=REAL_JOBS_PER_S):
            paced = [*through_weir(_engine(folder, _AT_ONCE))]
        with cluster_process(folder, pretend=True, pretend_s=0.0):
            unpaced = [*by_driver(_engine(folder, _UNPACED))]
        with cluster_process(folder):
            many = PoolEntry(MANY, 4, 0, 512_000, 1 << 42, "any", False)
            what = "all run, on nodes that pretend"
            return [
                *paced,
                *unpaced,
                *with_many(_engine(folder, _UNPACED), many, Ask(_CORES_MILLI), what=what),
            ]


@contextlib.contextmanager
def cluster_process(folder: Path, **options: Any) -> Iterator[Connection]:
    """A fake cluster elsewhere, with `kubeconfig` in the folder; `options` are FakeCluster's."""
    here, there = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(there, str(folder), options))
    process.start()
    try:
        here.recv()
        yield here
    finally:
        here.send("")
        process.join(60)


def _serve(connection: Connection, folder: str, options: Mapping[str, Any]) -> None:
    nodes = [
        FakeNode(f"{pool}-{number}", 512_000, 1 << 42, {}, {POOL_LABEL: pool}, hollow=pool == MANY)
        for pool in (FEW, MANY)
        for number in range(4)
    ]
    with FakeCluster(nodes, **options) as cluster:
        cluster.write_kubeconfig(Path(folder) / "kubeconfig")
        connection.send("ready")
        connection.recv()


def _engine(folder: Path, at_once: int) -> Engine:
    api = Api(find_access(Settings(kubeconfig=folder / "kubeconfig"), folder, {}))

    def options(place: Path) -> dict[str, str]:
        shared = {"shared_root": str(place), "shared_host_path": str(place), "run_as": "agent"}
        return {"kubeconfig": str(folder / "kubeconfig"), "image": "base:1", **shared}

    def first_ms() -> float:
        stamp = folder / f"stamp-{next(_numbers)}"
        began = time.time()
        script = f"date +%s.%N > {stamp}.new; mv {stamp}.new {stamp}"
        api.create(JOBS, _plain_job(f"{stamp.name}-{os.getpid()}", "one", script))
        while not stamp.exists():
            time.sleep(0.001)
        return (float(stamp.read_text(encoding="ascii")) - began) * 1_000

    def rate(count: int) -> float:
        mark = f"rate-{next(_numbers)}"
        began = time.perf_counter()
        for number in range(count):
            api.create(JOBS, _plain_job(f"{mark}-{number}", mark, "true"))
        while _ended(api, mark) < count:
            time.sleep(0.1)
        return count / (time.perf_counter() - began)

    return Engine(
        name="kubernetes",
        driver="kubernetes",
        make=KubernetesDriver,
        options=options,
        pool=PoolEntry(FEW, 4, 0, 512_000, 1 << 42, "any", False, {"node_selector": f"{POOL_LABEL}={FEW}"}),
        device="intel-xeon-platinum-8358",
        first_ms=first_ms,
        own_rate=rate,
        how="plain Jobs",
        single=_SINGLE,
        at_once=at_once,
        cores_milli=_CORES_MILLI,
        apart=True,
    )


def _ended(api: Api, mark: str) -> int:
    return sum("completionTime" in job["status"] for job in api.list(JOBS, labelSelector=f"bench={mark}")[0])


def _plain_job(name: str, mark: str, script: str) -> dict[str, Any]:
    limits = {"cpu": f"{_CORES_MILLI}m", "memory": "64Mi"}
    container = {
        "name": "main",
        "image": "base:1",
        "command": ["/bin/sh", "-c", script],
        "resources": {"limits": limits},
    }
    pod = {"restartPolicy": "Never", "containers": [container], "nodeSelector": {POOL_LABEL: FEW}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": {"bench": mark}},
        "spec": {"backoffLimit": 0, "template": {"spec": pod}},
    }
