"""The control loop as a step: changes in, a plan made true out. One leads; what it knows is rebuilt from the store."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from weir import scheduling
from weir.control import ahead, applier, journal, leader, liveness, promises, shares, widening, withdrawals
from weir.control.ahead import Ahead
from weir.control.applier import Applied, Cycle
from weir.control.expectations import VERSION, Forecast, Kind
from weir.control.journal import AskedCycle, DueBase, Entry, Journal
from weir.control.leader import LEASE_MS, LeadershipLostError, Lease
from weir.control.listed import AnyRow
from weir.control.liveness import Patience
from weir.control.snapshot import News, Snapshot
from weir.control.widening import Widened
from weir.control.withdrawals import Withdrawal
from weir.model.problem import Problem, ProblemError
from weir.registry import drop_empty
from weir.scheduling import Policy, State
from weir.scheduling.explanation import explain_kept
from weir.scheduling.inputs import Changes, QueuedJobs
from weir.scheduling.kept import KeptCycle, replayed
from weir.scheduling.plan import Explanation, Plan
from weir.scheduling.policies import NAMED
from weir.scheduling.standing import Standing, standing_of
from weir.store import Store, Transaction

LIVE = replace(NAMED["weir"], name="weir-unshared", fair=False)
"""The live loop's policy where no organisation's share is declared: one line, in the order of `weir`."""
SHARED = NAMED["weir-by-tenant"]
"""Where shares are declared: tenants by turns, and among each one's own jobs the order of `weir`."""
NEVER_MS = 2**62
PAST_MS = 120_000
FORECAST_WAIT_S = 0.2
PAST_WAIT_S = 1.0


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """How the control loop behaves."""

    policy: Policy = LIVE
    shared: Policy = SHARED
    """In place of `policy` once an organisation's share is declared."""
    patience: Patience = field(default_factory=Patience)
    lease_ms: int = LEASE_MS
    alone: bool = False
    """No other process can have this store open, so that a killed one's lease need not be waited for."""


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """What a step did, and when the next one is due.

    `again`: at once. Else when something is committed, and at `next_ms` at the latest.
    """

    leading: bool
    next_ms: int
    again: bool = False
    planned: bool = False
    starts: int = 0
    refused: int = 0
    considered: int = 0
    queued: int = 0
    base: DueBase | None = None
    """What `Control.keep` should be given, by another thread, so that later cycles can be explained fast."""


@dataclass(frozen=True, slots=True)
class Stand:
    """Where a job stands in the core, as of a position of the change log and a time."""

    explanation: Explanation | None
    position: int
    as_of_ms: int


@dataclass(frozen=True, slots=True)
class _Past:
    """A cycle that was asked about, and what it began with."""

    through: int
    asked_ms: int
    state: State
    cycle: KeptCycle


