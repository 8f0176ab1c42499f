"""What there is of a pool and who uses it, from Slurm's nodes and queue. Pure functions."""

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from weir.engines.slurm.parcel import COMMENT
from weir.engines.slurm.port import JobRow, NodeRow
from weir.engines.slurm.settings import PoolSettings
from weir.engines.slurm.states import has_ended, is_waiting
from weir.model.agent import ForeignWork, NodeGroup, PoolObservation

__all__ = ["devices_of", "pool_observation"]

_MIB = 1 << 20
_UNLIMITED_MS = 365 * 86_400_000
"""Work without a time limit is taken to hold its nodes for a year."""


def pool_observation(
    pool: str,
    settings: PoolSettings,
    nodes: Iterable[NodeRow],
    queue: Iterable[JobRow],
    own: Collection[int],
    now_ms: int,
    *,
    capabilities: Collection[str],
    runs_as: Mapping[str, str],
) -> PoolObservation:
    """One pool. `own` are the numbers of Weir's jobs and arrays; all else in the partition is foreign."""
    here = [node for node in nodes if settings.partition in node.partitions]
    serving = [node for node in here if node.usable and not node.drained]
    there = [row for row in queue if settings.partition in row.partition.split(",")]
    jobs = [row for row in there if not has_ended(row.state)]
    foreign = [row for row in jobs if not (row.array in own or row.comment.startswith(COMMENT))]
    waiting = [row for row in jobs if is_waiting(row.state)]
    return PoolObservation(
        pool=pool,
        read_ms=now_ms,
        present=_groups(_whole(node, settings) for node in serving),
        drained_nodes=sum(node.drained for node in here),
        foreign=_foreign([row for row in foreign if not is_waiting(row.state)], serving, settings, now_ms),
        queued_foreign=sum(max(1, len(row.indexes)) for row in foreign if is_waiting(row.state)),
        capabilities=tuple(sorted(capabilities)),
        free=_groups(_free(node, settings) for node in serving),
        expected_wait_ms=_expected_wait(waiting, serving, now_ms),
        runs_as=dict(runs_as),
    )


def devices_of(gres: str, wanted: str) -> int:
    """How many of a generic resource a text such as `gpu:ascend910b:8(S:0),npu:2` or `gres:gpu:2` names.

    `wanted` is a name, or a name and a type; a name alone counts all its types.
    """
    total = 0
    for part in re.sub(r"\([^)]*\)", "", gres).split(","):
        words = [word for word in re.split(r"[:/=]", part.strip()) if word]
        if words and words[0] == "gres":
            words = words[1:]
        if not words:
            continue
        count = int(words.pop()) if len(words) > 1 and words[-1].isdecimal() else 1
        if ":".join(words) == wanted or (":" not in wanted and words[0] == wanted):
            total += count
    return total


def _whole(node: NodeRow, settings: PoolSettings) -> tuple[int, int, int]:
    return devices_of(node.gres, settings.gres), node.cpus, node.memory_mb


def _free(node: NodeRow, settings: PoolSettings) -> tuple[int, int, int]:
    used = devices_of(node.gres_used, settings.gres), node.cpus_used, node.memory_mb_used
    devices, cpus, memory = (
        max(0, there - gone) for there, gone in zip(_whole(node, settings), used, strict=True)
    )
    return devices, cpus, memory


def _groups(vectors: Iterable[tuple[int, int, int]]) -> tuple[NodeGroup, ...]:
    return tuple(
        NodeGroup(count, devices * 1_000, cpus * 1_000, memory * _MIB)
        for (devices, cpus, memory), count in sorted(Counter(vectors).items(), reverse=True)
    )


def _foreign(
    rows: Sequence[JobRow], nodes: Sequence[NodeRow], settings: PoolSettings, now_ms: int
) -> tuple[ForeignWork, ...]:
    """Nodes' worth of work until some time: parts of nodes are added up; what is spare of the last one is told."""
    cpus = max((node.cpus for node in nodes), default=0) or 1
    devices = max((devices_of(node.gres, settings.gres) for node in nodes), default=0)
    shares: Counter[int] = Counter()
    for row in rows:
        share = row.cpus / cpus
        if devices:
            share = max(share, max(1, row.nodes) * devices_of(row.gres, settings.gres) / devices)
        until_ms = row.end_s * 1_000 if row.end_s else now_ms + _UNLIMITED_MS
        shares[max(until_ms, now_ms)] += math.ceil(min(share, max(1, row.nodes)) * 1_000)
    found, milli, told = [], 0, 0
    for until_ms, share_milli in sorted(shares.items(), reverse=True):
        milli += share_milli
        if (worth := math.ceil(milli / 1_000) - told) > 0:
            told += worth
            found.append(ForeignWork(worth, until_ms))
    if found:
        found[-1] = replace(found[-1], spare_milli=told * 1_000 - milli)
    return tuple(reversed(found))


def _expected_wait(waiting: Sequence[JobRow], nodes: Sequence[NodeRow], now_ms: int) -> int | None:
    """Slurm's own estimate for the last that it has one for: new work comes after it."""
    if not waiting:
        return 0 if any(node.cpus_used < node.cpus for node in nodes) else None
    starts = [row.start_s * 1_000 - now_ms for row in waiting if row.start_s]
    return max(0, *starts) if starts else None
