"""From an order to the Job that runs it, as pure functions; and why an order can never run."""

import hashlib
import json
import math
import os
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weir.engines.driver import AttemptOrder
from weir.engines.kubernetes.quantity import bytes_text, milli_text
from weir.engines.kubernetes.settings import PoolSettings, Settings, takes_image
from weir.engines.kubernetes.wrapper import LOG_PATH, SCRIPT, wrapper_arguments
from weir.model.agent import NodeShare, PoolEntry, Work
from weir.model.codec import to_plain

__all__ = [
    "ATTEMPT",
    "CONTAINER",
    "DIGEST",
    "FOLDER",
    "KUEUE_QUEUE",
    "OWNER",
    "STOP",
    "TASKS",
    "Carrying",
    "device_resource",
    "has_files",
    "hosts",
    "job_manifest",
    "job_name",
    "never",
    "order_digest",
    "service_manifest",
    "stop_patch",
    "verbatim",
]

OWNER, ATTEMPT = "weir.io/owner", "weir.io/attempt"
"""Labels of Jobs and pods: whose they are, and the attempt's id."""
DIGEST, FOLDER, TASKS, POOL, STOP = (
    "weir.io/digest",
    "weir.io/folder",
    "weir.io/tasks",
    "weir.io/pool-id",
    "weir.io/stop",
)
"""Annotations of a Job: what the order was, where its files are, of how many tasks, and why it was stopped."""
KUEUE_QUEUE = "kueue.x-k8s.io/queue-name"
VOLCANO_QUEUE, VOLCANO_MEMBERS = "scheduling.volcano.sh/queue-name", "scheduling.volcano.sh/group-min-member"
CONTAINER = "task"

_PRIVATE = "/weir"
"""Where an attempt's folder is in a container when no folder is shared."""
_MARGIN_S = 5
"""So much longer than the job's own grace Kubernetes waits before it kills."""
_BACKSTOP_S = 3_600
"""So much later than the time limit, which the wrapper holds, Kubernetes ends a pod: time to pull its image."""
_FIRST_PORT, _PORTS = 20_000, 10_000


@dataclass(frozen=True, slots=True)
class Carrying:
    """How an attempt's pods bring their files from the agent and back: the program, and where it goes with what."""

    program: str
    url: str
    token: str


def job_name(attempt: str) -> str:
    """The name of an attempt's Job: unique, and so what makes submitting it twice harmless."""
    return "weir-" + attempt.replace(".", "-")


def order_digest(order: AttemptOrder) -> str:
    """Differs between orders that differ in anything that runs."""
    plain = [order.job, order.epoch, order.array_index, to_plain(order.work)]
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:32]


def verbatim(text: str) -> str:
    """Text such that Kubernetes, which replaces `$(NAME)` in arguments and variables, leaves it as it was."""
    return text.replace("$", "$$")


def hosts(attempt: str, tasks: int) -> list[str]:
    """The names under which the tasks of a gang find each other, by the gang's headless Service."""
    name = job_name(attempt)
    return [f"{name}-{task}.{name}" for task in range(tasks)]


def never(order: AttemptOrder, entry: PoolEntry, pool: PoolSettings, settings: Settings) -> str:
    """Why this can never run here, in one sentence; empty when it can."""
    work, name = order.work, order.work.pool
    if not work.command or not work.command[0]:
        return "the command is empty"
    if any("\0" in text for text in (*work.command, *work.environment, *work.environment.values())):
        return "the command or its environment has a zero byte in it"
    if work.image and not takes_image(pool, work.image):
        taken = ", ".join(pool.images) or "no image of a job's own"
        return f"image {work.image} is asked for, and pool {name} takes {taken}"
    if not (work.image or pool.image):
        return (
            f"no container image is named for pool {name}: set the option image of the engine or of the pool"
        )
    if sum(share.tasks for share in order.nodes) != work.tasks or not order.nodes:
        return (
            f"{work.tasks} tasks were ordered and {sum(share.tasks for share in order.nodes)} laid on nodes"
        )
    if work.devices_milli % 1_000:
        part = f"a share of a device ({work.devices_milli} thousandths)"
        return f"{part} is asked, which pool {name} does not give"
    devices = work.devices_milli // 1_000
    if devices and not device_resource(entry, pool):
        return f"no device plugin's resource is known for pool {name}: set its option device_resource"
    for asked, there, what in (
        (devices, entry.devices_per_node, "devices"),
        (work.cores_milli, entry.cores_milli_per_node, "thousandths of a core"),
        (work.memory_bytes, entry.memory_bytes_per_node, "bytes of memory"),
    ):
        if asked > there:
            return f"{asked} {what} are asked for a task, and a node of pool {name} has {there}"
    for share in order.nodes:
        if not 0 <= share.node < entry.nodes:
            return f"node {share.node} is asked, and pool {name} has {entry.nodes}, from 0"
    return _files_problem(order, settings)


