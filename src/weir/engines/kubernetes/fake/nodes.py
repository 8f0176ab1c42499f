"""The fake cluster's nodes, and its scheduler, as pure functions over objects."""

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from weir.engines.kubernetes.parsing import pod_amounts
from weir.engines.kubernetes.quantity import read_milli, read_whole

__all__ = ["FakeNode", "choose_node", "node_object"]

Plain = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FakeNode:
    """A node to be: what it offers, with device plugins' resources among `devices`."""

    name: str
    cores_milli: int
    memory_bytes: int
    devices: Mapping[str, int] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    hollow: bool = False
    """Its pods run nothing, and end by `FakeCluster.finish` alone."""


def node_object(node: FakeNode, now: str) -> Plain:
    """The object by which a kubelet would have registered it."""
    offered = {
        "cpu": f"{node.cores_milli}m",
        "memory": str(node.memory_bytes),
        "pods": "100000",
        **{name: str(count) for name, count in node.devices.items()},
    }
    return {
        "metadata": {
            "name": node.name,
            "labels": {"kubernetes.io/hostname": node.name, "kubernetes.io/os": "linux", **node.labels},
        },
        "spec": {},
        "status": {
            "capacity": offered,
            "allocatable": offered,
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True",
                    "lastHeartbeatTime": now,
                    "lastTransitionTime": now,
                    "reason": "KubeletReady",
                    "message": "kubelet is posting ready status",
                }
            ],
        },
    }


class Room:
    """What is free of each node, kept up pod by pod."""

    def __init__(self) -> None:
        self._held: dict[str, Counter[str]] = {}
        self._pods: dict[str, tuple[str, Mapping[str, int]]] = {}

    def hold(self, uid: str, node: str, amounts: Mapping[str, int]) -> None:
        if uid not in self._pods:
            self._pods[uid] = node, amounts
            self._held.setdefault(node, Counter()).update(amounts)

    def release(self, uid: str) -> bool:
        """Give back what a pod held; whether it held anything."""
        found = self._pods.pop(uid, None)
        if found is None:
            return False
        self._held[found[0]].subtract(found[1])
        return True

    def held(self, node: str) -> Counter[str]:
        return self._held.get(node, Counter())


def asked(pod: Mapping[str, Any]) -> dict[str, int]:
    """What a pod asks for, by resource: thousandths of a core, bytes, devices."""
    names = {
        name for one in pod["spec"]["containers"] for name in (one.get("resources") or {}).get("limits") or {}
    }
    found: dict[str, int] = {}
    for name in names - {"cpu", "memory"}:
        found[name] = pod_amounts(pod, name)[0]
    _, found["cpu"], found["memory"] = pod_amounts(pod, "")
    return found


def choose_node(pod: Mapping[str, Any], nodes: Iterable[Mapping[str, Any]], room: Room) -> tuple[str, str]:
    """The node for a pod, or why there is none, in the scheduler's words."""
    wanted = asked(pod)
    selector = pod["spec"].get("nodeSelector") or {}
    why: Counter[str] = Counter()
    count = 0
    for node in nodes:
        count += 1
        meta = node["metadata"]
        if node["spec"].get("unschedulable"):
            why["node(s) were unschedulable"] += 1
        elif any((meta.get("labels") or {}).get(name) != value for name, value in selector.items()):
            why["node(s) didn't match Pod's node affinity/selector"] += 1
        else:
            held = room.held(meta["name"])
            offered = node["status"]["allocatable"]
            lacking = [
                name
                for name, amount in sorted(wanted.items())
                if amount > _offered(offered, name) - held[name]
            ]
            if not lacking:
                return meta["name"], ""
            why.update(f"Insufficient {name}" for name in lacking)
    reasons = ", ".join(f"{number} {text}" for text, number in sorted(why.items()))
    return "", f"0/{count} nodes are available: {reasons}."


def free_devices(name: str, count: int, taken: Iterable[int]) -> list[int]:
    """The lowest device numbers that nobody has."""
    there = set(taken)
    return list(itertools.islice((number for number in itertools.count() if number not in there), count))


def _offered(offered: Mapping[str, str], name: str) -> int:
    text = offered.get(name, "0")
    return read_milli(text) if name == "cpu" else read_whole(text)
