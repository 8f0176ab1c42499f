"""How large inputs may be, so that no sum or product in the core overflows 64 bits."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter

import numpy as np

from weir.scheduling.inputs import NO_DEADLINE, Curve, JobClass, PoolRow, QueuedJobs, RunningJob, TenantRow
from weir.scheduling.plan import Reservation
from weir.scheduling.policy import Order, Placement, Policy
from weir.scheduling.tables import Int64s, Table

MOST_NODES = 2**20
MOST_DEVICES_A_NODE = 2**10
MOST_TASKS = 2**17
MOST_CORES_MILLI = 2**30
LARGEST_MEMORY = 2**45
LARGEST_NUMBER = 2**62
LONGEST_LIMIT_MS = 2**35
LATEST_MS = 2**52
MOST_TENANTS = 2**40
LARGEST_SHARE = 2**55
"""Micro-yuan an hour."""
LARGEST_USED = 2**60
LOWEST_PRIORITY, HIGHEST_PRIORITY = -512, 511
"""A key holds the priority in ten bits, see kernels/waiting.py."""

# What is larger than these counts as this much; see kernels/score.py.
LARGEST_AMOUNT = 2**37
LARGEST_WEIGHT = 100_000
LARGEST_SPEED = 1_000_000
LARGEST_VALUE = 2**31 - 1
"""Of a curve, in micro-yuan or mg an hour: more than 2,000 yuan for an hour of one device."""
LONGEST_WAIT = 2**38


def within_bounds(row: PoolRow) -> PoolRow:
    """The pool, or one like it that is as large as the core can count: declaring more is no fault, only no use."""
    nodes = _clamped(row.nodes, MOST_NODES)
    devices = _clamped(row.devices_per_node, MOST_DEVICES_A_NODE)
    cores = _clamped(row.cores_milli_per_node, MOST_CORES_MILLI)
    memory = _clamped(row.memory_bytes_per_node, LARGEST_MEMORY)
    device_hour, core_hour = _curve(row.device_hour_over_time), _curve(row.core_hour_over_time)
    books = tuple(
        replace(
            each,
            device_hour_over_time=_curve(each.device_hour_over_time),
            core_hour_over_time=_curve(each.core_hour_over_time),
        )
        for each in row.books
    )
    if (nodes, devices, cores, memory, device_hour, core_hour, books) == (
        row.nodes,
        row.devices_per_node,
        row.cores_milli_per_node,
        row.memory_bytes_per_node,
        row.device_hour_over_time,
        row.core_hour_over_time,
        row.books,
    ):
        return row
    return replace(
        row,
        nodes=nodes,
        devices_per_node=devices,
        cores_milli_per_node=cores,
        memory_bytes_per_node=memory,
        device_hour_over_time=device_hour,
        core_hour_over_time=core_hour,
        books=books,
    )


def check_pools(rows: tuple[PoolRow, ...]) -> None:
    """Raise ValueError naming the first pool, in order of key, that is declared twice."""
    for row, after in itertools.pairwise(rows):
        if row.key == after.key:
            raise ValueError(f"pool {row.key} is declared twice")


def check_class(job_class: JobClass) -> None:
    """Raise ValueError for a class outside the bounds."""
    _check("class", "tasks", job_class.tasks, MOST_TASKS, least=1)
    _check("class", "devices_milli", job_class.devices_milli, MOST_DEVICES_A_NODE * 1_000)
    if job_class.devices_milli > 1_000 and job_class.devices_milli % 1_000:
        raise ValueError(f"class: devices_milli is {job_class.devices_milli}; a share is of one device")
    _check("class", "cores_milli", job_class.cores_milli, MOST_CORES_MILLI)
    _check("class", "memory_bytes", job_class.memory_bytes, LARGEST_MEMORY)


def check_classes(job_classes: Sequence[JobClass]) -> None:
    """`check_class` of many."""
    if not job_classes:
        return
    tasks, devices, cores, memory = zip(*map(_OF_CLASS, job_classes), strict=True)
    within = (
        1 <= min(tasks) <= max(tasks) <= MOST_TASKS
        and 0 <= min(devices) <= max(devices) <= MOST_DEVICES_A_NODE * 1_000
        and all(each <= 1_000 or each % 1_000 == 0 for each in set(devices))
        and 0 <= min(cores) <= max(cores) <= MOST_CORES_MILLI
        and 0 <= min(memory) <= max(memory) <= LARGEST_MEMORY
    )
    if not within:
        for job_class in job_classes:
            check_class(job_class)


def check_batches(batches: Sequence[QueuedJobs]) -> None:
    """Raise ValueError for columns of unequal length or values outside the bounds.

    All batches together, since there may be as many as there are classes.
    """
    for name, least, most in _QUEUED:
        columns = [getattr(batch, name) for batch in batches]
        for column, batch in zip(columns, batches, strict=True):
            if column is not None and (column.dtype != np.int64 or column.shape != batch.job.shape):
                raise ValueError("queued jobs are columns of int64 of equal length")
        there = [column for column in columns if column is not None and len(column)]
        if there:
            _check_column(name, np.concatenate(there), least, most)
    own = [batch for batch in batches if batch.expected_ms is not None]
    if own:
        expected = np.concatenate([batch.expected for batch in own])
        if bool((expected > np.concatenate([batch.time_limit_ms for batch in own])).any()):
            raise ValueError("expected_ms: a job is expected to run longer than its time limit")


def check_tenants(told: Sequence[TenantRow]) -> None:
    """Raise ValueError for a tenant outside the bounds, or told twice."""
    for one, other in itertools.pairwise(sorted(row.tenant for row in told)):
        if one == other:
            raise ValueError(f"tenant {one} is told twice")
    for row in told:
        where = f"tenant {row.tenant}"
        _check(where, "tenant", row.tenant, MOST_TENANTS)
        _check(where, "weight_milli", row.weight_milli, LARGEST_WEIGHT, least=1)
        _check(where, "quota_micro_yuan_per_hour", row.quota_micro_yuan_per_hour, LARGEST_SHARE)
        if row.ceiling_micro_yuan_per_hour is not None:
            _check(where, "ceiling_micro_yuan_per_hour", row.ceiling_micro_yuan_per_hour, LARGEST_SHARE)
        if row.used is not None:
            _check(where, "used", row.used, LARGEST_USED)


def check_running(job: RunningJob) -> None:
    """Raise ValueError for a placement that cannot be: no nodes, or not every task on one."""
    where = f"running job {job.job}"
    _check(where, "job", job.job, LARGEST_NUMBER)
    _check(where, "placed_ms", job.placed_ms, LATEST_MS)
    _check(where, "time_limit_ms", job.time_limit_ms, LONGEST_LIMIT_MS, least=1)
    if sum(tasks for _, tasks in job.nodes) != job.job_class.tasks:
        raise ValueError(f"{where}: nodes {job.nodes} do not hold its {job.job_class.tasks} tasks")
    for node, tasks in job.nodes:
        _check(where, "node", node, MOST_NODES - 1)
        _check(where, "tasks on a node", tasks, MOST_TASKS, least=1)
    wanted = job.job_class.tasks * max(1, job.job_class.devices_milli // 1_000)
    if job.devices and (len(job.devices) != wanted or not job.job_class.devices_milli):
        raise ValueError(f"{where}: {len(job.devices)} devices are named, and its tasks use {wanted}")
    for device in job.devices:
        _check(where, "device", device, MOST_DEVICES_A_NODE - 1)


def check_promises(promised: Sequence[Reservation]) -> None:
    """Raise ValueError where two promises are of one job, or one is outside the bounds."""
    for one, other in itertools.pairwise(sorted(kept.job for kept in promised)):
        if one == other:
            raise ValueError(f"job {one} is listed twice among what is promised")
    for kept in promised:
        where = f"what is promised to job {kept.job}"
        _check(where, "job", kept.job, LARGEST_NUMBER)
        _check(where, "start_ms", kept.start_ms, LATEST_MS + LONGEST_LIMIT_MS)
        _check(where, "first_start_ms", kept.first_start_ms, LATEST_MS + LONGEST_LIMIT_MS)
        for node, tasks in kept.nodes:
            _check(where, "node", node, MOST_NODES - 1)
            _check(where, "tasks on a node", tasks, MOST_TASKS, least=1)


def seated(
    promised: Sequence[Reservation], rows: Sequence[PoolRow], pools: Table
) -> tuple[list[Reservation], list[Reservation]]:
    """Of each pool as many as it has seats, the earliest, and those beyond: it may have promised more before."""
    left = {row.key: int(seats) for row, seats in zip(rows, pools["seats"], strict=True)}
    found: list[Reservation] = []
    beyond: list[Reservation] = []
    for kept in sorted(promised, key=lambda kept: (kept.start_ms, kept.job)):
        left[kept.pool] -= 1
        (found if left[kept.pool] >= 0 else beyond).append(kept)
    return found, beyond


def check_live(policy: Policy) -> None:
    """Raise ValueError for a policy that asks for what only simulated time knows, rather than pass it over."""
    for name, wrong in (
        ("order", policy.order in (Order.WFP3, Order.UNICEF)),
        ("backfill_order", policy.backfill_order is not None),
        ("blocking", policy.blocking),
        ("placement", policy.placement is not Placement.SCORE),
        ("fair", policy.fair),
    ):
        if wrong:
            raise ValueError(
                f"{name}: policy {policy.name} is for simulations; the live loop cannot go by this"
            )


_OF_CLASS = attrgetter("tasks", "devices_milli", "cores_milli", "memory_bytes")
_QUEUED = (
    ("job", 0, LARGEST_NUMBER),
    ("priority", LOWEST_PRIORITY, HIGHEST_PRIORITY),
    ("submitted_ms", 0, LATEST_MS),
    ("time_limit_ms", 1, LONGEST_LIMIT_MS),
    ("expected_ms", 1, LONGEST_LIMIT_MS),
    ("deadline_ms", 0, NO_DEADLINE),
    ("tenant", 0, MOST_TENANTS),
)


def _curve(curve: Curve | None) -> Curve | None:
    if curve is None or all(0 <= value <= LARGEST_VALUE for _, value in curve.steps):
        return curve
    return replace(curve, steps=tuple((at, _clamped(value, LARGEST_VALUE)) for at, value in curve.steps))


def _clamped(value: int, most: int) -> int:
    return min(most, max(0, value))


def _check(where: str, name: str, value: int, most: int, *, least: int = 0) -> None:
    if not least <= value <= most:
        raise ValueError(f"{where}: {name} is {value}, not between {least} and {most}")


def _check_column(name: str, values: Int64s, least: int, most: int) -> None:
    for value in (int(values.min()), int(values.max())):
        _check("queued jobs", name, value, most, least=least)
