"""Files that a task's own user wrote, read by an agent that may see more than that user: never through a link,
never what is no plain file, never another's."""

import errno
import os
import stat
from pathlib import Path


def open_checked(path: Path, uid: int) -> int:
    """A descriptor of a plain file that belongs to this user. Raises OSError for anything else.

    Its folder is the user's to write, and the agent may be root: a link in the place of the file is not followed.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != uid:
        os.close(descriptor)
        raise PermissionError(errno.EPERM, "not a plain file of the attempt's own user", str(path))
    return descriptor


def read_part(path: Path, uid: int, offset: int, limit: int) -> bytes:
    """A piece of such a file; empty where there is none."""
    try:
        descriptor = open_checked(path, uid)
    except OSError:
        return b""
    try:
        return os.pread(descriptor, limit, offset)
    finally:
        os.close(descriptor)


def size_of(path: Path, uid: int) -> int:
    """The size of such a file; 0 where there is none."""
    try:
        descriptor = open_checked(path, uid)
    except OSError:
        return 0
    try:
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


__all__ = ["open_checked", "read_part", "size_of"]
