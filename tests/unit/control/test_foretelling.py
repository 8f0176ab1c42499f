"""When waiting jobs will start: a picture of the present, an outlook made of it, and what it says to people."""

from dataclasses import replace

import pytest

from tests.unit.control.world import OTHER_MEMBER, PROVINCE, Agent, World, job, runs, world
from weir.access.actor import Actor
from weir.control import foretelling
from weir.control.foretelling import Foreteller, Foretold
from weir.control.jobs import find, show_job
from weir.model.province import Share
from weir.model.role import Role
from weir.model.state import Observed
from weir.model.view import JobView
from weir.registry import apply_province
from weir.scheduling.outlook import Outlook, Picture, look_out, told_of
from weir.scheduling.packed import packed, unpacked

HOUR_MS = 3_600_000


def shown(w: World, name: str, actor: Actor | None = None) -> JobView:
    starts = Foretold().start
    return w.store.read(
        lambda connection: show_job(connection, find(connection, actor or w.tenant, name), w.now_ms, starts)
    )


def pictured(w: World, foreteller: Foreteller) -> Picture:
    standing = w.control.standing()
    assert standing is not None
    found = foreteller.picture(w.store, standing, w.now_ms)
    assert isinstance(found, Picture), found
    return found


def foretell(w: World, foreteller: Foreteller) -> Outlook:
    """As the server's thread and process do."""
    picture = pictured(w, foreteller)
    outlook = look_out(unpacked(packed(picture)))
    standing = w.control.standing()
    assert standing is not None
    whole = foreteller.made(unpacked(packed(outlook)), standing)
    w.store.write(lambda tx: foretelling.write(tx, w.now_ms, "", whole))
    return whole


def busy() -> tuple[World, Agent, list[str]]:
    """Jobs ran half of their hour each; then all nodes of the one centre are taken, and two jobs wait."""
    w = world()
    agent = w.agent("wuhu-hpc")
    for _ in range(4):
        done = w.submit(*(job(cores=8_000) for _ in range(4)))
        w.step()
        for attempt in runs(agent.pull()):
            agent.report(agent.seen(attempt.attempt, Observed.RUNNING))
        w.now_ms += HOUR_MS // 2
        for one in done:
            agent.report(agent.end(f"{one.id}-1"))
        w.step()
    w.submit(*(job(cores=8_000) for _ in range(4)))
    w.step()
    for attempt in runs(agent.pull()):
        agent.report(agent.seen(attempt.attempt, Observed.RUNNING))
    w.now_ms += HOUR_MS // 4
    agent.report()
    waiting = [one.id for one in w.submit(job(cores=8_000), job(cores=8_000))]
    w.step()
    return w, agent, waiting


def test_what_has_ended_is_found_behind_more_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    w, *_ = busy()
    monkeypatch.setattr(foretelling, "MOST_PAST", 2)
    assert 2 == len(pictured(w, Foreteller()).ended.size)


def test_a_job_is_foretold_to_start_when_such_jobs_use_to_end() -> None:
    w, _, waiting = busy()
    foretell(w, Foreteller())
    start = shown(w, waiting[0]).start
    assert start is not None
    assert (w.now_ms, 64, "") == (start.as_of_ms, 64, start.none)
    assert list(start.start_ms) == sorted(start.start_ms)
    middle = start.start_ms[3] - w.now_ms
    assert HOUR_MS // 8 < middle < HOUR_MS // 2, "half of an hour, of which a quarter has passed"
    assert start.start_ms[6] <= w.now_ms + HOUR_MS


