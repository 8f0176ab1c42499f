"""What is sent to Ray and what comes back, as pure functions: requests, jobs, nodes, and what fits on them.

The forms were read off Ray 2.60's dashboard; fields that are not used here may change as they like.
"""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from weir.engines.ray.settings import PoolSettings
from weir.model.agent import ForeignWork, NodeGroup, Work

__all__ = [
    "AGENT_KEY",
    "OwnUsage",
    "RayJob",
    "RayNode",
    "already_exists",
    "foreign_work",
    "misfit",
    "needs",
    "node_groups",
    "read_jobs",
    "read_nodes",
    "read_usage",
    "short",
    "submission",
    "submission_id",
]

AGENT_KEY, ATTEMPT_KEY = "weir_agent", "weir_attempt"
"""Of a job's metadata: whose it is, which finds it again after the answer was lost."""

TERMINAL = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})
START_TIMEOUT = "JOB_SUPERVISOR_ACTOR_START_TIMEOUT"
_MARK = 0.001
"""So much of a pool's `node_resource` each job takes: next to nothing, and only to be had on the pool's nodes."""
_MESSAGE_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class RayJob:
    """One job as Ray lists it."""

    id: str
    status: str
    """PENDING, RUNNING, or one of TERMINAL."""
    message: str
    error_type: str
    node: str
    """The id of the node on which it runs; empty before its start."""
    agent: str
    """The tag of the agent that submitted it; empty for everybody else's."""
    attempt: str

    @property
    def terminal(self) -> bool:
        return self.status in TERMINAL


@dataclass(frozen=True, slots=True)
class RayNode:
    """A node in service, with all that it has: CPU, memory in bytes, GPU and others."""

    id: str
    resources: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class OwnUsage:
    """What Weir's own jobs use, by node and kind; under the node "" what may be in use on any of them."""

    by_node: dict[str, dict[str, float]]

    def add(self, node: str, wanted: Mapping[str, float]) -> None:
        used = self.by_node.setdefault(node, {})
        for kind, amount in wanted.items():
            used[kind] = used.get(kind, 0.0) + amount

    def at(self, node: str, kind: str) -> float:
        return sum(self.by_node.get(place, {}).get(kind, 0.0) for place in (node, ""))


def submission_id(attempt: str, number: int) -> str:
    """The name of an attempt's `number`th submission; a further one is made only where Ray gave up the one
    before without having started it."""
    return f"weir-{attempt}" if number == 1 else f"weir-{attempt}~{number}"


def needs(work: Work, pool: PoolSettings) -> dict[str, float]:
    """What one task asks of a node, by Ray's names."""
    found = {"CPU": work.cores_milli / 1_000, "memory": float(work.memory_bytes)}
    if work.devices_milli:
        found[pool.device_resource] = work.devices_milli / 1_000
    if pool.node_resource:
        found[pool.node_resource] = _MARK
    return {name: amount for name, amount in found.items() if amount}


def misfit(wanted: Mapping[str, float], nodes: Iterable[RayNode]) -> str:
    """Why no node can ever hold it, in one sentence; empty when one can.

    Ray itself leaves what asks too much PENDING for a quarter of an hour, without a word.
    """
    nearest: tuple[int, float, str] | None = None
    for node in nodes:
        short_of = [name for name, amount in wanted.items() if node.resources.get(name, 0.0) < amount]
        if not short_of:
            return ""
        name = short_of[0]
        have = node.resources.get(name, 0.0)
        said = f"{wanted[name]:g} of {name} are asked on a node, and the nearest one of Ray's has {have:g}"
        nearest = min(nearest or (len(wanted) + 1, 0.0, ""), (len(short_of), -have / wanted[name], said))
    return nearest[2] if nearest else "the Ray cluster has no node in service"


