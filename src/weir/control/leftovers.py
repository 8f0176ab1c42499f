"""What a pass leaves over, and how much of it an elastic job takes at its start.

The pass decides order, promises and starts by the fewest tasks, so that nothing about an elastic job can delay another.
What then has room and is promised to nobody before the job must have ended goes to the jobs that have just started, in
the order in which they did. Of the pools that had room for one it takes the one with the best score, counted as if its
tasks shared its work evenly: so many times the tasks run so much shorter, for the same money and carbon.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from weir.model.task_range import TaskRange
from weir.scheduling.inputs import NO_DEADLINE, JobClass
from weir.scheduling.lanes import NO_CEILING
from weir.scheduling.plan import PoolReason, Start, Terms, Verdict
from weir.scheduling.state import State
from weir.scheduling.tables import Int64s

WHOLE = 1_000
HOUR_MS = 3_600_000
GANG = "gang"
"""What an engine must be able to do to run several tasks together."""
_MOST = 2**40


@dataclass(frozen=True, slots=True)
class Wide:
    """A start as it is to be made: where, on which nodes, and why there with so many tasks."""

    start: Start
    reasons: tuple[PoolReason, ...]
    """The chosen pool first."""


@dataclass(frozen=True, slots=True)
class _Job:
    """What matters of a job: its class with the fewest tasks, until when it may run, and how many tasks it may have."""

    job_class: JobClass
    until_ms: int
    tasks: TaskRange


@dataclass(slots=True)
class _Free:
    """What is free of a pool's nodes in service, by node."""

    devices: Int64s
    cores: Int64s
    memory: Int64s
    own: Int64s
    """[node, device] thousandths, where devices are shared; else without columns."""


@dataclass(frozen=True, slots=True)
class _Offer:
    """What a pool has for a job: its nodes in all, the tasks on them, what it scores with these, and why no more."""

    reason: PoolReason
    terms: Terms
    nodes: tuple[tuple[int, int], ...]
    tasks: int
    bound: str


