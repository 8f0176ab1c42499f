"""Holds as they are stored: one row of a submission, one of each of its jobs that was ever placed or changed."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, func, insert, select, update

from weir.billing.hold_legs import Leg, legs_from, many_legs_from, stored_legs
from weir.billing.ledger import Entry, Transfer
from weir.billing.rate_card import Needs
from weir.store import Transaction, schema
from weir.store.bulk import made, plain_rows, run_many
from weir.store.listed import AnyRow, among, number_list

_hold = schema.hold.c
_own = schema.job_hold.c
_job = schema.job.c
_HOLDS = select(schema.hold).where(among(_hold.submission, "submissions"))
_OWN_COLUMNS = select(_own.job, _own.submission, _own.closed, _own.postings, _own.waiting_ms, _own.legs)
_OWN_WITHIN = _OWN_COLUMNS.where(_own.job.between(bindparam("first"), bindparam("last")))
_OWN_AMONG = _OWN_COLUMNS.where(among(_own.job, "jobs"))
_PRICED = (
    select(
        _job.number,
        _job.submission,
        _job.time_limit_ms,
        _own.submission,
        _own.closed,
        _own.postings,
        _own.waiting_ms,
        func.coalesce(_own.legs, "[]"),
    )
    .join(schema.hold, _hold.submission == _job.submission)
    .outerjoin(schema.job_hold, _own.job == _job.number)
    .where(among(_job.number, "jobs"))
    .order_by(_job.number)
)
_FEWER = (
    update(schema.hold)
    .where(_hold.submission == bindparam("of_submission"))
    .values(untouched=_hold.untouched - bindparam("fewer"))
)
_BAR = (
    update(schema.hold)
    .where(_hold.submission == bindparam("of_submission"))
    .values(barred=bindparam("now_barred"))
)
NO_DETAIL: Mapping[str, Any] = MappingProxyType({})

_ADD_OWN = insert(schema.job_hold)
_WRITE_OWN = (
    update(schema.job_hold)
    .where(_own.job == bindparam("of_job"))
    .values(
        legs=bindparam("new_legs"),
        closed=bindparam("is_closed"),
        postings=bindparam("so_many"),
        waiting_ms=bindparam("since"),
    )
)

_WRITE_POSTED = (
    update(schema.job_hold)
    .where(_own.job == bindparam("of_job"))
    .values(legs=bindparam("new_legs"), postings=bindparam("so_many"))
)
"""What is indexed is left as it is, because an index is written anew whether or not the value is another."""


@dataclass(frozen=True, slots=True)
class SubmissionHold:
    """What the jobs of a submission are priced by, and what is held for each that has no hold of its own."""

    submission: int
    organisation: str
    project: str
    budget: str
    period: str
    price_version: int
    tenant_class: str
    needs: Needs
    pools: tuple[str, ...]
    barred: Mapping[str, tuple[str, str]]
    """Pools that the jobs may not use for money's sake, with what is needed and what was found."""
    legs: tuple[Leg, ...]
    untouched: int
    """How many jobs have no hold of their own and have not ended."""
    max_price: int | None
    purpose: str
    paid_there: Mapping[str, int] = field(default_factory=dict)
    """Thousandths of what it costs that vouchers pay at each pool by itself, as of the submission; empty where that is
    what the legs say at every pool. By pool, and 0 where none is named."""


class JobHold(NamedTuple):
    """What is held and charged for one job. `postings` counts its entries, and so makes their causes."""

    job: int
    submission: int
    legs: tuple[Leg, ...]
    closed: bool = False
    postings: int = 0
    waiting_ms: int | None = None

    def posted(self, legs: tuple[Leg, ...], entries: int, **changes: Any) -> "JobHold":
        """The hold after so many entries that left it with these legs."""
        return self._replace(legs=legs, postings=self.postings + entries, **changes)


class PricedJob(NamedTuple):
    """A job of a priced submission; `own` is None while it was never placed."""

    job: int
    limit_ms: int
    of: SubmissionHold
    own: JobHold | None


def submission_holds(connection: Connection, submissions: Iterable[int]) -> dict[int, SubmissionHold]:
    """The holds of these submissions, by number; work that is not priced has none."""
    rows = connection.execute(_HOLDS, {"submissions": number_list(submissions)})
    return {row.submission: _submission_hold(row) for row in rows}


def job_holds(connection: Connection, jobs: Sequence[int]) -> dict[int, JobHold]:
    """The holds that single jobs have, by job; `jobs` may be a range."""
    if isinstance(jobs, range):
        found = connection.execute(_OWN_WITHIN, {"first": jobs[0], "last": jobs[-1]}).all() if jobs else ()
    else:
        found = connection.execute(_OWN_AMONG, {"jobs": number_list(jobs)}).all()
    legs = many_legs_from([row[5] for row in found])
    return {
        job: JobHold(job, submission, its, bool(closed), postings, waiting_ms)
        for (job, submission, closed, postings, waiting_ms, _), its in zip(found, legs, strict=True)
    }


def priced_jobs(connection: Connection, jobs: Iterable[int]) -> dict[int, PricedJob]:
    """Those of the jobs that are priced."""
    rows = plain_rows(connection, _PRICED, {"jobs": number_list(jobs)})
    if not rows:
        return {}
    holds = submission_holds(connection, {row[1] for row in rows})
    found = {}
    for row, legs in zip(rows, many_legs_from([row[7] for row in rows]), strict=True):
        job, submission, limit_ms, own_submission, closed, postings, waiting_ms, _ = row
        own = None
        if own_submission is not None:
            own = made(JobHold, (job, own_submission, legs, bool(closed), postings, waiting_ms))
        found[job] = made(PricedJob, (job, limit_ms, holds[submission], own))
    return found


