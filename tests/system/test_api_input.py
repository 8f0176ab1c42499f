"""Bad input: refused with the field, the value and what is accepted, and nothing is changed."""

import contextlib
import http.client
import os
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.system.api_world import JOB, Answer, World, served

MIB = 1 << 20


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with served(tmp_path_factory.mktemp("api")) as made:
        yield made


@pytest.fixture(autouse=True)
def nothing_is_changed(world: World) -> Iterator[None]:
    before = world.store.position()
    yield
    assert before == world.store.position()


@pytest.mark.parametrize(
    ("change", "field", "accepted"),
    [
        ({"comand": ["true"]}, "comand", "did you mean command?"),
        ({"inputs": [{"form": "k7m2q9xw4tcd", "path": "*"}]}, "inputs[0].form", "did you mean from?"),
        ({"devices": {"cuont": 2}}, "devices.cuont", "did you mean count?"),
        ({"memory": "16"}, "memory", "16GiB"),
        ({"memory": 16}, "memory", "16GiB"),
        ({"memory": "16 parsecs"}, "memory", "16GiB"),
        ({"time_limit": 90}, "time_limit", "2h30m"),
        ({"time_limit": "soon"}, "time_limit", "2h30m"),
        ({"time_limit": "900d"}, "time_limit", "366d"),
        ({"cores": "many"}, "cores", "such as 4 or 0.5"),
        ({"tasks": "4..2"}, "tasks", "such as 4"),
        ({"tasks": 0}, "tasks", "such as 4"),
        ({"command": "true"}, "command", "give a list"),
        ({"command": ["true", 3]}, "command[1]", "give a text"),
        ({"command": []}, "command", "program and its arguments"),
        ({"command": ["a\u0001b\u0000"]}, None, None),
        ({"environment": {"1X": "y"}}, "environment.1X", "letters, digits and _"),
        ({"environment": {"WEIR_JOB_ID": "y"}}, "environment.WEIR_JOB_ID", "no WEIR_"),
        ({"array": "5"}, "array", "whole number"),
        ({"array": 0}, "array", "from 1"),
        ({"array": True}, "array", "whole number"),
        ({"restartable": "yes"}, "restartable", "true or false"),
        ({"prefer": "cheapest"}, "prefer", "'cheap'"),
        ({"prefer": {"tim": 3}}, "prefer.tim", "time"),
        ({"kind": "service"}, "kind", "not supported yet"),
        ({"image": "a b"}, "image", "give an image"),
        ({"max_price": "1.50"}, "max_price", "no price book is in force"),
        ({"outputs": ["../secret"]}, "outputs[0]", "stays inside"),
        ({"outputs": ["/etc/passwd"]}, "outputs[0]", "stays inside"),
        ({"outputs": ["a/../../b"]}, "outputs[0]", "stays inside"),
        ({"inputs": [{"file": "../x", "digest": "0" * 64}]}, "inputs[0].file", "stays inside"),
        ({"inputs": [{"file": "x", "digest": "0" * 64}]}, "inputs[0].digest", "upload this content first"),
        ({"inputs": [{"file": "x", "digest": "zz"}]}, "inputs[0].digest", "SHA-256"),
        ({"priority": "reserved"}, "priority", "coordinator"),
        ({"cores": 100_000}, "cores", "4 or 0.5"),
        ({"cores": 65, "memory": "1GiB"}, "cores", "64"),
        ({"devices": {"count": 2}}, "devices", "no pool could ever run this"),
    ],
)
def test_bad_specification_names_field_value_and_what_is_accepted(
    world: World, change: dict[str, Any], field: str | None, accepted: str | None
) -> None:
    answer = world.ask("POST", "/api/v1/jobs", JOB | change)
    if field is None or accepted is None:
        assert 400 == answer.status
        return
    assert 422 == answer.status, answer.body
    assert field == answer.field["field"], answer.json
    assert accepted in answer.field["accepted"], answer.json
    assert field in answer.json["title"]


def test_value_is_shown_as_given(world: World) -> None:
    answer = world.ask("POST", "/api/v1/jobs", JOB | {"memory": "16 parsecs"})
    assert "16 parsecs" == answer.field["value"]
    answer = world.ask("POST", "/api/v1/jobs", JOB | {"memory": "9" * 10_000})
    assert len(answer.field["value"]) <= 201


def test_all_faults_are_named_at_once(world: World) -> None:
    answer = world.ask("POST", "/api/v1/jobs", {"command": "x", "memory": 1, "nonsense": 2})
    assert {"command", "memory", "nonsense"} == {entry["field"] for entry in answer.json["fields"]}


def test_unknown_field_lists_the_known_ones(world: World) -> None:
    answer = world.ask("POST", "/api/v1/jobs", JOB | {"xyzzy": 1})
    for known in ("command", "time_limit", "restartable", "from_"):
        assert (known in answer.field["accepted"]) == (known != "from_")


def test_time_limit_is_required_where_the_project_has_no_default(world: World) -> None:
    answer = world.ask("POST", "/api/v1/jobs", {"command": ["true"]})
    assert ("time_limit", 422) == (answer.field["field"], answer.status)


@pytest.mark.parametrize("after", [["zzzzzzzzzzzz"], ["no job"], ["#0"]])
def test_job_after_what_is_not_there_is_refused(world: World, after: list[str]) -> None:
    answer = world.ask("POST", "/api/v1/jobs", JOB | {"after": after})
    assert answer.status in (404, 422)
    assert answer.kind


