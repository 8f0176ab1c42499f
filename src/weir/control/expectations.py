"""For how long jobs are expected to run: what has ended is learnt, and what waits is asked for.

The same code as the twin's (`weir.scheduling.prediction`), told of jobs as they start and end here. Nothing of a job
that has not ended is looked at but for how long it runs so far.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from weir.control.queues import Run
from weir.model.state import Cause, JobState
from weir.scheduling import prediction
from weir.scheduling.prediction import DEPTH, LONGEST_LIMIT_MS, Event

LEAST_MS = 60_000
VERSION = "predicted/1"
"""By what runs are expected to last, as it is logged."""
NOMINAL = 1_000_000
"""In millionths."""
ASKED_EVERY_MS = 60_000
MOST_RUNS, MOST_JOBS = 1_000, 10_000
Waits = Callable[[int, int], bool]
"""Whether a job still waits as it was told to the core, by its number and version."""
TELLING = frozenset({None, Cause.EXIT, Cause.SIGNAL, Cause.TIME_LIMIT, Cause.OUT_OF_MEMORY, Cause.OUTPUTS})
"""Of jobs that ended of these causes the run time is learnt; others were stopped, lost or never began."""


class Kind(NamedTuple):
    """Jobs that are expected to run equally long, so far as anybody can know."""

    organisation: str
    owner: str
    project: str
    size: int
    """Devices, or tasks where they use none."""
    limit_ms: int


class Began(NamedTuple):
    """A job runs since then."""

    job: int
    kind: Kind
    started_ms: int


class Ended(NamedTuple):
    """A job has ended, or holds its place no more. `ran_ms`: at nominal speed; 0 where nothing is learnt of it."""

    job: int
    kind: Kind
    ran_ms: int


class Forecast(NamedTuple):
    """For how long a job would be expected to run at nominal speed, by so many of its user's last jobs."""

    expected_ms: int
    jobs: int


class Expectations:
    """What is remembered of users and projects, and who runs. Its methods are called in turn, from one thread."""

    def __init__(self) -> None:
        self._state = prediction.empty(0, 0)
        self._users: dict[tuple[str, str], int] = {}
        self._projects: dict[str, int] = {}
        self._running: dict[int, Began] = {}

    def happened(self, ended: Iterable[Ended], began: Iterable[Began], gone: Iterable[int] = ()) -> set[int]:
        """Take in what has happened; the rows of the users of whom something was learnt.

        `gone`: jobs that run no longer, of which nothing else is known. A job may be named again and again.
        """
        events: list[tuple[Event, Kind, int, int]] = []
        learnt: set[int] = set()
        for one in ended:
            self._stop(one.job, events)
            if one.ran_ms:
                events.append((Event.END, one.kind, 0, one.ran_ms))
                learnt.add(self.user(one.kind))
        for job in gone:
            self._stop(job, events)
        for start in began:
            if self._running.get(start.job) != start:
                self._stop(start.job, events)
                self._running[start.job] = start
                events.append((Event.START, start.kind, start.started_ms, 0))
        self._replay(events)
        return learnt

    def of(self, kinds: Sequence[Kind], now_ms: int) -> list[int]:
        """For how long a job of each kind is expected to run at nominal speed, from 1 ms to its limit."""
        unlike = list(dict.fromkeys(kinds))
        found = dict(
            zip(unlike, self._replay([(Event.SUBMIT, kind, now_ms, 0) for kind in unlike]), strict=True)
        )
        return [found[kind] for kind in kinds]

    def told(self, kinds: Sequence[Kind], now_ms: int) -> list[int]:
        """The same as the core is told it: a minute at least, or the limit, so that prices still tell pools apart."""
        return [
            max(expected_ms, min(kind.limit_ms, LEAST_MS))
            for kind, expected_ms in zip(kinds, self.of(kinds, now_ms), strict=True)
        ]

    def _stop(self, job: int, events: list[tuple[Event, Kind, int, int]]) -> None:
        before = self._running.pop(job, None)
        if before is not None:
            events.append((Event.LEAVE, before.kind, before.started_ms, 0))

    def forecast(self, kind: Kind, now_ms: int) -> Forecast | None:
        """The same for one kind, with what it rests on; None where nothing of its user has ended yet."""
        user = self._users.get((kind.organisation, kind.owner))
        if user is None or not self._state.ended[user]:
            return None
        [expected_ms] = self.of([kind], now_ms)
        return Forecast(expected_ms, min(DEPTH, int(self._state.ended[user])))

    def user(self, kind: Kind) -> int:
        """The row of the user whose jobs these are."""
        return self._users.setdefault((kind.organisation, kind.owner), len(self._users))

    def _replay(self, events: Sequence[tuple[Event, Kind, int, int]]) -> list[int]:
        if not events:
            return []
        rows = [
            (
                int(event),
                at_ms,
                self.user(kind),
                self._projects.setdefault(kind.project, len(self._projects)),
                min(LONGEST_LIMIT_MS, max(1, kind.size)),
                min(LONGEST_LIMIT_MS, max(1, kind.limit_ms)),
                min(LONGEST_LIMIT_MS, ran_ms),
            )
            for event, kind, at_ms, ran_ms in events
        ]
        self._state = prediction.grown(self._state, len(self._users), len(self._projects))
        columns = np.array(rows, np.int64).T
        found: list[int] = prediction.replay(self._state, *columns).tolist()
        return found


