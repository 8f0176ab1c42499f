"""Where a class of jobs may run at all: the hard constraints, in numbers for the core and in words for people."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weir.scheduling.bounds import within_bounds
from weir.scheduling.inputs import JobClass, LinkRow, PoolRow
from weir.scheduling.plan import Constraint, PoolReason, Verdict
from weir.units import format_bytes

LONGEST_MOVE_MS = 2**39
WHOLE = 1_000
NO_LINK = -1

_Bools = NDArray[np.bool_]
_Codes = NDArray[np.uint8]
_Links = Mapping[tuple[str, str], LinkRow]


def fits_ever(pools: Sequence[PoolRow], links: Sequence[LinkRow], job_class: JobClass) -> list[PoolReason]:
    """What each pool says to a job of this class, whatever runs there and whether or not it is closed now.

    One entry a pool in the order given: FAILS with the first constraint that does not hold, or FITS. The job can
    never run when every entry is FAILS; `largest_that_fits` then says in words what could.
    """
    by_centres = links_by_centres(links)
    codes = failed_constraints(PoolFacts.of(pools), by_centres, job_class)
    return [
        PoolReason(pool.key, Verdict.FAILS, failed=constraint_in_words(pool, job_class, int(code)))
        if code
        else PoolReason(pool.key, Verdict.FITS, note=pool.closed_because)
        for pool, code in zip(pools, codes, strict=True)
    ]


def largest_that_fits(pools: Sequence[PoolRow], job_class: JobClass) -> str:
    """In words, the largest that would fit of what the job asks too much of, and where.

    For example "the largest that fits is 8 devices a task at hefei-ai/ascend-910b". Where no pool is of the right
    kind at all, it says what is asked for and what there is.
    """
    if not pools:
        return "there are no pools yet"
    codes = failed_constraints(PoolFacts.of(pools), None, job_class)
    if not codes.all():
        return "it fits"
    # The pools that come furthest through the constraints are the nearest to what is asked for.
    furthest = int(codes.max())
    near = [pool for pool, code in zip(pools, codes, strict=True) if code == furthest]
    measure = _LARGEST.get(CONSTRAINTS[furthest - 1].name)
    if measure is None:
        wanted = constraint_in_words(near[0], job_class, furthest)
        there = sorted({constraint_in_words(pool, job_class, furthest).found for pool in near})
        shown = ", ".join(there[:8]) + (", …" if len(there) > 8 else "")
        named = (
            wanted.needed if wanted.name.rstrip("s") in wanted.needed else f"{wanted.name} {wanted.needed}"
        )
        return f"no pool has {named}; what there is: {shown}"
    best = max(near, key=lambda pool: (measure[0](pool, job_class), [-ord(letter) for letter in pool.key]))
    return f"the largest that fits is {measure[1](measure[0](best, job_class))} at {best.key}"


@dataclass(frozen=True, slots=True)
class PoolFacts:
    """Pools as columns, for looking at all of them at once."""

    rows: tuple[PoolRow, ...]
    nodes: NDArray[np.int64]
    devices: NDArray[np.int64]
    cores: NDArray[np.int64]
    memory: NDArray[np.int64]
    device_memory: NDArray[np.int64]
    shares: _Bools
    domestic: _Bools

    @classmethod
    def of(cls, pools: Sequence[PoolRow]) -> "PoolFacts":
        def column(get: Callable[[PoolRow], int]) -> NDArray[np.int64]:
            return np.array([get(pool) for pool in pools], np.int64)

        pools = [within_bounds(pool) for pool in pools]
        return cls(
            tuple(pools),
            column(lambda pool: pool.nodes),
            column(lambda pool: pool.devices_per_node),
            column(lambda pool: pool.cores_milli_per_node),
            column(lambda pool: pool.memory_bytes_per_node),
            column(lambda pool: pool.device_memory_bytes),
            column(lambda pool: pool.shares) != 0,
            column(lambda pool: pool.domestic) != 0,
        )

    def where(self, holds: Callable[[PoolRow], bool]) -> _Bools:
        return np.fromiter((holds(pool) for pool in self.rows), np.bool_, len(self.rows))


def links_by_centres(links: Sequence[LinkRow]) -> dict[tuple[str, str], LinkRow]:
    """Links by both orders of their centres."""
    return {pair: link for link in links for pair in ((link.a, link.b), (link.b, link.a))}


def data_ms(links: _Links, job_class: JobClass, centre: str) -> int:
    """How long moving the job's data to a centre takes, one after the other; NO_LINK when some cannot get there."""
    total = 0
    for at, size in job_class.data:
        if at == centre:
            continue
        link = links.get((at, centre))
        if link is None or link.bits_per_second <= 0:
            return NO_LINK
        total += -(-size * 8_000 // link.bits_per_second) + link.latency_ms
    return min(total, LONGEST_MOVE_MS)


def failed_constraints(facts: PoolFacts, links: _Links | None, job_class: JobClass) -> _Codes:
    """For each pool, the number (from 1) of the first of CONSTRAINTS that fails there, or 0.

    Without links, data is taken to be where it is needed.
    """
    codes = np.zeros(len(facts.rows), np.uint8)
    for number, rule in enumerate(CONSTRAINTS, 1):
        if rule.asked(job_class):
            fails = rule.fails(facts, job_class)
            codes[(codes == 0) & fails] = number
    if links is not None and job_class.data:
        reached: dict[str, bool] = {}
        for place, pool in enumerate(facts.rows):
            if pool.centre not in reached:
                reached[pool.centre] = data_ms(links, job_class, pool.centre) != NO_LINK
            if not codes[place] and not reached[pool.centre]:
                codes[place] = DATA
    return codes


def constraint_in_words(pool: PoolRow, job_class: JobClass, code: int) -> Constraint:
    """The constraint with that number, with what the job needs and what the pool has."""
    if code == DATA:
        away = ", ".join(sorted({at for at, _ in job_class.data if at != pool.centre}))
        return Constraint("data", f"a link from {away} to {pool.centre}", "no link")
    rule = CONSTRAINTS[code - 1]
    needed, found = rule.words(pool, job_class)
    return Constraint(rule.name, needed, found)


@dataclass(frozen=True, slots=True)
class _Rule:
    name: str
    asked: Callable[[JobClass], bool]
    fails: Callable[[PoolFacts, JobClass], _Bools]
    words: Callable[[PoolRow, JobClass], tuple[str, str]]


def _any_of(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else "any of " + ", ".join(names)


def _devices(milli: int) -> str:
    if milli % WHOLE:
        return f"{milli}/1000 of a device"
    return f"{milli // WHOLE} device" + ("" if milli == WHOLE else "s")


def _cores(milli: int) -> str:
    whole, rest = divmod(milli, WHOLE)
    number = f"{whole}.{rest:03d}".rstrip("0").rstrip(".")
    return f"{number} core" + ("" if number == "1" else "s")


def _tasks(count: int) -> str:
    return f"{count} task" + ("" if count == 1 else "s")


def tasks_a_node(pool: PoolRow, job_class: JobClass) -> int:
    """How many tasks an idle node holds."""
    fits = 2**31
    if job_class.cores_milli:
        fits = min(fits, pool.cores_milli_per_node // job_class.cores_milli)
    if job_class.memory_bytes:
        fits = min(fits, pool.memory_bytes_per_node // job_class.memory_bytes)
    if 0 < job_class.devices_milli < WHOLE:
        fits = min(fits, pool.devices_per_node * (WHOLE // job_class.devices_milli))
    elif job_class.devices_milli:
        fits = min(fits, pool.devices_per_node * WHOLE // job_class.devices_milli)
    return fits


def _too_small_for_gang(facts: PoolFacts, job_class: JobClass) -> _Bools:
    fits = np.full(len(facts.rows), 2**31, np.int64)
    if job_class.cores_milli:
        fits = np.minimum(fits, facts.cores // job_class.cores_milli)
    if job_class.memory_bytes:
        fits = np.minimum(fits, facts.memory // job_class.memory_bytes)
    if 0 < job_class.devices_milli < WHOLE:
        fits = np.minimum(fits, facts.devices * (WHOLE // job_class.devices_milli))
    elif job_class.devices_milli:
        fits = np.minimum(fits, facts.devices * WHOLE // job_class.devices_milli)
    return facts.nodes * fits < job_class.tasks


# In the order in which they are looked at: first what the tenant said about where, then what kind of device, then
# how much of it. A pool that fails more than one is said to fail the first.
CONSTRAINTS: tuple[_Rule, ...] = (
    _Rule(
        "centres",
        lambda job: bool(job.centres),
        lambda facts, job: facts.where(lambda pool: pool.centre not in job.centres),
        lambda pool, job: (_any_of(job.centres), pool.centre),
    ),
    _Rule(
        "cities",
        lambda job: bool(job.cities),
        lambda facts, job: facts.where(lambda pool: pool.city not in job.cities),
        lambda pool, job: (_any_of(job.cities), pool.city),
    ),
    _Rule(
        "kinds",
        lambda job: bool(job.kinds),
        lambda facts, job: facts.where(lambda pool: pool.kind not in job.kinds),
        lambda pool, job: (_any_of(job.kinds), pool.kind),
    ),
    _Rule(
        "devices",
        lambda job: job.devices_milli > 0,
        lambda facts, job: facts.devices == 0,
        lambda pool, job: (f"{_devices(job.devices_milli)} a task", "no devices"),
    ),
    _Rule(
        "device model",
        lambda job: bool(job.models),
        lambda facts, job: facts.where(lambda pool: pool.device_model not in job.models),
        lambda pool, job: (_any_of(job.models), pool.device_model),
    ),
    _Rule(
        "device memory",
        lambda job: job.device_memory_bytes > 0,
        lambda facts, job: facts.device_memory < job.device_memory_bytes,
        lambda pool, job: (
            f"at least {format_bytes(job.device_memory_bytes)} a device",
            f"{format_bytes(pool.device_memory_bytes)} a device",
        ),
    ),
    _Rule(
        "precision",
        lambda job: bool(job.precision),
        lambda facts, job: facts.where(lambda pool: job.precision not in pool.precisions),
        lambda pool, job: (job.precision, ", ".join(pool.precisions) or "none stated"),
    ),
    _Rule(
        "software stack",
        lambda job: bool(job.stack),
        lambda facts, job: facts.where(lambda pool: pool.stack != job.stack),
        lambda pool, job: (job.stack, pool.stack or "none"),
    ),
    _Rule(
        "domestic",
        lambda job: job.domestic,
        lambda facts, job: ~facts.domestic,
        lambda pool, job: ("a device of a Chinese vendor", f"{pool.device_model} is not"),
    ),
    _Rule(
        "variant",
        lambda job: bool(job.variant_speeds),
        lambda facts, job: facts.where(
            lambda pool: all(pool.stack != stack for stack, _ in job.variant_speeds)
        ),
        lambda pool, job: (_any_of([stack for stack, _ in job.variant_speeds]), pool.stack or "none"),
    ),
    _Rule(
        "device sharing",
        lambda job: job.devices_milli % WHOLE != 0,
        lambda facts, job: ~facts.shares,
        lambda pool, job: (_devices(job.devices_milli), "only whole devices"),
    ),
    _Rule(
        "engine",
        lambda job: bool(job.capabilities),
        lambda facts, job: facts.where(lambda pool: not pool.capabilities.issuperset(job.capabilities)),
        lambda pool, job: (
            ", ".join(job.capabilities),
            ", ".join(sorted(pool.capabilities)) or "no such capability",
        ),
    ),
    _Rule(
        "devices a task",
        lambda job: job.devices_milli > 0,
        lambda facts, job: facts.devices * WHOLE < job.devices_milli,
        lambda pool, job: (_devices(job.devices_milli), f"{_devices(pool.devices_per_node * WHOLE)} a node"),
    ),
    _Rule(
        "cores a task",
        lambda job: job.cores_milli > 0,
        lambda facts, job: facts.cores < job.cores_milli,
        lambda pool, job: (_cores(job.cores_milli), f"{_cores(pool.cores_milli_per_node)} a node"),
    ),
    _Rule(
        "memory a task",
        lambda job: job.memory_bytes > 0,
        lambda facts, job: facts.memory < job.memory_bytes,
        lambda pool, job: (
            format_bytes(job.memory_bytes),
            f"{format_bytes(pool.memory_bytes_per_node)} a node",
        ),
    ),
    _Rule(
        "tasks",
        lambda job: True,
        _too_small_for_gang,
        lambda pool, job: (
            f"{_tasks(job.tasks)} at once",
            f"room for {pool.nodes * tasks_a_node(pool, job)} on {pool.nodes} idle nodes",
        ),
    ),
)
DATA = len(CONSTRAINTS) + 1

# What is too large, how much of it a pool holds, and how that is said.
_LARGEST: Mapping[str, tuple[Callable[[PoolRow, JobClass], int], Callable[[int], str]]] = {
    "device memory": (
        lambda pool, job: pool.device_memory_bytes,
        lambda size: f"{format_bytes(size)} a device",
    ),
    "devices a task": (
        lambda pool, job: pool.devices_per_node * WHOLE,
        lambda milli: f"{_devices(milli)} a task",
    ),
    "cores a task": (lambda pool, job: pool.cores_milli_per_node, lambda milli: f"{_cores(milli)} a task"),
    "memory a task": (
        lambda pool, job: pool.memory_bytes_per_node,
        lambda size: f"{format_bytes(size)} a task",
    ),
    "tasks": (
        lambda pool, job: pool.nodes * tasks_a_node(pool, job),
        lambda count: f"{_tasks(count)} of this shape",
    ),
}
