"""The fake engine: virtual time, faults by chance from a seed, and what it notices."""

from collections.abc import Callable
from pathlib import Path

import pytest

from weir.engines.driver import AttemptOrder, EngineState, EngineUnreachableError
from weir.engines.fake import FakeEngine, Faults
from weir.model.agent import NodeShare, PoolEntry, Work
from weir.model.state import Cause, Observed

POOL = PoolEntry("p", 1, 2, 2_000, 1_000, "m", False)


class World:
    """A clock that stands still until it is moved, and an engine on it."""

    def __init__(self, seed: int = 1, **faults: int) -> None:
        self.now_ms = 1_000_000
        self.engine = FakeEngine(seed, lambda: self.now_ms, Faults(**faults))
        self.engine.attach((POOL,), {})

    def pass_time(self, duration_ms: int) -> None:
        self.now_ms += duration_ms

    def state(self, attempt: str) -> EngineState:
        [state] = self.engine.observe([attempt])
        return state


def order(attempt: str, job: str = "", run_ms: int = 5_000, **environment: str) -> AttemptOrder:
    given = {"FAKE_RUN_MS": str(run_ms), **environment}
    work = Work("s", "p", ("x",), given, 1, 1_000, 1, 0, "m", "", 60_000, "TERM", 100, False, (), 0, 0)
    return AttemptOrder(attempt, job or attempt, 1, None, work, (NodeShare(0, 1),), Path("nowhere"))


def test_an_attempt_runs_for_its_time_and_ends_with_its_code() -> None:
    world = World()
    world.engine.submit([order("a", FAKE_EXIT="4", FAKE_OUTPUT="hello")], 0)
    assert Observed.QUEUED is world.state("a").observed
    world.pass_time(100)
    assert Observed.RUNNING is world.state("a").observed
    assert b"ell" == world.engine.output("a", 0, "stdout", 1, 3)
    world.pass_time(4_800)
    assert Observed.RUNNING is world.state("a").observed
    world.pass_time(200)
    end = world.state("a").end
    assert end is not None
    assert (Cause.EXIT, 4, 5_000) == (end.cause, end.exit_code, end.ended_ms - (end.started_ms or 0))


def test_the_next_event_is_known_so_that_time_can_jump_to_it() -> None:
    assert World().engine.next_event_ms is None
    world = World()
    world.engine.submit([order("a")], 0)
    for _ in range(2):
        assert world.engine.next_event_ms is not None
        world.now_ms = world.engine.next_event_ms
        world.engine.wait(0)
    assert Observed.ENDED is world.state("a").observed


def test_what_has_no_room_waits() -> None:
    world = World()
    world.engine.submit([order(name) for name in "abc"], 0)
    world.pass_time(100)
    assert ["a", "b"] == world.engine.running()
    world.pass_time(5_200)
    assert ["c"] == world.engine.running()


def test_a_lost_submission_may_have_arrived_in_part() -> None:
    arrived = set()
    for seed in range(30):
        world = World(seed, submit_lost=1_000)
        with pytest.raises(EngineUnreachableError):
            world.engine.submit([order("a"), order("b")], 0)
        arrived.add(tuple(world.engine.live()))
    assert {(), ("a",), ("a", "b")} == arrived


def test_a_lost_answer_means_that_all_has_arrived() -> None:
    world = World(reply_lost=1_000)
    with pytest.raises(EngineUnreachableError):
        world.engine.submit([order("a"), order("b")], 0)
    assert ["a", "b"] == world.engine.live()


def test_the_same_attempt_again_is_counted_and_not_run_again() -> None:
    world = World()
    for _ in range(10):
        world.engine.submit([order("a")], 0)
    world.pass_time(100)
    assert ["a"] == world.engine.running()
    assert 10 == world.engine.submits["a"]
    assert [] == world.engine.reruns


def test_an_attempt_that_was_forgotten_and_comes_again_is_noticed() -> None:
    world = World()
    world.engine.submit([order("a")], 0)
    world.pass_time(10_000)
    world.engine.forget(["a"])
    assert Observed.NOTHING is world.state("a").observed
    world.engine.submit([order("a")], 0)
    assert ["a"] == world.engine.reruns


