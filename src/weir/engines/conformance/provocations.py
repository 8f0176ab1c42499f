"""What the suite can be given the means to do to an engine, so that more of a driver's promises can be
tried."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields

__all__ = ["NO_PROVOCATIONS", "PROVOCATIONS", "Provocations"]


@dataclass(frozen=True, slots=True)
class Provocations:
    """Ways to bring about from outside what an engine does seldom; None where nobody here has the means.

    A case that needs one that is missing is reported as not tried, and never as passed. Attempts are named by
    Weir's own names; every one of these returns when it has been done.
    """

    restart_engine: Callable[[], object] | None = None
    """Stop the engine's daemon as roughly as it can be, and start it again. What runs may go on."""
    unreachable: Callable[[], AbstractContextManager[object]] | None = None
    """While entered, the driver gets no answer from the engine; what runs goes on."""
    lose_reply: Callable[[], AbstractContextManager[object]] | None = None
    """While entered, the engine takes what it is told, and the driver never gets the answer."""
    fail_node: Callable[[str], object] | None = None
    """Let the node on which the attempt runs fail."""
    preempt: Callable[[str], object] | None = None
    """Let work of higher rank take the attempt's place."""
    requeue: Callable[[str], object] | None = None
    """Let the engine itself end the attempt and queue it again."""
    vanish: Callable[[str], object] | None = None
    """Let the engine lose everything that it knows of the attempt; nothing of it runs on."""
    reach_limit: Callable[[str], object] | None = None
    """Bring the attempt to its time limit now, where the shortest limit is too long to wait for."""
    skew_clock: Callable[[int], AbstractContextManager[object]] | None = None
    """While entered, the engine's clock is so many milliseconds ahead of the driver's."""
    drain_node: Callable[[str], AbstractContextManager[object]] | None = None
    """While entered, a node of the pool is out of service."""
    occupy: Callable[[str], AbstractContextManager[object]] | None = None
    """While entered, one of the centre's own users uses a whole node of the pool."""
    kill_process: Callable[[int], object] | None = None
    """Send SIGKILL to a process by its number, where tasks run."""
    left: Callable[[], list[str]] | None = None
    """What the engine still has of Weir's, ended or not, by any name."""


NO_PROVOCATIONS = Provocations()

PROVOCATIONS = tuple(field.name for field in fields(Provocations))
"""The names that a case may need."""
