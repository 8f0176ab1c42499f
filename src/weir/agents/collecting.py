"""Taking over what an ended attempt leaves: its logs, the outputs that it was asked for, and what goes to URLs."""

import base64
import hashlib
import json
import logging
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from weir.agents.fetching import disk_problem
from weir.agents.inputs import Collected, LogsSent
from weir.agents.outputs import Found, OutputsError, find_outputs
from weir.agents.record import RecordedAttempt
from weir.agents.resuming import LOOKED_AT, resumed_ms
from weir.agents.sources import Sources
from weir.agents.transport import Transport, TransportError, UnreachableError, WrongOffsetError
from weir.agents.url_requests import SourceAwayError, SourceRefusedError
from weir.agents.url_sending import send_url
from weir.engines.driver import STREAMS, Driver
from weir.model.agent import LogChunk, OutputFile, Work
from weir.model.problem import ProblemError

_log = logging.getLogger("weir.agent")

SMALL_LOG = 16 << 10
"""Bytes of one stream that travel inside a report; larger ones are sent by themselves."""
SMALL_LOGS = 128 << 10
"""Bytes of all streams of an attempt that do so."""
OFFSET_TRIES = 5
PATIENCE = 8
"""A refusal is believed only after so many tries: a restored server may first have to learn of the attempt."""
AWAY_PATIENCE = 60
"""So many tries, some eight minutes, are made at a URL that does not answer before the end is told without it."""
NO_SOURCES = Sources()
_PIECE = 1 << 20
_ANY_SIZE = 1 << 62


def collect(
    driver: Driver, transport: Transport, attempt: RecordedAttempt, tries: int, sources: Sources = NO_SOURCES
) -> Collected:
    """Send logs and outputs, and write to URLs what `sources` let; `tries` counts the earlier ones.

    Raises EngineUnreachableError when the engine cannot be asked. The answer says `again` where the server could
    not be reached, or refused and may still come to accept it.
    """
    if attempt.work is None:
        return Collected(attempt.id)
    logs = _Logs()
    problem = ""
    outputs: tuple[OutputFile, ...] = ()
    try:
        _send_logs(driver, transport, attempt, attempt.work, logs)
    except TransportError as error:
        if _hopeful(error, tries):
            return Collected(attempt.id, problem=str(error), again=True)
        logs.dropped += logs.unsent
    try:
        outputs = _send_outputs(transport, attempt, attempt.work)
    except TransportError as error:
        if _hopeful(error, tries):
            return Collected(attempt.id, problem=str(error), again=True)
        problem = f"the server does not take the outputs: {error}"
    except OutputsError as error:
        problem = str(error)
    except OSError as error:
        problem = disk_problem("the outputs", error)
    try:
        outputs += _deliver(sources, attempt, attempt.work, {file.path for file in outputs})
    except SourceAwayError as error:
        if tries < AWAY_PATIENCE:
            return Collected(attempt.id, problem=str(error), again=True)
        problem = _and(problem, f"it could not be delivered: {error}")
    except (SourceRefusedError, ProblemError, OutputsError) as error:
        problem = _and(problem, f"it could not be delivered: {error}")
    except OSError as error:
        problem = _and(problem, disk_problem("what is delivered", error))
    told = _resumed(driver, attempt.id) if attempt.work.restartable else None
    return Collected(attempt.id, outputs, tuple(logs.chunks), logs.dropped, problem, resumed_ms=told)


def send_log(
    driver: Driver, transport: Transport, attempt: str, task: int, stream: str, offset: int, limit: int
) -> LogsSent:
    """Send one piece of a running log from `offset` on, nothing past `limit`; how far it has come then.

    Raises EngineUnreachableError.
    """
    data = _output(driver, attempt, task, stream, offset, min(_PIECE, max(0, limit - offset)))
    if not data:
        return LogsSent(attempt, task, stream, offset)
    try:
        return LogsSent(attempt, task, stream, transport.put_log(attempt, task, stream, offset, data))
    except WrongOffsetError as error:
        return LogsSent(attempt, task, stream, error.offset)
    except TransportError:
        return LogsSent(attempt, task, stream, offset, failed=True)


def _output(driver: Driver, attempt: str, task: int, stream: str, offset: int, limit: int) -> bytes:
    # The file is the task's own to spoil: what cannot be read of it must not end the agent of everybody else.
    try:
        return driver.output(attempt, task, stream, offset, limit)
    except OSError as error:
        _log.warning("%s of task %d of %s cannot be read: %s", stream, task, attempt, error)
        return b""


def _output_size(driver: Driver, attempt: str, task: int, stream: str) -> int:
    try:
        return driver.output_size(attempt, task, stream)
    except OSError as error:
        _log.warning("%s of task %d of %s cannot be read: %s", stream, task, attempt, error)
        return 0


