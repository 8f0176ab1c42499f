"""The transport: what goes over the wire, what is refused, what an error says."""

import io
import os
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.unit.agents.web import Request, proxy, web
from weir.agents.transport import (
    Address,
    AnswerError,
    ForbiddenError,
    GoneError,
    HttpTransport,
    ProtocolMismatchError,
    TokenRefusedError,
    TransportError,
    UnreachableError,
    WrongOffsetError,
)
from weir.model.agent import CentreEntry, Pull, PullAnswer, Report, ReportAnswer
from weir.model.codec import to_plain
from weir.model.problem import ProblemError

PULL = Pull(3, 7, "store-1")
ANSWER = PullAnswer("store-1", 8)


OPENED: list[HttpTransport] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


def says(answer: Any, status: int = 200, **headers: str) -> Any:
    return lambda request: (status, answer, headers)


def transport(port: int) -> HttpTransport:
    return at(f"http://127.0.0.1:{port}")


def at(url: str, *, ca_file: str = "", environ: Mapping[str, str] | None = None) -> HttpTransport:
    OPENED.append(HttpTransport(url, token="t0ken", ca_file=ca_file, environ=environ or {}))
    return OPENED[-1]


def test_messages_travel_as_the_protocol_says() -> None:
    def answer(request: Request) -> tuple[int, Any, dict[str, str]]:
        return 200, to_plain(ANSWER if "pull" in request.path else ReportAnswer("store-1", 5)), {}

    with web(answer) as (server, port):
        there = transport(port)
        assert ANSWER == there.pull(PULL, 60_000)
        assert 5 == there.report(Report(3, 5, "store-1", 1)).acknowledged
        there.close()
    first, second = server.requests
    assert ("POST", "/api/v1/agent/pull?wait_ms=25000") == (first.method, first.path)
    assert "Bearer t0ken" == first.headers["Authorization"]
    assert "/api/v1/agent/report" == second.path
    assert 1 == server.connections, "the connection is kept"


def test_a_closed_connection_is_opened_anew() -> None:
    with web(says(to_plain(ANSWER), Connection="close")) as (server, port):
        there = transport(port)
        for _ in range(3):
            there.pull(PULL, 0)
        assert 3 == server.connections
        there.close()


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (401, TokenRefusedError, "join again"),
        (403, ForbiddenError, "that is not yours"),
        (404, GoneError, "that is not yours"),
        (410, GoneError, "that is not yours"),
        (426, ProtocolMismatchError, "update the older of the two"),
        (400, AnswerError, "that is not yours"),
        (429, UnreachableError, "that is not yours"),
        (503, UnreachableError, "that is not yours"),
    ],
)
def test_refusals_have_their_kind_and_say_why(status: int, error: type[TransportError], said: str) -> None:
    with web(says({"title": "that is not yours"}, status)) as (_, port):
        with pytest.raises(TransportError, match=said) as caught:
            transport(port).pull(PULL, 0)
        assert error is type(caught.value)


def test_an_answer_that_is_not_understood_is_said_so() -> None:
    answer = says({"store_incarnation": "x", "revision": 1, "novelty": 1})
    with web(answer) as (_, port), pytest.raises(AnswerError, match=r"novelty.*is the agent older"):
        transport(port).pull(PULL, 0)


def test_another_protocol_is_refused() -> None:
    entry = CentreEntry("hefei", "local", {}, (), "store-1", protocol=9)
    with web(says(to_plain(entry))) as (_, port), pytest.raises(ProtocolMismatchError, match="version 9"):
        transport(port).centre()


def test_nobody_there_is_unreachable() -> None:
    with web(says({})) as (_, port):
        pass
    with pytest.raises(UnreachableError, match="not reachable"):
        transport(port).pull(PULL, 0)


def test_a_waiting_call_can_be_interrupted() -> None:
    wait = threading.Event()

    def answer(request: Request) -> tuple[int, Any, dict[str, str]]:
        wait.wait(20)
        return 200, to_plain(ANSWER), {}

    with web(answer) as (server, port):
        there = transport(port)
        caught: list[BaseException] = []

        def call() -> None:
            try:
                there.pull(PULL, 25_000)
            except UnreachableError as error:
                caught.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        while not server.requests:
            time.sleep(0.01)
        there.interrupt()
        thread.join(10)
        wait.set()
        assert not thread.is_alive()
        assert 1 == len(caught)
        assert ANSWER == there.pull(PULL, 0), "and goes on afterwards"
        there.close()


def test_blobs_go_on_where_they_broke_off() -> None:
    def answer(request: Request) -> tuple[int, Any, dict[str, str]]:
        if request.method == "HEAD":
            return 404, b"", {"X-Weir-Offset": "4"}
        if request.method == "PUT":
            return (200, {}, {}) if request.path.endswith("offset=4&size=10") else (409, {"offset": 4}, {})
        return 206, b"456789", {}

    with web(answer) as (server, port):
        there = transport(port)
        into = io.BytesIO()
        assert 6 == there.get_blob("ab", into, 4)
        assert "bytes=4-" == server.requests[-1].headers["Range"]
        assert 4 == there.blob_offset("ab")
        there.put_blob("ab", io.BytesIO(b"0123456789"), 4, 10)
        assert b"456789" == server.requests[-1].body
        with pytest.raises(WrongOffsetError) as caught:
            there.put_blob("ab", io.BytesIO(b"0123456789"), 0, 10)
        assert 4 == caught.value.offset
        there.close()


