"""The agent protocol over HTTP: each agent reads and writes its own centre alone."""

import threading
import time
from collections.abc import Iterator

import pytest

from tests.system.api_world import JOB, World, served, sha256
from weir.api import agent as api_agent
from weir.model.view import JobView


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with served(tmp_path_factory.mktemp("api")) as made:
        yield made


def placed(world: World, **fields: object) -> str:
    """A job that is placed at hefei-ai; its attempt's name."""
    [made] = world.client().submit(JOB | {"constraints": {"centres": ["hefei-ai"]}, **fields})
    world.schedule(world.control())
    return f"{made.id}-1"


def test_code_is_exchanged_once_for_a_token_of_its_centre(world: World) -> None:
    [invite] = world.client(world.coordinator).invite(["hefei-ai"])
    joined = world.ask("POST", "/api/v1/agent/join", {"code": invite.code}, token="")
    assert 200 == joined.status
    assert "hefei-ai" == joined.json["centre"]
    entry = world.ask("GET", "/api/v1/agent/centre", token=joined.json["token"])
    assert ["cpu"] == [pool["id"] for pool in entry.json["pools"]]
    again = world.ask("POST", "/api/v1/agent/join", {"code": invite.code}, token="")
    assert 403 == again.status


def test_guessing_codes_is_slowed_down(world: World) -> None:
    for _ in range(api_agent.MOST_REFUSED_JOINS):
        assert 403 == world.ask("POST", "/api/v1/agent/join", {"code": "x"}, token="").status
    answer = world.ask("POST", "/api/v1/agent/join", {"code": "x"}, token="")
    assert 429 == answer.status
    assert int(answer.headers["retry-after"]) > 0


def test_invites_are_in_bulk_and_all_or_none(world: World) -> None:
    assert 2 == len(world.client(world.coordinator).invite(["hefei-ai", "wuhu-hpc"]))
    answer = world.ask(
        "POST", "/api/v1/centres/invites", {"centres": ["hefei-ai", "nowhere"]}, token=world.coordinator
    )
    assert 404 == answer.status
    assert (
        422 == world.ask("POST", "/api/v1/centres/invites", {"centres": []}, token=world.coordinator).status
    )


def test_job_goes_from_desired_to_ended(world: World) -> None:
    agent = world.agent("hefei-ai")
    attempt = placed(world, outputs=["*.txt"])
    answer = agent.pull()
    [desired] = answer.attempts
    assert attempt == desired.attempt
    assert ("true",) == answer.works[desired.work].command
    agent.report(agent.running(attempt))
    job = world.client().job(attempt[:-2])
    assert isinstance(job, JobView)
    assert "running" == job.state
    agent.bring(b"result")
    kept = agent.report(
        agent.ended(attempt, outputs={"r.txt": b"result"}), chunks=[agent.chunk(attempt, b"hello\n")]
    )
    assert (attempt,) == kept.kept
    ended = world.client().wait(attempt[:-2])
    assert isinstance(ended, JobView)
    assert "succeeded" == ended.state
    assert b"hello\n" == b"".join(world.client().logs(ended.id))
    assert world.services.logs.ended(attempt, 0, "stdout")


def test_pull_waits_for_news_and_wakes_at_once(world: World) -> None:
    agent = world.agent("hefei-ai")
    agent.pull()
    began = time.monotonic()
    assert () == agent.pull(wait_ms=300).attempts
    assert time.monotonic() - began >= 0.3
    found: list[str] = []
    puller = threading.Thread(
        target=lambda: found.extend(one.attempt for one in agent.pull(wait_ms=20_000).attempts)
    )
    puller.start()
    time.sleep(0.2)
    attempt = placed(world)
    puller.join(timeout=10)
    assert [attempt] == found


def test_report_sent_again_changes_nothing(world: World) -> None:
    agent = world.agent("hefei-ai")
    attempt = placed(world)
    agent.report(agent.running(attempt))
    position = world.store.position()
    agent.number -= 1
    assert agent.number + 1 == agent.report(agent.running(attempt)).acknowledged
    assert position == world.store.position()


def test_another_centres_attempt_is_out_of_reach(world: World) -> None:
    own, stranger = world.agent("hefei-ai"), world.agent("wuhu-hpc")
    attempt = placed(world)
    stranger.report(stranger.ended(attempt), chunks=[stranger.chunk(attempt, b"forged")])
    job = world.client().job(attempt[:-2])
    assert isinstance(job, JobView)
    assert "placed" == job.state
    assert b"" == b"".join(world.client().logs(job.id))
    target = f"/api/v1/agent/logs/{attempt}/0/stdout?offset=0"
    assert 404 == world.ask("PUT", target, b"forged", token=stranger.token).status
    assert 200 == world.ask("PUT", target, b"real", token=own.token).status
    assert () == stranger.pull().attempts


def test_inputs_are_read_by_the_centre_that_needs_them_alone(
    world: World, tmp_path_factory: pytest.TempPathFactory
) -> None:
    own, stranger = world.agent("hefei-ai"), world.agent("wuhu-hpc")
    source = tmp_path_factory.mktemp("in") / "in.txt"
    source.write_bytes(b"0123456789")
    digest = world.client().upload_blob(source)
    target = f"/api/v1/agent/blobs/{digest}"
    assert 404 == world.ask("GET", target, token=own.token).status
    placed(world, inputs=[{"file": "in.txt", "digest": digest}])
    answer = world.ask("GET", target, token=own.token)
    assert (200, b"0123456789") == (answer.status, answer.body)
    rest = world.ask("GET", target, token=own.token, range="bytes=4-")
    assert (206, b"456789") == (rest.status, rest.body)
    assert 404 == world.ask("GET", target, token=stranger.token).status


