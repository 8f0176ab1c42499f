"""What there is of each pool, and who else uses it, from nodes and pods, as pure functions."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from weir.engines.kubernetes.manifest import OWNER, device_resource
from weir.engines.kubernetes.parsing import NodeFacts, amounts_of, pod_amounts, read_node
from weir.engines.kubernetes.settings import PoolSettings
from weir.model.agent import ForeignWork, NodeGroup, PoolEntry, PoolObservation

__all__ = ["UNKNOWN_UNTIL_MS", "pool_observation"]

UNKNOWN_UNTIL_MS = 253_402_300_799_000
"""The end of the year 9999: pods of others do not say when they will end."""

_Amounts = tuple[int, int, int]
_MOST = 2
"""Whose pods hold one part in so many of a node, of whichever amount they hold most of, holds the node."""


def pool_observation(
    entry: PoolEntry,
    settings: PoolSettings,
    nodes: Iterable[Mapping[str, Any]],
    pods: Iterable[Mapping[str, Any]],
    owner: str,
    now_ms: int,
    capabilities: Sequence[str],
) -> PoolObservation:
    """One pool, from the cluster's nodes and pods as JSON; `owner` tells Weir's own pods.

    A node of which others hold half or more is counted as theirs, and stands in `present` whole; what others
    hold of the remaining nodes is missing from `present`. So nothing is counted twice. Others' pods that no
    node takes are the engine's queue, where they ask for this pool's nodes.
    """
    resource = device_resource(entry, settings)
    facts = [read_node(plain) for plain in nodes]
    mine = [node for node in facts if _selected(settings.node_selector, node.labels)]
    held: dict[str, _Amounts] = defaultdict(lambda: (0, 0, 0))
    queued = 0
    for pod in pods:
        meta, spec = pod["metadata"], pod.get("spec") or {}
        if (meta.get("labels") or {}).get(OWNER) == owner or _is_over(pod):
            continue
        place = spec.get("nodeName")
        if place:
            held[place] = _sum(held[place], pod_amounts(pod, resource))
        elif _asks_for(spec, resource, settings.node_selector):
            queued += 1
    present: Counter[_Amounts] = Counter()
    foreign = 0
    for node in mine:
        if not node.usable:
            continue
        has, taken = _whole(node, resource), held[node.name]
        if any(part and part * _MOST >= whole for part, whole in zip(taken, has, strict=True)):
            foreign += 1
            present[has] += 1
        else:
            devices, cores, memory = (max(0, whole - part) for whole, part in zip(has, taken, strict=True))
            present[devices, cores, memory] += 1
    return PoolObservation(
        entry.id,
        now_ms,
        tuple(
            NodeGroup(count, devices * 1_000, cores, memory)
            for (devices, cores, memory), count in sorted(present.items(), reverse=True)
        ),
        drained_nodes=sum(not node.usable for node in mine),
        foreign=(ForeignWork(foreign, UNKNOWN_UNTIL_MS),) if foreign else (),
        queued_foreign=queued,
        capabilities=tuple(capabilities),
    )


def _whole(node: NodeFacts, resource: str) -> _Amounts:
    return amounts_of(node.allocatable, resource)


def _sum(one: _Amounts, other: _Amounts) -> _Amounts:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]


def _selected(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return all(labels.get(name) == value for name, value in selector.items())


def _is_over(pod: Mapping[str, Any]) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _asks_for(spec: Mapping[str, Any], resource: str, selector: Mapping[str, str]) -> bool:
    """Whether a waiting pod asks for this pool's nodes: by its device, or by labels that these nodes have."""
    wanted = spec.get("nodeSelector") or {}
    if wanted and all(selector.get(name) == value for name, value in wanted.items()):
        return True
    return bool(resource) and pod_amounts({"spec": spec}, resource)[0] > 0
