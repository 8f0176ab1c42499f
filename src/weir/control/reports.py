"""What agents observe: levels that never go down, and ends that are taken once."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from weir.billing.meters import Seen
from weir.control import adoption, follow, money, moves
from weir.control.adoption import Brought
from weir.control.listed import AnyRow, among, number_list
from weir.control.names import AttemptKey, attempt_keys
from weir.control.placement import tasks_on
from weir.control.sharing import declared, observation_of
from weir.control.waits import ExpectedWait, coarse_foreign, expected_wait
from weir.model.agent import End, LogChunk, Observation, PoolObservation, Report, ReportAnswer
from weir.model.change import ChangeKind
from weir.model.codec import to_plain
from weir.model.job_rules import is_url, safe_relative_path
from weir.model.problem import ProblemError, not_found, refused
from weir.model.province import Pool
from weir.model.state import Cause, Desired, JobState, Observed
from weir.store import Transaction, schema
from weir.units import LATEST_MS

HEARTBEAT_MS = 1_000
"""A report with nothing in it is written down at most this often."""
CLOCK_TOLERANCE_MS = 1_000
REPORT_DELAY_MS = 15_000
"""A report may have been under way for so long, to a server that was starting or busy; until then its times are taken
as they are, rather than for those of a clock that is behind."""
"""A centre's clock that differs by more is not believed: its times are moved by the difference."""
LONGEST_MESSAGE = 4_000
MOST_UNCLAIMED = 10_000

_centre = schema.centre.c
_attempt = schema.attempt.c
_job = schema.job.c

_CENTRE = select(schema.centre).where(_centre.id == bindparam("centre")).with_for_update()
_INCARNATION = select(schema.meta.c.value).where(schema.meta.c.key == "incarnation")
_ATTEMPTS = (
    select(
        _attempt.job,
        _attempt.epoch,
        _attempt.centre,
        _attempt.pool,
        _attempt.nodes,
        _attempt.desired,
        _attempt.observed,
        _attempt.placed_ms,
        _attempt.started_ms,
        _attempt.message,
        _attempt.withdrawn,
        _job.epoch.label("job_epoch"),
        _job.state.label("job_state"),
    )
    .join(schema.job, _job.number == _attempt.job)
    .where(among(_attempt.job, "jobs"))
)
_OBSERVED = (
    update(schema.attempt)
    .where(
        _attempt.job == bindparam("of_job"),
        _attempt.epoch == bindparam("of_epoch"),
        _attempt.observed < int(Observed.ENDED),
    )
    .values(observed=bindparam("level"), started_ms=bindparam("started"), message=bindparam("said"))
)
_ENDED = _OBSERVED.values(
    ended_ms=bindparam("ended"),
    cause=bindparam("why"),
    exit_code=bindparam("code"),
    signal=bindparam("by_signal"),
    dropped_log_bytes=bindparam("dropped"),
)
_COUNT_WITHDRAWN = (
    update(schema.job).where(_job.number == bindparam("of_job")).values(withdrawals=_job.withdrawals + 1)
)
_REACHED = update(schema.centre).where(_centre.id == bindparam("answering")).values(reachable=True)
_AWAY = (
    select(_job.number)
    .join(schema.attempt, (_attempt.job == _job.number) & (_attempt.epoch == _job.epoch))
    .where(_job.state == int(JobState.UNKNOWN), _attempt.centre == bindparam("centre"))
)
_pool = schema.pool.c
_POOLS = select(_pool.id, _pool.body, _pool.observed, _pool.expected_wait_ms, _pool.expected_wait_from).where(
    _pool.centre == bindparam("centre")
)
_SET_POOL = (
    update(schema.pool)
    .where(_pool.centre == bindparam("of_centre"), _pool.id == bindparam("of_pool"))
    .values(
        observed=bindparam("seen"),
        expected_wait_ms=bindparam("wait_ms"),
        expected_wait_from=bindparam("said_by"),
    )
)


def report(tx: Transaction, centre: str, told: Report, now_ms: int) -> ReportAnswer:
    """Take a report in; what came before it, or from an agent that has been replaced, changes nothing.

    Log chunks are written by the caller before (see `authorise_logs`), so that `kept` means: all of it is held.
    Raises ProblemError (404) for a centre that is not declared.
    """
    here = tx.connection.execute(_CENTRE, {"centre": centre}).one_or_none()
    if here is None:
        raise not_found("centre", centre)
    incarnation = tx.connection.execute(_INCARNATION).scalar_one()
    if told.incarnation < here.agent_incarnation:
        return ReportAnswer(incarnation, acknowledged=0)
    if told.incarnation == here.agent_incarnation and told.number <= here.report_number:
        return ReportAnswer(
            incarnation,
            acknowledged=here.report_number,
            want_full=here.synchronised_with != incarnation,
            kept=_kept(tx.connection, centre, told),
        )
    return _Taking(tx, here, told, incarnation, now_ms).take()