def add_hold(tx: Transaction, hold: SubmissionHold) -> None:
    """Store the hold of a new submission."""
    needs = hold.needs
    row = {
        "submission": hold.submission,
        "organisation": hold.organisation,
        "project": hold.project,
        "budget": hold.budget,
        "period": hold.period,
        "price_version": hold.price_version,
        "tenant_class": hold.tenant_class,
        "needs": json.dumps(
            [needs.devices_milli, needs.cores_milli, needs.memory_bytes, needs.data, needs.tasks]
        ),
        "pools": json.dumps(hold.pools),
        "barred": _stored_barred(hold.barred),
        "legs": stored_legs(hold.legs),
        "untouched": hold.untouched,
        "max_price_micro_yuan": hold.max_price,
        "purpose": hold.purpose,
        "paid_there": json.dumps(dict(hold.paid_there), sort_keys=True, separators=(",", ":")),
    }
    tx.connection.execute(insert(schema.hold), row)


def touch(tx: Transaction, hold: SubmissionHold, jobs: Sequence[int]) -> dict[int, JobHold]:
    """The holds of these jobs of one submission, each its own from now on."""
    known = job_holds(tx.connection, jobs)
    fresh = [JobHold(job, hold.submission, hold.legs) for job in jobs if job not in known]
    if fresh:
        legs = stored_legs(hold.legs)
        run_many(
            tx.connection,
            _ADD_OWN,
            ("job", "submission", "legs"),
            [(one.job, one.submission, legs) for one in fresh],
        )
        fewer_untouched(tx, hold.submission, len(fresh))
        known |= {one.job: one for one in fresh}
    return known


def fewer_untouched(tx: Transaction, submission: int, fewer: int) -> None:
    """So many jobs of a submission have ended, or have a hold of their own."""
    tx.connection.execute(_FEWER, {"of_submission": submission, "fewer": fewer})


def write_job_holds(tx: Transaction, holds: Sequence[JobHold]) -> None:
    """Store what became of the holds of single jobs."""
    run_many(
        tx.connection,
        _WRITE_OWN,
        ("new_legs", "is_closed", "so_many", "since", "of_job"),
        [(stored_legs(legs), closed, many, since, job) for job, _, legs, closed, many, since in holds],
    )


def write_posted(tx: Transaction, holds: Sequence[tuple[JobHold, tuple[Leg, ...]]]) -> None:
    """Store that one entry each has left the holds of single jobs with these legs, and else as they were."""
    run_many(
        tx.connection,
        _WRITE_POSTED,
        ("new_legs", "so_many", "of_job"),
        [(stored_legs(legs), before.postings + 1, before.job) for before, legs in holds],
    )


def bar(tx: Transaction, hold: SubmissionHold, pool: str, why: tuple[str, str]) -> None:
    """The jobs of a submission may not use this pool from now on: what is needed, and what was found."""
    barred = {**hold.barred, pool: why}
    tx.connection.execute(_BAR, {"of_submission": hold.submission, "now_barred": _stored_barred(barred)})


def entry_about(
    hold: SubmissionHold, cause: str, kind: str, now_ms: int, transfers: Sequence[Transfer], **detail: Any
) -> Entry:
    """An entry in the book of the organisation that a submission belongs to."""
    detail = {"submission": hold.submission, **detail}
    return Entry(hold.organisation, cause, kind, now_ms, tuple(transfers), None, detail)


def job_entry(
    hold: SubmissionHold,
    own: JobHold,
    kind: str,
    now_ms: int,
    transfers: Sequence[Transfer],
    detail: Mapping[str, Any] = NO_DETAIL,
) -> Entry:
    """An entry about one job; its cause is numbered by the job's postings."""
    job, submission, _, _, postings, _ = own
    said = {**detail, "job": job, "submission": submission}
    cause = f"job/{job}/{postings}"
    return made(Entry, (hold.organisation, cause, kind, now_ms, tuple(transfers), None, said))


def _submission_hold(row: AnyRow) -> SubmissionHold:
    devices, cores, memory, data, *tasks = json.loads(row.needs)  # before elastic jobs there were four
    return SubmissionHold(
        row.submission,
        row.organisation,
        row.project,
        row.budget,
        row.period,
        row.price_version,
        row.tenant_class,
        Needs(devices, cores, memory, tuple((at, size) for at, size in data), *tasks),
        tuple(json.loads(row.pools)),
        {key: (needed, found) for key, (needed, found) in json.loads(row.barred).items()},
        legs_from(row.legs),
        row.untouched,
        row.max_price_micro_yuan,
        row.purpose,
        json.loads(row.paid_there),
    )


def _stored_barred(barred: Mapping[str, tuple[str, str]]) -> str:
    return json.dumps(barred, ensure_ascii=False, sort_keys=True)


__all__ = [
    "JobHold",
    "PricedJob",
    "SubmissionHold",
    "add_hold",
    "bar",
    "entry_about",
    "fewer_untouched",
    "job_entry",
    "job_holds",
    "priced_jobs",
    "submission_holds",
    "touch",
    "write_job_holds",
    "write_posted",
]
