"""A deep queue before a full province: what the live cycle is measured on.

The province is the generated one of aim (c), 34 centres with 47,000 devices, and 2,000 edge pools more. Nearly all of
it is taken by jobs that run; in front of it wait up to a million jobs of tens of thousands of classes and hundreds of
tenants, each with its own limit and prediction, half of them elements of arrays.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weir.scheduling.inputs import Changes, JobClass, LinkRow, PoolRow, QueuedJobs, RunningJob
from weir.twin.generators.people import ranked
from weir.twin.generators.province_parameters import ProvinceParameters
from weir.twin.generators.province_supply import GIB, Supply, draw_supply

Int64s = NDArray[np.int64]

NOW_MS = 1_790_000_000_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MIB = 1 << 20
PRIORITIES = (0, 10, 20, 30)
"""Low, normal, urgent, reserved, as the live province gives them to the core."""
EDGE_MODELS = (("nvidia-rtx-4090", "cuda", False, 24), ("cambricon-mlu370-x4", "cnrt", True, 24))
"""(device model, software stack, domestic, GiB)"""


@dataclass(frozen=True, slots=True)
class LiveQueue:
    """Pools, links, what runs, and the waiting jobs as int64 columns of equal length, by number."""

    pools: tuple[PoolRow, ...]
    links: tuple[LinkRow, ...]
    running: tuple[RunningJob, ...]
    classes: tuple[JobClass, ...]
    """All distinct; every one is some job's."""
    tenants: tuple[str, ...]
    job: Int64s
    job_class: Int64s
    """Index into `classes`."""
    tenant: Int64s
    """Index into `tenants`."""
    array: Int64s
    """Number of its array, from 1 on; 0 for a job that is in none. Elements share class, tenant and priority."""
    priority: Int64s
    submitted_ms: Int64s
    limit_ms: Int64s
    predicted_ms: Int64s
    """Predicted run time, never above the limit."""
    now_ms: int = NOW_MS

    def __len__(self) -> int:
        return len(self.job)

    def batches(self) -> tuple[QueuedJobs, ...]:
        """The waiting jobs as one batch a class."""
        return _batches(self, np.arange(len(self)))


def live_queue(
    jobs: int = 1_000_000,
    *,
    seed: int = 1,
    classes: int = 20_000,
    tenants: int = 500,
    edge_pools: int = 2_000,
    filled: float = 0.98,
) -> LiveQueue:
    """The queue of that many jobs; equal arguments give equal queues.

    `classes` is as many as are distinct, at most one a job; with as many classes as jobs each array is of jobs of
    unlike classes. `filled` is the share of all nodes on which something runs. Smaller numbers of jobs, for the curve,
    keep the province; give them fewer classes in proportion.
    """
    supply = _supply(np.random.default_rng([seed, 1]), edge_pools)
    made = _classes(np.random.default_rng([seed, 2]), min(classes, jobs), supply)
    running = _running(np.random.default_rng([seed, 3]), supply.pools, filled)
    rng = np.random.default_rng([seed, 4])
    array = _arrays(rng, jobs)
    unit = np.unique(np.where(array > 0, array, -np.arange(1, jobs + 1)), return_inverse=True)[1]
    units = int(unit.max()) + 1
    # Every class once, the others by popularity; where classes are as many as units and more, each job has its own.
    if len(made) > units:
        job_class = np.concatenate(
            (rng.permutation(len(made)), ranked(rng, len(made), 0.8, jobs - len(made)))
        )
    else:
        of_unit = np.concatenate((np.arange(len(made)), ranked(rng, len(made), 0.8, units - len(made))))
        job_class = rng.permutation(of_unit)[unit]
    tenant = np.concatenate(
        (np.arange(min(tenants, units)), ranked(rng, tenants, 0.9, max(0, units - tenants)))
    )
    limit_ms = np.clip(rng.lognormal(np.log(4.0), 1.2, jobs), 0.05, 168.0)
    predicted = limit_ms * rng.beta(1.2, 2.0, jobs)
    submitted = NOW_MS - (rng.exponential(0.7, units) * DAY_MS).astype(np.int64)
    return LiveQueue(
        pools=supply.pools,
        links=supply.links,
        running=running,
        classes=made,
        tenants=tuple(f"tenant-{number:04d}" for number in range(tenants)),
        job=np.arange(1, jobs + 1) + len(running),
        job_class=job_class.astype(np.int64),
        tenant=rng.permutation(tenant)[unit].astype(np.int64),
        array=array,
        priority=np.array(PRIORITIES, np.int64)[rng.choice(4, units, p=(0.10, 0.78, 0.10, 0.02))][unit],
        submitted_ms=submitted[unit],
        # To the millisecond, so that hardly two jobs share a limit.
        limit_ms=(limit_ms * HOUR_MS).astype(np.int64),
        predicted_ms=np.maximum(1_000, (predicted * HOUR_MS).astype(np.int64)),
    )


