"""What pools are promised, stored with the plan that promised it: a scheduler that starts anew keeps its word."""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, select

from weir.control.listed import among, number_list
from weir.scheduling.plan import Cause, Reservation
from weir.store import schema

_GONE = delete(schema.promise).where(among(schema.promise.c.job, "jobs"))


class Kept(NamedTuple):
    """A promise, and the version of its job when it was told to the core: a job written since is promised nothing."""

    version: int
    promise: Reservation


def load(connection: Connection) -> dict[int, Kept]:
    """All that is stored, by job: each is promised one start at most."""
    return {
        row.job: Kept(
            row.version,
            Reservation(
                row.job,
                row.pool,
                row.start_ms,
                tuple((node, tasks) for node, tasks in json.loads(row.nodes)),
                row.first_start_ms,
                Cause(row.cause),
            ),
        )
        for row in connection.execute(select(schema.promise))
    }


def kept(promises: Sequence[Reservation], versions: Mapping[int, int]) -> dict[int, Kept]:
    """What a plan promises, as it is stored."""
    return {one.job: Kept(versions[one.job], one) for one in promises if one.job in versions}


def store(connection: Connection, before: Mapping[int, Kept], after: Mapping[int, Kept]) -> None:
    """Make what is stored `after`, where it is `before`."""
    gone = [job for job, one in before.items() if after.get(job) != one]
    new = [one for job, one in after.items() if before.get(job) != one]
    if gone:
        connection.execute(_GONE, {"jobs": number_list(gone)})
    if new:
        connection.execute(
            insert(schema.promise),
            [
                {
                    "pool": one.pool,
                    "job": one.job,
                    "version": version,
                    "start_ms": one.start_ms,
                    "first_start_ms": one.first_start_ms,
                    "nodes": json.dumps(one.nodes, separators=(",", ":")),
                    "cause": str(one.cause),
                }
                for version, one in new
            ],
        )


__all__ = ["Kept", "kept", "load", "store"]
