"""Cycles are kept, and run again: where a job stood days ago, whoever leads now."""

import random
from typing import Any

import pytest
from sqlalchemy import update

from tests.unit.control.world import START_MS, TENANT_MEMBER, World, job, runs, world
from weir.control import ageing, cycle, journal
from weir.control.explaining import explain_past
from weir.control.jobs import find
from weir.control.journal import AskedCycle
from weir.model.job import Constraints
from weir.model.problem import ProblemError
from weir.model.state import Observed
from weir.model.task_range import TaskRange
from weir.model.view import ExplanationView
from weir.store import log, schema

HOUR_MS, DAY_MS = 3_600_000, 86_400_000


def stood(w: World, name: str, *, through: int | None = None, at_ms: int | None = None) -> ExplanationView:
    found = w.store.read(lambda connection: find(connection, TENANT_MEMBER, name))
    stand = w.control.stood(found.first, AskedCycle(through, at_ms), w.now_ms)
    return w.store.read(lambda connection: explain_past(connection, found, stand))


def stands(w: World, name: str) -> ExplanationView:
    """In the last cycle, in the words for one that is past."""
    found = w.store.read(lambda connection: find(connection, TENANT_MEMBER, name))
    stand = w.control.stand(found.first)
    return w.store.read(lambda connection: explain_past(connection, found, stand))


def refusal(w: World, name: str, **asked: int) -> tuple[str, int, str]:
    with pytest.raises(ProblemError) as caught:
        stood(w, name, **asked)
    return caught.value.problem.kind, caught.value.problem.status, caught.value.problem.title


def wide(**fields: Any) -> Any:
    """It takes a node of the larger centre whole."""
    return job(cores=8_000, **fields)


def crowded() -> tuple[World, str, str]:
    """All nodes of a centre are taken, and one job waits for them: the world, one that runs, and the one that waits."""
    w = world()
    agent = w.agent("wuhu-hpc")
    first = w.submit(*(wide() for _ in range(4)))
    w.step()
    w.now_ms += 1_000
    [waits] = w.submit(wide())
    w.step()
    for attempt in runs(agent.pull()):
        agent.report(agent.seen(attempt.attempt, Observed.RUNNING))
    w.now_ms += HOUR_MS
    agent.report(agent.end(f"{first[0].id}-1"))
    w.step()
    assert "placed" == w.state(waits.id)
    return w, first[0].id, waits.id


def test_a_cycle_of_yesterday_is_explained_as_it_was_by_whoever_leads_now() -> None:
    w, runs_first, waited = crowded()
    w.now_ms += DAY_MS
    for anew in (False, True):
        w.now_ms += 60_000
        if anew:
            w.new_control()
        w.step()
        then = stood(w, waited, at_ms=START_MS + 2_000)
        assert ("queued", 1, 1, START_MS + 1_000) == (then.state, then.position, then.queued, then.as_of_ms)
        [full] = [pool for pool in then.pools if pool.pool == "wuhu-hpc/cpu"]
        assert "full" == full.verdict
        assert "not before 2023-11-14T23:13:20.000Z" in full.note
        placed = stood(w, waited, at_ms=START_MS + 2 * HOUR_MS)
        assert ("placed", 0) == (placed.state, placed.position)
        assert "was started, and wuhu-hpc/cpu was chosen" in placed.summary
        assert placed == stood(w, waited, through=placed.as_of_position)

        assert "was not in the queue" in stood(w, runs_first, at_ms=w.now_ms).summary


