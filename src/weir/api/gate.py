"""What every request passes first: an id, a token, a limit on its body, and a line in the log."""

import asyncio
import itertools
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from anyio.to_thread import run_sync
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from weir.access import Actor, authenticate
from weir.api.problems import Refusal, Refused, refused_by, response
from weir.api.services import Services
from weir.model.problem import Problem, ProblemError
from weir.model.role import Role

WITHOUT_TOKEN = frozenset(
    {(method, path) for method in ("GET", "HEAD") for path in ("/healthz", "/readyz")}
    | {("POST", "/api/v1/agent/join")}
)
"""Health says nothing but whether it works; joining has its own, one-time code."""
FOR_AGENTS = ("/api/v1/agent/", "/api/v1/whoami", "/healthz", "/readyz")
_LARGE_JSON = (
    "/api/v1/jobs",
    "/api/v1/agent/report",
    "/api/v1/agent/pull",
    "/api/v1/province/diff",
    "/api/v1/province/apply",
    "/api/v1/organisations/facts",
)
_CHALLENGE = {"www-authenticate": 'Bearer realm="weir"'}
DRAIN_BYTES = 256 << 20
DRAIN_S = 5.0
CLIENT_GONE = 499
"""Logged where nobody waited for the answer any more."""

_log = structlog.stdlib.get_logger("weir.api")


class _UnknownSecretError(Exception):
    """The cache does not know this secret."""


@dataclass(slots=True)
class _Progress:
    """How far one request has come."""

    status: int = 0
    received: int = 0
    body_ended: bool = False


class Gate:
    """Lets a request through to the application, or refuses it."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services
        self._life = f"{services.random_bits(32):08x}"
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = f"{self._life}{next(self._numbers):08x}"
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        progress = _Progress(body_ended=not _has_body(headers))
        state = scope.setdefault("state", {})
        state.update(request_id=request_id, actor=None)
        started = time.perf_counter()

        async def limited() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                progress.received += len(message.get("body", b""))
                progress.body_ended = not message.get("more_body", False)
                if progress.received > limit:
                    raise _too_large(limit)
            return message

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                progress.status = message["status"]
                message["headers"] = [*message["headers"], (b"x-weir-request", request_id.encode())]
                if progress.status >= 400 and not progress.body_ended:
                    allowed = DRAIN_BYTES if state["actor"] is not None else 1 << 20
                    if not await _drained(receive, headers, allowed):
                        message["headers"].append((b"connection", b"close"))
                    progress.body_ended = True
            await send(message)

        limit = self._body_limit(scope["method"], scope["path"])
        try:
            self._check_target(scope)
            state["actor"] = await self._admitted(scope, headers)
            if int(headers.get("content-length", "0")) > limit:
                raise _too_large(limit)
            await self._app(scope, limited, noted)
        except ClientDisconnect:
            progress.status = CLIENT_GONE
        except Exception as error:
            refused = refused_by(error)
            if refused is None:
                # As text, since a formatter that shows local variables would show tokens.
                _log.error(
                    "request failed",
                    request=request_id,
                    method=scope["method"],
                    path=scope["path"],
                    traceback=traceback.format_exc(),
                )
                refused = Refused(
                    Problem("internal", 500, f"the server failed; tell its operator this id: {request_id}")
                )
            if progress.status:
                raise
            await response(refused, request_id)(scope, receive, noted)
        finally:
            self._note(scope, state, progress.status, time.perf_counter() - started)

    def _check_target(self, scope: Scope) -> None:
        raw = scope.get("raw_path") or scope["path"].encode()
        query = scope.get("query_string", b"")
        if b"%00" in raw or b"%00" in query or "\ufffd" in scope["path"]:
            raise ProblemError(Problem("malformed", 400, "the address holds NUL or what is no UTF-8"))

    async def _admitted(self, scope: Scope, headers: dict[str, str]) -> Actor | None:
        """Who asks; None where no token is needed. Raises ProblemError."""
        if (scope["method"], scope["path"]) in WITHOUT_TOKEN:
            return None
        scheme, _, secret = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            title = "send a token, as in Authorization: Bearer …"
            raise Refusal(Problem("unauthenticated", 401, title), headers=_CHALLENGE)
        actor = await self._actor(secret.strip(), (scope.get("client") or ("", 0))[0])
        if actor is None:
            title = "this token is not accepted: it is unknown, has expired or was revoked"
            raise Refusal(Problem("unauthenticated", 401, title), headers=_CHALLENGE)
        if actor.role is Role.AGENT and not scope["path"].startswith(FOR_AGENTS):
            raise ProblemError(
                Problem("forbidden", 403, "an agent's token is for its own centre's work alone")
            )
        return actor

    async def _actor(self, secret: str, address: str) -> Actor | None:
        services = self._services
        now_ms = services.now_ms()

        def unknown() -> Actor | None:
            raise _UnknownSecretError

        def look_up() -> Actor | None:
            return services.store.read(lambda connection: authenticate(connection, secret, address, now_ms))

        try:
            return services.tokens.authenticate(unknown, secret, address, now_ms)
        except _UnknownSecretError:
            return await run_sync(services.tokens.authenticate, look_up, secret, address, now_ms)

    def _body_limit(self, method: str, path: str) -> int:
        settings = self._services.settings
        if method == "PUT" and path.startswith("/api/v1/agent/blobs/"):
            return self._services.blobs.limit_bytes
        if method == "PUT" and path.startswith("/api/v1/agent/logs/"):
            return settings.largest_log_put_bytes
        if method == "PUT" and path.startswith("/api/v1/blobs/"):
            return settings.largest_input_bytes
        return settings.largest_json_bytes if path in _LARGE_JSON else settings.largest_small_json_bytes

    def _note(self, scope: Scope, state: dict[str, Any], status: int, took_s: float) -> None:
        actor: Actor | None = state["actor"]
        route = scope.get("route")
        absent = status == 404 and scope["method"] == "HEAD"  # the common answer before an upload
        quiet = absent or (
            status < 400
            and (scope["method"] in ("GET", "HEAD") or scope["path"].startswith("/api/v1/agent/"))
        )
        self._services.meters.request(scope["method"], getattr(route, "path", ""), status, took_s)
        note: Callable[..., Any] = _log.debug if quiet else _log.info
        note(
            "request",
            request=state["request_id"],
            method=scope["method"],
            path=scope["path"],
            status=status,
            ms=round(took_s * 1_000, 1),
            actor=None if actor is None else actor.label,
            address=(scope.get("client") or ("", 0))[0],
        )


def _has_body(headers: dict[str, str]) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


def _too_large(limit: int) -> ProblemError:
    return ProblemError(
        Problem("too-large", 413, f"the body is too large; at most {limit} bytes are accepted here")
    )


async def _drained(receive: Receive, headers: dict[str, str], most: int) -> bool:
    """Read away the rest of a refused body, so that its sender comes to read the answer; whether it ended.

    A sender that waits for 100-continue has not begun, and one that never ends is cut off.
    """
    if headers.get("expect", "").lower() == "100-continue":
        return False
    if int(headers.get("content-length", "0")) > most:
        return False
    read = 0
    try:
        async with asyncio.timeout(DRAIN_S):
            while read <= most:
                message = await receive()
                read += len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return True
    except TimeoutError:
        pass
    return False


__all__ = ["FOR_AGENTS", "WITHOUT_TOKEN", "Gate"]