def some_changes(queue: LiveQueue, seed: int, count: int = 100) -> Changes:
    """So many changes since: half of them ends of running jobs, half new jobs of classes that are known."""
    rng = np.random.default_rng([seed, 5])
    ended = rng.choice(len(queue.running), min(count // 2, len(queue.running)), replace=False)
    rows = rng.choice(len(queue), count - len(ended), replace=False)
    fresh = replace(
        queue,
        job=queue.job[rows] + len(queue) + 10 * count * (seed + 1),
        job_class=queue.job_class[rows],
        tenant=queue.tenant[rows],
        priority=queue.priority[rows],
        submitted_ms=np.full(len(rows), queue.now_ms),
        limit_ms=queue.limit_ms[rows],
        predicted_ms=queue.predicted_ms[rows],
    )
    return Changes(
        freed=tuple(queue.running[place].job for place in sorted(ended.tolist())),
        queued=_batches(fresh, np.arange(len(rows))),
    )


def _supply(rng: np.random.Generator, edge_pools: int) -> Supply:
    supply = draw_supply(rng, ProvinceParameters())
    cities = sorted({pool.city for pool in supply.pools})
    pools, links = list(supply.pools), list(supply.links)
    model = rng.integers(0, len(EDGE_MODELS), edge_pools).tolist()
    nodes = rng.integers(1, 5, edge_pools).tolist()
    # Few prices, so that many of these pools are alike.
    price = (rng.integers(3, 6, edge_pools) * 500_000).tolist()
    city = rng.integers(0, len(cities), edge_pools).tolist()
    for number in range(edge_pools):
        name, stack, domestic, memory = EDGE_MODELS[model[number]]
        centre = f"edge-{number + 1:04d}"
        pools.append(
            PoolRow(
                key=f"{centre}/{name}",
                centre=centre,
                city=cities[city[number]],
                kind="edge",
                device_model=name,
                stack=stack,
                domestic=domestic,
                device_memory_bytes=memory * GIB,
                precisions=("fp16", "int8"),
                nodes=nodes[number],
                devices_per_node=4,
                cores_milli_per_node=32_000,
                memory_bytes_per_node=256 * GIB,
                shares=False,
                speed_milli=600,
                device_hour_micro_yuan=price[number],
                core_hour_micro_yuan=100_000,
                carbon_g_per_kwh=600,
                device_power_watts=300,
                capabilities=frozenset({"gang", "shares"}),
            )
        )
        links.append(LinkRow(*_ends(centre, supply.homes[city[number]]), 10**9, 1))
    return Supply(tuple(sorted(pools, key=lambda pool: pool.key)), tuple(links), supply.homes)


def _ends(one: str, other: str) -> tuple[str, str]:
    return (one, other) if one < other else (other, one)


def _classes(rng: np.random.Generator, count: int, supply: Supply) -> tuple[JobClass, ...]:
    """So many distinct classes: training gangs, single devices, CPU jobs and inference at the edge."""
    stacks = sorted({pool.stack for pool in supply.pools if pool.devices_per_node >= 8})
    sets = sorted(sorted(sub) for sub in ({a, b} for a in stacks for b in stacks))
    architectures = sorted({pool.stack for pool in supply.pools if not pool.devices_per_node})
    cities = sorted({pool.city for pool in supply.pools})
    found: dict[JobClass, None] = {}
    while len(found) < count:
        wanted = count - len(found) + 64
        kind = rng.choice(4, wanted, p=(0.35, 0.30, 0.20, 0.15)).tolist()
        power = rng.integers(0, 7, wanted).tolist()
        which = rng.integers(0, len(sets), wanted).tolist()
        speed = (rng.integers(12, 21, wanted) * 50).tolist()
        home = rng.integers(0, len(supply.homes), wanted).tolist()
        data = np.where(rng.random(wanted) < 0.6, rng.integers(1, 4_096, wanted), 0).tolist()
        memory = rng.integers(1, 8_192, wanted).tolist()
        weight = rng.choice((1_000, 3_000), wanted, p=(0.7, 0.3)).tolist()
        for row in zip(kind, power, which, speed, home, data, memory, weight, strict=True):
            what, doubling, place, factor, at, gib, each, money = row
            variants = tuple(
                (stack, 1_000 if number == 0 else factor) for number, stack in enumerate(sets[place])
            )
            needs = ((supply.homes[at], gib * GIB),) if gib else ()
            at_home: dict[str, Any] = {"data": needs, "weight_money": money}
            size = each * MIB
            if what == 0:
                made = JobClass(1 << doubling, 8_000, 64_000, 8 * size, variant_speeds=variants, **at_home)
            elif what == 1:
                made = JobClass(1, 1_000 << (doubling & 3), 8_000, size, variant_speeds=variants, **at_home)
            elif what == 2:
                stack = architectures[place % len(architectures)]
                made = JobClass(1, 0, 1_000 << doubling, size, stack=stack, **at_home)
            else:
                where = (cities[at],)
                made = JobClass(1, 1_000, 4_000, size, kinds=("edge",), cities=where, weight_money=money)
            found.setdefault(made)
            if len(found) == count:
                break
    return tuple(found)


def _arrays(rng: np.random.Generator, jobs: int) -> Int64s:
    """For half of the jobs the number of the array that they are in; arrays have 2 to 10,000 elements."""
    elements = jobs // 2
    sizes = np.empty(0, np.int64)
    while sizes.sum() < elements:
        sizes = np.concatenate(
            (sizes, np.clip(rng.lognormal(np.log(30.0), 1.5, 256), 2, 10_000).astype(np.int64))
        )
    ends = np.minimum(np.cumsum(sizes), elements)
    count = int(np.searchsorted(ends, elements)) + 1
    starts = np.concatenate(([0], ends[: count - 1]))
    numbers = np.repeat(np.arange(1, count + 1), ends[:count] - starts)
    return np.concatenate((numbers, np.zeros(jobs - elements, np.int64)))


def _running(rng: np.random.Generator, pools: tuple[PoolRow, ...], filled: float) -> tuple[RunningJob, ...]:
    """Jobs on whole nodes, gangs of 1 to 16, over this share of each pool's nodes, with whole hours and more left."""
    found: list[RunningJob] = []
    for pool in pools:
        taken = round(pool.nodes * filled) if pool.nodes > 4 else pool.nodes - int(rng.random() > filled)
        node = 0
        while node < taken:
            width = min(1 << int(rng.integers(0, 5)), taken - node)
            job_class = JobClass(
                width,
                pool.devices_per_node * 1_000,
                pool.cores_milli_per_node,
                pool.memory_bytes_per_node // 2,
            )
            placed = NOW_MS - int(rng.integers(0, DAY_MS))
            found.append(
                RunningJob(
                    len(found) + 1,
                    job_class,
                    pool.key,
                    tuple((number, 1) for number in range(node, node + width)),
                    placed,
                    NOW_MS - placed + int(rng.integers(HOUR_MS, 2 * DAY_MS)),
                )
            )
            node += width
    return tuple(found)


def _batches(queue: LiveQueue, rows: Int64s) -> tuple[QueuedJobs, ...]:
    order = rows[np.argsort(queue.job_class[rows], kind="stable")]
    of_class = queue.job_class[order]
    cuts = np.flatnonzero(np.diff(of_class)) + 1
    return tuple(
        QueuedJobs(
            queue.classes[int(queue.job_class[part[0]])],
            queue.job[part],
            queue.priority[part],
            queue.submitted_ms[part],
            queue.limit_ms[part],
            queue.predicted_ms[part],
            tenant=queue.tenant[part],
        )
        for part in np.split(order, cuts)
        if len(part)
    )


__all__ = ["LiveQueue", "live_queue", "some_changes"]
