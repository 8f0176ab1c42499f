"""What the client sends, what it makes of answers, and when it asks again; over a transport in memory."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from weir.client import AnswerError, ApiError, ChecksumError, Client, SettingsError, UnreachableError
from weir.client.errors import ClientError
from weir.client.events import parse_events
from weir.model.view import JobView, SubmissionView


class Reply:
    """An answer from memory; with `breaks`, the connection breaks off after the body."""

    def __init__(
        self,
        status: int = 200,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        breaks: bool = False,
    ) -> None:
        self.status = status
        self.headers = dict(headers or {})
        self._body = body
        self._breaks = breaks

    def read(self) -> bytes:
        return b"".join(self.stream())

    def stream(self) -> Iterator[bytes]:
        if self._body:
            yield self._body
        if self._breaks:
            raise UnreachableError("broken off")

    def close(self) -> None:
        pass


class Sent:
    """One request as it was sent."""

    def __init__(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> None:
        self.method, self.target, self.headers, self.body = method, target, headers, body


class Script:
    """A transport that answers from a list; an exception in it is raised."""

    def __init__(self, *replies: Reply | Exception) -> None:
        self.replies = list(replies)
        self.sent: list[Sent] = []

    def send(
        self, method: str, target: str, headers: Mapping[str, str], body: Any, timeout_s: float
    ) -> Reply:
        data = body if isinstance(body, bytes) else body.read() if body else b""
        self.sent.append(Sent(method, target, headers, data))
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def close(self) -> None:
        pass


def made(value: Any, status: int = 200) -> Reply:
    return Reply(status, json.dumps(value).encode(), {"content-type": "application/json"})


def problem(status: int, kind: str = "invalid", fields: Any = (), **headers: str) -> Reply:
    body = {"type": f"urn:weir:problem:{kind}", "title": "no", "status": status, "fields": list(fields)}
    return Reply(status, json.dumps(body).encode(), {"content-type": "application/problem+json", **headers})


def client(script: Script, pauses: list[float] | None = None) -> Client:
    sleep: Callable[[float], None] = (pauses if pauses is not None else []).append
    return Client("http://127.0.0.1:1", "secret", transport=script, sleep=sleep)


def job(state: str = "running", **more: Any) -> dict[str, Any]:
    body = {"id": "a", "name": "", "organisation": "o", "project": "p", "owner": "w", "state": state}
    return body | {"priority": "normal", "submitted_ms": 1, "time_limit_ms": 1, **more}


def submission(state: str = "running", *, single: bool = True, ended: bool = False) -> dict[str, Any]:
    body = {"id": "a", "name": "", "organisation": "o", "project": "p", "owner": "w", "submitted_ms": 1}
    body |= {"size": 1 if single else 2, "is_array": not single, "states": {state: 1}, "ended": ended}
    return body | ({"job": job(state)} if single else {})


SUBMITTED = {"submissions": [{"id": "a", "size": 1, "is_array": False, "state": "queued"}]}


def test_token_travels_in_the_header_alone() -> None:
    script = Script(made(submission()))
    client(script).job("a")
    [sent] = script.sent
    assert "Bearer secret" == sent.headers["authorization"]
    assert "secret" not in sent.target


def test_single_job_and_array_are_told_apart() -> None:
    assert isinstance(client(Script(made(submission()))).job("a"), JobView)
    assert isinstance(client(Script(made(submission(single=False)))).job("a"), SubmissionView)


def test_job_id_cannot_lead_to_another_path() -> None:
    script = Script(made(submission()))
    client(script).job("../tokens?x")
    assert "/api/v1/jobs/..%2Ftokens%3Fx" == script.sent[0].target


def test_an_empty_id_is_no_other_path() -> None:
    script = Script(made(submission()))
    for call in (lambda: client(script).job(""), lambda: client(script).set_budget("")):
        with pytest.raises(ClientError, match="'' names nothing"):
            call()
    assert [] == script.sent


def test_create_is_tried_again_with_the_same_key() -> None:
    script = Script(UnreachableError("gone"), problem(503), made(SUBMITTED, 201))
    pauses: list[float] = []
    assert "a" == client(script, pauses).submit({"command": ["true"]})[0].id
    assert 1 == len({sent.headers["idempotency-key"] for sent in script.sent})
    assert 3 == len(script.sent)
    assert 2 == len(pauses)
    assert all(0 < pause <= 5 for pause in pauses)


def test_two_creates_have_unlike_keys() -> None:
    script = Script(made(SUBMITTED), made(SUBMITTED))
    one = client(script)
    one.submit({})
    one.submit({})
    assert 2 == len({sent.headers["idempotency-key"] for sent in script.sent})


def test_change_without_a_key_is_sent_once() -> None:
    script = Script(UnreachableError("gone"))
    with pytest.raises(UnreachableError):
        client(script).cancel("a")
    assert 1 == len(script.sent)


def test_refusal_is_not_repeated_and_names_the_field() -> None:
    fields = [{"field": "memory", "value": "16", "accepted": "a size with its unit"}]
    script = Script(problem(422, "invalid", fields))
    with pytest.raises(ApiError) as caught:
        client(script).submit({"memory": 16})
    assert ("invalid", 422) == (caught.value.problem.kind, caught.value.status)
    assert "memory" == caught.value.problem.fields[0].field
    assert 1 == len(script.sent)


def test_answer_of_something_else_is_an_error_of_its_own() -> None:
    with pytest.raises(AnswerError):
        client(Script(Reply(200, b"<html>"))).whoami()
    with pytest.raises(ApiError, match="is it a Weir server"):
        client(Script(Reply(404, b"<html>", {"content-type": "text/html"}))).whoami()


def test_plain_http_to_another_machine_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(SettingsError, match="plain http"):
        Client("http://far.example", "secret")


def test_pages_are_followed_to_the_end() -> None:
    script = Script(made({"jobs": [job(id="a.0")], "next": "c 1"}), made({"jobs": [job(id="a.1")]}))
    assert ["a.0", "a.1"] == [one.id for one in client(script).elements("a")]
    assert "cursor=c+1" in script.sent[1].target


def test_wait_asks_until_the_job_has_ended() -> None:
    script = Script(made(submission()), made(submission("succeeded", ended=True)))
    found = client(script).wait("a")
    assert isinstance(found, JobView)
    assert "succeeded" == found.state


def test_wait_with_a_timeout_gives_up() -> None:
    script = Script(made(submission()))
    assert client(script).wait_submission("a", timeout_s=0.0) is None
    assert "timeout_ms=0" in script.sent[0].target


def test_wait_for_an_element_does_not_wait_for_its_array() -> None:
    view = submission(single=False) | {"job": job("failed", id="a.1")}
    found = client(Script(made(view))).wait("a.1")
    assert isinstance(found, JobView)
    assert "failed" == found.state


def log_reply(
    data: bytes, attempt: str, *, log_ended: bool = False, job_ended: bool = False, breaks: bool = False
) -> Reply:
    headers = {"x-weir-attempt": attempt, "x-weir-log-ended": str(log_ended).lower()}
    return Reply(200, data, headers | {"x-weir-job-ended": str(job_ended).lower()}, breaks=breaks)


def test_log_is_followed_through_broken_connections_and_a_second_attempt() -> None:
    script = Script(
        log_reply(b"", ""),
        log_reply(b"on", "a-1", breaks=True),
        UnreachableError("gone"),
        log_reply(b"e\n", "a-1"),
        log_reply(b"", "a-1", log_ended=True),
        log_reply(b"two\n", "a-2"),
        log_reply(b"", "a-2", log_ended=True, job_ended=True),
    )
    assert b"one\ntwo\n" == b"".join(client(script).logs("a", follow=True))
    targets = [sent.target for sent in script.sent]
    assert "offset=2" in targets[2]
    assert "offset=2" in targets[3]
    assert "offset=0" in targets[5]
    assert "after_attempt=a-1" in targets[5]


def test_log_without_follow_ends_where_it_ends_now() -> None:
    script = Script(log_reply(b"x", "a-1"), log_reply(b"", "a-1"))
    assert b"x" == b"".join(client(script).logs("a"))


def test_output_is_resumed_and_checked(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"abcdef").hexdigest()
    head = {"x-weir-digest": digest}
    script = Script(Reply(200, b"abc", head, breaks=True), Reply(206, b"def", head))
    assert digest == client(script).download_output("a", "m/o.json", tmp_path / "o")
    assert b"abcdef" == (tmp_path / "o").read_bytes()
    assert "bytes=3-" == script.sent[1].headers["range"]


def test_damaged_output_leaves_nothing(tmp_path: Path) -> None:
    script = Script(Reply(200, b"abX", {"x-weir-digest": hashlib.sha256(b"abc").hexdigest()}))
    with pytest.raises(ChecksumError):
        client(script).download_output("a", "o", tmp_path / "o")
    assert [] == list(tmp_path.iterdir())


def test_upload_is_spared_when_the_server_has_the_content(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    script = Script(Reply(200))
    assert hashlib.sha256(b"abc").hexdigest() == client(script).upload_blob(tmp_path / "f")
    assert ["HEAD"] == [sent.method for sent in script.sent]


def test_upload_goes_on_where_it_broke_off(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abcdef")
    script = Script(
        Reply(404), UnreachableError("gone"), Reply(404, headers={"x-weir-offset": "4"}), Reply(201)
    )
    client(script).upload_blob(tmp_path / "f")
    assert [b"abcdef", b"ef"] == [sent.body for sent in script.sent if sent.method == "PUT"]
    assert script.sent[-1].target.endswith("?offset=4")


def test_events_resume_after_the_last_one_seen() -> None:
    def event(position: int) -> bytes:
        data = json.dumps({"position": position, "at_ms": 1, "kind": "moved", "body": {}})
        return f"event: change\nid: {position}\ndata: {data}\n\n".encode()

    script = Script(
        Reply(200, b": hello\n\n" + event(7), breaks=True), Reply(200, event(8)), problem(410, "gone")
    )
    events = client(script).events(6)
    found = [next(events).position, next(events).position]
    with pytest.raises(ApiError) as caught:
        next(events)
    assert [7, 8] == found
    assert 410 == caught.value.status
    assert ["6", "7", "8"] == [sent.headers["last-event-id"] for sent in script.sent]


def test_events_are_parsed_from_any_pieces() -> None:
    text = b"event: change\r\nid: 3\r\ndata: a\r\ndata: b\r\n\r\n: comment\n\ndata: c\n\ndata: unfinished"
    for size in (1, 2, 7, len(text)):
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        assert [("change", 3, "a\nb"), ("message", None, "c")] == list(parse_events(pieces))
