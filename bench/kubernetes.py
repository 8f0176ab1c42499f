"""Kubernetes, on the fake cluster: what Weir adds to plain Jobs on the same cluster, and 10,000 of them at once."""

import contextlib
import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench.figure import Figure, percentile
from weir.cli.demo.processes import Processes
from weir.client import Client
from weir.engines.driver import AttemptOrder
from weir.engines.kubernetes.api import Api
from weir.engines.kubernetes.credentials import find_access
from weir.engines.kubernetes.driver import KubernetesDriver
from weir.engines.kubernetes.fake import FakeCluster, FakeNode
from weir.engines.kubernetes.settings import POOL_LABEL, Settings
from weir.model.agent import NodeShare, PoolEntry, Work
from weir.model.state import Observed

LATENCY_JOBS, RATE_JOBS, LIVE, ENDS = 30, 500, 10_000, 60
TENANT = "12340100WEYR00078P"
POOL = PoolEntry("wide", 4, 0, 512_000, 1 << 42, "any", False)
JOBS = "/apis/batch/v1/namespaces/weir/jobs"

_FILE = """
version: 1
province: bench
cities: [{{id: here, name: Here}}]
organisations: [{{id: "{tenant}", name: Bench, roles: [tenant]}}]
projects: [{{id: bench, organisation: "{tenant}", default_time_limit: 10m}}]
centres:
  - id: bench
    kind: general
    city: here
    engine:
      driver: kubernetes
      options: {{kubeconfig: {folder}/kubeconfig, image: "base:1", run_as: agent, shared_root: {folder},
                 shared_host_path: {folder}}}
    pools:
      - {{id: wide, device: intel-xeon-platinum-8358, nodes: 4, cores_per_node: 512, memory_per_node: 4TiB}}
"""


def measure(seed: int) -> Sequence[Figure]:
    """Everything on one fake cluster in a process of its own, so that only the driver's memory is counted."""
    del seed
    folder = Path(tempfile.mkdtemp(prefix="weir-bench-"))
    try:
        with cluster_process(folder, pretend=False):
            latency = _latency(folder)
        # Pods that cost nothing, since a real cluster's nodes are not this machine.
        with cluster_process(folder, pretend=True, pretend_s=0.0):
            rate = _rate(folder)
        return [*latency, *rate, *_live(folder)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def cluster_process(folder: Path, *, pretend: bool, pretend_s: float | None = None) -> Iterator[Connection]:
    """A fake cluster elsewhere, with `kubeconfig` in the folder; what is sent names an attempt to end."""
    here, there = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_serve, args=(there, str(folder), pretend, pretend_s)
    )
    process.start()
    try:
        here.recv()
        yield here
    finally:
        here.send("")
        process.join(60)


def _serve(connection: Connection, folder: str, pretend: bool, pretend_s: float | None) -> None:
    nodes = [FakeNode(f"wide-{number}", 512_000, 1 << 42, {}, {POOL_LABEL: "wide"}) for number in range(4)]
    with FakeCluster(nodes, pretend=pretend, pretend_s=pretend_s) as cluster:
        cluster.write_kubeconfig(Path(folder) / "kubeconfig")
        connection.send("ready")
        while attempt := connection.recv():
            cluster.finish(attempt)


def _latency(folder: Path) -> list[Figure]:
    api = _api(folder)
    plain = []
    for number in range(LATENCY_JOBS + 3):
        path = folder / f"plain-{number}"
        began = time.time()
        api.create(JOBS, _plain_job(f"plain-{number}", f"date +%s.%N > {path}.new; mv {path}.new {path}"))
        while not path.exists():
            time.sleep(0.001)
        if number >= 3:
            plain.append((float(path.read_text()) - began) * 1_000)
    api.close()
    through = _through_weir(folder)
    how = f"{LATENCY_JOBS} jobs one by one, until the job's own time stamp, on the fake cluster"
    return [
        Figure("kubernetes: plain Job, submit to running, p50", percentile(plain, 0.5), "ms", how),
        Figure("kubernetes: submit to running, p50", percentile(through, 0.5), "ms", how),
        Figure(
            "kubernetes: added start latency, p50",
            percentile(through, 0.5) - percentile(plain, 0.5),
            "ms",
            "from submission to Weir, less the same for a plain Job",
        ),
    ]


def _through_weir(folder: Path) -> list[float]:
    processes = Processes(folder)
    waits = []
    try:
        url = processes.start_server(lambda _: None)
        secret = (processes.server_data / "coordinator.token").read_text(encoding="utf-8").strip()
        with Client(url, secret) as coordinator:
            coordinator.apply_province(_FILE.format(tenant=TENANT, folder=folder), source="bench.yaml")
            processes.start_agent("bench", url, coordinator.invite(["bench"])[0].code)
            while not all(pool.observed_nodes for pool in coordinator.pools()):
                processes.check()
                time.sleep(0.05)
            _, secret = coordinator.create_token(
                name="bench", role="tenant-admin", organisation=TENANT, project="", centre=""
            )
        with Client(url, secret) as tenant:
            for number in range(LATENCY_JOBS + 3):
                began = time.time()
                command = {"command": ["date", "+%s.%N"], "time_limit": "1m", "cores": 0.1, "memory": "64MiB"}
                job = tenant.submit(command)[0].id
                tenant.wait(job)
                said = b"".join(tenant.logs(job, stream="stdout", follow=False))
                if number >= 3:
                    waits.append((float(said) - began) * 1_000)
    finally:
        processes.end()
    return waits


