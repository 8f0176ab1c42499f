"""What nodes bring back: taken in piece by piece, and put in the place of the work folder when all has ended.

Of an attempt's folder, `incoming` holds files that are on their way, `returned/PART` those that have come whole,
PART being the task (or the node of a gang) that made them. Nobody but the agent writes here.
"""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from weir.model.job_rules import safe_relative_path

__all__ = ["MOST_FILES", "TooLargeError", "WrongPlaceError", "begin", "settle", "settled", "sizes", "take"]

MOST_FILES = 100_000


class WrongPlaceError(Exception):
    """A piece does not go on where the file ends; `size_bytes` is how much of it is here."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"{size_bytes} bytes are here")
        self.size_bytes = size_bytes


class TooLargeError(Exception):
    """More than the attempt may hand over."""


def settled(folder: Path) -> bool:
    """Whether the work folder already is what came back; nothing more is taken then."""
    return (folder / "taken").exists()


def begin(folder: Path, part: int) -> None:
    """Forget what this part has brought before: it begins anew."""
    shutil.rmtree(folder / "returned" / str(part), ignore_errors=True)
    for path in _incoming(folder, part):
        path.unlink(missing_ok=True)
    (folder / "returned" / str(part)).mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / "incoming").mkdir(mode=0o700, exist_ok=True)


def take(
    folder: Path, part: int, path: str, offset: int, data: bytes, *, end: bool, mode: int, left_bytes: int
) -> int:
    """Add a piece of a file, and with `end` make it whole. How many bytes were added, 0 for one that was here.

    Raises WrongPlaceError, TooLargeError where more than `left_bytes` would come, ProblemError for a path that
    leads elsewhere, OSError.
    """
    name = str(safe_relative_path("output", path))
    whole = folder / "returned" / str(part) / name
    partial = folder / "incoming" / f"{part}-{hashlib.sha256(name.encode()).hexdigest()}"
    if whole.is_file():
        if end and offset + len(data) == whole.stat().st_size:
            return 0  # the answer to its last piece was lost
        raise WrongPlaceError(whole.stat().st_size)
    held = partial.stat().st_size if partial.exists() else 0
    if offset != held:
        raise WrongPlaceError(held)
    if len(data) > left_bytes:
        raise TooLargeError
    with partial.open("ab") as file:
        file.write(data)
    if end:
        whole.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial.chmod(mode & 0o700 | 0o600)
        partial.replace(whole)
    return len(data)


def sizes(folder: Path) -> tuple[int, int]:
    """How many files have come or are on their way, and their bytes."""
    files = [*_below(folder / "returned"), *_below(folder / "incoming")]
    return len(files), sum(path.stat().st_size for path in files)


def settle(folder: Path) -> None:
    """Put what came whole in the place of the work folder: of files with one path the lowest part's.

    Does nothing where nothing was begun. May be broken off at any point and is then gone on with.
    """
    returned, brought, taken = folder / "returned", folder / "brought", folder / "taken"
    if returned.is_dir():
        brought.mkdir(mode=0o700, exist_ok=True)
        for part in sorted(returned.iterdir(), key=lambda path: int(path.name)):
            for path in _below(part):
                target = brought / path.relative_to(part)
                # A file in the place of a folder, from two nodes: the lower one's stays.
                with contextlib.suppress(FileExistsError, NotADirectoryError):
                    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    if not target.exists():
                        path.replace(target)
        returned.replace(taken)
    if brought.is_dir():
        shutil.rmtree(folder / "work", ignore_errors=True)
        brought.replace(folder / "work")
    shutil.rmtree(folder / "incoming", ignore_errors=True)


def _below(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        for name in sorted(names):
            yield Path(place) / name


def _incoming(folder: Path, part: int) -> list[Path]:
    return list((folder / "incoming").glob(f"{part}-*"))
