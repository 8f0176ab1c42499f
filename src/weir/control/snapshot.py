"""What the scheduling core is told: built from the live rows once, and from the change log ever after."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from sqlalchemy import Connection, bindparam, select

from weir.billing.calendar_days import day_of
from weir.control import city_first, promises
from weir.control.expectations import NOMINAL, Asked, Began, Ended, Expectations, Forecast, Kind, learnable
from weir.control.listed import AnyRow, among, among_texts, number_list, text_list
from weir.control.named import done, named
from weir.control.names import AttemptKey
from weir.control.others import Others
from weir.control.owned import as_owned
from weir.control.placement import tasks_on
from weir.control.pools import Pools, load_pools
from weir.control.promises import Kept
from weir.control.queues import Run, Told, all_queued, all_queued_within, as_columns, queued_among
from weir.control.shapes import class_of_stored, deadline_of_stored, tasks_of_stored
from weir.control.shares import tenant_number, told_shares, with_usage
from weir.model.change import Change
from weir.model.state import Desired, JobState, Observed
from weir.model.task_range import TaskRange
from weir.scheduling.inputs import Changes, JobClass, QueuedJobs, RunningJob, TenantRow
from weir.store import LogCutError, log, schema

MOST_CHANGES = 50_000
"""A reader further behind than this reads the live rows anew."""
MOST_CLASSES = 200_000
"""So many specifications are remembered at most by what shapes them."""
REMEMBERED = 10_000
"""Of the jobs that succeeded, and of those that failed, so many of the newest are learnt from at start."""
GHOSTS = 1 << 60
"""From here on: what a given-up attempt may still hold at its centre, told to the core as a job of its own."""

_job = schema.job.c
_submission = schema.submission.c
_attempt = schema.attempt.c

_WHOSE = (_submission.organisation, _submission.owner, _submission.project)
_PLACED = (
    select(
        _job.number,
        _job.state,
        _job.time_limit_ms,
        _submission.specification,
        _attempt.epoch,
        _attempt.centre,
        _attempt.pool,
        _attempt.nodes,
        _attempt.placed_ms,
        _attempt.desired,
        _job.started_ms,
        *_WHOSE,
    )
    .join(schema.submission, _submission.number == _job.submission)
    .join(schema.attempt, (_attempt.job == _job.number) & (_attempt.epoch == _job.epoch))
    .where(_job.state.between(int(JobState.PLACED), int(JobState.UNKNOWN)))
    .order_by(_job.number)
)
_GHOSTS = (
    select(
        _attempt.job.label("number"),
        _attempt.epoch,
        _attempt.centre,
        _attempt.pool,
        _attempt.nodes,
        _attempt.placed_ms,
        _job.time_limit_ms,
        _submission.specification,
    )
    .join(schema.job, _job.number == _attempt.job)
    .join(schema.submission, _submission.number == _job.submission)
    .where(_attempt.observed < int(Observed.ENDED), _attempt.desired == int(Desired.ABANDONED))
    .order_by(_attempt.job, _attempt.epoch)
)
_BODIES = select(schema.specification.c.digest, schema.specification.c.body).where(
    among_texts(schema.specification.c.digest, "digests")
)
_SOME_PLACED = _PLACED.where(among(_job.number, "jobs"))
_OUTCOMES = (
    select(
        _job.number,
        _job.state,
        _job.cause,
        _job.started_ms,
        _job.ended_ms,
        _job.time_limit_ms,
        _submission.specification,
        _attempt.centre,
        _attempt.pool,
        _attempt.nodes,
        *_WHOSE,
    )
    .join(schema.submission, _submission.number == _job.submission)
    .join(schema.attempt, (_attempt.job == _job.number) & (_attempt.epoch == _job.epoch))
)
_SOME_OUTCOMES = _OUTCOMES.where(among(_job.number, "jobs"))
_HISTORY = (
    _OUTCOMES.where(_job.state == bindparam("state"), _job.started_ms.is_not(None))
    .order_by(_job.number.desc())
    .limit(REMEMBERED)
)


@dataclass(frozen=True, slots=True)
class News:
    """What came since the last reading. `changes` is None where none of it matters to the core."""

    changes: Changes | None
    stopping: tuple[tuple[AttemptKey, str], ...]
    """Attempts, each with its centre, that should be stopped and are not told so yet."""
    position: int


class Snapshot:
    """Which jobs the core knows, and as what. Its methods are called in turn, from one thread."""

    def __init__(self) -> None:
        self.position = -1
        self.pools = Pools(())
        self.versions: dict[int, int] = {}
        """Of each queued job, the version that the core was told of."""
        self.placed: dict[int, int] = {}
        """Of each job that holds capacity, the epoch of its attempt; ghosts included."""
        self.promised: frozenset[int] = frozenset()
        """The jobs to which pools are promised: they are not told anew, so that this stands."""
        self.stored: dict[int, Kept] = {}
        """What pools are promised, as it is stored."""
        self._shares: tuple[TenantRow, ...] = ()
        self.sharing = False
        """Whether an organisation's share is declared: a weight, a quota or a ceiling."""
        self._again: set[int] = set()
        self._others = Others()
        self._classes: dict[str, JobClass] = {}
        self._deadlines: dict[str, int] = {}
        self.elastic: dict[str, TaskRange] = {}
        """By digest of a specification, how many tasks its jobs may have, where they have a choice."""
        self._expectations = Expectations()
        self._asked = Asked()
        self._told: dict[tuple[str | int | None, ...], JobClass] = {}
        """What queued jobs are, by all that this follows from."""
        self._away_ms = 0

    def read(self, connection: Connection, now_ms: int) -> News:
        """Everything that was committed since the last reading, by `now_ms`; the first time, the live rows whole.

        Nothing else may be read in between: what is returned has been taken note of.
        """
        if self.position < 0:
            return self._load(connection, now_ms)
        try:
            changes = log.changes(connection, self.position, MOST_CHANGES)
        except LogCutError:
            return self._load(connection, now_ms)
        if len(changes) == MOST_CHANGES:
            return self._load(connection, now_ms)
        if not changes and not self._again:
            return News(None, (), self.position)
        return self._follow(connection, changes, now_ms)

    def forecast(self, kind: Kind, now_ms: int) -> Forecast | None:
        """For how long such a job would be expected to run; None where nothing of its user is remembered."""
        return self._expectations.forecast(kind, now_ms)

    def started(self, job: int, epoch: int) -> None:
        """A start that the core planned has been stored."""
        self.versions.pop(job, None)
        self.placed[job] = epoch

    def not_as_planned(self, jobs: Iterable[int]) -> None:
        """Starts that the core planned were refused, or made otherwise: the next reading tells it what became of those
        jobs."""
        for job in jobs:
            self.versions.pop(job, None)
            self.placed[job] = -1
            self._again.add(job)

    def look_again(self, jobs: Iterable[int]) -> None:
        """The next reading sees whether these still wait as the core was told."""
        self._again.update(jobs)

    def _load(self, connection: Connection, now_ms: int) -> News:
        freed = (*self.placed, *self._others.forget())
        unqueued = np.fromiter(self.versions, np.int64, len(self.versions))
        self.versions, self.placed = {}, {}
        self._again.clear()
        self.pools = load_pools(connection)
        self._away_ms = city_first.rather_waits_ms(connection)
        self._told.clear()
        self.position = log.last_position(connection)
        shares = self._other_shares(connection) or self._shares
        placed = connection.execute(_PLACED).all()
        running, stopping = self._hold(connection, placed), _to_stop(placed)
        self._remember(connection, placed)
        queued = self._queue(connection, all_queued(connection), now_ms)
        _, ghosts = self._haunt(connection)
        self.stored = promises.load(connection)
        _, others = self._others.read(connection, self.pools)
        changes = Changes(
            pools=self.pools.rows,
            links=self.pools.links,
            freed=freed,
            unqueued=unqueued,
            queued=queued,
            running=(*running, *ghosts, *others),
            tenants=with_usage(connection, shares),
            promised=tuple(
                one.promise
                for one in self.stored.values()
                if self.versions.get(one.promise.job) == one.version
            ),
        )
        return News(changes, stopping, self.position)

    def _follow(self, connection: Connection, changes: Sequence[Change], now_ms: int) -> News:
        dirty, gone, many, province, centres = named(changes)
        if province and city_first.rather_waits_ms(connection) != self._away_ms:
            return self._load(connection, now_ms)
        runs: list[Run] = []
        for first, count in many:
            jobs = set(range(first, first + count))
            within = [] if self._knows(jobs) else all_queued_within(connection, first, count)
            if within:
                runs += within
                dirty -= jobs
            else:
                dirty |= jobs
        dirty |= self._again
        gone -= self._again
        self._again.clear()
        pools = links = None
        had_shared = bool(self.pools.shared)
        if province or centres or (self.pools.limited and (dirty or gone or many)):
            new = load_pools(connection)
            pools = new.rows if new.rows != self.pools.rows else None
            links = new.links if new.links != self.pools.links else None
            self.pools = new
        if changes:
            self.position = changes[-1].position
        freed = [job for job in gone if self.placed.pop(job, None) is not None]
        unqueued = [job for job in gone if self.versions.pop(job, None) is not None]
        running: list[RunningJob] = []
        stopping: tuple[tuple[AttemptKey, str], ...] = ()
        ended = self._outcomes(connection, {*freed, *done(changes)})
        requeued: list[int] = []
        held: Mapping[int, AnyRow] = {}
        if dirty:
            waiting = {run.first: run for run in queued_among(connection, dirty)}
            held = {row[0]: row for row in connection.execute(_SOME_PLACED, {"jobs": number_list(dirty)})}
            for job in dirty:
                row = held.get(job)
                if job in self.placed and (row is None or row.epoch != self.placed[job]):
                    del self.placed[job]
                    freed.append(job)
                    requeued.append(job)
                ready = waiting.get(job)
                if job in self.versions and (ready is None or ready.version != self.versions[job]):
                    del self.versions[job]
                    unqueued.append(job)
            stopping = _to_stop(held.values())
            runs += [run for job, run in waiting.items() if job not in self.versions]
            running = self._hold(connection, [row for job, row in held.items() if job not in self.placed])
        learnt = self._expectations.happened(ended, self._began(connection, held.values()), requeued)
        # Before what is queued now, which is told by the same expectations.
        anew = self._asked.again(learnt, self._expectations, now_ms, self._may_be_told_anew)
        self._learn(connection, {run.specification for run, _, _ in anew})
        unqueued += [job for run, _, _ in anew for job in range(run.first, run.last + 1)]
        of_anew = self._classes_of(connection, [run for run, _, _ in anew], now_ms)
        told_anew = as_columns(
            [
                Told(run, job_class, expected_ms, self._deadlines[run.specification])
                for (run, _, expected_ms), job_class in zip(anew, of_anew, strict=True)
            ]
        )
        queued = self._queue(connection, runs, now_ms) + told_anew
        if centres:
            exorcised, ghosts = self._haunt(connection)
            freed += exorcised
            running += ghosts
        if self.pools.shared or had_shared:
            left, others = self._others.read(connection, self.pools)
            freed += left
            running += others
        tenants = self._other_shares(connection) if province else ()
        matters = tenants or pools is not None or links is not None or freed or unqueued or queued or running
        if not matters:
            return News(None, stopping, self.position)
        news = Changes(
            pools=pools,
            links=links,
            freed=tuple(sorted(freed)),
            unqueued=np.array(sorted(unqueued), np.int64),
            queued=queued,
            running=tuple(running),
            tenants=tenants,
        )
        return News(news, stopping, self.position)

    def _other_shares(self, connection: Connection) -> tuple[TenantRow, ...]:
        """All shares, if they are others than before; who had one and has none is told as without."""
        before, self._shares = self._shares, told_shares(connection)
        self.sharing = any(row != TenantRow(row.tenant) for row in self._shares)
        without = sorted({row.tenant for row in before}.difference(row.tenant for row in self._shares))
        return () if before == self._shares else (*self._shares, *map(TenantRow, without))

    def _knows(self, jobs: set[int]) -> bool:
        """Whether the core has been told of any of these."""
        return not (self.versions.keys().isdisjoint(jobs) and self.placed.keys().isdisjoint(jobs))

    def _queue(self, connection: Connection, runs: Sequence[Run], now_ms: int) -> tuple[QueuedJobs, ...]:
        """The runs by class, and noted as queued."""
        if not runs:
            return ()
        self._learn(connection, {run.specification for run in runs})
        for run in runs:
            if run.first == run.last:
                self.versions[run.first] = run.version
            else:
                self.versions.update(dict.fromkeys(range(run.first, run.last + 1), run.version))
        kinds = [self._kind(run) for run in runs]
        classes = self._classes_of(connection, runs, now_ms)
        told = []
        for run, kind, job_class, expected_ms in zip(
            runs, kinds, classes, self._expectations.told(kinds, now_ms), strict=True
        ):
            told.append(Told(run, job_class, expected_ms, self._deadlines[run.specification]))
            self._asked.note(self._expectations.user(kind), run, kind, expected_ms, self._may_be_told_anew)
        return as_columns(told)

    def _classes_of(self, connection: Connection, runs: Sequence[Run], now_ms: int) -> list[JobClass]:
        """The classes of queued jobs: their shapes, with what their owners pay and which city's pools they prefer."""
        homes: Mapping[str, str] = {}
        if self._away_ms and runs:
            homes = city_first.homes(connection, {run.organisation for run in runs}, day_of(now_ms))
        if len(self._told) > MOST_CLASSES:
            self._told.clear()
        found = []
        for run in runs:
            home = homes.get(run.organisation, "")
            key = (run.specification, run.price_version, run.tenant_class, run.legs, run.paid_there, home)
            job_class = self._told.get(key)
            if job_class is None:
                shape = self._classes[run.specification]
                job_class = self._told[key] = as_owned(connection, shape, run, home, self._away_ms)
            found.append(job_class)
        return found

    def _may_be_told_anew(self, job: int, version: int) -> bool:
        """Whether a job still waits as the core was told, and nothing is promised to it."""
        return self.versions.get(job) == version and job not in self.promised

    def _kind(self, row: Run | AnyRow) -> Kind:
        size = self._classes[row.specification].size
        return Kind(row.organisation, row.owner, row.project, size, row.time_limit_ms)

    def _remember(self, connection: Connection, placed: Sequence[AnyRow]) -> None:
        """Begin anew to expect: learn from the newest jobs that ended, and of those that run."""
        self._expectations, self._asked = Expectations(), Asked()
        rows: list[AnyRow] = []
        for state in (JobState.SUCCEEDED, JobState.FAILED):
            rows += connection.execute(_HISTORY, {"state": int(state)}).all()
        self._learn(connection, {row.specification for row in rows})
        rows.sort(key=lambda row: (row.ended_ms, row.number))
        self._expectations.happened([self._ended(row) for row in rows], self._began(connection, placed))

    def _outcomes(self, connection: Connection, jobs: Collection[int]) -> list[Ended]:
        """What became of jobs that ran and have ended."""
        if not jobs:
            return []
        rows = list(connection.execute(_SOME_OUTCOMES, {"jobs": number_list(jobs)}).all())
        self._learn(connection, {row.specification for row in rows})
        rows.sort(key=lambda row: (row.ended_ms or 0, row.number))
        return [self._ended(row) for row in rows]

    def _ended(self, row: AnyRow) -> Ended:
        ran_ms = 0
        if row.started_ms is not None and learnable(JobState(row.state), row.cause):
            wall_ms = min(row.time_limit_ms, max(1, row.ended_ms - row.started_ms))
            speed = self.pools.speed(f"{row.centre}/{row.pool}", self._classes[row.specification])
            ran_ms = max(1, wall_ms * speed // NOMINAL)
            if row.specification in self.elastic:  # as it would have run with the tasks that it waits with
                least = self.elastic[row.specification].least
                ran_ms = min(row.time_limit_ms, ran_ms * tasks_on(row.nodes) // least)
        return Ended(row.number, self._kind(row), ran_ms)

    def _began(self, connection: Connection, rows: Iterable[AnyRow]) -> list[Began]:
        """Those of the placements whose jobs run."""
        run = [row for row in rows if row.started_ms is not None]
        self._learn(connection, {row.specification for row in run})
        return [Began(row.number, self._kind(row), row.started_ms) for row in run]

    def _hold(self, connection: Connection, rows: Sequence[AnyRow]) -> list[RunningJob]:
        """The rows as placements, and noted as such."""
        self._learn(connection, {row.specification for row in rows})
        self.placed.update((row.number, row.epoch) for row in rows)
        return [self._running(row, row.number, tenant_number(row.organisation)) for row in rows]

    def _haunt(self, connection: Connection) -> tuple[list[int], list[RunningJob]]:
        """The given-up attempts that have ended meanwhile, and those that are new."""
        rows = connection.execute(_GHOSTS).all()
        self._learn(connection, {row.specification for row in rows})
        present = {GHOSTS + row.number * 1_024 + row.epoch % 1_024: row for row in rows}
        ended = [ghost for ghost in self.placed if ghost >= GHOSTS and ghost not in present]
        for ghost in ended:
            del self.placed[ghost]
        new = {ghost: row for ghost, row in present.items() if ghost not in self.placed}
        self.placed.update((ghost, row.epoch) for ghost, row in new.items())
        return ended, [self._running(row, ghost) for ghost, row in new.items()]

    def _running(self, row: AnyRow, job: int, tenant: int = 0) -> RunningJob:
        """What a centre that was lost may still hold is no tenant's: nobody is charged for it."""
        job_class = self._classes[row.specification]
        if row.specification in self.elastic:
            job_class = replace(job_class, tasks=tasks_on(row.nodes))
        return RunningJob(
            job=job,
            job_class=job_class,
            pool=f"{row.centre}/{row.pool}",
            nodes=tuple((node, tasks) for node, tasks in json.loads(row.nodes)),
            placed_ms=row.placed_ms,
            time_limit_ms=row.time_limit_ms,
            tenant=tenant,
        )

    def _learn(self, connection: Connection, digests: Collection[str]) -> None:
        if len(self._classes) > MOST_CLASSES:
            self._classes.clear()
            self._deadlines.clear()
            self.elastic.clear()
            self._told.clear()
        new = [digest for digest in digests if digest not in self._classes]
        if new:
            for digest, body in connection.execute(_BODIES, {"digests": text_list(new)}):
                self._classes[digest] = class_of_stored(body)
                self._deadlines[digest] = deadline_of_stored(body)
                tasks = tasks_of_stored(body)
                if tasks.elastic:
                    self.elastic[digest] = tasks


def _to_stop(rows: Iterable[AnyRow]) -> tuple[tuple[AttemptKey, str], ...]:
    return tuple(
        (AttemptKey(row.number, row.epoch), row.centre)
        for row in rows
        if row.state == JobState.STOPPING and row.desired == Desired.RUN
    )


__all__ = ["News", "Snapshot"]
