"""A small server of the agent protocol, in this process: what a test desires, and what an agent told."""

import base64
import hashlib
import json
import threading
import urllib.parse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from weir.model.agent import (
    CentreEntry,
    DesiredAttempt,
    End,
    Follow,
    InputFile,
    NodeShare,
    PoolEntry,
    Pull,
    PullAnswer,
    Report,
    ReportAnswer,
    Work,
    entry_revision,
)
from weir.model.codec import from_plain, to_plain
from weir.model.state import Desired, Observed

TOKEN = "0123456789abcdef"
CODE = "once"
POOL = PoolEntry("cpu", 1, 0, 64_000, 64 << 30, "generic", shares=False)


def work(*command: str, **changes: Any) -> Work:
    made = Work(
        job_submission="aaaaaaaaaaaa",
        pool="cpu",
        command=command,
        environment={},
        tasks=1,
        cores_milli=100,
        memory_bytes=64 << 20,
        devices_milli=0,
        device_model="generic",
        visible_devices_variable="",
        time_limit_ms=60_000,
        stop_signal="TERM",
        stop_grace_ms=2_000,
        restartable=False,
        outputs=(),
        output_limit_bytes=1 << 30,
        log_limit_bytes=1 << 20,
    )
    return replace(made, **changes)


class AgentServer:
    """Levels only, as the real one: everything may be asked and told again."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.store_incarnation = "store-1"
        self.revision = 0
        self.desired: dict[str, tuple[DesiredAttempt, Work | None]] = {}
        self.observed: dict[str, Observed] = {}
        self.ends: dict[str, End] = {}
        self.starts: dict[str, int] = {}
        self.reports: list[Report] = []
        self.blobs: dict[str, bytes] = {}
        self.logs: dict[tuple[str, int, str], bytearray] = {}
        self.followed: tuple[Follow, ...] = ()
        self.draining = False
        self.codes = {CODE}
        self.entry = CentreEntry("hefei", "local", {}, (POOL,), self.store_incarnation)
        self.keeps = True

    def run(
        self,
        attempt: str,
        wanted: Work,
        inputs: dict[str, bytes] | None = None,
        by_url: Sequence[InputFile] = (),
    ) -> None:
        files = list(by_url)
        for path, content in (inputs or {}).items():
            digest = hashlib.sha256(content).hexdigest()
            self.blobs[digest] = content
            files.append(InputFile(path, digest, len(content)))
        nodes = (NodeShare(0, wanted.tasks),)
        self._desire(DesiredAttempt(attempt, Desired.RUN, 0, attempt, None, nodes, tuple(files)), wanted)

    def stop(self, attempt: str, desired: Desired = Desired.STOPPED) -> None:
        self._desire(DesiredAttempt(attempt, desired, 0), None)

    def follow(self, *follows: Follow) -> None:
        with self.changed:
            self.followed = follows
            self.revision += 1
            self.changed.notify_all()

    def await_observed(self, attempt: str, level: Observed, timeout_s: float = 30) -> None:
        with self.changed:
            good = self.changed.wait_for(lambda: self.observed.get(attempt, 0) >= level, timeout_s)
        assert good, f"{attempt} is {self.observed.get(attempt)!r}"

    def await_end(self, attempt: str, timeout_s: float = 30) -> End:
        self.await_observed(attempt, Observed.ENDED, timeout_s)
        return self.ends[attempt]

    def await_report(self, timeout_s: float = 30) -> Report:
        """The next report from now on."""
        with self.changed:
            count = len(self.reports)
            assert self.changed.wait_for(lambda: len(self.reports) > count, timeout_s)
            return self.reports[-1]

    def log(self, attempt: str, stream: str = "stdout", task: int = 0) -> bytes:
        return bytes(self.logs.get((attempt, task, stream), b""))

    def pull(self, pull: Pull, wait_ms: int) -> PullAnswer:
        with self.changed:
            full = not pull.revision or pull.store_incarnation != self.store_incarnation
            if not full:
                self.changed.wait_for(lambda: self.revision > pull.revision, wait_ms / 1_000)
            after = 0 if full else pull.revision
            rows = [
                (wanted, made)
                for wanted, made in self.desired.values()
                if wanted.revision > after and wanted.attempt not in self.ends
            ]
            return PullAnswer(
                store_incarnation=self.store_incarnation,
                revision=self.revision,
                full=full,
                works={wanted.work: made for wanted, made in rows if made is not None},
                attempts=tuple(wanted for wanted, _ in rows),
                followed=self.followed,
                draining=self.draining,
                entry_revision=entry_revision(self.entry),
            )

    def report(self, report: Report) -> ReportAnswer:
        with self.changed:
            self.reports.append(report)
            for chunk in report.chunks:
                data = base64.b64decode(chunk.data)
                self._write_log((chunk.attempt, chunk.task, chunk.stream), chunk.offset, data)
            for seen in report.observations:
                self.observed[seen.attempt] = max(
                    self.observed.get(seen.attempt, Observed.NOTHING), seen.observed
                )
                if seen.end is not None:
                    self.ends.setdefault(seen.attempt, seen.end)
            self.changed.notify_all()
            ended = tuple(seen.attempt for seen in report.observations if seen.attempt in self.ends)
            kept = ended if self.keeps else ()
            return ReportAnswer(self.store_incarnation, report.number, kept=kept)

    def _desire(self, wanted: DesiredAttempt, made: Work | None) -> None:
        with self.changed:
            self.revision += 1
            self.desired[wanted.attempt] = (replace(wanted, revision=self.revision), made)
            self.changed.notify_all()

    def _write_log(self, key: tuple[str, int, str], offset: int, data: bytes) -> None:
        held = self.logs.setdefault(key, bytearray())
        if offset <= len(held):
            held[offset : offset + len(data)] = data

    def serve_log(self, key: tuple[str, int, str], offset: int, data: bytes) -> tuple[int, Any]:
        with self.changed:
            held = len(self.logs.get(key, b""))
            if offset > held:
                return 409, {"title": "a piece is missing before this one", "offset": held}
            self._write_log(key, offset, data)
            self.changed.notify_all()
            return 200, {"offset": len(self.logs[key])}


@contextmanager
def serving(server: AgentServer, port: int = 0) -> Iterator[str]:
    """The address at which the server answers until the end of the block."""

    class Handler(_Handler):
        state = server

    http = _Server(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=lambda: http.serve_forever(poll_interval=0.05), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_address[1]}"
    finally:
        http.shutdown()
        http.server_close()
        thread.join(5)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """An agent that goes away in the middle is what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = (
        -1
    )  # head and body in one packet; in two, the second waits for the first's late acknowledgement
    state: AgentServer

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 (the name that it has there)
        """Quiet."""

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        parts = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(parts.query))
        path = parts.path.removeprefix("/api/v1/agent/").split("/")
        authorised = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if path != ["join"] and not authorised:
            self._send(401, {"title": "no such token"})
            return
        match self.command, path:
            case "POST", ["join"]:
                code = json.loads(body)["code"]
                if code in self.state.codes:
                    self.state.codes.discard(code)
                    self._send(200, {"token": TOKEN, "centre": "hefei"})
                else:
                    self._send(403, {"title": "no such code, or it was used"})
            case "GET", ["centre"]:
                self._send(200, to_plain(self.state.entry))
            case "POST", ["pull"]:
                pull = from_plain(Pull, json.loads(body))
                self._send(200, to_plain(self.state.pull(pull, int(query["wait_ms"]))))
            case "POST", ["report"]:
                self._send(200, to_plain(self.state.report(from_plain(Report, json.loads(body)))))
            case "PUT", ["logs", attempt, task, stream]:
                self._send(*self.state.serve_log((attempt, int(task), stream), int(query["offset"]), body))
            case (("GET" | "HEAD"), ["blobs", digest]):
                content = self.state.blobs.get(digest)
                self._send(*((404, {"title": "no such blob"}) if content is None else (200, content)))
            case "PUT", ["blobs", digest]:
                if hashlib.sha256(body).hexdigest() != digest:
                    self._send(422, {"title": "not that digest"})
                else:
                    self.state.blobs[digest] = body
                    self._send(200, {})
            case _:
                self._send(404, {"title": "nothing here"})

    def _send(self, status: int, answer: Any) -> None:
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
