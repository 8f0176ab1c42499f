"""What holds for any history of the core: whatever happens in whatever order, and however it is told."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.scheduling import oracle
from tests.unit.scheduling.provinces import GIB, NOW, pool
from weir.scheduling import Policy, State, explain, fits_ever, step, validate
from weir.scheduling.inputs import (
    NO_DEADLINE,
    Changes,
    Curve,
    JobClass,
    LinkRow,
    PoolRow,
    QueuedJobs,
    RunningJob,
    TenantRow,
    Window,
)
from weir.scheduling.plan import Plan, PoolReason, Reservation, Verdict
from weir.scheduling.policies import NAMED
from weir.scheduling.policy import Order

CENTRES = ("a", "b", "c")
POLICIES = (
    Policy(),
    replace(NAMED["weir"], fair=False),
    NAMED["saf"],
    Policy(depth=0),
    Policy(gate_ms=5_000_000, gate_power=1),
    Policy(by_tenant=True),
    NAMED["weir-by-tenant"],
    Policy(later=True),
    replace(NAMED["weir"], fair=False, later=True, time_micro_yuan_per_hour=1_000_000),
    Policy(later=True, gate_ms=5_000_000, gate_power=1),
    Policy(depth=2),
    Policy(depth=3, gate_ms=5_000_000, gate_power=1),
    Policy(depth=4, by_tenant=True),
    replace(NAMED["weir"], fair=False, depth=3, time_micro_yuan_per_hour=1_000_000),
    replace(NAMED["weir-by-tenant"], depth=2),
    NAMED["conservative"],
)
WINDOWS: tuple[tuple[Window, ...], ...] = (
    (),
    (),
    (),
    (Window(NOW + 2_000, NOW + 3_601_000),),
    (Window(0, 600_000, 3_600_000), Window(NOW + 1_000_500, NOW + 1_900_000)),
)
CURVES = (None, None, Curve(((0, 1_000_000), (2_400_000, 90_000_000)), 3_600_000))
TENANTS = 3
"""A job's number says whose it is."""
LINKS = (LinkRow("a", "b", 10**9, 5), LinkRow("b", "c", 10**8, 20))


@st.composite
def provinces(draw: st.DrawFn) -> tuple[PoolRow, ...]:
    count = draw(st.integers(1, 4))
    return tuple(
        pool(
            f"{draw(st.sampled_from(CENTRES))}/{number}",
            nodes=draw(st.integers(0, 4)),
            devices_per_node=draw(st.integers(0, 3)),
            cores_milli_per_node=draw(st.sampled_from([2_000, 4_000, 9_500])),
            memory_bytes_per_node=draw(st.integers(2, 9)) * GIB,
            reservations=draw(st.sampled_from([None, None, 1, 3])),
            shares=number % 2 == 1,  # of one pool always alike, so that the devices picked are always told
            speed_milli=draw(st.sampled_from([500, 1_000, 1_300])),
            device_hour_micro_yuan=draw(st.sampled_from([1_000_000, 30_000_000])),
            stack=draw(st.sampled_from(["cuda", "cann"])),
            closed_because=draw(st.sampled_from(["", "", "", "draining"])),
            windows=draw(st.sampled_from(WINDOWS)),
            device_hour_over_time=draw(st.sampled_from(CURVES)),
        )
        for number in range(count)
    )


classes = st.builds(
    JobClass,
    tasks=st.sampled_from([1, 1, 2, 3, 6]),
    devices_milli=st.sampled_from([0, 300, 500, 700, 1_000, 1_000, 2_000]),
    cores_milli=st.sampled_from([0, 500, 1_000, 2_000]),
    memory_bytes=st.sampled_from([0, GIB, 2 * GIB]),
    variant_speeds=st.sampled_from([(), (), (("cuda", 800),)]),
    data=st.sampled_from([(), (), (("a", 10**9),), (("c", 10**8), ("a", 5))]),
    weight_carbon=st.sampled_from([0, 1_000]),
)


