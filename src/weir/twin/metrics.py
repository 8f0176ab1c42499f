"""What a run amounts to, in the words and by the definitions that the whole project uses.

- wait = start - submit; flow (response time, JCT) = wait + run, where run is what was executed, after the kill rule;
  where jobs are preempted, wait is flow - run. A job that is moved counts at the pool that it was in longest.
- bounded slowdown = max(1, flow / max(run, 10 s)); its plain mean over jobs, with RMS and maximum beside it, because
  the mean alone rewards starvation.
- Percentiles interpolate linearly between the two nearest jobs: with n values in order, the q-th lies at (n - 1) q
  (type 7 of Hyndman and Fan, "Sample Quantiles in Statistical Packages", 1996; what NumPy does unless told otherwise).
- utilisation = sum(run x amount) / (capacity x (last end - first submit)), in accelerators where any job asks for one,
  else in cores; what lies idle on a node that a job has for itself counts as idle.
- fairness: Jain's index (sum x)^2 / (n sum x^2) over the tenants' mean bounded slowdowns, 1 when all fare alike
  (Jain, Chiu and Hawe, DEC-TR-301, 1984), and the tenant that fares worst.

Sums of times and money are taken over integers, exactly; sums of ratios over all jobs are correctly rounded
(`math.fsum`), those of one tenant run in order of submission. Jobs that never started count in nothing but `unstarted`.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weir.scheduling.inputs import PoolRow
from weir.twin.results import Results
from weir.twin.workload import NO_DEADLINE, Int64s

Float64s = NDArray[np.float64]
Booleans = NDArray[np.bool_]

SHORTEST_RUN_MS = 10_000
"""Tau of the bounded slowdown."""
JOULES_PER_KWH = 3_600_000


@dataclass(frozen=True, slots=True)
class Worst:
    """The tenant with the largest mean bounded slowdown (of equal ones the first by name)."""

    tenant: str
    jobs: int
    mean_bounded_slowdown: float


@dataclass(frozen=True, slots=True)
class PoolFigures:
    """One pool over the whole run. `capacity` and `utilisation` are in `unit`: device or core."""

    pool: str
    jobs: int
    unit: str
    capacity: float
    utilisation: float | None
    cost_micro_yuan: int
    energy_kwh: float
    carbon_kg: float


@dataclass(frozen=True, slots=True)
class Measures:
    """The figures of one run; None where no job started."""

    jobs: int
    unstarted: int
    mean_wait_s: float | None
    median_wait_s: float | None
    p95_wait_s: float | None
    p999_wait_s: float | None
    max_wait_s: float | None
    mean_flow_s: float | None
    mean_bounded_slowdown: float | None
    rms_bounded_slowdown: float | None
    max_bounded_slowdown: float | None
    utilisation: float | None
    utilisation_of: str
    """device or core."""
    deadlines: int
    """How many jobs had one."""
    late: int
    """How many of those ended after it, or never."""
    preemptions: int
    """How often a job gave way to one of a higher priority class."""
    makespan_s: float | None
    """Last end - first submit."""
    jain_fairness: float | None
    worst_tenant: Worst | None
    cost_micro_yuan: int
    energy_kwh: float
    carbon_kg: float
    pools: tuple[PoolFigures, ...]


@dataclass(frozen=True, slots=True)
class TenantFigures:
    """Columns by tenant, over those with a job that started."""

    tenant: Int64s
    """Index into the results' `tenants`."""
    jobs: Int64s
    mean_wait_s: Float64s
    mean_bounded_slowdown: Float64s
    occupied_hours: Float64s
    """Processor- or accelerator-hours."""
    cost_micro_yuan: Int64s


@dataclass(frozen=True, slots=True)
class ForecastScore:
    """How good intervals were, at one nominal level, over the jobs that they were issued for."""

    jobs: int
    coverage: float
    """The share of jobs that started within theirs, ends included."""
    mean_width_s: float
    mean_interval_score_s: float
    """Width + 2/(1 - level) x how far outside the start fell; lower is better (Gneiting and Raftery, JASA 2007)."""


