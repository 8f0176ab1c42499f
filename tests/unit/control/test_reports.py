"""Reports: levels, deduplication, ends taken once, adoption, capacity."""

from dataclasses import replace

import pytest

from tests.unit.control.world import Agent, World, job, runs, world
from weir.control import orders, reports
from weir.model.agent import End, LogChunk, NodeShare, Observation, OutputFile, Report
from weir.model.change import ChangeKind
from weir.model.problem import ProblemError
from weir.model.state import Cause, Observed
from weir.store import memory_store
from weir.store.memory import image_of


def placed(w: World, count: int = 1) -> tuple[Agent, list[str]]:
    agent = w.agent("wuhu-hpc")
    w.submit(job(array=count, restartable=True))
    w.step()
    return agent, [attempt.attempt for attempt in runs(agent.pull())]


def test_levels_never_go_down() -> None:
    w = world()
    agent, [attempt] = placed(w)
    agent.report(agent.seen(attempt, Observed.RUNNING))
    agent.report(agent.seen(attempt, Observed.INTENDED))
    assert w.states() == ["running"]
    assert w.rows("attempt")[0].observed == Observed.RUNNING


def test_a_repeated_report_changes_nothing_and_is_answered_the_same() -> None:
    w = world()
    agent, [attempt] = placed(w)
    agent.number += 1
    told = Report(1, agent.number, w.store.incarnation, w.now_ms, observations=(agent.end(attempt),))
    first = agent.send(told)
    position = w.store.position()
    assert agent.send(told) == first
    assert first.kept == (attempt,)
    assert w.store.position() == position


def test_that_an_attempt_was_taken_back_is_no_agents_to_say() -> None:
    w = world()
    agent, [attempt] = placed(w)
    agent.report(agent.end(attempt, Cause.WITHDRAWN))
    assert ["lost"] == [row.cause for row in w.rows("attempt")]
    assert [0] == [row.withdrawals for row in w.rows("job")]


def test_an_older_report_is_dropped() -> None:
    w = world()
    agent, [attempt] = placed(w)
    late = Report(
        1, agent.number + 1, w.store.incarnation, w.now_ms, observations=(agent.end(attempt, Cause.LOST),)
    )
    agent.number += 1
    agent.report(agent.seen(attempt, Observed.RUNNING))
    answer = agent.send(late)
    assert answer.kept == ()
    assert w.states() == ["running"]


def test_a_replaced_agent_is_not_listened_to() -> None:
    w = world()
    agent, [attempt] = placed(w)
    old = Agent(w, "wuhu-hpc", incarnation=1, number=900)
    agent.incarnation, agent.number = 2, 0
    agent.hello(agent.held(attempt, Observed.RUNNING, "cpu"))
    answer = old.report(old.end(attempt, Cause.LOST))
    assert (answer.acknowledged, answer.kept) == (0, ())
    assert w.states() == ["running"]


def test_the_first_end_wins() -> None:
    w = world()
    agent, [attempt] = placed(w)
    agent.report(agent.end(attempt, outputs=[OutputFile(0, "a", 1, "0" * 64)]))
    assert agent.report(agent.end(attempt, Cause.LOST)).kept == (attempt,)
    assert w.states() == ["succeeded"]
    assert len(w.rows("output")) == 1


def test_a_lost_attempt_of_a_restartable_job_queues_again_and_gets_the_next_epoch() -> None:
    w = world()
    agent, [attempt] = placed(w)
    agent.report(agent.end(attempt, Cause.LOST))
    assert w.states() == ["queued"]
    w.step()
    [again] = runs(agent.pull())
    assert again.attempt == attempt.removesuffix("1") + "2"
    agent.report(agent.end(again.attempt))
    assert w.states() == ["succeeded"]


def test_after_the_last_attempt_allowed_the_job_fails() -> None:
    w = world()
    agent, _ = placed(w)
    for _ in range(3):
        [row] = [row for row in w.rows("attempt") if row.observed < Observed.ENDED]
        agent.report(agent.end(f"{w.rows('submission')[0].id}.0-{row.epoch}", Cause.NODE_FAILED))
        w.step()
    assert w.states() == ["failed"]
    assert len(w.rows("attempt")) == 3


def test_an_agent_touches_attempts_of_its_own_centre_alone() -> None:
    w = world()
    _, [attempt] = placed(w)
    stranger = w.agent("hefei-ai")
    assert stranger.report(stranger.end(attempt)).kept == ()
    assert w.states() == ["placed"]
    [centre] = [row for row in w.rows("centre") if row.id == "hefei-ai"]
    assert attempt in centre.unclaimed
    own = w.store.read(lambda c: reports.own_attempts(c, "hefei-ai", [attempt]))
    assert own == frozenset()
    chunks = (LogChunk(attempt, 0, "stdout", 0, ""), LogChunk(attempt, 0, "../x", 0, ""))
    assert w.store.read(lambda c: reports.authorise_logs(c, "hefei-ai", chunks)) == ()
    assert w.store.read(lambda c: reports.authorise_logs(c, "wuhu-hpc", chunks)) == chunks[:1]


