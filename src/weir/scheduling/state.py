"""The state between two steps, as one explicit value: pools, classes, the queue, promises, and what runs."""

from collections.abc import Mapping, Sequence

import numpy as np

from weir.scheduling import lanes, layout
from weir.scheduling.bounds import (
    check_batches,
    check_pools,
    check_promises,
    check_running,
    seated,
    within_bounds,
)
from weir.scheduling.classes import ALWAYS, ClassTable, Ground
from weir.scheduling.compilation import kernel
from weir.scheduling.eligibility import PoolKinds
from weir.scheduling.hours import HURRIED, Hours, hours_of
from weir.scheduling.inputs import NO_DEADLINE, LinkRow, PoolRow, QueuedJobs, RunningJob, TenantRow
from weir.scheduling.moving import Roads, links_by_centres
from weir.scheduling.plan import Cause, PoolReason, Reservation
from weir.scheduling.policy import Policy
from weir.scheduling.queue import WaitingLine, columns_of, owners_of
from weir.scheduling.simulated import rates_of
from weir.scheduling.supply import books_of
from weir.scheduling.tables import (
    LISTED,
    NOTHING,
    RECORD,
    RUN,
    Counter,
    Cycle,
    Int64s,
    Nodes,
    Pass,
    Table,
    chain,
    column,
    enlarged,
)
from weir.scheduling.tenants import TenantTable

LIST_ALL_BELOW, BEST_LISTED = 100, 8
_FIRST_ROWS = 64