def measure(results: Results) -> Measures:
    """All figures of a run."""
    started = results.started
    wait_ms = results.wait_ms[started]
    run_ms = results.run_ms[started]
    slowdown = bounded_slowdown(wait_ms, run_ms)
    tenants = by_tenant(results)
    span_ms = span(results)
    unit = "device" if results.devices_milli[started].any() else "core"
    pools = _pools(results, started, span_ms)
    some = len(wait_ms) > 0
    return Measures(
        jobs=len(results),
        unstarted=int(np.count_nonzero(~started)),
        mean_wait_s=mean_s(wait_ms) if some else None,
        median_wait_s=percentile_s(wait_ms, 500) if some else None,
        p95_wait_s=percentile_s(wait_ms, 950) if some else None,
        p999_wait_s=percentile_s(wait_ms, 999) if some else None,
        max_wait_s=int(wait_ms.max()) / 1_000 if some else None,
        mean_flow_s=mean_s(wait_ms + run_ms) if some else None,
        mean_bounded_slowdown=mean(slowdown) if some else None,
        rms_bounded_slowdown=rms(slowdown) if some else None,
        max_bounded_slowdown=float(slowdown.max()) if some else None,
        utilisation=_utilisation(results, started, unit, span_ms),
        utilisation_of=unit,
        deadlines=_with_deadline(results),
        late=_late(results, started),
        preemptions=0 if results.given_way is None else int(results.given_way.sum()),
        makespan_s=span_ms / 1_000 if some else None,
        jain_fairness=jain(tenants.mean_bounded_slowdown) if some else None,
        worst_tenant=_worst(results, tenants) if some else None,
        cost_micro_yuan=exact_sum(results.cost_micro_yuan),
        energy_kwh=exact_sum(results.energy_joules) / JOULES_PER_KWH,
        carbon_kg=exact_sum(results.carbon_mg) / 1_000_000,
        pools=pools,
    )


def summarise(results: Results, measures: Measures) -> dict[str, Any]:
    """What `--json` prints and `summary.json` begins with."""
    figures = asdict(measures)
    simulated = results.simulated_s
    return {
        "trace": results.trace,
        "policy": results.policy,
        "estimates": results.estimates,
        "tenants": results.tenancy,
        "passes": results.passes,
        "changes": list(results.notes),
        "jobs": figures.pop("jobs"),
        "unstarted": figures.pop("unstarted"),
        "jobs_per_second": measures.jobs / simulated if simulated > 0 else None,
        "simulated_seconds": simulated,
        "read_seconds": results.read_s,
        "peak_rss_bytes": results.peak_rss_bytes,
        "machine": sum(capacity_milli(row, measures.utilisation_of) for row in results.pools) / 1_000,
        **figures,
    }


def bounded_slowdown(wait_ms: Int64s, run_ms: Int64s) -> Float64s:
    """max(1, (wait + run) / max(run, 10 s)) of each job."""
    ratios: Float64s = np.maximum(1.0, (wait_ms + run_ms) / np.maximum(run_ms, SHORTEST_RUN_MS))
    return ratios


def mean_s(values_ms: Int64s) -> float:
    """The mean in seconds, from an exact sum; needs at least one value."""
    return exact_sum(values_ms) / (1_000 * len(values_ms))


def percentile_s(values_ms: Int64s, thousandths: int) -> float:
    """The percentile in seconds, exact up to the last division; 950 is the 95th. Needs at least one value."""
    position, rest = divmod((len(values_ms) - 1) * thousandths, 1_000)
    following = min(position + 1, len(values_ms) - 1)
    ordered = np.partition(values_ms, (position, following))
    low, high = int(ordered[position]), int(ordered[following])
    return (low * (1_000 - rest) + high * rest) / 1_000_000


def mean(values: Float64s) -> float:
    """The mean of ratios, whatever their order; needs at least one."""
    return math.fsum(values.tolist()) / len(values)


def rms(values: Float64s) -> float:
    """The root of the mean square."""
    return math.sqrt(math.fsum((values * values).tolist()) / len(values))


def jain(values: Float64s) -> float:
    """Jain's index: 1 when all are equal, 1/n when one has everything. Values are positive."""
    total = math.fsum(values.tolist())
    return total * total / (len(values) * math.fsum((values * values).tolist()))


def span(results: Results) -> int:
    """Last end - first submit in milliseconds, over the jobs that started; 0 without any."""
    started = results.started
    if not started.any():
        return 0
    return int(results.end_ms[started].max() - results.submit_ms[started].min())


def by_tenant(results: Results) -> TenantFigures:
    """How each tenant fared, in the order of the results' tenants."""
    started = results.started
    tenant = results.tenant[started]
    run_ms = results.run_ms[started]
    wait_ms = results.wait_ms[started]
    # Stable, so that each tenant's sums run over its jobs in order of submission.
    order = np.argsort(tenant, kind="stable")
    present, first, count = np.unique(tenant[order], return_index=True, return_counts=True)

    def sums(values: Any) -> Any:
        return np.add.reduceat(values[order], first) if len(first) else values[:0]

    occupied = run_ms / 3_600_000 * results.size[started]
    return TenantFigures(
        tenant=present.astype(np.int64),
        jobs=count.astype(np.int64),
        mean_wait_s=sums(wait_ms) / (1_000 * np.maximum(count, 1)),
        mean_bounded_slowdown=sums(bounded_slowdown(wait_ms, run_ms)) / np.maximum(count, 1),
        occupied_hours=sums(occupied),
        cost_micro_yuan=sums(results.cost_micro_yuan[started]),
    )


