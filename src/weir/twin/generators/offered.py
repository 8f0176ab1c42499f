"""How much work a province is offered: which pools bind, and by how much.

A province of unlike pools has no one load. What limits it is the set of pools that the jobs which can run nowhere
else fill most. So the load is that of the fullest pool under the best division of the jobs among the pools that they
may run in, work being counted at the speed that it has there: the static planning problem of queueing networks
(J. M. Harrison, M. J. Lopez, "Heavy traffic resource pooling in parallel-server systems", Queueing Systems 33, 1999).
Below 1 some way of scheduling could keep up with it; above 1 none can, however clever.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from weir.scheduling.eligibility import PoolFacts, failed_constraints
from weir.scheduling.inputs import JobClass, LinkRow, PoolRow
from weir.scheduling.moving import links_by_centres
from weir.twin.generators.people import Floats
from weir.twin.workload import Workload

PRECISION = 0.002
MOST_ROUNDS = 3_000
BINDS = (0.99, 0.02)
"""A pool binds where it is filled to at least this part of the fullest, and where its share of the prices that prove
the bound is at least this part of the largest."""


@dataclass(frozen=True, slots=True)
class OfferedLoad:
    """The load of the binding kind, with its proof from both sides (they are some thousandths apart)."""

    load: float
    """Of the fullest pool, when the jobs are divided as well as was found. Time goes by submission."""
    at_least: float
    """No division does better than this."""
    binding: str
    """The pools that bind, by kind of centre and software stack, such as "intelligent (cann, cuda)"."""
    pools: tuple[str, ...]
    """Their keys."""
    nowhere: int = 0
    """Jobs that fit into no pool; they count nothing."""


def province_load(
    workload: Workload,
    pools: Sequence[PoolRow],
    links: Sequence[LinkRow],
    *,
    span_ms: int = 0,
) -> OfferedLoad:
    """The offered load of the kind of pools that binds.

    A job's work in a pool is its run time there (at the pool's speed and the job's own on that software stack) times
    the share of the pool's nodes that it takes, by the resource of which it takes most. Closed pools count nothing.
    `span_ms` is the time in which the work arrives; 0 takes that from first to last submission. That tasks and nodes
    are whole is left aside, so a schedule that keeps up needs a load a little below 1.
    """
    span = span_ms or max(1, int(workload.submit_ms[-1] - workload.submit_ms[0]))
    usable = [pool for pool in pools if not pool.closed_because and pool.nodes > 0]
    run_ms = np.bincount(workload.job_class, workload.run_ms, len(workload.classes))
    counts = np.bincount(workload.job_class, minlength=len(workload.classes))
    facts, by_centres = PoolFacts.of(usable), links_by_centres(links)
    centres = {pool.centre for pool in usable}
    everywhere = {
        at for at in {a for a, _ in by_centres} if all((at, to) in by_centres for to in centres - {at})
    }
    shapes: dict[JobClass, int] = {}
    of_shape = np.empty(len(workload.classes), np.int64)
    for number, job_class in enumerate(workload.classes):
        away = tuple((centre, 1) for centre, _ in job_class.data if centre not in everywhere)
        bare = replace(job_class, weight_time=0, weight_money=0, weight_carbon=0, data=away)
        of_shape[number] = shapes.setdefault(bare, len(shapes))
    parts = np.stack([_parts(usable, facts, by_centres, shape) for shape in shapes])
    least = parts.min(axis=1)
    nowhere = int(counts[np.flatnonzero(~np.isfinite(least)[of_shape])].sum())
    work = np.bincount(of_shape, run_ms, len(shapes))
    counting = np.flatnonzero(np.isfinite(least) & (work > 0))
    # Shapes that differ by a factor alone, as the sizes of one program do, are one work to divide.
    alike, of_work = np.unique(
        np.round(parts[counting] / least[counting, None], 9), axis=0, return_inverse=True
    )
    amount = np.bincount(of_work.reshape(-1), work[counting] * least[counting] / span, len(alike))
    load, at_least, filled, prices = fullest(alike * amount[:, None])
    binds = (filled >= BINDS[0] * load) & (prices >= BINDS[1] * prices.max())
    binding = [pool for pool, holds in zip(usable, binds.tolist(), strict=True) if holds]
    return OfferedLoad(load, at_least, _in_words(binding), tuple(pool.key for pool in binding), nowhere)


def fullest(loads: Floats) -> tuple[float, float, Floats, Floats]:
    """The least possible fullest pool, from above and from below; how the former fills each pool, and the prices of
    pools that prove the latter.

    `loads[g, p]` is how full work g makes pool p when all of it goes there, infinite where it may not. Prices are
    raised where it is full and work moves to where it is cheap, with ever less inertia; for any prices that sum to 1
    the cheapest places of all work cost no more than the fullest pool holds (linear programming duality).
    """
    work, places = loads.shape
    if not work:
        return 0.0, 0.0, np.zeros(places), np.full(places, 1.0 / max(1, places))
    with np.errstate(divide="ignore"):
        cost = np.log(loads)
    allowed = np.where(np.isfinite(loads), loads, 0.0)
    prices = np.full(places, -np.log(places))
    best, least = np.inf, 0.0
    best_filled, proof = np.zeros(places), np.exp(prices)
    for round_ in range(MOST_ROUNDS):
        softness = max(0.002, 0.3 * 0.99**round_)
        charged = cost + prices
        cheapest = charged.min(axis=1, keepdims=True)
        bound = float(np.exp(cheapest).sum())
        if bound > least:
            least, proof = bound, np.exp(prices)
        shares = np.exp((cheapest - charged) / softness)
        filled = (shares / shares.sum(axis=1, keepdims=True) * allowed).sum(axis=0)
        if filled.max() < best:
            best, best_filled = float(filled.max()), filled
        if best <= least * (1.0 + PRECISION):
            break
        prices += 2.0 * softness * filled / filled.max()
        prices -= np.log(np.exp(prices).sum())
    return best, least, best_filled, proof


def _parts(
    pools: Sequence[PoolRow], facts: PoolFacts, links: dict[tuple[str, str], LinkRow], job_class: JobClass
) -> Floats:
    """Which part of each pool's time a millisecond of run at nominal speed takes; infinite where it may not run."""
    nodes = np.maximum(facts.nodes, 1).astype(np.float64)
    share = np.zeros(len(pools))
    for wanted, found in (
        (job_class.devices_milli / 1_000, facts.devices),
        (job_class.cores_milli, facts.cores),
        (job_class.memory_bytes, facts.memory),
    ):
        if wanted:
            share = np.maximum(share, wanted / np.maximum(found, 1))
    variants = dict(job_class.variant_speeds)
    speed = np.array([pool.speed_milli * variants.get(pool.stack, 1_000) / 1e6 for pool in pools])
    parts = job_class.tasks * share / nodes / np.maximum(speed, 1e-6)
    return np.where(failed_constraints(facts, links, job_class) == 0, parts, np.inf)


def _in_words(pools: Sequence[PoolRow]) -> str:
    stacks: dict[str, set[str]] = {}
    for pool in pools:
        stacks.setdefault(pool.kind, set()).add(pool.stack)
    return ", ".join(f"{kind} ({', '.join(sorted(found))})" for kind, found in sorted(stacks.items()))


__all__ = ["OfferedLoad", "fullest", "province_load"]