def _resumed(driver: Driver, attempt: str) -> int | None:
    """What the first task says of where it went on."""
    said = (resumed_ms(_output(driver, attempt, 0, stream, 0, LOOKED_AT)) for stream in STREAMS)
    return next((at_ms for at_ms in said if at_ms is not None), None)


@dataclass(slots=True)
class _Logs:
    chunks: list[LogChunk] = field(default_factory=list)
    dropped: int = 0
    unsent: int = 0


def _send_logs(
    driver: Driver, transport: Transport, attempt: RecordedAttempt, work: Work, logs: _Logs
) -> None:
    inline = 0
    for task in range(work.tasks):
        for stream in STREAMS:
            size = _output_size(driver, attempt.id, task, stream)
            taken = min(size, work.log_limit_bytes)
            logs.dropped += size - taken
            if taken <= SMALL_LOG and inline + taken <= SMALL_LOGS:
                inline += taken
                data = _output(driver, attempt.id, task, stream, 0, taken) if taken else b""
                if data:
                    logs.chunks.append(
                        LogChunk(attempt.id, task, stream, 0, base64.b64encode(data).decode("ascii"))
                    )
            else:
                logs.unsent = taken
                _send_large(driver, transport, attempt.id, task, stream, taken, logs)
                logs.unsent = 0


def _send_large(
    driver: Driver, transport: Transport, attempt: str, task: int, stream: str, size: int, logs: _Logs
) -> None:
    # An empty piece asks how much the server holds already, from when the log was followed or an earlier try.
    offset = _put(transport, attempt, task, stream, 0, b"")
    while offset < size:
        data = _output(driver, attempt, task, stream, offset, min(_PIECE, size - offset))
        if not data:
            break
        held = _put(transport, attempt, task, stream, offset, data)
        if held <= offset:
            raise TransportError(f"the server does not take {stream} of task {task} past {offset} bytes")
        offset = held
        logs.unsent = max(0, size - offset)


def _put(transport: Transport, attempt: str, task: int, stream: str, offset: int, data: bytes) -> int:
    try:
        return transport.put_log(attempt, task, stream, offset, data)
    except WrongOffsetError as error:
        return error.offset


def _send_outputs(transport: Transport, attempt: RecordedAttempt, work: Work) -> tuple[OutputFile, ...]:
    folder = Path(attempt.folder) / "work"
    if not work.outputs or not folder.is_dir():
        return ()
    return tuple(
        _send(transport, found) for found in find_outputs(folder, work.outputs, work.output_limit_bytes)
    )


def _send(transport: Transport, found: Found) -> OutputFile:
    with found.open() as file:
        digest, size = _digest(file)
        _put_blob(transport, digest, file, size)
    return OutputFile(task=0, path=found.path, size_bytes=size, digest=digest)


def _deliver(
    sources: Sources, attempt: RecordedAttempt, work: Work, known: set[str]
) -> tuple[OutputFile, ...]:
    """Write to URLs what is to lie there; the files that the platform does not hold itself, and where they lie.

    What an earlier try has brought there stands in `delivered` beside the work folder, and is not sent again.
    """
    folder = Path(attempt.folder) / "work"
    if not work.deliver or not folder.is_dir():
        return ()
    journal = Path(attempt.folder) / "delivered"
    done = set(journal.read_text(encoding="ascii").splitlines()) if journal.exists() else set()
    made: dict[str, OutputFile] = {}
    for delivery in work.deliver:
        element = "" if attempt.array_index is None else f"{attempt.array_index}/"
        for found in find_outputs(folder, (delivery.path,), _ANY_SIZE):
            url = f"{delivery.url}{element}{urllib.parse.quote(found.path)}"
            with found.open() as file:
                digest, size = _digest(file)
                line = json.dumps([url, digest])
                if line not in done:
                    send_url(sources, url, work.account, file, digest)
                    with journal.open("a", encoding="ascii") as lines:
                        lines.write(f"{line}\n")
            if found.path not in known:
                made.setdefault(found.path, OutputFile(0, found.path, size, digest, url))
    return tuple(made.values())


def _and(problem: str, other: str) -> str:
    return f"{problem}; {other}" if problem else other


def _digest(file: BinaryIO) -> tuple[str, int]:
    sha, size = hashlib.sha256(), 0
    while piece := file.read(_PIECE):
        sha.update(piece)
        size += len(piece)
    return sha.hexdigest(), size


def _put_blob(transport: Transport, digest: str, file: BinaryIO, size: int) -> None:
    offset = transport.blob_offset(digest)
    for tries in range(OFFSET_TRIES):
        if offset is None:
            return
        try:
            transport.put_blob(digest, file, min(offset, size), size)
            return
        except WrongOffsetError as error:
            # Another attempt here may send the same content at the same time.
            if tries == OFFSET_TRIES - 1:
                raise
            offset = error.offset


def _hopeful(error: TransportError, tries: int) -> bool:
    return isinstance(error, UnreachableError) or tries < PATIENCE


__all__ = ["collect", "send_log"]
