"""The exceptions queue: what could not be metered, priced or paid, shown with its reason until somebody settles it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from sqlalchemy import Connection, insert, select, update

from weir.access import Actor, record
from weir.model.problem import conflict, not_found, refused
from weir.store import Transaction, schema
from weir.store.listed import AnyRow, among_texts, text_list

_case = schema.money_exception.c
_submission = schema.submission.c
_JOBS = select(schema.job.c.number).join(schema.submission, _submission.number == schema.job.c.submission)


class ExceptionKind(Enum):
    """What stood in the way."""

    CLOCK = "clock"
    """A centre's times go beyond what its messages allow; what exceeds that is not charged."""
    UNPRICED = "unpriced"
    """Work ran where something that it uses has no price; nothing is charged for it."""
    LEDGER = "ledger"
    """A counter does not follow from the transfers: somebody has changed one or the other past Weir."""
    MONEY = "money"
    """A charge does not fit into the limits any more; it has not been posted."""


@dataclass(frozen=True, slots=True)
class NewException:
    """Something to be put into the queue; `cause` is what it comes from, so that it is put there once."""

    cause: str
    kind: ExceptionKind
    organisation: str
    centre: str
    said: str
    job: int | None = None
    epoch: int | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MoneyException:
    """An entry of the queue. `resolved_ms` is None while it is open."""

    number: int
    kind: ExceptionKind
    at_ms: int
    organisation: str
    centre: str
    job: int | None
    epoch: int | None
    said: str
    detail: Mapping[str, Any]
    resolved_ms: int | None
    resolution: str


def put(tx: Transaction, found: Sequence[NewException], now_ms: int) -> None:
    """Add to the queue what is not there yet."""
    if not found:
        return
    known = set(
        tx.connection.execute(
            select(_case.cause).where(among_texts(_case.cause, "causes")),
            {"causes": text_list([one.cause for one in found])},
        ).scalars()
    )
    new = {one.cause: one for one in found if one.cause not in known}
    if new:
        rows = [
            {
                "cause": one.cause,
                "kind": one.kind.value,
                "at_ms": now_ms,
                "organisation": one.organisation,
                "centre": one.centre,
                "job": one.job,
                "epoch": one.epoch,
                "said": one.said,
                "detail": json.dumps(one.detail, ensure_ascii=False, sort_keys=True),
            }
            for one in new.values()
        ]
        tx.connection.execute(insert(schema.money_exception), rows)


def resolve(tx: Transaction, actor: Actor, number: int, resolution: str, now_ms: int) -> MoneyException:
    """Close an entry, saying how it was settled. Raises ProblemError: 404, 409 for one that is closed, 422."""
    row = tx.connection.execute(select(schema.money_exception).where(_case.number == number)).one_or_none()
    if row is None:
        raise not_found("exception", str(number))
    if row.resolved_ms is not None:
        raise conflict(f"exception {number} is settled already: {row.resolution}")
    if not resolution.strip():
        raise refused("resolution", resolution, "say how it was settled")
    tx.connection.execute(
        update(schema.money_exception)
        .where(_case.number == number)
        .values(resolved_ms=now_ms, resolution=resolution)
    )
    record(
        tx,
        actor,
        "exception.resolve",
        str(number),
        {"resolution": resolution},
        now_ms,
        organisation=row.organisation,
    )
    return _case_of(tx.connection.execute(select(schema.money_exception).where(_case.number == number)).one())


def exceptions(
    connection: Connection,
    *,
    open_only: bool = True,
    organisation: str | None = None,
    project: str | None = None,
    centre: str | None = None,
) -> list[MoneyException]:
    """The queue, oldest first; of one organisation, project or centre, where given."""
    query = select(schema.money_exception).order_by(_case.number)
    if open_only:
        query = query.where(_case.resolved_ms.is_(None))
    if organisation is not None:
        query = query.where(_case.organisation == organisation)
    if project is not None:
        query = query.where(_case.job.in_(_JOBS.where(_submission.project == project)))
    if centre is not None:
        query = query.where(_case.centre == centre)
    return [_case_of(row) for row in connection.execute(query)]


def _case_of(row: AnyRow) -> MoneyException:
    return MoneyException(
        row.number,
        ExceptionKind(row.kind),
        row.at_ms,
        row.organisation,
        row.centre,
        row.job,
        row.epoch,
        row.said,
        json.loads(row.detail),
        row.resolved_ms,
        row.resolution,
    )


__all__ = ["ExceptionKind", "MoneyException", "NewException", "exceptions", "put", "resolve"]