def device_resource(entry: PoolEntry, pool: PoolSettings) -> str:
    """The resource that the pool's device plugin registers; empty where none is known."""
    return pool.device_resource or entry.kubernetes_resource


def job_manifest(
    order: AttemptOrder,
    entry: PoolEntry,
    pool: PoolSettings,
    settings: Settings,
    user: tuple[int, int] | None,
    carrying: Carrying | None = None,
) -> dict[str, Any]:
    """The Job of an order: one pod a task, none ever made again; a gang is an Indexed Job, ended by its first
    failure. `user` and group are those that tasks run as; None for the image's own."""
    work = order.work
    labels = {OWNER: settings.owner, ATTEMPT: order.attempt}
    queue = {KUEUE_QUEUE: pool.kueue_queue} if pool.kueue_queue else {}
    spec: dict[str, Any] = {
        "parallelism": work.tasks,
        "completions": work.tasks,
        "completionMode": "Indexed" if work.tasks > 1 else "NonIndexed",
        "backoffLimit": 0,
        "podReplacementPolicy": "Failed",
        "template": {
            "metadata": {"labels": labels, **_volcano(pool, work)},
            "spec": _pod(order, entry, pool, settings, user, carrying),
        },
    }
    if queue:
        spec["suspend"] = True
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(order.attempt),
            "labels": {**labels, **queue},
            "annotations": {
                DIGEST: order_digest(order),
                FOLDER: os.fspath(order.folder),
                TASKS: str(work.tasks),
                POOL: work.pool,
            },
        },
        "spec": spec,
    }


def service_manifest(attempt: str, owner: str, job_uid: str) -> dict[str, Any]:
    """The headless Service by which a gang's tasks find each other; it goes with its Job."""
    name = job_name(attempt)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "labels": {OWNER: owner, ATTEMPT: attempt},
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job_uid}],
        },
        "spec": {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": {ATTEMPT: attempt}},
    }


def stop_patch(note: Mapping[str, Any], *, suspend: bool) -> dict[str, Any]:
    """What ends a Job and keeps it: suspended, with a note of the reason; Kubernetes then deletes what runs of it.

    A Job of Kueue's is not to be suspended, since Kueue would let it go on: it gets the reason alone.
    """
    return {
        "metadata": {"annotations": {STOP: json.dumps(note)}},
        **({"spec": {"suspend": True}} if suspend else {}),
    }


def work_place(folder: Path, settings: Settings) -> str:
    """An attempt's folder as its containers see it."""
    return os.fspath(folder) if settings.shared else _PRIVATE


def _files_problem(order: AttemptOrder, settings: Settings) -> str:
    root = settings.shared_root
    if root is not None:
        if root not in order.folder.parents:
            return (
                f"the attempt's folder {order.folder} is not below {root}, which the nodes see: "
                "let the agent's --work-root lie there"
            )
        return ""
    if settings.door is not None or not has_files(order):
        return ""
    need = (
        "its outputs could not be taken over"
        if order.work.results
        else "its inputs could not reach the nodes"
    )
    return f"{need}: this centre shares no folder with its nodes (option shared_root or agent_address)"


def has_files(order: AttemptOrder) -> bool:
    """Whether anything is to be brought to the nodes, or back."""
    work = order.folder / "work"
    return bool(order.work.results) or (work.is_dir() and any(work.iterdir()))


def _carrying(carrying: Carrying | None) -> dict[str, str]:
    if carrying is None:
        return {}
    return {
        "WEIR_FILES_PROGRAM": carrying.program,
        "WEIR_FILES_URL": carrying.url,
        "WEIR_FILES_TOKEN": carrying.token,
    }


def _volcano(pool: PoolSettings, work: Work) -> dict[str, Any]:
    if not pool.volcano_queue:
        return {}
    return {"annotations": {VOLCANO_QUEUE: pool.volcano_queue, VOLCANO_MEMBERS: str(work.tasks)}}


