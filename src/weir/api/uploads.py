"""Receiving blobs: streamed to their folder as they come, taken up where they broke off, proven at the end."""

from typing import Any

from anyio.to_thread import run_sync
from starlette.requests import ClientDisconnect, Request

from weir.api.problems import Refusal
from weir.files import BlobStore, BlobTooLargeError
from weir.model.problem import Problem

_PIECE = 1 << 20


async def receive_blob(
    request: Request, blobs: BlobStore, digest: str, uploader: str, offset: int, size: int | None, limit: int
) -> int:
    """Add the body to this uploader's unfinished blob at `offset`, and finish it once all `size` bytes are here.

    `size` is of the whole blob; without it the body is its end. Returns the size. Raises ProblemError: 409 with
    the offset expected, 413, 422 where it is not the content announced, 507; and Refusal (400) when the body
    breaks off, after which what came is kept.
    """
    announced = request.headers.get("content-length")
    if size is None and announced is not None:
        size = offset + int(announced)
    if size is not None and size > limit:
        raise BlobTooLargeError(size, limit)
    here = offset
    buffer = bytearray()

    async def keep() -> None:
        nonlocal here
        if here + len(buffer) > limit:
            raise BlobTooLargeError(here + len(buffer), limit)
        here = await run_sync(blobs.append, digest, uploader, here, [bytes(buffer)])
        buffer.clear()

    try:
        async for piece in request.stream():
            buffer += piece
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


__all__ = ["receive_blob"]
