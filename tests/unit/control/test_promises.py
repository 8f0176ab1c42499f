"""A promise outlives the scheduler that made it."""

from dataclasses import replace

import pytest

from tests.unit.control.world import PROVINCE, TENANT_MEMBER, World, job, runs, world
from weir.control import orders
from weir.control.cycle import Control
from weir.control.explaining import explain_past
from weir.control.jobs import find
from weir.model.job import Constraints
from weir.model.state import Observed
from weir.registry import apply_province
from weir.scheduling.plan import Cause, Reservation

HOUR, MINUTE = 3_600_000, 60_000
HERE = Constraints(centres=("wuhu-hpc",))


def promised(control: Control) -> tuple[Reservation, ...]:
    assert control._state is not None
    return control._state.reservations()


@pytest.fixture
def w() -> World:
    """Four jobs run and have an hour; one for all of the pool is promised it, after a while."""
    made = world()
    agent = made.only = made.agent("wuhu-hpc")  # type: ignore[attr-defined]
    made.submit(*(job(cores=8_000, constraints=HERE, time_limit=HOUR) for _ in range(4)))
    made.step()
    for attempt in runs(agent.pull()):
        agent.report(agent.seen(attempt.attempt, Observed.RUNNING))
    made.submit(job(cores=8_000, constraints=HERE, time_limit=HOUR))
    later(made, 10 * MINUTE)
    return made


def later(w: World, ms: int) -> None:
    w.now_ms += ms
    w.only.report()  # type: ignore[attr-defined]
    w.submit(job(constraints=HERE))  # so that there is something new
    w.step()


def test_who_starts_anew_keeps_what_was_promised_to_the_very_nodes(w: World) -> None:
    [before] = promised(w.control)
    assert [row.job for row in w.rows("promise")] == [before.job]
    w.new_control()
    w.now_ms += 20_000
    w.only.report()  # type: ignore[attr-defined]
    w.step()
    assert (before,) == promised(w.control)


def test_what_has_slipped_is_known_with_its_cause_and_first_start_after_a_restart(w: World) -> None:
    [before] = promised(w.control)
    later(w, HOUR)
    [slipped] = promised(w.control)
    assert (Cause.OVERRUN, before.start_ms) == (slipped.cause, slipped.first_start_ms)
    w.new_control()
    w.now_ms += 20_000
    w.only.report()  # type: ignore[attr-defined]
    w.step()
    [after] = promised(w.control)
    assert (slipped.job, slipped.first_start_ms, Cause.OVERRUN) == (
        after.job,
        after.first_start_ms,
        after.cause,
    )


def test_a_job_that_was_changed_meanwhile_is_promised_anew(w: World) -> None:
    [before] = promised(w.control)
    w.new_control()
    [row] = [row for row in w.rows("job") if row.number == before.job]
    [name] = [s.id for s in w.rows("submission") if s.number == row.submission]
    w.now_ms += 20_000
    w.only.report()  # type: ignore[attr-defined]
    w.store.write(lambda tx: orders.update(tx, w.coordinator, name, w.now_ms, time_limit_ms=2 * HOUR))
    w.step()
    assert all(one.first_start_ms >= before.start_ms for one in promised(w.control))


def declare(w: World, reservations: int | None) -> None:
    """The pool promises so many starts at a time; the loop takes that in."""
    *others, centre = PROVINCE.centres
    said = replace(centre, pools=tuple(replace(pool, reservations=reservations) for pool in centre.pools))
    province = replace(PROVINCE, centres=(*others, said))
    w.store.write(lambda tx: apply_province(tx, province, w.coordinator, w.now_ms, catalogue={}))
    w.step()


def is_told(w: World, name: str) -> bool:
    """Whether its explanation says of a pool that it is promised to the job."""
    found = w.store.read(lambda connection: find(connection, TENANT_MEMBER, name))
    stand = w.control.stand(found.first)
    said = w.store.read(lambda connection: explain_past(connection, found, stand))
    return any(pool.note.startswith("promised to this job") for pool in said.pools)


def test_a_pool_promises_as_many_starts_as_its_declaration_says_from_the_next_cycle_on(w: World) -> None:
    # Each is of a class of its own, since of each class only the first asks.
    w.submit(*(job(cores=cores, constraints=HERE, time_limit=HOUR) for cores in (7_000, 6_000, 5_000)))
    later(w, 10 * MINUTE)
    [first] = promised(w.control)
    declare(w, 2)
    both = promised(w.control)
    assert {one.job for one in both} == {row.job for row in w.rows("promise")}
    assert 2 == len(both)
    assert first.start_ms in {one.start_ms for one in both}
    names = {row.first_job: row.id for row in w.rows("submission")}
    assert all(is_told(w, names[one.job]) for one in both)
    w.new_control()
    w.now_ms += 20_000
    w.only.report()  # type: ignore[attr-defined]
    w.step()
    assert both == promised(w.control)
    declare(w, None)
    assert 1 == len(promised(w.control)) == len(w.rows("promise"))


def test_nothing_stays_stored_once_it_was_kept(w: World) -> None:
    agent = w.only  # type: ignore[attr-defined]
    for row in w.rows("attempt"):
        names = {s.first_job: s.id for s in w.rows("submission")}
        agent.report(agent.end(f"{names[row.job]}-{row.epoch}"))
    w.step()
    assert [] == w.rows("promise")
    assert "queued" not in w.states()
