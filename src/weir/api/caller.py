"""One request's caller: who asks, of which services, and at what time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Depends
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from weir.access import Actor, Permission, allows, require
from weir.api.answers import json_response
from weir.api.services import Services
from weir.api.waiting import News
from weir.store import Transaction

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Caller:
    """What a handler works with."""

    actor: Actor
    services: Services
    news: News
    now_ms: int
    request: Request

    def require(self, permission: Permission, **scope: Any) -> None:
        """Pass where the actor may; raise ProblemError (403 or 404) otherwise."""
        require(self.actor, permission, **scope)

    def may(self, permission: Permission) -> bool:
        """Whether the actor's role may do this at all."""
        return allows(self.actor, permission)

    def read(self, work: Callable[[Connection], T]) -> T:
        """One consistent look at the store."""
        return self.services.store.read(work)

    def write(self, work: Callable[[Transaction], T]) -> T:
        """One durable transaction, measured."""
        with self.services.meters.write():
            return self.services.store.write(work)

    def answer(self, value: Any, status: int = 200) -> Response:
        """A view as JSON."""
        return json_response(value, status)


async def _caller(request: Request) -> Caller:
    state = request.app.state
    services: Services = state.services
    actor: Actor | None = request.state.actor
    assert actor is not None, "the gate lets nobody without a token through to here"
    return Caller(actor, services, state.news, services.now_ms(), request)


Asked = Annotated[Caller, Depends(_caller)]

__all__ = ["Asked", "Caller"]
