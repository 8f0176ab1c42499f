"""The interface of every engine: a handful of methods, idempotent and batched, none knowing of tenants or
money.

Two errors exist. `EngineUnreachableError`: nothing is known, nothing may be concluded, ask again. A refusal
(`SubmitOutcome.accepted` False) is final: the engine will never run that attempt. Whatever else a method
raises is a bug of the driver.

Methods may be called from several threads. `wait` holds nobody else up.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from weir.model.agent import NodeShare, PoolEntry, PoolObservation, Work
from weir.model.state import Cause, Observed

STREAMS = ("stdout", "stderr")

CAPABILITIES: Mapping[str, str] = {
    "commands": "really runs the command; every driver but a pretending one",
    "queue": "what has no room now waits in the engine, and it says why",
    "withdraw": "what has not started can be taken back, and nothing that has started is ended by that",
    "gang": "several tasks of one attempt, started together, that can meet over MASTER_ADDR and MASTER_PORT",
    "devices": "device indices are assigned, and shown by the stack's own variable",
    "shares": "several attempts share one device, in thousandths",
    "cpu-affinity": "tasks are bound to the cores that they were given",
    "memory-limit": "a task that uses more memory than it asked for ends as out-of-memory",
    "memory-rlimit": "a task that asks for more memory than its own is refused it, and ends as it likes",
    "pids-limit": "the number of processes of a task is bounded",
    "kill-all": "whatever a task started is ended with it, whatever it did to get away",
    "kill-by-cgroup": "what a task started is found by its control group",
    "kill-by-session": "what a task started is found by session, parents and environment",
    "stop-signal": "the signal that the job asks for is the one that stops it",
    "containers": "work runs in the container image that it asks for",
    "files": "inputs reach the tasks, and what they make of their work folder comes back at the end",
    "shared-folder": "tasks see the attempt's own folder while they run, not a copy of it",
    "isolation-namespace": "a task sees nothing of the private folder but its own attempt's work",
    "time-limit": "the engine itself ends an attempt at its time limit",
    "streams": "stdout and stderr are kept apart",
    "output-live": "output can be read while the attempt runs",
}
"""Every capability that a driver may claim, and what it promises."""


class EngineUnreachableError(Exception):
    """The engine did not answer: nothing is known, and nothing may be concluded. Ask again."""


@dataclass(frozen=True, slots=True)
class AttemptOrder:
    """One attempt to run, with everything that the engine must know of it.

    `folder` is the attempt's own (`attempts/<id>` of the agent's folder); `folder/work` exists, holds the
    inputs, and is the working folder of every task. An engine that cannot reach it (no `shared-folder`) is
    brought a copy by its driver, and what the tasks made of it lies in `folder/work` when the end is observed.
    """

    attempt: str
    job: str
    epoch: int
    array_index: int | None
    work: Work
    nodes: tuple[NodeShare, ...]
    folder: Path


@dataclass(frozen=True, slots=True)
class SubmitOutcome:
    """The answer for one order. `accepted` False is final, and `message` says why; nothing of it ever runs.

    `accepted` True: the engine durably has it; from now on `observe` never answers NOTHING until `forget`.
    """

    attempt: str
    accepted: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class EngineEnd:
    """How an attempt ended. `cause` None is success, and only then `exit_code` is 0.

    `exit_code` is None where a signal ended the command; `signal` is None where it ended by itself. For a
    gang they are those of the task that failed first. `started_ms` is None where the command never started.
    """

    cause: Cause | None
    exit_code: int | None
    signal: int | None
    message: str
    started_ms: int | None
    ended_ms: int


@dataclass(frozen=True, slots=True)
class EngineState:
    """A definite answer for one attempt.

    `observed` is NOTHING when the engine has no such attempt and never will run it unless it is submitted
    (again); QUEUED when it has it and no command of it runs; RUNNING from the first task's start; ENDED,
    with `end` set, when no process of it is left. It never goes down. `message` says why it waits, where the
    engine can tell.
    """

    attempt: str
    observed: Observed
    started_ms: int | None = None
    end: EngineEnd | None = None
    message: str = ""


class Driver(Protocol):
    """One engine. Made by `load_driver(name)(folder)`, where `folder` is the agent's; `attach` comes
    first."""

    @property
    def capabilities(self) -> frozenset[str]:
        """Which of `CAPABILITIES` hold here; known after `attach`, and constant then."""
        ...

    def attach(self, pools: tuple[PoolEntry, ...], options: Mapping[str, str]) -> None:
        """Connect, and take up again whatever of Weir's the engine still runs or remembers.

        Needs no help from the caller's own record. Called again when pools or options have changed; what
        runs is not touched by it. Raises ProblemError for an option that it does not know or accept.
        """
        ...

    def describe(self, now_ms: int) -> tuple[PoolObservation, ...]:
        """What there is of each pool, and who else uses it."""
        ...

    def submit(self, orders: Sequence[AttemptOrder], now_ms: int) -> list[SubmitOutcome]:
        """Hand over attempts; one outcome each, in their order.

        Idempotent: an attempt that the engine knows is accepted again and never run twice. On
        EngineUnreachableError any of them may or may not have been accepted: ask `observe`.
        """
        ...

    def observe(self, attempts: Iterable[str]) -> list[EngineState]:
        """The state of each, in their order; cheap for thousands."""
        ...

    def changed(self) -> list[str]:
        """Attempts whose state may have changed since the last call of this method; a hint, so that not
        everything need be observed. After `attach` every known one is named once."""
        ...

    def live(self) -> list[str]:
        """Every attempt of Weir's that the engine has and that has not ended, whoever submitted it."""
        ...

    def cancel(self, attempts: Iterable[str]) -> None:
        """See to it that they end: the stop signal, the grace, then KILL for everything that they started.

        Returns at once; `observe` tells the end. An attempt that has not started never starts. Idempotent; an
        unknown or ended one is left as it is.
        """
        ...

    def withdraw(self, attempts: Iterable[str]) -> None:
        """See to it that those of them that have not started never start: they end as cancelled, without a start.

        What has started, or is just being started, goes on as if nothing had been said. Returns at once;
        idempotent; an unknown or ended one is left as it is. Called only where `withdraw` is claimed.
        """
        ...

    def output(self, attempt: str, task: int, stream: str, offset: int, limit: int) -> bytes:
        """At most `limit` bytes from `offset` on, of `stdout` or `stderr`; empty past the end, or before
        any."""
        ...

    def output_size(self, attempt: str, task: int, stream: str) -> int:
        """How many bytes were written so far; 0 before any."""
        ...

    def forget(self, attempts: Iterable[str]) -> None:
        """Drop ended attempts and everything kept of them, their folder included. Only after the server has
        acknowledged the end. An attempt that has not ended is left alone; idempotent."""
        ...

    def wait(self, timeout_s: float) -> bool:
        """Sleep until something may have changed (True, at once) or the time is over (False). Never polls
        busily."""
        ...

    def wake(self) -> None:
        """Make a `wait` of another thread return at once, with True."""
        ...

    def close(self) -> None:
        """Let go of the engine. What runs is left running. Idempotent."""
        ...
