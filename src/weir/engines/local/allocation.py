"""What of a pool each attempt holds: nodes, device and core indexes, memory. Pure accounting, no I/O."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from weir.engines.local.settings import check_pool_options, read_device_templates, read_indexes
from weir.model.agent import NodeShare, PoolEntry, Work
from weir.model.problem import refused

__all__ = ["Allocation", "PoolSpace", "TaskPlace"]

WHOLE = 1_000


@dataclass(frozen=True, slots=True)
class TaskPlace:
    """Where one task runs. `devices` and `cores` are the machine's own indexes; no cores means unbound."""

    node: int
    local_rank: int
    devices: tuple[int, ...]
    cores: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Allocation:
    """What an attempt holds of its pool, task by task."""

    places: tuple[TaskPlace, ...]

    def to_plain(self) -> list[Any]:
        return [[place.node, place.local_rank, place.devices, place.cores] for place in self.places]

    @classmethod
    def from_plain(cls, rows: Iterable[Any]) -> "Allocation":
        return cls(tuple(TaskPlace(row[0], row[1], tuple(row[2]), tuple(row[3])) for row in rows))


class PoolSpace:
    """The nodes of one pool, and what is held of each.

    A pool of the local engine is a part of this machine, cut into nodes; node by node it owns the next
    devices of `device_ids` (0, 1, 2… where the option is not given), and likewise cores where `core_ids` is
    given. `container_devices` is what podman is told of the devices that a container gets.
    """

    def __init__(self, entry: PoolEntry) -> None:
        """Raises ProblemError for options that are unknown or do not fit the pool's size."""
        self.entry = entry
        check_pool_options(entry.id, entry.options)
        devices = _indexes(entry, "device_ids", entry.devices_per_node * entry.nodes)
        cores = _indexes(entry, "core_ids", -(-entry.cores_milli_per_node // WHOLE) * entry.nodes)
        if devices is None:
            devices = tuple(range(entry.devices_per_node * entry.nodes))
        self.binds_cores = cores is not None
        templates = entry.options.get("container_devices")
        where = f"pools.{entry.id}.options.container_devices"
        self.container_devices = () if templates is None else read_device_templates(where, templates)
        self._nodes = [
            _Node(
                _part(devices, node, entry.nodes),
                _part(cores or (), node, entry.nodes),
                entry.cores_milli_per_node,
                entry.memory_bytes_per_node,
            )
            for node in range(entry.nodes)
        ]

    def never(self, work: Work, nodes: Iterable[NodeShare]) -> str:
        """Why this can never run here, in one sentence; empty when it can."""
        entry = self.entry
        shares = list(nodes)
        if sum(share.tasks for share in shares) != work.tasks or not shares:
            return f"{work.tasks} tasks were ordered and {sum(share.tasks for share in shares)} laid on nodes"
        if work.devices_milli % WHOLE and (work.devices_milli > WHOLE or not entry.shares):
            part = f"a share of a device ({work.devices_milli} thousandths)"
            return f"{part} is asked, which pool {entry.id} does not give"
        fitting = _slots_for(work.devices_milli, entry.devices_per_node)
        for share in shares:
            if not 0 <= share.node < entry.nodes:
                return f"node {share.node} is asked, and pool {entry.id} has {entry.nodes}, from 0"
            if fitting is not None and share.tasks > fitting:
                return (
                    f"{share.tasks} tasks with {work.devices_milli} thousandths of a device each are asked "
                    f"on a node, and one of pool {entry.id} has {entry.devices_per_node} devices"
                )
            if share.tasks * work.cores_milli > entry.cores_milli_per_node:
                return (
                    f"{share.tasks * work.cores_milli} thousandths of a core are asked on a node, "
                    f"and one of pool {entry.id} has {entry.cores_milli_per_node}"
                )
            if share.tasks * work.memory_bytes > entry.memory_bytes_per_node:
                return (
                    f"{share.tasks * work.memory_bytes} bytes of memory are asked on a node, "
                    f"and one of pool {entry.id} has {entry.memory_bytes_per_node}"
                )
        return ""

    def take(self, work: Work, nodes: Iterable[NodeShare]) -> Allocation | None:
        """Hold what the tasks need, all or nothing; None when it is not free now."""
        places: list[TaskPlace] = []
        for share in nodes:
            for local_rank in range(share.tasks):
                place = self._nodes[share.node].take(work, share.node, local_rank)
                if place is None:
                    self.release(work, Allocation(tuple(places)))
                    return None
                places.append(place)
        return Allocation(tuple(places))

    def retake(self, work: Work, allocation: Allocation) -> None:
        """Hold again what an attempt already runs on, even where the pool has become smaller since."""
        for place in allocation.places:
            if place.node < len(self._nodes):
                self._nodes[place.node].hold(work, place, 1)

    def release(self, work: Work, allocation: Allocation) -> None:
        for place in allocation.places:
            if place.node < len(self._nodes):
                self._nodes[place.node].hold(work, place, -1)


class _Node:
    """What is free of one node; below zero where it shrank under what runs."""

    def __init__(
        self, devices: tuple[int, ...], cores: tuple[int, ...], cores_milli: int, memory: int
    ) -> None:
        self._devices = dict.fromkeys(devices, WHOLE)
        self._cores = dict.fromkeys(cores, WHOLE)
        self._cores_milli = cores_milli
        self._memory_bytes = memory

    def take(self, work: Work, node: int, local_rank: int) -> TaskPlace | None:
        if work.cores_milli > self._cores_milli or work.memory_bytes > self._memory_bytes:
            return None
        devices = _pick(self._devices, work.devices_milli)
        cores = _pick(self._cores, work.cores_milli) if self._cores else ()
        if devices is None or cores is None:
            return None
        place = TaskPlace(node, local_rank, devices, cores)
        self.hold(work, place, 1)
        return place

    def hold(self, work: Work, place: TaskPlace, sign: int) -> None:
        self._cores_milli -= sign * work.cores_milli
        self._memory_bytes -= sign * work.memory_bytes
        for free, indexes, amount in (
            (self._devices, place.devices, work.devices_milli),
            (self._cores, place.cores, work.cores_milli),
        ):
            for index, part in zip(indexes, _parts(amount), strict=False):
                if index in free:
                    free[index] -= sign * part


def _parts(amount_milli: int) -> list[int]:
    """An amount as it lies on whole slots and, at the end, a shared one."""
    whole, rest = divmod(amount_milli, WHOLE)
    return [WHOLE] * whole + ([rest] if rest else [])


def _pick(free: Mapping[int, int], amount_milli: int) -> tuple[int, ...] | None:
    """The indexes to take the amount from, lowest first, a shared part from the fullest slot that has it."""
    picked: list[int] = []
    for part in _parts(amount_milli):
        fitting = [index for index, left in free.items() if left >= part and index not in picked]
        if not fitting:
            return None
        picked.append(min(fitting, key=lambda index: (free[index], index)))
    return tuple(picked)


def _slots_for(amount_milli: int, slots: int) -> int | None:
    """How many such amounts so many slots hold; None for any number."""
    if amount_milli == 0:
        return None
    if amount_milli < WHOLE:
        return slots * (WHOLE // amount_milli)
    return slots // (amount_milli // WHOLE)


def _indexes(entry: PoolEntry, option: str, needed: int) -> tuple[int, ...] | None:
    text = entry.options.get(option)
    if text is None:
        return None
    field = f"pools.{entry.id}.options.{option}"
    found = read_indexes(field, text)
    if len(found) != needed:
        raise refused(field, text, f"give {needed} of them, as many as the pool has")
    return found


def _part(indexes: tuple[int, ...], node: int, nodes: int) -> tuple[int, ...]:
    size = len(indexes) // nodes
    return indexes[node * size : (node + 1) * size]
