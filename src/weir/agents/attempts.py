"""Every recorded attempt in memory, by what it is looked for. What is put here is committed with the step."""

from collections.abc import Iterable, Iterator

from weir.agents.agenda import Agenda
from weir.agents.record import Phase, RecordedAttempt
from weir.model.state import Desired, Observed

AT_ENGINE = (Phase.SUBMITTED, Phase.HELD)


class Attempts:
    """The recorded attempts by id, job and phase. Levels (desired, observed, phase) never go down here."""

    def __init__(self, agenda: Agenda) -> None:
        self._agenda = agenda
        self._all: dict[str, RecordedAttempt] = {}
        self._by_job: dict[str, dict[str, None]] = {}
        self._by_phase: dict[Phase, dict[str, None]] = {phase: {} for phase in Phase}
        self.unreported: dict[str, int] = {}
        """What the server has not acknowledged, with a number that rises at every change."""
        self._changes = 0

    def load(self, attempts: Iterable[RecordedAttempt]) -> None:
        """Take up what the record holds; nothing is committed, and all of it is unreported."""
        for attempt in attempts:
            self._index(attempt)

    def get(self, attempt: str) -> RecordedAttempt | None:
        return self._all.get(attempt)

    def __contains__(self, attempt: str) -> bool:
        return attempt in self._all

    def __iter__(self) -> Iterator[RecordedAttempt]:
        return iter(self._all.values())

    def __len__(self) -> int:
        return len(self._all)

    def in_phase(self, *phases: Phase) -> list[RecordedAttempt]:
        """Those in one of these phases, longest there first."""
        return [self._all[name] for phase in phases for name in self._by_phase[phase]]

    def of_job(self, job: str) -> list[RecordedAttempt]:
        """All attempts of one job that are recorded."""
        return [self._all[name] for name in self._by_job.get(job, ())]

    def put(self, attempt: RecordedAttempt) -> None:
        """Record an attempt, new or changed."""
        before = self._all.get(attempt.id)
        if before is not None:
            assert before.phase <= attempt.phase, (
                f"{attempt.id} goes back from {before.phase!r} to {attempt.phase!r}"
            )
            assert before.observed <= attempt.observed, f"{attempt.id} is observed to go back"
            assert before.desired <= attempt.desired, f"{attempt.id} is desired to go back"
            if before.phase is not attempt.phase:
                self._by_phase[before.phase].pop(attempt.id, None)
        self._agenda.batch.attempts[attempt.id] = attempt
        if before is None or _told(before) != _told(attempt):
            self._index(attempt)
        else:
            self._all[attempt.id] = attempt
            self._by_phase[attempt.phase][attempt.id] = None

    def remove(self, attempt: RecordedAttempt) -> None:
        """Drop one whose end the server has."""
        assert attempt.end is not None, f"{attempt.id} has not ended"
        del self._all[attempt.id]
        self._by_phase[attempt.phase].pop(attempt.id, None)
        siblings = self._by_job[attempt.job]
        del siblings[attempt.id]
        if not siblings:
            del self._by_job[attempt.job]
        self.unreported.pop(attempt.id, None)
        self._agenda.batch.attempts.pop(attempt.id, None)
        self._agenda.batch.chunks.pop(attempt.id, None)
        self._agenda.batch.removed[attempt.id] = attempt.end

    def acknowledge(self, attempt: str, change: int) -> None:
        """The server has what was so at that change."""
        if self.unreported.get(attempt) == change:
            del self.unreported[attempt]

    def tell_again(self, attempt: str) -> None:
        """The server does not have what it was told of this one."""
        self._mark(attempt)

    def all_unreported(self) -> None:
        """The server may know nothing of anything."""
        for attempt in self._all:
            self._mark(attempt)

    def _index(self, attempt: RecordedAttempt) -> None:
        self._all[attempt.id] = attempt
        self._by_job.setdefault(attempt.job, {})[attempt.id] = None
        self._by_phase[attempt.phase][attempt.id] = None
        self._mark(attempt.id)

    def _mark(self, attempt: str) -> None:
        self._changes += 1
        self.unreported[attempt] = self._changes


def stopped(attempt: RecordedAttempt) -> bool:
    """Whether it was explicitly said that it should not run."""
    return attempt.desired >= Desired.STOPPED


def _told(attempt: RecordedAttempt) -> tuple[Observed, int | None, str, object]:
    return attempt.observed, attempt.started_ms, attempt.message, attempt.end


__all__ = ["AT_ENGINE", "Attempts", "stopped"]