def test_upload_is_resumed_and_proven(world: World) -> None:
    agent = world.agent("hefei-ai")
    content = b"abcdefghij"
    target = f"/api/v1/agent/blobs/{sha256(content)}"
    part = world.ask("PUT", f"{target}?offset=0&size=10", content[:4], token=agent.token)
    assert (409, 4) == (part.status, part.json["offset"])
    head = world.ask("HEAD", target, token=agent.token)
    assert (404, "4") == (head.status, head.headers["x-weir-offset"])
    gap = world.ask("PUT", f"{target}?offset=7&size=10", content[7:], token=agent.token)
    assert (409, 4) == (gap.status, gap.json["offset"])
    assert 200 == world.ask("PUT", f"{target}?offset=3&size=10", content[3:], token=agent.token).status
    assert world.services.blobs.exists(sha256(content))
    assert 200 == world.ask("HEAD", target, token=agent.token).status
    assert 404 == world.ask("HEAD", target, token=world.token("agent", centre="wuhu-hpc")).status
    forged = world.ask("PUT", f"/api/v1/agent/blobs/{'0' * 64}", content, token=agent.token)
    assert 422 == forged.status
    assert not world.services.blobs.exists("0" * 64)


def test_upload_whose_proof_was_cut_off_is_not_taken_for_whole(world: World) -> None:
    """All bytes came, and the server was killed before it made a blob of them."""
    agent = world.agent("hefei-ai")
    content = b"abcdefghij"
    target = f"/api/v1/agent/blobs/{sha256(content)}"
    world.services.blobs.append(sha256(content), "centre:hefei-ai", 0, [content])
    head = world.ask("HEAD", target, token=agent.token)
    assert (404, "10") == (head.status, head.headers["x-weir-offset"])
    assert 200 == world.ask("PUT", f"{target}?offset=10&size=10", b"", token=agent.token).status
    assert world.services.blobs.exists(sha256(content))


def test_log_is_brought_in_pieces(world: World) -> None:
    agent = world.agent("hefei-ai")
    attempt = placed(world)
    target = f"/api/v1/agent/logs/{attempt}/0/stderr"
    assert 3 == world.ask("PUT", f"{target}?offset=0", b"abc", token=agent.token).json["offset"]
    assert 5 == world.ask("PUT", f"{target}?offset=1", b"bcde", token=agent.token).json["offset"]
    gap = world.ask("PUT", f"{target}?offset=9", b"x", token=agent.token)
    assert (409, 5) == (gap.status, gap.json["offset"])
    assert b"abcde" == b"".join(world.client().logs(attempt[:-2], "stderr"))
    for bad in (
        f"/api/v1/agent/logs/{attempt}/0/stdin",
        "/api/v1/agent/logs/..%2fx/0/stdout",
        f"/api/v1/agent/logs/{attempt}/x/stdout",
    ):
        assert world.ask("PUT", bad, b"x", token=agent.token).status in (404, 422)


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"incarnation": "1"}',
        b'{"incarnation": 1, "revisoin": 2}',
        b"[]",
        b"nonsense",
    ],
)
def test_malformed_message_is_a_400(world: World, body: bytes) -> None:
    answer = world.ask("POST", "/api/v1/agent/pull", body, token=world.token("agent", centre="hefei-ai"))
    assert (400, "malformed") == (answer.status, answer.kind)


def test_unknown_protocol_is_told_which_side_to_update(world: World) -> None:
    token = world.token("agent", centre="hefei-ai")
    answer = world.ask("POST", "/api/v1/agent/pull", {"incarnation": 1, "protocol": 99}, token=token)
    assert 426 == answer.status
    assert "update the server" in answer.json["title"]


def test_unreadable_chunk_is_refused_and_an_ill_fitting_one_left_out(world: World) -> None:
    agent = world.agent("hefei-ai")
    attempt = placed(world)
    bad = agent.chunk(attempt, b"x") | {"data": "***"}
    told = {"incarnation": 1, "number": 9, "store_incarnation": world.store.incarnation, "agent_time_ms": 0}
    answer = world.ask("POST", "/api/v1/agent/report", told | {"chunks": [bad]}, token=agent.token)
    assert 400 == answer.status
    agent.number = 9
    agent.report(agent.running(attempt), chunks=[agent.chunk(attempt, b"late", offset=100)])
    job = world.client().job(attempt[:-2])
    assert isinstance(job, JobView)
    assert "running" == job.state


def test_draining_reaches_the_agent(world: World) -> None:
    agent = world.agent("hefei-ai")
    assert not agent.pull().draining
    world.client(world.coordinator).drain_centre("hefei-ai")
    assert agent.pull().draining


def test_waiting_pulls_end_when_the_server_stops(tmp_path_factory: pytest.TempPathFactory) -> None:
    stopped: list[float] = []
    with served(tmp_path_factory.mktemp("api")) as world:
        agent = world.agent("hefei-ai")
        agent.pull()
        threads = [threading.Thread(target=agent.pull, args=(20_000,)) for _ in range(10)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        stopped.append(time.monotonic())
    for thread in threads:
        thread.join(timeout=10)
        assert not thread.is_alive()
    assert time.monotonic() - stopped[0] < 10