def score_forecast(low_ms: Int64s, high_ms: Int64s, start_ms: Int64s, level: float) -> ForecastScore:
    """Score intervals [low, high] of nominal level 0 < level < 1 against the starts that came; needs one job."""
    outside_ms = np.maximum(low_ms - start_ms, 0) + np.maximum(start_ms - high_ms, 0)
    width_s = mean_s(high_ms - low_ms)
    return ForecastScore(
        jobs=len(start_ms),
        coverage=int(np.count_nonzero(outside_ms == 0)) / len(start_ms),
        mean_width_s=width_s,
        mean_interval_score_s=width_s + 2 / (1 - level) * mean_s(outside_ms),
    )


def exact_sum(values: Int64s) -> int:
    """The sum, as large as it may be."""
    high, low = values >> 32, values & 0xFFFF_FFFF
    return (int(high.sum()) << 32) + int(low.sum())


def amount_milli(results: Results, unit: str) -> Int64s:
    """What each job occupies, in thousandths of a device or core."""
    return results.devices_milli if unit == "device" else results.cores_milli


def pool_unit(results: Results, index: int) -> str:
    """Device where the pool has accelerators and some job there asks for one, else core."""
    there = results.pool == index
    return (
        "device" if results.pools[index].devices_per_node and results.devices_milli[there].any() else "core"
    )


def capacity_milli(pool: PoolRow, unit: str) -> int:
    """What a pool has, in thousandths of a device or core."""
    return pool.nodes * (1_000 * pool.devices_per_node if unit == "device" else pool.cores_milli_per_node)


def _with_deadline(results: Results) -> int:
    return 0 if results.deadline_ms is None else int(np.count_nonzero(results.deadline_ms < NO_DEADLINE))


def _late(results: Results, started: Booleans) -> int:
    if results.deadline_ms is None:
        return 0
    missed = (results.end_ms > results.deadline_ms) | ~started
    return int(np.count_nonzero(missed & (results.deadline_ms < NO_DEADLINE)))


def _utilisation(results: Results, which: Booleans, unit: str, span_ms: int) -> float | None:
    capacity = sum(capacity_milli(row, unit) for row in results.pools)
    run_ms = results.run_ms[which]
    return _ratio(exact_sum(run_ms * amount_milli(results, unit)[which]), capacity * span_ms)


def _pools(results: Results, started: Booleans, span_ms: int) -> tuple[PoolFigures, ...]:
    run_ms = np.where(started, results.run_ms, 0)
    order = np.argsort(results.pool, kind="stable")
    bounds = np.searchsorted(results.pool[order], np.arange(len(results.pools) + 1))
    figures = []
    for index, row in enumerate(results.pools):
        rows = order[bounds[index] : bounds[index + 1]]
        unit = "device" if row.devices_per_node and results.devices_milli[rows].any() else "core"
        capacity = capacity_milli(row, unit)
        occupied = exact_sum(run_ms[rows] * amount_milli(results, unit)[rows])
        figures.append(
            PoolFigures(
                pool=row.key,
                jobs=len(rows),
                unit=unit,
                capacity=capacity / 1_000,
                utilisation=_ratio(occupied, capacity * span_ms),
                cost_micro_yuan=exact_sum(results.cost_micro_yuan[rows]),
                energy_kwh=exact_sum(results.energy_joules[rows]) / JOULES_PER_KWH,
                carbon_kg=exact_sum(results.carbon_mg[rows]) / 1_000_000,
            )
        )
    return tuple(figures)


def _worst(results: Results, tenants: TenantFigures) -> Worst:
    worst = tenants.mean_bounded_slowdown.max()
    equal = np.flatnonzero(tenants.mean_bounded_slowdown == worst)
    at = min(equal, key=lambda each: results.tenants[tenants.tenant[each]])
    return Worst(results.tenants[tenants.tenant[at]], int(tenants.jobs[at]), float(worst))


def _ratio(occupied: int, available: int) -> float | None:
    return occupied / available if available > 0 else None


__all__ = [
    "ForecastScore",
    "Measures",
    "PoolFigures",
    "TenantFigures",
    "Worst",
    "amount_milli",
    "bounded_slowdown",
    "by_tenant",
    "capacity_milli",
    "exact_sum",
    "jain",
    "mean",
    "mean_s",
    "measure",
    "percentile_s",
    "rms",
    "score_forecast",
    "span",
    "summarise",
]
