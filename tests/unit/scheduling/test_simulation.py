"""Whole simulated workloads, held to what their policies say, by a referee that does not know how the core works."""

from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.scheduling import referee
from tests.unit.scheduling.provinces import GIB, pool, task
from tests.unit.scheduling.workloads import Row, crowd, jobs, machine, rows, sizes_of
from weir.scheduling import Simulated, SimulatedJobs, simulate
from weir.scheduling.inputs import JobClass, PoolRow
from weir.scheduling.policies import NAMED
from weir.scheduling.simulated import Expected, PoolChange

MANY_POOLS = ("weir", "easy", "saf", "f1", "sjf-greedy", "earliest", "cheapest", "nearest", "race")
DRAWN = st.integers(1, 9).flatmap(lambda nodes: st.tuples(st.just(nodes), rows(nodes + 1)))
NEVER = -1


def starts(found: Simulated) -> list[int]:
    """In seconds; -1 where it never did."""
    return [each if each < 0 else each // 1_000 for each in found.start_ms.tolist()]


class TestOnePool:
    @pytest.mark.parametrize("expected", [Expected.ESTIMATE, Expected.PREDICTION], ids=["user", "predicted"])
    @pytest.mark.parametrize("name", [each for each in NAMED if NAMED[each].placement == 0])
    @given(drawn=DRAWN)
    @settings(max_examples=30)
    def test_all_that_fit_run_to_their_end_on_nodes_of_their_own(
        self, name: str, expected: Expected, drawn: tuple[int, list[Row]]
    ) -> None:
        nodes, some = drawn
        workload = jobs(some)
        for per_event in (False, True):
            found = simulate(
                [machine(nodes)], (), workload, NAMED[name], expected=expected, pass_per_event=per_event
            )
            referee.check_one_pool(workload, found, nodes)

    @pytest.mark.parametrize("name", [each for each in NAMED if NAMED[each].placement == 0])
    def test_the_same_of_long_queues(self, name: str) -> None:
        for seed, nodes in enumerate((5, 40)):
            workload = jobs(crowd(seed, 700, nodes))
            once, again = (simulate([machine(nodes)], (), workload, NAMED[name]) for _ in range(2))
            referee.check_one_pool(workload, once, nodes)
            assert once.start_ms.tolist() == again.start_ms.tolist()

    @given(drawn=DRAWN)
    def test_easy_never_exceeds_what_the_first_that_waits_is_promised(
        self, drawn: tuple[int, list[Row]]
    ) -> None:
        nodes, some = drawn
        self.hold_to_easy(jobs(some), nodes)

    def test_easy_keeps_its_promise_in_long_queues(self) -> None:
        for seed, nodes in enumerate((3, 12, 40)):
            self.hold_to_easy(jobs(crowd(seed, 300, nodes)), nodes)

    def hold_to_easy(self, workload: SimulatedJobs, nodes: int) -> None:
        """The promise is kept, and whatever may start without breaking it has started."""
        found = simulate([machine(nodes)], (), workload, NAMED["easy"])
        sizes, limit = sizes_of(workload), workload.limit_ms.tolist()
        for seen in referee.instants(workload, found, nodes):
            first = seen.waiting[0]
            assert sizes[first] > seen.free
            assert found.start_ms[first] <= seen.promised
            left_behind = [
                job
                for job in seen.waiting[1:]
                if sizes[job] <= seen.free
                and (seen.now + limit[job] <= seen.promised or sizes[job] <= seen.extra)
            ]
            assert [] == left_behind

    @given(drawn=DRAWN)
    def test_conservative_starts_nobody_later_than_he_was_promised_when_he_came(
        self, drawn: tuple[int, list[Row]]
    ) -> None:
        nodes, some = drawn
        self.hold_to_conservative(jobs(some), nodes)

    def test_conservative_keeps_all_promises_in_long_queues(self) -> None:
        for seed, nodes in enumerate((3, 12)):
            self.hold_to_conservative(jobs(crowd(seed, 120, nodes)), nodes)

    def hold_to_conservative(self, workload: SimulatedJobs, nodes: int) -> None:
        found = simulate([machine(nodes)], (), workload, NAMED["conservative"]).start_ms.tolist()
        expected, promised = referee.conservative(workload, nodes)
        assert expected == found
        assert [] == [job for job, start in enumerate(found) if start > promised[job]]

    @given(drawn=DRAWN)
    def test_fcfs_starts_jobs_in_the_order_in_which_they_come(self, drawn: tuple[int, list[Row]]) -> None:
        nodes, some = drawn
        found = starts(simulate([machine(nodes)], (), jobs(some), NAMED["fcfs"]))
        started = [start for start in found if start >= 0]
        assert sorted(started) == started

    @pytest.mark.parametrize("name", NAMED)
    @given(drawn=DRAWN, random=st.randoms(use_true_random=False))
    @settings(max_examples=15)
    def test_how_classes_are_numbered_makes_no_difference(
        self, name: str, drawn: tuple[int, list[Row]], random: Random
    ) -> None:
        nodes, some = drawn
        workload = jobs(some)
        order = list(range(len(workload.classes)))
        random.shuffle(order)
        number = np.argsort(np.array(order, np.int64))
        # Each class twice, and its jobs alternate between the two.
        other = replace(
            workload,
            classes=tuple(workload.classes[each] for each in order) * 2,
            job_class=number[workload.job_class].astype(np.int64) + len(order) * (np.arange(len(some)) % 2)
            if some
            else workload.job_class,
        )
        one, two = (simulate([machine(nodes)], (), each, NAMED[name]) for each in (workload, other))
        assert one.start_ms.tolist() == two.start_ms.tolist()

    @pytest.mark.parametrize("name", NAMED)
    def test_no_job(self, name: str) -> None:
        found = simulate([machine(4)], (), jobs([]), NAMED[name])
        assert [] == starts(found)

    @pytest.mark.parametrize("name", NAMED)
    def test_one_job(self, name: str) -> None:
        found = simulate([machine(4)], (), jobs([(7, 5, 9, 4, 0)]), NAMED[name])
        assert ([7_000], [12_000], [0]) == (
            found.start_ms.tolist(),
            found.end_ms.tolist(),
            found.pool.tolist(),
        )

    @pytest.mark.parametrize("name", NAMED)
    def test_a_job_that_is_larger_than_the_machine_never_starts_and_is_in_nobodys_way(
        self, name: str
    ) -> None:
        found = simulate([machine(4)], (), jobs([(0, 5, 5, 5, 0), (0, 5, 5, 4, 0)]), NAMED[name])
        assert [NEVER, 0] == starts(found)
        assert [NEVER, 5_000] == found.end_ms.tolist()
        assert [NEVER, 0] == found.pool.tolist()

    def test_progress_ends_at_all_jobs_and_the_clock_is_read_twice(self) -> None:
        told, times = list[tuple[int, int]](), iter((10.0, 12.5))
        found = simulate(
            [machine(4)], (), jobs([(0, 5, 5, 2, 0)] * 3), NAMED["easy"],
            progress=lambda done, of: told.append((done, of)), clock=lambda: next(times),
        )  # fmt: skip
        assert (3, 3) == told[-1]
        assert 2.5 == found.elapsed_s

    def test_passes_after_every_event_and_after_all_of_an_instant_differ(self) -> None:
        # At second 10 a job of 2 ends, then one of 2; a pass in between starts the narrow one that waits behind.
        some = [(0, 10, 10, 2, 0), (0, 10, 10, 2, 0), (1, 10, 10, 4, 0), (2, 10, 10, 2, 0)]
        once = simulate([machine(4)], (), jobs(some), NAMED["sjf-greedy"])
        each = simulate([machine(4)], (), jobs(some), NAMED["sjf-greedy"], pass_per_event=True)
        assert [0, 0, 10, 20] == starts(once)
        assert [0, 0, 20, 10] == starts(each)


class TestByHand:
    """Four nodes. A job of three runs until 10, and says 20; behind it wait one of four and three of one."""

    JOBS: tuple[Row, ...] = (
        (0, 10, 20, 3, 0), (1, 5, 5, 4, 0), (2, 3, 18, 1, 0), (3, 3, 19, 1, 0), (4, 1, 1, 1, 0),
    )  # fmt: skip

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("fcfs", [0, 10, 15, 15, 15]),
            ("easy", [0, 10, 2, 15, 5]),
            ("conservative", [0, 10, 2, 15, 5]),
            ("sjf", [0, 10, 15, 15, 4]),
            ("sjf-committed", [0, 10, 15, 15, 15]),
            ("sjf-greedy", [0, 10, 2, 6, 5]),
            ("saf", [0, 10, 2, 6, 5]),
        ],
    )
    def test_who_goes_by_whom(self, name: str, expected: list[int]) -> None:
        assert expected == starts(simulate([machine(4)], (), jobs(self.JOBS), NAMED[name]))

    def test_easy_sjbf_backfills_the_shortest_first(self) -> None:
        some = [(0, 10, 10, 3, 0), (1, 5, 5, 4, 0), (2, 7, 7, 1, 0), (2, 3, 3, 1, 0)]
        assert [0, 10, 2, 15] == starts(simulate([machine(4)], (), jobs(some), NAMED["easy"]))
        assert [0, 10, 5, 2] == starts(
            simulate([machine(4)], (), jobs([*some[:2], (2, 5, 5, 1, 0), some[3]]), NAMED["easy-sjbf"])
        )

    def test_predictions_order_jobs_but_promises_are_made_on_estimates(self) -> None:
        # The user's jobs always run 1 s of an hour, so once known they go ahead of the other's of a minute.
        some = [(2 * i, 1, 3_600, 4, 0) for i in range(6)]
        some += [(20, 10, 60, 4, 1), (21, 30, 60, 4, 1), (22, 1, 3_600, 4, 0)]
        told = starts(simulate([machine(4)], (), jobs(some), NAMED["sjf"]))
        known = starts(simulate([machine(4)], (), jobs(some), NAMED["sjf"], expected=Expected.PREDICTION))
        assert ([20, 30, 60], [20, 31, 30]) == (told[-3:], known[-3:])


