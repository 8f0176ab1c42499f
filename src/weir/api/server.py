"""Running the application: one uvicorn server on a socket that is already listening."""

import contextlib
import importlib.util
import resource
import socket
import threading
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from weir.api.waiting import News

BACKLOG = 4_096
OPEN_FILES = 65_536
"""Agents, viewers and followers hold a connection each."""
GRACE_S = 1
"""Requests that are being answered when the server stops get so long."""


class Server(uvicorn.Server):
    """A server that lets those go who wait for news, when it stops."""

    def __init__(self, config: uvicorn.Config, news: News) -> None:
        super().__init__(config)
        self._news = news
        self.ready = threading.Event()
        """Set once it answers, or will not."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then answer."""
        try:
            await super().startup(sockets)
        finally:
            self.ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, answer what waits, and finish what is being answered."""
        self._news.close_soon()
        await super().shutdown(sockets)


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 takes a free one. Raises OSError, as when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def make_server(
    app: FastAPI, *, certificate: Path | None = None, key: Path | None = None, trusted_proxies: str = ""
) -> Server:
    """A server for the application, that is not running yet.

    `trusted_proxies`: addresses (with commas) whose X-Forwarded-For is believed; nobody's by default, since
    the audit log says where requests came from. `certificate` and `key` are PEM files, for https.
    """
    config = uvicorn.Config(
        app,
        loop="uvloop" if importlib.util.find_spec("uvloop") else "asyncio",
        http="httptools" if importlib.util.find_spec("httptools") else "h11",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=trusted_proxies or None,
        backlog=BACKLOG,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=GRACE_S,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    return Server(config, app.state.news)


def run_server(
    app: FastAPI,
    listening: socket.socket,
    *,
    certificate: Path | None = None,
    key: Path | None = None,
    trusted_proxies: str = "",
) -> None:
    """Serve until SIGINT or SIGTERM; in the main thread of a process."""
    raise_open_files_limit()
    make_server(app, certificate=certificate, key=key, trusted_proxies=trusted_proxies).run(
        sockets=[listening]
    )


def raise_open_files_limit(wanted: int = OPEN_FILES) -> int:
    """Let this process hold so many connections and files open, as far as the system lets it; how many it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        return allowed
    return soft


class ServerThread:
    """A server in a thread of its own, as a context: it answers inside the `with`, and is gone after it."""

    def __init__(
        self,
        app: FastAPI,
        listening: socket.socket,
        *,
        certificate: Path | None = None,
        key: Path | None = None,
    ) -> None:
        self._server = make_server(app, certificate=certificate, key=key)
        self._listening = listening
        self._thread = threading.Thread(target=self._run, name="weir-api", daemon=True)
        host, port = listening.getsockname()[:2]
        scheme = "http" if certificate is None else "https"
        self.url = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    def start(self) -> None:
        """Begin to answer. Raises RuntimeError when the application does not start."""
        self._thread.start()
        self._server.ready.wait()
        if not self._server.started:
            raise RuntimeError("the API did not start; its log says why")

    def stop(self) -> None:
        """Stop answering, and wait until it has."""
        self._server.should_exit = True
        self._thread.join()

    def __enter__(self) -> "ServerThread":
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            with contextlib.suppress(SystemExit):
                self._server.run(sockets=[self._listening])
        finally:
            self._server.ready.set()


__all__ = ["Server", "ServerThread", "listening_socket", "make_server", "run_server"]
