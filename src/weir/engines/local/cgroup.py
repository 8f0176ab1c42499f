"""Control groups, where they can be written: memory and process limits, and ends that nothing escapes.

Version 1, version 2 and both mounted together are used as they are found; nothing here is needed to run
tasks.
"""

import contextlib
import os
import signal
from typing import NamedTuple

__all__ = ["NO_GROUPS", "Groups", "TaskGroups", "find_groups"]

_MOUNTS = "/proc/self/mounts"
_MEMBERSHIP = "/proc/self/cgroup"
_OWN_BYTES = 4 << 20
"""What the supervisor in a task's group may need of its memory."""


class Groups(NamedTuple):
    """The folders below which Weir makes one group a task; empty where there is none."""

    memory: str = ""
    """Limits memory: a version 1 `memory` folder, or a version 2 one with that controller."""
    pids: str = ""
    """Limits the number of processes."""

    @property
    def usable(self) -> bool:
        return bool(self.memory or self.pids)

    def folders(self) -> list[str]:
        return sorted({folder for folder in self if folder})

    def remove(self) -> None:
        """Remove what is empty: the groups of tasks that have ended, and then the folders themselves."""
        for folder in self.folders():
            with contextlib.suppress(OSError):
                for entry in os.scandir(folder):
                    if entry.is_dir():
                        _remove(entry.path)
            _remove(folder)


NO_GROUPS = Groups()


class TaskGroups:
    """The groups of one task, under its own name, with its supervisor in them.

    The supervisor is inside because every move takes a lock that holds up all forks of the machine; it makes
    the groups and moves in, its children are born there, and the driver removes them when all have gone.
    """

    def __init__(self, groups: Groups, name: str) -> None:
        self._memory = f"{groups.memory}/{name}" if groups.memory else ""
        self._pids = f"{groups.pids}/{name}" if groups.pids else ""
        self._folders = sorted({folder for folder in (self._memory, self._pids) if folder})

    def enter(self, memory_bytes: int, processes: int) -> None:
        """Make the groups and move the calling process in. Raises OSError where that is refused."""
        for folder in self._folders:
            _make(folder)
        if self._memory and memory_bytes:
            _limit_memory(self._memory, memory_bytes + _OWN_BYTES)
        if self._pids and processes:
            _write(f"{self._pids}/pids.max", str(processes + 1))
        for folder in self._folders:
            _write(f"{folder}/cgroup.procs", "0")

    def out_of_memory(self) -> bool:
        """Whether the kernel ended a process of the task for want of memory."""
        if not self._memory:
            return False
        for name in ("memory.events", "memory.oom_control"):
            with contextlib.suppress(OSError):
                counts = dict(line.split() for line in _lines(f"{self._memory}/{name}"))
                return int(counts.get("oom_kill", 0)) > 0
        return False

    def kill(self) -> bool:
        """Kill every process in the groups but the calling one; True when there is none left."""
        members = self.members() - {os.getpid()}
        for pid in members:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        return not members

    def members(self) -> set[int]:
        found: set[int] = set()
        for folder in self._folders:
            with contextlib.suppress(OSError):
                found.update(int(pid) for pid in _lines(f"{folder}/cgroup.procs"))
        return found

    def remove(self) -> None:
        for folder in self._folders:
            _remove(folder)


def find_groups(name: str, delegated: str = "", *, limit_processes: bool = False) -> Groups:
    """The groups that can be written here, tried out; their parents are made under `name`.

    `delegated` is a version 2 folder that was given to the agent; otherwise its own groups are looked at.
    """
    own = {"": delegated} if delegated else _own_groups()
    memory = _tried(own.get("memory"), name, "memory.limit_in_bytes", str(1 << 40))
    pids = _tried(own.get("pids"), name, "pids.max", "1000") if limit_processes else ""
    unified = own.get("")
    if unified is not None and not memory:
        _hand_down(unified)
        memory = _tried(unified, name, "memory.max", str(1 << 40))
    if unified is not None and limit_processes and not pids:
        pids = _tried(unified, name, "pids.max", "1000")
    return Groups(memory, pids)


def _hand_down(folder: str) -> None:
    """Let the groups below a version 2 folder have limits."""
    with contextlib.suppress(OSError):
        # Refused where the folder has processes of its own; then that must have been done already.
        _write(f"{folder}/cgroup.subtree_control", "+memory +pids")


def _tried(base: str | None, name: str, setting: str, value: str) -> str:
    """The parent folder `base/name`, when a group can be made in it and takes the setting; else nothing."""
    if base is None:
        return ""
    parent = f"{base}/{name}"
    trial = f"{parent}/try-{os.getpid()}"
    try:
        _make(parent)
        _hand_down(parent)
        os.mkdir(trial)
    except OSError:
        return ""
    try:
        _write(f"{trial}/{setting}", value)
        if not os.access(f"{trial}/cgroup.procs", os.W_OK):
            return ""
    except OSError:
        return ""
    finally:
        os.rmdir(trial)
    return parent


def _own_groups() -> dict[str, str]:
    """The folder of this process's group by controller; "" is version 2."""
    try:
        mounts = [line.split() for line in _lines(_MOUNTS)]
        lines = [line.split(":", 2) for line in _lines(_MEMBERSHIP)]
    except OSError:
        return {}
    places: dict[str, str] = {}
    for mount in mounts:
        if mount[2] == "cgroup2":
            places[""] = mount[1]
        elif mount[2] == "cgroup":
            places.update(
                {option: mount[1] for option in mount[3].split(",") if option in ("memory", "pids")}
            )
    found = {}
    for _, controllers, path in lines:
        for controller in controllers.split(","):
            if controller in places:
                folder = f"{places[controller]}{path}".rstrip("/")
                # In a container the path may be the host's; then the mount itself is the group.
                found[controller] = folder if os.path.isdir(folder) else places[controller]
    return found


def _limit_memory(folder: str, memory_bytes: int) -> None:
    if os.path.exists(f"{folder}/memory.max"):
        _write(f"{folder}/memory.max", str(memory_bytes))
        with contextlib.suppress(OSError):  # where swap is not accounted for
            _write(f"{folder}/memory.swap.max", "0")
        return
    _write(f"{folder}/memory.limit_in_bytes", str(memory_bytes))
    with contextlib.suppress(OSError):  # where swap is not accounted for
        _write(f"{folder}/memory.memsw.limit_in_bytes", str(memory_bytes))


def _make(folder: str) -> None:
    os.makedirs(folder, exist_ok=True)


def _remove(folder: str) -> None:
    with contextlib.suppress(OSError):
        os.rmdir(folder)


def _lines(path: str) -> list[str]:
    with open(path, encoding="ascii", errors="surrogateescape") as file:
        return file.read().splitlines()


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
