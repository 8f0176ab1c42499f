"""Blobs: files named by the SHA-256 of their content, which therefore never change."""

import fcntl
import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from weir.files.folder import folder_at, sync_folder, write_all
from weir.files.problems import BlobMismatchError, BlobTooLargeError, OffsetError, room_in
from weir.model.problem import not_found, refused

DEFAULT_LIMIT_BYTES = 1 << 36
_DIGEST = re.compile(r"[0-9a-f]{64}")
_READ_BYTES = 1 << 20


class BlobStore:
    """Blobs in a folder: `ab/abcd…`; unfinished ones lie in `partial/` and are never seen.

    Whether a blob is here says nothing about who may use it: that is kept in the store. Several processes may
    share the folder. All sizes are bytes. A digest that is none is refused by ProblemError.
    """

    def __init__(self, address: str | Path, *, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self._root = folder_at(address)
        self._partial = self._root / "partial"
        self._partial.mkdir(mode=0o700, exist_ok=True)
        self.limit_bytes = limit_bytes

    def size(self, digest: str) -> int | None:
        """The size of a blob, or None when it is not here."""
        try:
            return self._path(digest).stat().st_size
        except FileNotFoundError:
            return None

    def exists(self, digest: str) -> bool:
        """Whether the whole blob is here."""
        return self.size(digest) is not None

    def open(self, digest: str) -> BinaryIO:
        """Its content, to read; it can be read to the end even if it is swept meanwhile."""
        try:
            return self._path(digest).open("rb")
        except FileNotFoundError:
            raise not_found("blob", digest) from None

    def put(self, digest: str, chunks: Iterable[bytes], size: int) -> None:
        """Keep what `chunks` yield, durably, once it is all there and proven to be that digest and size.

        It is read and proven even when the blob is here already. Raises BlobTooLargeError,
        BlobMismatchError or FilesFullError; then nothing of it is kept.
        """
        with self.writer(digest, size) as writer:
            for chunk in chunks:
                writer.write(chunk)
            writer.finish()

    def put_bytes(self, content: bytes) -> str:
        """Keep it, and return its digest."""
        digest = hashlib.sha256(content).hexdigest()
        self.put(digest, [content], len(content))
        return digest

    @contextmanager
    def writer(self, digest: str, size: int) -> Iterator["BlobWriter"]:
        """To write a blob piece by piece; without `finish` nothing of it is kept. Raises as `put` does."""
        self._path(digest)
        self._check_limit(size)
        with room_in(self._root):
            descriptor, name = tempfile.mkstemp(prefix=f"{digest}-", dir=self._partial)
        path = Path(name)
        try:
            yield BlobWriter(self, descriptor, path, digest, size)
        finally:
            os.close(descriptor)
            path.unlink(missing_ok=True)

    def partial_size(self, digest: str, uploader: str) -> int:
        """How many bytes of an unfinished upload of this uploader are here; 0 for none."""
        try:
            return self._partial_path(digest, uploader).stat().st_size
        except FileNotFoundError:
            return 0

    def append(self, digest: str, uploader: str, offset: int, chunks: Iterable[bytes]) -> int:
        """Add to an unfinished upload, which begins at offset 0; the size that it has then.

        Raises OffsetError, with the offset expected, unless it goes on just where the upload stands;
        BlobTooLargeError; FilesFullError. What came before is kept.
        """
        path = self._partial_path(digest, uploader)
        with room_in(self._root), _locked(path) as descriptor:
            size = os.fstat(descriptor).st_size
            if offset != size:
                raise OffsetError(offset, size)
            for chunk in chunks:
                self._check_limit(size + len(chunk))
                write_all(descriptor, chunk, size)
                size += len(chunk)
            return size

    def finish(self, digest: str, uploader: str, size: int) -> None:
        """Make the upload a blob, durably. Harmless when repeated after success.

        Raises OffsetError while bytes are missing, and BlobMismatchError when it is not what was announced;
        then the upload is dropped and begins anew.
        """
        path = self._partial_path(digest, uploader)
        if not path.exists() and self.size(digest) == size:
            return
        with room_in(self._root), _locked(path) as descriptor:
            here = os.fstat(descriptor).st_size
            if here < size:
                raise OffsetError(size, here)
            try:
                with path.open("rb") as content:
                    found = hashlib.file_digest(content, "sha256").hexdigest()
                _prove(found, digest, here, size)
                os.fsync(descriptor)
                self._publish(path, digest)
            finally:
                path.unlink(missing_ok=True)

    def abandon(self, digest: str, uploader: str) -> None:
        """Drop an unfinished upload."""
        self._partial_path(digest, uploader).unlink(missing_ok=True)

    def sweep(self, keep: Callable[[str], bool], *, older_than_ms: int, now_ms: int) -> int:
        """Remove blobs brought more than `older_than_ms` ago that `keep` does not want, and stale uploads.

        `keep` is asked by digest. A blob that is brought anew meanwhile stays. Returns how many were removed.
        """
        removed = 0
        until_ms = now_ms - older_than_ms
        for path in sorted(self._partial.iterdir()):
            if _brought_ms(path) < until_ms:
                path.unlink(missing_ok=True)
                removed += 1
        for path in sorted(self._root.glob("??/*")):
            if not _DIGEST.fullmatch(path.name) or _brought_ms(path) >= until_ms or keep(path.name):
                continue
            with self._publishing():
                if _brought_ms(path) < until_ms:
                    path.unlink(missing_ok=True)
                    removed += 1
        return removed

    def _path(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise refused("digest", digest, "a SHA-256 in 64 hexadecimal digits, lower case")
        return self._root / digest[:2] / digest

    def _partial_path(self, digest: str, uploader: str) -> Path:
        self._path(digest)
        who = hashlib.sha256(uploader.encode()).hexdigest()[:16]
        return self._partial / f"{digest}-by-{who}"

    def _check_limit(self, size: int) -> None:
        if size > self.limit_bytes:
            raise BlobTooLargeError(size, self.limit_bytes)

    def _publish(self, written: Path, digest: str) -> None:
        """Give durable, proven content its name. One that is here already counts as brought now."""
        path = self._path(digest)
        if not path.parent.exists():
            path.parent.mkdir(mode=0o700, exist_ok=True)
            sync_folder(self._root)
        with self._publishing():
            try:
                os.utime(path)
            except FileNotFoundError:
                os.utime(written)
                written.rename(path)
                sync_folder(path.parent)

    @contextmanager
    def _publishing(self) -> Iterator[None]:
        """Alone among all processes, so that a blob brought anew is not swept at the same moment."""
        with _locked(self._root / ".lock"):
            yield


class BlobWriter:
    """Takes a blob's content piece by piece."""

    def __init__(self, store: BlobStore, descriptor: int, path: Path, digest: str, size: int) -> None:
        self._store = store
        self._descriptor = descriptor
        self._path = path
        self._digest = digest
        self._announced = size
        self._hash = hashlib.sha256()
        self._size = 0

    def write(self, chunk: bytes) -> None:
        """Add a piece. Raises BlobMismatchError as soon as there are more bytes than announced."""
        if self._size + len(chunk) > self._announced:
            raise BlobMismatchError("size", f"more than {self._announced} bytes", f"{self._announced} bytes")
        with room_in(self._path.parent):
            write_all(self._descriptor, chunk, self._size)
        self._hash.update(chunk)
        self._size += len(chunk)

    def finish(self) -> None:
        """Prove what was written and make it a blob, durably."""
        _prove(self._hash.hexdigest(), self._digest, self._size, self._announced)
        with room_in(self._path.parent):
            os.fsync(self._descriptor)
            self._store._publish(self._path, self._digest)  # noqa: SLF001 - the writer is the store's other half


def chunks_of(stream: BinaryIO, size: int = _READ_BYTES) -> Iterator[bytes]:
    """A stream's content in pieces."""
    while chunk := stream.read(size):
        yield chunk


def _prove(found: str, digest: str, found_size: int, size: int) -> None:
    if found_size != size:
        raise BlobMismatchError("size", f"{found_size} bytes", f"{size} bytes")
    if found != digest:
        raise BlobMismatchError("digest", f"SHA-256 {found}", digest)


def _brought_ms(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_mtime_ns // 1_000_000
    return 1 << 62


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """The descriptor of the file of that name, alone among all threads and processes that ask so."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Whoever held it may have given the file another name: a published blob must not be added to.
            if _is_at(descriptor, path):
                yield descriptor
                return
        finally:
            os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), path.stat())
    return False


__all__ = ["DEFAULT_LIMIT_BYTES", "BlobStore", "BlobWriter", "chunks_of"]
