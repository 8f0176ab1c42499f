"""Small provinces and jobs for the tests of the scheduling core."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from weir.scheduling.inputs import JobClass, PoolRow, QueuedJobs, RunningJob
from weir.scheduling.plan import Plan, Start

GIB = 1 << 30
HOUR = 3_600_000
NOW = 1_800_000_000_000

POOL = PoolRow(
    key="hefei/a",
    centre="hefei",
    city="hefei",
    kind="intelligent",
    device_model="ascend-910b",
    stack="cann",
    domestic=True,
    device_memory_bytes=64 * GIB,
    precisions=("fp16", "fp32"),
    nodes=4,
    devices_per_node=8,
    cores_milli_per_node=64_000,
    memory_bytes_per_node=512 * GIB,
    shares=False,
    speed_milli=1_000,
    device_hour_micro_yuan=10_000_000,
    core_hour_micro_yuan=100_000,
    carbon_g_per_kwh=600,
    device_power_watts=400,
)
TASK = JobClass(tasks=1, devices_milli=1_000, cores_milli=1_000, memory_bytes=GIB)


def pool(key: str = "hefei/a", **changed: object) -> PoolRow:
    """A pool like POOL, of the centre that its key names."""
    return replace(POOL, key=key, **{"centre": key.split("/", maxsplit=1)[0], **changed})  # type: ignore[arg-type]


def task(**changed: object) -> JobClass:
    """A class like TASK."""
    return replace(TASK, **changed)  # type: ignore[arg-type]


def waiting(
    job_class: JobClass,
    jobs: Sequence[int],
    *,
    priority: int = 0,
    submitted_ms: int = NOW,
    limit_ms: int = HOUR,
) -> QueuedJobs:
    """Jobs of one class that are otherwise alike."""
    column = np.array(jobs, np.int64)
    return QueuedJobs(
        job_class,
        column,
        np.full_like(column, priority),
        np.full_like(column, submitted_ms),
        np.full_like(column, limit_ms),
    )


def placed(start: Start, job_class: JobClass, *, at_ms: int = NOW, limit_ms: int = HOUR) -> RunningJob:
    """A start, once it has been applied."""
    return RunningJob(start.job, job_class, start.pool, start.nodes, at_ms, limit_ms, start.devices)


def started(plan: Plan) -> dict[int, str]:
    """Jobs started, with their pools."""
    return {start.job: start.pool for start in plan.starts}
