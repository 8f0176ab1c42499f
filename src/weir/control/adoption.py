"""Attempts that an agent holds and this store does not know: taken back where that is right, else left alone.

A store put back from a backup has forgotten what was placed since. The agents' full reports bring it back.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import bindparam, insert, select, update

from weir.control import money, moves
from weir.control.desired import raise_revisions, want
from weir.control.listed import among, number_list
from weir.control.money import Place
from weir.control.names import AttemptKey
from weir.control.placement import stored_nodes
from weir.control.shapes import specification_of
from weir.model.agent import NodeShare, Observation
from weir.model.state import Desired, JobState, Observed
from weir.model.task_range import TaskRange
from weir.scheduling.bounds import MOST_NODES
from weir.store import Transaction, schema

_job = schema.job.c
_attempt = schema.attempt.c

_JOBS = select(_job.number, _job.state, _job.epoch).where(among(_job.number, "jobs"))
_LIVE = (
    select(_attempt.job, _attempt.epoch, _attempt.centre)
    .join(schema.job, (_job.number == _attempt.job) & (_job.epoch == _attempt.epoch))
    .where(among(_attempt.job, "jobs"), _attempt.observed < int(Observed.ENDED))
)
_SPECIFICATIONS = (
    select(_job.number, schema.specification.c.body)
    .join(schema.submission, schema.submission.c.number == _job.submission)
    .join(schema.specification, schema.specification.c.digest == schema.submission.c.specification)
    .where(among(_job.number, "jobs"))
)
_POOLS = select(schema.pool.c.id).where(schema.pool.c.centre == bindparam("centre"))
_SET_EPOCH = (
    update(schema.job)
    .where(_job.number == bindparam("of_job"), _job.epoch < bindparam("new_epoch"))
    .values(epoch=bindparam("new_epoch"), version=_job.version + 1)
)


class Brought(NamedTuple):
    """An attempt that a full report names and the store does not know."""

    key: AttemptKey
    observation: Observation


def adopt(tx: Transaction, centre: str, brought: Sequence[Brought], now_ms: int) -> set[AttemptKey]:
    """Take back those of the attempts whose job has not ended and has not come as far; returns which.

    Where the agent's word cannot be (a pool that is not there, nodes that do not hold the job's tasks), the attempt
    is left alone.

    Each then holds its job's epoch, with nothing observed of it yet. What held it before is given up, wherever
    it was: the store has forgotten that it ended or was superseded.
    """
    pools = set(tx.connection.execute(_POOLS, {"centre": centre}).scalars())
    tasks = _tasks(tx, {one.key.job for one in brought})
    newest: dict[int, Brought] = {}
    for one in brought:
        if one.observation.pool in pools and _holds(one.observation.nodes, tasks[one.key.job]):
            before = newest.get(one.key.job)
            if before is None or before.key.epoch < one.key.epoch:
                newest[one.key.job] = one
    wanted = _still_open(tx, newest)
    if not wanted:
        return set()
    _give_up_older(tx, wanted, now_ms)
    wanted = _still_open(tx, wanted)
    if not wanted:
        return set()
    revision = raise_revisions(tx, [centre])[centre]
    tx.connection.execute(
        insert(schema.attempt),
        [
            {
                "job": job,
                "epoch": one.key.epoch,
                "centre": centre,
                "pool": one.observation.pool,
                "nodes": stored_nodes(one.observation.nodes),
                "desired": int(Desired.RUN),
                "desired_revision": revision,
                "placed_ms": now_ms,
                "term": 0,
            }
            for job, one in wanted.items()
        ],
    )
    tx.connection.execute(
        _SET_EPOCH, [{"of_job": job, "new_epoch": one.key.epoch} for job, one in wanted.items()]
    )
    places = {
        job: Place(f"{centre}/{one.observation.pool}", sum(share.tasks for share in one.observation.nodes))
        for job, one in wanted.items()
    }
    money.taken_back(tx, places, now_ms)
    moves.settle(tx, list(wanted), now_ms)
    return {one.key for one in wanted.values()}


def _tasks(tx: Transaction, jobs: Collection[int]) -> dict[int, TaskRange]:
    """How many tasks each of the jobs may have."""
    rows = tx.connection.execute(_SPECIFICATIONS, {"jobs": number_list(jobs)})
    return {row.number: specification_of(row.body).tasks for row in rows}


def _holds(nodes: Collection[NodeShare], tasks: TaskRange) -> bool:
    """Whether these nodes can be where so many tasks run."""
    possible = all(0 <= share.node < MOST_NODES and share.tasks > 0 for share in nodes)
    return possible and tasks.least <= sum(share.tasks for share in nodes) <= tasks.most


def _still_open(tx: Transaction, brought: Mapping[int, Brought]) -> dict[int, Brought]:
    if not brought:
        return {}
    rows = tx.connection.execute(_JOBS, {"jobs": number_list(brought)})
    return {
        row.number: brought[row.number]
        for row in rows
        if not JobState(row.state).ended and row.epoch < brought[row.number].key.epoch
    }


def _give_up_older(tx: Transaction, jobs: Collection[int], now_ms: int) -> None:
    live = tx.connection.execute(_LIVE, {"jobs": number_list(jobs)}).all()
    if live:
        revisions = raise_revisions(tx, {row.centre for row in live})
        older = [(AttemptKey(row.job, row.epoch), row.centre) for row in live]
        want(tx, older, Desired.ABANDONED, revisions)
        moves.settle(tx, [row.job for row in live], now_ms)


__all__ = ["Brought", "adopt"]
