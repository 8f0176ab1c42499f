"""The core in simulated time over many pools."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from weir.scheduling import lanes, layout, prediction
from weir.scheduling.classes import keep_of
from weir.scheduling.compilation import kernel
from weir.scheduling.inputs import JobClass, LinkRow, PoolRow
from weir.scheduling.policy import Placement, Policy
from weir.scheduling.rerun import copied
from weir.scheduling.simulated import (
    CHANGING,
    Expected,
    PoolChange,
    Simulated,
    SimulatedJobs,
    rates_of,
    shared_out,
)
from weir.scheduling.state import State
from weir.scheduling.supply import changes_with_time, supply_of
from weir.scheduling.tables import NOTHING, Classes, Counter, Int64s
from weir.scheduling.tenants import note_least, rates_of_pools
from weir.scheduling.usage import Usage

_EVENTS_BETWEEN_NEWS = 1 << 15
_FAR = 2**62
_MOST_PRIORITIES = 2**9
RESERVED = 30
"""Jobs of this priority and above never give way."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What several workloads of the same classes share, so that each need not lay it out anew."""

    state: State
    """It has these pools, links and classes, and nothing else. It stays as it is."""
    numbers: Int64s
    """The rows of the classes."""

    @classmethod
    def of(
        cls, pools: Sequence[PoolRow], links: Sequence[LinkRow], classes: Sequence[JobClass], policy: Policy
    ) -> "Prepared":
        """For workloads whose `classes` are these, under this policy."""
        state = State.empty(policy)
        state.set_pools(pools, links)
        return cls(state, np.array(state.known.number_all(classes), np.int64))


