"""Processes by (boot id, pid, start time), never by pid alone; and what a task has left behind."""

import contextlib
import functools
import os
import signal
from collections.abc import Iterator

__all__ = ["alive", "boot_id", "children", "end_leftovers", "identity", "signal_process"]


@functools.cache
def boot_id() -> str:
    """Names this boot of the machine: a process of another boot is gone, whatever its number."""
    return _read("/proc/sys/kernel/random/boot_id").decode().strip()


def identity(pid: int) -> list[int] | None:
    """[pid, start time in ticks since boot] of a process that exists and is no zombie; else None."""
    fields = _stat(pid)
    if fields is None or fields[0] in (b"Z", b"X"):
        return None
    return [pid, int(fields[19])]


def alive(process: list[int] | None) -> bool:
    """Whether the process with this identity still runs."""
    return process is not None and identity(process[0]) == process


def signal_process(process: list[int] | None, number: int) -> bool:
    """Send a signal to the process with this identity, and to no other; False where it is gone."""
    if process is None:
        return False
    if not hasattr(os, "pidfd_open"):
        return _signal_by_pid(process, number)
    try:
        descriptor = os.pidfd_open(process[0])
    except ProcessLookupError:
        return False
    except OSError:
        # Kernels before 5.3 have no such call: then a tiny window for a reused number remains.
        return _signal_by_pid(process, number)
    try:
        if not alive(process):
            return False
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


def children(pid: int) -> list[int]:
    """The children of a single-threaded process."""
    try:
        return [int(child) for child in _read(f"/proc/{pid}/task/{pid}/children").split()]
    except FileNotFoundError:
        return [other for other in _pids() if (fields := _stat(other)) and int(fields[1]) == pid]


def end_leftovers(leader: list[int] | None, marks: tuple[bytes, ...]) -> bool:
    """Kill what a task left whose supervisor is dead; True when nothing of it is left.

    `leader` is the task's first process, which led its session; found are the processes of that session, what
    descends from them, and those in whose environment all the `marks` (`NAME=value`) stand.
    """
    found = set(_leftovers(leader, marks))
    for pid in found:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    return not found


def _leftovers(leader: list[int] | None, marks: tuple[bytes, ...]) -> Iterator[int]:
    # A pid stays taken as long as a session of that number has members, so the session's number is as good as
    # the leader's identity while the leader is not known to have been replaced by a younger process.
    session = leader[0] if leader else 0
    if leader and (now := identity(leader[0])) is not None and now != leader:
        session = 0
    parents: dict[int, int] = {}
    known: set[int] = set()
    for pid in _pids():
        fields = _stat(pid)
        if fields is None or fields[0] in (b"Z", b"X"):
            continue
        parents[pid] = int(fields[1])
        if (session and int(fields[3]) == session) or _is_marked(pid, marks):
            known.add(pid)
    grown = True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in known and pid not in known}
        grown = bool(more)
        known |= more
    yield from known - {os.getpid()}


def _is_marked(pid: int, marks: tuple[bytes, ...]) -> bool:
    try:
        entries = set(_read(f"/proc/{pid}/environ").split(b"\0"))
    except OSError:
        return False
    return bool(marks) and all(mark in entries for mark in marks)


def _signal_by_pid(process: list[int], number: int) -> bool:
    if not alive(process):
        return False
    try:
        os.kill(process[0], number)
    except ProcessLookupError:
        return False
    return True


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _stat(pid: int) -> list[bytes] | None:
    """The fields of /proc/PID/stat from the third on: state, parent, group, session, …; [19] is the start
    time."""
    try:
        content = _read(f"/proc/{pid}/stat")
    except OSError:
        return None
    return content[content.rindex(b")") + 2 :].split()


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = b""
        while more := os.read(descriptor, 65_536):
            content += more
        return content
    finally:
        os.close(descriptor)
