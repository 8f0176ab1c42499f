"""From desired to ended: the rules by which one attempt moves at its centre.

    FETCHING → WAITING → SUBMITTED → HELD → COLLECTING → ENDED → KEPT → gone

The move to SUBMITTED is committed before the engine hears of it, and happens once in an attempt's life. From
there only a definite answer of the engine moves it on.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from weir.agents.agenda import Agenda
from weir.agents.attempts import AT_ENGINE, Attempts, stopped
from weir.agents.effects import Collect, Describe, Fetch
from weir.agents.inputs import Collected, EngineStates, Fetched, SubmitAnswered, SubmitUnknown
from weir.agents.record import Phase, Record, RecordedAttempt
from weir.agents.timers import Backoff
from weir.engines.driver import AttemptOrder, EngineState
from weir.model.agent import DesiredAttempt, End, Work
from weir.model.identity import parse_attempt_id
from weir.model.state import Cause, Desired, Observed

NEVER = 1 << 62


class Lifecycle:
    """Moves attempts. What it wants done it leaves on the agenda."""

    def __init__(self, agenda: Agenda, attempts: Attempts, record: Record, attempts_root: Path) -> None:
        self._agenda = agenda
        self._attempts = attempts
        self._record = record
        self._root = attempts_root
        self._deferred: dict[str, tuple[DesiredAttempt, Work]] = {}
        self._doubts: dict[str, None] = {}
        """Whether these are at the engine at all must still be found out."""
        self._believed_after: dict[str, int] = {}
        """For what is at the engine: answers to questions above this number may say that it is not there."""
        self._withdrawing: dict[str, None] = {}
        self._pauses: dict[tuple[str, str], Backoff] = {}
        self._engine_pause = Backoff(agenda.random_bits, 500, 10_000)
        self.engine_answers = True
        self.draining = False
        self.live: frozenset[str] = frozenset()
        """What lived in the engine when it was last described."""

    def start(self) -> None:
        """Take up everything where the record says it stands."""
        for attempt in self._attempts.in_phase(Phase.FETCHING, Phase.WAITING):
            if stopped(attempt):  # by an order left while no agent ran
                self._stop(attempt, "")
            elif attempt.phase is Phase.FETCHING:
                self._fetch(attempt)
            else:
                self._try_start(attempt)
        for attempt in self._attempts.in_phase(*AT_ENGINE):
            self._doubt(attempt.id)
            if attempt.phase is Phase.HELD and stopped(attempt):
                self._cancel(attempt.id)
        for attempt in self._attempts.in_phase(Phase.COLLECTING):
            self._agenda.effects.append(Collect(attempt))
        for attempt in self._attempts.in_phase(Phase.KEPT):
            self._forget(attempt)
        self._agenda.after(("sweep",), self._agenda.pace.sweep_ms)

    def want(self, wanted: DesiredAttempt, works: Mapping[str, Work]) -> None:
        """What the server desires of one attempt."""
        known = self._attempts.get(wanted.attempt)
        if known is not None and known.phase >= Phase.ENDED:
            # It was told, perhaps to a store that did not know the attempt then, and has placed it since.
            self._attempts.tell_again(known.id)
        if wanted.desired is not Desired.RUN:
            self._deferred.pop(wanted.attempt, None)
            if known is None:
                self._stop_unknown(wanted)
            elif known.desired < wanted.desired:
                self._stop(replace(known, desired=wanted.desired), "")
        elif wanted.withdrawn:
            self._deferred.pop(wanted.attempt, None)
            self._withdraw(wanted, known)
        elif known is None and not self._ended_before(wanted.attempt):
            self._run(wanted, works)

    def set_draining(self, draining: bool) -> None:
        """Start nothing new, or start what was put off meanwhile."""
        self.draining = draining
        if not draining and self._deferred:
            deferred, self._deferred = self._deferred, {}
            for wanted, work in deferred.values():
                self.want(wanted, {wanted.work: work})

    def stop_all(self, reason: str) -> None:
        """Stop everything recorded, on a local order."""
        for attempt in list(self._attempts):
            if not stopped(attempt) and attempt.phase < Phase.ENDED:
                self._stop(replace(attempt, desired=Desired.STOPPED), reason)

    def fetched(self, answer: Fetched) -> None:
        """Inputs are there, or will never be, or should be tried again."""
        attempt = self._attempts.get(answer.attempt)
        if attempt is None or attempt.phase is not Phase.FETCHING:
            return
        if answer.again:
            self._pause("fetch", attempt.id)
            return
        self._pauses.pop(("fetch", attempt.id), None)
        if answer.problem:
            self._end_unstarted(attempt, Cause.INPUTS, answer.problem)
            return
        self._ready(attempt)

    def submit_answered(self, answer: SubmitAnswered) -> None:
        """The engine has them, or refuses them for good."""
        self.engine_up()
        for outcome in answer.outcomes:
            attempt = self._attempts.get(outcome.attempt)
            if attempt is None or attempt.phase is not Phase.SUBMITTED:
                continue
            if outcome.accepted:
                self._hold(attempt, EngineState(attempt.id, Observed.QUEUED))
            else:
                self._end_unstarted(attempt, Cause.REJECTED, outcome.message or "the engine refused it")

    def submit_unknown(self, answer: SubmitUnknown) -> None:
        """Any of them may have arrived: ask until it is known."""
        for name in answer.attempts:
            attempt = self._attempts.get(name)
            if attempt is not None and attempt.phase is Phase.SUBMITTED:
                self._doubt(name)
        self.engine_down()

    def engine_states(self, answer: EngineStates) -> None:
        """What the engine knows of some attempts."""
        self.engine_up()
        for state in answer.states:
            attempt = self._attempts.get(state.attempt)
            if attempt is None:
                continue
            if attempt.phase in AT_ENGINE:
                self._observed(attempt, state, answer.number)
            elif _came_back(attempt, state):
                self._agenda.cancels[attempt.id] = None

    def engine_down(self) -> None:
        """The engine does not answer: give it nothing new, and ask again later."""
        self.engine_answers = False
        if ("engine",) not in self._agenda.timers:
            self._agenda.after(("engine",), self._engine_pause.next_ms())

    def engine_up(self) -> None:
        """The engine has answered: what waited for that may start."""
        if not self.engine_answers:
            self.engine_answers = True
            self._engine_pause.reset()
            for attempt in self._attempts.in_phase(Phase.WAITING):
                self._try_start(attempt)

    def collected(self, answer: Collected) -> None:
        """Logs and outputs are taken over: the end is final."""
        attempt = self._attempts.get(answer.attempt)
        if attempt is None or attempt.phase is not Phase.COLLECTING or attempt.ending is None:
            return
        if answer.again:
            self._pause("collect", attempt.id)
            return
        self._pauses.pop(("collect", attempt.id), None)
        ending = attempt.ending
        cause, message = ending.cause, ending.message
        if cause is Cause.CANCELLED and attempt.stop_reason:
            message = attempt.stop_reason
        if answer.problem:
            message = f"{message}; {answer.problem}" if message else answer.problem
            cause = cause or Cause.OUTPUTS
        end = End(
            cause=cause,
            exit_code=ending.exit_code,
            signal=ending.signal,
            message=message,
            started_ms=ending.started_ms,
            ended_ms=ending.ended_ms,
            outputs=answer.outputs,
            dropped_log_bytes=answer.dropped_log_bytes,
            resumed_ms=answer.resumed_ms,
        )
        if answer.chunks:
            self._agenda.batch.chunks[attempt.id] = answer.chunks
        self._end(attempt, end)

    def kept(self, names: Iterable[str]) -> None:
        """The server durably has these ends."""
        for name in names:
            attempt = self._attempts.get(name)
            if attempt is not None and attempt.phase is Phase.ENDED:
                kept = replace(attempt, phase=Phase.KEPT)
                self._attempts.put(kept)
                self._attempts.unreported.pop(name, None)
                self._forget(kept)

    def forgotten(self, names: Iterable[str]) -> None:
        """Nothing is left of these outside the record."""
        for name in names:
            attempt = self._attempts.get(name)
            if attempt is not None and attempt.phase is Phase.KEPT:
                self._attempts.remove(attempt)

    def server_answers_again(self) -> None:
        """What waited for the server need not wait longer."""
        for kind, name in self._pauses:
            if (kind, name) in self._agenda.timers:
                self._agenda.after((kind, name), 0)

    def timer(self, key: tuple[str, ...]) -> None:
        """One of this part's timers has come due."""
        match key:
            case ("sweep",):
                self._agenda.after(key, self._agenda.pace.sweep_ms)
                self._ask(attempt.id for attempt in self._attempts.in_phase(*AT_ENGINE))
            case ("doubt",):
                self._ask(self._doubts)
            case ("engine",):
                self._agenda.effects.append(Describe())
                self._ask(self._doubts)
            case ("cancel",):
                for attempt in self._attempts.in_phase(Phase.HELD):
                    if stopped(attempt):
                        self._cancel(attempt.id)
            case ("withdraw",):
                asked, self._withdrawing = self._withdrawing, {}
                for name in asked:
                    self._ask_back(self._attempts.get(name))
            case ("forget",):
                for attempt in self._attempts.in_phase(Phase.KEPT):
                    self._forget(attempt)
            case ("fetch", name):
                found = self._attempts.get(name)
                if found is not None and found.phase is Phase.FETCHING:
                    self._fetch(found)
            case ("collect", name):
                found = self._attempts.get(name)
                if found is not None and found.phase is Phase.COLLECTING:
                    pause = self._pauses.get(("collect", name))
                    tries = 0 if pause is None else pause.tries
                    self._agenda.effects.append(Collect(found, tries))

    def _run(self, wanted: DesiredAttempt, works: Mapping[str, Work]) -> None:
        """A new attempt: durably intended, its inputs fetched; an older one of its job is stopped first."""
        job, epoch = parse_attempt_id(wanted.attempt)
        work = works.get(wanted.work)
        siblings = self._attempts.of_job(job)
        if any(sibling.epoch > epoch for sibling in siblings):
            self._never_start(
                wanted, Desired.RUN, Cause.CANCELLED, "a newer attempt of its job is here already"
            )
        elif work is None:
            message = f"the server's answer has no work {wanted.work!r} for it"
            self._never_start(wanted, Desired.RUN, Cause.REJECTED, message)
        elif self.draining:
            self._deferred[wanted.attempt] = (wanted, work)
        else:
            for sibling in siblings:
                if not stopped(sibling) and sibling.phase < Phase.COLLECTING:
                    self._stop(replace(sibling, desired=Desired.STOPPED), f"superseded by {wanted.attempt}")
            attempt = RecordedAttempt(
                id=wanted.attempt,
                job=job,
                epoch=epoch,
                phase=Phase.FETCHING,
                desired=Desired.RUN,
                observed=Observed.INTENDED,
                since_ms=self._agenda.now_ms,
                pool=work.pool,
                nodes=wanted.nodes,
                array_index=wanted.array_index,
                work=work,
                inputs=wanted.inputs,
                folder=str(self._root / wanted.attempt),
            )
            if attempt.inputs:
                self._attempts.put(attempt)
                self._fetch(attempt)
            else:
                self._ready(attempt)

    def _ready(self, attempt: RecordedAttempt) -> None:
        """Its inputs are there."""
        waiting = replace(attempt, phase=Phase.WAITING)
        self._attempts.put(waiting)
        self._try_start(waiting)

    def _fetch(self, attempt: RecordedAttempt) -> None:
        account = "" if attempt.work is None else attempt.work.account
        self._agenda.effects.append(Fetch(attempt.id, attempt.folder, attempt.inputs, account))

    def _try_start(self, attempt: RecordedAttempt) -> None:
        """Give it to the engine, unless an older attempt of its job lives or the engine does not answer."""
        assert attempt.phase is Phase.WAITING
        assert attempt.work is not None
        older_lives = any(
            sibling.epoch < attempt.epoch and sibling.phase < Phase.COLLECTING
            for sibling in self._attempts.of_job(attempt.job)
        )
        if older_lives or not self.engine_answers:
            return
        self._attempts.put(replace(attempt, phase=Phase.SUBMITTED))
        self._believed_after[attempt.id] = (
            NEVER  # until the answer to the submit is there, or known to be lost
        )
        self._agenda.orders.append(
            AttemptOrder(
                attempt=attempt.id,
                job=attempt.job,
                epoch=attempt.epoch,
                array_index=attempt.array_index,
                work=attempt.work,
                nodes=attempt.nodes,
                folder=Path(attempt.folder),
            )
        )

    def _stop(self, attempt: RecordedAttempt, reason: str) -> None:
        """Carry out an explicit stop, as far as it can be now; `attempt` desires it already."""
        attempt = replace(attempt, stop_reason=attempt.stop_reason or reason)
        if attempt.phase <= Phase.WAITING:
            message = attempt.stop_reason or "stopped before it started"
            self._end_unstarted(attempt, Cause.CANCELLED, message)
            return
        self._attempts.put(attempt)
        if attempt.phase is Phase.HELD:
            self._cancel(attempt.id)

    def _stop_unknown(self, wanted: DesiredAttempt) -> None:
        if self._ended_before(wanted.attempt):
            return
        if wanted.attempt not in self.live:
            self._never_start(wanted, wanted.desired, Cause.CANCELLED, "stopped before it started")
            return
        # The engine has it though the record does not: this is the explicit word that ends it.
        job, epoch = parse_attempt_id(wanted.attempt)
        attempt = RecordedAttempt(
            id=wanted.attempt,
            job=job,
            epoch=epoch,
            phase=Phase.SUBMITTED,
            desired=wanted.desired,
            observed=Observed.INTENDED,
            since_ms=self._agenda.now_ms,
            folder=str(self._root / wanted.attempt),
        )
        self._attempts.put(attempt)
        self._doubt(attempt.id)

    def _withdraw(self, wanted: DesiredAttempt, known: RecordedAttempt | None) -> None:
        """Take it back unless it has started: what the engine never had ends here."""
        if known is not None and known.phase <= Phase.WAITING:
            self._end_unstarted(known, Cause.CANCELLED, "taken back")
        elif known is not None:
            self._ask_back(known)
        elif wanted.attempt not in self.live and not self._ended_before(wanted.attempt):
            self._never_start(wanted, Desired.RUN, Cause.CANCELLED, "taken back")

    def _ask_back(self, attempt: RecordedAttempt | None) -> None:
        if attempt is None or attempt.phase not in AT_ENGINE or attempt.observed >= Observed.RUNNING:
            return
        self._withdrawing[attempt.id] = self._agenda.withdraws[attempt.id] = None
        if ("withdraw",) not in self._agenda.timers:
            self._agenda.after(("withdraw",), self._agenda.pace.again_ms)

    def _never_start(self, wanted: DesiredAttempt, desired: Desired, cause: Cause, message: str) -> None:
        job, epoch = parse_attempt_id(wanted.attempt)
        now_ms = self._agenda.now_ms
        attempt = RecordedAttempt(
            wanted.attempt, job, epoch, Phase.ENDED, desired, Observed.ENDED, now_ms, nodes=wanted.nodes
        )
        self._attempts.put(replace(attempt, end=End(cause, None, None, message, None, now_ms)))

    def _ended_before(self, name: str) -> bool:
        """Whether it ended here once and was forgotten; its end is then told again, and it never starts."""
        # It may have been forgotten in this very step, of which the record knows nothing yet.
        end = self._agenda.batch.removed.pop(name, None) or self._record.past_end(name)
        if end is None:
            return False
        job, epoch = parse_attempt_id(name)
        attempt = RecordedAttempt(
            name, job, epoch, Phase.ENDED, Desired.STOPPED, Observed.ENDED, end.ended_ms, end=end
        )
        self._attempts.put(replace(attempt, started_ms=end.started_ms))
        return True

    def _observed(self, attempt: RecordedAttempt, state: EngineState, number: int) -> None:
        if state.observed is not Observed.NOTHING:
            self._hold(attempt, state)
        elif number > self._believed_after.get(attempt.id, NEVER):
            if stopped(attempt) and attempt.phase is Phase.SUBMITTED:
                self._end_unstarted(
                    attempt, Cause.CANCELLED, attempt.stop_reason or "stopped before it started"
                )
            else:
                self._end_unstarted(
                    attempt, Cause.LOST, "it was to start, and the engine knows nothing of it"
                )

    def _hold(self, attempt: RecordedAttempt, state: EngineState) -> None:
        """The engine knows it."""
        newly = attempt.phase is Phase.SUBMITTED
        if state.observed is Observed.ENDED and state.end is not None:
            self._leave_engine(attempt.id)
            collecting = replace(
                attempt,
                phase=Phase.COLLECTING,
                ending=state.end,
                started_ms=state.end.started_ms or attempt.started_ms,
            )
            self._attempts.put(collecting)
            self._agenda.effects.append(Collect(collecting))
            self._after_end(attempt)
            return
        observed = max(attempt.observed, min(state.observed, Observed.RUNNING))
        held = replace(
            attempt,
            phase=Phase.HELD,
            observed=observed,
            since_ms=attempt.since_ms if observed is attempt.observed else self._agenda.now_ms,
            started_ms=state.started_ms or attempt.started_ms,
            message=state.message if observed < Observed.RUNNING else "",
        )
        if newly or held != attempt:
            self._attempts.put(held)
        if newly:
            self._believed_after[attempt.id] = self._agenda.numbers
        self._doubts.pop(attempt.id, None)
        if newly and stopped(attempt):
            self._cancel(attempt.id)

    def _doubt(self, name: str) -> None:
        """Whether the engine has it is not known: ask, and believe only answers to questions from now on."""
        self._believed_after[name] = self._agenda.numbers
        self._doubts[name] = None
        self._ask((name,))

    def _ask(self, names: Iterable[str]) -> None:
        self._agenda.observes.update(dict.fromkeys(names))
        if self._doubts and ("doubt",) not in self._agenda.timers:
            self._agenda.after(("doubt",), self._agenda.pace.again_ms)

    def _cancel(self, name: str) -> None:
        self._agenda.cancels[name] = None
        if ("cancel",) not in self._agenda.timers:
            self._agenda.after(("cancel",), self._agenda.pace.again_ms)

    def _forget(self, attempt: RecordedAttempt) -> None:
        self._agenda.forgets[attempt.id] = attempt.folder
        if ("forget",) not in self._agenda.timers:
            self._agenda.after(("forget",), 6 * self._agenda.pace.again_ms)

    def _pause(self, kind: str, name: str) -> None:
        pause = self._pauses.setdefault((kind, name), Backoff(self._agenda.random_bits, 500, 10_000))
        self._agenda.after((kind, name), pause.next_ms())

    def _end_unstarted(self, attempt: RecordedAttempt, cause: Cause, message: str) -> None:
        """End one of which the engine keeps nothing."""
        now_ms = self._agenda.now_ms
        self._end(attempt, End(cause, None, None, message, attempt.started_ms, now_ms))
        self._after_end(attempt)

    def _end(self, attempt: RecordedAttempt, end: End) -> None:
        self._leave_engine(attempt.id)
        for kind in ("fetch", "collect"):
            self._pauses.pop((kind, attempt.id), None)
            self._agenda.timers.clear((kind, attempt.id))
        self._attempts.put(
            replace(
                attempt,
                phase=Phase.ENDED,
                observed=Observed.ENDED,
                since_ms=end.ended_ms,
                message="",
                end=end,
            )
        )

    def _leave_engine(self, name: str) -> None:
        self._doubts.pop(name, None)
        self._believed_after.pop(name, None)

    def _after_end(self, attempt: RecordedAttempt) -> None:
        """A newer attempt of its job may have waited for this."""
        for sibling in self._attempts.of_job(attempt.job):
            if sibling.phase is Phase.WAITING and sibling.id != attempt.id:
                self._try_start(sibling)


def _came_back(attempt: RecordedAttempt, state: EngineState) -> bool:
    """Whether one that was given up as lost lives in the engine after all: nobody counts on it any more."""
    lost = attempt.end is not None and attempt.end.cause is Cause.LOST
    return lost and state.observed in (Observed.QUEUED, Observed.RUNNING)


__all__ = ["Lifecycle"]
