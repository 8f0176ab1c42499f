"""Finding and showing jobs, and explaining them."""

from functools import partial
from typing import Any

import pytest

from tests.unit.control.world import OPERATOR, TENANT, World, job, runs, world
from weir.access.actor import Actor
from weir.control import explaining, jobs, orders
from weir.model.agent import OutputFile
from weir.model.job import DeviceNeed, Priority
from weir.model.problem import ProblemError
from weir.model.role import Role
from weir.model.state import Cause, Observed
from weir.model.view import ExplanationView, JobView


def show(w: World, name: str, actor: Actor | None = None) -> JobView:
    return w.store.read(lambda c: jobs.show_job(c, jobs.find(c, actor or w.tenant, name), w.now_ms))


def explain(w: World, name: str) -> ExplanationView:
    found = w.store.read(lambda c: jobs.find(c, w.tenant, name))
    stand = w.control.stand(found.first)
    return w.store.read(lambda c: explaining.explain(c, found, stand, w.now_ms))


def refusal(w: World, name: str, actor: Actor | None = None) -> ProblemError:
    with pytest.raises(ProblemError) as error:
        show(w, name, actor)
    return error.value


def test_a_unique_beginning_is_enough_and_an_ambiguous_one_lists_the_candidates() -> None:
    w = world()
    made = [answer.id for answer in w.submit(*(job() for _ in range(40)))]
    assert show(w, made[0][:11]).id == made[0]
    letter = next(name[0] for name in made if sum(other[0] == name[0] for other in made) > 1)
    problem = refusal(w, letter).problem
    assert (problem.kind, problem.status) == ("ambiguous", 422)
    assert sum(name in problem.title for name in made if name[0] == letter) >= 2


@pytest.mark.parametrize(
    ("name", "status"), [("zzzzzzzzzzzz", 404), ("NOT AN ID", 422), ("", 422), ("%", 422), ("_", 422)]
)
def test_ids_that_mean_nothing(name: str, status: int) -> None:
    w = world()
    w.submit(job())
    assert refusal(w, name).problem.status == status


def test_elements_are_found_by_index_and_singles_have_none() -> None:
    w = world()
    array, single = w.submit(job(array=3), job())
    assert show(w, f"{array.id}.2").array_index == 2
    assert refusal(w, f"{array.id}.3").problem.status == 404
    assert refusal(w, f"{single.id}.0").problem.status == 404
    assert refusal(w, array.id).problem.status == 422
    assert show(w, single.id).array_index is None


def test_everybody_sees_what_the_role_and_scope_allow() -> None:
    w = world()
    [one] = w.submit(job(name="mine"))
    for actor in (
        w.tenant,
        w.coordinator,
        Actor(8, "a", Role.AUDITOR),
        Actor(8, "a", Role.TENANT_ADMIN, TENANT),
    ):
        assert show(w, one.id, actor).name == "mine"
        page = w.store.read(partial(jobs.list_submissions, actor=actor, now_ms=w.now_ms))
        assert [view.id for view in page.submissions] == [one.id]
    assert refusal(w, one.id, w.other).problem.status == 404
    assert refusal(w, one.id, Actor(8, "a", Role.TENANT_MEMBER, TENANT, project="x")).problem.status == 404
    assert w.store.read(lambda c: jobs.list_submissions(c, w.other, w.now_ms)).submissions == ()
    assert refusal(w, one.id, Actor(8, "a", Role.CENTRE_OPERATOR, OPERATOR)).problem.status == 403


def test_pages_show_everything_once_newest_first() -> None:
    w = world()
    made = [w.submit(job(name="even" if number % 2 == 0 else "odd"))[0].id for number in range(5)]
    seen: list[str] = []
    cursor = ""
    for _ in range(3):
        page = w.store.read(
            partial(jobs.list_submissions, actor=w.tenant, now_ms=w.now_ms, cursor=cursor, limit=2)
        )
        seen += [view.id for view in page.submissions]
        cursor = page.next
    assert cursor == ""
    assert seen == made[::-1]
    named = w.store.read(lambda c: jobs.list_submissions(c, w.tenant, w.now_ms, name="odd"))
    assert [view.id for view in named.submissions] == [made[3], made[1]]
    wrong: list[dict[str, Any]] = [{"limit": 0}, {"limit": 1_001}, {"cursor": "x"}, {"states": ["nonsense"]}]
    for fields in wrong:
        with pytest.raises(ProblemError):
            w.store.read(partial(jobs.list_submissions, actor=w.tenant, now_ms=w.now_ms, **fields))


def test_elements_come_in_pages_by_state() -> None:
    w = world()
    [one] = w.submit(job(array=5))
    w.store.write(lambda tx: orders.cancel(tx, w.tenant, f"{one.id}.3", w.now_ms))
    found = w.store.read(lambda c: jobs.find(c, w.tenant, one.id))
    page = w.store.read(lambda c: jobs.list_elements(c, found, w.now_ms, limit=3))
    assert [view.id for view in page.jobs] == [f"{one.id}.{index}" for index in range(3)]
    rest = w.store.read(lambda c: jobs.list_elements(c, found, w.now_ms, cursor=page.next, limit=3))
    assert ([view.array_index for view in rest.jobs], rest.next) == ([3, 4], "")
    gone = w.store.read(lambda c: jobs.list_elements(c, found, w.now_ms, states=["cancelled"]))
    assert [view.array_index for view in gone.jobs] == [3]
    view = w.store.read(lambda c: jobs.show_submission(c, found, w.now_ms))
    assert (view.states, view.ended, view.job) == ({"queued": 4, "cancelled": 1}, False, None)
    assert w.store.read(lambda c: jobs.jobs_left(c, found)) == 4


