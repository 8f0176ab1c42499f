"""Runs over windows, prices and carbon that change, and deadlines: from what is told to what is counted."""

from pathlib import Path

import numpy as np
import pytest

from tests.unit.twin.made import outcome, pool, workload
from weir.model.problem import ProblemError
from weir.scheduling.inputs import Curve, Window
from weir.scheduling.supply import since, value_over
from weir.twin.change import AddWindow, parse_change
from weir.twin.changed import apply_changes
from weir.twin.metrics import measure, summarise
from weir.twin.outcome import GivenUp
from weir.twin.results import read_results, results_of, write_results
from weir.twin.run import run
from weir.twin.traces import read_trace
from weir.twin.workload import NO_DEADLINE

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
NEW_YEAR_S = 1_767_225_600
"""2026-01-01T00:00Z"""


@pytest.mark.timeout(600)  # it may have to wait for the compiler
def test_windows_and_prices_hold_at_the_times_of_day_that_the_trace_ran_at() -> None:
    at = 1_000 * NEW_YEAR_S
    work = workload([(10, 600, 4), (20, 60, 4)], origin_s=NEW_YEAR_S + 37)
    window = Window(at + 5 * MINUTE, at + HOUR)
    found = run(work, [pool(windows=(window,))], policy="easy")
    # 22 minutes are more than there are until then; the second has two, and is there sooner.
    assert [HOUR - 37 * SECOND, 20 * SECOND] == found.start_ms.tolist()


def test_what_a_job_costs_and_emits_is_what_held_while_it_ran() -> None:
    curve = Curve(((0, 60_000), (HOUR, 120_000)), 2 * HOUR)
    carbon = Curve(((1_000 * NEW_YEAR_S, 100), (1_000 * NEW_YEAR_S + HOUR, 400)))
    row = pool(
        core_hour_over_time=curve, device_power_watts=1_000, carbon_over_time=carbon, devices_per_node=1
    )
    work = workload([(0, 7_200, 2), (0, 3_600, 1)], origin_s=NEW_YEAR_S)
    found = results_of(outcome(work, [1_800, 0], pools=[row]))
    assert [2 * (30_000 + 120_000 + 30_000), 60_000] == found.cost_micro_yuan.tolist()
    devices = work.classes[0].devices_milli
    assert (0, [0, 0]) == (devices, found.carbon_mg.tolist())
    assert 100 * HOUR // 2 + 400 * HOUR == value_over(
        carbon, 1_000 * NEW_YEAR_S + HOUR // 2, 1_000 * NEW_YEAR_S + 2 * HOUR
    )


def test_a_pool_counted_from_another_time_is_the_same_pool() -> None:
    row = pool(
        windows=(Window(3 * HOUR, 4 * HOUR, DAY), Window(9 * DAY, 10 * DAY)),
        core_hour_over_time=Curve(((2 * HOUR, 7), (20 * HOUR, 9)), DAY),
        carbon_over_time=Curve(((DAY, 3), (2 * DAY, 4))),
    )
    origin = 11 * HOUR + 7 * MINUTE
    moved = since(row, origin)
    assert moved.windows[1] == Window(9 * DAY - origin, 10 * DAY - origin)
    for name in ("core_hour_over_time", "carbon_over_time"):
        one, other = getattr(row, name), getattr(moved, name)
        for at in range(0, 3 * DAY, 53 * MINUTE):
            assert value_over(one, origin + at, origin + at + HOUR) == value_over(other, at, at + HOUR)
    assert pool() == since(pool(), 12_345)


def test_a_window_is_told_in_words() -> None:
    change = parse_change("window pool here/all at 2d for 6h every 7d")
    assert AddWindow("pool", "here/all", 2 * DAY, 6 * HOUR, 7 * DAY) == change
    made = apply_changes([pool(), pool("there/all")], (), [change], {}, 500)
    assert [(Window(2 * DAY + 500, 2 * DAY + 6 * HOUR + 500, 7 * DAY),), ()] == [
        each.windows for each in made.pools
    ]
    assert ("here/all: out of service at 2d00h for 6h00m, every 7d00h, 1 pool",) == made.notes
    everywhere = apply_changes(
        [pool(), pool("there/all")], (), [parse_change("window all at start for 1h")], {}
    )
    assert [Window(0, HOUR)] * 2 == [each.windows[0] for each in everywhere.pools]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("window pool here/none at 2d for 6h", "change.pool"),
        ("window site x at 2d for 6h", "all or centre or pool"),
        ("window all at 2d", "it ends too early"),
        ("window all at 2d for 90s", "whole minutes"),
        ("window all at 2d for 6h every 6h", "give a longer time"),
    ],
)
def test_a_window_that_cannot_be_is_refused(text: str, said: str) -> None:
    with pytest.raises(ProblemError, match=said):
        apply_changes([pool()], (), [parse_change(text)], {})


