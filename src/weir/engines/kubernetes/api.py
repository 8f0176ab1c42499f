"""The Kubernetes API over plain HTTP: a request, and a watch that streams."""

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from weir.engines.driver import EngineUnreachableError
from weir.engines.kubernetes.credentials import Access

__all__ = ["Api", "ApiError", "Plain", "WatchGoneError", "WatchStream"]

Plain = dict[str, Any]
"""An object of the API, as JSON."""

_TIMEOUT_S = 30.0
_WATCH_S = 60
"""A watch is asked to end after so long; one that is silent for longer is dead."""
_PAGE = 500
_PATCH = "application/merge-patch+json"
_BUSY = (429, 503)
"""The server asks to be asked again, which is done for `_BUSY_S`: it has done nothing."""
_BUSY_S = 10.0
_MAY_PASS = (408, 425, 429, 500, 502, 503, 504)
"""Answers that say nothing about the request, only that the server could not do it now."""
_BROKEN = (OSError, http.client.HTTPException)


class ApiError(Exception):
    """The server refused a request, for good; `reason` is its own word, such as AlreadyExists."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class WatchGoneError(Exception):
    """What a watch asked for is too long ago: list again."""


class Api:
    """An API server. May be used from several threads; each has a connection of its own."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._local = threading.local()
        self._lock = threading.Lock()
        self._open: set[http.client.HTTPConnection] = set()
        self._closed = False

    def get(self, path: str, **query: str | int) -> Plain:
        """Read. Raises ApiError, and EngineUnreachableError where nothing is known."""
        return self._json("GET", path, None, query)

    def find(self, path: str) -> Plain | None:
        """Read one object; None where it definitely does not exist. Raises as `get`."""
        try:
            return self.get(path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def create(self, path: str, body: Mapping[str, Any]) -> Plain:
        """Create. Raises as `get`; after EngineUnreachableError it may exist or not."""
        return self._json("POST", path, body, {})

    def patch(self, path: str, body: Mapping[str, Any]) -> Plain:
        """Merge into an object. Raises as `get`."""
        return self._json("PATCH", path, body, {})

    def delete(self, path: str, propagation: str, unchanged: Plain | None = None) -> bool:
        """Delete, with what it owns; False where there was nothing. Raises as `get`.

        `unchanged` is the object as it was read: where anything of it has changed since, ApiError (409) is raised and
        nothing is deleted.
        """
        body: Plain = {"propagationPolicy": propagation}
        if unchanged is not None:
            meta = unchanged["metadata"]
            body["preconditions"] = {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]}
        try:
            self._json("DELETE", path, body, {})
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return True

    def list(self, path: str, **query: str) -> tuple[list[Plain], str]:
        """Every object that there is, page by page, and the version to watch from. Raises as `get`."""
        for _ in range(3):
            items: list[Plain] = []
            more: dict[str, str | int] = {}
            try:
                while True:
                    page = self.get(path, limit=_PAGE, **query, **more)
                    items += page.get("items") or []
                    meta = page["metadata"]
                    if not meta.get("continue"):
                        return items, str(meta.get("resourceVersion", ""))
                    more = {"continue": meta["continue"]}
            except ApiError as error:
                if error.status != 410:
                    raise  # else the list grew too old while it was read: begin again
        raise EngineUnreachableError("the API server's lists grow old before they are read")

    def text(self, path: str, **query: str | int) -> bytes:
        """The bytes of an answer that is no JSON, such as a log. Raises as `get`."""
        return self._request("GET", path, None, query)

    def watch(self, path: str, version: str, selector: str) -> "WatchStream":
        """Follow what happens after a version. Raises WatchGoneError, and as `get`."""
        query = {
            "watch": "1",
            "resourceVersion": version,
            "labelSelector": selector,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_S),
        }
        connection = self._connection(_WATCH_S + 15.0)
        try:
            connection.request(
                "GET", f"{self._access.path}{path}?{urlencode(query)}", headers=self._headers(None)
            )
            # A response whose connection the server closes at its end takes the socket with it.
            sock = connection.sock
            response = connection.getresponse()
            if response.status == 200:
                return WatchStream(connection, response, sock)
            body = response.read()
        except _BROKEN as error:
            connection.close()
            raise self._unreachable(error) from error
        connection.close()
        problem = _problem(response.status, body)
        if problem.status == 410:
            raise WatchGoneError(str(problem))
        raise problem if problem.status not in _MAY_PASS else EngineUnreachableError(str(problem))

    def close(self) -> None:
        """Let go of the server; from then on every request raises EngineUnreachableError."""
        with self._lock:
            self._closed = True
            for connection in self._open:
                connection.close()
            self._open.clear()

    def _drop(self) -> None:
        """Close this thread's connection."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None
            with self._lock:
                self._open.discard(connection)

    def _own(self) -> http.client.HTTPConnection:
        """A new connection for this thread."""
        with self._lock:
            if self._closed:
                raise EngineUnreachableError("the Kubernetes engine is closed")
            connection = self._local.connection = self._connection(_TIMEOUT_S)
            self._open.add(connection)
            return connection

    def _json(
        self, method: str, path: str, body: Mapping[str, Any] | None, query: Mapping[str, Any]
    ) -> Plain:
        content = self._request(method, path, body, query)
        try:
            found = json.loads(content)
        except ValueError as error:
            raise EngineUnreachableError(f"the API server answers {path} with no JSON") from error
        if not isinstance(found, dict):
            raise EngineUnreachableError(f"the API server answers {path} with no object")
        return found

    def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None, query: Mapping[str, Any]
    ) -> bytes:
        target = f"{self._access.path}{path}" + (f"?{urlencode(query)}" if query else "")
        content = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        headers = self._headers(_PATCH if method == "PATCH" else "application/json")
        until = time.monotonic() + _BUSY_S
        while True:
            connection = getattr(self._local, "connection", None)
            reused = connection is not None
            if connection is None:
                connection = self._own()
            try:
                connection.request(method, target, content, headers)
                response = connection.getresponse()
                answer: bytes = response.read()
            except _BROKEN as error:
                self._drop()
                # A kept connection that was closed meanwhile. Names make every request here repeatable.
                if reused and not isinstance(error, TimeoutError):
                    continue
                raise self._unreachable(error) from error
            if response.will_close:
                self._drop()
            if response.status < 300:
                return answer
            problem = _problem(response.status, answer)
            if response.status in _BUSY and time.monotonic() < until:
                time.sleep(_pause_s(response.getheader("Retry-After")))
                continue
            if response.status in _MAY_PASS:
                raise EngineUnreachableError(f"the API server answers {response.status}: {problem}")
            if response.status == 401:
                raise EngineUnreachableError("the API server does not know the agent's credentials (401)")
            raise problem

    def _headers(self, content_type: str | None) -> dict[str, str]:
        try:
            headers = self._access.headers()
        except OSError as error:
            raise EngineUnreachableError(f"the token cannot be read: {error}") from error
        headers["Accept"] = "application/json"
        if content_type is not None:
            headers["Content-Type"] = content_type
        return headers

    def _connection(self, timeout_s: float) -> http.client.HTTPConnection:
        access = self._access
        if access.tls is None:
            return _Direct(access.host, access.port, timeout=timeout_s)
        return _Secure(access.host, access.port, timeout=timeout_s, context=access.tls)

    def _unreachable(self, error: Exception) -> EngineUnreachableError:
        where = f"{self._access.host}:{self._access.port}"
        return EngineUnreachableError(f"the API server at {where} does not answer: {_said(error)}")


class WatchStream:
    """The lines of one watch. `close` may be called from another thread, and ends it."""

    def __init__(
        self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse, sock: socket.socket
    ) -> None:
        self._connection = connection
        self._response = response
        self._socket = sock

    def events(self) -> Iterator[tuple[str, Plain]]:
        """Kind and object of each event until the server ends the watch. Raises WatchGoneError,
        EngineUnreachableError."""
        try:
            while line := self._response.readline():
                event = json.loads(line)
                kind, plain = event["type"], event["object"]
                if kind == "ERROR":
                    if plain.get("code") == 410:
                        raise WatchGoneError(plain.get("message", ""))
                    raise EngineUnreachableError(f"the watch failed: {plain.get('message', '')}")
                yield kind, plain
        except (*_BROKEN, ValueError, AttributeError) as error:
            # A line that was cut, or a response that was closed under the reader: ask again from where it was.
            raise EngineUnreachableError(f"the watch broke off: {_said(error)}") from error
        finally:
            self._connection.close()

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)


class _Direct(http.client.HTTPConnection):
    def connect(self) -> None:
        super().connect()
        _tune(self.sock)


class _Secure(http.client.HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        _tune(self.sock)


def _tune(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _pause_s(retry_after: str | None) -> float:
    return min(5.0, float(retry_after)) if retry_after and retry_after.isdigit() else 0.5


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


def _problem(status: int, body: bytes) -> ApiError:
    try:
        plain = json.loads(body)
        return ApiError(
            status, str(plain.get("reason", "")), str(plain.get("message") or plain.get("reason"))
        )
    except (ValueError, AttributeError):
        return ApiError(status, "", f"HTTP {status}: {body[:200].decode(errors='replace').strip()}")
