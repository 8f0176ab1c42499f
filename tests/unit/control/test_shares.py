"""Tenants take turns in the live loop, and what they used outlives the scheduler that counted it."""

from collections import Counter
from dataclasses import replace

import pytest

from tests.unit.control.world import (
    OTHER,
    OTHER_MEMBER,
    PROVINCE,
    TENANT,
    TENANT_MEMBER,
    World,
    job,
    runs,
    world,
)
from weir.access.actor import Actor
from weir.control import shares
from weir.control.cycle import Control
from weir.control.shares import tenant_number, told_shares
from weir.control.snapshot import Snapshot
from weir.model.change import ChangeKind
from weir.model.job import Constraints
from weir.model.province import Share
from weir.model.role import Role
from weir.model.state import Observed
from weir.registry import apply_province
from weir.scheduling.inputs import TenantRow

HOUR = 3_600_000
HERE = Constraints(centres=("wuhu-hpc",))
NODE = 8_000_000
"""Micro-yuan: what a node there counts an hour, as the file names no price for its eight cores."""


EQUAL = Share(weight=2)


@pytest.fixture
def w() -> World:
    made = world()
    made.only = made.agent("wuhu-hpc")  # type: ignore[attr-defined]
    return made


def submit(w: World, actor: Actor, count: int, *, hours: int = 10) -> None:
    for _ in range(count):
        w.submit(job(cores=8_000, constraints=HERE, time_limit=hours * HOUR), actor=actor)


def declare(w: World, **shares: Share) -> None:
    organisations = tuple(
        replace(one, share=shares.get(one.name.lower(), Share())) for one in PROVINCE.organisations
    )
    province = replace(PROVINCE, organisations=organisations)
    actor = Actor(0, "weir", Role.COORDINATOR)
    w.store.write(lambda tx: apply_province(tx, province, actor, w.now_ms, catalogue={}))


def placed(w: World) -> Counter[str]:
    """How many jobs of each organisation hold a node."""
    whose = {row.number: row.organisation for row in w.rows("submission")}
    return Counter(
        whose[row.submission]
        for row, state in zip(w.rows("job"), w.states(), strict=True)
        if state != "queued"
    )


def policies(w: World) -> list[str]:
    return [change.body["policy"] for change in w.store.changes(0, 1_000) if change.kind is ChangeKind.CYCLE]


def usage(control: Control, w: World) -> dict[int, int | None]:
    assert control._state is not None
    return {row.tenant: row.used for row in control._state.usage(w.now_ms)}


def test_tenants_take_turns_once_a_share_is_declared(w: World) -> None:
    submit(w, TENANT_MEMBER, 6)
    submit(w, OTHER_MEMBER, 6)
    declare(w, tenant=EQUAL, other=EQUAL)
    w.step()
    assert {TENANT: 2, OTHER: 2} == placed(w)


def test_without_shares_work_waits_in_one_line(w: World) -> None:
    submit(w, TENANT_MEMBER, 6)
    submit(w, OTHER_MEMBER, 6)
    w.step()
    assert {TENANT: 4} == placed(w)
    assert "weir-unshared/1" == policies(w)[-1]
    declare(w, tenant=EQUAL, other=EQUAL)
    w.step()
    submit(w, OTHER_MEMBER, 1)
    w.step()
    assert "weir-by-tenant/1" == policies(w)[-1]
    assert {TENANT: 4} == placed(w), "what runs goes on"


def test_a_weight_that_is_applied_counts_at_once(w: World) -> None:
    declare(w, tenant=Share(weight=3))
    submit(w, OTHER_MEMBER, 6)
    submit(w, TENANT_MEMBER, 6)
    w.step()
    assert {TENANT: 3, OTHER: 1} == placed(w)


def test_a_ceiling_holds_back_until_it_is_raised(w: World) -> None:
    declare(w, tenant=Share(ceiling=2 * NODE))
    submit(w, TENANT_MEMBER, 6)
    w.step()
    assert {TENANT: 2} == placed(w)
    declare(w, tenant=Share(ceiling=3 * NODE))
    w.step()
    assert {TENANT: 3} == placed(w)
    declare(w)
    w.step()
    assert {TENANT: 4} == placed(w)


def test_only_what_declares_a_share_is_told_and_who_has_none_any_more_as_without(w: World) -> None:
    assert () == w.store.read(told_shares)
    declare(w, tenant=EQUAL)
    assert (TenantRow(tenant_number(TENANT), weight_milli=2_000),) == w.store.read(told_shares)
    snapshot = Snapshot()
    w.store.read(lambda connection: snapshot.read(connection, w.now_ms))
    declare(w)
    news = w.store.read(lambda connection: snapshot.read(connection, w.now_ms))
    assert news.changes is not None
    assert (TenantRow(tenant_number(TENANT)),) == news.changes.tenants
    assert not snapshot.sharing


def test_of_two_organisations_of_one_number_the_first_counts(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(w, tenant=EQUAL, other=Share(weight=3))
    monkeypatch.setattr(shares, "tenant_number", lambda organisation: 7)
    [row] = w.store.read(told_shares)
    first = min(TENANT, OTHER)
    assert (2_000 if first == TENANT else 3_000) == row.weight_milli


def test_what_was_used_is_remembered_by_who_starts_anew(w: World) -> None:
    declare(w, tenant=EQUAL, other=EQUAL)
    submit(w, TENANT_MEMBER, 4)
    w.step()
    attempts = runs(w.only.pull())  # type: ignore[attr-defined]
    w.only.report(*(w.only.seen(each.attempt, Observed.RUNNING) for each in attempts))  # type: ignore[attr-defined]
    w.now_ms += HOUR
    w.only.report(*(w.only.end(each.attempt) for each in attempts))  # type: ignore[attr-defined]
    w.step()
    before = usage(w.control, w)
    assert before[tenant_number(TENANT)]
    w.new_control()
    w.now_ms += 20_000
    w.only.report()  # type: ignore[attr-defined]
    # Four node-hours are as much as the first used.
    submit(w, TENANT_MEMBER, 4, hours=1)
    submit(w, OTHER_MEMBER, 4, hours=1)
    w.step()
    assert before == usage(w.control, w)
    assert {TENANT: 4, OTHER: 4} == placed(w)
