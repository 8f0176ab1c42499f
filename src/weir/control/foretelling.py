"""When jobs will start, for people: pictures of the present for the core's outlook, and the last outlook as it is kept.

A picture is what the scheduler knows and what the newest jobs of the last days turned out to be. The outlook that is
made of it, by a process of its own, is kept as one row, so that every process of the API can tell of it, with its age.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sqlalchemy import Connection, Select, bindparam, delete, func, insert, select

from weir.control.listed import AnyRow, among, among_texts, number_list, text_list
from weir.control.shapes import class_of_stored
from weir.control.shares import tenant_number
from weir.model.money_view import PoolStartView
from weir.model.state import JobState
from weir.model.view import StartForecastView
from weir.scheduling import code_version
from weir.scheduling.inputs import Int64s, JobClass
from weir.scheduling.outlook import (
    LEVELS,
    Ended,
    Heard,
    Learnt,
    Outlook,
    Picture,
    at_pools,
    at_position,
    by_position,
    sampled,
    told_of,
    work_of,
)
from weir.scheduling.packed import PackedError, packed, unpacked
from weir.scheduling.province_forecast import NEVER_MS, Jobs, Province
from weir.scheduling.standing import Standing
from weir.scheduling.usage import Usage
from weir.store import Store, Transaction, schema

FUTURES = 64
FIRST = 10_000
"""So many jobs, the first in order, are followed through futures."""
BEHIND = 100_000
"""So many behind them are told by class and position; nothing is told of the rest."""
MOST_PAST = 20_000
"""So many jobs, the newest, are looked at for what comes and how long it runs."""
PAST_MS = 14 * 86_400_000
_KEPT_ISSUES = 12
_LATER = 1.5
"""A forecast is kept again once a job has waited so many times as long as when the last was."""

_job, _submission, _attempt = schema.job.c, schema.submission.c, schema.attempt.c
_PAST = select(
    _job.number,
    _job.state,
    _job.priority,
    _job.time_limit_ms,
    _job.started_ms,
    _job.ended_ms,
    _submission.submitted_ms,
    _submission.organisation,
    _submission.owner,
    _submission.specification,
).join(schema.submission, _submission.number == _job.submission)
_OWNERS = (
    select(_job.number, _submission.organisation, _submission.owner)
    .join(schema.submission, _submission.number == _job.submission)
    .where(among(_job.number, "jobs"))
)
_BODIES = select(schema.specification.c.digest, schema.specification.c.body).where(
    among_texts(schema.specification.c.digest, "digests")
)
_SHAPE = (
    select(_job.time_limit_ms, schema.specification.c.body)
    .join(schema.submission, _submission.number == _job.submission)
    .join(schema.specification, schema.specification.c.digest == _submission.specification)
    .where(_job.number == bindparam("job"))
)
_PLACED = (
    select(_attempt.job, func.min(_attempt.placed_ms).label("placed_ms"))
    .where(among(_attempt.job, "jobs"))
    .group_by(_attempt.job)
)
_RAN = (int(JobState.SUCCEEDED), int(JobState.FAILED))


@dataclass(frozen=True, slots=True)
class Kept:
    """The last outlook, or why there is none."""

    as_of_ms: int
    none: str
    outlook: Outlook | None


class Foreteller:
    """Makes pictures one after another, and remembers what was foretold until it has come true. One thread uses it."""

    def __init__(self) -> None:
        self._users: dict[tuple[str, str], int] = {}
        self._owners: dict[int, int] = {}
        self._classes: dict[str, JobClass] = {}
        self._issued: dict[int, list[_Issue]] = {}
        self._learnt: Learnt | None = None
        self._heard = Heard()

    def picture(self, store: Store, standing: Standing, now_ms: int) -> Picture | str:
        """What the next outlook follows from, or why there cannot be one."""
        if self._learnt is None:
            self._learnt = store.read(_learnt)
        self._heard = store.read(lambda connection: self._hear(connection, standing))
        if not len(standing.job):
            return "no job waited when the last one was to be made"
        past, ended = store.read(lambda connection: self._past(connection, now_ms))
        if not ended:
            return "no job has ended yet, so that nothing is known of how long jobs run"
        first = standing.job[:FIRST]
        store.read(lambda connection: self._own(connection, [*first.tolist(), *standing.running.tolist()]))
        classes = _Classes(standing)
        # What runs counts as of the lowest class in a future; where there is but one class, futures are made faster.
        lowest = min(int(standing.priority.min()), *(row.priority for row in past))
        usage = None
        if standing.usage is not None:
            usage = standing.usage.with_others(tenant_number(row.organisation) for row in past)
        here = Province(
            pools=standing.pools,
            links=standing.links,
            classes=(),
            now_ms=now_ms,
            running=self._running(standing, classes, usage, now_ms),
            waiting=self._waiting(standing, classes, usage, lowest),
            arrivals=self._arrivals(past, classes, usage, now_ms, lowest),
            policy=standing.policy,
            usage=usage,
        )
        ended.sort(key=lambda row: (row.ended_ms, row.number))
        return Picture(
            present=replace(here, classes=classes.used),
            ended=Ended(
                user=_column(self._user(row) for row in ended),
                size=_column(self._class(row).size for row in ended),
                limit_ms=_column(row.time_limit_ms for row in ended),
                run_ms=_column(
                    min(row.time_limit_ms, max(1, row.ended_ms - row.started_ms)) for row in ended
                ),
            ),
            users=len(self._users),
            ahead=work_of(standing.size, standing.expected_ms)[:FIRST],
            expected_ms=standing.expected_ms[:FIRST],
            heard=self._heard,
            learnt=self._learnt,
            seed=now_ms,
            futures=FUTURES,
        )

    def made(self, outlook: Outlook, standing: Standing) -> Outlook:
        """The outlook with those behind the first in it, to be kept; what it says is remembered."""
        self._learnt, self._heard = outlook.learnt, Heard()
        for row, job in enumerate(outlook.job.tolist()):
            self._remember(job, row, outlook)
        some = slice(FIRST, FIRST + BEHIND)
        job = standing.job[some]
        order = np.argsort(job)
        ahead = work_of(standing.size, standing.expected_ms)
        starts = by_position(outlook, standing.size[some], standing.expected_ms[some], ahead[some])
        return replace(
            outlook,
            samples=sampled(ahead),
            positions=len(ahead),
            behind=job[order],
            behind_start_ms=starts[order].reshape(-1),
        )

    def _remember(self, job: int, row: int, outlook: Outlook) -> None:
        issues = self._issued.setdefault(job, [])
        waited = outlook.as_of_ms - issues[0].at_ms if issues else 0
        if issues and (
            waited < _LATER * (issues[-1].at_ms - issues[0].at_ms) + 1 or len(issues) >= _KEPT_ISSUES
        ):
            return
        raw = outlook.raw_ms[LEVELS * row : LEVELS * (row + 1)]
        issues.append(_Issue(outlook.as_of_ms, int(outlook.stratum[row]), raw))

    def _hear(self, connection: Connection, standing: Standing) -> Heard:
        """Of the jobs that wait no more: what was foretold at first, and at about half and nine tenths of the wait."""
        issued = np.array(list(self._issued), np.int64)
        gone = issued[~np.isin(issued, standing.job)].tolist()
        if not gone:
            return self._heard
        placed = connection.execute(_PLACED, {"jobs": number_list(gone)}).all()
        told: list[tuple[_Issue, int]] = []
        for row in sorted(placed, key=lambda row: (row.placed_ms, row.job)):
            issues = self._issued[row.job]
            whole = row.placed_ms - issues[0].at_ms
            chosen = {0}
            for share in (0.5, 0.9):
                due = issues[0].at_ms + share * whole
                chosen.add(max((at for at, each in enumerate(issues) if each.at_ms <= due), default=0))
            told += [(issues[at], row.placed_ms - issues[at].at_ms) for at in sorted(chosen)]
        told = [(issue, waited) for issue, waited in told if waited >= 0]
        for job in gone:
            del self._issued[job]
        before = self._heard
        return Heard(
            stratum=np.concatenate([before.stratum, _column(issue.stratum for issue, _ in told)]),
            raw_ms=np.concatenate([before.raw_ms, *(issue.raw_ms for issue, _ in told)]),
            waited_ms=np.concatenate([before.waited_ms, _column(waited for _, waited in told)]),
        )

    def _past(self, connection: Connection, now_ms: int) -> tuple[Sequence[AnyRow], list[AnyRow]]:
        """The newest jobs, and the newest of those that have ended, however many newer ones wait."""
        last = connection.execute(select(func.max(_job.number))).scalar() or 0
        lately = _PAST.where(_submission.submitted_ms >= now_ms - PAST_MS)
        past = connection.execute(lately.where(_job.number > last - MOST_PAST).order_by(_job.number)).all()
        ended = [row for state in _RAN for row in connection.execute(_ended(state, lately))]
        ended = sorted(ended, key=lambda row: row.number, reverse=True)[:MOST_PAST]
        rows = [*past, *ended]
        new = {row.specification for row in rows} - self._classes.keys()
        if new:
            if len(self._classes) > MOST_PAST:
                self._classes.clear()
                new = {row.specification for row in rows}
            bodies = connection.execute(_BODIES, {"digests": text_list(new)})
            self._classes.update((digest, class_of_stored(body)) for digest, body in bodies)
        for row in rows:
            self._user(row)
        return past, ended

    def _own(self, connection: Connection, jobs: Sequence[int]) -> None:
        """Who owns these, for those that are not known yet."""
        unknown = [job for job in jobs if job not in self._owners]
        if len(self._owners) > 10 * MOST_PAST:
            self._owners.clear()
            unknown = list(jobs)
        for row in connection.execute(_OWNERS, {"jobs": number_list(unknown)}) if unknown else ():
            self._owners[row.number] = self._user(row)

    def _user(self, row: AnyRow) -> int:
        return self._users.setdefault((row.organisation, row.owner), len(self._users))

    def _class(self, row: AnyRow) -> JobClass:
        return self._classes[row.specification]

    def _owner(self, jobs: Int64s) -> Int64s:
        # Of what a lost centre may still run, nobody is told: it counts as the first user's.
        return _column(self._owners.get(job, 0) for job in jobs.tolist())

    def _running(self, standing: Standing, classes: "_Classes", usage: Usage | None, now_ms: int) -> Jobs:
        speed = np.array([pool.speed_milli for pool in standing.pools], np.int64)[standing.run_pool]
        # What core and futures call a time is one at nominal speed.
        elapsed = np.maximum(0, now_ms - standing.placed_ms) * speed // 1_000
        limit = np.maximum(1, standing.end_ms - standing.placed_ms) * speed // 1_000
        number = classes.of(standing.run_class)
        return Jobs(
            job=standing.running,
            job_class=number,
            size=classes.sizes(number),
            submitted_ms=standing.placed_ms,
            limit_ms=np.maximum(1, limit),
            user=self._owner(standing.running),
            elapsed_ms=elapsed,
            pool=standing.run_pool,
            run_ms=np.full(len(number), -1, np.int64),
            tenant=None if usage is None else usage.rows_of(standing.run_tenant),
        )

    def _waiting(self, standing: Standing, classes: "_Classes", usage: Usage | None, lowest: int) -> Jobs:
        none = np.zeros(min(FIRST, len(standing.job)), np.int64)
        return Jobs(
            job=standing.job[:FIRST],
            job_class=classes.of(standing.job_class[:FIRST]),
            size=standing.size[:FIRST],
            submitted_ms=standing.submitted_ms[:FIRST],
            limit_ms=standing.limit_ms[:FIRST],
            user=self._owner(standing.job[:FIRST]),
            elapsed_ms=none,
            pool=none,
            run_ms=none - 1,
            priority=standing.priority[:FIRST] - lowest,
            expected_ms=standing.expected_ms[:FIRST],
            tenant=None if usage is None else usage.rows_of(standing.tenant[:FIRST]),
        )

    def _arrivals(
        self, past: Sequence[AnyRow], classes: "_Classes", usage: Usage | None, now_ms: int, lowest: int
    ) -> Jobs:
        rows = sorted(past, key=lambda row: (row.submitted_ms, row.number))

        def ran(row: AnyRow) -> int:
            if row.state in _RAN and row.started_ms is not None and row.ended_ms is not None:
                return _run(row)
            return -1

        def elapsed(row: AnyRow) -> int:
            return 0 if row.started_ms is None else int(max(0, (row.ended_ms or now_ms) - row.started_ms))

        number = _column(classes.like(self._class(row)) for row in rows)
        return Jobs(
            job=_column(row.number for row in rows),
            job_class=number,
            size=classes.sizes(number),
            submitted_ms=_column(row.submitted_ms for row in rows),
            limit_ms=_column(row.time_limit_ms for row in rows),
            user=_column(self._user(row) for row in rows),
            elapsed_ms=_column(elapsed(row) for row in rows),
            pool=np.zeros(len(rows), np.int64),
            run_ms=_column(ran(row) for row in rows),
            priority=_column(row.priority - lowest for row in rows),
            tenant=None
            if usage is None
            else usage.rows_of(_column(tenant_number(row.organisation) for row in rows)),
        )


def _ended(state: int, lately: Select[Any]) -> Select[Any]:
    """Those among the newest MOST_PAST jobs in a state that began and ended: no more is read of what ended long ago."""
    newest_of = select(_job.number).where(_job.state == state).order_by(_job.number.desc()).limit(MOST_PAST)
    some = newest_of.subquery()
    ran = lately.where(_job.started_ms.is_not(None), _job.ended_ms.is_not(None))
    return ran.join(some, some.c.number == _job.number)


@dataclass(frozen=True, slots=True)
class _Issue:
    """What was foretold of a job at one time."""

    at_ms: int
    stratum: int
    raw_ms: Int64s


class _Classes:
    """The classes that a picture names, numbered as they are named."""

    def __init__(self, standing: Standing) -> None:
        self._described = standing.described
        self._numbers: dict[JobClass, int] = {}

    @property
    def used(self) -> tuple[JobClass, ...]:
        return tuple(self._numbers)

    def like(self, job_class: JobClass) -> int:
        return self._numbers.setdefault(job_class, len(self._numbers))

    def of(self, rows: Int64s) -> Int64s:
        """The numbers of classes by their rows in the state."""
        found, where = np.unique(rows, return_inverse=True)
        numbers = []
        for row in found.tolist():
            described = self._described[row]
            assert described is not None, "what waits or runs is of a class"
            numbers.append(self.like(described))
        return np.array(numbers, np.int64)[where] if numbers else np.zeros(0, np.int64)

    def sizes(self, numbers: Int64s) -> Int64s:
        each = np.array([job_class.size for job_class in self._numbers] or [1], np.int64)
        return each[numbers] if len(numbers) else numbers


def _run(row: AnyRow) -> int:
    """For how long an ended job ran."""
    return int(min(row.time_limit_ms, max(1, row.ended_ms - row.started_ms)))


def _column(values: Iterable[int]) -> Int64s:
    return np.fromiter(values, np.int64)


def write(tx: Transaction, as_of_ms: int, none: str, outlook: Outlook | None) -> None:
    """Keep an outlook, or why there is none, instead of the last; what has been learnt stays in any case."""
    learnt = _learnt(tx.connection) if outlook is None else outlook.learnt
    tx.connection.execute(delete(schema.forecast))
    plain = {"offset": learnt.offset.tolist(), "told": learnt.told.tolist()}
    tx.connection.execute(
        insert(schema.forecast).values(
            number=1,
            as_of_ms=as_of_ms,
            code=code_version(),
            none=none,
            calibration=json.dumps(plain, separators=(",", ":")),
            body=None if outlook is None else packed(outlook),
        )
    )


def newest(connection: Connection, known: Kept | None) -> Kept | None:
    """The last outlook that was kept; `known` itself where that is it. None before the first of this version."""
    table = schema.forecast.c
    row = connection.execute(select(table.as_of_ms, table.code, table.none)).one_or_none()
    if row is None or row.code != code_version():
        return None
    if known is not None and known.as_of_ms == row.as_of_ms:
        return known
    body = connection.execute(select(table.body)).scalar()
    try:
        return Kept(row.as_of_ms, row.none, None if body is None else unpacked(bytes(body)))
    except PackedError:
        return None


class Foretold:
    """What was foretold last, for everybody who asks in this process; read once for all of them."""

    def __init__(self) -> None:
        self._kept: Kept | None = None

    def start(self, connection: Connection, job: int, position: int = 0) -> StartForecastView:
        """When a job that waits will start, or why that is not foretold.

        position: its place in the line, where it is known: a job that the last forecast did not look at is then told
        by how fast jobs like it go ahead.
        """
        kept = self._kept = newest(connection, self._kept)
        view = start_view(kept, job)
        if kept is None or kept.outlook is None or view.start_ms or not position:
            return view
        if told_of(kept.outlook, job) is not None:
            return view
        row = connection.execute(_SHAPE, {"job": job}).one()
        starts = at_position(kept.outlook, class_of_stored(row.body).size, row.time_limit_ms, position)
        basis = _basis(kept.outlook, followed=False)
        return replace(view, start_ms=starts, none="", basis=basis) if starts else view

    def behind_all(self, connection: Connection, size: int, expected_ms: int) -> StartForecastView:
        """When a job would start that came behind all that waits, or why that is not foretold."""
        kept = self._kept = newest(connection, self._kept)
        if kept is None or kept.outlook is None:
            return start_view(kept, 0)
        starts = at_position(kept.outlook, size, expected_ms, kept.outlook.positions)
        return StartForecastView(kept.as_of_ms, 0, starts, basis=_basis(kept.outlook, followed=False))

    def behind_all_at(
        self, connection: Connection, size: int, expected_ms: int, pools: Sequence[str]
    ) -> tuple[PoolStartView, ...]:
        """The same for each of these pools, if that is where it starts."""
        kept = self._kept = newest(connection, self._kept)
        if kept is None or kept.outlook is None:
            return tuple(PoolStartView(pool, start_view(kept, 0)) for pool in pools)
        outlook = kept.outlook
        found = at_pools(outlook, size, expected_ms, outlook.positions)
        basis = f"what starts there in {outlook.futures} simulated futures; {_knows(outlook)}"
        none = StartForecastView(kept.as_of_ms, none="too little of what waits starts there in any future")
        return tuple(
            PoolStartView(
                pool, StartForecastView(kept.as_of_ms, 0, found[pool], basis=basis) if pool in found else none
            )
            for pool in pools
        )


def start_view(kept: Kept | None, job: int) -> StartForecastView:
    """What is foretold of a waiting job, or why nothing is."""
    if kept is None:
        return StartForecastView(none="no forecast has been made yet")
    if kept.outlook is None:
        return StartForecastView(as_of_ms=kept.as_of_ms, none=kept.none)
    told = told_of(kept.outlook, job)
    if told is None:
        late = "it was not among the jobs that the last forecast looked at"
        return StartForecastView(as_of_ms=kept.as_of_ms, none=late)
    never = kept.as_of_ms + NEVER_MS
    if told.start_ms[LEVELS // 2] >= never:
        no = "it starts in less than half of the futures, as pools are now"
        return StartForecastView(as_of_ms=kept.as_of_ms, none=no)
    return StartForecastView(
        as_of_ms=kept.as_of_ms,
        futures=kept.outlook.futures if told.followed else 0,
        start_ms=told.start_ms,
        basis=_basis(kept.outlook, followed=told.followed),
    )


def _basis(outlook: Outlook, *, followed: bool) -> str:
    how = f"{outlook.futures} simulated futures" if followed else "its place and the pace of jobs like it"
    return f"{how}; {_knows(outlook)}"


def _knows(outlook: Outlook) -> str:
    turns = ", tenants by turns as their shares and usage are then" if outlook.by_turns else ""
    return f"windows and prices to come as they are declared now{turns}"


def _learnt(connection: Connection) -> Learnt:
    text = connection.execute(select(schema.forecast.c.calibration)).scalar()
    plain: Mapping[str, Sequence[int]] = json.loads(text) if text else {"offset": (), "told": ()}
    return Learnt(np.array(plain["offset"], np.int64), np.array(plain["told"], np.int64))


__all__ = ["FIRST", "FUTURES", "Foreteller", "Foretold", "Kept", "newest", "start_view", "write"]
