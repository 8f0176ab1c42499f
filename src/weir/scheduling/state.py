"""The state between two steps, as one explicit value: pools, classes, the queue, and what runs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from weir.scheduling import eligibility, layout
from weir.scheduling.bounds import (
    check_batch,
    check_class,
    check_pools,
    check_running,
    within_bounds,
)
from weir.scheduling.compilation import kernel
from weir.scheduling.inputs import JobClass, LinkRow, PoolRow, QueuedJobs, RunningJob
from weir.scheduling.plan import PoolReason
from weir.scheduling.policy import Policy
from weir.scheduling.tables import (
    CLASS,
    ENTRY,
    LISTED,
    NOTHING,
    QUEUE,
    RECORD,
    RUN,
    SCORED_ROWS,
    SLOT,
    Classes,
    Counter,
    Int64s,
    Nodes,
    Pass,
    Reservations,
    Table,
    chain,
    column,
    enlarged,
    table_of,
)

LIST_ALL_BELOW, BEST_LISTED = 100, 16
_FIRST_ROWS = 64


class State:
    """Everything that the next plan depends on, besides the changes and `now`.

    Made by `State.empty`, changed only by `step`, which takes the value over: after `step(state, …)` use only the
    state that it returns. Its fields are the core's own; what others may ask is `queued`, `running` and `explain`.
    """

    policy: Policy
    rates: Int64s
    rows: tuple[PoolRow, ...]
    facts: eligibility.PoolFacts
    links: dict[tuple[str, str], LinkRow]
    pool_places: dict[str, int]
    stacks: dict[str, int]
    places: dict[str, int]
    """Centres that have pools, to their columns."""
    pools: Table
    free: Nodes
    later: Nodes
    class_numbers: dict[JobClass, int]
    job_classes: list[JobClass | None]
    free_classes: list[int]
    classes: Classes
    failing: dict[int, tuple[PoolReason, ...]]
    queue_numbers: dict[tuple[int, int], int]
    free_queues: list[int]
    queues: Table
    slots: Table
    index: Table
    index_used: int
    runs: Table
    run_details: dict[int, tuple[int, str, int]]
    """By job that holds capacity: its run, the key of its pool, when it was placed."""
    reasons: dict[int, tuple[PoolReason, ...]]
    """Why this state's own starts went where they are."""
    records: Table
    reservations: Reservations
    work: Pass
    counters: Int64s

    @classmethod
    def empty(cls, policy: Policy) -> "State":
        """A province without pools, jobs or history."""
        state = cls()
        state.policy = policy
        state.rates = np.array([policy.time_micro_yuan_per_hour, policy.carbon_micro_yuan_per_kg], np.int64)
        state.links = {}
        state.class_numbers, state.job_classes, state.free_classes = {}, [], []
        state.failing, state.queue_numbers, state.free_queues = {}, {}, []
        state.run_details, state.reasons = {}, {}
        state.counters = np.zeros(Counter.COUNT, np.int64)
        for free_list in (Counter.FREE_SLOT, Counter.FREE_RUN, Counter.FREE_RECORD):
            state.counters[free_list] = NOTHING
        state.queues, state.slots = np.zeros(0, QUEUE), np.zeros(0, SLOT)
        state.runs, state.records = np.zeros(0, RUN), np.zeros(0, RECORD)
        state.work = layout.empty_pass()
        for make in (state.make_slots, state.make_runs, state.make_records):
            make(_FIRST_ROWS)
        state.make_queues()
        state.rows = ()
        state.set_pools((), None)
        state.make_starts(_FIRST_ROWS)
        state.make_groups(_FIRST_ROWS)
        return state

    @property
    def queued(self) -> int:
        """How many jobs wait."""
        return int(self.counters[Counter.QUEUED])

    @property
    def running(self) -> int:
        """How many placements hold capacity."""
        return len(self.run_details)

    def waits(self, job: int) -> bool:
        """Whether the job is in the queue."""
        return bool(kernel("queue").find(self.index, self.slots, job) >= 0)

    # Pools and links.

    def set_pools(self, rows: Sequence[PoolRow], links: Sequence[LinkRow] | None) -> None:
        """Declare all pools anew, and links unless None. What runs stays, counted against the pools as they are now."""
        rows = tuple(sorted(map(within_bounds, rows), key=lambda row: row.key))
        check_pools(rows)
        if links is None and self._only_opened_or_closed(rows):
            return
        if links is not None:
            self.links = eligibility.links_by_centres(sorted(links, key=lambda link: (link.a, link.b)))
        anew = self._withdraw_unlike(rows)
        self.rows = rows
        self.facts = eligibility.PoolFacts.of(rows)
        self.pool_places = {row.key: place for place, row in enumerate(rows)}
        self.stacks = {stack: number for number, stack in enumerate(sorted({row.stack for row in rows}))}
        self.places = {centre: number for number, centre in enumerate(sorted({row.centre for row in rows}))}
        for run, key, _ in self.run_details.values():
            self.runs["pool"][run] = self.pool_places.get(key, NOTHING)
        self._lay_out_nodes()
        self.lay_out_classes()
        self.admit(anew)

    def _only_opened_or_closed(self, rows: tuple[PoolRow, ...]) -> bool:
        """Whether nothing else changed, and then take it in: centres come and go more often than anything else."""
        if len(rows) != len(self.rows) or not rows:
            return False
        for row, before in zip(rows, self.rows, strict=True):
            if row is not before and row != replace(before, closed_because=row.closed_because):
                return False
        self.rows = rows
        self.facts = replace(self.facts, rows=rows)
        self.pools["open"] = [not row.closed_because for row in rows]
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
        self.pools = layout.pools(self.rows, wanted, self.places, self.stacks)
        self.free = layout.idle_nodes(self.rows, self.pools)
        self.later = Nodes(*(column.copy() for column in self.free))
        self.reservations = layout.reservations(self.pools)
        most = int((self.pools["end_node"] - self.pools["first_node"]).max(initial=1))
        self.work = self.work._replace(
            score=np.zeros((SCORED_ROWS, count), np.int64),
            key=np.zeros(most, np.int64),
            choice=np.zeros(most, np.int64),
        )
        self.make_groups(_FIRST_ROWS)
        if self.run_details:
            kernel("running").lay_out(self.pools, self.classes, self.free, self.runs, self.records)

    def _withdraw_unlike(self, rows: tuple[PoolRow, ...]) -> list[RunningJob]:
        """Let go of placements made before their pool began or ceased to share devices; to be taken in anew."""
        before = {row.key: row.shares for row in self.rows}
        unlike = {row.key: row.shares for row in rows if before.get(row.key) != row.shares}
        anew = []
        for job, (run, key, placed_ms) in self.run_details.items():
            job_class = self.job_classes[int(self.runs["job_class"][run])]
            if key in unlike and job_class is not None and job_class.devices_milli:
                [(nodes, devices)] = self.placements(np.array([run]))
                if bool(devices) != unlike[key]:
                    limit = int(self.runs["end"][run]) - placed_ms
                    anew.append(RunningJob(job, job_class, key, nodes, placed_ms, limit))
        self.release([job.job for job in anew])
        return anew

    def lay_out_classes(self) -> None:
        """Compute all that classes have from pools and links; nothing is known to be blocked."""
        rows = max(_FIRST_ROWS, len(self.job_classes))
        count = len(self.rows)
        self.classes = Classes(
            row=np.zeros(rows, CLASS),
            data_ms=np.zeros((0, len(self.places)), np.int64),
            variant_speed=np.zeros((0, len(self.stacks)), np.int64),
            failed=np.zeros((rows, count), np.uint8),
            blocked=np.zeros((rows, count), np.uint8),
            kept=np.zeros((rows, count), np.uint8),
        )
        self.failing.clear()
        data: dict[Any, int] = {}
        variants: dict[Any, int] = {}
        for number, job_class in enumerate(self.job_classes):
            if job_class is not None:
                self._fill_class(number, job_class, data, variants)

    def _fill_class(
        self, number: int, job_class: JobClass, data: dict[Any, int], variants: dict[Any, int]
    ) -> None:
        self.classes.failed[number] = eligibility.failed_constraints(self.facts, self.links, job_class)
        self.classes.blocked[number] = 0
        self.classes.row[number] = layout.class_row(job_class)
        if job_class.data:
            if job_class.data not in data:
                data[job_class.data] = len(self.classes.data_ms)
                row = column(max(0, eligibility.data_ms(self.links, job_class, name)) for name in self.places)
                self.classes = self.classes._replace(data_ms=np.vstack([self.classes.data_ms, row]))
            self.classes.row["data"][number] = data[job_class.data]
        if job_class.variant_speeds:
            if job_class.variant_speeds not in variants:
                variants[job_class.variant_speeds] = len(self.classes.variant_speed)
                speeds = dict(job_class.variant_speeds)
                row = column(layout.speed(speeds.get(stack, 1)) for stack in self.stacks)
                self.classes = self.classes._replace(
                    variant_speed=np.vstack([self.classes.variant_speed, row])
                )
            self.classes.row["variant"][number] = variants[job_class.variant_speeds]

    # Classes and queues.

    def class_number(self, job_class: JobClass) -> int:
        """The row of a class, made if it is new. Raises ValueError when the class is outside the core's bounds."""
        number = self.class_numbers.get(job_class)
        if number is not None:
            return number
        check_class(job_class)
        if self.free_classes:
            number = self.free_classes.pop()
            self.job_classes[number] = job_class
        else:
            number = len(self.job_classes)
            self.job_classes.append(job_class)
        self.class_numbers[job_class] = number
        if number == len(self.classes.row):
            self.classes = layout.twice_the_rows(self.classes)
        self._fill_class(number, job_class, {}, {})
        self.failing.pop(number, None)
        return number

    def forget_classes(self) -> None:
        """Free the rows of classes that no job has any more, if rows run short and that is worth while.

        Only between changes: a class may be known before its first job is.
        """
        if self.free_classes or 4 * len(self.job_classes) < 3 * len(self.classes.row):
            return
        used: set[int] = set(self.queues["job_class"][self.queues["waiting"] > 0].tolist())
        used.update(self.runs["job_class"][self.runs["job"] >= 0].tolist())
        idle = [n for n, job_class in enumerate(self.job_classes) if job_class is not None and n not in used]
        if 4 * len(idle) < len(self.job_classes):
            return
        for number in idle:
            job_class = self.job_classes[number]
            if job_class is not None:
                del self.class_numbers[job_class]
            self.job_classes[number] = None
            self.failing.pop(number, None)
        self.free_classes = idle[::-1]  # so that the lowest is used first
        gone = set(idle)
        for key in [key for key in self.queue_numbers if key[0] in gone]:
            self.free_queues.append(self.queue_numbers.pop(key))
        self.lay_out_classes()

    def queue_number(self, job_class: int, priority: int) -> int:
        """The row of the queue of a class and priority, made if it is new."""
        key = (job_class, priority)
        number = self.queue_numbers.get(key)
        if number is not None:
            return number
        if self.free_queues:
            number = self.free_queues.pop()
        else:
            number = int(self.counters[Counter.QUEUES])
            if number == len(self.queues):
                self.make_queues()
            self.counters[Counter.QUEUES] += 1
        self.queue_numbers[key] = number
        self.queues["job_class"][number] = job_class
        self.queues["priority"][number] = priority
        self.queues["head"][number] = self.queues["tail"][number] = NOTHING
        self.queues["waiting"][number] = 0
        return number

    # Jobs.

    def enqueue(self, batches: Sequence[QueuedJobs]) -> None:
        """Let jobs wait; one that waits already waits with its new values. Raises ValueError for one that runs."""
        if not batches:
            return
        for batch in batches:
            check_batch(batch)
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
        submitted = np.concatenate([batch.submitted_ms for batch in batches])
        limit = np.concatenate([batch.time_limit_ms for batch in batches])
        queue = np.concatenate([self._queues_of(batch) for batch in batches])
        if self.queued:
            self.dequeue(job)
        self._make_room_for(len(job))
        order = np.lexsort((job, submitted, queue))
        self.index_used += kernel("queue").enqueue(
            self.queues,
            self.slots,
            self.index,
            self.counters,
            queue[order],
            job[order],
            submitted[order],
            limit[order],
        )

    def _queues_of(self, batch: QueuedJobs) -> Int64s:
        number = self.class_number(batch.job_class)
        found = np.empty(len(batch.job), np.int64)
        for priority in sorted(set(batch.priority.tolist())):
            found[batch.priority == priority] = self.queue_number(number, int(priority))
        return found

    def _make_room_for(self, jobs: int) -> None:
        wanted = self.queued + jobs
        rows = len(self.slots)
        if wanted > rows:
            self.make_slots(max(wanted, 2 * rows) - rows)
        if 2 * (self.index_used + jobs) > len(self.index):
            size = 1 << (4 * wanted - 1).bit_length()
            self.index = table_of(ENTRY, size, job=np.full(size, NOTHING))
            self.index_used = kernel("queue").reindex(self.index, self.slots)

    def dequeue(self, jobs: Int64s) -> None:
        """Let jobs wait no more; those that do not wait are passed over."""
        kernel("queue").dequeue(
            self.queues, self.slots, self.index, self.counters, np.ascontiguousarray(jobs, np.int64)
        )

    def admit(self, jobs: Sequence[RunningJob]) -> None:
        """Take in placements that hold capacity, each instead of what the state had for that job."""
        if not jobs:
            return
        known = [job.job for job in jobs if job.job in self.run_details]
        if len({job.job for job in jobs}) != len(jobs):
            raise ValueError("a job is listed twice among those running")
        reasons = {job: self.reasons[job] for job in known if job in self.reasons}
        self.release(known)
        self.dequeue(np.array([job.job for job in jobs], np.int64))
        # Those whose devices are known come first; the rest then take what fits best.
        for job in sorted(jobs, key=lambda job: (not job.devices, job.job)):
            self._admit_one(job)
            if job.job in reasons:
                self.reasons[job.job] = reasons[job.job]

    def _admit_one(self, job: RunningJob) -> None:
        check_running(job)
        number = self.class_number(job.job_class)
        place = self.pool_places.get(job.pool, NOTHING)
        node = column(node for node, _ in job.nodes)
        tasks = column(tasks for _, tasks in job.nodes)
        if place >= 0 and int(node.max()) >= self.pools["end_node"][place] - self.pools["first_node"][place]:
            # It runs beyond the nodes that are in service: count those too; they are never given work.
            self._lay_out_nodes({place: int(node.max()) + 1})
        if self.counters[Counter.FREE_RUNS] == 0:
            self.make_runs(len(self.runs))
        parts = max(1, job.job_class.devices_milli // 1_000) * int(tasks.sum())
        wanted = max(len(node), parts)
        if self.counters[Counter.FREE_RECORDS] < wanted:
            self.make_records(max(wanted, len(self.records)))
        run = kernel("running").admit(
            self.pools,
            self.classes,
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
        self.run_details[job.job] = (run, job.pool, job.placed_ms)

    def release(self, jobs: Sequence[int]) -> None:
        """Let placements go; jobs that hold nothing are passed over."""
        runs = []
        for job in jobs:
            details = self.run_details.pop(job, None)
            if details is not None:
                runs.append(details[0])
            self.reasons.pop(job, None)
        if runs:
            kernel("running").release_all(
                self.pools,
                self.classes,
                self.free,
                self.runs,
                self.records,
                self.counters,
                np.array(runs, np.int64),
            )

    def placements(self, which: Int64s) -> list[tuple[tuple[tuple[int, int], ...], tuple[int, ...]]]:
        """Of each run: (node, tasks on it) in task order, and the devices where they are shared."""
        running = kernel("running")
        length = running.count_records(self.runs, self.records, which)
        columns = [np.zeros(length, np.int64) for _ in range(3)]
        begins = [np.zeros(len(which) + 1, np.int64) for _ in range(2)]
        running.unroll(self.runs, self.records, which, *columns, *begins)
        node, tasks, device = (column.tolist() for column in columns)
        first, device_first = (column.tolist() for column in begins)
        return [
            (
                tuple(zip(node[first[i] : first[i + 1]], tasks[first[i] : first[i + 1]], strict=True)),
                tuple(device[device_first[i] : device_first[i + 1]]),
            )
            for i in range(len(which))
        ]

    def make_slots(self, more: int) -> None:
        """More rows for waiting jobs, and an index that leads to all."""
        old = len(self.slots)
        self.slots = enlarged(self.slots, old + more)
        self.slots["queue"][old:] = NOTHING
        chain(self.slots["next"], old, self.counters, Counter.FREE_SLOT)
        if old == 0:
            self.index = table_of(ENTRY, _FIRST_ROWS, job=np.full(_FIRST_ROWS, NOTHING))
            self.index_used = 0

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

    def make_queues(self) -> None:
        """Twice the rows for queues."""
        rows = max(_FIRST_ROWS, 2 * len(self.queues))
        self.queues = enlarged(self.queues, rows)
        self.work = self.work._replace(heap=np.zeros(rows, np.int64))

    def make_starts(self, rows: int) -> None:
        """Room for so many starts in one pass; those there are stay."""
        self.work = self.work._replace(start=enlarged(self.work.start[:rows], rows))

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
            kernel("cycle").regroup(self.work, used)


__all__ = ["State"]
