"""The users of a made-up province and their programs: where these can run, how fast, with what data and wishes."""

from dataclasses import dataclass

import numpy as np

from weir.scheduling.inputs import JobClass, PoolRow
from weir.twin.generators.people import Floats, Sessions, ranked
from weir.twin.generators.province_parameters import ProvinceParameters
from weir.twin.generators.province_supply import GIB, Supply
from weir.twin.workload import Int64s

NODE_DEVICES = 8
TASK_CORES = 32
DEVICE_CORES = 8
DEVICE_MEMORY = 32 * GIB
"""Of a node's cores and memory, what goes with each device; every node model has as much."""


@dataclass(frozen=True, slots=True)
class People:
    """What each user is and wants, as columns over users."""

    tenant: Int64s
    home: Int64s
    preference: Int64s
    domestic: np.ndarray


def draw_people(
    rng: np.random.Generator, parameters: ProvinceParameters, supply: Supply, sessions: Sessions
) -> People:
    users = sessions.users
    shares = np.cumsum([share for share, *_ in parameters.preferences])
    return People(
        tenant=ranked(rng, parameters.tenants, 0.9, users),
        home=ranked(rng, len(supply.homes), parameters.city_weight, users),
        preference=np.minimum(
            np.searchsorted(shares, rng.random(users) * shares[-1], side="right"), len(shares) - 1
        ),
        domestic=rng.random(users) < parameters.domestic,
    )


@dataclass(frozen=True, slots=True)
class Program:
    """What all jobs of one program have in common."""

    variants: tuple[tuple[str, int], ...]
    memory: int
    """Of a device, for programs that need more; of a core, for CPU programs."""
    domestic: bool
    data: tuple[tuple[str, int], ...]
    weights: tuple[int, int, int]
    most: int
    """Devices, or cores, of the largest job that some pool holds."""


def accelerator_programs(
    rng: np.random.Generator,
    parameters: ProvinceParameters,
    supply: Supply,
    sessions: Sessions,
    people: People,
    pools: list[PoolRow],
    weights: dict[str, float],
    work: Floats,
) -> list[Program]:
    domestic = {pool.stack for pool in pools if pool.domestic}
    stacks = sorted(weights)
    capacity = np.array([weights[stack] for stack in stacks])
    home_made = np.array([stack in domestic for stack in stacks])
    own = people.domestic & home_made.any()
    open_to = np.where(own[:, None], home_made[None, :], True)
    first = _spread(
        rng, capacity * np.exp(parameters.stack_noise * rng.standard_normal(len(stacks))), open_to, work
    )
    bound = rng.random(sessions.users) < parameters.native
    orders = _preferred(rng, np.where(open_to, capacity, 0.0), first)
    programs = sessions.programs
    other_stacks = rng.integers(1, parameters.most_stacks, programs)
    speeds = _steps(rng.uniform(*parameters.ported, (programs, len(stacks))))
    large = rng.random(programs) < parameters.large_memory
    data_gib = _data_gib(rng, parameters, programs)
    large_bytes = parameters.large_memory_gib * GIB
    found: list[Program] = []
    reach: dict[tuple[frozenset[str], int], int] = {}
    users_of = programs // max(1, sessions.users)
    for number in range(programs):
        user = number // users_of
        order = [place for place in orders[user] if open_to[user, place]]
        count = 1 if bound[user] else 1 + int(other_stacks[number])
        variants = tuple(
            sorted(
                (stacks[place], 1_000 if rank == 0 else int(speeds[number, place]))
                for rank, place in enumerate(order[:count])
            )
        )
        names = frozenset(stack for stack, _ in variants)
        memory = large_bytes if large[number] else 0
        if not _most_devices(pools, names, memory, reach):
            memory = 0
        found.append(
            Program(
                variants,
                memory,
                bool(own[user]),
                _data(supply, people.home[user], data_gib[number]),
                parameters.preferences[people.preference[user]][1:],
                _most_devices(pools, names, memory, reach),
            )
        )
    return found


