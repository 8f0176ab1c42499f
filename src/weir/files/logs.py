"""Logs: what each task of an attempt prints, by stream, added at its offset as it arrives."""

import fcntl
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from weir.files.folder import folder_at, sync_folder, write_all
from weir.files.problems import OffsetError, room_in
from weir.model.identity import JobName, parse_attempt_id
from weir.model.problem import conflict, refused

STREAMS = ("stdout", "stderr")
_OPEN_MODE = 0o600
_ENDED_MODE = 0o400
_ELEMENTS_PER_FOLDER = 1000

LogName = tuple[str, int, str]
"""Attempt, task and stream."""


class LogStore:
    """Logs in a folder, one file each; an ended one is read-only.

    Several processes may share the folder. Sizes and offsets are bytes. A name that is none is refused by
    ProblemError, so that no name leads out of the folder.
    """

    def __init__(self, address: str | Path) -> None:
        self._root = folder_at(address)
        self._gate = threading.Lock()
        self._followers: dict[LogName, tuple[Callable[[], None], ...]] = {}

    def append(self, attempt: str, task: int, stream: str, offset: int, data: bytes) -> int:
        """Add what of `data` goes beyond the log's end; the size then. A repetition changes nothing.

        Raises OffsetError with the offset expected when it would leave a gap, FilesFullError, and
        ProblemError when it would extend an ended log. Durable only once `end` is called.
        """
        path = self._path(attempt, task, stream)
        if offset < 0:
            raise refused("offset", offset, "a number of bytes from 0")
        with room_in(self._root), _locked(path) as descriptor:
            status = os.fstat(descriptor)
            size = status.st_size
            if offset > size:
                raise OffsetError(offset, size)
            fresh = memoryview(data)[size - offset :]
            if fresh:
                if _ended(status):
                    raise conflict(
                        f"the {stream} of {attempt} has ended at {size} bytes: nothing can be added"
                    )
                try:
                    write_all(descriptor, fresh, size)
                except OSError:
                    os.ftruncate(descriptor, size)
                    raise
        if fresh:
            self._tell((attempt, task, stream))
        return size + len(fresh)

    def end(self, attempt: str, task: int, stream: str) -> int:
        """Nothing more will come: make what is here durable, and return its size. Harmless when repeated."""
        self.end_all([(attempt, task, stream)])
        return self.size(attempt, task, stream)

    def end_all(self, names: Iterable[LogName]) -> None:
        """End many logs, which costs less than one by one."""
        ended = list(names)
        folders = set()
        for name in ended:
            path = self._path(*name)
            with room_in(self._root), _locked(path) as descriptor:
                if not _ended(os.fstat(descriptor)):
                    os.fchmod(descriptor, _ENDED_MODE)
                    os.fsync(descriptor)
                    folders.add(path.parent)
        for folder in folders:
            sync_folder(folder)
        for name in ended:
            self._tell(name)

    def size(self, attempt: str, task: int, stream: str) -> int:
        """How much is here; 0 when nothing has come yet."""
        try:
            return self._path(attempt, task, stream).stat().st_size
        except FileNotFoundError:
            return 0

    def ended(self, attempt: str, task: int, stream: str) -> bool:
        """Whether nothing more will come."""
        try:
            return _ended(self._path(attempt, task, stream).stat())
        except FileNotFoundError:
            return False

    def read(self, attempt: str, task: int, stream: str, offset: int, limit: int) -> bytes:
        """At most `limit` bytes from `offset` on; none when there are none yet."""
        path = self._path(attempt, task, stream)
        if offset < 0:
            raise refused("offset", offset, "a number of bytes from 0")
        try:
            with path.open("rb", buffering=0) as log:
                log.seek(offset)
                return log.read(limit)
        except FileNotFoundError:
            return b""

    def follow(self, attempt: str, task: int, stream: str, woken: Callable[[], None]) -> Callable[[], None]:
        """Have `woken` called whenever this process adds to the log or ends it. Returns what ends that.

        It is called in the thread that adds, and must return at once. Another process's additions are not
        told of: look again from time to time.
        """
        self._path(attempt, task, stream)
        name = (attempt, task, stream)
        with self._gate:
            self._followers[name] = (*self._followers.get(name, ()), woken)
        return lambda: self._unfollow(name, woken)

    def _tell(self, name: LogName) -> None:
        for woken in self._followers.get(name, ()):
            woken()

    def _unfollow(self, name: LogName, woken: Callable[[], None]) -> None:
        with self._gate:
            left = tuple(other for other in self._followers.get(name, ()) if other is not woken)
            if left:
                self._followers[name] = left
            else:
                self._followers.pop(name, None)

    def _path(self, attempt: str, task: int, stream: str) -> Path:
        try:
            name, epoch = parse_attempt_id(attempt)
        except ValueError as error:
            raise refused("attempt", attempt, str(error)) from None
        if stream not in STREAMS:
            raise refused("stream", stream, " or ".join(STREAMS))
        if not 0 <= task < 1_000_000:
            raise refused("task", task, "a number from 0 to 999999")
        job = JobName.parse(name)
        element = "" if job.index is None else f"{job.index}"
        shard = str((job.index or 0) // _ELEMENTS_PER_FOLDER)
        return self._root / job.submission[:2] / job.submission / shard / f"{element}-{epoch}.{task}.{stream}"


def _ended(status: os.stat_result) -> bool:
    return status.st_mode & 0o777 == _ENDED_MODE


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """The log's descriptor, made when missing, alone among all threads and processes that add to it."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, _OPEN_MODE)
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, flags, _OPEN_MODE)
    except PermissionError:
        # An ended log cannot be opened for writing (except by root), and need not be.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


__all__ = ["STREAMS", "LogName", "LogStore"]