class Control:
    """The scheduler. One thread steps it; the others may ask it, and wait for a step under way.

    `holder` names this life of this process, and must be another at each start.
    """

    def __init__(self, store: Store, settings: ControlSettings, holder: str, address: str = "") -> None:
        self._store = store
        self._settings = settings
        self._holder = holder
        self._address = address
        self._turn = threading.RLock()
        self._lease: Lease | None = None
        self._snapshot = Snapshot()
        self._state: State | None = None
        self._journal = Journal()
        self._past_turn = threading.Lock()
        self._past: _Past | None = None
        self._as_of_ms = 0
        self._watching_since_ms = 0
        self._look_ms = 0
        self._usage_ms = 0
        """When usage was stored last."""
        self._supply_ms = NEVER_MS
        self._take_back_ms = 0
        self._looked_at = withdrawals.FIRST

    @property
    def leading(self) -> bool:
        """Whether this one led at its last step."""
        return self._lease is not None

    def step(self, now_ms: int) -> StepOutcome:
        """Renew the lease, look after silent centres, take in what changed, plan, and make the plan true.

        Does and writes nothing where nothing is new. Whatever is raised, the next step starts from the store's
        live rows again.
        """
        with self._turn:
            try:
                return self._step(now_ms)
            except LeadershipLostError:
                self._lease = None
                self._forget()
                return StepOutcome(False, now_ms, again=True)
            except BaseException:
                self._forget()
                raise

    def stand(self, job: int) -> Stand | None:
        """What the core says of a job as of the last step; None while this one does not lead or has not stepped.

        The cycle is run again with the job marked, which takes about as long as a cycle from which nothing is known.
        """
        with self._turn:
            if self._lease is None or self._state is None:
                return None
            explanation = scheduling.explain(self._state, job)
            return Stand(explanation, self._snapshot.position, self._as_of_ms)

    def forecast(self, kind: Kind, now_ms: int) -> Forecast | None:
        """For how long such a job would be expected to run; None while this one does not lead, or nothing of its user
        is remembered, or a step is under way."""
        # Not waited for: whoever asks may hold a reader of the store that the step needs.
        if not self._turn.acquire(timeout=FORECAST_WAIT_S):
            return None
        try:
            return None if self._lease is None else self._snapshot.forecast(kind, now_ms)
        finally:
            self._turn.release()

    def standing(self) -> Standing | None:
        """All that the core knows that a forecast follows from, as of the last step; None while this does not lead."""
        with self._turn:
            if self._lease is None or self._state is None:
                return None
            return standing_of(self._state)

    def stood(self, job: int, asked: AskedCycle, now_ms: int) -> Stand | None:
        """What the core said of a job in a cycle of the last days; None while this one does not lead.

        That cycle is made again from what was kept; steps go on meanwhile. What it began with is remembered for
        PAST_MS, so that the next job asked about costs little. Raises ProblemError as `journal.find` does, and a 503
        while another such cycle is made: those who ask shall not all wait for one.
        """
        if self._lease is None:
            return None
        if not self._past_turn.acquire(timeout=PAST_WAIT_S):
            title = "another past cycle is being made again; ask again in a few seconds"
            raise ProblemError(Problem("busy", 503, title))
        try:
            through, at_ms = self._store.read(lambda connection: journal.find(connection, asked))
            past = self._past
            if past is None or past.through != through:
                past = self._past = None  # so that there are never two of them
                record = self._store.read(lambda connection: journal.recorded(connection, through))
                base, cycles = journal.read(record)
                past = _Past(through, now_ms, replayed(base, cycles), cycles[-1])
            self._past = None  # whatever is raised, its state is given up
            stand = Stand(explain_kept(past.state, past.cycle, job), through, at_ms)
            self._past = past
            return stand
        finally:
            self._past_turn.release()

    def keep(self, base: DueBase) -> None:
        """Write down what a step's outcome said was due; takes as long as it takes, while steps go on."""
        body = journal.base_body(base)
        self._store.write(lambda tx: journal.keep(tx, base.through, body))

    def resign(self, now_ms: int) -> None:
        """Let another lead at once, on leaving in good order."""
        with self._turn:
            lease, self._lease = self._lease, None
            self._forget()
            if lease:
                self._store.write(lambda tx: leader.release(tx, lease, now_ms))

    def _step(self, now_ms: int) -> StepOutcome:
        lease = self._lead(now_ms)
        if lease is None or lease.holder != self._holder:
            return StepOutcome(False, now_ms if lease is None else max(lease.expires_ms, now_ms + 1))
        self._watch(now_ms)
        past = self._past
        if past is not None and now_ms > past.asked_ms + PAST_MS:
            self._past = None
        self._take_back(now_ms)
        due_ms = min(self._look_ms, lease.expires_ms - self._settings.lease_ms // 2)
        news = self._store.read(lambda connection: self._snapshot.read(connection, now_ms))
        if self._state is not None and self._state.policy != self._policy:
            self._forget()
            return StepOutcome(True, now_ms, again=True)
        if news.changes is None and now_ms >= self._supply_ms:
            news = replace(news, changes=Changes())
        if news.changes is None and not news.stopping:
            return StepOutcome(True, min(due_ms, self._supply_ms))
        whole = self._state is None
        plan = self._plan(news, now_ms)
        entry = self._enter(plan, news, now_ms, whole=whole)
        wide = self._widen(plan)
        made = wide.onto(plan)
        sent = ahead.find(made, self._state, self._snapshot.pools, now_ms)
        applied = self._apply(made, sent, wide, news, entry, lease, now_ms)
        self._clean(now_ms)
        return StepOutcome(
            leading=True,
            next_ms=min(due_ms, self._supply_ms),
            again=bool(applied.refused),
            planned=plan is not None,
            starts=len(applied.started),
            refused=len(applied.refused),
            considered=plan.considered if plan else 0,
            queued=self._state.queued if self._state else 0,
            base=self._journal.due(news.position, self._state) if entry and self._state else None,
        )

    def _lead(self, now_ms: int) -> Lease | None:
        """The lease as it is now; a former leader that has lost it forgets what it knew."""
        held = self._lease
        if held and held.expires_ms - now_ms > self._settings.lease_ms // 2:
            return held
        settings = self._settings
        if held is None and not settings.alone:
            other = self._store.read(lambda connection: leader.leader(connection, now_ms))
            if other and other.holder != self._holder:
                return other
        lease = self._store.write(
            lambda tx: leader.acquire(
                tx, self._holder, self._address, now_ms, settings.lease_ms, alone=settings.alone
            )
        )
        if lease.holder != self._holder:
            self._lease = None
            self._forget()
            return lease
        if held is None or held.term != lease.term:
            self._forget()
            self._watching_since_ms = now_ms
            self._look_ms = now_ms
        self._lease = lease
        return lease

    def _watch(self, now_ms: int) -> None:
        """Look after silent centres, when it is time."""
        if now_ms < self._look_ms:
            return
        patience = self._settings.patience
        silence = self._store.read(
            lambda connection: liveness.look(connection, now_ms, self._watching_since_ms, patience)
        )
        if silence.lost or silence.given_up or silence.waited:
            self._store.write(lambda tx: self._write_silence(tx, silence, now_ms))
            silence = self._store.read(
                lambda connection: liveness.look(connection, now_ms, self._watching_since_ms, patience)
            )
        self._look_ms = silence.next_ms

    def _take_back(self, now_ms: int) -> None:
        """Take back what waits too long in an engine's queue, when it is time and another pool is worth it."""
        if now_ms < self._take_back_ms or self._state is None:
            return
        self._take_back_ms = now_ms + withdrawals.LOOK_MS
        patience = self._settings.patience
        after = self._looked_at

        def read(connection: Connection) -> tuple[list[AnyRow], list[QueuedJobs]]:
            found = withdrawals.overdue(connection, now_ms, patience, after)
            return found, withdrawals.probes(connection, found, now_ms)

        waiting, asked = self._store.read(read)
        self._looked_at = withdrawals.last_of(waiting)
        found = withdrawals.worth_it(waiting, asked, self._state, self._snapshot.pools, now_ms, patience)
        if found:
            self._store.write(lambda tx: self._write_withdrawals(tx, found, now_ms))

    def _write_withdrawals(self, tx: Transaction, found: Sequence[Withdrawal], now_ms: int) -> None:
        if self._lease:
            leader.check(tx.connection, self._lease)
        withdrawals.withdraw(tx, found, now_ms)

    def _write_silence(self, tx: Transaction, silence: liveness.Silence, now_ms: int) -> None:
        if self._lease:
            leader.check(tx.connection, self._lease)
        liveness.lose(tx, silence.lost, now_ms - self._settings.patience.lost_after_ms, now_ms)
        liveness.give_up(tx, silence.given_up, now_ms)
        if silence.waited:
            liveness.end_waiting(tx, now_ms)

    def _plan(self, news: News, now_ms: int) -> Plan | None:
        if news.changes is None:
            return None
        if self._state is None:
            self._state = State.empty(self._policy)
        state, self._state = self._state, None
        self._state, plan = scheduling.step(state, news.changes, now_ms)
        self._as_of_ms = now_ms
        self._snapshot.promised = frozenset(kept.job for kept in plan.reservations)
        self._supply_ms = self._state.hours.next_change_ms(now_ms) if self._state.queued else NEVER_MS
        return plan

    def _widen(self, plan: Plan | None) -> Widened:
        """With how many tasks elastic jobs start."""
        elastic = self._snapshot.elastic
        if plan is None or not plan.starts or not elastic:
            return Widened()
        jobs = [start.job for start in plan.starts]
        ranges = self._store.read(lambda connection: widening.ranges_of(connection, jobs, elastic))
        return widening.find(plan, self._state, ranges, self._snapshot.pools)

    def _enter(self, plan: Plan | None, news: News, now_ms: int, *, whole: bool) -> Entry | None:
        if plan is None or news.changes is None or self._state is None:
            return None
        return self._journal.enter(news.changes, plan, news.position, self._state, now_ms, whole=whole)

    def _apply(
        self,
        plan: Plan | None,
        sent: Ahead,
        wide: Widened,
        news: News,
        entry: Entry | None,
        lease: Lease,
        now_ms: int,
    ) -> Applied:
        policy = self._policy
        cycle = Cycle(
            through=news.position,
            now_ms=now_ms,
            policy=f"{policy.name}/{policy.version}",
            prices=self._snapshot.pools.prices,
            forecast=VERSION,
            code=scheduling.code_version(),
        )
        versions = self._snapshot.versions
        before = self._snapshot.stored
        after = before if plan is None else promises.kept(plan.reservations, versions)
        keeps = plan is not None and policy.by_tenant and now_ms >= self._usage_ms + shares.STORED_EVERY_MS
        used = self._state.usage(now_ms) if keeps and self._state else ()

        def write(tx: Transaction) -> Applied:
            made = applier.apply(
                tx, sent.onto(plan), versions, news.stopping, cycle, lease, now_ms, sent.waits_ms
            )
            promises.store(tx.connection, before, after)
            if entry:
                journal.write(tx, entry)
            if keeps:
                shares.store_usage(tx.connection, used, now_ms)
            return made

        made = self._store.write(write)
        applied = sent.but_for(made)
        self._snapshot.stored = after
        self._usage_ms = now_ms if keeps else self._usage_ms
        for key in applied.started:
            if key.job not in wide.starts:
                self._snapshot.started(key.job, key.epoch)
        # The core believes these to have started with the fewest tasks, where it chose.
        self._snapshot.not_as_planned(key.job for key in applied.started if key.job in wide.starts)
        self._snapshot.not_as_planned(applied.refused)
        # What could not be sent ahead, for want of money say, may no longer wait as the core believes.
        self._snapshot.look_again(set(made.refused).difference(applied.refused))
        return applied

    def _clean(self, now_ms: int) -> None:
        """Take away what was to be removed once it was empty, where it may be empty by now."""
        if self._snapshot.pools.removing:
            self._store.write(lambda tx: drop_empty(tx, now_ms))

    @property
    def _policy(self) -> Policy:
        """By what was read last of the organisations."""
        return self._settings.shared if self._snapshot.sharing else self._settings.policy

    def _forget(self) -> None:
        self._snapshot = Snapshot()
        self._state = None
        self._supply_ms = NEVER_MS


__all__ = ["Control", "ControlSettings", "Stand", "StepOutcome"]
