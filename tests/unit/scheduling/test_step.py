"""What one step decides."""

from dataclasses import replace

import numpy as np
import pytest

from tests.unit.scheduling.provinces import HOUR, NOW, placed, pool, started, task, waiting
from weir.scheduling import Policy, State, explain, step, validate
from weir.scheduling.inputs import Changes, JobClass, LinkRow, RunningJob
from weir.scheduling.plan import Plan, Verdict
from weir.scheduling.policies import NAMED


def first_plan(changes: Changes, now_ms: int = NOW) -> tuple[State, Plan]:
    state, plan = step(State.empty(Policy()), changes, now_ms)
    validate(state)
    return state, plan


def test_nothing_in_gives_an_empty_plan() -> None:
    _, plan = first_plan(Changes())
    assert ((), (), 0) == (plan.starts, plan.reasons, plan.considered)


def test_a_job_starts_where_there_is_room() -> None:
    _, plan = first_plan(Changes(pools=(pool(),), queued=(waiting(task(), [7]),)))
    [start] = plan.starts
    assert (7, "hefei/a", ((0, 1),), ()) == (start.job, start.pool, start.nodes, start.devices)
    [reason] = plan.reasons[start.reason]
    assert (Verdict.CHOSEN, 4) == (reason.verdict, reason.free_nodes)


def test_priority_goes_before_age_and_age_before_number() -> None:
    one_room = pool(nodes=1, devices_per_node=1)
    batches = (
        waiting(task(), [1], submitted_ms=NOW - 5),
        waiting(task(), [2], submitted_ms=NOW - 9),
        waiting(task(), [3, 4], submitted_ms=NOW, priority=1),
    )
    state, plan = first_plan(Changes(pools=(one_room,), queued=batches))
    order = [start.job for start in plan.starts]
    while state.queued:
        state, plan = step(state, Changes(freed=(order[-1],)), NOW)
        order += [start.job for start in plan.starts]
    assert [3, 4, 2, 1] == order


@pytest.mark.parametrize(
    ("weights", "best"),
    [((1_000, 0, 0), "fast/a"), ((0, 1_000, 0), "cheap/a"), ((0, 0, 1_000), "green/a")],
)
def test_preference_chooses_the_pool(weights: tuple[int, int, int], best: str) -> None:
    pools = (
        pool("cheap/a", device_hour_micro_yuan=1_000_000),
        pool("fast/a", speed_milli=1_100),
        pool("green/a", carbon_g_per_kwh=1),
    )
    wish = task(weight_time=weights[0], weight_money=weights[1], weight_carbon=weights[2])
    _, plan = first_plan(Changes(pools=pools, queued=(waiting(wish, [1]),)))
    assert {1: best} == started(plan)


def test_equal_scores_go_to_the_first_key() -> None:
    pools = (pool("b/a"), pool("a/a"), pool("c/a"))
    _, plan = first_plan(Changes(pools=pools, queued=(waiting(task(), [1]),)))
    assert {1: "a/a"} == started(plan)


def test_terms_are_in_their_own_units() -> None:
    there = pool(speed_milli=500)
    links = (LinkRow("hefei", "wuhu", 8_000_000_000, 7),)
    wish = task(devices_milli=2_000, cores_milli=4_000, data=(("wuhu", 10**9), ("hefei", 10**15)))
    _, plan = first_plan(Changes(pools=(there,), links=links, queued=(waiting(wish, [1]),)))
    terms = plan.reasons[0][0].terms
    assert terms is not None
    assert 2 * HOUR == terms.run_ms
    assert 1_000 + 7 == terms.data_ms
    assert 2 * (2 * 10_000_000 + 4 * 100_000) == terms.money_micro_yuan
    assert 2 * 2 * 400 * 600 == terms.carbon_mg
    time_worth = 10_000_000 * (2 * HOUR + 1_007) // HOUR
    assert time_worth + terms.money_micro_yuan == terms.score


