"""Answers: views as JSON, files as streams with ranges."""

import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from weir.api.problems import Refusal
from weir.model.codec import to_plain
from weir.model.problem import Problem

_RANGE = re.compile(r"bytes=(\d{1,18})?-(\d{1,18})?")
_PIECE = 1 << 18


def json_text(value: Any) -> str:
    """A view in its plain form, as compact JSON."""
    return json.dumps(to_plain(value), ensure_ascii=False, separators=(",", ":"))


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A view as an answer."""
    return text_response(json_text(value), status, headers)


def text_response(text: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """JSON that is written already."""
    return Response(
        text.encode(), status, {"cache-control": "no-store", **(headers or {})}, "application/json"
    )


def file_response(file: BinaryIO, size: int, digest: str, asked: str, if_match: str = "") -> Response:
    """A file's content, or the one range of it that is asked for; the file is closed when it is sent.

    Raises Refusal (416, 412) where the range lies outside, or the content is not the one expected.
    """
    headers = {
        "accept-ranges": "bytes",
        "etag": f'"{digest}"',
        "x-weir-digest": digest,
        "cache-control": "private, no-cache",
        "x-content-type-options": "nosniff",
        "content-disposition": "attachment",
    }
    asked_range = _range(asked, size)
    if if_match and if_match not in ("*", f'"{digest}"'):
        file.close()
        raise Refusal(Problem("changed", 412, "the content is another one than expected; begin anew"))
    if asked_range is None:
        file.close()
        raise Refusal(
            Problem("range", 416, f"Range: {asked!r} lies outside of {size} bytes"),
            headers={"content-range": f"bytes */{size}"},
            more={"offset": size},
        )
    start, stop, partial = asked_range
    headers["content-length"] = str(stop - start)
    if partial:
        headers["content-range"] = f"bytes {start}-{stop - 1}/{size}"
    return _FileResponse(file, start, stop, 206 if partial else 200, headers)


class _FileResponse(StreamingResponse):
    """Sends a part of an open file, and closes it whatever happens."""

    def __init__(self, file: BinaryIO, start: int, stop: int, status: int, headers: dict[str, str]) -> None:
        super().__init__(_pieces(file, start, stop), status, headers, "application/octet-stream")
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()


def _range(asked: str, size: int) -> tuple[int, int, bool] | None:
    """From, to, and whether that is but a part; None where it lies outside. What is not understood asks for all."""
    match = _RANGE.fullmatch(asked.strip())
    if match is None or (match[1] is None and match[2] is None):
        return 0, size, False
    if match[1] is None:
        first, stop = max(0, size - int(match[2])), size
    else:
        first, stop = int(match[1]), min(size, int(match[2]) + 1 if match[2] else size)
    return (first, stop, True) if first < stop else None


def _pieces(file: BinaryIO, start: int, stop: int) -> Iterator[bytes]:
    file.seek(start)
    left = stop - start
    while left and (piece := file.read(min(_PIECE, left))):
        left -= len(piece)
        yield piece


__all__ = ["file_response", "json_response", "json_text", "text_response"]
