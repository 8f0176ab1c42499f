"""Jobs that give way to others of a higher class: who, at what loss, and what becomes of them."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.scheduling.provinces import pool, task
from tests.unit.scheduling.workloads import Row, jobs, machine, rows, whole_nodes
from weir.scheduling import Simulated, SimulatedJobs, simulate
from weir.scheduling.inputs import JobClass
from weir.scheduling.policies import NAMED

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
EASY = replace(NAMED["easy"], least_run_ms_preempted=0)


def soft(tasks: int, **changed: Any) -> JobClass:
    """A class of so many nodes whose jobs may have to give way."""
    return replace(whole_nodes(tasks), preemptible=True, **changed)


def of_classes(some: list[Row], classes: list[JobClass], priority: list[int]) -> SimulatedJobs:
    return replace(jobs(some, classes), priority=np.array(priority, np.int64))


def given_up(found: Simulated) -> list[tuple[int, ...]]:
    return [] if found.given_up is None else [tuple(row) for row in found.given_up.tolist()]


def test_a_job_of_a_higher_class_goes_ahead_of_all_lower_ones_that_wait() -> None:
    some = of_classes(
        [(0, 100, 100, 0, 0), (1, 10, 10, 0, 0), (2, 10, 10, 0, 0)], [whole_nodes(4)], [0, 0, 5]
    )
    for name in ("easy", "weir", "saf", "earliest", "race"):
        found = simulate([machine(4)], (), some, NAMED[name])
        assert [0, 110 * SECOND, 100 * SECOND] == found.start_ms.tolist()


def test_it_takes_the_place_of_one_whose_class_allows_that_which_then_begins_anew() -> None:
    some = of_classes([(0, 100, 100, 0, 0), (40, 10, 10, 0, 0)], [soft(4)], [0, 1])
    found = simulate([machine(4)], (), some, EASY)
    assert [50 * SECOND, 40 * SECOND] == found.start_ms.tolist()
    assert [150 * SECOND, 50 * SECOND] == found.end_ms.tolist()
    assert [(0, 0, 0, 40 * SECOND, 0)] == given_up(found)


def test_what_was_saved_is_not_done_again_but_restoring_takes_its_time() -> None:
    saving = soft(
        4, checkpoint_every_ms=10 * SECOND, checkpoint_save_ms=SECOND, checkpoint_restore_ms=3 * SECOND
    )
    some = of_classes([(0, 100, 100, 0, 0), (40, 10, 10, 1, 0)], [saving, whole_nodes(4)], [0, 1])
    found = simulate([machine(4)], (), some, EASY)
    # Three times ten seconds were saved by the 33rd; 70 are left, with six savings between them.
    assert [(0, 0, 0, 40 * SECOND, 33 * SECOND)] == given_up(found)
    assert [50 * SECOND, 50 * SECOND + 3 * SECOND + 76 * SECOND] == [found.start_ms[0], found.end_ms[0]]
    undisturbed = simulate(
        [machine(4)], (), of_classes([(0, 100, 100, 0, 0), (40, 1, 1, 1, 0)], [saving, soft(4)], [1, 0]), EASY
    )
    assert 109 * SECOND == undisturbed.end_ms[0]


@pytest.mark.parametrize("case", ["not allowed", "same class", "its minimum run", "often enough"])
def test_nobody_gives_way(case: str) -> None:
    classes, priority, policy = [soft(4)], [0, 1], EASY
    if case == "not allowed":
        classes = [whole_nodes(4)]
    elif case == "same class":
        priority = [1, 1]
    elif case == "its minimum run":
        policy = replace(EASY, least_run_ms_preempted=10 * MINUTE)
    else:
        policy = replace(EASY, most_preemptions=0)
    found = simulate(
        [machine(4)], (), of_classes([(0, 100, 100, 0, 0), (40, 10, 10, 0, 0)], classes, priority), policy
    )
    assert [0, 100 * SECOND] == found.start_ms.tolist()
    assert [] == given_up(found)


def test_who_has_not_run_long_enough_gives_way_when_he_has_though_nothing_else_happens_then() -> None:
    policy = replace(EASY, least_run_ms_preempted=MINUTE)
    found = simulate(
        [machine(4)], (), of_classes([(0, 100, 100, 0, 0), (40, 10, 10, 0, 0)], [soft(4)], [0, 1]), policy
    )
    assert [(0, 0, 0, MINUTE, 0)] == given_up(found)
    assert MINUTE == found.start_ms[1]


def test_a_job_gives_way_so_often_and_no_more() -> None:
    some = of_classes(
        [(0, 100, 100, 0, 0), *((at, 5, 5, 0, 0) for at in (10, 30, 50, 70))], [soft(4)], [0, 1, 1, 1, 1]
    )
    found = simulate([machine(4)], (), some, replace(EASY, most_preemptions=2))
    assert [0, 0] == [each[0] for each in given_up(found)]
    assert 35 * SECOND == found.start_ms[0]


def test_the_cheapest_of_all_sets_gives_way() -> None:
    """Against all sets of those that run, on single nodes that differ in what they have run for so far."""

    @given(
        sizes=st.lists(st.integers(1, 4), min_size=1, max_size=7),
        gaps=st.lists(st.integers(0, 50), min_size=7, max_size=7),
        wanted=st.integers(1, 10),
    )
    @settings(max_examples=60)
    def holds(sizes: list[int], gaps: list[int], wanted: int) -> None:
        starts = np.cumsum(gaps[: len(sizes)]).tolist()
        now = starts[-1] + 7
        nodes = sum(sizes)
        wanted = min(wanted, nodes)
        classes = [soft(each) for each in sizes] + [whole_nodes(wanted)]
        some = [(at, 9_000, 9_000, place, 0) for place, at in enumerate(starts)]
        workload = of_classes([*some, (now, 10, 10, len(sizes), 0)], classes, [0] * len(sizes) + [1])
        found = simulate([machine(nodes)], (), workload, EASY)
        victims = {each[0] for each in given_up(found)}
        assert now * SECOND == found.start_ms[-1]
        cost = [
            (now - at) * SECOND * size * 10_000_000 // HOUR + 1
            for at, size in zip(starts, sizes, strict=True)
        ]
        possible = (
            some_of
            for count in range(1, len(sizes) + 1)
            for some_of in itertools.combinations(range(len(sizes)), count)
            if sum(sizes[each] for each in some_of) >= wanted
        )
        least = min(sum(cost[each] for each in some_of) for some_of in possible)
        assert abs(least - sum(cost[each] for each in victims)) <= len(sizes)

    holds()


@st.composite
def mixed(draw: st.DrawFn) -> tuple[int, SimulatedJobs]:
    nodes = draw(st.integers(1, 6))
    some = draw(rows(nodes, 25))
    kinds = [
        (tasks, hard, every) for tasks in range(1, nodes + 1) for hard in (False, True) for every in (0, 3)
    ]
    classes = [
        whole_nodes(tasks)
        if hard
        else soft(tasks, checkpoint_every_ms=every * SECOND, checkpoint_save_ms=500)
        for tasks, hard, every in kinds
    ]
    which = [draw(st.integers(0, len(kinds) - 1)) for _ in some]
    priority = [draw(st.integers(0, 2)) for _ in some]
    told = [(at, run, limit, need, user) for (at, run, limit, _, user), need in zip(some, which, strict=True)]
    return nodes, of_classes(told, classes, priority)


@given(drawn=mixed(), least=st.sampled_from((0, 4)), most=st.integers(1, 3))
@settings(max_examples=120)
def test_rules_of_giving_way_hold_and_nodes_are_never_used_twice(
    drawn: tuple[int, SimulatedJobs], least: int, most: int
) -> None:
    nodes, workload = drawn
    policy = replace(EASY, least_run_ms_preempted=least * SECOND, most_preemptions=most)
    found, again = (simulate([machine(nodes)], (), workload, policy) for _ in range(2))
    assert found.start_ms.tolist() == again.start_ms.tolist()
    assert given_up(found) == given_up(again)
    assert bool((found.start_ms >= 0).all())
    order = workload.job_class.tolist()
    held, kept = [], dict[int, int]()
    for job, place, start, end, saved in given_up(found):
        wish = workload.classes[order[job]]
        assert wish.preemptible
        assert end - start >= least * SECOND
        assert 0 == place
        assert 0 <= saved <= end - start
        assert workload.priority[job] < workload.priority.max()
        if start < end:
            held.append((start, end, wish.tasks))
        kept[job] = kept.get(job, 0) + 1
    assert max(kept.values(), default=0) <= most
    for job, (start, end) in enumerate(zip(found.start_ms.tolist(), found.end_ms.tolist(), strict=True)):
        held.append((start, end, workload.classes[order[job]].tasks))
        wish = workload.classes[order[job]]
        if job not in kept:
            run = int(workload.run_ms[job])
            saves = (run - 1) // wish.checkpoint_every_ms if wish.checkpoint_every_ms else 0
            assert end - start == run + saves * wish.checkpoint_save_ms
    changes = [(start, tasks) for start, _, tasks in held] + [(end, -tasks) for _, end, tasks in held]
    used = 0
    for _, change in sorted(changes):
        used += change
        assert 0 <= used <= nodes


def test_over_many_pools_the_one_is_chosen_where_least_is_lost() -> None:
    pools = [pool("a/x", nodes=1), pool("b/x", nodes=1)]
    classes = [
        task(devices_milli=8_000, preemptible=True, centres=("a",)),
        task(devices_milli=8_000, preemptible=True, centres=("b",)),
        task(devices_milli=8_000),
    ]
    some = of_classes(
        [(0, 3_600, 3_600, 0, 0), (1_000, 3_600, 3_600, 1, 0), (1_800, 60, 60, 2, 0)], classes, [0, 0, 1]
    )
    for name in ("weir", "race", "earliest"):
        found = simulate(pools, (), some, NAMED[name])
        assert 1_800 * SECOND == found.start_ms[2]
        if name != "earliest":  # that binds a job to a pool when it comes
            assert [1] == [each[0] for each in given_up(found)]
