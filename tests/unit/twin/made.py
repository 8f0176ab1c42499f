"""Small workloads and outcomes for the twin's tests, with a first-come-first-served run in plain Python."""

import heapq
from collections.abc import Sequence
from typing import Any

import numpy as np

from weir.scheduling.inputs import PoolRow
from weir.twin.outcome import NEVER, Outcome
from weir.twin.workload import Int64s, Workload, processors


def column(values: Sequence[int]) -> Int64s:
    return np.array(values, np.int64)


def workload(rows: Sequence[tuple[int, int, int]], *, users: Sequence[int] = (), **changes: Any) -> Workload:
    """Jobs of (submit s, run s, processors), numbered from 1; the limit is twice the run."""
    submit, run, size = (column(each) for each in zip(*rows, strict=True))
    submit, run = submit * 1_000, run * 1_000
    sizes, job_class = np.unique(size, return_inverse=True)
    user = column(users or [0] * len(rows))
    values: dict[str, Any] = {
        "name": "made",
        "job": np.arange(1, len(rows) + 1),
        "submit_ms": submit,
        "run_ms": run,
        "limit_ms": 2 * run,
        "size": size,
        "job_class": job_class.astype(np.int64),
        "user": user,
        "group": user,
        "priority": np.zeros(len(rows), np.int64),
        "classes": tuple(processors(int(each)) for each in sizes),
        "users": tuple(f"u{each}" for each in range(int(user.max()) + 1)),
        "groups": tuple(f"u{each}" for each in range(int(user.max()) + 1)),
        "machine_size": 4,
    }
    return Workload(**{**values, **changes})


def pool(key: str = "here/all", *, nodes: int = 4, **changes: Any) -> PoolRow:
    """A pool of one-core nodes."""
    values: dict[str, Any] = {
        "key": key,
        "centre": key.partition("/")[0],
        "city": "hefei",
        "kind": "supercomputing",
        "device_model": "",
        "stack": "",
        "domestic": False,
        "device_memory_bytes": 0,
        "precisions": (),
        "nodes": nodes,
        "devices_per_node": 0,
        "cores_milli_per_node": 1_000,
        "memory_bytes_per_node": 0,
        "shares": False,
        "speed_milli": 1_000,
        "device_hour_micro_yuan": 0,
        "core_hour_micro_yuan": 60_000,
        "carbon_g_per_kwh": 500,
        "device_power_watts": 0,
    }
    return PoolRow(**{**values, **changes})


def outcome(
    work: Workload,
    start_s: Sequence[float],
    *,
    pools: Sequence[PoolRow] = (),
    where: Sequence[int] = (),
    **changes: Any,
) -> Outcome:
    """The jobs start at these seconds (-1: never) and run as long as the trace says."""
    start = np.array([NEVER if each < 0 else round(each * 1_000) for each in start_s], np.int64)
    values: dict[str, Any] = {
        "workload": work,
        "pools": tuple(pools) or (pool(),),
        "policy": "made",
        "estimates": "user",
        "tenants": "none",
        "passes": "second",
        "start_ms": start,
        "end_ms": np.where(start == NEVER, NEVER, start + work.run_ms),
        "pool": np.where(start == NEVER, NEVER, column(where or [0] * len(work))),
        "simulated_s": 0.5,
        "read_s": 0.25,
    }
    return Outcome(**{**values, **changes})


def first_come(work: Workload, processors_: int, **changes: Any) -> Outcome:
    """Strictly in order, each as soon as the one before has started and there is room."""
    free, now = processors_, 0
    running: list[tuple[int, int]] = []
    starts = []
    for submit, run, size in zip(work.submit_ms, work.run_ms, work.size, strict=True):
        now = max(now, int(submit))
        while running and (running[0][0] <= now or free < size):
            end, width = heapq.heappop(running)
            now, free = max(now, end), free + width
        starts.append(now / 1_000)
        heapq.heappush(running, (now + int(run), int(size)))
        free -= int(size)
    return outcome(work, starts, pools=(pool(nodes=processors_),), **changes)


def random_work(jobs: int, seed: int, **changes: Any) -> Workload:
    """Bursts of jobs of 1 to 4 processors by five users."""
    draw = np.random.default_rng(seed)
    submit = np.sort(draw.integers(0, 60 * jobs, jobs))
    run = draw.integers(1, 120, jobs)
    size = draw.integers(1, 5, jobs)
    rows = list(zip(submit.tolist(), run.tolist(), size.tolist(), strict=True))
    return workload(rows, users=draw.integers(0, 5, jobs).tolist(), **changes)
