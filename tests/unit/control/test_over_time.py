"""Pools that change with time under the live loop: windows, bands and deadlines of real submissions."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.control.world import PROVINCE, START_MS, World, job, runs, world
from weir import scheduling
from weir.access.actor import Actor
from weir.control.explaining import explain
from weir.control.jobs import find
from weir.model.job import Constraints, PreferenceWeights
from weir.model.problem import ProblemError
from weir.model.province import Band, Price, Window
from weir.model.role import Role
from weir.model.view import ExplanationView
from weir.registry import apply_province

HOUR, MINUTE = 3_600_000, 60_000
CHEAP = PreferenceWeights(time=0, money=1_000, carbon=0)


def at(after_ms: int) -> str:
    return datetime.fromtimestamp((START_MS + after_ms) / 1_000, UTC).isoformat()


def declare(w: World, **changed: object) -> None:
    """Every pool with these fields."""
    centres = tuple(
        replace(centre, pools=tuple(replace(pool, **changed) for pool in centre.pools))  # type: ignore[arg-type]
        for centre in PROVINCE.centres
    )
    province = replace(PROVINCE, centres=centres)
    actor = Actor(0, "weir", Role.COORDINATOR)
    w.store.write(lambda tx: apply_province(tx, province, actor, w.now_ms, catalogue={}))


def explained(w: World, name: str) -> ExplanationView:
    def said(connection):  # type: ignore[no-untyped-def]
        found = find(connection, w.coordinator, name)
        return explain(connection, found, w.control.stand(found.first), w.now_ms)

    return w.store.read(said)  # type: ignore[no-any-return]


@pytest.fixture
def w() -> World:
    made = world()
    made.agents = {centre: made.agent(centre) for centre in ("wuhu-hpc", "hefei-ai")}  # type: ignore[attr-defined]
    return made


def test_what_would_not_end_before_a_window_waits_for_its_end_and_is_told_why(w: World) -> None:
    declare(w, windows=(Window(at(2 * MINUTE), 3 * MINUTE, "cooling"),))
    [long] = w.submit(job(time_limit=2 * MINUTE + 1))
    [short] = w.submit(job(time_limit=2 * MINUTE))
    outcome = w.step()
    assert ["queued", "placed"] == w.states()
    view = explained(w, long.id)
    [reason, *_] = [pool for pool in view.pools if pool.pool == "wuhu-hpc/cpu"]
    assert "closed" == reason.verdict
    assert (
        "out of service from 2023-11-14T22:15:20.000Z until 2023-11-14T22:18:20.000Z (cooling)" in reason.note
    )
    assert "would not end before" in reason.note
    # Nobody comes or goes, and yet it is looked at again once the window is over.
    while w.now_ms < START_MS + 5 * MINUTE:
        assert "queued" == w.state(long.id)
        w.now_ms = outcome.next_ms
        for centre in ("wuhu-hpc", "hefei-ai"):
            w.agents[centre].report()  # type: ignore[attr-defined]
        outcome = w.step()
    assert START_MS + 5 * MINUTE == w.now_ms
    assert "placed" == w.state(long.id)
    assert "placed" == w.state(short.id)


def test_a_window_declared_while_the_plan_was_made_refuses_the_start(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    w.submit(job(time_limit=2 * HOUR))
    made = scheduling.step

    def meanwhile(*told: Any) -> Any:
        monkeypatch.setattr(scheduling, "step", made)
        declare(w, windows=(Window(at(HOUR), HOUR, "a leak"),))
        return made(*told)

    monkeypatch.setattr(scheduling, "step", meanwhile)
    outcome = w.control.step(w.now_ms)
    assert (0, 1, True) == (outcome.starts, outcome.refused, outcome.again)
    w.step()
    assert ["queued"] == w.states()


def test_a_start_says_which_better_pool_was_about_to_be_out_of_service(w: World) -> None:
    declare(w, price=Price(core_hour=1_000_000))
    centres = PROVINCE.centres
    cheap = replace(
        centres[1].pools[0], price=Price(core_hour=1_000), windows=(Window(at(HOUR), HOUR, "new cables"),)
    )
    province = replace(PROVINCE, centres=(centres[0], replace(centres[1], pools=(cheap,))))
    dear = replace(
        centres[0], pools=tuple(replace(p, price=Price(core_hour=1_000_000)) for p in centres[0].pools)
    )
    province = replace(province, centres=(dear, province.centres[1]))
    actor = Actor(0, "weir", Role.COORDINATOR)
    w.store.write(lambda tx: apply_province(tx, province, actor, w.now_ms, catalogue={}))
    [made] = w.submit(job(time_limit=2 * HOUR, prefer=CHEAP))
    w.step()
    view = explained(w, made.id)
    verdicts = {pool.pool: pool for pool in view.pools}
    assert "closed" == verdicts["wuhu-hpc/cpu"].verdict
    assert "(new cables)" in verdicts["wuhu-hpc/cpu"].note


def test_a_band_decides_by_the_hours_in_which_a_job_would_run(w: World) -> None:
    bands = {
        "wuhu-hpc": (Band(at(0), core_hour=1_000), Band(at(HOUR), core_hour=9_000_000)),
        "hefei-ai": (Band(at(0), core_hour=9_000_000), Band(at(HOUR), core_hour=1_000)),
    }
    centres = tuple(
        replace(
            centre,
            pools=tuple(
                replace(pool, bands=tuple(replace(b, start=whole_minute(b.start)) for b in bands[centre.id]))
                for pool in centre.pools
            ),
        )
        for centre in PROVINCE.centres
    )
    actor = Actor(0, "weir", Role.COORDINATOR)
    province = replace(PROVINCE, centres=centres)
    w.store.write(lambda tx: apply_province(tx, province, actor, w.now_ms, catalogue={}))
    w.submit(job(time_limit=HOUR // 2, prefer=CHEAP))
    w.step()
    w.now_ms += 2 * HOUR
    for centre in ("wuhu-hpc", "hefei-ai"):
        w.agents[centre].report()  # type: ignore[attr-defined]
    w.submit(job(time_limit=HOUR // 2, prefer=CHEAP))
    w.step()
    assert ["wuhu-hpc", "hefei-ai"] == [row.centre for row in w.rows("attempt")]


def whole_minute(text: str) -> str:
    return text[:17] + "00" + text[19:]


def test_a_job_goes_ahead_for_its_deadline(w: World) -> None:
    here = Constraints(centres=("wuhu-hpc",))
    w.submit(*(job(cores=8_000, constraints=here, time_limit=HOUR) for _ in range(4)))
    w.step()
    hefei = replace(here, deadline=at(3 * HOUR))
    w.submit(job(cores=8_000, constraints=here, time_limit=HOUR))
    w.now_ms += 1
    [due] = w.submit(job(cores=8_000, constraints=hefei, time_limit=HOUR))
    w.step()
    agent = w.agents["wuhu-hpc"]  # type: ignore[attr-defined]
    [first, *_] = runs(agent.pull())
    agent.report(agent.end(first.attempt))
    w.step()
    assert "placed" == w.state(due.id)
    assert ["queued"] == [w.states()[4]]


def test_a_deadline_that_is_none_or_past_is_refused(w: World) -> None:
    for text, said in (("tomorrow", "constraints.deadline"), (at(-1_000), "has passed")):
        with pytest.raises(ProblemError, match=said):
            w.submit(job(time_limit=HOUR, constraints=Constraints(deadline=text)))
