"""What Ray starts on its node for an attempt: a guard, and the supervisor of the task under it.

It runs from an archive in the agent's folder, with the node's Python alone, and takes the attempt's folder as
its argument. The supervisor is the local engine's. The guard stays in the process group that Ray knows, so
that it ends with Ray's own process for the job; then the supervisor is told, and stops the task. A guard
whose supervisor was killed ends what is left of the task.
"""

import contextlib
import ctypes
import errno
import functools
import os
import signal
import sys
import time
from typing import Any

from weir.engines.local.cgroup import NO_GROUPS, Groups, TaskGroups, find_groups
from weir.engines.local.control import Control
from weir.engines.local.process import end_leftovers
from weir.engines.local.supervisor import supervise

__all__ = ["main"]

_SET_PARENT_DEATH_SIGNAL = 1
_PASSED = ("PATH", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV")


def main() -> int:
    """Run the attempt whose folder is the first argument; the exit code, which is 0 when a record says how it
    ended."""
    folder = sys.argv[1]
    try:
        with Control(folder) as control:
            launch = control.order()["launch"]
    except FileNotFoundError:
        return 0  # it was forgotten while it waited
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # the supervisor is told too, and decides
    groups = NO_GROUPS if launch["limits"] == "off" else find_groups(f"weir-{os.getuid()}")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _die_with_parent()
            code = supervise(folder, 0, functools.partial(adjust, groups))
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    task_groups = TaskGroups(groups, f"{launch['attempt']}.0")
    if code < 0:
        _clear(folder, launch["attempt"], task_groups)
    task_groups.remove()
    return max(code, 0)


def adjust(groups: Groups, launch: dict[str, Any]) -> None:
    """Put into the launch what is known on this node alone: its environment, devices and control groups.

    Raises OSError where control groups are required and this node has none.
    """
    if launch["limits"] == "required" and not groups.memory:
        raise OSError(errno.ENOTSUP, "control groups are required here, and this node forbids them")
    launch["groups"] = list(groups)
    given = set(launch["given"])
    names = {*_PASSED, *launch["passed"], *(name for name in os.environ if name.startswith("RAY_"))}
    for name in names - given:
        if name in os.environ:
            launch["environment"][name] = os.environ[name]
    launch["environment"]["WEIR_HOSTS"] = os.uname().nodename
    if launch["devices"]:
        own, variable = launch["tasks"][0]["environment"], launch["visible"]
        own["WEIR_DEVICES"] = os.environ.get(variable) or os.environ.get("CUDA_VISIBLE_DEVICES", "")
        if variable:
            own[variable] = own["WEIR_DEVICES"]


def _die_with_parent() -> None:
    """Hear SIGUSR2 when the guard has died, as it does with Ray's own process for the job."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    guard = os.getppid()
    ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, int(signal.SIGUSR2), 0, 0, 0)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    if os.getppid() != guard:
        os.kill(os.getpid(), signal.SIGUSR2)


def _clear(folder: str, attempt: str, groups: TaskGroups) -> None:
    """The supervisor was killed: end what it ran, and put down that it was lost."""
    with contextlib.suppress(FileNotFoundError), Control(folder, write=True) as control:
        record = control.record(0)
        if record is None or record["state"] == "ended":
            return
        marks = (f"WEIR_ATTEMPT={attempt}".encode(), b"WEIR_TASK_INDEX=0")
        while not (groups.kill() and end_leftovers(record.get("process"), marks)):
            time.sleep(0.05)
        ended = {"state": "ended", "cause": "lost", "code": None, "signal": None}
        message = "its supervisor was killed, and what it ran was ended"
        control.write(0, **ended, message=message, ended_ms=time.time_ns() // 1_000_000)
