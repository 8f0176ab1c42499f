"""Pools that are shared with their centre's own users: what others run there, and how much of Weir's may wait."""

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from weir.control.listed import AnyRow, among_texts, text_list
from weir.control.waits import coarse_foreign
from weir.model.agent import ForeignWork, PoolObservation
from weir.model.codec import from_plain
from weir.model.province import Pool
from weir.model.state import Desired, JobState, Observed
from weir.registry.rows import from_body
from weir.store import schema

_attempt = schema.attempt.c
_WAITING = (
    select(_attempt.centre, _attempt.pool, func.count().label("waiting"))
    .join(schema.job, schema.job.c.number == _attempt.job)
    .where(
        among_texts(_attempt.centre, "centres"),
        _attempt.observed < int(Observed.RUNNING),
        _attempt.desired == int(Desired.RUN),
        # What is to be stopped is told to its centre later, of which nobody who follows the changes hears.
        schema.job.c.state != int(JobState.STOPPING),
    )
    .group_by(_attempt.centre, _attempt.pool)
)


@dataclass(frozen=True, slots=True)
class Shared:
    """What is known of one shared pool besides its nodes."""

    foreign: tuple[ForeignWork, ...] = ()
    """Others' work, by when it ends."""
    queues: bool = False
    """Whether its engine keeps what has no room in a queue of its own."""
    most_waiting: int | None = None
    """So many of Weir's may wait there; None for any number."""
    waiting: int = 0
    """So many of Weir's do: placed there, and not started yet. Counted only where there is such a limit."""

    @property
    def sends_ahead(self) -> bool:
        """Whether jobs are sent there to wait in its own queue."""
        return self.queues and self.most_waiting is not None

    @property
    def may_be_sent(self) -> int | None:
        """How many more may be sent there now; None for any number."""
        return None if self.most_waiting is None else max(0, self.most_waiting - self.waiting)


def load_shared(connection: Connection, rows: Sequence[AnyRow]) -> dict[str, Shared]:
    """The shared pools among these rows (`centre`, `id`, `body`, `observed`), by key."""
    pools = {f"{row.centre}/{row.id}": (declared(Pool, row.body), row.observed) for row in rows}
    pools = {key: found for key, found in pools.items() if found[0].shared}
    limited = {key.partition("/")[0] for key, (pool, _) in pools.items() if pool.waiting_at_most is not None}
    waiting: dict[str, int] = {}
    if limited:
        counted = connection.execute(_WAITING, {"centres": text_list(sorted(limited))})
        waiting = {f"{row.centre}/{row.pool}": row.waiting for row in counted}
    return {
        key: _shared(pool, None if observed is None else observation_of(observed), waiting.get(key, 0))
        for key, (pool, observed) in pools.items()
    }


def full(shared: Mapping[str, Shared], row: AnyRow) -> str:
    """Why nothing more is sent to a pool, where as much of Weir's waits there as may; else empty."""
    pool = shared.get(f"{row.centre}/{row.id}")
    if pool is None or pool.may_be_sent != 0:
        return ""
    return f"{pool.waiting} of Weir's jobs wait in its own queue, and the centre takes {pool.most_waiting} at a time"


@functools.lru_cache(maxsize=8_192)
def declared(kind: Any, body: str) -> Any:
    """A declared thing from its stored form, read once."""
    return from_body(kind, body)


@functools.lru_cache(maxsize=8_192)
def observation_of(stored: str) -> PoolObservation:
    """What an engine said of a pool, from its stored form."""
    return from_plain(PoolObservation, json.loads(stored))


def _shared(pool: Pool, observed: PoolObservation | None, waiting: int) -> Shared:
    if observed is None:
        return Shared(most_waiting=pool.waiting_at_most, waiting=waiting)
    return Shared(coarse_foreign(observed), "queue" in observed.capabilities, pool.waiting_at_most, waiting)


__all__ = ["Shared", "declared", "full", "load_shared", "observation_of"]
