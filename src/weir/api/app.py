"""The application: everything that answers over HTTP, put together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio.to_thread
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from weir.access import forget_older
from weir.api import (
    agent,
    audit,
    blobs,
    centres,
    contracts,
    events,
    explaining,
    health,
    jobs,
    money,
    organisations,
    outputs,
    prices,
    province,
    schemes,
    statements,
    task_logs,
    tokens,
)
from weir.api.gate import Gate
from weir.api.logs import LogKeeper
from weir.api.metrics import JobObserver, StoreCollector
from weir.api.openapi import openapi_of
from weir.api.problems import answer_problem
from weir.api.services import Services
from weir.api.uploads import RecentUploads
from weir.api.waiting import News
from weir.billing.counter_check import due, keep, look
from weir.model.problem import ProblemError

_log = structlog.stdlib.get_logger("weir.api")


def create_app(services: Services) -> FastAPI:
    """The API over these services. It reads no clock and draws no randomness but through them."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = services.settings.threads
        await news.open()
        housekeeping = asyncio.create_task(_keep_house(services))
        try:
            yield
        finally:
            housekeeping.cancel()
            with suppress(asyncio.CancelledError):
                await housekeeping
            await news.close()
            keeper.close()

    app = FastAPI(
        title="Weir",
        summary="Shares out a province's computing power.",
        version=services.version,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    services.meters.version(services.version)
    services.meters.registry.register(StoreCollector(services.store))
    news = News(services.store, JobObserver(services.store, services.meters))
    keeper = LogKeeper(services)
    app.state.services = services
    app.state.news = news
    app.state.log_keeper = keeper
    app.state.run_names = events.RunNames(services.store)
    app.state.brought = RecentUploads()
    app.state.join_guard = agent.JoinGuard()
    for part in (
        jobs,
        explaining,
        task_logs,
        outputs,
        blobs,
        centres,
        province,
        organisations,
        prices,
        money,
        contracts,
        schemes,
        statements,
        tokens,
        audit,
        events,
        agent,
        health,
    ):
        app.include_router(part.router)
    for known in (ProblemError, HTTPException, RequestValidationError):
        app.add_exception_handler(known, answer_problem)
    app.add_middleware(Gate, services=services)
    made: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not made:
            made.update(openapi_of(app))
        return made

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it
    return app


async def _keep_house(services: Services) -> None:
    """Drop answers that nobody will ask for again, and once a night make all counters of money anew."""

    def tidy() -> None:
        before_ms = services.now_ms() - services.settings.keep_answers_ms
        services.store.write(lambda tx: forget_older(tx, before_ms))

    def check() -> None:
        now_ms = services.now_ms()
        if services.store.read(lambda connection: due(connection, now_ms)):
            found = services.store.read(lambda connection: look(connection, now_ms))
            services.store.write(lambda tx: keep(tx, found))
            for fault in found.faults:
                _log.error("a counter of money is wrong", fault=fault)

    while True:
        await asyncio.sleep(services.settings.housekeeping_s)
        try:
            await anyio.to_thread.run_sync(tidy)
            await anyio.to_thread.run_sync(check)
        except Exception:  # noqa: BLE001 - it is tried again, and nothing depends on it
            _log.exception("the house could not be kept")


__all__ = ["create_app"]