class State:
    """Everything that the next plan depends on, besides the changes and `now`.

    Made by `State.empty`, changed only by `step`, which takes the value over: after `step(state, …)` use only the
    state that it returns. Its fields are the core's own; what others may ask is `queued`, `running` and `explain`.
    """

    policy: Policy
    rates: Int64s
    rule: Int64s
    rates_of_order: Int64s
    tenants: TenantTable
    rows: tuple[PoolRow, ...]
    kinds: PoolKinds
    links: dict[tuple[str, str], LinkRow]
    pool_places: dict[str, int]
    numbers: layout.Numbers
    pools: Table
    free: Nodes
    later: Nodes
    before: Nodes
    seats: lanes.Seats
    score: Int64s
    candidate: Int64s
    touched: Int64s
    known: ClassTable
    queue: WaitingLine
    signal: Int64s
    hours: Hours
    runs: Table
    run_details: dict[int, tuple[int, str, int]]
    """By job that holds capacity: its run, the key of its pool, when it was placed."""
    reasons: dict[int, tuple[PoolReason, ...]]
    """Why this state's own starts went where they are."""
    records: Table
    surplus: tuple[Reservation, ...]
    """Promises beyond what their pools promise, until all changes are taken in."""
    last: Cycle | None
    """What the last cycle began with, so that it can be run again."""
    work: Pass
    counters: Int64s

    @classmethod
    def empty(cls, policy: Policy) -> "State":
        """A province without pools, jobs or history."""
        state = cls()
        state.policy = policy
        state.rates = np.array([policy.time_micro_yuan_per_hour, policy.carbon_micro_yuan_per_kg], np.int64)
        state.rates_of_order = rates_of(policy, policy.order, 1)
        state.rule = np.array([policy.depth, 0, 0, 0, 0, 0, 1, 0, policy.later], np.int64)
        state.signal = np.array([0, 0, 0, NOTHING, NOTHING], np.int64)
        state.hours = hours_of(())
        state.links, state.rows = {}, ()
        state.known = ClassTable()
        state.last, state.surplus = None, ()
        state.tenants = TenantTable(sharing=policy.by_tenant)
        state.run_details, state.reasons = {}, {}
        state.counters = np.zeros(Counter.COUNT, np.int64)
        for free_list in (Counter.FREE_SLOT, Counter.FREE_RUN, Counter.FREE_RECORD):
            state.counters[free_list] = NOTHING
        state.queue = WaitingLine(state.counters)
        state.runs, state.records = np.zeros(0, RUN), np.zeros(0, RECORD)
        state.work = layout.empty_pass()
        for make in (state.make_runs, state.make_records):
            make(_FIRST_ROWS)
        state.seats = lanes.seats_of(1, 0, Nodes(np.zeros(0), np.zeros(0, np.int64)))
        state.set_pools((), None)
        state.make_groups(_FIRST_ROWS)
        return state

    @property
    def queued(self) -> int:
        """How many jobs wait."""
        return self.queue.waiting

    @property
    def running(self) -> int:
        """How many placements hold capacity."""
        return len(self.run_details)

    def waits(self, job: int) -> bool:
        """Whether the job is in the queue."""
        return self.queue.find(job) >= 0

    def look(self, now_ms: int) -> None:
        """Time has passed: where scores change with it, forget what was found when they were others."""
        if self.hours.turn(now_ms):
            self.known.window[:] = ALWAYS
            self.known.best[:] = NOTHING
            self.hours.moment[HURRIED] = (
                self.queue.deadline[self.queue.slots["job"] >= 0] < NO_DEADLINE
            ).any()

    @property
    def world(self) -> lanes.World:
        """All pools and classes, as compiled code goes over them."""
        return lanes.World(
            pools=self.pools,
            free=self.free,
            later=self.later,
            then=self.before,
            classes=self.known.table,
            runs=self.runs,
            records=self.records,
            counters=self.counters,
            work=self.work,
            rates=self.rates,
            turn=self.rates_of_order,
            score=self.score,
            candidate=self.candidate,
            **self.seats._asdict(),
            window=self.known.window,
            waiting=self.known.waiting,
            waiting_at=self.known.waiting_at,
            first=self.known.first,
            best=self.known.best,
            signal=self.signal,
            features=(1,),
            supply=self.hours.supply,
            now=self.hours.moment,
            deadline=self.queue.deadline,
            lives=lanes.NOBODY._replace(keep=self.known.keep),
            run_of=self.queue.run_of,
            touched=self.touched,
            backlog=_NO_BACKLOG,
            tenants=self.tenants.table,
        )

    def usage(self, now_ms: int) -> tuple[TenantRow, ...]:
        """Every tenant, by number, with what it has used of what has ended: to be told to another state, or kept."""
        return self.tenants.as_told(now_ms)

    # Promises.

    def reservations(self) -> tuple[Reservation, ...]:
        """The promises as they stand, by pool."""
        return self.reservations_of(self.seats.promise, self.seats.proven, self.holders())

    def holders(self) -> Int64s:
        """Of each promise, the job to which it is made; where it is to nobody, that says nothing."""
        found: Int64s = self.queue.slots["job"][self.seats.promise["slot"]]
        return found

    def reservations_of(self, promise: Table, proven: Table, holder: Int64s) -> tuple[Reservation, ...]:
        """The promises that such tables of this state's pools tell, by pool."""
        found = []
        kept = np.flatnonzero((promise["slot"] >= 0) & (promise["start"] < ALWAYS))
        places = len(self.rows)
        for row in sorted(kept.tolist(), key=lambda row: (row % places, row)):
            _, start_ms, used, _, first_ms, cause, *_ = promise[row].tolist()
            seat, place = divmod(row, places)
            first = seat * len(self.free.node) + int(self.pools["first_node"][place])
            nodes = tuple(proven[first : first + used].tolist())
            job = int(holder[row])
            found.append(Reservation(job, self.rows[place].key, start_ms, nodes, first_ms, _CAUSES[cause]))
        return tuple(found)

    def promise_all(self, promised: Sequence[Reservation]) -> None:
        """Let promises stand that were made before; those of jobs that do not wait, and of pools that are not
        declared, are passed over. Those beyond what a pool promises now are `surplus`."""
        check_promises(promised)
        there = [kept for kept in promised if kept.pool in self.pool_places and self.waits(kept.job)]
        kept_ones, beyond = seated(there, self.rows, self.pools)
        told = {kept.job for kept in there}
        self.surplus = (*(kept for kept in self.surplus if kept.job not in told), *beyond)
        for kept in kept_ones:
            nodes = [column(each) for each in zip(*kept.nodes, strict=True)] or [column(())] * 2
            kernel("live").stand(
                self.rule, self.queue.slots, self.world, self.pool_places[kept.pool], self.queue.find(kept.job),
                kept.start_ms, kept.first_start_ms, _CAUSES.index(kept.cause), *nodes,
            )  # fmt: skip

    def promise_anew(self) -> None:
        """Choose anew which promises stand of pools that have given more than they do now, by who still waits. Those
        that lapse may put others off, and are the cause then."""
        if self.surplus:
            standing, self.surplus = (*self.reservations(), *self.surplus), ()
            self.promise_none()
            self.promise_all(standing)
        self.seats.promise["fewer"] = 0
        for lapsed in self.surplus:
            self.seats.promise["fewer"][self.pool_places[lapsed.pool]] = 1
        self.surplus = ()

    def promise_none(self) -> None:
        """Let no promise stand."""
        self.queue.slots["promised"] = NOTHING
        self.seats.promise["slot"] = NOTHING
        self.seats.laid[:] = NOTHING

    # Pools and links.

    def set_pools(self, rows: Sequence[PoolRow], links: Sequence[LinkRow] | None) -> None:
        """Declare all pools anew, and links unless None. What runs stays, counted against the pools as they are now."""
        rows = tuple(sorted(map(within_bounds, rows), key=lambda row: row.key))
        check_pools(rows)
        if links is None and self._only_opened_or_closed(rows):
            return
        if links is not None:
            self.links = links_by_centres(sorted(links, key=lambda link: (link.a, link.b)))
        anew = self._withdraw_unlike(rows)
        standing = self.reservations()
        self.rows = rows
        self.hours = hours_of(rows, self.hours.moment)
        self.kinds = PoolKinds(rows)
        self.pool_places = {row.key: place for place, row in enumerate(rows)}
        self.numbers = layout.numbers_of(rows, self.kinds.centres)
        for run, key, _ in self.run_details.values():
            self.runs["pool"][run] = self.pool_places.get(key, NOTHING)
        self._lay_out_nodes()
        self._reorder()
        self.lay_out_classes()
        self.tenants.rate(self.rows, lambda: self.world, self._most_seats())
        self.queue.slots["promised"] = NOTHING
        self.promise_all(standing)
        self.admit(anew)

    def _only_opened_or_closed(self, rows: tuple[PoolRow, ...]) -> bool:
        """Whether nothing else changed but how long pools let wait, and then take it in: no more changes as often."""
        if len(rows) != len(self.rows) or not rows:
            return False
        for row, before in zip(rows, self.rows, strict=True):
            if row is not before and not layout.is_alike(row, before):
                return False
        self.rows = rows
        layout.take_in(self.pools, rows)
        self.known.window[:] = ALWAYS
        self.known.best[:] = NOTHING
        return True

    def _lay_out_nodes(self, further: Mapping[int, int] | None = None) -> None:
        """Count all that is free anew: the nodes in service, those on which something runs, and `further` ones."""
        count = len(self.rows)
        wanted = np.full(count, NOTHING, np.int64)
        if count:
            kernel("running").highest_nodes(self.runs, self.records, wanted)
        wanted += 1
        for place, nodes in (further or {}).items():
            wanted[place] = max(wanted[place], nodes)
        self.pools = layout.pools(self.rows, wanted, self.numbers, layout.seats(self.rows, self.policy.depth))
        self.free = layout.idle_nodes(self.rows, self.pools)
        self.later = Nodes(*(column.copy() for column in self.free))
        self.before = Nodes(*(column.copy() for column in self.free))
        self.seats = lanes.seats_of(self._most_seats(), count, self.free)
        self.score, self.candidate = np.zeros((2, count), np.int64)
        self.touched = np.zeros(max(1, len(self.free.node)), np.int64)
        most = int((self.pools["end_node"] - self.pools["first_node"]).max(initial=1))
        self.work = self.work._replace(
            key=np.zeros(most, np.int64),
            choice=np.zeros(most, np.int64),
        )
        self.make_groups(_FIRST_ROWS)
        if self.run_details:
            kernel("running").lay_out(self.pools, self.known.table, self.free, self.runs, self.records)

    def _most_seats(self) -> int:
        return int(self.pools["seats"].max(initial=1))

    def _reorder(self) -> None:
        """Some orders go by the share that a job takes of the largest pool, which may be another now."""
        wholes = self.pools["nodes"] * np.maximum(1, self.pools["devices_per_node"])
        rates = rates_of(self.policy, self.policy.order, int(wholes.max(initial=1)))
        if bool((rates != self.rates_of_order).any()):
            self.rates_of_order = rates
            self.queue.rekey(rates)

    def _withdraw_unlike(self, rows: tuple[PoolRow, ...]) -> list[RunningJob]:
        """Let go of placements made before their pool began or ceased to share devices; to be taken in anew."""
        before = {row.key: row.shares for row in self.rows}
        unlike = {row.key: row.shares for row in rows if before.get(row.key) != row.shares}
        anew = []
        for job, (run, key, placed_ms) in self.run_details.items():
            job_class = self.known.described[int(self.runs["job_class"][run])]
            if key in unlike and job_class is not None and job_class.devices_milli:
                [(nodes, devices)] = layout.placements(self.runs, self.records, np.array([run]))
                if bool(devices) != unlike[key]:
                    limit = int(self.runs["end"][run]) - placed_ms
                    tenant = self.tenants.number_of(int(self.runs["tenant"][run]))
                    anew.append(RunningJob(job, job_class, key, nodes, placed_ms, limit, (), tenant))
        self.release([job.job for job in anew], again=True)
        return anew

    def lay_out_classes(self) -> None:
        """Compute all that classes have from pools and links, and count who waits."""
        places = {row.key: place for place, row in enumerate(self.rows)}
        books = books_of(self.rows)
        roads, price = Roads(self.links, self.kinds.centres), layout.prices(self.rows, books)
        self.known.lay_out(Ground(self.kinds, roads, self.numbers, places, books, price))
        self.signal[kernel("promises").WAITING] = 0
        waits = self.queue.slots["job"] >= 0
        jobs = np.bincount(self.queue.slots["need"][waits], minlength=len(self.known.window))
        kernel("live").look_at(self.world, np.flatnonzero(jobs), jobs[jobs > 0])

    def forget_classes(self) -> None:
        """Free the rows of classes that no job has any more, if rows run short and that is worth while.

        Only between changes: a class may be known before its first job is.
        """
        waiting = int(self.signal[kernel("promises").WAITING])
        if self.known.is_full() and 4 * waiting <= 3 * len(self.known.described):
            runs = self.runs
            used = (np.flatnonzero(self.known.waiting_at >= 0), runs["job_class"][runs["job"] >= 0])
            if self.known.forget_all_but(np.concatenate(used).tolist()):
                self.lay_out_classes()

    # Jobs.

    def enqueue(self, batches: Sequence[QueuedJobs]) -> None:
        """Let jobs wait; one that waits already waits with its new values. Raises ValueError for one that runs."""
        if not batches:
            return
        check_batches(batches)
        # Numbers are given in an order of their own, so that the order of the list changes nothing.
        job = np.concatenate([batch.job for batch in batches])
        in_order = np.sort(job)
        if bool((in_order[1:] == in_order[:-1]).any()):
            raise ValueError("a job is listed twice among those queued")
        if self.run_details:
            held = self.run_details.keys() & set(job.tolist())
            if held:
                raise ValueError(
                    f"job {min(held)} is queued while it holds capacity; list it in freed as well"
                )
        if self.queued:
            self.dequeue(job)
        number = self.known.number_all([batch.job_class for batch in batches])
        lines = self.tenants.lines_of(*owners_of(batches), len(self.known.window))
        new = columns_of(batches, number, job, lines)
        self.hours.moment[HURRIED] |= any(batch.deadline_ms is not None for batch in batches)
        of_class = np.bincount(new.job_class, minlength=len(self.known.window))
        came = np.flatnonzero(of_class)
        kernel("live").look_at(self.world, came, of_class[came])
        self.queue.add(new, self.rates_of_order, self.counters)

    def dequeue(self, jobs: Int64s) -> None:
        """Let jobs wait no more; those that do not wait are passed over."""
        kernel("live").dequeue(
            self.rule,
            self.queue.slots,
            self.queue.order,
            self.queue.line,
            self.queue.index,
            self.world,
            np.ascontiguousarray(jobs, np.int64),
        )

    def admit(self, jobs: Sequence[RunningJob]) -> None:
        """Take in placements that hold capacity, each instead of what the state had for that job."""
        if not jobs:
            return
        known = [job.job for job in jobs if job.job in self.run_details]
        if len({job.job for job in jobs}) != len(jobs):
            raise ValueError("a job is listed twice among those running")
        reasons = {job: self.reasons[job] for job in known if job in self.reasons}
        self.release(known, again=True)
        self.dequeue(np.array([job.job for job in jobs], np.int64))
        for job in jobs:
            check_running(job)
        self.known.number_all([job.job_class for job in jobs])
        # Those whose devices are known come first; the rest then take what fits best.
        for job in sorted(jobs, key=lambda job: (not job.devices, job.job)):
            self._admit_one(job)
            if job.job in reasons:
                self.reasons[job.job] = reasons[job.job]

    def _admit_one(self, job: RunningJob) -> None:
        number = self.known.numbers[job.job_class]
        place = self.pool_places.get(job.pool, NOTHING)
        node = column(node for node, _ in job.nodes)
        tasks = column(tasks for _, tasks in job.nodes)
        if place >= 0 and int(node.max()) >= self.pools["end_node"][place] - self.pools["first_node"][place]:
            # It runs beyond the nodes that are in service: count those too; they are never given work.
            standing = self.reservations()
            self._lay_out_nodes({place: int(node.max()) + 1})
            self.known.window[:] = ALWAYS
            self.queue.slots["promised"] = NOTHING
            self.promise_all(standing)
        if self.counters[Counter.FREE_RUNS] == 0:
            self.make_runs(len(self.runs))
        parts = max(1, job.job_class.devices_milli // 1_000) * int(tasks.sum())
        wanted = max(len(node), parts)
        if self.counters[Counter.FREE_RECORDS] < wanted:
            self.make_records(max(wanted, len(self.records)))
        run = kernel("running").admit(
            self.pools,
            self.known.table,
            self.free,
            self.runs,
            self.records,
            self.counters,
            job.job,
            number,
            place,
            job.placed_ms + job.time_limit_ms,
            node,
            tasks,
            column(job.devices),
        )
        self.tenants.take_in(lambda: self.world, run, job)
        self.run_details[job.job] = (run, job.pool, job.placed_ms)

    def release(self, jobs: Sequence[int], *, again: bool = False, looking: bool = True) -> None:
        """Let placements go; jobs that hold nothing are passed over. again: they are taken in anew at once. looking:
        for what that opens; it need not be where all findings are forgotten before the next pass."""
        runs = []
        for job in jobs:
            details = self.run_details.pop(job, None)
            if details is not None:
                runs.append(details[0])
            self.reasons.pop(job, None)
        if runs:
            past = self.tenants.table.past.copy()
            kernel("live").let_go(self.queue.slots, self.world, np.array(runs, np.int64), int(looking))
            if again:
                self.tenants.put_back(past)

    def make_runs(self, more: int) -> None:
        """More rows for placements."""
        old = len(self.runs)
        self.runs = enlarged(self.runs, old + more)
        self.runs["job"][old:] = NOTHING
        chain(self.runs["next"], old, self.counters, Counter.FREE_RUN)
        self.counters[Counter.FREE_RUNS] += more

    def make_records(self, more: int) -> None:
        """More rows for the nodes of placements."""
        old = len(self.records)
        self.records = enlarged(self.records, old + more)
        chain(self.records["next"], old, self.counters, Counter.FREE_RECORD)
        self.counters[Counter.FREE_RECORDS] += more

    def make_groups(self, rows: int, *, used: int = 0) -> None:
        """Room for so many groups of starts in one pass; the first `used` stay."""
        count = len(self.rows)
        listed = count if count < LIST_ALL_BELOW else BEST_LISTED
        rows_listed = np.zeros((rows, listed), LISTED)
        if used:
            rows_listed[:used] = self.work.listed[:used]
        self.work = self.work._replace(
            group=enlarged(self.work.group[:used], rows),
            listed=rows_listed,
            group_index=np.full(2 * rows, NOTHING, np.int64),
        )
        if used:
            kernel("live").regroup(self.work, used)


_NO_BACKLOG = np.zeros((0, 4), np.int64)
_CAUSES = tuple(Cause)
"""By the numbers of kernels/world.py."""


__all__ = ["State"]
