"""How an agent speaks to the server: the port `Transport`, what can go wrong, and HTTPS over it.

One object is one conversation with one kept-alive connection; it is used by one thread at a time. Only
`interrupt` may be called from another one.
"""

import base64
import contextlib
import http.client
import ipaddress
import json
import socket
import ssl
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol, TypeVar

from weir.model.agent import (
    LONG_POLL_MS,
    PROTOCOL_VERSION,
    CentreEntry,
    Pull,
    PullAnswer,
    Report,
    ReportAnswer,
)
from weir.model.codec import CodecError, from_plain, to_plain
from weir.model.problem import refused

T = TypeVar("T")

CONNECT_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 30.0
_LARGEST_ANSWER = 256 << 20
_PIECE = 1 << 16


class TransportError(Exception):
    """The server did not do what was asked; the message says why. Trying again later may help."""


class UnreachableError(TransportError):
    """No answer, or one that says that the server cannot answer now. The request may have taken effect."""


class TokenRefusedError(TransportError):
    """The server does not accept this agent's token (401). A new invite and join are needed."""


class ForbiddenError(TransportError):
    """The token is good, and not for this (403): such as a blob that is not an input here."""


class GoneError(TransportError):
    """What is asked for is not there any more (404, 410)."""


class ProtocolMismatchError(TransportError):
    """Server and agent speak no common version of the protocol (426). One of them must be updated."""


class AnswerError(TransportError):
    """The server refused the request, or its answer is not understood."""