def submission(
    identity: str, agent: str, attempt: str, wanted: Mapping[str, float], command: Iterable[str]
) -> dict[str, Any]:
    """The body that submits a job which runs `command` on one node."""
    body: dict[str, Any] = {
        "entrypoint": shlex.join(command),
        "submission_id": identity,
        "metadata": {AGENT_KEY: agent, ATTEMPT_KEY: attempt},
    }
    others = {name: amount for name, amount in wanted.items() if name not in ("CPU", "GPU", "memory")}
    if "CPU" in wanted:
        body["entrypoint_num_cpus"] = wanted["CPU"]
    if "GPU" in wanted:
        body["entrypoint_num_gpus"] = wanted["GPU"]
    if "memory" in wanted:
        body["entrypoint_memory"] = int(wanted["memory"])
    if others:
        body["entrypoint_resources"] = others
    return body


def already_exists(status: int, text: str) -> bool:
    """Whether an answer to a submission says that Ray has it; it says so with HTTP 500."""
    return status in (400, 409, 500) and "already exists" in text


def read_jobs(plain: Any) -> list[RayJob]:
    """The jobs of a listing that were submitted by a name; raises KeyError, TypeError for another form."""
    return [
        RayJob(
            job["submission_id"],
            job["status"],
            job.get("message") or "",
            job.get("error_type") or "",
            job.get("driver_node_id") or "",
            (job.get("metadata") or {}).get(AGENT_KEY, ""),
            (job.get("metadata") or {}).get(ATTEMPT_KEY, ""),
        )
        for job in plain
        if job.get("submission_id")
    ]


def read_nodes(plain: Any) -> list[RayNode]:
    """The living nodes of `/api/v0/nodes?detail=1`; raises KeyError, TypeError for another form."""
    return [
        RayNode(node["node_id"], dict(node["resources_total"]))
        for node in plain["data"]["result"]["result"]
        if node["state"] == "ALIVE"
    ]


def read_usage(plain: Any) -> dict[str, dict[str, float]]:
    """What is used of each node, from `/api/cluster_status`; empty where Ray does not say."""
    report = (plain["data"].get("clusterStatus") or {}).get("loadMetricsReport") or {}
    return {
        node: {name: float(used) for name, (used, _) in usage.items()}
        for node, usage in (report.get("usageByNode") or {}).items()
    }


def node_groups(nodes: Iterable[RayNode], pool: PoolSettings) -> tuple[NodeGroup, ...]:
    """The pool's nodes, those that are equal together."""
    counts: dict[tuple[int, int, int], int] = {}
    for node in of_pool(nodes, pool):
        shape = (
            int(node.resources.get(pool.device_resource, 0.0)) * 1_000,
            round(node.resources.get("CPU", 0.0) * 1_000),
            int(node.resources.get("memory", 0.0)),
        )
        counts[shape] = counts.get(shape, 0) + 1
    return tuple(NodeGroup(count, *shape) for shape, count in sorted(counts.items(), reverse=True))


def of_pool(nodes: Iterable[RayNode], pool: PoolSettings) -> list[RayNode]:
    return [node for node in nodes if not pool.node_resource or node.resources.get(pool.node_resource)]


def foreign_work(
    nodes: Iterable[RayNode],
    usage: Mapping[str, Mapping[str, float]],
    own: OwnUsage,
    pool: PoolSettings,
    until_ms: int,
) -> tuple[ForeignWork, ...]:
    """Nodes of the pool on which others use something: `usage` less what Weir's own jobs use there.

    Ray does not know how long anything takes; `until_ms` is the time at which it is to be asked again.
    """
    kinds = ("CPU", "memory", pool.device_resource)
    taken = 0
    for node in of_pool(nodes, pool):
        used = usage.get(node.id, {})
        taken += any(used.get(kind, 0.0) - own.at(node.id, kind) > _MARK for kind in kinds)
    return (ForeignWork(taken, until_ms),) if taken else ()


def short(message: str) -> str:
    """The last line of what Ray says, which is the telling one, in few words."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[-1][:_MESSAGE_CHARACTERS] if lines else ""
