"""A whole province in one process: the store, the servers, the centres, and what is known of all that happens."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.centre import SimulatedCentre, digest_of
from tests.simulation.core import check_core
from tests.simulation.declared import SHAPES, declared_image
from tests.simulation.engine import SimulatedEngine
from tests.simulation.fake import ToldFakeEngine
from tests.simulation.network import Network, RefusedError, Weather
from tests.simulation.oracle import Oracle, Run
from tests.simulation.server import SETTINGS, Server
from tests.simulation.watch import Watch
from tests.simulation.whole import check_store
from tests.simulation.world import World
from weir.billing import verify
from weir.billing.charge_check import check_money
from weir.control.cycle import Control
from weir.control.names import job_name
from weir.model.agent import InputFile, Pull, PullAnswer, Report, ReportAnswer
from weir.model.identity import attempt_id, parse_attempt_id
from weir.model.state import Desired, Observed
from weir.store import MemoryImage, image_of, memory_store
from weir.store.sqlite import InlineSqliteStore

FULL_CHECK_EVERY = 50
_WAITING = """
SELECT p.centre, p.id, count(*), json_extract(p.body, '$.waiting_at_most') AS most
FROM pool p JOIN attempt a ON a.centre = p.centre AND a.pool = p.id
WHERE most IS NOT NULL AND a.desired = 1 AND a.observed < 3
GROUP BY p.centre, p.id, most
"""


@dataclass(slots=True)
class Backup:
    """A copy of the store, put aside."""

    image: MemoryImage
    taken_ms: int


@dataclass(slots=True)
class Placement:
    """What was so when an attempt was made."""

    timeline: int
    silent: frozenset[str] = field(default_factory=frozenset)
    """Centres that had not told the present store what they run, and had been silent for long."""


class SimulatedProvince:
    """Everything of one history."""

    def __init__(self, world: World) -> None:
        random = world.random
        self.world = world
        image, entries = declared_image(random.randrange(SHAPES), shares=world.shares)
        bad = random.random() < 0.8
        self.network = Network(world, Weather() if bad else Weather(0, 0, 0, 0))
        self.oracle = Oracle(self)
        self.backup: Backup | None = None
        self.placements: dict[tuple[str, str], Placement] = {}
        self.stops: set[tuple[str, str]] = set()
        """Centre and attempt of everything that was ever explicitly to be stopped."""
        self.withdrawn: set[tuple[str, str]] = set()
        """Of everything that was ever to be taken back unless it had started."""
        self.submitted: set[tuple[str, str]] = set()
        self.stopped_all: set[str] = set()
        self.restored_ms = 0
        self._once_silent: set[str] = set()
        """Centres that were silent for so long since the last restore that they may count as lost."""
        self.digests: dict[str, str] = {}
        self.between: list[Callable[[], None]] = []
        """What may happen between a process's reading and its writing."""
        self.by_hand = False
        """Whether an operator gives something up just now, which may be at any time after its centre is lost."""
        self.interleaving = False
        self._checked_at = 0
        self._core_due = 0
        self.core_checks = 0
        """How often a scheduler's knowledge could be compared."""
        killing = random.choice((0.0, 0.002, 0.01))
        self.centres: dict[str, SimulatedCentre] = {}
        for entry in entries:
            kind = random.choice((SimulatedEngine, SimulatedEngine, ToldFakeEngine))
            if world.shares:
                kind = SimulatedEngine
            engine = kind(world, entry.centre, entry.pools, self.oracle)
            centre = SimulatedCentre(world, self, entry.centre, engine, killing)
            engine.hint = centre.look_at_engine
            centre.skew_ms = random.choice((0, 0, -700, 5_000, -3_600_000))
            self.centres[entry.centre] = centre
        self._use(memory_store(image, restored_with=random.getrandbits))
        self.servers: list[Server] = []
        self.servers += [
            Server(world, self, f"s{place}", killing) for place in range(random.choice((1, 1, 2)))
        ]
        for server in self.servers:
            server.start()
        for centre in self.centres.values():
            world.after(world.between(0, 3_000), centre.agent.start)

    @property
    def store(self) -> InlineSqliteStore:
        """The store as it is now; a restore puts another in its place."""
        return self._store

    def server(self) -> Server:
        """Any server that takes requests. Raises RefusedError when there is none."""
        alive = [server for server in self.servers if server.alive]
        if not alive:
            raise RefusedError("connection refused")
        return self.world.random.choice(alive)

    def serve_pull(self, centre: str, asked: Pull, reply: Callable[[PullAnswer], None]) -> None:
        """A pull has arrived."""
        self.server().serve_pull(centre, asked, reply)

    def serve_report(self, centre: str, told: Report, reply: Callable[[ReportAnswer], None]) -> None:
        """A report has arrived."""
        server = self.server()
        self._note_silence()
        server.serve_report(centre, told, reply)

    def committed(self, by: str) -> None:
        """Check what a commit did, and everything now and then."""
        self.watch.committed(by)
        if self.world.shares:
            self._look_at_what_waits()
        if self.world.steps - self._checked_at >= FULL_CHECK_EVERY:
            self.check_whole()

    def check_whole(self) -> None:
        """Everything in the store is as it must be."""
        self._checked_at = self.world.steps
        check_store(self._store, self.watch.states, self.world.wrong)
        faults = [*self._store.read(check_money), *self._store.read(verify).faults]
        if faults:
            raise self.world.wrong(f"money: {'; '.join(faults[:5])}")

    def check_scheduler(self, control: Control) -> None:
        """What a scheduler knows is what the store holds; looked at now and then, when it has just read everything."""
        if self.world.steps >= self._core_due and check_core(control, self._store, self.world.wrong):
            self.core_checks += 1
            self._core_due = self.world.steps + FULL_CHECK_EVERY

    def interleave(self, server: Server) -> None:
        """Right before this server commits something, others may do something first."""
        if self.interleaving or not self.world.chance(0.05):
            return
        self.interleaving = True
        try:
            if server.busy and self.world.chance(0.4 if len(self.servers) > 1 else 0.1):
                # Its scheduler stands still in the midst of a step, for so long that another may be elected.
                until_ms = self.world.now_ms + self.world.between(1_000, 2 * SETTINGS.lease_ms)
                while self.world.now_ms < until_ms:
                    self.world.perform_next()
            elif self.between and self.world.random.random() < 0.5:
                self.world.perform(self.world.random.choice(self.between))
            else:
                for _ in range(self.world.random.randint(1, 6)):
                    self.world.perform_next()
        finally:
            self.interleaving = False

    def server_killed(self, server: Server) -> None:
        """It comes up again some time after, if it is the store's own end not before that is there again."""
        longest_ms = 120_000 if self.world.chance(0.1) else 4_000
        self.world.after(self.world.between(10, longest_ms), lambda: self._start_again(server))

    def back_up(self) -> None:
        """Put a copy of the store aside."""
        self.world.note("the store is backed up")
        self.backup = Backup(image_of(self._store), self.world.now_ms)

    def restore(self) -> None:
        """Every server is killed and the store is the copy again, under agents that go on."""
        if self.backup is None or self.interleaving:
            return
        self.world.note(
            f"the store of {(self.world.now_ms - self.backup.taken_ms) / 1000:.1f} s ago is restored"
        )
        for server in self.servers:
            if server.alive:
                server.kill()
        self.oracle.timeline += 1
        self.restored_ms = self.world.now_ms
        self._once_silent.clear()
        old = self._store
        self._use(memory_store(self.backup.image, restored_with=self.world.random.getrandbits))
        old.close()

    def may_overlap(self, one: Run, other: Run) -> bool:
        """Whether two attempts of a job may run at once: only when the older one's centre could not be reached."""
        first, second = (
            self.placements[one.centre, one.order.attempt],
            self.placements[other.centre, other.order.attempt],
        )
        if first.timeline != second.timeline:
            older, newer = (one, second) if first.timeline < second.timeline else (other, first)
            if older.centre in newer.silent:
                return True
        older_run = min(one, other, key=lambda run: run.order.epoch)
        row = self._attempt_row(older_run)
        return older_run.order.work.restartable and row is not None and row[0] == Desired.ABANDONED

    def counts(self, centre: str, attempt: str) -> bool:
        """Whether the store counts this attempt as something that holds capacity there."""
        row = self._row_of(centre, attempt)
        return row is not None and row[1] < Observed.ENDED

    def check_inputs(self, attempt: str, inputs: tuple[InputFile, ...]) -> None:
        """What an attempt is given are results of attempts that succeeded."""
        for file in inputs:
            source = self.digests.get(file.digest)
            if source is None:
                raise self.world.wrong(f"{attempt} is given {file.path}, which nobody has handed over")

    def check_submit(self, centre: str, attempt: str) -> None:
        """Every attempt is given to its engine once, whatever came of it."""
        if (centre, attempt) in self.submitted:
            raise self.world.wrong(f"{centre} submits {attempt} a second time")
        self.submitted.add((centre, attempt))

    def check_cancel(self, centre: str, attempt: str) -> None:
        """Nothing is stopped without an explicit stop."""
        job, epoch = parse_attempt_id(attempt)
        newer = any(
            where == centre and name.startswith(f"{job}-") and parse_attempt_id(name)[1] > epoch
            for where, name in self.placements
        )
        if (centre, attempt) not in self.stops and centre not in self.stopped_all and not newer:
            raise self.world.wrong(f"{centre} stops {attempt}, and nobody has said so")

    def check_withdraw(self, centre: str, attempt: str) -> None:
        """Nothing is taken back unless a scheduler has said so."""
        if (centre, attempt) not in self.withdrawn:
            raise self.world.wrong(f"{centre} takes {attempt} back, and nobody has said so")

    def forget_nobody(self) -> None:
        """At the end: what agents still hold is what the store does not know."""
        for centre in self.centres.values():
            for attempt in centre.record.load().attempts:
                if self._row_of(centre.name, attempt.id) is not None:
                    raise self.world.wrong(f"{centre.name} still holds {attempt.id} ({attempt.phase.name})")

    def _use(self, store: object) -> None:
        assert isinstance(store, InlineSqliteStore)
        self._store = store
        self._names: dict[int, str] = {}
        self.watch = Watch(store, self.world.wrong, self.world.note, self)

    def _start_again(self, server: Server) -> None:
        if not server.alive:
            server.start()

    def placed(self, job: int, epoch: int, centre: str, term: int) -> None:
        """An attempt was made."""
        attempt = attempt_id(self.name_of(job), epoch)
        self._note_silence()
        untold = {
            name
            for name, told_to in self.rows("SELECT id, synchronised_with FROM centre")
            if told_to != self._store.incarnation
        }
        awaited = untold - self._once_silent
        if term and self.oracle.timeline and awaited:
            raise self.world.wrong(
                f"{attempt} is placed in a restored store, before {awaited} told what they run"
            )
        if term and term != self.rows("SELECT term FROM lease")[0][0]:
            raise self.world.wrong(f"{attempt} is placed in term {term}, which is over")
        self.placements[centre, attempt] = Placement(
            self.oracle.timeline, frozenset(untold & self._once_silent)
        )

    def desired(self, job: int, epoch: int, centre: str, wanted: int) -> None:
        """What is wanted of an attempt changed."""
        self.stops.add((centre, attempt_id(self.name_of(job), epoch)))
        if wanted == Desired.ABANDONED and self.oracle.timeline == 0:
            unheard_ms = self._silences_ms()[centre]
            patience = SETTINGS.patience
            if unheard_ms < patience.lost_after_ms + (0 if self.by_hand else patience.grace_ms) - 1_000:
                raise self.world.wrong(f"{job}-{epoch} is given up at {centre}, heard {unheard_ms} ms ago")

    def ended(self, job: int, epoch: int, centre: str, cause: str | None, exit_code: int | None) -> None:
        """The store has taken in that an attempt ended."""
        attempt = attempt_id(self.name_of(job), epoch)
        self.oracle.check_end(centre, attempt, cause, exit_code)
        if cause is None:
            self.digests[digest_of(attempt)] = attempt

    def _look_at_what_waits(self) -> None:
        """Note what is to be taken back; no more wait in a pool than its centre takes, but for what agents brought."""
        for job, epoch, centre in self.rows("SELECT job, epoch, centre FROM attempt WHERE withdrawn <> ''"):
            self.withdrawn.add((centre, attempt_id(self.name_of(job), epoch)))
        if not self.oracle.timeline:
            for centre, pool, waiting, most in self.rows(_WAITING):
                if waiting > most:
                    raise self.world.wrong(f"{waiting} wait at {centre}/{pool}, which takes {most}")

    def _silences_ms(self) -> dict[str, int]:
        """For how long each centre has not been heard, in this store."""
        rows = self.rows("SELECT id, heartbeat_ms FROM centre")
        return {name: self.world.now_ms - max(heard_ms or 0, self.restored_ms) for name, heard_ms in rows}

    def _note_silence(self) -> None:
        least_ms = SETTINGS.patience.lost_after_ms - 1_000
        self._once_silent |= {name for name, ms in self._silences_ms().items() if ms >= least_ms}

    def name_of(self, job: int) -> str:
        """A job's name."""
        name = self._names.get(job)
        if name is None:
            rows = self.rows(
                "SELECT s.id, s.is_array, j.array_index FROM job j JOIN submission s ON s.number = j.submission "
                "WHERE j.number = ?",
                job,
            )
            name = self._names[job] = job_name(*rows[0])
        return name

    def _attempt_row(self, run: Run) -> tuple[int, int] | None:
        return self._row_of(run.centre, run.order.attempt)

    def _row_of(self, centre: str, attempt: str) -> tuple[int, int] | None:
        name, epoch = parse_attempt_id(attempt)
        submission, _, index = name.partition(".")
        rows = self.rows(
            "SELECT a.desired, a.observed FROM attempt a JOIN job j ON j.number = a.job "
            "JOIN submission s ON s.number = j.submission "
            "WHERE s.id = ? AND j.array_index = ? AND a.epoch = ? AND a.centre = ?",
            submission,
            int(index or 0),
            epoch,
            centre,
        )
        return rows[0] if rows else None

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What the store holds now."""
        return self._store._session.raw.execute(query, values).fetchall()


__all__ = ["SimulatedProvince"]