def authorise_logs(connection: Connection, centre: str, chunks: Iterable[LogChunk]) -> tuple[LogChunk, ...]:
    """Those of the chunks that belong to attempts of this centre; the others are not written."""
    chunks = tuple(chunks)
    own = own_attempts(connection, centre, {chunk.attempt for chunk in chunks})
    return tuple(
        chunk
        for chunk in chunks
        if chunk.attempt in own and chunk.stream in follow.STREAMS and chunk.task >= 0 and chunk.offset >= 0
    )


def own_attempts(connection: Connection, centre: str, attempts: Iterable[str]) -> frozenset[str]:
    """Those of the attempts named that are this centre's."""
    keys = attempt_keys(connection, attempts)
    rows = _rows(connection, keys.values())
    return frozenset(name for name, key in keys.items() if key in rows and rows[key].centre == centre)


class _Taking:
    """One report being taken in."""

    def __init__(self, tx: Transaction, here: AnyRow, told: Report, incarnation: str, now_ms: int) -> None:
        self.tx = tx
        self.here = here
        self.told = told
        self.incarnation = incarnation
        self.now_ms = now_ms
        skew = now_ms - told.agent_time_ms
        self.skew_ms = skew if skew < -CLOCK_TOLERANCE_MS or skew > REPORT_DELAY_MS else 0
        self.synchronised = here.synchronised_with == incarnation and (
            told.incarnation == here.agent_incarnation or told.full
        )
        if told.full and told.store_incarnation == incarnation:
            self.synchronised = True

    def take(self) -> ReportAnswer:
        told, here = self.told, self.here
        keys = attempt_keys(self.tx.connection, [observation.attempt for observation in told.observations])
        rows = _rows(self.tx.connection, keys.values())
        unknown = [
            observation
            for observation in told.observations
            if observation.attempt not in keys
            or keys[observation.attempt] not in rows
            or rows[keys[observation.attempt]].centre != here.id
        ]
        if told.full and told.store_incarnation == self.incarnation:
            brought = [Brought(keys[one.attempt], one) for one in unknown if one.attempt in keys]
            if not here.reachable:
                # What is adopted is placed at a centre that answers, and never unknown.
                self.tx.connection.execute(_REACHED, {"answering": here.id})
            adopted = adoption.adopt(
                self.tx, here.id, [one for one in brought if one.key not in rows], self.now_ms
            )
            if adopted:
                rows = _rows(self.tx.connection, keys.values())
                unknown = [one for one in unknown if keys.get(one.attempt) not in adopted]
        strangers = {observation.attempt for observation in unknown}
        own = [(keys[one.attempt], one) for one in told.observations if one.attempt not in strangers]
        settled = self._observe(own, rows)
        money.tick(self.tx, here.id, here.heartbeat_ms, self.now_ms)
        self._write_centre(strangers, settled)
        return ReportAnswer(
            self.incarnation,
            acknowledged=told.number,
            want_full=not self.synchronised,
            kept=_kept(self.tx.connection, here.id, told),
        )

    def _observe(
        self, own: Sequence[tuple[AttemptKey, Observation]], rows: Mapping[AttemptKey, AnyRow]
    ) -> set[int]:
        """Write down what is new; the jobs whose state that may change."""
        news: dict[AttemptKey, dict[str, Any]] = {}
        ends: dict[AttemptKey, dict[str, Any]] = {}
        outputs: list[dict[str, Any]] = []
        concerned: set[int] = set()
        metered: dict[int, Seen] = {}
        resumed: dict[tuple[int, int], int] = {}
        superseded = False
        for key, observation in own:
            row = rows[key]
            if row.observed == Observed.ENDED or key in ends:
                continue
            values = self._level(row, observation)
            live = row.epoch == row.job_epoch and row.desired != Desired.ABANDONED
            if observation.end is not None and observation.observed is Observed.ENDED:
                end = _of_withdrawn(row, _with_safe_outputs(observation.end))
                ends[key] = values | self._end(row, end)
                news.pop(key, None)
                superseded = superseded or not live
                if live:
                    outputs += _outputs(key, end)
                    if end.resumed_ms is not None:
                        resumed[key] = max(0, min(end.resumed_ms + self.skew_ms, LATEST_MS))
            elif (values["level"], values["started"], values["said"]) != (
                row.observed,
                row.started_ms,
                row.message,
            ):
                news[key] = values
            else:
                continue
            if live:
                concerned.add(key.job)
            told = money.seen(
                job=key.job,
                epoch=key.epoch,
                centre=row.centre,
                place=money.Place(row.pool, tasks_on(row.nodes)),
                started_ms=(ends.get(key) or values)["started"],
                end=observation.end if key in ends else None,
                live=live,
                # What is queued again is paid for by its next attempt.
                last=row.epoch == row.job_epoch and JobState(row.job_state).ended,
            )
            if told is not None:
                metered[key.job] = told
        if news:
            self.tx.connection.execute(_OBSERVED, list(news.values()))
        if ends:
            self.tx.connection.execute(_ENDED, list(ends.values()))
            follow.forget_ended(self.tx, list(ends))
            withdrawn = [key for key, values in ends.items() if values["why"] == Cause.WITHDRAWN.value]
            if withdrawn:
                self.tx.connection.execute(_COUNT_WITHDRAWN, [{"of_job": key.job} for key in withdrawn])
        if outputs:
            self.tx.connection.execute(insert(schema.output), outputs)
        money.observed(self.tx, list(metered.values()), self.now_ms)
        money.resumed(self.tx, resumed, self.now_ms)
        if superseded:
            # What it held is free again, and its job's own moves say nothing of that.
            self._centre_changed()
        return concerned

    def _level(self, row: AnyRow, observation: Observation) -> dict[str, Any]:
        level = observation.observed
        if level is Observed.ENDED and observation.end is None:
            level = Observed.RUNNING  # an end that says nothing is none; it is sent again with its facts
        return {
            "of_job": row.job,
            "of_epoch": row.epoch,
            "level": max(int(level), row.observed),
            "started": row.started_ms
            if row.started_ms is not None
            else self._time(row, observation.started_ms),
            "said": observation.message[:LONGEST_MESSAGE],
        }

    def _end(self, row: AnyRow, end: End) -> dict[str, Any]:
        started = row.started_ms if row.started_ms is not None else self._time(row, end.started_ms)
        ended = self._time(row, end.ended_ms)
        return {
            "level": int(Observed.ENDED),
            "started": started,
            "ended": max(ended or 0, started or 0),
            "why": None if end.cause is None else end.cause.value,
            "code": end.exit_code,
            "by_signal": end.signal,
            "said": end.message[:LONGEST_MESSAGE],
            "dropped": end.dropped_log_bytes,
        }

    def _time(self, row: AnyRow, centre_ms: int | None) -> int | None:
        """A time of the centre's clock in ours: between the placement and now."""
        if centre_ms is None:
            return None
        return max(int(row.placed_ms), min(self.now_ms, centre_ms + self.skew_ms))

    def _write_centre(self, strangers: set[str], settled: set[int]) -> None:
        here, told = self.here, self.told
        reachable = here.reachable or self.synchronised
        unclaimed = self._unclaimed(strangers)
        values: dict[str, Any] = {
            "agent_draining": told.draining,
            "synchronised_with": self.incarnation if self.synchronised else here.synchronised_with,
            "reachable": reachable,
            "unclaimed": unclaimed,
        }
        if told.incarnation != here.agent_incarnation and not self.synchronised:
            values["synchronised_with"] = ""
        changed = self._observe_pools() or any(
            values[name] != getattr(here, name)
            for name in ("agent_draining", "synchronised_with", "reachable")
        )
        new = changed or settled or unclaimed != here.unclaimed or told.incarnation != here.agent_incarnation
        new = new or bool(told.observations or told.full)
        if new or here.heartbeat_ms is None or self.now_ms - here.heartbeat_ms >= HEARTBEAT_MS:
            values |= {
                "heartbeat_ms": self.now_ms,
                "agent_incarnation": told.incarnation,
                "report_number": told.number,
            }
            self.tx.connection.execute(update(schema.centre).where(_centre.id == here.id).values(values))
        if changed:
            self._centre_changed()
        if reachable and not here.reachable:
            settled |= set(self.tx.connection.execute(_AWAY, {"centre": here.id}).scalars())
        moves.settle(self.tx, settled, self.now_ms)

    def _unclaimed(self, strangers: set[str]) -> str:
        """What runs there and is not ours to stop. A full report names all of it, others what is new."""
        named = set(self.told.unclaimed) | strangers
        if not self.told.full:
            named |= set(json.loads(self.here.unclaimed))
        return json.dumps(sorted(named)[:MOST_UNCLAIMED])

    def _observe_pools(self) -> bool:
        """Store what the engine says of the pools; whether anything changed by which work is placed."""
        if not self.told.pools:
            return False
        connection = self.tx.connection
        known = {row.id: row for row in connection.execute(_POOLS, {"centre": self.here.id})}
        rows = []
        matters = False
        for seen in self.told.pools:
            before = known.get(seen.pool)
            if before is None:
                continue
            wait = ExpectedWait(None, "")
            if declared(Pool, before.body).shared:
                wait = expected_wait(connection, self.here.id, seen)
            other_wait = (before.expected_wait_ms or 0) != (wait.wait_ms or 0)
            stored = _stored(seen)
            if _facts(stored) == _facts(before.observed) and not other_wait:
                continue
            rows.append(
                {
                    "of_centre": self.here.id,
                    "of_pool": seen.pool,
                    "seen": stored,
                    "wait_ms": wait.wait_ms,
                    "said_by": wait.said_by,
                }
            )
            matters = matters or other_wait or before.observed is None
            matters = matters or _placing_facts(seen) != _placing_facts(observation_of(before.observed))
        if rows:
            connection.execute(_SET_POOL, rows)
        return matters

    def _centre_changed(self) -> None:
        body = {"centre": self.here.id}
        if not any(change.kind == ChangeKind.CENTRE.value for change in self.tx.changes):
            self.tx.append(ChangeKind.CENTRE, body, at_ms=self.now_ms)


