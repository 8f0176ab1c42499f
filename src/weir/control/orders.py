"""What people order of jobs that exist: cancel, hold, release, update, give up, run again.

An order for an array is one: a few statements, one change, one audit entry, however many jobs it has.
"""

from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy import update as update_rows

from weir.access.actor import Actor, Permission, allows
from weir.access.audit import record
from weir.control import intake, liveness, money, moves
from weir.control.intake import IntakeLimits
from weir.control.jobs import Found, find
from weir.control.names import AttemptKey
from weir.control.shapes import PRIORITY_LEVELS, specification_of
from weir.model.change import ChangeKind
from weir.model.job import Priority
from weir.model.problem import Problem, ProblemError, conflict, refused
from weir.model.province import Centre
from weir.model.role import Role
from weir.model.state import Desired, JobState
from weir.model.view import OrderView, SubmittedView
from weir.registry.rows import from_body
from weir.store import Transaction, schema
from weir.units import format_duration

_job = schema.job.c
_attempt = schema.attempt.c
_unplaced = _job.state < int(JobState.PLACED)
_open = _job.state < int(JobState.SUCCEEDED)


def cancel(tx: Transaction, actor: Actor, job: str, now_ms: int) -> OrderView:
    """Wish that the job, or every job of the array, ends. What runs is told to stop; what has ended stays so."""
    found = find(tx.connection, actor, job, Permission.CHANGE_JOBS)
    changed = _set(tx, found, _open & _job.cancelled_ms.is_(None), {"cancelled_ms": now_ms})
    if changed:
        moves.settle(tx, found.numbers, now_ms)
    return _done(
        tx,
        actor,
        found,
        "job.cancel",
        "is being cancelled",
        "had ended or been cancelled before",
        changed,
        now_ms,
    )


def hold(tx: Transaction, actor: Actor, job: str, now_ms: int) -> OrderView:
    """Keep what has not been placed from being placed. Raises ProblemError (409) where all of it has been."""
    found = find(tx.connection, actor, job, Permission.CHANGE_JOBS)
    changed = _set(tx, found, _unplaced & _job.held.is_(False), {"held": True})
    if not changed and not _count(tx, found, _unplaced):
        raise conflict(f"{found.name} is placed or has ended, so that it cannot be held; cancel stops it")
    if changed:
        moves.settle(tx, found.numbers, now_ms)
    return _done(tx, actor, found, "job.hold", "is held", "was held before", changed, now_ms)


def release(tx: Transaction, actor: Actor, job: str, now_ms: int) -> OrderView:
    """End a hold."""
    found = find(tx.connection, actor, job, Permission.CHANGE_JOBS)
    changed = _set(tx, found, _open & _job.held.is_(True), {"held": False})
    if changed:
        moves.settle(tx, found.numbers, now_ms)
    return _done(tx, actor, found, "job.release", "is released", "was not held", changed, now_ms)


def update(
    tx: Transaction,
    actor: Actor,
    job: str,
    now_ms: int,
    *,
    priority: Priority | None = None,
    time_limit_ms: int | None = None,
) -> OrderView:
    """Give what has not been placed another priority class or time limit.

    Raises ProblemError: 422 where neither is given or `reserved` is not the actor's to give, 409 where all of it
    has been placed.
    """
    found = find(tx.connection, actor, job, Permission.CHANGE_JOBS)
    values: dict[str, Any] = {}
    said = []
    if priority is not None:
        if priority is Priority.RESERVED and actor.role is not Role.COORDINATOR:
            raise refused(
                "priority", priority.value, "give urgent, normal or low; reserved is the coordinator's"
            )
        values["priority"] = PRIORITY_LEVELS[priority]
        said.append(f"priority {priority.value}")
    if time_limit_ms is not None:
        values["time_limit_ms"] = time_limit_ms
        said.append(f"time limit {format_duration(time_limit_ms)}")
    if not values:
        raise refused("update", "", "give priority or time_limit")
    changed = _set(tx, found, _unplaced, values)
    if not changed:
        raise conflict(f"{found.name} is placed or has ended, so that it cannot be changed any more")
    runs = [[found.first, found.count]]
    if changed < found.count:
        query = select(_job.number).where(found.jobs(), _unplaced).order_by(_job.number)
        runs = moves.runs_of(list(tx.connection.execute(query).scalars()))
    if time_limit_ms is not None:
        money.relimited(tx, found.submission, runs, now_ms)
    tx.append(ChangeKind.EDITED, {"jobs": runs}, at_ms=now_ms, organisation=found.organisation)
    detail = {"priority": priority.value if priority else None, "time_limit_ms": time_limit_ms}
    return _done(tx, actor, found, "job.update", f"has {' and '.join(said)} now", "", changed, now_ms, detail)


