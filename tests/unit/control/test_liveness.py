"""Leases and silence."""

from dataclasses import replace

import pytest

from tests.unit.control.world import PROVINCE, job, runs, world
from weir.control import leader
from weir.control.leader import LeadershipLostError
from weir.model.change import ChangeKind
from weir.model.state import Cause, Desired, Observed
from weir.registry import apply_province


def test_one_leads_at_a_time_and_each_election_begins_a_term() -> None:
    w = world()
    first = w.control
    assert first.step(w.now_ms).leading
    second = w.new_control()
    outcome = second.step(w.now_ms)
    assert (outcome.leading, outcome.next_ms) == (False, w.now_ms + 15_000)
    w.now_ms += 15_000
    assert second.step(w.now_ms).leading
    assert [row.term for row in w.rows("lease")] == [2]
    assert not first.step(w.now_ms).leading


def test_a_leader_prolongs_its_lease_before_it_ends_and_keeps_its_term() -> None:
    w = world()
    due = w.control.step(w.now_ms).next_ms
    assert due <= w.now_ms + 7_500
    w.now_ms = due
    w.control.step(w.now_ms)
    [lease] = w.rows("lease")
    assert (lease.term, lease.expires_ms) == (1, w.now_ms + 15_000)


def test_a_leader_that_resigns_is_replaced_at_once() -> None:
    w = world()
    w.control.step(w.now_ms)
    w.control.resign(w.now_ms)
    assert w.new_control().step(w.now_ms).leading


def test_a_plan_of_a_past_term_changes_nothing() -> None:
    w = world()
    w.agent("wuhu-hpc")
    first = w.control
    first.step(w.now_ms)
    w.submit(job())
    # The lease runs out unnoticed (a clock that stands still), and another is elected.
    later_ms = w.now_ms + 15_000
    second = w.new_control()
    assert second.step(later_ms).starts == 1
    w.submit(job())
    position = w.store.position()
    outcome = first.step(w.now_ms)
    assert (outcome.leading, outcome.again) == (False, True)
    assert w.store.position() == position
    assert second.step(later_ms).starts == 1


def test_a_lease_that_was_taken_by_another_does_not_count() -> None:
    w = world()
    held = w.store.write(lambda tx: leader.acquire(tx, "a", "", w.now_ms))
    w.store.write(lambda tx: leader.acquire(tx, "b", "", held.expires_ms))
    with pytest.raises(LeadershipLostError):
        w.store.write(lambda tx: leader.check(tx.connection, held))


def test_a_new_leader_goes_on_where_the_other_stopped() -> None:
    w = world()
    agent = w.agent("wuhu-hpc")
    for _ in range(3):
        w.submit(job(cores=8_000, array=5))
    w.step()
    placed = w.states().count("placed")
    w.now_ms += 15_000
    agent.report()
    w.new_control()
    w.step()
    assert w.states().count("placed") == placed  # nothing is placed twice, nothing above capacity
    assert len(w.rows("attempt")) == placed
    [attempt, *_] = runs(agent.pull())
    agent.report(agent.end(attempt.attempt))
    w.step()
    assert w.states().count("placed") == placed


def test_a_silent_centres_jobs_are_unknown_and_known_again_when_it_speaks() -> None:
    w = world()
    agent = w.agent("wuhu-hpc")
    w.submit(job())
    w.step()
    [attempt] = runs(agent.pull())
    agent.report(agent.seen(attempt.attempt, Observed.RUNNING))
    w.now_ms += 29_999
    w.step()
    assert w.states() == ["running"]
    w.now_ms += 1
    w.step()
    assert w.states() == ["unknown"]
    agent.report()
    assert w.states() == ["running"]
    centre = [change for change in w.changes() if change.kind is ChangeKind.CENTRE]
    assert len(centre) >= 3  # first heard, lost, heard again


def test_nothing_is_placed_at_a_lost_centre() -> None:
    w = world()
    w.agent("wuhu-hpc")
    w.step()
    w.now_ms += 31_000
    w.step()
    w.submit(job())
    w.step()
    assert w.states() == ["queued"]
    w.agent("hefei-ai")
    w.step()
    assert [row.centre for row in w.rows("attempt")] == ["hefei-ai"]


def test_after_the_grace_what_may_be_started_again_is_and_the_rest_waits() -> None:
    w = world()
    agent = w.agent("wuhu-hpc")
    w.submit(job(), job(restartable=True))
    w.step()
    assert len(runs(agent.pull())) == 2
    w.now_ms += 30_000
    w.step()
    assert w.states() == ["unknown", "unknown"]
    w.now_ms += 299_999
    w.step()
    assert w.states() == ["unknown", "unknown"]
    other = w.agent("hefei-ai")
    w.now_ms += 1
    w.step()
    assert w.states() == ["unknown", "placed"]
    [again] = runs(other.pull())
    assert again.attempt.endswith("-2")
    # On return it is told to stop what was given up, and what it says of that moves the job no more.
    told = {attempt.attempt[-2:]: attempt.desired for attempt in agent.pull().attempts}
    assert told == {"-1": Desired.ABANDONED}
    given_up = again.attempt[:-1] + "1"
    assert agent.report(agent.end(given_up)).kept == (given_up,)
    assert w.states() == ["placed", "placed"]
    other.report(other.end(again.attempt, Cause.EXIT))
    assert w.states() == ["placed", "failed"]


def test_a_leader_counts_silence_from_when_it_began_to_listen() -> None:
    w = world()
    w.agent("wuhu-hpc")
    w.submit(job(restartable=True))
    w.step()
    w.now_ms += 3_600_000  # the server was away for an hour
    w.new_control()
    w.step()
    assert w.states() == ["placed"]
    w.now_ms += 30_000
    w.step()
    assert w.states() == ["unknown"]


def test_a_step_that_fails_leaves_nothing_behind() -> None:
    w = world()
    w.agent("wuhu-hpc")
    w.step()
    w.submit(job())
    original = w.store.write

    def failing(work):  # type: ignore[no-untyped-def]
        raise OSError("no database")

    w.store.write = failing  # type: ignore[method-assign]
    with pytest.raises(OSError, match="no database"):
        w.control.step(w.now_ms)
    w.store.write = original  # type: ignore[method-assign]
    assert w.states() == ["queued"]
    assert w.step().starts == 1
    assert w.states() == ["placed"]


def test_what_was_removed_goes_when_it_is_empty() -> None:
    w = world()
    agent = w.agent("wuhu-hpc")
    w.submit(job())
    w.step()
    [attempt] = runs(agent.pull())
    smaller = replace(PROVINCE, centres=PROVINCE.centres[:1], links=())
    w.store.write(lambda tx: apply_province(tx, smaller, w.coordinator, w.now_ms, catalogue={}))
    w.step()
    assert "wuhu-hpc" in [row.id for row in w.rows("centre")]
    agent.report(agent.end(attempt.attempt))
    w.step()
    assert [row.id for row in w.rows("centre")] == ["hefei-ai"]
    assert w.states() == ["succeeded"]