@st.composite
def provinces(draw: st.DrawFn) -> list[PoolRow]:
    """Up to three unlike pools."""
    count = draw(st.integers(1, 3))
    return [
        pool(
            f"centre{place}/a",
            nodes=draw(st.integers(1, 4)),
            devices_per_node=draw(st.sampled_from((0, 2, 4))),
            cores_milli_per_node=draw(st.sampled_from((4_000, 9_000))),
            memory_bytes_per_node=draw(st.sampled_from((8, 20))) * GIB,
            shares=draw(st.booleans()),
            speed_milli=draw(st.sampled_from((1_000, 1_000, 700, 2_500))),
            device_hour_micro_yuan=draw(st.sampled_from((0, 5_000_000, 12_000_000))),
        )
        for place in range(count)
    ]


CLASSES = (
    task(),
    task(tasks=3, cores_milli=2_000, memory_bytes=3 * GIB),
    task(devices_milli=300),
    task(tasks=2, devices_milli=2_000, memory_bytes=5 * GIB),
    task(devices_milli=0, cores_milli=4_000),
    task(tasks=7, devices_milli=0, cores_milli=500, memory_bytes=2 * GIB),
)


class TestManyPools:
    @pytest.mark.parametrize("name", MANY_POOLS)
    @given(pools=provinces(), some=rows(len(CLASSES)))
    @settings(max_examples=40)
    def test_nothing_is_used_twice_and_all_that_fit_somewhere_run_to_their_end(
        self, name: str, pools: list[PoolRow], some: list[Row]
    ) -> None:
        workload = jobs([(*row[:3], row[3] - 1, row[4]) for row in some], CLASSES)
        for expected in (Expected.ESTIMATE, Expected.PREDICTION):
            once, again = (
                simulate(pools, (), workload, NAMED[name], expected=expected, pass_per_event=True)
                for _ in range(2)
            )
            referee.check_province(workload, once, pools)
            assert once.start_ms.tolist() == again.start_ms.tolist()
            for job, place in zip(workload.job_class.tolist(), once.pool.tolist(), strict=True):
                fitting = [row for row in pools if referee.fits(row, CLASSES[job])]
                assert pools[place] in fitting if fitting else place == NEVER

    def test_a_job_runs_as_fast_as_its_pool(self) -> None:
        pools = [pool("slow/a", speed_milli=400), pool("fast/a", speed_milli=2_500)]
        found = simulate(pools, (), jobs([(0, 10, 10, 0, 0)], [task()]), NAMED["weir"])
        assert ([1], [4_000]) == (found.pool.tolist(), found.end_ms.tolist())
        found = simulate(pools[:1], (), jobs([(0, 10, 10, 0, 0)], [task()]), NAMED["weir"])
        assert [25_000] == found.end_ms.tolist()

    def test_the_first_that_waits_for_its_best_pool_is_not_delayed_by_what_may_run_longer(self) -> None:
        # Both want all of the only pool that has devices; the third would outlast the promise, the fourth does not.
        pools = [pool("a/a", nodes=1, devices_per_node=4), pool("b/a", devices_per_node=0)]
        classes = [task(devices_milli=3_000), task(devices_milli=4_000), task(), task()]
        some = [(0, 10, 10, 0, 0), (1, 5, 5, 1, 0), (2, 9, 9, 2, 0), (3, 7, 7, 3, 0)]
        found = simulate(pools, (), jobs(some, classes), NAMED["easy"])
        assert [0, 10, 15, 3] == starts(found)
        assert [0, 0, 0, 0] == found.pool.tolist()