def test_an_undeclared_centre_is_not_found() -> None:
    w = world()
    with pytest.raises(ProblemError) as error:
        Agent(w, "nowhere").report()
    assert error.value.problem.status == 404


def test_heartbeats_and_unchanged_capacity_are_no_changes() -> None:
    w = world()
    agent = w.agent("wuhu-hpc")
    position = w.store.position()
    for _ in range(5):
        w.now_ms += 1_000
        agent.report(pools=agent.pools())
    assert w.store.position() == position
    [row] = [row for row in w.rows("centre") if row.id == "wuhu-hpc"]
    assert row.heartbeat_ms == w.now_ms


def test_changed_capacity_is_one_change() -> None:
    w = world()
    agent = w.agent("wuhu-hpc")
    position = w.store.position()
    [pool] = agent.pools()
    agent.report(pools=(replace(pool, present=(replace(pool.present[0], nodes=3),), drained_nodes=1),))
    assert [change.kind for change in w.changes(position)] == [ChangeKind.CENTRE]


def test_a_clock_that_is_wrong_is_put_right() -> None:
    w = world()
    agent, [attempt] = placed(w)
    ahead = 3_600_000
    end = End(None, 0, None, "", started_ms=w.now_ms + ahead, ended_ms=w.now_ms + ahead + 500)
    w.now_ms += 500
    observation = Observation(attempt, Observed.ENDED, end=end)
    agent.report(observation, agent_time_ms=w.now_ms + ahead)
    [row] = w.rows("job")
    assert (row.started_ms, row.ended_ms) == (w.now_ms - 500, w.now_ms)


def test_a_report_that_was_long_under_way_makes_no_clock_wrong() -> None:
    w = world()
    agent, [attempt] = placed(w)
    placed_ms = w.now_ms
    w.now_ms += 12_000
    end = End(None, 0, None, "", started_ms=placed_ms + 1_000, ended_ms=placed_ms + 1_500)
    agent.report(Observation(attempt, Observed.ENDED, end=end), agent_time_ms=placed_ms + 2_000)
    [row] = w.rows("job")
    assert (row.started_ms, row.ended_ms) == (placed_ms + 1_000, placed_ms + 1_500)


def test_outputs_that_leave_their_folder_are_not_taken() -> None:
    w = world()
    agent, [attempt] = placed(w)
    agent.report(agent.end(attempt, outputs=[OutputFile(0, "../../etc/passwd", 3, "a" * 64)]))
    [row] = w.rows("job")
    assert row.cause == "outputs"
    assert w.rows("output") == []


@pytest.mark.parametrize("url", ["https://h.example/../x", "javascript:x", "https://u@h.example/x"])
def test_a_delivery_is_told_by_a_url_as_jobs_name_one(url: str) -> None:
    w = world()
    agent, [attempt] = placed(w)
    agent.report(agent.end(attempt, outputs=[OutputFile(0, "a", 3, "a" * 64, url)]))
    assert "outputs" == w.rows("job")[0].cause
    assert [] == w.rows("output")


def restored(w: World, image: object) -> World:
    other = World(memory_store(image, restored_with=w.random_bits))  # type: ignore[arg-type]
    other.now_ms = w.now_ms
    return other


def test_a_restored_store_places_nothing_until_every_reachable_centre_has_reported_in_full() -> None:
    w = world()
    w.agent("wuhu-hpc")
    w.agent("hefei-ai")
    w.submit(job())
    r = restored(w, image_of(w.store))
    r.step()
    assert r.states() == ["queued"]
    first = Agent(r, "wuhu-hpc", number=10, store_incarnation=w.store.incarnation)
    assert first.report(full=True).want_full  # it has not heard of the restored store yet
    first.report(full=True)
    r.step()
    assert r.states() == ["queued"]
    second = Agent(r, "hefei-ai", number=10)
    assert not second.report(full=True).want_full
    r.step()
    assert r.states() == ["placed"]


def test_a_restored_store_waits_for_a_silent_centre_no_longer_than_until_it_counts_as_lost() -> None:
    w = world()
    w.agent("wuhu-hpc")
    w.agent("hefei-ai")
    w.submit(job())
    r = restored(w, image_of(w.store))
    r.step()
    agent = Agent(r, "wuhu-hpc", number=10)
    r.now_ms += 29_000
    agent.report(full=True)
    r.step()
    assert r.states() == ["queued"]
    r.now_ms += 1_000
    r.step()
    assert r.states() == ["placed"]


