"""What a job made is written to URLs: where its centre lets it, whole or not at all, and once."""

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest

from tests.unit.agents.centre import WORK
from weir.agents import url_sending
from weir.agents.collecting import AWAY_PATIENCE, collect
from weir.agents.inputs import Collected
from weir.agents.record import Phase, RecordedAttempt
from weir.agents.sources import Source, Sources, read_sources
from weir.agents.transport import Transport
from weir.agents.url_requests import signed_headers
from weir.engines.driver import Driver
from weir.model.job import Delivery
from weir.model.state import Desired, Observed


@dataclass
class Store:
    """A web server that takes what is put."""

    held: dict[str, bytes] = field(default_factory=dict)
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    status: int = 0
    to: str = ""
    port: int = 0

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        self.seen.append((handler.path, {name.lower(): value for name, value in handler.headers.items()}))
        if self.status:
            handler.send_response(self.status)
            if self.to:
                handler.send_header("Location", self.to)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            handler.close_connection = True
            return
        self.held[handler.path] = handler.rfile.read(int(handler.headers["Content-Length"]))
        handler.send_response(201)
        handler.send_header("Content-Length", "0")
        handler.end_headers()


@pytest.fixture
def store() -> Iterator[Store]:
    made = Store()

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            made.take(self)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name that is overridden)
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.port = server.server_port
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield made
        server.shutdown()


class Silent:
    """An engine without output, and a server that has every output already."""

    def output_size(self, *_: object) -> int:
        return 0

    def output(self, *_: object) -> bytes:
        return b""

    def blob_offset(self, digest: str) -> None:
        return None