class TestPlacement:
    """Two pools of one node with one device. Each job takes a whole node."""

    POOLS = (
        pool("east/a", nodes=1, devices_per_node=1, device_hour_micro_yuan=2_000_000),
        pool("west/a", nodes=1, devices_per_node=1, device_hour_micro_yuan=3_000_000),
    )
    ONE = task(cores_milli=64_000)

    def simulated(self, name: str, some: list[Row], *classes: JobClass) -> Simulated:
        return simulate(self.POOLS, (), jobs(some, classes or [self.ONE]), NAMED[name])

    def test_cheapest_waits_for_the_pool_that_costs_least_even_beside_an_idle_one(self) -> None:
        found = self.simulated("cheapest", [(0, 10, 10, 0, 0), (1, 10, 10, 0, 0), (2, 10, 10, 0, 0)])
        assert ([0, 0, 0], [0, 10, 20]) == (found.pool.tolist(), starts(found))

    def test_nearest_waits_where_the_data_lie(self) -> None:
        there = replace(self.ONE, data=(("west", GIB),))
        found = self.simulated("nearest", [(0, 10, 10, 0, 0), (1, 10, 10, 0, 0)], there)
        assert ([1, 1], [0, 10]) == (found.pool.tolist(), starts(found))

    def test_earliest_goes_where_limits_promise_the_first_start_and_stays_there(self) -> None:
        # East is busy until 5, and says 100; west until 50, as it says. The third is given to west, and waits there.
        some = [(0, 5, 100, 0, 0), (0, 50, 50, 0, 0), (1, 10, 10, 0, 0)]
        found = self.simulated("earliest", some)
        assert ([0, 1, 1], [0, 0, 50]) == (found.pool.tolist(), starts(found))

    def test_earliest_counts_what_waits_there(self) -> None:
        some = [(0, 20, 20, 0, 0), (0, 30, 30, 0, 0), (1, 40, 40, 0, 0), (2, 10, 10, 0, 0)]
        found = self.simulated("earliest", some)
        assert ([0, 1, 0, 1], [0, 0, 20, 30]) == (found.pool.tolist(), starts(found))

    def test_earliest_waits_for_its_only_pool_where_that_is_closed_when_it_comes(self) -> None:
        found = simulate(
            self.POOLS, (), jobs([(5, 10, 10, 0, 0)], [replace(self.ONE, centres=("west",))]), NAMED["earliest"],
            changes=[PoolChange(0, "west/a", "closed"), PoolChange(20_000, "west/a")],
        )  # fmt: skip
        assert ([1], [20]) == (found.pool.tolist(), starts(found))

    def test_earliest_counts_what_was_lost_as_waiting(self) -> None:
        # East loses its job at 10 and opens at 11, so it has 100 s to do, and west 80.
        some = [(0, 100, 100, 0, 0), (0, 91, 91, 0, 0), (11, 5, 5, 0, 0)]
        found = simulate(
            self.POOLS, (), jobs(some, [self.ONE]), NAMED["earliest"],
            changes=[PoolChange(10_000, "east/a", "power cut", lost=True), PoolChange(11_000, "east/a")],
        )  # fmt: skip
        assert ([0, 1, 1], [11, 0, 91]) == (found.pool.tolist(), starts(found))

    @pytest.mark.parametrize("name", MANY_POOLS)
    def test_pools_are_numbered_as_they_were_given(self, name: str) -> None:
        east_only = jobs([(0, 10, 10, 0, 0)], [replace(self.ONE, centres=("east",))])
        for pools in (self.POOLS, self.POOLS[::-1]):
            found = simulate(pools, (), east_only, NAMED[name])
            assert "east/a" == pools[int(found.pool[0])].key

    def test_race_goes_to_the_first_pool_with_room(self) -> None:
        some = [(0, 5, 100, 0, 0), (0, 50, 50, 0, 0), (1, 10, 10, 0, 0)]
        found = self.simulated("race", some)
        assert ([0, 1, 0], [0, 0, 5]) == (found.pool.tolist(), starts(found))