@dataclass
class Told:
    """What has been told to the core so far: the snapshot that a new one would be given."""

    pools: tuple[PoolRow, ...] = ()
    queued: dict[int, tuple[JobClass, int, int, int, int, int]] = field(default_factory=dict)
    running: dict[int, RunningJob] = field(default_factory=dict)
    promised: dict[int, Reservation] = field(default_factory=dict)

    def take(self, changes: Changes, plan: Plan, now_ms: int) -> None:
        if changes.pools is not None:
            self.pools = changes.pools
        for job in changes.freed:
            self.running.pop(job, None)
        for job in changes.unqueued.tolist():
            self.queued.pop(job, None)
            self.promised.pop(job, None)
        for batch in changes.queued:
            columns = (batch.job, batch.priority, batch.submitted_ms, batch.time_limit_ms)
            for job, *rest in zip(
                *(column.tolist() for column in (*columns, batch.expected, batch.deadlines)), strict=True
            ):
                self.queued[job] = (batch.job_class, *rest)
                self.promised.pop(job, None)
        for start in plan.starts:
            job_class, _, _, limit, _, _ = self.queued.pop(start.job)
            self.running[start.job] = RunningJob(
                start.job,
                job_class,
                start.pool,
                start.nodes,
                now_ms,
                limit,
                start.devices,
                start.job % TENANTS,
            )

    def keep(self, plan: Plan) -> None:
        """The promises that stand from now on."""
        self.promised = {kept.job: kept for kept in plan.reservations}

    def snapshot(self, tenants: tuple[TenantRow, ...]) -> Changes:
        return Changes(
            pools=self.pools,
            links=LINKS,
            queued=tuple(batch(job_class, [(job, *rest)]) for job, (job_class, *rest) in self.queued.items()),
            running=tuple(self.running.values()),
            promised=tuple(self.promised.values()),
            tenants=tenants,
        )


def batch(job_class: JobClass, rows: list[tuple[int, ...]]) -> QueuedJobs:
    """Rows: job, priority, submitted, limit and, where they are told, expected and deadline."""
    columns = np.array(rows, np.int64).T
    named = ("job", "priority", "submitted_ms", "time_limit_ms", "expected_ms", "deadline_ms")
    told = {name: np.ascontiguousarray(column) for name, column in zip(named, columns, strict=False)}
    return QueuedJobs(job_class, tenant=columns[0] % TENANTS, **told)


tenant_rows = st.builds(
    TenantRow,
    tenant=st.integers(0, TENANTS - 1),
    weight_milli=st.sampled_from([500, 1_000, 3_000]),
    quota_micro_yuan_per_hour=st.sampled_from([0, 0, 2_000_000, 60_000_000]),
    ceiling_micro_yuan_per_hour=st.sampled_from([None, None, 0, 3_000_000, 61_000_000]),
)


