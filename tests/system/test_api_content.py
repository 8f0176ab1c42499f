"""Content: files brought, outputs fetched, logs read and followed."""

import http.client
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.system.api_world import JOB, Agent, World, served, sha256
from weir.api import ApiSettings
from weir.client import ApiError
from weir.control.cycle import Control
from weir.model.view import JobView


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with served(tmp_path_factory.mktemp("api"), ApiSettings(largest_input_bytes=100_000)) as made:
        yield made


@pytest.fixture(scope="module")
def agent(world: World) -> Agent:
    return world.agent("hefei-ai")


@pytest.fixture(scope="module")
def control(world: World) -> Control:
    return world.control()


@pytest.fixture
def running(world: World, agent: Agent, control: Control) -> str:
    """A job that runs; its attempt's name."""
    [made] = world.client().submit(JOB | {"constraints": {"centres": ["hefei-ai"]}, "outputs": ["**"]})
    world.schedule(control)
    agent.report(agent.running(f"{made.id}-1"))
    return f"{made.id}-1"


def test_file_is_brought_once(world: World, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * 70_000)
    assert sha256(path.read_bytes()) == world.client().upload_blob(path)
    assert world.services.blobs.exists(sha256(path.read_bytes()))
    head = world.ask("HEAD", f"/api/v1/blobs/{sha256(path.read_bytes())}")
    assert (200, "70000") == (head.status, head.headers["x-weir-offset"])


def test_what_another_tenant_brought_is_not_told_of(world: World, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"confidential")
    digest = world.client().upload_blob(path)
    head = world.ask("HEAD", f"/api/v1/blobs/{digest}", token=world.other)
    assert (404, "0") == (head.status, head.headers["x-weir-offset"])
    used = world.ask(
        "POST", "/api/v1/jobs", JOB | {"inputs": [{"file": "f", "digest": digest}]}, token=world.other
    )
    assert 422 == used.status
    assert digest == world.client(world.other).upload_blob(path)
    used = world.ask(
        "POST", "/api/v1/jobs", JOB | {"inputs": [{"file": "f", "digest": digest}]}, token=world.other
    )
    assert 201 == used.status


def test_too_large_file_is_refused(world: World, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * 100_001)
    with pytest.raises(ApiError) as caught:
        world.client().upload_blob(path)
    assert 413 == caught.value.status
    assert "100000" in caught.value.problem.title


def test_other_content_than_announced_is_refused_and_dropped(world: World) -> None:
    answer = world.ask("PUT", f"/api/v1/blobs/{'1' * 64}", b"something else")
    assert (422, "mismatch") == (answer.status, answer.kind)
    assert not world.services.blobs.exists("1" * 64)
    assert 404 == world.ask("PUT", "/api/v1/blobs/..%2f..%2fetc", b"x").status


def test_broken_upload_is_kept_and_goes_on(world: World) -> None:
    content = bytes(range(256)) * 200
    digest = sha256(content)
    connection = http.client.HTTPConnection(urlsplit(world.url).netloc, timeout=10)
    connection.putrequest("PUT", f"/api/v1/blobs/{digest}")
    connection.putheader("Authorization", f"Bearer {world.tenant}")
    connection.putheader("Content-Length", str(len(content)))
    connection.endheaders()
    connection.send(content[:30_000])
    time.sleep(0.3)
    connection.close()
    offset = 0
    for _ in range(100):
        offset = int(world.ask("HEAD", f"/api/v1/blobs/{digest}").headers["x-weir-offset"])
        if offset:
            break
        time.sleep(0.05)
    assert 30_000 == offset
    rest = world.ask("PUT", f"/api/v1/blobs/{digest}?offset={offset}", content[offset:])
    assert 201 == rest.status
    with world.services.blobs.open(digest) as kept:
        assert content == kept.read()


def test_coordinator_without_organisation_is_told_what_is_missing(world: World) -> None:
    answer = world.ask("PUT", f"/api/v1/blobs/{'2' * 64}", b"x", token=world.coordinator)
    assert 422 == answer.status
    assert "organisation" == answer.field["field"]


def test_outputs_are_listed_and_fetched(world: World, agent: Agent, running: str, tmp_path: Path) -> None:
    files = {"report.txt": b"well done", "model/w.bin": bytes(200_000), "ü ?#.txt": b"odd"}
    for content in files.values():
        agent.bring(content)
    agent.report(agent.ended(running, outputs=files))
    client, job = world.client(), running[:-2]
    assert {(path, len(content)) for path, content in files.items()} == {
        (view.path, view.size_bytes) for view in client.outputs(job)
    }
    for path, content in files.items():
        client.download_output(job, path, tmp_path / "out")
        assert content == (tmp_path / "out").read_bytes()
    page = world.ask("GET", f"/api/v1/jobs/{job}/outputs?limit=2").json
    assert ["model/w.bin", "report.txt"] == [view["path"] for view in page["outputs"]]
    assert page["next"]
    assert 422 == world.ask("GET", f"/api/v1/jobs/{job}/outputs?cursor=7").status


