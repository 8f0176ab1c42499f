"""Inputs by URL: fetched once and whole, from where the centre lets them be fetched, and from nowhere else."""

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

import pytest

from weir.agents.fetching import fetch_inputs
from weir.agents.sources import Source, Sources, read_sources
from weir.agents.transport import Transport
from weir.agents.url_fetching import fetch_url
from weir.agents.url_requests import SourceAwayError, SourceRefusedError, signed_headers
from weir.model.agent import InputFile
from weir.model.problem import ProblemError

CONTENT = bytes(range(256)) * 20_000


@dataclass
class Web:
    """A web server with one file, `/data/x`, which it may break off."""

    content: bytes = CONTENT
    etag: str = '"one"'
    break_at: int = 0
    status: int = 0
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    port: int = 0

    @property
    def prefix(self) -> str:
        return f"http://127.0.0.1:{self.port}/data/"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.seen.append((handler.path, {name.lower(): value for name, value in handler.headers.items()}))
        if handler.path.startswith("/data/to/"):
            handler.send_response(302)
            handler.send_header("Location", unquote(handler.path.removeprefix("/data/to")))
            handler.end_headers()
            return
        if self.status or handler.path.rpartition("/")[2] != "x":
            handler.send_error(self.status or 404)
            return
        begin = 0
        asked = handler.headers.get("Range", "")
        if asked and handler.headers.get("If-Range") == self.etag:
            begin = int(asked.removeprefix("bytes=").rstrip("-"))
        handler.send_response(206 if begin else 200)
        if begin:
            handler.send_header("Content-Range", f"bytes {begin}-{len(self.content) - 1}/{len(self.content)}")
        handler.send_header("ETag", self.etag)
        handler.send_header("Content-Length", str(len(self.content) - begin))
        handler.end_headers()
        handler.wfile.write(self.content[begin : self.break_at or None])


@pytest.fixture
def web() -> Iterator[Web]:
    made = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.answer(self)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name that is overridden)
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.port = server.server_port
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield made
        server.shutdown()


def sources(*made: Source) -> Sources:
    return Sources(made)


def test_a_file_is_fetched_with_the_centres_own_token(web: Web, tmp_path: Path) -> None:
    here = sources(Source(web.prefix, token="s3cret"))
    fetch_url(here, web.prefix + "x", "acme", tmp_path / "x", len(CONTENT))
    assert CONTENT == (tmp_path / "x").read_bytes()
    assert "Bearer s3cret" == web.seen[0][1]["authorization"]
    assert ("url/http",) == here.capabilities


def test_what_broke_off_is_gone_on_with(web: Web, tmp_path: Path) -> None:
    here = sources(Source(web.prefix))
    web.break_at = 3_000_000
    with pytest.raises(SourceAwayError, match="broke off"):
        fetch_url(here, web.prefix + "x", "", tmp_path / "x")
    held = (tmp_path / "x").stat().st_size
    assert 0 < held <= 3_000_000
    web.break_at = 0
    fetch_url(here, web.prefix + "x", "", tmp_path / "x")
    assert CONTENT == (tmp_path / "x").read_bytes()
    assert f"bytes={held}-" == web.seen[-1][1]["range"]


@pytest.mark.parametrize("etag", ['"two"', 'W/"one"'])
def test_what_has_changed_meanwhile_is_fetched_anew(web: Web, tmp_path: Path, etag: str) -> None:
    here = sources(Source(web.prefix))
    web.break_at, web.etag = 1_000_000, 'W/"one"' if etag.startswith("W/") else '"one"'
    with pytest.raises(SourceAwayError):
        fetch_url(here, web.prefix + "x", "", tmp_path / "x")
    web.break_at, web.content, web.etag = 0, CONTENT[::-1], etag
    fetch_url(here, web.prefix + "x", "", tmp_path / "x")
    assert CONTENT[::-1] == (tmp_path / "x").read_bytes()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/other/x", "fetches from"),
        ("/data/../other/x", "without . and .."),
        ("/data/%2e%2e/other/x", "without . and .."),
        ("/data/y", "answers 404"),
        ("/data/to/other/x", "outside"),
    ],
)
def test_nothing_outside_its_prefix_is_asked(web: Web, tmp_path: Path, path: str, words: str) -> None:
    here = sources(Source(web.prefix, token="s3cret"))
    with pytest.raises((ProblemError, SourceRefusedError), match=words):
        fetch_url(here, f"http://127.0.0.1:{web.port}{path}", "", tmp_path / "x")
    assert not [seen for seen in web.seen if not seen[0].startswith("/data/")]