def _rows(connection: Connection, keys: Iterable[AttemptKey]) -> dict[AttemptKey, AnyRow]:
    wanted = set(keys)
    if not wanted:
        return {}
    rows = connection.execute(_ATTEMPTS, {"jobs": number_list({key.job for key in wanted})})
    return {key: row for row in rows if (key := AttemptKey(row.job, row.epoch)) in wanted}


def _kept(connection: Connection, centre: str, told: Report) -> tuple[str, ...]:
    """The attempts of which the report tells the end, and whose end is stored."""
    ended = [one.attempt for one in told.observations if one.observed is Observed.ENDED]
    keys = attempt_keys(connection, ended)
    rows = _rows(connection, keys.values())
    return tuple(
        name
        for name, key in keys.items()
        if key in rows and rows[key].centre == centre and rows[key].observed == Observed.ENDED
    )


def _with_safe_outputs(end: End) -> End:
    """The end as it is told; where a file would lie outside of the job's folder, none is taken over."""
    try:
        for file in end.outputs:
            safe_relative_path("outputs", file.path)
            if file.url and not is_url(file.url):
                raise refused("outputs", file.url, "a URL as jobs may name one")
    except ProblemError as error:
        return replace(end, outputs=(), cause=end.cause or Cause.OUTPUTS, message=str(error))
    return end


