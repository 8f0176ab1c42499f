"""Others' work in shared pools, told to the core as placements of jobs of its own that end when it does."""

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Connection, select

from weir.control.listed import among_texts, text_list
from weir.control.pools import Pools
from weir.model.agent import ForeignWork
from weir.model.state import Observed
from weir.scheduling.bounds import LONGEST_LIMIT_MS, MOST_NODES
from weir.scheduling.inputs import JobClass, PoolRow, RunningJob
from weir.store import schema

OTHERS = 1 << 61
"""From here on: a node that others use in a shared pool, by the pool's place among all and the node's."""

_attempt = schema.attempt.c
_HELD = select(_attempt.centre, _attempt.pool, _attempt.nodes).where(
    among_texts(_attempt.centre, "centres"), _attempt.observed < int(Observed.ENDED)
)


class Others:
    """What the core was told of others' work."""

    def __init__(self) -> None:
        self._told: dict[int, RunningJob] = {}

    def read(self, connection: Connection, pools: Pools) -> tuple[list[int], list[RunningJob]]:
        """What is no longer so, and what is new, as `freed` and `running` of changes to the core."""
        present = _present(connection, pools)
        gone = [number for number in self._told if number not in present]
        new = [run for number, run in present.items() if self._told.get(number) != run]
        self._told = present
        return gone, new

    def forget(self) -> list[int]:
        """Begin anew: what the core has had of others until now, to be freed."""
        told, self._told = self._told, {}
        return list(told)


def placed(
    row: PoolRow, place: int, foreign: Sequence[ForeignWork], held: Collection[int]
) -> list[RunningJob]:
    """Others' work on the nodes of one pool: on those where nothing of Weir's is, the last first, then on the rest.

    A node counts as wholly theirs until then, but for the part of the last one that they leave. `held`: the nodes
    where Weir has something.
    """
    if row.nodes == 0 or row.cores_milli_per_node == 0:
        return []
    order = sorted(range(row.nodes), key=lambda node: (node in held, -node))
    ends = [
        (block.until_ms, 0 if rest else block.spare_milli)
        for block in reversed(foreign)
        for rest in range(min(block.nodes, row.nodes) - 1, -1, -1)
    ]
    found = []
    for node, (until_ms, spare_milli) in zip(order, ends, strict=False):
        placed_ms = max(0, until_ms - LONGEST_LIMIT_MS)
        found.append(
            RunningJob(
                job=OTHERS + place * MOST_NODES + node,
                job_class=_part(row, 1_000 - spare_milli),
                pool=row.key,
                nodes=((node, 1),),
                placed_ms=placed_ms,
                time_limit_ms=max(1, until_ms - placed_ms),
            )
        )
    return found


def _part(row: PoolRow, milli: int) -> JobClass:
    """So many thousandths of a node, rounded up, of whole devices."""
    return JobClass(
        tasks=1,
        devices_milli=-(-row.devices_per_node * milli // 1_000) * 1_000,
        cores_milli=-(-row.cores_milli_per_node * milli // 1_000),
        memory_bytes=-(-row.memory_bytes_per_node * milli // 1_000),
    )


def _present(connection: Connection, pools: Pools) -> dict[int, RunningJob]:
    used = {key: pool.foreign for key, pool in pools.shared.items() if pool.foreign}
    if not used:
        return {}
    held = _held(connection, used)
    return {
        run.job: run
        for place, row in enumerate(pools.rows)
        if row.key in used
        for run in placed(row, place, used[row.key], held[row.key])
    }


def _held(connection: Connection, used: Mapping[str, object]) -> Mapping[str, set[int]]:
    """The nodes of each pool where something of Weir's is."""
    centres = sorted({key.partition("/")[0] for key in used})
    found: dict[str, set[int]] = defaultdict(set)
    for row in connection.execute(_HELD, {"centres": text_list(centres)}):
        found[f"{row.centre}/{row.pool}"].update(node for node, _ in json.loads(row.nodes))
    return found


__all__ = ["OTHERS", "Others", "placed"]