def test_a_server_that_ignores_the_range_gives_the_rest_all_the_same() -> None:
    with web(says(b"0123456789")) as (_, port):
        into = io.BytesIO()
        there = transport(port)
        assert 6 == there.get_blob("ab", into, 4)
        assert b"456789" == into.getvalue()
        there.close()


@pytest.mark.parametrize(
    "url",
    [
        "http://weir.example.org",
        "http://10.0.0.1:80",
        "ftp://localhost",
        "https://",
        "weir.example.org",
        "https://h:p/",
    ],
)
def test_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(ProblemError, match="url"):
        Address.parse(url)


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(ProblemError) as caught:
        Address.parse("https://me:s3cret@weir.example.org")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:80", "http://127.9.9.9", "http://[::1]:8080/x/", "http://localhost"]
)
def test_plain_http_goes_to_this_machine_alone(url: str) -> None:
    assert "http" == Address.parse(url).scheme


def test_a_bad_ca_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(ProblemError, match="ca_file"):
        HttpTransport("https://weir.example.org", ca_file=str(tmp_path / "ca.pem"), environ={})


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ca.pem, and server.pem (with its key) for weir.example.org and 127.0.0.1 signed by it."""
    folder = tmp_path_factory.mktemp("authority")
    openssl = shutil.which("openssl")
    if openssl is None and "CI" not in os.environ:
        pytest.skip("the openssl program makes the certificates; it is not here")
    assert openssl, "CI must have the openssl program"
    (folder / "names").write_text("subjectAltName=DNS:weir.example.org,IP:127.0.0.1\n")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"]
    for command in (
        ["req", "-x509", *key, "-days", "2", "-subj", "/CN=Test CA", "-keyout", "ca.key", "-out", "ca.pem"],
        ["req", *key, "-subj", "/CN=weir", "-keyout", "server.key", "-out", "server.csr"],
        [
            "x509",
            "-req",
            "-in",
            "server.csr",
            *signed,
            "-days",
            "2",
            "-extfile",
            "names",
            "-out",
            "server.crt",
        ],
    ):
        subprocess.run([openssl, *command], cwd=folder, check=True, capture_output=True, timeout=60)
    (folder / "server.pem").write_text(
        (folder / "server.crt").read_text() + (folder / "server.key").read_text()
    )
    return folder


@pytest.fixture
def context(authority: Path) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(authority / "server.pem")
    return made


def test_https_is_verified_against_the_ca_file(authority: Path, context: ssl.SSLContext) -> None:
    ca_file = str(authority / "ca.pem")
    with web(says(to_plain(ANSWER)), context) as (_, port):
        assert ANSWER == at(f"https://127.0.0.1:{port}", ca_file=ca_file).pull(PULL, 0)
        with pytest.raises(UnreachableError, match=r"not trusted.*ca_file"):
            at(f"https://127.0.0.1:{port}").pull(PULL, 0)
        with pytest.raises(
            UnreachableError, match="not trusted"
        ):  # a name that the certificate does not have
            at(f"https://localhost:{port}", ca_file=ca_file).pull(PULL, 0)


def test_the_proxy_of_the_environment_is_used_and_tls_goes_through_it(
    authority: Path, context: ssl.SSLContext
) -> None:
    with web(says(to_plain(ANSWER)), context) as (server, port), proxy() as (between, proxy_port):
        environ = {"HTTPS_PROXY": f"http://me:p%40ss@127.0.0.1:{proxy_port}", "NO_PROXY": "other.example.org"}
        there = at(f"https://weir.example.org:{port}", ca_file=str(authority / "ca.pem"), environ=environ)
        assert ANSWER == there.pull(PULL, 0)
        assert ANSWER == there.pull(PULL, 0)
        there.close()
    assert [(f"weir.example.org:{port}", "Basic bWU6cEBzcw==")] == between.tunnels
    assert [1, 1] == [request.connection for request in server.requests]
    assert "Proxy-Authorization" not in server.requests[0].headers


@pytest.mark.parametrize(
    "exempt",
    ["*", "weir.example.org", ".example.org", "example.org", "a, *.example.org", "weir.example.org:8443"],
)
def test_no_proxy_exempts_hosts(exempt: str) -> None:
    environ = {"https_proxy": "http://127.0.0.1:9", "no_proxy": exempt}
    assert HttpTransport("https://weir.example.org:8443", environ=environ)._proxy is None


@pytest.mark.parametrize(
    "exempt", ["", "weir.example.com", "r.example.org", "weir.example.org:443", "10.0.0.0/8"]
)
def test_no_proxy_exempts_nothing_else(exempt: str) -> None:
    environ = {"https_proxy": "http://127.0.0.1:9", "no_proxy": exempt}
    assert HttpTransport("https://weir.example.org:8443", environ=environ)._proxy is not None


def test_no_proxy_knows_networks() -> None:
    environ = {"https_proxy": "127.0.0.1:9", "no_proxy": "10.1.0.0/16"}
    assert HttpTransport("https://10.1.2.3", environ=environ)._proxy is None
    assert HttpTransport("https://10.2.2.3", environ=environ)._proxy is not None


@pytest.mark.parametrize("url", ["socks5://p:1080", "http://p", "https://p:3128", "http://p:x"])
def test_a_proxy_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(ProblemError, match="HTTPS_PROXY"):
        HttpTransport("https://weir.example.org", environ={"HTTPS_PROXY": url})
