"""Meters as they are stored: what an attempt was metered for and charged so far, one row each."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, insert, select, update

from weir.billing.stored_text import amounts_text, intervals_text, read_texts
from weir.store import Transaction, schema
from weir.store.bulk import made, plain_rows, run_many
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
    .values(intervals=bindparam("now_intervals"), parts=bindparam("now_parts"), postings=bindparam("so_many"))
)
_TURN = _WRITE.values(open=bindparam("is_open"))
"""Apart, because the open are indexed, and an index is written anew whether or not the value is another."""
_WRITE_COLUMNS = ("now_intervals", "now_parts", "so_many", "of_job", "of_epoch")


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
    rows = plain_rows(connection, _OF_JOBS, {"jobs": number_list(jobs)})
    intervals = read_texts([row[9] for row in rows])
    parts = read_texts([row[10] for row in rows])
    found = {}
    for row, its, charged in zip(rows, intervals, parts, strict=True):
        job, epoch, centre, pool, contract, started_ms, until_ms, postings, is_open, _, _, tasks = row
        told = (tuple(its[0]),) if len(its) == 1 else tuple(map(tuple, its))
        still = is_open == 1
        found[job, epoch] = made(
            Meter,
            (
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
                still,
                tasks,
            ),
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


def write_meters(tx: Transaction, meters: Sequence[tuple[Meter, Meter]], charges: int = 0) -> None:
    """Store what has changed of meters that are there, before and after; each has posted so many charges more."""
    same: list[tuple[Any, ...]] = []
    turned: list[tuple[Any, ...]] = []
    for before, after in meters:
        job, epoch, _, _, _, _, _, intervals, parts, postings, is_open, _ = after
        row = (intervals_text(intervals), amounts_text(parts), postings + charges, job, epoch)
        if is_open is before.open:
            same.append(row)
        else:
            turned.append((*row, is_open))
    run_many(tx.connection, _WRITE, _WRITE_COLUMNS, same)
    run_many(tx.connection, _TURN, (*_WRITE_COLUMNS, "is_open"), turned)


__all__ = ["Meter", "add_meters", "meters_of", "write_meters"]
