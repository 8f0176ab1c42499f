"""Ray's dashboard over HTTP, by the standard library: every call answers, or raises EngineUnreachableError."""

import contextlib
import http.client
import json
import ssl
import threading
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from weir.engines.driver import EngineUnreachableError
from weir.engines.ray.forms import RayJob, RayNode, already_exists, read_jobs, read_nodes, read_usage

__all__ = ["RayApi"]

T = TypeVar("T")
_TIMEOUT_S = 10.0
_CONNECTIONS = 8
_LARGEST_ANSWER = 256 << 20


class RayApi:
    """One cluster. Its methods may be called from several threads."""

    def __init__(self, address: str, token_file: str = "") -> None:
        parts = urllib.parse.urlsplit(address)
        self._host, self._port, self._root = parts.hostname or "", parts.port, parts.path.rstrip("/")
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._token_file = token_file
        self._lock = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []

    def jobs(self) -> list[RayJob]:
        """Every job that the cluster knows."""
        return self._read("/api/jobs/", read_jobs)

    def nodes(self) -> list[RayNode]:
        """The nodes in service."""
        return self._read("/api/v0/nodes?detail=1&limit=10000", read_nodes)

    def usage(self) -> dict[str, dict[str, float]]:
        """What is used of each node."""
        return self._read("/api/cluster_status", read_usage)

    def submit(self, body: dict[str, Any]) -> str:
        """Submit a job; empty when Ray has it, now or since long ago; else why it never takes it."""
        status, text = self._call("POST", "/api/jobs/", body)
        if status == 200 or already_exists(status, text):
            return ""
        if status in (400, 413, 422):
            return f"Ray refuses it: {_last_line(text)}"
        raise EngineUnreachableError(f"Ray answers a submission with {status}: {_last_line(text)}")

    def stop(self, identity: str) -> None:
        """Ask Ray to stop a job. True of a job that waits: it waits on, and is stopped when it starts."""
        self._call("POST", f"/api/jobs/{urllib.parse.quote(identity)}/stop", None)

    def delete(self, identity: str) -> bool:
        """Drop a job that has ended; whether it is gone. Ray refuses to drop others."""
        status, _ = self._call("DELETE", f"/api/jobs/{urllib.parse.quote(identity)}", None)
        return status in (200, 404)

    def close(self) -> None:
        with self._lock:
            for connection in self._idle:
                connection.close()
            self._idle.clear()

    def _read(self, path: str, parse: Callable[[Any], T]) -> T:
        status, text = self._call("GET", path, None)
        if status != 200:
            raise EngineUnreachableError(f"Ray answers {path} with {status}: {_last_line(text)}")
        try:
            return parse(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise EngineUnreachableError(f"Ray's answer to {path} is not understood: {error!r}") from error

    def _call(self, method: str, path: str, body: dict[str, Any] | None) -> tuple[int, str]:
        """One request. It may be sent twice: each of them may be repeated."""
        content = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **self._authorization()}
        while True:
            connection, used = self._taken()
            try:
                connection.request(method, f"{self._root}{path}", content, headers)
                answer = connection.getresponse()
                text = answer.read(_LARGEST_ANSWER).decode("utf-8", "replace")
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if used:  # an idle connection may have been closed by the other side meanwhile
                    continue
                raise EngineUnreachableError(f"Ray's dashboard does not answer: {error}") from error
            self._give_back(connection)
            if answer.status in (401, 403):
                raise EngineUnreachableError(f"Ray's dashboard does not accept the token ({answer.status})")
            return answer.status, text

    def _authorization(self) -> dict[str, str]:
        if not self._token_file:
            return {}
        try:
            token = Path(self._token_file).read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            raise EngineUnreachableError(f"the token for Ray cannot be read: {error}") from error
        return {"Authorization": f"Bearer {token}"}

    def _taken(self) -> tuple[http.client.HTTPConnection, bool]:
        with self._lock:
            if self._idle:
                return self._idle.pop(), True
        if self._tls is not None:
            tls = self._tls
            return http.client.HTTPSConnection(self._host, self._port, timeout=_TIMEOUT_S, context=tls), False
        return http.client.HTTPConnection(self._host, self._port, timeout=_TIMEOUT_S), False

    def _give_back(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if len(self._idle) < _CONNECTIONS and connection.sock is not None:
                self._idle.append(connection)
                return
        with contextlib.suppress(OSError):
            connection.close()


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip(" .")]
    return lines[-1][:300] if lines else "nothing"