class ProvinceRun:
    """A workload on its way through a province."""

    def __init__(
        self,
        pools: Sequence[PoolRow],
        links: Sequence[LinkRow],
        jobs: SimulatedJobs,
        policy: Policy,
        expected: Expected,
        pass_per_event: bool,
        grain_ms: int = 1,
        prepared: Prepared | None = None,
    ) -> None:
        """Ends fall on multiples of `grain_ms`, the nearest that is not beyond the limit.

        `prepared` is of the same pools, links, classes and policy.
        """
        self._jobs, self._policy = jobs, policy
        self._single = pass_per_event
        ground = prepared or Prepared.of(pools, links, jobs.classes, policy)
        self._state = state = ground.state if prepared is None else copied(ground.state)
        by_key = sorted(range(len(pools)), key=lambda place: pools[place].key)
        # The core has the pools in the order of their keys; the last row is for jobs that are in none.
        self._given = np.array([*by_key, NOTHING], np.int64)
        numbers = ground.numbers
        count = len(jobs.run_ms)
        classes = state.known.table
        if policy.placement in (Placement.EARLIEST, Placement.CHEAPEST, Placement.NEAREST):
            classes = _bound(classes, len(pools))
        job_class = numbers[jobs.job_class] if count else np.zeros(0, np.int64)
        size = np.array(
            [job.tasks * max(1, -(-job.devices_milli // 1_000)) for job in jobs.classes], np.int64
        )
        table = np.zeros(count, lanes.JOB)
        table["job"] = np.arange(count)
        table["submitted"] = jobs.submitted_ms
        table["limit"] = jobs.limit_ms
        table["expected"] = jobs.limit_ms if jobs.expected_ms is None else jobs.expected_ms
        table["need"] = job_class
        table["promised"] = NOTHING
        table["size"] = size[jobs.job_class] if count else 0
        self._table = table
        self._by_tenant = by_tenant = policy.by_tenant and shared_out(jobs)
        tenants = _tenants_of(state, jobs, len(classes.row)) if by_tenant else None
        if tenants is not None:
            table["line"] = _lines_of(jobs, tenants)
        self._order, self._line = lanes.order_of(count, 1 if tenants is None else len(tenants.of))
        predicts = expected is Expected.PREDICTION
        fair = policy.fair and bool(jobs.tenant.any())
        people = [int(column.max(initial=0)) + 1 if predicts else 0 for column in (jobs.user, jobs.group)]
        self._history = prediction.empty(*people)
        self._rule = np.array(
            [
                policy.depth,
                policy.placement is Placement.RACE,
                1,
                predicts,
                _FIXED.get(policy.placement, 0),
                fair,
                0,
                1,
                policy.later,
            ],
            np.int64,
        )
        wholes = state.pools["nodes"] * np.maximum(1, state.pools["devices_per_node"])
        self._rates = rates_of(policy, policy.order, int(wholes.max(initial=1)))
        column = np.full(count, NOTHING, np.int64)
        self._trace = lanes.ProvinceTrace(
            run=jobs.run_ms.copy(),
            start=column,
            end=column.copy(),
            due=column.copy(),
            pool=column.copy(),
            heap=np.empty(count + 1, np.int64),
            size=np.ascontiguousarray(size[jobs.job_class]) if count else column,
            user=np.ascontiguousarray(jobs.user),
            group=np.ascontiguousarray(jobs.group),
            **dict(
                zip(("first", "following", "preceding", "asked"), lanes.waiting_of(jobs.user), strict=True)
            ),
            tenant=np.ascontiguousarray(jobs.tenant),
            **dict(zip(("used", "share"), lanes.shares_of(jobs.tenant), strict=True)),
        )
        self._clock, self._started = np.zeros(8, np.int64), np.empty(count + 1, np.int64)
        self._clock[kernel("province_clock").GRAIN] = grain_ms
        places = len(pools)
        capacity = state.pools["nodes"] * np.where(
            state.pools["devices_per_node"] > 0,
            state.pools["devices_per_node"] * 1_000,
            [row.cores_milli_per_node for row in state.rows],
        )
        backlog = np.zeros((places, 4), np.int64)
        backlog[:, 3] = capacity
        nodes = len(state.free.node)
        self._world = lanes.World(
            pools=state.pools,
            free=state.free,
            later=state.later,
            then=state.before,
            classes=classes,
            runs=state.runs,
            records=state.records,
            counters=state.counters,
            work=state.work,
            rates=state.rates,
            turn=self._rates,
            score=np.zeros(places, np.int64),
            candidate=np.zeros(places, np.int64),
            **state.seats._asdict(),
            several=(1,) if len(state.seats.laid) else (),
            window=np.full(len(classes.row), _FAR, np.int64),
            waiting=np.zeros(len(classes.row), lanes.WAITING),
            waiting_at=np.full(len(classes.row), NOTHING, np.int64),
            first=np.full(len(classes.row), NOTHING, np.int64),
            best=np.full(len(classes.row), NOTHING, np.int64),
            signal=np.array([0, 0, 0, NOTHING, NOTHING], np.int64),
            run_of=np.full(count, NOTHING, np.int32),
            touched=np.zeros(max(1, nodes), np.int64),
            backlog=backlog,
            **self._features(classes, numbers),
            tenants=lanes.ALONE if tenants is None else tenants,
        )

    def go_on(self, until_ms: int, progress: Callable[[int, int], None]) -> None:
        """Let everything happen that happens before an instant."""
        clock = kernel("province_clock")
        jobs = len(self._jobs.run_ms)
        said = clock.MORE_TIME
        while said != clock.OVER:
            said = clock.run(
                self._rule, self._rates, self._table, self._order, self._line, self._world, self._history,
                self._trace, self._clock, self._started, self._single, until_ms, _EVENTS_BETWEEN_NEWS,
            )  # fmt: skip
            if said == clock.MORE_ROOM:
                self._enlarge(int(self._world.signal[1]))
                self._world.signal[1] = 0
            progress(int(self._clock[clock.DONE]), jobs)

    def change(self, change: PoolChange) -> None:
        """Close or open a pool at the instant up to which everything has happened. KeyError for an unknown pool."""
        clock = kernel("province_clock")
        if self._by_tenant:
            kernel("tenants").tell(self._as_live(), change.at_ms)
        place = self._state.pool_places[change.pool]
        self._world.pools["open"][place] = not change.closed_because
        clock.unsettle(self._table, self._world, place)
        if change.lost:
            lost = clock.lose(
                self._rule, self._table, self._order, self._line, self._world, self._history, self._trace,
                self._started, place,
            )  # fmt: skip
            running = self._trace.heap[: self._clock[clock.ENDS]]
            kept = running[~np.isin(running & kernel("coming").SLOT_MASK, self._started[:lost])]
            # What is sorted is a heap.
            self._trace.heap[: len(kept)] = np.sort(kept)
            self._clock[clock.ENDS] = len(kept)
        self._clock[clock.NOW], self._clock[clock.PENDING] = change.at_ms, 1

    def line_up(self) -> None:
        """From now on nobody has a turn, so that nothing may start, and what comes only waits: until `take_turns`."""
        if self._by_tenant:
            self._world.tenants.clock[kernel("tenants").SHARING] = 0

    def take_turns(self, usage: Usage, placed_ms: Int64s, origin_ms: int) -> None:
        """From now on tenants, whose rows the jobs name, take turns as by this usage.

        `placed_ms` is when each of the first jobs, those that run, was placed. Both are as of other times, of which
        `origin_ms` is 0 here.
        """
        world = self._world
        usage.lay_into(world.tenants, origin_ms)
        runs = world.run_of[: len(placed_ms)]
        has_begun = runs >= 0
        world.runs["placed"][runs[has_begun]] = placed_ms[has_begun] - origin_ms
        kernel("tenants").rated_anew(self._as_live())

    def outcome(self, elapsed_s: float) -> Simulated:
        """What has become of the jobs so far."""
        lives = self._world.lives
        given_up = lives.given_up[: lives.rule[kernel("preemption").GIVEN_UP]].copy()
        given_up["pool"] = self._given[given_up["pool"]]
        return Simulated(
            self._trace.start,
            self._trace.end,
            self._given[self._trace.pool],
            elapsed_s,
            given_up if len(given_up) else None,
        )

    def _as_live(self) -> lanes.World:
        """What counts usage, as the live loop's code, which is compiled in any case, goes over it."""
        return self._state.world._replace(
            runs=self._world.runs, promise=self._world.promise, tenants=self._world.tenants
        )

    def _features(self, classes: Classes, numbers: Int64s) -> dict[str, Any]:
        """What the world has where supply changes with time, or jobs have deadlines or several priority classes.

        Also where pools promise several starts, so that code is compiled for these in one way only.
        """
        jobs, state = self._jobs, self._state
        priorities, rank = np.unique(-jobs.priority, return_inverse=True)
        saves = any(wish.checkpoint_every_ms for wish in jobs.classes)
        if (
            not len(state.seats.laid)
            and len(priorities) < 2
            and jobs.deadline_ms is None
            and not saves
            and not changes_with_time(state.rows)
        ):
            return {}
        if len(priorities) > _MOST_PRIORITIES:
            raise ValueError(
                f"priority: {len(priorities)} classes; a simulation takes {_MOST_PRIORITIES} at most"
            )
        keep = np.zeros(len(classes.row), lanes.KEEP)
        each = len(classes.row) // len(state.known.table.row)
        for number, wish in zip(numbers.tolist(), jobs.classes, strict=True):
            keep[number * each : (number + 1) * each] = keep_of(wish)
        may = np.array([wish.preemptible for wish in jobs.classes], np.bool_)[jobs.job_class]
        policy, never = self._policy, np.full(len(jobs.run_ms), _FAR, np.int64)
        lives = lanes.lives_of(
            rank.astype(np.int64),
            keep,
            policy.most_preemptions,
            policy.least_run_ms_preempted,
            state.free,
            preemptible=int(np.count_nonzero(may)),
            reserved=int(np.count_nonzero(priorities <= -RESERVED)),
        )
        return {
            "features": (1,),
            "supply": supply_of(state.rows),
            "now": np.zeros(2, np.int64),
            "deadline": never if jobs.deadline_ms is None else np.ascontiguousarray(jobs.deadline_ms),
            "lives": lives,
        }

    def _enlarge(self, records: int) -> None:
        state = self._state
        if state.counters[Counter.FREE_RUNS] < 256:
            state.make_runs(max(1_024, len(state.runs)))
        if state.counters[Counter.FREE_RECORDS] < records + 256:
            state.make_records(max(1_024, records, len(state.records)))
        self._world = self._world._replace(runs=state.runs, records=state.records)


def _tenants_of(state: State, jobs: SimulatedJobs, classes: int) -> lanes.Tenants:
    """The tenants of a workload, by their numbers, and a line for each priority class of each."""
    band = np.unique(-jobs.priority, return_inverse=True)[1]
    most = max([int(jobs.tenant.max(initial=0)), *(row.tenant for row in jobs.tenants)])
    pairs = np.unique(band * 2**40 + jobs.tenant)
    seats = len(state.seats.promise) // max(1, len(state.rows))
    tenants = lanes.tenants_of(most + 1, len(pairs), classes, rates_of_pools(state.rows), seats=seats)
    tenants.band[:], tenants.of[:] = pairs >> 40, pairs & (2**40 - 1)
    for row in jobs.tenants:
        tenants.weight[row.tenant] = row.weight_milli
        tenants.quota[row.tenant] = row.quota_micro_yuan_per_hour
        if row.ceiling_micro_yuan_per_hour is not None:
            tenants.ceiling[row.tenant] = row.ceiling_micro_yuan_per_hour
    note_least(tenants)
    return tenants


def _lines_of(jobs: SimulatedJobs, tenants: lanes.Tenants) -> Int64s:
    """The line of each job."""
    band = np.unique(-jobs.priority, return_inverse=True)[1]
    found: Int64s = np.searchsorted(tenants.band * 2**40 + tenants.of, band * 2**40 + jobs.tenant)
    return found


def simulate_province(
    pools: Sequence[PoolRow],
    links: Sequence[LinkRow],
    jobs: SimulatedJobs,
    policy: Policy,
    expected: Expected,
    pass_per_event: bool,
    changes: Sequence[PoolChange],
    progress: Callable[[int, int], None],
    clock: Callable[[], float],
) -> Simulated:
    """`simulate`, over any pools."""
    run = ProvinceRun(pools, links, jobs, policy, expected, pass_per_event)
    run.go_on(-1, progress)  # nothing happens before 0, but its code is then ready
    begun = clock()
    for change in sorted(changes, key=lambda change: (change.at_ms, change.pool)):
        run.go_on(change.at_ms, progress)
        run.change(change)
    run.go_on(_FAR, progress)
    return run.outcome(clock() - begun)


def check_province(policy: Policy, pools: Sequence[PoolRow] = ()) -> None:
    """Raise ValueError for what only a single pool of whole nodes can be asked to do, or what these cannot."""
    if policy.backfill_order is not None or policy.blocking or policy.order in CHANGING:
        raise ValueError(
            f"policy {policy.name} is for one pool whose jobs take whole nodes; for others choose one that backfills "
            "in its own order and does not reorder jobs while they wait"
        )
    if policy.placement is Placement.RACE:
        races = f"policy {policy.name} lets jobs race for pools, each of which promises one start at most"
        if policy.depth > 1:
            raise ValueError(f"depth: {races}")
        for row in pools:
            if row.promises(policy.depth) > 1:
                raise ValueError(
                    f"{races}; {row.key} has reservations: {row.reservations}, so leave that out or choose another"
                )


_FIXED = {Placement.EARLIEST: 1, Placement.CHEAPEST: 2, Placement.NEAREST: 3}


def _bound(classes: Classes, pools: int) -> Classes:
    """For each class and pool a class of its own, for jobs that were given to that pool: row class x pools + pool."""
    rows = len(classes.row)
    barred = layout.barred_everywhere(rows * pools, pools)
    each = np.arange(pools)
    row = np.repeat(classes.row, pools)
    row["segments"] = row["chances"] = np.tile(np.int64(1) << each // layout.segment_width(pools), rows)
    barred.reshape(rows, pools, -1)[:, each, each] = classes.barred[:, :pools]
    return layout.with_bits(classes._replace(row=row, barred=barred))


__all__ = ["ProvinceRun", "simulate_province"]
