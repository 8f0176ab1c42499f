"""Pools that are out of service at times, prices and carbon that change, and data that has to arrive."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.scheduling import oracle, referee
from tests.unit.scheduling.provinces import pool, task
from tests.unit.scheduling.workloads import Row, crowd, jobs, machine, rows
from weir.scheduling import SimulatedJobs, simulate
from weir.scheduling.inputs import Curve, JobClass, LinkRow, PoolRow, Window
from weir.scheduling.policies import NAMED
from weir.scheduling.simulated import Expected

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
DAY = 24 * HOUR
PAST = Window(-DAY, -HOUR)
"""Makes the core look at time, and changes nothing."""
PLACED = ("weir", "easy", "saf", "earliest", "cheapest", "nearest", "race")


@st.composite
def windows(draw: st.DrawFn, scale: int) -> tuple[Window, ...]:
    found = []
    for _ in range(draw(st.integers(1, 3))):
        every = draw(st.sampled_from((0, 0, 60, 120))) * scale
        start, length = draw(st.integers(0, 90)) * scale, draw(st.integers(1, 40)) * scale
        found.append(Window(start, start + length, every))
    return tuple(found)


def is_out(all_windows: tuple[Window, ...], begin: int, end: int) -> bool:
    """Whether any window lies between, even in part."""
    return oracle.begins_next(all_windows, begin) < end


def province(seed: int) -> tuple[list[PoolRow], list[JobClass]]:
    """Pools of different speeds and prices, and classes that fit some or all of them."""
    pools = [
        pool("hefei/a", nodes=2 + seed % 3),
        pool("wuhu/b", nodes=3, shares=True, speed_milli=1_500, device_hour_micro_yuan=15_000_000),
        pool("suzhou/c", nodes=2, speed_milli=700, device_hour_micro_yuan=6_000_000, carbon_g_per_kwh=100),
    ]
    classes = [
        task(),
        task(tasks=4, devices_milli=4_000),
        task(devices_milli=500, weight_carbon=3_000),
        task(tasks=2, devices_milli=8_000, weight_time=300, weight_money=3_000),
    ]
    return pools, classes


def busy(seed: int, classes: list[JobClass]) -> SimulatedJobs:
    return jobs(
        [(at, run, limit, need % len(classes), user) for at, run, limit, need, user in crowd(seed, 150, 60)],
        classes,
    )


@given(
    drawn=st.integers(1, 6).flatmap(
        lambda nodes: st.tuples(st.just(nodes), rows(nodes + 1, 20), windows(20 * SECOND))
    )
)
@settings(max_examples=150)
def test_easy_with_windows_is_as_the_oracle_says(drawn: tuple[int, list[Row], tuple[Window, ...]]) -> None:
    nodes, some, all_windows = drawn
    kept = tuple(
        each for each in all_windows if not each.every_ms or each.until_ms - each.from_ms < each.every_ms
    )
    kept = tuple(replace(each, every_ms=each.every_ms // MINUTE * MINUTE) for each in kept)
    kept = tuple(each for each in kept if not each.every_ms or each.until_ms - each.from_ms < each.every_ms)
    workload = jobs(some)
    found = simulate([replace(machine(nodes), windows=(*kept, PAST))], (), workload, NAMED["easy"])
    assert oracle.easy(workload, nodes, kept) == found.start_ms.tolist()


@pytest.mark.parametrize("name", PLACED)
def test_windows_are_empty_and_all_else_holds(name: str) -> None:
    for seed in range(3):
        pools, classes = province(seed)
        down = [
            (Window(MINUTE, 3 * MINUTE),),
            (Window(2 * MINUTE, 4 * MINUTE, 10 * MINUTE), Window(30 * MINUTE, HOUR)),
            (),
        ]
        pools = [replace(each, windows=some) for each, some in zip(pools, down, strict=True)]
        workload = busy(seed, classes)
        found = simulate(pools, (), workload, NAMED[name])
        referee.check_province(workload, found, pools)
        assert found.start_ms.min() >= 0
        for job, (start, place) in enumerate(zip(found.start_ms.tolist(), found.pool.tolist(), strict=True)):
            latest = start + -(-int(workload.limit_ms[job]) * 1_000 // pools[place].speed_milli)
            assert not is_out(pools[place].windows, start, latest)


@pytest.mark.parametrize("name", PLACED)
def test_what_looks_at_time_and_finds_nothing_decides_as_what_does_not_look(name: str) -> None:
    for seed in range(3):
        pools, classes = province(seed)
        constant = [
            replace(
                each,
                windows=(PAST,),
                device_hour_over_time=Curve(((0, each.device_hour_micro_yuan),), DAY),
                carbon_over_time=Curve(((7 * MINUTE, each.carbon_g_per_kwh), (HOUR, each.carbon_g_per_kwh))),
            )
            for each in pools
        ]
        workload = busy(seed, classes)
        for expected in (Expected.ESTIMATE, Expected.PREDICTION):
            one, other = (
                simulate(each, (), workload, NAMED[name], expected=expected) for each in (pools, constant)
            )
            assert one.start_ms.tolist() == other.start_ms.tolist()
            assert one.pool.tolist() == other.pool.tolist()


def test_a_job_that_never_fits_between_windows_never_starts_and_ends_no_simulation() -> None:
    daily = replace(machine(4), windows=(Window(0, HOUR, DAY),))
    found = simulate([daily], (), jobs([(0, 60, 24 * 3_600, 1, 0), (1, 60, 22 * 3_600, 4, 0)]), NAMED["easy"])
    assert [-1, HOUR] == found.start_ms.tolist()


def test_a_job_goes_where_its_own_hours_are_cheap() -> None:
    night = Curve(((0, 1_000_000), (6 * HOUR, 20_000_000)), DAY)
    day = Curve(((0, 20_000_000), (6 * HOUR, 1_000_000)), DAY)
    pools = [pool("a/x", device_hour_over_time=night), pool("b/x", device_hour_over_time=day)]
    some = jobs(
        [(0, 3_600, 3_600, 0, 0), (5 * 3_600, 6 * 3_600, 6 * 3_600, 0, 0), (7 * 3_600, 60, 60, 0, 0)],
        [task()],
    )
    # The second begins in cheap hours at a, and most of it would lie in dear ones.
    assert [0, 1, 1] == simulate(pools, (), some, NAMED["weir"]).pool.tolist()


def test_a_job_goes_where_the_current_is_clean_while_it_runs() -> None:
    dirty_later = Curve(((0, 10), (HOUR, 900)))
    clean_later = Curve(((0, 900), (HOUR, 10)))
    pools = [pool("a/x", carbon_over_time=dirty_later), pool("b/x", carbon_over_time=clean_later)]
    green = task(weight_money=0, weight_time=0, weight_carbon=1_000)
    some = jobs([(0, 60, 60, 0, 0), (1, 5 * 3_600, 5 * 3_600, 0, 0), (7_200, 60, 60, 0, 0)], [green])
    assert [0, 1, 1] == simulate(pools, (), some, NAMED["weir"]).pool.tolist()


class TestData:
    POOLS = (pool("a/x", nodes=1), pool("b/x", nodes=1))
    LINKS = (LinkRow("a", "b", 8_000_000, 100),)
    NEED = task(devices_milli=8_000, data=(("a", 60_000_000),))
    """A minute and a tenth of a second away from b."""

    def test_nothing_runs_before_its_data_are_there(self) -> None:
        some = jobs([(0, 600, 600, 0, 0), (1, 10, 600, 0, 0)], [self.NEED])
        found = simulate(self.POOLS, self.LINKS, some, NAMED["weir"])
        assert [0, 1] == found.pool.tolist()
        assert [0, 61_100] == found.start_ms.tolist()
        assert 10 * SECOND == found.end_ms[1] - found.start_ms[1]

    def test_the_place_is_held_meanwhile(self) -> None:
        late = replace(self.NEED, data=())
        some = jobs([(0, 600, 600, 0, 0), (1, 10, 600, 0, 0), (2, 10, 20, 1, 0)], [self.NEED, late])
        found = simulate(self.POOLS, self.LINKS, some, NAMED["weir"])
        assert found.end_ms[1] == found.start_ms[2]

    def test_what_has_its_data_on_the_spot_is_not_put_off(self) -> None:
        far = replace(self.NEED, centres=("b",))
        some = jobs([(0, 5, 5, 0, 0), (0, 5, 5, 1, 0)], [self.NEED, far])
        found = simulate(self.POOLS, self.LINKS, some, NAMED["weir"])
        assert [0, 60_100] == found.start_ms.tolist()

    def test_a_window_is_kept_clear_of_moving_data_too(self) -> None:
        pools = (self.POOLS[0], replace(self.POOLS[1], windows=(Window(70 * SECOND, 80 * SECOND),)))
        far = replace(self.NEED, centres=("b",))
        found = simulate(pools, self.LINKS, jobs([(0, 5, 20, 0, 0)], [far]), NAMED["weir"])
        assert [80 * SECOND + 60_100] == found.start_ms.tolist()


def test_a_job_prefers_the_pool_where_its_deadline_holds() -> None:
    pools = [
        pool("a/x", device_hour_micro_yuan=0, speed_milli=500),
        pool("b/x", device_hour_micro_yuan=90_000_000),
    ]
    thrifty = task(weight_time=0)
    some = jobs([(0, 3_600, 3_600, 0, 0), (0, 3_600, 3_600, 0, 0)], [thrifty])
    nobody = simulate(pools, (), some, NAMED["weir"])
    assert [0, 0] == nobody.pool.tolist()
    column = some.submitted_ms + HOUR
    column[0] += HOUR
    found = simulate(pools, (), replace(some, deadline_ms=column), NAMED["weir"])
    assert [0, 1] == found.pool.tolist()


def test_of_jobs_that_wait_one_goes_ahead_in_time_for_its_deadline() -> None:
    some = jobs([(0, 100, 100, 4, 0), (1, 50, 50, 4, 0), (2, 50, 50, 4, 0)])
    deadline = some.submitted_ms * 0 + 2**62
    deadline[2] = 160 * SECOND
    without = simulate([machine(4)], (), some, NAMED["weir"])
    found = simulate([machine(4)], (), replace(some, deadline_ms=deadline), NAMED["weir"])
    assert [0, 100 * SECOND, 150 * SECOND] == without.start_ms.tolist()
    assert [0, 150 * SECOND, 100 * SECOND] == found.start_ms.tolist()
