"""Meters as they are stored: what an attempt was metered for and charged so far, one row each."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, insert, select, update

from weir.billing.stored_text import amounts_text, intervals_text, read_texts
from weir.store import Transaction, schema
from weir.store.bulk import run_many
from weir.store.listed import among, number_list

_meter = schema.meter.c
_ADD = insert(schema.meter)
_ADD_COLUMNS = (
    "job",
    "epoch",
    "centre",
    "pool",
    "contract",
    "started_ms",
    "until_ms",
    "intervals",
    "parts",
    "open",
    "tasks",
)
_OF_JOBS = select(
    _meter.job,
    _meter.epoch,
    _meter.centre,
    _meter.pool,
    _meter.contract,
    _meter.started_ms,
    _meter.until_ms,
    _meter.postings,
    _meter.open,
    _meter.intervals,
    _meter.parts,
    _meter.tasks,
).where(among(_meter.job, "jobs"))
_WRITE = (
    update(schema.meter)
    .where(_meter.job == bindparam("of_job"), _meter.epoch == bindparam("of_epoch"))
    .values(
        intervals=bindparam("now_intervals"),
        parts=bindparam("now_parts"),
        postings=bindparam("so_many"),
        open=bindparam("is_open"),
    )
)


class Meter(NamedTuple):
    """What an attempt has been charged so far."""

    job: int
    epoch: int
    centre: str
    pool: str
    contract: str
    started_ms: int
    until_ms: int
    """Its start plus its time limit."""
    intervals: tuple[tuple[int, int], ...]
    parts: Mapping[str, int]
    """Micro-yuan by `unit/band`, and `transfer_gb` and `minimum`."""
    postings: int = 0
    """How many charges it has posted."""
    open: bool = True
    tasks: int = 0
    """Of an elastic job, how many tasks the attempt has; 0 for a job of one size."""


def meters_of(connection: Connection, jobs: Iterable[int]) -> dict[tuple[int, int], Meter]:
    """The meters of these jobs' attempts, by job and epoch."""
    rows = connection.execute(_OF_JOBS, {"jobs": number_list(jobs)}).all()
    intervals = read_texts([row[9] for row in rows])
    parts = read_texts([row[10] for row in rows])
    found = {}
    for row, its, charged in zip(rows, intervals, parts, strict=True):
        job, epoch, centre, pool, contract, started_ms, until_ms, postings, is_open, _, _, tasks = row
        told = tuple(map(tuple, its))
        found[job, epoch] = Meter(
            job,
            epoch,
            centre,
            pool,
            contract,
            started_ms,
            until_ms,
            told,
            charged,
            postings,
            bool(is_open),
            tasks,
        )
    return found


def add_meters(tx: Transaction, meters: Iterable[Meter]) -> None:
    """Store new meters, with nothing metered."""
    run_many(
        tx.connection,
        _ADD,
        _ADD_COLUMNS,
        [
            (
                one.job,
                one.epoch,
                one.centre,
                one.pool,
                one.contract,
                one.started_ms,
                one.until_ms,
                "[]",
                "{}",
                True,
                one.tasks,
            )
            for one in meters
        ],
    )


def write_meters(tx: Transaction, meters: Sequence[Meter], charges: int = 0) -> None:
    """Store what has changed of meters that are there, each of which has posted so many charges more."""
    run_many(
        tx.connection,
        _WRITE,
        ("now_intervals", "now_parts", "so_many", "is_open", "of_job", "of_epoch"),
        [
            (intervals_text(intervals), amounts_text(parts), postings + charges, is_open, job, epoch)
            for job, epoch, _, _, _, _, _, intervals, parts, postings, is_open, _ in meters
        ],
    )


__all__ = ["Meter", "add_meters", "meters_of", "write_meters"]