class Asked:
    """For whom expectations were told, by user, so that they can be told anew when more is known of him.

    Of each user only the first MOST_RUNS neighbours that came are remembered, and none with more than MOST_JOBS jobs:
    what they were told once stays.
    """

    def __init__(self) -> None:
        self._by_user: dict[int, dict[int, tuple[Run, Kind, int]]] = {}
        self._asked_ms: dict[int, int] = {}

    def note(self, user: int, run: Run, kind: Kind, expected_ms: int, waits: Waits) -> None:
        """The core was told that these jobs wait, and for how long each is expected to run."""
        if run.last - run.first >= MOST_JOBS:
            return
        known = self._by_user.setdefault(user, {})
        if len(known) >= MOST_RUNS:
            for first in [first for first, (old, _, _) in known.items() if not any(_pieces(old, waits))]:
                del known[first]
        if len(known) < MOST_RUNS or run.first in known:
            known[run.first] = (run, kind, expected_ms)

    def again(
        self, users: Iterable[int], expectations: Expectations, now_ms: int, waits: Waits
    ) -> list[tuple[Run, Kind, int]]:
        """What these users' waiting jobs are expected to run by now, where that is another by an eighth or more.

        Each user is asked for once in ASKED_EVERY_MS at most, and MOST_JOBS jobs at a time.
        """
        found: list[tuple[Run, Kind, int]] = []
        named: set[int] = set()
        for user in sorted(users):
            if now_ms - self._asked_ms.get(user, -ASKED_EVERY_MS) < ASKED_EVERY_MS:
                continue
            self._asked_ms[user] = now_ms
            known = self._by_user.pop(user, {})
            kept = self._by_user.setdefault(user, {})
            asked = expectations.told([kind for _, kind, _ in known.values()], now_ms)
            for (run, kind, before), expected in zip(known.values(), asked, strict=True):
                pieces = list(_pieces(run, waits))
                other = abs(expected - before) * 8 >= before and len(named) < MOST_JOBS
                for piece in pieces:
                    kept[piece.first] = (piece, kind, expected if other else before)
                    jobs = range(piece.first, piece.last + 1)
                    # What was refused its start is noted anew, and was noted before.
                    if other and named.isdisjoint(jobs):
                        named.update(jobs)
                        found.append((piece, kind, expected))
        return found


def _pieces(run: Run, waits: Waits) -> Iterator[Run]:
    """The neighbours of a run that still wait as it says."""
    first = run.first
    for job in range(run.first, run.last + 2):
        if job > run.last or not waits(job, run.version):
            if job > first:
                yield run._replace(first=first, last=job - 1)
            first = job + 1


def learnable(state: JobState, cause: str | None) -> bool:
    """Whether a job that ended so tells how long such jobs run."""
    return state in (JobState.SUCCEEDED, JobState.FAILED) and (Cause(cause) if cause else None) in TELLING


__all__ = ["NOMINAL", "VERSION", "Asked", "Began", "Ended", "Expectations", "Forecast", "Kind", "learnable"]
