"""What of Kubernetes' Jobs, pods and nodes Weir needs, read from their JSON as pure functions."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from weir.engines.kubernetes.manifest import ATTEMPT, FOLDER, KUEUE_QUEUE, STOP, TASKS
from weir.engines.kubernetes.quantity import read_milli, read_whole
from weir.model.state import Cause

__all__ = [
    "JobFacts",
    "NodeFacts",
    "PodFacts",
    "Stop",
    "amounts_of",
    "pod_amounts",
    "read_job",
    "read_node",
    "read_pod",
    "time_ms",
]

_INDEX = "batch.kubernetes.io/job-completion-index"
_ENDED = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class Stop:
    """Why Weir itself stopped a Job: the cause's word, and a message for people.

    `started_ms` is when the attempt had started by then, None where it had not: its pods may be gone before anybody
    looks again, and with them what they tell.
    """

    cause: str
    message: str
    at_ms: int
    started_ms: int | None = None


@dataclass(frozen=True, slots=True)
class JobFacts:
    """What is known of a Job. `condition` is Complete or Failed once it is final, with its reason."""

    attempt: str
    uid: str
    name: str
    folder: str
    tasks: int
    suspend: bool
    """Asked for."""
    suspended: bool
    """Done: its controller has deleted what ran and makes nothing new."""
    failing: bool
    """Its controller is ending what is left of it."""
    condition: str
    reason: str
    message: str
    stop: Stop | None
    queue: str = ""
    """The queue of Kueue that admits it; empty for none."""


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What is known of a pod. `last_words` are its container's; `gone` once it no longer exists."""

    uid: str
    name: str
    index: int
    phase: str
    deleting: bool
    reason: str
    message: str
    disruption: str
    """The reason of its DisruptionTarget condition: who ended it."""
    disruption_message: str
    unschedulable: str
    """Why no node takes it."""
    waiting: str
    """Why its container does not start, such as ImagePullBackOff."""
    waiting_message: str
    started_ms: int | None
    """To the second."""
    exit_code: int | None
    exit_reason: str
    """Such as OOMKilled."""
    finished_ms: int | None
    last_words: str
    gone: bool = False

    @property
    def ended(self) -> bool:
        """Whether nothing of it runs any more."""
        return self.gone or self.phase in _ENDED


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """A node, and what it offers to pods."""

    name: str
    labels: Mapping[str, str]
    usable: bool
    """Ready, and not cordoned."""
    allocatable: Mapping[str, str]


def read_job(plain: Mapping[str, Any]) -> JobFacts:
    """The facts of a Job of Weir's."""
    meta, spec, status = plain["metadata"], plain.get("spec") or {}, plain.get("status") or {}
    notes = meta.get("annotations") or {}
    conditions = _conditions(status)
    final = next((conditions[name] for name in ("Complete", "Failed") if name in conditions), {})
    shown = final or conditions.get("FailureTarget", {})
    return JobFacts(
        attempt=str((meta.get("labels") or {}).get(ATTEMPT, "")),
        uid=str(meta.get("uid", "")),
        name=str(meta["name"]),
        folder=str(notes.get(FOLDER, "")),
        tasks=int(notes.get(TASKS, spec.get("completions", 1))),
        suspend=bool(spec.get("suspend")),
        suspended="Suspended" in conditions,
        failing="FailureTarget" in conditions,
        condition=str(final.get("type", "")),
        reason=str(shown.get("reason", "")),
        message=str(shown.get("message", "")),
        stop=_stop(notes.get(STOP)),
        queue=str((meta.get("labels") or {}).get(KUEUE_QUEUE, "")),
    )