def test_a_redirect_inside_is_followed(web: Web, tmp_path: Path) -> None:
    fetch_url(sources(Source(web.prefix)), f"{web.prefix}to/data/x", "", tmp_path / "x")
    assert CONTENT == (tmp_path / "x").read_bytes()


@pytest.mark.parametrize(
    "url", ["http://localhost/x", "https://127.0.0.1/data/x", "http://127.0.0.1:9/data/x"]
)
def test_another_host_port_or_scheme_is_not_asked(web: Web, tmp_path: Path, url: str) -> None:
    with pytest.raises(ProblemError, match="this centre fetches from"):
        fetch_url(sources(Source(web.prefix)), url, "", tmp_path / "x")


def test_a_source_of_some_accounts_is_for_no_others(web: Web, tmp_path: Path) -> None:
    here = sources(Source(web.prefix, accounts=("acme",)))
    fetch_url(here, web.prefix + "x", "acme", tmp_path / "x")
    with pytest.raises(ProblemError, match="not fetch it for this account"):
        fetch_url(here, web.prefix + "x", "univ", tmp_path / "x")


def test_too_much_is_not_fetched(web: Web, tmp_path: Path) -> None:
    with pytest.raises(SourceRefusedError, match="at most 1000 are fetched"):
        fetch_url(sources(Source(web.prefix, largest_bytes=1_000)), web.prefix + "x", "", tmp_path / "x")
    with pytest.raises(SourceRefusedError, match="and not the"):
        fetch_url(sources(Source(web.prefix)), web.prefix + "x", "", tmp_path / "y", len(CONTENT) + 1)


@pytest.mark.parametrize(
    ("status", "error"), [(503, SourceAwayError), (429, SourceAwayError), (403, SourceRefusedError)]
)
def test_what_may_pass_is_told_from_what_does_not(
    web: Web, tmp_path: Path, status: int, error: type[Exception]
) -> None:
    web.status = status
    with pytest.raises(error, match=str(status)):
        fetch_url(sources(Source(web.prefix)), web.prefix + "x", "", tmp_path / "x")


def test_a_folder_of_the_centres_gives_its_own_files_alone(tmp_path: Path) -> None:
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "合 x").write_bytes(b"given")
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "public" / "link").symlink_to(tmp_path / "secret")
    here = sources(Source(f"file://{tmp_path}/public/"))
    fetch_url(here, f"file://{tmp_path}/public/%E5%90%88%20x", "", tmp_path / "x")
    assert b"given" == (tmp_path / "x").read_bytes()
    with pytest.raises(SourceRefusedError, match="leads out"):
        fetch_url(here, f"file://{tmp_path}/public/link", "", tmp_path / "y")
    with pytest.raises(ProblemError):
        fetch_url(here, f"file://{tmp_path}/secret", "", tmp_path / "y")


