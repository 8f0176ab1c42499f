"""Whose turn it is: shares by weight, quotas, ceilings, and what of usage fades."""

from collections import Counter, defaultdict
from dataclasses import replace
from itertools import pairwise
from math import log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.scheduling.provinces import HOUR, NOW, pool, waiting
from tests.unit.scheduling.workloads import Row, jobs, machine, whole_nodes
from weir.scheduling import Policy, SimulatedJobs, State, explain, simulate, step, validate
from weir.scheduling.inputs import Changes, JobClass, QueuedJobs, RunningJob, TenantRow
from weir.scheduling.lanes import HALF_LIFE_MS
from weir.scheduling.plan import Plan
from weir.scheduling.policies import NAMED

TURNS = Policy("turns", by_tenant=True)
ONE, NODE = whole_nodes(1), 100_000
"""What a node of a `machine` counts an hour: it has one core at ¥0.10."""


def of(
    tenant: int, numbers: range, *, job_class: JobClass = ONE, priority: int = 0, hours: int = 1
) -> QueuedJobs:
    batch = waiting(job_class, list(numbers), priority=priority, limit_ms=hours * HOUR)
    return replace(batch, tenant=np.full(len(batch.job), tenant, np.int64))


def begun(nodes: int, *queued: QueuedJobs, tenants: tuple[TenantRow, ...] = ()) -> tuple[State, Plan]:
    told = Changes(pools=(machine(nodes),), links=(), tenants=tenants, queued=queued)
    return step(State.empty(TURNS), told, NOW)


def numbers(plan: Plan) -> list[int]:
    return [start.job for start in plan.starts]


def test_who_comes_first_gets_no_more_than_whoever_comes_second() -> None:
    _, plan = begun(6, of(1, range(100, 200)), of(2, range(50)))
    assert [100, 0, 101, 1, 102, 2] == numbers(plan)


def test_a_tenant_of_three_times_the_weight_gets_three_times_as_much() -> None:
    state, plan = begun(12, of(1, range(50)), of(2, range(100, 150)), tenants=(TenantRow(1, 3_000),))
    assert {1: 9, 2: 3} == Counter(1 if job < 100 else 2 for job in numbers(plan))
    validate(state)


def test_a_higher_priority_class_goes_first_whatever_its_tenant_has_used() -> None:
    _, plan = begun(3, of(1, range(3), priority=5, hours=9), of(2, range(10, 20)))
    assert [0, 1, 2] == numbers(plan)


def test_who_starts_in_a_higher_class_stands_back_in_the_lower_one() -> None:
    # Tenant 1 has used least until its urgent job starts, and 3 from then on.
    held = tuple(
        RunningJob(90 + node, ONE, "hefei/a", ((node, 1),), NOW, hours * HOUR, tenant=tenant)
        for node, (tenant, hours) in enumerate(((2, 20), (3, 5), (4, 30)))
    )
    urgent = of(1, range(10, 11), priority=5, hours=10)
    each = tuple(of(tenant, range(10 * tenant + 1, 10 * tenant + 2)) for tenant in (1, 2, 3, 4))
    told = Changes(pools=(machine(5),), links=(), queued=(urgent, *each), running=held)
    state, plan = step(State.empty(TURNS), told, NOW)
    assert [10, 31] == numbers(plan)
    validate(state)


def test_long_jobs_use_a_turn_up_faster_than_short_ones() -> None:
    _, plan = begun(5, of(1, range(10), hours=4), of(2, range(10, 20)))
    assert [0, 10, 11, 12, 13] == numbers(plan)


def test_what_an_ended_job_did_not_use_of_its_limit_is_given_back() -> None:
    state, _ = begun(2, of(1, range(10), hours=10), of(2, range(10, 20), hours=2))
    # The first ended after an hour of ten, the other runs on: 1 against 2.
    state, plan = step(state, Changes(freed=(0,)), NOW + HOUR)
    assert [1] == numbers(plan)
    validate(state)


def test_usage_fades_by_half_every_half_life() -> None:
    state, _ = begun(1, of(1, range(1)))
    state, _ = step(state, Changes(freed=(0,)), NOW + HOUR)
    later = NOW + 8 * HALF_LIFE_MS
    [before] = state.usage(NOW + HOUR)
    state, _ = step(state, Changes(), later)
    [after] = state.usage(later)
    assert before.used is not None
    assert before.used >> 8 == after.used
    # Told to another state, it counts as much.
    other, _ = step(State.empty(TURNS), Changes(tenants=(before,)), later)
    assert (after,) == other.usage(later)


