"""What stands in an attempt's folder: the order as given, and how its tasks are to be launched.

Supervisors read it as plain values, since they know nothing of the classes of `model`.
"""

import os
import resource
import signal
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weir.engines.driver import AttemptOrder
from weir.engines.images import image_among
from weir.engines.local.allocation import Allocation, TaskPlace
from weir.engines.local.cgroup import NO_GROUPS, Groups
from weir.engines.local.control import Control, write_control
from weir.engines.local.podman import (
    Podman,
    container_name,
    create_command,
    device_arguments,
    podman_environment,
)
from weir.engines.local.settings import Settings
from weir.engines.local.supervisor import SCRATCH_NAME
from weir.model.agent import NodeShare, Work
from weir.model.codec import from_plain, to_plain

__all__ = ["HOST", "Site", "free_port", "launch_of", "read_order", "refusal_of", "stop_number", "write_order"]

HOST = "127.0.0.1"
_PODMAN_FILES = 1 << 20
"""Podman lowers its own limit of open files to this one, and that of processes to `kernel.pid_max`; what is asked for
a container beyond them is refused to all but a privileged user."""
_BASE = ("PATH", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME", "SSL_CERT_FILE", "SSL_CERT_DIR")
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True)
class Site:
    """What every launch at this centre has in common."""

    settings: Settings
    groups: Groups
    isolated: bool
    poke: str
    environment: Mapping[str, str]
    """The agent's own, of which tasks get little."""
    podman: Podman | None = None
    """What runs work in images of its own."""
    label: str = ""
    """Names the agent's folder, on containers and control groups."""
    most_processes: int = 1 << 15
    """The machine's `kernel.pid_max`."""

    def base_environment(self) -> dict[str, str]:
        names = (*_BASE, *self.settings.pass_environment)
        found = {name: self.environment[name] for name in names if name in self.environment}
        return {"PATH": _DEFAULT_PATH, "LANG": "C.UTF-8", **found}


def stop_number(name: str) -> int:
    """The number of a signal that is written `TERM` or `SIGTERM`. Raises KeyError."""
    return int(signal.Signals["SIG" + name.removeprefix("SIG")])


def refusal_of(work: Work) -> str:
    """Why no machine could run this, in one sentence; empty when one can."""
    if not work.command or not all(work.command[:1]):
        return "the command is empty"
    if any("\0" in text for text in (*work.command, *work.environment, *work.environment.values())):
        return "the command or its environment has a zero byte in it"
    try:
        stop_number(work.stop_signal)
    except KeyError:
        return f"the stop signal {work.stop_signal!r} does not exist here"
    return ""


def free_port() -> int:
    """A port that nobody listens on now, for the tasks of a gang to meet at."""
    with socket.socket() as trial:
        trial.bind((HOST, 0))
        return int(trial.getsockname()[1])


def launch_of(
    order: AttemptOrder, allocation: Allocation, port: int, site: Site, devices: Sequence[str] = ()
) -> dict[str, Any]:
    """Everything that the supervisors of one attempt need, as plain values.

    `devices` are the pool's `container_devices`; they count for an attempt with an image of its own alone.
    """
    work = order.work
    folder = os.fspath(order.folder)
    contained = bool(work.image and site.podman)
    environment = {
        # An image has a PATH and a language of its own.
        **({} if contained else site.base_environment()),
        "HOME": f"{folder}/{SCRATCH_NAME}",
        "TMPDIR": f"{folder}/{SCRATCH_NAME}",
        **work.environment,
        "WEIR_JOB_ID": order.job,
        "WEIR_ATTEMPT": order.attempt,
        "WEIR_ARRAY_INDEX": "" if order.array_index is None else str(order.array_index),
        "WEIR_TASK_COUNT": str(work.tasks),
        "WEIR_HOSTS": ",".join([HOST] * work.tasks),
    }
    tasks: list[dict[str, Any]] = [
        {
            "environment": _task_environment(work, index, place, port, renumbered=contained),
            "cores": list(place.cores),
        }
        for index, place in enumerate(allocation.places)
    ]
    if contained:
        for index, (task, place) in enumerate(zip(tasks, allocation.places, strict=True)):
            task["container"] = _container(
                order, index, place, environment | task["environment"], site, devices
            )
    return {
        "attempt": order.attempt,
        "command": list(work.command),
        "environment": environment,
        "tasks": tasks,
        "time_limit_ms": work.time_limit_ms,
        "stop_signal": stop_number(work.stop_signal),
        "stop_grace_ms": work.stop_grace_ms,
        "memory_bytes": work.memory_bytes,
        "process_limit": site.settings.process_limit,
        # A container has groups and a view of files of its own.
        "groups": list(NO_GROUPS if contained else site.groups),
        "private_root": site.settings.private_root if site.isolated and not contained else "",
        "poke": site.poke,
    }