def test_a_price_in_percent_changes_every_band_and_one_that_is_said_replaces_them() -> None:
    row = pool(core_hour_over_time=Curve(((0, 100), (HOUR, 300)), DAY))
    less = apply_changes([row], (), [parse_change("price all core-hour -50%")], {}).pools[0]
    assert Curve(((0, 50), (HOUR, 150)), DAY) == less.core_hour_over_time
    flat = apply_changes([row], (), [parse_change("price all core-hour 2.00")], {}).pools[0]
    assert (None, 2_000_000) == (flat.core_hour_over_time, flat.core_hour_micro_yuan)


def test_late_jobs_are_counted_and_deadlines_kept_with_the_results(tmp_path: Path) -> None:
    deadline = np.array([15 * SECOND, 25 * SECOND, NO_DEADLINE, 9 * SECOND], np.int64)
    work = workload([(0, 10, 4), (0, 10, 4), (0, 10, 4), (0, 10, 9)], deadline_ms=deadline)
    found = results_of(outcome(work, [0, 20, 10, -1]))
    assert (3, 2) == (measure(found).deadlines, measure(found).late)
    write_results(found, summarise(found, measure(found)), tmp_path)
    again = read_results(tmp_path)
    assert again.deadline_ms is not None
    assert deadline.tolist() == again.deadline_ms.tolist()


def test_pools_with_windows_and_curves_are_read_again_as_they_were(tmp_path: Path) -> None:
    row = pool(windows=(Window(1, 2, DAY),), carbon_over_time=Curve(((0, 1), (HOUR, 2)), DAY))
    found = results_of(outcome(workload([(0, 10, 4)]), [0], pools=[row]))
    write_results(found, summarise(found, measure(found)), tmp_path)
    assert (row,) == read_results(tmp_path).pools


def test_what_gave_way_is_charged_for_what_was_kept_and_draws_what_it_ran(tmp_path: Path) -> None:
    row = pool(core_hour_micro_yuan=3_600_000)
    attempts = (GivenUp(0, 0, 0, 40 * SECOND, 33 * SECOND),)
    found = results_of(outcome(workload([(0, 10, 1), (0, 10, 1)]), [50, 0], pools=[row], given_up=attempts))
    assert [43_000, 10_000] == found.cost_micro_yuan.tolist()
    assert [43 * SECOND, 10 * SECOND] == found.run_ms.tolist()
    assert [17 * SECOND, 0] == found.wait_ms.tolist()
    write_results(found, summarise(found, measure(found)), tmp_path)
    again = read_results(tmp_path)
    assert again.given_way is not None
    assert ([1, 0], 1) == (again.given_way.tolist(), measure(again).preemptions)


@pytest.mark.timeout(600)  # it may have to wait for the compiler
def test_a_trace_says_who_may_have_to_give_way(tmp_path: Path) -> None:
    log = tmp_path / "jobs.csv"
    log.write_text(
        "submit,run,tasks,cores_milli,priority,preemptible,checkpoint_every_ms\n"
        "0,2000,4,1000,0,1,300000\n900,60,4,1000,1,0,0\n",
        encoding="utf-8",
    )
    found = run(read_trace(log), [pool()], policy="weir")
    assert [GivenUp(0, 0, 0, 900 * SECOND, 900 * SECOND)] == list(found.given_up)
    assert [960 * SECOND, 900 * SECOND] == found.start_ms.tolist()
    with pytest.raises(ProblemError, match="policy fcfs is for one pool"):
        run(read_trace(log), [pool()], policy="fcfs")


def test_a_table_may_have_deadlines(tmp_path: Path) -> None:
    log = tmp_path / "jobs.csv"
    log.write_text("submit_ms,run_ms,size,deadline_ms\n0,1000,1,5000\n10,1000,1,\n", encoding="utf-8")
    found = read_trace(log)
    assert found.deadline_ms is not None
    assert [5_000, NO_DEADLINE] == found.deadline_ms.tolist()
    log.write_text("submit_ms,run_ms,size\n0,1000,1\n", encoding="utf-8")
    assert read_trace(log).deadline_ms is None
