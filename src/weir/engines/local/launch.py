"""What stands in an attempt's folder: the order as given, and how its tasks are to be launched.

Supervisors read it as plain values, since they know nothing of the classes of `model`.
"""

import os
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weir.engines.driver import AttemptOrder
from weir.engines.local.allocation import Allocation, TaskPlace
from weir.engines.local.cgroup import NO_GROUPS, Groups
from weir.engines.local.control import Control, write_control
from weir.engines.local.settings import Settings
from weir.engines.local.supervisor import SCRATCH_NAME
from weir.model.agent import NodeShare, Work
from weir.model.codec import from_plain, to_plain

__all__ = ["HOST", "Site", "free_port", "launch_of", "read_order", "stop_number", "write_order"]

HOST = "127.0.0.1"
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

    def base_environment(self) -> dict[str, str]:
        names = (*_BASE, *self.settings.pass_environment)
        found = {name: self.environment[name] for name in names if name in self.environment}
        return {"PATH": _DEFAULT_PATH, "LANG": "C.UTF-8", **found}


def stop_number(name: str) -> int:
    """The number of a signal that is written `TERM` or `SIGTERM`. Raises KeyError."""
    return int(signal.Signals["SIG" + name.removeprefix("SIG")])


def free_port() -> int:
    """A port that nobody listens on now, for the tasks of a gang to meet at."""
    with socket.socket() as trial:
        trial.bind((HOST, 0))
        return int(trial.getsockname()[1])


def launch_of(order: AttemptOrder, allocation: Allocation, port: int, site: Site) -> dict[str, Any]:
    """Everything that the supervisors of one attempt need, as plain values."""
    work = order.work
    folder = os.fspath(order.folder)
    return {
        "attempt": order.attempt,
        "command": list(work.command),
        "environment": {
            **site.base_environment(),
            "HOME": f"{folder}/{SCRATCH_NAME}",
            "TMPDIR": f"{folder}/{SCRATCH_NAME}",
            **work.environment,
            "WEIR_JOB_ID": order.job,
            "WEIR_ATTEMPT": order.attempt,
            "WEIR_ARRAY_INDEX": "" if order.array_index is None else str(order.array_index),
            "WEIR_TASK_COUNT": str(work.tasks),
            "WEIR_HOSTS": ",".join([HOST] * work.tasks),
        },
        "tasks": [
            {
                "environment": _task_environment(work, index, place, port),
                "cores": list(place.cores),
            }
            for index, place in enumerate(allocation.places)
        ],
        "time_limit_ms": work.time_limit_ms,
        "stop_signal": stop_number(work.stop_signal),
        "stop_grace_ms": work.stop_grace_ms,
        "memory_bytes": work.memory_bytes,
        "process_limit": site.settings.process_limit,
        "groups": list(site.groups),
        "private_root": site.settings.private_root if site.isolated else "",
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


def _task_environment(work: Work, index: int, place: TaskPlace, port: int) -> dict[str, str]:
    devices = ",".join(map(str, place.devices))
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
