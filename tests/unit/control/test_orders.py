"""Orders: cancel, hold, release, update, give up, run again."""

from collections.abc import Callable

import pytest

from tests.unit.control.world import OPERATOR, World, job, runs, world
from weir.access.actor import Actor
from weir.control import jobs, orders
from weir.model.change import ChangeKind
from weir.model.job import Priority
from weir.model.problem import ProblemError
from weir.model.role import Role
from weir.model.state import Cause, Desired, Observed
from weir.model.view import OrderView


def order(w: World, what: str, name: str, actor: Actor | None = None, **fields: object) -> OrderView:
    function: Callable[..., OrderView] = getattr(orders, what)
    return w.store.write(lambda tx: function(tx, actor or w.tenant, name, w.now_ms, **fields))


def test_a_queued_job_is_cancelled_at_once() -> None:
    w = world()
    [one] = w.submit(job())
    assert order(w, "cancel", one.id).jobs == 1
    assert w.states() == ["cancelled"]
    assert order(w, "cancel", one.id).jobs == 0


def test_cancelling_an_array_is_one_change_and_one_audit_entry() -> None:
    w = world()
    [one] = w.submit(job(array=1_000))
    before, audited = w.store.position(), len(w.rows("audit"))
    assert order(w, "cancel", one.id).jobs == 1_000
    [change] = w.changes(before)
    [first] = {row.first_job for row in w.rows("submission")}
    assert change.body == {"moves": [[first, 1_000, "cancelled"]]}
    assert len(w.rows("audit")) == audited + 1
    assert set(w.states()) == {"cancelled"}


def test_an_element_is_cancelled_alone() -> None:
    w = world()
    [one] = w.submit(job(array=3))
    order(w, "cancel", f"{one.id}.1")
    assert w.states() == ["queued", "cancelled", "queued"]


def test_a_running_job_is_told_to_stop_and_ends_as_cancelled() -> None:
    w = world()
    agent = w.agent("wuhu-hpc")
    [one] = w.submit(job())
    w.step()
    [attempt] = runs(agent.pull())
    agent.report(agent.seen(attempt.attempt, Observed.RUNNING))
    order(w, "cancel", one.id)
    assert w.states() == ["stopping"]
    assert agent.pull().attempts == ()  # only the control loop writes what is desired
    w.step()
    [told] = agent.pull().attempts
    assert (told.attempt, told.desired, told.work) == (attempt.attempt, Desired.STOPPED, "")
    agent.report(agent.end(attempt.attempt, Cause.CANCELLED))
    assert w.states() == ["cancelled"]


def test_a_job_that_succeeds_before_it_is_stopped_has_succeeded() -> None:
    w = world()
    agent = w.agent("wuhu-hpc")
    [one] = w.submit(job())
    w.step()
    [attempt] = runs(agent.pull())
    order(w, "cancel", one.id)
    agent.report(agent.end(attempt.attempt))
    assert w.states() == ["succeeded"]


def test_a_held_job_is_not_placed_until_it_is_released() -> None:
    w = world()
    w.agent("wuhu-hpc")
    [one] = w.submit(job())
    order(w, "hold", one.id)
    assert w.states() == ["held"]
    w.step()
    assert w.states() == ["held"]
    order(w, "release", one.id)
    assert w.states() == ["queued"]
    w.step()
    assert w.states() == ["placed"]
    with pytest.raises(ProblemError, match="cannot be held"):
        order(w, "hold", one.id)


def test_a_hold_between_the_plan_and_its_application_wins() -> None:
    w = world()
    w.agent("wuhu-hpc")
    [one] = w.submit(job())
    original = w.store.write
    w.control.step(w.now_ms - 1)  # the lease, so that the next write is the plan's application
    [two] = w.submit(job())
    taken: list[bool] = []

    def interfering(work):  # type: ignore[no-untyped-def]
        if not taken:
            taken.append(True)
            original(lambda tx: orders.hold(tx, w.tenant, two.id, w.now_ms))
        return original(work)

    w.store.write = interfering  # type: ignore[method-assign]
    outcome = w.control.step(w.now_ms)
    assert (outcome.refused, outcome.again) == (1, True)
    assert w.state(two.id) == "held"
    assert not w.control.step(w.now_ms).again
    order(w, "release", two.id)
    w.step()
    assert w.state(two.id) == "placed"
    assert w.state(one.id) == "placed"