@st.composite
def next_changes(draw: st.DrawFn, told: Told, numbers: list[int]) -> Changes:
    changes: dict[str, Any] = {}
    if not numbers or draw(st.integers(0, 9)) == 0:
        changes["tenants"] = draw(
            st.lists(tenant_rows, max_size=TENANTS, unique_by=lambda row: row.tenant).map(tuple)
        )
    if not told.pools or draw(st.integers(0, 9)) == 0:
        changes["pools"] = draw(provinces())
        changes["links"] = LINKS
    held, waiting = sorted(told.running), sorted(told.queued)
    if held:
        ended = draw(st.lists(st.sampled_from(held), unique=True, max_size=4))
        changes["freed"] = tuple(ended)
    if waiting:
        gone = draw(st.lists(st.sampled_from(waiting), unique=True, max_size=3))
        changes["unqueued"] = np.array(gone, np.int64)
    batches = []
    for _ in range(draw(st.integers(0, 3))):
        rows: list[tuple[int, ...]] = []
        for _ in range(draw(st.integers(1, 4))):
            numbers.append(len(numbers) + 1)
            submitted, limit = draw(st.integers(0, 5)), draw(st.sampled_from([1_000, 60_000, 3_600_000]))
            expected = draw(st.sampled_from([limit, limit, limit // 10]))
            deadline = draw(st.sampled_from([NO_DEADLINE, NO_DEADLINE, NO_DEADLINE, NOW + 2 * limit]))
            number = numbers[-1] * 61_803 % 100_003
            rows.append((number, draw(st.integers(0, 2)), NOW + submitted, limit, expected, deadline))
        batches.append(batch(draw(classes), rows))
    return Changes(**changes, queued=tuple(batches))


def needs(job_class: JobClass) -> tuple[int, int, int]:
    return job_class.devices_milli, job_class.cores_milli, job_class.memory_bytes


def assert_starts_are_right(told: Told, plan: Plan, now_ms: int) -> None:
    """Called before the plan is taken in: all that a start must fulfil, computed the slow way."""
    by_key = {row.key: row for row in told.pools}
    used: defaultdict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0, 0])
    device: defaultdict[tuple[str, int, int], int] = defaultdict(int)
    rows = [(job.job_class, job.pool, job.nodes, job.devices) for job in told.running.values()]
    new = [(told.queued[start.job][0], start.pool, start.nodes, start.devices) for start in plan.starts]
    for start in plan.starts:
        limit = told.queued[start.job][3]
        assert oracle.begins_next(by_key[start.pool].windows, now_ms) >= now_ms + limit
    # A pool made smaller may be too full by what runs there; of what a start needs there is enough in any case.
    needed: defaultdict[tuple[str, int], set[int]] = defaultdict(set)
    for job_class, key, nodes, devices in new:
        assert "" == by_key[key].closed_because
        assert [Verdict.FITS] == [reason.verdict for reason in fits_ever([by_key[key]], LINKS, job_class)]
        assert job_class.tasks == sum(tasks for _, tasks in nodes)
        assert all(0 <= node < by_key[key].nodes for node, _ in nodes)
        for node, _ in nodes:
            needed[key, node] |= {place for place, need in enumerate(needs(job_class)) if need}
        assert bool(devices) == (by_key[key].shares and job_class.devices_milli > 0)
    for job_class, key, nodes, devices in rows + new:
        each = iter(devices)
        for node, tasks in nodes:
            for place, need in enumerate(needs(job_class)):
                used[key, node][place] += tasks * need
            for _ in range(tasks * max(1, job_class.devices_milli // 1_000) if devices else 0):
                device[key, node, next(each)] += min(1_000, job_class.devices_milli)
    for (key, node), places in needed.items():
        row = by_key[key]
        most = (row.devices_per_node * 1_000, row.cores_milli_per_node, row.memory_bytes_per_node)
        assert all(used[key, node][place] <= most[place] for place in places)
        assert all(amount <= 1_000 for at, amount in device.items() if at[:2] == (key, node))


def assert_waits_by_choice(
    state: State, told: Told, job: int, pools: Sequence[PoolReason], spare: Sequence[PoolReason]
) -> None:
    """Where it could have started, it scores worse than from its promise on, what it waits until then included."""
    assert state.policy.later
    assert state.last is not None
    [kept] = [kept for kept in state.reservations() if kept.job == job]
    assert kept.start_ms > state.last.now_ms
    for reason in spare:
        assert (Verdict.OUTSCORED, kept.start_ms) == (reason.verdict, reason.rather_at_ms)
        assert reason.better_by_micro_yuan > 0
    [row] = [row for row in told.pools if row.key == kept.pool]
    [there] = [reason.terms for reason in pools if reason.pool == kept.pool]
    job_class, *_, deadline = told.queued[job]
    if (
        there is not None
        and not row.windows
        and row.device_hour_over_time is None
        and deadline == NO_DEADLINE
    ):
        wait = (
            (kept.start_ms - int(state.hours.moment[0])) * state.policy.time_micro_yuan_per_hour // 3_600_000
        )
        later = there.score + job_class.weight_time * wait // 1_000
        assert all(each.terms.score - later == each.better_by_micro_yuan for each in spare if each.terms)


def assert_explained(state: State, told: Told, plan: Plan) -> None:
    by_age = state.policy.order is Order.SUBMITTED and not state.policy.by_tenant
    for start in plan.starts:
        answer = explain(state, start.job)
        assert answer is not None
        assert 0 == answer.position
        assert plan.reasons[start.reason] == answer.pools
        [chosen] = [reason for reason in answer.pools if reason.verdict is Verdict.CHOSEN]
        assert start.pool == chosen.pool
        better = [r for r in answer.pools if r.terms and chosen.terms and r.terms.score < chosen.terms.score]
        assert {reason.verdict for reason in better} <= {Verdict.FULL, Verdict.CLOSED}
    in_haste = any(row[5] < NO_DEADLINE for row in told.queued.values())
    order = sorted(told.queued, key=lambda job: (-told.queued[job][1], told.queued[job][2], job))
    for position, job in enumerate(order, 1):
        answer = explain(state, job)
        assert answer is not None
        assert len(order) == answer.queued
        fellows = [other for other in order[: position - 1] if told.queued[other][0] == told.queued[job][0]]
        if by_age and not in_haste:
            assert (position, len(fellows)) == (answer.position, answer.ahead_of_same_class)
        waits = {Verdict.FULL, Verdict.FAILS, Verdict.CLOSED}
        spare = [reason for reason in answer.pools if reason.verdict not in waits]
        if spare:
            assert_waits_by_choice(state, told, job, answer.pools, spare)
        ever = {reason.pool: reason.failed for reason in fits_ever(told.pools, LINKS, told.queued[job][0])}
        beyond = {r.pool for r in answer.pools if r.failed and r.failed.name == "quota"}
        assert {pool: failed for pool, failed in ever.items() if pool not in beyond} == {
            reason.pool: reason.failed for reason in answer.pools if reason.pool not in beyond
        }
        assert all(ever[pool] is None for pool in beyond)


@settings(max_examples=150)
@given(st.data())
def test_any_history_is_lawful_and_equals_its_snapshot(data: st.DataObject) -> None:
    policy = data.draw(st.sampled_from(POLICIES))
    state, told, now_ms = State.empty(policy), Told(), NOW
    numbers: list[int] = []
    for _ in range(data.draw(st.integers(1, 6))):
        now_ms += data.draw(st.sampled_from([0, 1_000, 120_000, 4_000_000]))
        changes = data.draw(next_changes(told, numbers))
        state, plan = step(state, changes, now_ms)
        before = Told(told.pools, dict(told.queued), dict(told.running), dict(told.promised))
        before.take(changes, replace(plan, starts=()), now_ms)
        # The same from nothing, told in another order.
        snapshot = before.snapshot(state.usage(now_ms))
        turned = replace(
            snapshot,
            queued=snapshot.queued[::-1],
            running=snapshot.running[::-1],
            tenants=snapshot.tenants[::-1],
            promised=snapshot.promised[::-1],
        )
        for told_so in (snapshot, turned):
            fresh, again = step(State.empty(policy), told_so, now_ms)
            assert plan.digest == again.digest
            assert (plan.starts, plan.reasons) == (again.starts, again.reasons)
            assert plan.reservations == again.reservations
            validate(fresh)
        assert_starts_are_right(before, plan, now_ms)
        told.take(changes, plan, now_ms)
        told.keep(plan)
        validate(state)
        assert_explained(state, told, plan)
        assert (len(told.queued), len(told.running)) == (state.queued, state.running)


@settings(max_examples=60)
@given(
    provinces(),
    st.lists(st.tuples(classes, st.integers(1, 3)), min_size=1, max_size=8),
    st.sampled_from([Policy(), Policy(later=True, time_micro_yuan_per_hour=100_000)]),
    st.randoms(),
)
def test_reservations_hold_and_all_start_while_nothing_changes_but_by_limits(
    rows: tuple[PoolRow, ...], wanted: list[tuple[JobClass, int]], policy: Policy, random: Any
) -> None:
    # Every job runs to its limit, and nobody else comes: whoever held the first reservation starts by then.
    batches = [
        batch(job_class, [(100 * n + i, 0, NOW, random.choice([1_000, 5_000, 60_000])) for i in range(count)])
        for n, (job_class, count) in enumerate(wanted)
    ]
    unlike = {one.job_class: one for one in batches}
    told = Told()
    changes = Changes(pools=rows, links=LINKS, queued=tuple(unlike.values()))
    state, now_ms = State.empty(policy), NOW
    promised: dict[int, int] = {}
    while True:
        state, plan = step(state, changes, now_ms)
        told.take(changes, plan, now_ms)
        for start in plan.starts:
            assert now_ms <= promised.pop(start.job, now_ms)
        first = min(
            (r.job for r in plan.reservations), default=None, key=lambda job: (told.queued[job][2], job)
        )
        for reservation in plan.reservations:
            if reservation.job == first:
                assert reservation.start_ms <= promised.get(first, reservation.start_ms)
                promised[first] = reservation.start_ms
        ends = {job: run.placed_ms + run.time_limit_ms for job, run in told.running.items()}
        if not ends and not any(could_run(rows, told.queued[job][0]) for job in told.queued):
            break
        now_ms = min([*ends.values(), state.hours.next_change_ms(now_ms)])
        changes = Changes(freed=tuple(job for job, end in ends.items() if end == now_ms))
        told.take(changes, replace(plan, starts=()), now_ms)
    # Nothing runs, so whatever still waits fits nowhere that is open.
    for job, (job_class, *_) in told.queued.items():
        assert not could_run(rows, job_class), job


def could_run(rows: tuple[PoolRow, ...], job_class: JobClass) -> bool:
    """Whether any pool is open and fit for it."""
    open_pools = [row for row in rows if not row.closed_because]
    return any(reason.verdict is Verdict.FITS for reason in fits_ever(open_pools, LINKS, job_class))