def test_what_a_promise_keeps_idle_is_used() -> None:
    wide = whole_nodes(2)
    told = (of(1, range(1), hours=5), of(2, range(10, 11), job_class=wide))
    state, plan = begun(2, *told)
    assert ([0], [10]) == (numbers(plan), [kept.job for kept in plan.reservations])
    state, _ = step(state, Changes(), NOW + HOUR)
    used = {row.tenant: row.used for row in state.usage(NOW + HOUR)}
    assert used[1] == 0
    # One node of the two idled an hour for the job of tenant 2.
    state, _ = step(state, Changes(freed=(0,), unqueued=np.array([10], np.int64)), NOW + HOUR)
    again = {row.tenant: row.used for row in state.usage(NOW + HOUR)}
    assert again[1] == used[2] == again[2]


def test_owners_go_before_those_who_borrow() -> None:
    owner = TenantRow(2, quota_micro_yuan_per_hour=2 * NODE)
    # Tenant 2 has used far more, and is within its quota.
    used = replace(owner, used=2**40, used_as_of_ms=NOW)
    _, plan = begun(5, of(1, range(10)), of(2, range(10, 20)), tenants=(used,))
    assert [10, 11, 0, 1, 2] == numbers(plan)


def test_a_ceiling_leaves_nodes_idle_and_is_the_reason_that_is_given() -> None:
    capped = TenantRow(1, ceiling_micro_yuan_per_hour=2 * NODE)
    state, plan = begun(5, of(1, range(10)), tenants=(capped,))
    assert [0, 1] == numbers(plan)
    assert () == plan.reservations
    explained = explain(state, 2)
    assert explained is not None
    [reason] = explained.pools
    assert reason.failed is not None
    assert ("quota", "¥0.10 an hour of the tenant's share") == (reason.failed.name, reason.failed.needed)
    assert "¥0.00 left of the ceiling of ¥0.20" == reason.failed.found
    # Others of the same class start, and what ends makes room below the ceiling.
    state, plan = step(state, Changes(queued=(of(2, range(20, 22)),)), NOW + 1)
    assert [20, 21] == numbers(plan)
    state, plan = step(state, Changes(freed=(1,)), NOW + 2)
    assert [2] == numbers(plan)
    validate(state)


def test_who_reaches_its_ceiling_is_promised_nothing_any_more() -> None:
    wide = whole_nodes(3)
    state, plan = begun(3, of(1, range(1), hours=5), of(2, range(10, 11), job_class=wide))
    assert [10] == [kept.job for kept in plan.reservations]
    capped = TenantRow(2, ceiling_micro_yuan_per_hour=2 * NODE)
    _, plan = step(state, Changes(tenants=(capped,)), NOW + 1)
    assert () == plan.reservations


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (TenantRow(1, weight_milli=0), "weight_milli is 0"),
        (TenantRow(-1), "tenant is -1"),
        (TenantRow(1, ceiling_micro_yuan_per_hour=-1), "ceiling_micro_yuan_per_hour is -1"),
    ],
)
def test_a_share_out_of_bounds_is_refused_by_name(row: TenantRow, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        begun(1, tenants=(row,))


Steps = list[tuple[list[tuple[int, int]], int]]
histories = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(0, 2), st.integers(1, 40)), max_size=12),
        st.integers(0, 5),
    ),
    min_size=1,
    max_size=6,
)
rows_of_three = st.tuples(
    *(
        st.builds(
            TenantRow,
            tenant=st.just(tenant),
            weight_milli=st.sampled_from([500, 1_000, 4_000]),
            quota_micro_yuan_per_hour=st.sampled_from([0, 0, 2 * NODE]),
            ceiling_micro_yuan_per_hour=st.sampled_from([None, None, 3 * NODE]),
        )
        for tenant in range(3)
    )
)