def test_update_changes_what_is_not_placed_and_tells_of_it() -> None:
    w = world()
    [one] = w.submit(job(array=2))
    before = w.store.position()
    order(w, "update", one.id, priority=Priority.URGENT, time_limit_ms=60_000)
    assert {(row.priority, row.time_limit_ms) for row in w.rows("job")} == {(20, 60_000)}
    [change] = w.changes(before)
    assert change.kind is ChangeKind.EDITED
    assert change.body["jobs"] == [[w.rows("submission")[0].first_job, 2]]
    with pytest.raises(ProblemError, match="coordinator"):
        order(w, "update", one.id, priority=Priority.RESERVED)
    with pytest.raises(ProblemError, match="give priority or time_limit"):
        order(w, "update", one.id)


def test_an_updated_priority_decides_who_goes_first() -> None:
    w = world()
    w.agent("wuhu-hpc")
    for _ in range(4):
        w.submit(job(cores=8_000))
    w.step()
    [low] = w.submit(job(cores=8_000))
    [high] = w.submit(job(cores=8_000))
    w.step()
    order(w, "update", high.id, priority=Priority.URGENT)
    order(w, "cancel", w.rows("submission")[0].id)
    w.step()
    agent_sees = w.rows("attempt")[0]
    name = f"{w.rows('submission')[0].id}-1"
    w.now_ms += 10
    agent = w.agent("wuhu-hpc")
    agent.incarnation = 1
    agent.number = 50
    agent.report(agent.end(name, Cause.CANCELLED))
    w.step()
    assert agent_sees.pool == "cpu"
    assert (w.state(high.id), w.state(low.id)) == ("placed", "queued")


def test_another_tenants_job_does_not_exist() -> None:
    w = world()
    [one] = w.submit(job())
    for what in ("cancel", "hold", "release", "give_up"):
        with pytest.raises(ProblemError) as error:
            order(w, what, one.id, w.other)
        assert error.value.problem.status == 404
        assert error.value.problem.title == f"no job {one.id!r}"
    assert w.states() == ["queued"]


def test_retry_submits_the_same_again() -> None:
    w = world()
    [one] = w.submit(job(name="x", array=2))
    again = w.store.write(lambda tx: orders.retry(tx, w.tenant, one.id, w.now_ms, w.random_bits))
    assert (again.size, again.is_array) == (2, True)
    assert again.id != one.id
    assert len({row.specification for row in w.rows("submission")}) == 1
    assert '"retry_of"' in w.rows("audit")[-1].detail


def test_a_job_of_a_lost_centre_is_given_up_by_its_operator() -> None:
    w = world()
    agent = w.agent("wuhu-hpc")
    [one] = w.submit(job())
    w.step()
    operator = Actor(9, "op", Role.CENTRE_OPERATOR, OPERATOR)
    with pytest.raises(ProblemError) as early:
        order(w, "give_up", one.id, operator)
    assert early.value.problem.status == 403
    w.now_ms += 60_000
    w.step()
    assert w.states() == ["unknown"]
    assert order(w, "give_up", one.id, operator).jobs == 1
    assert w.states() == ["failed"]
    view = w.store.read(lambda c: jobs.show_job(c, jobs.find(c, w.tenant, one.id), w.now_ms))
    assert (view.cause, view.message) == ("centre-lost", "its centre stayed away and it was given up")
    # It turns out to have succeeded; what was given up stays so, and is stopped where it still runs.
    [told] = agent.pull().attempts
    assert told.desired is Desired.ABANDONED
    agent.report(agent.end(told.attempt))
    assert w.states() == ["failed"]
