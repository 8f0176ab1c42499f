"""What a compute node's processes are asked and told, with the standard library of older Pythons too."""

import contextlib
import ctypes
import os
import signal

__all__ = [
    "HEARD",
    "become_subreaper",
    "children",
    "kill_group",
    "listen",
    "out_of_memory",
    "signal_name",
    "unblock",
]

HEARD = {signal.SIGCHLD, signal.SIGTERM}
"""Waited for, never handled in the middle of something."""

_SET_CHILD_SUBREAPER = 36


def listen() -> None:
    """Keep what is waited for from being acted upon by itself."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)


def unblock() -> None:
    """In a new process, before its program: it hears every signal."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def out_of_memory() -> bool:
    """Whether the kernel has killed something of this job because its memory ran out."""
    with open("/proc/self/cgroup", encoding="ascii", errors="replace") as file:
        lines = [line.strip().split(":", 2) for line in file]
    for _, controllers, path in lines:
        if controllers == "memory":
            root, name = "/sys/fs/cgroup/memory", "memory.oom_control"
        elif not controllers:
            root, name = "/sys/fs/cgroup", "memory.events"
        else:
            continue
        parts = path.strip("/").split("/")
        while parts and any(part.startswith("job_") for part in parts):
            if _oom_kills("/".join([root, *parts, name])):
                return True
            parts.pop()
    return False


def _oom_kills(path: str) -> int:
    try:
        with open(path, encoding="ascii") as file:
            return sum(int(line.split()[1]) for line in file if line.startswith("oom_kill "))
    except (OSError, ValueError):
        return 0


def children() -> "list[int]":
    """The children of this process, which has one thread."""
    me = os.getpid()
    try:
        with open(f"/proc/{me}/task/{me}/children", encoding="ascii") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


def kill_group(pid: int, number: int) -> None:
    """Send a signal to a process group, if it still exists."""
    with contextlib.suppress(OSError):
        os.killpg(pid, number)


def become_subreaper() -> None:
    """Make this program the parent of what its tasks leave behind, where the system can."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def signal_name(number: int) -> str:
    """Such as SIGSEGV."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return "a real-time signal"
