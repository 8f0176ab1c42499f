"""Jobs over HTTP: submitted, shown, waited for, changed; each tenant's own alone."""

import json
import threading
import time
from collections.abc import Iterator

import pytest

from tests.system.api_world import JOB, OTHER, TENANT, World, served
from weir.client import ApiError
from weir.model.view import JobView, SubmissionView


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with served(tmp_path_factory.mktemp("api")) as made:
        yield made


def test_submitted_job_is_queued_and_shown_in_full(world: World) -> None:
    client = world.client()
    [made] = client.submit(JOB | {"name": "one", "labels": {"a": "b"}, "memory": "2GiB"})
    assert ("queued", 1, False) == (made.state, made.size, made.is_array)
    job = client.job(made.id[:8])
    assert isinstance(job, JobView)
    assert (made.id, "one", "vision", TENANT, {"a": "b"}) == (
        job.id,
        job.name,
        job.project,
        job.organisation,
        job.labels,
    )
    assert 2 << 30 == job.specification["memory"]
    assert 60_000 == job.time_limit_ms


def test_array_is_one_submission_with_elements(world: World) -> None:
    client = world.client()
    [made] = client.submit(JOB | {"array": 2_500})
    found = client.job(made.id)
    assert isinstance(found, SubmissionView)
    assert {"queued": 2_500} == found.states
    element = client.job(f"{made.id}.7")
    assert isinstance(element, JobView)
    assert 7 == element.array_index
    assert list(range(2_500)) == [one.array_index for one in client.elements(made.id)]


def test_many_are_submitted_at_once_all_or_none(world: World) -> None:
    client = world.client()
    made = client.submit([JOB | {"name": f"bulk-{index}"} for index in range(1_000)])
    assert 1_000 == len({one.id for one in made})
    with pytest.raises(ApiError) as caught:
        client.submit([JOB | {"name": "never"}, JOB | {"memory": 16}])
    assert "jobs[1].memory" == caught.value.problem.fields[0].field
    assert () == client.jobs(name="never").submissions


def test_listing_is_newest_first_in_pages(world: World) -> None:
    client = world.client()
    ids = [client.submit(JOB | {"name": "paged"})[0].id for _ in range(5)]
    page = client.jobs(name="paged", limit=2)
    assert ids[:-3:-1] == [one.id for one in page.submissions]
    assert ids[::-1] == [one.id for one in client.all_jobs(name="paged")]
    assert ids[0] in {one.id for one in client.all_jobs(states=["queued", "running"])}
    assert () == client.jobs(name="paged", states=["running"]).submissions


@pytest.mark.parametrize(
    "query", ["cursor=x", "limit=0", "limit=1001", "state=sleeping", "cursor=99999999999999999999"]
)
def test_bad_cursor_limit_or_state_is_refused(world: World, query: str) -> None:
    answer = world.ask("GET", f"/api/v1/jobs?{query}")
    assert 422 == answer.status
    assert query.partition("=")[0] == answer.field["field"]


def test_another_tenants_job_is_as_if_it_did_not_exist(world: World) -> None:
    [made] = world.client().submit(JOB | {"outputs": ["*"]})
    missing = "zzzzzzzzzzzz"
    for method, rest in [
        ("GET", ""),
        ("GET", "/elements"),
        ("GET", "/wait?timeout_ms=0"),
        ("GET", "/explain"),
        ("GET", "/outputs"),
        ("GET", "/outputs/a"),
        ("GET", "/logs/stdout"),
        ("POST", "/cancel"),
        ("POST", "/hold"),
        ("POST", "/release"),
    ]:
        foreign = world.ask(method, f"/api/v1/jobs/{made.id}{rest}", token=world.other)
        absent = world.ask(method, f"/api/v1/jobs/{missing}{rest}", token=world.other)
        assert 404 == foreign.status, (method, rest, foreign.body)
        assert foreign.json["title"].replace(made.id, missing) == absent.json["title"]
    other_project = world.token("tenant-member", organisation=TENANT, project="speech")
    assert 404 == world.ask("GET", f"/api/v1/jobs/{made.id}", token=other_project).status
    assert 404 == world.ask("PATCH", f"/api/v1/jobs/{made.id}", {"priority": "low"}, token=world.other).status
    retry = world.ask("POST", f"/api/v1/jobs?retry_of={made.id}", token=world.other)
    assert 404 == retry.status
    after = world.ask("POST", "/api/v1/jobs", JOB | {"after": [made.id]}, token=world.other)
    assert after.status in (404, 422)
    assert "queued" == getattr(world.client().job(made.id), "state", "")