class TestChanges:
    CLOSED = "closed for maintenance"

    def test_a_closed_pool_keeps_what_runs_and_starts_nothing_until_it_is_open_again(self) -> None:
        some = [(0, 30, 30, 2, 0), (1, 5, 5, 2, 0), (12, 5, 5, 2, 0)]
        found = simulate(
            [machine(2)], (), jobs(some), NAMED["easy"],
            changes=[PoolChange(10_000, "hefei/a", self.CLOSED), PoolChange(50_000, "hefei/a")],
        )  # fmt: skip
        assert [0, 50, 55] == starts(found)
        assert 30_000 == found.end_ms[0]

    def test_what_waits_goes_to_another_pool_when_its_own_is_closed(self) -> None:
        some = [(0, 30, 30, 2, 0), (0, 20, 20, 2, 0), (1, 5, 5, 2, 0)]
        pools = [machine(2), machine(2, "wuhu/a")]
        found = simulate(
            pools, (), jobs(some), NAMED["easy"], changes=[PoolChange(10_000, "hefei/a", self.CLOSED)]
        )
        first = found.pool.tolist().index(0)
        assert 1 == found.pool[2]
        assert [0, 0] == starts(found)[:2]
        assert found.end_ms[1 - first] == found.start_ms[2] * 1
        assert 20 <= starts(found)[2] <= 30

    def test_a_pool_that_stays_closed_leaves_its_jobs_unstarted(self) -> None:
        found = simulate(
            [machine(2)], (), jobs([(0, 5, 5, 2, 0), (1, 5, 5, 2, 0)]), NAMED["easy"],
            changes=[PoolChange(5_000, "hefei/a", self.CLOSED)],
        )  # fmt: skip
        assert [0, NEVER] == starts(found)
        assert NEVER == found.pool[1]

    def test_what_is_lost_runs_again_from_its_beginning(self) -> None:
        some = [(0, 30, 30, 1, 0), (0, 12, 12, 1, 0), (1, 5, 5, 2, 0)]
        found = simulate(
            [machine(2)], (), jobs(some), NAMED["easy"],
            changes=[
                PoolChange(20_000, "hefei/a", "power cut", lost=True),
                PoolChange(100_000, "hefei/a"),
            ],
        )  # fmt: skip
        # The second had ended at 12. The first goes first again, and then the one that waited.
        assert [100, 0, 130] == starts(found)
        assert [130_000, 12_000, 135_000] == found.end_ms.tolist()

    @pytest.mark.parametrize("name", MANY_POOLS)
    @given(some=rows(4), cuts=st.lists(st.tuples(st.integers(0, 90), st.integers(1, 60)), max_size=4))
    @settings(max_examples=30)
    def test_after_any_losses_all_still_run_to_their_end_and_none_in_a_closed_pool(
        self, name: str, some: list[Row], cuts: list[tuple[int, int]]
    ) -> None:
        pools, now, changes, shut = [machine(4), machine(4, "wuhu/a")], 0, list[PoolChange](), []
        for after, lasting in cuts:
            begin, end = now + after, now + after + lasting
            changes += [
                PoolChange(begin * 1_000, "wuhu/a", "lost", lost=True),
                PoolChange(end * 1_000, "wuhu/a"),
            ]
            shut.append((begin * 1_000, end * 1_000))
            now = end + 1
        workload = jobs(some)
        found = simulate(pools, (), workload, NAMED[name], changes=changes)
        assert (found.start_ms >= 0).all()
        referee.check_province(workload, found, pools)
        for place, start, end in zip(
            found.pool.tolist(), found.start_ms.tolist(), found.end_ms.tolist(), strict=True
        ):
            if place == 1:
                assert [] == [cut for cut in shut if cut[0] <= start < cut[1] or start < cut[0] < end]

    def test_a_pool_that_is_not_there_cannot_change(self) -> None:
        with pytest.raises(KeyError, match="anhui/x"):
            simulate(
                [machine(2)],
                (),
                jobs([(0, 1, 1, 1, 0)]),
                NAMED["easy"],
                changes=[PoolChange(0, "anhui/x", "gone")],
            )