def read_pod(plain: Mapping[str, Any], gone: bool = False) -> PodFacts:
    """The facts of a pod; of its containers the first counts, which is the task."""
    meta, status = plain["metadata"], plain.get("status") or {}
    container: Mapping[str, Any] = next(iter(status.get("containerStatuses") or ()), {})
    state = container.get("state") or {}
    waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
    running = state.get("running") or {}
    scheduled = _false_condition(status, "PodScheduled")
    disruption = _conditions(status).get("DisruptionTarget", {})
    index = (meta.get("annotations") or {}).get(_INDEX) or (meta.get("labels") or {}).get(_INDEX) or "0"
    return PodFacts(
        uid=str(meta.get("uid", "")),
        name=str(meta["name"]),
        index=int(index),
        phase=str(status.get("phase", "Pending")),
        deleting=bool(meta.get("deletionTimestamp")),
        reason=str(status.get("reason", "")),
        message=str(status.get("message", "")),
        disruption=str(disruption.get("reason", "")),
        disruption_message=str(disruption.get("message", "")),
        unschedulable=str(scheduled.get("message", "")) if scheduled.get("reason") == "Unschedulable" else "",
        waiting=str(waiting.get("reason", "")),
        waiting_message=str(waiting.get("message", "")),
        started_ms=time_ms(running.get("startedAt") or ended.get("startedAt")),
        exit_code=ended.get("exitCode"),
        exit_reason=str(ended.get("reason", "")),
        finished_ms=time_ms(ended.get("finishedAt")),
        last_words=str(ended.get("message", "")),
        gone=gone,
    )


def read_node(plain: Mapping[str, Any]) -> NodeFacts:
    """The facts of a node."""
    meta, spec, status = plain["metadata"], plain.get("spec") or {}, plain.get("status") or {}
    ready = "Ready" in _conditions(status)
    return NodeFacts(
        name=str(meta["name"]),
        labels=meta.get("labels") or {},
        usable=ready and not spec.get("unschedulable"),
        allocatable=status.get("allocatable") or {},
    )


def pod_amounts(plain: Mapping[str, Any], resource: str) -> tuple[int, int, int]:
    """Devices, thousandths of a core and bytes that a pod asks for: its containers' sum, or what its largest
    init container asks where that is more."""
    spec = plain.get("spec") or {}
    main = [_requests(one, resource) for one in spec.get("containers") or ()]
    first = [_requests(one, resource) for one in spec.get("initContainers") or ()]
    sums = [sum(column) for column in zip(*main, strict=True)] or [0, 0, 0]
    most = [max(column) for column in zip(*first, strict=True)] or [0, 0, 0]
    devices, cores, memory = (max(pair) for pair in zip(sums, most, strict=True))
    return devices, cores, memory


def amounts_of(amounts: Mapping[str, str], resource: str) -> tuple[int, int, int]:
    """Devices, thousandths of a core and bytes among written amounts."""
    devices = read_whole(amounts.get(resource, "0")) if resource else 0
    return devices, read_milli(amounts.get("cpu", "0")), read_whole(amounts.get("memory", "0"))


def time_ms(text: str | None) -> int | None:
    """Milliseconds since 1970 of a time as Kubernetes writes it."""
    if not text:
        return None
    return round(datetime.fromisoformat(text).timestamp() * 1_000)


def _requests(container: Mapping[str, Any], resource: str) -> tuple[int, int, int]:
    resources = container.get("resources") or {}
    # What has a limit and no request asks for the limit.
    return amounts_of({**(resources.get("limits") or {}), **(resources.get("requests") or {})}, resource)


def _conditions(status: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The conditions that hold, by their type."""
    return {row["type"]: row for row in status.get("conditions") or () if row.get("status") == "True"}


def _false_condition(status: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    rows: Iterable[Mapping[str, Any]] = status.get("conditions") or ()
    return next((row for row in rows if row.get("type") == name and row.get("status") == "False"), {})


def _stop(text: object) -> Stop | None:
    if not isinstance(text, str):
        return None
    try:
        plain = json.loads(text)
        started_ms = plain.get("started_ms")
        return Stop(
            Cause(plain["cause"]).value,
            str(plain["message"]),
            int(plain["at_ms"]),
            None if started_ms is None else int(started_ms),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return Stop(Cause.CANCELLED.value, f"stopped at the centre: {text[:200]}", 0)
