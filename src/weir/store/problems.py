"""What can go wrong with the store, for the person who starts it and for the one whose request meets it."""

from weir.model.problem import Problem, ProblemError


class StoreError(Exception):
    """The store cannot be opened or used; the message says what to do. Nothing has been changed."""


class StoreInUseError(StoreError):
    """Another process has this SQLite file open."""


class StoreNewerError(StoreError):
    """The store was written by a newer Weir than this one."""


class StoreFullError(ProblemError):
    """There is no room to write (or the disk fails); the transaction was rolled back whole."""

    def __init__(self, where: str) -> None:
        title = (
            f"the disk of the store is full or over its quota ({where}): nothing was changed; free some space"
        )
        super().__init__(Problem("store-full", 507, title))


class StoreBusyError(ProblemError):
    """Every repetition of the transaction met a conflict with others; it was rolled back whole."""

    def __init__(self, tries: int) -> None:
        super().__init__(
            Problem(
                "store-busy",
                503,
                f"others changed the same things {tries} times over: nothing was changed; repeat it",
            )
        )


class StoreUnavailableError(ProblemError):
    """The database does not answer. If it went away while committing, the transaction may have been done."""

    def __init__(self, why: str) -> None:
        super().__init__(
            Problem("store-unavailable", 503, f"the database does not answer: {why}; repeat it later")
        )


class LogCutError(ProblemError):
    """The changes asked for were cut off; the reader lists everything anew and goes on from there."""

    def __init__(self, after: int, floor: int) -> None:
        super().__init__(
            Problem(
                "log-cut",
                410,
                f"changes after {after} are gone, the log begins at {floor}: list anew, then follow",
            )
        )
        self.floor = floor


__all__ = [
    "LogCutError",
    "StoreBusyError",
    "StoreError",
    "StoreFullError",
    "StoreInUseError",
    "StoreNewerError",
    "StoreUnavailableError",
]