@settings(max_examples=60)
@given(histories, rows_of_three, st.integers(1, 6))
def test_each_start_is_of_the_tenant_whose_turn_it_was(
    history: Steps, told: tuple[TenantRow, ...], nodes: int
) -> None:
    # One class, whole nodes, limits alike within a tenant's turn: so nobody is passed over for want of room.
    state, now = State.empty(TURNS), NOW
    queue: dict[int, list[int]] = defaultdict(list)
    limit, tenant_of = dict[int, int](), dict[int, int]()
    placed, ended = dict[int, int](), dict[int, int]()
    pools = (machine(nodes),)
    for number, (came, frees) in enumerate(history):
        now += HOUR
        freed = sorted(placed.keys() - ended.keys())[:frees]
        ended.update(dict.fromkeys(freed, now))
        batches = []
        for tenant, hours in came:
            job = len(tenant_of)
            tenant_of[job], limit[job] = tenant, hours
            queue[tenant].append(job)
            batches.append(
                replace(of(tenant, range(job, job + 1), hours=hours), submitted_ms=np.array([NOW + job]))
            )
        merged = tuple(batches)
        changes = Changes(
            pools=pools if number == 0 else None,
            links=() if number == 0 else None,
            tenants=told if number == 0 else (),
            queued=merged,
            freed=tuple(freed),
        )
        state, plan = step(state, changes, now)
        validate(state)

        def level(tenant: int) -> float:
            total = 0.0
            for job, at in placed.items():
                if tenant_of[job] == tenant:
                    held = ended[job] - at if job in ended else limit[job] * HOUR
                    total += held / HOUR * 2 ** ((at - NOW) / HALF_LIFE_MS)
            return total / told[tenant].weight_milli

        def holds(tenant: int) -> int:
            return NODE * sum(tenant_of[job] == tenant for job in placed.keys() - ended.keys())

        def may(tenant: int) -> bool:
            ceiling = told[tenant].ceiling_micro_yuan_per_hour
            return bool(queue[tenant]) and (ceiling is None or holds(tenant) + NODE <= ceiling)

        def borrows(tenant: int) -> bool:
            return holds(tenant) >= told[tenant].quota_micro_yuan_per_hour

        for start in plan.starts:
            tenant = tenant_of[start.job]
            assert may(tenant)
            assert queue[tenant].pop(0) == start.job
            queue[tenant].insert(0, start.job)
            for other in range(3):
                if other != tenant and may(other):
                    assert borrows(tenant) <= borrows(other)
                    if borrows(tenant) == borrows(other):
                        # A level is counted in steps of a four-hundredth of a node-hour for a weight of 1,000.
                        assert level(tenant) <= level(other) * 1.001 + 5e-6
            queue[tenant].pop(0)
            placed[start.job] = now
        free = nodes - len(placed.keys() - ended.keys())
        assert free == 0 or not any(map(may, range(3)))


PATIENT = NAMED["weir-by-tenant"]


def patience_ms(expected_ms: int, nodes: int) -> float:
    hours = PATIENT.patience_ms * (expected_ms / HOUR) ** (PATIENT.run_power_milli / 1_000)
    return float(hours * (1 / nodes) ** (PATIENT.size_power_milli / 1_000))


comings = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 12, 60]),  # hours since those before
        st.lists(st.tuples(st.integers(0, 1), st.sampled_from([1, 8, 60, 400])), max_size=4),
        st.integers(0, 2),
    ),
    min_size=3,
    max_size=12,
)


@settings(max_examples=60)
@given(comings, st.integers(1, 3))
def test_whose_patience_has_ended_goes_before_all_of_his_tenant_who_came_later(
    history: list[tuple[int, list[tuple[int, int]], int]], nodes: int
) -> None:
    state, now, coming = State.empty(PATIENT), NOW, 0
    tenant_of, came, ends = dict[int, int](), dict[int, int](), dict[int, float]()
    held, waits = list[int](), set[int]()
    for number, (gap, new, frees) in enumerate(history):
        now += gap * HOUR
        batches = []
        for tenant, hours in new:
            coming += 1
            waits.add(coming)
            tenant_of[coming], came[coming] = tenant, now
            ends[coming] = now + patience_ms(hours * HOUR, nodes)
            told = of(tenant, range(coming, coming + 1), hours=hours)
            batches.append(replace(told, submitted_ms=np.array([now])))
        changes = Changes(
            pools=(machine(nodes),) if number == 0 else None,
            links=() if number == 0 else None,
            queued=tuple(batches),
            freed=tuple(held[:frees]),
        )
        del held[:frees]
        state, plan = step(state, changes, now)
        for job in numbers(plan):
            waits.remove(job)
            held.append(job)
            left = [other for other in waits if tenant_of[other] == tenant_of[job]]
            # Logarithms are counted in 65,536ths.
            assert all(came[job] <= ends[other] + 0.001 * (ends[other] - came[other]) for other in left)
        assert not waits or len(held) == nodes


@pytest.mark.parametrize("others", [1, 3])
def test_who_used_all_for_ever_waits_for_its_turn_until_the_others_have_faded_it_away(others: int) -> None:
    # docs/how-to/write-a-policy.md: half-lives x log2(1 + weight of the others / its own), and a job of each.
    day, first, now = 24 * HOUR, 1_000, NOW
    state, _ = step(State.empty(TURNS), Changes(pools=(machine(1),), links=()), now)
    for job in range(70):
        freed = (job - 1,) if job else ()
        state, plan = step(state, Changes(queued=(of(0, range(job, job + 1), hours=24),), freed=freed), now)
        assert [job] == numbers(plan)
        now += day
    flood = [
        of(tenant, range(tenant * first, tenant * first + 100), hours=24) for tenant in range(1, others + 1)
    ]
    state, plan = step(state, Changes(queued=(*flood, of(0, range(500, 501))), freed=(69,)), now)
    began = now
    while numbers(plan) != [500]:
        now += day
        state, plan = step(state, Changes(freed=tuple(numbers(plan))), now)
        assert now - began <= HALF_LIFE_MS * log2(1 + others) + (others + 1) * day
    assert now - began > HALF_LIFE_MS * log2(1 + others) / 2


