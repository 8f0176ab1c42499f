"""Which files an ended attempt hands over: what its patterns match inside its work folder, and nothing else."""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from weir.model.job_rules import safe_relative_path
from weir.model.problem import ProblemError
from weir.units import format_bytes

MOST_FILES = 100_000


class OutputsError(Exception):
    """The outputs cannot be taken over as they are; the message says why."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file to hand over: its path below the work folder, where its content lies, and its size."""

    path: str
    content: Path
    size_bytes: int
    work: Path

    def open(self) -> BinaryIO:
        """Its content. Raises OutputsError for what is no regular file of the attempt's own user, OSError."""
        try:
            descriptor = _open_below(self.work, self.content.relative_to(self.work).parts)
        except OSError as error:
            if error.errno in _NO_FILE:
                raise OutputsError(f"output {self.path!r} is not a file of its own user") from None
            raise
        return os.fdopen(descriptor, "rb")


_NO_FILE = (errno.ELOOP, errno.ENOTDIR, errno.EPERM, errno.ENXIO, errno.EISDIR)
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def _open_below(work: Path, parts: Sequence[str]) -> int:
    """A regular file below the work folder, reached through no link at all.

    What it leaves behind may still change the folders while they are read, and the agent may be root: so each
    folder is entered from the one before it. Nor does root give away what was linked into them from elsewhere.
    """
    folder = os.open(work, _FOLDER)
    try:
        owner = os.fstat(folder).st_uid
        for name in parts[:-1]:
            inner = os.open(name, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = inner
        file = os.open(parts[-1], _FILE, dir_fd=folder)
    finally:
        os.close(folder)
    found = os.fstat(file)
    # A task that is root itself may own its files to anybody, and reads everything without the agent's help.
    others = os.geteuid() == 0 and owner != 0 and found.st_uid != owner
    if others or not stat.S_ISREG(found.st_mode):
        os.close(file)
        raise PermissionError(errno.EPERM, "not a regular file of the attempt's own user", parts[-1])
    return file


def find_outputs(work: Path, patterns: Sequence[str], limit_bytes: int) -> list[Found]:
    """What the patterns match, by path. A folder that matches stands for all files in it.

    Links are followed as long as they stay inside the work folder; sockets, pipes and devices are passed over.
    Raises OutputsError for a match that leads outside, for more than `limit_bytes` together, for too many files.
    """
    # The folder around it may be the user's as well: a link in the place of the work folder itself leads outside.
    if work.is_symlink():
        raise OutputsError("the job's folder has been replaced by a link")
    root = Path(os.path.realpath(work))
    found: dict[str, Found] = {}
    total = 0
    for pattern in patterns:
        for match in _matches(root, pattern):
            file = _inside(root, match)
            if file is None or file.path in found:
                continue
            found[file.path] = file
            total += file.size_bytes
            if total > limit_bytes:
                raise OutputsError(
                    f"the outputs are larger than {format_bytes(limit_bytes)} together; hand over less"
                )
            if len(found) > MOST_FILES:
                raise OutputsError(f"the outputs are more than {MOST_FILES} files; pack them into fewer")
    return [found[path] for path in sorted(found)]


def _matches(root: Path, pattern: str) -> Iterator[Path]:
    try:
        matches = root.glob(safe_relative_path("outputs", pattern))
        for match in matches:
            if match.is_dir() and _leads_inside(root, match):
                for folder, names, files in os.walk(match):
                    # os.walk does not enter linked folders; they are looked at as what they are.
                    linked = [name for name in names if (Path(folder) / name).is_symlink()]
                    for name in sorted([*files, *linked]):
                        yield Path(folder) / name
            else:
                yield match
    except (ValueError, NotImplementedError, ProblemError) as error:
        raise OutputsError(f"output pattern {pattern!r} cannot be used: {error}") from None


def _inside(root: Path, match: Path) -> Found | None:
    """The match as a file to hand over, None for what is no file. Raises OutputsError when it leads outside."""
    path = str(match.relative_to(root))
    if not _leads_inside(root, match):
        raise OutputsError(f"output {path!r} leads out of the job's folder")
    content = Path(os.path.realpath(match))
    try:
        status = content.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None  # a link to nothing
    if not stat.S_ISREG(status.st_mode):
        return None
    try:
        path.encode()
    except UnicodeEncodeError:
        raise OutputsError(f"output {path!r} has a name that is not UTF-8") from None
    return Found(path, content, status.st_size, root)


def _leads_inside(root: Path, match: Path) -> bool:
    real = os.path.realpath(match)
    return real == str(root) or real.startswith(f"{root}{os.sep}")


__all__ = ["Found", "OutputsError", "find_outputs"]