def write_order(order: AttemptOrder, allocation: Allocation | None, launch: dict[str, Any] | None) -> None:
    """Put the order, and how it is launched when that is known, into the attempt's folder. Raises OSError."""
    plain = {
        "attempt": order.attempt,
        "job": order.job,
        "epoch": order.epoch,
        "array_index": order.array_index,
        "work": to_plain(order.work),
        "nodes": [[share.node, share.tasks] for share in order.nodes],
        "allocation": None if allocation is None else allocation.to_plain(),
        "launch": launch,
    }
    write_control(os.fspath(order.folder), plain, order.work.tasks)


def read_order(folder: Path) -> tuple[AttemptOrder, Allocation | None, Groups] | None:
    """The order in an attempt's folder, what it holds and its groups; None where there is none."""
    try:
        with Control(os.fspath(folder)) as control:
            plain = control.order()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:
        return None  # cut short when the machine went down: as good as never written
    order = AttemptOrder(
        plain["attempt"],
        plain["job"],
        plain["epoch"],
        plain["array_index"],
        from_plain(Work, plain["work"]),
        tuple(NodeShare(node, tasks) for node, tasks in plain["nodes"]),
        folder,
    )
    rows = plain["allocation"]
    groups = Groups(*plain["launch"]["groups"]) if plain["launch"] else NO_GROUPS
    return order, None if rows is None else Allocation.from_plain(rows), groups


def _container(
    order: AttemptOrder,
    task: int,
    place: TaskPlace,
    environment: Mapping[str, str],
    site: Site,
    devices: Sequence[str],
) -> dict[str, Any]:
    """What `Contained` is made of."""
    assert site.podman is not None
    work, folder = order.work, os.fspath(order.folder)
    settings = site.settings
    passed = {name: site.environment[name] for name in settings.pass_environment if name in site.environment}
    limited = settings.limits != "off"
    limits = {
        "core": (0, resource.getrlimit(resource.RLIMIT_CORE)[1]),
        "nofile": _at_most(resource.RLIMIT_NOFILE, _PODMAN_FILES),
        "nproc": _at_most(resource.RLIMIT_NPROC, site.most_processes),
    }
    if not limited and work.memory_bytes:
        limits["data"] = (work.memory_bytes, work.memory_bytes)
    create = create_command(
        site.podman,
        attempt=order.attempt,
        task=task,
        image=work.image,
        command=work.command,
        environment={**passed, **environment},
        work=f"{folder}/work",
        mounts=(f"{folder}/work", f"{folder}/{SCRATCH_NAME}"),
        kept=f"{folder}/{task}.container",
        label=site.label,
        memory_bytes=work.memory_bytes if limited else 0,
        processes=settings.process_limit if limited else 0,
        cores=place.cores,
        devices=device_arguments(devices, place.devices),
        limits=limits,
    )
    return {
        "create": create,
        "name": container_name(order.attempt, task),
        "image": work.image,
        "pulls": image_among(settings.pull_images, work.image),
        "pull_deadline_s": settings.image_deadline_s,
        # By its marks podman is found, should its supervisor be killed beside it.
        "environment": podman_environment(site.environment)
        | {name: environment[name] for name in ("WEIR_ATTEMPT", "WEIR_TASK_INDEX")},
    }


def _at_most(kind: int, most: int) -> tuple[int, int]:
    """This process's soft and hard limit, each at most so much."""
    soft, hard = (
        most if one == resource.RLIM_INFINITY else min(one, most) for one in resource.getrlimit(kind)
    )
    return soft, hard


def _task_environment(
    work: Work, index: int, place: TaskPlace, port: int, *, renumbered: bool = False
) -> dict[str, str]:
    # In a container there are no other devices, and the stacks count those that are there from 0.
    numbers = range(len(place.devices)) if renumbered else place.devices
    devices = ",".join(map(str, numbers))
    found = {"WEIR_TASK_INDEX": str(index), "WEIR_DEVICES": devices}
    if work.visible_devices_variable:
        found[work.visible_devices_variable] = devices
    if work.tasks > 1:
        found |= {
            "MASTER_ADDR": HOST,
            "MASTER_PORT": str(port),
            "RANK": str(index),
            "WORLD_SIZE": str(work.tasks),
            "LOCAL_RANK": str(place.local_rank),
        }
    return found