def test_times_and_use_are_told() -> None:
    w = world()
    agent = w.agent("hefei-ai")
    [one] = w.submit(job(devices=DeviceNeed(count=2), cores=4_000))
    w.now_ms += 1_000
    agent.report()
    w.step()
    [attempt] = runs(agent.pull())
    agent.report(agent.seen(attempt.attempt, Observed.RUNNING))
    w.now_ms += 3_000
    view = show(w, one.id)
    assert (view.waiting_ms, view.running_ms, view.device_seconds) == (1_000, 3_000, 6.0)
    w.now_ms += 2_000
    agent.report(agent.end(attempt.attempt, Cause.EXIT, [OutputFile(0, "log", 1, "a" * 64)], exit_code=7))
    w.now_ms += 50_000
    view = show(w, one.id)
    assert (view.waiting_ms, view.running_ms, view.device_seconds) == (1_000, 5_000, 10.0)
    assert (view.state, view.exit_code, view.message) == ("failed", 7, "the command ended with code 7")
    [tried] = view.attempts
    assert (tried.device_model, tried.core_seconds, tried.pool) == ("ascend-910b", 20.0, "npu")
    assert view.specification["cores"] == 4_000
    found = w.store.read(lambda c: jobs.find(c, w.tenant, one.id))
    [output] = w.store.read(lambda c: jobs.list_outputs(c, found)).outputs
    assert (output.job, output.path) == (one.id, "log")


def test_the_log_is_that_of_the_newest_attempt() -> None:
    w = world()
    agent = w.agent("wuhu-hpc")
    [one] = w.submit(job(restartable=True))
    found = w.store.read(lambda c: jobs.find(c, w.tenant, one.id))
    assert w.store.read(lambda c: jobs.log_owner(c, found)) is None
    w.step()
    agent.report(agent.end(f"{one.id}-1", Cause.LOST))
    owner = w.store.read(lambda c: jobs.log_owner(c, found))
    assert owner is not None
    assert (owner.attempt, owner.ended) == (f"{one.id}-1", False)  # another attempt will come
    w.step()
    agent.report(agent.end(f"{one.id}-2"))
    owner = w.store.read(lambda c: jobs.log_owner(c, found))
    assert owner is not None
    assert (owner.attempt, owner.ended) == (f"{one.id}-2", True)


def test_a_waiting_job_names_what_it_waits_for() -> None:
    w = world()
    first, second, after = w.submit(job(), job(array=4), job(after=("#0", "#1", "#1.2")))
    view = explain(w, after.id)
    assert view.waits_for == (
        f"{first.id} (queued)",
        f"{second.id} (0 of 4 succeeded)",
        f"{second.id}.2 (queued)",
    )
    w.store.write(lambda tx: orders.hold(tx, w.tenant, after.id, w.now_ms))
    assert explain(w, after.id).waits_for[0] == f"its owner's release: weir release {after.id}"


def test_a_queued_job_is_explained_by_the_leader_with_its_place() -> None:
    w = world()
    w.agent("wuhu-hpc")
    w.submit(*(job(cores=8_000) for _ in range(4)))
    w.step()
    first, second = w.submit(job(cores=8_000), job(cores=8_000, priority=Priority.URGENT))
    w.step()
    one, two = explain(w, first.id), explain(w, second.id)
    assert (one.position, two.position, one.queued) == (2, 1, 2)
    assert one.as_of_position <= w.store.position()
    verdicts = {reason.pool: reason.verdict for reason in one.pools}
    assert verdicts == {"hefei-ai/cpu": "closed", "hefei-ai/npu": "closed", "wuhu-hpc/cpu": "full"}
    assert all(reason.terms is not None for reason in one.pools)


def test_another_tenants_job_is_not_named_in_an_explanation() -> None:
    w = world()
    w.agent("wuhu-hpc")
    w.submit(*(job(cores=4_000) for _ in range(7)))
    [theirs] = w.submit(job(cores=8_000, time_limit=1_000), actor=w.other)
    [mine] = w.submit(job(cores=4_000, time_limit=90_000_000))
    w.step()
    text = str(explain(w, mine.id))
    assert theirs.id not in text
    [number] = [row.first_job for row in w.rows("submission") if row.id == theirs.id]
    assert f"job {number}" not in text


def test_without_a_leader_a_queued_job_cannot_be_explained() -> None:
    w = world()
    [one] = w.submit(job())
    with pytest.raises(ProblemError) as error:
        explain(w, one.id)
    assert (error.value.problem.status, error.value.problem.kind) == (503, "no-leader")


def test_a_placed_job_is_explained_by_the_reasons_stored_with_it() -> None:
    w = world()
    agent = w.agent("wuhu-hpc")
    submitted = w.submit(job(), job())
    w.step()
    assert len(w.rows("reason")) == 1  # decided alike
    for answer in submitted:
        view = explain(w, answer.id)
        assert view.attempt == f"{answer.id}-1"
        assert (view.pools[0].pool, view.pools[0].verdict) == ("wuhu-hpc/cpu", "chosen")
    agent.report(agent.end(f"{submitted[0].id}-1"))
    w.new_control()  # nobody leads
    assert explain(w, submitted[0].id).summary == "wuhu-hpc/cpu was chosen at 2023-11-14T22:13:20.000Z"
    w.now_ms += 15_000  # the other's lease is over
    w.step()
    w.now_ms += 30_000
    w.step()
    assert explain(w, submitted[1].id).waits_for == (
        "centre wuhu-hpc, or its operator's word that it is given up",
    )
