"""The agent's door for nodes that share no folder with it: a small HTTP server, with a token for each attempt.

    GET  /v1/NAME/inputs                    what there is to fetch, and what is wanted back
    GET  /v1/NAME/inputs/PATH?offset&limit  a piece of an input
    POST /v1/NAME/begin/PART                this part (a task, a node of a gang) brings its outputs anew
    POST /v1/NAME/outputs/PART/PATH?offset&end&mode   a piece of an output

Every body goes with its SHA-256, and a piece with its place: what was lost on the way is sent again from where the
agent has it (409 names the place). A token opens its own attempt's files and nothing else; it is made from the
agent's key, so that it holds over a restart. Further verbs are a driver's own.
"""

import contextlib
import hashlib
import hmac
import json
import os
import re
import secrets
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from weir.engines.courier import returns
from weir.engines.courier.settings import DoorSettings
from weir.model.codec import CodecError, from_plain, to_plain
from weir.model.job_rules import safe_relative_path
from weir.model.problem import ProblemError, conflict

__all__ = ["Answer", "Door", "Errand", "Lodging", "Verb"]

_LARGEST_PIECE = 4 << 20
_AT_ONCE = 64
"""Errands carried out side by side; the others wait."""
_PATIENCE_S = 30.0
_Request = tuple[str, str, Mapping[str, str], bytes]
"""The name it is for, the rest of its path, its query and its body."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.~_-]{0,99}")
_PLAIN, _JSON = "text/plain; charset=utf-8", "application/json"


@dataclass(frozen=True, slots=True)
class Lodging:
    """What the door knows of a name: where its files lie, what is wanted back, and how much at most."""

    folder: str
    outputs: tuple[str, ...] = ()
    limit_bytes: int = 0
    log_limit_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Errand:
    """One request, with its token proven: the name it is for, the rest of its path, its query and its body."""

    name: str
    path: str
    query: Mapping[str, str]
    body: bytes
    lodging: Lodging

    def number(self, name: str) -> int:
        """A whole number of the query. Raises ValueError for anything else."""
        value = self.query[name]
        if not value.isdecimal() or len(value) > 18:
            raise ValueError(f"{name} is a whole number")
        return int(value)


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and a body; errors are one line of text."""

    status: int = 200
    body: bytes = b""

    @classmethod
    def plain(cls, value: object, status: int = 200) -> "Answer":
        """A value as JSON."""
        return cls(status, json.dumps(value).encode())


Verb = Callable[[Errand], Answer]


@dataclass(slots=True)
class _Held:
    """What has come of an attempt so far; whoever adds to it holds the lock."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    count: int = -1
    size_bytes: int = 0


class Door:
    """Open from `open` to `close`. `folder` is the agent's; what lodges here is written down there."""

    def __init__(
        self, folder: Path, settings: DoorSettings, verbs: Mapping[tuple[str, str], Verb] | None = None
    ) -> None:
        """`verbs` are further ones, by method and first word of the path."""
        self._folder = folder / "courier"
        self._settings = settings
        self._held: dict[str, _Held] = {}
        self._lock = threading.Lock()
        self._at_once = threading.BoundedSemaphore(_AT_ONCE)
        self._verbs: dict[tuple[str, str], Verb] = {
            ("GET", "inputs"): _inputs,
            ("POST", "begin"): self._begin,
            ("POST", "outputs"): self._outputs,
            **(verbs or {}),
        }
        self._server: ThreadingHTTPServer | None = None
        self._key = b""

    def open(self) -> None:
        """Listen. Raises ProblemError where the address cannot be had."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._key = _key(self._folder / "key")
        listen = self._settings.listen
        try:
            self._server = _Server((listen, self._settings.port), self._answer)
        except OSError as error:
            where = f"{listen or 'every address'}, port {self._settings.port}"
            raise conflict(f"the agent cannot listen for its nodes on {where}: {error.strerror}") from None
        serve = self._server.serve_forever
        threading.Thread(target=serve, args=(0.05,), daemon=True, name="courier door").start()

    def close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def lodge(self, name: str, lodging: Lodging) -> None:
        """Let a name in, on disk before this returns."""
        path = self._folder / f"{name}.json"
        beside = path.with_suffix(f".{secrets.token_hex(4)}")
        beside.write_text(json.dumps(to_plain(lodging)), encoding="utf-8")
        beside.replace(path)

    def leave(self, names: Iterable[str]) -> None:
        """These have no files here any more."""
        for name in names:
            (self._folder / f"{name}.json").unlink(missing_ok=True)
            with self._lock:
                self._held.pop(name, None)

    def settle(self, name: str) -> None:
        """All of an attempt has ended: what came back of it lies in its work folder when this returns."""
        lodging = self._lodging(name)
        if lodging is not None:
            with self._holding(name):
                returns.settle(Path(lodging.folder))

    def url(self, name: str) -> str:
        """What a node calls for this name."""
        return f"{self._settings.address}/v1/{quote(name, safe='')}"

    def token(self, name: str) -> str:
        """What opens this name's files."""
        return hmac.new(self._key, f"door 1 {name}".encode(), hashlib.sha256).hexdigest()

    def _answer(self, request: _Request, token: str, method: str) -> Answer:
        name, path, query, body = request
        known = _NAME.fullmatch(name) is not None
        if not (known and hmac.compare_digest(token.encode(), self.token(name).encode())):
            return Answer(401, b"the token does not open this")
        lodging = self._lodging(name)
        if lodging is None:
            return Answer(404, b"the agent has no such attempt any more")
        word, _, rest = path.partition("/")
        verb = self._verbs.get((method, word))
        if verb is None:
            return Answer(404, b"there is no such errand")
        try:
            with self._at_once:
                return verb(Errand(name, rest, query, body, lodging))
        except (LookupError, ValueError) as error:
            return Answer(400, f"the errand is not understood: {error}".encode())
        except ProblemError as error:
            return Answer(400, str(error).encode())
        except OSError as error:
            # The agent's disk may have room again in a while; the node asks on.
            return Answer(503, f"the agent's disk: {error.strerror}".encode())

    def _lodging(self, name: str) -> Lodging | None:
        try:
            return from_plain(
                Lodging, json.loads((self._folder / f"{name}.json").read_text(encoding="utf-8"))
            )
        except (FileNotFoundError, ValueError, CodecError):
            return None

    @contextlib.contextmanager
    def _holding(self, name: str) -> Iterator[_Held]:
        with self._lock:
            held = self._held.setdefault(name, _Held())
        with held.lock:
            yield held

    def _begin(self, errand: Errand) -> Answer:
        folder = Path(errand.lodging.folder)
        with self._holding(errand.name) as held:
            if returns.settled(folder):
                return _OVER
            returns.begin(folder, _part(errand.path))
            held.count, held.size_bytes = returns.sizes(folder)
        return Answer()

    def _outputs(self, errand: Errand) -> Answer:
        part, _, path = errand.path.partition("/")
        lodging = errand.lodging
        folder = Path(lodging.folder)
        with self._holding(errand.name) as held:
            if returns.settled(folder):
                return _OVER
            if held.count < 0:
                held.count, held.size_bytes = returns.sizes(folder)
            offset, mode = errand.number("offset"), errand.number("mode")
            try:
                if offset == 0 and held.count >= returns.MOST_FILES:
                    raise returns.TooLargeError
                held.size_bytes += returns.take(
                    folder,
                    _part(part),
                    path,
                    offset,
                    errand.body,
                    end=errand.query["end"] == "1",
                    mode=mode,
                    left_bytes=lodging.limit_bytes - held.size_bytes,
                )
            except returns.WrongPlaceError as error:
                return Answer.plain({"size": error.size_bytes}, 409)
            except returns.TooLargeError:
                what = f"more than {lodging.limit_bytes} bytes or {returns.MOST_FILES} files are not taken"
                return Answer(413, what.encode())
            held.count += offset == 0
        return Answer()