def taken(folder: Path, source: Source, *deliver: Delivery, tries: int = 0, **changes: Any) -> Collected:
    """Take over an attempt whose work folder lies in `folder`."""
    element = changes.pop("array_index", None)
    values = {name: getattr(WORK, name) for name in WORK.__dataclass_fields__}
    work = type(WORK)(**{**values, "account": "acme", "deliver": deliver, **changes})
    attempt = RecordedAttempt(
        "aaaaaaaaaaaa-1", "aaaaaaaaaaaa", 1, Phase.COLLECTING, Desired.RUN, Observed.RUNNING, 0,
        array_index=element, work=work, folder=str(folder),
    )  # fmt: skip
    engine = Silent()
    return collect(cast(Driver, engine), cast(Transport, engine), attempt, tries, Sources((source,)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "attempt"
    (made / "work" / "model").mkdir(parents=True)
    (made / "work" / "model" / "合 a.bin").write_bytes(b"weights")
    (made / "work" / "model" / "empty").touch()
    return made


def test_a_web_server_gets_what_matches_with_its_digest_and_the_centres_token(
    store: Store, folder: Path
) -> None:
    url = f"http://127.0.0.1:{store.port}/runs/"
    source = Source(url, access="write", token="T")
    found = taken(folder, source, Delivery("model/*.bin", f"{url}7/"))
    assert not found.problem
    assert {"/runs/7/model/%E5%90%88%20a.bin": b"weights"} == store.held
    [file] = found.outputs
    digest = hashlib.sha256(b"weights").hexdigest()
    assert ("model/合 a.bin", 7, digest) == (file.path, file.size_bytes, file.digest)
    assert f"{url}7/model/%E5%90%88%20a.bin" == file.url
    [(_, headers)] = store.seen
    assert "Bearer T" == headers["authorization"]
    assert headers["content-digest"].startswith("sha-256=:")


def test_an_elements_files_lie_below_its_index_and_what_the_platform_keeps_stays_its_own(
    store: Store, folder: Path
) -> None:
    url = f"http://127.0.0.1:{store.port}/"
    found = taken(
        folder, Source(url, access="both"), Delivery("model", url), array_index=3, outputs=("model/empty",)
    )
    assert {"/3/model/empty", "/3/model/%E5%90%88%20a.bin"} == set(store.held)
    assert [("model/empty", ""), ("model/合 a.bin", f"{url}3/model/%E5%90%88%20a.bin")] == [
        (file.path, file.url) for file in found.outputs
    ]


def test_a_bucket_gets_signed_requests(store: Store, folder: Path) -> None:
    source = Source(
        "s3://b/out/",
        access="write",
        endpoint=f"http://127.0.0.1:{store.port}",
        access_key="AK",
        secret_key="SK",
    )
    assert not taken(folder, source, Delivery("model/*.bin", "s3://b/out/")).problem
    assert {"/b/out/model/%E5%90%88%20a.bin": b"weights"} == store.held
    [(_, headers)] = store.seen
    digest = hashlib.sha256(b"weights").hexdigest()
    assert [digest] * 2 == [headers["x-amz-content-sha256"], headers["x-amz-meta-sha256"]]
    assert "x-amz-meta-sha256" in headers["authorization"]


def test_a_put_is_signed_as_in_amazons_own_example() -> None:
    """Amazon S3 API Reference, Signature Calculations for the Authorization Header: PUT Object, with its keys."""
    source = Source(
        "s3://examplebucket/",
        endpoint="https://s3.amazonaws.com",
        access_key="AKIAIOSFODNN7EXAMPLE",
        secret_key="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    )
    made = signed_headers(
        source,
        "examplebucket.s3.amazonaws.com",
        "/test%24file.text",
        {"Date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
        1_369_353_600.0,
        method="PUT",
        digest=hashlib.sha256(b"Welcome to Amazon S3.").hexdigest(),
    )
    assert made["Authorization"].endswith(
        "Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
    )


def test_what_has_arrived_is_not_sent_again(store: Store, folder: Path) -> None:
    url = f"http://127.0.0.1:{store.port}/"
    source, delivery = Source(url, access="write"), Delivery("model", url)
    first = taken(folder, source, delivery)
    assert first == taken(folder, source, delivery)
    assert 2 == len(store.seen)
    (folder / "work/model/empty").write_bytes(b"no more")
    taken(folder, source, delivery)
    assert b"no more" == store.held["/model/empty"], "what has changed since is"


def test_a_server_that_is_away_is_waited_for_and_not_for_ever(store: Store, folder: Path) -> None:
    url = f"http://127.0.0.1:{store.port}/"
    source, delivery = Source(url, access="write"), Delivery("model/empty", url)
    store.status = 503
    assert taken(folder, source, delivery).again
    last = taken(folder, source, delivery, tries=AWAY_PATIENCE)
    assert (False, f"it could not be delivered: {url}model/empty answers 503") == (last.again, last.problem)


@pytest.mark.parametrize(
    ("status", "to", "words"),
    [
        (403, "", "answers 403"),
        (302, "/x", "nothing is written"),
        (307, "http://127.0.0.2/", "nothing is written"),
    ],
)
def test_a_refusal_is_final(store: Store, folder: Path, status: int, to: str, words: str) -> None:
    url = f"http://127.0.0.1:{store.port}/"
    store.status, store.to = status, to
    found = taken(folder, Source(url, access="write"), Delivery("model/empty", url))
    assert words in found.problem
    assert (False, ()) == (found.again, found.outputs)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (Source("https://data.example.org/", access="read"), "this centre writes to nothing"),
        (Source("https://data.example.org/in/", access="write"), "writes to https://data.example.org/in/"),
        (Source("https://data.example.org/", ("univ",), "write"), "does not write it for this account"),
        (Source("https://data.example.org/", access="write", largest_bytes=1), "at most 1 are written"),
    ],
)
def test_nothing_is_written_where_the_centre_does_not_let_it(
    folder: Path, source: Source, words: str
) -> None:
    assert words in taken(folder, source, Delivery("model/*.bin", "https://data.example.org/")).problem


def test_a_folder_of_the_centres_gets_files_through_no_link(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "share").mkdir()
    source = Source(f"file://{tmp_path}/share/", access="write")
    assert not taken(folder, source, Delivery("model", f"file://{tmp_path}/share/a/b/")).problem
    assert b"weights" == (tmp_path / "share/a/b/model/合 a.bin").read_bytes()
    assert ["empty", "合 a.bin"] == sorted(path.name for path in (tmp_path / "share/a/b/model").iterdir()), (
        "nothing half written"
    )
    (tmp_path / "share/out").symlink_to(tmp_path)
    found = taken(folder, source, Delivery("model/empty", f"file://{tmp_path}/share/out/"))
    assert "cannot be written at the centre" in found.problem
    assert not (tmp_path / "model").exists()


def test_a_file_that_changes_under_way_is_not_handed_on(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "share").mkdir()
    send = url_sending._pieces

    def changed(content: Any, *rest: Any) -> Iterator[bytes]:
        (folder / "work/model/合 a.bin").write_bytes(b"WEIGHTS")
        return send(content, *rest)

    monkeypatch.setattr(url_sending, "_pieces", changed)
    source = Source(f"file://{tmp_path}/share/", access="write")
    found = taken(folder, source, Delivery("model/*.bin", f"file://{tmp_path}/share/"))
    assert "changed while it was sent" in found.problem
    assert not list((tmp_path / "share/model").iterdir())


def test_the_centres_file_says_what_is_written_where(tmp_path: Path) -> None:
    path = tmp_path / "sources.json"
    path.touch(mode=0o600)
    entries = [
        {"prefix": "https://a.example/", "access": "both"},
        {"prefix": "file:///out/", "access": "write"},
    ]
    path.write_text(json.dumps({"sources": entries}))
    assert ("deliver/file", "deliver/https", "url/https") == read_sources(path).capabilities
