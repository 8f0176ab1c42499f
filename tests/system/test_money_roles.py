"""Who may look at which money, and who may change it: every role at every door."""

import json
from collections.abc import Iterator

import pytest
from sqlalchemy import func, select

from tests.system.api_world import JOB, OTHER, TENANT, World, served
from tests.system.test_money import BOOK
from weir.store import schema

ROLES = {
    "project": ("tenant-member", {"organisation": TENANT, "project": "vision"}),
    "tenant": ("tenant-admin", {"organisation": TENANT}),
    "other": ("tenant-member", {"organisation": OTHER}),
    "centre": ("centre-operator", {"centre": "hefei-ai"}),
    "auditor": ("auditor", {}),
    "chief": ("coordinator", {}),
}
SEES_ALL = {"auditor": 200, "chief": 200}
EVERYBODY = dict.fromkeys(ROLES, 200)
TENANTS = {**EVERYBODY, "centre": 403}
OF_THE_TENANT = {"project": 403, "tenant": 200, "other": 404, "centre": 404, **SEES_ALL}
OF_ALL = {**dict.fromkeys(ROLES, 403), **SEES_ALL}
READ = {
    "/prices": EVERYBODY,
    "/prices/0": EVERYBODY,
    "/schemes": EVERYBODY,
    "/budgets": TENANTS,
    "/bill": EVERYBODY,
    f"/bill?organisation={TENANT}": {**EVERYBODY, "other": 404},
    "/bill?centre=wuhu-hpc": {**EVERYBODY, "centre": 404},
    f"/ledger/books/{TENANT}": OF_THE_TENANT,
    "/ledger/balances": OF_ALL,
    "/ledger/verify": OF_ALL,
    "/exceptions": EVERYBODY,
    "/vouchers": {**TENANTS, "project": 403},
    f"/vouchers?organisation={TENANT}": {**OF_THE_TENANT, "centre": 403},
    f"/organisations/{TENANT}/facts": {**OF_THE_TENANT, "centre": 403},
    "/contracts": EVERYBODY,
    f"/contracts/standing/{TENANT}/hefei-ai": {**EVERYBODY, "project": 200, "other": 404},
    f"/contracts/standing/{TENANT}/wuhu-hpc": {**EVERYBODY, "other": 404, "centre": 404},
    f"/contracts?organisation={OTHER}": {**EVERYBODY, "project": 404, "tenant": 404},
    "/statements": {**EVERYBODY, "project": 422},
    f"/statements?party={OTHER}": {**SEES_ALL, "project": 422, "tenant": 404, "other": 200, "centre": 404},
    "/statements/verify": {**OF_ALL, "project": 422},
    "/settlements": {**OF_ALL, "project": 422},
    "/redemptions": {**OF_ALL, "project": 422},
}
CHANGE = {
    "PUT /budgets/mine": {"organisation": OTHER, "limit": "1.00"},
    "POST /budgets/lab/top-up": {"amount": "1.00", "reference": "1"},
    "POST /budgets/lab/pay-out": {"amount": "1.00", "reference": "1"},
    "POST /refunds": {"attempt": "a-1", "amount": "0.01", "reason": "why"},
    "POST /exceptions/1/resolve": {"resolution": "so"},
    "POST /prices/apply": None,
    "POST /schemes/apply": None,
    "POST /schemes/diff": None,
    "POST /vouchers/grant": {},
    "POST /vouchers/check": {"claim": 1, "step": "audit"},
    "POST /contracts": None,
    "POST /contracts/c/documents": {"kind": "payment", "reference": "1", "amount": "1.00"},
    "POST /contracts/c/end": {"at": "2027-01-01T00:00+08:00"},
    "POST /statements/close?month=2025-06": {},
    "POST /settlements/close?quarter=2025-Q2": {},
    "POST /redemptions/dispute": {"entry": 1, "line": 0, "why": "so"},
    "POST /organisations/facts": None,
}
NEWEST = select(select(func.max(schema.change.c.position)).scalar_subquery(), func.count()).select_from(
    schema.audit
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with served(tmp_path_factory.mktemp("api")) as made:
        chief = made.client(made.coordinator)
        chief.apply_price_book(BOOK)
        chief.set_budget("lab", organisation=TENANT, limit="20.00")
        made.client().submit(JOB)
        yield made


def token(world: World, who: str) -> str:
    role, scope = ROLES[who]
    return world.token(role, **scope)


@pytest.mark.parametrize("path", READ)
def test_each_role_reads_its_own_and_no_more(world: World, path: str) -> None:
    found = {who: world.ask("GET", f"/api/v1{path}", token=token(world, who)).status for who in ROLES}
    assert READ[path] == found


def test_what_is_anothers_is_on_no_list(world: World) -> None:
    for path in ("/budgets", "/bill", "/contracts", "/exceptions", "/statements", "/vouchers"):
        seen = world.ask("GET", f"/api/v1{path}", token=token(world, "other"))
        assert 200 == seen.status
        assert TENANT not in seen.body.decode()
        assert "lab" not in seen.body.decode()


@pytest.mark.parametrize("order", CHANGE)
def test_none_but_the_coordinator_changes_anything(world: World, order: str) -> None:
    method, path = order.split()
    body = CHANGE[order]
    sent = b"x" if body is None else json.dumps(body).encode()
    before = world.store.read(lambda connection: connection.execute(NEWEST).one())
    for who in ("project", "tenant", "other", "centre", "auditor"):
        assert 403 == world.ask(method, f"/api/v1{path}", sent, token=token(world, who)).status, who
    assert before == world.store.read(lambda connection: connection.execute(NEWEST).one())
    assert 403 != world.ask(method, f"/api/v1{path}", sent, token=token(world, "chief")).status


def test_a_quote_is_for_whoever_may_see_the_project(world: World) -> None:
    asked = {**JOB, "project": "vision"}
    found = {who: world.ask("POST", "/api/v1/quote", asked, token=token(world, who)).status for who in ROLES}
    assert {"project": 200, "tenant": 200, "other": 404, "centre": 403, **SEES_ALL} == found
    unnamed = world.ask("POST", "/api/v1/quote", JOB, token=token(world, "auditor"))
    assert ("project", "name the one that pays; this token is of no organisation") == (
        unnamed.field["field"],
        unnamed.field["accepted"],
    )
