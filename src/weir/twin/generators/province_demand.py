"""The jobs of a made-up province, before it is said when they arrive."""

from dataclasses import dataclass

import numpy as np

from weir.scheduling.inputs import JobClass
from weir.twin.generators.estimates import draw_limits
from weir.twin.generators.people import Floats, Sessions, draw_sessions, likeness, pauses_s
from weir.twin.generators.province_parameters import ProvinceParameters
from weir.twin.generators.province_programs import (
    NODE_DEVICES,
    accelerator_class,
    accelerator_programs,
    cpu_class,
    cpu_programs,
    draw_people,
)
from weir.twin.generators.province_supply import Supply
from weir.twin.workload import Int64s, Workload

SESSION_ENDS_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Demand:
    """Jobs before they have a time: columns, and the classes that they point to."""

    who: str
    """What users are called after."""
    sessions: Sessions
    tenant: Int64s
    """Of each user."""
    start: Floats
    """Of each job's session, from 0 to 1 of the traffic, or of the time."""
    by_traffic: bool
    pause_s: Floats
    size: Int64s
    run_s: Int64s
    limit_s: Int64s
    job_class: Int64s
    classes: tuple[JobClass, ...]


def accelerated(
    rng: np.random.Generator, parameters: ProvinceParameters, supply: Supply, source: Workload | None
) -> Demand:
    pools = [pool for pool in supply.pools if pool.devices_per_node]
    if source is None:
        sessions = draw_sessions(
            rng, max(1, round(parameters.jobs * (1.0 - parameters.cpu_share))), parameters.habits
        )
        size = _by_rank(likeness(rng, sessions, parameters.habits.size_shares), parameters.gangs)
        z = likeness(rng, sessions, parameters.habits.run_shares)
        doublings = np.log2(size)
        log_run = np.log(parameters.run_median_s) + parameters.run_growth * doublings
        run_s = _cut_off(
            rng,
            np.exp(log_run + (parameters.run_spread - parameters.run_narrowing * doublings) * z),
            parameters.longest_run_s,
        )
        start = rng.random(len(sessions.first))[sessions.session]
        pause_s = pauses_s(rng, sessions, parameters.habits)
        limit_s = draw_limits(rng, run_s, sessions.session, parameters.estimates)
        run_s = np.minimum(run_s, limit_s)
    else:
        sessions, order = _recorded_sessions(source)
        largest = max(size for size, _ in parameters.gangs)
        size = np.clip(source.size[order], 1, largest)
        size = np.where(size > NODE_DEVICES, -(-size // NODE_DEVICES) * NODE_DEVICES, size)
        run_s = np.maximum(1, source.run_ms[order] // 1_000)
        limit_s = np.maximum(run_s, source.limit_ms[order] // 1_000)
        span = max(1, int(source.submit_ms[-1] - source.submit_ms[0]))
        start = (source.submit_ms[order] - source.submit_ms[0]) / (span + 1.0)
        pause_s = np.zeros(len(size))
    weights: dict[str, float] = {}
    for pool in pools:
        power = pool.nodes * pool.devices_per_node * pool.speed_milli / 1e3
        weights[pool.stack] = weights.get(pool.stack, 0.0) + power
    people = draw_people(rng, parameters, supply, sessions)
    work = np.bincount(sessions.user, size * run_s, sessions.users).astype(np.float64)
    programs = accelerator_programs(rng, parameters, supply, sessions, people, pools, weights, work)
    # Nobody asks for a larger gang than any pool open to the program has.
    most = np.array([program.most for program in programs])[sessions.program]
    size = np.minimum(size, most)
    base = int(size.max()) + 1
    key, job_class = np.unique(sessions.program * base + size, return_inverse=True)
    classes = [accelerator_class(programs[code // base], code % base) for code in key.tolist()]
    return Demand(
        "user",
        sessions,
        people.tenant,
        start,
        source is None,
        pause_s,
        size,
        run_s,
        limit_s,
        *_merged(job_class, classes),
    )


def cpu_alone(rng: np.random.Generator, parameters: ProvinceParameters, supply: Supply) -> Demand:
    pools = [pool for pool in supply.pools if not pool.devices_per_node]
    sessions = draw_sessions(rng, max(1, round(parameters.jobs * parameters.cpu_share)), parameters.habits)
    size = _by_rank(likeness(rng, sessions, parameters.habits.size_shares), parameters.cpu_cores)
    z = likeness(rng, sessions, parameters.habits.run_shares)
    log_run = np.log(parameters.cpu_run_median_s) + parameters.cpu_run_growth * np.log2(size)
    run_s = _cut_off(rng, np.exp(log_run + parameters.run_spread * z), parameters.longest_run_s)
    limit_s = draw_limits(rng, run_s, sessions.session, parameters.estimates)
    people = draw_people(rng, parameters, supply, sessions)
    weights: dict[str, float] = {}
    for pool in pools:
        power = pool.nodes * pool.cores_milli_per_node * pool.speed_milli / 1e6
        weights[pool.stack] = weights.get(pool.stack, 0.0) + power
    work = np.bincount(sessions.user, size * run_s, sessions.users).astype(np.float64)
    programs = cpu_programs(rng, parameters, supply, sessions, people, pools, weights, work)
    most = np.array([program.most for program in programs])[sessions.program]
    size = np.minimum(size, most)
    base = int(size.max()) + 1
    key, job_class = np.unique(sessions.program * base + size, return_inverse=True)
    classes = [cpu_class(programs[code // base], code % base) for code in key.tolist()]
    start = rng.random(len(sessions.first))[sessions.session]
    return Demand(
        "cpu-user",
        sessions,
        people.tenant,
        start,
        True,
        pauses_s(rng, sessions, parameters.habits),
        size,
        np.minimum(run_s, limit_s),
        limit_s,
        *_merged(job_class, classes),
    )


def _by_rank(z: Floats, weighted: tuple[tuple[int, float], ...]) -> Int64s:
    """The values in their shares, the larger ones to the larger z."""
    share = np.cumsum([weight for _, weight in weighted])
    rank = np.empty(len(z))
    rank[np.argsort(z, kind="stable")] = (np.arange(len(z)) + 0.5) / len(z)
    place = np.minimum(np.searchsorted(share / share[-1], rank), len(weighted) - 1)
    return np.array([value for value, _ in weighted], np.int64)[place]


def _cut_off(rng: np.random.Generator, run_s: Floats, longest_s: int) -> Int64s:
    """Whole seconds from 1 on; what is longer ends anywhere in the second half of the longest time."""
    ends = longest_s * rng.uniform(0.5, 1.0, len(run_s))
    whole: Int64s = np.maximum(1, np.where(run_s > longest_s, ends, run_s)).astype(np.int64)
    return whole


def _merged(job_class: Int64s, classes: list[JobClass]) -> tuple[Int64s, tuple[JobClass, ...]]:
    """Equal classes once."""
    known: dict[JobClass, int] = {}
    of = np.array([known.setdefault(each, len(known)) for each in classes], np.int64)
    return of[job_class], tuple(known)


def _recorded_sessions(source: Workload) -> tuple[Sessions, Int64s]:
    """The users and sessions of a recorded workload, and its jobs in their order.

    A session ends where a user submits nothing for an hour; its program is one of the user's four by its first size.
    """
    order = np.lexsort((np.arange(len(source)), source.user))
    user, submit, size = source.user[order], source.submit_ms[order], source.size[order]
    users, user = np.unique(user, return_inverse=True)
    new = np.ones(len(order), np.bool_)
    new[1:] = (user[1:] != user[:-1]) | (np.diff(submit) > SESSION_ENDS_MS)
    first = np.flatnonzero(new)
    session = np.cumsum(new) - 1
    program = user[first] * 4 + np.minimum(np.log2(np.maximum(size[first], 1)).astype(np.int64) // 2, 3)
    return Sessions(user, program[session], session, first, len(users), len(users) * 4), order


__all__ = ["Demand", "accelerated", "cpu_alone"]