def test_same_key_and_body_make_one_job(world: World) -> None:
    first = world.ask("POST", "/api/v1/jobs", JOB, idempotency_key="k1")
    again = world.ask("POST", "/api/v1/jobs", JOB, idempotency_key="k1")
    assert (201, 201) == (first.status, again.status)
    assert first.body == again.body
    assert "true" == again.headers["idempotency-replayed"]
    assert "idempotency-replayed" not in first.headers


def test_same_key_for_another_body_is_a_conflict(world: World) -> None:
    world.ask("POST", "/api/v1/jobs", JOB, idempotency_key="k2")
    answer = world.ask("POST", "/api/v1/jobs", JOB | {"name": "x"}, idempotency_key="k2")
    assert 409 == answer.status
    assert "idempotency-key-reused" == answer.kind


def test_same_key_of_another_tenant_is_another_key(world: World) -> None:
    ours = world.ask("POST", "/api/v1/jobs", JOB, idempotency_key="k3")
    theirs = world.ask("POST", "/api/v1/jobs", JOB, token=world.other, idempotency_key="k3")
    assert 201 == theirs.status
    assert ours.json != theirs.json


def test_simultaneous_creates_with_one_key_make_one_job(world: World) -> None:
    answers: list[bytes] = []

    def send() -> None:
        answers.append(world.ask("POST", "/api/v1/jobs", JOB | {"name": "once"}, idempotency_key="k4").body)

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 == len(set(answers))
    assert 1 == len(world.client().jobs(name="once").submissions)


def test_hold_release_update_and_cancel(world: World) -> None:
    client = world.client()
    [made] = client.submit(JOB)
    assert "is held" == client.hold(made.id).said
    assert "held" == getattr(client.job(made.id), "state", "")
    assert 1 == client.release(made.id).jobs
    assert "priority low" in client.update(made.id, priority="low", time_limit="5m").said
    job = client.job(made.id)
    assert isinstance(job, JobView)
    assert ("low", 300_000) == (job.priority, job.time_limit_ms)
    assert 1 == client.cancel(made.id).jobs
    ended = client.wait(made.id)
    assert isinstance(ended, JobView)
    assert "cancelled" == ended.state
    with pytest.raises(ApiError) as caught:
        client.update(made.id, priority="low")
    assert 409 == caught.value.status


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"priority": "highest"}, "priority"),
        ({"time_limit": "5"}, "time_limit"),
        ({"time_limit": 5}, "time_limit"),
        ({"priorty": "low"}, "priorty"),
        ({"priority": "reserved"}, "priority"),
        ({}, "update"),
    ],
)
def test_bad_update_is_refused(world: World, body: dict[str, object], field: str) -> None:
    [made] = world.client().submit(JOB)
    answer = world.ask("PATCH", f"/api/v1/jobs/{made.id}", body)
    assert 422 == answer.status
    assert field == answer.field["field"]


def test_retry_is_a_new_submission_of_the_same(world: World) -> None:
    client = world.client()
    [made] = client.submit(JOB | {"name": "again", "array": 3})
    new = client.retry(made.id)
    assert new.id != made.id
    assert (3, True) == (new.size, new.is_array)
    both = world.ask("POST", f"/api/v1/jobs?retry_of={made.id}", JOB)
    assert 422 == both.status


