"""What can go wrong with files, for the one whose request meets it."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from weir.model.problem import FieldProblem, Problem, ProblemError

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class FilesFullError(ProblemError):
    """There is no room for the bytes sent; nothing that can be seen has been changed."""

    def __init__(self, where: Path) -> None:
        super().__init__(
            Problem(
                "files-full", 507, f"no room left in {where}: nothing was kept; free some space, then repeat"
            )
        )


class BlobTooLargeError(ProblemError):
    """A blob is larger than what is accepted here."""

    def __init__(self, size: int, limit: int) -> None:
        accepted = f"at most {limit} bytes"
        super().__init__(
            Problem(
                "too-large",
                413,
                f"the file has {size} bytes, which is too large: {accepted} are accepted",
                (FieldProblem("size", str(size), accepted),),
            )
        )


class BlobMismatchError(ProblemError):
    """What was sent is not what was announced; nothing of it is kept."""

    def __init__(self, field: str, sent: str, announced: str) -> None:
        super().__init__(
            Problem(
                "mismatch",
                422,
                f"{field}: what was sent has {sent}, announced was {announced}; it is dropped, send it anew",
                (FieldProblem(field, sent, announced),),
            )
        )


class OffsetError(ProblemError):
    """Bytes cannot be added there; `expected` is where the next ones belong."""

    def __init__(self, offset: int, expected: int) -> None:
        super().__init__(
            Problem(
                "offset",
                409,
                f"offset: {offset} leaves a gap or overlaps; go on at {expected}",
                (FieldProblem("offset", str(offset), str(expected)),),
            )
        )
        self.expected = expected


@contextmanager
def room_in(where: Path) -> Iterator[None]:
    """Turns the system's refusal to write for lack of room into FilesFullError."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise FilesFullError(where) from error
        raise


__all__ = ["BlobMismatchError", "BlobTooLargeError", "FilesFullError", "OffsetError", "room_in"]
