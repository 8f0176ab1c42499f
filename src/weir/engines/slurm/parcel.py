"""From orders to Slurm jobs: what is refused, what goes together, and what a job asks for. Pure functions."""

import math
import os
import re
import shlex
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from weir.engines.driver import AttemptOrder
from weir.engines.slurm.node.run import START
from weir.engines.slurm.port import JOB_NAME, JobRequest
from weir.engines.slurm.settings import PoolSettings, Settings
from weir.engines.slurm.states import NO_FOLDER, NO_PYTHON
from weir.model.agent import PoolEntry

__all__ = [
    "COMMENT",
    "batch_name",
    "carried_script_of",
    "is_attempt",
    "is_batch",
    "launch_of",
    "never",
    "portions",
    "request_of",
    "script_of",
]

COMMENT = "weir:"
"""A job's comment is this and the name of its batch."""
_MIB = 1 << 20
_CARRY_MINUTES = 60
"""What a job is given beyond its own time limit where its files are brought from the agent and back."""
_GANG_LEAST_MB = 128
"""Asked for on each of several nodes: the runner and srun are counted there too, and take some 40 MiB."""
_ATTEMPT = re.compile(r"[a-z0-9]{12}(\.[0-9]{1,9})?-[0-9]{1,9}")
_BATCH = re.compile(rf"{_ATTEMPT.pattern}(~[0-9]{{1,9}})?")


def never(order: AttemptOrder, entry: PoolEntry) -> str:
    """Why the pool can never run it; empty where it can."""
    work = order.work
    if not work.command or not work.command[0]:
        return "the command is empty"
    if any("\0" in text for text in (*work.command, *work.environment, *work.environment.values())):
        return "the command or its environment has a zero byte in it"
    if not hasattr(signal, f"SIG{work.stop_signal.removeprefix('SIG')}"):
        return f"the stop signal {work.stop_signal!r} does not exist here"
    if work.devices_milli % 1_000:
        return "Slurm gives out whole devices; ask for a multiple of 1000 thousandths"
    if len(order.nodes) > entry.nodes:
        return f"it needs {len(order.nodes)} nodes, and {entry.id} has {entry.nodes}"
    most = max(share.tasks for share in order.nodes)
    for what, wanted, there in (
        ("thousandths of a core", most * work.cores_milli, entry.cores_milli_per_node),
        ("bytes of memory", most * work.memory_bytes, entry.memory_bytes_per_node),
        ("thousandths of a device", most * work.devices_milli, entry.devices_per_node * 1_000),
    ):
        if wanted > there:
            return f"it needs {wanted} {what} on one node, and a node of {entry.id} has {there}"
    return ""


def portions(orders: Sequence[AttemptOrder], most: int) -> list[list[AttemptOrder]]:
    """Which orders go to Slurm together: elements of one array with equal work, at most so many at once.

    The order in which they came is kept among the firsts of the portions.
    """
    found: list[list[AttemptOrder]] = []
    open_ones: dict[object, list[AttemptOrder]] = {}
    for order in orders:
        if order.array_index is None or most < 2:
            found.append([order])
            continue
        # Elements of one submission mostly share one object; equal ones that do not go separately at worst.
        key = (id(order.work), order.work.job_submission, tuple(share.tasks for share in order.nodes))
        together = open_ones.get(key)
        if together is None or len(together) >= most:
            together = open_ones[key] = []
            found.append(together)
        together.append(order)
    return found


def batch_name(orders: Sequence[AttemptOrder]) -> str:
    """What the job's comment names: the attempt, or for an array its first attempt and its size."""
    first = orders[0].attempt
    return first if len(orders) == 1 else f"{first}~{len(orders)}"


def is_attempt(name: str) -> bool:
    """Whether it may name an attempt: names that others wrote become parts of paths."""
    return _ATTEMPT.fullmatch(name) is not None


def is_batch(name: str) -> bool:
    """Whether it may name a batch, as `batch_name` makes them: anybody can give a job of theirs any comment."""
    return _BATCH.fullmatch(name) is not None


