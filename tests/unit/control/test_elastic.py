"""Elastic jobs: they wait as one of the fewest tasks, and start with as many as have room where they go."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.control.world import COORDINATOR, PROVINCE, START_MS, TENANT, Agent, World, job, runs, world
from weir.control import explaining, jobs
from weir.model.agent import NodeShare
from weir.model.job import Checkpoint, Constraints, DeviceNeed, Preference, Priority
from weir.model.problem import ProblemError
from weir.model.province import Share
from weir.model.state import Cause, Observed
from weir.model.task_range import TaskRange
from weir.model.view import ExplanationView, JobView
from weir.registry import apply_province
from weir.scheduling import validate
from weir.units import format_time

HOUR_MS = 3_600_000
WUHU = Constraints(centres=("wuhu-hpc",))
"""Four nodes of eight cores."""


def wuhu() -> tuple[World, Agent]:
    w = world()
    return w, w.agent("wuhu-hpc")


def elastic(least: int, most: int, **fields: Any) -> Any:
    """Tasks of two cores each, four of which a node holds."""
    return job(
        cores=2_000, tasks=TaskRange(least, most), **{"constraints": WUHU, "time_limit": HOUR_MS, **fields}
    )


def tasks(agent: Agent) -> list[int]:
    """Of each attempt that is desired from now on, in order of jobs."""
    return [sum(share.tasks for share in one.nodes) for one in runs(agent.pull())]


def explained(w: World, name: str) -> ExplanationView:
    def read(connection: Any) -> ExplanationView:
        found = jobs.find(connection, w.tenant, name)
        return explaining.explain(connection, found, w.control.stand(found.first), w.now_ms)

    return w.store.read(read)


def shown(w: World, name: str) -> JobView:
    return w.store.read(lambda c: jobs.show_job(c, jobs.find(c, w.tenant, name), w.now_ms))


def test_it_starts_with_as_many_tasks_as_have_room_and_its_agent_is_told_how_many() -> None:
    w, agent = wuhu()
    [submitted] = w.submit(elastic(2, 12))
    w.step()
    answer = agent.pull()
    [attempt] = runs(answer)
    assert (NodeShare(0, 4), NodeShare(1, 4), NodeShare(2, 4)) == attempt.nodes
    assert 12 == answer.works[attempt.work].tasks
    assert "starts with 12 of 2..12 tasks" == explained(w, submitted.id).pools[0].note
    [view] = shown(w, submitted.id).attempts
    assert (12, 3) == (view.tasks, view.nodes)


def test_it_takes_what_is_left_and_says_that_no_more_had_room() -> None:
    w, agent = wuhu()
    w.submit(job(cores=8_000, constraints=WUHU, array=3))
    w.step()
    agent.pull()
    [submitted] = w.submit(elastic(2, 12))
    w.step()
    assert [4] == tasks(agent)
    note = explained(w, submitted.id).pools[0].note
    assert "starts with 4 of 2..12 tasks: no more have room there now" == note


def test_it_waits_while_its_fewest_have_no_room() -> None:
    w, agent = wuhu()
    w.submit(job(cores=7_000, constraints=WUHU, array=4))
    w.step()
    held = runs(agent.pull())
    [submitted] = w.submit(elastic(2, 12))
    w.step()
    assert "queued" == w.state(submitted.id)
    agent.report(*(agent.seen(one.attempt, Observed.RUNNING) for one in held))
    agent.report(agent.end(held[0].attempt))
    w.step()
    assert [4] == tasks(agent)


def test_what_it_holds_is_held_and_what_it_leaves_is_used() -> None:
    w, agent = wuhu()
    w.submit(elastic(1, 13))
    w.step()
    assert [13] == tasks(agent)
    w.submit(job(cores=2_000, constraints=WUHU, array=4))
    w.step()
    assert ["placed"] * 4 + ["queued"] == w.states()
    assert [1, 1, 1] == tasks(agent)


def test_it_goes_first_in_the_order_and_the_rest_goes_to_those_behind_it() -> None:
    w, agent = wuhu()
    w.submit(elastic(2, 10), elastic(2, 10), elastic(2, 10))
    w.step()
    assert 16 == sum(found := tasks(agent))
    assert [10, 4, 2] == found


def test_what_is_promised_to_another_is_not_taken_unless_it_ends_before() -> None:
    w, agent = wuhu()
    w.submit(job(cores=6_000, constraints=WUHU, array=4, time_limit=HOUR_MS))
    w.step()
    w.submit(job(cores=8_000, constraints=WUHU, priority=Priority.URGENT))
    w.step()
    agent.pull()
    for minutes, expected in ((60, 3), (15, 1)):
        w.now_ms += 600_000
        agent.report()
        w.submit(elastic(1, 12, time_limit=minutes * 60_000))
        w.step()
        assert [expected] == tasks(agent)
    assert ["placed"] * 4 + ["queued", "placed", "placed"] == w.states()
    [promise] = w.rows("promise")
    assert START_MS + HOUR_MS == promise.start_ms


def test_it_runs_where_the_score_is_best_with_the_tasks_that_have_room_there() -> None:
    """With one task each goes to the first of two pools alike; with more, where there is room for more."""
    w = world()
    near, far = w.agent("hefei-ai"), w.agent("wuhu-hpc")
    w.submit(job(cores=6_000, constraints=Constraints(kinds=("intelligent",)), array=22))
    w.step()
    near.pull()
    anywhere = elastic(1, 12, constraints=Constraints(), prefer=Preference.FAST)
    [one, wide] = w.submit(replace(anywhere, tasks=TaskRange(1, 1)), anywhere)
    w.step()
    assert "hefei-ai/cpu" == explained(w, one.id).pools[0].pool
    found = explained(w, wide.id)
    chosen, other = found.pools[:2]
    assert ("wuhu-hpc/cpu", "starts with 12 of 1..12 tasks") == (chosen.pool, chosen.note)
    assert ("hefei-ai/cpu", "room for 1 of 1..12 tasks: no more have room there now") == (
        other.pool,
        other.note,
    )
    assert chosen.terms is not None
    assert other.terms is not None
    assert chosen.terms.run_ms == -(-other.terms.run_ms // 12)
    assert chosen.terms.score < other.terms.score
    assert [12] == tasks(far)


def test_an_engine_that_starts_no_gangs_gets_one_task() -> None:
    w = world()
    agent = Agent(w, "wuhu-hpc", capabilities=("shares",))
    agent.hello()
    [submitted] = w.submit(elastic(1, 8))
    w.step()
    assert [1] == tasks(agent)
    note = explained(w, submitted.id).pools[0].note
    assert "starts with 1 of 1..8 tasks: its engine does not start several tasks together" == note


def test_the_next_attempt_has_its_own_number_of_tasks() -> None:
    w, agent = wuhu()
    saves = Checkpoint(every=60_000, save=30_000)
    [submitted] = w.submit(elastic(2, 16, restartable=True, checkpoint=saves))
    w.step()
    answer = agent.pull()
    [first] = runs(answer)
    work = answer.works[first.work]
    assert (16, 30_000) == (work.tasks, work.stop_grace_ms)
    assert "60000" == work.environment["WEIR_CHECKPOINT_EVERY_MS"]
    agent.report(agent.seen(first.attempt, Observed.RUNNING))
    w.now_ms += HOUR_MS // 2
    agent.report(agent.end(first.attempt, Cause.PREEMPTED))
    w.submit(job(cores=8_000, constraints=WUHU, array=2, priority=Priority.URGENT))
    w.step()
    answer = agent.pull()
    [second] = [one for one in runs(answer) if one.attempt.endswith("-2")]
    assert 8 == answer.works[second.work].tasks == sum(share.tasks for share in second.nodes)
    assert [16, 8] == [attempt.tasks for attempt in shown(w, submitted.id).attempts]
    first_s, second_s = (attempt.core_seconds for attempt in shown(w, submitted.id).attempts)
    assert (HOUR_MS / 2 / 1_000 * 32, 0.0) == (first_s, second_s)


def test_one_with_a_deadline_stays_where_the_plan_sends_it() -> None:
    w = world()
    near, far = w.agent("hefei-ai"), w.agent("wuhu-hpc")
    w.submit(job(cores=6_000, constraints=Constraints(kinds=("intelligent",)), array=22))
    w.step()
    near.pull()
    soon = format_time(w.now_ms + 2 * HOUR_MS)
    [submitted] = w.submit(elastic(1, 12, constraints=Constraints(deadline=soon)))
    w.step()
    found = explained(w, submitted.id).pools[0]
    assert ("hefei-ai/cpu", [2], []) == (found.pool, tasks(near), tasks(far))


def test_it_takes_whole_and_shared_devices_as_they_are_free() -> None:
    w = world()
    [centre] = [one for one in PROVINCE.centres if one.id == "hefei-ai"]
    shared = replace(centre, pools=(replace(centre.pools[0], shares=True), *centre.pools[1:]))
    said = replace(PROVINCE, centres=(shared, *(one for one in PROVINCE.centres if one is not centre)))
    w.store.write(lambda tx: apply_province(tx, said, COORDINATOR, w.now_ms, catalogue={}))
    agent = w.agent("hefei-ai")
    w.submit(job(tasks=TaskRange(3, 3), devices=DeviceNeed(share=700)))
    w.step()
    agent.pull()
    w.submit(job(tasks=TaskRange(1, 40), devices=DeviceNeed(share=400)))
    w.step()
    # Of sixteen devices thirteen have room for two such shares, and three for none.
    assert [26] == tasks(agent)
    w.submit(job(devices=DeviceNeed(share=300), array=4))
    w.step()
    w.submit(job(tasks=TaskRange(1, 40), devices=DeviceNeed(count=1)))
    w.step()
    assert "queued" == w.states()[-1]


def test_elements_of_an_array_have_each_their_own() -> None:
    w, agent = wuhu()
    w.submit(elastic(2, 9, array=2))
    w.step()
    answer = agent.pull()
    assert [9, 7] == [answer.works[one.work].tasks for one in runs(answer)]


def test_a_scheduler_that_takes_over_knows_what_it_holds() -> None:
    w, agent = wuhu()
    w.submit(elastic(1, 13))
    w.step()
    assert [13] == tasks(agent)
    w.now_ms += HOUR_MS // 4
    w.new_control()
    w.submit(job(cores=2_000, constraints=WUHU, array=4))
    w.step()
    assert ["placed"] * 4 + ["queued"] == w.states()


def test_a_past_cycle_is_explained_though_it_started_with_more() -> None:
    from weir.control.journal import AskedCycle

    w, agent = wuhu()
    w.submit(elastic(1, 12))
    w.step()
    agent.pull()
    w.now_ms += 1_000
    [waits] = w.submit(job(cores=8_000, tasks=TaskRange(2, 2), constraints=WUHU))
    w.step()
    w.now_ms += 1_000
    w.submit(job(cores=1_000, constraints=WUHU))
    w.step()
    number = next(row.first_job for row in w.rows("submission") if row.id == waits.id)
    stood = w.control.stood(number, AskedCycle(at_ms=START_MS + 1_000), w.now_ms)
    assert stood is not None
    assert stood.explanation is not None
    assert 1 == stood.explanation.position


def test_a_store_put_back_takes_back_what_an_agent_runs_with_a_number_in_the_range() -> None:
    w, agent = wuhu()
    [submitted] = w.submit(elastic(2, 8))
    told = agent.held(f"{submitted.id}-1", Observed.RUNNING, "cpu")
    agent.report(replace(told, nodes=(NodeShare(1, 1),)), full=True)
    assert "queued" == w.state(submitted.id)
    agent.report(replace(told, nodes=(NodeShare(1, 4), NodeShare(2, 2))), full=True)
    assert "running" == w.state(submitted.id)
    assert 6 == shown(w, submitted.id).attempts[0].tasks


def test_what_no_pool_could_ever_run_with_the_fewest_is_refused() -> None:
    w, _ = wuhu()
    with pytest.raises(ProblemError) as caught:
        w.submit(elastic(17, 20))
    assert "tasks" == caught.value.problem.fields[0].field
    w.submit(elastic(16, 20))


def test_a_tenant_is_not_taken_beyond_its_ceiling() -> None:
    w, agent = wuhu()
    organisations = tuple(
        replace(one, share=Share(ceiling=10_000_000)) if one.id == TENANT else one
        for one in PROVINCE.organisations
    )
    said = replace(PROVINCE, organisations=organisations)
    w.store.write(lambda tx: apply_province(tx, said, COORDINATOR, w.now_ms, catalogue={}))
    [submitted] = w.submit(elastic(1, 12))
    w.step()
    w.step()
    # Where nothing is priced an hour of a core counts one yuan, and ten may be held.
    assert [5] == tasks(agent)
    note = explained(w, submitted.id).pools[0].note
    assert "starts with 5 of 1..12 tasks: its tenant's ceiling allows no more" == note


def nodes_used(w: World) -> list[int]:
    """Cores, in thousandths, that attempts hold on each of four nodes."""
    bodies = {row.digest: json.loads(row.body) for row in w.rows("specification")}
    cores = {
        row.first_job + index: bodies[row.specification]["cores"]
        for row in w.rows("submission")
        for index in range(row.size)
    }
    used = [0] * 4
    for row in w.rows("attempt"):
        if row.observed < int(Observed.ENDED):
            for node, count in json.loads(row.nodes):
                used[node] += count * cores[row.job]
    return used


@settings(max_examples=10, deadline=None)
@given(
    asked=st.lists(
        st.tuples(st.integers(1, 4), st.integers(0, 12), st.integers(2, 8), st.integers(1, 6), st.booleans()),
        min_size=2,
        max_size=8,
    ),
    data=st.data(),
)
def test_no_node_is_given_more_than_it_has_and_no_promise_is_put_off(
    asked: list[tuple[int, int, int, int, bool]], data: st.DataObject
) -> None:
    w, agent = wuhu()
    w.submit(job(cores=6_000, constraints=WUHU, array=4, time_limit=2 * HOUR_MS))
    w.step()
    running = [one.attempt for one in runs(agent.pull())]
    agent.report(*(agent.seen(attempt, Observed.RUNNING) for attempt in running))
    w.submit(job(cores=8_000, constraints=WUHU, priority=Priority.URGENT, time_limit=HOUR_MS))
    for least, more, cores, quarters, urgent in asked:
        made = elastic(least, least + (0 if urgent else more), time_limit=quarters * HOUR_MS // 4)
        made = replace(made, cores=cores * 1_000, priority=Priority.URGENT if urgent else Priority.NORMAL)
        w.submit(made)
        ends: bool = data.draw(st.booleans())
        if running and ends:
            agent.report(agent.end(running.pop(data.draw(st.integers(0, len(running) - 1)))))
        agent.report()
        w.step()
        new = [one.attempt for one in runs(agent.pull())]
        agent.report(*(agent.seen(attempt, Observed.RUNNING) for attempt in new))
        running += new
        assert max(nodes_used(w)) <= 8_000
        w.now_ms += 1_000
        w.step()
        state = w.control._state
        assert state is not None
        validate(state)
        for kept in state.reservations():
            # It is put off for those ahead of it and where one overruns, and not by what an elastic job took besides.
            assert "what runs there has other time limits or other places" != kept.cause
        w.now_ms += 600_000
