"""Taking in what agents send of logs, and making ended logs durable before their agents may forget them."""

import base64
import binascii
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog

from weir.api.bodies import malformed
from weir.api.services import Services
from weir.control.reports import authorise_logs
from weir.model.agent import LogChunk, Report
from weir.model.problem import ProblemError

MOST_OPEN = 200_000
ENDERS = 8

_log = structlog.stdlib.get_logger("weir.api")


class LogKeeper:
    """Knows which logs this process has added to and not yet ended; safe to use from several threads.

    What an earlier process of this server added has reached the system before it, and needs no ending here.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lock = threading.Lock()
        self._open: dict[str, set[tuple[int, str]]] = {}
        self._enders = ThreadPoolExecutor(ENDERS, thread_name_prefix="weir-logs")

    def append(self, attempt: str, task: int, stream: str, offset: int, data: bytes) -> int:
        """Add a piece; how much of the log is here then. Raises ProblemError as `LogStore.append` does."""
        size = self._services.logs.append(attempt, task, stream, offset, data)
        if data:
            with self._lock:
                if len(self._open) >= MOST_OPEN:
                    self._open.clear()
                self._open.setdefault(attempt, set()).add((task, stream))
        return size

    def take(self, centre: str, chunks: Sequence[LogChunk]) -> tuple[LogChunk, ...]:
        """Write the chunks that belong to this centre's attempts; returns the others.

        Raises ProblemError (400) for data that is no base64.
        """
        if not chunks:
            return ()
        own = self._services.store.read(lambda connection: authorise_logs(connection, centre, chunks))
        for chunk in own:
            try:
                data = base64.b64decode(chunk.data, validate=True)
            except (binascii.Error, ValueError):
                raise malformed(f"chunks: the data of {chunk.attempt} is no base64") from None
            try:
                self.append(chunk.attempt, chunk.task, chunk.stream, chunk.offset, data)
            except ProblemError as error:
                if error.problem.status >= 500:
                    raise
                # One piece that does not fit must not keep all else that the report tells from being taken in.
                _log.warning(
                    "log chunk left out", centre=centre, attempt=chunk.attempt, why=error.problem.title
                )
        return tuple(chunk for chunk in chunks if chunk not in own)

    def end(self, attempts: Iterable[str]) -> None:
        """Nothing more comes of these attempts: their logs are durable on return.

        Several are made so at the same time, since the system then writes them out together.
        """
        logs: list[tuple[str, int, str]] = []
        with self._lock:
            for attempt in attempts:
                logs += [(attempt, task, stream) for task, stream in sorted(self._open.pop(attempt, ()))]
        try:
            if len(logs) == 1:
                self._services.logs.end(*logs[0])
            elif logs:
                for _ in self._enders.map(lambda log: self._services.logs.end(*log), logs):
                    pass  # what one of them raises is raised here
        except BaseException:
            with self._lock:
                for attempt, task, stream in logs:
                    self._open.setdefault(attempt, set()).add((task, stream))
            raise

    def close(self) -> None:
        """Finish what is being made durable."""
        self._enders.shutdown()


def chunks_of(told: Report) -> tuple[LogChunk, ...]:
    """The pieces of logs in a report, those of one log in the order of their offsets."""
    return tuple(
        sorted(told.chunks, key=lambda chunk: (chunk.attempt, chunk.task, chunk.stream, chunk.offset))
    )


__all__ = ["LogKeeper", "chunks_of"]
