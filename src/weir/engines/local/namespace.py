"""A view of the file system in which a private folder is empty but for the attempt's own work.

Done in the task's own process before its command: a user and a mount namespace of its own, an empty file
system over the private folder, the attempt's folders bound back into it, then every capability given up for
good. So a command cannot undo it, not even as root, and cannot look through the processes of others (they
are outside its namespace).
"""

import ctypes
import os
from collections.abc import Sequence

__all__ = ["become_subreaper", "hide", "namespaces_work"]

_libc = ctypes.CDLL(None, use_errno=True)

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_REMOUNT, _MS_BIND = 1, 2, 4, 32, 4096
_MS_REC, _MS_PRIVATE = 16384, 1 << 18
_PR_CAPBSET_DROP, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 24, 36, 38
_LAST_CAPABILITY = 63


def hide(private_root: str, kept: Sequence[str]) -> None:
    """Let the calling process, and all that it will start, see nothing below `private_root` but the folders
    `kept`.

    Only for a single-threaded process that is about to run a command. Raises OSError where the system
    forbids it.
    """
    uid, gid = os.geteuid(), os.getegid()
    _call("unshare", _CLONE_NEWUSER | _CLONE_NEWNS)
    _map_identities(uid, gid)
    _mount("none", "/", "", _MS_REC | _MS_PRIVATE)
    inside = [folder for folder in kept if _is_below(folder, private_root)]
    opened = [os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for folder in inside]
    _mount("weir", private_root, "tmpfs", _MS_NOSUID | _MS_NODEV, "size=64k,mode=0755")
    for folder, descriptor in zip(inside, opened, strict=True):
        os.makedirs(folder, exist_ok=True)
        _mount(f"/proc/self/fd/{descriptor}", folder, "", _MS_BIND | _MS_REC)
        os.close(descriptor)
    _mount("weir", private_root, "", _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)
    _drop_capabilities()


def namespaces_work(folder: str) -> bool:
    """Whether `hide` works here, tried out on a folder in a process of its own."""
    child = os.fork()
    if child == 0:
        result = 1
        try:
            hide(folder, ())
            result = 0 if not os.listdir(folder) else 1
        finally:
            os._exit(result)
    _, status = os.waitpid(child, 0)
    return status == 0


def become_subreaper() -> None:
    """Descendants whose parents die become children of this process, wherever they have moved."""
    if _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise _error("prctl")


def _map_identities(uid: int, gid: int) -> None:
    """Everybody stays who they are: all identities where that is allowed, else the own one alone."""
    whole = "0 0 4294967295"
    if not _wrote("/proc/self/uid_map", whole):
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{uid} {uid} 1")
        _write("/proc/self/gid_map", f"{gid} {gid} 1")
        return
    _write("/proc/self/gid_map", whole)


def _drop_capabilities() -> None:
    _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    for capability in range(_LAST_CAPABILITY + 1):
        if _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            break  # past the last one that this kernel knows


def _is_below(folder: str, root: str) -> bool:
    return os.path.commonpath([folder, root]) == root and folder != root


def _wrote(path: str, text: str) -> bool:
    try:
        _write(path, text)
    except PermissionError:
        return False
    return True


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    arguments = [text.encode() if text else None for text in (source, target, kind)]
    if _libc.mount(*arguments, ctypes.c_ulong(flags), data.encode() if data else None) != 0:
        raise _error(f"mount {target}")


def _call(name: str, *arguments: int) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        raise _error(name)


def _error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")