def test_an_output_that_its_centre_has_delivered_is_told_with_its_place(
    world: World, agent: Agent, running: str
) -> None:
    ended = agent.ended(running, outputs={"w.bin": b"far"})
    ended["end"]["outputs"][0]["url"] = "s3://results/w.bin"
    agent.report(ended)
    job = running[:-2]
    [view] = world.client().outputs(job)
    assert ("w.bin", 3, "s3://results/w.bin") == (view.path, view.size_bytes, view.url)
    answer = world.ask("GET", f"/api/v1/jobs/{job}/outputs/w.bin")
    assert 409 == answer.status
    assert "s3://results/w.bin" in answer.json["title"]


def test_an_output_whose_content_never_came_is_not_taken_for_one(
    world: World, agent: Agent, running: str
) -> None:
    agent.bring(b"came")
    agent.report(agent.ended(running, outputs={"came": b"came", "never": b"never"}))
    job = running[:-2]
    assert ["came"] == [view.path for view in world.client().outputs(job)]
    ended = world.ask("GET", f"/api/v1/jobs/{job}").json["job"]
    assert ("failed", "outputs") == (ended["state"], ended["cause"])
    assert "'never' never came" in ended["message"]


def test_outputs_of_an_array_come_in_pages(world: World, agent: Agent, control: Control) -> None:
    [made] = world.client().submit(
        JOB | {"array": 3, "constraints": {"centres": ["hefei-ai"]}, "outputs": ["*"]}
    )
    world.schedule(control)
    agent.bring(b"x")
    for index in range(3):
        agent.report(agent.ended(f"{made.id}.{index}-1", outputs={"a": b"x", "b": b"x"}))
    expected = [(f"{made.id}.{index}", path) for index in range(3) for path in ("a", "b")]
    assert expected == [(view.job, view.path) for view in world.client().outputs(made.id)]
    found, cursor = [], ""
    for _ in range(3):
        page = world.ask("GET", f"/api/v1/jobs/{made.id}/outputs?limit=2&cursor={cursor}").json
        found += [(view["job"], view["path"]) for view in page["outputs"]]
        cursor = page.get("next", "")
    assert expected == found
    assert "" == cursor
    assert expected[2:4] == [(view.job, view.path) for view in world.client().outputs(f"{made.id}.1")]


def test_ranges_of_an_output(world: World, agent: Agent, running: str) -> None:
    agent.bring(b"0123456789")
    agent.report(agent.ended(running, outputs={"d": b"0123456789"}))
    target = f"/api/v1/jobs/{running[:-2]}/outputs/d"
    whole = world.ask("GET", target)
    assert (200, "bytes", f'"{sha256(b"0123456789")}"') == (
        whole.status,
        whole.headers["accept-ranges"],
        whole.headers["etag"],
    )
    for asked, content, told in [
        ("bytes=2-4", b"234", "bytes 2-4/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=5-99", b"56789", "bytes 5-9/10"),
    ]:
        part = world.ask("GET", target, range=asked)
        assert (206, content, told) == (part.status, part.body, part.headers["content-range"])
    outside = world.ask("GET", target, range="bytes=10-")
    assert (416, "bytes */10") == (outside.status, outside.headers["content-range"])
    assert 200 == world.ask("GET", target, range="lines=1-2").status
    assert 412 == world.ask("GET", target, if_match='"other"').status


def test_path_of_an_output_leads_nowhere_else(world: World, agent: Agent, running: str) -> None:
    agent.report(agent.ended(running))
    for path in (
        "../../../../etc/passwd",
        "%2e%2e/%2e%2e/etc/passwd",
        "..%2fweir.db",
        "/etc/passwd",
        "missing",
    ):
        answer = world.ask("GET", f"/api/v1/jobs/{running[:-2]}/outputs/{path}")
        assert 404 == answer.status, path
        assert b"root:" not in answer.body


def test_swept_content_is_gone_and_says_so(world: World, agent: Agent, running: str) -> None:
    agent.bring(b"to be swept")
    agent.report(agent.ended(running, outputs={"d": b"to be swept"}))
    digest = sha256(b"to be swept")
    (world.folder / "blobs" / digest[:2] / digest).unlink()
    answer = world.ask("GET", f"/api/v1/jobs/{running[:-2]}/outputs/d")
    assert (410, "gone") == (answer.status, answer.kind)


