"""The fake API server over HTTP: the few paths that Weir uses, with the answers that were recorded."""

import base64
import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from weir.engines.kubernetes.fake.admission import admitted
from weir.engines.kubernetes.fake.objects import GoneError, ObjectStore, Plain, RefusedError, details
from weir.engines.kubernetes.parsing import time_ms

__all__ = ["ApiServer", "Cluster"]

_PATH = re.compile(
    r"/(?:api/v1|apis/batch/v1)(?:/namespaces/([^/]+))?/(jobs|pods|nodes|services|events)(?:/([^/]+))?(/log)?"
)
_LISTS = {"jobs": ("JobList", "batch/v1"), "pods": ("PodList", "v1"), "nodes": ("NodeList", "v1")}
_KINDS = {
    "jobs": ("Job", "batch/v1"),
    "pods": ("Pod", "v1"),
    "nodes": ("Node", "v1"),
    "services": ("Service", "v1"),
}


class Cluster(Protocol):
    """What the API server asks of the rest of the cluster."""

    objects: ObjectStore
    token: str
    forbidden: set[tuple[str, str]]
    """Pairs of verb and kind that the token may not do; `list all` is listing those of every namespace."""

    def delete(self, kind: str, namespace: str, name: str, propagation: str) -> Plain: ...

    def log(self, namespace: str, name: str, since_ns: int, timestamps: bool) -> bytes: ...

    def has_namespace(self, name: str) -> bool: ...


