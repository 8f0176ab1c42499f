"""Writing what a job made to a URL: into a folder of the centre's, to any web server by PUT, to any S3 service."""

import base64
import contextlib
import errno
import hashlib
import os
import secrets
import urllib.parse
from collections.abc import Iterator
from typing import BinaryIO

from weir.agents.sources import Source, Sources
from weir.agents.url_requests import (
    MOST_REDIRECTS,
    REDIRECTS,
    SourceRefusedError,
    asked,
    check_status,
    place_of,
    sent_on,
)

__all__ = ["send_url"]

_LARGEST_OBJECT = 5 << 30
"""What S3 takes in one request."""
_KEEP_METHOD = (307, 308)
_PIECE = 1 << 20
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_PLACE = (errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT)


def send_url(sources: Sources, url: str, account: str, content: BinaryIO, digest: str) -> None:
    """Make the URL hold the whole content, of that SHA-256; done again it changes nothing.

    A reader sees all of it or nothing. Raises SourceAwayError, SourceRefusedError, ProblemError for what the centre
    does not write for this account, OSError for the content or a full disk.
    """
    source = sources.to(url, account)
    size = os.fstat(content.fileno()).st_size
    limit = min(source.largest_bytes, _LARGEST_OBJECT) if source.scheme == "s3" else source.largest_bytes
    if size > limit:
        raise SourceRefusedError(f"{url} would get {size} bytes, and at most {limit} are written there")
    if source.scheme == "file":
        _lay(source, url, content, size, digest)
    else:
        _put(source, url, content, size, digest)


def _put(source: Source, url: str, content: BinaryIO, size: int, digest: str) -> None:
    proof = base64.b64encode(bytes.fromhex(digest)).decode("ascii")
    headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
    if source.scheme == "s3":
        # A signed request is refused by the service itself where the content is another.
        headers["x-amz-meta-sha256"] = digest
    else:
        headers["Content-Digest"] = f"sha-256=:{proof}:"  # RFC 9530
    for _ in range(MOST_REDIRECTS + 1):
        pieces = _pieces(content, size, digest, url)
        place = place_of(source, url)
        with asked(source, place, headers, method="PUT", digest=digest, content=pieces) as answer:
            if answer.status in REDIRECTS and source.scheme != "s3":
                target = sent_on(url, answer.getheader("Location", ""))
                if answer.status not in _KEEP_METHOD or not source.reaches(target):
                    raise SourceRefusedError(f"{url} is sent on to {target}, where nothing is written")
                url = target
                continue
            check_status(answer.status, url, (200, 201, 202, 204))
            return
    raise SourceRefusedError(f"{url} is sent on more than {MOST_REDIRECTS} times")


def _lay(source: Source, url: str, content: BinaryIO, size: int, digest: str) -> None:
    """Below the folder that the centre names, through no link: folders are entered one from the other."""
    root = source.prefix.removeprefix("file://")
    path = urllib.parse.unquote(urllib.parse.urlsplit(url).path)
    *folders, name = path.removeprefix(root).split("/")
    try:
        with _entered(root, [part for part in folders if part]) as folder:
            _write(folder, name, _pieces(content, size, digest, url))
    except OSError as error:
        if error.errno in _NO_PLACE:
            raise SourceRefusedError(f"{url} cannot be written at the centre: {error.strerror}") from None
        raise


@contextlib.contextmanager
def _entered(root: str, folders: list[str]) -> Iterator[int]:
    # The centre's own folder may well be a link; what lies below it is tenants'.
    folder = os.open(root, _FOLDER & ~os.O_NOFOLLOW)
    try:
        for part in folders:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=folder)
            inner = os.open(part, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = inner
        yield folder
    finally:
        os.close(folder)


def _write(folder: int, name: str, pieces: Iterator[bytes]) -> None:
    beside = f".{secrets.token_hex(8)}.part"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(beside, flags, 0o644, dir_fd=folder), "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        os.rename(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside, dir_fd=folder)
        raise


def _pieces(content: BinaryIO, size: int, digest: str, url: str) -> Iterator[bytes]:
    """The content from its beginning. What it leaves behind may still write to it: then it is not handed on."""
    content.seek(0)
    sha, left = hashlib.sha256(), size
    while left and (piece := content.read(min(_PIECE, left))):
        sha.update(piece)
        left -= len(piece)
        if not left and sha.hexdigest() != digest:
            break
        yield piece
    if left or sha.hexdigest() != digest:
        raise SourceRefusedError(f"the file for {url} changed while it was sent")