def test_cyclic_after_is_refused(world: World) -> None:
    jobs = [JOB | {"after": ["#1"]}, JOB | {"after": ["#0"]}]
    answer = world.ask("POST", "/api/v1/jobs", {"jobs": jobs})
    assert 422 == answer.status
    assert "after" in answer.field["field"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"jobs": []}, "jobs"),
        ({"jobs": "x"}, "jobs"),
        ({"jobs": [JOB], "name": "x"}, "name"),
        ({"jobs": [JOB, 3]}, "jobs[1]"),
        ({"jobs": [JOB] * 10_001}, "jobs"),
    ],
)
def test_bad_bulk_is_refused(world: World, body: Any, field: str) -> None:
    answer = world.ask("POST", "/api/v1/jobs", body)
    assert 422 == answer.status, answer.body
    assert field == answer.field["field"]


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"\xff\xfe",
        b'{"array": NaN}',
        b'{"array": Infinity}',
        b'{"name": "\\ud800"}',
        b'{"name": "\\u0000"}',
        b'{"array": ' + b"9" * 10_000 + b"}",
        b"[" * 200_000 + b"]" * 200_000,
        b'{"a":' * 100_000,
        b"[" + b"{}," * 1_100_000 + b"{}]",
    ],
    ids=[
        "cut off",
        "no UTF-8",
        "NaN",
        "Infinity",
        "surrogate",
        "NUL",
        "long number",
        "deep",
        "deep objects",
        "many",
    ],
)
def test_malformed_json_is_a_400(world: World, raw: bytes) -> None:
    answer = world.ask("POST", "/api/v1/jobs", raw)
    assert 400 == answer.status, answer.body[:200]
    assert "malformed" == answer.kind


def test_body_that_is_no_object_is_refused(world: World) -> None:
    assert 422 == world.ask("POST", "/api/v1/jobs", b"[1]").status
    assert 400 == world.ask("PATCH", "/api/v1/jobs/abc", b"[1]").status


def resident_bytes() -> int:
    with open("/proc/self/statm") as statm:  # noqa: PTH123 - not a file
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_body_of_100_mb_is_refused_without_being_kept(world: World) -> None:
    piece = b" " * MIB
    before = resident_bytes()
    announced = _send(world, {"content-length": str(100 * MIB)}, (piece for _ in range(100)))
    assert 413 == announced.status
    assert "33554432" in announced.json["title"]
    chunked = _send(
        world,
        {"transfer-encoding": "chunked"},
        (b"%x\r\n%s\r\n" % (MIB, piece) for _ in range(100)),
        b"0\r\n\r\n",
    )
    assert 413 == chunked.status
    assert resident_bytes() - before < 60 * MIB


def test_small_bodies_have_a_smaller_limit(world: World) -> None:
    answer = world.ask("PATCH", "/api/v1/jobs/abc", {"priority": "x" * (2 * MIB)})
    assert 413 == answer.status
    assert "too-large" == answer.kind


def test_body_of_a_stranger_is_not_read(world: World) -> None:
    with socket.create_connection(("127.0.0.1", urlsplit(world.url).port or 0), timeout=10) as connection:
        head = "POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(4_096).startswith(b"HTTP/1.1 401")


def test_expecting_client_learns_before_it_sends(world: World) -> None:
    with socket.create_connection(("127.0.0.1", urlsplit(world.url).port or 0), timeout=10) as connection:
        head = (
            f"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {world.tenant}\r\n"
            "Content-Length: 100000000\r\nExpect: 100-continue\r\n\r\n"
        )
        connection.sendall(head.encode())
        assert connection.recv(4_096).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("target", ["/api/v1/jobs/a%00b", "/api/v1/jobs?name=a%00b", "/api/v1/jobs/%ff%fe"])
def test_nul_and_broken_utf8_in_an_address_are_refused(world: World, target: str) -> None:
    answer = world.ask("GET", target)
    assert answer.status in (400, 422)
    assert answer.kind


@pytest.mark.parametrize("key", ["x" * 300, "a\tb"])
def test_bad_idempotency_key_is_refused(world: World, key: str) -> None:
    answer = world.ask("POST", "/api/v1/jobs", JOB, idempotency_key=key)
    assert 422 == answer.status
    assert "Idempotency-Key" == answer.field["field"]


@pytest.mark.parametrize("job", ["NOT-AN-ID", "abc.x", "abc.99999999999", "..", "%2e%2e%2f", "a" * 64])
def test_malformed_id_is_refused(world: World, job: str) -> None:
    answer = world.ask("GET", f"/api/v1/jobs/{job}")
    assert answer.status in (404, 422)
    assert answer.kind


def _send(world: World, headers: dict[str, str], pieces: Iterator[bytes], end: bytes = b"") -> Answer:
    """A request whose body is sent to its end before the answer is looked at, as simple clients do."""
    with contextlib.closing(http.client.HTTPConnection(urlsplit(world.url).netloc, timeout=60)) as connection:
        connection.putrequest("POST", "/api/v1/jobs")
        for name, value in (headers | {"authorization": f"Bearer {world.tenant}"}).items():
            connection.putheader(name, value)
        connection.endheaders()
        for piece in pieces:
            connection.send(piece)
        connection.send(end)
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.getheaders()), answer.read())
