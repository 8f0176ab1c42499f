"""Several API processes over one PostgreSQL: what one takes in, the others tell of."""

import os
import threading
import time
from collections.abc import Iterator

import pytest

from tests.contract.postgresql_server import PostgresqlServer, programs
from tests.system.api_world import JOB, LedWorld, World, served
from weir.model.view import EventView, JobView

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresqlServer]:
    folder = programs()
    if folder is None:
        reason = "PostgreSQL's server programs (initdb, postgres) are not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason}, and CI runs every test")
        pytest.skip(reason)
    server = PostgresqlServer(folder)
    yield server
    server.stop()


@pytest.fixture
def worlds(
    postgresql: PostgresqlServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[LedWorld, World]]:
    """One that leads, and one beside it; they share the database and the folder of files."""
    folder, url = tmp_path_factory.mktemp("api"), postgresql.url(postgresql.create())
    with served(folder, store_url=url) as leading, served(folder, store_url=url, leads=False) as beside:
        beside.secrets = leading.secrets
        yield leading, beside


def test_who_waits_at_one_is_woken_by_another(worlds: tuple[LedWorld, World]) -> None:
    leading, beside = worlds
    [made] = leading.client().submit(JOB)
    found: list[str] = []
    waiter = threading.Thread(
        target=lambda: found.append(getattr(beside.client().wait(made.id), "state", ""))
    )
    waiter.start()
    time.sleep(0.3)
    began = time.monotonic()
    leading.client().cancel(made.id)
    waiter.join(timeout=20)
    assert ["cancelled"] == found
    assert time.monotonic() - began < 20


def test_agent_at_one_gets_what_was_placed_at_another(worlds: tuple[LedWorld, World]) -> None:
    leading, beside = worlds
    agent = beside.agent("hefei-ai")
    agent.pull()
    [made] = leading.client().submit(JOB | {"constraints": {"centres": ["hefei-ai"]}})
    found: list[str] = []
    puller = threading.Thread(target=lambda: found.extend(one.attempt for one in agent.pull(20_000).attempts))
    puller.start()
    leading.schedule(leading.control())
    puller.join(timeout=20)
    assert [f"{made.id}-1"] == found


def test_log_that_one_takes_in_is_followed_at_another(worlds: tuple[LedWorld, World]) -> None:
    leading, beside = worlds
    agent = leading.agent("hefei-ai")
    [made] = leading.client().submit(JOB | {"constraints": {"centres": ["hefei-ai"]}})
    leading.schedule(leading.control())
    attempt = f"{made.id}-1"
    pieces: list[bytes] = []
    reader = threading.Thread(target=lambda: pieces.extend(beside.client().logs(made.id, follow=True)))
    reader.start()
    agent.report(agent.running(attempt), chunks=[agent.chunk(attempt, b"first\n")])
    agent.report(agent.ended(attempt), chunks=[agent.chunk(attempt, b"last\n", offset=6)])
    reader.join(timeout=20)
    assert b"first\nlast\n" == b"".join(pieces)


def test_events_of_one_are_told_at_another(worlds: tuple[LedWorld, World]) -> None:
    leading, beside = worlds
    start = beside.store.position()
    [made] = leading.client().submit(JOB)
    event: EventView = next(beside.client().events(start))
    assert made.id == event.body["submission"]


def test_explanation_is_asked_of_the_leader(worlds: tuple[LedWorld, World]) -> None:
    leading, beside = worlds
    [made] = beside.client().submit(JOB)
    leading.schedule(leading.control())
    explanation = beside.client().explain(made.id)
    assert explanation.position > 0
    assert {"hefei-ai/cpu", "wuhu-hpc/cpu"} == {reason.pool for reason in explanation.pools}


def test_leader_that_cannot_be_reached_is_no_leader(worlds: tuple[LedWorld, World]) -> None:
    leading, beside = worlds
    [made] = beside.client().submit(JOB)
    leading.url = "http://127.0.0.1:1"
    leading.schedule(leading.control())
    answer = beside.ask("GET", f"/api/v1/jobs/{made.id}/explain")
    assert (503, "queued") == (answer.status, answer.json["last_state"]["state"])


def test_blob_and_idempotency_are_shared(worlds: tuple[LedWorld, World]) -> None:
    leading, beside = worlds
    first = leading.ask("POST", "/api/v1/jobs", JOB, idempotency_key="k")
    again = beside.ask("POST", "/api/v1/jobs", JOB, idempotency_key="k")
    assert first.body == again.body
    job = beside.client().job(first.json["submissions"][0]["id"])
    assert isinstance(job, JobView)