def test_one_past_cycle_that_is_made_again_does_not_occupy_all_who_ask(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    w, _, waited = crowded()
    monkeypatch.setattr(cycle, "PAST_WAIT_S", 0.0)
    with w.control._past_turn:
        assert ("busy", 503) == refusal(w, waited, at_ms=w.now_ms)[:2]
    assert "placed" == stood(w, waited, at_ms=w.now_ms).state


def test_what_is_asked_for_from_before_all_cycles_is_refused() -> None:
    w, _, waited = crowded()
    kind, status, title = refusal(w, waited, at_ms=START_MS - 1)
    assert ("no-cycle", 404) == (kind, status)
    assert "kept for 7 days" in title
    assert "2023-11-14T22:13:20.000Z" in title


def test_a_cycle_of_another_version_is_refused_by_name() -> None:
    w, _, waited = crowded()
    w.store.write(
        lambda tx: tx.connection.execute(update(schema.kept_cycle).values(code="0" * 64, version="0.0.1"))
    )
    kind, status, title = refusal(w, waited, at_ms=w.now_ms)
    assert ("other-version", 409) == (kind, status)
    assert "version 0.0.1 (code 000000000000)" in title


def test_without_a_leader_nobody_knows() -> None:
    w, _, waited = crowded()
    w.control.resign(w.now_ms)
    assert ("no-leader", 503) == refusal(w, waited, at_ms=w.now_ms)[:2]


def history(w: World, cycles: int, apart_ms: int, seed: int = 5) -> tuple[str, dict[int, ExplanationView]]:
    """Small jobs come and go, and one waits all the time: its id, and by cycle what was said of it."""
    draw = random.Random(seed)
    agent = w.agent("wuhu-hpc")
    here = Constraints(centres=("wuhu-hpc",))
    w.submit(job(constraints=here, time_limit=30 * DAY_MS))
    w.step()
    [waits] = w.submit(job(cores=8_000, tasks=TaskRange(4, 4), constraints=here))
    said = {}
    held: list[str] = []
    for _ in range(cycles):
        w.now_ms += apart_ms
        held += [
            one.id
            for one in w.submit(
                *(
                    job(cores=draw.choice([1_000, 3_000]), constraints=here)
                    for _ in range(draw.randrange(1, 3))
                )
            )
        ]
        if held and draw.random() < 0.6:
            ended = held.pop(draw.randrange(len(held)))
            if w.state(ended) == "placed":
                agent.pull()
                agent.report(agent.end(f"{ended}-1"))
        if w.step().planned:
            view = stands(w, waits.id)
            said[view.as_of_position] = view
    return waits.id, said


def test_every_cycle_is_explained_from_the_base_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "BASE_CYCLES", 3)
    w = world()
    w.agent("hefei-ai")
    waits, said = history(w, 12, 60_000)
    assert 3 <= len(w.rows("cycle_base"))
    assert [said[through] for through in said] == [stood(w, waits, through=through) for through in said]


def test_old_cycles_and_changes_are_dropped_and_the_rest_is_explained_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(journal, "BASE_CYCLES", 3)
    monkeypatch.setattr(ageing, "LEFT", 5)
    monkeypatch.setattr(ageing, "AT_ONCE", 2)
    w = world()
    w.agent("hefei-ai")
    waits, said = history(w, 12, DAY_MS)
    before = len(w.rows("kept_cycle"))
    for _ in range(200):
        if ageing.drop_old(w.store, w.now_ms) > w.now_ms + ageing.SOON_MS:
            break
    else:
        pytest.fail("it never ends")
    assert len(w.rows("kept_cycle")) < before
    floor = w.store.read(log.floor)
    assert 1 < floor < w.store.position()
    assert all(change.at_ms >= w.now_ms - ageing.KEPT_MS for change in w.changes(floor - 1))
    young = {through: view for through, view in said.items() if view.as_of_ms >= w.now_ms - journal.KEPT_MS}
    assert 5 <= len(young)
    assert list(young.values()) == [stood(w, waits, through=through) for through in young]
    assert "no-cycle" == refusal(w, waits, through=min(said))[0]


def test_what_the_next_cycle_follows_from_is_kept_however_old_it_is() -> None:
    w, _, waited = crowded()
    w.now_ms += 30 * DAY_MS
    for _ in range(10):
        ageing.drop_old(w.store, w.now_ms)
    [again] = w.submit(job(cores=8_000, tasks=TaskRange(4, 4)))
    w.step()
    assert "queued" == stood(w, again.id, at_ms=w.now_ms).state
    assert "was not in the queue" in stood(w, waited, at_ms=w.now_ms).summary
