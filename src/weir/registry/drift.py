"""Declared against observed: what of a pool can be used, and how the two differ."""

from dataclasses import dataclass

from weir.model.agent import NodeGroup, PoolObservation
from weir.model.province import Pool
from weir.units import format_bytes


@dataclass(frozen=True, slots=True)
class UsablePool:
    """So many nodes that each have at least this much; never more than is declared."""

    nodes: int
    devices_per_node: int
    cores_milli_per_node: int
    memory_bytes_per_node: int


def usable(pool: Pool, observed: PoolObservation | None) -> UsablePool:
    """The lesser of declared and observed.

    Nothing observed yet counts as declared. Where observed nodes differ among themselves, the shape is taken
    that makes most devices usable (cores, where there are none): a few damaged nodes are left out, and a
    fault that all nodes share lowers the shape of all.
    """
    if observed is None:
        return UsablePool(pool.nodes, pool.devices_per_node, pool.cores_per_node, pool.memory_per_node)
    groups = [(group.nodes, _lesser(pool, group)) for group in observed.present if group.nodes > 0]
    best = UsablePool(0, pool.devices_per_node, pool.cores_per_node, pool.memory_per_node)
    best_worth = (0, 0, 0)
    for shape in {shape for _, shape in groups}:
        covering = sum(
            nodes for nodes, other in groups if all(a >= b for a, b in zip(other, shape, strict=True))
        )
        nodes = min(pool.nodes, covering)
        devices, cores, memory = shape
        worth = (nodes * devices, nodes * cores, nodes * memory)
        if worth > best_worth:
            best, best_worth = UsablePool(nodes, devices, cores, memory), worth
    return best


def observed_nodes(observed: PoolObservation) -> int:
    """How many nodes are in service."""
    return sum(group.nodes for group in observed.present)


def drift(pool: Pool, observed: PoolObservation | None) -> str:
    """How declared and observed differ, in words; empty where they agree or nothing has been observed."""
    if observed is None:
        return ""
    words = []
    seen = observed_nodes(observed)
    if seen != pool.nodes:
        words.append(f"{pool.nodes} nodes declared, {seen} in service")
    if observed.drained_nodes:
        words.append(f"{observed.drained_nodes} drained")
    smaller = sum(
        group.nodes
        for group in observed.present
        if _lesser(pool, group) != _declared(pool) and group.nodes > 0
    )
    if smaller:
        shape = usable(pool, observed)
        cores, memory = f"{shape.cores_milli_per_node / 1_000:g}", format_bytes(shape.memory_bytes_per_node)
        words.append(
            f"{smaller} smaller than declared; {shape.nodes} used with {shape.devices_per_node} devices, "
            f"{cores} cores and {memory} each"
        )
    return ", ".join(words)


def _declared(pool: Pool) -> tuple[int, int, int]:
    return pool.devices_per_node, pool.cores_per_node, pool.memory_per_node


def _lesser(pool: Pool, group: NodeGroup) -> tuple[int, int, int]:
    """Whole devices, thousandths of a core, bytes."""
    return (
        min(pool.devices_per_node, group.devices_milli // 1_000),
        min(pool.cores_per_node, group.cores_milli),
        min(pool.memory_per_node, group.memory_bytes),
    )
