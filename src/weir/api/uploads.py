"""Receiving blobs: streamed to their folder as they come, taken up where they broke off, proven at the end."""

import threading
from collections import OrderedDict
from typing import Any

from anyio.to_thread import run_sync
from starlette.requests import ClientDisconnect, Request

from weir.api.problems import Refusal
from weir.files import BlobStore, BlobTooLargeError, OffsetError
from weir.model.problem import Problem

MOST_RECENT = 100_000
_PIECE = 1 << 20


class RecentUploads:
    """Who has lately brought what, for those to whom the answer was lost; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def add(self, uploaded: tuple[str, str]) -> None:
        """This uploader has brought this blob."""
        with self._lock:
            self._known[uploaded] = None
            while len(self._known) > MOST_RECENT:
                self._known.popitem(last=False)

    def __contains__(self, uploaded: tuple[str, str]) -> bool:
        with self._lock:
            return uploaded in self._known


async def receive_blob(
    request: Request, blobs: BlobStore, digest: str, uploader: str, offset: int, size: int | None, limit: int
) -> int:
    """Add the body, which begins at `offset`, to this uploader's unfinished blob; finish it once all is here.

    `size` is of the whole blob; without it the body is its end. Returns the size. Raises ProblemError: 409 with
    the offset expected, 413, 422 where it is not the content announced, 507; and Refusal (400) when the body
    breaks off, after which what came is kept.
    """
    announced = request.headers.get("content-length")
    if size is None and announced is not None:
        size = offset + int(announced)
    if size is not None and size > limit:
        raise BlobTooLargeError(size, limit)
    # What is here already is sent again where the answer to it was lost; the digest proves the whole in the end.
    here = await run_sync(blobs.partial_size, digest, uploader)
    if offset > here:
        raise OffsetError(offset, here)
    skip = here - offset
    buffer = bytearray()

    async def keep() -> None:
        nonlocal here
        if here + len(buffer) > limit:
            raise BlobTooLargeError(here + len(buffer), limit)
        here = await run_sync(blobs.append, digest, uploader, here, [bytes(buffer)])
        buffer.clear()

    try:
        async for piece in request.stream():
            buffer += piece[skip:]
            skip -= min(skip, len(piece))
            if len(buffer) >= _PIECE:
                await keep()
    except ClientDisconnect:
        if buffer:
            await keep()
        raise Refusal(
            Problem("broken-off", 400, f"the body broke off at {here} bytes"), more={"offset": here}
        ) from None
    if buffer or here == 0:
        await keep()
    size = here if size is None else size
    if here < size:
        more: dict[str, Any] = {"offset": here}
        raise Refusal(
            Problem("unfinished", 409, f"{here} of {size} bytes are here; send the rest"), more=more
        )
    await run_sync(blobs.finish, digest, uploader, size)
    return size


__all__ = ["RecentUploads", "receive_blob"]