class TestRefused:
    @pytest.mark.parametrize("name", ["fcfs", "easy-sjbf", "wfp3"])
    def test_policies_that_only_one_pool_can_be_run_by(self, name: str) -> None:
        with pytest.raises(ValueError, match=f"policy {name} is for one pool"):
            simulate([machine(2), machine(2, "wuhu/a")], (), jobs([(0, 1, 1, 1, 0)]), NAMED[name])

    def test_columns_of_other_types_or_lengths(self) -> None:
        workload = jobs([(0, 1, 1, 1, 0)])
        for name in ("run_ms", "limit_ms", "job_class", "user", "priority"):
            for column in (np.ones(1), np.ones(2, np.int64)):
                changed: dict[str, Any] = {name: column}
                with pytest.raises(ValueError, match=f"{name}: the columns"):
                    simulate([machine(2)], (), replace(workload, **changed), NAMED["easy"])

    def test_jobs_out_of_order(self) -> None:
        workload = jobs([(0, 1, 1, 1, 0), (5, 1, 1, 1, 0)])
        backwards = replace(workload, submitted_ms=workload.submitted_ms[::-1].copy())
        with pytest.raises(ValueError, match="submitted_ms: jobs come in order"):
            simulate([machine(2)], (), backwards, NAMED["easy"])

    @pytest.mark.parametrize(("run", "limit"), [(0, 5), (-1, 5), (6, 5)])
    def test_runs_that_cannot_be(self, run: int, limit: int) -> None:
        with pytest.raises(ValueError, match="run_ms: every run is between"):
            simulate([machine(2)], (), jobs([(0, run, limit, 1, 0)]), NAMED["easy"])