class Leftovers:
    """What the pass has left, and who gets it. For one plan: what it gives, it does not give again."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._free: dict[int, _Free] = {}
        self._full: set[tuple[int, int, int, int, int]] = set()
        self._beyond: dict[int, int] = {}
        """Of each tenant, what it holds more by what was given here, in micro-yuan an hour."""
        self._promised = [
            (
                state.pool_places[kept.pool],
                kept.start_ms,
                np.array([node for node, _ in kept.nodes], np.int64),
            )
            for kept in state.reservations()
        ]
        last = state.last
        self._hurried = (
            set() if last is None else set(last.started["job"][last.deadline < NO_DEADLINE].tolist())
        )

    def widen(
        self,
        start: Start,
        reasons: Sequence[PoolReason],
        tasks: TaskRange,
        shut: frozenset[str] = frozenset(),
    ) -> Wide:
        """The same job with more of its tasks, on the pool that has the best score then.

        `start` is one of the plan that has just been made, with the fewest tasks, and `reasons` those of its pools.
        shut: pools where it may not go unless it goes there already. Nodes promised to another before the job must
        have ended are not touched, nor does it take its tenant beyond its ceiling.
        """
        run, _, _ = self._state.run_details[start.job]
        row = self._state.runs[run]
        job_class = self._state.known.described[int(row["job_class"])]
        assert job_class is not None
        job = _Job(job_class, int(row["end"]), tasks)
        tenant, each = int(row["tenant"]), -(-int(row["rate"]) // tasks.least)
        most = self._within_ceiling(tenant, each, tasks)
        offers = []
        for reason in reasons:
            if reason.verdict not in (Verdict.CHOSEN, Verdict.OUTSCORED):
                continue
            here = reason.pool == start.pool
            # What it takes of its tenant's ceiling elsewhere is not known here, nor whether it ends there in time.
            elsewhere = reason.pool not in shut and most is None and start.job not in self._hurried
            if here or elsewhere:
                offer = self._offer(reason, start.nodes if here else (), job, most)
                if offer is not None:
                    offers.append(offer)
        best = min(offers, key=lambda offer: (offer.terms.score, offer.reason.pool != start.pool))
        self._take(best, start, job_class)
        self._beyond[tenant] = self._beyond.get(tenant, 0) + each * (best.tasks - tasks.least)
        told = [_told(offer, tasks, chosen=offer is best) for offer in offers]
        told.sort(key=lambda reason: reason.verdict is not Verdict.CHOSEN)
        offered = {offer.reason.pool for offer in offers}
        others = (reason for reason in reasons if reason.pool not in offered)
        return Wide(replace(start, pool=best.reason.pool, nodes=best.nodes, devices=()), (*told, *others))

    def _offer(
        self, reason: PoolReason, nodes: tuple[tuple[int, int], ...], job: "_Job", most: int | None
    ) -> _Offer | None:
        """What a pool has, beside the nodes there that the job has already; None where it is less than the fewest."""
        place = self._state.pool_places[reason.pool]
        has = sum(count for _, count in nodes)
        limit, bound = job.tasks.most, ""
        if most is not None and most < limit:
            limit, bound = most, "its tenant's ceiling allows no more"
        if GANG not in self._state.rows[place].capabilities and limit > 1:
            limit, bound = max(has, 1), "its engine does not start several tasks together"
        if limit > has:
            nodes = _together(nodes, self._chosen(place, job, nodes, limit - has))
        tasks = sum(count for _, count in nodes)
        if tasks < job.tasks.least or reason.terms is None:
            return None
        if tasks < limit:
            bound = "no more have room there now"
        return _Offer(reason, self._shorter(reason.terms, job, tasks), nodes, tasks, bound)

    def _shorter(self, terms: Terms, job: "_Job", tasks: int) -> Terms:
        """The terms of the fewest tasks as they are with more, which share the work evenly."""
        run_ms = -(-terms.run_ms * job.tasks.least // tasks)
        sooner = (terms.run_ms - run_ms) * int(self._state.rates[0]) // HOUR_MS
        score = terms.score - job.job_class.weight_time * sooner // 1_000
        return replace(terms, run_ms=run_ms, score=score)

    def _chosen(
        self, place: int, job: "_Job", nodes: tuple[tuple[int, int], ...], wanted: int
    ) -> list[tuple[int, int]]:
        """(node, tasks) for up to so many more tasks: on nodes that it has, then those with least left."""
        job_class = job.job_class
        key = (place, job_class.devices_milli, job_class.cores_milli, job_class.memory_bytes, job.until_ms)
        if key in self._full:
            return []
        free = self._free_of(place)
        fits = _fitting(free, job_class)
        for where, begins_ms, promised in self._promised:
            if where == place and begins_ms < job.until_ms:
                fits[promised[promised < len(fits)]] = 0
        room = np.flatnonzero(fits > 0)
        if not len(room):
            self._full.add(key)
            return []
        fresh = ~np.isin(room, np.array([node for node, _ in nodes], np.int64))
        order = room[np.lexsort((room, free.cores[room], free.devices[room], fresh))]
        upto = np.minimum(wanted, np.cumsum(fits[order]))
        counts = np.diff(upto, prepend=0)
        return [
            (int(node), int(count))
            for node, count in zip(order.tolist(), counts.tolist(), strict=True)
            if count > 0
        ]

    def _free_of(self, place: int) -> _Free:
        """A copy of what the pass has left of a pool."""
        found = self._free.get(place)
        if found is None:
            state, pool = self._state, self._state.pools[place]
            first, nodes = int(pool["first_node"]), int(pool["nodes"])
            rows = state.free.node[first : first + nodes]
            shared = 0 if not pool["shares"] else int(pool["devices_per_node"])
            first_device = int(pool["first_device"])
            own = state.free.device[first_device : first_device + nodes * shared].reshape(nodes, shared)
            columns = (rows["devices"].copy(), rows["cores"].copy(), rows["memory"].copy())
            found = self._free[place] = _Free(*columns, own.copy())
        return found

    def _take(self, offer: _Offer, start: Start, job_class: JobClass) -> None:
        place = self._state.pool_places[offer.reason.pool]
        had = dict(start.nodes) if offer.reason.pool == start.pool else {}
        free = self._free_of(place)
        for node, tasks in offer.nodes:
            more = tasks - had.get(node, 0)
            if more <= 0:
                continue
            free.cores[node] -= more * job_class.cores_milli
            free.memory[node] -= more * job_class.memory_bytes
            free.devices[node] -= more * job_class.devices_milli
            if job_class.devices_milli:
                free.own[node] = 0  # which of its devices are taken the next cycle finds out

    def _within_ceiling(self, tenant: int, each: int, tasks: TaskRange) -> int | None:
        """How many tasks a tenant's ceiling lets it have, each of so much an hour; None where it has no ceiling."""
        table = self._state.tenants.table
        if not each or table.ceiling[tenant] >= NO_CEILING:
            return None
        left = int(table.ceiling[tenant]) - int(table.holds[tenant]) - self._beyond.get(tenant, 0)
        return tasks.least + max(0, left) // each


def _fitting(free: _Free, job_class: JobClass) -> Int64s:
    """How many tasks each node has room for."""
    fits = np.full(len(free.cores), _MOST, np.int64)
    for left, need in (
        (free.cores, job_class.cores_milli),
        (free.memory, job_class.memory_bytes),
        (free.devices, job_class.devices_milli),
    ):
        if need:
            fits = np.minimum(fits, np.maximum(0, left) // need)
    devices = job_class.devices_milli
    if devices and free.own.shape[1]:
        parts = free.own // devices if devices < WHOLE else (free.own == WHOLE).astype(np.int64)
        fits = np.minimum(fits, np.maximum(0, parts).sum(axis=1) // max(1, devices // WHOLE))
    return fits


def _together(
    nodes: Sequence[tuple[int, int]], more: Sequence[tuple[int, int]]
) -> tuple[tuple[int, int], ...]:
    """All of these, in order of node."""
    found = dict(nodes)
    for node, tasks in more:
        found[node] = found.get(node, 0) + tasks
    return tuple(sorted(found.items()))


def _told(offer: _Offer, tasks: TaskRange, *, chosen: bool) -> PoolReason:
    """What is said of a pool that had room."""
    why = f": {offer.bound}" if offer.bound else ""
    note = f"{offer.tasks} of {tasks} tasks{why}"
    if not chosen:
        return replace(
            offer.reason,
            verdict=Verdict.OUTSCORED,
            terms=offer.terms,
            note=_joined(f"room for {note}", offer),
        )
    return replace(
        offer.reason, verdict=Verdict.CHOSEN, terms=offer.terms, note=_joined(f"starts with {note}", offer)
    )


def _joined(note: str, offer: _Offer) -> str:
    return "; ".join(filter(None, (note, offer.reason.note)))


__all__ = ["Leftovers", "Wide"]