def test_a_variant_scales_the_run_on_its_stack() -> None:
    pools = (pool("a/a", stack="cuda"), pool("b/a", stack="cann"), pool("c/a", stack="dtk"))
    wish = task(variant_speeds=(("cuda", 500), ("cann", 2_000)))
    _, plan = first_plan(Changes(pools=pools, queued=(waiting(wish, [1]),)))
    reasons = {reason.pool: reason for reason in plan.reasons[0]}
    assert {1: "b/a"} == started(plan)
    assert [HOUR // 2, 2 * HOUR] == [reasons[key].terms.run_ms for key in ("b/a", "a/a")]  # type: ignore[union-attr]
    failed = reasons["c/a"].failed
    assert failed is not None
    assert ("variant", "any of cuda, cann", "dtk") == (failed.name, failed.needed, failed.found)


def test_a_gang_is_whole_and_may_spread() -> None:
    gang = task(tasks=20, devices_milli=2_000)
    _, plan = first_plan(Changes(pools=(pool(nodes=5),), queued=(waiting(gang, [1, 2]),)))
    [start] = plan.starts
    assert ((0, 4), (1, 4), (2, 4), (3, 4), (4, 4)) == start.nodes


def test_tasks_are_packed_to_keep_nodes_whole() -> None:
    state, plan = first_plan(Changes(pools=(pool(),), queued=(waiting(task(devices_milli=3_000), [1, 2]),)))
    assert [((0, 1),), ((0, 1),)] == [start.nodes for start in plan.starts]
    state, plan = step(state, Changes(queued=(waiting(task(devices_milli=4_000), [3]),)), NOW)
    assert ((1, 1),) == plan.starts[0].nodes
    state, plan = step(state, Changes(queued=(waiting(task(devices_milli=2_000), [4]),)), NOW)
    assert ((0, 1),) == plan.starts[0].nodes


def test_a_job_without_devices_leaves_devices_alone() -> None:
    state, _ = first_plan(Changes(pools=(pool(),), queued=(waiting(task(devices_milli=7_000), [1]),)))
    _, plan = step(state, Changes(queued=(waiting(task(devices_milli=0), [2]),)), NOW)
    assert ((0, 1),) == plan.starts[0].nodes


def test_shares_fill_one_device_before_the_next() -> None:
    sharing = pool(shares=True, nodes=2, devices_per_node=2)
    state, plan = first_plan(
        Changes(
            pools=(sharing,),
            queued=(waiting(task(devices_milli=600), [1, 2]), waiting(task(devices_milli=400), [3])),
        )
    )
    assert [(1, ((0, 1),), (0,)), (2, ((0, 1),), (1,)), (3, ((0, 1),), (0,))] == [
        (start.job, start.nodes, start.devices) for start in plan.starts
    ]
    state, plan = step(state, Changes(queued=(waiting(task(devices_milli=500), [4, 5, 6, 7]),)), NOW)
    assert [((1, 1),), ((1, 1),), ((1, 1),), ((1, 1),)] == [start.nodes for start in plan.starts]
    assert [(0,), (0,), (1,), (1,)] == [start.devices for start in plan.starts]
    validate(state)


def test_a_closed_pool_starts_nothing_and_keeps_what_runs() -> None:
    state, plan = first_plan(Changes(pools=(pool(),), queued=(waiting(task(), [1]),)))
    state, plan = step(
        state, Changes(pools=(pool(closed_because="draining"),), queued=(waiting(task(), [2]),)), NOW
    )
    assert () == plan.starts
    assert 1 == state.running
    answer = explain(state, 2)
    assert answer is not None
    assert [(Verdict.CLOSED, "draining")] == [(reason.verdict, reason.note) for reason in answer.pools]


def test_a_waiting_gang_is_not_starved() -> None:
    # Two of four nodes are busy for another hour; the gang needs all four then.
    small, gang = task(devices_milli=8_000), task(tasks=4, devices_milli=8_000)
    state, _ = first_plan(Changes(pools=(pool(),), queued=(waiting(small, [1, 2]),)))
    queued = (
        waiting(gang, [3]),
        waiting(small, [4], submitted_ms=NOW + 1, limit_ms=HOUR + 1),
        waiting(small, [5], submitted_ms=NOW + 2, limit_ms=HOUR),
    )
    state, plan = step(state, Changes(queued=queued), NOW)
    assert {5: "hefei/a"} == started(plan)
    [reservation] = plan.reservations
    assert (3, NOW + HOUR) == (reservation.job, reservation.start_ms)
    answer = explain(state, 4)
    assert answer is not None
    assert (Verdict.FULL, "the room there is, is kept for job 3") == (
        answer.pools[0].verdict,
        answer.pools[0].note,
    )
    assert NOW + HOUR == answer.pools[0].fits_until_ms


def test_a_full_pool_says_before_when_nothing_can_start_there() -> None:
    small, gang = task(devices_milli=8_000), task(tasks=3, devices_milli=8_000)
    state, _ = first_plan(Changes(pools=(pool(),), queued=(waiting(small, [1, 2]),)))
    state, _ = step(state, Changes(queued=(waiting(gang, [3]),)), NOW + 1)
    answer = explain(state, 3)
    assert answer is not None
    [reason] = answer.pools
    assert (Verdict.FULL, NOW + HOUR) == (reason.verdict, reason.not_before_ms)
    assert "promised to this job; room for 2 of 3 tasks" == reason.note


def test_what_is_expected_decides_the_order_and_limits_the_promises() -> None:
    short_first = replace(NAMED["weir"], fair=False)
    alike = waiting(task(devices_milli=8_000), [1, 2, 3, 4, 5, 6])
    expected = replace(alike, expected_ms=np.array([6, 5, 4, 3, 2, 1], np.int64) * (HOUR // 8))
    _, plan = step(State.empty(short_first), Changes(pools=(pool(),), queued=(expected,)), NOW)
    assert [6, 5, 4, 3] == [start.job for start in plan.starts]


def test_nobody_is_expected_to_run_beyond_his_limit() -> None:
    wrong = replace(waiting(task(), [1]), expected_ms=np.array([HOUR + 1], np.int64))
    with pytest.raises(ValueError, match="expected_ms"):
        first_plan(Changes(pools=(pool(),), queued=(wrong,)))


def test_a_long_job_starts_on_what_a_reservation_leaves() -> None:
    small, gang = task(devices_milli=8_000), task(tasks=3, devices_milli=8_000)
    state, _ = first_plan(Changes(pools=(pool(),), queued=(waiting(small, [1, 2]),)))
    queued = (waiting(gang, [3]), waiting(small, [4, 5], submitted_ms=NOW + 1, limit_ms=10 * HOUR))
    _, plan = step(state, Changes(queued=queued), NOW)
    assert {4: "hefei/a"} == started(plan)


def test_what_a_reservation_leaves_of_a_node_is_given_once() -> None:
    # Six of eight devices are free; in an hour all are, of which the waiting job then takes seven.
    one = pool(nodes=1)
    state, _ = first_plan(Changes(pools=(one,), queued=(waiting(task(devices_milli=2_000), [1]),)))
    long_ones = waiting(task(), [3, 4, 5], submitted_ms=NOW + 1, limit_ms=10 * HOUR)
    _, plan = step(state, Changes(queued=(waiting(task(devices_milli=7_000), [2]), long_ones)), NOW)
    assert {3: "hefei/a"} == started(plan)


def test_shared_devices_are_reserved_each() -> None:
    # Device 1 has 400 free; the waiting job needs 700 of one device, which device 0 has in an hour.
    one = pool(nodes=1, devices_per_node=2, shares=True)
    queued = (waiting(task(devices_milli=900), [1]), waiting(task(devices_milli=600), [2], limit_ms=9 * HOUR))
    state, _ = first_plan(Changes(pools=(one,), queued=queued))
    long_ones = waiting(task(devices_milli=100), [4, 5, 6, 7, 8], submitted_ms=NOW + 1, limit_ms=10 * HOUR)
    _, plan = step(state, Changes(queued=(waiting(task(devices_milli=700), [3]), long_ones)), NOW)
    assert (3, NOW + HOUR, ((0, 1),)) == (
        plan.reservations[0].job,
        plan.reservations[0].start_ms,
        plan.reservations[0].nodes,
    )
    assert [(4, (0,)), (5, (1,)), (6, (1,)), (7, (1,)), (8, (1,))] == [
        (start.job, start.devices) for start in plan.starts
    ]


def test_a_pool_that_opens_and_closes_keeps_its_count() -> None:
    state, _ = first_plan(Changes(pools=(pool(),), queued=(waiting(task(devices_milli=8_000), [1, 2, 3]),)))
    state, plan = step(
        state,
        Changes(pools=(pool(closed_because="lost"),), queued=(waiting(task(devices_milli=8_000), [4, 5]),)),
        NOW,
    )
    assert () == plan.starts
    state, plan = step(state, Changes(pools=(pool(),)), NOW)
    assert {4: "hefei/a"} == started(plan)
    validate(state)


def test_a_pool_that_begins_to_share_devices_counts_those_in_use() -> None:
    whole = pool(nodes=1, devices_per_node=2)
    state, _ = first_plan(Changes(pools=(whole,), queued=(waiting(task(), [1]),)))
    sharing = pool(nodes=1, devices_per_node=2, shares=True)
    state, plan = step(
        state, Changes(pools=(sharing,), queued=(waiting(task(devices_milli=400), [2, 3, 4]),)), NOW
    )
    assert [(2, (1,)), (3, (1,))] == [(start.job, start.devices) for start in plan.starts]
    validate(state)
    state, plan = step(state, Changes(pools=(whole,), freed=(2,)), NOW)
    validate(state)
    assert () == plan.starts


def test_of_many_pools_the_best_are_listed_and_the_failing_counted() -> None:
    pools = [pool(f"good{number:03d}/a", speed_milli=2_000 - number) for number in range(80)]
    pools += [pool(f"weak{number:03d}/a", devices_per_node=0) for number in range(40)]
    pools += [pool("small/a", devices_per_node=2)]
    _, plan = first_plan(Changes(pools=tuple(pools), queued=(waiting(task(devices_milli=3_000), [1, 2]),)))
    [reasons] = plan.reasons
    assert [f"good{number:03d}/a" for number in range(8)] == [reason.pool for reason in reasons[:8]]
    assert (Verdict.CHOSEN, "the best scored with room; 72 more eligible pools are not listed") == (
        reasons[0].verdict,
        reasons[0].note,
    )
    assert [("small/a", ""), ("weak000/a", "39 more pools fail this")] == [
        (reason.pool, reason.note) for reason in reasons[8:]
    ]


def test_a_job_past_its_limit_counts_as_ending_now() -> None:
    small, gang = task(devices_milli=8_000), task(tasks=4, devices_milli=8_000)
    state, _ = first_plan(Changes(pools=(pool(),), queued=(waiting(small, [1]),)))
    late = NOW + 2 * HOUR
    _, plan = step(
        state,
        Changes(queued=(waiting(gang, [2]), waiting(small, [3], submitted_ms=NOW + 1, limit_ms=1))),
        late,
    )
    assert ((), late) == (plan.starts, plan.reservations[0].start_ms)


def test_starts_hold_capacity_until_freed() -> None:
    one_room = pool(nodes=1, devices_per_node=1)
    state, plan = first_plan(Changes(pools=(one_room,), queued=(waiting(task(), [1, 2]),)))
    confirmed = tuple(placed(start, task()) for start in plan.starts)
    state, plan = step(state, Changes(running=confirmed), NOW + 1)
    assert () == plan.starts
    state, plan = step(
        state, Changes(freed=(1,), queued=(waiting(task(), [1], submitted_ms=NOW + 1),)), NOW + 2
    )
    assert {2: "hefei/a"} == started(plan)


def test_what_runs_beyond_the_nodes_in_service_stays_and_gets_no_company() -> None:
    state, _ = first_plan(
        Changes(pools=(pool(nodes=1),), running=(RunningJob(1, task(), "hefei/a", ((3, 1),), NOW, HOUR),))
    )
    state, plan = step(state, Changes(queued=(waiting(task(devices_milli=8_000), [2, 3]),)), NOW)
    assert {2: "hefei/a"} == started(plan)
    state, _ = step(state, Changes(pools=(), freed=()), NOW)
    assert 2 == state.running
    state, _ = step(state, Changes(pools=(pool(nodes=4),)), NOW)
    validate(state)


def test_a_job_cannot_wait_and_run() -> None:
    state, _ = first_plan(Changes(pools=(pool(),), queued=(waiting(task(), [1]),)))
    with pytest.raises(ValueError, match="job 1 is queued while it holds capacity"):
        step(state, Changes(queued=(waiting(task(), [1]),)), NOW)


def test_a_job_is_listed_once() -> None:
    with pytest.raises(ValueError, match="listed twice"):
        first_plan(Changes(queued=(waiting(task(), [1]), waiting(task(), [1]))))


@pytest.mark.parametrize("bad", [task(tasks=0), task(devices_milli=1_500), task(memory_bytes=-1)])
def test_a_class_outside_the_bounds_is_refused(bad: JobClass) -> None:
    with pytest.raises(ValueError, match="class: "):
        first_plan(Changes(queued=(waiting(bad, [1]),)))


def test_unqueued_jobs_do_not_start() -> None:
    changes = Changes(unqueued=np.array([5, 6], np.int64), queued=(waiting(task(), [5]),), pools=(pool(),))
    state, plan = first_plan(changes)
    assert {5: "hefei/a"} == started(plan)
    shut = pool(closed_because="draining")
    state, _ = step(state, Changes(pools=(shut,), queued=(waiting(task(), [6, 7]),)), NOW)
    _, plan = step(state, Changes(pools=(pool(),), unqueued=np.array([6], np.int64)), NOW)
    assert {7: "hefei/a"} == started(plan)


def test_classes_and_rows_that_no_job_has_any_more_are_forgotten() -> None:
    state, _ = first_plan(Changes(pools=(pool(nodes=1, devices_per_node=4),)))
    running: list[int] = []
    for number in range(600):
        freed = tuple(running.pop(0) for _ in range(len(running) - 1))
        unlike = [
            waiting(task(memory_bytes=2 * number + i), [2 * number + i], priority=number % 3) for i in (0, 1)
        ]
        state, plan = step(state, Changes(freed=freed, queued=tuple(unlike)), NOW + number)
        assert {2 * number: "hefei/a", 2 * number + 1: "hefei/a"} == started(plan)
        running += started(plan)
        if number % 50 == 0:
            validate(state)
    assert len(state.known.described) < 100
    assert len(state.queue.slots) < 100


@pytest.mark.parametrize("name", ["weir", "wfp3", "sjf", "easy-sjbf", "race"])
def test_a_policy_that_only_simulations_know_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"policy {name} is for simulations"):
        step(State.empty(NAMED[name]), Changes(), NOW)