def cpu_programs(
    rng: np.random.Generator,
    parameters: ProvinceParameters,
    supply: Supply,
    sessions: Sessions,
    people: People,
    pools: list[PoolRow],
    weights: dict[str, float],
    work: Floats,
) -> list[Program]:
    stacks = sorted(weights)
    capacity = np.array([weights[stack] for stack in stacks])
    open_to = np.ones((sessions.users, len(stacks)), np.bool_)
    orders = _preferred(rng, np.broadcast_to(capacity, open_to.shape), _spread(rng, capacity, open_to, work))
    bound = rng.random(sessions.users) < parameters.cpu_native
    programs = sessions.programs
    speeds = _steps(rng.uniform(*parameters.ported, (programs, len(stacks))))
    data_gib = _data_gib(rng, parameters, programs)
    memory = np.where(rng.random(programs) < 0.5, 2 * GIB, 4 * GIB)
    most = {
        stack: max(
            pool.nodes * (pool.cores_milli_per_node // (TASK_CORES * 1_000)) * TASK_CORES
            for pool in pools
            if pool.stack == stack
        )
        for stack in stacks
    }
    found: list[Program] = []
    users_of = programs // max(1, sessions.users)
    for number in range(programs):
        user = number // users_of
        order = orders[user][:1] if bound[user] else orders[user]
        variants = tuple(
            sorted(
                (stacks[place], 1_000 if rank == 0 else int(speeds[number, place]))
                for rank, place in enumerate(order)
            )
        )
        found.append(
            Program(
                variants,
                int(memory[number]),
                False,
                _data(supply, people.home[user], data_gib[number]),
                parameters.preferences[people.preference[user]][1:],
                max(most[stack] for stack, _ in variants),
            )
        )
    return found


def accelerator_class(program: Program, devices: int) -> JobClass:
    """Up to eight devices are one task on one node; more are tasks of eight, on whole nodes."""
    tasks = max(1, devices // NODE_DEVICES)
    each = min(devices, NODE_DEVICES)
    time, money, carbon = program.weights
    return JobClass(
        tasks=tasks,
        devices_milli=each * 1_000,
        cores_milli=each * DEVICE_CORES * 1_000,
        memory_bytes=each * DEVICE_MEMORY,
        device_memory_bytes=program.memory,
        domestic=program.domestic,
        variant_speeds=program.variants,
        data=program.data,
        weight_time=time,
        weight_money=money,
        weight_carbon=carbon,
    )


def cpu_class(program: Program, cores: int) -> JobClass:
    """Up to 64 cores are one task; more are tasks of 32, which fit every node model well."""
    tasks = 1 if cores <= 2 * TASK_CORES else cores // TASK_CORES
    each = cores // tasks
    time, money, carbon = program.weights
    return JobClass(
        tasks=tasks,
        devices_milli=0,
        cores_milli=each * 1_000,
        memory_bytes=each * program.memory,
        variant_speeds=program.variants,
        data=program.data,
        weight_time=time,
        weight_money=money,
        weight_carbon=carbon,
    )


def _most_devices(
    pools: list[PoolRow],
    stacks: frozenset[str],
    memory: int,
    known: dict[tuple[frozenset[str], int], int],
) -> int:
    """Devices of the largest gang that some pool of these stacks holds, a power of two; 0 where none has the memory.

    Pools of four devices a node hold no task of eight.
    """
    if (stacks, memory) not in known:
        sizes = [
            pool.nodes * NODE_DEVICES if pool.devices_per_node >= NODE_DEVICES else pool.devices_per_node
            for pool in pools
            if pool.stack in stacks and pool.device_memory_bytes >= memory
        ]
        largest = max(sizes, default=0)
        known[stacks, memory] = 1 << (largest.bit_length() - 1) if largest else 0
    return known[stacks, memory]


def _spread(rng: np.random.Generator, capacity: Floats, open_to: np.ndarray, work: Floats) -> list[int]:
    """A first choice among the stacks for each user, so that work is spread by capacity.

    Centres were built for the work that there is. The users of most work choose first, each by what the stacks open
    to it still lack, and only among those that lack as much as it brings, where there are any.
    """
    lacking = capacity / capacity.sum() * work.sum()
    chosen = [0] * len(work)
    draws = rng.random(len(work)).tolist()
    for user in np.argsort(-work, kind="stable").tolist():
        room = np.where(open_to[user], np.maximum(lacking, 0.0), 0.0)
        wide = np.where(room >= work[user], room, 0.0)
        likely = wide if wide.any() else room if room.any() else np.where(open_to[user], capacity, 0.0)
        total = np.cumsum(likely)
        chosen[user] = min(int(np.searchsorted(total, draws[user] * total[-1], side="right")), len(total) - 1)
        lacking[chosen[user]] -= work[user]
    return chosen


def _preferred(rng: np.random.Generator, weights: Floats, first: list[int]) -> list[list[int]]:
    """For each user all stacks: the first choice, then the others as drawn without replacement by weight."""
    races = rng.exponential(1.0, weights.shape) / np.maximum(weights, 1e-12)
    races[np.arange(len(first)), first] = -1.0
    order: list[list[int]] = np.argsort(races, axis=1).tolist()
    return order


def _steps(speeds: Floats) -> Int64s:
    steps: Int64s = (np.round(speeds * 20) * 50).astype(np.int64)
    return steps


def _data_gib(rng: np.random.Generator, parameters: ProvinceParameters, programs: int) -> list[int]:
    drawn = rng.lognormal(np.log(parameters.data_median_gib), parameters.data_spread, programs)
    size = 2.0 ** np.round(np.log2(np.clip(drawn, 1.0, parameters.most_data_gib)))
    some = np.where(rng.random(programs) < parameters.with_data, size, 0.0)
    whole: list[int] = some.astype(np.int64).tolist()
    return whole


def _data(supply: Supply, home: int, gib: int) -> tuple[tuple[str, int], ...]:
    return ((supply.homes[home], gib * GIB),) if gib else ()


__all__ = [
    "NODE_DEVICES",
    "People",
    "Program",
    "accelerator_class",
    "accelerator_programs",
    "cpu_class",
    "cpu_programs",
    "draw_people",
]