def _rate(folder: Path) -> list[Figure]:
    api = _api(folder)
    began = time.perf_counter()
    for number in range(RATE_JOBS):
        api.create(JOBS, _plain_job(f"rate-{number}", "true"))
    while (
        sum("completionTime" in job["status"] for job in api.list(JOBS, labelSelector="bench=rate")[0])
        < RATE_JOBS
    ):
        time.sleep(0.05)
    plain = RATE_JOBS / (time.perf_counter() - began)
    api.close()
    driver = _driver(folder)
    orders = [_order(folder, number, "true") for number in range(RATE_JOBS)]
    began = time.perf_counter()
    driver.submit(orders, 0)
    _await(driver, {order.attempt for order in orders}, Observed.ENDED)
    rate = RATE_JOBS / (time.perf_counter() - began)
    driver.forget([order.attempt for order in orders])
    driver.close()
    how = f"{RATE_JOBS} jobs, from the first request until every end is seen, pods pretended on the fake cluster"
    return [
        Figure("kubernetes: plain Jobs end to end", plain, "jobs/s", how),
        Figure("kubernetes: jobs end to end", rate, "jobs/s", how),
        Figure("kubernetes: rate over plain Jobs", rate / plain, "", "of the two above"),
    ]


def _live(folder: Path) -> list[Figure]:
    with cluster_process(folder, pretend=True) as cluster:
        before = _resident_bytes()
        driver = _driver(folder)
        orders = [_order(folder, 1_000_000 + number, "true") for number in range(LIVE)]
        names = [order.attempt for order in orders]
        began = time.perf_counter()
        driver.submit(orders, 0)
        submitted = LIVE / (time.perf_counter() - began)
        _await(driver, set(names), Observed.RUNNING)
        del orders
        driver.changed()
        memory = _resident_bytes() - before
        costs = []
        for _ in range(5):
            began = time.perf_counter()
            driver.observe(names)
            costs.append(time.perf_counter() - began)
        waits = []
        for name in names[:ENDS]:
            began = time.perf_counter()
            cluster.send(name)
            _await(driver, {name}, Observed.ENDED)
            waits.append(time.perf_counter() - began)
        driver.close()
    how = f"with {LIVE:,} live Jobs on the fake cluster"
    return [
        Figure("kubernetes: submission to the API", submitted, "jobs/s", f"{LIVE:,} Jobs one after another"),
        Figure("kubernetes: observe 10,000", percentile(costs, 0.5) * 1_000, "ms", how),
        Figure("kubernetes: end to seen, p50", percentile(waits, 0.5) * 1_000, "ms", how),
        Figure("kubernetes: end to seen, p99", percentile(waits, 0.99) * 1_000, "ms", how),
        Figure("kubernetes: memory of the driver", memory / 2**20, "MiB", how),
    ]


def _api(folder: Path) -> Api:
    return Api(find_access(Settings(kubeconfig=folder / "kubeconfig"), folder, {}))


def _driver(folder: Path) -> KubernetesDriver:
    driver = KubernetesDriver(folder / "driver")
    shared = {"shared_root": str(folder), "shared_host_path": str(folder), "run_as": "agent"}
    driver.attach((POOL,), {"kubeconfig": str(folder / "kubeconfig"), "image": "base:1", **shared})
    return driver


def _order(folder: Path, number: int, command: str) -> AttemptOrder:
    name = f"b{number:011d}"
    place = folder / "driver" / "attempts" / f"{name}-1"
    (place / "work").mkdir(parents=True)
    work = Work(
        name, "wide", (command,), {}, 1, 10, 1 << 26, 0, "any", "", 3_600_000, "TERM", 1_000, False, (), 0, 0
    )
    return AttemptOrder(f"{name}-1", name, 1, None, work, (NodeShare(0, 1),), place)


def _plain_job(name: str, script: str) -> dict[str, Any]:
    limits = {"cpu": "10m", "memory": "64Mi"}
    container = {
        "name": "main",
        "image": "base:1",
        "command": ["/bin/sh", "-c", script],
        "resources": {"limits": limits},
    }
    pod = {"restartPolicy": "Never", "containers": [container]}
    labels = {"bench": name.partition("-")[0]}
    spec = {"backoffLimit": 0, "template": {"spec": pod}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
    }


def _await(driver: KubernetesDriver, names: set[str], wanted: Observed) -> None:
    """As an agent does: sleep until something has changed, and observe that."""
    left = {state.attempt for state in driver.observe(names) if state.observed < wanted}
    while left:
        driver.wait(1.0)
        left -= {
            state.attempt
            for state in driver.observe(set(driver.changed()) & left)
            if state.observed >= wanted
        }


def _resident_bytes() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) * 1_024