def shared(rows: list[Row], *tenants: TenantRow, classes: list[JobClass] | None = None) -> SimulatedJobs:
    """Each user a tenant."""
    made = jobs(rows, classes)
    return replace(made, tenant=made.user, tenants=tenants)


def test_nobody_starves_behind_a_flood() -> None:
    flood: list[Row] = [(0, 60, 60, 1, 1)] * 200
    work = shared([*flood, (130, 60, 60, 1, 2)])
    found = simulate([machine(4)], (), work, NAMED["weir-by-tenant"])
    assert 180_000 == found.start_ms[-1]


@settings(max_examples=30)
@given(st.lists(st.integers(1, 3), min_size=2, max_size=3), st.integers(1, 5), st.integers(1, 30))
def test_whoever_waits_gets_his_share_at_every_time(weights: list[int], nodes: int, minutes: int) -> None:
    rows: list[Row] = [
        (0, 60 * minutes, 60 * minutes, 1, user) for user in range(1, len(weights) + 1) for _ in range(60)
    ]
    told = [TenantRow(user, 1_000 * weight) for user, weight in enumerate(weights, 1)]
    work = shared(rows, *told)
    found = simulate([machine(nodes)], (), work, TURNS)
    started = np.sort(found.start_ms)
    # Until somebody has none left that waits.
    until = min(int(found.start_ms[work.tenant == row.tenant].max()) for row in told)
    for _, now in pairwise([-1, *np.unique(started[started < until]).tolist()]):
        got = [int(((found.start_ms <= now) & (work.tenant == row.tenant)).sum()) for row in told]
        for one, weight in zip(got, weights, strict=True):
            for other, another in zip(got, weights, strict=True):
                # By usage per weight nobody is ahead by more than the job that took him there.
                assert (one - 1) / weight <= other / another + 0.02 * (1 + other / another)


def test_what_was_borrowed_is_given_back_to_the_owner_who_comes() -> None:
    lent = replace(ONE, preemptible=True, checkpoint_every_ms=60_000)
    borrower: list[Row] = [(0, 7_200, 7_200, 0, 1)] * 4
    owner: list[Row] = [(900, 600, 600, 0, 2)] * 3
    own = TenantRow(2, quota_micro_yuan_per_hour=2 * NODE)
    work = shared([*borrower, *owner], own, classes=[lent])
    found = simulate([machine(4)], (), work, NAMED["weir-by-tenant"])
    # Two at once, by its quota; the third is no longer within it.
    assert [900_000, 900_000] == sorted(found.start_ms[4:].tolist())[:2]
    assert found.start_ms[4:].max() > 900_000
    assert found.given_up is not None
    assert 2 == len(found.given_up)
    # Without a quota nobody owns anything.
    found = simulate([machine(4)], (), replace(work, tenants=()), NAMED["weir-by-tenant"])
    assert found.given_up is None


def test_the_reserved_class_never_gives_way() -> None:
    lent = replace(ONE, preemptible=True, checkpoint_every_ms=60_000)
    rows: list[Row] = [(0, 7_200, 7_200, 0, 1)] * 4 + [(900, 600, 600, 0, 2)]
    own = TenantRow(2, quota_micro_yuan_per_hour=2 * NODE)
    work = shared(rows, own, classes=[lent])
    reserved = replace(work, priority=np.full(5, 30, np.int64))
    assert simulate([machine(4)], (), reserved, NAMED["weir-by-tenant"]).given_up is None


def test_prices_that_move_do_not_change_shares() -> None:
    book = {"share_device_hour_micro_yuan": 0, "share_core_hour_micro_yuan": NODE}
    rows = tuple(
        pool(
            "a/a", nodes=2, devices_per_node=0, cores_milli_per_node=1_000, core_hour_micro_yuan=price, **book
        )
        for price in (1, 50 * NODE)
    )
    used = []
    for row in rows:
        told = Changes(pools=(row,), links=(), queued=(of(1, range(2)),))
        state, _ = step(State.empty(TURNS), told, NOW)
        state, _ = step(state, Changes(freed=(0, 1)), NOW + HOUR)
        used.append(state.usage(NOW + HOUR))
    assert used[0] == used[1]
