"""The conversation in which an agent tells what it observes: one report in flight, until acknowledged."""

from dataclasses import replace

from weir.agents.agenda import Agenda
from weir.agents.attempts import Attempts
from weir.agents.effects import SendReport
from weir.agents.record import Phase, Record, RecordedAttempt
from weir.agents.timers import Backoff
from weir.model.agent import LogChunk, Observation, PoolObservation, Report, ReportAnswer
from weir.model.state import Observed

LARGEST_DELTA = 2_000
"""Observations in one report that is not full."""
LARGEST_CHUNKS = 4 << 20
"""Characters of log data in one report."""


class Reporting:
    """Decides when a report goes out and what is in it, and takes its answer in."""

    def __init__(self, agenda: Agenda, attempts: Attempts, record: Record) -> None:
        self._agenda = agenda
        self._attempts = attempts
        self._record = record
        self._backoff = Backoff(agenda.random_bits, 200, 5_000)
        self._in_flight = 0
        self._full_sent = False
        self._sent: dict[str, int] = {}
        self._full_wanted = True
        self._pools: tuple[PoolObservation, ...] | None = None
        self._pools_told: tuple[PoolObservation, ...] | None = None
        self._pools_told_ms: int | None = None
        self._pools_sent: tuple[PoolObservation, ...] | None = None
        self._undated: tuple[PoolObservation, ...] | None = None
        self._unclaimed: tuple[str, ...] = ()
        self._rest: tuple[tuple[str, ...], bool] | None = None
        self._rest_sent: tuple[tuple[str, ...], bool] | None = None
        self._ready = False
        self.incarnation = 0
        self.store_incarnation = ""
        self.draining = False

    def start(self) -> None:
        """The first report is full, and waits a moment for the engine to describe itself."""
        self._agenda.after(("first-report",), self._agenda.pace.first_report_ms)

    def described(self, pools: tuple[PoolObservation, ...], live: frozenset[str]) -> None:
        """What the engine says now."""
        self._pools, self._undated, self._ready = pools, _undated(pools), True
        self._unclaimed = tuple(sorted(name for name in live if name not in self._attempts))

    def want_full(self) -> None:
        """The next report tells everything."""
        self._full_wanted = True
        self._pools_told = None
        self._in_flight = 0  # whatever is under way is answered for another time

    def timer(self, key: tuple[str, ...]) -> None:
        """One of this part's timers has come due; `speak` follows in any case."""
        if key == ("first-report",):
            self._ready = True

    def answered(self, number: int, answer: ReportAnswer) -> tuple[bool, bool]:
        """Whether the answer counts, and whether the server had not answered before it and does again."""
        if number != self._in_flight:
            return False, False
        self._in_flight = 0
        if answer.acknowledged != number:
            # It was dropped: a younger incarnation of this agent has reported.
            self._full_wanted = True
            self._agenda.after(("report-again",), self._backoff.next_ms())
            return False, False
        for attempt, change in self._sent.items():
            self._attempts.acknowledge(attempt, change)
        if self._pools_sent is not None:
            self._pools_told = self._pools_sent
            self._pools_told_ms = self._agenda.now_ms
        self._rest = self._rest_sent
        if answer.want_full:
            self.want_full()
        return True, self._backoff.reset()

    def failed(self, number: int, *, lasting: bool) -> None:
        """It may have arrived or not: what it told stays unacknowledged."""
        if number == self._in_flight:
            self._in_flight = 0
            # Its answer would have named the ends that are kept, also those acknowledged to another store.
            self._full_wanted = self._full_wanted or self._full_sent
            self._agenda.after(("report-again",), self._backoff.next_ms(lasting=lasting))

    def try_now(self) -> None:
        """The server answers the other conversation: there is no reason to wait longer."""
        if ("report-again",) in self._agenda.timers:
            self._agenda.after(("report-again",), 0)

    def speak(self) -> None:
        """Send a report, if there is something to tell, or it is time to show that the agent lives."""
        agenda = self._agenda
        if self._in_flight or not self._ready or ("report-again",) in agenda.timers:
            return
        news = self._full_wanted or self._attempts.unreported or self._pools_news() is not None
        if not news and self._rest_now() == self._rest and ("heartbeat",) in agenda.timers:
            return
        self._send()

    def _send(self) -> None:
        agenda = self._agenda
        full = self._full_sent = self._full_wanted
        self._full_wanted = False
        observations, chunks, self._sent = self._observations(full)
        self._pools_sent = self._pools if full else self._pools_news()
        self._rest_sent = unclaimed, draining = self._rest_now()
        self._in_flight = agenda.number()
        report = Report(
            incarnation=self.incarnation,
            number=self._in_flight,
            store_incarnation=self.store_incarnation,
            agent_time_ms=agenda.now_ms,
            full=full,
            observations=observations,
            chunks=chunks,
            pools=self._pools_sent,
            unclaimed=unclaimed,
            draining=draining,
        )
        agenda.effects.append(SendReport(self._in_flight, report))
        agenda.after(("heartbeat",), agenda.pace.heartbeat_ms)

    def _observations(
        self, full: bool
    ) -> tuple[tuple[Observation, ...], tuple[LogChunk, ...], dict[str, int]]:
        """What to tell, the small logs with it, and which change of each attempt that tells.

        An end goes together with its log. Where the logs of too many have to go along, the rest wait for the
        next report; in a full one they are listed at the level before.
        """
        unreported = self._attempts.unreported
        told: list[Observation] = []
        chunks: list[LogChunk] = []
        sent: dict[str, int] = {}
        room = LARGEST_CHUNKS
        for name in [attempt.id for attempt in self._attempts] if full else list(unreported):
            attempt = self._attempts.get(name)
            if attempt is None or (len(told) >= LARGEST_DELTA and not full):
                continue
            change = unreported.get(name)
            logs: tuple[LogChunk, ...] = ()
            if change is not None and attempt.phase is Phase.ENDED and attempt.ending is not None:
                logs = self._agenda.batch.chunks.get(name) or self._record.chunks(name)
            size = sum(len(chunk.data) for chunk in logs)
            if size > room and chunks:
                if full:
                    told.append(_observation(replace(attempt, observed=Observed.INTENDED, end=None), full))
                continue
            room -= size
            chunks.extend(logs)
            told.append(_observation(attempt, full))
            if change is not None:
                sent[name] = change
        return tuple(told), tuple(chunks), sent

    def _pools_news(self) -> tuple[PoolObservation, ...] | None:
        if self._pools is None:
            return None
        told_ms = self._pools_told_ms
        due = told_ms is None or not 0 <= self._agenda.now_ms - told_ms < self._agenda.pace.pools_ms
        return self._pools if due or self._undated != _undated(self._pools_told) else None

    def _rest_now(self) -> tuple[tuple[str, ...], bool]:
        return tuple(name for name in self._unclaimed if name not in self._attempts), self.draining


def _observation(attempt: RecordedAttempt, full: bool) -> Observation:
    return Observation(
        attempt=attempt.id,
        observed=attempt.observed,
        started_ms=attempt.started_ms,
        message=attempt.message,
        end=attempt.end,
        pool=attempt.pool if full else "",
        nodes=attempt.nodes if full else (),
    )


def _undated(pools: tuple[PoolObservation, ...] | None) -> tuple[PoolObservation, ...] | None:
    return None if pools is None else tuple(replace(pool, read_ms=0) for pool in pools)


__all__ = ["Reporting"]
