"""Small servers for tests of the transport: one that answers as told, one that is a proxy."""

import json
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int
    """Which connection it came over, counted from 1."""


@dataclass
class Web:
    """What was asked, and what to answer: status, body (JSON, or bytes as they are), headers."""

    answer: Callable[[Request], tuple[int, Any, dict[str, str]]]
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    tunnels: list[tuple[str, str]] = field(default_factory=list)
    """Of the proxy: what was asked for, and the Proxy-Authorization given."""


@contextmanager
def web(
    answer: Callable[[Request], tuple[int, Any, dict[str, str]]], context: ssl.SSLContext | None = None
) -> Iterator[tuple[Web, int]]:
    """A server on loopback until the end of the block, and its port."""
    state = Web(answer)

    class Handler(_Handler):
        web = state

    server = _Server(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    with _serving(server):
        yield state, server.server_address[1]


@contextmanager
def proxy() -> Iterator[tuple[Web, int]]:
    """A proxy that tunnels every CONNECT to loopback, whatever host is named."""
    state = Web(lambda request: (405, {}, {}))

    class Handler(_Handler):
        web = state

        def do_CONNECT(self) -> None:
            self.web.tunnels.append((self.path, self.headers.get("Proxy-Authorization", "")))
            port = int(self.path.rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port), timeout=5) as far:
                self.send_response(200)
                self.end_headers()
                self.wfile.flush()
                _copy(self.connection, far)
            self.close_connection = True

    server = _Server(("127.0.0.1", 0), Handler)
    with _serving(server):
        yield state, server.server_address[1]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is what some tests are about."""


@contextmanager
def _serving(server: _Server) -> Iterator[None]:
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = (
        -1
    )  # head and body in one packet; in two, the second waits for the first's late acknowledgement
    web: Web

    def setup(self) -> None:
        super().setup()
        self.web.connections += 1
        self.number = self.web.connections

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        request = Request(self.command, self.path, dict(self.headers), body, self.number)
        self.web.requests.append(request)
        status, answer, headers = self.web.answer(request)
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_POST(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        self.do_GET()

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 (the name that it has there)
        """Quiet."""


def _copy(one: socket.socket, other: socket.socket) -> None:
    while True:
        ready, _, _ = select.select([one, other], [], [], 5)
        for near in ready:
            data = near.recv(65_536)
            if not data:
                return
            (other if near is one else one).sendall(data)
        if not ready:
            return