def test_two_attempts_of_a_job_at_once_are_noticed() -> None:
    world = World()
    world.engine.submit([order("j-1", "j"), order("j-2", "j")], 0)
    world.pass_time(100)
    assert {"j-1", "j-2"} == set(world.engine.running())
    assert [{"j-1", "j-2"}] == [set(pair) for pair in world.engine.overlaps]


def test_while_it_is_away_nothing_is_answered_and_everything_goes_on() -> None:
    world = World()
    world.engine.submit([order("a")], 0)
    world.engine.go_away(20_000)
    calls: list[Callable[[], object]] = [
        lambda: world.engine.observe(["a"]),
        lambda: world.engine.submit([order("b")], 0),
        lambda: world.engine.cancel(["a"]),
        world.engine.live,
    ]
    for call in calls:
        with pytest.raises(EngineUnreachableError):
            call()
    world.pass_time(20_000)
    assert Observed.ENDED is world.state("a").observed
    assert Observed.NOTHING is world.state("b").observed


def test_unreachable_times_come_by_chance() -> None:
    world = World(unreachable=500, unreachable_ms=2_000)
    answers = 0
    for _ in range(100):
        world.pass_time(1_000)
        try:
            answers += world.engine.live() == []
        except EngineUnreachableError:
            continue
    assert 0 < answers < 100


def test_nodes_fail_by_chance_or_on_demand() -> None:
    world = World(node_failed=1_000)
    causes = set()
    for number in range(20):
        world.engine.submit([order(f"a{number}")], 0)
        world.pass_time(10_000)
        end = world.state(f"a{number}").end
        assert end is not None
        causes.add(end.cause)
    assert {Cause.LOST, Cause.NODE_FAILED} == causes
    world = World()
    world.engine.submit([order("a")], 0)
    world.engine.fail("a")
    assert Observed.ENDED is world.state("a").observed


def test_what_the_engine_loses_it_knows_nothing_of() -> None:
    world = World()
    world.engine.submit([order("a")], 0)
    world.pass_time(100)
    world.engine.lose("a")
    assert Observed.NOTHING is world.state("a").observed
    assert [] == world.engine.running()


def test_its_clock_jumps_and_no_end_comes_before_its_start() -> None:
    world = World(clock_jump=1_000)
    starts = set()
    for number in range(20):
        world.engine.submit([order(f"a{number}")], 0)
        world.pass_time(10_000)
        state = world.state(f"a{number}")
        assert state.end is not None
        assert state.started_ms is not None
        assert state.started_ms <= state.end.ended_ms
        starts.add((state.started_ms > world.now_ms, state.started_ms < world.now_ms - 60_000))
    assert {(True, False), (False, True)} <= starts


def test_cancelling_ends_it_within_its_grace() -> None:
    world = World()
    world.engine.submit([order("a")], 0)
    world.pass_time(100)
    world.engine.cancel(["a", "a", "unknown"])
    world.pass_time(100)
    end = world.state("a").end
    assert end is not None
    assert Cause.CANCELLED is end.cause


def test_a_seed_tells_the_whole_story() -> None:
    def story() -> list[EngineState]:
        world = World(5, node_failed=300, slow_start=300, unreachable=50, submit_lost=100)
        for number in range(30):
            world.pass_time(3_000)
            try:
                world.engine.submit([order(f"a{number}")], 0)
            except EngineUnreachableError:
                continue
        world.engine.come_back()
        world.engine.faults = Faults()
        return world.engine.observe([f"a{number}" for number in range(30)])

    assert story() == story()


def test_another_agent_finds_what_the_last_one_left() -> None:
    world = World()
    world.engine.submit([order("a"), order("b"), order("c")], 0)
    world.engine.changed()
    world.engine.close()
    world.engine.attach((POOL,), {})
    assert ["a", "b", "c"] == world.engine.changed()
    world.pass_time(100)
    assert ["a", "b"] == world.engine.running()