def test_ambiguous_prefix_names_the_candidates(world: World) -> None:
    answer = world.ask("GET", "/api/v1/jobs/" + "abcdefghjkmnpqrstvwxyz0123456789"[3])
    assert answer.status in (404, 422)
    ids = [one.id for one in world.client().all_jobs()]
    shared = next(
        letter for letter in "abcdefghjkmnpqrstvwxyz0123456789" if sum(i[0] == letter for i in ids) > 1
    )
    answer = world.ask("GET", f"/api/v1/jobs/{shared}")
    assert 422 == answer.status
    assert "ambiguous" == answer.kind


def test_wait_answers_when_the_job_ends_and_not_before(world: World) -> None:
    client = world.client()
    [made] = client.submit(JOB)
    found: list[str] = []
    waiter = threading.Thread(target=lambda: found.append(getattr(client.wait(made.id), "state", "")))
    waiter.start()
    time.sleep(0.2)
    assert [] == found
    client.cancel(made.id)
    waiter.join(timeout=10)
    assert ["cancelled"] == found


def test_wait_gives_up_in_time(world: World) -> None:
    [made] = world.client().submit(JOB)
    answer = world.ask("GET", f"/api/v1/jobs/{made.id}/wait?timeout_ms=50")
    assert 200 == answer.status
    assert "queued" == answer.json["job"]["state"]


def test_many_wait_without_holding_threads(world: World) -> None:
    """More wait than there are threads, and others are still answered."""
    client = world.client()
    [made] = client.submit(JOB | {"array": 10})
    waiting = world.services.settings.threads * 3
    ended: list[bool] = []

    def wait() -> None:
        view = client.wait_submission(made.id)
        ended.append(view is not None and view.ended)

    threads = [threading.Thread(target=wait) for _ in range(waiting)]
    for thread in threads:
        thread.start()
    assert 200 == world.ask("GET", "/api/v1/centres").status
    client.cancel(made.id)
    for thread in threads:
        thread.join(timeout=30)
    assert [True] * waiting == ended


def test_explanation_without_a_leader_tells_the_last_state(world: World) -> None:
    [made] = world.client().submit(JOB)
    answer = world.ask("GET", f"/api/v1/jobs/{made.id}/explain")
    assert 503 == answer.status
    assert "no-leader" == answer.kind
    assert answer.headers["retry-after"].isdigit()
    assert "queued" == answer.json["last_state"]["state"]


def test_explanation_of_the_leader(world: World) -> None:
    client = world.client()
    [made] = client.submit(JOB | {"name": "why"})
    control = world.control()
    world.schedule(control)
    explanation = client.explain(made.id)
    assert "queued" == explanation.state
    assert {"hefei-ai/cpu", "wuhu-hpc/cpu"} == {reason.pool for reason in explanation.pools}
    assert explanation.position > 0
    [array] = client.submit(JOB | {"array": 2})
    assert 422 == world.ask("GET", f"/api/v1/jobs/{array.id}/explain").status


def test_submission_is_audited_once(world: World) -> None:
    [made] = world.client().submit(JOB | {"array": 50})
    page = world.client(world.token("auditor", organisation=TENANT)).audit(limit=1)
    [entry] = page.entries
    assert ("job.submit", made.id) == (entry.action, entry.target)
    foreign = world.client(world.token("auditor", organisation=OTHER)).audit(limit=100)
    assert made.id not in {one.target for one in foreign.entries}


def test_answers_are_plain_json(world: World) -> None:
    answer = world.ask("POST", "/api/v1/jobs", JOB | {"name": "汉字"})
    assert "application/json" == answer.headers["content-type"]
    assert (
        "汉字"
        == json.loads(world.ask("GET", f"/api/v1/jobs/{answer.json['submissions'][0]['id']}").body)["name"]
    )