class ApiServer:
    """Listens on this machine, on a port of its own choosing that it keeps."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.away = False
        """Every connection is cut, as when the server is down."""
        self.lose_replies = False
        """What changes something is done, and never answered."""
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        server = self

        class Handler(_Handler):
            api = server

        class Server(ThreadingHTTPServer):
            daemon_threads = False  # so that closing waits for them
            request_queue_size = 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Connections are cut on purpose here."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True, name="fake API server"
        ).start()

    def cut(self) -> None:
        """Cut every connection that is open now."""
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.away = True
        self._server.shutdown()
        self.cut()
        with self.cluster.objects.lock:
            self.cluster.objects.lock.notify_all()
        self._server.server_close()

    def opened(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.add(connection)

    def ended(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.discard(connection)


class _Handler(BaseHTTPRequestHandler):
    api: ApiServer
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.api.opened(self.connection)

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()
        self.api.ended(self.connection)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (named so by the standard library)
        """Nothing: a test has no use for it."""

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def do_PATCH(self) -> None:
        self._answer(self._patch)

    def do_DELETE(self) -> None:
        self._answer(self._delete)

    def _answer(self, work: Callable[[Plain], tuple[int, bytes] | None]) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        content = self.rfile.read(length) if length else b""
        if self.api.away:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        try:
            self._authorise()
            answer = work(json.loads(content) if content else {})
        except RefusedError as refusal:
            answer = refusal.code, json.dumps(refusal.status).encode()
        if answer is None:
            return
        if self.api.lose_replies and self.command != "GET":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        status, body = answer
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def _authorise(self) -> None:
        if self.headers.get("Authorization") != f"Bearer {self.api.cluster.token}":
            raise RefusedError(401, "Unauthorized", "Unauthorized")

    def _target(self, verb: str) -> tuple[str, str, str, str]:
        match = _PATH.fullmatch(urlsplit(self.path).path)
        if match is None:
            raise RefusedError(404, "NotFound", "the server could not find the requested resource")
        namespace, kind, name, sub = match[1] or "", match[2], match[3] or "", match[4] or ""
        if kind != "nodes" and not namespace:
            verb = f"{verb} all"
        if (verb, kind) in self.api.cluster.forbidden:
            message = f'{kind} is forbidden: User "weir" cannot {verb} resource "{kind}"'
            raise RefusedError(403, "Forbidden", message, details(kind, name))
        return namespace, kind, name, sub

    def _query(self) -> Mapping[str, str]:
        return {name: values[-1] for name, values in parse_qs(urlsplit(self.path).query).items()}

    def _get(self, body: Plain) -> tuple[int, bytes] | None:
        if urlsplit(self.path).path == "/version":
            return 200, json.dumps({"major": "1", "minor": "36", "gitVersion": "v1.36.2"}).encode()
        query = self._query()
        verb = "watch" if query.get("watch") else "list"
        namespace, kind, name, sub = self._target(verb)
        objects = self.api.cluster.objects
        if sub:
            since = time_ms(query.get("sinceTime"))
            log = self.api.cluster.log(
                namespace, name, (since or 0) * 1_000_000, query.get("timestamps") == "true"
            )
            return 200, log
        if name:
            return 200, json.dumps(_typed(kind, objects.get(kind, namespace, name))).encode()
        if verb == "watch":
            self._watch(kind, namespace, query)
            return None
        return 200, self._list(kind, namespace, query)

    def _list(self, kind: str, namespace: str, query: Mapping[str, str]) -> bytes:
        objects = self.api.cluster.objects
        exact = int(query.get("resourceVersion") or 0)
        if exact > objects.version and query.get("resourceVersionMatch") == "Exact":
            message = f"Timeout: Too large resource version: {exact}, current: {objects.version}"
            causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
            raise RefusedError(504, "Timeout", message, {"causes": causes, "retryAfterSeconds": 1})
        with objects.lock:
            found = objects.list(kind, namespace, query.get("labelSelector", ""))
            version = objects.version
        limit = int(query.get("limit") or 0)
        begin = 0
        if query.get("continue"):
            begin, version = json.loads(base64.b64decode(query["continue"]))
        rest = len(found) - begin - limit
        more = {}
        if limit and rest > 0:
            token = base64.b64encode(json.dumps([begin + limit, version]).encode()).decode()
            more = {"continue": token, "remainingItemCount": rest}
        name, api_version = _LISTS.get(kind, ("List", "v1"))
        return json.dumps(
            {
                "kind": name,
                "apiVersion": api_version,
                "metadata": {"resourceVersion": str(version), **more},
                "items": found[begin : begin + limit] if limit else found,
            }
        ).encode()

    def _watch(self, kind: str, namespace: str, query: Mapping[str, str]) -> None:
        objects, place = self.api.cluster.objects, int(query.get("resourceVersion") or 0)
        selector = query.get("labelSelector", "")
        until = time.monotonic() + float(query.get("timeoutSeconds") or 1_800)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        while time.monotonic() < until and not self.api.away:
            try:
                with objects.lock:
                    newest = objects.version
                    events = list(objects.events(kind, namespace, selector, place))
                    if not events and newest == place:
                        objects.lock.wait(min(1.0, max(0.0, until - time.monotonic())))
                        continue
            except GoneError:
                gone = RefusedError(410, "Expired", f"too old resource version: {place}")
                self._chunk(json.dumps({"type": "ERROR", "object": gone.status}).encode() + b"\n")
                break
            place = newest
            if events:
                self._chunk(b"".join(line for _, line in events))
        if query.get("allowWatchBookmarks") and not self.api.away:
            shown = {"kind": _KINDS[kind][0], "metadata": {"resourceVersion": str(place)}}
            self._chunk(json.dumps({"type": "BOOKMARK", "object": shown}).encode() + b"\n")
        self._chunk(b"")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def _post(self, body: Plain) -> tuple[int, bytes]:
        namespace, kind, _, _ = self._target("create")
        if namespace and not self.api.cluster.has_namespace(namespace):
            message = f'namespaces "{namespace}" not found'
            raise RefusedError(404, "NotFound", message, details("namespaces", namespace))
        made = self.api.cluster.objects.create(kind, namespace, admitted(kind, body))
        return 201, json.dumps(_typed(kind, made)).encode()

    def _patch(self, body: Plain) -> tuple[int, bytes]:
        namespace, kind, name, _ = self._target("patch")
        objects = self.api.cluster.objects
        objects.get(kind, namespace, name)
        changed = objects.update(
            kind, namespace, name, lambda plain: _merge(plain, body), spec="spec" in body
        )
        return 200, json.dumps(_typed(kind, changed or {})).encode()

    def _delete(self, body: Plain) -> tuple[int, bytes]:
        namespace, kind, name, _ = self._target("delete")
        objects = self.api.cluster.objects
        with objects.lock:
            meta = objects.get(kind, namespace, name)["metadata"]
            for field, wanted in (body.get("preconditions") or {}).items():
                if meta[field] != wanted:
                    message = (
                        f'Operation cannot be fulfilled on {kind} "{name}": the object has been modified'
                    )
                    raise RefusedError(409, "Conflict", message, details(kind, name))
            policy = body.get("propagationPolicy", "Background")
            found = self.api.cluster.delete(kind, namespace, name, policy)
        status = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "details": {**details(kind, name), "uid": found["metadata"]["uid"]},
        }
        return 200, json.dumps(status).encode()


def _typed(kind: str, plain: Plain) -> Plain:
    name, api_version = _KINDS[kind]
    return {"kind": name, "apiVersion": api_version, **plain}


def _merge(plain: Plain, patch: Plain) -> None:
    """A JSON merge patch (RFC 7386)."""
    for key, value in patch.items():
        if value is None:
            plain.pop(key, None)
        elif isinstance(value, dict):
            plain[key] = {**(plain.get(key) or {})}
            _merge(plain[key], value)
        else:
            plain[key] = value
