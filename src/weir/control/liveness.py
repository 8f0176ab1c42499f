"""Centres that fall silent: their jobs become unknown, and after a grace those that may are started elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, func, select, update

from weir.control import moves
from weir.control.desired import raise_revisions, want
from weir.control.listed import among_texts, text_list
from weir.control.names import AttemptKey
from weir.model.change import ChangeKind
from weir.model.state import Desired, JobState, Observed
from weir.store import Transaction, schema
from weir.store.migrate import RESTORED

_centre = schema.centre.c
_job = schema.job.c
_attempt = schema.attempt.c
_live = (_attempt.job == _job.number) & (_attempt.epoch == _job.epoch)

_HEARTBEATS = select(
    _centre.id, _centre.reachable, _centre.heartbeat_ms, _centre.synchronised_with, _centre.removed
).order_by(_centre.id)
_THERE = (
    select(_job.number)
    .join(schema.attempt, _live)
    .where(
        _job.state.between(int(JobState.PLACED), int(JobState.STOPPING)),
        among_texts(_attempt.centre, "centres"),
    )
)
_RESTARTABLE_THERE = (
    select(_job.number, _attempt.epoch, _attempt.centre)
    .join(schema.attempt, _live)
    .join(schema.submission, schema.submission.c.number == _job.submission)
    .where(
        _job.state == int(JobState.UNKNOWN),
        _job.epoch - _job.withdrawals < schema.submission.c.attempts_allowed,
        _attempt.observed < int(Observed.ENDED),
        _attempt.desired < int(Desired.ABANDONED),
        among_texts(_attempt.centre, "centres"),
    )
    .order_by(_job.number)
)
_RESTORED = select(schema.meta.c.value).where(schema.meta.c.key == RESTORED)
_LOSE = (
    update(schema.centre)
    .where(
        _centre.id == bindparam("lost"),
        _centre.reachable.is_(True),
        func.coalesce(_centre.heartbeat_ms, 0) <= bindparam("silent_since"),
    )
    .values(reachable=False)
)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long silence is borne."""

    lost_after_ms: int = 30_000
    """Without a sign of life for so long, a centre counts as lost."""
    grace_ms: int = 300_000
    """So long after that, its restartable jobs are started elsewhere."""
    wait_grace_ms: int = 600_000
    wait_factor: int = 2
    """A job that waits in its engine's queue for longer than so many times what was expected, and the grace, is taken
    back once it would start at once in another pool"""
    margin_percent: int = 10
    """where it scores better by so much, counting that it would wait as long again where it is;"""
    most_withdrawals: int = 3
    """so often at most."""


@dataclass(frozen=True, slots=True)
class Silence:
    """What has to be done about silent centres now, and when to look again."""

    lost: tuple[str, ...]
    given_up: tuple[str, ...]
    """Lost for longer than the grace, with something there that may be started elsewhere."""
    next_ms: int
    waited: bool = False
    """The store was put back, and its centres have had their time to say what they run."""


def look(connection: Connection, now_ms: int, watching_since_ms: int, patience: Patience) -> Silence:
    """Who is silent. Silence is counted from `watching_since_ms` at the earliest: while nobody listened, nobody
    could be heard."""
    restored = connection.execute(_RESTORED).scalar()
    awaited = False
    lost = []
    away = []
    next_ms = now_ms + patience.lost_after_ms
    for row in connection.execute(_HEARTBEATS):
        silent_since = max(row.heartbeat_ms or 0, watching_since_ms)
        lost_at = silent_since + patience.lost_after_ms
        if row.synchronised_with != restored and not row.removed and now_ms < lost_at:
            awaited = True
            next_ms = min(next_ms, lost_at)
        if row.reachable and now_ms >= lost_at:
            lost.append(row.id)
        elif row.reachable:
            next_ms = min(next_ms, lost_at)
        elif now_ms >= lost_at + patience.grace_ms:
            away.append(row.id)
        else:
            next_ms = min(next_ms, lost_at + patience.grace_ms)
    given_up: set[str] = set()
    if away:
        given_up = {
            row.centre for row in connection.execute(_RESTARTABLE_THERE, {"centres": text_list(away)})
        }
    waited = restored is not None and not awaited
    return Silence(tuple(lost), tuple(sorted(given_up)), next_ms, waited)


def end_waiting(tx: Transaction, now_ms: int) -> None:
    """A restored store waits no longer for centres of which it knows nothing, or that they were lost once."""
    tx.connection.execute(delete(schema.meta).where(schema.meta.c.key == RESTORED))
    tx.append(ChangeKind.PROVINCE, {"centres": []}, at_ms=now_ms)


def lose(tx: Transaction, centres: Sequence[str], silent_since_ms: int, now_ms: int) -> None:
    """Mark the centres as lost, unless they have been heard since: what was placed there is unknown from now."""
    gone = [
        centre
        for centre in centres
        if tx.connection.execute(_LOSE, {"lost": centre, "silent_since": silent_since_ms}).rowcount
    ]
    for centre in gone:
        tx.append(ChangeKind.CENTRE, {"centre": centre}, at_ms=now_ms)
    if gone:
        moves.settle(tx, list(tx.connection.execute(_THERE, {"centres": text_list(gone)}).scalars()), now_ms)


def give_up(tx: Transaction, centres: Sequence[str], now_ms: int) -> None:
    """Give up what was placed at these lost centres and may be started again; it queues again."""
    away = select(_centre.id).where(_centre.reachable.is_(False), among_texts(_centre.id, "centres"))
    still = list(tx.connection.execute(away, {"centres": text_list(centres)}).scalars())
    abandon(
        tx,
        [
            (AttemptKey(row.number, row.epoch), row.centre)
            for row in tx.connection.execute(_RESTARTABLE_THERE, {"centres": text_list(still)})
        ],
        now_ms,
    )


def abandon(tx: Transaction, attempts: Sequence[tuple[AttemptKey, str]], now_ms: int) -> None:
    """Give these attempts (each with its centre) up without an answer; they are stopped if their centre returns."""
    if not attempts:
        return
    revisions = raise_revisions(tx, {centre for _, centre in attempts})
    want(tx, attempts, Desired.ABANDONED, revisions)
    for centre in sorted(revisions):
        tx.append(ChangeKind.CENTRE, {"centre": centre}, at_ms=now_ms)
    moves.settle(tx, [key.job for key, _ in attempts], now_ms)


__all__ = ["Patience", "Silence", "abandon", "end_waiting", "give_up", "look", "lose"]