_OVER = Answer(410, b"the attempt has ended for the agent; nothing more of it is taken")


def _inputs(errand: Errand) -> Answer:
    work = Path(errand.lodging.folder) / "work"
    if errand.path:
        with (work / safe_relative_path("input", errand.path)).open("rb") as file:
            file.seek(errand.number("offset"))
            return Answer(body=file.read(min(_LARGEST_PIECE, errand.number("limit"))))
    found = []
    for place, _, names in os.walk(work):
        for name in sorted(names):
            path = Path(place) / name
            status = path.stat()
            found.append([str(path.relative_to(work)), status.st_size, status.st_mode & 0o777])
    wanted = asdict(errand.lodging)
    return Answer.plain({"files": found, "outputs": wanted["outputs"], "limit": wanted["limit_bytes"]})


def _part(text: str) -> int:
    if not text.isdecimal() or len(text) > 6:
        raise ValueError("a part is a number")
    return int(text)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], answer: Callable[[_Request, str, str], Answer]) -> None:
        """`answer` is given the request, its token and its method."""
        self.answer = answer
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A node that goes away in the middle comes again; nobody need read of it."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _PATIENCE_S
    server: _Server

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        size = self.headers.get("Content-Length", "")
        if not size.isdecimal() or int(size) > _LARGEST_PIECE:
            self.close_connection = True
            self._send(Answer(413, b"a piece has at most 4 MiB"))
            return
        body = self.rfile.read(int(size))
        if self.headers.get("X-Sha256") != hashlib.sha256(body).hexdigest():
            self.close_connection = True
            self._send(Answer(503, b"the piece is not what was sent"))
            return
        self._serve(body)

    def _serve(self, body: bytes) -> None:
        parts = urlsplit(self.path)
        version, _, rest = parts.path.lstrip("/").partition("/")
        name, _, path = rest.partition("/")
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if version != "v1":
            self._send(Answer(404, b"there is no such errand"))
            return
        query = dict(parse_qsl(parts.query))
        self._send(self.server.answer((unquote(name), unquote(path), query, body), token, self.command))

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", _JSON if answer.body[:1] in (b"{", b"[") else _PLAIN)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("X-Sha256", hashlib.sha256(answer.body).hexdigest())
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name that is overridden)
        """Nothing: nodes come often."""


def _key(path: Path) -> bytes:
    """The agent's key for tokens, made once, for nobody else to read; whole or not there at all."""
    if not path.exists():
        beside = path.with_suffix(f".{secrets.token_hex(4)}")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(32))
            file.flush()
            os.fsync(descriptor)
        beside.replace(path)
    return path.read_bytes()