def _of_withdrawn(row: AnyRow, end: End) -> End:
    """The end as it is told; one that was to be taken back and ended so before its start is the job's no more.

    That an attempt was taken back is ours to say, and no agent's.
    """
    taken_back = row.withdrawn and row.desired == Desired.RUN and row.observed < Observed.RUNNING
    if not taken_back or end.cause is not Cause.CANCELLED or end.started_ms is not None:
        return replace(end, cause=Cause.LOST) if end.cause is Cause.WITHDRAWN else end
    return replace(end, cause=Cause.WITHDRAWN, message=row.withdrawn)


def _outputs(key: AttemptKey, end: End) -> list[dict[str, Any]]:
    files = {(file.task, file.path): file for file in end.outputs}
    return [
        {
            "job": key.job,
            "epoch": key.epoch,
            "task": file.task,
            "path": file.path,
            "size_bytes": file.size_bytes,
            "digest": file.digest,
            "url": file.url,
        }
        for file in files.values()
    ]


def _stored(seen: PoolObservation) -> str:
    return json.dumps(to_plain(seen), sort_keys=True, separators=(",", ":"))


def _facts(stored: str | None) -> Any:
    """A stored observation without the time at which it was read."""
    if stored is None:
        return None
    return {name: value for name, value in json.loads(stored).items() if name != "read_ms"}


def _placing_facts(seen: PoolObservation) -> PoolObservation:
    """An observation without what places no work, others' work by its ends told coarsely."""
    return replace(
        seen, read_ms=0, free=(), foreign=coarse_foreign(seen), queued_foreign=0, expected_wait_ms=None
    )


__all__ = ["HEARTBEAT_MS", "authorise_logs", "own_attempts", "report"]
