"""Several promises a pool: who has one, what they bind, and when they may be for later."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.scheduling.provinces import HOUR, NOW, pool, started, task, waiting
from tests.unit.scheduling.test_properties import LINKS, Told, batch, classes, provinces
from weir.scheduling import Policy, State, explain, step, validate
from weir.scheduling.inputs import Changes, JobClass, PoolRow, RunningJob
from weir.scheduling.plan import Cause, Verdict
from weir.scheduling.policies import NAMED
from weir.scheduling.policy import ALL
from weir.scheduling.province_simulation import check_province
from weir.scheduling.simulation import SimulatedJobs, simulate


def of(nodes: int) -> JobClass:
    """Whole nodes of the pool that `pool` makes."""
    return task(tasks=nodes, devices_milli=8_000)


def busy(state: State, ends: dict[int, int], pools: tuple[PoolRow, ...]) -> State:
    """Let jobs of one node each run until these instants."""
    batches = tuple(
        waiting(of(1), [job], priority=9, limit_ms=end - NOW) for job, end in sorted(ends.items())
    )
    state, plan = step(state, Changes(pools=pools, queued=batches), NOW)
    assert sorted(ends) == sorted(start.job for start in plan.starts)
    return state


def test_the_first_k_in_order_are_promised_starts_one_after_another() -> None:
    state = busy(State.empty(Policy(depth=2)), {1: NOW + HOUR, 2: NOW + 2 * HOUR}, (pool(nodes=2),))
    wide = waiting(of(2), [10, 11, 12], limit_ms=HOUR)
    state, plan = step(state, Changes(queued=(wide,)), NOW)
    assert [(10, NOW + 2 * HOUR), (11, NOW + 3 * HOUR)] == [
        (kept.job, kept.start_ms) for kept in plan.reservations
    ]
    validate(state)


@pytest.mark.parametrize(("depth", "starts"), [(1, {12: "hefei/a"}), (2, {})])
def test_what_is_behind_delays_none_of_them(depth: int, starts: dict[int, str]) -> None:
    # 10 needs all from two hours on, and 11 three nodes right after it: a node that is idle now may be used for two
    # hours in any case, for longer only if nobody has been promised what comes then.
    rows = (pool(nodes=4),)
    ends = {1: NOW + 2 * HOUR, 2: NOW + 2 * HOUR, 3: NOW + 2 * HOUR}
    state = busy(State.empty(Policy(depth=depth)), ends, rows)
    first, second = waiting(of(3), [10], limit_ms=HOUR), waiting(of(4), [11], limit_ms=HOUR)
    state, plan = step(state, Changes(queued=(first, second, waiting(of(1), [12], limit_ms=4 * HOUR))), NOW)
    assert starts == started(plan)


def test_who_is_behind_waits_though_there_is_room_that_he_would_keep_too_long() -> None:
    rows = (pool(nodes=3),)
    state = busy(State.empty(Policy(depth=2)), {1: NOW + HOUR, 2: NOW + 4 * HOUR, 3: NOW + 4 * HOUR}, rows)
    long, short = waiting(of(3), [10], limit_ms=HOUR), waiting(of(1), [11], limit_ms=8 * HOUR)
    state, plan = step(state, Changes(queued=(long, short)), NOW)
    assert [(10, NOW + 4 * HOUR), (11, NOW + 5 * HOUR)] == [
        (kept.job, kept.start_ms) for kept in plan.reservations
    ]
    state, plan = step(state, Changes(freed=(1,)), NOW + 1_000)
    # There is room for 11 now, and it would keep 10 from starting.
    assert {} == started(plan)
    state, plan = step(state, Changes(freed=(2, 3)), NOW + 2_000)
    assert {10: "hefei/a"} == started(plan)
    assert [(11, NOW + 2_000 + HOUR)] == [(kept.job, kept.start_ms) for kept in plan.reservations]


def test_explain_names_the_promise_that_the_room_is_kept_for_and_until_when() -> None:
    rows = (pool(nodes=4),)
    ends = {1: NOW + 2 * HOUR, 2: NOW + 2 * HOUR, 3: NOW + 2 * HOUR}
    state = busy(State.empty(Policy(depth=2)), ends, rows)
    first, second = waiting(of(3), [10], limit_ms=HOUR), waiting(of(4), [11], limit_ms=HOUR)
    state, _ = step(state, Changes(queued=(first, second, waiting(of(1), [12], limit_ms=4 * HOUR))), NOW)
    answer = explain(state, 12)
    assert answer is not None
    [reason] = answer.pools
    assert (Verdict.FULL, NOW + 3 * HOUR) == (reason.verdict, reason.fits_until_ms)
    assert "is kept for job 11" in reason.note
    for job, start_ms in ((10, NOW + 2 * HOUR), (11, NOW + 3 * HOUR)):
        answer = explain(state, job)
        assert answer is not None
        [reason] = answer.pools
        assert reason.note.startswith("promised to this job")
        assert start_ms == next(kept.start_ms for kept in state.reservations() if kept.job == job)


def test_a_pool_that_shares_devices_promises_one_start_at_a_time() -> None:
    rows = (pool(nodes=2, shares=True),)
    state = busy(State.empty(Policy(depth=4)), {1: NOW + HOUR, 2: NOW + HOUR}, rows)
    state, plan = step(state, Changes(queued=(waiting(of(2), [10, 11]),)), NOW)
    assert [10] == [kept.job for kept in plan.reservations]


@pytest.mark.parametrize("depth", [1, 4])
def test_a_pool_s_own_number_goes_before_the_policy_s(depth: int) -> None:
    rows = (
        pool(nodes=2),
        pool("wuhu/two", nodes=2, reservations=2),
        pool("suzhou/shared", nodes=2, reservations=3, shares=True),
    )
    state = busy(State.empty(Policy(depth=depth)), dict.fromkeys(range(1, 7), NOW + HOUR), rows)
    cases = [("hefei", 10), ("wuhu", 20), ("suzhou", 30)]
    queued = tuple(
        waiting(replace(of(2), centres=(centre,)), range(first, first + 8)) for centre, first in cases
    )
    state, plan = step(state, Changes(queued=queued), NOW)
    promised = Counter(kept.pool for kept in plan.reservations)
    assert {"hefei/a": depth, "wuhu/two": 2, "suzhou/shared": 1} == promised
    validate(state)


def test_a_policy_that_promises_nothing_does_so_whatever_a_pool_says() -> None:
    state = busy(
        State.empty(Policy(depth=0)), {1: NOW + HOUR, 2: NOW + HOUR}, (pool(nodes=2, reservations=2),)
    )
    state, plan = step(state, Changes(queued=(waiting(of(2), [10, 11]),)), NOW)
    assert () == plan.reservations


def test_a_pool_s_number_may_change_at_any_cycle() -> None:
    def numbered(number: int | None) -> Changes:
        return Changes(pools=(pool(nodes=2, reservations=number),))

    state = busy(State.empty(Policy()), {1: NOW + HOUR, 2: NOW + HOUR}, (pool(nodes=2),))
    state, plan = step(state, Changes(queued=(waiting(of(2), [10, 11, 12, 13]),)), NOW)
    [first] = plan.reservations
    starts = [(10 + number, NOW + (number + 1) * HOUR) for number in range(4)]
    for number, count in ((3, 3), (None, 1), (4, 4), (2, 2), (1, 1)):
        state, plan = step(state, numbered(number), NOW)
        assert starts[:count] == [(kept.job, kept.start_ms) for kept in plan.reservations]
        assert first == plan.reservations[0]
        validate(state)


@pytest.mark.parametrize("number", [1, 2, 32])
def test_the_twin_promises_as_a_pool_says_whether_nodes_are_named_or_counted(number: int) -> None:
    count = 60
    random: Any = np.random.default_rng(3)
    none, kinds = np.zeros(count, np.int64), tuple(of(nodes) for nodes in range(1, 5))
    limit = 60_000 * random.integers(1, 60, count)
    jobs = SimulatedJobs(
        submitted_ms=NOW + np.sort(random.integers(0, HOUR, count)), run_ms=limit // random.integers(1, 4, count),
        limit_ms=limit, job_class=random.integers(0, 4, count), classes=kinds,
        tenant=none, user=none, group=none, priority=none,
    )  # fmt: skip
    silent = (pool(nodes=5), pool("wuhu/b", nodes=0))
    said = tuple(replace(row, reservations=number) for row in silent)
    for pools in (1, 2):
        by_pool, by_policy, neither = (
            simulate(rows[:pools], (), jobs, Policy(depth=depth)).start_ms.tolist()
            for rows, depth in ((said, 4), (silent, number), (silent, 4))
        )
        assert by_pool == by_policy != neither


def test_jobs_cannot_race_for_a_pool_that_promises_several() -> None:
    with pytest.raises(ValueError, match="wuhu/two has reservations: 2, so leave that out or choose another"):
        check_province(NAMED["race"], (pool(reservations=1), pool("wuhu/two", reservations=2)))


def test_promises_beyond_a_new_policy_s_number_lapse_but_for_the_earliest() -> None:
    state = busy(State.empty(Policy(depth=3)), {1: NOW + HOUR, 2: NOW + HOUR}, (pool(nodes=2),))
    queued = (waiting(of(2), [10, 11, 12]),)
    state, plan = step(state, Changes(queued=queued), NOW)
    assert 3 == len(plan.reservations)
    told = Changes(pools=(pool(nodes=2),), queued=queued, promised=plan.reservations[::-1])
    state, again = step(State.empty(Policy()), told, NOW + 1_000)
    assert {10: "hefei/a"} == started(again)
    assert [11] == [kept.job for kept in again.reservations]


def test_who_is_put_off_since_a_pool_promises_fewer_starts_is_told_so() -> None:
    many, fewer = (pool(nodes=2, reservations=3),), (pool(nodes=2, reservations=2),)
    state = busy(State.empty(Policy()), {1: NOW + HOUR, 2: NOW + 5 * HOUR}, many)
    wide, first, second = (
        waiting(of(nodes), [job], limit_ms=limit * HOUR)
        for job, nodes, limit in ((10, 2, 1), (11, 1, 2), (12, 1, 2))
    )
    state, plan = step(state, Changes(queued=(wide, first, second)), NOW)
    before = {kept.job: kept.start_ms for kept in plan.reservations}
    assert {10: NOW + 5 * HOUR, 11: NOW + HOUR, 12: NOW + 3 * HOUR} == before
    # The pool now promises two: 10, whose start is not among the two earliest, is promised another, and since 2 has
    # ended that is one that 11 had.
    state, plan = step(state, Changes(pools=fewer, freed=(2,)), NOW + 1_000)
    validate(state)
    assert {} == started(plan)
    assert [(10, NOW + HOUR, ""), (11, NOW + 2 * HOUR, Cause.FEWER)] == [
        (kept.job, kept.start_ms, kept.cause) for kept in plan.reservations
    ]
    answer = explain(state, 11)
    assert answer is not None
    # The reason stays with the promise, and names nothing else that is put off later.
    state, plan = step(state, Changes(), NOW + 2_000)
    assert [Cause.NONE, Cause.FEWER] == [kept.cause for kept in plan.reservations]
    state, plan = step(state, Changes(queued=(waiting(of(2), [9], priority=5, limit_ms=HOUR),)), NOW + 3_000)
    assert [(9, ""), (10, Cause.AHEAD)] == [(kept.job, kept.cause) for kept in plan.reservations]


@pytest.mark.parametrize("fewer", [1, 2])
def test_which_promises_lapse_does_not_depend_on_what_else_is_told_at_once(fewer: int) -> None:
    many, few = (pool(nodes=2, reservations=3),), (pool(nodes=2, reservations=fewer),)
    ends = {1: NOW + HOUR, 2: NOW + HOUR}
    state = busy(State.empty(Policy()), ends, many)
    queued = tuple(waiting(of(2), [job], limit_ms=HOUR) for job in (10, 11, 12, 13))
    state, before = step(state, Changes(queued=queued), NOW)
    gone = np.array([10], np.int64)
    state, chained = step(state, Changes(pools=few, unqueued=gone), NOW + 1_000)
    running = tuple(
        RunningJob(job, of(1), "hefei/a", ((node, 1),), NOW, HOUR) for node, job in enumerate(sorted(ends))
    )
    told = Changes(pools=few, queued=queued[1:], running=running, promised=before.reservations[1:])
    _, at_once = step(State.empty(Policy()), told, NOW + 1_000)
    assert chained.reservations == at_once.reservations
    assert [11, 12][:fewer] == [kept.job for kept in chained.reservations]
    assert NOW + 2 * HOUR == chained.reservations[0].first_start_ms


@settings(max_examples=50)
@given(provinces(), st.data(), st.integers(1, 4), st.booleans(), st.booleans())
def test_with_order_and_capacity_fixed_no_promise_is_ever_for_later(
    rows: tuple[PoolRow, ...], data: st.DataObject, depth: int, by_tenant: bool, early: bool
) -> None:
    # Every job can go to one pool alone, so that nobody ahead in order comes from elsewhere, and nobody else comes.
    rows = tuple(replace(row, centre=f"c{number}", closed_because="") for number, row in enumerate(rows))
    told, numbers = Told(), iter(range(100))
    most = [1 if row.shares else row.reservations or depth for row in rows]
    batches = []
    for job_class in data.draw(st.lists(classes, min_size=1, max_size=6)):
        at = data.draw(st.sampled_from(rows)).centre
        jobs: list[tuple[int, ...]] = [
            (next(numbers), 0, NOW, data.draw(st.sampled_from([1_000, 5_000, 60_000])))
            for _ in range(data.draw(st.integers(1, 4)))
        ]
        batches.append(batch(replace(job_class, centres=(at,), data=()), jobs))
    # One tenant: between several, whoever started something is behind from then on.
    batches = [replace(one, tenant=np.zeros(len(one.job), np.int64)) for one in batches]
    changes = Changes(pools=rows, links=LINKS, queued=tuple(batches))
    state, now_ms = State.empty(Policy(depth=depth, by_tenant=by_tenant)), NOW
    promised: dict[int, int] = {}
    while True:
        state, plan = step(state, changes, now_ms)
        validate(state)
        told.take(changes, plan, now_ms)
        for start in plan.starts:
            assert now_ms <= promised.pop(start.job, now_ms)
        for kept in plan.reservations:
            assert kept.start_ms <= promised.get(kept.job, kept.start_ms)
            assert Cause.NONE == kept.cause
        assert set(promised) <= {kept.job for kept in plan.reservations}
        promised = {kept.job: kept.start_ms for kept in plan.reservations}
        for row, seats in zip(rows, most, strict=True):
            there = [kept.job for kept in plan.reservations if kept.pool == row.key]
            could = [job for job in sorted(told.queued) if fits(state, told, job, row)]
            assert could[:seats] == there
        ends = {job: run.placed_ms + run.time_limit_ms for job, run in told.running.items()}
        if not ends and not promised:
            break
        now_ms = min([*ends.values(), state.hours.next_change_ms(now_ms)])
        over = [job for job, end in ends.items() if end == now_ms]
        if early and ends:
            over = sorted({*over, *data.draw(st.lists(st.sampled_from(sorted(ends)), max_size=2))})
        changes = Changes(freed=tuple(over))
        told.take(changes, replace(plan, starts=()), now_ms)


def fits(state: State, told: Told, job: int, row: PoolRow) -> bool:
    """Whether it can run in a pool at all, once that is empty and in service."""
    job_class, _, _, limit, *_ = told.queued[job]
    if row.centre not in job_class.centres:
        return False
    alone = replace(row, key="z/z", windows=())
    empty, plan = step(
        State.empty(Policy()),
        Changes(
            pools=(alone,), links=LINKS, queued=(batch(replace(job_class, centres=()), [(1, 0, NOW, limit)]),)
        ),
        NOW,
    )
    del empty
    return bool(plan.starts)


@settings(max_examples=15)
@given(
    provinces(),
    st.data(),
    st.sampled_from(["easy", "saf", "weir", "weir-by-tenant", "earliest", "conservative"]),
)
def test_in_the_twin_all_that_fits_runs_whole_whatever_is_promised(
    rows: tuple[PoolRow, ...], data: st.DataObject, name: str
) -> None:
    policy = replace(NAMED[name], depth=data.draw(st.sampled_from([2, 4, ALL])))
    kinds = tuple(dict.fromkeys(data.draw(st.lists(classes, min_size=1, max_size=3))))
    rows = tuple(replace(row, closed_because="") for row in rows)
    count = data.draw(st.integers(1, 14))
    random: Any = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    limit = random.choice([1_000, 60_000, 600_000], count)
    none = np.zeros(count, np.int64)
    jobs = SimulatedJobs(
        submitted_ms=NOW + np.sort(random.integers(0, 400_000, count)),
        run_ms=np.maximum(1, limit // random.integers(1, 4, count)),
        limit_ms=limit, job_class=random.integers(0, len(kinds), count), classes=kinds,
        tenant=random.integers(0, 2, count), user=none, group=none, priority=none,
    )  # fmt: skip
    found = simulate(rows, LINKS, jobs, policy)
    alone = simulate(rows, LINKS, jobs, NAMED["easy"])
    assert (found.start_ms >= 0).tolist() == (alone.start_ms >= 0).tolist()
    assert bool((found.start_ms[found.start_ms >= 0] >= jobs.submitted_ms[found.start_ms >= 0]).all())
    assert (simulate(rows, LINKS, jobs, policy).start_ms == found.start_ms).all()
