"""The events stream: what each viewer may see, resumed where it broke off."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3

from tests.system.api_world import JOB, TENANT, World, served
from weir.api import ApiSettings
from weir.client import ApiError
from weir.model.view import EventView


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with served(tmp_path_factory.mktemp("api"), ApiSettings(keep_alive_s=0.2)) as made:
        yield made


def seen(world: World, count: int, *, since: int, token: str = "") -> list[EventView]:
    events = world.client(token).events(since)
    return [next(events) for _ in range(count)]


def test_jobs_are_told_of_by_name(world: World) -> None:
    start = world.store.position()
    [array] = world.client().submit(JOB | {"array": 5})
    [single] = world.client().submit(JOB)
    world.client().cancel(f"{array.id}.2")
    world.client().cancel(single.id)
    events = seen(world, 4, since=start)
    assert ["submitted", "submitted", "moved", "moved"] == [event.kind.value for event in events]
    assert {"submission": array.id, "size": 5} == events[0].body
    assert {"moves": [[array.id, 2, 1, "cancelled"]]} == events[2].body
    assert {"moves": [[single.id, None, 1, "cancelled"]]} == events[3].body


def test_run_over_several_submissions_is_split(world: World) -> None:
    start = world.store.position()
    [first] = world.client().submit(JOB)
    others = world.client().submit([JOB | {"after": [first.id]} for _ in range(3)])
    world.client().cancel(first.id)
    moved = [event for event in seen(world, 5, since=start) if event.kind.value == "moved"]
    named = [move[0] for event in moved for move in event.body["moves"]]
    assert [first.id, *(one.id for one in others)] == named


def test_each_tenant_sees_its_own_jobs_alone(world: World) -> None:
    start = world.store.position()
    [ours] = world.client().submit(JOB)
    [theirs] = world.client(world.other).submit(JOB)
    [also_ours] = world.client().submit(JOB)
    assert [ours.id, also_ours.id] == [event.body["submission"] for event in seen(world, 2, since=start)]
    other = seen(world, 1, since=start, token=world.other)
    assert [theirs.id] == [event.body["submission"] for event in other]
    everything = seen(world, 3, since=start, token=world.coordinator)
    assert [ours.id, theirs.id, also_ours.id] == [event.body["submission"] for event in everything]


def test_project_is_a_limit_too(world: World) -> None:
    start = world.store.position()
    admin = world.token("tenant-admin", organisation=TENANT)
    world.client(admin).submit(JOB | {"project": "speech"})
    [ours] = world.client().submit(JOB)
    [event] = seen(world, 1, since=start)
    assert ours.id == event.body["submission"]


def test_province_is_told_to_everybody_and_cycles_to_the_coordinator(world: World) -> None:
    start = world.store.position()
    world.client(world.coordinator).drain_centre("hefei-ai")
    [event] = seen(world, 1, since=start)
    assert ("centre", {"centre": "hefei-ai"}) == (event.kind.value, event.body)


def test_live_events_arrive_as_they_happen(world: World) -> None:
    found: list[EventView] = []
    ready = threading.Event()

    def watch() -> None:
        events = world.client().events()
        ready.set()
        found.append(next(events))

    watcher = threading.Thread(target=watch)
    watcher.start()
    ready.wait()
    while watcher.is_alive():
        world.client().submit(JOB)
        watcher.join(timeout=0.3)
    assert "submitted" == found[0].kind.value


def lines(world: World, count: int, **headers: str) -> list[str]:
    """The first lines of the raw stream."""
    sent = {"authorization": f"Bearer {world.tenant}"} | {
        key.replace("_", "-"): value for key, value in headers.items()
    }
    with urllib3.PoolManager() as pool:
        answer = pool.request(
            "GET", f"{world.url}/api/v1/events", headers=sent, preload_content=False, timeout=10
        )
        assert 200 == answer.status
        assert "text/event-stream" in answer.headers["content-type"]
        assert ("no-store", "no") == (answer.headers["cache-control"], answer.headers["x-accel-buffering"])
        text = b""
        while text.count(b"\n") < count:
            text += answer.read1(1 << 16)
        answer.close()
    return text.decode().split("\n")[:count]


def test_stream_resumes_after_the_last_event_id(world: World) -> None:
    start = world.store.position()
    ids = [world.client().submit(JOB)[0].id for _ in range(3)]
    found = lines(world, 12, last_event_id=str(start + 1))
    assert ["event: position", f"id: {start + 1}"] == found[:2]
    told = [json.loads(line.removeprefix("data: ")) for line in found if line.startswith("data: {")]
    assert ids[1:] == [event["body"]["submission"] for event in told]


def test_silent_stream_is_kept_alive(world: World) -> None:
    found = lines(world, 12)
    assert 3 == found.count("event: position")


def test_reader_behind_the_cut_lists_anew(world: World) -> None:
    for _ in range(3):
        world.client().submit(JOB)
    world.store.cut(world.store.position())
    answer = world.ask("GET", "/api/v1/events", last_event_id="1")
    assert (410, "log-cut") == (answer.status, answer.kind)
    with pytest.raises(ApiError) as caught:
        seen(world, 1, since=1)
    assert 410 == caught.value.status


def test_reader_of_a_time_that_was_taken_back_lists_anew(world: World) -> None:
    """Its position is beyond the log: the store was restored."""
    answer = world.ask("GET", "/api/v1/events", last_event_id=str(world.store.position() + 10))
    assert 410 == answer.status


@pytest.mark.parametrize("given", ["x", "-1", "1.5", "9" * 30])
def test_bad_event_id_is_refused(world: World, given: str) -> None:
    answer = world.ask("GET", "/api/v1/events", last_event_id=given)
    assert (422, "Last-Event-ID") == (answer.status, answer.field["field"])


def test_slow_reader_gets_what_is_kept_in_the_store_alone(world: World) -> None:
    """More changes than are kept in memory, from the beginning."""
    start = world.store.position()
    world.client().submit([JOB] * 9_000)
    events: Any = world.client().events(start)
    first = [next(events).position for _ in range(9_000)]
    assert list(range(start + 1, start + 9_001)) == first