def test_a_signature_is_amazons_own_example() -> None:
    """Amazon S3 API Reference, Signature Calculations for the Authorization Header: GET Object, with its keys."""
    source = Source(
        "s3://examplebucket/",
        endpoint="https://s3.amazonaws.com",
        access_key="AKIAIOSFODNN7EXAMPLE",
        secret_key="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    )
    made = signed_headers(
        source, "examplebucket.s3.amazonaws.com", "/test.txt", {"Range": "bytes=0-9"}, 1_369_353_600.0
    )
    wanted = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    assert made["Authorization"].endswith(
        f"SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature={wanted}"
    )


def test_an_object_of_a_bucket_is_asked_of_the_centres_own_service(web: Web, tmp_path: Path) -> None:
    source = Source(
        "s3://weights/llm/",
        endpoint=f"http://127.0.0.1:{web.port}",
        region="cn-north-1",
        access_key="AK",
        secret_key="SK",
    )
    fetch_url(sources(source), "s3://weights/llm/合/x", "", tmp_path / "x")
    assert CONTENT == (tmp_path / "x").read_bytes()
    [(path, headers)] = web.seen
    assert "/weights/llm/%E5%90%88/x" == path
    assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AK/")
    assert "SK" not in str(headers)


def given(url: str, **changes: Any) -> InputFile:
    return replace(InputFile("in/x", "", 0, url), **changes)


def test_inputs_by_url_are_laid_and_proven_by_their_digest(web: Web, tmp_path: Path) -> None:
    here, nobody = sources(Source(web.prefix)), cast(Transport, None)
    digest = hashlib.sha256(CONTENT).hexdigest()
    for wanted in ("", digest):
        entry = given(web.prefix + "x", digest=wanted, size_bytes=len(CONTENT))
        assert "" == fetch_inputs(nobody, "a-1", tmp_path, [entry], here).problem
    assert CONTENT == (tmp_path / "work" / "in" / "x").read_bytes()
    assert 1 == len(web.seen), "what is there is not fetched again"
    wrong = fetch_inputs(nobody, "a-1", tmp_path, [given(web.prefix + "x", digest="0" * 64)], here)
    assert ("its SHA-256 is not" in wrong.problem, wrong.again) == (True, False)
    web.status = 500
    away = fetch_inputs(nobody, "a-2", tmp_path / "2", [given(web.prefix + "x")], here)
    assert ("answers 500" in away.problem, away.again) == (True, True)
    outside = fetch_inputs(nobody, "a-3", tmp_path / "3", [given("https://elsewhere.example/x")], here)
    assert ("this centre fetches from" in outside.problem, outside.again) == (True, False)


def test_a_url_that_cannot_be_read_ends_the_attempt_and_not_the_agent(web: Web, tmp_path: Path) -> None:
    nobody = cast(Transport, None)
    far = sources(Source(web.prefix), Source("http://h.example:99999/"))
    unreadable = fetch_inputs(nobody, "a-1", tmp_path / "1", [given("https://[/x")], far)
    assert ("give a URL that can be read" in unreadable.problem, unreadable.again) == (True, False)
    sent_on = fetch_inputs(nobody, "a-2", tmp_path / "2", [given(f"{web.prefix}to//[/x")], far)
    assert ("which is no URL" in sent_on.problem, sent_on.again) == (True, False)
    no_port = fetch_inputs(
        nobody, "a-3", tmp_path / "3", [given("http://h.example:x/x")], sources(Source("http://h.example:x/"))
    )
    assert ("an input is not to be had" in no_port.problem, no_port.again) == (True, False)


def test_a_folder_that_becomes_a_link_meanwhile_leads_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tmp_path / "public" / "sub"
    (tmp_path / "private").mkdir()
    inside.mkdir(parents=True)
    for folder in (inside, tmp_path / "private"):
        (folder / "x").write_bytes(b"secret")
    opened = os.open

    def swapped(path: str, *rest: Any, **more: Any) -> int:
        if str(path).endswith("/sub/x"):
            inside.rename(tmp_path / "away")
            inside.symlink_to(tmp_path / "private")
        return opened(path, *rest, **more)

    monkeypatch.setattr(os, "open", swapped)
    with pytest.raises(SourceRefusedError, match="leads out"):
        fetch_url(sources(Source(f"file://{tmp_path}/public/")), f"file://{inside}/x", "", tmp_path / "y")


def test_the_centres_file_is_read_and_private(tmp_path: Path) -> None:
    path, secret = tmp_path / "sources.json", tmp_path / "secret"
    assert () == read_sources(path).capabilities
    secret.touch(mode=0o600)
    secret.write_text("SK\n")
    entries = [
        {"prefix": "https://data.example.org/", "largest": "2GiB", "accounts": ["acme"]},
        {
            "prefix": "s3://b/",
            "endpoint": "https://oss.example.org",
            "access_key": "AK",
            "secret_key_file": str(secret),
        },
        {"prefix": "file:///share/"},
    ]
    path.touch(mode=0o600)
    path.write_text(json.dumps({"sources": entries}))
    found = read_sources(path)
    assert ("url/file", "url/https", "url/s3") == found.capabilities
    assert (2 << 30, ("acme",), "SK") == (
        found.all[0].largest_bytes,
        found.all[0].accounts,
        found.all[1].secret_key,
    )
    path.chmod(0o644)
    with pytest.raises(ProblemError, match="chmod 600"):
        read_sources(path)


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"prefix": "https://data.example.org"},
        {"prefix": "ftp://data.example.org/"},
        {"prefix": "https://user@data.example.org/"},
        {"prefix": "https://data.example.org/a/../"},
        {"prefix": "file:///"},
        {"prefix": "file://share/"},
        {"prefix": "s3://b/"},
        {"prefix": "s3://b/", "endpoint": "oss.example.org"},
        {"prefix": "https://a.example/", "endpoint": "https://b.example"},
        {"prefix": "s3://b/", "endpoint": "https://b.example", "access_key": "AK"},
        {"prefix": "https://a.example/", "largest": "many"},
        {"prefix": "https://a.example/", "accounts": "acme"},
        {"prefix": "https://a.example/", "tokenfile": "/x"},
        {"prefix": "https://a.example/", "token_file": "/nowhere/x"},
    ],
)
def test_a_source_that_cannot_be_is_refused(entry: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "sources.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps({"sources": [entry]}))
    with pytest.raises(ProblemError, match=r"sources\[0\]"):
        read_sources(path)
