"""How far the core's plans are from the best ones, on instances so small that HiGHS finds the best.

`python -m bench exact` draws thousands of instances: up to 4 unlike pools that are partly busy, up to 12 jobs that
wait at one instant, everything running to its limit and nothing else coming.

**What is compared** is the cycle's own score, summed over the jobs: what the core's compiled code gives a job at the
pool where it goes (time until its end, money and carbon, weighed by the job), and what the time that it waits is worth
by the same rate. The core's plan is what `weir` does from that instant on: its starts, its promises, then the rest.

**Exact** is the least such sum over all ways to share the jobs out between the pools, where every pool serves its jobs
in the policy's order, each from the first instant on at which it fits beside those before it. That is the rule of a
cycle: nothing behind a job in order may delay it. What order is best is no question here; it is the policy's and
serves tenants, not this sum. HiGHS chooses one set of jobs for each pool (set partitioning); sets that cannot be part
of a plan as good as a known one are left out beforehand, which excludes no better plan. `weir` promises a start to the
first job of a pool alone, and may delay others behind it for a shorter one; so it can come out below the exact sum.

**Now or later alike** is one pass by hand: in order, each job takes the pool where its score is best if it waits there
as long as it must. It shows how much of the core's gap comes from starting at once wherever there is room.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import highspy
import numpy as np

from bench.figure import Figure
from weir.scheduling import Policy, SimulatedJobs, State, explain, lanes, simulate, step
from weir.scheduling.compilation import kernel_of
from weir.scheduling.inputs import Changes, JobClass, LinkRow, PoolRow, QueuedJobs
from weir.scheduling.policies import NAMED
from weir.scheduling.simulated import rates_of

INSTANCES = 2_000
MOST_JOBS, MOST_POOLS = 12, 4
HOUR_MS, MINUTE_MS = 3_600_000, 60_000
NOW_MS = 72 * HOUR_MS
NODE_MODELS = ((1_000, 8.0), (1_150, 9.0), (2_250, 20.0), (750, 10.0), (650, 2.4), (950, 6.5))
"""Speed in thousandths and yuan an hour: of the accelerators that the province generator has most of."""
PREFERENCES = (
    ((1_000, 1_000, 0), 0.6),
    ((3_000, 1_000, 0), 0.15),
    ((1_000, 3_000, 0), 0.2),
    ((1_000, 1_000, 1_000), 0.05),
)
"""Weights of time, money and carbon, and how often: as the province generator's users have them."""


@dataclass(frozen=True, slots=True)
class Job:
    """One that waits: `job_class.tasks` whole nodes for at most `limit_ms` at nominal speed."""

    job_class: JobClass
    limit_ms: int
    submitted_ms: int


