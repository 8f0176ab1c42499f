"""A made-up province with its jobs: what aim (c) of the scheduling core is measured on.

`province_case(seed, load)` is fixed before any policy is tuned on it. Everything drawn is drawn from the seed; the
load only says in how much time the seed's jobs arrive, so that two loads of one seed have the same province and jobs.
"""

from dataclasses import replace

import numpy as np

from weir.model.problem import refused
from weir.scheduling.inputs import LinkRow, PoolRow
from weir.twin.generators.offered import province_load
from weir.twin.generators.province_demand import Demand, accelerated, cpu_alone
from weir.twin.generators.province_parameters import ProvinceParameters
from weir.twin.generators.province_supply import Supply, draw_supply
from weir.twin.workload import Int64s, Workload

HOUR_MS = 3_600_000
WEEK_H = 168


def province_case(
    seed: int,
    load: float,
    parameters: ProvinceParameters | None = None,
    *,
    source: Workload | None = None,
) -> tuple[Workload, tuple[PoolRow, ...], tuple[LinkRow, ...]]:
    """A workload and the pools (by key) and links of the province that it is offered to.

    `load` is that of the kind that binds, as `offered.province_load` defines and computes it: how full the fullest
    pool would be, on average over the time of submission, if the jobs were divided among the pools as well as can be.
    Accelerators bind; CPU pools are loaded by `cpu_load` of it. The aims are set
    at 0.70, 0.85 and 0.95.
    `source`: a recorded workload whose jobs (user, size, run, limit, time of submission, stretched to the load) take
    the place of the generated accelerator jobs, sizes above eight rounded up to whole nodes of eight and cut off at
    the largest gang; what a log does not say (software stack, data, home) is drawn for its users.

    Job sizes are devices, or cores for CPU jobs; `run_ms` is the time at reference speed (`speed_milli` 1000) on the
    job's own software stack; groups are tenants. Time 0 is a Monday, 0:00. Equal arguments give equal cases. Raises
    ProblemError for a load out of range.
    """
    if not 0 < load <= 10:
        raise refused("load", load, "give the load of the binding kind, above 0, such as 0.85")
    chosen = parameters or ProvinceParameters()
    supply = draw_supply(np.random.default_rng([seed, 1]), chosen)
    accelerators = accelerated(np.random.default_rng([seed, 2]), chosen, supply, source)
    cpu = cpu_alone(np.random.default_rng([seed, 3]), chosen, supply)
    at_once = _workload(chosen, accelerators)
    span_ms = _span_ms(at_once, supply, load)
    full = province_load(_workload(chosen, cpu), supply.pools, supply.links, span_ms=span_ms).load
    if full > load * chosen.cpu_load:
        work = np.cumsum(cpu.size * cpu.run_s)
        cpu = _first(cpu, int(np.searchsorted(work, int(work[-1]) * load * chosen.cpu_load / full)))
    parts = [_workload(chosen, part, span_ms) for part in (accelerators, cpu)]
    together = _joined(f"province-seed-{seed}-load-{load:g}", parts)
    return together, supply.pools, supply.links


def _first(demand: Demand, jobs: int) -> Demand:
    """The first so many jobs, in whole sessions but for the last."""
    sessions = demand.sessions
    kept = slice(0, max(1, jobs))
    return replace(
        demand,
        sessions=replace(
            sessions,
            user=sessions.user[kept],
            program=sessions.program[kept],
            session=sessions.session[kept],
            first=sessions.first[sessions.first < max(1, jobs)],
        ),
        start=demand.start[kept],
        pause_s=demand.pause_s[kept],
        size=demand.size[kept],
        run_s=demand.run_s[kept],
        limit_s=demand.limit_s[kept],
        job_class=demand.job_class[kept],
    )


def _span_ms(at_once: Workload, supply: Supply, load: float) -> int:
    """In how much time these jobs are to arrive for that load."""
    unit = 10**9
    full = province_load(at_once, supply.pools, supply.links, span_ms=unit).load
    # Rounded, so that the last bits of a sum cannot move a job by a second.
    return round(float(f"{full / load:.9g}") * unit / 1_000) * 1_000


def _clock_ms(parameters: ProvinceParameters, demand: Demand, span_ms: int) -> Int64s:
    """When jobs are submitted: their sessions by the traffic of the week, cut to the span."""
    hours = np.arange(-(-span_ms // HOUR_MS) + 1)
    phase = np.cos(2.0 * np.pi * (hours % 24 + 0.5 - parameters.day_peak_h) / 24.0)
    traffic = (1.0 + parameters.day_swing * phase) * np.where(hours % WEEK_H >= 120, parameters.weekend, 1.0)
    passed = np.concatenate(([0.0], np.cumsum(traffic)))
    edges = np.arange(len(passed)) * float(HOUR_MS)
    begin = demand.start * span_ms
    if demand.by_traffic:
        begin = np.interp(demand.start * np.interp(span_ms, edges, passed), passed, edges)
    seconds: Int64s = np.floor(begin / 1_000 + demand.pause_s).astype(np.int64)
    return seconds % max(1, span_ms // 1_000) * 1_000


def _workload(parameters: ProvinceParameters, demand: Demand, span_ms: int = 0) -> Workload:
    """The demand in order of submission (all at once while there is no span)."""
    submit = _clock_ms(parameters, demand, span_ms) if span_ms else np.zeros(len(demand.size), np.int64)
    order = np.argsort(submit, kind="stable")
    user = demand.sessions.user[order]
    used = np.unique(demand.job_class)
    return Workload(
        name=demand.who,
        job=np.arange(1, len(order) + 1),
        submit_ms=submit[order],
        run_ms=demand.run_s[order] * 1_000,
        limit_ms=demand.limit_s[order] * 1_000,
        size=demand.size[order],
        job_class=np.searchsorted(used, demand.job_class[order]),
        user=user,
        group=demand.tenant[user],
        priority=np.zeros(len(order), np.int64),
        classes=tuple(demand.classes[place] for place in used.tolist()),
        users=tuple(f"{demand.who}-{number}" for number in range(demand.sessions.users)),
        groups=tuple(f"tenant-{number:03d}" for number in range(parameters.tenants)),
    )


def _joined(name: str, parts: list[Workload]) -> Workload:
    """All jobs together in order of submission, numbered anew; the groups are the same in all."""

    def column(which: str, offsets: list[int] | None = None) -> Int64s:
        columns: list[Int64s] = [getattr(part, which) for part in parts]
        if offsets is not None:
            columns = [each + offset for each, offset in zip(columns, offsets, strict=True)]
        return np.concatenate(columns)[order]

    order = np.argsort(np.concatenate([part.submit_ms for part in parts]), kind="stable")
    of_class = np.cumsum([0, *(len(part.classes) for part in parts[:-1])]).tolist()
    of_user = np.cumsum([0, *(len(part.users) for part in parts[:-1])]).tolist()
    return Workload(
        name=name,
        job=np.arange(1, len(order) + 1),
        submit_ms=column("submit_ms"),
        run_ms=column("run_ms"),
        limit_ms=column("limit_ms"),
        size=column("size"),
        job_class=column("job_class", of_class),
        user=column("user", of_user),
        group=column("group"),
        priority=column("priority"),
        classes=tuple(job_class for part in parts for job_class in part.classes),
        users=tuple(user for part in parts for user in part.users),
        groups=parts[0].groups,
    )


__all__ = ["province_case"]
