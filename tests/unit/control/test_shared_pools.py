"""Pools shared with their centre's own users: others' work, the queue's wait, how many may wait, who may preempt."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.control.world import COORDINATOR, PROVINCE, Agent, World, job, runs, world
from weir.control import explaining, jobs
from weir.control.waits import coarse, coarse_foreign
from weir.model.agent import ForeignWork, PoolObservation
from weir.model.job import Constraints, JobSpecification
from weir.model.problem import ProblemError
from weir.model.province import Pool
from weir.model.state import Cause, Observed
from weir.model.view import ExplanationView
from weir.registry import apply_province
from weir.scheduling.plan import Verdict

HOUR_MS = 3_600_000
QUEUES = ("gang", "shares", "queue")


def test_nodes_that_others_use_are_given_no_work_until_others_end() -> None:
    w, agent = shared()
    others(agent, ForeignWork(3, w.now_ms + HOUR_MS))
    w.submit(whole(array=4))
    w.step()
    assert w.states().count("placed") == 1
    others(agent)
    w.step()
    assert w.states().count("placed") == 4


def test_others_take_the_nodes_where_nothing_of_weirs_is() -> None:
    w, agent = shared()
    w.submit(whole(array=3))
    w.step()
    first, *_ = runs(agent.pull())
    others(agent, ForeignWork(1, w.now_ms + HOUR_MS))
    w.step()
    agent.report(agent.end(first.attempt))
    w.submit(whole(array=2))
    w.step()
    # Three of four nodes are used, whichever of Weir's has ended; so there is room for one.
    assert w.states().count("placed") == 3


def test_the_part_of_a_node_that_others_leave_is_used() -> None:
    w, agent = shared()
    others(agent, ForeignWork(4, w.now_ms + HOUR_MS, spare_milli=520))
    w.submit(job(cores=4_000, constraints=HERE, array=2))
    w.step()
    assert w.states().count("placed") == 1


def test_what_others_run_in_a_pool_that_is_weirs_alone_changes_nothing() -> None:
    w, agent = shared(shared=False)
    others(agent, ForeignWork(4, w.now_ms + HOUR_MS), expected_wait_ms=HOUR_MS)
    w.submit(whole(array=4))
    w.step()
    assert w.states().count("placed") == 4
    assert [row.expected_wait_ms for row in w.rows("pool") if row.centre == "wuhu-hpc"] == [None]


def test_a_job_that_waits_is_told_when_others_end() -> None:
    w, agent = shared()
    until_ms = w.now_ms + HOUR_MS
    others(agent, ForeignWork(4, until_ms))
    [submitted] = w.submit(whole())
    w.step()
    [reason] = [each for each in explained(w, submitted.id).pools if each.pool == "wuhu-hpc/cpu"]
    assert reason.verdict == "full"
    [run] = foreign_ends(w)
    assert until_ms <= run < until_ms + HOUR_MS // 8
    assert "not before" in reason.note


def test_only_so_many_wait_in_a_shared_pool_as_its_centre_takes() -> None:
    w, agent = shared(waiting_at_most=2)
    w.submit(job(array=5, constraints=HERE))
    w.step()
    assert (w.states().count("placed"), w.states().count("queued")) == (2, 3)
    assert "2 of Weir's jobs wait in its own queue, and the centre takes 2 at a time" in str(
        explained(w, f"{first_id(w)}.4").pools
    )
    one, other = runs(agent.pull())
    agent.report(agent.seen(one.attempt, Observed.RUNNING))
    w.step()
    assert (w.states().count("placed"), w.states().count("queued")) == (2, 2)
    agent.report(agent.end(other.attempt, Cause.EXIT, exit_code=1))
    w.step()
    assert (w.states().count("placed"), w.states().count("queued")) == (2, 1)


def test_a_limit_of_one_pool_sends_others_elsewhere() -> None:
    w, _ = shared(waiting_at_most=1)
    w.agent("hefei-ai")
    w.submit(job(array=4))
    w.step()
    places = sorted(f"{row.centre}/{row.pool}" for row in w.rows("attempt"))
    assert len(places) == 4
    assert places.count("wuhu-hpc/cpu") <= 1


def test_without_room_as_many_are_sent_ahead_as_may_wait() -> None:
    w, agent = shared(waiting_at_most=2)
    others(agent, ForeignWork(4, w.now_ms + HOUR_MS), capabilities=QUEUES, expected_wait_ms=40 * 60_000)
    w.submit(whole(array=4))
    for _ in range(4):
        w.step()
    assert (w.states().count("placed"), w.states().count("queued")) == (2, 2)
    said = [json.loads(row.body) for row in w.rows("reason")]
    assert all(each[0]["verdict"] == Verdict.CHOSEN.value for each in said)
    assert all("it waits in the centre's own queue" in each[0]["note"] for each in said)
    assert all(row.expected_wait_ms >= 40 * 60_000 for row in w.rows("attempt"))
    one, _ = runs(agent.pull())
    agent.report(agent.seen(one.attempt, Observed.RUNNING))
    w.step()
    assert (w.states().count("placed"), w.states().count("running")) == (2, 1)


@pytest.mark.parametrize(("most", "sent"), [(8, [4, 4, 0]), (6, [4, 2, 0])])
def test_as_many_are_sent_ahead_at_a_time_as_the_pool_promises_starts(most: int, sent: list[int]) -> None:
    w, agent = shared(waiting_at_most=most, reservations=4)
    others(agent, ForeignWork(4, w.now_ms + HOUR_MS), capabilities=QUEUES, expected_wait_ms=40 * 60_000)
    w.submit(whole(array=12))
    told = []
    for _ in sent:
        before = w.states().count("placed")
        w.step()
        told.append(w.states().count("placed") - before)
    assert sent == told


@pytest.mark.parametrize("capabilities", [("gang",), QUEUES])
def test_nothing_is_sent_ahead_where_no_number_is_given_or_the_engine_has_no_queue(
    capabilities: tuple[str, ...],
) -> None:
    fields = {"waiting_at_most": 2} if capabilities == ("gang",) else {}
    w, agent = shared(**fields)
    others(agent, ForeignWork(4, w.now_ms + HOUR_MS), capabilities=capabilities)
    w.submit(whole(array=2))
    w.step()
    assert w.states().count("queued") == 2


def test_a_longer_wait_in_its_own_queue_makes_a_pool_score_worse() -> None:
    w, agent = shared()
    w.agent("hefei-ai")
    chosen = []
    for wait_ms in (0, 6 * HOUR_MS):
        others(agent, expected_wait_ms=wait_ms)
        [submitted] = w.submit(job())
        w.step()
        pools = {each.pool: each for each in explained(w, submitted.id).pools}
        [there] = [each for each in pools.values() if each.verdict == "chosen"]
        chosen.append(there.pool)
        terms = pools["wuhu-hpc/cpu"].terms
        assert terms is not None
        assert wait_ms <= terms.wait_ms <= wait_ms * 5 // 4
    assert chosen[0] != "hefei-ai/npu"
    assert chosen[1] == "hefei-ai/cpu"
    assert not [row for row in w.rows("attempt")[1:] if row.centre == "wuhu-hpc"]


def test_without_the_engines_estimate_the_last_waits_there_say_how_long_it_is() -> None:
    w, agent = shared()
    w.submit(job(array=3, constraints=HERE))
    w.step()
    for minutes, attempt in zip((10, 30, 50), runs(agent.pull()), strict=True):
        w.now_ms += 20 * 60_000 if minutes > 10 else 10 * 60_000
        agent.report(agent.seen(attempt.attempt, Observed.RUNNING))
    agent.report(pools=observed(agent))
    assert pool_row(w).expected_wait_ms is None  # nobody else is there
    others(agent, ForeignWork(1, w.now_ms + HOUR_MS))
    row = pool_row(w)
    assert row.expected_wait_from == "history"
    assert 30 * 60_000 <= row.expected_wait_ms <= 40 * 60_000
    others(agent, ForeignWork(1, w.now_ms + HOUR_MS), expected_wait_ms=5 * 60_000)
    assert pool_row(w).expected_wait_from == "engine"


def test_only_restartable_jobs_go_where_the_centre_may_preempt_them() -> None:
    w, agent = shared(preempts=True)
    with pytest.raises(ProblemError) as refused:
        w.submit(whole(constraints=HERE))
    assert "restartable" in str(refused.value)
    [submitted] = w.submit(whole(constraints=HERE, restartable=True))
    w.step()
    [attempt] = runs(agent.pull())
    agent.report(agent.seen(attempt.attempt, Observed.RUNNING))
    agent.report(agent.end(attempt.attempt, Cause.PREEMPTED))
    assert w.state(submitted.id) == "queued"
    w.step()
    assert w.state(submitted.id) == "placed"


def test_a_job_chooses_of_a_sites_means_only_what_its_centre_lets_it() -> None:
    w, agent = shared(job_options={"qos": ("high", "low"), "account": ("acme",)})
    w.agent("hefei-ai")
    w.submit(job(options={"qos": "high"}))
    w.step()
    [attempt] = w.rows("attempt")
    assert attempt.centre == "wuhu-hpc"
    assert [dict(work.options) for work in agent.pull().works.values()] == [{"qos": "high"}]
    with pytest.raises(ProblemError) as refused:
        w.submit(job(options={"qos": "gold"}))
    assert refused.value.problem.fields[0].field == "options"
    assert "site options qos=gold; what there is: account=acme, qos=high|low, none to choose" in str(
        refused.value
    )
    with pytest.raises(ProblemError, match="a job may choose account, qos"):
        w.submit(job(options={"uid": "0"}))


def test_others_work_of_which_the_end_only_comes_nearer_is_no_change() -> None:
    w, agent = shared()
    until_ms = w.now_ms + 8 * HOUR_MS
    others(agent, ForeignWork(2, until_ms), expected_wait_ms=10 * 60_000)
    before = w.store.position()
    for _ in range(5):
        w.now_ms += 10_000
        others(agent, ForeignWork(2, until_ms), expected_wait_ms=10 * 60_000 - 2_000)
    assert w.store.position() == before
    others(agent, ForeignWork(3, until_ms), expected_wait_ms=10 * 60_000)
    assert w.store.position() > before


def test_estimates_are_told_in_steps_and_never_too_low() -> None:
    for wait_ms in (15_000, 60_001, 599_999, 3_600_000, 86_400_000):
        assert wait_ms <= coarse(wait_ms) <= wait_ms * 5 // 4 + 15_000
    assert coarse(14_999) == 0
    assert coarse(2**62) < 2**53, "whatever an agent says, the store can hold it, and a few times of it"
    seen = PoolObservation("cpu", 1_000, (), foreign=(ForeignWork(2, 90_000), ForeignWork(1, 91_000)))
    assert coarse_foreign(seen) == (ForeignWork(3, 120_000),)
    seen = replace(seen, foreign=(ForeignWork(2, 90_000, 130), ForeignWork(1, 91_000)))
    assert coarse_foreign(seen) == (ForeignWork(3, 120_000, 125),)


HERE = Constraints(centres=("wuhu-hpc",))


def shared(**fields: Any) -> tuple[World, Agent]:
    """The province, with the pool of wuhu-hpc shared; its agent has spoken."""
    w = world()
    changed: list[Any] = []
    for centre in PROVINCE.centres:
        pools: tuple[Pool, ...] = centre.pools
        if centre.id == "wuhu-hpc":
            pools = tuple(replace(pool, **{"shared": True, **fields}) for pool in pools)
        changed.append(replace(centre, pools=pools))
    province = replace(PROVINCE, centres=tuple(changed))
    w.store.write(lambda tx: apply_province(tx, province, COORDINATOR, w.now_ms, catalogue={}))
    return w, w.agent("wuhu-hpc")


def observed(agent: Agent, *foreign: ForeignWork, **fields: Any) -> tuple[PoolObservation, ...]:
    return tuple(replace(seen, foreign=foreign, **fields) for seen in agent.pools())


def others(agent: Agent, *foreign: ForeignWork, **fields: Any) -> None:
    """The agent tells what others run there."""
    agent.report(pools=observed(agent, *foreign, **fields))


def whole(**fields: Any) -> JobSpecification:
    """A job of a whole node of wuhu-hpc."""
    return job(**{"cores": 8_000, "constraints": HERE, **fields})


def explained(w: World, name: str) -> ExplanationView:
    found = w.store.read(lambda c: jobs.find(c, w.tenant, name))
    stand = w.control.stand(found.first)
    return w.store.read(lambda c: explaining.explain(c, found, stand, w.now_ms))


def first_id(w: World) -> str:
    return str(w.rows("submission")[0].id)


def pool_row(w: World) -> Any:
    [row] = [row for row in w.rows("pool") if row.centre == "wuhu-hpc"]
    return row


def foreign_ends(w: World) -> list[int]:
    """When others' work ends, as placement takes it."""
    stored = json.loads(pool_row(w).observed)
    seen = PoolObservation(
        "cpu", stored["read_ms"], (), foreign=tuple(ForeignWork(**block) for block in stored["foreign"])
    )
    return [block.until_ms for block in coarse_foreign(seen)]