class WrongOffsetError(TransportError):
    """The server holds another number of bytes than the sender thought; `offset` says how many."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Joined:
    """What the exchange of a one-time code gives."""

    token: str
    centre: str


class Transport(Protocol):
    """The agent's conversation with the server. Every call may raise TransportError, and may be repeated."""

    def join(self, code: str) -> Joined:
        """Exchange a one-time code for a token; it works once."""
        ...

    def centre(self) -> CentreEntry:
        """The entry of this agent's own centre."""
        ...

    def pull(self, pull: Pull, wait_ms: int) -> PullAnswer:
        """What is desired; waits up to `wait_ms` for news."""
        ...

    def report(self, report: Report) -> ReportAnswer:
        """Tell what is observed."""
        ...

    def get_blob(self, digest: str, into: BinaryIO, offset: int) -> int:
        """Append the content from `offset` on to `into`; the number of bytes written."""
        ...

    def blob_offset(self, digest: str) -> int | None:
        """From where on a blob is still to be sent; None when the server has it whole."""
        ...

    def put_blob(self, digest: str, source: BinaryIO, offset: int, size_bytes: int) -> None:
        """Send a blob from `offset` on; on return the server holds it whole, checked against its digest."""
        ...

    def put_log(self, attempt: str, task: int, stream: str, offset: int, data: bytes) -> int:
        """Send a piece of a log; how many bytes of it the server holds then."""
        ...

    def interrupt(self) -> None:
        """Make a call that waits in another thread fail soon with UnreachableError."""
        ...


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server is, as a checked base URL."""

    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, url: str) -> "Address":
        """From `https://host[:port][/path]`; plain http only to loopback. Raises ProblemError."""
        parts = urllib.parse.urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            raise refused("url", url, "an address such as https://weir.example.org") from None
        if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment:
            raise refused("url", url, "an address such as https://weir.example.org")
        if parts.username is not None or parts.password is not None:
            raise refused(
                "url", f"{parts.scheme}://…@{parts.hostname}", "an address without a name or password in it"
            )
        if parts.scheme == "http" and not is_loopback(parts.hostname):
            raise refused(
                "url",
                url,
                "https; plain http is accepted to this machine itself (127.0.0.1, ::1, localhost) alone",
            )
        default = 443 if parts.scheme == "https" else 80
        return cls(parts.scheme, parts.hostname, port or default, parts.path.rstrip("/"))


def is_loopback(host: str) -> bool:
    """Whether a host's name or address means this machine itself."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def tls_context(ca_file: str = "") -> ssl.SSLContext:
    """A context that verifies the server's certificate and name. Raises ProblemError for a bad `ca_file`."""
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise refused("ca_file", ca_file, f"a PEM file with certificates ({error})") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class HttpTransport:
    """`Transport` over HTTP/1.1 with one kept-alive connection. `environ` is where proxies are named.

    Raises ProblemError at once for an address, proxy or CA file that cannot be used.
    """

    def __init__(self, url: str, *, token: str = "", ca_file: str = "", environ: Mapping[str, str]) -> None:
        self._address = Address.parse(url)
        self._token = token
        self._proxy = _proxy_for(self._address, environ)
        self._context = tls_context(ca_file) if self._address.scheme == "https" else None
        self._connection: http.client.HTTPConnection | None = None
        self._interrupted = False

    def join(self, code: str) -> Joined:
        return self._call(Joined, "POST", "/api/v1/agent/join", {"code": code})

    def centre(self) -> CentreEntry:
        entry = self._call(CentreEntry, "GET", "/api/v1/agent/centre")
        if entry.protocol != PROTOCOL_VERSION:
            raise ProtocolMismatchError(_mismatch(f"the server speaks version {entry.protocol}"))
        return entry

    def pull(self, pull: Pull, wait_ms: int) -> PullAnswer:
        wait_ms = min(wait_ms, LONG_POLL_MS)
        path = f"/api/v1/agent/pull?wait_ms={wait_ms}"
        return self._call(
            PullAnswer, "POST", path, to_plain(pull), timeout_s=wait_ms / 1_000 + CONNECT_TIMEOUT_S
        )

    def report(self, report: Report) -> ReportAnswer:
        return self._call(ReportAnswer, "POST", "/api/v1/agent/report", to_plain(report))

    def get_blob(self, digest: str, into: BinaryIO, offset: int) -> int:
        headers = {"Range": f"bytes={offset}-"} if offset else {}

        def copy(response: http.client.HTTPResponse) -> int:
            skip = offset if offset and response.status == 200 else 0
            written = 0
            while piece := response.read(_PIECE):
                if skip:
                    skip, piece = max(0, skip - len(piece)), piece[skip:]
                written += into.write(piece)
            return written

        return self._request("GET", f"/api/v1/agent/blobs/{digest}", None, headers, copy)

    def blob_offset(self, digest: str) -> int | None:
        def held(response: http.client.HTTPResponse) -> int | None:
            response.read()
            held_bytes = response.headers.get("X-Weir-Offset", "0")
            return None if response.status == 200 else int(held_bytes) if held_bytes.isdigit() else 0

        return self._request("HEAD", f"/api/v1/agent/blobs/{digest}", None, {}, held, accepted=(200, 404))

    def put_blob(self, digest: str, source: BinaryIO, offset: int, size_bytes: int) -> None:
        source.seek(offset)
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size_bytes - offset)}
        path = f"/api/v1/agent/blobs/{digest}?offset={offset}&size={size_bytes}"
        self._request("PUT", path, source, headers, lambda response: response.read(_PIECE))

    def put_log(self, attempt: str, task: int, stream: str, offset: int, data: bytes) -> int:
        path = f"/api/v1/agent/logs/{urllib.parse.quote(attempt, safe='')}/{task}/{stream}?offset={offset}"
        headers = {"Content-Type": "application/octet-stream"}

        def held(response: http.client.HTTPResponse) -> int:
            answer = _json(response.read(_PIECE))
            size = answer.get("offset") if isinstance(answer, dict) else None
            return size if isinstance(size, int) else offset + len(data)

        return self._request("PUT", path, data, headers, held)

    def interrupt(self) -> None:
        self._interrupted = True
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with contextlib.suppress(OSError):  # it was closed meanwhile, which is what is wanted
                connection.sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection; the next call opens a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _call(
        self, declared: type[T], method: str, path: str, body: Any = None, timeout_s: float = ANSWER_TIMEOUT_S
    ) -> T:
        data = None if body is None else json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
        headers = {"Accept": "application/json"} | ({"Content-Type": "application/json"} if data else {})

        def read(response: http.client.HTTPResponse) -> T:
            content = response.read(_LARGEST_ANSWER + 1)
            if len(content) > _LARGEST_ANSWER:
                raise AnswerError(f"{method} {path}: the answer is larger than {_LARGEST_ANSWER} bytes")
            try:
                return from_plain(declared, json.loads(content))
            except (CodecError, ValueError) as error:
                advice = "is the agent older than the server?"
                raise AnswerError(
                    f"{method} {path}: the answer is not understood ({error}); {advice}"
                ) from None

        return self._request(method, path, data, headers, read, timeout_s=timeout_s)

    def _request(
        self,
        method: str,
        path: str,
        body: bytes | BinaryIO | None,
        headers: Mapping[str, str],
        take: Callable[[http.client.HTTPResponse], T],
        *,
        accepted: tuple[int, ...] = (200, 201, 204, 206),
        timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> T:
        whole = {"Weir-Protocol": str(PROTOCOL_VERSION), "User-Agent": "weir-agent", **headers}
        if self._token:
            whole["Authorization"] = f"Bearer {self._token}"
        self._interrupted = False
        where = f"{self._address.scheme}://{self._address.host}:{self._address.port}"
        try:
            response = self._send(method, self._address.path + path, body, whole, timeout_s)
            if response.status in accepted:
                value = take(response)
                self._finish(response)
                return value
            problem = response.read(_PIECE) if method != "HEAD" else b""
        except TransportError:
            self.close()
            raise
        except ssl.SSLCertVerificationError as error:
            self.close()
            raise UnreachableError(
                f"{where}: its certificate is not trusted: {error.verify_message}; see ca_file"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise UnreachableError(f"{where} is not reachable: {type(error).__name__}: {error}") from error
        # The rest of a refusal, and of the body that it answers, is of no use.
        self.close()
        raise _refusal(response, method, path, problem)

    def _send(
        self,
        method: str,
        path: str,
        body: bytes | BinaryIO | None,
        headers: Mapping[str, str],
        timeout_s: float,
    ) -> http.client.HTTPResponse:
        """Send on the kept connection; on a new one where the server has closed that meanwhile."""
        if self._connection is not None:
            start = body.tell() if body is not None and not isinstance(body, bytes) else 0
            try:
                return self._exchange(self._connection, method, path, body, headers, timeout_s)
            except (http.client.RemoteDisconnected, ConnectionError):
                self.close()
                if self._interrupted:
                    raise
                if body is not None and not isinstance(body, bytes):
                    body.seek(start)
        if self._interrupted:
            raise UnreachableError("the agent is stopping")
        self._connection = self._connect()
        return self._exchange(self._connection, method, path, body, headers, timeout_s)

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes | BinaryIO | None,
        headers: Mapping[str, str],
        timeout_s: float,
    ) -> http.client.HTTPResponse:
        if connection.sock is None:
            connection.connect()
        connection.sock.settimeout(timeout_s)
        try:
            connection.request(method, path, body=body, headers=dict(headers))
        except (BrokenPipeError, ConnectionResetError) as error:
            # A server that refuses a large body says why before it has read all of it.
            try:
                return connection.getresponse()
            except (OSError, http.client.HTTPException):
                raise error from None
        return connection.getresponse()

    def _connect(self) -> http.client.HTTPConnection:
        address = self._address
        if self._context is None:
            return http.client.HTTPConnection(address.host, address.port, timeout=CONNECT_TIMEOUT_S)
        if self._proxy is None:
            return http.client.HTTPSConnection(
                address.host, address.port, timeout=CONNECT_TIMEOUT_S, context=self._context
            )
        connection = http.client.HTTPSConnection(
            self._proxy.host, self._proxy.port, timeout=CONNECT_TIMEOUT_S, context=self._context
        )
        connection.set_tunnel(address.host, address.port, headers=self._proxy.headers)
        return connection

    def _finish(self, response: http.client.HTTPResponse) -> None:
        if response.will_close or not response.isclosed():
            self.close()


@dataclass(frozen=True, slots=True)
class _Proxy:
    host: str
    port: int
    headers: dict[str, str]


def _proxy_for(address: Address, environ: Mapping[str, str]) -> _Proxy | None:
    """The proxy that the environment names for an address. Raises ProblemError for an unusable one."""
    if address.scheme != "https":
        return None  # loopback
    url = environ.get("https_proxy") or environ.get("HTTPS_PROXY") or ""
    exempt = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if not url or is_loopback(address.host) or _exempt(address, exempt):
        return None
    parts = urllib.parse.urlsplit(url if "://" in url else f"http://{url}")
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme != "http" or not parts.hostname or port is None:
        shown = f"{parts.scheme}://{parts.hostname}"
        raise refused("HTTPS_PROXY", shown, "a proxy such as http://proxy.example.org:3128")
    headers = {}
    if parts.username is not None:
        pair = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    return _Proxy(parts.hostname, port, headers)


def _exempt(address: Address, exempt: str) -> bool:
    """Whether NO_PROXY names the address: `*`, a host, a domain, any of them with a port, or an IP network."""
    host = address.host.lower()
    for entry in filter(None, (part.strip().lower() for part in exempt.split(","))):
        if entry == "*":
            return True
        name, colon, port = entry.rpartition(":")
        has_port = bool(colon) and port.isdigit() and (":" not in name or name.endswith("]"))
        bare = (name if has_port else entry).strip("[]").removeprefix("*").removeprefix(".")
        same = host == bare or host.endswith("." + bare) or _within(host, bare)
        if same and (not has_port or int(port) == address.port):
            return True
    return False


def _within(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _refusal(response: http.client.HTTPResponse, method: str, path: str, body: bytes) -> TransportError:
    status = response.status
    problem = _json(body)
    title = problem.get("title") if isinstance(problem, dict) else None
    said = str(title) if title else f"{status} {response.reason}"
    message = f"{method} {path.partition('?')[0]}: {said}"
    if status == 401:
        return TokenRefusedError(
            f"{message}; this agent's token is not accepted: ask for an invite and join again"
        )
    if status == 403:
        return ForbiddenError(message)
    if status in (404, 410):
        return GoneError(message)
    if status == 426:
        return ProtocolMismatchError(_mismatch(said))
    held = problem.get("offset") if isinstance(problem, dict) else None
    if status in (409, 416) and isinstance(held, int):
        return WrongOffsetError(message, held)
    if status in (408, 425, 429) or status >= 500:
        return UnreachableError(message)
    return AnswerError(message)


def _mismatch(said: str) -> str:
    return (
        f"{said}, this agent speaks version {PROTOCOL_VERSION}; update the older of the two "
        "(a server speaks its own version and the one before)"
    )


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


__all__ = [
    "Address",
    "AnswerError",
    "ForbiddenError",
    "GoneError",
    "HttpTransport",
    "Joined",
    "ProtocolMismatchError",
    "TokenRefusedError",
    "Transport",
    "TransportError",
    "UnreachableError",
    "WrongOffsetError",
    "is_loopback",
    "tls_context",
]