def give_up(tx: Transaction, actor: Actor, job: str, now_ms: int) -> OrderView:
    """Stop waiting for a lost centre: the attempt is given up, and the job starts elsewhere if it may, else fails.

    For the coordinator and for the operator of the centre. Raises ProblemError (409) where no centre is lost.
    """
    asker = actor
    if actor.role is Role.CENTRE_OPERATOR:
        # An operator sees no jobs, and is asked for below by the centre that is lost.
        asker = Actor(actor.token_id, actor.name, Role.COORDINATOR, address=actor.address)
    found = find(tx.connection, asker, job)
    rows = tx.connection.execute(
        select(_job.number, _attempt.epoch, _attempt.centre, schema.centre.c.body)
        .join(schema.attempt, (_attempt.job == _job.number) & (_attempt.epoch == _job.epoch))
        .join(schema.centre, schema.centre.c.id == _attempt.centre)
        .where(found.jobs(), _job.state == int(JobState.UNKNOWN), _attempt.desired < int(Desired.ABANDONED))
    ).all()
    for row in rows:
        operator = from_body(Centre, row.body).operator
        if not allows(actor, Permission.DRAIN_CENTRE, organisation=operator, centre=row.centre):
            raise ProblemError(
                Problem("forbidden", 403, "giving up is for the coordinator and the centre's operator")
            )
    if not rows:
        if actor.role is not Role.COORDINATOR:
            raise ProblemError(
                Problem("forbidden", 403, "giving up is for the coordinator and the centre's operator")
            )
        raise conflict(f"{found.name} does not wait for a lost centre")
    liveness.abandon(tx, [(AttemptKey(row.number, row.epoch), row.centre) for row in rows], now_ms)
    return _done(
        tx,
        actor,
        found,
        "job.give-up",
        "is given up at its lost centre",
        "",
        len(rows),
        now_ms,
    )


def retry(
    tx: Transaction,
    actor: Actor,
    job: str,
    now_ms: int,
    random_bits: Callable[[int], int],
    limits: IntakeLimits | None = None,
) -> SubmittedView:
    """Submit the job's specification again, as a new submission. An array is submitted whole."""
    found = find(tx.connection, actor, job, Permission.CHANGE_JOBS)
    if found.index is not None:
        raise refused("retry_of", job, f"give the whole array, {found.id}")
    body = tx.connection.execute(
        select(schema.specification.c.body).where(schema.specification.c.digest == found.specification)
    ).scalar_one()
    [submitted] = intake.submit(
        tx, actor, [specification_of(body)], now_ms, random_bits, limits, detail={"retry_of": found.id}
    )
    return submitted


def _set(tx: Transaction, found: Found, condition: ColumnElement[bool], values: dict[str, Any]) -> int:
    """Write the values where the condition holds; for how many jobs that was."""
    where = found.jobs() & condition
    return tx.connection.execute(
        update_rows(schema.job).where(where).values(version=_job.version + 1, **values)
    ).rowcount


def _count(tx: Transaction, found: Found, condition: ColumnElement[bool]) -> bool:
    return (
        tx.connection.execute(select(_job.number).where(found.jobs(), condition).limit(1)).first() is not None
    )


def _done(
    tx: Transaction,
    actor: Actor,
    found: Found,
    action: str,
    done: str,
    nothing: str,
    changed: int,
    now_ms: int,
    detail: dict[str, Any] | None = None,
) -> OrderView:
    record(
        tx,
        actor,
        action,
        found.name,
        {"jobs": changed, **(detail or {})},
        now_ms,
        organisation=found.organisation,
    )
    said = done if changed else nothing
    if changed and found.count > 1:
        said = f"{done}: {changed} of {found.count} jobs"
    return OrderView(found.name, said, changed)


__all__ = ["cancel", "give_up", "hold", "release", "retry", "update"]