@pytest.mark.parametrize("observed", [Observed.INTENDED, Observed.RUNNING, Observed.ENDED])
@pytest.mark.parametrize("held", [False, True])
def test_an_attempt_that_a_restored_store_forgot_is_adopted(observed: Observed, held: bool) -> None:
    w = world()
    w.agent("wuhu-hpc")
    [one] = w.submit(job())
    if held:
        w.store.write(lambda tx: orders.hold(tx, w.tenant, one.id, w.now_ms))
    image = image_of(w.store)
    r = restored(w, image)
    agent = Agent(r, "wuhu-hpc", number=10)
    attempt = f"{one.id}-1"
    seen = agent.end(attempt) if observed is Observed.ENDED else agent.seen(attempt, observed)
    answer = agent.report(replace(seen, pool="cpu", nodes=(NodeShare(2, 1),)), full=True)
    expected = {Observed.INTENDED: "starting", Observed.RUNNING: "running", Observed.ENDED: "succeeded"}
    assert r.states() == [expected[observed]]
    assert answer.kept == ((attempt,) if observed is Observed.ENDED else ())
    [row] = r.rows("attempt")
    assert (row.epoch, row.nodes) == (1, "[[2,1]]")
    r.step()
    assert len(r.rows("attempt")) == 1


def test_what_is_adopted_supersedes_what_the_restored_store_thought() -> None:
    w = world()
    here, there = w.agent("wuhu-hpc"), w.agent("hefei-ai")
    [one] = w.submit(job(restartable=True))
    w.step()
    [row] = w.rows("attempt")
    first, second = (here, there) if row.centre == "wuhu-hpc" else (there, here)
    first.report(first.seen(f"{one.id}-1", Observed.RUNNING))
    r = restored(w, image_of(w.store))
    # After the backup was made, epoch 1 was lost and epoch 2 placed at the other centre.
    other = Agent(r, second.centre, number=10)
    other.report(other.held(f"{one.id}-2", Observed.RUNNING, "cpu"), full=True)
    assert r.states() == ["running"]
    assert [(row.epoch, row.desired) for row in r.rows("attempt")] == [(1, 3), (2, 1)]
    back = Agent(r, first.centre, number=10)
    back.report(full=True)
    assert r.states() == ["running"]


@pytest.mark.parametrize(
    ("pool", "nodes"),
    [
        ("none", (NodeShare(0, 1),)),
        ("cpu", (NodeShare(0, 2),)),
        ("cpu", (NodeShare(-1, 1),)),
        ("cpu", (NodeShare(1 << 40, 1),)),
        ("cpu", (NodeShare(0, 2), NodeShare(1, -1))),
        ("cpu", ()),
    ],
)
def test_what_cannot_be_is_not_adopted_and_does_not_stop_the_scheduler(
    pool: str, nodes: tuple[NodeShare, ...]
) -> None:
    w = world()
    agent = w.agent("wuhu-hpc")
    [one] = w.submit(job())
    agent.report(replace(agent.seen(f"{one.id}-7", Observed.RUNNING), pool=pool, nodes=nodes), full=True)
    [row] = [row for row in w.rows("centre") if row.id == "wuhu-hpc"]
    assert f"{one.id}-7" in row.unclaimed
    w.step()
    assert w.states() == ["placed"]


def test_capacity_that_cannot_be_does_not_stop_the_scheduler() -> None:
    w = world()
    agent = w.agent("wuhu-hpc")
    [pool] = agent.pools()
    for nodes in (-5, 1 << 50):
        group = replace(pool.present[0], nodes=nodes, devices_milli=-1_000, cores_milli=-1, memory_bytes=-1)
        agent.report(pools=(replace(pool, present=(group,)),))
        w.submit(job())
        w.step()
    assert w.states() == ["queued", "queued"]
    agent.report(pools=agent.pools())
    w.step()
    assert w.states() == ["placed", "placed"]


def test_what_is_of_no_job_is_shown_as_unclaimed_and_left_alone() -> None:
    w = world()
    agent = w.agent("wuhu-hpc")
    agent.report(agent.held("abcdefghjkmn-1", Observed.RUNNING, "cpu"), full=True, unclaimed=("slurm-17",))
    [row] = [row for row in w.rows("centre") if row.id == "wuhu-hpc"]
    assert row.unclaimed == '["abcdefghjkmn-1", "slurm-17"]'
    assert agent.pull().attempts == ()