def test_reading_a_log_has_its_agent_send_it(world: World, agent: Agent, running: str) -> None:
    agent.pull()
    assert 200 == world.ask("GET", f"/api/v1/jobs/{running[:-2]}/logs/stdout").status
    [followed] = [one for one in agent.pull().followed if one.attempt == running]
    assert ("stdout", 0, 0) == (followed.stream, followed.task, followed.offset)
    agent.report(agent.running(running), chunks=[agent.chunk(running, b"12345")])
    [followed] = [one for one in agent.pull().followed if one.attempt == running]
    assert 5 == followed.offset


def test_log_is_followed_live_until_the_job_has_ended(world: World, agent: Agent, running: str) -> None:
    pieces: list[bytes] = []
    reader = threading.Thread(target=lambda: pieces.extend(world.client().logs(running[:-2], follow=True)))
    reader.start()
    written = b""
    for number in range(5):
        data = f"line {number}\n".encode()
        target = f"/api/v1/agent/logs/{running}/0/stdout?offset={len(written)}"
        assert 200 == world.ask("PUT", target, data, token=agent.token).status
        written += data
        for _ in range(200):
            if b"".join(pieces) == written:
                break
            time.sleep(0.01)
        assert written == b"".join(pieces)
    agent.report(agent.ended(running), chunks=[agent.chunk(running, b"last\n", offset=len(written))])
    reader.join(timeout=10)
    assert not reader.is_alive()
    assert written + b"last\n" == b"".join(pieces)


def test_following_begins_before_the_job_is_placed(world: World, agent: Agent, control: Control) -> None:
    [made] = world.client().submit(JOB | {"constraints": {"centres": ["hefei-ai"]}})
    pieces: list[bytes] = []
    reader = threading.Thread(target=lambda: pieces.extend(world.client().logs(made.id, follow=True)))
    reader.start()
    time.sleep(0.2)
    world.schedule(control)
    attempt = f"{made.id}-1"
    agent.report(agent.ended(attempt), chunks=[agent.chunk(attempt, b"quick\n")])
    reader.join(timeout=10)
    assert [b"quick\n"] == pieces


def test_following_a_job_that_is_cancelled_before_it_ran_ends(world: World) -> None:
    [made] = world.client().submit(JOB | {"after": [world.client().submit(JOB)[0].id]})
    world.client().cancel(made.id)
    assert [] == list(world.client().logs(made.id, follow=True))


def test_log_names_are_checked(world: World, running: str) -> None:
    job = running[:-2]
    for target, status in [
        (f"{job}/logs/stdin", 422),
        (f"{job}/logs/stdout?task=1", 422),
        (f"{job}/logs/stdout?offset=-1", 422),
        (f"{job}/logs/stdout?attempt=zzzzzzzzzzzz-1", 422),
        (f"{job}/logs/stdout?attempt={job}-7", 404),
        (f"{job}/logs/..%2f..%2fstdout", 404),
    ]:
        assert status == world.ask("GET", f"/api/v1/jobs/{target}").status, target


def test_logs_and_outputs_of_an_array_need_an_element(world: World) -> None:
    [made] = world.client().submit(JOB | {"array": 2})
    assert 422 == world.ask("GET", f"/api/v1/jobs/{made.id}/logs/stdout").status
    assert 422 == world.ask("GET", f"/api/v1/jobs/{made.id}/outputs/x").status
    assert () == world.client().outputs(made.id)
    assert 200 == world.ask("GET", f"/api/v1/jobs/{made.id}.1/logs/stdout").status


def test_another_tenants_content_is_out_of_reach(world: World, agent: Agent, running: str) -> None:
    agent.bring(b"ours")
    agent.report(agent.ended(running, outputs={"d": b"ours"}), chunks=[agent.chunk(running, b"ours")])
    for rest in ("outputs", "outputs/d", "logs/stdout"):
        assert 404 == world.ask("GET", f"/api/v1/jobs/{running[:-2]}/{rest}", token=world.other).status


def test_queue_wait_is_measured(world: World, agent: Agent, running: str) -> None:
    agent.report(agent.ended(running))
    job = world.client().job(running[:-2])
    assert isinstance(job, JobView)
    text = ""
    for _ in range(100):
        text = world.ask("GET", "/metrics").body.decode()
        if 'weir_jobs_finished_total{centre="hefei-ai",state="succeeded"}' in text:
            break
        time.sleep(0.05)
    assert 'weir_jobs_finished_total{centre="hefei-ai",state="succeeded"}' in text
    assert "weir_job_queue_duration_seconds_count 0.0" not in text