def test_of_a_job_to_come_it_is_told_pool_by_pool_where_such_jobs_start() -> None:
    w, _, waiting = busy()
    outlook = foretell(w, Foreteller())
    [key] = [pool for pool in outlook.pools if pool.startswith("wuhu-hpc/")]
    told = w.store.read(
        lambda connection: Foretold().behind_all_at(connection, 1, HOUR_MS, (key, "else/where"))
    )
    assert [key, "else/where"] == [each.pool for each in told]
    there, nowhere = (each.start for each in told)
    assert ("", 7) == (there.none, len(there.start_ms))
    assert list(there.start_ms) == sorted(there.start_ms)
    last = shown(w, waiting[-1]).start
    assert last is not None
    assert last.start_ms[0] <= there.start_ms[3] <= last.start_ms[6]
    assert "windows" in there.basis
    assert "turns" not in there.basis
    assert ("too little of what waits starts there in any future", ()) == (nowhere.none, nowhere.start_ms)


def test_where_tenants_take_turns_futures_do_as_well_and_it_says_so() -> None:
    w, agent, waiting = busy()
    [other] = w.submit(job(cores=8_000, time_limit=HOUR_MS), actor=OTHER_MEMBER)
    shares = tuple(replace(one, share=Share(weight=2)) for one in PROVINCE.organisations)
    actor = Actor(0, "weir", Role.COORDINATOR)
    province = replace(PROVINCE, organisations=shares)
    w.store.write(lambda tx: apply_province(tx, province, actor, w.now_ms, catalogue={}))
    agent.report()
    w.step()
    foretell(w, Foreteller())
    last, late = shown(w, waiting[-1]).start, shown(w, other.id, OTHER_MEMBER).start
    assert last is not None
    assert late is not None
    assert late.start_ms[3] < last.start_ms[3], "who has used nothing goes first, though he came last"
    assert "tenants by turns" in last.basis


def test_it_is_the_same_whenever_it_is_asked_of_one_picture() -> None:
    w, _, _ = busy()
    picture = pictured(w, Foreteller())
    assert packed(look_out(picture)) == packed(look_out(picture))


def test_without_anything_to_go_by_it_says_so() -> None:
    w = world()
    w.agent("wuhu-hpc")
    [waits] = w.submit(*(job(cores=8_000) for _ in range(5)))[4:]
    w.step()
    standing = w.control.standing()
    assert standing is not None
    said = shown(w, waits.id).start
    assert said is not None
    assert "no forecast has been made yet" == said.none
    why = Foreteller().picture(w.store, standing, w.now_ms)
    assert isinstance(why, str)
    assert "no job has ended yet" in why
    w.store.write(lambda tx: foretelling.write(tx, w.now_ms, str(why), None))
    said = shown(w, waits.id).start
    assert said is not None
    assert why == said.none


def test_a_job_that_came_after_it_is_not_foretold_and_one_that_waits_no_more_neither() -> None:
    w, _, waiting = busy()
    foretell(w, Foreteller())
    [late] = w.submit(job(cores=8_000))
    said = shown(w, late.id).start
    assert said is not None
    assert "not among the jobs" in said.none
    w.control.step(w.now_ms)
    assert "placed" not in w.state(waiting[0])


def test_what_comes_true_is_learnt_and_outlives_the_server() -> None:
    w, agent, waiting = busy()
    foreteller = Foreteller()
    first = foretell(w, foreteller)
    assert 0 == first.learnt.told.sum()
    running = [row for row in w.rows("attempt") if row.observed == int(Observed.RUNNING)]
    names = {row.number: row.submission for row in w.rows("job")}
    ids = {row.number: row.id for row in w.rows("submission")}
    w.now_ms += HOUR_MS // 4
    agent.pull()
    for row in running[:2]:
        agent.report(agent.end(f"{ids[names[row.job]]}-{row.epoch}"))
    w.step()
    assert ["placed", "placed"] == [w.state(one) for one in waiting]
    w.submit(*(job(cores=8_000) for _ in range(3)))
    w.step()
    second = foretell(w, foreteller)
    assert 2 == second.learnt.told.sum()
    assert all(told_of(second, row.job) is None for row in running)
    again = pictured(w, Foreteller())
    assert second.learnt.offset.tolist() == again.learnt.offset.tolist()
