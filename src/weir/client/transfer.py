"""Content in and out: blobs, outputs, logs. Nothing is held in memory whole."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from weir.client.calls import part
from weir.client.errors import AnswerError, ApiError, ChecksumError, UnreachableError
from weir.client.transport import Answer, Sender

if TYPE_CHECKING:
    from pathlib import Path

LONG_POLL_MS = 25_000
GLANCE_MS = 1_500
"""For so long a log is waited for that is not followed: its agent sends it only once somebody reads it."""
_PIECE = 1 << 20
_TRIES = 5


def upload_blob(sender: Sender, path: "Path") -> str:
    """Bring a file's content to the server, unless it is there already; returns its SHA-256 in hexadecimal.

    What broke off goes on where it ended. Raises ChecksumError when the file changes meanwhile.
    """
    size, digest = _measured(path)
    target = f"/api/v1/blobs/{digest}"
    offset, failures = 0, 0
    while True:
        known = sender.send("HEAD", target, again=True, accept=(404,))
        known.close()
        if known.status != 404:
            return digest
        offset = _number(known, "x-weir-offset")
        try:
            with path.open("rb") as file:
                file.seek(offset)
                headers = {"content-type": "application/octet-stream", "content-length": str(size - offset)}
                sender.send("PUT", f"{target}?offset={offset}", headers=headers, body=file).read()
            return digest
        except UnreachableError:
            failures += 1
            if failures == _TRIES:
                raise
            sender.pause(failures)
        except ApiError as refusal:
            if refusal.problem.kind not in ("mismatch", "offset", "unfinished"):
                raise
            if _measured(path) != (size, digest):
                raise ChecksumError(
                    f"{path} changes while it is uploaded; try again when it is still"
                ) from refusal
            failures += 1
            if failures == _TRIES:
                raise


def download_output(sender: Sender, job: str, path: str, to: "Path") -> str:
    """Fetch one output of a job into the file `to`; returns its SHA-256, which has been checked.

    `to` is there whole or not at all. Raises ChecksumError.
    """
    import hashlib

    target = f"/api/v1/jobs/{part(job)}/outputs/{quote(path)}"
    unfinished = to.with_name(f".{to.name}.{os.getpid()}.part")
    hasher = hashlib.sha256()
    expected, received, failures = "", 0, 0
    try:
        with unfinished.open("wb") as file:
            while True:
                headers = {"range": f"bytes={received}-", "if-match": f'"{expected}"'} if received else {}
                try:
                    answer = sender.send("GET", target, headers=headers, again=True)
                    expected = answer.headers.get("x-weir-digest", "")
                    for piece in answer.stream():
                        file.write(piece)
                        hasher.update(piece)
                        received += len(piece)
                        failures = 0
                    break
                except UnreachableError:
                    failures += 1
                    if failures == _TRIES:
                        raise
                    sender.pause(failures)
            file.flush()
        if hasher.hexdigest() != expected:
            raise ChecksumError(f"{path} of {job} arrived damaged; try again")
        unfinished.replace(to)
    finally:
        unfinished.unlink(missing_ok=True)
    return expected


def log_pieces(
    sender: Sender, job: str, *, stream: str, task: int, offset: int, follow: bool
) -> Iterator[bytes]:
    """What a job's task has written, from `offset` on; with `follow`, until the job has ended.

    When the job is placed anew, its next attempt's log follows from its beginning.
    """
    target = f"/api/v1/jobs/{part(job)}/logs/{part(stream)}"
    attempt, after, failures = "", "", 0
    while True:
        query: dict[str, str | int] = {
            "task": task,
            "offset": offset,
            "wait_ms": LONG_POLL_MS if follow else 0 if offset else GLANCE_MS,
        }
        query |= {"attempt": attempt} if attempt else {}
        query |= {"after_attempt": after} if after else {}
        answer = sender.send("GET", f"{target}?{urlencode(query)}", again=True, wait_s=LONG_POLL_MS / 1_000)
        attempt = answer.headers.get("x-weir-attempt", "")
        received = 0
        try:
            for piece in answer.stream():
                received += len(piece)
                offset += len(piece)
                yield piece
            failures = 0
        except UnreachableError:
            failures = 1 if received else failures + 1
            if failures == _TRIES:
                raise
            sender.pause(failures)
            continue
        if received:
            continue
        if not follow or answer.headers.get("x-weir-job-ended") == "true":
            return
        if attempt and answer.headers.get("x-weir-log-ended") == "true":
            attempt, after, offset = "", attempt, 0


def _measured(path: "Path") -> tuple[int, str]:
    import hashlib

    hasher = hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            hasher.update(piece)
            size += len(piece)
    return size, hasher.hexdigest()


def _number(answer: Answer, header: str) -> int:
    text = answer.headers.get(header, "0")
    if not text.isdigit():
        raise AnswerError(f"the answer's header {header} is {text!r} and not a number; is it a Weir server?")
    return int(text)


__all__ = ["LONG_POLL_MS", "download_output", "log_pieces", "upload_blob"]