def launch_of(
    orders: Sequence[AttemptOrder], settings: Settings, pool: PoolSettings, stops: Path, news: Path
) -> dict[str, Any]:
    """Everything that the nodes need to know of a batch, as plain values."""
    work = orders[0].work
    return {
        "attempts": [
            [order.attempt, order.job, order.array_index, os.fspath(order.folder)] for order in orders
        ],
        "command": list(work.command),
        "environment": dict(work.environment),
        "tasks": work.tasks,
        "memory_bytes": work.memory_bytes,
        "devices": work.devices_milli // 1_000,
        # A resource of another name than `gpu` is only counted: then Slurm does not say which devices they are.
        "devices_listed": pool.gres_name == "gpu",
        "variable": work.visible_devices_variable,
        "time_limit_ms": work.time_limit_ms,
        "stop_signal": int(getattr(signal, f"SIG{work.stop_signal.removeprefix('SIG')}")),
        "stop_grace_ms": work.stop_grace_ms,
        "restartable": work.restartable,
        "look_ms": settings.look_ms,
        "stops": os.fspath(stops),
        "news": os.fspath(news),
        "log_limit_bytes": work.log_limit_bytes,
        "door": None,
    }


def script_of(python: str, program: Path, batch: Path) -> str:
    """The batch script. It says by its exit code what a node lacks."""
    words = {
        name: shlex.quote(os.fspath(value))
        for name, value in (("python", python), ("start", START), ("program", program), ("batch", batch))
    }
    return (
        "#!/bin/sh\n"
        f"command -v {words['python']} >/dev/null 2>&1 || exit {NO_PYTHON}\n"
        f"[ -r {words['batch']} ] && [ -r {words['program']} ] || exit {NO_FOLDER}\n"
        f"exec {words['python']} -I -S -c {words['start']} {words['program']} {words['batch']}\n"
    )


def carried_script_of(settings: Settings, program: str, url: str, token: str) -> str:
    """The batch script where nodes see no folder of the agent's: it fetches everything from the agent's door.

    `program` is the text that does so, `url` the batch's.
    """
    python, text, place = (shlex.quote(part) for part in (settings.python, program, settings.node_folder))
    return (
        "#!/bin/sh\n"
        f"command -v {python} >/dev/null 2>&1 || exit {NO_PYTHON}\n"
        f"export WEIR_FILES_TOKEN={token}\n"
        f"exec {python} -I -S -c {text} boot {shlex.quote(url)} {place}\n"
    )


def request_of(
    orders: Sequence[AttemptOrder],
    pool: PoolSettings,
    user: str,
    script: str,
    group: int = 0,
    *,
    carried: bool = False,
) -> JobRequest:
    """What Slurm is asked for: an equal number of nodes, and for uneven tasks memory by the core."""
    order, work = orders[0], orders[0].work
    each = [share.tasks for share in order.nodes]
    most = max(each)
    cores = max(1, math.ceil(work.cores_milli / 1_000))
    even = min(each) == most
    devices = most * work.devices_milli // 1_000
    memory_mb = max(1, math.ceil(work.memory_bytes / _MIB))
    if len(each) > 1:
        memory_mb = max(memory_mb, math.ceil(_GANG_LEAST_MB / min(each)))
    return JobRequest(
        name=JOB_NAME,
        comment=f"{COMMENT}{batch_name(orders)}",
        script=script,
        # The attempts' own folders are made for one user each; this one everybody can enter.
        folder="/",
        user=user,
        partition=pool.partition,
        # Slurm's own limit, in whole minutes, is there for what the runner cannot end.
        time_limit_minutes=math.ceil((work.time_limit_ms + work.stop_grace_ms) / 60_000)
        + (_CARRY_MINUTES if carried else 1),
        nodes=len(each),
        tasks=sum(each),
        tasks_per_node=most if even else 0,
        cpus_per_task=cores,
        memory_mb_per_node=most * memory_mb if even else 0,
        memory_mb_per_cpu=0 if even else math.ceil(memory_mb / cores),
        gres=f"{pool.gres}:{devices}" if devices else "",
        requeue=work.restartable,
        elements=len(orders) if len(orders) > 1 else 0,
        account=pool.account,
        qos=pool.qos,
        constraint=pool.constraint,
        licenses=pool.licenses,
        reservation=pool.reservation,
        group=group,
    )
