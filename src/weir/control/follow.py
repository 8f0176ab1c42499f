"""Logs that somebody reads now: their agents send them as they are written instead of when the task has ended."""

from collections.abc import Callable, Collection
from dataclasses import replace

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from weir.control.desired import raise_revisions
from weir.control.names import AttemptKey, job_name
from weir.model.agent import Follow, PullAnswer
from weir.model.identity import attempt_id
from weir.model.state import Observed
from weir.store import Transaction, schema

FOLLOW_MS = 60_000
"""A reader is taken to be gone so long after its last request."""
RENEW_MS = 30_000
"""A reader that comes again writes nothing as long as more than this is left."""
STREAMS = ("stdout", "stderr")

LogSize = Callable[[str, int, str], int]
"""How many bytes of a log are held already: (attempt, task, stream) → bytes."""

_followed = schema.followed.c
_attempt = schema.attempt.c

_PRESENT = select(_followed.until_ms).where(
    _followed.job == bindparam("of_job"),
    _followed.epoch == bindparam("of_epoch"),
    _followed.task == bindparam("of_task"),
    _followed.stream == bindparam("of_stream"),
)
_PROLONG = (
    update(schema.followed)
    .where(
        _followed.job == bindparam("of_job"),
        _followed.epoch == bindparam("of_epoch"),
        _followed.task == bindparam("of_task"),
        _followed.stream == bindparam("of_stream"),
    )
    .values(until_ms=bindparam("until"))
)
_HERE = (
    select(
        schema.submission.c.id,
        schema.submission.c.is_array,
        schema.job.c.array_index,
        _followed.epoch,
        _followed.task,
        _followed.stream,
        _followed.until_ms,
    )
    .join(schema.job, schema.job.c.number == _followed.job)
    .join(schema.submission, schema.submission.c.number == schema.job.c.submission)
    .where(_followed.centre == bindparam("centre"), _followed.until_ms > bindparam("now_ms"))
    .order_by(_followed.job, _followed.epoch, _followed.task, _followed.stream)
)


def needs_following(connection: Connection, attempt: AttemptKey, task: int, stream: str, now_ms: int) -> bool:
    """Whether `follow` has anything to do, so that most polls of a log's reader write nothing."""
    running = connection.execute(
        select(_attempt.observed).where(_attempt.job == attempt.job, _attempt.epoch == attempt.epoch)
    ).scalar()
    if running is None or running >= int(Observed.ENDED):
        return False
    until = connection.execute(_PRESENT, _key(attempt, task, stream)).scalar()
    return until is None or until - now_ms < RENEW_MS


def follow(tx: Transaction, attempt: AttemptKey, task: int, stream: str, now_ms: int) -> None:
    """Somebody reads this log: have it sent for FOLLOW_MS from now. Does nothing once the attempt has ended."""
    row = tx.connection.execute(
        select(_attempt.centre, _attempt.observed).where(
            _attempt.job == attempt.job, _attempt.epoch == attempt.epoch
        )
    ).one_or_none()
    if row is None or row.observed >= int(Observed.ENDED):
        return
    key = _key(attempt, task, stream)
    until_ms = now_ms + FOLLOW_MS
    tx.connection.execute(
        delete(schema.followed).where(_followed.centre == row.centre, _followed.until_ms <= now_ms)
    )
    if tx.connection.execute(_PROLONG, {**key, "until": until_ms}).rowcount == 0:
        tx.connection.execute(
            insert(schema.followed).values(
                job=attempt.job,
                epoch=attempt.epoch,
                task=task,
                stream=stream,
                centre=row.centre,
                until_ms=until_ms,
            )
        )
    raise_revisions(tx, [row.centre])


def followed_at(connection: Connection, centre: str, now_ms: int) -> tuple[Follow, ...]:
    """The logs that are read now at a centre, from their beginning (see `from_held`)."""
    rows = connection.execute(_HERE, {"centre": centre, "now_ms": now_ms})
    return tuple(
        Follow(
            attempt_id(job_name(row.id, row.is_array, row.array_index), row.epoch),
            row.task,
            row.stream,
            0,
            row.until_ms,
        )
        for row in rows
    )


def from_held(answer: PullAnswer, log_size: LogSize) -> PullAnswer:
    """The answer with logs followed from where they are held already. Reads files, so outside of transactions."""
    if not answer.followed:
        return answer
    return replace(
        answer,
        followed=tuple(
            replace(entry, offset=log_size(entry.attempt, entry.task, entry.stream))
            for entry in answer.followed
        ),
    )


def forget_ended(tx: Transaction, attempts: Collection[AttemptKey]) -> None:
    """Attempts that have ended are followed no longer."""
    if attempts and tx.connection.execute(select(_followed.job).limit(1)).first():
        tx.connection.execute(
            delete(schema.followed).where(
                _followed.job == bindparam("of_job"), _followed.epoch == bindparam("of_epoch")
            ),
            [{"of_job": key.job, "of_epoch": key.epoch} for key in attempts],
        )


def _key(attempt: AttemptKey, task: int, stream: str) -> dict[str, int | str]:
    return {"of_job": attempt.job, "of_epoch": attempt.epoch, "of_task": task, "of_stream": stream}


__all__ = [
    "FOLLOW_MS",
    "STREAMS",
    "LogSize",
    "follow",
    "followed_at",
    "forget_ended",
    "from_held",
    "needs_following",
]