def _pod(
    order: AttemptOrder,
    entry: PoolEntry,
    pool: PoolSettings,
    settings: Settings,
    user: tuple[int, int] | None,
    carrying: Carrying | None,
) -> dict[str, Any]:
    work = order.work
    place = work_place(order.folder, settings)
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": work.image or pool.image,
        "command": ["/bin/sh", "-c", verbatim(SCRIPT), "weir"],
        "args": [
            verbatim(text)
            for text in (
                *wrapper_arguments(
                    place,
                    shared=settings.shared,
                    stop_signal=work.stop_signal,
                    grace_ms=work.stop_grace_ms,
                    limit_ms=work.time_limit_ms,
                    stack_variable=work.visible_devices_variable,
                ),
                *work.command,
            )
        ],
        "env": [
            {"name": name, "value": verbatim(value)}
            for name, value in {**_environment(order, place), **_carrying(carrying)}.items()
        ],
        # What is asked is what is had, so that no job lives on what another one has left over.
        "resources": {"requests": (amounts := _amounts(work, entry, pool)), "limits": amounts},
        "terminationMessagePath": LOG_PATH,
        "securityContext": {"allowPrivilegeEscalation": False},
        "volumeMounts": _mounts(order, settings),
    }
    grace_s = math.ceil(work.stop_grace_ms / 1_000) + _MARGIN_S
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": grace_s,
        "activeDeadlineSeconds": math.ceil(work.time_limit_ms / 1_000) + grace_s + _BACKSTOP_S,
        "nodeSelector": dict(pool.node_selector),
        "containers": [container],
        "volumes": _volumes(settings),
    }
    if user is not None:
        pod["securityContext"] = {"runAsUser": user[0], "runAsGroup": user[1]}
    if work.tasks > 1:
        pod["subdomain"] = job_name(order.attempt)
    named = {
        "serviceAccountName": settings.service_account,
        "priorityClassName": pool.priority_class,
        "runtimeClassName": pool.runtime_class,
        "schedulerName": "volcano" if pool.volcano_queue else "",
    }
    pod |= {name: value for name, value in named.items() if value}
    if settings.pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in settings.pull_secrets]
    if pool.tolerations:
        pod["tolerations"] = [
            {
                "key": one.key,
                "operator": "Equal" if one.value else "Exists",
                **({"value": one.value} if one.value else {}),
                **({"effect": one.effect} if one.effect else {}),
            }
            for one in pool.tolerations
        ]
    return pod


def _environment(order: AttemptOrder, place: str) -> Mapping[str, str]:
    work = order.work
    found = {
        "HOME": f"{place}/scratch",
        "TMPDIR": f"{place}/scratch",
        **work.environment,
        "WEIR_JOB_ID": order.job,
        "WEIR_ATTEMPT": order.attempt,
        "WEIR_ARRAY_INDEX": "" if order.array_index is None else str(order.array_index),
        "WEIR_TASK_COUNT": str(work.tasks),
        "WEIR_HOSTS": "localhost",
        # As a container sees them, whatever their numbers at the node.
        "WEIR_DEVICES": ",".join(map(str, range(work.devices_milli // 1_000))),
    }
    if work.tasks > 1:
        names = hosts(order.attempt, work.tasks)
        found |= {
            "WEIR_HOSTS": ",".join(names),
            "WEIR_LOCAL_RANKS": ",".join(map(str, _local_ranks(order.nodes))),
            "MASTER_ADDR": names[0],
            # Of its own, for pods that share the node's network.
            "MASTER_PORT": str(_FIRST_PORT + zlib.crc32(order.attempt.encode()) % _PORTS),
            "WORLD_SIZE": str(work.tasks),
        }
    return found


def _local_ranks(shares: Iterable[NodeShare]) -> list[int]:
    return [rank for share in shares for rank in range(share.tasks)]


def _amounts(work: Work, entry: PoolEntry, pool: PoolSettings) -> dict[str, str]:
    found = {"cpu": milli_text(work.cores_milli), "memory": bytes_text(work.memory_bytes)}
    if work.devices_milli:
        found[device_resource(entry, pool)] = str(work.devices_milli // 1_000)
    return found


def _mounts(order: AttemptOrder, settings: Settings) -> list[dict[str, Any]]:
    if settings.shared_root is None:
        return [
            {"name": "weir", "mountPath": f"{_PRIVATE}/{name}", "subPath": name}
            for name in ("work", "scratch")
        ]
    # Of the shared folder a task sees its own attempt's part, and nothing else.
    part = os.fspath(order.folder.relative_to(settings.shared_root))
    return [{"name": "weir", "mountPath": os.fspath(order.folder), "subPath": part}]


def _volumes(settings: Settings) -> list[dict[str, Any]]:
    if settings.shared_claim:
        return [{"name": "weir", "persistentVolumeClaim": {"claimName": settings.shared_claim}}]
    if settings.shared_host_path:
        return [{"name": "weir", "hostPath": {"path": settings.shared_host_path, "type": "Directory"}}]
    return [{"name": "weir", "emptyDir": {}}]
