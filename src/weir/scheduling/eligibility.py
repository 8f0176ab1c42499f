"""Where a class of jobs may run at all: the hard constraints, in numbers for the core and in words for people."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weir.scheduling.bounds import within_bounds
from weir.scheduling.inputs import JobClass, LinkRow, PoolRow
from weir.scheduling.moving import Links, Roads, links_by_centres
from weir.scheduling.plan import Constraint, PoolReason, Verdict
from weir.units import format_bytes

WHOLE = 1_000
MANY, MOST = 2**31, 2**62

_Bools = NDArray[np.bool_]
_Codes = NDArray[np.uint8]


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


class PoolKinds:
    """Pools by what constraints can tell apart besides the centre: edge pools by the thousand are of a few kinds."""

    def __init__(self, pools: Sequence[PoolRow]) -> None:
        found: dict[tuple[Any, ...], int] = {}
        of: list[int] = []
        samples: list[PoolRow] = []
        for pool in pools:
            number = found.setdefault(tuple(getattr(pool, name) for name in _TELLING), len(samples))
            if number == len(samples):
                samples.append(pool)
            of.append(number)
        self.of = np.array(of, np.int64)
        """Of each pool, its kind."""
        self.facts = PoolFacts.of(samples)
        """Of one pool of each kind."""
        self.centres = tuple(sorted({pool.centre for pool in pools}))
        numbers = {centre: number for number, centre in enumerate(self.centres)}
        self.centre = np.array([numbers[pool.centre] for pool in pools], np.int64)
        """Of each pool, its centre."""


_TELLING = (
    "city", "kind", "device_model", "device_memory_bytes", "precisions", "stack", "domestic", "nodes",
    "devices_per_node", "cores_milli_per_node", "memory_bytes_per_node", "shares", "capabilities", "preempts",
    "job_options",
)  # fmt: skip


def failed_constraints(facts: PoolFacts, links: Links | None, job_class: JobClass) -> _Codes:
    """For each pool, the number (from 1) of the first of CONSTRAINTS that fails there, or 0.

    Without links, data is taken to be where it is needed.
    """
    kinds = PoolKinds(facts.rows)
    roads = None if links is None else Roads(links, kinds.centres)
    found: _Codes = failed_by_each(kinds, roads, (job_class,))[0]
    return found


def failed_by_each(kinds: PoolKinds, roads: Roads | None, job_classes: Sequence[JobClass]) -> _Codes:
    """`failed_constraints` of many classes, [class, pool]. roads: to the centres of the pools."""
    codes = np.zeros((len(job_classes), len(kinds.facts.rows)), np.uint8)
    amounts = Amounts.of(job_classes)
    for number, rule in enumerate(CONSTRAINTS, 1):
        if rule.named is None:
            fails = rule.fails(kinds.facts, amounts)
        else:
            fails = _fails_by_name(rule, rule.named, kinds.facts, job_classes)
        codes[(codes == 0) & fails] = number
    found = codes[:, kinds.of]
    for row, job_class in enumerate(job_classes):
        if job_class.centres:
            allowed = np.array([centre in job_class.centres for centre in kinds.centres], np.bool_)
            found[row, ~allowed[kinds.centre]] = CENTRES
        if roads is not None and job_class.data:
            unreached = ~roads.reached(job_class.data)[kinds.centre]
            found[row, unreached & (found[row] == 0)] = DATA
    return found


def _fails_by_name(
    rule: "_Rule", named: Callable[[JobClass], Any], facts: PoolFacts, job_classes: Sequence[JobClass]
) -> _Bools:
    """[class, pool] whether a rule fails that classes which name the same fail alike."""
    numbers: dict[Hashable, int] = {}
    rows: list[_Bools] = []
    of = np.empty(len(job_classes), np.int64)
    for place, job_class in enumerate(job_classes):
        name = named(job_class)
        number = numbers.setdefault(name, len(rows))
        if number == len(rows):
            rows.append(rule.fails(facts, job_class) if name else np.zeros(len(facts.rows), np.bool_))
        of[place] = number
    return np.array(rows, np.bool_)[of]


@dataclass(frozen=True, slots=True)
class Amounts:
    """What tasks of several classes need, as columns beside the rows of pools: [class, 1]."""

    tasks: Any
    devices_milli: Any
    cores_milli: Any
    memory_bytes: Any

    @classmethod
    def of(cls, job_classes: Sequence[JobClass]) -> "Amounts":
        return cls(
            *(
                np.array([min(MOST, getattr(each, field.name)) for each in job_classes], np.int64)[:, None]
                for field in fields(cls)
            )
        )


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
    named: Callable[[JobClass], Any] | None
    """What a class names, alike (and hashable) for all that fail alike; nothing where it does not ask. None: it goes by
    amounts."""
    fails: Callable[[PoolFacts, Any], _Bools]
    """Of a class, or of the `Amounts` of several."""
    words: Callable[[PoolRow, JobClass], tuple[str, str]]


def _may_choose(pool: PoolRow, job_class: JobClass) -> bool:
    allowed = dict(pool.job_options)
    return all(value in allowed.get(name, ()) for name, value in job_class.options)


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
    return int(_tasks_a_node(PoolFacts.of([pool]), Amounts.of([job_class]))[0, 0])


def _tasks_a_node(facts: PoolFacts, need: Amounts) -> Any:
    fits: Any = np.int64(MANY)
    for there, wanted in ((facts.cores, need.cores_milli), (facts.memory, need.memory_bytes)):
        fits = np.minimum(fits, np.where(wanted > 0, there // np.maximum(1, wanted), MANY))
    devices = np.maximum(1, need.devices_milli)
    shares, wholes = facts.devices * (WHOLE // devices), facts.devices * WHOLE // devices
    with_devices = np.where(need.devices_milli < WHOLE, shares, wholes)
    return np.minimum(fits, np.where(need.devices_milli > 0, with_devices, MANY))


# In the order in which they are looked at: first what the tenant said about where, then what kind of device, then
# how much of it. A pool that fails more than one is said to fail the first.
CONSTRAINTS: tuple[_Rule, ...] = (
    _Rule(
        "centres",
        lambda job: None,
        lambda facts, job: facts.where(lambda pool: pool.centre not in job.centres),
        lambda pool, job: (_any_of(job.centres), pool.centre),
    ),
    _Rule(
        "cities",
        lambda job: job.cities,
        lambda facts, job: facts.where(lambda pool: pool.city not in job.cities),
        lambda pool, job: (_any_of(job.cities), pool.city),
    ),
    _Rule(
        "kinds",
        lambda job: job.kinds,
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
        lambda job: job.models,
        lambda facts, job: facts.where(lambda pool: pool.device_model not in job.models),
        lambda pool, job: (_any_of(job.models), pool.device_model),
    ),
    _Rule(
        "device memory",
        lambda job: job.device_memory_bytes,
        lambda facts, job: facts.device_memory < job.device_memory_bytes,
        lambda pool, job: (
            f"at least {format_bytes(job.device_memory_bytes)} a device",
            f"{format_bytes(pool.device_memory_bytes)} a device",
        ),
    ),
    _Rule(
        "precision",
        lambda job: job.precision,
        lambda facts, job: facts.where(lambda pool: job.precision not in pool.precisions),
        lambda pool, job: (job.precision, ", ".join(pool.precisions) or "none stated"),
    ),
    _Rule(
        "software stack",
        lambda job: job.stack,
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
        lambda job: tuple(stack for stack, _ in job.variant_speeds),
        lambda facts, job: facts.where(
            lambda pool: all(pool.stack != stack for stack, _ in job.variant_speeds)
        ),
        lambda pool, job: (_any_of([stack for stack, _ in job.variant_speeds]), pool.stack or "none"),
    ),
    _Rule(
        "device sharing",
        lambda job: job.devices_milli % WHOLE,
        lambda facts, job: ~facts.shares,
        lambda pool, job: (_devices(job.devices_milli), "only whole devices"),
    ),
    _Rule(
        "engine",
        lambda job: job.capabilities,
        lambda facts, job: facts.where(lambda pool: not pool.capabilities.issuperset(job.capabilities)),
        lambda pool, job: (
            ", ".join(job.capabilities),
            ", ".join(sorted(pool.capabilities)) or "no such capability",
        ),
    ),
    _Rule(
        "site options",
        lambda job: job.options,
        lambda facts, job: facts.where(lambda pool: not _may_choose(pool, job)),
        lambda pool, job: (
            ", ".join(f"{name}={value}" for name, value in job.options),
            ", ".join(f"{name}={'|'.join(values)}" for name, values in pool.job_options) or "none to choose",
        ),
    ),
    _Rule(
        "preemption",
        lambda job: not job.restartable,
        lambda facts, job: facts.where(lambda pool: pool.preempts),
        lambda pool, job: (
            "to run to its end, not being restartable",
            "the centre's own work may preempt it",
        ),
    ),
    _Rule(
        "devices a task",
        None,
        lambda facts, need: facts.devices * WHOLE < need.devices_milli,
        lambda pool, job: (_devices(job.devices_milli), f"{_devices(pool.devices_per_node * WHOLE)} a node"),
    ),
    _Rule(
        "cores a task",
        None,
        lambda facts, need: facts.cores < need.cores_milli,
        lambda pool, job: (_cores(job.cores_milli), f"{_cores(pool.cores_milli_per_node)} a node"),
    ),
    _Rule(
        "memory a task",
        None,
        lambda facts, need: facts.memory < need.memory_bytes,
        lambda pool, job: (
            format_bytes(job.memory_bytes),
            f"{format_bytes(pool.memory_bytes_per_node)} a node",
        ),
    ),
    _Rule(
        "tasks",
        None,
        lambda facts, need: facts.nodes * _tasks_a_node(facts, need) < need.tasks,
        lambda pool, job: (
            f"{_tasks(job.tasks)} at once",
            f"room for {pool.nodes * tasks_a_node(pool, job)} on {pool.nodes} idle nodes",
        ),
    ),
)
CENTRES, DATA = 1, len(CONSTRAINTS) + 1

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

__all__ = [
    "CONSTRAINTS",
    "PoolFacts",
    "PoolKinds",
    "constraint_in_words",
    "failed_by_each",
    "failed_constraints",
    "fits_ever",
    "largest_that_fits",
    "links_by_centres",
    "tasks_a_node",
]