@dataclass(frozen=True, slots=True)
class Instance:
    """Pools of one-device nodes, what runs there as (nodes, end in ms), and what waits at NOW_MS."""

    pools: tuple[PoolRow, ...]
    running: tuple[tuple[tuple[int, int], ...], ...]
    jobs: tuple[Job, ...]
    links: tuple[LinkRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Options:
    """What a job may do: a row for each job in the policy's order, a column for each pool; micro-yuan and ms."""

    order: tuple[int, ...]
    score: list[list[int]]
    """Started at once; -1 where it cannot go."""
    run_ms: list[list[int]]
    need: list[int]
    hour: list[int]
    """What an hour of waiting adds."""


@dataclass(frozen=True, slots=True)
class Found:
    """Of one instance, in micro-yuan: the core's sum, that of now or later alike, and the exact one."""

    core: int
    alike: int
    exact: int


def drawn(random: np.random.Generator) -> Instance:
    """An instance: 1 to 4 pools of 4 to 16 nodes, 4 to 12 jobs of 1, 2, 4 or 8 nodes and half an hour to 8 hours."""
    count = int(random.integers(1, MOST_POOLS + 1))
    pools, running = [], []
    for place in range(count):
        speed, price = NODE_MODELS[random.integers(len(NODE_MODELS))]
        nodes = int(random.integers(4, 17))
        asked = round(price * random.uniform(0.7, 1.3) * 1e6)
        pools.append(_pool(place, nodes, speed, asked, int(random.integers(450, 750))))
        busy, left = [], nodes
        while left and random.random() < 0.8:
            need = min(left, 1 << int(random.integers(0, 4)))
            busy.append((need, NOW_MS + int(random.integers(1, 721)) * MINUTE_MS))
            left -= need
        running.append(tuple(busy))
    jobs = []
    for _ in range(int(random.integers(4, MOST_JOBS + 1))):
        need = min(1 << int(random.integers(0, 4)), max(row.nodes for row in pools))
        open_to = [place for place in range(count) if pools[place].nodes >= need]
        if random.random() < 0.5:
            open_to = sorted(random.choice(open_to, int(random.integers(1, len(open_to) + 1)), replace=False))
        time, money, carbon = PREFERENCES[
            random.choice(len(PREFERENCES), p=[share for _, share in PREFERENCES])
        ][0]
        job_class = JobClass(
            tasks=need, devices_milli=1_000, cores_milli=1_000, memory_bytes=0,
            centres=tuple(pools[place].centre for place in open_to),
            weight_time=time, weight_money=money, weight_carbon=carbon,
        )  # fmt: skip
        limit = int(random.integers(30, 481)) * MINUTE_MS
        jobs.append(Job(job_class, limit, NOW_MS - int(random.integers(1, 1_441)) * MINUTE_MS))
    return Instance(tuple(pools), tuple(running), tuple(jobs))


def compared(instance: Instance, policy: Policy) -> Found:
    """All three sums of one instance."""
    options = options_of(instance, policy)
    alike = in_order(instance, options)
    return Found(core_sum(instance, options, policy), alike, exact_sum(instance, options, alike))


def options_of(instance: Instance, policy: Policy) -> Options:
    """The policy's order, and scores and run times as the core's compiled code gives them."""
    table = np.zeros(len(instance.jobs), lanes.JOB)
    for slot, job in enumerate(instance.jobs):
        table[slot]["job"], table[slot]["submitted"] = slot, job.submitted_ms
        table[slot]["expected"], table[slot]["need"] = job.limit_ms, job.job_class.tasks
    whole = max(row.nodes for row in instance.pools)
    kernel_of("scheduling", "forecast").keys_now(rates_of(policy, policy.order, whole), table, NOW_MS)
    order = tuple(np.lexsort((table["job"], table["key"])).tolist())

    # Nothing starts while all pools are closed; the core still says what each would be worth.
    closed = tuple(replace(row, closed_because="asked only") for row in instance.pools)
    state = State.empty(Policy(time_micro_yuan_per_hour=policy.time_micro_yuan_per_hour))
    queued = tuple(
        QueuedJobs(
            job.job_class, *(np.array([each], np.int64) for each in (slot, 0, job.submitted_ms, job.limit_ms))
        )
        for slot, job in enumerate(instance.jobs)
    )
    state, _ = step(state, Changes(pools=closed, links=instance.links, queued=queued), NOW_MS)
    score, run_ms = [], []
    for slot in order:
        found = explain(state, slot)
        assert found is not None
        terms = {reason.pool: reason.terms for reason in found.pools}
        rows = [terms[pool.key] for pool in instance.pools]
        score.append([-1 if each is None else each.score for each in rows])
        run_ms.append([0 if each is None else each.run_ms for each in rows])
    jobs = [instance.jobs[slot] for slot in order]
    return Options(
        order, score, run_ms, [job.job_class.tasks for job in jobs],
        [policy.time_micro_yuan_per_hour * job.job_class.weight_time // 1_000 for job in jobs],
    )  # fmt: skip


def core_sum(instance: Instance, options: Options, policy: Policy) -> int:
    """What the core does: at NOW_MS whatever kept the pools full until then ends, and one pass is made over all."""
    rows: list[tuple[int, JobClass, int, int]] = []
    for place, (pool, busy) in enumerate(zip(instance.pools, instance.running, strict=True)):
        free = pool.nodes - sum(need for need, _ in busy)
        for need, end in (*busy, *([(free, NOW_MS)] if free else [])):
            held = JobClass(need, 1_000, 1_000, 0, centres=(instance.pools[place].centre,))
            # At the pool's speed it ends when it should.
            rows.append((0, held, end * pool.speed_milli // 1_000, -1))
    rows += [(job.submitted_ms, job.job_class, job.limit_ms, slot) for slot, job in enumerate(instance.jobs)]
    rows.sort(key=lambda row: (row[0], row[3]))
    classes = tuple(dict.fromkeys(row[1] for row in rows))
    number = {each: place for place, each in enumerate(classes)}
    nobody = np.zeros(len(rows), np.int64)
    limit = np.array([row[2] for row in rows], np.int64)
    work = SimulatedJobs(
        submitted_ms=np.array([row[0] for row in rows], np.int64),
        run_ms=limit, limit_ms=limit,
        job_class=np.array([number[row[1]] for row in rows], np.int64),
        classes=classes, tenant=nobody, user=nobody, group=nobody, priority=nobody,
    )  # fmt: skip
    outcome = simulate(instance.pools, instance.links, work, policy)
    rank = {slot: place for place, slot in enumerate(options.order)}
    total = 0
    for (_, _, _, slot), start, pool in zip(
        rows, outcome.start_ms.tolist(), outcome.pool.tolist(), strict=True
    ):
        if slot >= 0:
            total += _worth(options, rank[slot], pool, start)
    return total


def in_order(instance: Instance, options: Options) -> int:
    """Now or later alike: in order, each job where its score is best with what its wait there is worth."""
    profiles = [
        _profile(pool.nodes, busy) for pool, busy in zip(instance.pools, instance.running, strict=True)
    ]
    total = 0
    for job, need in enumerate(options.need):
        best = None
        for pool, profile in enumerate(profiles):
            if options.score[job][pool] >= 0:
                start = _earliest(profile, need, options.run_ms[job][pool])
                worth = _worth(options, job, pool, start)
                best = min(best or (worth, pool, start), (worth, pool, start))
        assert best is not None
        worth, pool, start = best
        profiles[pool] = _with(profiles[pool], start, start + options.run_ms[job][pool], need)
        total += worth
    return total


def exact_sum(instance: Instance, options: Options, known: int) -> int:
    """The least sum, by HiGHS. known: that of some plan in order, which the least one cannot exceed."""
    jobs = len(options.need)
    alone = [min(worth for worth in row if worth >= 0) for row in options.score]
    columns: list[tuple[int, int, int]] = []
    for pool, (row, busy) in enumerate(zip(instance.pools, instance.running, strict=True)):
        _sets(options, pool, _profile(row.nodes, busy), known, sum(alone), alone, columns)
    cost, pools, sets = (np.array(column, np.int64) for column in zip(*columns, strict=True))
    chosen = (sets[:, None] >> np.arange(jobs)) & 1
    matrix = np.hstack([chosen, np.eye(len(instance.pools), dtype=np.int64)[pools]])
    rows = np.nonzero(matrix)[1]
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = len(cost), jobs + len(instance.pools)
    model.col_cost_, model.col_lower_, model.col_upper_ = cost / 1e6, np.zeros(len(cost)), np.ones(len(cost))
    # Each job is in one set, and each pool has at most one.
    model.row_lower_ = np.array([1.0] * jobs + [0.0] * len(instance.pools))
    model.row_upper_ = np.ones(model.num_row_)
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_ = np.concatenate([[0], np.cumsum(matrix.sum(axis=1))])
    model.a_matrix_.index_, model.a_matrix_.value_ = rows, np.ones(len(rows))
    model.integrality_ = [highspy.HighsVarType.kInteger] * len(cost)
    solver: Any = highspy.Highs()  # type: ignore[no-untyped-call]  # it ships types for some of its parts
    for option, value in (("output_flag", False), ("threads", 1), ("random_seed", 1), ("mip_rel_gap", 0.0)):
        solver.setOptionValue(option, value)
    solver.passModel(model)
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        raise RuntimeError(f"HiGHS ended with {solver.getModelStatus()}")
    taken = np.array(solver.getSolution().col_value) > 0.5
    return int(cost[taken].sum())


def measure(seed: int) -> Sequence[Figure]:
    """The gaps of `weir` over INSTANCES, and what of them is due to starting wherever there is room."""
    return figures(found_of(seed, INSTANCES))


def found_of(seed: int, instances: int) -> list[Found]:
    """So many instances of one seed."""
    random = np.random.default_rng(seed)
    return [compared(drawn(random), NAMED["weir"]) for _ in range(instances)]


def figures(found: Sequence[Found]) -> list[Figure]:
    """Median and 99th percentile of what the core's sum, and that of now or later alike, is above the exact one."""
    exact = np.array([each.exact for each in found])
    gap = 100 * (np.array([each.core for each in found]) / exact - 1)
    alike = 100 * (np.array([each.alike for each in found]) / exact - 1)
    over = f"over {len(found):,} instances of at most {MOST_JOBS} jobs and {MOST_POOLS} pools"
    spread = ", ".join(f"p{share} {np.percentile(gap, share):.1f}" for share in (10, 75, 90, 95))
    below = 100 * float((gap < 0).mean())
    return [
        Figure(
            "exact: median gap of weir",
            float(np.median(gap)),
            "%",
            f"{over}; {spread}; {below:.0f} % below 0",
        ),
        Figure(
            "exact: p99 gap of weir", float(np.percentile(gap, 99)), "%", f"{over}; mean {gap.mean():.1f}"
        ),
        Figure("exact: median gap, now or later alike", float(np.median(alike)), "%", over),
        Figure("exact: p99 gap, now or later alike", float(np.percentile(alike, 99)), "%", over),
    ]


_Profile = tuple[list[int], list[int]]
"""From each time on, so many nodes are free."""


def _profile(nodes: int, busy: Sequence[tuple[int, int]]) -> _Profile:
    profile: _Profile = ([NOW_MS], [nodes])
    for need, end in busy:
        profile = _with(profile, NOW_MS, end, need)
    return profile


def _with(profile: _Profile, begin: int, end: int, need: int) -> _Profile:
    times, free = list(profile[0]), list(profile[1])
    for time in (begin, end):
        at = bisect_right(times, time) - 1
        if times[at] != time:
            times.insert(at + 1, time)
            free.insert(at + 1, free[at])
    for at in range(times.index(begin), times.index(end)):
        free[at] -= need
    return times, free


def _earliest(profile: _Profile, need: int, run_ms: int) -> int:
    times, free = profile
    begin = times[0]
    for at, time in enumerate(times):
        if time >= begin + run_ms:
            break
        if free[at] < need:
            begin = times[at + 1]  # at the end everything is free
    return begin


def _worth(options: Options, job: int, pool: int, start_ms: int) -> int:
    return options.score[job][pool] + options.hour[job] * (start_ms - NOW_MS) // HOUR_MS


def _sets(
    options: Options, pool: int, profile: _Profile, known: int, least: int, alone: Sequence[int],
    columns: list[tuple[int, int, int]],
) -> None:  # fmt: skip
    """Append (sum, pool, set of jobs as bits) of every set that the pool may serve in a plan no worse than `known`."""
    # (next job, its set so far, sum, the least that any plan with this set comes to, profile)
    open_ = [(0, 0, 0, least, profile)]
    while open_:
        first, chosen, total, bound, before = open_.pop()
        if chosen:
            columns.append((total, pool, chosen))
        for job in range(first, len(options.need)):
            if options.score[job][pool] < 0:
                continue
            start = _earliest(before, options.need[job], options.run_ms[job][pool])
            worth = _worth(options, job, pool, start)
            lower = bound + worth - alone[job]
            if lower <= known:
                after = _with(before, start, start + options.run_ms[job][pool], options.need[job])
                open_.append((job + 1, chosen | 1 << job, total + worth, lower, after))


def _pool(place: int, nodes: int, speed_milli: int, price_micro_yuan: int, carbon_g_per_kwh: int) -> PoolRow:
    return PoolRow(
        key=f"centre-{place}/pool", centre=f"centre-{place}", city="", kind="intelligent", device_model="",
        stack="", domestic=False, device_memory_bytes=0, precisions=(), nodes=nodes, devices_per_node=1,
        cores_milli_per_node=1_000, memory_bytes_per_node=0, shares=False, speed_milli=speed_milli,
        device_hour_micro_yuan=price_micro_yuan, core_hour_micro_yuan=0, carbon_g_per_kwh=carbon_g_per_kwh,
        device_power_watts=350,
    )  # fmt: skip


__all__ = [
    "Found",
    "Instance",
    "Job",
    "compared",
    "drawn",
    "exact_sum",
    "figures",
    "found_of",
    "in_order",
    "measure",
    "options_of",
]
