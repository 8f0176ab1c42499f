"""Who is let in, and what everybody finds at the door."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate

from tests.system.api_world import OTHER, TENANT, World, now_ms, served
from weir.access import revoke

METHODS = ("get", "put", "post", "delete", "patch", "head")
OPEN = {("get", "/healthz"), ("get", "/readyz"), ("post", "/api/v1/agent/join")}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with served(tmp_path_factory.mktemp("api")) as made:
        yield made


@pytest.fixture(scope="module")
def document(world: World) -> Any:
    answer = world.ask("GET", "/openapi.json")
    assert 200 == answer.status
    return answer.json


def operations(document: Any) -> list[tuple[str, str, Any]]:
    return [
        (method, path, operation)
        for path, known in document["paths"].items()
        for method, operation in known.items()
        if method in METHODS
    ]


def test_openapi_is_valid_and_3_1(document: Any) -> None:
    validate(document)
    assert "3.1.0" == document["openapi"]


def test_every_operation_documents_its_refusals(document: Any) -> None:
    for method, path, operation in operations(document):
        for status in ("400", "401", "403", "404", "409", "410", "413", "422", "503"):
            content = operation["responses"][status]["content"]
            assert ["application/problem+json"] == list(content), (method, path, status)


def test_no_endpoint_but_health_and_joining_answers_without_a_token(world: World, document: Any) -> None:
    asked = 0
    for method, path, _ in operations(document):
        target = re.sub(r"\{[^}]*\}", "1" * 64, path)
        answer = world.ask(method.upper(), target, token="")
        if (method, path) in OPEN:
            assert answer.status != 401, (method, path)
            continue
        asked += 1
        assert 401 == answer.status, (method, path)
        assert answer.headers["www-authenticate"].startswith("Bearer"), (method, path)
    assert asked > 30
    for target in ("/openapi.json", "/metrics", "/nowhere", "/docs", "/api/v1/nowhere"):
        assert 401 == world.ask("GET", target, token="").status


@pytest.mark.parametrize("sent", ["Bearer", "Bearer ", "Bearer nonsense", "Basic abc", "weir_x"])
def test_bad_token_is_refused(world: World, sent: str) -> None:
    answer = world.ask("GET", "/api/v1/whoami", token="", authorization=sent)
    assert 401 == answer.status
    assert "unauthenticated" == answer.kind
    assert "nonsense" not in answer.body.decode()


def test_revoked_token_is_refused_at_once_where_it_was_revoked(world: World) -> None:
    made = world.ask(
        "POST",
        "/api/v1/tokens",
        {"name": "short", "role": "auditor", "valid_for": "1h"},
        token=world.coordinator,
    )
    assert 201 == made.status
    secret, token_id = made.json["secret"], made.json["token"]["id"]
    assert 200 == world.ask("GET", "/api/v1/whoami", token=secret).status
    assert 204 == world.ask("DELETE", f"/api/v1/tokens/{token_id}", token=world.coordinator).status
    assert 401 == world.ask("GET", "/api/v1/whoami", token=secret).status


def test_revocation_by_another_process_holds_soon(world: World) -> None:
    secret = world.token("auditor", organisation=OTHER)
    assert 200 == world.ask("GET", "/api/v1/whoami", token=secret).status
    listed = world.client(world.coordinator).tokens()
    [token] = [one for one in listed if (one.role, one.organisation) == ("auditor", OTHER)]
    world.store.write(lambda tx: revoke(tx, token.id, now_ms()))
    world.services.tokens._known.clear()  # as after its short life
    assert 401 == world.ask("GET", "/api/v1/whoami", token=secret).status


def test_tenant_admin_makes_tokens_of_its_own_organisation_only(world: World) -> None:
    admin = world.token("tenant-admin", organisation=TENANT)
    own = {"name": "n", "role": "tenant-member", "organisation": TENANT}
    assert 201 == world.ask("POST", "/api/v1/tokens", own, token=admin).status
    foreign = world.ask("POST", "/api/v1/tokens", own | {"organisation": OTHER}, token=admin)
    assert 404 == foreign.status
    mighty = world.ask("POST", "/api/v1/tokens", {"name": "n", "role": "coordinator"}, token=admin)
    assert 403 == mighty.status
    assert TENANT in {one.organisation for one in world.client(admin).tokens()}
    assert {TENANT} == {one.organisation for one in world.client(admin).tokens()}


def test_tenant_member_may_not_do_what_others_may(world: World) -> None:
    for method, target in [
        ("GET", "/api/v1/tokens"),
        ("GET", "/api/v1/audit"),
        ("POST", "/api/v1/province/apply"),
        ("POST", "/api/v1/centres/invites"),
        ("POST", "/api/v1/centres/hefei-ai/drain"),
        ("POST", "/api/v1/agent/pull"),
        ("GET", "/api/v1/agent/centre"),
    ]:
        answer = world.ask(method, target, {} if method == "POST" else None)
        assert 403 == answer.status, target
        assert "forbidden" == answer.kind


def test_agent_token_opens_the_agent_endpoints_alone(world: World) -> None:
    agent = world.token("agent", centre="hefei-ai")
    assert 200 == world.ask("GET", "/api/v1/agent/centre", token=agent).status
    assert "hefei-ai" == world.ask("GET", "/api/v1/whoami", token=agent).json["centre"]
    for target in ("/api/v1/jobs", "/api/v1/centres", "/metrics", "/openapi.json", "/api/v1/events"):
        assert 403 == world.ask("GET", target, token=agent).status, target


def test_unknown_address_and_wrong_method_are_problems(world: World) -> None:
    assert "not-found" == world.ask("GET", "/api/v1/nowhere").kind
    answer = world.ask("DELETE", "/api/v1/centres")
    assert 405 == answer.status
    assert "method" == answer.kind
    assert "GET" in answer.headers["allow"]


def test_every_answer_names_its_request(world: World) -> None:
    answer = world.ask("GET", "/api/v1/nowhere")
    assert f"urn:weir:request:{answer.headers['x-weir-request']}" == answer.json["instance"]


def test_fault_of_the_server_tells_its_id_and_nothing_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> bytes:
        raise RuntimeError("the secret inside")

    monkeypatch.setattr(world.services.meters, "text", fail)
    answer = world.ask("GET", "/metrics")
    assert 500 == answer.status
    assert "internal" == answer.kind
    assert answer.headers["x-weir-request"] in answer.json["title"]
    assert b"secret inside" not in answer.body


def test_health_needs_no_token_and_readiness_needs_a_leader(world: World) -> None:
    assert 200 == world.ask("GET", "/healthz", token="").status
    assert 200 == world.ask("HEAD", "/healthz", token="").status
    assert 503 == world.ask("GET", "/readyz", token="").status
    world.schedule(world.control())
    assert 200 == world.ask("GET", "/readyz", token="").status


def test_metrics_have_their_names(world: World) -> None:
    world.ask("GET", "/api/v1/whoami")
    text = world.ask("GET", "/metrics").body.decode()
    for line in [
        'weir_build_info{version="test"} 1.0',
        'weir_jobs{state="queued"} 0.0',
        'weir_centre_devices{centre="hefei-ai",model="kunpeng-920",state="declared"} 2.0',
        "# TYPE weir_jobs_finished_total counter",
        "# TYPE weir_job_queue_duration_seconds histogram",
        "# TYPE weir_cycle_duration_seconds histogram",
        "# TYPE weir_store_write_duration_seconds histogram",
        'weir_api_requests_total{method="GET",route="/api/v1/whoami",status="200"}',
    ]:
        assert line in text, line


def test_audit_tells_who_did_what_from_where(world: World) -> None:
    world.client(world.coordinator).drain_centre("wuhu-hpc")
    world.client(world.coordinator).resume_centre("wuhu-hpc")
    page = world.client(world.token("auditor")).audit(limit=2)
    assert ["centre.resume", "centre.drain"] == [entry.action for entry in page.entries]
    assert {"127.0.0.1"} == {entry.address for entry in page.entries}
    assert all(entry.actor.startswith("coordinator:") for entry in page.entries)
    assert page.next


def test_operator_reaches_the_centres_that_it_operates(world: World) -> None:
    operator = world.token("centre-operator", organisation="12340000485000001Z")
    assert world.client(operator).drain_centre("hefei-ai").draining
    assert not world.client(operator).resume_centre("hefei-ai").draining
    answer = world.ask("POST", "/api/v1/centres/wuhu-hpc/drain", token=operator)
    assert 404 == answer.status
    assert (
        answer.json["title"]
        == world.ask("POST", "/api/v1/centres/wuhu-hpc/drain", token=operator).json["title"]
    )


def test_secrets_are_not_in_the_log(world: World, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    world.ask("GET", "/api/v1/nowhere", token=world.coordinator)
    world.ask("GET", "/api/v1/nowhere", token="weir_guess")
    said = "".join(capfd.readouterr())
    assert world.coordinator not in said
    assert "weir_guess" not in said
